/* Small matrix products: the rows of a are the streams, the inner dimension the steps.
 * It does not cut a product into blocks; ops/matmul.c does. Large ones are BLIS's.
 * Invariant: every element is summed in the order of the inner dimension. */
#include "autograd/kernels/small_product.h"

#include "autograd/kernels/micro_kernel.h"
#include "tensor/base/shape_rules.h"

bool cti_product_is_small(ct_dtype dtype, int64_t m, int64_t n, int64_t k) {
    return (double)m * (double)n * (double)k <= cti_micro_most(dtype);
}

int64_t cti_small_product_tile(ct_dtype dtype) { return cti_micro_offsets(dtype, 1); }

size_t cti_small_product_scratch(ct_dtype dtype, int64_t m, int64_t n, int64_t k) {
    (void)n;
    return cti_panels_bytes(dtype, k, 1) + sizeof(cti_step) * (size_t)k +
           2 * sizeof(int64_t) * (size_t)cti_micro_offsets(dtype, m);
}

/* Rows so far apart lie in few sets of the first-level cache, where they drive each other out. A
 * step of so many streams takes as long as a row from the second level. */
#define FAR_APART 1024 /* bytes, and multiples of it */
#define ENOUGH_STREAMS 12

/* A panel where it lies, or packed while it is about to be read: by more than one tile, or it would
 * not be worth it. */
static cti_panels_at panel_of(const cti_product *all, int64_t m, cti_matrix b, void *room) {
    int64_t apart = b.row * (int64_t)ct_dtype_size(all->dtype);
    int64_t tile = cti_small_product_tile(all->dtype);
    bool pack = apart % FAR_APART == 0 && m > tile && tile < ENOUGH_STREAMS;
    if (!pack) {
        return cti_panels_of(all->dtype, all->n_steps, all->columns, b.data, b.row, b.column, room);
    }
    cti_panels_pack(all->dtype, all->n_steps, all->columns, b.data, b.row, b.column, all->n_steps,
                    room);
    return (cti_panels_at){room, cti_micro_lanes(all->dtype), 0};
}

void cti_small_product(ct_dtype dtype, int64_t m, int64_t n, int64_t k, cti_matrix a, cti_matrix b,
                       cti_matrix c, void *scratch) {
    cti_step *steps = (cti_step *)(void *)((char *)scratch + cti_panels_bytes(dtype, k, 1));
    int64_t *from = (int64_t *)(void *)(steps + k), *to = from + cti_micro_offsets(dtype, m);
    int64_t lanes = cti_micro_lanes(dtype), element = (int64_t)ct_dtype_size(dtype), row = 0;
    cti_product all = {.dtype = dtype, .steps = steps, .n_steps = k, .streams = a.data};
    for (int64_t i = 0; i < m; i++) from[i] = i * a.row, to[i] = i * c.row;
    for (int64_t j = 0; j < n; j += lanes) {
        all.columns = cti_least(lanes, n - j);
        all.out = (char *)c.data + j * element;
        cti_matrix here = {(char *)b.data + j * b.column * element, b.row, b.column};
        cti_panels_at panel = panel_of(&all, m, here, scratch);
        bool alike = j > 0 && panel.row == row; /* as the panel before: the steps are its */
        for (int64_t p = 0; p < k && !alike; p++) {
            steps[p] = (cti_step){p * a.column, p * panel.row};
        }
        row = panel.row;
        all.lanes = panel.data;
        cti_micro_run(&all, m, from, to);
    }
}
