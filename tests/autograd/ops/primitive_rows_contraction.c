/* Rows of matrix products and convolutions.
 * References are the formulas of ops.h as nested loops.
 * Invariant: the three faces of the convolution share one loop over (x, w, y) triples, so that a
 * wrong convention cannot be right in one of them and wrong in another. */
#include "tests/autograd/ops/primitive_table.h"

#include <string.h>

/* --- matmul ----------------------------------------------------------------------------------- */

static int64_t small_dim(test_random *r) {
    static const int64_t dims[] = {0, 1, 1, 2, 2, 3, 3, 5, 7};
    return dims[random_below(r, sizeof dims / sizeof *dims)];
}

static int64_t block_dim(test_random *r) {
    static const int64_t dims[] = {1, 3, 40, 130, 255, 257};
    return dims[random_below(r, sizeof dims / sizeof *dims)];
}

/* Vectors, matrices and batches that stretch to each other. */
static void shape_matmul(test_random *r, op_case *c) {
    int64_t (*dim)(test_random *) = c->large ? block_dim : small_dim;
    int64_t m = dim(r), k = dim(r), n = dim(r);
    ct_shape batch = c->large ? CT_SCALAR : sample_shape(r, 0, 2, 6, false);
    ct_shape a = random_chance(r, 50) ? batch : sample_narrower(r, batch);
    ct_shape b = random_chance(r, 50) ? batch : sample_narrower(r, batch);
    bool row = random_chance(r, 15), column = random_chance(r, 15);
    if (row) a = CT_SCALAR;
    if (column) b = CT_SCALAR;
    c->out = broadcast_shape(a, b);
    if (!row) c->out.dims[c->out.rank++] = a.dims[a.rank++] = m;
    if (!column) c->out.dims[c->out.rank++] = n;
    a.dims[a.rank++] = k;
    b.dims[b.rank++] = k;
    if (!column) b.dims[b.rank++] = n;
    c->shapes[0] = a;
    c->shapes[1] = b;
}

static ct_tensor *build_matmul(ct_tensor *const x[], const op_case *c) {
    (void)c;
    return ct_matmul(x[0], x[1]);
}

static ct_shape batch_of(ct_shape shape) {
    shape.rank = shape.rank > 2 ? shape.rank - 2 : 0;
    return shape;
}

static void reference_matmul(const op_case *c, const array x[], array *y) {
    (void)c;
    ct_shape a = x[0].shape, b = x[1].shape, batch = y->shape;
    batch.rank -= (a.rank > 1) + (b.rank > 1);
    int64_t m = a.rank > 1 ? a.dims[a.rank - 2] : 1, k = a.dims[a.rank - 1];
    int64_t n = b.rank > 1 ? b.dims[b.rank - 1] : 1, matrices = ct_shape_numel(batch);
    for (int64_t t = 0; t < matrices; t++) {
        const double *p = x[0].v + stretched(batch_of(a), batch, t) * m * k;
        const double *q = x[1].v + stretched(batch_of(b), batch, t) * k * n;
        double *out = y->v + t * m * n;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++)
                for (int64_t l = 0; l < k; l++) out[i * n + j] += p[i * k + l] * q[l * n + j];
    }
}

/* --- convolution ------------------------------------------------------------------------------ */

static void sample_axis(test_random *r, op_case *c, int d) {
    ct_conv2d_spec *spec = &c->conv;
    int64_t kernel = random_between(r, 1, 3), dilation = random_between(r, 1, 2);
    int64_t covered = (kernel - 1) * dilation + 1;
    spec->stride[d] = random_between(r, 1, 3);
    spec->dilation[d] = dilation;
    spec->pad[2 * d] = random_chance(r, 50) ? 0 : random_between(r, 0, 2);
    spec->pad[2 * d + 1] = random_chance(r, 50) ? 0 : random_between(r, 0, 2);
    int64_t pad = spec->pad[2 * d] + spec->pad[2 * d + 1];
    int64_t least = covered > pad ? covered - pad : 0;
    c->kernel.dims[d] = kernel;
    c->image.dims[1 + d] = least + random_between(r, 0, c->large ? 14 : 3);
    c->result.dims[1 + d] = (c->image.dims[1 + d] + pad - covered) / spec->stride[d] + 1;
}

static void sample_conv(test_random *r, op_case *c) {
    int most = c->large ? 9 : 2;
    c->image.rank = c->kernel.rank = c->result.rank = 4;
    sample_axis(r, c, 0);
    sample_axis(r, c, 1);
    int64_t groups = c->conv.groups = random_between(r, 1, 2);
    int64_t inner = random_between(r, random_chance(r, 10) ? 0 : 1, most);
    int64_t outer = random_between(r, random_chance(r, 10) ? 0 : 1, most);
    int64_t images = random_between(r, random_chance(r, 10) ? 0 : 1, c->large ? 5 : 2);
    c->image.dims[0] = c->result.dims[0] = images;
    c->image.dims[3] = groups * inner;
    c->kernel.dims[2] = inner;
    c->kernel.dims[3] = c->result.dims[3] = groups * outer;
    /* Zeros of the specification stand for their defaults. */
    for (int d = 0; d < 2; d++) {
        if (c->conv.stride[d] == 1 && random_chance(r, 50)) c->conv.stride[d] = 0;
        if (c->conv.dilation[d] == 1 && random_chance(r, 50)) c->conv.dilation[d] = 0;
    }
}

/* Calls `visit` for every product of the trilinear form. */
static void each_product(const op_case *c, const array x[], array *y,
                         void (*visit)(const array x[], array *y, int64_t at_x, int64_t at_w,
                                       int64_t at_y)) {
    const ct_conv2d_spec *s = &c->conv;
    const int64_t *w = c->kernel.dims;
    int64_t stride[2], dilation[2], outputs = c->result.dims[3] / s->groups, at[CT_MAX_RANK];
    for (int d = 0; d < 2; d++) {
        stride[d] = s->stride[d] ? s->stride[d] : 1;
        dilation[d] = s->dilation[d] ? s->dilation[d] : 1;
    }
    int64_t n_y = ct_shape_numel(c->result), n_w = w[0] * w[1] * w[2];
    for (int64_t i = 0; i < n_y; i++) {
        unravel(c->result, i, at);
        for (int64_t t = 0; t < n_w; t++) {
            int64_t a = t / w[2] / w[1], b = t / w[2] % w[1];
            int64_t row = at[1] * stride[0] + a * dilation[0] - s->pad[0];
            int64_t column = at[2] * stride[1] + b * dilation[1] - s->pad[2];
            if (row < 0 || row >= c->image.dims[1]) continue;
            if (column < 0 || column >= c->image.dims[2]) continue;
            int64_t channel = at[3] / outputs * w[2] + t % w[2];
            int64_t from[CT_MAX_RANK] = {at[0], row, column, channel};
            visit(x, y, ravel(c->image, from), t * w[3] + at[3], i);
        }
    }
}

#define FACE(face, first, second, third, visit_expression, build_expression)        \
    static void shape_##face(test_random *r, op_case *c) {                          \
        sample_conv(r, c);                                                          \
        c->shapes[0] = c->first;                                                    \
        c->shapes[1] = c->second;                                                   \
        c->out = c->third;                                                          \
    }                                                                               \
    static void visit_##face(const array x[], array *y, int64_t at_x, int64_t at_w, \
                             int64_t at_y) {                                        \
        visit_expression;                                                           \
    }                                                                               \
    static void reference_##face(const op_case *c, const array x[], array *y) {     \
        each_product(c, x, y, visit_##face);                                        \
    }                                                                               \
    static ct_tensor *build_##face(ct_tensor *const x[], const op_case *c) {        \
        return build_expression;                                                    \
    }

FACE(conv2d, image, kernel, result, y->v[at_y] += x[0].v[at_x] * x[1].v[at_w],
     ct_conv2d(x[0], x[1], c->conv))
FACE(conv2d_input, result, kernel, image, y->v[at_x] += x[0].v[at_y] * x[1].v[at_w],
     ct_conv2d_input(x[0], x[1], c->image.dims[1], c->image.dims[2], c->conv))
FACE(conv2d_kernel, image, result, kernel, y->v[at_w] += x[0].v[at_x] * x[1].v[at_y],
     ct_conv2d_kernel(x[0], x[1], c->kernel.dims[0], c->kernel.dims[1], c->conv))

#define ROW(verb)                                                                                \
    {                                                                                            \
        .op = #verb, .n_inputs = 2, .dtypes = FLOATS, .flows = 3, .exact = true, .linear = true, \
        .shape = shape_##verb, .build = build_##verb, .reference = reference_##verb              \
    }

const primitive_row contraction_rows[] = {ROW(matmul), ROW(conv2d), ROW(conv2d_input),
                                          ROW(conv2d_kernel)};
const int n_contraction_rows = sizeof contraction_rows / sizeof *contraction_rows;
