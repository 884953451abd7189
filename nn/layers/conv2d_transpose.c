/* Conv2DTranspose: the transpose of a convolution in its input, which makes images larger.
 * Its gradient is that of the ops; there is none here.
 * Invariant: the kernel is that of the convolution, from `filters` to `inputs` channels:
 * [kh,kw,filters/groups,inputs]. */
#include "nn/layers/conv.h"

#include "tensor/base/caller.h"

/* The size of the output: that of the input of the convolution. */
static int64_t size_of(const ct_conv2d_options *o, int64_t size, int d) {
    if (o->padding == CT_SAME) return size * o->stride[d];
    return (size - 1) * o->stride[d] + cti_conv_window(o, d) - o->pad[2 * d] - o->pad[2 * d + 1] +
           o->output_padding[d];
}

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    ct_tensor *kernel = ct_module_read(self, 0);
    if (!kernel || cti_check_images(self, x) != CT_OK ||
        cti_check_channels(self, x, ct_dim(kernel, 3)) != CT_OK) {
        return NULL;
    }
    const ct_conv2d_options *o = &((cti_conv *)self)->options;
    int64_t height = size_of(o, ct_dim(x, 1), 0), width = size_of(o, ct_dim(x, 2), 1);
    if (height < 1 || width < 1) {
        return ct_fail_null(CT_ERR_SHAPE, "%s: padding leaves %lld x %lld pixels of x %s",
                            self->kind->name, (long long)height, (long long)width,
                            ct_shape_format(ct_shape_of(x)).text);
    }
    ct_conv2d_spec spec = cti_conv_spec(self, height, width);
    return cti_conv_biased(self, ct_conv2d_input(x, kernel, height, width, spec));
}

static const ct_weights_slot pytorch[] = {
    {.slot = "kernel", .name = "weight", .layout = {.axes = {4, {2, 3, 1, 0}}}},
    {.slot = "bias", .name = "bias"},
    {0}};

static const ct_module_kind transpose_kind = {
    .name = "Conv2DTranspose", .forward = forward, .pytorch = pytorch};

static ct_status check_output_padding(const char *function, const ct_conv2d_options *o) {
    for (int d = 0; d < 2; d++) {
        int64_t extra = o->output_padding[d];
        if (extra && o->padding == CT_SAME) {
            return ct_fail(CT_ERR_RANGE, "%s: output_padding %lld is given together with CT_SAME",
                           function, (long long)extra);
        }
        if (extra < 0 || extra >= o->stride[d]) {
            return ct_fail(CT_ERR_RANGE,
                           "%s: output_padding must be in 0..stride-1, got %lld of "
                           "stride %lld",
                           function, (long long)extra, (long long)o->stride[d]);
        }
    }
    return CT_OK;
}

ct_module *ct_conv2d_transpose_new(int64_t inputs, int64_t filters, ct_conv2d_options options) {
    CTI_CALLED;
    static const char function[] = "ct_conv2d_transpose_new";
    if (cti_conv_complete(function, inputs, filters, &options) != CT_OK ||
        check_output_padding(function, &options) != CT_OK) {
        return NULL;
    }
    ct_shape kernel = CT_SHAPE(options.kernel[0], options.kernel[1], filters / options.groups,
                               inputs);
    return cti_conv_new(function, &transpose_kind, kernel, filters, &options);
}
