/* Losses and accuracies: scalars, the mean over the batch. */
#ifndef COTAN_LOSS_H
#define COTAN_LOSS_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* A loss or metric for ct_fit; one of your own is such a constant. */
typedef struct {
    const char *name;
    ct_tensor *(*value)(ct_tensor *prediction, ct_tensor *target);
    bool from_logits; /* gets ct_logits instead of ct_forward */
    /* Reported as accuracy together with this loss; gets the same prediction. NULL: none. */
    ct_tensor *(*metric)(ct_tensor *prediction, ct_tensor *target);
} ct_loss;

/* From logits [N,K] by log-sum-exp; labels i64 [N], or one-hot or soft [N,K] of logits' dtype. A
 * class whose label is 0 adds nothing, also where its logit is -inf. Metric: ct_accuracy. */
ct_tensor *ct_cross_entropy(ct_tensor *logits, ct_tensor *labels);
extern const ct_loss ct_loss_cross_entropy;
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

/* The share of rows whose largest entry (lowest index at a tie) is the label: labels i64 [N] or
 * one-hot [N,K]. f32 scalar. */
ct_tensor *ct_accuracy(ct_tensor *scores, ct_tensor *labels);
/* The share of elements where logit > 0 and target > 0.5 agree; same shape and dtype. f32. */
ct_tensor *ct_binary_accuracy(ct_tensor *logits, ct_tensor *targets);

CT_C_END

#endif
