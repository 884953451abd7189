/* What goes wrong on one rank of several, as each of them sees it.
 * Invariant: a scenario prints the status and the message with which an exchange ended. */
#include "tests/support/rank.h"

#include "tensor/base/caller.h"
#include "tensor/base/process.h"
#include "tensor/mem.h"
#include "tensor/ranks/exchange.h"

#include <math.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { N = 50000, PATIENCE = 100 };

static float partials[CT_GROUP_MOST * N], sums[N];

static ct_status sum(ct_group *group, uint64_t hash, ct_status status, int64_t n) {
    cti_summand summand = {partials, sums, n};
    return cti_all_sum(group, (cti_entry){.hash = hash, .status = status}, CT_F32, &summand, 1);
}

static void say(ct_status status) {
    printf("%s %s\n", ct_status_name(status), ct_error_message());
    fflush(stdout);
    ct_error_clear();
}

/* Whoever waits for the limit is ended, and seen, where nobody may. */
static void use(ct_group *group, double timeout) {
    if (timeout > PATIENCE) alarm(PATIENCE);
    OK(ct_group_use(group, (ct_group_options){.timeout = timeout}));
    OK(sum(group, 1, CT_OK, N));
}

/* After a loss nothing else can be done, and nothing waits. */
static void say_twice(ct_group *group) {
    say(sum(group, 1, CT_OK, N));
    say(ct_group_agree(group, CT_OK));
}

SCENARIO(killed) {
    use(group, 300);
    if (ct_group_rank(group) == argument) raise(SIGKILL);
    say_twice(group);
}

/* As killed, where nobody tells: the others have to find out. */
SCENARIO(vanishes) {
    use(group, 2);
    if (ct_group_rank(group) == argument) raise(SIGKILL);
    say_twice(group);
}

/* Rank `argument` % 8, for half a second as limit, doubled `argument` / 8 times. */
SCENARIO(stopped) {
    use(group, ldexp(0.5, (int)(argument / RANKS_MOST)));
    double from = cti_now();
    if (ct_group_rank(group) == argument % RANKS_MOST) raise(SIGSTOP);
    say_twice(group);
    printf("from %.6f to %.6f\n", from, cti_now());
}

/* The others are in another call, and do not wait: neither here nor when they leave. */
SCENARIO(leaves) {
    use(group, 300);
    if (ct_group_rank(group) != argument) say_twice(group);
}

/* Or, if not at all, as long as for an answer. */
SCENARIO(leave_a_stopped_one) {
    alarm(PATIENCE);
    use(group, 1);
    if (ct_group_rank(group) == argument) raise(SIGSTOP);
}

/* Before it has used the group. */
SCENARIO(leaves_at_once) {
    if (ct_group_rank(group) == argument) return;
    say(ct_group_use(group, (ct_group_options){.timeout = 20}));
}

/* As leaves, from within user functions, after the others were told of an error there. */
SCENARIO(leaves_after_an_error) {
    use(group, 300);
    cti_watch watch = cti_watch_begin();
    rank_has_left = ct_group_rank(group) == argument;
    ct_status status = rank_has_left ? ct_group_agree(group, CT_ERR_RANGE)
                                     : sum(group, 1, CT_OK, N);
    EXPECT(status == CT_ERR_RANGE);
    ct_error_clear();
    if (rank_has_left) ct_group_free(group);
    status = cti_group_kept(watch.group, CT_OK);
    EXPECT(status == (rank_has_left ? CT_ERR_STATE : CT_OK));
    ct_error_clear();
    if (!rank_has_left) EXPECT(sum(group, 1, CT_OK, N) == CT_ERR_RANGE); /* sends nothing */
    ct_error_clear();
    cti_watch_end(watch);
    if (!rank_has_left) say_twice(group);
}

/* Some are in a sum, some agree, and half of them leave. */
SCENARIO(some_leave) {
    use(group, 300);
    if (ct_group_rank(group) % 2 == 0) {
        if (ct_group_rank(group) % 4 == 0) say(sum(group, 1, CT_OK, N));
        else say(ct_group_agree(group, CT_OK));
    }
}

static ct_status load(void) {
    CTI_CALLED;
    return cti_agreed(CT_OK);
}

static ct_status save(void) {
    CTI_CALLED;
    return cti_agreed(CT_OK);
}

/* Else each would take what the others say of their call for that of its own. */
SCENARIO(agrees_elsewhere) {
    use(group, 300);
    say(ct_group_rank(group) == argument ? load() : save());
    OK(save());
}

/* Each of these is followed by a sum that is as it should be. */
SCENARIO(different) {
    use(group, 300);
    say(sum(group, ct_group_rank(group) == argument ? 2 : 1, CT_OK, N));
    OK(sum(group, 1, CT_OK, N));
    say(sum(group, 1, CT_OK, ct_group_rank(group) == argument ? N - 1 : N));
    OK(sum(group, 1, CT_OK, N));
    if (ct_group_rank(group) == argument) say(ct_group_agree(group, CT_OK));
    else say(ct_group_broadcast(group, sums, 8));
    OK(sum(group, 1, CT_OK, N));
    if (ct_group_rank(group) == argument) say(ct_group_agree(group, CT_OK));
    else say(sum(group, 1, CT_OK, N));
    OK(sum(group, 1, CT_OK, N));
}

SCENARIO(other_options) {
    int grains = ct_group_rank(group) == argument ? 12 : 8;
    say(ct_group_use(group, (ct_group_options){.grains = grains}));
    EXPECT(ct_group_current() == NULL);
    use(group, 300);
    EXPECT(ct_group_current() == group);
}

SCENARIO(failed) {
    use(group, 300);
    bool mine = ct_group_rank(group) == argument;
    sums[0] = 5;
    say(sum(group, 1, mine ? ct_fail(CT_ERR_DIVERGED, "ct_test: no") : CT_OK, N));
    EXPECT(sums[0] == 5, "a sum that failed was written");
    say(ct_group_agree(group, mine ? ct_fail(CT_ERR_RANGE, "ct_test: no") : CT_OK));
    OK(sum(group, 1, CT_OK, N));
    EXPECT(sums[0] == 0);
}

/* The rank of the argument fails before the next exchange, and tells in its place. */
SCENARIO(failed_before) {
    use(group, 300);
    bool mine = ct_group_rank(group) == argument;
    if (mine) say(ct_group_agree(group, ct_fail(CT_ERR_RANGE, "ct_test: no")));
    else say(sum(group, 1, CT_OK, N));
    OK(sum(group, 1, CT_OK, N));
    if (mine) say(ct_group_agree(group, ct_fail(CT_ERR_RANGE, "ct_test: no")));
    else say(ct_group_broadcast(group, sums, 8));
    OK(ct_group_agree(group, CT_OK));
}

/* The rank of the argument and the next one, each in its own way; of both the first counts. */
SCENARIO(two_fail) {
    use(group, 300);
    int64_t after = ct_group_rank(group) - argument;
    ct_status status = after == 0 ? CT_ERR_RANGE : after == 1 ? CT_ERR_DIVERGED : CT_OK;
    printf("%s\n", ct_status_name(sum(group, 1, status, N)));
    printf("%s\n", ct_status_name(ct_group_agree(group, status)));
    ct_error_clear();
}

/* On the rank of the argument each allocation fails in turn. */
SCENARIO(memory) {
    use(group, 300);
    bool mine = ct_group_rank(group) == argument;
    for (int64_t n = N, at = 1;; at++) {
        cti_summand summand = {partials, sums, n / 2};
        cti_summand two[] = {summand, summand};
        if (mine) ct_mem_fail_at(at, false);
        /* As large as no sum before. */
        ct_status status = cti_all_sum(group, (cti_entry){.hash = 1}, CT_F64, two, 2);
        ct_mem_fail_at(0, false);
        say(status);
        if (status == CT_OK) break;
        OK(sum(group, 1, CT_OK, 7));
    }
}

SCENARIO(broadcast) {
    char text[300] = "";
    use(group, 300);
    for (size_t n = 0; n < sizeof text; n += 37) {
        if (ct_group_rank(group) == 0) snprintf(text, sizeof text, "text of %zu bytes", n);
        OK(ct_group_broadcast(group, text, n));
        if (n > 0) printf("%s\n", text);
    }
    say(ct_group_broadcast(group, ct_group_rank(group) == argument ? NULL : text, 8));
    OK(ct_group_agree(group, CT_OK));
}

static void end_here(int signal) {
    (void)signal;
    raise(SIGKILL);
}

/* After so many microseconds, wherever it is. */
static void end_in(int64_t microseconds) {
    signal(SIGALRM, end_here);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = microseconds + 1}, NULL);
}

/* Sums with pauses; in each second run of every number of ranks one is killed on the way, or when
 * the others may have come to the end. */
SCENARIO(at_random) {
    test_random all = {(uint64_t)argument};
    test_random own = {(uint64_t)argument * 64 + (uint64_t)ct_group_rank(group)};
    bool ends = argument / RANKS_MOST % 2;
    int64_t victim = random_below(&all, ct_group_size(group)), when = random_below(&all, 8000);
    alarm(PATIENCE);
    if (ends && ct_group_rank(group) == victim) end_in(when);
    ct_status status = ct_group_use(group, (ct_group_options){0});
    for (int i = 0; i < 20 && status == CT_OK; i++) {
        long pause = (long)random_below(&own, 300000);
        if (random_chance(&own, 30)) nanosleep(&(struct timespec){0, pause}, NULL);
        int64_t n = random_below(&all, random_chance(&all, 20) ? N : 100);
        status = i % 3 == 2 ? ct_group_agree(group, CT_OK) : sum(group, 1, CT_OK, n);
    }
    while (ends && ct_group_rank(group) == victim) pause();
    if (status == CT_OK) return;
    EXPECT(ends && status == CT_ERR_IO, "%s", ct_error_message());
    say(status);
}
