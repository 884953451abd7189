/* Elementwise primitives of two operands, and `where`, a stanza each.
 * Broadcasting is not their business: the constructor inserts the explicit primitive, so the
 * operands of a node have one shape and no derivative ever sums over a broadcast.
 * Invariant: conventions at ties and kinks are those of ops.h. */
#include "autograd/kernels/math32.h"
#include "autograd/ops/algebra.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/node.h"

#include <math.h>

static ct_tensor *broadcast_to(ct_tensor *x, ct_shape shape, cti_mark mark) {
    if (ct_shape_equal(ct_shape_of(x), shape) && (!mark.rows || x->rows)) return x;
    return cti_broadcast_along(x, shape, mark);
}

/* Along which axis of a common shape the operands vary: of the first one that does. */
static cti_mark common_mark(ct_tensor *const in[], int n, ct_shape shape) {
    for (int k = 0; k < n; k++) {
        cti_mark mark = cti_mark_of(in[k]);
        if (mark.rows) mark.axis += shape.rank - ct_shape_of(in[k]).rank;
        if (mark.rows) return mark;
    }
    return CTI_REPLICATED;
}

ct_tensor *cti_binary(const ct_op *op, ct_tensor *a, ct_tensor *b) {
    if (!a || !b || (ct_shape_equal(ct_shape_of(a), ct_shape_of(b)) && !a->rows == !b->rows)) {
        return ct_node(op, (ct_tensor *[]){a, b}, 2, NULL, 0);
    }
    char name[CTI_TITLE];
    cti_op_title(op, name);
    CTI_CALLED_AS(name);
    ct_shape shape;
    if (cti_shape_broadcast(name, ct_shape_of(a), ct_shape_of(b), &shape) != CT_OK) return NULL;
    cti_mark mark = common_mark((ct_tensor *[]){a, b}, 2, shape);
    ct_tensor *inputs[] = {broadcast_to(a, shape, mark), broadcast_to(b, shape, mark)};
    return ct_node(op, inputs, 2, NULL, 0);
}

ct_tensor *cti_full_like(ct_tensor *x, double value) {
    if (!x) return NULL;
    return broadcast_to(cti_literal(ct_dtype_of(x), value), ct_shape_of(x), cti_mark_of(x));
}

#define DEFINE_BINARY(prefix, verb, sign, is_commutative, is_costly, infer_rule, tiles, vjp0, \
                      vjp1, ...)                                                              \
    CT_OP_PUBLIC(prefix##_op_##verb) = {.name = #verb,                                        \
                                        .infix = sign,                                        \
                                        .kind = CT_MAP,                                       \
                                        .n_inputs = 2,                                        \
                                        .commutative = is_commutative,                        \
                                        .costly = is_costly,                                  \
                                        .infer = infer_rule,                                  \
                                        .tile = tiles,                                        \
                                        .vjp = {vjp0, vjp1},                                  \
                                        __VA_ARGS__};                                         \
    ct_tensor *prefix##_##verb(ct_tensor *a, ct_tensor *b) {                                  \
        return cti_binary(&prefix##_op_##verb, a, b);                                         \
    }

ct_status cti_infer_number(const ct_infer *call, ct_type *out) {
    for (int i = 0; i < call->n_inputs; i++) {
        ct_status status = cti_dtype_check(call->name, call->in[i].dtype, CTI_NUMBER);
        if (status != CT_OK) return status;
    }
    return ct_infer_same(call, out);
}

/* Real numbers only. */
#define BINARY_REAL(prefix, verb, sign, costly, f32, f64, p61, derivative0, derivative1, ...) \
    CTI_TILE_2(verb##_f32, float, f32)                                                        \
    CTI_TILE_2(verb##_f64, double, f64)                                                       \
    CTI_TILE_2_P61(verb##_p61, p61)                                                           \
    CTI_VJP_2(verb, 0, derivative0)                                                           \
    CTI_VJP_2(verb, 1, derivative1)                                                           \
    DEFINE_BINARY(prefix, verb, sign, false, costly, ct_infer_float, CTI_REALS(verb),         \
                  vjp_##verb##_0, vjp_##verb##_1, __VA_ARGS__)

#define TILES_NUMBER(verb, real, integer, p61) \
    CTI_TILE_2(verb##_f32, float, real)        \
    CTI_TILE_2(verb##_f64, double, real)       \
    CTI_TILE_2(verb##_i64, int64_t, integer)   \
    CTI_TILE_2_P61(verb##_p61, p61)

/* Integers too; i64 arithmetic goes through unsigned, so that it wraps. */
#define BINARY(verb, sign, is_commutative, real, integer, p61, derivative0, derivative1, ...) \
    TILES_NUMBER(verb, real, integer, p61)                                                    \
    CTI_VJP_2(verb, 0, derivative0)                                                           \
    CTI_VJP_2(verb, 1, derivative1)                                                           \
    DEFINE_BINARY(ct, verb, sign, is_commutative, false, cti_infer_number, CTI_NUMBERS(verb), \
                  vjp_##verb##_0, vjp_##verb##_1, __VA_ARGS__)

/* 0 or 1; nothing flows back. */
#define CONDITION(prefix, verb, sign, is_commutative, real, integer, p61)                         \
    TILES_NUMBER(verb, real, integer, p61)                                                        \
    DEFINE_BINARY(prefix, verb, sign, is_commutative, false, cti_infer_number, CTI_NUMBERS(verb), \
                  ct_no_gradient, ct_no_gradient, .algebra = CT_DECISION)
#define COMPARISON(verb, is_commutative, relation)                             \
    CONDITION(ct, verb, #relation, is_commutative, a relation b, a relation b, \
              ct_p61_whole(a.shadow relation b.shadow))

/* A rewrite that looks at both operands: `a` the first, `b` the second. */
#define RULE(name, replacement)                                 \
    static ct_tensor *name(ct_tensor *y) {                      \
        ct_tensor *a = ct_input(y, 0), *b = ct_input(y, 1), *z; \
        (void)a, (void)b, (void)z;                              \
        return replacement;                                     \
    }

RULE(add_nothing, ct_is_number(b, 0) ? a : ct_is_number(a, 0) ? b : NULL)
RULE(add_neg, ct_is(b, &ct_op_neg)   ? ct_sub(a, ct_input(b, 0))
              : ct_is(a, &ct_op_neg) ? ct_sub(b, ct_input(a, 0))
                                     : NULL)
RULE(add_pads, (z = cti_join_pads(a, b, 0)) ? z : cti_join_pads(b, a, 0))
CTI_RULES(add, {"x + 0 = x", add_nothing}, {"a + -b = a - b", add_neg},
          {"neighbours that are padded are one copy", add_pads});
BINARY(add, "+", true, a + b, (int64_t)((uint64_t)a + (uint64_t)b), ct_p61_add(a, b), g, g,
       .algebra = CT_LINEAR, .simplify = simplify_add, .joint = cti_joint_add)

RULE(sub_nothing, ct_is_number(b, 0) ? a : NULL)
RULE(sub_neg, ct_is(b, &ct_op_neg) ? ct_add(a, ct_input(b, 0)) : NULL)
CTI_RULES(sub, {"x - 0 = x", sub_nothing}, {"a - -b = a + b", sub_neg});
BINARY(sub, "-", false, a - b, (int64_t)((uint64_t)a - (uint64_t)b), ct_p61_sub(a, b), g, ct_neg(g),
       .algebra = CT_LINEAR, .simplify = simplify_sub, .joint = cti_joint_sub)

/* A power of two, at most 1, that follows from shapes: it rounds nothing and nothing overflows. */
static bool is_exact_factor(const ct_tensor *t) {
    cti_number number = cti_number_through_views(t);
    int exponent;
    return number.known && number.value <= 1.0 && frexp(number.value, &exponent) == 0.5;
}

static ct_tensor *both(ct_tensor *f, ct_tensor *g) {
    cti_number a = cti_number_through_views(f), b = cti_number_through_views(g);
    if (a.known && b.known) return cti_structural(ct_dtype_of(f), a.value * b.value);
    return ct_mul(f, g);
}

/* (x f) g = x (f g) for stretched f and g, one of them exact: as many multiplications as there are
 * different numbers, and the same bits unless f g is subnormal. */
static ct_tensor *factors_together(ct_tensor *product, ct_tensor *g) {
    for (int k = 0; k < 2 && ct_is(product, &ct_op_mul) && ct_is(g, &ct_op_broadcast); k++) {
        ct_tensor *f = ct_input(product, k), *x = ct_input(product, 1 - k);
        if (!ct_is(f, &ct_op_broadcast) || !(is_exact_factor(f) || is_exact_factor(g))) continue;
        return ct_mul(x, cti_broadcast_like(both(ct_input(f, 0), ct_input(g, 0)), g));
    }
    return NULL;
}

/* Whether t is a sum of so few products, each with a stretched factor. */
static bool has_factors(const ct_tensor *t, int *terms) {
    if (--*terms < 0) return false;
    if (ct_is(t, &ct_op_add)) {
        return has_factors(ct_input(t, 0), terms) && has_factors(ct_input(t, 1), terms);
    }
    return ct_is(t, &ct_op_mul) &&
           (ct_is(ct_input(t, 0), &ct_op_broadcast) || ct_is(ct_input(t, 1), &ct_op_broadcast));
}

/* (x f + y g) e = x (f e) + y (g e) for stretched f, g and an exact e, by the above. */
static ct_tensor *distributed(ct_tensor *sum, ct_tensor *e) {
    int terms = 8;
    if (!ct_is(e, &ct_op_broadcast) || !is_exact_factor(e) || !ct_is(sum, &ct_op_add) ||
        !has_factors(sum, &terms)) {
        return NULL;
    }
    return ct_add(ct_mul(ct_input(sum, 0), e), ct_mul(ct_input(sum, 1), e));
}

/* A known number times what is stretched, before it is stretched: the same bits, fewer products. */
static ct_tensor *before_stretching(ct_tensor *x, ct_tensor *number) {
    if (!ct_is(x, &ct_op_broadcast) || !ct_is(number, &ct_op_broadcast) ||
        !cti_number_through_views(number).known) {
        return NULL;
    }
    return cti_broadcast_like(both(ct_input(x, 0), ct_input(number, 0)), x);
}

RULE(mul_nothing, ct_is_number(b, 1) ? a : ct_is_number(a, 1) ? b : NULL)
RULE(mul_stretched, (z = before_stretching(a, b)) ? z : before_stretching(b, a))
RULE(mul_factors, (z = factors_together(a, b)) ? z : factors_together(b, a))
RULE(mul_sum, (z = distributed(a, b)) ? z : distributed(b, a))
CTI_RULES(mul, {"x 1 = x", mul_nothing},
          {"a number is multiplied before stretching", mul_stretched},
          {"(x f) g = x (f g) for an exact f", mul_factors},
          {"(x f + y g) e = x (f e) + y (g e) for an exact e", mul_sum});

/* Of a square all goes to the first input: with g a number per group, 2 g is one too, while
 * g x + g x would be one more addition per element. */
static ct_tensor *times_other(ct_tensor *g, ct_tensor *a, ct_tensor *b, bool first) {
    if (a != b) return ct_mul(g, first ? b : a);
    ct_dtype dtype = ct_dtype_of(g);
    return first ? ct_mul(ct_mul(g, cti_structural(dtype, 2.0)), a) : cti_full_like(g, 0.0);
}
BINARY(mul, "*", true, a *b, (int64_t)((uint64_t)a *(uint64_t)b), ct_p61_mul(a, b),
       times_other(g, a, b, true), times_other(g, a, b, false), .algebra = CT_PRODUCT,
       .simplify = simplify_mul, .joint = cti_joint_mul)

RULE(div_nothing, ct_is_number(b, 1) ? a : NULL)
CTI_RULES(div, {"x / 1 = x", div_nothing});
BINARY_REAL(ct, div, "/", false, a / b, a / b, ct_p61_div(a, b), ct_div(g, b),
            ct_neg(ct_div(ct_mul(g, y), b)), .algebra = CT_QUOTIENT, .simplify = simplify_div)

/* An infinity that counts nothing is nothing, not NaN. The derivatives are those of the product. */
BINARY_REAL(ct, weigh, NULL, false, a == 0.0f && fabsf(b) == INFINITY ? 0.0f : a * b,
            a == 0.0 && fabs(b) == INFINITY ? 0.0 : a * b,
            a.shadow == 0.0 && fabs(b.shadow) == INFINITY ? ct_p61_whole(0) : ct_p61_mul(a, b),
            ct_mul(g, b), ct_mul(g, a), .algebra = CT_PRODUCT)

/* See stanza.h. */
BINARY_REAL(cti, shift, NULL, false,
            a != b           ? a - b
            : a == -INFINITY ? a
                             : 0.0f,
            a != b           ? a - b
            : a == -INFINITY ? a
                             : 0.0,
            isfinite(a.shadow) || a.shadow != b.shadow ? ct_p61_sub(a, b)
            : a.shadow < 0                             ? a
                                                       : ct_p61_whole(0),
            g, ct_neg(g), .algebra = CT_LINEAR)

/* Where the maximum, or minimum, of a and b is a; of two NaN too. */
#define IS_MIN(a, b) (((a) <= (b)) | ((a) != (a)))
CONDITION(cti, max_is_first, NULL, false, CTI_IS_MAX(a, b), a >= b,
          ct_p61_whole(CTI_IS_MAX(a.shadow, b.shadow)))
CONDITION(cti, min_is_first, NULL, false, IS_MIN(a, b), a <= b,
          ct_p61_whole(IS_MIN(a.shadow, b.shadow)))

static ct_tensor *first_is_larger(ct_tensor *y) {
    return ct_greater(ct_input(y, 0), ct_input(y, 1));
}

/* The cotangent goes where the value came from. */
BINARY(maximum, NULL, false, CTI_IS_MAX(a, b) ? a : b, a >= b ? a : b,
       CTI_IS_MAX(a.shadow, b.shadow) ? a : b,
       ct_where(cti_max_is_first(a, b), g, cti_full_like(g, 0.0)),
       ct_where(cti_max_is_first(a, b), cti_full_like(g, 0.0), g), .joint = cti_joint_maximum,
       .algebra = CT_LINEAR, .branches = first_is_larger)
BINARY(minimum, NULL, false, IS_MIN(a, b) ? a : b, a <= b ? a : b,
       IS_MIN(a.shadow, b.shadow) ? a : b,
       ct_where(cti_min_is_first(a, b), g, cti_full_like(g, 0.0)),
       ct_where(cti_min_is_first(a, b), cti_full_like(g, 0.0), g), .algebra = CT_LINEAR,
       .branches = first_is_larger)

COMPARISON(equal, true, ==)
COMPARISON(not_equal, true, !=)
COMPARISON(less, false, <)
COMPARISON(less_equal, false, <=)
COMPARISON(greater, false, >)
COMPARISON(greater_equal, false, >=)

/* d a^b / da = b a^(b-1). Where b is 0 the exponent is made harmless first: 0 * inf is NaN. */
static ct_tensor *pow_base(ct_tensor *g, ct_tensor *a, ct_tensor *b) {
    ct_tensor *constant = ct_equal(b, cti_full_like(b, 0.0));
    ct_tensor *exponent = ct_where(constant, cti_full_like(b, 0.0), ct_offset(b, -1.0));
    return ct_mul(ct_mul(g, b), ct_pow(ct_where(constant, cti_full_like(a, 1.0), a), exponent));
}

/* d a^b / db = a^b ln a. Where a is 0 it is 0; the logarithm gets 1 there for the same reason. */
static ct_tensor *pow_exponent(ct_tensor *g, ct_tensor *y, ct_tensor *a) {
    ct_tensor *zero = ct_equal(a, cti_full_like(a, 0.0));
    ct_tensor *logarithm = ct_log(ct_where(zero, cti_full_like(a, 1.0), a));
    return ct_mul(g, ct_mul(y, logarithm));
}

BINARY_REAL(ct, pow, NULL, true, cti_powf(a, b), pow(a, b), ct_p61_pow(a, b), pow_base(g, a, b),
            pow_exponent(g, y, a), .algebra = CT_POWER)

/* --- where ------------------------------------------------------------------------------------ */

#define WHERE_TILE(suffix, type, holds)                                                \
    static CT_CLONES void where_##suffix(int64_t n, void *out, const void *const in[], \
                                         const ct_tile *tile) {                        \
        (void)tile;                                                                    \
        const type *c = in[0], *a = in[1], *b = in[2];                                 \
        type *restrict y = out;                                                        \
        for (int64_t i = 0; i < n; i++) y[i] = holds != 0 ? a[i] : b[i];               \
    }
WHERE_TILE(f32, float, c[i])
WHERE_TILE(f64, double, c[i])
WHERE_TILE(i64, int64_t, c[i])
WHERE_TILE(p61, ct_p61, c[i].shadow)

/* The first operand, `a` here, is the condition. */
CTI_VJP_2(where, 1, ct_where(a, g, cti_full_like(g, 0.0)))
CTI_VJP_2(where, 2, ct_where(a, cti_full_like(g, 0.0), g))

static ct_tensor *condition_of(ct_tensor *y) { return ct_input(y, 0); }

CT_OP_PUBLIC(ct_op_where) = {
    .name = "where",
    .kind = CT_MAP,
    .algebra = CT_LINEAR,
    .branches = condition_of,
    .n_inputs = 3,
    .infer = cti_infer_number,
    .tile = CTI_NUMBERS(where),
    .joint = cti_joint_where,
    .vjp = {ct_no_gradient, vjp_where_1, vjp_where_2},
};

ct_tensor *ct_where(ct_tensor *condition, ct_tensor *a, ct_tensor *b) {
    CTI_CALLED;
    if (!condition || !a || !b) {
        return ct_node(&ct_op_where, (ct_tensor *[]){condition, a, b}, 3, NULL, 0);
    }
    ct_shape shape;
    if (cti_shape_broadcast("ct_where", ct_shape_of(a), ct_shape_of(b), &shape) != CT_OK ||
        cti_shape_broadcast("ct_where", ct_shape_of(condition), shape, &shape) != CT_OK) {
        return NULL;
    }
    cti_mark mark = common_mark((ct_tensor *[]){condition, a, b}, 3, shape);
    ct_tensor *inputs[] = {broadcast_to(condition, shape, mark), broadcast_to(a, shape, mark),
                           broadcast_to(b, shape, mark)};
    return ct_node(&ct_op_where, inputs, 3, NULL, 0);
}

/* A number in x's dtype; for a missing x the error of the function that the user called. */
static ct_tensor *number_like(const char *function, ct_tensor *x, double value) {
    if (!x) return cti_null_in("%s: 'x' is NULL", function);
    return cti_literal(ct_dtype_of(x), value);
}

ct_tensor *ct_scale(ct_tensor *x, double factor) {
    CTI_CALLED;
    return ct_mul(x, number_like("ct_scale", x, factor));
}

ct_tensor *ct_offset(ct_tensor *x, double term) {
    CTI_CALLED;
    return ct_add(x, number_like("ct_offset", x, term));
}
