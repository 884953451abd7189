/* Signals and standard output, the same for all programs of this folder.
 * It saves nothing: what is to be done after a signal is the program's business.
 * Invariant: no output is lost without a message and an exit status that is not 0. */
#include "program.h"

#include "options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t caught;

static void note(int number) { caught = number; }

/* A handler, not SIG_IGN: a program that is started gets the default action back. */
static void go_on(int number) { (void)number; }

static void install(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, before;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN) return;
    sigaction(number, &action, NULL);
}

void program_begin(void) { install(SIGPIPE, go_on, SA_RESTART); }

void program_catch_interrupts(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) install(numbers[i], note, SA_RESTART | (int)SA_RESETHAND);
}

bool program_interrupted(void) { return caught != 0; }

int program_end(const char *program, int status) {
    bool lost = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) != 0 || lost) {
        fprintf(stderr, "%s: standard output: %s\n", program,
                errno ? strerror(errno) : "could not be written");
        if (status == 0) status = EXIT_IO;
    }
    return caught ? 128 + caught : status;
}
