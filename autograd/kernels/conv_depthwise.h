/* Private: convolutions with as many groups as channels and outputs, where a patch of one group
 * has one channel and a matrix product would have one column. */
#ifndef COTAN_CONV_DEPTHWISE_H
#define COTAN_CONV_DEPTHWISE_H

#include "autograd/kernels/by_dtype.h"
#include "autograd/kernels/conv_geometry.h"

static inline bool cti_conv_is_depthwise(const cti_conv *g) {
    return g->groups > 1 && g->groups == g->channels && g->groups == g->outputs;
}

/* The three faces over output pixels [from, to), numbered through all images; each adds to what it
 * computes. x [N,H,W,C], w [kh,kw,1,C], y [N,OH,OW,C]; the second touches image rows of `rows`. */
typedef void cti_depthwise_outputs_fn(const cti_conv *g, cti_range pixels, const void *x,
                                      const void *w, void *y);
typedef void cti_depthwise_input_fn(const cti_conv *g, cti_range pixels, cti_range rows, void *x,
                                    const void *w, const void *y);
typedef void cti_depthwise_kernel_fn(const cti_conv *g, cti_range pixels, const void *x, void *w,
                                     const void *y);
CTI_DECLARE_REALS(cti_depthwise_outputs_fn, cti_depthwise_outputs);
CTI_DECLARE_REALS(cti_depthwise_input_fn, cti_depthwise_input);
CTI_DECLARE_REALS(cti_depthwise_kernel_fn, cti_depthwise_kernel);

#endif
