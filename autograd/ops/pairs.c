/* Joint loops of the algebra: arithmetic behind arithmetic in one loop, so that a tile goes through
 * registers of the processor and not through memory.
 * What each op computes is in binary.c; a plan chooses.
 * Invariant: a joint loop rounds where the ops one after the other do. */
#include "autograd/kernels/reduce.h"
#include "autograd/ops/algebra.h"
#include "autograd/ops/stanza.h"

/* y = outer(inner(a, b), c) */
#define PAIR_TILE(function, type, inner, outer)                                  \
    static CT_CLONES void function(int64_t n, void *out, const void *const in[], \
                                   const ct_tile *tile) {                        \
        (void)tile;                                                              \
        const type *pa = in[0], *pb = in[1], *pc = in[2];                        \
        type *restrict py = out;                                                 \
        for (int64_t i = 0; i < n; i++) {                                        \
            type a = pa[i], b = pb[i], c = pc[i], t = inner;                     \
            py[i] = outer;                                                       \
        }                                                                        \
    }

#define PAIR(name, inner, outer)               \
    PAIR_TILE(name##_f32, float, inner, outer) \
    PAIR_TILE(name##_f64, double, inner, outer)
/* clang-format off */
#define PAIRS(name, outer)                                                                  \
    PAIR(add_##name, a + b, outer)                                                          \
    PAIR(sub_##name, a - b, outer)                                                          \
    PAIR(mul_##name, a * b, outer)
#define END {.inner = {NULL}}
#define LIST(name, at)                                                                      \
    {{[at] = &ct_op_add}, .tile = CTI_FLOATS(add_##name)},                                         \
    {{[at] = &ct_op_sub}, .tile = CTI_FLOATS(sub_##name)},                                         \
    {{[at] = &ct_op_mul}, .tile = CTI_FLOATS(mul_##name)}

PAIRS(then_add, t + c)
PAIRS(then_sub, t - c)
PAIRS(from, c - t)
PAIRS(then_mul, t * c)
PAIRS(then_maximum, CTI_IS_MAX(t, c) ? t : c)
/* clang-format on */

/* Four operands: y = a b + c d, and y = where(max_is_first(a, b), c, d). */
#define TILE_4(function, type, expression)                                       \
    static CT_CLONES void function(int64_t n, void *out, const void *const in[], \
                                   const ct_tile *tile) {                        \
        (void)tile;                                                              \
        const type *a = in[0], *b = in[1], *c = in[2], *d = in[3];               \
        type *restrict y = out;                                                  \
        for (int64_t i = 0; i < n; i++) y[i] = expression;                       \
    }
TILE_4(two_products_f32, float, a[i] * b[i] + c[i] * d[i])
TILE_4(two_products_f64, double, a[i] * b[i] + c[i] * d[i])
TILE_4(max_is_first_where_f32, float, CTI_IS_MAX(a[i], b[i]) ? c[i] : d[i])
TILE_4(max_is_first_where_f64, double, CTI_IS_MAX(a[i], b[i]) ? c[i] : d[i])

/* The order of the operands of a sum or product plays no part but for which NaN comes out. */
const ct_joint_loop cti_joint_add[] = {{{&ct_op_mul, &ct_op_mul}, .tile = CTI_FLOATS(two_products)},
                                       LIST(then_add, 0),
                                       LIST(then_add, 1),
                                       END};
const ct_joint_loop cti_joint_sub[] = {LIST(then_sub, 0), LIST(from, 1), END};
const ct_joint_loop cti_joint_mul[] = {LIST(then_mul, 0), LIST(then_mul, 1), END};
const ct_joint_loop cti_joint_maximum[] = {LIST(then_maximum, 0), END};
const ct_joint_loop cti_joint_where[] = {
    {{&cti_op_max_is_first}, .tile = CTI_FLOATS(max_is_first_where)}, END};

/* y = sum(a * b), and the sum of what was shifted */
const ct_joint_loop cti_joint_sum[] = {{{&ct_op_mul}, .reduce = CTI_REALS(cti_sum_products)},
                                       {{&ct_op_sub}, .reduce = CTI_REALS(cti_sum_differences)},
                                       END};
