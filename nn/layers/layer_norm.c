/* LayerNorm: normalization over the last axis, the same in training and inference.
 * There is no gradient here: ct_layer_norm is a few ops.
 * Invariant: slot 0 is gamma, slot 1 is beta. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"

typedef struct {
    ct_module base;
    double epsilon;
} layer_norm;

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    return ct_layer_norm(x, ct_module_read(self, 0), ct_module_read(self, 1),
                         ((layer_norm *)self)->epsilon);
}

static const ct_module_kind layer_norm_kind = {
    .name = "LayerNorm", .forward = forward, .pytorch = cti_pytorch_affine};

static const char made_by[] = "ct_layer_norm_defaults";

ct_layer_norm_options ct_layer_norm_defaults(void) {
    return (ct_layer_norm_options){.epsilon = 1e-3, .made_by = made_by};
}

ct_layer_norm_options ct_layer_norm_pytorch(void) {
    return (ct_layer_norm_options){.epsilon = 1e-5, .made_by = made_by};
}

ct_module *ct_layer_norm_new(int64_t size, ct_layer_norm_options options) {
    CTI_CALLED;
    if (cti_check_made_by("ct_layer_norm_new", options.made_by, made_by) != CT_OK) return NULL;
    if (!(options.epsilon >= 0)) {
        return ct_fail_null(CT_ERR_RANGE, "ct_layer_norm_new: epsilon must be >= 0, got %g",
                            options.epsilon);
    }
    if (cti_check_size("ct_layer_norm_new", "size", size) != CT_OK) return NULL;
    layer_norm *ln = (layer_norm *)ct_module_new(sizeof *ln, &layer_norm_kind);
    if (!ln) return NULL;
    ln->epsilon = options.epsilon;
    return cti_module_or_free(&ln->base,
                              cti_add_affine(&ln->base, size, options.dtype, false, false));
}
