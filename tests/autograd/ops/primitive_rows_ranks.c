/* Rows of what sums over the batch of all ranks, here on one: without a group, which is one grain
 * of all rows, and in two grains that are not equal. The ops work on varying tensors alone, so a
 * row builds what is made of them; test_varying has ranks.
 * Invariant: a batch of ROWS ones beside x counts them. */
#include "autograd/compose.h"
#include "autograd/ops/algebra.h"
#include "tensor/group.h"
#include "tensor/varying.h"
#include "tests/autograd/ops/primitive_table.h"

enum { ROWS = 3 };

static ct_tensor *ones(ct_dtype dtype, ct_shape shape) {
    return ct_varying(ct_full(dtype, shape, 1.0), 0);
}

/* The same in grains of two rows and of one. */
static ct_tensor *ragged(ct_dtype dtype, ct_shape shape) {
    ct_group *before = ct_group_current(), *alone = ct_group_alone();
    ct_tensor *x = NULL;
    if (alone && ct_group_use(alone, (ct_group_options){.grains = 2}) == CT_OK) {
        x = ones(dtype, shape);
        if (before) ct_group_use(before, (ct_group_options){0});
        else ct_group_use_none();
    }
    ct_group_free(alone);
    return x;
}

static void shape_vector(test_random *r, op_case *c) {
    c->shapes[0] = CT_SHAPE(random_between(r, 0, c->large ? 20000 : 40));
    c->out = c->shapes[0];
}

static ct_tensor *build_all_sum(ct_tensor *const x[], const op_case *c) {
    (void)c;
    return ct_all_sum(ct_replicate(x[0]));
}

static void reference_all_sum(const op_case *c, const array x[], array *y) {
    (void)c;
    for (int64_t i = 0; i < x[0].numel; i++) y->v[i] = x[0].v[i];
}

static ct_tensor *build_grain_sum(ct_tensor *const x[], const op_case *c) {
    (void)c;
    return ct_sum(ct_mul(ones(ct_dtype_of(x[0]), CT_SHAPE(ROWS, 1)), x[0]), CT_AXES(0));
}

static ct_tensor *build_ragged_sum(ct_tensor *const x[], const op_case *c) {
    (void)c;
    return ct_sum(ct_mul(ragged(ct_dtype_of(x[0]), CT_SHAPE(ROWS, 1)), x[0]), CT_AXES(0));
}

static ct_tensor *build_grain_spread(ct_tensor *const x[], const op_case *c) {
    (void)c;
    ct_tensor *rows = ones(ct_dtype_of(x[0]), CT_SHAPE(ROWS, 1));
    return ct_sum(cti_grain_spread(ct_replicate(x[0]), ct_mul(rows, x[0])), CT_AXES(0));
}

/* x^T 1, where x are the same rows. */
static ct_tensor *build_grain_pad(ct_tensor *const x[], const op_case *c) {
    ct_tensor *column = ragged(ct_dtype_of(x[0]), CT_SHAPE(ROWS, 1));
    return ct_reshape(ct_matmul(ct_transpose(ct_mul(column, x[0])), column), c->out);
}

static void reference_rows(const op_case *c, const array x[], array *y) {
    (void)c;
    for (int64_t i = 0; i < x[0].numel; i++) y->v[i] = ROWS * x[0].v[i];
}

/* --- Rows and images -------------------------------------------------------------------------- */

static void shape_rows(test_random *r, op_case *c) {
    c->rows = random_between(r, 1, 5);
    c->shapes[0] = CT_SHAPE(random_between(r, 0, c->large ? 2000 : 4));
    c->out = CT_SHAPE(c->rows, c->shapes[0].dims[0]);
}

/* Each of ROWS rows goes to the last row of the table. */
static ct_tensor *build_grain_scatter_add(ct_tensor *const x[], const op_case *c) {
    ct_tensor *last = ct_varying(ct_full(CT_I64, CT_SHAPE(ROWS), (double)(c->rows - 1)), 0);
    ct_tensor *rows = ct_mul(ones(ct_dtype_of(x[0]), CT_SHAPE(ROWS, 1)), x[0]);
    return ct_scatter_add(rows, last, c->rows);
}

static void reference_grain_scatter_add(const op_case *c, const array x[], array *y) {
    double *last = y->v + (c->rows - 1) * x[0].numel;
    for (int64_t i = 0; i < x[0].numel; i++) last[i] = ROWS * x[0].v[i];
}

static void shape_grain_kernel(test_random *r, op_case *c) {
    int64_t channels = random_between(r, 1, c->large ? 9 : 2);
    c->shapes[0] = CT_SHAPE(random_between(r, 1, c->large ? 40 : 3), 1, channels);
    c->shapes[1] = CT_SHAPE(c->shapes[0].dims[0], 1, random_between(r, 1, c->large ? 30 : 2));
    c->out = CT_SHAPE(1, 1, channels, c->shapes[1].dims[2]);
}

/* Of ROWS equal images and a kernel of one pixel. */
static ct_tensor *build_grain_kernel(ct_tensor *const x[], const op_case *c) {
    (void)c;
    ct_tensor *column = ones(ct_dtype_of(x[0]), CT_SHAPE(ROWS, 1, 1, 1));
    return ct_conv2d_kernel(ct_mul(column, x[0]), ct_mul(column, x[1]), 1, 1, (ct_conv2d_spec){0});
}

static void reference_grain_kernel(const op_case *c, const array x[], array *y) {
    int64_t pixels = c->shapes[0].dims[0], n = c->shapes[0].dims[2], m = c->shapes[1].dims[2];
    for (int64_t p = 0; p < pixels; p++) {
        for (int64_t i = 0; i < n * m; i++) {
            y->v[i] += ROWS * x[0].v[p * n + i / m] * x[1].v[p * m + i % m];
        }
    }
}

static void shape_grain_product(test_random *r, op_case *c) {
    c->shapes[0] = CT_SHAPE(random_between(r, 0, c->large ? 200 : 3));
    c->shapes[1] = CT_SHAPE(random_between(r, 0, c->large ? 90 : 3));
    c->out = CT_SHAPE(c->shapes[0].dims[0], c->shapes[1].dims[0]);
}

/* Of ROWS equal rows, in grains of two and of one, or in a single one, whose partial sum may be of
 * an odd number of elements: as the rewrite makes it. */
static ct_tensor *build_grain_product(ct_tensor *const x[], const op_case *c) {
    bool odd = c->out.dims[0] % 2 == 1;
    ct_tensor *column = (odd ? ones : ragged)(ct_dtype_of(x[0]), CT_SHAPE(ROWS, 1));
    ct_tensor *sum = ct_matmul(ct_transpose(ct_mul(column, x[0])), ct_mul(column, x[1]));
    ct_tensor *products = sum ? ct_input(sum, 0) : NULL;
    return sum ? cti_grain_matmul(ct_input(products, 0), ct_input(products, 1)) : NULL;
}

static void reference_grain_product(const op_case *c, const array x[], array *y) {
    int64_t n = c->shapes[1].dims[0];
    for (int64_t i = 0; i < y->numel; i++) y->v[i] = ROWS * x[0].v[i / n] * x[1].v[i % n];
}

/* clang-format off */
#define ROW(name, types, with, reference_of)                                           \
    {.op = #name, .n_inputs = 1, .dtypes = types, .flows = 1, .linear = true,         \
     .within = true,                                                                   \
     .shape = shape_vector, .build = build_##with, .reference = reference_##reference_of}
const primitive_row ranks_rows[] = {
    ROW(all_sum, NUMBERS, all_sum, all_sum),
    ROW(replicate, NUMBERS, all_sum, all_sum),
    ROW(grain_sum, FLOATS, grain_sum, rows),
    ROW(ragged_grain_sum, FLOATS, ragged_sum, rows),
    ROW(grain_spread, FLOATS, grain_spread, rows),
    ROW(grain_pad, FLOATS, grain_pad, rows),
    ROW(grain_unpad, FLOATS, grain_pad, rows),
    {.op = "grain_scatter_add", .n_inputs = 1, .dtypes = NUMBERS, .flows = 1, .linear = true,
     .within = true, .shape = shape_rows, .build = build_grain_scatter_add,
     .reference = reference_grain_scatter_add},
    {.op = "grain_conv2d_kernel", .n_inputs = 2, .dtypes = FLOATS, .flows = 3, .linear = true,
     .within = true, .shape = shape_grain_kernel, .build = build_grain_kernel,
     .reference = reference_grain_kernel},
    {.op = "grain_matmul", .n_inputs = 2, .dtypes = FLOATS, .flows = 3, .linear = true,
     .within = true, .shape = shape_grain_product, .build = build_grain_product,
     .reference = reference_grain_product},
};
/* clang-format on */
const int n_ranks_rows = sizeof ranks_rows / sizeof *ranks_rows;
