/* The lower levels of the tree: the grains of one rank.
 * Integers wrap. A grain without rows takes part with what it holds, as a rule the +0 that a sum of
 * nothing is: it changes -0 to +0, no other number, and the same for every number of ranks.
 * Invariant: an element's sum is that of the tree, however the elements are cut into blocks. */
#include "tensor/ranks/add.h"

#include "tensor/p61.h"

#include <string.h>

#define DEFINE_ADD(type, element, sum)                          \
    static void add_##type(void *x, const void *y, int64_t n) { \
        element *restrict a = x;                                \
        const element *restrict b = y;                          \
        for (int64_t i = 0; i < n; i++) a[i] = sum;             \
    }
DEFINE_ADD(f32, float, a[i] + b[i])
DEFINE_ADD(f64, double, a[i] + b[i])
DEFINE_ADD(i64, uint64_t, a[i] + b[i])
DEFINE_ADD(p61, ct_p61, ct_p61_add(a[i], b[i]))

cti_add_fn *cti_add_of(ct_dtype dtype) {
    static cti_add_fn *const table[CT_DTYPES] = {
        [CT_F32] = add_f32, [CT_F64] = add_f64, [CT_I64] = add_i64, [CT_P61] = add_p61};
    return (unsigned)dtype < CT_DTYPES ? table[dtype] : NULL;
}

/* A block of a node stays in the first-level cache, one for each level. */
#define BLOCK_BYTES 2048

static void block_sum(const cti_partials *p, cti_range node, int64_t from, int64_t to, void *out) {
    size_t size = ct_dtype_size(p->dtype);
    if (node.last - node.first == 1) {
        const char *row = (const char *)p->partials +
                          (size_t)(node.first - p->grains.first) * (size_t)p->n * size;
        memcpy(out, row + (size_t)from * size, (size_t)(to - from) * size);
        return;
    }
    _Alignas(16) char right[BLOCK_BYTES];
    int mid = node.first + (node.last - node.first) / 2;
    block_sum(p, (cti_range){node.first, mid}, from, to, out);
    block_sum(p, (cti_range){mid, node.last}, from, to, right);
    cti_add_of(p->dtype)(out, right, to - from);
}

void cti_node_sum(const cti_partials *p, cti_range node, int64_t from, int64_t to, void *out) {
    size_t size = ct_dtype_size(p->dtype);
    int64_t block = (int64_t)(BLOCK_BYTES / size);
    for (int64_t at = from; at < to; at += block) {
        int64_t end = to - at < block ? to : at + block;
        block_sum(p, node, at, end, (char *)out + (size_t)(at - from) * size);
    }
}
