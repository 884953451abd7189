/* Metrics: sums of a batch as compositions of ops, and a number from the sums of all.
 * What is added up, when, and where it is shown is not known here.
 * Invariant: sums are f64 and exact where they count, so that batches do not matter.
 */
#include "nn/metrics.h"

#include "nn/loss_private.h"
#include "nn/nn.h"
#include "nn/options_private.h"
#include "tensor/base/caller.h"
#include "tensor/graph/rows.h"

#include <math.h>

static ct_tensor *f64(ct_tensor *x) { return ct_cast(x, CT_F64); }

static ct_tensor *zero_of(ct_tensor *x) { return ct_scalar(ct_dtype_of(x), 0.0); }

/* The sums of all elements of n tensors, f64 [n]. */
static ct_tensor *totals(ct_tensor *const parts[], int64_t n) {
    ct_tensor *each[4];
    for (int64_t i = 0; i < n; i++) {
        each[i] = ct_reshape(ct_sum_all(f64(parts[i])), CT_SHAPE(1));
        if (!each[i]) return NULL;
    }
    return ct_concat(each, n, 0);
}

#define TOTALS(...) \
    totals((ct_tensor *[]){__VA_ARGS__}, sizeof((ct_tensor *[]){__VA_ARGS__}) / sizeof(ct_tensor *))

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

/* NaN without any. */
static double share(const ct_metric *self, const double *sums, int64_t n) {
    (void)self, (void)n;
    return sums[0] / sums[1];
}

/* --- Classes ---------------------------------------------------------------------------------- */

typedef struct {
    ct_tensor *scores; /* [M,K] */
    ct_tensor *label;  /* i64 [M,1]; 0 for labels that are ignored */
    ct_tensor *hot;    /* 1 at the label, f64 [M,K] */
    ct_tensor *counts; /* f64 [M,1], 0 for labels that are ignored */
    ct_tensor *place;  /* 0 .. K-1, i64 [K] */
    int64_t k;
} classes;

static bool open_classes(const ct_metric *self, const char *function, ct_tensor *scores,
                         ct_tensor *labels, classes *c) {
    if (!self->ignore && self->ignore_index != 0) {
        ct_fail(CT_ERR_STATE, "%s: ignore_index is %lld, and ignore is false", function,
                (long long)self->ignore_index);
        return false;
    }
    ct_tensor *label = cti_class_of(function, scores, labels);
    if (!label) return false;
    int64_t rows = ct_numel(label);
    c->k = ct_dim(scores, -1);
    c->scores = ct_reshape(scores, CT_SHAPE(rows, c->k));
    c->label = ct_reshape(label, CT_SHAPE(rows, 1));
    c->place = ct_iota(c->k);
    if (self->ignore) {
        ct_tensor *ignored = ct_from(CT_I64, CT_SCALAR, &self->ignore_index);
        c->counts = f64(ct_not_equal(c->label, ignored));
        c->label = ct_where(ct_equal(c->label, ignored), ct_full(CT_I64, CT_SCALAR, 0), c->label);
    } else {
        c->counts = f64(ct_equal(c->label, c->label)); /* 1, of as many rows on each rank */
    }
    c->hot = ct_one_hot(ct_reshape(c->label, CT_SHAPE(rows)), c->k, CT_F64); /* checks them */
    return c->scores && c->hot && c->place && c->counts;
}

static ct_tensor *predicted(const classes *c) {
    return ct_reshape(ct_argmax(c->scores, 1), CT_SHAPE(ct_dim(c->label, 0), 1));
}

/* The share of what counts; `hits` [M,1]. */
static ct_tensor *share_sums(const classes *c, ct_tensor *hits) {
    return TOTALS(ct_mul(f64(hits), c->counts), c->counts);
}

static ct_tensor *accuracy_sums(const ct_metric *self, ct_tensor *scores, ct_tensor *labels) {
    CTI_CALLED_AS("ct_metric_accuracy");
    classes c;
    if (!open_classes(self, "ct_metric_accuracy", scores, labels, &c)) return NULL;
    return share_sums(&c, ct_equal(predicted(&c), c.label));
}

const ct_metric ct_metric_accuracy = {.name = "accuracy", .sums = accuracy_sums, .value = share};

/* Counts those that are not better, so that a NaN is never right. */
static ct_tensor *top_k_sums(const ct_metric *self, ct_tensor *scores, ct_tensor *labels) {
    CTI_CALLED_AS("ct_metric_top_k");
    classes c;
    if (cti_check_size("ct_metric_top_k", "k", self->number) != CT_OK) return NULL;
    if (!open_classes(self, "ct_metric_top_k", scores, labels, &c)) return NULL;
    if (self->number > c.k) {
        return ct_fail_null(CT_ERR_RANGE, "ct_metric_top_k: k is %lld, there are %lld classes",
                            (long long)self->number, (long long)c.k);
    }
    ct_dtype dtype = ct_dtype_of(scores);
    ct_tensor *own = ct_sum_keep(ct_weigh(ct_cast(c.hot, dtype), c.scores), CT_AXES(1));
    ct_tensor *after = ct_cast(ct_greater_equal(c.place, c.label), dtype);
    ct_tensor *ties = ct_mul(ct_equal(c.scores, own), after);
    ct_tensor *no_better = ct_sum_keep(f64(ct_add(ct_less(c.scores, own), ties)), CT_AXES(1));
    ct_tensor *most = ct_scalar(CT_F64, (double)(c.k - self->number));
    return share_sums(&c, ct_greater(no_better, most));
}

ct_metric ct_metric_top_k(int64_t k) {
    return (ct_metric){.name = "top_k", .sums = top_k_sums, .value = share, .number = k};
}

static ct_tensor *matrix(const ct_metric *self, const char *function, ct_tensor *scores,
                         ct_tensor *labels) {
    CTI_CALLED_AS(function);
    classes c;
    if (!open_classes(self, function, scores, labels, &c)) return NULL;
    ct_tensor *rows = ct_mul(c.hot, c.counts);
    ct_tensor *columns = f64(ct_equal(predicted(&c), c.place));
    return ct_reshape(ct_matmul(ct_transpose(rows), columns), CT_SHAPE(c.k * c.k));
}

static int64_t root_of(int64_t n) {
    int64_t k = 0;
    while ((k + 1) * (k + 1) <= n) k++;
    return k;
}

static double confusion_value(const ct_metric *self, const double *sums, int64_t n) {
    (void)self;
    double right = 0, all = 0;
    int64_t k = root_of(n);
    for (int64_t i = 0; i < n; i++) all += sums[i];
    for (int64_t i = 0; i < k; i++) right += sums[i * k + i];
    return right / all;
}

#define OF_MATRIX(metric, called, value_of)                                                        \
    static ct_tensor *metric##_sums(const ct_metric *self, ct_tensor *scores, ct_tensor *labels) { \
        return matrix(self, "ct_metric_" #metric, scores, labels);                                 \
    }                                                                                              \
    const ct_metric ct_metric_##metric = {.name = called, .sums = metric##_sums, .value = value_of}

OF_MATRIX(confusion, "confusion", confusion_value);

/* What two classes have, or one class against all others. */
typedef struct {
    double tp, fp, fn;
} outcome;

static double precision(outcome o) { return ratio(o.tp, o.tp + o.fp); }
static double recall(outcome o) { return ratio(o.tp, o.tp + o.fn); }
static double f1(outcome o) { return ratio(2 * o.tp, 2 * o.tp + o.fp + o.fn); }

static double macro(const double *sums, int64_t n, double (*of)(outcome)) {
    int64_t k = root_of(n);
    double sum = 0, seen = 0;
    for (int64_t i = 0; i < k; i++) {
        outcome o = {.tp = sums[i * k + i]};
        for (int64_t j = 0; j < k; j++) {
            o.fp += j == i ? 0 : sums[j * k + i];
            o.fn += j == i ? 0 : sums[i * k + j];
        }
        seen += o.tp + o.fp + o.fn > 0;
        sum += of(o);
    }
    return sum / seen;
}

static double macro_precision(const ct_metric *self, const double *sums, int64_t n) {
    (void)self;
    return macro(sums, n, precision);
}

static double macro_recall(const ct_metric *self, const double *sums, int64_t n) {
    (void)self;
    return macro(sums, n, recall);
}

static double macro_f1(const ct_metric *self, const double *sums, int64_t n) {
    (void)self;
    return macro(sums, n, f1);
}

OF_MATRIX(macro_precision, "precision", macro_precision);
OF_MATRIX(macro_recall, "recall", macro_recall);
OF_MATRIX(macro_f1, "f1", macro_f1);

static ct_tensor *perplexity_sums(const ct_metric *self, ct_tensor *logits, ct_tensor *labels) {
    CTI_CALLED_AS("ct_metric_perplexity");
    classes c;
    if (!open_classes(self, "ct_metric_perplexity", logits, labels, &c)) return NULL;
    ct_tensor *hot = ct_cast(c.hot, ct_dtype_of(logits));
    ct_tensor *picked = ct_sum_keep(ct_weigh(hot, ct_log_softmax(c.scores, 1)), CT_AXES(1));
    return TOTALS(ct_weigh(c.counts, f64(ct_neg(picked))), c.counts);
}

static double perplexity_value(const ct_metric *self, const double *sums, int64_t n) {
    int64_t scope = ct_scope_open();
    double value = ct_item(ct_exp(ct_scalar(CT_F64, share(self, sums, n))));
    ct_scope_close(scope);
    return value;
}

const ct_metric ct_metric_perplexity = {
    .name = "perplexity", .sums = perplexity_sums, .value = perplexity_value};

/* --- Two classes ------------------------------------------------------------------------------ */

static ct_tensor *is_true(ct_tensor *target) {
    return ct_greater(f64(target), ct_scalar(CT_F64, 0.5));
}

/* Scores of classes, whose shape has an axis more than their labels', are a frequent mistake. */
static ct_status check_logits(const char *function, ct_tensor *logits, ct_tensor *targets) {
    if (!logits || !targets || ct_shape_of(logits).rank != ct_shape_of(targets).rank + 1) {
        return cti_check_pair(function, logits, targets);
    }
    return ct_fail(CT_ERR_SHAPE,
                   "%s: prediction is %s, target %s; it is of two classes, of one logit each: of "
                   "more see ct_metric_accuracy and ct_metric_macro_f1",
                   function, ct_shape_format(ct_shape_of(logits)).text,
                   ct_shape_format(ct_shape_of(targets)).text);
}

static ct_tensor *outcomes(const char *function, ct_tensor *logits, ct_tensor *targets) {
    CTI_CALLED_AS(function);
    if (check_logits(function, logits, targets) != CT_OK) return NULL;
    ct_tensor *yes = f64(ct_greater(logits, zero_of(logits))), *truth = is_true(targets);
    ct_tensor *both = ct_mul(yes, truth), *one = ct_scalar(CT_F64, 1.0);
    ct_tensor *neither = ct_mul(ct_sub(one, yes), ct_sub(one, truth));
    return TOTALS(both, ct_sub(yes, both), ct_sub(truth, both), neither);
}

static outcome outcome_of(const double *sums) { return (outcome){sums[0], sums[1], sums[2]}; }

static double binary_accuracy(const ct_metric *self, const double *sums, int64_t n) {
    (void)self, (void)n;
    return ratio(sums[0] + sums[3], sums[0] + sums[1] + sums[2] + sums[3]);
}

static double binary_precision(const ct_metric *self, const double *sums, int64_t n) {
    (void)self, (void)n;
    return precision(outcome_of(sums));
}

static double binary_recall(const ct_metric *self, const double *sums, int64_t n) {
    (void)self, (void)n;
    return recall(outcome_of(sums));
}

static double binary_f1(const ct_metric *self, const double *sums, int64_t n) {
    (void)self, (void)n;
    return f1(outcome_of(sums));
}

#define OF_OUTCOMES(metric, called, value_of)                                 \
    static ct_tensor *metric##_sums(const ct_metric *self, ct_tensor *logits, \
                                    ct_tensor *targets) {                     \
        (void)self;                                                           \
        return outcomes("ct_metric_" #metric, logits, targets);               \
    }                                                                         \
    const ct_metric ct_metric_##metric = {.name = called, .sums = metric##_sums, .value = value_of}

OF_OUTCOMES(binary_accuracy, "accuracy", binary_accuracy);
OF_OUTCOMES(precision, "precision", binary_precision);
OF_OUTCOMES(recall, "recall", binary_recall);
OF_OUTCOMES(f1, "f1", binary_f1);

enum { THRESHOLDS = 200 };

/* -1, 1/199, 2/199, ..., 1: every probability lies above the first and none above the last. */
static ct_tensor *thresholds(void) {
    ct_tensor *i = f64(ct_iota(THRESHOLDS));
    ct_tensor *is_first = ct_equal(i, ct_scalar(CT_F64, 0.0));
    return ct_sub(ct_div(i, ct_scalar(CT_F64, THRESHOLDS - 1)), is_first);
}

/* Positives above each threshold, then negatives. */
static ct_tensor *auc_sums(const ct_metric *self, ct_tensor *logits, ct_tensor *targets) {
    CTI_CALLED_AS("ct_metric_auc");
    (void)self;
    if (check_logits("ct_metric_auc", logits, targets) != CT_OK) return NULL;
    ct_shape column = CT_SHAPE(ct_numel(logits), 1);
    ct_tensor *p = ct_sigmoid(f64(ct_reshape(logits, column)));
    ct_tensor *above = ct_greater(p, thresholds()), *truth = is_true(ct_reshape(targets, column));
    ct_tensor *positives = ct_sum(ct_mul(above, truth), CT_AXES(0));
    return CT_CONCAT(0, positives, ct_sub(ct_sum(above, CT_AXES(0)), positives));
}

static double auc_value(const ct_metric *self, const double *sums, int64_t n) {
    (void)self;
    const double *positives = sums, *negatives = sums + n / 2;
    double area = 0;
    for (int64_t i = 0; i + 1 < n / 2; i++) {
        area += (negatives[i] - negatives[i + 1]) * (positives[i] + positives[i + 1]) / 2;
    }
    return area / (positives[0] * negatives[0]);
}

const ct_metric ct_metric_auc = {.name = "auc", .sums = auc_sums, .value = auc_value};

/* --- Numbers ---------------------------------------------------------------------------------- */

static ct_tensor *mean_sums(ct_tensor *each) {
    return TOTALS(each, ct_scalar(CT_F64, each ? (double)cti_global_numel(each) : 0));
}

static ct_tensor *mae_sums(const ct_metric *self, ct_tensor *prediction, ct_tensor *target) {
    CTI_CALLED_AS("ct_metric_mae");
    (void)self;
    if (cti_check_pair("ct_metric_mae", prediction, target) != CT_OK) return NULL;
    return mean_sums(ct_abs(f64(ct_sub(prediction, target))));
}

static ct_tensor *mse_sums(const ct_metric *self, ct_tensor *prediction, ct_tensor *target) {
    CTI_CALLED_AS("ct_metric_mse");
    (void)self;
    if (cti_check_pair("ct_metric_mse", prediction, target) != CT_OK) return NULL;
    return mean_sums(ct_square(f64(ct_sub(prediction, target))));
}

static ct_tensor *own_sums(const ct_metric *self, ct_tensor *prediction, ct_tensor *target) {
    CTI_CALLED_AS("ct_metric_mean");
    (void)self, (void)target;
    if (!prediction) return cti_null_in("ct_metric_mean: 'prediction' is NULL");
    return mean_sums(f64(prediction));
}

const ct_metric ct_metric_mae = {.name = "mae", .sums = mae_sums, .value = share};
const ct_metric ct_metric_mse = {.name = "mse", .sums = mse_sums, .value = share};
const ct_metric ct_metric_mean = {.name = "mean", .sums = own_sums, .value = share};

/* Of the mean square; below it is what rounding leaves. */
#define LEAST_SPREAD 1e-12

/* The number of rows; then of each column the sums of t, of t^2 and of (p - t)^2. */
static ct_tensor *r2_sums(const ct_metric *self, ct_tensor *prediction, ct_tensor *target) {
    CTI_CALLED_AS("ct_metric_r2");
    (void)self;
    if (cti_check_pair("ct_metric_r2", prediction, target) != CT_OK) return NULL;
    ct_shape shape = ct_shape_of(target);
    int64_t all = shape.rank ? cti_global_dim(target, 0) : 1;
    ct_shape table = CT_SHAPE(shape.rank ? shape.dims[0] : 1,
                              all ? cti_global_numel(target) / all : 0);
    ct_tensor *t = f64(ct_reshape(target, table)), *p = f64(ct_reshape(prediction, table));
    return CT_CONCAT(0, ct_full(CT_F64, CT_SHAPE(1), (double)all), ct_sum(t, CT_AXES(0)),
                     ct_sum(ct_square(t), CT_AXES(0)), ct_sum(ct_square(ct_sub(p, t)), CT_AXES(0)));
}

static double r2_value(const ct_metric *self, const double *sums, int64_t n) {
    (void)self;
    int64_t columns = (n - 1) / 3;
    const double *t = sums + 1, *squares = t + columns, *residues = squares + columns;
    double sum = 0;
    for (int64_t c = 0; c < columns; c++) {
        double spread = squares[c] - t[c] * t[c] / sums[0];
        sum += spread > LEAST_SPREAD * squares[c] ? 1 - residues[c] / spread : (double)NAN;
    }
    return sum / (double)columns;
}

const ct_metric ct_metric_r2 = {.name = "r2", .sums = r2_sums, .value = r2_value};
