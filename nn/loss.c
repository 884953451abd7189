/* Losses and metrics: scalars, the mean over the batch, as compositions of ops.
 * There is no derivative here.
 * Invariant: losses of probabilities start from logits, where no logarithm sees a 0. */
#include "nn/loss_private.h"
#include "nn/nn.h"
#include "tensor/base/caller.h"

ct_tensor *ct_loss_of(const ct_loss *loss, ct_tensor *prediction, ct_tensor *target) {
    if (!loss) return cti_null_in("ct_loss_of: 'loss' is NULL");
    if (!loss->value && !loss->value_with) {
        return ct_fail_null(CT_ERR_NULL, "ct_loss_of: the loss '%s' has no 'value'",
                            loss->name ? loss->name : "");
    }
    CTI_CALLS_USER;
    if (loss->value_with) return loss->value_with(loss->options, prediction, target);
    return loss->value(prediction, target);
}

/* Labels as a distribution of the shape and type of the scores [N,K]. */
static ct_tensor *distribution(const char *function, ct_tensor *scores, ct_tensor *labels) {
    if (!scores || !labels) {
        return cti_null_in("%s: '%s' is NULL", function, scores ? "labels" : "logits");
    }
    ct_shape shape = ct_shape_of(scores), given = ct_shape_of(labels);
    if (ct_dtype_of(labels) == CT_I64 && shape.rank == 2 && given.rank == 1 &&
        given.dims[0] == shape.dims[0]) {
        return ct_one_hot(labels, shape.dims[1], ct_dtype_of(scores));
    }
    if (shape.rank == 2 && ct_shape_equal(shape, given) &&
        ct_dtype_of(labels) == ct_dtype_of(scores)) {
        return ct_scope_add(labels);
    }
    return ct_fail_null(CT_ERR_SHAPE,
                        "%s: scores are %s %s, labels %s %s; expected i64 [N] or "
                        "[N,K] of the scores' dtype",
                        function, ct_dtype_name(ct_dtype_of(scores)), ct_shape_format(shape).text,
                        ct_dtype_name(ct_dtype_of(labels)), ct_shape_format(given).text);
}

ct_tensor *ct_cross_entropy(ct_tensor *logits, ct_tensor *labels) {
    CTI_CALLED;
    ct_tensor *target = distribution("ct_cross_entropy", logits, labels);
    if (!target) return NULL;
    /* A class that does not count may be impossible: 0 times -inf is 0 here. */
    ct_tensor *picked = ct_sum(ct_weigh(target, ct_log_softmax(logits, 1)), CT_AXES(1));
    return ct_neg(ct_mean_all(picked));
}

/* The shape of scores, without classes. */
static ct_shape shape_of_rows(ct_tensor *scores) {
    ct_shape shape = ct_shape_of(scores);
    shape.rank--;
    return shape;
}

ct_tensor *cti_class_of(const char *function, ct_tensor *scores, ct_tensor *labels) {
    if (!scores || !labels) {
        return cti_null_in("%s: '%s' is NULL", function, scores ? "labels" : "scores");
    }
    int rank = ct_shape_of(scores).rank;
    bool one_hot = rank > 1 && ct_shape_of(labels).rank == rank;
    ct_tensor *label = one_hot ? ct_argmax(labels, rank - 1) : labels;
    if (rank < 2 || ct_dtype_of(label) != CT_I64 ||
        !ct_shape_equal(ct_shape_of(label), shape_of_rows(scores))) {
        return ct_fail_null(CT_ERR_SHAPE, "%s: scores are %s, labels %s", function,
                            ct_shape_format(ct_shape_of(scores)).text,
                            ct_shape_format(ct_shape_of(labels)).text);
    }
    return label;
}

ct_tensor *ct_accuracy(ct_tensor *scores, ct_tensor *labels) {
    CTI_CALLED;
    ct_tensor *label = cti_class_of("ct_accuracy", scores, labels);
    if (!label) return NULL;
    ct_tensor *predicted = ct_argmax(scores, ct_shape_of(scores).rank - 1);
    return ct_mean_all(ct_cast(ct_equal(predicted, label), CT_F32));
}

const ct_loss ct_loss_cross_entropy = {
    .name = "cross_entropy", .value = ct_cross_entropy, .from_logits = true, .metric = ct_accuracy};

ct_status cti_check_pair(const char *function, ct_tensor *prediction, ct_tensor *target) {
    if (!prediction || !target) {
        cti_null_in("%s: '%s' is NULL", function, prediction ? "target" : "prediction");
        return ct_error();
    }
    if (ct_shape_equal(ct_shape_of(prediction), ct_shape_of(target))) return CT_OK;
    /* No broadcasting here: [N,1] against [N] would silently average over N x N. */
    return ct_fail(CT_ERR_SHAPE, "%s: prediction is %s, target %s", function,
                   ct_shape_format(ct_shape_of(prediction)).text,
                   ct_shape_format(ct_shape_of(target)).text);
}

ct_tensor *ct_binary_cross_entropy(ct_tensor *logits, ct_tensor *targets) {
    CTI_CALLED;
    if (cti_check_pair("ct_binary_cross_entropy", logits, targets) != CT_OK) return NULL;
    /* softplus(z) - z t = z ([z > 0] - t) + ln(1 + e^-|z|): what would cancel is left out. Both
     * signs of z come from one comparison, as in ct_softplus. */
    ct_tensor *above = ct_greater(logits, ct_scalar(ct_dtype_of(logits), 0.0));
    ct_tensor *below = ct_where(above, ct_neg(logits), logits);
    ct_tensor *linear = ct_weigh(ct_sub(above, targets), logits);
    return ct_mean_all(ct_add(linear, ct_log1p(ct_exp(below))));
}

ct_tensor *ct_binary_accuracy(ct_tensor *logits, ct_tensor *targets) {
    CTI_CALLED;
    if (cti_check_pair("ct_binary_accuracy", logits, targets) != CT_OK) return NULL;
    ct_dtype dtype = ct_dtype_of(logits);
    ct_tensor *said = ct_greater(logits, ct_scalar(dtype, 0.0));
    ct_tensor *truth = ct_greater(targets, ct_scalar(dtype, 0.5));
    return ct_mean_all(ct_cast(ct_equal(said, truth), CT_F32));
}

const ct_loss ct_loss_binary_cross_entropy = {.name = "binary_cross_entropy",
                                              .value = ct_binary_cross_entropy,
                                              .from_logits = true,
                                              .metric = ct_binary_accuracy};

ct_tensor *ct_mse(ct_tensor *prediction, ct_tensor *target) {
    CTI_CALLED;
    if (cti_check_pair("ct_mse", prediction, target) != CT_OK) return NULL;
    return ct_mean_all(ct_square(ct_sub(prediction, target)));
}

const ct_loss ct_loss_mse = {.name = "mse", .value = ct_mse};

ct_tensor *ct_mae(ct_tensor *prediction, ct_tensor *target) {
    CTI_CALLED;
    if (cti_check_pair("ct_mae", prediction, target) != CT_OK) return NULL;
    return ct_mean_all(ct_abs(ct_sub(prediction, target)));
}

const ct_loss ct_loss_mae = {.name = "mae", .value = ct_mae};

ct_tensor *ct_huber(ct_tensor *prediction, ct_tensor *target, double delta) {
    CTI_CALLED;
    if (cti_check_pair("ct_huber", prediction, target) != CT_OK) return NULL;
    if (!(delta > 0)) {
        return ct_fail_null(CT_ERR_RANGE, "ct_huber: delta must be > 0, got %g", delta);
    }
    /* With c = |d| clipped to delta, both branches are c (|d| - c/2). */
    ct_tensor *distance = ct_abs(ct_sub(prediction, target));
    ct_tensor *clipped = ct_minimum(distance, ct_scalar(ct_dtype_of(prediction), delta));
    return ct_mean_all(ct_mul(clipped, ct_sub(distance, ct_scale(clipped, 0.5))));
}

static ct_tensor *huber_1(ct_tensor *prediction, ct_tensor *target) {
    return ct_huber(prediction, target, 1.0);
}

const ct_loss ct_loss_huber = {.name = "huber", .value = huber_1};

static ct_tensor *huber_with(const void *delta, ct_tensor *prediction, ct_tensor *target) {
    if (!delta) return cti_null_in("ct_huber: 'delta' is NULL");
    return ct_huber(prediction, target, *(const double *)delta);
}

ct_loss ct_loss_huber_with(const double *delta) {
    return (ct_loss){.name = "huber", .value_with = huber_with, .options = delta};
}
