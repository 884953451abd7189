/* Compositions of primitives: statistics, softmax and its kin, activations.
 * There is no derivative here and no arithmetic on elements.
 * Invariant: each function is an expression of ops.h; a NULL inside of it comes out as NULL. */
#include "autograd/compose.h"

#include "autograd/compose/moments.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/caller.h"
#include "tensor/graph/node.h"

#include <float.h>

ct_tensor *ct_square(ct_tensor *x) {
    CTI_CALLED;
    return ct_mul(x, x);
}

static ct_tensor *constant(ct_tensor *x, double value) {
    return x ? cti_literal(ct_dtype_of(x), value) : NULL;
}

ct_tensor *ct_reciprocal(ct_tensor *x) {
    CTI_CALLED;
    return ct_div(constant(x, 1.0), x);
}

ct_tensor *ct_clip(ct_tensor *x, double low, double high) {
    CTI_CALLED;
    if (!(low <= high)) {
        return ct_fail_null(CT_ERR_RANGE, "ct_clip: low must be <= high, got %g and %g", low, high);
    }
    return ct_minimum(ct_maximum(x, constant(x, low)), constant(x, high));
}

/* --- Statistics ------------------------------------------------------------------------------- */

/* A division: 1 / count would be rounded once more. */
static ct_tensor *mean_by(ct_tensor *(*sum)(ct_tensor *, ct_axes), ct_tensor *x, ct_axes axes) {
    ct_axes sorted = {0};
    double count = cti_averaged("ct_mean", x, axes, &sorted);
    return count > 0 ? ct_div(sum(x, axes), cti_structural(ct_dtype_of(x), count)) : NULL;
}

ct_tensor *ct_mean(ct_tensor *x, ct_axes axes) {
    CTI_CALLED;
    return mean_by(ct_sum, x, axes);
}

ct_tensor *ct_mean_keep(ct_tensor *x, ct_axes axes) {
    CTI_CALLED;
    return mean_by(ct_sum_keep, x, axes);
}

ct_tensor *ct_mean_all(ct_tensor *x) {
    CTI_CALLED;
    return ct_mean(x, CT_ALL);
}

ct_tensor *ct_var(ct_tensor *x, ct_axes axes) {
    CTI_CALLED;
    ct_tensor *kept = ct_var_keep(x, axes);
    bool averages[CT_MAX_RANK];
    for (int i = 0; i < ct_shape_of(kept).rank; i++) {
        averages[i] = axes.count < 0;
        for (int k = 0; k < axes.count; k++) {
            averages[i] |= axes.axis[k] == i || axes.axis[k] + ct_shape_of(x).rank == i;
        }
    }
    return cti_without(kept, averages);
}

ct_tensor *ct_var_keep(ct_tensor *x, ct_axes axes) {
    CTI_CALLED;
    return cti_moments_of("ct_var", x, axes).variance;
}

/* The root of the sum or mean of x^2. A factor keeps squares from leaving the range; it is 1 where
 * they do not, and constant, so that it cancels out of the derivatives. The root of 0 gets 1
 * instead, so that the derivative there is 0 and not 0 * inf. */
static ct_tensor *root_of_squares(ct_tensor *(*combine)(ct_tensor *, ct_axes), ct_tensor *x,
                                  ct_axes axes) {
    bool wide = ct_dtype_of(x) != CT_F32;
    double most = wide ? DBL_MAX : (double)FLT_MAX, least = wide ? DBL_MIN : (double)FLT_MIN;
    double high = wide ? 0x1p400 : 0x1p40;
    ct_tensor *largest = ct_clip(ct_max_keep(ct_abs(ct_stop_gradient(x)), axes), least, most);
    ct_tensor *factor = ct_div(ct_clip(largest, 1.0 / high, high), largest);
    ct_tensor *squares = combine(ct_square(ct_mul(x, factor)), axes), *zero = constant(x, 0.0);
    ct_tensor *none = ct_equal(squares, zero);
    ct_tensor *root = ct_where(none, zero, ct_sqrt(ct_where(none, constant(x, 1.0), squares)));
    return root ? ct_div(root, cti_reshape_marked(factor, root->shape, cti_mark_of(root))) : NULL;
}

ct_tensor *ct_std(ct_tensor *x, ct_axes axes) {
    CTI_CALLED;
    ct_tensor *mean = cti_moments_of("ct_std", x, axes).mean;
    return mean ? root_of_squares(ct_mean, ct_sub(x, mean), axes) : NULL;
}

ct_tensor *ct_min(ct_tensor *x, ct_axes axes) {
    CTI_CALLED;
    return ct_neg(ct_max(ct_neg(x), axes));
}

/* The norm of nothing is 0. */
ct_tensor *ct_norm(ct_tensor *x) {
    CTI_CALLED;
    if (x && cti_global_numel(x) == 0) return ct_sum_all(x);
    return root_of_squares(ct_sum, x, CT_ALL);
}

/* --- Along one axis --------------------------------------------------------------------------- */

/* The shift cancels out of value and derivative, so nothing needs to flow through it. */
static ct_tensor *shift_of(ct_tensor *x, int axis) {
    return ct_stop_gradient(ct_max_keep(x, CT_AXES(axis)));
}

/* A sum of exponentials behind the shift. It is 1 or more, as the largest of them is 1; but where
 * all are e^-inf it is 0, which becomes 1: then shares and gradients are 0. */
static ct_tensor *at_least_1(ct_tensor *sum) { return ct_maximum(sum, constant(sum, 1.0)); }

ct_tensor *ct_logsumexp(ct_tensor *x, int axis) {
    CTI_CALLED;
    ct_tensor *shift = shift_of(x, axis);
    ct_tensor *sum = ct_sum(ct_exp(cti_shift(x, shift)), CT_AXES(axis));
    if (!sum) return NULL;
    shift = cti_reshape_marked(shift, sum->shape, cti_mark_of(sum));
    return ct_add(ct_log(at_least_1(sum)), shift);
}

ct_tensor *ct_softmax(ct_tensor *x, int axis) {
    CTI_CALLED;
    ct_tensor *e = ct_exp(cti_shift(x, shift_of(x, axis)));
    if (!e) return NULL;
    /* Stretched first, so that the maximum is taken where the division is, in the same pass. */
    ct_tensor *sum = cti_broadcast_like(ct_sum_keep(e, CT_AXES(axis)), e);
    return ct_div(e, at_least_1(sum));
}

ct_tensor *ct_log_softmax(ct_tensor *x, int axis) {
    CTI_CALLED;
    ct_tensor *shifted = cti_called(cti_shift(x, shift_of(x, axis)), "shifted");
    ct_tensor *sum = ct_log(at_least_1(ct_sum_keep(ct_exp(shifted), CT_AXES(axis))));
    return cti_called(ct_sub(shifted, cti_called(sum, "log_sum")), "log_softmax");
}

static ct_status check_labels(ct_tensor *labels, int64_t classes) {
    if (ct_dtype_of(labels) != CT_I64) {
        return ct_fail(CT_ERR_DTYPE, "ct_one_hot: labels must be i64, got %s",
                       ct_dtype_name(ct_dtype_of(labels)));
    }
    const int64_t *label = ct_data_i64(labels);
    if (!label) return ct_error();
    for (int64_t i = 0; i < ct_numel(labels); i++) {
        if (label[i] >= 0 && label[i] < classes) continue;
        return ct_fail(CT_ERR_RANGE, "ct_one_hot: label must be in 0..%lld, got %lld at row %lld",
                       (long long)classes - 1, (long long)label[i], (long long)i);
    }
    return CT_OK;
}

ct_tensor *ct_one_hot(ct_tensor *labels, int64_t classes, ct_dtype dtype) {
    CTI_CALLED;
    if (!labels) return ct_cast(labels, dtype);
    if (classes < 1) {
        return ct_fail_null(CT_ERR_RANGE, "ct_one_hot: classes must be >= 1, got %lld",
                            (long long)classes);
    }
    if (check_labels(labels, classes) != CT_OK) return NULL;
    if (ct_shape_of(labels).rank == CT_MAX_RANK) {
        return ct_fail_null(CT_ERR_SHAPE, "ct_one_hot: labels must have rank < %d", CT_MAX_RANK);
    }
    return ct_cast(ct_equal(cti_column(labels), ct_iota(classes)), dtype);
}

/* --- Activations ------------------------------------------------------------------------------ */

ct_tensor *ct_relu(ct_tensor *x) {
    CTI_CALLED;
    return ct_maximum(constant(x, 0.0), x);
}

static ct_tensor *positive(ct_tensor *x) { return ct_greater(x, constant(x, 0.0)); }

ct_tensor *ct_leaky_relu(ct_tensor *x, double slope) {
    CTI_CALLED;
    return ct_where(positive(x), x, ct_scale(x, slope));
}

/* The exponential sees only the half where it is used: elsewhere it could overflow. */
ct_tensor *ct_elu(ct_tensor *x, double alpha) {
    CTI_CALLED;
    ct_tensor *low = ct_minimum(x, constant(x, 0.0));
    return ct_where(positive(x), x, ct_scale(ct_expm1(low), alpha));
}

/* max(x, 0) + ln(1 + e^-|x|), where both halves of |x| come from one comparison: then the
 * derivative at 0 is that of the smooth function, 1/2. */
ct_tensor *ct_softplus(ct_tensor *x) {
    CTI_CALLED;
    ct_tensor *above = ct_where(positive(x), x, constant(x, 0.0));
    ct_tensor *below = ct_where(positive(x), ct_neg(x), x);
    return ct_add(above, ct_log1p(ct_exp(below)));
}

/* x gate(x) for a gate that is 0 at -1000 and 1 at 1000, to the last digit. The gate sees no more
 * than that, and x no less: neither value nor derivative becomes inf * 0. */
static ct_tensor *gated(ct_tensor *x, ct_tensor *(*gate)(ct_tensor *)) {
    ct_tensor *from = ct_maximum(x, constant(x, -1000.0));
    return ct_mul(from, gate(ct_minimum(from, constant(x, 1000.0))));
}

ct_tensor *ct_gelu(ct_tensor *x) {
    CTI_CALLED;
    return gated(x, ct_ndtr);
}

ct_tensor *ct_silu(ct_tensor *x) {
    CTI_CALLED;
    return gated(x, ct_sigmoid);
}
