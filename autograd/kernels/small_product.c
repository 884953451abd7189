/* Small matrix products: the rows of a are the streams, the inner dimension the steps.
 * It does not cut a product into blocks; ops/matmul.c does. Large ones are BLIS's.
 * Invariant: every element is summed in the order of the inner dimension. */
#include "autograd/kernels/small_product.h"

#include "autograd/kernels/micro_kernel.h"

/* Multiplications. */
#define SMALL 8e6

bool cti_product_is_small(int64_t m, int64_t n, int64_t k) {
    return (double)m * (double)n * (double)k <= SMALL;
}

size_t cti_small_product_scratch(ct_dtype dtype, int64_t m, int64_t n, int64_t k) {
    return cti_panels_bytes(dtype, k, n) + sizeof(cti_step) * (size_t)k +
           2 * sizeof(int64_t) * (size_t)cti_micro_offsets(dtype, m);
}

void cti_small_product(ct_dtype dtype, int64_t m, int64_t n, int64_t k, cti_matrix a, cti_matrix b,
                       cti_matrix c, void *scratch) {
    cti_step *steps = (cti_step *)(void *)((char *)scratch + cti_panels_bytes(dtype, k, n));
    int64_t *from = (int64_t *)(void *)(steps + k), *to = from + cti_micro_offsets(dtype, m);
    cti_panels_at panels = cti_panels_of(dtype, k, n, b.data, b.row, b.column, scratch);
    cti_product all = {.dtype = dtype,
                       .steps = steps,
                       .n_steps = k,
                       .streams = a.data,
                       .lanes = panels.data,
                       .panel = panels.panel,
                       .out = c.data,
                       .columns = n};
    for (int64_t p = 0; p < k; p++) steps[p] = (cti_step){p * a.column, p * panels.row};
    for (int64_t i = 0; i < m; i++) from[i] = i * a.row, to[i] = i * c.row;
    cti_micro_run(&all, m, from, to);
}
