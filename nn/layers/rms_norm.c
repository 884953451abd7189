/* RMSNorm: division by the root of the mean square of the last axis, the same in training and
 * inference.
 * There is no gradient here: it is that of the ops.
 * Invariant: slot 0 is gamma. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"
#include "tensor/graph/node.h"

typedef struct {
    ct_module base;
    double epsilon;
} rms_norm;

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    ct_tensor *gamma = ct_module_read(self, 0);
    if (!gamma || cti_check_channels(self, x, ct_numel(gamma)) != CT_OK) return NULL;
    ct_tensor *square = cti_called(ct_mean_keep(ct_square(x), CT_AXES(-1)), "mean_square");
    ct_tensor *scale = ct_rsqrt(ct_offset(square, ((rms_norm *)self)->epsilon));
    return ct_mul(ct_mul(x, scale), gamma);
}

static const ct_module_kind rms_norm_kind = {
    .name = "RMSNorm", .forward = forward, .pytorch = cti_pytorch_affine};

static const char made_by[] = "ct_rms_norm_defaults";

ct_module *ct_rms_norm_new(int64_t size, ct_rms_norm_options options) {
    CTI_CALLED;
    static const char function[] = "ct_rms_norm_new";
    if (cti_check_made_by(function, options.made_by, made_by) != CT_OK ||
        cti_check_size(function, "size", size) != CT_OK) {
        return NULL;
    }
    if (!(options.epsilon >= 0)) {
        return ct_fail_null(CT_ERR_RANGE, "%s: epsilon must be >= 0, got %g", function,
                            options.epsilon);
    }
    rms_norm *layer = (rms_norm *)ct_module_new(sizeof *layer, &rms_norm_kind);
    if (!layer) return NULL;
    layer->epsilon = options.epsilon;
    return cti_module_or_free(&layer->base,
                              cti_add_affine(&layer->base, size, options.dtype, false, true));
}

ct_rms_norm_options ct_rms_norm_defaults(void) {
    return (ct_rms_norm_options){.epsilon = 1e-6, .made_by = made_by};
}
