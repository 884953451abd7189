/* Ctrl-C during training: a flag that the training loop looks at between steps.
 * It ends nothing by itself and writes nothing.
 * Invariant: outside of begin and end the process has the signal action that it had before. */
#include "optim/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int users;
static bool installed;
static struct sigaction before;
static volatile sig_atomic_t seen;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    seen = 1;
}

static void install(void) {
    seen = 0;
    installed = false;
    if (sigaction(SIGINT, NULL, &before) != 0) return;
    if (!(before.sa_flags & SA_SIGINFO) && before.sa_handler == SIG_IGN) return;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_interrupt;
    /* The kernel puts the default action back as it delivers the first one. */
    action.sa_flags = (int)(SA_RESETHAND | SA_RESTART);
    installed = sigaction(SIGINT, &action, NULL) == 0;
}

void cti_interrupt_begin(void) {
    pthread_mutex_lock(&lock);
    if (users++ == 0) install();
    pthread_mutex_unlock(&lock);
}

void cti_interrupt_end(void) {
    pthread_mutex_lock(&lock);
    if (--users == 0 && installed) sigaction(SIGINT, &before, NULL);
    pthread_mutex_unlock(&lock);
}

bool cti_interrupt_seen(void) { return seen != 0; }
