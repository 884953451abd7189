/* Conv2D and DepthwiseConv2D, a Conv2D with a group for each channel.
 * Their gradient is that of the ops; there is none here.
 * Invariant: the kernel is [kh,kw,inputs/groups,filters]. */
#include "nn/layers/conv.h"

#include "tensor/base/caller.h"

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    ct_conv2d_spec spec = cti_conv_spec(self, ct_dim(x, 1), ct_dim(x, 2));
    return cti_conv_biased(self, ct_conv2d(x, ct_module_read(self, 0), spec));
}

static const ct_weights_slot pytorch[] = {
    {.slot = "kernel", .name = "weight", .layout = {.axes = {4, {2, 3, 1, 0}}}},
    {.slot = "bias", .name = "bias"},
    {0}};

static const ct_weights_slot keras[] = {
    {.slot = "kernel", .name = "vars/0", .layout = {.reshaped = true}}, {0}};

static const ct_module_kind conv2d_kind = {
    .name = "Conv2D", .forward = forward, .pytorch = pytorch};
static const ct_module_kind depthwise_kind = {
    .name = "DepthwiseConv2D", .forward = forward, .pytorch = pytorch, .keras = keras};

static ct_module *new_of_kind(const char *function, const ct_module_kind *kind, int64_t inputs,
                              int64_t filters, ct_conv2d_options o) {
    if (o.output_padding[0] || o.output_padding[1]) {
        return ct_fail_null(CT_ERR_RANGE, "%s: output_padding is for ct_conv2d_transpose_new",
                            function);
    }
    if (cti_conv_complete(function, inputs, filters, &o) != CT_OK) return NULL;
    ct_shape kernel = CT_SHAPE(o.kernel[0], o.kernel[1], inputs / o.groups, filters);
    return cti_conv_new(function, kind, kernel, filters, &o);
}

ct_module *ct_conv2d_new(int64_t inputs, int64_t filters, ct_conv2d_options options) {
    CTI_CALLED;
    return new_of_kind("ct_conv2d_new", &conv2d_kind, inputs, filters, options);
}

ct_module *ct_depthwise_conv2d_new(int64_t channels, int64_t multiplier,
                                   ct_conv2d_options options) {
    CTI_CALLED;
    static const char function[] = "ct_depthwise_conv2d_new";
    if (cti_check_size(function, "channels", channels) != CT_OK ||
        cti_check_size(function, "multiplier", multiplier) != CT_OK ||
        cti_check_size(function, "channels multiplier", channels * multiplier) != CT_OK) {
        return NULL;
    }
    if (options.groups) {
        return ct_fail_null(CT_ERR_RANGE, "%s: there is a group for each channel, got groups %lld",
                            function, (long long)options.groups);
    }
    options.groups = channels;
    return new_of_kind(function, &depthwise_kind, channels, channels * multiplier, options);
}
