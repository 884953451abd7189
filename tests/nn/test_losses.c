/* Losses and metrics against plain formulas, at the edges too. */
#include "tests/reference/losses.h"
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

#define ONE_CLASS                                                                 \
    " have one class, of which every label is; of one logit for two classes see " \
    "ct_binary_cross_entropy and ct_metric_binary_accuracy"

TEST(losses, say_what_does_not_fit) {
    ct_tensor *logits = ct_full(CT_F32, CT_SHAPE(2, 3), 0), *flat = ct_full(CT_F32, CT_SHAPE(2), 0);
    cr_expect_null(ct_cross_entropy(logits, flat));
    expect_error(CT_ERR_SHAPE, "ct_cross_entropy: scores are f32 [2,3], labels f32 [2]; expected "
                               "i64 [...] or [...,K] of the scores' dtype");
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
    /* Of one class each loss is 0 and each prediction right. */
    ct_tensor *one = ct_full(CT_F32, CT_SHAPE(2, 1), 0);
    cr_expect_null(ct_cross_entropy(one, ct_full(CT_I64, CT_SHAPE(2), 0)));
    expect_error(CT_ERR_SHAPE, "ct_cross_entropy: scores [2,1]" ONE_CLASS);
    cr_expect_null(ct_cross_entropy(one, one));
    expect_error(CT_ERR_SHAPE, "ct_cross_entropy: scores [2,1]" ONE_CLASS);
    cr_expect_null(ct_accuracy(one, one));
    expect_error(CT_ERR_SHAPE, "ct_accuracy: scores [2,1]" ONE_CLASS);
    cr_expect_null(ct_binary_accuracy(logits, flat));
    expect_error(CT_ERR_SHAPE, "ct_binary_accuracy: prediction is [2,3], target [2]");
}

/* --- Options of the cross-entropy, against PyTorch -------------------------------------------- */

enum { CLASSES = 4 };

static ct_tensor *class_weights(void) {
    return ct_detach(ct_offset(uniform01(CT_F64, CT_SHAPE(CLASSES), 90), 0.5));
}

/* losses.py's: each third label is `ignored`, if that is asked for. */
static ct_tensor *labels_of(ct_shape shape, uint32_t salt, const int64_t *ignored) {
    ct_tensor *labels = some_labels(ct_shape_numel(shape), CLASSES, salt);
    int64_t values[64];
    for (int64_t i = 0; i < ct_numel(labels); i++) {
        values[i] = ignored && i % 3 == 0 ? *ignored : (int64_t)element(labels, i);
    }
    return ct_from(CT_I64, shape, values);
}

static ct_shape with_classes(ct_shape shape) {
    shape.dims[shape.rank++] = CLASSES;
    return shape;
}

/* `wanted` is the value, then the gradient. The loss for ct_fit says the same. */
static void expect_like(const double *wanted, ct_tensor *logits, ct_tensor *labels,
                        ct_cross_entropy_options options) {
    ct_tensor *loss = ct_cross_entropy_with(logits, labels, options), *g;
    MADE(loss);
    EXPECT_NEAR(ct_item(loss), wanted[0], 1e-14);
    OK(ct_grad(loss, &logits, 1, &g));
    cr_expect_lt(distance(g, wanted + 1), 1e-13, "%g", distance(g, wanted + 1));
    ct_loss constant = ct_loss_cross_entropy_with(&options);
    cr_expect_eq(ct_item(ct_loss_of(&constant, logits, labels)), ct_item(loss));
    cr_expect(constant.from_logits && constant.metric == (options.ignore ? NULL : ct_accuracy));
}

TEST(losses, cross_entropy_with_options_is_that_of_pytorch) {
    const int64_t none = -100, one = 1;
    ct_shape flat = CT_SHAPE(5), image = CT_SHAPE(2, 3, 2);
    ct_cross_entropy_options o = {0}, weighted = {.weights = class_weights()};
    const struct {
        const double *wanted;
        ct_shape shape;
        uint32_t salt;
        bool weights;
        double smoothing;
        const int64_t *ignored;
        bool soft;
    } rows[] = {
        {ce_weights, flat, 10, true, 0, NULL, false},
        {ce_smoothing, flat, 12, false, 0.1, NULL, false},
        {ce_both, flat, 14, true, 0.1, NULL, false},
        {ce_ignored, flat, 16, false, 0, &none, false},
        {ce_ignored_class, flat, 18, true, 0.1, &one, false},
        {ce_soft, flat, 20, true, 0.1, NULL, true},
        {ce_image, image, 22, false, 0, NULL, false},
        {ce_image_all, image, 24, true, 0.1, &none, false},
        {ce_image_soft, image, 26, true, 0.2, NULL, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ct_shape whole = with_classes(rows[i].shape);
        ct_tensor *logits = centred(CT_F64, whole, rows[i].salt, 3, 0), *labels;
        o = (ct_cross_entropy_options){.smoothing = rows[i].smoothing};
        if (rows[i].weights) o.weights = weighted.weights;
        if (rows[i].ignored) o.ignore = true, o.ignore_index = *rows[i].ignored;
        if (rows[i].soft) {
            ct_tensor *z = centred(CT_F64, whole, rows[i].salt + 1, 2, 0);
            labels = ct_softmax(z, whole.rank - 1);
        } else {
            labels = labels_of(rows[i].shape, rows[i].salt + 1, rows[i].ignored);
        }
        expect_like(rows[i].wanted, logits, labels, o);
    }
}

/* Without options it is the plain one, to the bit, over any number of axes. */
TEST(losses, cross_entropy_with_nothing_is_the_plain_one) {
    ct_shape image = CT_SHAPE(2, 3, 2);
    for (int d = 0; d < 2; d++) {
        ct_tensor *logits = centred(d ? CT_F32 : CT_F64, with_classes(image), 22, 3, 0);
        ct_tensor *labels = labels_of(image, 23, NULL), *plain = ct_cross_entropy(logits, labels);
        cr_expect(
            same_bits(plain, ct_cross_entropy_with(logits, labels, (ct_cross_entropy_options){0})));
        ct_tensor *rows = ct_reshape(logits, CT_SHAPE(12, CLASSES));
        cr_expect(same_bits(plain, ct_cross_entropy(rows, ct_reshape(labels, CT_SHAPE(12)))));
        if (!d) EXPECT_NEAR(ct_item(plain), ce_image[0], 1e-14);
    }
}

/* A batch without any label that counts teaches nothing. */
TEST(losses, cross_entropy_of_ignored_labels_alone_is_0) {
    ct_tensor *weights = ct_from(CT_F64, CT_SHAPE(3), (double[]){0, 1, 1});
    ct_cross_entropy_options options[] = {
        {.ignore = true, .ignore_index = -1},
        {.ignore = true, .ignore_index = -1, .smoothing = 0.1, .weights = weights},
        {.weights = weights, .smoothing = 0.1},
    };
    for (int i = 0; i < 3; i++) {
        ct_tensor *logits = values(CT_SHAPE(2, 3), (double[]){1, -INFINITY, 2, 3, 4, 5}), *g;
        ct_tensor *labels = ct_full(CT_I64, CT_SHAPE(2), i < 2 ? -1 : 0);
        ct_tensor *loss = ct_cross_entropy_with(i < 2 ? logits : ct_clip(logits, -9, 9), labels,
                                                options[i]);
        cr_expect_eq(ct_item(loss), 0);
        OK(ct_grad(loss, &logits, 1, &g));
        for (int64_t k = 0; k < 6; k++) cr_expect_eq(element(g, k), 0);
    }
}

/* As PyTorch: weights of any sign; of a class that does not occur the weight is not looked at, nor
 * are the scores of a row that does not count. */
TEST(losses, cross_entropy_looks_at_what_counts_alone) {
    ct_tensor *even = ct_full(CT_F64, CT_SHAPE(2, 3), 0), *labels = some_labels(2, 2, 1);
    static const double weights[][3] = {{1, 1, NAN}, {-1, -1, -1}, {NAN, NAN, 1}};
    static const double wanted[] = {1.0986122886681098, 1.0986122886681098, NAN};
    for (int i = 0; i < 3; i++) {
        ct_cross_entropy_options o = {.weights = ct_from(CT_F64, CT_SHAPE(3), weights[i])};
        double loss = ct_item(ct_cross_entropy_with(even, labels, o));
        if (isnan(wanted[i])) cr_expect(isnan(loss), "%g", loss);
        else EXPECT_NEAR(loss, wanted[i], 1e-15);
    }
    ct_tensor *logits = values(CT_SHAPE(2, 3), (double[]){0, 0, 0, NAN, NAN, INFINITY}), *g;
    ct_tensor *some = ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){1, -1});
    ct_tensor *loss = ct_cross_entropy_with(
        logits, some, (ct_cross_entropy_options){.ignore = true, .ignore_index = -1});
    EXPECT_NEAR(ct_item(loss), 1.0986122886681098, 1e-15);
    OK(ct_grad(loss, &logits, 1, &g));
    for (int64_t k = 3; k < 6; k++) cr_expect_eq(element(g, k), 0);
}

static void refuse_options(ct_tensor *logits, ct_tensor *labels, ct_cross_entropy_options options,
                           ct_status status, const char *rest) {
    char message[256];
    snprintf(message, sizeof message, "ct_cross_entropy_with: %s", rest);
    cr_expect_null(ct_cross_entropy_with(logits, labels, options));
    expect_error(status, message);
}

TEST(losses, cross_entropy_with_says_what_is_wrong) {
    ct_tensor *logits = centred(CT_F32, CT_SHAPE(2, 3), 1, 1, 0), *labels = some_labels(2, 3, 1);
    ct_cross_entropy_options o = {.weights = ct_full(CT_F32, CT_SHAPE(2), 1)};
    refuse_options(logits, labels, o, CT_ERR_SHAPE, "weights must be [3], got [2]");
    o = (ct_cross_entropy_options){.smoothing = 1};
    refuse_options(logits, labels, o, CT_ERR_RANGE, "smoothing must be in [0,1), got 1");
    o = (ct_cross_entropy_options){.ignore = true, .ignore_index = 7};
    refuse_options(logits, ct_softmax(logits, 1), o, CT_ERR_DTYPE,
                   "ignore needs labels of i64, got f32");
    refuse_options(NULL, labels, o, CT_ERR_NULL, "'logits' is NULL");
    o.ignore = false;
    refuse_options(logits, labels, o, CT_ERR_STATE, "ignore_index is 7, and ignore is false");
    o = (ct_cross_entropy_options){0};
    refuse_options(logits, some_labels(3, 3, 1), o, CT_ERR_SHAPE,
                   "scores are f32 [2,3], labels i64 [3]; expected i64 [...] or [...,K] of the "
                   "scores' dtype");
    refuse_options(logits, ct_full(CT_I64, CT_SHAPE(2), 5), o, CT_ERR_RANGE,
                   "label must be in 0..2, got 5 at row 0");
    ct_loss none = ct_loss_cross_entropy_with(NULL);
    cr_expect_null(ct_loss_of(&none, logits, labels));
    expect_error(CT_ERR_NULL, "ct_cross_entropy_with: 'options' is NULL");
}
