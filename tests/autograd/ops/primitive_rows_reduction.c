/* Rows of the reductions.
 * References add and compare one element at a time, in ascending order.
 * Invariant: max and argmax are never asked about an axis of size 0; that is in the error table. */
#include "tests/autograd/ops/primitive_table.h"

#include <math.h>

static void set_out(op_case *c) {
    c->out = CT_SCALAR;
    for (int d = 0; d < c->shapes[0].rank; d++) {
        if (!(c->axes >> d & 1)) c->out.dims[c->out.rank++] = c->shapes[0].dims[d];
    }
}

/* The axes go. Forms: from the end, from the front, and as CT_ALL where all do. */
static void shape_reduce(test_random *r, op_case *c) {
    c->shapes[0] = sample_shape(r, 0, c->large ? 4 : 5, c->large ? 150000 : 80, c->large);
    int rank = c->shapes[0].rank;
    c->axes = random_below(r, INT64_C(1) << rank);
    if (random_chance(r, 20)) c->axes = (INT64_C(1) << rank) - 1;
    c->form = (int)random_below(r, 3);
    set_out(c);
}

static ct_axes axes_of(const op_case *c) {
    int rank = c->shapes[0].rank;
    if (c->axes == (INT64_C(1) << rank) - 1 && c->form == 2) return CT_ALL;
    ct_axes axes = {0};
    for (int d = rank - 1; d >= 0; d--) {
        if (c->axes >> d & 1) axes.axis[axes.count++] = c->form ? d : d - rank;
    }
    return axes;
}

/* The element of the result that element i of x goes to. */
static int64_t reduced(const op_case *c, ct_shape x, ct_shape y, int64_t i) {
    int64_t at[CT_MAX_RANK], to[CT_MAX_RANK];
    int n = 0;
    unravel(x, i, at);
    for (int d = 0; d < x.rank; d++) {
        if (!(c->axes >> d & 1)) to[n++] = at[d];
    }
    return ravel(y, to);
}

static ct_tensor *build_sum(ct_tensor *const x[], const op_case *c) {
    return ct_sum(x[0], axes_of(c));
}

/* With the rounding of every addition kept aside (Neumaier 1974): a plain sum of that many equal
 * numbers would be less accurate than what it checks. */
static void reference_sum(const op_case *c, const array x[], array *y) {
    array lost = array_new(y->shape);
    for (int64_t i = 0; i < x[0].numel; i++) {
        int64_t to = reduced(c, x[0].shape, y->shape, i);
        double a = y->v[to], b = x[0].v[i], sum = a + b;
        lost.v[to] += fabs(a) >= fabs(b) ? (a - sum) + b : (b - sum) + a;
        y->v[to] = sum;
    }
    for (int64_t i = 0; i < y->numel; i++) y->v[i] += lost.v[i];
    array_free(&lost);
}

/* --- max, argmax ------------------------------------------------------------------------------ */

static void shape_max(test_random *r, op_case *c) {
    shape_reduce(r, c);
    for (int d = 0; d < c->shapes[0].rank; d++) {
        if (c->shapes[0].dims[d] == 0) c->axes &= ~(INT64_C(1) << d);
    }
    set_out(c);
}

static ct_tensor *build_max(ct_tensor *const x[], const op_case *c) {
    return ct_max(x[0], axes_of(c));
}

static void reference_max(const op_case *c, const array x[], array *y) {
    for (int64_t i = 0; i < y->numel; i++) y->v[i] = -INFINITY;
    for (int64_t i = 0; i < x[0].numel; i++) {
        double *to = &y->v[reduced(c, x[0].shape, y->shape, i)];
        if (x[0].v[i] > *to) *to = x[0].v[i];
    }
}

static void shape_argmax(test_random *r, op_case *c) {
    do {
        shape_reduce(r, c);
        c->axis = c->shapes[0].rank ? (int)random_below(r, c->shapes[0].rank) : 0;
    } while (c->shapes[0].rank == 0 || c->shapes[0].dims[c->axis] == 0);
    c->axes = INT64_C(1) << c->axis;
    set_out(c);
}

static ct_tensor *build_argmax(ct_tensor *const x[], const op_case *c) {
    int axis = c->axis;
    return ct_argmax(x[0], c->form ? axis : axis - c->shapes[0].rank);
}

static void reference_argmax(const op_case *c, const array x[], array *y) {
    array best = array_new(y->shape);
    for (int64_t i = 0; i < y->numel; i++) best.v[i] = -INFINITY;
    for (int64_t i = 0; i < x[0].numel; i++) {
        int64_t at[CT_MAX_RANK], to = reduced(c, x[0].shape, y->shape, i);
        unravel(x[0].shape, i, at);
        if (!(x[0].v[i] > best.v[to])) continue;
        best.v[to] = x[0].v[i];
        y->v[to] = (double)at[c->axis];
    }
    array_free(&best);
}

static void shape_iota(test_random *r, op_case *c) {
    c->n = 0;
    c->out = CT_SHAPE(random_below(r, c->large ? 30000 : 60));
}

static ct_tensor *build_iota(ct_tensor *const x[], const op_case *c) {
    (void)x;
    return ct_iota(c->out.dims[0]);
}

static void reference_iota(const op_case *c, const array x[], array *y) {
    (void)c, (void)x;
    for (int64_t i = 0; i < y->numel; i++) y->v[i] = (double)i;
}

/* clang-format off */
const primitive_row reduction_rows[] = {
    {.op = "sum", .n_inputs = 1, .dtypes = NUMBERS, .flows = 1, .exact = true, .linear = true,
     .shape = shape_reduce, .build = build_sum, .reference = reference_sum},
    {.op = "max", .n_inputs = 1, .dtypes = NUMBERS, .flows = 1, .exact = true,
     .sampling = APART, .shape = shape_max, .build = build_max, .reference = reference_max},
    {.op = "argmax", .n_inputs = 1, .dtypes = NUMBERS, .exact = true, .sampling = APART,
     .shape = shape_argmax, .build = build_argmax, .reference = reference_argmax},
    {.op = "iota", .dtypes = ON(CT_I64), .exact = true, .shape = shape_iota, .build = build_iota,
     .reference = reference_iota},
};
/* clang-format on */
const int n_reduction_rows = sizeof reduction_rows / sizeof *reduction_rows;
