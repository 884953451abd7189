/* SeparableConv2D: a DepthwiseConv2D, and a Conv2D of one pixel over what it gives.
 * It computes nothing of its own.
 * Invariant: child 0 is the depthwise convolution, which has no bias, child 1 the pointwise one. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    return ct_forward(self->children[1], ct_forward(self->children[0], x, mode), mode);
}

static const ct_weights_slot keras[] = {
    {.slot = "depthwise/kernel", .name = "vars/0", .layout = {.reshaped = true}},
    {.slot = "pointwise/kernel", .name = "vars/1"},
    {.slot = "pointwise/bias", .name = "vars/2"},
    {0}};

static const ct_module_kind separable_kind = {
    .name = "SeparableConv2D", .forward = forward, .keras = keras};

ct_module *ct_separable_conv2d_new(int64_t inputs, int64_t filters, int64_t multiplier,
                                   ct_conv2d_options options) {
    CTI_CALLED;
    static const char function[] = "ct_separable_conv2d_new";
    if (cti_check_size(function, "inputs", inputs) != CT_OK ||
        cti_check_size(function, "multiplier", multiplier) != CT_OK ||
        cti_check_size(function, "inputs multiplier", inputs * multiplier) != CT_OK) {
        return NULL;
    }
    ct_conv2d_options one_pixel = {.kernel = {1, 1},
                                   .no_bias = options.no_bias,
                                   .kernel_init = options.kernel_init,
                                   .bias_init = options.bias_init,
                                   .dtype = options.dtype};
    options.no_bias = true;
    ct_module *depthwise = ct_depthwise_conv2d_new(inputs, multiplier, options);
    if (!depthwise) return NULL;
    ct_module *pointwise = ct_conv2d_new(inputs * multiplier, filters, one_pixel);
    ct_module *module = ct_module_new(sizeof *module, &separable_kind);
    ct_status status = ct_module_add_children(module, (ct_module *[]){depthwise, pointwise}, 2);
    if (status == CT_OK) status = ct_module_rename(depthwise, "depthwise");
    if (status == CT_OK) status = ct_module_rename(pointwise, "pointwise");
    return cti_module_or_free(module, status);
}
