/* What the layers that convolve have in common: options, slots, and the geometry of a forward.
 * Which op is called is the layer's own business.
 * Invariant: slot 0 is the kernel, slot 1 the bias if there is one. */
#include "nn/layers/conv.h"

#include "autograd/kernels/window.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"

/* Before any of it is computed with. */
static ct_status check_pads(const char *function, const ct_conv2d_options *o) {
    if (cti_check_padding(function, o->padding) != CT_OK) return ct_error();
    for (int i = 0; i < 4; i++) {
        if (o->pad[i] < 0 || o->pad[i] > INT32_MAX) {
            return ct_fail(CT_ERR_RANGE, "%s: pad must be %s, got %lld", function,
                           o->pad[i] < 0 ? ">= 0" : "< 2^31", (long long)o->pad[i]);
        }
        if (o->pad[i] && o->padding == CT_SAME) {
            return ct_fail(CT_ERR_RANGE, "%s: pad %lld is given together with CT_SAME", function,
                           (long long)o->pad[i]);
        }
    }
    return CT_OK;
}

static ct_status check(const char *function, int64_t inputs, int64_t filters,
                       const ct_conv2d_options *o) {
    if (cti_check_size(function, "inputs", inputs) != CT_OK ||
        cti_check_size(function, "filters", filters) != CT_OK ||
        cti_check_size(function, "groups", o->groups) != CT_OK ||
        cti_check_sizes(function, "kernel", o->kernel) != CT_OK ||
        cti_check_sizes(function, "stride", o->stride) != CT_OK ||
        cti_check_sizes(function, "dilation", o->dilation) != CT_OK ||
        check_pads(function, o) != CT_OK) {
        return ct_error();
    }
    if (inputs % o->groups == 0 && filters % o->groups == 0) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: groups %lld must divide %lld %s", function,
                   (long long)o->groups, (long long)(inputs % o->groups ? inputs : filters),
                   inputs % o->groups ? "inputs" : "filters");
}

ct_status cti_conv_complete(const char *function, int64_t inputs, int64_t filters,
                            ct_conv2d_options *options) {
    cti_complete_sizes(options->kernel, 3);
    cti_complete_sizes(options->stride, 1);
    cti_complete_sizes(options->dilation, 1);
    if (!options->groups) options->groups = 1;
    return check(function, inputs, filters, options);
}

ct_module *cti_conv_new(const char *function, const ct_module_kind *kind, ct_shape kernel,
                        int64_t filters, const ct_conv2d_options *options) {
    if (cti_shape_check(function, kernel, options->dtype) != CT_OK) return NULL;
    cti_conv *layer = (cti_conv *)ct_module_new(sizeof *layer, kind);
    if (!layer) return NULL;
    layer->options = *options;
    int64_t taps = options->kernel[0] * options->kernel[1];
    int64_t fan_in = taps * kernel.dims[kernel.rank - 2];
    ct_status status = cti_add_weight(&layer->base, "kernel", options->kernel_init,
                                      &ct_glorot_uniform, options->dtype, kernel, fan_in,
                                      taps * kernel.dims[kernel.rank - 1]);
    if (status == CT_OK && !options->no_bias) {
        status = cti_add_weight(&layer->base, "bias", options->bias_init, &ct_init_zeros,
                                options->dtype, CT_SHAPE(filters), fan_in, filters);
    }
    return cti_module_or_free(&layer->base, status);
}

int64_t cti_conv_window(const ct_conv2d_options *options, int d) {
    return (options->kernel[d] - 1) * options->dilation[d] + 1;
}

ct_conv2d_spec cti_conv_spec(const ct_module *self, int64_t height, int64_t width) {
    const ct_conv2d_options *o = &((const cti_conv *)self)->options;
    const int64_t sizes[2] = {height, width};
    ct_conv2d_spec spec = {.groups = o->groups};
    for (int d = 0; d < 2; d++) {
        spec.stride[d] = o->stride[d];
        spec.dilation[d] = o->dilation[d];
        int64_t *pad = &spec.pad[2 * d];
        pad[0] = o->pad[2 * d];
        pad[1] = o->pad[2 * d + 1];
        if (o->padding == CT_SAME) {
            cti_axis_same(sizes[d], cti_conv_window(o, d), spec.stride[d], pad);
        }
    }
    return spec;
}

ct_tensor *cti_conv_biased(ct_module *self, ct_tensor *y) {
    return self->n_slots > 1 ? ct_add(y, ct_module_read(self, 1)) : y;
}
