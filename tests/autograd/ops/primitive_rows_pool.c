/* Rows of pooling.
 * References look at every window position; the three faces of max pooling share the search for
 * the winner.
 * Invariant: elements differ, so that a difference step never changes a winner. */
#include "tests/autograd/ops/primitive_table.h"

/* The specification with its defaults filled in. */
typedef struct {
    ct_shape x, y;
    const ct_pool2d_spec *spec;
    int64_t window[2], stride[2];
} pool;

static pool pool_of(const op_case *c) {
    pool p = {.x = c->image, .y = c->result, .spec = &c->pool};
    for (int d = 0; d < 2; d++) {
        p.window[d] = c->pool.window[d] ? c->pool.window[d] : 2;
        p.stride[d] = c->pool.stride[d] ? c->pool.stride[d] : p.window[d];
    }
    return p;
}

/* Padding stays below the window, so that no window lies in the padding alone. */
static void sample_pool(test_random *r, op_case *c) {
    int64_t images = random_between(r, random_chance(r, 10) ? 0 : 1, c->large ? 4 : 2);
    int64_t channels = random_between(r, random_chance(r, 10) ? 0 : 1, c->large ? 40 : 2);
    c->image = c->result = CT_SHAPE(images, 0, 0, channels);
    for (int d = 0; d < 2; d++) {
        int64_t window = random_between(r, 0, 3), stride = random_between(r, 0, 3);
        int64_t extent = window ? window : 2, step = stride ? stride : extent;
        int64_t before = random_between(r, 0, extent / 2), after = random_between(r, 0, extent / 2);
        int64_t size = extent + random_between(r, 0, c->large ? 20 : 3);
        c->pool.window[d] = window;
        c->pool.stride[d] = stride;
        c->pool.pad[2 * d] = before;
        c->pool.pad[2 * d + 1] = after;
        c->image.dims[1 + d] = size;
        c->result.dims[1 + d] = (size + before + after - extent) / step + 1;
    }
    c->pool.count_pad = random_chance(r, 50);
}

/* Element (n, row, column, channel) of x under tap t of output i, or -1 in the padding. */
static int64_t under(const pool *p, int64_t i, int64_t t) {
    int64_t at[CT_MAX_RANK];
    unravel(p->y, i, at);
    at[1] = at[1] * p->stride[0] - p->spec->pad[0] + t / p->window[1];
    at[2] = at[2] * p->stride[1] - p->spec->pad[2] + t % p->window[1];
    if (at[1] < 0 || at[1] >= p->x.dims[1] || at[2] < 0 || at[2] >= p->x.dims[2]) return -1;
    return ravel(p->x, at);
}

static int64_t winner(const pool *p, const double *x, int64_t i) {
    int64_t best = -1;
    for (int64_t t = 0; t < p->window[0] * p->window[1]; t++) {
        int64_t at = under(p, i, t);
        if (at >= 0 && (best < 0 || x[at] > x[best])) best = at;
    }
    return best;
}

/* --- Maxima ----------------------------------------------------------------------------------- */

static void shape_max_pool2d(test_random *r, op_case *c) {
    sample_pool(r, c);
    c->out = c->result;
    c->shapes[0] = c->image;
}

static void shape_max_pool2d_scatter(test_random *r, op_case *c) {
    sample_pool(r, c);
    c->out = c->image;
    c->shapes[0] = c->result;
    c->shapes[1] = c->image;
}

static void shape_max_pool2d_gather(test_random *r, op_case *c) {
    sample_pool(r, c);
    c->out = c->result;
    c->shapes[0] = c->shapes[1] = c->image;
}

static void reference_max_pool2d(const op_case *c, const array x[], array *y) {
    pool p = pool_of(c);
    for (int64_t i = 0; i < y->numel; i++) y->v[i] = x[0].v[winner(&p, x[0].v, i)];
}

static void reference_max_pool2d_scatter(const op_case *c, const array x[], array *y) {
    pool p = pool_of(c);
    for (int64_t i = 0; i < x[0].numel; i++) y->v[winner(&p, x[1].v, i)] += x[0].v[i];
}

static void reference_max_pool2d_gather(const op_case *c, const array x[], array *y) {
    pool p = pool_of(c);
    for (int64_t i = 0; i < y->numel; i++) y->v[i] = x[0].v[winner(&p, x[1].v, i)];
}

/* --- Means ------------------------------------------------------------------------------------ */

static void shape_avg_pool2d(test_random *r, op_case *c) {
    sample_pool(r, c);
    c->out = c->result;
    c->shapes[0] = c->image;
}

static void shape_avg_pool2d_spread(test_random *r, op_case *c) {
    sample_pool(r, c);
    c->out = c->image;
    c->shapes[0] = c->result;
}

static double divisor(const pool *p, int64_t i) {
    int64_t taps = p->window[0] * p->window[1], inside = 0;
    for (int64_t t = 0; t < taps; t++) inside += under(p, i, t) >= 0;
    return (double)(p->spec->count_pad ? taps : inside);
}

static void reference_avg_pool2d(const op_case *c, const array x[], array *y) {
    pool p = pool_of(c);
    for (int64_t i = 0; i < y->numel; i++) {
        for (int64_t t = 0; t < p.window[0] * p.window[1]; t++) {
            int64_t at = under(&p, i, t);
            if (at >= 0) y->v[i] += x[0].v[at] / divisor(&p, i);
        }
    }
}

static void reference_avg_pool2d_spread(const op_case *c, const array x[], array *y) {
    pool p = pool_of(c);
    for (int64_t i = 0; i < x[0].numel; i++) {
        for (int64_t t = 0; t < p.window[0] * p.window[1]; t++) {
            int64_t at = under(&p, i, t);
            if (at >= 0) y->v[at] += x[0].v[i] / divisor(&p, i);
        }
    }
}

#define BUILD(verb, expression)                                              \
    static ct_tensor *build_##verb(ct_tensor *const x[], const op_case *c) { \
        pool p = pool_of(c);                                                 \
        return expression;                                                   \
    }
BUILD(max_pool2d, ct_max_pool2d(x[0], *p.spec))
BUILD(max_pool2d_scatter, ct_max_pool2d_scatter(x[0], x[1], *p.spec))
BUILD(max_pool2d_gather, ct_max_pool2d_gather(x[0], x[1], *p.spec))
BUILD(avg_pool2d, ct_avg_pool2d(x[0], *p.spec))
BUILD(avg_pool2d_spread, ct_avg_pool2d_spread(x[0], p.x.dims[1], p.x.dims[2], *p.spec))

#define ROW(verb)                                                                             \
    .op = #verb, .shape = shape_##verb, .build = build_##verb, .reference = reference_##verb, \
    .dtypes = FLOATS, .flows = 1

/* clang-format off */
const primitive_row pool_rows[] = {
    {ROW(max_pool2d), .n_inputs = 1, .sampling = APART, .exact = true},
    {ROW(max_pool2d_scatter), .n_inputs = 2, .sampling = APART, .linear = true},
    {ROW(max_pool2d_gather), .n_inputs = 2, .sampling = APART, .exact = true},
    {ROW(avg_pool2d), .n_inputs = 1, .linear = true},
    {ROW(avg_pool2d_spread), .n_inputs = 1, .linear = true},
};
/* clang-format on */
const int n_pool_rows = sizeof pool_rows / sizeof *pool_rows;
