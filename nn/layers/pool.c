/* Pooling layers, of windows and of whole images: they have no slots.
 * Windows are the ops' business; "same" padding is computed here, at each forward.
 * Invariant: nothing is stored between forwards. */
#include "nn/module_private.h"

#include "autograd/kernels/window.h"
#include "tensor/base/caller.h"

#include <string.h>

typedef struct {
    ct_module base;
    ct_pool2d_options options;
} pool2d;

static ct_pool2d_spec spec_for(const pool2d *layer, ct_tensor *x) {
    const ct_pool2d_options *o = &layer->options;
    ct_pool2d_spec spec = {0};
    for (int d = 0; d < 2; d++) {
        spec.window[d] = o->window[d];
        spec.stride[d] = o->stride[d];
        if (o->padding == CT_SAME) {
            cti_axis_same(ct_dim(x, 1 + d), spec.window[d], spec.stride[d], &spec.pad[2 * d]);
        }
    }
    return spec;
}

static ct_tensor *max_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    return ct_max_pool2d(x, spec_for((pool2d *)self, x));
}

static ct_tensor *avg_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    return ct_avg_pool2d(x, spec_for((pool2d *)self, x));
}

static const ct_module_kind max_kind = {.name = "MaxPool2D", .forward = max_forward};
static const ct_module_kind avg_kind = {.name = "AvgPool2D", .forward = avg_forward};

static ct_module *pool_new(const char *function, const ct_module_kind *kind,
                           ct_pool2d_options options) {
    cti_complete_sizes(options.window, 2);
    if (!options.stride[0] && !options.stride[1]) {
        memcpy(options.stride, options.window, sizeof options.stride);
    }
    cti_complete_sizes(options.stride, options.window[0]);
    if (cti_check_padding(function, options.padding) != CT_OK ||
        cti_check_sizes(function, "window", options.window) != CT_OK ||
        cti_check_sizes(function, "stride", options.stride) != CT_OK) {
        return NULL;
    }
    pool2d *layer = (pool2d *)ct_module_new(sizeof *layer, kind);
    if (layer) layer->options = options;
    return layer ? &layer->base : NULL;
}

ct_module *ct_max_pool2d_new(ct_pool2d_options options) {
    CTI_CALLED;
    return pool_new("ct_max_pool2d_new", &max_kind, options);
}

ct_module *ct_avg_pool2d_new(ct_pool2d_options options) {
    CTI_CALLED;
    return pool_new("ct_avg_pool2d_new", &avg_kind, options);
}

static ct_tensor *global_avg_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    if (cti_check_rank(self, x, 4, "[N,H,W,C]") != CT_OK) return NULL;
    return ct_mean(x, CT_AXES(1, 2));
}

static ct_tensor *global_max_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    if (cti_check_rank(self, x, 4, "[N,H,W,C]") != CT_OK) return NULL;
    return ct_max(x, CT_AXES(1, 2));
}

static const ct_module_kind global_avg_kind = {.name = "GlobalAvgPool2D",
                                               .forward = global_avg_forward};
static const ct_module_kind global_max_kind = {.name = "GlobalMaxPool2D",
                                               .forward = global_max_forward};

ct_module *ct_global_avg_pool2d_new(void) {
    CTI_CALLED;
    return ct_module_new(sizeof(ct_module), &global_avg_kind);
}

ct_module *ct_global_max_pool2d_new(void) {
    CTI_CALLED;
    return ct_module_new(sizeof(ct_module), &global_max_kind);
}
