/* Private: matrix products on the micro-kernel, for those so small that BLIS's packing shows. */
#ifndef COTAN_SMALL_PRODUCT_H
#define COTAN_SMALL_PRODUCT_H

#include "tensor/base/gemm.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether c [m,n] = a b with k products for each element is small. */
bool cti_product_is_small(ct_dtype dtype, int64_t m, int64_t n, int64_t k);
/* Rows that are computed together: a whole number of them wastes nothing. */
int64_t cti_small_product_tile(ct_dtype dtype);
size_t cti_small_product_scratch(ct_dtype dtype, int64_t m, int64_t n, int64_t k);
/* a [m,k] and b [k,n] have any strides, c has columns side by side. The bits do not depend on
 * strides, and those of an element depend on its row of a and its column of b alone. */
void cti_small_product(ct_dtype dtype, int64_t m, int64_t n, int64_t k, cti_matrix a, cti_matrix b,
                       cti_matrix c, void *scratch);

#endif
