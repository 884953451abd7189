/* Conv2D: a convolution with a kernel slot, and a bias.
 * Its gradient is that of the ops; there is none here.
 * Invariant: slot 0 is the kernel [kh,kw,inputs/groups,filters], slot 1 the bias. */
#include "nn/module_private.h"

#include "autograd/kernels/window.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"

typedef struct {
    ct_module base;
    ct_conv2d_options options;
} conv2d;

static int64_t at_least_one(int64_t value) { return value ? value : 1; }

/* "same" padding depends on the size of the input, so each forward computes it. */
static ct_conv2d_spec spec_for(const conv2d *layer, ct_tensor *x) {
    const ct_conv2d_options *o = &layer->options;
    ct_conv2d_spec spec = {.groups = o->groups};
    for (int d = 0; d < 2; d++) {
        spec.stride[d] = o->stride[d];
        spec.dilation[d] = o->dilation[d];
        int64_t *pad = &spec.pad[2 * d];
        pad[0] = o->pad[2 * d];
        pad[1] = o->pad[2 * d + 1];
        int64_t window = (o->kernel[d] - 1) * spec.dilation[d] + 1;
        if (o->padding == CT_SAME) {
            cti_axis_same(ct_dim(x, 1 + d), window, spec.stride[d], pad);
        }
    }
    return spec;
}

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    ct_tensor *y = ct_conv2d(x, ct_module_read(self, 0), spec_for((conv2d *)self, x));
    return self->n_slots > 1 ? ct_add(y, ct_module_read(self, 1)) : y;
}

static const ct_pytorch_slot pytorch[] = {
    {.slot = "kernel", .name = "weight", .axes = {4, {2, 3, 1, 0}}},
    {.slot = "bias", .name = "bias"},
    {0}};

static const ct_module_kind conv2d_kind = {
    .name = "Conv2D", .forward = forward, .pytorch = pytorch};

static ct_status check(int64_t inputs, int64_t filters, const ct_conv2d_options *o) {
    static const char function[] = "ct_conv2d_new";
    if (cti_check_size(function, "inputs", inputs) != CT_OK ||
        cti_check_size(function, "filters", filters) != CT_OK ||
        cti_check_size(function, "groups", o->groups) != CT_OK ||
        cti_check_sizes(function, "kernel", o->kernel) != CT_OK ||
        cti_check_sizes(function, "stride", o->stride) != CT_OK ||
        cti_check_sizes(function, "dilation", o->dilation) != CT_OK) {
        return ct_error();
    }
    if (inputs % o->groups == 0 && filters % o->groups == 0) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: groups %lld must divide %lld %s", function,
                   (long long)o->groups, (long long)(inputs % o->groups ? inputs : filters),
                   inputs % o->groups ? "inputs" : "filters");
}

ct_module *ct_conv2d_new(int64_t inputs, int64_t filters, ct_conv2d_options options) {
    CTI_CALLED;
    for (int d = 0; d < 2; d++) {
        if (!options.kernel[d]) options.kernel[d] = 3;
        options.stride[d] = at_least_one(options.stride[d]);
        options.dilation[d] = at_least_one(options.dilation[d]);
    }
    int64_t groups = options.groups = at_least_one(options.groups);
    if (check(inputs, filters, &options) != CT_OK) return NULL;
    ct_shape kernel = CT_SHAPE(options.kernel[0], options.kernel[1], inputs / groups, filters);
    if (cti_shape_check("ct_conv2d_new", kernel, options.dtype) != CT_OK) return NULL;
    conv2d *layer = (conv2d *)ct_module_new(sizeof *layer, &conv2d_kind);
    if (!layer) return NULL;
    layer->options = options;
    int64_t taps = options.kernel[0] * options.kernel[1], fan_in = taps * (inputs / groups);
    ct_status status = cti_add_weight(&layer->base, "kernel", options.kernel_init,
                                      &ct_glorot_uniform, options.dtype, kernel, fan_in,
                                      taps * filters);
    if (status == CT_OK && !options.no_bias) {
        status = cti_add_weight(&layer->base, "bias", options.bias_init, &ct_init_zeros,
                                options.dtype, CT_SHAPE(filters), fan_in, filters);
    }
    return cti_module_or_free(&layer->base, status);
}
