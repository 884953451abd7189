/* Tensors that vary between ranks: sums over the batch of all ranks, and what follows from them.
 * Ranks are threads here, joined by socket pairs.
 * Invariant: what ranks compute is what one process computes of the whole batch: exactly in p61,
 * and in f32 with the same bits for any number of ranks. */
#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/stage.h"
#include "tensor/group.h"
#include "tensor/p61.h"
#include "tensor/runtime.h"
#include "tensor/varying.h"
#include "tests/support/test.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SEED_OF_SQUARES 3 /* of which variances have a root in p61 */
enum { MOST = 8, N = 8, C = 3, RESULTS = 4096 };

/* Rows of each rank; a rank's result. */
typedef struct world world;
typedef struct {
    world *world;
    int rank;
    int64_t first, rows, n;
    double results[RESULTS];
    ct_status status;
    char error[512];
} rank;
struct world {
    int size, grains;
    ct_dtype dtype;
    bool plain; /* one process without a group, to which nothing varies */
    int sockets[MOST][MOST];
    void (*body)(rank *me);
    rank ranks[MOST];
};

static void *run_rank(void *argument) {
    rank *me = argument;
    world *w = me->world;
    ct_group *group = ct_group_sockets(me->rank, w->size, w->sockets[me->rank]);
    ct_group_options options = {.grains = w->grains, .timeout = 20};
    ct_threads_set(1);
    int64_t scope = ct_scope_open();
    if (group && ct_group_use(group, options) == CT_OK) w->body(me);
    me->status = ct_error();
    snprintf(me->error, sizeof me->error, "%s", ct_error_message());
    ct_scope_close(scope);
    ct_group_free(group);
    return NULL;
}

static world *run(int size, int grains, const int64_t rows[], ct_dtype dtype,
                  void (*body)(rank *me)) {
    world *w = calloc(1, sizeof *w);
    *w = (world){.size = size, .grains = grains, .dtype = dtype, .body = body};
    for (int a = 0; a < size; a++) {
        for (int b = 0; b < a; b++) {
            int pair[2];
            REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
            w->sockets[a][b] = pair[0];
            w->sockets[b][a] = pair[1];
        }
    }
    pthread_t threads[MOST];
    int64_t first = 0;
    for (int r = 0; r < size; r++) {
        w->ranks[r] = (rank){.world = w, .rank = r, .first = first, .rows = rows[r]};
        first += rows[r];
        REQUIRE(pthread_create(&threads[r], NULL, run_rank, &w->ranks[r]) == 0);
    }
    for (int r = 0; r < size; r++) pthread_join(threads[r], NULL);
    return w;
}

static void expect_well(const world *w) {
    for (int r = 0; r < w->size; r++) {
        EXPECT(w->ranks[r].status == CT_OK, "rank %d of %d: %s", r, w->size, w->ranks[r].error);
    }
}

/* --- What a rank computes --------------------------------------------------------------------- */

/* Rows of a global tensor that differ in all elements. */
static ct_tensor *rows_of(const rank *me, int64_t columns, int seed) {
    double data[64 * 16];
    for (int64_t i = 0; i < me->rows * columns; i++) {
        int64_t at = me->first * columns + i;
        data[i] = (double)((at * at * 7 + at * 5 + seed * 11) % 23 - 9) / 4;
    }
    ct_tensor *t = ct_from(CT_F64, CT_SHAPE(me->rows, columns), data);
    t = ct_cast(t, me->world->dtype);
    return me->world->plain ? t : ct_varying(t, 0);
}

static ct_tensor *parameter(const rank *me, ct_shape shape, int seed) {
    double data[256];
    for (int64_t i = 0; i < ct_shape_numel(shape); i++) {
        data[i] = (double)((i * 5 + seed * 3) % 11 - 4) / 8;
    }
    return ct_cast(ct_from(CT_F64, shape, data), me->world->dtype);
}

/* In p61 the residue counts, as whole numbers of less than 2^31. */
static void note(rank *me, ct_tensor *t) {
    const void *data = t ? ct_data(t) : NULL;
    if (!data) return;
    for (int64_t i = 0; i < ct_numel(t); i++) {
        if (me->world->dtype == CT_F32) me->results[me->n++] = (double)((const float *)data)[i];
        if (me->world->dtype == CT_F64) me->results[me->n++] = ((const double *)data)[i];
        if (me->world->dtype != CT_P61) continue;
        uint64_t residue = ((const ct_p61 *)data)[i].field;
        EXPECT(residue < CT_P61_PRIME, "number %lld has no value", (long long)me->n);
        me->results[me->n++] = (double)(residue >> 31);
        me->results[me->n++] = (double)(residue & 0x7fffffff);
    }
}

/* Results of varying tensors are the rows of all ranks. */
static void expect_same(const world *a, const world *b, double tolerance) {
    int64_t n = a->ranks[0].n;
    EXPECT(n > 0 && b->ranks[0].n == n, "%lld and %lld numbers", (long long)n,
           (long long)b->ranks[0].n);
    for (int r = 0; r < b->size; r++) {
        for (int64_t i = 0; i < n; i++) {
            double x = a->ranks[0].results[i], y = b->ranks[r].results[i];
            EXPECT(fabs(x - y) <= tolerance, "number %lld on rank %d of %d: %.17g, not %.17g",
                   (long long)i, r, b->size, y, x);
        }
    }
}

/* --- Certificate: the same as one rank -------------------------------------------------------- */

/* All that ranks hold differently comes together in replicated numbers: of a varying t the sums of
 * t times two weights that differ in each element. */
static void note_varying(rank *me, ct_tensor *t) {
    int64_t columns = ct_dim(t, 1);
    for (int seed = 5; seed < 7; seed++) {
        note(me, ct_sum(ct_mul(t, rows_of(me, columns, seed)), CT_AXES(0)));
    }
}

static void batch_norm(rank *me) {
    ct_tensor *x = rows_of(me, C, SEED_OF_SQUARES), *weights = rows_of(me, C, 2), *g[4], *second[4];
    ct_tensor *gamma = parameter(me, CT_SHAPE(C), 1), *beta = parameter(me, CT_SHAPE(C), 2);
    ct_tensor *mean, *variance;
    ct_tensor *y = ct_batch_norm(x, gamma, beta, 1, 0, &mean, &variance);
    note(me, mean);
    note(me, variance);
    note_varying(me, y);
    ct_tensor *loss = ct_sum_all(ct_mul(ct_mul(y, y), weights)), *in[] = {x, gamma, beta, weights};
    note(me, loss);
    ct_grad(loss, in, 4, g);
    note_varying(me, g[0]);
    note(me, g[1]);
    note(me, g[2]);
    note_varying(me, g[3]);
    ct_tensor *along = ct_sum_all(ct_mul(g[0], rows_of(me, C, 3)));
    ct_tensor *of_gamma = ct_sum_all(ct_mul(g[1], parameter(me, CT_SHAPE(C), 7)));
    ct_grad(ct_add(along, of_gamma), in, 4, second);
    note_varying(me, second[0]);
    note(me, second[1]);
    note(me, second[2]);
    note_varying(me, second[3]);
}

static const int64_t whole[] = {8}, halves[] = {4, 4}, quarters[] = {2, 2, 2, 2},
                     unequal[] = {5, 1, 2, 0}, thirds[] = {3, 3, 2};

/* What one process computes of the whole batch by ordinary ops. */
static world *plain(ct_dtype dtype, void (*body)(rank *me)) {
    world *w = calloc(1, sizeof *w);
    *w = (world){.size = 1, .dtype = dtype, .plain = true};
    w->ranks[0] = (rank){.world = w, .rows = N};
    body(&w->ranks[0]);
    EXPECT(ct_error() == CT_OK, "%s", ct_error_message());
    return w;
}

static void same_as_one_process(void (*body)(rank *me)) {
    world *one = plain(CT_P61, body);
    struct {
        int size;
        const int64_t *rows;
    } const cases[] = {{1, whole}, {2, halves}, {4, quarters}, {4, unequal}, {3, thirds}};
    for (int k = 0; k < 5; k++) {
        world *many = run(cases[k].size, 4, cases[k].rows, CT_P61, body);
        expect_well(many);
        expect_same(one, many, 0);
        free(many);
    }
    free(one);
}

/* The rows of grains: ceil(N g / G). */
static void same_bits_for_any_ranks(void (*body)(rank *me)) {
    world *one = run(1, 8, whole, CT_F32, body);
    expect_well(one);
    const int64_t by_grains[] = {3, 3, 2}, ones[] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct {
        int size;
        const int64_t *rows;
    } const cases[] = {{2, halves}, {3, by_grains}, {4, quarters}, {8, ones}};
    for (int k = 0; k < 4; k++) {
        world *many = run(cases[k].size, 8, cases[k].rows, CT_F32, body);
        expect_well(many);
        expect_same(one, many, 0);
        free(many);
    }
    free(one);
}

TEST(varying, batch_norm_is_that_of_the_global_batch) {
    same_as_one_process(batch_norm);
    same_bits_for_any_ranks(batch_norm);
}

/* With a group or without, to rounding: varying or not. */
static void close_to_one_process(void (*body)(rank *me), double tolerance) {
    world *one = plain(CT_F64, body), *many = run(4, 4, unequal, CT_F64, body);
    expect_well(many);
    expect_same(one, many, tolerance);
    world none = {.size = 1, .dtype = CT_F64};
    none.ranks[0] = (rank){.world = &none, .rows = N};
    body(&none.ranks[0]);
    expect_same(one, &none, tolerance);
    free(one);
    free(many);
}

TEST(varying, without_a_group_the_batch_is_whole) { close_to_one_process(batch_norm, 1e-12); }

/* Two dense layers. */
static void dense(rank *me) {
    ct_tensor *x = rows_of(me, C, 1), *target = rows_of(me, 2, 2), *g[5], *second[5];
    ct_tensor *in[] = {x, parameter(me, CT_SHAPE(C, 4), 1), parameter(me, CT_SHAPE(4), 2),
                       parameter(me, CT_SHAPE(4, 2), 3), parameter(me, CT_SHAPE(2), 4)};
    ct_tensor *h = ct_add(ct_matmul(x, in[1]), in[2]);
    ct_tensor *y = ct_add(ct_matmul(ct_mul(h, h), in[3]), in[4]);
    ct_tensor *loss = ct_mean_all(ct_square(ct_sub(y, target)));
    note(me, loss);
    ct_grad(loss, in, 5, g);
    note_varying(me, g[0]);
    for (int k = 1; k < 5; k++) note(me, g[k]);
    ct_tensor *sum = ct_add(ct_sum_all(ct_square(g[1])), ct_sum_all(ct_square(g[3])));
    ct_grad(ct_add(sum, ct_sum_all(ct_square(g[0]))), in, 5, second);
    note_varying(me, second[0]);
    for (int k = 1; k < 5; k++) note(me, second[k]);
}

TEST(varying, gradients_of_dense_layers_are_those_of_the_global_loss) {
    same_as_one_process(dense);
    same_bits_for_any_ranks(dense);
}

/* --- Training --------------------------------------------------------------------------------- */

enum { SLOTS = 5, STEPS = 20 };

/* Dense, BatchNorm, dense: a step of gradient descent. */
static void step(const rank *me, ct_slot *const slots[SLOTS]) {
    ct_tensor *w[SLOTS], *g[SLOTS];
    for (int k = 0; k < SLOTS; k++) w[k] = ct_slot_read(slots[k]);
    ct_tensor *h = ct_matmul(rows_of(me, C, 1), w[0]);
    h = ct_tanh(ct_batch_norm(h, w[1], w[2], 1, 1e-3, NULL, NULL));
    ct_tensor *y = ct_add(ct_matmul(h, w[3]), w[4]);
    ct_tensor *loss = ct_mean_all(ct_square(ct_sub(y, rows_of(me, 2, 2))));
    ct_grad(loss, w, SLOTS, g);
    ct_update updates[SLOTS];
    for (int k = 0; k < SLOTS; k++) {
        updates[k] = (ct_update){slots[k], ct_sub(w[k], ct_scale(g[k], 0.05))};
    }
    ct_commit(&loss, 1, updates, SLOTS);
}

static void train(rank *me) {
    const ct_shape shapes[SLOTS] = {CT_SHAPE(C, 4), CT_SHAPE(4), CT_SHAPE(4), CT_SHAPE(4, 2),
                                    CT_SHAPE(2)};
    ct_slot *slots[SLOTS];
    for (int k = 0; k < SLOTS; k++) slots[k] = ct_slot_new("w", parameter(me, shapes[k], k));
    for (int k = 0; k < STEPS; k++) {
        int64_t scope = ct_scope_open();
        step(me, slots);
        ct_scope_close(scope);
    }
    for (int k = 0; k < SLOTS; k++) {
        note(me, ct_slot_read(slots[k]));
        ct_slot_drop(slots[k]);
    }
}

TEST(varying, training_gives_the_same_bits_on_any_number_of_ranks) {
    same_bits_for_any_ranks(train);
    close_to_one_process(train, 1e-12);
}

/* --- The two primitives ----------------------------------------------------------------------- */

/* <all_sum x, y> = <x, replicate y>, and the derivative of one is the other. */
static void transposes(rank *me) {
    ct_tensor *y = parameter(me, CT_SHAPE(C), 3), *grain = ct_replicate(y), *g[2];
    ct_tensor *x = ct_mul(grain, ct_replicate(parameter(me, CT_SHAPE(C), 4)));
    note(me, ct_sum_all(ct_mul(ct_all_sum(x), y)));
    note(me, ct_sum_all(ct_mul(x, ct_replicate(y))));
    ct_grad(ct_sum_all(ct_square(ct_all_sum(ct_mul(x, grain)))), &y, 1, g);
    note(me, g[0]);
}

TEST(varying, all_sum_and_replicate_are_transposes) {
    same_bits_for_any_ranks(transposes);
    world *w = run(2, 4, halves, CT_F64, transposes);
    expect_well(w);
    EXPECT(fabs(w->ranks[0].results[0] - w->ranks[0].results[1]) < 1e-14);
    free(w);
}

/* --- Errors ----------------------------------------------------------------------------------- */

static void mixed(rank *me) { ct_mul(rows_of(me, C, 1), parameter(me, CT_SHAPE(4, C), 1)); }
static void read_item(rank *me) { ct_item(ct_reshape(rows_of(me, 1, 1), CT_SHAPE(me->rows))); }
static void largest(rank *me) { ct_max(rows_of(me, C, 1), CT_AXES(0)); }
static void first_row(rank *me) { ct_slice(rows_of(me, C, 1), 0, 0, 1, 1); }
static void rows_summed(rank *me) { ct_all_sum(rows_of(me, C, 1)); }
static void contracted(rank *me) { ct_matmul(parameter(me, CT_SHAPE(2, 4), 1), rows_of(me, C, 1)); }
static void written(rank *me) {
    ct_slot *slot = ct_slot_new("rows", parameter(me, CT_SHAPE(4, C), 1));
    ct_slot_write(slot, ct_cast(rows_of(me, C, 1), CT_F32));
    ct_slot_drop(slot);
}
static void derived(rank *me) {
    ct_tensor *x = rows_of(me, 1, 1), *g;
    ct_grad(x, &x, 1, &g);
}

static void expect_refused(int64_t rows, void (*body)(rank *me), const char *text) {
    world *w = run(2, 4, (int64_t[]){rows, rows}, CT_F64, body);
    for (int r = 0; r < 2; r++) {
        EXPECT(w->ranks[r].status != CT_OK && strstr(w->ranks[r].error, text),
               "rank %d: no \"%s\" in \"%s\"", r, text, w->ranks[r].error);
    }
    free(w);
}

TEST(varying, what_cannot_be_meant_is_an_error) {
    expect_refused(4, mixed, "ct_mul: an operand [4,3] is the same on all ranks, the other one");
    expect_refused(1, read_item, "ct_item: the tensor varies between ranks along axis 0");
    expect_refused(4, largest, "ct_max: operand 1 [4,3] varies between ranks along axis 0");
    expect_refused(4, first_row, "ct_slice: operand 1 [4,3] varies between ranks along axis 0");
    expect_refused(4, rows_summed, "ct_all_sum: x [4,3] has not one row for each grain");
    expect_refused(4, contracted, "ct_matmul: operand 2 [4,3] varies between ranks along axis 0");
    expect_refused(4, written, "ct_slot_write: 'rows' is the same on all ranks");
    expect_refused(1, derived, "ct_grad: y varies between ranks along axis 0");
}

/* --- Faults ----------------------------------------------------------------------------------- */

static void other_graph(rank *me) {
    ct_tensor *x = rows_of(me, C, 1);
    ct_data(ct_sum_all(me->rank == 1 ? ct_exp(x) : ct_log(x)));
}

static void other_columns(rank *me) { rows_of(me, C + me->rank, 1); }

TEST(varying, ranks_with_different_graphs_get_an_error) {
    expect_refused(4, other_graph, "another");
    expect_refused(4, other_columns, "another");
}

/* Rank 1 has no loss, as after an error: no rank's slot changes, and none waits. */
static void commit_with_one_failed(rank *me) {
    ct_slot *slot = ct_slot_new("w", parameter(me, CT_SHAPE(C), 1));
    ct_tensor *loss = ct_sum_all(ct_mul(rows_of(me, C, 1), ct_slot_read(slot)));
    ct_update update = {slot, ct_slot_read(slot)};
    ct_tensor *w = ct_slot_read(slot), *g;
    ct_grad(loss, &w, 1, &g);
    update.value = me->rank == 1 ? NULL : ct_sub(w, g);
    EXPECT(ct_commit(&loss, 1, &update, 1) != CT_OK, "rank %d", me->rank);
    EXPECT(ct_slot_read(slot) == w, "rank %d", me->rank);
    ct_slot_drop(slot);
}

TEST(varying, a_commit_that_fails_on_one_rank_changes_nothing_on_any) {
    world *w = run(2, 4, halves, CT_F64, commit_with_one_failed);
    EXPECT(w->ranks[0].status != CT_OK && w->ranks[1].status != CT_OK);
    free(w);
    w = run(3, 4, thirds, CT_F64, commit_with_one_failed);
    EXPECT(w->ranks[0].status != CT_OK && w->ranks[1].status != CT_OK);
    free(w);
}
