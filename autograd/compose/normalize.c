/* Normalization layers as functions: batch and layer normalization in a few lines of public ops.
 * There is no gradient here: it follows from the ops, at every order.
 * Invariant: the mean is part of the graph; detaching it would be right at order 1 and wrong
 * from order 2 on. */
#include "autograd/compose.h"

#include "autograd/compose/moments.h"
#include "autograd/ops/algebra.h"
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
                            "got %lld (x is %s, channels on axis %d): the variance of one value "
                            "is 0 whatever it is, and so is the derivative",
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

/* --- By grain --------------------------------------------------------------------------------- */

/* x, this rank's grains of it, and the axes that they are averaged over besides the batch's. */
typedef struct {
    ct_tensor *x;
    cti_grains grains;
    ct_axes inside;
    double values; /* of a channel, in one place of the batch axis */
} batch;

static batch batch_of(ct_tensor *x, int channels) {
    batch b = {.x = x, .grains = cti_row_grains(x->rows), .values = 1};
    for (int d = 0; d < x->shape.rank; d++) {
        if (d == channels || d == x->batch) continue;
        b.inside.axis[b.inside.count++] = d;
        b.values *= (double)x->shape.dims[d];
    }
    return b;
}

static double values_of(const batch *b, int64_t grain) {
    ct_span places = cti_grain(&b->grains, grain);
    return (double)(places.last - places.first) * b->values;
}

/* [grains, 1, ..]: for each grain a number that follows from how many values it has. */
static ct_tensor *for_each(const batch *b, double (*number)(double values)) {
    double numbers[CT_GROUP_MOST];
    ct_shape shape = {.rank = b->x->shape.rank};
    for (int d = 0; d < shape.rank; d++) shape.dims[d] = d ? 1 : b->grains.n;
    for (int64_t k = 0; k < b->grains.n; k++) numbers[k] = number(values_of(b, k));
    cti_rows *rows = cti_rows_of_grains(b->x->rows);
    ct_tensor *t = rows ? ct_from(CT_F64, shape, numbers) : NULL;
    cti_marked(t, (cti_mark){rows, 0});
    cti_rows_drop(rows);
    return ct_cast(t, b->x->dtype);
}

/* An empty grain has sums of 0, and statistics that no row reads. */
static double divisor(double values) { return values > 0 ? values : 1; }
static double has_values(double values) { return values > 0; }
static double bessel(double values) { return values > 1 ? values / (values - 1) : 0; }

static ct_tensor *grain_mean(const batch *b, ct_tensor *t) {
    if (b->inside.count) t = ct_sum_keep(t, b->inside);
    return ct_div(cti_grain_sum(t), for_each(b, divisor));
}

/* [C]: the average over the grains that have rows. */
static ct_tensor *grain_average(const batch *b, ct_tensor *t) {
    ct_tensor *mean = ct_div(ct_all_sum(t), ct_all_sum(for_each(b, has_values)));
    return mean ? ct_reshape(mean, CT_SHAPE(ct_numel(mean))) : NULL;
}

static ct_status check_grains(const batch *b) {
    for (int64_t k = 0; k < b->grains.n; k++) {
        if (values_of(b, k) != 1) continue;
        return ct_fail(CT_ERR_SHAPE,
                       "ct_batch_norm_per_grain: training needs > 1 value per channel, a grain of "
                       "x %s has 1",
                       ct_shape_format(b->x->shape).text);
    }
    return CT_OK;
}

ct_tensor *ct_batch_norm_per_grain(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta, int axis,
                                   double epsilon, ct_grain_statistics *statistics) {
    CTI_CALLED;
    if (check("ct_batch_norm_per_grain", x, &axis, gamma, beta, epsilon) != CT_OK) return NULL;
    if (!x->rows || x->batch == axis) {
        return ct_fail_null(CT_ERR_STATE,
                            "ct_batch_norm_per_grain: x %s does not vary between ranks along an "
                            "axis that is averaged",
                            ct_shape_format(x->shape).text);
    }
    batch b = batch_of(x, axis);
    if (check_grains(&b) != CT_OK) return NULL;
    ct_tensor *mean = cti_called(grain_mean(&b, x), "mean");
    ct_tensor *centred = cti_called(ct_sub(x, cti_grain_spread(mean, x)), "centred");
    ct_tensor *variance = cti_called(grain_mean(&b, ct_square(centred)), "variance");
    if (statistics) {
        statistics->mean = grain_average(&b, mean);
        statistics->variance = grain_average(&b, variance);
        statistics->unbiased = grain_average(&b, ct_mul(variance, for_each(&b, bessel)));
    }
    return scale_and_shift(centred, cti_grain_spread(variance, x), along(gamma, x, axis),
                           along(beta, x, axis), epsilon);
}

ct_tensor *ct_layer_norm(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta, double epsilon) {
    CTI_CALLED;
    int axis = -1;
    if (check("ct_layer_norm", x, &axis, gamma, beta, epsilon) != CT_OK) return NULL;
    return normalized(cti_moments_of("ct_layer_norm", x, CT_AXES(axis)), gamma, beta, epsilon);
}
