/* The lower levels of the tree: the grains of one rank.
 * Integers wrap. A grain without rows takes part with what it holds, as a rule the +0 that a sum of
 * nothing is: it changes -0 to +0, no other number, and the same for every number of ranks.
 * Invariant: an element's sum is that of the tree, however the elements are cut into blocks. */
#include "tensor/ranks/add.h"

#include "tensor/op.h"
#include "tensor/p61.h"

#include <string.h>

#define DEFINE_ADD(type, element, sum)                                                          \
    static CT_CLONES void tree_add_##type(const void *x, const void *y, int64_t n, void *out) { \
        const element *a = x, *b = y;                                                           \
        element *to = out;                                                                      \
        for (int64_t i = 0; i < n; i++) to[i] = sum;                                            \
    }
DEFINE_ADD(f32, float, a[i] + b[i])
DEFINE_ADD(f64, double, a[i] + b[i])
DEFINE_ADD(i64, uint64_t, a[i] + b[i])
DEFINE_ADD(p61, ct_p61, ct_p61_add(a[i], b[i]))

cti_add_fn *cti_add_of(ct_dtype dtype) {
    static cti_add_fn *const table[CT_DTYPES] = {[CT_F32] = tree_add_f32,
                                                 [CT_F64] = tree_add_f64,
                                                 [CT_I64] = tree_add_i64,
                                                 [CT_P61] = tree_add_p61};
    return (unsigned)dtype < CT_DTYPES ? table[dtype] : NULL;
}

/* A block of a node stays in the first-level cache, one for each level. */
#define BLOCK_BYTES 2048

/* The sum of a node below, which is computed into `room` unless it is a grain's partial sum. */
static const void *block_sum(const cti_partials *p, cti_range node, int64_t from, int64_t to,
                             void *room) {
    if (node.last - node.first == 1) {
        int64_t row = node.first - p->grains.first;
        return (const char *)p->partials + (size_t)(row * p->n + from) * ct_dtype_size(p->dtype);
    }
    _Alignas(64) char right_room[BLOCK_BYTES];
    int mid = node.first + (node.last - node.first) / 2;
    const void *left = block_sum(p, (cti_range){node.first, mid}, from, to, room);
    const void *right = block_sum(p, (cti_range){mid, node.last}, from, to, right_room);
    cti_add_of(p->dtype)(left, right, to - from, room);
    return room;
}

void cti_node_sum(const cti_partials *p, cti_range node, int64_t from, int64_t to, void *out) {
    size_t size = ct_dtype_size(p->dtype);
    int64_t block = (int64_t)(BLOCK_BYTES / size);
    for (int64_t at = from; at < to; at += block) {
        int64_t end = to - at < block ? to : at + block;
        void *room = (char *)out + (size_t)(at - from) * size;
        const void *sum = block_sum(p, node, at, end, room);
        if (sum != room) memcpy(room, sum, (size_t)(end - at) * size);
    }
}
