/* Metrics: what is measured of predictions over a whole epoch or data set, whatever its batches.
 *
 * A batch gives sums (counts of hits and misses, say), which are added over batches; the metric is
 * a function of the sums of all. So F1 of two batches is that of their items together, and not the
 * mean of two values. ct_fit and ct_evaluate_with take a list of them:
 *
 *     ct_metric metrics[] = {ct_metric_top_k(5), ct_metric_macro_f1};
 *     ct_fit_options options = {.metrics = metrics, .n_metrics = 2, .log = stdout};
 */
#ifndef COTAN_METRICS_H
#define COTAN_METRICS_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

typedef struct ct_metric ct_metric;

/* A metric of your own is such a constant; those below may be copied and changed. */
struct ct_metric {
    const char *name; /* "f1": logs say f1 and val_f1 */
    /* The sums of a batch, f64 [n] or one number, n the same for every batch. */
    ct_tensor *(*sums)(const ct_metric *self, ct_tensor *prediction, ct_tensor *target);
    /* The metric, from the sums of all batches. */
    double (*value)(const ct_metric *self, const double *sums, int64_t n);
    int64_t number; /* of the metric's own: k of top-k */
    int output;     /* which of the outputs that an objective gives; 0 without one */
    /* Labels equal to ignore_index do not count; for metrics of classes. */
    bool ignore;
    int64_t ignore_index;
    /* Where the sums of a pass are written at its end, by ct_fit those of the last pass, which is
     * the validation if there is one; room for n_counts, which must be n. NULL: nowhere. */
    double *counts;
    int64_t n_counts;
};

/* Of classes: scores [...,K], which need no softmax; labels i64 [...] or one-hot [...,K]; K of at
 * least 2, or CT_ERR_SHAPE. The predicted class is that of the largest score, lowest index at a
 * tie. NaN without labels. */
extern const ct_metric ct_metric_accuracy; /* the share of labels predicted; 2 sums */
/* The share of labels with fewer than k better scores, k of at most K; a tie is won by the lower
 * index. 2 sums. */
ct_metric ct_metric_top_k(int64_t k);
/* K^2 sums: sums[t K + p] labels of class t were predicted as p. Its value is the accuracy. */
extern const ct_metric ct_metric_confusion;
/* The mean over classes of precision, recall and F1, from a confusion matrix. Classes that are
 * neither labels nor predicted are left out, as by scikit-learn. K^2 sums. */
extern const ct_metric ct_metric_macro_precision, ct_metric_macro_recall, ct_metric_macro_f1;
/* e^(mean cross-entropy), from logits. 2 sums. */
extern const ct_metric ct_metric_perplexity;

/* Of two classes, from logits [...] and targets of the same shape and any dtype: predicted where
 * logit > 0, true where target > 0.5. Counts are 4 sums: true positives, false positives, false
 * negatives, true negatives. 0 / 0 is 0. */
extern const ct_metric ct_metric_binary_accuracy;
extern const ct_metric ct_metric_precision; /* tp / (tp + fp) */
extern const ct_metric ct_metric_recall;    /* tp / (tp + fn) */
extern const ct_metric ct_metric_f1;        /* 2 tp / (2 tp + fp + fn) */
/* The area under the ROC curve, the trapezoids between the 200 thresholds that Keras takes, k / 199
 * of the sigmoid. The true area is the share of pairs of a positive and a negative in which the
 * positive has the larger logit; pairs between the same two thresholds count half here, so the
 * error is at most half of their share. NaN without positives or negatives. 400 sums. */
extern const ct_metric ct_metric_auc;

/* Of numbers, prediction and target of the same shape and dtype. */
extern const ct_metric ct_metric_mae; /* mean |p - t|; 2 sums */
extern const ct_metric ct_metric_mse; /* mean (p - t)^2; 2 sums */
/* 1 - sum (p - t)^2 / sum (t - mean t)^2, over axis 0, and the mean of that over the columns of
 * the rest. Sums of t and t^2 in f64 lose the digits that mean^2 / variance has. NaN where the
 * variance is below 1e-12 of the mean square. 1 + 3 sums for each column. */
extern const ct_metric ct_metric_r2;
/* The mean of the prediction, or of output number `output` that an objective gives, of any shape;
 * there need be no target. 2 sums. */
extern const ct_metric ct_metric_mean;

CT_C_END

#endif
