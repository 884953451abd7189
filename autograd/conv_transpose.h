/* Private: the kernels of the two transposes of a convolution, as a descriptor takes them. */
#ifndef COTAN_CONV_TRANSPOSE_H
#define COTAN_CONV_TRANSPOSE_H

#include "tensor/op.h"

size_t cti_conv2d_input_scratch(const ct_call *call);
size_t cti_conv2d_input_workspace(const ct_call *call);
int64_t cti_conv2d_input_turn_parts(const ct_call *call);
void cti_conv2d_input_turn_run(const ct_call *call, int64_t part, void *scratch);
int64_t cti_conv2d_input_parts(const ct_call *call);
void cti_conv2d_input_run(const ct_call *call, int64_t part, void *scratch);
ct_span cti_conv2d_input_writes(const ct_call *call, int64_t part);
ct_span cti_conv2d_input_reads(const ct_call *call, int stage, int i, int64_t part);
double cti_conv2d_input_operations(const ct_call *call);

size_t cti_conv2d_kernel_scratch(const ct_call *call);
size_t cti_conv2d_kernel_workspace(const ct_call *call);
int64_t cti_conv2d_kernel_parts(const ct_call *call);
void cti_conv2d_kernel_run(const ct_call *call, int64_t part, void *scratch);
int64_t cti_conv2d_kernel_sum_parts(const ct_call *call);
void cti_conv2d_kernel_sum_run(const ct_call *call, int64_t part, void *scratch);
ct_span cti_conv2d_kernel_writes(const ct_call *call, int64_t part);
ct_span cti_conv2d_kernel_reads(const ct_call *call, int stage, int i, int64_t part);
double cti_conv2d_kernel_operations(const ct_call *call);

#endif
