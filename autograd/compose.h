/* Compositions: functions made of primitives. None has a derivative of its own, because none needs
 * one. Axes and broadcasting as in ops.h; NULL in, NULL out; results are temporaries. */
#ifndef COTAN_COMPOSE_H
#define COTAN_COMPOSE_H

#include <cotan/autograd/ops.h>

CT_C_BEGIN

ct_tensor *ct_square(ct_tensor *x);                        /* x^2 */
ct_tensor *ct_reciprocal(ct_tensor *x);                    /* 1 / x */
ct_tensor *ct_clip(ct_tensor *x, double low, double high); /* gradient 1 inside and on the bounds */

/* --- Statistics; the mean of nothing is an error ---------------------------------------------- */
ct_tensor *ct_mean(ct_tensor *x, ct_axes axes);      /* sum x / n over the axes */
ct_tensor *ct_mean_keep(ct_tensor *x, ct_axes axes); /* the axes stay, with size 1 */
ct_tensor *ct_mean_all(ct_tensor *x);                /* over all axes: a scalar */
/* Biased, 1/N, in two passes: mean (x - mean x)^2. Never E[x^2] - E[x]^2, never with a detached
 * mean, which would be wrong from the second derivative on. Of what does not vary it is 0, however
 * large that is. */
ct_tensor *ct_var(ct_tensor *x, ct_axes axes);
ct_tensor *ct_var_keep(ct_tensor *x, ct_axes axes); /* the axes stay, with size 1 */
/* sqrt(var), and 0 with gradient 0 where x does not vary. Squares do not leave the range. */
ct_tensor *ct_std(ct_tensor *x, ct_axes axes);
ct_tensor *ct_min(ct_tensor *x, ct_axes axes); /* -max(-x) */
/* sqrt(sum x^2), with gradient 0 at x = 0. Squares do not leave the range: the norm of (3e20, 4e20)
 * is 5e20 in f32. That of an infinite x is inf, and its gradient NaN at infinite elements. */
ct_tensor *ct_norm(ct_tensor *x);

/* --- Along one axis --------------------------------------------------------------------------- */
/* Shifted by the maximum, also if that is infinite: infinities are equal, and all others nothing
 * beside them. Softmax is the gradient of logsumexp: (1, 0) at (inf, 1), and 0 at (-inf, -inf), so
 * that a row that is masked altogether gives 0 and passes no gradient on. */
ct_tensor *ct_logsumexp(ct_tensor *x, int axis);   /* ln sum e^x */
ct_tensor *ct_softmax(ct_tensor *x, int axis);     /* e^x / sum e^x */
ct_tensor *ct_log_softmax(ct_tensor *x, int axis); /* ln softmax x */
/* labels i64 [...] in 0..classes-1 -> [..., classes] of 0 and 1. Labels are checked at once. */
ct_tensor *ct_one_hot(ct_tensor *labels, int64_t classes, ct_dtype dtype);

/* --- Activations ------------------------------------------------------------------------------ */
ct_tensor *ct_relu(ct_tensor *x);                     /* max(0, x); derivative 0 at 0 */
ct_tensor *ct_leaky_relu(ct_tensor *x, double slope); /* x for x > 0, else slope x */
ct_tensor *ct_elu(ct_tensor *x, double alpha);        /* x for x > 0, else alpha (e^x - 1) */
ct_tensor *ct_softplus(ct_tensor *x);                 /* ln(1 + e^x), without overflow */
ct_tensor *ct_gelu(ct_tensor *x);                     /* x ndtr(x); 0 at -inf */
ct_tensor *ct_silu(ct_tensor *x);                     /* x sigmoid(x); 0 at -inf */

/* --- Normalization ---------------------------------------------------------------------------- */
/* Batch normalization over all axes but `axis` (Ioffe and Szegedy, 2015, arXiv:1502.03167):
 * gamma (x - mean) / sqrt(var + epsilon) + beta, biased variance. gamma and beta have size
 * C = x.dims[axis], or 1. More than one value per channel is needed. `mean` and `variance`, when
 * not NULL, receive the batch statistics, [C]. */
ct_tensor *ct_batch_norm(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta, int axis, double epsilon,
                         ct_tensor **mean, ct_tensor **variance);
/* The same with given statistics [C]: inference. */
ct_tensor *ct_batch_norm_inference(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta, ct_tensor *mean,
                                   ct_tensor *variance, int axis, double epsilon);
/* Averages of the statistics of each grain, over the grains that have rows: [C], replicated. */
typedef struct {
    ct_tensor *mean;
    ct_tensor *variance; /* of those by 1/N, N the values of a grain */
    ct_tensor *unbiased; /* of those by 1/(N-1) */
} ct_grain_statistics;
/* Batch normalization of x that varies between ranks by each grain's own statistics, with the same
 * bits for any number of ranks:
 *
 *     y = gamma (x - mean_g) / sqrt(var_g + epsilon) + beta, for the rows of grain g
 *
 * A grain (tensor/group.h) that has rows needs more than one value per channel, or CT_ERR_SHAPE.
 * `statistics` may be NULL. CT_ERR_STATE where x does not vary, or along its channels. */
ct_tensor *ct_batch_norm_per_grain(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta, int axis,
                                   double epsilon, ct_grain_statistics *statistics);
/* Layer normalization (Ba, Kiros and Hinton, 2016, arXiv:1607.06450):
 * gamma (x - mean) / sqrt(var + epsilon) + beta, mean and biased variance over the last axis. */
ct_tensor *ct_layer_norm(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta, double epsilon);

CT_C_END

#endif
