/* Rows of what sums over the batch of all ranks, here without a group: one grain of all rows. The
 * ops work on varying tensors alone, so a row builds what is made of them; test_varying has ranks.
 * Invariant: a batch of ROWS ones beside x counts them. */
#include "autograd/compose.h"
#include "tensor/varying.h"
#include "tests/autograd/ops/primitive_table.h"

enum { ROWS = 3 };

static ct_tensor *ones(ct_dtype dtype, ct_shape shape) {
    return ct_varying(ct_full(dtype, shape, 1.0), 0);
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

/* x^T 1, where x are the same rows. */
static ct_tensor *build_grain_pad(ct_tensor *const x[], const op_case *c) {
    ct_tensor *column = ones(ct_dtype_of(x[0]), CT_SHAPE(ROWS, 1));
    return ct_reshape(ct_matmul(ct_transpose(ct_mul(column, x[0])), column), c->out);
}

static void reference_rows(const op_case *c, const array x[], array *y) {
    (void)c;
    for (int64_t i = 0; i < x[0].numel; i++) y->v[i] = ROWS * x[0].v[i];
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
    ROW(grain_pad, FLOATS, grain_pad, rows),
    ROW(grain_unpad, FLOATS, grain_pad, rows),
};
/* clang-format on */
const int n_ranks_rows = sizeof ranks_rows / sizeof *ranks_rows;
