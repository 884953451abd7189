/* Small matrix products: the rows of a are the streams, the inner dimension the steps.
 * It does not cut a product into blocks; op_matmul.c does. Large ones are BLIS's.
 * Invariant: b is packed only when its columns do not lie side by side in whole panels. */
#include "autograd/small_product.h"

#include "autograd/micro_kernel.h"

/* Multiplications. */
#define SMALL 8e6

bool cti_product_is_small(int64_t m, int64_t n, int64_t k) {
    return (double)m * (double)n * (double)k <= SMALL;
}

static size_t panel_bytes(ct_dtype dtype, int64_t n, int64_t k) {
    int64_t lanes = cti_panels(dtype, n) * cti_micro_lanes(dtype);
    return (size_t)(lanes * k) * ct_dtype_size(dtype);
}

size_t cti_small_product_scratch(ct_dtype dtype, int64_t m, int64_t n, int64_t k) {
    return panel_bytes(dtype, n, k) + sizeof(cti_step) * (size_t)k +
           2 * sizeof(int64_t) * (size_t)cti_micro_offsets(m);
}

void cti_small_product(ct_dtype dtype, int64_t m, int64_t n, int64_t k, cti_matrix a, cti_matrix b,
                       cti_matrix c, void *scratch) {
    int64_t lanes = cti_micro_lanes(dtype);
    cti_step *steps = (cti_step *)(void *)((char *)scratch + panel_bytes(dtype, n, k));
    int64_t *from = (int64_t *)(void *)(steps + k), *to = from + cti_micro_offsets(m);
    bool in_place = b.column == 1 && n % lanes == 0;
    cti_product all = {.dtype = dtype,
                       .steps = steps,
                       .n_steps = k,
                       .streams = a.data,
                       .lanes = in_place ? b.data : scratch,
                       .panel = in_place ? lanes : k * lanes,
                       .out = c.data,
                       .columns = n};
    if (!in_place) cti_panels_pack(dtype, k, n, b.data, b.row, b.column, k, scratch);
    int64_t row = in_place ? b.row : lanes;
    for (int64_t p = 0; p < k; p++) steps[p] = (cti_step){p * a.column, p * row};
    for (int64_t i = 0; i < m; i++) from[i] = i * a.row, to[i] = i * c.row;
    cti_micro_run(&all, m, from, to);
}
