/* Ops whose operands vary between ranks: windows over images, rows by index, elements in other
 * places, random numbers. What sums over the batch is in test_varying.
 * Invariant: as there, at orders 1 and 2. */
#include "autograd/compose.h"
#include "autograd/grad.h"
#include "tensor/graph/node.h"
#include "tensor/varying.h"
#include "tests/support/test.h"
#include "tests/support/varying_support.h"

#include <string.h>

enum { HEIGHT = 5, WIDTH = 4, CHANNELS = 2, ELEMENTS = HEIGHT * WIDTH * CHANNELS };

static ct_tensor *table_of(ct_tensor *t) {
    int64_t columns = 1;
    for (int d = 1; d < ct_shape_of(t).rank; d++) columns *= ct_dim(t, d);
    return ct_reshape(t, CT_SHAPE(ct_dim(t, 0), columns));
}

static ct_tensor *images_of(const rank *me, int seed) {
    ct_tensor *x = rows_of(me, ELEMENTS, seed);
    return ct_reshape(x, CT_SHAPE(me->rows, HEIGHT, WIDTH, CHANNELS));
}

/* The loss, its gradients, and the gradients of a sum of their squares. in[0] varies. */
static void note_orders(rank *me, ct_tensor *loss, ct_tensor *const in[], int n) {
    ct_tensor *g[4], *second[4], *sum = NULL;
    note(me, loss);
    ct_grad(loss, in, n, g);
    for (int k = 0; k < n; k++) {
        if (k == 0) note_varying(me, table_of(g[0]));
        else note(me, g[k]);
        ct_tensor *squares = ct_sum_all(ct_square(g[k]));
        sum = sum ? ct_add(sum, squares) : squares;
    }
    ct_grad(sum, in, n, second);
    note_varying(me, table_of(second[0]));
    for (int k = 1; k < n; k++) note(me, second[k]);
}

static void expect_of_any_ranks(void (*body)(rank *me)) {
    same_as_one_process(body);
    same_bits_for_any_ranks(body);
    close_to_one_process(body, 1e-9); /* of numbers up to some thousands */
}

/* --- Windows ---------------------------------------------------------------------------------- */

static void convolutions(rank *me) {
    ct_conv2d_spec wide = {.stride = {1, 2}, .pad = {1, 1, 0, 1}}, grouped = {.groups = 2};
    ct_tensor *in[] = {images_of(me, 1), parameter(me, CT_SHAPE(3, 2, 2, 4), 1),
                       parameter(me, CT_SHAPE(2, 1, 2, 2), 2)};
    ct_tensor *h = ct_scale(ct_conv2d(in[0], in[1], wide), 0.25);
    ct_tensor *y = ct_conv2d(ct_mul(h, h), in[2], grouped);
    note_varying(me, table_of(y));
    note_orders(me, ct_mean_all(ct_square(y)), in, 3);
}

static void depthwise(rank *me) {
    ct_conv2d_spec spec = {.groups = CHANNELS, .pad = {1, 0, 0, 1}, .dilation = {1, 2}};
    ct_tensor *in[] = {images_of(me, 2), parameter(me, CT_SHAPE(2, 2, 1, CHANNELS), 1)};
    ct_tensor *y = ct_conv2d(in[0], in[1], spec);
    note_orders(me, ct_mean_all(ct_mul(y, ct_square(y))), in, 2);
}

static void transposed(rank *me) {
    ct_conv2d_spec spec = {.stride = {2, 2}};
    ct_tensor *in[] = {images_of(me, 3), parameter(me, CT_SHAPE(3, 2, 3, CHANNELS), 1)};
    ct_tensor *y = ct_conv2d_input(in[0], in[1], 2 * HEIGHT + 1, 2 * WIDTH, spec);
    note_orders(me, ct_mean_all(ct_square(y)), in, 2);
}

static void pooled(rank *me) {
    ct_pool2d_spec spec = {.window = {2, 2}, .stride = {1, 2}, .pad = {1, 0, 0, 0}};
    ct_tensor *in[] = {images_of(me, 4), parameter(me, CT_SHAPE(CHANNELS), 1)};
    ct_tensor *x = ct_mul(in[0], in[1]);
    ct_tensor *most = ct_max_pool2d(ct_mul(x, x), spec), *mean = ct_avg_pool2d(x, spec);
    note_orders(me, ct_mean_all(ct_mul(most, ct_square(mean))), in, 2);
}

TEST(varying_ops, convolutions_are_those_of_the_global_batch) {
    expect_of_any_ranks(convolutions);
    expect_of_any_ranks(depthwise);
    expect_of_any_ranks(transposed);
}

TEST(varying_ops, windows_lie_within_a_row_of_the_batch) { expect_of_any_ranks(pooled); }

/* Of large kernels there are fewer ranges without a group, and stripes of outputs. */
static void large_kernel(rank *me) {
    ct_tensor *x = images_of(me, 1);
    ct_tensor *w = ct_broadcast(parameter(me, CT_SHAPE(200), 1), CT_SHAPE(2, 2, CHANNELS, 200)), *g;
    ct_grad(ct_mean_all(ct_square(ct_conv2d(x, w, (ct_conv2d_spec){0}))), &w, 1, &g);
    note(me, ct_sum(g, CT_AXES(0, 1)));
}

TEST(varying_ops, a_kernel_of_many_outputs_has_the_same_bits) {
    same_bits_for_any_ranks(large_kernel);
    close_to_one_process(large_kernel, 1e-12);
}

/* --- Elements in other places ----------------------------------------------------------------- */

static void moved(rank *me) {
    ct_tensor *in[] = {rows_of(me, 6, 1), parameter(me, CT_SHAPE(6), 1)};
    ct_tensor *x = ct_mul(in[0], in[1]);
    ct_tensor *turned = ct_flip(x, CT_AXES(1)), *every_other = ct_slice(x, 1, 1, CT_END, 2);
    ct_tensor *padded = ct_pad(every_other, 1, 1, 0, 1), *parts[] = {x, turned, x, padded, x};
    ct_tensor *y = ct_concat(parts, 5, 1);
    note_orders(me, ct_mean_all(ct_mul(ct_square(y), y)), in, 2);
}

TEST(varying_ops, elements_move_along_other_axes) { expect_of_any_ranks(moved); }

/* --- Rows by index ---------------------------------------------------------------------------- */

static ct_tensor *indices_of(const rank *me, int64_t columns, int64_t below) {
    int64_t index[64];
    for (int64_t i = 0; i < me->rows * columns; i++) {
        int64_t at = me->first * columns + i;
        index[i] = (at * at + 3 * at + 1) % below;
    }
    ct_tensor *t = ct_from(CT_I64, CT_SHAPE(me->rows, columns), index);
    return me->world->plain ? t : ct_varying(t, 0);
}

/* Rows of a table, by indices that vary along their first axis and along their second. */
static void embedded(rank *me) {
    ct_tensor *in[] = {rows_of(me, 6, 1), parameter(me, CT_SHAPE(5, 3), 2)};
    ct_tensor *index = indices_of(me, 2, 5);
    ct_tensor *rows = ct_take(in[1], index), *columns = ct_take(in[1], ct_transpose(index));
    ct_tensor *both = ct_add(ct_square(rows), ct_permute(columns, CT_AXES(1, 0, 2)));
    ct_tensor *y = ct_mul(ct_reshape(both, CT_SHAPE(me->rows, 6)), in[0]);
    note_orders(me, ct_mean_all(ct_square(y)), in, 2);
}

/* Columns of what varies along axis 1. */
static void taken(rank *me) {
    ct_tensor *in[] = {rows_of(me, 4, 1), parameter(me, CT_SHAPE(4), 2)};
    ct_tensor *x = ct_transpose(ct_mul(in[0], in[1]));
    ct_tensor *y = ct_take(x, ct_from(CT_I64, CT_SHAPE(2, 2), (int64_t[]){3, 0, 0, 1}));
    note_orders(me, ct_mean_all(ct_mul(ct_square(y), y)), in, 2);
}

TEST(varying_ops, rows_by_index_are_those_of_the_global_batch) {
    expect_of_any_ranks(embedded);
    expect_of_any_ranks(taken);
}

static void outside(rank *me) { ct_take(parameter(me, CT_SHAPE(2, 3), 1), indices_of(me, 2, 5)); }

TEST(varying_ops, an_index_outside_of_the_table_is_refused_where_it_is) {
    expect_failed(4, outside, CT_ERR_RANGE, "ct_take: index must be in 0..1, got");
}

/* --- Random numbers --------------------------------------------------------------------------- */

/* Of what one process draws, this rank's rows. */
static void drawn(rank *me) {
    enum { COLUMNS = 5, ALL = WORLD_ROWS * COLUMNS };
    ct_tensor *key = ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){7, 11}), *x = rows_of(me, COLUMNS, 1);
    const double *u = ct_data(ct_random_uniform_like(key, x));
    const double *z = ct_data(ct_transpose(ct_random_normal_like(key, ct_transpose(x))));
    const double *all_u = ct_data(ct_random_uniform(key, CT_F64, CT_SHAPE(WORLD_ROWS, COLUMNS)));
    const double *all_z = ct_data(
        ct_transpose(ct_random_normal(key, CT_F64, CT_SHAPE(COLUMNS, WORLD_ROWS))));
    REQUIRE(u && z && all_u && all_z);
    size_t bytes = sizeof *u * (size_t)(me->rows * COLUMNS);
    EXPECT(memcmp(u, all_u + me->first * COLUMNS, bytes) == 0, "rank %d", me->rank);
    EXPECT(memcmp(z, all_z + me->first * COLUMNS, bytes) == 0, "rank %d", me->rank);
    note(me, ct_mean_all(ct_mul(ct_random_uniform_like(key, x), x)));
}

TEST(varying_ops, random_numbers_are_those_of_the_global_batch) {
    close_to_one_process(drawn, 1e-14);
}
