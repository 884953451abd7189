/* Losses and metrics against plain formulas, at the edges too. */
#include "nn_support.h"

static ct_tensor *values(ct_shape shape, const double *elements) {
    return ct_from(CT_F64, shape, elements);
}

NN_TEST(losses, cross_entropy_from_logits) {
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

NN_TEST(losses, cross_entropy_has_the_gradient_softmax_minus_label) {
    ct_tensor *logits = centred(CT_F64, CT_SHAPE(4, 3), 1, 3, 0), *gradient;
    ct_tensor *labels = some_labels(4, 3, 2);
    OK(ct_grad(ct_cross_entropy(logits, labels), &logits, 1, &gradient));
    ct_tensor *one_hot = ct_one_hot(labels, 3, CT_F64);
    ct_tensor *wanted = ct_scale(ct_sub(ct_softmax(logits, 1), one_hot), 0.25);
    cr_expect_lt(ct_item(ct_max(ct_abs(ct_sub(gradient, wanted)), CT_ALL)), 1e-15);
}

NN_TEST(losses, from_logits_nothing_overflows) {
    ct_tensor *far = ct_from(CT_F32, CT_SHAPE(1, 2), (float[]){2000, -2000});
    ct_tensor *wrong = ct_from(CT_I64, CT_SHAPE(1), (int64_t[]){1});
    EXPECT_NEAR(ct_item(ct_cross_entropy(far, wrong)), 4000.0, 1e-6);
    ct_tensor *targets = ct_from(CT_F32, CT_SHAPE(1, 2), (float[]){0, 1});
    EXPECT_NEAR(ct_item(ct_binary_cross_entropy(far, targets)), 2000.0, 1e-6);
}

NN_TEST(losses, binary_cross_entropy) {
    const double z[] = {-1.5, 0, 0.3, 2}, t[] = {0, 1, 0.25, 1};
    double wanted = 0;
    for (int i = 0; i < 4; i++) {
        double p = 1 / (1 + exp(-z[i]));
        wanted -= (t[i] * log(p) + (1 - t[i]) * log(1 - p)) / 4;
    }
    ct_tensor *loss =
        ct_binary_cross_entropy(values(CT_SHAPE(2, 2), z), values(CT_SHAPE(2, 2), t));
    EXPECT_NEAR(ct_item(loss), wanted, 1e-15);
}

NN_TEST(losses, of_distances) {
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

NN_TEST(losses, accuracy_takes_the_lowest_index_at_a_tie) {
    ct_tensor *scores = ct_from(CT_F32, CT_SHAPE(4, 3),
                                (float[]){1, 3, 2, 5, 5, 0, 0, 0, 0, 1, 2, 3});
    ct_tensor *labels = ct_from(CT_I64, CT_SHAPE(4), (int64_t[]){1, 1, 0, 2});
    EXPECT_NEAR(ct_item(ct_accuracy(scores, labels)), 0.75, 1e-7);
    ct_tensor *one_hot = ct_one_hot(labels, 3, CT_F32);
    EXPECT_NEAR(ct_item(ct_accuracy(scores, one_hot)), 0.75, 1e-7);
}

NN_TEST(losses, binary_accuracy) {
    ct_tensor *logits = values(CT_SHAPE(4), (double[]){-1, 1, 0, 2});
    ct_tensor *targets = values(CT_SHAPE(4), (double[]){0, 1, 1, 0});
    EXPECT_NEAR(ct_item(ct_binary_accuracy(logits, targets)), 0.5, 1e-7);
}

NN_TEST(losses, say_what_does_not_fit) {
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
