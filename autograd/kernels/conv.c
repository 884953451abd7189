/* Convolution: shape rules and the numbers derived from them. No arithmetic on elements.
 * The transposes are checked against the forward face: their operands must be what it would give.
 * Invariant: after a shape rule has passed, cti_conv_of cannot overflow. */
#include "autograd/kernels/winograd.h"

#include "tensor/base/shape_rules.h"

#include <stdio.h>

/* From as many products of channels and outputs, and pixels on a side, minimal filtering is faster:
 * with fewer, what the transforms take and what tiles compute behind the edge eat up its gain. */
#define WINOGRAD_PRODUCTS (64 * 64)
#define WINOGRAD_PIXELS 7

static int64_t at_least_default(int64_t value) { return value == 0 ? 1 : value; }

cti_conv_attr cti_conv_attr_of(cti_conv_face face, ct_conv2d_spec spec, int64_t height,
                               int64_t width) {
    for (int d = 0; d < 2; d++) {
        spec.stride[d] = at_least_default(spec.stride[d]);
        spec.dilation[d] = at_least_default(spec.dilation[d]);
    }
    spec.groups = at_least_default(spec.groups);
    return (cti_conv_attr){.spec = spec, .size = {height, width}, .face = face};
}

static cti_axis axis_of(const ct_conv2d_spec *spec, int d, int64_t size, int64_t extent) {
    return (cti_axis){.size = size,
                      .extent = extent,
                      .dilation = spec->dilation[d],
                      .stride = spec->stride[d],
                      .before = spec->pad[2 * d],
                      .after = spec->pad[2 * d + 1]};
}

const cti_conv_face cti_conv_inputs[3][2] = {[CTI_CONV_Y] = {CTI_CONV_X, CTI_CONV_W},
                                             [CTI_CONV_X] = {CTI_CONV_Y, CTI_CONV_W},
                                             [CTI_CONV_W] = {CTI_CONV_X, CTI_CONV_Y}};

/* By the form of the convolution alone, so that every batch and every processor choose alike: also
 * for a batch of one image the places of the kernel must pay. */
static bool fits_winograd(const cti_conv *g) {
    for (int d = 0; d < 2; d++) {
        const cti_axis *axis = &g->axis[d];
        if (axis->extent != 3 || axis->stride != 1 || axis->dilation != 1) return false;
        if (axis->out < WINOGRAD_PIXELS) return false;
    }
    return g->dtype == CT_F32 && g->groups == 1 && g->channels % CTI_WINOGRAD_LANES == 0 &&
           g->outputs % CTI_WINOGRAD_LANES == 0 && g->channels * g->outputs >= WINOGRAD_PRODUCTS;
}

/* Of one kernel for each grain, that of one. */
static ct_shape one_kernel(ct_shape w) {
    for (int d = 1; d < w.rank && w.rank == 5; d++) w.dims[d - 1] = w.dims[d];
    return w;
}

cti_conv cti_conv_of(const ct_call *call) {
    const cti_conv_attr *attr = call->attr;
    ct_shape of[3];
    of[attr->face] = call->out.shape;
    for (int k = 0; k < 2; k++) of[cti_conv_inputs[attr->face][k]] = call->in[k].shape;
    ct_shape x = of[CTI_CONV_X], w = one_kernel(of[CTI_CONV_W]), y = of[CTI_CONV_Y];
    cti_conv g = {.images = x.dims[0],
                  .channels = x.dims[3],
                  .outputs = w.dims[3],
                  .groups = attr->spec.groups,
                  .group_channels = w.dims[2],
                  .group_outputs = w.dims[3] / attr->spec.groups,
                  .taps = w.dims[0] * w.dims[1],
                  .image_pixels = y.dims[1] * y.dims[2],
                  .dtype = call->out.dtype,
                  .element = ct_dtype_size(call->out.dtype)};
    g.patch = g.taps * g.group_channels;
    g.pixels = g.images * g.image_pixels;
    g.depthwise = g.groups > 1 && g.groups == g.channels && g.groups == g.outputs;
    for (int d = 0; d < 2; d++) {
        g.axis[d] = axis_of(&attr->spec, d, x.dims[1 + d], w.dims[d]);
        g.axis[d].out = y.dims[1 + d];
    }
    g.winograd = fits_winograd(&g);
    return g;
}

double cti_conv_operations(const cti_conv *g) {
    return 2.0 * (double)g->pixels * (double)g->outputs * (double)g->patch;
}

/* --- Checks that the faces share -------------------------------------------------------------- */

static ct_status check_operands(const ct_infer *call, const char *const names[2],
                                const char *const layouts[2]) {
    ct_dtype dtype = call->in[0].dtype;
    ct_status status = cti_dtype_check(call->name, dtype, CTI_REAL);
    if (status == CT_OK) status = cti_dtypes_equal(call->name, dtype, call->in[1].dtype);
    if (status != CT_OK) return status;
    for (int i = 0; i < 2; i++) {
        if (call->in[i].shape.rank == 4) continue;
        return ct_fail(CT_ERR_SHAPE, "%s: '%s' must have rank 4, %s, got %s", call->name, names[i],
                       layouts[i], ct_shape_format(call->in[i].shape).text);
    }
    return CT_OK;
}

/* Both axes, for an input of size[] and a kernel of extent[]. */
static ct_status check_axes(const char *function, const ct_conv2d_spec *spec, const int64_t size[2],
                            const int64_t extent[2], cti_axis axis[2]) {
    for (int d = 0; d < 2; d++) {
        axis[d] = axis_of(spec, d, size[d], extent[d]);
        ct_status status = cti_axis_check(function, "kernel", d, &axis[d]);
        if (status != CT_OK) return status;
    }
    return CT_OK;
}

static ct_status check_groups(const char *function, int64_t groups, int64_t channels,
                              int64_t outputs) {
    if (groups < 1 || groups > INT32_MAX) {
        return ct_fail(CT_ERR_RANGE, "%s: groups must be %s %d, got %lld", function,
                       groups < 1 ? ">=" : "<=", groups < 1 ? 1 : INT32_MAX, (long long)groups);
    }
    if (channels % groups != 0) {
        return ct_fail(CT_ERR_SHAPE, "%s: groups %lld must divide %lld input channels", function,
                       (long long)groups, (long long)channels);
    }
    if (outputs % groups != 0) {
        return ct_fail(CT_ERR_SHAPE, "%s: groups %lld must divide %lld output channels", function,
                       (long long)groups, (long long)outputs);
    }
    return CT_OK;
}

/* That y is as large as the convolution of an input of this size. */
static ct_status check_output(const char *function, const cti_axis axis[2], ct_shape y) {
    for (int d = 0; d < 2; d++) {
        if (y.dims[1 + d] == axis[d].out) continue;
        return ct_fail(CT_ERR_SHAPE, "%s: y %s has %s %lld, an input of %lld gives %lld", function,
                       ct_shape_format(y).text, d == 0 ? "height" : "width",
                       (long long)y.dims[1 + d], (long long)axis[d].size, (long long)axis[d].out);
    }
    return CT_OK;
}

/* Channels are the last axis, which who comes from channels first forgets. */
static ct_status channels_differ(const ct_infer *call) {
    int64_t groups = ((const cti_conv_attr *)call->attr)->spec.groups;
    ct_shape x = call->in[0].shape, w = call->in[1].shape;
    char in_groups[40] = "on its last axis";
    if (groups > 1) {
        snprintf(in_groups, sizeof in_groups, "in each of %lld groups", (long long)groups);
    }
    return ct_fail(CT_ERR_SHAPE, "%s: channels differ: x %s has %lld %s, w %s has %lld", call->name,
                   ct_shape_format(x).text, (long long)(x.dims[3] / groups), in_groups,
                   ct_shape_format(w).text, (long long)w.dims[2]);
}

/* --- The faces -------------------------------------------------------------------------------- */

static const char layout_x[] = "[N,H,W,C]", layout_w[] = "[kh,kw,C/groups,O]";
static const char layout_y[] = "[N,OH,OW,O]";

ct_status cti_conv2d_infer(const ct_infer *call, ct_type *out) {
    const cti_conv_attr *attr = call->attr;
    ct_shape x = call->in[0].shape, w = call->in[1].shape;
    ct_status status = check_operands(call, (const char *const[]){"x", "w"},
                                      (const char *const[]){layout_x, layout_w});
    if (status != CT_OK) return status;
    cti_axis axis[2];
    status = check_groups(call->name, attr->spec.groups, x.dims[3], w.dims[3]);
    if (status != CT_OK) return status;
    if (x.dims[3] / attr->spec.groups != w.dims[2]) return channels_differ(call);
    status = check_axes(call->name, &attr->spec, &x.dims[1], w.dims, axis);
    if (status != CT_OK) return status;
    *out = (ct_type){call->in[0].dtype, CT_SHAPE(x.dims[0], axis[0].out, axis[1].out, w.dims[3])};
    return CT_OK;
}

ct_status cti_conv2d_input_infer(const ct_infer *call, ct_type *out) {
    const cti_conv_attr *attr = call->attr;
    ct_shape y = call->in[0].shape, w = call->in[1].shape;
    ct_status status = check_operands(call, (const char *const[]){"y", "w"},
                                      (const char *const[]){layout_y, layout_w});
    if (status != CT_OK) return status;
    cti_axis axis[2];
    status = check_groups(call->name, attr->spec.groups, 0, w.dims[3]);
    if (status != CT_OK) return status;
    if (y.dims[3] != w.dims[3]) {
        return ct_fail(CT_ERR_SHAPE, "%s: output channels differ: y %s has %lld, w %s has %lld",
                       call->name, ct_shape_format(y).text, (long long)y.dims[3],
                       ct_shape_format(w).text, (long long)w.dims[3]);
    }
    int64_t channels;
    if (__builtin_mul_overflow(w.dims[2], attr->spec.groups, &channels)) {
        return ct_fail(CT_ERR_SHAPE, "%s: %lld channels in each of %lld groups are too many",
                       call->name, (long long)w.dims[2], (long long)attr->spec.groups);
    }
    status = check_axes(call->name, &attr->spec, attr->size, w.dims, axis);
    if (status != CT_OK) return status;
    *out = (ct_type){call->in[0].dtype,
                     CT_SHAPE(y.dims[0], attr->size[0], attr->size[1], channels)};
    return check_output(call->name, axis, y);
}

ct_status cti_conv2d_kernel_infer(const ct_infer *call, ct_type *out) {
    const cti_conv_attr *attr = call->attr;
    ct_shape x = call->in[0].shape, y = call->in[1].shape;
    ct_status status = check_operands(call, (const char *const[]){"x", "y"},
                                      (const char *const[]){layout_x, layout_y});
    if (status != CT_OK) return status;
    cti_axis axis[2];
    status = check_groups(call->name, attr->spec.groups, x.dims[3], y.dims[3]);
    if (status != CT_OK) return status;
    if (x.dims[0] != y.dims[0]) {
        return ct_fail(CT_ERR_SHAPE, "%s: batches differ: x %s has %lld images, y %s has %lld",
                       call->name, ct_shape_format(x).text, (long long)x.dims[0],
                       ct_shape_format(y).text, (long long)y.dims[0]);
    }
    status = check_axes(call->name, &attr->spec, &x.dims[1], attr->size, axis);
    if (status != CT_OK) return status;
    *out = (ct_type){call->in[0].dtype, CT_SHAPE(attr->size[0], attr->size[1],
                                                 x.dims[3] / attr->spec.groups, y.dims[3])};
    return check_output(call->name, axis, y);
}

ct_status cti_grain_conv2d_kernel_infer(const ct_infer *call, ct_type *out) {
    const cti_conv_grains_attr *attr = call->attr;
    ct_status status = cti_conv2d_kernel_infer(call, out);
    ct_shape w = out->shape;
    out->shape = CT_SHAPE(attr->grains.n, w.dims[0], w.dims[1], w.dims[2], w.dims[3]);
    return status;
}
