/* Private: the transpose of a convolution in w, as a descriptor takes it: each element of the
 * kernel is a sum over pixels. */
#ifndef COTAN_CONV_WEIGHTS_H
#define COTAN_CONV_WEIGHTS_H

#include "autograd/kernels/conv_geometry.h"

size_t cti_conv_weights_scratch(const ct_call *call);
size_t cti_conv_weights_workspace(const ct_call *call);
int64_t cti_conv_weights_parts(const ct_call *call);
void cti_conv_weights_run(const ct_call *call, int64_t part, void *scratch);
int64_t cti_conv_weights_sum_parts(const ct_call *call);
void cti_conv_weights_sum(const ct_call *call, int64_t part, void *scratch);
ct_span cti_conv_weights_writes(const ct_call *call, int64_t part);
ct_span cti_conv_weights_reads(const ct_call *call, int stage, int i, int64_t part);
double cti_conv_weights_operations(const ct_call *call);

#endif
