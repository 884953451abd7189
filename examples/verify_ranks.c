/* SyncBatchNorm on ranks of unequal rows, as claims: what ct_batch_norm derives of data that varies
 * between processes is the closed form of BatchNorm over the whole batch.
 * A rank's rows are a product of the whole batch with a matrix of zeros and ones that varies, and
 * the result is brought together by its transpose. So f and its cotangents are replicated, as
 * ct_verify wants them, all that lies between is the code that trains on ranks, and every rank
 * verifies the same numbers.
 * Invariant: mutants are what people have shipped, each made of ops, none with a derivative. */
#include "verify_ranks.h"

#include <cotan/cotan.h>
#include <cotan/nn/claims.h>

#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 8, MOST_RANKS = 4, GRAINS = 4 };
#define EPSILON 1e-3 /* of the claim batch_norm, whose closed form this is */

/* How the batch lies on ranks. */
typedef struct {
    int ranks;
    int64_t rows[MOST_RANKS];
} split;

static int64_t own_rows(const split *s) { return s->rows[ct_group_rank(ct_group_current())]; }

/* --- Rows of ranks ---------------------------------------------------------------------------- */

/* This rank's rows of a matrix of zeros, with one 1 in each: in column `first`, or from it on. */
static ct_tensor *ones_at(const split *s, ct_dtype dtype, int64_t columns, int64_t first,
                          int64_t step) {
    double data[ROWS * ROWS] = {0};
    for (int64_t i = 0; i < own_rows(s); i++) data[i * columns + first + i * step] = 1;
    return ct_varying(ct_cast(ct_from(CT_F64, CT_SHAPE(own_rows(s), columns), data), dtype), 0);
}

/* [rows, ROWS]: which rows of the batch are this rank's. */
static ct_tensor *rows_here(const split *s, ct_dtype dtype) {
    int64_t first = 0;
    for (int r = 0; r < ct_group_rank(ct_group_current()); r++) first += s->rows[r];
    return ones_at(s, dtype, ROWS, first, 1);
}

/* [rows, ranks]: which rank each row is on. */
static ct_tensor *rank_of_rows(const split *s, ct_dtype dtype) {
    return ones_at(s, dtype, s->ranks, ct_group_rank(ct_group_current()), 0);
}

/* [rows, 1] */
static ct_tensor *column(const split *s, ct_dtype dtype, double value) {
    return ct_varying(ct_full(dtype, CT_SHAPE(own_rows(s), 1), value), 0);
}

/* --- The claim -------------------------------------------------------------------------------- */

static ct_tensor *sync_batch_norm(void *context, ct_tensor *const in[], int64_t n) {
    (void)n;
    ct_tensor *here = rows_here(context, ct_dtype_of(in[0]));
    ct_tensor *x = ct_matmul(here, in[0]);
    ct_tensor *y = ct_batch_norm(x, in[1], in[2], -1, EPSILON, NULL, NULL);
    return ct_matmul(ct_transpose(here), y);
}

static ct_status closed(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                        ct_tensor *out[]) {
    (void)context;
    const ct_claim *whole = ct_claim_named("batch_norm");
    return whole->closed(whole->context, in, n, dy, out);
}

/* --- Mutants ---------------------------------------------------------------------------------- */

typedef ct_tensor *mean_of_batch(const split *s, ct_tensor *x);

/* The same in six lines, by a mean of one's own. */
static ct_tensor *by_hand(const split *s, ct_tensor *x, ct_tensor *gamma, ct_tensor *beta,
                          mean_of_batch *mean) {
    ct_tensor *here = rows_here(s, ct_dtype_of(x));
    ct_tensor *rows = ct_matmul(here, x), *centred = ct_sub(rows, mean(s, rows));
    ct_tensor *inverse = ct_rsqrt(ct_offset(mean(s, ct_square(centred)), EPSILON));
    ct_tensor *y = ct_add(ct_mul(ct_mul(centred, inverse), gamma), beta);
    return ct_matmul(ct_transpose(here), y);
}

static ct_tensor *right(const split *s, ct_tensor *x) {
    (void)s;
    return ct_mean_keep(x, CT_AXES(0));
}

/* t, whose cotangent counts once for each rank. */
static ct_tensor *summed_again(const split *s, ct_tensor *t) {
    double ranks = s->ranks;
    return ct_sub(ct_scale(t, ranks), ct_stop_gradient(ct_scale(t, ranks - 1)));
}

/* An all_sum that is its own transpose adds up equal cotangents. */
static ct_tensor *own_transpose(const split *s, ct_tensor *x) {
    return summed_again(s, right(s, x));
}

/* [ranks, C], of ranks that have rows. */
static ct_tensor *means_of_ranks(const split *s, ct_tensor *x) {
    ct_tensor *counts = ct_sum(rank_of_rows(s, ct_dtype_of(x)), CT_AXES(0));
    ct_tensor *sums = ct_matmul(ct_transpose(rank_of_rows(s, ct_dtype_of(x))), x);
    ct_tensor *least = ct_maximum(counts, ct_scalar(ct_dtype_of(x), 1.0));
    return ct_div(sums, ct_reshape(least, CT_SHAPE(s->ranks, 1)));
}

static ct_tensor *equal_weights(const split *s, ct_tensor *x) {
    int filled = 0;
    for (int r = 0; r < s->ranks; r++) filled += s->rows[r] > 0;
    return ct_scale(ct_sum_keep(means_of_ranks(s, x), CT_AXES(0)), 1.0 / filled);
}

static ct_tensor *not_synchronized(const split *s, ct_tensor *x) {
    return ct_matmul(rank_of_rows(s, ct_dtype_of(x)), means_of_ranks(s, x));
}

static ct_tensor *local_count(const split *s, ct_tensor *x) {
    ct_tensor *inverse = column(s, ct_dtype_of(x), own_rows(s) ? 1.0 / (double)own_rows(s) : 0);
    return ct_mul(inverse, ct_sum_keep(x, CT_AXES(0)));
}

static ct_tensor *detached(const split *s, ct_tensor *x) { return ct_stop_gradient(right(s, x)); }

/* t, whose cotangent is that of rank 0 alone. */
static ct_tensor *not_summed(const split *s, ct_tensor *t) {
    ct_dtype dtype = ct_dtype_of(t);
    ct_tensor *mine = column(s, dtype, ct_group_rank(ct_group_current()) == 0);
    ct_tensor *others = ct_sub(ct_scalar(dtype, 1.0), mine);
    return ct_add(ct_mul(mine, t), ct_mul(others, ct_stop_gradient(t)));
}

#define MUTANT(name, gamma, beta, mean)                                       \
    static ct_tensor *name(void *context, ct_tensor *const in[], int64_t n) { \
        (void)n;                                                              \
        return by_hand(context, in[0], gamma, beta, mean);                    \
    }
MUTANT(statistics_reduced_twice, in[1], in[2], own_transpose)
MUTANT(equally_weighted, in[1], in[2], equal_weights)
MUTANT(divided_by_local_count, in[1], in[2], local_count)
MUTANT(each_rank_alone, in[1], in[2], not_synchronized)
MUTANT(statistics_detached, in[1], in[2], detached)
MUTANT(parameters_reduced_twice, summed_again(context, in[1]), summed_again(context, in[2]), right)
MUTANT(not_replicated, not_summed(context, in[1]), not_summed(context, in[2]), right)

static const ct_claim_mutant mutants[] = {
    {"all_sum is its own transpose (pytorch#58005)", statistics_reduced_twice, NULL, 1, NULL},
    {"gamma and beta are reduced twice (nnabla#1120)", parameters_reduced_twice, NULL, 1, NULL},
    {"gamma and beta are not replicated: the gradients of one rank", not_replicated, NULL, 1, NULL},
    {"sums over all ranks by the rows of one (apex#387)", divided_by_local_count, NULL, 1, NULL},
    {"each rank by itself", each_rank_alone, NULL, 1, NULL},
    {"statistics are summed forward alone", statistics_detached, NULL, 1, NULL},
    /* Right for ranks of equal rows, so the last one. */
    {"the mean of the ranks' means (pytorch#36382)", equally_weighted, NULL, 1, NULL},
};
enum { MUTANTS = sizeof mutants / sizeof *mutants };

static const ct_claim_input inputs[] = {{.name = "x", .shape = {2, {ROWS, 2}}},
                                        {.name = "gamma", .shape = {1, {2}}},
                                        {.name = "beta", .shape = {1, {2}}}};

#define CLAIM(claim_name, of, n, says)                                                        \
    {                                                                                         \
        .name = claim_name, .f = sync_batch_norm, .closed = closed, .context = (void *)&(of), \
        .inputs = inputs, .n_inputs = 3, .mutants = mutants, .n_mutants = n,                  \
        .conventions = "BatchNorm on " says,                                                  \
    }
static const split halves = {2, {4, 4}}, quarters = {4, {2, 2, 2, 2}}, unequal = {4, {5, 1, 2, 0}};
const ct_claim rank_claims[RANK_CLAIMS] = {
    CLAIM("sync_batch_norm_4_4", halves, MUTANTS - 1, "2 ranks of 4 rows"),
    CLAIM("sync_batch_norm_2_2_2_2", quarters, MUTANTS - 1, "4 ranks of 2 rows"),
    CLAIM("sync_batch_norm_5_1_2_0", unequal, MUTANTS, "4 ranks of 5, 1, 2 and no rows"),
};

/* --- Processes -------------------------------------------------------------------------------- */

typedef int socket_table[MOST_RANKS][MOST_RANKS]; /* [r][q]: of rank r, to rank q */

/* Those of all ranks but one, or of all for -1. */
static void close_others(const split *s, socket_table sockets, int rank) {
    for (int r = 0; r < s->ranks; r++) {
        for (int q = 0; q < s->ranks; q++) {
            if (r != rank && sockets[r][q] >= 0) close(sockets[r][q]);
        }
    }
}

static bool join(const split *s, socket_table sockets) {
    bool joined = true;
    for (int r = 0; r < s->ranks; r++) {
        sockets[r][r] = -1;
        for (int q = 0; q < r; q++) {
            int pair[2] = {-1, -1};
            joined &= socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
            sockets[r][q] = pair[0], sockets[q][r] = pair[1];
        }
    }
    return joined;
}

/* What one rank does; it keeps no socket between two others, so that the end of one is seen. */
static ct_status verify_here(const ct_claim *claim, ct_verify_options options,
                             ct_verify_report *report, int rank, socket_table sockets) {
    const split *s = claim->context;
    close_others(s, sockets, rank);
    ct_group *group = ct_group_sockets(rank, s->ranks, sockets[rank]);
    ct_group_options grains = {.grains = GRAINS};
    ct_status status = group ? ct_group_use(group, grains) : ct_error();
    if (status == CT_OK) status = ct_verify(claim, options, report);
    ct_group_free(group);
    return status;
}

/* The other ranks, as processes; a rank that was not started is seen by all others. */
static bool start(const ct_claim *claim, ct_verify_options options, socket_table sockets,
                  pid_t process[]) {
    const split *s = claim->context;
    bool started = true;
    for (int r = 1; r < s->ranks; r++) {
        process[r] = fork();
        if (process[r] == 0) {
            ct_verify_report report;
            ct_status status = verify_here(claim, options, &report, r, sockets);
            if (status != CT_OK) fprintf(stderr, "verify: rank %d: %s\n", r, ct_error_message());
            _exit(status == CT_OK && report.passed ? 0 : 1);
        }
        started &= process[r] > 0;
    }
    return started;
}

ct_status verify_on_ranks(const ct_claim *claim, ct_verify_options options,
                          ct_verify_report *report) {
    const split *s = claim->context;
    socket_table sockets;
    pid_t process[MOST_RANKS] = {0};
    *report = (ct_verify_report){0};
    bool joined = join(s, sockets), started = joined && start(claim, options, sockets, process);
    ct_status status = CT_OK;
    if (started) status = verify_here(claim, options, report, 0, sockets);
    else close_others(s, sockets, -1);
    for (int r = 1; r < s->ranks; r++) {
        int ended = 0;
        if (process[r] <= 0 || waitpid(process[r], &ended, 0) != process[r]) continue;
        if (status != CT_OK || (ended == 0) == report->passed) continue;
        status = ct_fail(CT_ERR_STATE, "verify: rank %d of %d found another verdict", r, s->ranks);
    }
    if (!started && status == CT_OK) status = ct_fail(CT_ERR_IO, "verify: no processes for ranks");
    if (status != CT_OK) ct_verify_free(report);
    return status;
}
