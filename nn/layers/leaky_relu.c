/* LeakyRelu and Prelu: a slope below 0, which is given or learned.
 * Activations without a number of their own are in activation.c.
 * Invariant: slot 0 of a Prelu is alpha, one for each channel or one for all. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"

typedef struct {
    ct_module base;
    double slope;
} leaky_relu;

static ct_tensor *leaky_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)mode;
    return ct_leaky_relu(x, ((leaky_relu *)self)->slope);
}

static const ct_module_kind leaky_kind = {.name = "LeakyRelu", .forward = leaky_forward};

ct_module *ct_leaky_relu_new(double slope) {
    CTI_CALLED;
    if (!(slope - slope == 0)) {
        return ct_fail_null(CT_ERR_RANGE, "ct_leaky_relu_new: slope must be finite, got %g", slope);
    }
    leaky_relu *layer = (leaky_relu *)ct_module_new(sizeof *layer, &leaky_kind);
    if (layer) layer->slope = slope;
    return layer ? &layer->base : NULL;
}

static ct_tensor *prelu_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    ct_tensor *alpha = ct_module_read(self, 0);
    if (!alpha) return NULL;
    int64_t n = ct_numel(alpha);
    if (n > 1 && cti_check_channels(self, x, n) != CT_OK) return NULL;
    ct_tensor *positive = ct_greater(x, ct_scalar(ct_dtype_of(x), 0.0));
    return ct_where(positive, x, ct_mul(alpha, x));
}

static const ct_weights_slot keras[] = {
    {.slot = "alpha", .name = "vars/0", .layout = {.reshaped = true}}, {0}};
static const ct_weights_slot pytorch[] = {{.slot = "alpha", .name = "weight"}, {0}};

static const ct_module_kind prelu_kind = {
    .name = "Prelu", .forward = prelu_forward, .pytorch = pytorch, .keras = keras};

ct_module *ct_prelu_new(int64_t channels, ct_prelu_options options) {
    CTI_CALLED;
    if (cti_check_size("ct_prelu_new", "channels", channels) != CT_OK) return NULL;
    ct_module *module = ct_module_new(sizeof *module, &prelu_kind);
    if (!module) return NULL;
    ct_initializer quarter = ct_init_constant(0.25);
    return cti_module_or_free(module, cti_add_weight(module, "alpha", options.alpha, &quarter,
                                                     options.dtype, CT_SHAPE(channels), channels,
                                                     channels));
}
