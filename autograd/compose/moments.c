/* Mean, deviation and variance, in a few lines of ops.
 * There is no derivative here; and nothing is detached but what cancels: a detached mean would be
 * right at order 1 and wrong from order 2 on.
 * Invariant: the deviation is what the sum rule calls centred, times a number of the structure. */
#include "autograd/compose/moments.h"

#include "autograd/compose.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/caller.h"
#include "tensor/graph/node.h"

#include <math.h>

/* The first element of each group. */
static ct_tensor *first_of(ct_tensor *x, ct_axes axes) {
    for (int k = 0; k < axes.count; k++) x = ct_slice(x, axes.axis[k], 0, 1, 1);
    return ct_stop_gradient(x);
}

/* The mean, averaged from a shift. Which row is the first depends on the rank, so a batch that
 * varies has none: its mean is the plain one. */
static ct_tensor *mean_of(ct_tensor *x, ct_axes axes) {
    for (int k = 0; k < axes.count; k++) {
        if (x->rows && axes.axis[k] == x->batch) return ct_mean_keep(x, axes);
    }
    ct_tensor *first = first_of(x, axes);
    return ct_add(first, ct_mean_keep(ct_sub(x, first), axes));
}

/* The power of two next to 1 / sqrt(count): between a half and all of it. */
static double scale_for(double count) {
    int exponent;
    frexp(sqrt(count), &exponent);
    return ldexp(1.0, -exponent);
}

double cti_averaged(const char *function, ct_tensor *x, ct_axes axes, ct_axes *sorted) {
    if (!x) cti_null_in("%s: 'x' is NULL", function);
    if (!x || cti_axes(function, ct_shape_of(x), axes, sorted) != CT_OK) return 0;
    double count = 1;
    for (int k = 0; k < sorted->count; k++) count *= (double)cti_global_dim(x, sorted->axis[k]);
    if (count == 0) {
        ct_fail(CT_ERR_SHAPE, "%s: cannot average 0 elements of %s", function,
                ct_shape_format(ct_shape_of(x)).text);
    }
    return count;
}

cti_moments cti_moments_of(const char *function, ct_tensor *x, ct_axes axes) {
    cti_moments m = {.scale = 1.0};
    ct_axes sorted = {0};
    double count = cti_averaged(function, x, axes, &sorted);
    if (count == 0) return m;
    ct_dtype dtype = ct_dtype_of(x);
    ct_tensor *mean = cti_called(mean_of(x, sorted), "mean");
    double scale = scale_for(count);
    ct_tensor *deviation = ct_mul(ct_sub(x, mean), cti_structural(dtype, scale));
    cti_called(deviation, "centred");
    ct_tensor *squares = ct_sum_keep(ct_square(deviation), sorted);
    ct_tensor *variance = ct_div(squares, cti_structural(dtype, count * scale * scale));
    cti_called(variance, "variance");
    return variance ? (cti_moments){mean, deviation, variance, scale} : m;
}
