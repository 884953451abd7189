/* Convolution and its two transposes: descriptors and derivatives.
 * The kernels are in conv_pixels.c and conv_weights.c, the shape rules in kernels/conv.c.
 * Invariant: the three are faces of one trilinear form: each one's derivatives are the others. */
#include "autograd/kernels/conv.h"
#include "autograd/ops/stanza.h"

/* --- Derivatives ------------------------------------------------------------------------------ */

/* One face from the other two; its size, where it cannot be seen, is that of `like`. */
static ct_tensor *face_of(cti_conv_face face, ct_tensor *const of[], const ct_tensor *like,
                          ct_conv2d_spec spec) {
    if (face == CTI_CONV_Y) return ct_conv2d(of[CTI_CONV_X], of[CTI_CONV_W], spec);
    if (face == CTI_CONV_X) {
        return ct_conv2d_input(of[CTI_CONV_Y], of[CTI_CONV_W], ct_dim(like, 1), ct_dim(like, 2),
                               spec);
    }
    return ct_conv2d_kernel(of[CTI_CONV_X], of[CTI_CONV_Y], ct_dim(like, 0), ct_dim(like, 1), spec);
}

/* t computes one face; the cotangent takes its place, and the input's face is computed. */
static ct_tensor *vjp_face(ct_tensor *g, ct_tensor *t, int i) {
    const cti_conv_attr *attr = ct_attr(t);
    ct_tensor *of[3] = {NULL};
    of[attr->face] = g;
    of[cti_conv_inputs[attr->face][1 - i]] = ct_input(t, 1 - i);
    return face_of(cti_conv_inputs[attr->face][i], of, ct_input(t, i), attr->spec);
}

/* --- Descriptors ------------------------------------------------------------------------------ */

#define DETAIL "stride #x#|1; pad #,#,#,#|0; dilation #x#|1; groups #|1"
CTI_KERNEL_OP(conv2d, 2, CT_PRODUCT, cti_conv2d_infer, cti_conv_pixels, DETAIL, vjp_face, vjp_face);
CTI_KERNEL_OP(conv2d_input, 2, CT_PRODUCT, cti_conv2d_input_infer, cti_conv_pixels, DETAIL,
              vjp_face, vjp_face);
CTI_KERNEL_OP(conv2d_kernel, 2, CT_PRODUCT, cti_conv2d_kernel_infer, cti_conv_weights, DETAIL,
              vjp_face, vjp_face);

ct_tensor *ct_conv2d(ct_tensor *x, ct_tensor *w, ct_conv2d_spec spec) {
    cti_conv_attr attr = cti_conv_attr_of(CTI_CONV_Y, spec, 0, 0);
    return ct_node(&ct_op_conv2d, (ct_tensor *[]){x, w}, 2, &attr, sizeof attr);
}

ct_tensor *ct_conv2d_input(ct_tensor *y, ct_tensor *w, int64_t height, int64_t width,
                           ct_conv2d_spec spec) {
    cti_conv_attr attr = cti_conv_attr_of(CTI_CONV_X, spec, height, width);
    return ct_node(&ct_op_conv2d_input, (ct_tensor *[]){y, w}, 2, &attr, sizeof attr);
}

ct_tensor *ct_conv2d_kernel(ct_tensor *x, ct_tensor *y, int64_t kernel_height, int64_t kernel_width,
                            ct_conv2d_spec spec) {
    cti_conv_attr attr = cti_conv_attr_of(CTI_CONV_W, spec, kernel_height, kernel_width);
    return ct_node(&ct_op_conv2d_kernel, (ct_tensor *[]){x, y}, 2, &attr, sizeof attr);
}
