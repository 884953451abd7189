/* Normalizations and variances where a rounded mean or a sum of squares would give itself away:
 * constant groups of any size, deviations up to 1e18, many elements.
 * Ordinary values are the business of test_batch_norm_gradient and test_parity.
 * Invariant: f32 is compared with f64, which has room for all of it. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"

#include <math.h>

static ct_tensor *ones(ct_dtype dtype, int64_t n, double value) {
    return ct_detach(ct_full(dtype, CT_SHAPE(n), value));
}

static const double sizes[] = {0.1, 3, 1e4 / 3, 1e6 + 0.1, 1e9 / 7, 1e12 / 3, 1e20 / 3, 1e30};
#define SIZES ((int64_t)(sizeof sizes / sizeof *sizes))

/* [n, SIZES]: every channel constant. */
static ct_tensor *constants(ct_dtype dtype, int64_t n) {
    ct_tensor *row = ct_cast(leaf_from(CT_F64, CT_SHAPE(SIZES), sizes), dtype);
    return ct_detach(ct_broadcast(row, CT_SHAPE(n, SIZES)));
}

static void expect_all(ct_tensor *t, double value, const char *what) {
    for (int64_t i = 0; i < ct_numel(t); i++) {
        if (!EXPECT(element(t, i) == value, "%s: element %lld is %g", what, (long long)i,
                    element(t, i))) {
            return;
        }
    }
}

TEST(moments, constant_groups_are_centred_to_zero) {
    static const int64_t counts[] = {2, 7, 1000, 21632};
    for (size_t k = 0; k < 8; k++) {
        ct_dtype dtype = k % 2 ? CT_F64 : CT_F32;
        int64_t n = counts[k / 2];
        ct_tensor *x = constants(dtype, n), *mean, *variance;
        ct_tensor *gamma = ones(dtype, SIZES, 1.5), *beta = ones(dtype, SIZES, 0.25);
        expect_all(ct_batch_norm(x, gamma, beta, 1, 1e-3, &mean, &variance), 0.25, "batch norm");
        expect_all(variance, 0, "variance");
        for (int64_t c = 0; c < SIZES; c++) EXPECT(element(mean, c) == element(x, c));
        ct_tensor *t = ct_detach(ct_transpose(x)), *scale = ones(dtype, n, 1.5);
        expect_all(ct_layer_norm(t, scale, ones(dtype, n, 0.25), 1e-3), 0.25, "layer norm");
        expect_all(ct_batch_norm(t, gamma, beta, 0, 1e-3, NULL, NULL), 0.25, "other axis");
        ct_tensor *image = ct_detach(ct_reshape(x, CT_SHAPE(1, n, 1, SIZES)));
        expect_all(ct_batch_norm(image, gamma, beta, -1, 1e-3, NULL, NULL), 0.25, "image");
        expect_all(ct_var(x, CT_AXES(0)), 0, "var");
        expect_all(ct_var(t, CT_AXES(-1)), 0, "var");
        expect_all(ct_var_keep(image, CT_AXES(0, 1, -2)), 0, "var_keep");
        EXPECT(ct_shape_equal(ct_shape_of(ct_var(image, CT_AXES(0, 1, -2))), CT_SHAPE(SIZES)));
    }
}

/* x of that deviation around that mean, as f32 holds it, in either dtype. */
static ct_tensor *spread_out(ct_dtype dtype, int64_t n, double mean, double deviation,
                             uint64_t seed) {
    test_random r = {seed};
    ct_tensor *t = ct_full(CT_F64, CT_SHAPE(n, 3), 0);
    double *values = (double *)(uintptr_t)ct_data_f64(t);
    for (int64_t i = 0; i < 3 * n; i++) values[i] = mean + deviation * random_real(&r, -1.7, 1.7);
    return ct_detach(ct_cast(ct_cast(t, CT_F32), dtype));
}

static double distance(ct_tensor *a, ct_tensor *b) {
    double error = 0, size = 0;
    for (int64_t i = 0; i < ct_numel(b); i++) {
        double d = fabs(element(a, i) - element(b, i));
        error = d <= error ? error : d; /* NaN stays */
        size = fmax(size, fabs(element(b, i)));
    }
    return error / size;
}

TEST(moments, large_deviations_of_many_elements) {
    static const double deviations[] = {1e-3, 1, 1e9, 1e18};
    for (int k = 0; k < 8; k++) {
        int64_t n = k % 2 ? 30000 : 64;
        ct_tensor *y[2], *grads[2][3], *variance[2];
        for (int wide = 0; wide < 2; wide++) {
            ct_dtype dtype = wide ? CT_F64 : CT_F32;
            ct_tensor *x = spread_out(dtype, n, 0.3 * deviations[k / 2], deviations[k / 2], 5);
            ct_tensor *dy = spread_out(dtype, n, 0, 1, 6);
            ct_tensor *in[] = {x, ones(dtype, 3, 1.5), ones(dtype, 3, 0.5)};
            y[wide] = ct_batch_norm(x, in[1], in[2], 1, 1e-12, NULL, &variance[wide]);
            EXPECT(ct_vjp(y[wide], dy, in, 3, grads[wide]) == CT_OK);
            ct_eval((ct_tensor *[]){y[wide], grads[wide][0], grads[wide][1]}, 3);
        }
        EXPECT(distance(y[0], y[1]) < 1e-5, "%g", deviations[k / 2]);
        EXPECT(distance(variance[0], variance[1]) < 1e-5, "%g", deviations[k / 2]);
        for (int i = 0; i < 3; i++) {
            EXPECT(distance(grads[0][i], grads[1][i]) < 1e-3, "%g, gradient %d: %g",
                   deviations[k / 2], i, distance(grads[0][i], grads[1][i]));
        }
    }
}

TEST(moments, gradients_of_a_constant_group_are_finite) {
    ct_tensor *x = constants(CT_F32, 100), *g;
    ct_tensor *one = ones(CT_F32, SIZES, 1), *w = ct_detach(ct_sin(x));
    ct_tensor *y = ct_batch_norm(x, one, one, 1, 1e-3, NULL, NULL);
    EXPECT(ct_grad(ct_sum_all(ct_mul(y, w)), &x, 1, &g) == CT_OK);
    for (int64_t i = 0; i < ct_numel(g); i++) EXPECT(isfinite(element(g, i)));
}

TEST(moments, of_nothing_are_an_error) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(0, 3), 0);
    EXPECT(!ct_var(x, CT_AXES(0)) && ct_error() == CT_ERR_SHAPE);
    ct_error_clear();
    EXPECT(!ct_var(NULL, CT_AXES(0)) && ct_error() == CT_ERR_NULL);
    ct_error_clear();
    EXPECT(!ct_var(x, CT_AXES(2)) && ct_error() == CT_ERR_SHAPE);
    ct_error_clear();
}
