/* Gradient clipping: by entry, then by the norm of all gradients together.
 * It is tensor algebra inside of the step's graph; nothing is evaluated here.
 * Invariant: clipping by norm keeps the direction. */
#include "optim/optimizer_private.h"
#include "tensor/base/alloc.h"

static void clip_by_value(ct_tensor *gradients[], int64_t n, double limit) {
    for (int64_t i = 0; i < n; i++) gradients[i] = ct_clip(gradients[i], -limit, limit);
}

static ct_tensor *wide(ct_tensor *t) { return ct_cast(t, CT_F64); }

/* The norm of all entries, as that of the norms. In f64, so that parameters of both dtypes count
 * and large entries of f32 do not make it infinite. */
ct_tensor *cti_norm_of(ct_tensor *const gradients[], int64_t n) {
    ct_tensor **norms = cti_alloc((size_t)n, sizeof *norms);
    if (!norms) return NULL;
    for (int64_t i = 0; i < n; i++) norms[i] = ct_reshape(ct_norm(wide(gradients[i])), CT_SHAPE(1));
    ct_tensor *norm = ct_norm(ct_concat(norms, n, 0));
    cti_free(norms);
    return norm;
}

static void clip_by_norm(ct_tensor *gradients[], int64_t n, double limit) {
    ct_tensor *bound = ct_scalar(CT_F64, limit);
    ct_tensor *factor = ct_div(bound, ct_maximum(cti_norm_of(gradients, n), bound));
    for (int64_t i = 0; i < n; i++) {
        gradients[i] = ct_cast(ct_mul(wide(gradients[i]), factor), ct_dtype_of(gradients[i]));
    }
}

ct_status cti_clip(ct_tensor *gradients[], int64_t n, const ct_step_options *options) {
    if (options->clip_value > 0) clip_by_value(gradients, n, options->clip_value);
    if (options->clip_norm > 0 && n > 0) clip_by_norm(gradients, n, options->clip_norm);
    for (int64_t i = 0; i < n; i++) {
        if (!gradients[i]) return ct_error();
    }
    return CT_OK;
}
