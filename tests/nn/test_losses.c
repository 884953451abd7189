/* Losses and metrics against plain formulas, at the edges too. */
#include "tests/support/nn_support.h"

static ct_tensor *values(ct_shape shape, const double *elements) {
    return ct_from(CT_F64, shape, elements);
}

TEST(losses, cross_entropy_from_logits) {
    const double z[] = {1, 2, 3, 0.5, -1, 0};
    const int64_t labels[] = {2, 0};
    double wanted = 0;
    for (int row = 0; row < 2; row++) {
        double sum = 0;
        for (int k = 0; k < 3; k++) sum += exp(z[row * 3 + k]);
        wanted += (log(sum) - z[row * 3 + labels[row]]) / 2;
    }
    ct_tensor *logits = values(CT_SHAPE(2, 3), z);
    ct_tensor *indices = ct_from(CT_I64, CT_SHAPE(2), labels);
    EXPECT_NEAR(ct_item(ct_cross_entropy(logits, indices)), wanted, 1e-15);
    ct_tensor *one_hot = ct_one_hot(indices, 3, CT_F64);
    EXPECT_NEAR(ct_item(ct_cross_entropy(logits, one_hot)), wanted, 1e-15);
    ct_tensor *even = ct_full(CT_F64, CT_SHAPE(2, 3), 1.0 / 3);
    double soft = ct_item(ct_cross_entropy(logits, even)), parts = 0;
    for (int64_t k = 0; k < 3; k++) {
        ct_tensor *all_k = ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){k, k});
        parts += ct_item(ct_cross_entropy(logits, all_k)) / 3;
    }
    EXPECT_NEAR(soft, parts, 1e-15);
}

TEST(losses, cross_entropy_has_the_gradient_softmax_minus_label) {
    ct_tensor *logits = centred(CT_F64, CT_SHAPE(4, 3), 1, 3, 0), *gradient;
    ct_tensor *labels = some_labels(4, 3, 2);
    OK(ct_grad(ct_cross_entropy(logits, labels), &logits, 1, &gradient));
    ct_tensor *one_hot = ct_one_hot(labels, 3, CT_F64);
    ct_tensor *wanted = ct_scale(ct_sub(ct_softmax(logits, 1), one_hot), 0.25);
    cr_expect_lt(ct_item(ct_max(ct_abs(ct_sub(gradient, wanted)), CT_ALL)), 1e-15);
}

TEST(losses, from_logits_nothing_overflows) {
    ct_tensor *far = ct_from(CT_F32, CT_SHAPE(1, 2), (float[]){2000, -2000});
    ct_tensor *wrong = ct_from(CT_I64, CT_SHAPE(1), (int64_t[]){1});
    EXPECT_NEAR(ct_item(ct_cross_entropy(far, wrong)), 4000.0, 1e-6);
    ct_tensor *targets = ct_from(CT_F32, CT_SHAPE(1, 2), (float[]){0, 1});
    EXPECT_NEAR(ct_item(ct_binary_cross_entropy(far, targets)), 2000.0, 1e-6);
}

TEST(losses, binary_cross_entropy) {
    const double z[] = {-1.5, 0, 0.3, 2}, t[] = {0, 1, 0.25, 1};
    double wanted = 0;
    for (int i = 0; i < 4; i++) {
        double p = 1 / (1 + exp(-z[i]));
        wanted -= (t[i] * log(p) + (1 - t[i]) * log(1 - p)) / 4;
    }
    ct_tensor *loss = ct_binary_cross_entropy(values(CT_SHAPE(2, 2), z), values(CT_SHAPE(2, 2), t));
    EXPECT_NEAR(ct_item(loss), wanted, 1e-15);
}

/* Within a relative error; infinities and NaN are themselves. */
static bool is_close(double value, double wanted, double relative) {
    if (isnan(wanted)) return isnan(value);
    return value == wanted || fabs(value - wanted) <= relative * fabs(wanted);
}

/* Classes that are impossible, or certain; f32, where 3e38 less -3e38 is inf. */
TEST(losses, cross_entropy_of_infinite_logits) {
    const float rows[][3] = {
        {-INFINITY, 0, 1}, {3e38f, -3e38f, 0}, {INFINITY, 1, 2}, {-INFINITY, 0, 1}};
    const int64_t labels[] = {2, 0, 0, 0};
    const double losses[] = {0.31326168751822284, 0, 0, INFINITY}, p = 0.26894142136999512;
    const double gradients[][3] = {{0, p, -p}, {0, 0, 0}, {0, 0, 0}, {-1, p, 1 - p}};
    for (int i = 0; i < 4; i++) {
        ct_tensor *logits = ct_from(CT_F32, CT_SHAPE(1, 3), rows[i]), *gradient;
        ct_tensor *loss = ct_cross_entropy(logits, ct_from(CT_I64, CT_SHAPE(1), &labels[i]));
        OK(ct_grad(loss, &logits, 1, &gradient));
        cr_expect(is_close(ct_item(loss), losses[i], 1e-7), "row %d: %g", i, ct_item(loss));
        for (int k = 0; k < 3; k++) EXPECT_NEAR(element(gradient, k), gradients[i][k], 1e-7);
    }
}

/* Labels may be what is trained: the gradient is -log p, also where a label is 0. */
TEST(losses, cross_entropy_has_a_gradient_for_soft_labels) {
    ct_tensor *logits = values(CT_SHAPE(1, 2), (double[]){0, 1}), *gradient;
    ct_tensor *soft = values(CT_SHAPE(1, 2), (double[]){0, 1});
    OK(ct_grad(ct_cross_entropy(logits, soft), &soft, 1, &gradient));
    EXPECT_NEAR(element(gradient, 0), 1.3132616875182228, 1e-15);
    EXPECT_NEAR(element(gradient, 1), 0.31326168751822284, 1e-15);
}

/* One logit, one target: the loss and its derivatives by the logit of orders 1 and 2. */
static void expect_binary(ct_dtype dtype, double z, double t, double loss, double slope,
                          double curve) {
    ct_tensor *logit = ct_scalar(dtype, z), *target = ct_scalar(dtype, t), *g, *h;
    ct_tensor *y = ct_binary_cross_entropy(logit, target);
    OK(ct_grad(y, &logit, 1, &g));
    OK(ct_grad(g, &logit, 1, &h));
    double near = dtype == CT_F32 ? 1e-6 : 1e-14;
    cr_expect(is_close(ct_item(y), loss, near), "(%g, %g): %g", z, t, ct_item(y));
    cr_expect(is_close(ct_item(g), slope, near), "(%g, %g): slope %g", z, t, ct_item(g));
    cr_expect(is_close(ct_item(h), curve, near), "(%g, %g): curve %g", z, t, ct_item(h));
}

TEST(losses, binary_cross_entropy_at_the_ends) {
    for (ct_dtype dtype = CT_F32; dtype <= CT_F64; dtype++) {
        double p = 1 / (1 + exp(10)), q = 1 / (1 + exp(20));
        expect_binary(dtype, 20, 1, log1p(exp(-20)), -q, q * (1 - q));
        expect_binary(dtype, 10, 1, log1p(exp(-10)), -p, p * (1 - p));
        expect_binary(dtype, -20, 0, log1p(exp(-20)), q, q * (1 - q));
        expect_binary(dtype, 20, 0.5, 10 + log1p(exp(-20)), 0.5 - q, q * (1 - q));
        expect_binary(dtype, 0, 0.25, log(2), 0.25, 0.25);
        expect_binary(dtype, -80, 1, 80, -1, exp(-80));
        expect_binary(dtype, INFINITY, 1, 0, 0, 0);
        expect_binary(dtype, -INFINITY, 0, 0, 0, 0);
        expect_binary(dtype, INFINITY, 0.5, INFINITY, 0.5, 0);
        expect_binary(dtype, INFINITY, 0, INFINITY, 1, 0);
        expect_binary(dtype, -INFINITY, 0.5, INFINITY, -0.5, 0);
        expect_binary(dtype, -INFINITY, 1, INFINITY, -1, 0);
        expect_binary(dtype, NAN, 1, NAN, NAN, NAN);
    }
    ct_tensor *target = ct_scalar(CT_F64, 1), *gradient;
    OK(ct_grad(ct_binary_cross_entropy(ct_scalar(CT_F64, 5), target), &target, 1, &gradient));
    EXPECT_NEAR(ct_item(gradient), -5.0, 0);
}

TEST(losses, of_distances) {
    const double p[] = {1, -2, 0.25, 4}, t[] = {1.5, 1, 0, 4};
    double squares = 0, distances = 0, huber = 0;
    for (int i = 0; i < 4; i++) {
        double d = fabs(p[i] - t[i]);
        squares += d * d / 4;
        distances += d / 4;
        huber += (d <= 0.4 ? d * d / 2 : 0.4 * (d - 0.2)) / 4;
    }
    ct_tensor *a = values(CT_SHAPE(2, 2), p), *b = values(CT_SHAPE(2, 2), t);
    EXPECT_NEAR(ct_item(ct_mse(a, b)), squares, 1e-15);
    EXPECT_NEAR(ct_item(ct_mae(a, b)), distances, 1e-15);
    EXPECT_NEAR(ct_item(ct_huber(a, b, 0.4)), huber, 1e-15);
    /* Huber's gradient is the distance, cut at delta. */
    ct_tensor *gradient;
    OK(ct_grad(ct_huber(a, b, 0.4), &a, 1, &gradient));
    cr_expect_lt(distance(gradient, (double[]){-0.1, -0.1, 0.0625, 0}), 1e-15);
}

TEST(losses, accuracy_takes_the_lowest_index_at_a_tie) {
    ct_tensor *scores = ct_from(CT_F32, CT_SHAPE(4, 3),
                                (float[]){1, 3, 2, 5, 5, 0, 0, 0, 0, 1, 2, 3});
    ct_tensor *labels = ct_from(CT_I64, CT_SHAPE(4), (int64_t[]){1, 1, 0, 2});
    EXPECT_NEAR(ct_item(ct_accuracy(scores, labels)), 0.75, 1e-7);
    ct_tensor *one_hot = ct_one_hot(labels, 3, CT_F32);
    EXPECT_NEAR(ct_item(ct_accuracy(scores, one_hot)), 0.75, 1e-7);
}

TEST(losses, binary_accuracy) {
    ct_tensor *logits = values(CT_SHAPE(4), (double[]){-1, 1, 0, 2});
    ct_tensor *targets = values(CT_SHAPE(4), (double[]){0, 1, 1, 0});
    EXPECT_NEAR(ct_item(ct_binary_accuracy(logits, targets)), 0.5, 1e-7);
}

TEST(losses, say_what_does_not_fit) {
    ct_tensor *logits = ct_full(CT_F32, CT_SHAPE(2, 3), 0), *flat = ct_full(CT_F32, CT_SHAPE(2), 0);
    cr_expect_null(ct_cross_entropy(logits, flat));
    expect_error(CT_ERR_SHAPE, "ct_cross_entropy: scores are f32 [2,3], labels f32 [2]; expected "
                               "i64 [N] or [N,K] of the scores' dtype");
    cr_expect_null(ct_cross_entropy(logits, NULL));
    expect_error(CT_ERR_NULL, "ct_cross_entropy: 'labels' is NULL");
    cr_expect_null(ct_cross_entropy(logits, ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){0, 3})));
    cr_expect_eq(ct_error(), CT_ERR_RANGE);
    ct_error_clear();
    /* [2,1] against [2] would average over 2 x 2. */
    cr_expect_null(ct_mse(ct_full(CT_F32, CT_SHAPE(2, 1), 0), flat));
    expect_error(CT_ERR_SHAPE, "ct_mse: prediction is [2,1], target [2]");
    cr_expect_null(ct_mae(NULL, flat));
    expect_error(CT_ERR_NULL, "ct_mae: 'prediction' is NULL");
    cr_expect_null(ct_huber(flat, flat, 0));
    expect_error(CT_ERR_RANGE, "ct_huber: delta must be > 0, got 0");
    cr_expect_null(ct_accuracy(logits, flat));
    expect_error(CT_ERR_SHAPE, "ct_accuracy: scores are [2,3], labels [2]");
    cr_expect_null(ct_accuracy(logits, NULL));
    expect_error(CT_ERR_NULL, "ct_accuracy: 'labels' is NULL");
    cr_expect_null(ct_binary_accuracy(logits, flat));
    expect_error(CT_ERR_SHAPE, "ct_binary_accuracy: prediction is [2,3], target [2]");
}
