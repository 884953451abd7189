/* Rows of padding, concatenation, take and scatter_add.
 * References walk over coordinates.
 * Invariant: index operands hold valid rows only; invalid ones are in the error table. */
#include "tensor/base/shape_rules.h"
#include "tests/autograd/ops/primitive_table.h"

#include <string.h>

static ct_shape sample(test_random *r, const op_case *c, int low_rank) {
    return sample_shape(r, low_rank, c->large ? 3 : 4, c->large ? 20000 : 40, c->large);
}

/* --- pad -------------------------------------------------------------------------------------- */

static void shape_pad(test_random *r, op_case *c) {
    c->shapes[0] = sample(r, c, 1);
    c->axis = (int)random_below(r, c->shapes[0].rank);
    int64_t *const amounts[] = {&c->before, &c->after, &c->interior};
    for (int k = 0; k < 3; k++) *amounts[k] = random_chance(r, 30) ? 0 : random_between(r, 0, 3);
    c->out = c->shapes[0];
    int64_t n = c->out.dims[c->axis];
    c->out.dims[c->axis] = c->before + (n ? n + (n - 1) * c->interior : 0) + c->after;
}

static ct_tensor *build_pad(ct_tensor *const x[], const op_case *c) {
    return ct_pad(x[0], c->axis, c->before, c->after, c->interior);
}

static void reference_pad(const op_case *c, const array x[], array *y) {
    for (int64_t i = 0; i < x[0].numel; i++) {
        int64_t at[CT_MAX_RANK];
        unravel(x[0].shape, i, at);
        at[c->axis] = c->before + at[c->axis] * (c->interior + 1);
        y->v[ravel(y->shape, at)] = x[0].v[i];
    }
}

/* --- concat ----------------------------------------------------------------------------------- */

static void shape_concat(test_random *r, op_case *c) {
    ct_shape shape = sample(r, c, 1);
    c->n = (int)random_between(r, 1, MOST_OPERANDS);
    c->axis = (int)random_below(r, shape.rank);
    c->out = shape;
    c->out.dims[c->axis] = 0;
    for (int i = 0; i < c->n; i++) {
        c->shapes[i] = shape;
        if (i) c->shapes[i].dims[c->axis] = random_between(r, 0, 4);
        c->out.dims[c->axis] += c->shapes[i].dims[c->axis];
    }
}

static ct_tensor *build_concat(ct_tensor *const x[], const op_case *c) {
    return ct_concat(x, c->n, c->axis - c->shapes[0].rank);
}

static void reference_concat(const op_case *c, const array x[], array *y) {
    int64_t start = 0;
    for (int k = 0; k < c->n; k++) {
        for (int64_t i = 0; i < x[k].numel; i++) {
            int64_t at[CT_MAX_RANK];
            unravel(x[k].shape, i, at);
            at[c->axis] += start;
            y->v[ravel(y->shape, at)] = x[k].v[i];
        }
        start += x[k].shape.dims[c->axis];
    }
}

/* --- take, scatter_add: operand 1 holds rows of the tensor they point into -------------------- */

static ct_shape joined(ct_shape a, ct_shape b, int skip) {
    for (int d = skip; d < b.rank; d++) a.dims[a.rank++] = b.dims[d];
    return a;
}

static void shape_take(test_random *r, op_case *c) {
    do c->shapes[0] = sample(r, c, 1);
    while (c->shapes[0].dims[0] == 0);
    c->shapes[1] = sample_shape(r, 0, 2, 8, false);
    c->dtypes[1] = CT_I64;
    c->rows = c->shapes[0].dims[0];
    c->out = joined(c->shapes[1], c->shapes[0], 1);
}

static void shape_scatter(test_random *r, op_case *c) {
    ct_shape row = sample_shape(r, 0, 2, c->large ? 2000 : 6, c->large);
    c->shapes[1] = sample_shape(r, 0, 2, 8, false);
    c->shapes[0] = joined(c->shapes[1], row, 0);
    c->dtypes[1] = CT_I64;
    c->rows = random_between(r, ct_shape_numel(c->shapes[1]) ? 1 : 0, 6);
    c->out = joined(CT_SHAPE(c->rows), row, 0);
}

static bool fill_rows(test_random *r, const op_case *c, int i, array *base) {
    for (int64_t k = 0; k < base->numel && i == 1; k++) {
        base->v[k] = (double)random_below(r, c->rows ? c->rows : 1);
    }
    return i == 1;
}

static ct_tensor *build_take(ct_tensor *const x[], const op_case *c) {
    (void)c;
    return ct_take(x[0], x[1]);
}

static ct_tensor *build_scatter_add(ct_tensor *const x[], const op_case *c) {
    return ct_scatter_add(x[0], x[1], c->rows);
}

static void reference_take(const op_case *c, const array x[], array *y) {
    (void)c;
    int64_t row = cti_shape_span(x[0].shape, 1, x[0].shape.rank);
    for (int64_t i = 0; i < y->numel; i++) {
        y->v[i] = x[0].v[(int64_t)x[1].v[i / row] * row + i % row];
    }
}

static void reference_scatter_add(const op_case *c, const array x[], array *y) {
    (void)c;
    int64_t row = cti_shape_span(y->shape, 1, y->shape.rank);
    for (int64_t i = 0; i < x[0].numel; i++) {
        y->v[(int64_t)x[1].v[i / row] * row + i % row] += x[0].v[i];
    }
}

/* clang-format off */
const primitive_row copy_rows[] = {
    {.op = "pad", .n_inputs = 1, .dtypes = ANY, .flows = 1, .exact = true, .linear = true,
     .shape = shape_pad, .build = build_pad, .reference = reference_pad},
    {.op = "concat", .dtypes = ANY, .flows = 15, .exact = true, .linear = true,
     .shape = shape_concat, .build = build_concat, .reference = reference_concat},
    {.op = "take", .n_inputs = 2, .dtypes = ANY, .flows = 1, .exact = true, .linear = true,
     .shape = shape_take, .fill = fill_rows, .build = build_take, .reference = reference_take},
    {.op = "scatter_add", .n_inputs = 2, .dtypes = NUMBERS, .flows = 1, .exact = true,
     .linear = true, .shape = shape_scatter, .fill = fill_rows, .build = build_scatter_add,
     .reference = reference_scatter_add},
};
/* clang-format on */
const int n_copy_rows = sizeof copy_rows / sizeof *copy_rows;
