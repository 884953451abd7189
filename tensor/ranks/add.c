/* The lower levels of the tree: the grains of one rank.
 * Integers wrap. A grain without rows takes part with what it holds, as a rule the +0 that a sum of
 * nothing is: it changes -0 to +0, no other number, and the same for every number of ranks.
 * Invariant: an element's sum is that of the tree, however the elements are cut into blocks. */
#include "tensor/ranks/add.h"

#include "tensor/op.h"
#include "tensor/p61.h"

#include <math.h>
#include <string.h>

#define PLUS(a, b) ((a) + (b))
#define SAME(x) (x)
/* Which of two NaN a sum becomes follows from the order that a compiler gives its operands. They
 * all become this one, or a NaN's bits would depend on the number of ranks. */
#define ONE_NAN(x) ((x) == (x) ? (x) : NAN)

/* Two, four and eight arrays at once, so that what lies between in the tree stays in registers. The
 * arrays of four and eight are rows `stride` elements apart. */
#define DEFINE_ADD(type, element, ADD, DONE)                                                    \
    static CT_CLONES void tree_add_##type(const void *x, const void *y, int64_t n, void *out) { \
        const element *a = x, *b = y;                                                           \
        element *to = out;                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                       \
            element sum = ADD(a[i], b[i]);                                                      \
            to[i] = DONE(sum);                                                                  \
        }                                                                                       \
    }                                                                                           \
    static CT_CLONES void add_4_##type(const void *rows, int64_t stride, int64_t n,             \
                                       void *restrict out) {                                    \
        const element *a = rows, *b = a + stride, *c = b + stride, *d = c + stride;             \
        element *to = out;                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                       \
            element left = ADD(a[i], b[i]), sum = ADD(left, ADD(c[i], d[i]));                   \
            to[i] = DONE(sum);                                                                  \
        }                                                                                       \
    }                                                                                           \
    static CT_CLONES void add_8_##type(const void *rows, int64_t stride, int64_t n,             \
                                       void *restrict out) {                                    \
        const element *a = rows, *b = a + stride, *c = b + stride, *d = c + stride;             \
        const element *e = d + stride, *f = e + stride, *g = f + stride, *h = g + stride;       \
        element *to = out;                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                       \
            element left = ADD(ADD(a[i], b[i]), ADD(c[i], d[i]));                               \
            element right = ADD(ADD(e[i], f[i]), ADD(g[i], h[i]));                              \
            element sum = ADD(left, right);                                                     \
            to[i] = DONE(sum);                                                                  \
        }                                                                                       \
    }
DEFINE_ADD(f32, float, PLUS, ONE_NAN)
DEFINE_ADD(f64, double, PLUS, ONE_NAN)
DEFINE_ADD(i64, uint64_t, PLUS, SAME)
DEFINE_ADD(p61, ct_p61, ct_p61_add, SAME)

typedef void rows_fn(const void *rows, int64_t stride, int64_t n, void *restrict out);

typedef struct {
    cti_add_fn *two;
    rows_fn *four, *eight;
} adds;

#define ADDS_OF(type) \
    { tree_add_##type, add_4_##type, add_8_##type }
static const adds adds_of[CT_DTYPES] = {[CT_F32] = ADDS_OF(f32),
                                        [CT_F64] = ADDS_OF(f64),
                                        [CT_I64] = ADDS_OF(i64),
                                        [CT_P61] = ADDS_OF(p61)};

cti_add_fn *cti_add_of(ct_dtype dtype) {
    return (unsigned)dtype < CT_DTYPES ? adds_of[dtype].two : NULL;
}

/* A block of a node stays in the first-level cache, one for each level. */
#define BLOCK_BYTES 2048

/* The sum of a node below, which is computed into `room` unless it is a grain's partial sum. */
static const void *block_sum(const cti_partials *p, cti_range node, int64_t from, int64_t to,
                             void *room) {
    const adds *add = &adds_of[p->dtype];
    int grains = node.last - node.first;
    int64_t row = node.first - p->grains.first;
    const void *first = (const char *)p->partials +
                        (size_t)(row * p->n + from) * ct_dtype_size(p->dtype);
    if (grains == 1) return first;
    if (grains == 4 || grains == 8) {
        (grains == 4 ? add->four : add->eight)(first, p->n, to - from, room);
        return room;
    }
    _Alignas(64) char right_room[BLOCK_BYTES];
    int mid = node.first + (node.last - node.first) / 2;
    const void *left = block_sum(p, (cti_range){node.first, mid}, from, to, room);
    const void *right = block_sum(p, (cti_range){mid, node.last}, from, to, right_room);
    add->two(left, right, to - from, room);
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
