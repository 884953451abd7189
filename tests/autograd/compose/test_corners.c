/* Compositions where plain formulas give way: infinities, tails, squares that leave the range, NaN.
 * Values and derivatives of orders 1 and 2, in f32 and f64.
 * Ties and poles of single ops are test_conventions' business.
 * Invariant: `exactly` expects the number itself, `closely` a relative error of a few roundings. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"

#include <float.h>
#include <math.h>

typedef ct_tensor *function(ct_tensor *x);

#define EACH_DTYPE(dtype) for (ct_dtype dtype = CT_F32; dtype <= CT_F64; dtype++)
#define COUNT(...) ((int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)))
#define VECTOR(dtype, ...) leaf_from(dtype, CT_SHAPE(COUNT(__VA_ARGS__)), (double[]){__VA_ARGS__})

static void expect(int line, ct_tensor *t, const double *wanted, int64_t n, double roundings) {
    double relative = roundings * (ct_dtype_of(t) == CT_F32 ? FLT_EPSILON : DBL_EPSILON);
    if (!EXPECT(ct_numel(t) == n, "line %d: %s", line, ct_error_message())) return;
    for (int64_t i = 0; i < n; i++) {
        EXPECT(near(element(t, i), wanted[i], 0, relative),
               "line %d, %s: element %lld is %.9g, "
               "not %.9g",
               line, ct_dtype_name(ct_dtype_of(t)), (long long)i, element(t, i), wanted[i]);
    }
}

#define EXACTLY(t, ...) expect(__LINE__, t, (double[]){__VA_ARGS__}, COUNT(__VA_ARGS__), 0)
#define CLOSELY(t, ...) expect(__LINE__, t, (double[]){__VA_ARGS__}, COUNT(__VA_ARGS__), 8)

/* The derivative of the sum of y. */
static ct_tensor *slope(ct_tensor *y, ct_tensor *x) {
    ct_tensor *g = NULL;
    EXPECT(ct_grad(ct_sum_all(y), &x, 1, &g) == CT_OK, "%s", ct_error_message());
    return g;
}

/* That of order 2, weighted: of a sum of shares there would be nothing to see. */
static ct_tensor *curve(ct_tensor *y, ct_tensor *x) {
    ct_tensor *weights = ct_cast(ct_arange(CT_I64, 1, 1 + (double)ct_numel(x), 1), ct_dtype_of(x));
    return slope(ct_mul(slope(y, x), ct_reshape(weights, ct_shape_of(x))), x);
}

/* --- Shares of exponentials ------------------------------------------------------------------- */

static ct_tensor *logsumexp(ct_tensor *x) { return ct_logsumexp(x, -1); }
static ct_tensor *softmax(ct_tensor *x) { return ct_softmax(x, -1); }
static ct_tensor *log_softmax(ct_tensor *x) { return ct_log_softmax(x, -1); }

TEST(corners, logsumexp_of_infinities) {
    EACH_DTYPE(dtype) {
        double most = dtype == CT_F32 ? (double)FLT_MAX : DBL_MAX;
        ct_tensor *none = VECTOR(dtype, -INFINITY, -INFINITY), *all = VECTOR(dtype, INFINITY, 1);
        ct_tensor *some = VECTOR(dtype, -INFINITY, 0, 1), *even = VECTOR(dtype, INFINITY, INFINITY);
        ct_tensor *far = VECTOR(dtype, most, -most), *lost = VECTOR(dtype, 1, NAN);
        double p = 1 / (1 + exp(1.0));
        EXACTLY(logsumexp(none), -INFINITY);
        EXACTLY(slope(logsumexp(none), none), 0, 0);
        EXACTLY(curve(logsumexp(none), none), 0, 0);
        EXACTLY(logsumexp(all), INFINITY);
        EXACTLY(slope(logsumexp(all), all), 1, 0);
        EXACTLY(curve(logsumexp(all), all), 0, 0);
        EXACTLY(slope(logsumexp(even), even), 0.5, 0.5);
        CLOSELY(logsumexp(some), log(1 + exp(1.0)));
        CLOSELY(slope(logsumexp(some), some), 0, p, 1 - p);
        CLOSELY(curve(logsumexp(some), some), 0, -p * (1 - p), p * (1 - p));
        EXACTLY(logsumexp(far), most);
        EXACTLY(slope(logsumexp(far), far), 1, 0);
        EXACTLY(logsumexp(lost), NAN);
        EXACTLY(slope(logsumexp(lost), lost), NAN, NAN);
    }
}

TEST(corners, softmax_of_infinities) {
    EACH_DTYPE(dtype) {
        ct_tensor *none = VECTOR(dtype, -INFINITY, -INFINITY), *all = VECTOR(dtype, INFINITY, 1);
        EXACTLY(softmax(none), 0, 0);
        EXACTLY(curve(softmax(none), none), 0, 0);
        EXACTLY(softmax(all), 1, 0);
        EXACTLY(slope(ct_square(softmax(all)), all), 0, 0);
        EXACTLY(curve(ct_square(softmax(all)), all), 0, 0);
        EXACTLY(log_softmax(all), 0, -INFINITY);
        EXACTLY(slope(ct_slice(log_softmax(all), 0, 0, 1, 1), all), 0, 0);
        EXACTLY(slope(ct_slice(log_softmax(all), 0, 1, 2, 1), all), -1, 1);
        EXACTLY(log_softmax(none), -INFINITY, -INFINITY);
        EXACTLY(softmax(VECTOR(dtype, 1, NAN)), NAN, NAN);
    }
}

/* Rows, and columns, that are masked in part and altogether, beside one that is not. */
TEST(corners, a_masked_row_is_one_of_its_own) {
    EACH_DTYPE(dtype) {
        const double rows[] = {1, 2, -INFINITY, -INFINITY, -INFINITY, -INFINITY, 0, 0, 0};
        double p = 1 / (1 + exp(1.0)), third = 1 / 3.0;
        ct_tensor *x = leaf_from(dtype, CT_SHAPE(3, 3), rows), *turned = ct_transpose(x);
        EXACTLY(ct_slice(ct_logsumexp(x, 1), 0, 1, 2, 1), -INFINITY);
        CLOSELY(slope(ct_logsumexp(x, 1), x), p, 1 - p, 0, 0, 0, 0, third, third, third);
        CLOSELY(slope(ct_logsumexp(turned, 0), x), p, 1 - p, 0, 0, 0, 0, third, third, third);
        CLOSELY(ct_softmax(x, 1), p, 1 - p, 0, 0, 0, 0, third, third, third);
        ct_tensor *c = curve(ct_softmax(x, 1), x);
        for (int64_t i = 0; i < 9; i++) EXPECT(fabs(element(c, i)) < 1e-6);
    }
}

/* Attention where the second query may look at nothing: its output is 0, and nothing flows back
 * through it. */
TEST(corners, attention_with_a_masked_row) {
    EACH_DTYPE(dtype) {
        ct_tensor *q = VECTOR(dtype, 1, -1, 0.5, 2, 3, 1), *k = VECTOR(dtype, 0, 1, 2, -1, 1, 1);
        ct_tensor *v = VECTOR(dtype, 1, 2, 3, 4, 5, 6), *in[] = {q, k, v}, *out[3];
        ct_tensor *mask = leaf_from(dtype, CT_SHAPE(3, 1), (double[]){0, -INFINITY, 0});
        ct_tensor *scores = ct_matmul(ct_reshape(q, CT_SHAPE(3, 2)),
                                      ct_transpose(ct_reshape(k, CT_SHAPE(3, 2))));
        ct_tensor *shares = ct_softmax(ct_add(scores, mask), 1);
        ct_tensor *y = ct_matmul(shares, ct_reshape(v, CT_SHAPE(3, 2)));
        EXACTLY(ct_slice(y, 0, 1, 2, 1), 0, 0);
        EXPECT(ct_grad(ct_sum_all(ct_square(y)), in, 3, out) == CT_OK);
        EXACTLY(ct_slice(ct_reshape(out[0], CT_SHAPE(3, 2)), 0, 1, 2, 1), 0, 0);
        for (int i = 0; i < 3; i++) EXPECT(isfinite(ct_item(ct_sum_all(out[i]))));
    }
}

/* --- Activations ------------------------------------------------------------------------------ */

static ct_tensor *elu(ct_tensor *x) { return ct_elu(x, 1); }

TEST(corners, softplus_keeps_its_tail) {
    EACH_DTYPE(dtype) {
        ct_tensor *x = VECTOR(dtype, -80, -17, -1, 3, 100);
        ct_tensor *ends = VECTOR(dtype, -INFINITY, INFINITY);
        CLOSELY(ct_softplus(x), exp(-80.0), log1p(exp(-17.0)), log1p(exp(-1.0)), log1p(exp(3.0)),
                100);
        CLOSELY(slope(ct_softplus(x), x), exp(-80.0), 1 / (1 + exp(17.0)), 1 / (1 + exp(1.0)),
                1 / (1 + exp(-3.0)), 1);
        EXACTLY(ct_softplus(ends), 0, INFINITY);
        EXACTLY(slope(ct_softplus(ends), ends), 0, 1);
        EXACTLY(curve(ct_softplus(ends), ends), 0, 0);
        ct_tensor *zero = VECTOR(dtype, 0);
        EXACTLY(slope(ct_softplus(zero), zero), 0.5);
        EXACTLY(curve(ct_softplus(zero), zero), 0.25);
    }
    ct_tensor *deep = VECTOR(CT_F64, -37, -700);
    CLOSELY(ct_softplus(deep), exp(-37), exp(-700));
}

TEST(corners, elu_keeps_small_arguments) {
    EACH_DTYPE(dtype) {
        ct_tensor *x = VECTOR(dtype, -1e-8, -0.5, -20, 0, 2);
        ct_tensor *ends = VECTOR(dtype, -INFINITY, INFINITY);
        CLOSELY(ct_elu(x, 2), 2 * expm1(-1e-8), 2 * expm1(-0.5), 2 * expm1(-20), 0, 2);
        CLOSELY(slope(ct_elu(x, 2), x), 2 * exp(-1e-8), 2 * exp(-0.5), 2 * exp(-20), 2, 1);
        CLOSELY(curve(ct_elu(x, 2), x), 2 * exp(-1e-8), 4 * exp(-0.5), 6 * exp(-20), 8, 0);
        EXACTLY(elu(ends), -1, INFINITY);
        EXACTLY(slope(elu(ends), ends), 0, 1);
        EXACTLY(curve(elu(ends), ends), 0, 0);
    }
}

/* References: x erfc(-x / sqrt 2) / 2 with 30 digits. The slopes of f32 have the error of a rounded
 * x^2 in their exponent. */
TEST(corners, gelu_keeps_its_tail) {
    EACH_DTYPE(dtype) {
        ct_tensor *x = VECTOR(dtype, -6, -3, -0.5, 0, 2, 50), *g = slope(ct_gelu(x), x);
        const double slopes[] = {-3.5468709453902015e-8, -0.011945647204183927,
                                 0.13250487534383716,    0.5,
                                 1.0852318010781969,     1};
        CLOSELY(ct_gelu(x), -5.9195258702261888e-9, -0.0040496940948902836, -0.15426876936299345, 0,
                1.9544997361036416, 50);
        for (int64_t i = 0; i < 6; i++) EXPECT(near(element(g, i), slopes[i], 0, 1e-6));
        ct_tensor *ends = VECTOR(dtype, -INFINITY, INFINITY, -1e4, 1e4);
        EXACTLY(ct_gelu(ends), 0, INFINITY, 0, 1e4);
        EXACTLY(slope(ct_gelu(ends), ends), 0, 1, 0, 1);
        EXACTLY(curve(ct_gelu(ends), ends), 0, 0, 0, 0);
    }
    CLOSELY(ct_gelu(VECTOR(CT_F64, -12, -30)), -2.1317785344932148e-32, -1.4720141781444561e-196);
    CLOSELY(ct_gelu(VECTOR(CT_F32, -12)), -2.1317785344932148e-32);
}

TEST(corners, silu_has_limits) {
    EACH_DTYPE(dtype) {
        ct_tensor *ends = VECTOR(dtype, -INFINITY, INFINITY, -1e4, 1e4, -20);
        EXACTLY(ct_slice(ct_silu(ends), 0, 0, 4, 1), 0, INFINITY, 0, 1e4);
        CLOSELY(ct_slice(ct_silu(ends), 0, 4, 5, 1), -20 / (1 + exp(20.0)));
        EXACTLY(ct_slice(slope(ct_silu(ends), ends), 0, 0, 4, 1), 0, 1, 0, 1);
        EXACTLY(ct_slice(curve(ct_silu(ends), ends), 0, 0, 4, 1), 0, 0, 0, 0);
    }
}

/* References with 30 digits. */
TEST(corners, the_normal_distribution_keeps_its_tail) {
    EACH_DTYPE(dtype) {
        CLOSELY(ct_ndtr(VECTOR(dtype, -12, -5, -1, 0, 1, 5, -INFINITY, INFINITY)),
                1.776482112077679e-33, 2.8665157187919391e-07, 0.15865525393145705, 0.5,
                0.84134474606854295, 0.99999971334842812, 0, 1);
    }
    CLOSELY(ct_ndtr(VECTOR(CT_F64, -37.5, -20)), 4.6053530095819548e-308, 2.7536241186062337e-89);
}

TEST(corners, what_saturates_is_flat_at_the_ends) {
    function *const sigmoids[] = {ct_erf, ct_ndtr, ct_tanh, ct_sigmoid};
    EACH_DTYPE(dtype) {
        ct_tensor *ends = VECTOR(dtype, -INFINITY, INFINITY, -1e20, 1e20);
        for (int k = 0; k < 4; k++) {
            EXACTLY(slope(sigmoids[k](ends), ends), 0, 0, 0, 0);
            EXACTLY(curve(sigmoids[k](ends), ends), 0, 0, 0, 0);
        }
    }
}

TEST(corners, log1p_and_expm1_keep_small_arguments) {
    EACH_DTYPE(dtype) {
        double least = dtype == CT_F32 ? 0x1p-149 : 0x1p-1074;
        ct_tensor *x = VECTOR(dtype, least, -least, 0x1p-60, -1, INFINITY, 0x1p100);
        ct_tensor *y = VECTOR(dtype, least, -least, 0x1p-60, -INFINITY, INFINITY, -50);
        CLOSELY(ct_log1p(x), least, -least, 0x1p-60, -INFINITY, INFINITY, 100 * log(2));
        EXACTLY(slope(ct_log1p(x), x), 1, 1, 1, INFINITY, 0, 0x1p-100);
        CLOSELY(ct_expm1(y), least, -least, 0x1p-60, -1, INFINITY, -1);
        CLOSELY(slope(ct_expm1(y), y), 1, 1, 1, 0, INFINITY, exp(-50));
        EXACTLY(ct_log1p(VECTOR(dtype, -1.5)), NAN);
        ct_tensor *zero = VECTOR(dtype, -0.0);
        EXPECT(signbit(ct_item(ct_log1p(zero))) && signbit(ct_item(ct_expm1(zero))));
    }
}

/* --- NaN -------------------------------------------------------------------------------------- */

static ct_tensor *relu_6(ct_tensor *x) { return ct_clip(x, 0, 6); }
static ct_tensor *leaky_relu(ct_tensor *x) { return ct_leaky_relu(x, 0.1); }
static ct_tensor *largest(ct_tensor *x) { return ct_max(x, CT_ALL); }
static ct_tensor *smallest(ct_tensor *x) { return ct_min(x, CT_ALL); }
static ct_tensor *deviation(ct_tensor *x) { return ct_std(x, CT_ALL); }
static ct_tensor *pooled(ct_tensor *x) {
    return ct_max_pool2d(ct_reshape(x, CT_SHAPE(1, 1, -1, 1)), (ct_pool2d_spec){.window = {1, 3}});
}

/* The value is NaN, and so is the gradient, or it is the one of what was picked: never 0, as if the
 * value did not depend on the argument. */
TEST(corners, nan_passes_through_values_and_gradients) {
    function *const functions[] = {
        ct_exp,   ct_expm1,    ct_log,    ct_log1p,  ct_sqrt, ct_rsqrt,   ct_sin,        ct_cos,
        ct_tanh,  ct_sigmoid,  ct_erf,    ct_ndtr,   ct_abs,  ct_square,  ct_reciprocal, ct_norm,
        ct_relu,  ct_softplus, ct_gelu,   ct_silu,   elu,     leaky_relu, relu_6,        largest,
        smallest, pooled,      deviation, logsumexp, softmax, log_softmax};
    EACH_DTYPE(dtype) {
        for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
            ct_tensor *x = VECTOR(dtype, 1, NAN, -1), *y = functions[k](x);
            EXPECT(isnan(ct_item(ct_sum_all(y))), "function %zu", k);
            EXPECT(element(slope(y, x), 1) != 0, "function %zu", k);
        }
    }
}

TEST(corners, the_gradient_goes_where_the_value_came_from) {
    EACH_DTYPE(dtype) {
        ct_tensor *a = VECTOR(dtype, NAN, 1, NAN, 1), *b = VECTOR(dtype, 1, NAN, NAN, 1);
        EXACTLY(slope(ct_maximum(a, b), a), 1, 0, 1, 1);
        EXACTLY(slope(ct_maximum(a, b), b), 0, 1, 0, 0);
        EXACTLY(slope(ct_minimum(a, b), a), 1, 0, 1, 1);
        EXACTLY(slope(ct_minimum(a, b), b), 0, 1, 0, 0);
        EXACTLY(slope(relu_6(a), a), 1, 1, 1, 1);
        EXACTLY(slope(elu(a), a), NAN, 1, NAN, 1);
        EXACTLY(slope(ct_softplus(ct_slice(a, 0, 0, 1, 1)), a), NAN, 0, 0, 0);
    }
}

/* --- Weights ---------------------------------------------------------------------------------- */

TEST(corners, what_has_no_weight_counts_nothing) {
    EACH_DTYPE(dtype) {
        ct_tensor *w = VECTOR(dtype, 0, 0, 0, 2, 1, NAN), *y;
        ct_tensor *x = VECTOR(dtype, INFINITY, -INFINITY, 3, 3, INFINITY, 1);
        EXACTLY(y = ct_weigh(w, x), 0, 0, 0, 6, INFINITY, NAN);
        EXACTLY(slope(y, x), 0, 0, 0, 2, 1, NAN);
        EXACTLY(slope(y, w), INFINITY, -INFINITY, 3, 3, INFINITY, 1);
        EXACTLY(ct_weigh(VECTOR(dtype, 0), VECTOR(dtype, NAN)), NAN);
        EXACTLY(slope(slope(y, x), w), 1, 1, 1, 1, 1, 1);
    }
}

/* --- Squares ---------------------------------------------------------------------------------- */

TEST(corners, the_norm_does_not_leave_the_range) {
    EACH_DTYPE(dtype) {
        const double sizes[] = {1, 1e20, 1e-25, 4e37, 1e-37};
        for (int k = 0; k < 5; k++) {
            double s = sizes[k];
            ct_tensor *x = VECTOR(dtype, 3 * s, 0, -4 * s);
            CLOSELY(ct_norm(x), 5 * s);
            CLOSELY(slope(ct_norm(x), x), 0.6, 0, -0.8);
        }
        ct_tensor *x = VECTOR(dtype, 3e20, 4e20), *h = slope(slope(ct_norm(x), x), x);
        /* The rows of the Hessian, (I - u u^T) / 5e20 for u = (.6, .8), added up. */
        EXPECT(near(element(h, 0), (0.64 - 0.48) / 5e20, 0, 1e-5), "%g", element(h, 0));
        EXPECT(near(element(h, 1), (0.36 - 0.48) / 5e20, 0, 1e-5), "%g", element(h, 1));
        ct_tensor *zero = VECTOR(dtype, 0, 0), *none = ct_slice(zero, 0, 0, 0, 1);
        EXACTLY(ct_norm(zero), 0);
        EXACTLY(slope(ct_norm(zero), zero), 0, 0);
        EXACTLY(curve(ct_norm(zero), zero), 0, 0);
        EXACTLY(ct_norm(none), 0);
        EXACTLY(ct_norm(VECTOR(dtype, 1, -INFINITY)), INFINITY);
        EXACTLY(ct_norm(VECTOR(dtype, 1, NAN)), NAN);
    }
    CLOSELY(ct_norm(VECTOR(CT_F64, 3e200, 4e200)), 5e200);
    CLOSELY(ct_norm(VECTOR(CT_F64, 3e-300, 4e-300)), 5e-300);
}

TEST(corners, the_deviation_of_a_constant_is_0_and_flat) {
    const double constants[] = {0, 1, 0.1, 1e4, 123456.7, 1e30, -3e20};
    EACH_DTYPE(dtype) {
        for (size_t k = 0; k < sizeof constants / sizeof *constants; k++) {
            double c = constants[k];
            ct_tensor *x = VECTOR(dtype, c, c, c, c, c, c, c), *y = deviation(x);
            EXACTLY(y, 0);
            EXACTLY(slope(y, x), 0, 0, 0, 0, 0, 0, 0);
            EXACTLY(curve(y, x), 0, 0, 0, 0, 0, 0, 0);
            EXACTLY(ct_var(x, CT_ALL), 0);
        }
        /* Beside a column that varies, and where squares leave the range. */
        ct_tensor *x = leaf_from(dtype, CT_SHAPE(2, 3), (double[]){7, 1, 3e20, 7, 3, 1e20});
        CLOSELY(ct_std(x, CT_AXES(0)), 0, 1, 1e20);
        CLOSELY(slope(ct_std(x, CT_AXES(0)), x), 0, -0.5, 0.5, 0, 0.5, -0.5);
        CLOSELY(ct_std(ct_transpose(x), CT_AXES(-1)), 0, 1, 1e20);
        CLOSELY(ct_var_keep(ct_slice(x, 1, 0, 2, 1), CT_AXES(0)), 0, 1);
    }
}
