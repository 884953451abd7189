/* Private: convolution and its transpose in x, as a descriptor takes them: each pixel that they
 * write is a sum over taps and channels of the pixels that it comes from. */
#ifndef COTAN_CONV_PIXELS_H
#define COTAN_CONV_PIXELS_H

#include "autograd/kernels/conv_geometry.h"

/* Both faces, told apart by their descriptors: a conv2d_input reads y and writes x. */
size_t cti_conv_pixels_scratch(const ct_call *call);
size_t cti_conv_pixels_workspace(const ct_call *call);
int64_t cti_conv_pixels_pack_parts(const ct_call *call);
void cti_conv_pixels_pack(const ct_call *call, int64_t part, void *scratch);
int64_t cti_conv_pixels_parts(const ct_call *call);
void cti_conv_pixels_run(const ct_call *call, int64_t part, void *scratch);
ct_span cti_conv_pixels_writes(const ct_call *call, int64_t part);
ct_span cti_conv_pixels_reads(const ct_call *call, int stage, int i, int64_t part);
double cti_conv_pixels_operations(const ct_call *call);

#endif
