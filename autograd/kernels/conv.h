/* Private: convolutions: attribute, shape rules and kernels of the three faces. */
#ifndef COTAN_CONV_H
#define COTAN_CONV_H

#include "autograd/kernels/by_dtype.h"
#include "autograd/kernels/window.h"
#include "autograd/ops.h"
#include "tensor/graph/rows.h"
#include "tensor/op.h"

/* Which of the three is computed from the other two. */
typedef enum { CTI_CONV_X, CTI_CONV_W, CTI_CONV_Y } cti_conv_face;

/* What is read, in the order of the inputs. */
extern const cti_conv_face cti_conv_inputs[3][2];

/* The attribute of all three: int64_t only, so that equal ones have equal bytes. */
typedef struct {
    ct_conv2d_spec spec; /* with the defaults filled in */
    int64_t size[2];     /* what a transpose cannot see: of x, or of the kernel */
    int64_t face;
} cti_conv_attr;

/* The same of a kernel for each grain: [grains,kh,kw,C/groups,O]. */
typedef struct {
    cti_conv_attr conv;
    cti_grains grains;
} cti_conv_grains_attr;

typedef struct {
    cti_axis axis[2]; /* height and width */
    int64_t images, channels, outputs, groups;
    int64_t group_channels; /* channels / groups */
    int64_t group_outputs;  /* outputs / groups */
    int64_t taps;           /* of the kernel */
    int64_t patch;          /* elements of one group under the window */
    int64_t image_pixels;   /* of the output */
    int64_t pixels;         /* of all output images */
    bool depthwise;         /* see below */
    bool winograd;          /* see winograd.h */
    ct_dtype dtype;
    size_t element; /* bytes */
} cti_conv;

cti_conv_attr cti_conv_attr_of(cti_conv_face face, ct_conv2d_spec spec, int64_t height,
                               int64_t width);
/* From shapes that have passed a shape rule: x [N,H,W,C], w [kh,kw,C/groups,O], y [N,OH,OW,O]. */
cti_conv cti_conv_of(const ct_call *call);

static inline void *cti_element(const cti_conv *g, void *data, int64_t element) {
    return (char *)data + (size_t)element * g->element;
}

/* Multiplications and additions: the same for all three faces. */
double cti_conv_operations(const cti_conv *g);

ct_status cti_conv2d_infer(const ct_infer *call, ct_type *out);
ct_status cti_conv2d_input_infer(const ct_infer *call, ct_type *out);
ct_status cti_conv2d_kernel_infer(const ct_infer *call, ct_type *out);
ct_status cti_grain_conv2d_kernel_infer(const ct_infer *call, ct_type *out);

/* The kernels: of y and x, where each pixel is a sum over taps and channels of the pixels that it
 * comes from; of w, where each element is a sum over pixels, and of one w for each grain. */
extern const ct_kernel cti_conv_pixels, cti_conv_weights, cti_conv_grain_weights;

/* --- Depthwise -------------------------------------------------------------------------------- */
/* With as many groups as channels and outputs a patch of one group has one channel, and a matrix
 * product would have one column. */

/* The three faces over output pixels [from, to), numbered through all images; each adds to what it
 * computes. x [N,H,W,C], w [kh,kw,1,C], y [N,OH,OW,C]; the second touches image rows of `rows`. */
typedef struct {
    void (*outputs)(const cti_conv *g, ct_span pixels, const void *x, const void *w, void *y);
    void (*input)(const cti_conv *g, ct_span pixels, ct_span rows, void *x, const void *w,
                  const void *y);
    void (*kernel)(const cti_conv *g, ct_span pixels, const void *x, void *w, const void *y);
} cti_depthwise;
CTI_DECLARE_REALS(extern const cti_depthwise, cti_depthwise);

#endif
