/* Pooling: the three faces of the maximum and the two of the mean against loops over windows, ties
 * and NaN, views, threads.
 * Derivatives against finite differences are in test_primitives.c, refusals in
 * test_window_refusals.c.
 * Invariant: elements are small multiples of 1/8, so ties abound and sums of them are exact. */
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/runtime.h"
#include "tests/support/test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    ct_shape x, y;
    int64_t window[2], stride[2], pad[4];
    ct_pool2d_spec spec;
} pool;

static pool pool_of(ct_shape x, ct_pool2d_spec spec) {
    pool p = {.x = x, .y = x, .spec = spec};
    memcpy(p.pad, spec.pad, sizeof p.pad);
    for (int d = 0; d < 2; d++) {
        p.window[d] = spec.window[d] ? spec.window[d] : 2;
        p.stride[d] = spec.stride[d] ? spec.stride[d] : p.window[d];
        int64_t padded = x.dims[1 + d] + p.pad[2 * d] + p.pad[2 * d + 1];
        p.y.dims[1 + d] = (padded - p.window[d]) / p.stride[d] + 1;
    }
    return p;
}

/* The element of x under tap t of output k, or -1 in the padding. */
static int64_t under(const pool *p, int64_t k, int64_t t) {
    const int64_t *y = p->y.dims, *x = p->x.dims;
    int64_t channel = k % y[3], j = k / y[3] % y[2], i = k / y[3] / y[2] % y[1];
    int64_t row = i * p->stride[0] - p->pad[0] + t / p->window[1];
    int64_t column = j * p->stride[1] - p->pad[2] + t % p->window[1];
    if (row < 0 || row >= x[1] || column < 0 || column >= x[2]) return -1;
    return ((k / y[3] / y[2] / y[1] * x[1] + row) * x[2] + column) * x[3] + channel;
}

/* Where the maximum is: the first NaN, else the first of the largest. */
static int64_t winner(const pool *p, ct_tensor *x, int64_t k) {
    int64_t best = -1;
    for (int64_t t = 0; t < p->window[0] * p->window[1]; t++) {
        int64_t at = under(p, k, t);
        if (at < 0) continue;
        double value = element(x, at), top = best < 0 ? 0 : element(x, best);
        if (best < 0 || value > top || (isnan(value) && !isnan(top))) best = at;
    }
    return best;
}

/* Few values, so that ties are everywhere; now and then a special one. */
static ct_tensor *noisy(ct_dtype dtype, ct_shape shape, uint64_t seed, bool special) {
    static const double specials[] = {(double)NAN, -INFINITY, INFINITY, -0.0};
    int64_t n = ct_shape_numel(shape);
    double *values = malloc(sizeof(double) * (size_t)(n + 1));
    test_random r = {seed};
    for (int64_t i = 0; i < n; i++) {
        values[i] = (double)random_between(&r, -3, 3) / 8;
        if (special && random_chance(&r, 15)) values[i] = specials[random_below(&r, 4)];
    }
    ct_tensor *t = leaf_from(dtype, shape, values);
    free(values);
    return t;
}

static void expect_elements(ct_tensor *t, ct_shape shape, const double *expected,
                            double tolerance) {
    EXPECT(ct_shape_equal(ct_shape_of(t), shape), "%s %s", ct_shape_format(ct_shape_of(t)).text,
           ct_error_message());
    EXPECT(ct_data(t) != NULL, "%s", ct_error_message());
    for (int64_t i = 0; i < ct_shape_numel(shape); i++) {
        if (EXPECT(near(element(t, i), expected[i], tolerance, tolerance), "%lld: %g, not %g",
                   (long long)i, element(t, i), expected[i]))
            continue;
        return;
    }
}

static void expect_maxima(const pool *p, ct_dtype dtype, uint64_t seed) {
    ct_tensor *x = noisy(dtype, p->x, seed, seed % 2), *h = noisy(dtype, p->x, seed + 1, false);
    ct_tensor *y = noisy(dtype, p->y, seed + 2, false);
    int64_t n = ct_shape_numel(p->y), m = ct_shape_numel(p->x);
    double *top = calloc((size_t)n + 1, sizeof *top), *read = calloc((size_t)n + 1, sizeof *read);
    double *added = calloc((size_t)m + 1, sizeof *added);
    for (int64_t k = 0; k < n; k++) {
        int64_t at = winner(p, x, k);
        top[k] = element(x, at);
        read[k] = element(h, at);
        added[at] += element(y, k);
    }
    expect_elements(ct_max_pool2d(x, p->spec), p->y, top, 0);
    expect_elements(ct_max_pool2d_gather(h, x, p->spec), p->y, read, 0);
    expect_elements(ct_max_pool2d_scatter(y, x, p->spec), p->x, added, 0);
    free(top);
    free(read);
    free(added);
}

static void expect_means(const pool *p, ct_dtype dtype, uint64_t seed) {
    ct_tensor *x = noisy(dtype, p->x, seed, false), *y = noisy(dtype, p->y, seed + 1, false);
    int64_t n = ct_shape_numel(p->y), m = ct_shape_numel(p->x);
    int64_t taps = p->window[0] * p->window[1];
    double *mean = calloc((size_t)n + 1, sizeof *mean);
    double *spread = calloc((size_t)m + 1, sizeof *spread);
    for (int64_t k = 0; k < n; k++) {
        int64_t inside = 0;
        for (int64_t t = 0; t < taps; t++) inside += under(p, k, t) >= 0;
        double count = (double)(p->spec.count_pad ? taps : inside);
        for (int64_t t = 0; t < taps; t++) {
            int64_t at = under(p, k, t);
            if (at < 0) continue;
            mean[k] += element(x, at);
            spread[at] += element(y, k) / count;
        }
        mean[k] /= count;
    }
    double tolerance = (double)(taps + 4) * (dtype == CT_F32 ? FLT_EPSILON : DBL_EPSILON);
    expect_elements(ct_avg_pool2d(x, p->spec), p->y, mean, tolerance);
    expect_elements(ct_avg_pool2d_spread(y, p->x.dims[1], p->x.dims[2], p->spec), p->x, spread,
                    tolerance);
    free(mean);
    free(spread);
}

static void expect_pool(ct_shape x, ct_pool2d_spec spec, ct_dtype dtype, uint64_t seed) {
    int64_t scope = ct_scope_open();
    pool p = pool_of(x, spec);
    expect_maxima(&p, dtype, seed);
    expect_means(&p, dtype, seed);
    ct_scope_close(scope);
}

/* --- Values ----------------------------------------------------------------------------------- */

TEST(pool, every_combination) {
    static const int64_t windows[][2] = {{0, 0}, {1, 1}, {3, 3}, {5, 2}, {6, 7}};
    static const int64_t strides[][2] = {{0, 0}, {1, 1}, {2, 3}, {4, 1}};
    static const int64_t channels[] = {1, 3, 64, 70}, batches[] = {0, 1, 3};
    for (int k = 0; k < 5 * 4 * 4 * 3 * 2; k++) {
        const int64_t *window = windows[k % 5], *stride = strides[k / 5 % 4];
        ct_pool2d_spec spec = {{window[0], window[1]}, {stride[0], stride[1]}, {0}, k / 120 % 2};
        int64_t high = (window[0] ? window[0] : 2) - 1, wide = (window[1] ? window[1] : 2) - 1;
        if (k / 240) memcpy(spec.pad, (int64_t[]){high / 2, high, wide, wide / 2}, sizeof spec.pad);
        ct_shape x = CT_SHAPE(batches[k / 80 % 3], 9, 8, channels[k / 20 % 4]);
        expect_pool(x, spec, k % 3 ? CT_F32 : CT_F64, (uint64_t)k);
    }
}

/* Bands with halos, several parts, windows that are followed channel by channel. */
static const struct {
    int64_t x[4];
    ct_pool2d_spec spec;
} large_cases[] = {{{3, 26, 26, 32}, {{0}, {0}, {0}, false}},
                   {{1, 97, 40, 5}, {{3, 3}, {2, 2}, {1, 1, 1, 1}, true}},
                   {{2, 80, 31, 19}, {{5, 6}, {1, 2}, {4, 0, 2, 5}, false}},
                   {{20, 7, 7, 130}, {{7, 7}, {0}, {0}, false}}};
enum { LARGE_CASES = sizeof large_cases / sizeof *large_cases };

static ct_shape large_shape(int k) {
    ct_shape shape = {.rank = 4};
    memcpy(shape.dims, large_cases[k].x, sizeof large_cases[k].x);
    return shape;
}

TEST(pool, large_ones) {
    for (int k = 0; k < LARGE_CASES; k++) {
        expect_pool(large_shape(k), large_cases[k].spec, CT_F32, 2 * (uint64_t)k);
        expect_pool(large_shape(k), large_cases[k].spec, CT_F64, 2 * (uint64_t)k + 1);
    }
}

TEST(pool, a_tie_goes_to_the_first_and_so_does_nan) {
    double nan = (double)NAN, inf = INFINITY;
    const struct {
        double x[4];
        int64_t place;
    } windows[] = {{{5, 5, 5, 5}, 0},
                   {{1, 7, 7, 7}, 1},
                   {{1, 2, 9, 9}, 2},
                   {{-0.0, 0.0, 0, 0}, 0},
                   {{-inf, -inf, -inf, -inf}, 0},
                   {{-inf, -inf, -3, 0}, 3},
                   {{1, nan, 9, nan}, 1},
                   {{nan, nan, inf, 1}, 0},
                   {{inf, 1, nan, inf}, 2}};
    for (size_t k = 0; k < sizeof windows / sizeof *windows; k++) {
        for (ct_dtype dtype = CT_F32; dtype <= CT_F64; dtype++) {
            ct_tensor *x = leaf_from(dtype, CT_SHAPE(1, 2, 2, 1), windows[k].x);
            ct_tensor *y = leaf_from(dtype, CT_SHAPE(1, 1, 1, 1), (double[]){2});
            double expected[4] = {0};
            expected[windows[k].place] = 2;
            expect_elements(ct_max_pool2d(x, (ct_pool2d_spec){0}), CT_SHAPE(1, 1, 1, 1),
                            &windows[k].x[windows[k].place], 0);
            expect_elements(ct_max_pool2d_scatter(y, x, (ct_pool2d_spec){0}), CT_SHAPE(1, 2, 2, 1),
                            expected, 0);
        }
    }
}

/* --- Derivatives, views, threads -------------------------------------------------------------- */

TEST(pool, derivatives_are_the_other_faces) {
    pool p = pool_of(CT_SHAPE(2, 7, 9, 3), (ct_pool2d_spec){{3, 2}, {2, 1}, {1, 2, 0, 1}, true});
    ct_tensor *x = noisy(CT_F64, p.x, 1, false), *h = noisy(CT_F64, p.x, 2, false);
    ct_tensor *g = noisy(CT_F64, p.y, 3, false), *out[2] = {NULL};
    EXPECT(ct_vjp(ct_max_pool2d(x, p.spec), g, &x, 1, out) == CT_OK);
    EXPECT(same_bits(out[0], ct_max_pool2d_scatter(g, x, p.spec)), "%s", ct_error_message());
    ct_tensor *to_scatter[] = {g, x}, *to_gather[] = {h, x};
    EXPECT(ct_vjp(ct_max_pool2d_scatter(g, x, p.spec), h, to_scatter, 2, out) == CT_OK);
    EXPECT(same_bits(out[0], ct_max_pool2d_gather(h, x, p.spec)), "%s", ct_error_message());
    EXPECT(ct_item(ct_sum_all(ct_abs(out[1]))) == 0);
    EXPECT(ct_vjp(ct_max_pool2d_gather(h, x, p.spec), g, to_gather, 2, out) == CT_OK);
    EXPECT(same_bits(out[0], ct_max_pool2d_scatter(g, x, p.spec)), "%s", ct_error_message());
    EXPECT(ct_item(ct_sum_all(ct_abs(out[1]))) == 0);
    EXPECT(ct_vjp(ct_avg_pool2d(x, p.spec), g, &x, 1, out) == CT_OK);
    ct_tensor *spread = ct_avg_pool2d_spread(g, 7, 9, p.spec);
    EXPECT(same_bits(out[0], spread), "%s", ct_error_message());
    EXPECT(ct_vjp(spread, h, &g, 1, out) == CT_OK);
    EXPECT(same_bits(out[0], ct_avg_pool2d(h, p.spec)), "%s", ct_error_message());
}

TEST(pool, operands_of_any_layout) {
    ct_pool2d_spec spec = {{2, 3}, {1, 2}, {1, 0, 2, 1}, false};
    ct_tensor *base = noisy(CT_F32, CT_SHAPE(5, 8, 3, 9), 1, false);
    ct_tensor *x = ct_flip(ct_permute(base, CT_AXES(2, 3, 1, 0)), CT_AXES(1, 3));
    ct_tensor *copy = ct_from(CT_F32, ct_shape_of(x), ct_data(x));
    ct_tensor *y = ct_max_pool2d(x, spec), *turned = ct_flip(y, CT_AXES(2));
    EXPECT(same_bits(y, ct_max_pool2d(copy, spec)));
    EXPECT(same_bits(ct_avg_pool2d(x, spec), ct_avg_pool2d(copy, spec)));
    EXPECT(same_bits(ct_max_pool2d_gather(x, x, spec), ct_max_pool2d_gather(copy, copy, spec)));
    ct_tensor *flat = ct_from(CT_F32, ct_shape_of(turned), ct_data(turned));
    EXPECT(
        same_bits(ct_max_pool2d_scatter(turned, x, spec), ct_max_pool2d_scatter(flat, copy, spec)));
    EXPECT(same_bits(ct_avg_pool2d_spread(turned, 9, 8, spec),
                     ct_avg_pool2d_spread(flat, 9, 8, spec)));
}

TEST(pool, threads_change_no_bit) {
    for (int k = 0; k < LARGE_CASES; k++) {
        int64_t scope = ct_scope_open();
        pool p = pool_of(large_shape(k), large_cases[k].spec);
        ct_tensor *x = noisy(CT_F32, p.x, 1, false), *y = noisy(CT_F32, p.y, 2, false);
        ct_tensor *first[5];
        for (int threads = 1; threads <= 4; threads++) {
            ct_tensor *all[] = {ct_max_pool2d(x, p.spec), ct_max_pool2d_scatter(y, x, p.spec),
                                ct_max_pool2d_gather(x, x, p.spec), ct_avg_pool2d(x, p.spec),
                                ct_avg_pool2d_spread(y, p.x.dims[1], p.x.dims[2], p.spec)};
            ct_threads_set(threads);
            EXPECT(ct_eval(all, 5) == CT_OK, "%s", ct_error_message());
            if (threads == 1) memcpy(first, all, sizeof first);
            for (int f = 0; f < 5; f++) EXPECT(same_bits(first[f], all[f]), "case %d", k);
        }
        ct_scope_close(scope);
    }
}
