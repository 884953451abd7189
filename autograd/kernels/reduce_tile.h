/* Private: the body of the functions behind REDUCE ops, once for all of them.
 * A function combines what `element` makes of its inputs x[0] and x[1]; an `element` is written for
 * single numbers and for vectors of them at once, with READ as the way to get either.
 * Invariant: every path combines the rows of a block in ascending order, and the result with y. */
#ifndef COTAN_REDUCE_TILE_H
#define COTAN_REDUCE_TILE_H

#include "tensor/op.h"

#define CTI_ELEMENT(READ, at) READ(first, at)
#define CTI_PRODUCT(READ, at) (READ(first, at) * READ(second, at))
#define CTI_DIFFERENCE(READ, at) (READ(first, at) - READ(second, at))
/* Which input is the last; `second` is `first` where there is one only. */
enum { CTI_ELEMENT_LAST = 0, CTI_PRODUCT_LAST = 1, CTI_DIFFERENCE_LAST = 1 };

#define CTI_PLUS(a, b) ((a) + (b))

/* How to sum a product or a difference without storing it; beside these, in op_binary.c. */
extern const ct_joint_loop cti_joint_sum[];

/* inner == 1: so many chains that additions need not wait for each other */
#define CTI_LANES 8
/* inner > 1: so many columns are combined before the next ones */
#define CTI_COLUMNS 64

#define CTI_READ_ONE(p, at) p[at]
#define CTI_READ_VECTOR(p, at) (*(const vector *)(p + (at)))

/* Up to CTI_COLUMNS columns, in an array. */
#define CTI_REDUCE_COLUMNS(name, type, element, combine)                              \
    static inline __attribute__((always_inline)) void name##_columns(                 \
        int64_t n, int64_t count, int64_t inner, type *restrict y, const type *first, \
        const type *second) {                                                         \
        (void)second;                                                                 \
        type total[CTI_COLUMNS];                                                      \
        for (int64_t i = 0; i < n; i++) total[i] = element(CTI_READ_ONE, i);          \
        for (int64_t at = inner; at < count * inner; at += inner) {                   \
            for (int64_t i = 0; i < n; i++) {                                         \
                total[i] = combine(total[i], element(CTI_READ_ONE, at + i));          \
            }                                                                         \
        }                                                                             \
        for (int64_t i = 0; i < n; i++) y[i] = combine(y[i], total[i]);               \
    }

/* As many columns as go in whole blocks; returns how many that are. */
#define CTI_BLOCKS_OF_ARRAYS(name, type, element, combine)                                       \
    static inline __attribute__((always_inline)) int64_t name##_blocks(                          \
        int64_t count, int64_t inner, type *restrict y, const type *first, const type *second) { \
        int64_t i = 0;                                                                           \
        for (; i + CTI_COLUMNS <= inner; i += CTI_COLUMNS) {                                     \
            name##_columns(CTI_COLUMNS, count, inner, y + i, first + i, second + i);             \
        }                                                                                        \
        return i;                                                                                \
    }

/* The same in eight vectors that stay in registers, for a `combine` that takes vectors. */
/* clang-format off */
#define CTI_EACH_VECTOR(DO, element, combine)                       \
    DO(0, element, combine) DO(1, element, combine)                 \
    DO(2, element, combine) DO(3, element, combine)                 \
    DO(4, element, combine) DO(5, element, combine)                 \
    DO(6, element, combine) DO(7, element, combine)
/* clang-format on */
#define CTI_TAKE(k, element, combine) vector t##k = element(CTI_READ_VECTOR, i + k * WIDTH);
#define CTI_COMBINE(k, element, combine) \
    t##k = combine(t##k, element(CTI_READ_VECTOR, at + k * WIDTH));
#define CTI_GIVE(k, element, combine) to[k] = combine(to[k], t##k);
#define CTI_BLOCKS_OF_VECTORS(name, type, element, combine)                                      \
    static inline __attribute__((always_inline)) int64_t name##_blocks(                          \
        int64_t count, int64_t inner, type *restrict y, const type *first, const type *second) { \
        typedef type vector __attribute__((vector_size(32), aligned(sizeof(type)), may_alias));  \
        enum { WIDTH = 32 / sizeof(type) };                                                      \
        (void)second;                                                                            \
        int64_t i = 0;                                                                           \
        for (; i + 8 * WIDTH <= inner; i += 8 * WIDTH) {                                         \
            CTI_EACH_VECTOR(CTI_TAKE, element, combine)                                          \
            for (int64_t at = inner + i; at < count * inner; at += inner) {                      \
                CTI_EACH_VECTOR(CTI_COMBINE, element, combine)                                   \
            }                                                                                    \
            vector *to = (vector *)(y + i);                                                      \
            CTI_EACH_VECTOR(CTI_GIVE, element, combine)                                          \
        }                                                                                        \
        return i;                                                                                \
    }

#define CTI_REDUCE_FUNCTION(name, type, neutral, element, combine)                            \
    static CT_CLONES void name(int64_t outer, int64_t count, int64_t inner, void *out,        \
                               const void *const x[]) {                                       \
        type *restrict y = out;                                                               \
        const type *first = x[0], *second = x[element##_LAST];                                \
        if (count == 0) return;                                                               \
        for (int64_t o = 0; o < outer && inner == 1; o++) {                                   \
            type lane[CTI_LANES];                                                             \
            for (int l = 0; l < CTI_LANES; l++) lane[l] = (type)(neutral);                    \
            int64_t i = 0;                                                                    \
            for (; i + CTI_LANES <= count; i += CTI_LANES) {                                  \
                for (int l = 0; l < CTI_LANES; l++) {                                         \
                    lane[l] = combine(lane[l], element(CTI_READ_ONE, i + l));                 \
                }                                                                             \
            }                                                                                 \
            for (; i < count; i++) {                                                          \
                lane[i % CTI_LANES] = combine(lane[i % CTI_LANES], element(CTI_READ_ONE, i)); \
            }                                                                                 \
            for (int l = 0; l < CTI_LANES; l++) y[o] = combine(y[o], lane[l]);                \
            first += count, second += count;                                                  \
        }                                                                                     \
        for (int64_t o = 0; o < outer && inner > 1; o++) {                                    \
            int64_t i = name##_blocks(count, inner, y, first, second);                        \
            for (; i < inner; i += CTI_COLUMNS) {                                             \
                int64_t n = inner - i < CTI_COLUMNS ? inner - i : CTI_COLUMNS;                \
                name##_columns(n, count, inner, y + i, first + i, second + i);                \
            }                                                                                 \
            y += inner, first += count * inner, second += count * inner;                      \
        }                                                                                     \
    }

#define CTI_REDUCE(name, type, neutral, element, combine, BLOCKS) \
    CTI_REDUCE_COLUMNS(name, type, element, combine)              \
    BLOCKS(name, type, element, combine)                          \
    CTI_REDUCE_FUNCTION(name, type, neutral, element, combine)

#endif
