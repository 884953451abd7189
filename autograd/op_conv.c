/* Convolution and its two transposes: descriptors, derivatives, and the forward kernel, which is a
 * matrix product of patches with the kernel.
 * The kernels of the transposes are in conv_transpose.c, the shape rules in conv_geometry.c.
 * Invariant: the three are faces of one trilinear form: each one's derivatives are the others. */
#include "autograd/conv_block.h"
#include "autograd/conv_transpose.h"

#include <string.h>

/* Enough parts for the threads of a small machine, not more than the work is worth. */
#define PARTS 16

/* --- The forward kernel ----------------------------------------------------------------------- */

static cti_conv geometry(const ct_call *call) {
    return cti_conv_of(call->attr, call->out.dtype, call->in[0].shape, call->in[1].shape,
                       call->out.shape);
}

/* A part is one block. Their number is rounded up, so that two or four threads get the same. */
static int64_t part_pixels(const cti_conv *g) {
    int64_t blocks = cti_divide_up(g->pixels, cti_conv_block(g, g->pixels));
    int64_t parts = cti_most(blocks, cti_least(PARTS, g->pixels / CTI_BLOCK_PIXELS));
    if (parts > 2) parts = cti_divide_up(parts, 4) * 4;
    return cti_most(1, cti_divide_up(g->pixels, cti_most(parts, 1)));
}

static size_t conv2d_scratch(const ct_call *call) {
    cti_conv g = geometry(call);
    return cti_conv_patch_bytes(&g, part_pixels(&g));
}

static int64_t conv2d_parts(const ct_call *call) {
    cti_conv g = geometry(call);
    return cti_divide_up(g.pixels, part_pixels(&g));
}

static ct_span conv2d_writes(const ct_call *call, int64_t part) {
    cti_conv g = geometry(call);
    int64_t first = part * part_pixels(&g), last = cti_least(first + part_pixels(&g), g.pixels);
    return (ct_span){first * g.outputs, last * g.outputs};
}

static ct_span conv2d_reads(const ct_call *call, int stage, int i, int64_t part) {
    (void)stage;
    cti_conv g = geometry(call);
    int64_t first = part * part_pixels(&g), last = cti_least(first + part_pixels(&g), g.pixels);
    if (i == 1) return (ct_span){0, ct_shape_numel(call->in[1].shape)};
    return cti_conv_images(&g, (cti_range){first, last});
}

static double conv2d_operations(const ct_call *call) {
    cti_conv g = geometry(call);
    return cti_conv_operations(&g);
}

static void conv2d_run(const ct_call *call, int64_t part, void *scratch) {
    cti_conv g = geometry(call);
    int64_t size = part_pixels(&g), first = part * size;
    cti_range pixels = {first, cti_least(first + size, g.pixels)};
    int64_t count = pixels.to - pixels.from;
    bool depthwise = cti_conv_is_depthwise(&g);
    if (g.patch == 0 || depthwise) {
        memset(cti_element(&g, call->out.data, first * g.outputs), 0,
               (size_t)(count * g.outputs) * g.element);
        if (depthwise) {
            cti_depthwise_outputs(&g, pixels, call->in[0].data, call->in[1].data, call->out.data);
        }
        return;
    }
    for (int64_t group = 0; group < g.groups; group++) {
        cti_matrix x = cti_conv_patches(&g, call->in[0].data, group, pixels, scratch);
        cti_matrix w = cti_conv_outputs(&g, call->in[1].data, 0, group * g.group_outputs);
        cti_matrix y = cti_conv_outputs(&g, call->out.data, first, group * g.group_outputs);
        cti_conv_product(&g, count, g.group_outputs, g.patch, x, w, y, false);
    }
}

/* --- Derivatives ------------------------------------------------------------------------------ */

static ct_conv2d_spec spec_of(const ct_tensor *t) {
    return ((const cti_conv_attr *)ct_attr(t))->spec;
}

/* The input and the kernel that belong to a pair of cotangents: their sizes are those of `like`. */
static ct_tensor *to_input(ct_tensor *y, ct_tensor *w, const ct_tensor *like, ct_conv2d_spec spec) {
    return ct_conv2d_input(y, w, ct_dim(like, 1), ct_dim(like, 2), spec);
}

static ct_tensor *to_kernel(ct_tensor *x, ct_tensor *y, const ct_tensor *like,
                            ct_conv2d_spec spec) {
    return ct_conv2d_kernel(x, y, ct_dim(like, 0), ct_dim(like, 1), spec);
}

/* y = conv2d(x, w) */
static ct_tensor *vjp_conv2d_x(ct_tensor *g, ct_tensor *y, int i) {
    return to_input(g, ct_input(y, 1), ct_input(y, i), spec_of(y));
}

static ct_tensor *vjp_conv2d_w(ct_tensor *g, ct_tensor *y, int i) {
    return to_kernel(ct_input(y, 0), g, ct_input(y, i), spec_of(y));
}

/* x = conv2d_input(y, w) */
static ct_tensor *vjp_input_y(ct_tensor *g, ct_tensor *x, int i) {
    (void)i;
    return ct_conv2d(g, ct_input(x, 1), spec_of(x));
}

static ct_tensor *vjp_input_w(ct_tensor *g, ct_tensor *x, int i) {
    return to_kernel(g, ct_input(x, 0), ct_input(x, i), spec_of(x));
}

/* w = conv2d_kernel(x, y) */
static ct_tensor *vjp_kernel_x(ct_tensor *g, ct_tensor *w, int i) {
    return to_input(ct_input(w, 1), g, ct_input(w, i), spec_of(w));
}

static ct_tensor *vjp_kernel_y(ct_tensor *g, ct_tensor *w, int i) {
    (void)i;
    return ct_conv2d(ct_input(w, 0), g, spec_of(w));
}

/* --- Descriptors ------------------------------------------------------------------------------ */

CT_OP(op_conv2d) = {
    .name = "conv2d",
    .kind = CT_KERNEL,
    .n_inputs = 2,
    .infer = cti_conv2d_infer,
    .scratch = conv2d_scratch,
    .stages = {{conv2d_parts, conv2d_run}},
    .writes = conv2d_writes,
    .reads = conv2d_reads,
    .operations = conv2d_operations,
    .vjp = {vjp_conv2d_x, vjp_conv2d_w},
};

CT_OP(op_conv2d_input) = {
    .name = "conv2d_input",
    .kind = CT_KERNEL,
    .n_inputs = 2,
    .infer = cti_conv2d_input_infer,
    .scratch = cti_conv2d_input_scratch,
    .workspace = cti_conv2d_input_workspace,
    .stages = {{cti_conv2d_input_turn_parts, cti_conv2d_input_turn_run},
               {cti_conv2d_input_parts, cti_conv2d_input_run}},
    .writes = cti_conv2d_input_writes,
    .reads = cti_conv2d_input_reads,
    .operations = cti_conv2d_input_operations,
    .vjp = {vjp_input_y, vjp_input_w},
};

CT_OP(op_conv2d_kernel) = {
    .name = "conv2d_kernel",
    .kind = CT_KERNEL,
    .n_inputs = 2,
    .infer = cti_conv2d_kernel_infer,
    .scratch = cti_conv2d_kernel_scratch,
    .workspace = cti_conv2d_kernel_workspace,
    .stages = {{cti_conv2d_kernel_parts, cti_conv2d_kernel_run},
               {cti_conv2d_kernel_sum_parts, cti_conv2d_kernel_sum_run}},
    .writes = cti_conv2d_kernel_writes,
    .reads = cti_conv2d_kernel_reads,
    .operations = cti_conv2d_kernel_operations,
    .vjp = {vjp_kernel_x, vjp_kernel_y},
};

ct_tensor *ct_conv2d(ct_tensor *x, ct_tensor *w, ct_conv2d_spec spec) {
    cti_conv_attr attr = cti_conv_attr_of(spec, 0, 0);
    return ct_node(&op_conv2d, (ct_tensor *[]){x, w}, 2, &attr, sizeof attr);
}

ct_tensor *ct_conv2d_input(ct_tensor *y, ct_tensor *w, int64_t height, int64_t width,
                           ct_conv2d_spec spec) {
    cti_conv_attr attr = cti_conv_attr_of(spec, height, width);
    return ct_node(&op_conv2d_input, (ct_tensor *[]){y, w}, 2, &attr, sizeof attr);
}

ct_tensor *ct_conv2d_kernel(ct_tensor *x, ct_tensor *y, int64_t kernel_height,
                            int64_t kernel_width, ct_conv2d_spec spec) {
    cti_conv_attr attr = cti_conv_attr_of(spec, kernel_height, kernel_width);
    return ct_node(&op_conv2d_kernel, (ct_tensor *[]){x, y}, 2, &attr, sizeof attr);
}
