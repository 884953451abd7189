/* Conv1D: a convolution along one axis, which is a Conv2D of images of height 1.
 * Its gradient is that of the ops; there is none here.
 * Invariant: the kernel is [k,inputs/groups,filters]. */
#include "nn/layers/conv.h"

#include "tensor/base/caller.h"

/* [N,L,C] as [N,1,L,C], or [k,C,F] as [1,k,C,F]: 1 goes to axis `at`. */
static ct_tensor *with_height(ct_tensor *x, int at) {
    ct_shape s = ct_shape_of(x), out = {.rank = 4};
    for (int i = 0; i < 4; i++) out.dims[i] = i == at ? 1 : s.dims[i - (i > at)];
    return ct_reshape(x, out);
}

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    ct_tensor *kernel = ct_module_read(self, 0);
    int64_t groups = ((cti_conv *)self)->options.groups;
    if (!kernel || cti_check_rank(self, x, 3, "[N,L,C]") != CT_OK ||
        cti_check_channels(self, x, ct_dim(kernel, 1) * groups) != CT_OK) {
        return NULL;
    }
    ct_conv2d_spec spec = cti_conv_spec(self, 1, ct_dim(x, 1));
    ct_tensor *y = ct_conv2d(with_height(x, 1), with_height(kernel, 0), spec);
    if (!y) return NULL;
    return cti_conv_biased(self, ct_reshape(y, CT_SHAPE(ct_dim(y, 0), ct_dim(y, 2), ct_dim(y, 3))));
}

static const ct_weights_slot pytorch[] = {
    {.slot = "kernel", .name = "weight", .layout = {.axes = {3, {2, 1, 0}}}},
    {.slot = "bias", .name = "bias"},
    {0}};

static const ct_module_kind conv1d_kind = {
    .name = "Conv1D", .forward = forward, .pytorch = pytorch};

ct_module *ct_conv1d_new(int64_t inputs, int64_t filters, ct_conv1d_options options) {
    CTI_CALLED;
    static const char function[] = "ct_conv1d_new";
    ct_conv2d_options flat = {.kernel = {1, options.kernel ? options.kernel : 3},
                              .stride = {1, options.stride},
                              .padding = options.padding,
                              .pad = {0, 0, options.pad[0], options.pad[1]},
                              .dilation = {1, options.dilation},
                              .groups = options.groups,
                              .no_bias = options.no_bias,
                              .kernel_init = options.kernel_init,
                              .bias_init = options.bias_init,
                              .dtype = options.dtype};
    if (cti_conv_complete(function, inputs, filters, &flat) != CT_OK) return NULL;
    ct_shape kernel = CT_SHAPE(flat.kernel[1], inputs / flat.groups, filters);
    return cti_conv_new(function, &conv1d_kind, kernel, filters, &flat);
}
