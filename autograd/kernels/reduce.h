/* Private: the loops of REDUCE ops, as a descriptor takes them, and others that combine rows. */
#ifndef COTAN_REDUCE_H
#define COTAN_REDUCE_H

#include "autograd/kernels/by_dtype.h"
#include "tensor/op.h"

CTI_DECLARE_NUMBERS(ct_reduce_fn, cti_sum);
CTI_DECLARE_NUMBERS(ct_reduce_fn, cti_sum_products);    /* of x[0] x[1] */
CTI_DECLARE_NUMBERS(ct_reduce_fn, cti_sum_differences); /* of x[0] - x[1] */
CTI_DECLARE_NUMBERS(ct_reduce_fn, cti_max);
CTI_DECLARE_NUMBERS(ct_start_fn, cti_sum_start);
CTI_DECLARE_NUMBERS(ct_start_fn, cti_max_start);

/* y[i] = the lowest c < count with the largest x[c,i], for i < inner. */
typedef void cti_argmax_fn(int64_t count, int64_t inner, const void *x, int64_t *y);
CTI_DECLARE_NUMBERS(cti_argmax_fn, cti_argmax);

/* y[i] = x[i] + x[distance + i] + .. of `count` rows, for i < n, in that order. */
typedef void cti_add_rows_fn(int64_t n, int64_t count, int64_t distance, const void *x, void *y);
CTI_DECLARE_NUMBERS(cti_add_rows_fn, cti_add_rows);

/* Adds x[i,k] to y[index[i],k], for i < n and k < row, in ascending i. */
typedef void cti_scatter_rows_fn(int64_t n, int64_t row, const int64_t *index, const void *x,
                                 void *y);
CTI_DECLARE_NUMBERS(cti_scatter_rows_fn, cti_scatter_rows);

#endif
