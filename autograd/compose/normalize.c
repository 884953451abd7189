/* Normalization layers as functions: batch and layer normalization in a few lines of public ops.
 * There is no gradient here: it follows from the ops, at every order.
 * Invariant: the mean is part of the graph; detaching it would be right at order 1 and wrong
 * from order 2 on. */
#include "autograd/compose.h"

#include "autograd/compose/moments.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/node.h"

/* [C] as [1, .., C, .., 1], so that it stretches along `axis` of x. */
static ct_tensor *along(ct_tensor *t, ct_tensor *x, int axis) {
    ct_shape shape = {.rank = ct_shape_of(x).rank};
    for (int i = 0; i < shape.rank; i++) shape.dims[i] = i == axis ? ct_numel(t) : 1;
    return t ? ct_reshape(t, shape) : NULL;
}

static ct_axes all_but(ct_tensor *x, int axis) {
    ct_axes axes = {0};
    for (int i = 0; i < ct_shape_of(x).rank; i++) {
        if (i != axis) axes.axis[axes.count++] = i;
    }
    return axes;
}

static ct_status check_channels(const char *function, ct_tensor *x, int axis, ct_tensor *t,
                                const char *name) {
    int64_t channels = ct_dim(x, axis);
    if (!t || ct_numel(t) == channels || ct_numel(t) == 1) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: '%s' has %lld elements, x %s has %lld channels on axis %d",
                   function, name, (long long)ct_numel(t), ct_shape_format(ct_shape_of(x)).text,
                   (long long)channels, axis);
}

static ct_status check(const char *function, ct_tensor *x, int *axis, ct_tensor *gamma,
                       ct_tensor *beta, double epsilon) {
    if (!x || !gamma || !beta) {
        if (ct_error() != CT_OK) return ct_error();
        return ct_fail(CT_ERR_NULL, "%s: '%s' is NULL", function,
                       !x       ? "x"
                       : !gamma ? "gamma"
                                : "beta");
    }
    if (cti_shape_axis(function, ct_shape_of(x), *axis, axis) != CT_OK) return CT_ERR_SHAPE;
    if (!(epsilon >= 0)) {
        return ct_fail(CT_ERR_RANGE, "%s: epsilon must be >= 0, got %g", function, epsilon);
    }
    ct_status status = check_channels(function, x, *axis, gamma, "gamma");
    return status == CT_OK ? check_channels(function, x, *axis, beta, "beta") : status;
}

/* gamma * rsqrt(variance + epsilon) * (x - mean) + beta */
static ct_tensor *scale_and_shift(ct_tensor *centred, ct_tensor *variance, ct_tensor *gamma,
                                  ct_tensor *beta, double epsilon) {
    ct_tensor *scale = ct_mul(gamma, ct_rsqrt(ct_offset(variance, epsilon)));
    return ct_add(ct_mul(centred, scale), beta);
}

/* The same from moments: the power of two that the deviation was scaled by goes to gamma. */
static ct_tensor *normalized(cti_moments m, ct_tensor *gamma, ct_tensor *beta, double epsilon) {
    if (!m.variance) return NULL;
    ct_tensor *back = cti_structural(ct_dtype_of(m.variance), 1.0 / m.scale);
    return scale_and_shift(m.deviation, m.variance, ct_mul(gamma, back), beta, epsilon);
}

ct_tensor *ct_batch_norm(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta, int axis, double epsilon,
                         ct_tensor **mean, ct_tensor **variance) {
    CTI_CALLED;
    if (check("ct_batch_norm", x, &axis, gamma, beta, epsilon) != CT_OK) return NULL;
    int64_t channels = ct_dim(x, axis), values = channels > 0;
    for (int i = 0; i < ct_shape_of(x).rank; i++) values *= i == axis ? 1 : cti_global_dim(x, i);
    if (values <= 1) {
        return ct_fail_null(CT_ERR_SHAPE,
                            "ct_batch_norm: training needs > 1 value per channel, "
                            "got %lld (x is %s, channels on axis %d)",
                            (long long)values, ct_shape_format(ct_shape_of(x)).text, axis);
    }
    cti_moments m = cti_moments_of("ct_batch_norm", x, all_but(x, axis));
    if (mean) *mean = ct_reshape(m.mean, CT_SHAPE(channels));
    if (variance) *variance = ct_reshape(m.variance, CT_SHAPE(channels));
    return normalized(m, along(gamma, x, axis), along(beta, x, axis), epsilon);
}

ct_tensor *ct_batch_norm_inference(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta, ct_tensor *mean,
                                   ct_tensor *variance, int axis, double epsilon) {
    CTI_CALLED;
    const char *function = "ct_batch_norm_inference";
    if (check(function, x, &axis, gamma, beta, epsilon) != CT_OK ||
        check_channels(function, x, axis, mean, "mean") != CT_OK ||
        check_channels(function, x, axis, variance, "variance") != CT_OK) {
        return NULL;
    }
    ct_tensor *centred = ct_sub(x, along(mean, x, axis));
    return scale_and_shift(centred, along(variance, x, axis), along(gamma, x, axis),
                           along(beta, x, axis), epsilon);
}

ct_tensor *ct_layer_norm(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta, double epsilon) {
    CTI_CALLED;
    int axis = -1;
    if (check("ct_layer_norm", x, &axis, gamma, beta, epsilon) != CT_OK) return NULL;
    return normalized(cti_moments_of("ct_layer_norm", x, CT_AXES(axis)), gamma, beta, epsilon);
}
