/* The gradient of ct_batch_norm, which nobody wrote, against the closed form on shapes of the kinds
 * that networks have; f32 against f64; other axes; passes; refusals. Its higher derivatives are in
 * test_batch_norm_orders.c, the layer in test_batch_norm.c. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "tensor/runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DX, DGAMMA, DBETA, GRADIENTS };
static const char *const names[] = {"dx", "dgamma", "dbeta"};

/* After convolutions early and late, after a dense layer, and wide ones. */
static const ct_shape shapes[] = {
    {4, {4, 26, 26, 32}},  {4, {8, 11, 11, 64}}, {4, {2, 56, 56, 64}},
    {4, {2, 14, 14, 256}}, {2, {2048, 64}},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef struct {
    int64_t rows, channels;
    double *x, *gamma, *beta, *dy;
} numbers;

static double *draw(test_random *r, int64_t n, double low, double high) {
    double *out = malloc((size_t)n * sizeof *out);
    /* Through f32, so that both types see the same inputs. */
    for (int64_t i = 0; i < n; i++) out[i] = (double)(float)random_real(r, low, high);
    return out;
}

static numbers numbers_new(ct_shape shape, double mean) {
    test_random r = {support_seed(17)};
    int64_t channels = shape.dims[shape.rank - 1], n = ct_shape_numel(shape);
    return (numbers){n / channels,
                     channels,
                     draw(&r, n, mean - 1.5, mean + 1.5),
                     draw(&r, channels, 0.5, 1.5),
                     draw(&r, channels, -1, 1),
                     draw(&r, n, -1, 1)};
}

static void numbers_free(numbers *s) { free(s->x), free(s->gamma), free(s->beta), free(s->dy); }

/* y, dx, dgamma, dbeta as graph. */
static void build(const numbers *s, ct_shape shape, ct_dtype dtype, ct_tensor *roots[4]) {
    ct_tensor *x[] = {leaf_from(dtype, shape, s->x),
                      leaf_from(dtype, CT_SHAPE(s->channels), s->gamma),
                      leaf_from(dtype, CT_SHAPE(s->channels), s->beta)};
    roots[0] = ct_batch_norm(x[0], x[1], x[2], -1, 1e-3, NULL, NULL);
    ct_tensor *dy = leaf_from(dtype, shape, s->dy);
    EXPECT(ct_vjp(roots[0], dy, x, 3, roots + 1) == CT_OK, "%s", ct_error_message());
}

/* The closed form in long double. */
static void closed_form(const numbers *s, double *const out[GRADIENTS]) {
    for (int64_t c = 0; c < s->channels; c++) {
        long double mean = 0, variance = 0, dgamma = 0, dbeta = 0, n = (long double)s->rows;
        for (int64_t i = c; i < s->rows * s->channels; i += s->channels) mean += s->x[i] / n;
        for (int64_t i = c; i < s->rows * s->channels; i += s->channels) {
            variance += (s->x[i] - mean) * (s->x[i] - mean) / n;
        }
        long double scale = 1 / sqrtl(variance + 1e-3L);
        for (int64_t i = c; i < s->rows * s->channels; i += s->channels) {
            dbeta += s->dy[i];
            dgamma += s->dy[i] * (s->x[i] - mean) * scale;
        }
        for (int64_t i = c; i < s->rows * s->channels; i += s->channels) {
            long double normal = (s->x[i] - mean) * scale;
            out[DX][i] = (double)(s->gamma[c] * scale *
                                  (s->dy[i] - dbeta / n - normal * dgamma / n));
        }
        out[DGAMMA][c] = (double)dgamma;
        out[DBETA][c] = (double)dbeta;
    }
}

/* max |a - b| / max |b| */
static double error_of(ct_tensor *a, const double *b) {
    double off = 0, largest = 0;
    for (int64_t i = 0; i < ct_numel(a); i++) {
        off = fmax(off, isnan(element(a, i)) ? INFINITY : fabs(element(a, i) - b[i]));
        largest = fmax(largest, fabs(b[i]));
    }
    return off / largest;
}

static void expect_near(ct_shape shape, ct_dtype dtype, double mean, double bound) {
    int64_t scope = ct_scope_open();
    volatile long double one = 1;
    if (one + 0x1p-60L == one) bound *= 10; /* valgrind computes the closed form in f64 too */
    numbers s = numbers_new(shape, mean);
    double *expected[GRADIENTS] = {malloc((size_t)(s.rows * s.channels) * sizeof(double)),
                                   malloc((size_t)s.channels * sizeof(double)),
                                   malloc((size_t)s.channels * sizeof(double))};
    closed_form(&s, expected);
    ct_tensor *roots[4];
    build(&s, shape, dtype, roots);
    EXPECT(ct_eval(roots, 4) == CT_OK);
    for (int i = 0; i < GRADIENTS; i++) {
        double error = error_of(roots[i + 1], expected[i]);
        EXPECT(error <= bound, "%s of %s %s, mean %g: %.3g", names[i], ct_dtype_name(dtype),
               ct_shape_format(shape).text, mean, error);
        free(expected[i]);
    }
    numbers_free(&s);
    ct_scope_close(scope);
}

TEST(batch_norm_gradient, is_the_closed_form) {
    for (int i = 0; i < SHAPES; i++) expect_near(shapes[i], CT_F64, 0.5, 1e-14);
    for (int i = 0; i < SHAPES; i++) expect_near(shapes[i], CT_F64, 1000, 1e-12);
}

TEST(batch_norm_gradient, in_f32_is_that_of_f64_rounded) {
    for (int i = 0; i < SHAPES; i++) expect_near(shapes[i], CT_F32, 0.5, 2e-6);
    /* The deviations from a mean of 1000 have that much less precision. */
    for (int i = 0; i < SHAPES; i++) expect_near(shapes[i], CT_F32, 1000, 1e-3);
}

/* Channels first: the same numbers as channels last, permuted. */
TEST(batch_norm_gradient, on_any_axis) {
    ct_shape shape = CT_SHAPE(3, 4, 5, 6);
    numbers s = numbers_new(shape, 0);
    ct_tensor *roots[4], *found[3];
    build(&s, shape, CT_F64, roots);
    ct_tensor *last = leaf_from(CT_F64, shape, s.x), *dy = leaf_from(CT_F64, shape, s.dy);
    ct_tensor *x[] = {ct_detach(ct_permute(last, CT_AXES(0, 3, 1, 2))),
                      leaf_from(CT_F64, CT_SHAPE(6), s.gamma),
                      leaf_from(CT_F64, CT_SHAPE(6), s.beta)};
    ct_tensor *mean, *variance;
    ct_tensor *y = ct_batch_norm(x[0], x[1], x[2], 1, 1e-3, &mean, &variance);
    EXPECT(ct_vjp(y, ct_permute(dy, CT_AXES(0, 3, 1, 2)), x, 3, found) == CT_OK);
    found[0] = ct_permute(found[0], CT_AXES(0, 2, 3, 1));
    for (int i = 0; i < GRADIENTS; i++) {
        const double *expected = ct_data_f64(roots[i + 1]);
        EXPECT(expected && error_of(found[i], expected) < 1e-14, "%s", names[i]);
    }
    EXPECT(ct_shape_equal(ct_shape_of(mean), CT_SHAPE(6)));
    EXPECT(error_of(variance, ct_data_f64(ct_var(last, CT_AXES(0, 1, 2)))) < 1e-14);
    numbers_free(&s);
}

/* One number for all channels: its gradient is the sum over the channels. */
TEST(batch_norm_gradient, of_a_shared_scale_and_shift) {
    ct_shape shape = CT_SHAPE(7, 5);
    numbers s = numbers_new(shape, 0);
    for (int i = 1; i < 5; i++) s.gamma[i] = s.gamma[0], s.beta[i] = s.beta[0];
    ct_tensor *roots[4], *found[3];
    build(&s, shape, CT_F64, roots);
    ct_tensor *x[] = {leaf_from(CT_F64, shape, s.x), leaf_from(CT_F64, CT_SCALAR, s.gamma),
                      leaf_from(CT_F64, CT_SHAPE(1), s.beta)};
    ct_tensor *y = ct_batch_norm(x[0], x[1], x[2], -1, 1e-3, NULL, NULL);
    EXPECT(ct_vjp(y, leaf_from(CT_F64, shape, s.dy), x, 3, found) == CT_OK);
    EXPECT(error_of(found[DX], ct_data_f64(roots[1])) < 1e-15);
    EXPECT(near(ct_item(found[DGAMMA]), ct_item(ct_sum_all(roots[2])), 1e-14, 0));
    EXPECT(near(ct_item(found[DBETA]), ct_item(ct_sum_all(roots[3])), 1e-14, 0));
    numbers_free(&s);
}

/* What the planner makes of it; a change must not make it more. Only passes over x cost memory
 * traffic, and there are three of them, forward and backward together when the cotangent is there
 * from the start; the others hold one number per channel. */
enum { FORWARD_PASSES = 5, ALL_PASSES = 5 };

TEST(batch_norm_gradient, takes_few_passes) {
    ct_shape shape = CT_SHAPE(512, 32);
    numbers s = numbers_new(shape, 0);
    ct_tensor *forward[4], *all[4];
    build(&s, shape, CT_F32, forward);
    build(&s, shape, CT_F32, all);
    EXPECT(ct_eval(forward, 1) == CT_OK);
    int64_t passes = ct_plan_last().passes;
    EXPECT(passes <= FORWARD_PASSES, "forward: %lld", (long long)passes);
    EXPECT(ct_eval(all, 4) == CT_OK);
    passes = ct_plan_last().passes;
    EXPECT(passes <= ALL_PASSES, "with the gradient: %lld", (long long)passes);
    numbers_free(&s);
}

/* --- Refusals ----------------------------------------------------------------------------- */

static void expect_refused(ct_tensor *y, ct_status expected, const char *message) {
    ct_status status;
    const char *text = taken_error(&status);
    EXPECT(!y && status == expected, "%s", text);
    EXPECT(strcmp(text, message) == 0, "%s", text);
}

static ct_tensor *of(ct_shape shape, ct_shape gamma, ct_shape beta, int axis, double epsilon) {
    return ct_batch_norm(ct_full(CT_F32, shape, 1), ct_full(CT_F32, gamma, 1),
                         ct_full(CT_F32, beta, 1), axis, epsilon, NULL, NULL);
}

TEST(batch_norm_gradient, refuses_what_makes_no_sense) {
    ct_shape two = CT_SHAPE(2), image = CT_SHAPE(1, 1, 1, 2);
    expect_refused(of(image, two, two, -1, 1e-3), CT_ERR_SHAPE,
                   "ct_batch_norm: training needs > 1 value per channel, got 1 (x is [1,1,1,2], "
                   "channels on axis 3): the variance of one value is 0 whatever it is, and so is "
                   "the derivative");
    expect_refused(of(CT_SHAPE(0, 2), two, two, -1, 1e-3), CT_ERR_SHAPE,
                   "ct_batch_norm: training needs > 1 value per channel, got 0 (x is [0,2], "
                   "channels on axis 1): the variance of one value is 0 whatever it is, and so is "
                   "the derivative");
    expect_refused(of(CT_SHAPE(4, 2), CT_SHAPE(3), two, -1, 1e-3), CT_ERR_SHAPE,
                   "ct_batch_norm: 'gamma' has 3 elements, x [4,2] has 2 channels on axis 1");
    expect_refused(of(CT_SHAPE(4, 2), two, CT_SHAPE(3), 0, 1e-3), CT_ERR_SHAPE,
                   "ct_batch_norm: 'gamma' has 2 elements, x [4,2] has 4 channels on axis 0");
    expect_refused(of(CT_SHAPE(4, 2), two, two, 2, 1e-3), CT_ERR_SHAPE,
                   "ct_batch_norm: axis must be in -2..1 for rank 2, got 2");
    expect_refused(of(CT_SHAPE(4, 2), two, two, -1, -1), CT_ERR_RANGE,
                   "ct_batch_norm: epsilon must be >= 0, got -1");
    expect_refused(of(CT_SHAPE(4, 2), two, two, -1, NAN), CT_ERR_RANGE,
                   "ct_batch_norm: epsilon must be >= 0, got nan");
    expect_refused(ct_batch_norm(ct_full(CT_F32, CT_SHAPE(4, 2), 1), NULL, NULL, -1, 0, NULL, NULL),
                   CT_ERR_NULL, "ct_batch_norm: 'gamma' is NULL");
    expect_refused(ct_batch_norm(ct_full(CT_F32, CT_SHAPE(4, 2), 1), ct_full(CT_F64, two, 1),
                                 ct_full(CT_F64, two, 1), -1, 0, NULL, NULL),
                   CT_ERR_DTYPE, "ct_batch_norm: dtypes differ: f64 and f32; use ct_cast");
}
