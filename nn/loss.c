/* Losses and metrics: scalars, the mean over the batch, as compositions of ops.
 * There is no derivative here.
 * Invariant: losses of probabilities start from logits, where no logarithm sees a 0. */
#include "nn/loss_private.h"

#include "autograd/ops/stanza.h"
#include "nn/nn.h"
#include "nn/options_private.h"
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

/* The shape of scores, without classes. */
static ct_shape shape_of_rows(ct_tensor *scores) {
    ct_shape shape = ct_shape_of(scores);
    shape.rank--;
    return shape;
}

/* Of one class the loss is 0 and each prediction right, whatever the labels are. */
static ct_status check_classes(const char *function, ct_tensor *scores) {
    if (ct_dim(scores, -1) != 1) return CT_OK;
    return ct_fail(CT_ERR_SHAPE,
                   "%s: scores %s have one class, of which every label is; of one logit for two "
                   "classes see ct_binary_cross_entropy and ct_metric_binary_accuracy",
                   function, ct_shape_format(ct_shape_of(scores)).text);
}

/* Labels are classes, i64 [...], or a distribution, for scores [...,K]. */
static ct_status check_labels(const char *function, ct_tensor *scores, ct_tensor *labels) {
    if (!scores || !labels) {
        cti_null_in("%s: '%s' is NULL", function, scores ? "labels" : "logits");
        return ct_error();
    }
    ct_shape shape = ct_shape_of(scores), given = ct_shape_of(labels);
    ct_dtype dtype = ct_dtype_of(labels);
    if (shape.rank > 1 && dtype == CT_I64 && ct_shape_equal(given, shape_of_rows(scores))) {
        return check_classes(function, scores);
    }
    if (shape.rank > 1 && dtype == ct_dtype_of(scores) && ct_shape_equal(given, shape)) {
        return check_classes(function, scores);
    }
    return ct_fail(CT_ERR_SHAPE,
                   "%s: scores are %s %s, labels %s %s; expected i64 [...] or "
                   "[...,K] of the scores' dtype",
                   function, ct_dtype_name(ct_dtype_of(scores)), ct_shape_format(shape).text,
                   ct_dtype_name(dtype), ct_shape_format(given).text);
}

/* Labels that fit as a distribution of the shape and type of the scores [...,K]. */
static ct_tensor *distribution(ct_tensor *scores, ct_tensor *labels) {
    int rank = ct_shape_of(scores).rank;
    if (ct_shape_of(labels).rank == rank) return ct_scope_add(labels);
    return ct_one_hot(labels, ct_dim(scores, -1), ct_dtype_of(scores));
}

/* The cross-entropy of each row, negative. A class that does not count may be impossible: 0 times
 * -inf is 0 here. */
static ct_tensor *picked(ct_tensor *target, ct_tensor *logits) {
    int axis = ct_shape_of(logits).rank - 1;
    return ct_sum(ct_weigh(target, ct_log_softmax(logits, axis)), CT_AXES(axis));
}

ct_tensor *ct_cross_entropy(ct_tensor *logits, ct_tensor *labels) {
    CTI_CALLED;
    if (check_labels("ct_cross_entropy", logits, labels) != CT_OK) return NULL;
    return ct_neg(ct_mean_all(picked(distribution(logits, labels), logits)));
}

/* What does not count has no weight, whatever that is. */
static ct_tensor *weighted(ct_tensor *target, ct_tensor *weights) {
    return ct_where(target, ct_mul(target, weights), ct_scalar(ct_dtype_of(target), 0.0));
}

static ct_status check_cross_entropy(const ct_cross_entropy_options *o, ct_tensor *logits,
                                     ct_tensor *labels) {
    static const char function[] = "ct_cross_entropy_with";
    if (check_labels(function, logits, labels) != CT_OK) return ct_error();
    if (!o->ignore && o->ignore_index != 0) {
        return ct_fail(CT_ERR_STATE, "%s: ignore_index is %lld, and ignore is false", function,
                       (long long)o->ignore_index);
    }
    if (o->ignore && ct_dtype_of(labels) != CT_I64) {
        return ct_fail(CT_ERR_DTYPE, "%s: ignore needs labels of i64, got %s", function,
                       ct_dtype_name(ct_dtype_of(labels)));
    }
    ct_shape wanted = CT_SHAPE(ct_dim(logits, -1));
    if (o->weights && !ct_shape_equal(ct_shape_of(o->weights), wanted)) {
        return ct_fail(CT_ERR_SHAPE, "%s: weights must be %s, got %s", function,
                       ct_shape_format(wanted).text, ct_shape_format(ct_shape_of(o->weights)).text);
    }
    return cti_check_number(function, "smoothing", o->smoothing, 0, 1);
}

/* sum / norm; 0 where nothing counts. */
static ct_tensor *mean_of_counted(ct_tensor *sum, ct_tensor *norm) {
    ct_dtype dtype = ct_dtype_of(norm);
    ct_tensor *zero = ct_scalar(dtype, 0.0), *any = ct_not_equal(norm, zero);
    ct_tensor *mean = ct_div(sum, ct_where(any, norm, ct_scalar(dtype, 1.0)));
    return ct_where(any, mean, zero);
}

ct_tensor *ct_cross_entropy_with(ct_tensor *logits, ct_tensor *labels, ct_cross_entropy_options o) {
    CTI_CALLED;
    if (check_cross_entropy(&o, logits, labels) != CT_OK) return NULL;
    bool soft = ct_dtype_of(labels) != CT_I64;
    ct_dtype dtype = ct_dtype_of(logits);
    ct_tensor *counts = ct_scalar(dtype, 1.0);
    if (o.ignore) { /* an ignored label stands for no class; it may be none */
        ct_tensor *ignored = ct_from(CT_I64, CT_SCALAR, &o.ignore_index);
        counts = ct_cast(cti_column(ct_not_equal(labels, ignored)), dtype);
        labels = ct_where(ct_equal(labels, ignored), ct_full(CT_I64, CT_SCALAR, 0), labels);
    }
    ct_tensor *target = distribution(logits, labels);
    if (o.ignore) target = ct_mul(target, counts);
    ct_tensor *weights = o.weights ? ct_cast(o.weights, dtype) : NULL, *spread = target;
    if (o.ignore) logits = ct_where(counts, logits, ct_scalar(dtype, 0.0)); /* also if it is NaN */
    if (o.smoothing > 0) {
        double even = o.smoothing / (double)ct_dim(logits, -1);
        spread = ct_add(ct_scale(target, 1.0 - o.smoothing), ct_scale(counts, even));
    }
    if (weights) spread = weighted(spread, weights);
    ct_tensor *rows = picked(spread, logits);
    if (soft || (!weights && !o.ignore)) return ct_neg(ct_mean_all(rows));
    ct_tensor *norm = ct_sum_all(weights ? weighted(target, weights) : counts);
    return ct_neg(mean_of_counted(ct_sum_all(rows), norm));
}

const ct_loss ct_loss_cross_entropy = {
    .name = "cross_entropy", .value = ct_cross_entropy, .from_logits = true, .metric = ct_accuracy};

static ct_tensor *cross_entropy_with(const void *options, ct_tensor *logits, ct_tensor *labels) {
    if (!options) return cti_null_in("ct_cross_entropy_with: 'options' is NULL");
    return ct_cross_entropy_with(logits, labels, *(const ct_cross_entropy_options *)options);
}

ct_loss ct_loss_cross_entropy_with(const ct_cross_entropy_options *options) {
    return (ct_loss){.name = "cross_entropy",
                     .value_with = cross_entropy_with,
                     .options = options,
                     .from_logits = true,
                     .metric = options && options->ignore ? NULL : ct_accuracy};
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
    return check_classes(function, scores) == CT_OK ? label : NULL;
}

ct_tensor *ct_accuracy(ct_tensor *scores, ct_tensor *labels) {
    CTI_CALLED;
    ct_tensor *label = cti_class_of("ct_accuracy", scores, labels);
    if (!label) return NULL;
    ct_tensor *predicted = ct_argmax(scores, ct_shape_of(scores).rank - 1);
    return ct_mean_all(ct_cast(ct_equal(predicted, label), CT_F32));
}

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
