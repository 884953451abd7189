/* Steps that pauses interrupt anywhere, and of which one rank may be killed or stopped anywhere.
 * Invariant: what befalls a group is known from the seed, however fast ranks are. What a rank
 * prints is that, how many steps it has made, and its slots after them. */
#include "tests/optim/train/rank_loop.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "tensor/base/process.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { STEPS = 6, PAUSES = SIGUSR1, END = SIGUSR2 };

static test_random own; /* this rank's alone */
static timer_t pauses;
static volatile sig_atomic_t paused; /* so many times */

static struct timespec time_of(double seconds) {
    return (struct timespec){(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
}

static void pause_up_to(double seconds) {
    struct timespec time = time_of(random_real(&own, 0, seconds));
    nanosleep(&time, NULL);
}

static timer_t timer_of(int signal, void (*handler)(int signal)) {
    timer_t timer;
    struct sigaction action = {.sa_handler = handler};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
    OK(sigaction(signal, &action, NULL) == 0 ? CT_OK : CT_ERR_IO);
    OK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 ? CT_OK : CT_ERR_IO);
    return timer;
}

static void set(timer_t timer, double seconds) {
    timer_settime(timer, 0, &(struct itimerspec){.it_value = time_of(seconds + 1e-6)}, NULL);
}

/* Wherever the rank is, also within a system call. */
static void pause_here(int signal) {
    (void)signal;
    int before = errno;
    paused++;
    pause_up_to(1e-3);
    set(pauses, random_real(&own, 0, 3e-3));
    errno = before;
}

static volatile sig_atomic_t how; /* SIGKILL or SIGSTOP */

static void end_here(int signal) {
    (void)signal;
    kill(getpid(), how);
}

/* What befalls a group, the same on all ranks: of 4 runs in a row from a multiple of 4 on a rank is
 * killed in two and stopped in one. */
typedef struct {
    int how, rank; /* 0: nothing */
    int64_t step;  /* in which, or after which; 0: as the group begins */
    double when;   /* of the time that a step takes */
} fault;

static fault fault_of(int64_t seed, int size) {
    static const int kinds[] = {0, SIGKILL, SIGKILL, SIGSTOP};
    test_random all = {(uint64_t)seed};
    return (fault){kinds[(seed + seed / 4) % 4], (int)random_below(&all, size),
                   random_below(&all, STEPS + 1), random_real(&all, 0, 2)};
}

SCENARIO(undisturbed) {
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_loop t = rank_loop_begin(0);
    for (int64_t k = 0; k <= STEPS; k++) {
        if (k > 0) OK(rank_loop_step(&t));
        printf("after %lld: %016llx\n", (long long)k,
               (unsigned long long)rank_slots_hash(t.model, t.optimizer));
    }
    rank_loop_end(&t);
}

/* Where its signal has not come yet, the rank does nothing more. */
static void wait_for_end(const fault *f, int64_t steps) {
    while (how && steps == f->step) pause();
}

/* *steps is how many were made. */
static ct_status train(ct_group *group, const rank_loop *t, const fault *f, int64_t *steps) {
    double took = 5e-3;
    timer_t end = timer_of(END, end_here);
    if (how && f->step == 0) set(end, took * f->when);
    ct_status status = ct_group_use(group, (ct_group_options){.timeout = f->how == SIGSTOP});
    while (status == CT_OK) {
        wait_for_end(f, *steps);
        if (*steps == STEPS) break;
        double began = cti_now();
        if (how && f->step == *steps + 1) set(end, took * f->when);
        if (random_chance(&own, 30)) pause_up_to(3e-3);
        status = rank_loop_step(t);
        *steps += status == CT_OK;
        took = cti_now() - began;
    }
    if (how) kill(getpid(), how); /* taken for lost before its time */
    timer_delete(end);
    return status;
}

/* The argument is where random numbers begin. Where a rank may stop, the others have to find out;
 * they may then also take one for lost that the machine had no time for. */
SCENARIO(disturbed) {
    fault f = fault_of(argument, ct_group_size(group));
    int64_t steps = 0;
    own = (test_random){(uint64_t)argument * 64 + (uint64_t)ct_group_rank(group)};
    pauses = timer_of(PAUSES, pause_here);
    how = ct_group_rank(group) == f.rank ? f.how : 0;
    alarm(120); /* who hangs is ended, and seen */
    rank_loop t = rank_loop_begin(0);
    set(pauses, 0);
    ct_status status = train(group, &t, &f, &steps);
    set(pauses, 1e6);
    EXPECT(status == CT_OK || (f.how && status == CT_ERR_IO), "%s", ct_error_message());
    if (status == CT_ERR_IO && ct_group_current()) EXPECT(rank_loop_step(&t) == CT_ERR_IO);
    ct_error_clear();
    printf("%s, signal %d to rank %d in step %lld, %d pauses, after %lld: %016llx\n",
           ct_status_name(status), f.how, f.rank, (long long)f.step, (int)paused, (long long)steps,
           (unsigned long long)rank_slots_hash(t.model, t.optimizer));
    timer_delete(pauses);
    rank_loop_end(&t);
}
