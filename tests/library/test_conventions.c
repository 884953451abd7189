/* What ops do at single points: ties, kinks, poles, NaN, nothing at all. ops.h states each of
 * these, and sampling avoids them.
 * Values and derivatives elsewhere are test_primitives' business.
 * Invariant: each expectation is exact. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"

#include <math.h>

#define F64(...)                                                                           \
    ct_from(CT_F64, CT_SHAPE((int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double))), \
            (double[]){__VA_ARGS__})

static void expect_values(int line, ct_tensor *t, const double *expected, int64_t n) {
    EXPECT(ct_numel(t) == n, "line %d: %s %s", line, ct_shape_format(ct_shape_of(t)).text,
           ct_error_message());
    for (int64_t i = 0; i < n && t; i++) {
        EXPECT(near(element(t, i), expected[i], 0, 0), "line %d: element %lld is %g, not %g", line,
               (long long)i, element(t, i), expected[i]);
    }
}

#define IS(t, ...)                                      \
    expect_values(__LINE__, t, (double[]){__VA_ARGS__}, \
                  (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)))

/* The derivative of the sum of y. */
static ct_tensor *slope(ct_tensor *y, ct_tensor *x) {
    ct_tensor *g = NULL;
    EXPECT(ct_grad(ct_sum_all(y), &x, 1, &g) == CT_OK, "%s", ct_error_message());
    return g;
}

TEST(conventions, derivatives_at_kinks) {
    ct_tensor *x = F64(-1, 0, 1);
    IS(slope(ct_relu(x), x), 0, 0, 1);
    IS(slope(ct_abs(x), x), -1, 0, 1);
    IS(slope(ct_clip(x, -1, 1), x), 1, 1, 1);
    IS(slope(ct_clip(x, 0, 0.5), x), 0, 1, 0);
    IS(slope(ct_leaky_relu(x, 0.25), x), 0.25, 0.25, 1);
    IS(slope(ct_softplus(F64(0)), x), 0, 0, 0);
    ct_tensor *zero = F64(0);
    IS(slope(ct_softplus(zero), zero), 0.5);
    IS(slope(ct_sqrt(zero), zero), INFINITY);
    IS(slope(ct_sign(x), x), 0, 0, 0);
    IS(slope(ct_floor(x), x), 0, 0, 0);
}

TEST(conventions, a_tie_has_one_winner) {
    ct_tensor *a = F64(1, 2, 3), *b = F64(2, 2, 2);
    IS(slope(ct_maximum(a, b), a), 0, 1, 1);
    IS(slope(ct_maximum(a, b), b), 1, 0, 0);
    IS(slope(ct_minimum(a, b), a), 1, 1, 0);
    IS(slope(ct_minimum(a, b), b), 0, 0, 1);
    ct_tensor *x = F64(1, 5, 5, 0, 5, 2), *m = ct_reshape(x, CT_SHAPE(2, 3));
    IS(slope(ct_max(x, CT_ALL), x), 0, 1, 0, 0, 0, 0);
    IS(slope(ct_max(m, CT_AXES(1)), x), 0, 1, 0, 0, 1, 0);
    IS(slope(ct_max(m, CT_AXES(0)), x), 1, 1, 1, 0, 0, 0);
    IS(ct_argmax(x, 0), 1);
    IS(ct_argmax(m, 0), 0, 0, 0);
    ct_tensor *image = ct_reshape(F64(7, 7, 7, 7), CT_SHAPE(1, 2, 2, 1));
    IS(slope(ct_max_pool2d(image, (ct_pool2d_spec){0}), image), 1, 0, 0, 0);
}

TEST(conventions, nan_wins) {
    ct_tensor *x = F64(1, NAN, 3), *y = F64(NAN, 2, 2);
    IS(ct_maximum(x, y), NAN, NAN, 3);
    IS(ct_maximum(y, x), NAN, NAN, 3);
    IS(ct_minimum(x, y), NAN, NAN, 2);
    IS(ct_minimum(y, x), NAN, NAN, 2);
    IS(ct_max(x, CT_ALL), NAN);
    IS(ct_argmax(x, 0), 1);
    IS(ct_relu(x), 1, NAN, 3);
    IS(ct_sign(x), 1, NAN, 1);
    IS(ct_max(ct_reshape(F64(1, 2, NAN, 4, 5, 6), CT_SHAPE(2, 3)), CT_AXES(0)), 4, 5, NAN);
    IS(ct_max(ct_reshape(F64(1, 2, NAN, 4, 5, 6), CT_SHAPE(2, 3)), CT_AXES(1)), NAN, 6);
    IS(ct_equal(x, x), 1, 0, 1);
    IS(ct_not_equal(x, x), 0, 1, 0);
    IS(ct_where(x, ct_full(CT_F64, CT_SHAPE(3), 1), y), 1, 1, 1);
}

TEST(conventions, poles) {
    IS(ct_log(F64(0, -1, 1)), -INFINITY, NAN, 0);
    IS(ct_rsqrt(F64(0, 4)), INFINITY, 0.5);
    IS(ct_div(F64(1, -1, 0), F64(0, 0, 0)), INFINITY, -INFINITY, NAN);
    IS(ct_max(F64(-INFINITY, -INFINITY), CT_ALL), -INFINITY);
    IS(ct_softmax(F64(-INFINITY, -INFINITY), 0), 0, 0);
    IS(ct_softmax(F64(0, -INFINITY), 0), 1, 0);
    IS(ct_norm(F64(0, 0)), 0);
    ct_tensor *x = F64(0, 0);
    IS(slope(ct_norm(x), x), 0, 0);
}

TEST(conventions, powers) {
    ct_tensor *a = F64(0, 0, 2, 1), *b = F64(0, 2, 0, -3);
    IS(ct_pow(a, b), 1, 0, 1, 1);
    IS(slope(ct_pow(a, b), a), 0, 0, 0, -3);
    IS(slope(ct_pow(a, b), b), 0, 0, log(2.0), 0);
    IS(slope(slope(ct_pow(a, b), a), a), 0, 2, 0, 12);
}

TEST(conventions, nothing_at_all) {
    ct_tensor *none = ct_full(CT_F64, CT_SHAPE(3, 0), 1);
    ct_tensor *other = ct_full(CT_F64, CT_SHAPE(0, 2), 1);
    IS(ct_sum(none, CT_AXES(1)), 0, 0, 0);
    IS(ct_sum_all(none), 0);
    EXPECT(ct_numel(ct_sum(none, CT_AXES(0))) == 0 && ct_data(ct_sum(none, CT_AXES(0))));
    IS(ct_matmul(none, other), 0, 0, 0, 0, 0, 0);
    IS(ct_sum_all(slope(ct_matmul(none, other), none)), 0);
    EXPECT(ct_data(none) && ct_data(ct_exp(none)) && ct_data(ct_transpose(none)));
    IS(ct_concat((ct_tensor *[]){none, ct_full(CT_F64, CT_SHAPE(3, 1), 2)}, 2, 1), 2, 2, 2);
    IS(ct_pad(ct_full(CT_F64, CT_SHAPE(0), 1), 0, 1, 1, 3), 0, 0);
    ct_tensor *image = ct_full(CT_F64, CT_SHAPE(0, 3, 3, 1), 1);
    ct_tensor *kernel = ct_full(CT_F64, CT_SHAPE(1, 1, 1, 2), 1);
    IS(slope(ct_conv2d(image, kernel, (ct_conv2d_spec){0}), kernel), 0, 0);
}

TEST(conventions, conversions) {
    ct_tensor *x = F64(1.9, -1.9, NAN, INFINITY, -INFINITY, 1e300);
    IS(ct_cast(x, CT_I64), 1, -1, 0, (double)INT64_MAX, (double)INT64_MIN, (double)INT64_MAX);
    IS(ct_cast(F64(255.9, 256, -1, 3.9, NAN), CT_U8), 255, 255, 0, 3, 0);
    IS(ct_cast(ct_cast(F64(0.1, 1e300), CT_F32), CT_F64), (double)0.1f, INFINITY);
    IS(ct_floor(F64(-0.5, 0.5, -2, 1e300, INFINITY)), -1, 0, -2, 1e300, INFINITY);
    IS(ct_floor(ct_cast(F64(-0.5, 2.5, -8388609, 3e9), CT_F32)), -1, 2, -8388609, 3e9);
}

TEST(conventions, integers_wrap) {
    ct_tensor *least = ct_from(CT_I64, CT_SHAPE(1), (int64_t[]){INT64_MIN});
    ct_tensor *most = ct_from(CT_I64, CT_SHAPE(1), (int64_t[]){INT64_MAX});
    ct_tensor *one = ct_from(CT_I64, CT_SHAPE(1), (int64_t[]){1});
    EXPECT(*ct_data_i64(ct_neg(least)) == INT64_MIN && *ct_data_i64(ct_abs(least)) == INT64_MIN);
    EXPECT(*ct_data_i64(ct_add(most, one)) == INT64_MIN);
    EXPECT(*ct_data_i64(ct_sub(least, one)) == INT64_MAX);
    EXPECT(*ct_data_i64(ct_mul(most, ct_add(one, one))) == -2);
    EXPECT(*ct_data_i64(ct_sum_all(CT_CONCAT(0, most, one))) == INT64_MIN);
    EXPECT(*ct_data_i64(ct_max(CT_CONCAT(0, least, least), CT_ALL)) == INT64_MIN);
}

/* A branch that is not taken computes all the same; the remedy is a harmless operand. */
TEST(conventions, the_branch_not_taken) {
    ct_tensor *x = F64(0, 4), *zero = F64(0, 0), *one = F64(1, 1);
    ct_tensor *positive = ct_greater(x, zero);
    IS(slope(ct_where(positive, ct_sqrt(x), zero), x), NAN, 0.25);
    IS(slope(ct_where(positive, ct_sqrt(ct_where(positive, x, one)), zero), x), 0, 0.25);
}

/* Also one that is the operand itself: the caller may drop the operand at once. */
static void expect_temporary(ct_tensor *(*op)(ct_tensor *x)) {
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_keep(F64(1, 2));
    ct_scope_close(scope);
    ct_tensor *y = op(x);
    ct_drop(x);
    IS(y, 1, 2);
}

static ct_tensor *sum_over_no_axis(ct_tensor *x) { return ct_sum(x, (ct_axes){0}); }
static ct_tensor *max_over_no_axis(ct_tensor *x) { return ct_max(x, (ct_axes){0}); }
static ct_tensor *same_shape(ct_tensor *x) { return ct_reshape(x, CT_SHAPE(2)); }
static ct_tensor *same_type(ct_tensor *x) { return ct_cast(x, CT_F64); }
static ct_tensor *same_sum(ct_tensor *x) { return ct_sum_to(x, CT_SHAPE(2)); }

static ct_tensor *own_cotangent(ct_tensor *x) {
    ct_tensor *g = NULL;
    EXPECT(ct_vjp(x, x, &x, 1, &g) == CT_OK);
    return g;
}

TEST(conventions, a_result_is_always_a_temporary) {
    expect_temporary(sum_over_no_axis);
    expect_temporary(max_over_no_axis);
    expect_temporary(same_shape);
    expect_temporary(same_type);
    expect_temporary(same_sum);
    expect_temporary(own_cotangent);
}
