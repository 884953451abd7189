/* Tensors that vary between ranks: sums over the batch of all ranks, and what follows from them.
 * Ranks are threads here, joined by socket pairs.
 * Invariant: what ranks compute is what one process computes of the whole batch: exactly in p61,
 * and in f32 with the same bits for any number of ranks.
 * Wrong rules that these suites have to see are in tests/library/mutants.sh. */
#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/stage.h"
#include "datasets/datasets.h"
#include "tensor/group.h"
#include "tensor/runtime.h"
#include "tensor/varying.h"
#include "tests/support/test.h"
#include "tests/support/varying_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_OF_SQUARES 3 /* of which variances have a root in p61 */

enum { C = 3 };

static void batch_norm(rank *me) {
    ct_tensor *x = rows_of(me, C, SEED_OF_SQUARES), *weights = rows_of(me, C, 2);
    ct_tensor *g[4], *second[4], *third[4];
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
    ct_tensor *back = ct_sum_all(ct_mul(second[0], rows_of(me, C, 4)));
    of_gamma = ct_sum_all(ct_mul(second[1], parameter(me, CT_SHAPE(C), 8)));
    ct_grad(ct_add(back, of_gamma), in, 4, third);
    note_varying(me, third[0]);
    note(me, third[1]);
    note(me, third[2]);
    note_varying(me, third[3]);
}

TEST(varying, batch_norm_is_that_of_the_global_batch) {
    same_as_one_process(batch_norm);
    same_bits_for_any_ranks(batch_norm);
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

/* Rows behind an axis of products, on either side. */
static void products(rank *me) {
    ct_tensor *x = rows_of(me, 6, 1), *g[3], *second[3];
    ct_tensor *in[] = {x, parameter(me, CT_SHAPE(3, 2), 1), parameter(me, CT_SHAPE(2, 4, 6), 2)};
    ct_tensor *apart = ct_permute(ct_reshape(x, CT_SHAPE(me->rows, 2, 3)), CT_AXES(1, 0, 2));
    ct_tensor *y = ct_permute(ct_matmul(apart, in[1]), CT_AXES(1, 0, 2));           /* [N,2,2] */
    ct_tensor *z = ct_permute(ct_matmul(in[2], ct_transpose(x)), CT_AXES(2, 0, 1)); /* [N,2,4] */
    ct_tensor *both = ct_matmul(ct_permute(ct_square(y), CT_AXES(1, 2, 0)),
                                ct_permute(z, CT_AXES(1, 0, 2))); /* [2,2,4] */
    ct_tensor *loss = ct_sum_all(ct_square(both));
    note(me, both);
    ct_grad(loss, in, 3, g);
    note_varying(me, g[0]);
    note(me, g[1]);
    note(me, g[2]);
    ct_grad(ct_add(ct_sum_all(ct_square(g[1])), ct_sum_all(ct_square(g[2]))), in, 3, second);
    note_varying(me, second[0]);
    note(me, second[1]);
    note(me, second[2]);
}

TEST(varying, products_of_rows_along_any_axis) {
    same_as_one_process(products);
    same_bits_for_any_ranks(products);
}

/* A row is summed in parts, as many on a rank of one row as on one of all. */
static void long_rows(rank *me) {
    ct_tensor *x = ct_reshape(rows_of(me, 6, 1), CT_SHAPE(me->rows, 6, 1, 1));
    ct_tensor *wide = ct_broadcast(parameter(me, CT_SHAPE(200), 2), CT_SHAPE(250, 200));
    note_varying(me, ct_sum(ct_sin(ct_mul(x, wide)), CT_AXES(2, 3)));
}

TEST(varying, rows_of_many_elements_have_the_same_bits) { same_bits_for_any_ranks(long_rows); }

/* Sums over axes in front of that of the rows, with it and without. */
static void columns_in_front(rank *me) {
    enum { LONG = 120 };
    ct_tensor *x = rows_of(me, LONG, 1), *y = ct_reshape(x, CT_SHAPE(me->rows, 2, LONG / 2));
    ct_tensor *sums = ct_sum(ct_reciprocal(ct_offset(ct_transpose(x), 20)), CT_AXES(0));
    note_varying(me, ct_reshape(sums, CT_SHAPE(me->rows, 1)));
    y = ct_reciprocal(ct_offset(ct_permute(y, CT_AXES(1, 2, 0)), 20));
    note(me, ct_sum(y, CT_AXES(1, 2)));
    note(me, ct_sum_all(y));
}

TEST(varying, sums_in_front_of_rows_have_the_same_bits) {
    same_bits_for_any_ranks(columns_in_front);
    same_as_one_process(columns_in_front);
}

/* Along rows and a weight at once, of rows and of one number. */
static void directions(rank *me) {
    ct_tensor *x[] = {rows_of(me, C, 1), parameter(me, CT_SHAPE(C), 1)};
    ct_tensor *v[] = {rows_of(me, C, 2), parameter(me, CT_SHAPE(C), 2)};
    ct_tensor *y = ct_mul(ct_square(ct_sub(x[0], ct_mean(x[0], CT_AXES(0)))), x[1]);
    note_varying(me, ct_jvp(y, x, v, 2));
    note(me, ct_jvp(ct_mean_all(y), x, v, 2));
}

TEST(varying, forward_derivatives_of_rows_are_rows) {
    same_as_one_process(directions);
    same_bits_for_any_ranks(directions);
}

/* --- Plans ------------------------------------------------------------------------------------ */

/* The phase of a pass, and the number of passes of a phase, from the schedule of a plan's text. */
static int phase_of(const char *schedule, int pass, int phase, int *n) {
    int at, of, found = -1;
    *n = 0;
    for (const char *line = schedule; (line = strstr(line, "  phase ")); line++) {
        if (sscanf(line, "  phase %d: pass %d", &at, &of) != 2) continue;
        if (of == pass) found = at;
        *n += at == phase;
    }
    return found;
}

/* Notes how many exchanges there are, and beside how many of them something is computed. */
static void note_plan(rank *me, ct_tensor *const roots[], int n) {
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out || ct_plan_write(out, roots, n) != CT_OK) return;
    fclose(out);
    const char *schedule = strstr(text, "schedule:");
    int pass = -1, exchanges = 0, beside = 0, passes;
    char *rest, *line = strtok_r(text, "\n", &rest);
    for (; line && line < schedule; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "pass ", 5) == 0) pass++;
        if (!strstr(line, "exchange all_sum")) continue;
        int phase = phase_of(schedule, pass, -1, &passes);
        phase_of(schedule, pass, phase, &passes);
        exchanges++;
        beside += passes > 1;
    }
    me->results[me->n++] = exchanges;
    me->results[me->n++] = beside;
    free(text);
}

/* Dense and BatchNorm, twice. */
static void gradients(rank *me) {
    ct_tensor *in[] = {parameter(me, CT_SHAPE(C, 4), 1), parameter(me, CT_SHAPE(4), 1),
                       parameter(me, CT_SHAPE(4, 5), 2), parameter(me, CT_SHAPE(5), 2)};
    ct_tensor *h = rows_of(me, C, 1), *roots[5];
    for (int k = 0; k < 4; k += 2) {
        h = ct_batch_norm(ct_matmul(h, in[k]), in[k + 1], in[k + 1], 1, 1e-3, NULL, NULL);
    }
    roots[4] = ct_mean_all(ct_exp(h));
    ct_grad(roots[4], in, 4, roots);
    note_plan(me, roots, 5);
}

/* Of two layers two forward and one backward each; gradients of weights wait for a later one. */
TEST(varying, kernels_are_computed_beside_exchanges) {
    static const int64_t rows[] = {4, 4};
    world *w = world_run(2, 2, rows, CT_F64, gradients);
    expect_well(w);
    for (int r = 0; r < 2; r++) {
        const double *found = w->ranks[r].results;
        EXPECT(found[0] == 7 && found[1] > 0, "%g exchanges, %g beside work", found[0], found[1]);
    }
    free(w);
}

/* --- Who disagrees ---------------------------------------------------------------------------- */

/* The sum of a batch of six items on rank 0, of four on the other. */
static void other_batch(rank *me) {
    ct_tensor *items = ct_full(me->world->dtype, CT_SHAPE(me->rank ? 4 : 6, C), 1);
    ct_batch batch;
    ct_source *source = ct_batches_new(items, items, (ct_batches_options){.size = 8});
    if (source && ct_source_next(source, &batch) == CT_OK) note(me, ct_sum_all(batch.x));
    ct_source_free(source);
}

TEST(varying, a_batch_has_as_many_rows_to_all_ranks) {
    expect_refused(4, other_batch,
                   "a batch of 4 rows, number 0 of epoch 0 in place of a batch of 6 rows, number 0 "
                   "of epoch 0");
}

/* On rank 1 an op of the same shapes has another attribute. */
static void other_numbers(rank *me) {
    note(me, ct_sum_all(ct_slice(rows_of(me, 4, 1), 1, me->rank, me->rank + 2, 1)));
}
static void other_axis(rank *me) {
    ct_tensor *x = ct_reshape(rows_of(me, 4, 1), CT_SHAPE(me->rows, 2, 2));
    note(me, ct_sum_all(ct_max(x, CT_AXES(1 + me->rank))));
}
static void other_weights(rank *me) {
    ct_tensor *weights = ct_slice(parameter(me, CT_SHAPE(5), 1), 0, me->rank, me->rank + 4, 1);
    note(me, ct_sum_all(ct_mul(rows_of(me, 4, 1), weights)));
}
/* ... or rows have as many numbers, in another shape. */
static void other_shape(rank *me) {
    ct_tensor *x = ct_reshape(rows_of(me, 6, 1), CT_SHAPE(me->rows, 2 + me->rank, 3 - me->rank));
    note(me, ct_sum_all(ct_mean(ct_exp(x), CT_AXES(1, 2))));
}

TEST(varying, graphs_differ_where_attributes_or_rows_do) {
    static void (*const bodies[])(rank *) = {other_numbers, other_axis, other_weights, other_shape};
    for (int k = 0; k < 4; k++) expect_refused(4, bodies[k], "built another graph");
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

/* A row for each grain, so that all_sum takes rows; and what the whole batch has, by plain loops.
 * All numbers are multiples of 1/32 and small, so no sum of them is rounded. */
typedef struct {
    ct_tensor *x, *y;
    double row[WORLD_ROWS][C], of[C], sum[C], inner; /* x, y, x summed over the rows, <x, y> */
} pair;

static pair pair_of(const rank *me) {
    world one;
    rank *all = world_plain(&one, CT_F64);
    pair p = {rows_of(me, C, 1), parameter(me, CT_SHAPE(C), 3), .inner = 0};
    memcpy(p.row, ct_data(rows_of(all, C, 1)), sizeof p.row);
    memcpy(p.of, ct_data(p.y), sizeof p.of);
    for (int g = 0; g < WORLD_ROWS; g++) {
        for (int c = 0; c < C; c++) {
            p.sum[c] += p.row[g][c];
            p.inner += p.row[g][c] * p.of[c];
        }
    }
    return p;
}

/* t has c numbers for each of this rank's rows, if it varies, and then each row is the same. */
static void expect_numbers(const rank *me, const char *what, ct_tensor *t, const double wanted[C]) {
    int64_t rows = ct_varying_axis(t) == 0 ? me->rows : 1;
    const double *found = t ? ct_data(ct_own_rows(t)) : NULL;
    if (!EXPECT(found && ct_numel(t) == rows * C, "%s on rank %d", what, me->rank)) return;
    for (int64_t i = 0; i < rows * C; i++) {
        EXPECT(found[i] == wanted[i % C], "%s, number %lld on rank %d of %d: %.17g, not %.17g",
               what, (long long)i, me->rank, me->world->size, found[i], wanted[i % C]);
    }
}

/* What each is, and that the VJP of each is the other. */
static void vjps(rank *me) {
    pair p = pair_of(me);
    ct_tensor *sum = ct_all_sum(p.x), *copies = ct_replicate(p.y), *g = NULL;
    EXPECT(ct_varying_axis(sum) == -1 && ct_varying_axis(copies) == 0, "rank %d", me->rank);
    expect_numbers(me, "all_sum x", sum, p.sum);
    expect_numbers(me, "replicate y", copies, p.of);
    ct_vjp(sum, p.y, &p.x, 1, &g);
    EXPECT(ct_varying_axis(g) == 0, "rank %d", me->rank);
    expect_numbers(me, "the VJP of all_sum of y", g, p.of);
    ct_vjp(copies, p.x, &p.y, 1, &g);
    EXPECT(ct_varying_axis(g) == -1, "rank %d", me->rank);
    expect_numbers(me, "the VJP of replicate of x", g, p.sum);
}

/* Derivatives of both inner products with respect to both operands. Of their product, p^2, the
 * gradient to y is 2 p X, where X is x summed over the rows, and that of <2 p X, y> is 4 p X. */
static void inner_products(rank *me) {
    pair p = pair_of(me);
    ct_tensor *in[] = {p.x, p.y}, *g[2], *second;
    ct_tensor *product[] = {ct_sum_all(ct_mul(ct_all_sum(p.x), p.y)),
                            ct_sum_all(ct_mul(p.x, ct_replicate(p.y)))};
    double of_squares[C], twice[C];
    for (int c = 0; c < C; c++)
        of_squares[c] = 2 * p.inner * p.sum[c], twice[c] = 2 * of_squares[c];
    for (int k = 0; k < 2; k++) {
        double inner = ct_item(product[k]);
        EXPECT(inner == p.inner, "product %d on rank %d: %.17g, not %.17g", k, me->rank, inner,
               p.inner);
        ct_grad(product[k], in, 2, g);
        expect_numbers(me, "a gradient to x", g[0], p.of);
        expect_numbers(me, "a gradient to y", g[1], p.sum);
    }
    ct_grad(ct_mul(product[0], product[1]), &p.y, 1, g);
    expect_numbers(me, "the gradient of a square", g[0], of_squares);
    ct_grad(ct_sum_all(ct_mul(g[0], p.y)), &p.y, 1, &second);
    expect_numbers(me, "the gradient of that", second, twice);
}

/* <all_sum x, y> = <x, replicate y>, against the inner products of the whole batch. */
TEST(varying, all_sum_and_replicate_are_transposes) {
    static void (*const bodies[])(rank *) = {vjps, inner_products};
    static const int64_t rows[][WORLD_MOST] = {
        {8}, {4, 4}, {3, 3, 2}, {2, 2, 2, 2}, {1, 1, 1, 1, 1, 1, 1, 1}};
    static const int sizes[] = {1, 2, 3, 4, 8};
    for (int k = 0; k < 10; k++) {
        world *w = world_run(sizes[k / 2], WORLD_ROWS, rows[k / 2], CT_F64, bodies[k % 2]);
        expect_well(w);
        free(w);
    }
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

/* Two batches, of which the last ranks have the same rows and the first ones others: what follows
 * from their shapes alone is equal on some ranks, and one node on none. */
static void two_batches(rank *me) {
    static const int64_t rows[] = {1, 5, 2, 0}, first[] = {0, 1, 6, 8};
    ct_tensor *x[2], *g[2], *w = parameter(me, CT_SHAPE(C), 1);
    x[0] = rows_of(me, C, 1);
    me->rows = rows[me->rank];
    me->first = first[me->rank];
    x[1] = rows_of(me, C, 2);
    for (int k = 0; k < 2; k++) ct_grad(ct_sum_all(ct_mul(x[k], w)), &x[k], 1, &g[k]);
    note(me, ct_sub(ct_sum_all(ct_exp(g[0])), ct_sum_all(ct_exp(g[1]))));
}

TEST(varying, batches_that_lie_alike_on_some_ranks_are_two_on_all) {
    world *w = world_run(4, 4, (int64_t[]){5, 1, 2, 0}, CT_F64, two_batches);
    expect_well(w);
    for (int r = 0; r < 4; r++) {
        EXPECT(w->ranks[r].n == 1 && fabs(w->ranks[r].results[0]) < 1e-12, "rank %d", r);
    }
    free(w);
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
    world *w = world_run(2, 4, (int64_t[]){4, 4}, CT_F64, commit_with_one_failed);
    EXPECT(w->ranks[0].status != CT_OK && w->ranks[1].status != CT_OK);
    free(w);
    w = world_run(3, 4, (int64_t[]){3, 3, 2}, CT_F64, commit_with_one_failed);
    EXPECT(w->ranks[0].status != CT_OK && w->ranks[1].status != CT_OK);
    free(w);
}
