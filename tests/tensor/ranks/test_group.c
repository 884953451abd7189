/* Groups within one process: one rank, two on threads, a transport of a user, what is refused.
 * Several processes are in test_ranks.c.
 * Invariant: after an error a group is as before, and after a test none is current. */
#include "tests/support/test.h"

#include "autograd/ops.h"
#include "tensor/graph/rows.h"
#include "tensor/mem.h"
#include "tensor/ranks/group_private.h"
#include "tensor/runtime.h"
#include "tensor/tensor.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { GRAINS = 8, N = 3000 };

static float value(int grain, int64_t i) {
    return (float)((grain * 7919 + i * 104729) % 1009) / (float)(1 + grain * 31);
}

static float tree(int low, int high, int64_t i) {
    int mid = low + (high - low) / 2;
    return high - low == 1 ? value(low, i) : tree(low, mid, i) + tree(mid, high, i);
}

static void fill(ct_group *group, float *partials) {
    int first, last, total;
    ct_group_grains(group, &first, &last, &total);
    for (int64_t i = 0; i < (last - first) * N; i++) {
        partials[i] = value(first + (int)(i / N), i % N);
    }
}

static int64_t wrong(const float *sums) {
    int64_t count = 0;
    for (int64_t i = 0; i < N; i++) count += sums[i] != tree(0, GRAINS, i);
    return count;
}

static const cti_entry well = {.hash = 1};

/* --- One rank --------------------------------------------------------------------------------- */

TEST(group, one_rank_sums_along_the_tree) {
    static float partials[GRAINS * N], sums[N];
    ct_group *group = ct_group_alone();
    MADE(group);
    EXPECT(ct_group_rank(group) == 0 && ct_group_size(group) == 1);
    OK(ct_group_use(group, (ct_group_options){0}));
    EXPECT(ct_group_current() == group);
    fill(group, partials);
    cti_summand whole = {partials, sums, N};
    int64_t before = ct_group_stats_read(group).exchanges;
    OK(cti_all_sum(group, well, CT_F32, &whole, 1));
    EXPECT(wrong(sums) == 0);
    EXPECT(ct_group_stats_read(group).bytes == 0);
    EXPECT(ct_group_stats_read(group).exchanges == before + 1);
    int number = 3;
    OK(ct_group_broadcast(group, &number, sizeof number));
    EXPECT(number == 3);
    EXPECT(ct_group_agree(group, CT_ERR_RANGE) == CT_ERR_RANGE && ct_error() == CT_OK);
    ct_group_use_none();
    EXPECT(ct_group_current() == NULL);
    OK(ct_group_use(group, (ct_group_options){0}));
    ct_group_free(group);
    EXPECT(ct_group_current() == NULL);
}

TEST(group, no_group_is_one_rank) {
    int first, last, total;
    ct_group_grains(NULL, &first, &last, &total);
    EXPECT(ct_group_rank(NULL) == 0 && ct_group_size(NULL) == 1);
    EXPECT(first == 0 && last == 1 && total == 1);
    EXPECT(ct_group_stats_read(NULL).messages == 0);
    ct_group_free(NULL);
}

static ct_status evaluate_one(void) {
    int64_t scope = ct_scope_open();
    ct_tensor *one = ct_sum_all(ct_full(CT_F32, CT_SHAPE(3), 1));
    ct_status status = ct_eval(&one, 1);
    ct_scope_close(scope);
    return status;
}

static void expect_nothing_computed(void) {
    EXPECT(evaluate_one() == CT_ERR_STATE);
    expect_error(CT_ERR_STATE,
                 "ct_eval: ct_group_use failed, so this process would go on without the others; "
                 "ct_group_use_none() if that is meant");
}

/* Two lines whose errors nobody looks at: each process would train for itself. */
TEST(group, who_could_not_join_computes_nothing) {
    ct_group *group = ct_group_alone();
    EXPECT(ct_group_use(NULL, (ct_group_options){0}) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_group_use: 'group' is NULL");
    expect_nothing_computed();
    EXPECT(ct_group_use(group, (ct_group_options){.grains = 65}) == CT_ERR_RANGE);
    ct_error_clear();
    expect_nothing_computed();
    OK(ct_group_use(group, (ct_group_options){0}));
    OK(evaluate_one());
    EXPECT(ct_group_use(group, (ct_group_options){.grains = 65}) == CT_ERR_RANGE);
    ct_error_clear();
    OK(evaluate_one()); /* the group is as before */
    ct_group_free(group);
    OK(evaluate_one());
    EXPECT(ct_group_use(NULL, (ct_group_options){0}) == CT_ERR_NULL);
    ct_error_clear();
    ct_group_use_none();
    OK(evaluate_one());
}

static void refuse(ct_group *group, ct_group_options options, const char *message) {
    EXPECT(ct_group_use(group, options) == CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, message);
    EXPECT(ct_group_current() == NULL);
}

/* --- Two ranks, on threads -------------------------------------------------------------------- */

typedef struct {
    int rank, socket;
    int64_t wrong;
    ct_status status;
} thread_rank;

/* The parts of a sum: local ones in any order, polls between other work. */
static void *sums_in_parts(void *argument) {
    static float partials[2][GRAINS * N], sums[2][N];
    thread_rank *me = argument;
    ct_group *group = ct_group_sockets(me->rank, 2, (int[]){me->socket, me->socket});
    if (!group) return NULL;
    refuse(group, (ct_group_options){.grains = 1},
           "ct_group_use: grains must be from 2, the number of ranks, to 64, got 1");
    me->status = ct_group_use(group, (ct_group_options){0});
    EXPECT(strstr(ct_info(), " on each of 2 ranks"), "%s", ct_info());
    fill(group, partials[me->rank]);
    cti_summand all[] = {{partials[me->rank], sums[me->rank], N}, {NULL, NULL, 0}};
    cti_sum_begin(group, well, CT_F32, all, 2);
    for (int64_t to = N; to > 0; to -= 700) cti_sum_local(group, to > 700 ? to - 700 : 0, to);
    for (bool done = false; !done;) {
        ct_status status = cti_sum_poll(group, 0.01, &done);
        if (done && me->status == CT_OK) me->status = status;
    }
    me->wrong = wrong(sums[me->rank]);
    ct_group_free(group);
    return NULL;
}

TEST(group, a_sum_in_parts_on_two_threads) {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    thread_rank ranks[2] = {{0, pair[0], -1, CT_ERR_STATE}, {1, pair[1], -1, CT_ERR_STATE}};
    pthread_t other;
    REQUIRE(pthread_create(&other, NULL, sums_in_parts, &ranks[1]) == 0);
    sums_in_parts(&ranks[0]);
    pthread_join(other, NULL);
    for (int r = 0; r < 2; r++) {
        EXPECT(ranks[r].status == CT_OK && ranks[r].wrong == 0, "rank %d", r);
    }
}

typedef struct {
    cti_rows *rows, *grains[64];
} record_user;

static void *ask_for_grains(void *of) {
    record_user *user = of;
    for (int k = 0; k < 64; k++) {
        user->grains[k] = cti_rows_of_grains(user->rows);
        cti_rows_drop(cti_rows_in_units(user->rows, 2));
    }
    return NULL;
}

/* As graphs are that two threads build on the same batch, with partial sums at each layer. */
TEST(group, partial_sums_of_the_same_rows_share_a_record) {
    enum { USERS = 4 };
    cti_rows *rows = cti_rows_even(5);
    MADE(rows);
    record_user users[USERS];
    pthread_t threads[USERS];
    for (int u = 0; u < USERS; u++) {
        users[u].rows = rows;
        REQUIRE(pthread_create(&threads[u], NULL, ask_for_grains, &users[u]) == 0);
    }
    for (int u = 0; u < USERS; u++) pthread_join(threads[u], NULL);
    cti_rows *grains = cti_rows_of_grains(rows), *again = cti_rows_of_grains(grains);
    EXPECT(grains != rows && cti_rows_count(grains) == grains->n && again == grains);
    cti_rows *units = cti_rows_in_units(rows, 3), *of_units = cti_rows_of_grains(units);
    EXPECT(of_units && of_units != grains && of_units->unit == 1);
    cti_rows_drop(rows);
    for (int u = 0; u < USERS; u++) {
        for (int k = 0; k < 64; k++) {
            EXPECT(users[u].grains[k] == grains, "thread %d, ask %d", u, k);
            cti_rows_drop(users[u].grains[k]);
        }
    }
    EXPECT(cti_rows_count(grains) == grains->n, "the grains outlive the rows that keep them");
    cti_rows *records[] = {grains, again, units, of_units};
    for (int k = 0; k < 4; k++) cti_rows_drop(records[k]);
}

/* The other end takes what was sent, and closes. */
TEST(group, a_peer_that_listens_and_leaves) {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    ct_group *group = ct_group_sockets(0, 2, (int[]){-1, pair[0]});
    MADE(group);
    bool done;
    char taken[1000];
    cti_sum_begin(group, well, CT_F32, NULL, 0);
    OK(cti_sum_poll(group, 0, &done));
    EXPECT(!done && recv(pair[1], taken, sizeof taken, 0) > 0);
    OK(cti_sum_poll(group, 0, &done));
    EXPECT(!done);
    close(pair[1]);
    EXPECT(cti_sum_poll(group, 0, &done) == CT_ERR_IO && done);
    expect_error(CT_ERR_IO, "ct_group: rank 1 closed its connection");
    ct_group_free(group);
}

/* Whose peer is late is not impatient while it has other work itself. */
TEST(group, time_counts_while_a_rank_is_idle) {
    int pair[2];
    bool done = false;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    ct_group *group = ct_group_sockets(0, 2, (int[]){-1, pair[0]});
    MADE(group);
    group->options.timeout = 1;
    cti_sum_begin(group, well, CT_F32, NULL, 0);
    for (int i = 0; i < 2; i++) {
        OK(cti_sum_carry_on(group, false, &done));
        EXPECT(!done);
        nanosleep(&(struct timespec){1, 100000000}, NULL); /* longer than the limit at once */
    }
    OK(cti_sum_carry_on(group, true, &done));
    EXPECT(!done);
    ct_status status = CT_OK;
    while (!done) status = cti_sum_carry_on(group, true, &done);
    EXPECT(status == CT_ERR_IO && strstr(ct_error_message(), "ct_group: rank 1 does not answer"));
    ct_error_clear();
    ct_group_free(group);
    close(pair[1]);
}

/* --- A transport of a user -------------------------------------------------------------------- */

/* Its peer is a mirror: what is sent comes back. */
typedef struct {
    ct_transport base;
    int closed, fails, started;
} mirror;

static ct_status start(ct_transport *self, const ct_transfer *transfer) {
    ((mirror *)self)->started++;
    if (((mirror *)self)->fails) return ct_fail(CT_ERR_IO, "ct_group: rank 1 is a broken mirror");
    memcpy(transfer->in, transfer->out, transfer->n_in);
    return CT_OK;
}

static ct_status poll_mirror(ct_transport *self, double seconds, bool *done) {
    (void)self, (void)seconds;
    *done = true;
    return CT_OK;
}

static void close_mirror(ct_transport *self, bool complete) {
    ((mirror *)self)->closed += complete ? 1 : 10;
}

static const ct_transport_kind kind = {"mirror", start, poll_mirror, close_mirror};

TEST(group, a_transport_of_a_user) {
    mirror m = {.base = {&kind, 0, 4}}; /* asks 1, 2, 1 */
    ct_group *group = ct_group_new(&m.base);
    MADE(group);
    OK(ct_group_agree(group, CT_OK));
    EXPECT(ct_group_stats_read(group).messages == 3);
    m.fails = 1;
    EXPECT(ct_group_agree(group, CT_OK) == CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_group_agree: rank 1 is a broken mirror");
    EXPECT(m.started == 5, "a peer that is lost was asked again");
    EXPECT(m.closed == 10, "closed at once, and not to be waited for");
    EXPECT(ct_group_agree(group, CT_OK) == CT_ERR_IO);
    expect_error(CT_ERR_IO, "ct_group_agree: rank 1 was lost before");
    EXPECT(ct_group_use(group, (ct_group_options){0}) == CT_ERR_IO);
    ct_error_clear();
    ct_group_use_none();
    ct_group_free(group);
    EXPECT(m.closed == 10);
    mirror wrong_rank = {.base = {&kind, 2, 2}};
    EXPECT(!ct_group_new(&wrong_rank.base) && wrong_rank.closed == 1);
    expect_error(CT_ERR_RANGE, "ct_group_new: rank 2 of 2; a group has 1 to 64 ranks");
}

/* --- What is refused -------------------------------------------------------------------------- */

TEST(group, what_is_refused) {
    ct_group *group = ct_group_alone();
    refuse(group, (ct_group_options){.grains = 65},
           "ct_group_use: grains must be from 1, the number of ranks, to 64, got 65");
    refuse(group, (ct_group_options){.grains = -1},
           "ct_group_use: grains must be from 1, the number of ranks, to 64, got -1");
    refuse(group, (ct_group_options){.timeout = -2},
           "ct_group_use: timeout must be above 0 s, got -2");
    refuse(group, (ct_group_options){.timeout = INFINITY},
           "ct_group_use: timeout must be above 0 s, got inf");
    refuse(group, (ct_group_options){.timeout = (double)NAN},
           "ct_group_use: timeout must be above 0 s, got nan");
    char partials[GRAINS] = {0}, sum = 5;
    cti_summand bytes = {partials, &sum, 1};
    EXPECT(cti_all_sum(group, well, CT_U8, &bytes, 1) == CT_ERR_DTYPE && sum == 5);
    expect_error(CT_ERR_DTYPE, "ct_group: u8 has no sum");
    EXPECT(ct_group_broadcast(group, NULL, 4) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_group_broadcast: 'bytes' is NULL");
    EXPECT(ct_group_broadcast(NULL, NULL, 0) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_group_broadcast: 'group' is NULL");
    EXPECT(ct_group_agree(NULL, CT_OK) == CT_OK && ct_error() == CT_OK);
    EXPECT(ct_group_agree(NULL, CT_ERR_IO) == CT_ERR_IO && ct_error() == CT_OK);
    EXPECT(!ct_group_new(NULL));
    expect_error(CT_ERR_NULL, "ct_group_new: 'transport' is NULL");
    EXPECT(!ct_group_sockets(0, 65, NULL));
    expect_error(CT_ERR_RANGE, "ct_group_sockets: rank 0 of 65; a group has 1 to 64 ranks");
    EXPECT(!ct_group_sockets(0, 2, NULL));
    expect_error(CT_ERR_NULL, "ct_group_sockets: 'sockets' is NULL");
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    char message[100];
    snprintf(message, sizeof message,
             "ct_group_sockets: descriptor %d, to rank 1, is no stream socket", ends[0]);
    EXPECT(!ct_group_sockets(0, 2, (int[]){-1, ends[0]}));
    expect_error(CT_ERR_IO, message);
    close(ends[0]);
    close(ends[1]);
    ct_group_use_none(); /* after one that failed */
    ct_group_free(group);
}

/* --- Out of memory ---------------------------------------------------------------------------- */

static ct_status make_groups(void *state) {
    int *socket = state;
    int copy = dup(*socket); /* the group's, or to be closed here */
    ct_group *alone = ct_group_alone();
    ct_group *joined = ct_group_sockets(0, 2, (int[]){-1, copy});
    if (!joined) EXPECT(close(copy) == 0, "a group that was not made has closed a socket");
    ct_status status = alone && joined ? CT_OK : ct_error();
    ct_group_free(alone);
    ct_group_free(joined);
    return status;
}

static void check_record(void *state, bool failed) {
    (void)state;
    EXPECT(failed || ct_error() == CT_OK);
}

TEST(group, out_of_memory) {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    EXPECT(oom_sweep("groups", make_groups, check_record, &pair[0]) >= 3);
    close(pair[0]);
    close(pair[1]);
}
