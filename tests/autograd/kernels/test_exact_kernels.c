/* Kernels and reductions in CT_P61, on random elements of the field: products, convolutions,
 * pooling, sums, rows by index. Forward against plain loops; a transpose by <A x, g> = <x, A' g>,
 * which holds exactly. Values' shadows are test_primitives.c's business.
 * Invariant: the plain loops divide by p where they stand, and use nothing of the library. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "tensor/runtime.h"

#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

static ct_tensor *drawn(test_random *r, ct_shape shape) {
    int64_t n = ct_shape_numel(shape);
    ct_p61 *elements = malloc((size_t)n * sizeof *elements);
    for (int64_t i = 0; i < n; i++) {
        elements[i] = (ct_p61){random_word(r) % CT_P61_PRIME, random_real(r, -2, 2)};
    }
    ct_tensor *t = ct_from(CT_P61, shape, elements);
    free(elements);
    return t;
}

static uint64_t field_at(ct_tensor *t, int64_t i) {
    const ct_p61 *elements = ct_data_p61(t);
    MADE(elements);
    return elements[i].field;
}

static uint64_t times(uint64_t a, uint64_t b) { return (uint64_t)((wide)a * b % CT_P61_PRIME); }

static uint64_t plus(uint64_t a, uint64_t b) { return (a + b) % CT_P61_PRIME; }

/* sum of a b, by a loop. */
static uint64_t inner(ct_tensor *a, ct_tensor *b) {
    uint64_t sum = 0;
    REQUIRE(ct_numel(a) == ct_numel(b));
    for (int64_t i = 0; i < ct_numel(a); i++)
        sum = plus(sum, times(field_at(a, i), field_at(b, i)));
    return sum;
}

TEST(exact_kernels, products) {
    static const int64_t sizes[][3] = {{1, 1, 1},  {3, 5, 7},   {4, 4, 8},    {9, 130, 3},
                                       {33, 6, 2}, {2, 3, 700}, {70, 20, 325}};
    test_random r = {support_seed(31)};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int64_t m = sizes[k][0], n = sizes[k][1], steps = sizes[k][2];
        ct_tensor *a = drawn(&r, CT_SHAPE(m, steps)), *b = drawn(&r, CT_SHAPE(n, steps));
        ct_tensor *y = ct_matmul(a, ct_transpose(b));
        for (int64_t at = 0; at < m * n; at++) {
            uint64_t sum = 0;
            for (int64_t p = 0; p < steps; p++) {
                sum = plus(sum,
                           times(field_at(a, at / n * steps + p), field_at(b, at % n * steps + p)));
            }
            EXPECT(field_at(y, at) == sum, "size %zu, element %lld", k, (long long)at);
        }
    }
}

/* --- Convolutions ----------------------------------------------------------------------------- */

typedef struct {
    ct_shape x, w;
    ct_conv2d_spec spec;
} convolution;

static const convolution convolutions[] = {
    {{4, {2, 6, 5, 3}}, {4, {3, 2, 3, 5}}, {.stride = {1, 1}}},
    {{4, {1, 7, 8, 4}}, {4, {3, 3, 4, 8}}, {.stride = {2, 1}, .pad = {1, 1, 0, 2}}},
    {{4, {2, 7, 7, 4}}, {4, {2, 3, 2, 6}}, {.groups = 2, .dilation = {2, 1}, .pad = {0, 1, 1, 1}}},
    {{4, {2, 5, 6, 6}}, {4, {3, 3, 1, 6}}, {.groups = 6, .stride = {2, 2}, .pad = {1, 1, 1, 1}}},
    {{4, {3, 20, 20, 2}}, {4, {3, 3, 2, 9}}, {.pad = {1, 1, 1, 1}}},
};

static int64_t or_one(int64_t value) { return value ? value : 1; }

static uint64_t convolved(const convolution *c, ct_tensor *x, ct_tensor *w, const int64_t at[4]) {
    int64_t groups = or_one(c->spec.groups), channels = c->w.dims[2], outputs = c->w.dims[3];
    int64_t group = at[3] / (outputs / groups);
    uint64_t sum = 0;
    for (int64_t tap = 0; tap < c->w.dims[0] * c->w.dims[1] * channels; tap++) {
        int64_t ch = tap % channels, b = tap / channels % c->w.dims[1];
        int64_t a = tap / channels / c->w.dims[1];
        int64_t row = at[1] * or_one(c->spec.stride[0]) + a * or_one(c->spec.dilation[0]);
        int64_t column = at[2] * or_one(c->spec.stride[1]) + b * or_one(c->spec.dilation[1]);
        row -= c->spec.pad[0], column -= c->spec.pad[2];
        if (row < 0 || row >= c->x.dims[1] || column < 0 || column >= c->x.dims[2]) continue;
        int64_t pixel = (at[0] * c->x.dims[1] + row) * c->x.dims[2] + column;
        sum = plus(sum, times(field_at(x, pixel * c->x.dims[3] + group * channels + ch),
                              field_at(w, tap * outputs + at[3])));
    }
    return sum;
}

TEST(exact_kernels, convolutions) {
    test_random r = {support_seed(32)};
    for (size_t k = 0; k < sizeof convolutions / sizeof *convolutions; k++) {
        const convolution *c = &convolutions[k];
        ct_tensor *x = drawn(&r, c->x), *w = drawn(&r, c->w), *y = ct_conv2d(x, w, c->spec);
        MADE(y);
        ct_shape s = ct_shape_of(y);
        for (int64_t i = 0; i < ct_numel(y); i++) {
            int64_t at[] = {i / s.dims[3] / s.dims[2] / s.dims[1],
                            i / s.dims[3] / s.dims[2] % s.dims[1], i / s.dims[3] % s.dims[2],
                            i % s.dims[3]};
            EXPECT(field_at(y, i) == convolved(c, x, w, at), "row %zu, element %lld", k,
                   (long long)i);
        }
        ct_tensor *g = drawn(&r, s);
        ct_tensor *dx = ct_conv2d_input(g, w, c->x.dims[1], c->x.dims[2], c->spec);
        ct_tensor *dw = ct_conv2d_kernel(x, g, c->w.dims[0], c->w.dims[1], c->spec);
        EXPECT(inner(y, g) == inner(x, dx) && inner(y, g) == inner(w, dw), "row %zu", k);
    }
}

/* --- Pooling ---------------------------------------------------------------------------------- */

static const ct_pool2d_spec poolings[] = {
    {.window = {2, 2}, .stride = {2, 2}},
    {.window = {3, 2}, .stride = {1, 2}, .pad = {1, 1, 1, 0}},
    {.window = {5, 5}, .stride = {2, 1}, .pad = {2, 2, 2, 2}, .count_pad = true},
};

/* The sum of a window, or the element of the largest shadow, over how many there are. */
static uint64_t pooled(ct_pool2d_spec p, ct_tensor *x, const int64_t at[4], bool largest) {
    ct_shape s = ct_shape_of(x);
    uint64_t sum = 0, best = 0, count = 0;
    double most = -10;
    for (int64_t tap = 0; tap < p.window[0] * p.window[1]; tap++) {
        int64_t row = at[1] * p.stride[0] - p.pad[0] + tap / p.window[1];
        int64_t column = at[2] * p.stride[1] - p.pad[2] + tap % p.window[1];
        if (row < 0 || row >= s.dims[1] || column < 0 || column >= s.dims[2]) continue;
        int64_t place = ((at[0] * s.dims[1] + row) * s.dims[2] + column) * s.dims[3] + at[3];
        sum = plus(sum, field_at(x, place));
        count++;
        if (element(x, place) > most) most = element(x, place), best = field_at(x, place);
    }
    if (p.count_pad) count = (uint64_t)(p.window[0] * p.window[1]);
    return largest ? best : ct_p61_div((ct_p61){sum, 0}, (ct_p61){count, 0}).field;
}

TEST(exact_kernels, pooling) {
    test_random r = {support_seed(33)};
    for (size_t k = 0; k < sizeof poolings / sizeof *poolings; k++) {
        ct_pool2d_spec p = poolings[k];
        ct_tensor *x = drawn(&r, CT_SHAPE(2, 8, 6, 3)), *h = drawn(&r, CT_SHAPE(2, 8, 6, 3));
        ct_tensor *mean = ct_avg_pool2d(x, p), *most = ct_max_pool2d(x, p);
        MADE(mean);
        ct_shape s = ct_shape_of(mean);
        for (int64_t i = 0; i < ct_numel(mean); i++) {
            int64_t at[] = {i / s.dims[3] / s.dims[2] / s.dims[1],
                            i / s.dims[3] / s.dims[2] % s.dims[1], i / s.dims[3] % s.dims[2],
                            i % s.dims[3]};
            EXPECT(field_at(mean, i) == pooled(p, x, at, false), "row %zu", k);
            EXPECT(field_at(most, i) == pooled(p, x, at, true), "row %zu", k);
        }
        ct_tensor *g = drawn(&r, s);
        EXPECT(inner(mean, g) == inner(x, ct_avg_pool2d_spread(g, 8, 6, p)), "row %zu", k);
        EXPECT(inner(ct_max_pool2d_gather(h, x, p), g) == inner(h, ct_max_pool2d_scatter(g, x, p)),
               "row %zu", k);
        EXPECT(inner(most, g) == inner(x, ct_max_pool2d_scatter(g, x, p)), "row %zu", k);
    }
}

/* --- Reductions and rows ---------------------------------------------------------------------- */

TEST(exact_kernels, sums_maxima_and_rows) {
    test_random r = {support_seed(34)};
    ct_tensor *x = drawn(&r, CT_SHAPE(37, 21)), *down = ct_sum(x, CT_AXES(0)), *all = ct_sum_all(x);
    ct_tensor *across = ct_max(x, CT_AXES(1)), *place = ct_argmax(x, 1);
    uint64_t total = 0;
    for (int64_t c = 0; c < 21; c++) {
        uint64_t sum = 0;
        for (int64_t i = 0; i < 37; i++) sum = plus(sum, field_at(x, i * 21 + c));
        EXPECT(field_at(down, c) == sum);
        total = plus(total, sum);
    }
    EXPECT(field_at(all, 0) == total);
    for (int64_t i = 0; i < 37; i++) {
        int64_t best = i * 21;
        for (int64_t c = 1; c < 21; c++)
            best = element(x, i * 21 + c) > element(x, best) ? i * 21 + c : best;
        EXPECT(field_at(across, i) == field_at(x, best) && ct_data_i64(place)[i] == best - i * 21);
    }
    ct_tensor *index = ct_from(CT_I64, CT_SHAPE(4), (int64_t[]){3, 0, 3, 36});
    ct_tensor *rows = ct_take(x, index), *g = drawn(&r, CT_SHAPE(4, 21));
    EXPECT(field_at(rows, 2 * 21 + 5) == field_at(x, 3 * 21 + 5));
    EXPECT(inner(rows, g) == inner(x, ct_scatter_add(g, index, 37)));
}

/* --- Any plan gives the same bits ------------------------------------------------------------- */

enum { ROOTS = 6 };

/* A convolution, BatchNorm, relu, and a product, with the derivatives of a loss by all weights, and
 * of what these weigh by them once more. Roots may be missing: then they are in every plan. */
static void build(ct_tensor *roots[ROOTS]) {
    test_random r = {support_seed(35)};
    ct_tensor *x = drawn(&r, CT_SHAPE(6, 9, 9, 2)),
              *w[] = {drawn(&r, CT_SHAPE(3, 3, 2, 5)), drawn(&r, CT_SHAPE(5)),
                      drawn(&r, CT_SHAPE(5, 300))};
    ct_tensor *y = ct_conv2d(x, w[0], (ct_conv2d_spec){.pad = {1, 1, 1, 1}});
    ct_tensor *mean = ct_mean_keep(y, CT_AXES(0, 1, 2)), *centred = ct_sub(y, mean);
    ct_tensor *variance = ct_mean_keep(ct_square(centred), CT_AXES(0, 1, 2));
    y = ct_relu(ct_mul(ct_div(centred, ct_offset(variance, 1e-3)), w[1]));
    y = ct_tanh(ct_matmul(ct_reshape(y, CT_SHAPE(486, 5)), w[2]));
    ct_tensor *g[3], *h[3];
    OK(ct_grad(ct_mean_all(ct_square(y)), w, 3, g));
    ct_tensor *sum = ct_add(ct_sum_all(ct_square(g[0])), ct_sum_all(ct_mul(g[1], g[1])));
    OK(ct_grad(sum, w, 3, h));
    memcpy(roots, g, sizeof g);
    memcpy(roots + 3, h, sizeof h);
}

static void expect_same(ct_tensor *const a[], ct_tensor *const b[]) {
    for (int k = 0; k < ROOTS; k++) {
        const ct_p61 *p = ct_data_p61(a[k]), *q = ct_data_p61(b[k]);
        MADE(p), MADE(q);
        for (int64_t i = 0; i < ct_numel(a[k]); i++) {
            EXPECT(p[i].field == q[i].field && ct_p61_has_value(p[i]), "root %d, element %lld", k,
                   (long long)i);
        }
    }
}

TEST(exact_kernels, every_plan_gives_the_same) {
    ct_tensor *together[ROOTS], *apart[ROOTS], *threads[ROOTS];
    build(together), build(apart), build(threads);
    int before = ct_threads();
    OK(ct_threads_set(1));
    OK(ct_eval(together, ROOTS));
    for (int k = ROOTS - 1; k >= 0; k--) OK(ct_eval(&apart[k], 1));
    expect_same(together, apart);
    OK(ct_threads_set(2));
    OK(ct_eval(threads, ROOTS));
    OK(ct_threads_set(before));
    expect_same(together, threads);
    for (int k = 0; k < ROOTS; k++) {
        size_t bytes = sizeof(ct_p61) * (size_t)ct_numel(together[k]);
        EXPECT(memcmp(ct_data(together[k]), ct_data(threads[k]), bytes) == 0, "root %d", k);
    }
}
