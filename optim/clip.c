/* Gradient clipping: by entry, then by the norm of all gradients together.
 * It is tensor algebra inside of the step's graph; nothing is evaluated here.
 * Invariant: clipping by norm keeps the direction. */
#include "optim/step.h"

static void clip_by_value(ct_tensor *gradients[], int64_t n, double limit) {
    for (int64_t i = 0; i < n; i++) gradients[i] = ct_clip(gradients[i], -limit, limit);
}

/* The sum of squares in f64, so that parameters of both dtypes count. */
static ct_tensor *squared_norm(ct_tensor *gradients[], int64_t n) {
    ct_tensor *sum = ct_scalar(CT_F64, 0.0);
    for (int64_t i = 0; i < n; i++) {
        sum = ct_add(sum, ct_cast(ct_sum_all(ct_square(gradients[i])), CT_F64));
    }
    return sum;
}

static void clip_by_norm(ct_tensor *gradients[], int64_t n, double limit) {
    ct_tensor *bound = ct_scalar(CT_F64, limit);
    ct_tensor *norm = ct_sqrt(squared_norm(gradients, n));
    ct_tensor *factor = ct_div(bound, ct_maximum(norm, bound));
    for (int64_t i = 0; i < n; i++) {
        gradients[i] = ct_mul(gradients[i], ct_cast(factor, ct_dtype_of(gradients[i])));
    }
}

ct_status cti_clip(ct_tensor *gradients[], int64_t n, const ct_step_options *options) {
    if (options->clip_value > 0) clip_by_value(gradients, n, options->clip_value);
    if (options->clip_norm > 0) clip_by_norm(gradients, n, options->clip_norm);
    for (int64_t i = 0; i < n; i++) {
        if (!gradients[i]) return ct_error();
    }
    return CT_OK;
}
