/* Convolution and its two transposes: descriptors and derivatives.
 * The kernels are in conv_pixels.c and conv_weights.c, the shape rules in kernels/conv.c. Where
 * images vary between ranks, their kernel is the sum of one for each grain.
 * Invariant: the three are faces of one trilinear form: each one's derivatives are the others. */
#include "autograd/kernels/conv.h"
#include "autograd/ops/algebra.h"
#include "autograd/ops/stanza.h"
#include "tensor/graph/node.h"

#include <stddef.h>

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

/* All grains have the same cotangent. */
static ct_tensor *vjp_by_grain(ct_tensor *g, ct_tensor *t, int i) {
    ct_tensor *of_all = cti_of_all_grains(g);
    return of_all ? vjp_face(of_all, t, i) : NULL;
}

/* --- Descriptors ------------------------------------------------------------------------------ */

/* Images may vary, which are those of the first input; the kernel is the same for all. */
static int batch_images(const ct_batch_axes *call) {
    return call->axis[0] == 0 && call->axis[1] < 0 ? 0 : -1;
}

#define DETAIL "stride #x#|1; pad #,#,#,#|0; dilation #x#|1; groups #|1"
CTI_BATCH_OP(conv2d, 2, CT_PRODUCT, cti_conv2d_infer, cti_conv_pixels, DETAIL, batch_images,
             vjp_face, vjp_face);
CTI_BATCH_OP(conv2d_input, 2, CT_PRODUCT, cti_conv2d_input_infer, cti_conv_pixels, DETAIL,
             batch_images, vjp_face, vjp_face);
CTI_KERNEL_OP(conv2d_kernel, 2, CT_PRODUCT, cti_conv2d_kernel_infer, cti_conv_weights, DETAIL,
              vjp_face, vjp_face);
CTI_KERNEL_OP(grain_conv2d_kernel, 2, CT_PRODUCT, cti_grain_conv2d_kernel_infer,
              cti_conv_grain_weights, DETAIL, vjp_by_grain, vjp_by_grain);

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
    if (x && y && x->rows && x->batch == 0 && cti_marks_equal(cti_mark_of(x), cti_mark_of(y))) {
        cti_conv_grains_attr all = {attr, cti_row_grains(x->rows)};
        size_t size = offsetof(cti_conv_grains_attr, grains) + cti_grains_size(&all.grains);
        return ct_all_sum(cti_node_by_grain(&ct_op_grain_conv2d_kernel, (ct_tensor *[]){x, y}, 2,
                                            &all, size, x->rows));
    }
    return ct_node(&ct_op_conv2d_kernel, (ct_tensor *[]){x, y}, 2, &attr, sizeof attr);
}
