/* Convolution and its two transposes: descriptors and derivatives.
 * The kernels are in conv_pixels.c and conv_weights.c, the shape rules in conv_geometry.c.
 * Invariant: the three are faces of one trilinear form: each one's derivatives are the others. */
#include "autograd/kernels/conv_pixels.h"
#include "autograd/kernels/conv_weights.h"

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

#define PIXELS_OF(face, infer_rule, vjp_0, vjp_1)                                   \
    {                                                                               \
        .name = #face, .kind = CT_KERNEL, .n_inputs = 2, .infer = infer_rule,       \
        .scratch = cti_conv_pixels_scratch, .workspace = cti_conv_pixels_workspace, \
        .stages = {{cti_conv_pixels_pack_parts, cti_conv_pixels_pack},              \
                   {cti_conv_pixels_parts, cti_conv_pixels_run}},                   \
        .writes = cti_conv_pixels_writes, .reads = cti_conv_pixels_reads,           \
        .operations = cti_conv_pixels_operations, .vjp = {vjp_0, vjp_1},            \
    }
CT_OP_PUBLIC(ct_op_conv2d) = PIXELS_OF(conv2d, cti_conv2d_infer, vjp_conv2d_x, vjp_conv2d_w);
CT_OP_PUBLIC(ct_op_conv2d_input) = PIXELS_OF(conv2d_input, cti_conv2d_input_infer, vjp_input_y,
                                             vjp_input_w);

CT_OP_PUBLIC(ct_op_conv2d_kernel) = {
    .name = "conv2d_kernel",
    .kind = CT_KERNEL,
    .n_inputs = 2,
    .infer = cti_conv2d_kernel_infer,
    .scratch = cti_conv_weights_scratch,
    .workspace = cti_conv_weights_workspace,
    .stages = {{cti_conv_weights_parts, cti_conv_weights_run},
               {cti_conv_weights_sum_parts, cti_conv_weights_sum}},
    .writes = cti_conv_weights_writes,
    .reads = cti_conv_weights_reads,
    .operations = cti_conv_weights_operations,
    .vjp = {vjp_kernel_x, vjp_kernel_y},
};

ct_tensor *ct_conv2d(ct_tensor *x, ct_tensor *w, ct_conv2d_spec spec) {
    cti_conv_attr attr = cti_conv_attr_of(spec, 0, 0);
    return ct_node(&ct_op_conv2d, (ct_tensor *[]){x, w}, 2, &attr, sizeof attr);
}

ct_tensor *ct_conv2d_input(ct_tensor *y, ct_tensor *w, int64_t height, int64_t width,
                           ct_conv2d_spec spec) {
    cti_conv_attr attr = cti_conv_attr_of(spec, height, width);
    attr.transposed = 1;
    return ct_node(&ct_op_conv2d_input, (ct_tensor *[]){y, w}, 2, &attr, sizeof attr);
}

ct_tensor *ct_conv2d_kernel(ct_tensor *x, ct_tensor *y, int64_t kernel_height, int64_t kernel_width,
                            ct_conv2d_spec spec) {
    cti_conv_attr attr = cti_conv_attr_of(spec, kernel_height, kernel_width);
    return ct_node(&ct_op_conv2d_kernel, (ct_tensor *[]){x, y}, 2, &attr, sizeof attr);
}
