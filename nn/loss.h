/* Losses and accuracies: scalars, the mean over the batch. */
#ifndef COTAN_LOSS_H
#define COTAN_LOSS_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* A loss for ct_fit; one of your own is such a constant. */
typedef struct {
    const char *name;
    ct_tensor *(*value)(ct_tensor *prediction, ct_tensor *target);
    bool from_logits; /* gets ct_logits instead of ct_forward */
    /* Reported as accuracy together with this loss; gets the same prediction. NULL: none. */
    ct_tensor *(*metric)(ct_tensor *prediction, ct_tensor *target);
    /* A loss with options has this in place of `value`, and gets them: borrowed, so they live as
     * long as the loss is used. ct_loss_of calls either. */
    ct_tensor *(*value_with)(const void *options, ct_tensor *prediction, ct_tensor *target);
    const void *options;
} ct_loss;

/* What the loss is of a prediction: its value, or value_with of its options. Errors: CT_ERR_NULL
 * for a loss with neither, those of the loss. */
ct_tensor *ct_loss_of(const ct_loss *loss, ct_tensor *prediction, ct_tensor *target);

/* From logits [...,K], K of at least 2, by log-sum-exp, the mean over [...]; labels i64 [...], or
 * one-hot or soft [...,K] of logits' dtype. A class whose label is 0 adds nothing, also where its
 * logit is -inf. Metric: ct_accuracy. */
ct_tensor *ct_cross_entropy(ct_tensor *logits, ct_tensor *labels);
extern const ct_loss ct_loss_cross_entropy;
/* Zeroed options are those of ct_cross_entropy. */
typedef struct {
    ct_tensor *weights;   /* of the classes, [K]; borrowed; NULL: 1 */
    double smoothing;     /* in [0,1): the share of each label that all K classes get alike */
    bool ignore;          /* labels, of i64, that are ignore_index do not count; ... */
    int64_t ignore_index; /* ... it need not be a class */
} ct_cross_entropy_options;
/* With l = -log_softmax(logits), s = smoothing and labels y in i64: the sum over rows that count of
 * (1 - s) w[y] l[y] + s/K sum_k w[k] l[k], over the sum of their w[y]. With distributions t it is
 * the mean over rows of sum_k w[k] ((1 - s) t[k] + s/K) l[k]. Both are PyTorch's. Where no row
 * counts, or all w[y] are 0, it is 0, and so is its gradient: such a batch teaches nothing, where
 * PyTorch gives NaN.
 * Errors: CT_ERR_NULL, CT_ERR_SHAPE, CT_ERR_RANGE (smoothing, labels), CT_ERR_DTYPE (ignore without
 * labels in i64), CT_ERR_STATE (ignore_index without ignore), CT_ERR_MEMORY. */
ct_tensor *ct_cross_entropy_with(ct_tensor *logits, ct_tensor *labels,
                                 ct_cross_entropy_options options);
/* For ct_fit. Metric: ct_accuracy, but none with `ignore`; ct_metric_accuracy can ignore too. */
ct_loss ct_loss_cross_entropy_with(const ct_cross_entropy_options *options);
/* From logits; targets in 0..1 of the same shape and dtype: mean of softplus(z) - z t, with all
 * digits of small ones; 0 at (inf, 1) and (-inf, 0). Metric: ct_binary_accuracy. */
ct_tensor *ct_binary_cross_entropy(ct_tensor *logits, ct_tensor *targets);
extern const ct_loss ct_loss_binary_cross_entropy;
/* mean (p - t)^2 */
ct_tensor *ct_mse(ct_tensor *prediction, ct_tensor *target);
extern const ct_loss ct_loss_mse;
/* mean |p - t| */
ct_tensor *ct_mae(ct_tensor *prediction, ct_tensor *target);
extern const ct_loss ct_loss_mae;
/* mean of d^2/2 for |d| <= delta, else delta (|d| - delta/2); Huber, 1964. */
ct_tensor *ct_huber(ct_tensor *prediction, ct_tensor *target, double delta);
extern const ct_loss ct_loss_huber; /* delta 1 */
ct_loss ct_loss_huber_with(const double *delta);

/* The share of rows of [...,K], K of at least 2, whose largest entry (lowest index at a tie) is the
 * label: labels i64 [...] or one-hot [...,K]. f32 scalar. */
ct_tensor *ct_accuracy(ct_tensor *scores, ct_tensor *labels);
/* The share of elements where logit > 0 and target > 0.5 agree; same shape and dtype. f32. */
ct_tensor *ct_binary_accuracy(ct_tensor *logits, ct_tensor *targets);

CT_C_END

#endif
