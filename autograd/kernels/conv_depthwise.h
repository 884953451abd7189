/* Private: convolutions with as many groups as channels and outputs, where a patch of one group
 * has one channel and a matrix product would have one column. */
#ifndef COTAN_CONV_DEPTHWISE_H
#define COTAN_CONV_DEPTHWISE_H

#include "autograd/kernels/conv_geometry.h"

bool cti_conv_is_depthwise(const cti_conv *g);

/* The three faces over output pixels [from, to), numbered through all images; each adds to what it
 * computes. x [N,H,W,C], w [kh,kw,1,C], y [N,OH,OW,C]; the second touches image rows of `rows`. */
void cti_depthwise_outputs(const cti_conv *g, cti_range pixels, const void *x, const void *w,
                           void *y);
void cti_depthwise_input(const cti_conv *g, cti_range pixels, cti_range rows, void *x,
                         const void *w, const void *y);
void cti_depthwise_kernel(const cti_conv *g, cti_range pixels, const void *x, void *w,
                          const void *y);

#endif
