/* Ctrl-C and SIGTERM during training: a flag that the training loop looks at between steps.
 * It ends nothing by itself and writes nothing.
 * Invariant: outside of begin and end the process has the signal actions that it had before. */
#include "optim/train/train.h"

#include "tensor/base/process.h"

#include <signal.h>
#include <string.h>

static const int signals[] = {SIGINT, SIGTERM};
enum { SIGNALS = sizeof signals / sizeof *signals };

/* Under the process lock, except what the handler writes. */
static int users;
static bool installed[SIGNALS];
static struct sigaction before[SIGNALS];
static volatile sig_atomic_t seen;

/* SA_RESETHAND: the kernel has restored the default action, so a second signal of the same kind
 * does not come here. A second one of the other kind is raised again and meets that action. */
static void on_interrupt(int signal_number) {
    if (seen) raise(signal_number);
    seen = 1;
}

static bool install(int signal_number, struct sigaction *old) {
    if (sigaction(signal_number, NULL, old) != 0) return false;
    if (!(old->sa_flags & SA_SIGINFO) && old->sa_handler == SIG_IGN) return false;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_interrupt;
    action.sa_flags = (int)(SA_RESETHAND | SA_RESTART);
    return sigaction(signal_number, &action, NULL) == 0;
}

void cti_interrupt_begin(void) {
    cti_process_lock();
    if (users++ == 0) {
        seen = 0;
        for (int i = 0; i < SIGNALS; i++) installed[i] = install(signals[i], &before[i]);
    }
    cti_process_unlock();
}

void cti_interrupt_end(void) {
    cti_process_lock();
    bool last = --users == 0;
    for (int i = 0; i < SIGNALS && last; i++) {
        if (installed[i]) sigaction(signals[i], &before[i], NULL);
    }
    cti_process_unlock();
}

bool cti_interrupt_seen(void) { return seen != 0; }
