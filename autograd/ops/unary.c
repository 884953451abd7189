/* Elementwise primitives of one operand, a stanza each.
 * Compositions (silu, gelu, ...) are not here: they need no derivative of their own.
 * Invariant: f32 arithmetic calls no libm, so its bits do not depend on the machine. */
#include "autograd/kernels/math32.h"
#include "autograd/ops/algebra.h"
#include "autograd/ops/stanza.h"

#include <math.h>

#define DEFINE_UNARY(verb, is_costly, infer_rule, tiles, derivative, ...) \
    CT_OP_PUBLIC(ct_op_##verb) = {.name = #verb,                          \
                                  .kind = CT_MAP,                         \
                                  .n_inputs = 1,                          \
                                  .costly = is_costly,                    \
                                  .infer = infer_rule,                    \
                                  .tile = tiles,                          \
                                  .vjp = {derivative},                    \
                                  __VA_ARGS__};                           \
    ct_tensor *ct_##verb(ct_tensor *x) { return ct_node(&ct_op_##verb, &x, 1, NULL, 0); }

#define TILES_REAL(verb, f32, f64, p61) \
    CTI_TILE_1(verb##_f32, float, f32)  \
    CTI_TILE_1(verb##_f64, double, f64) \
    CTI_TILE_1_P61(verb##_p61, p61)

#define UNARY(verb, is_algebra, is_costly, f32, f64, p61, derivative)          \
    TILES_REAL(verb, f32, f64, p61)                                            \
    CTI_VJP_1(verb, derivative)                                                \
    DEFINE_UNARY(verb, is_costly, ct_infer_float, CTI_REALS(verb), vjp_##verb, \
                 .algebra = is_algebra)

UNARY(exp, CT_STAND_IN, true, cti_expf(a), exp(a), ct_p61_exp(a), ct_mul(g, y))
UNARY(log, CT_STAND_IN, true, cti_logf(a), log(a), ct_p61_log(a), ct_div(g, x))
UNARY(log1p, CT_STAND_IN, true, cti_log1pf(a), log1p(a), ct_p61_log1p(a),
      ct_div(g, ct_offset(x, 1.0)))
/* Not g (y + 1), which is 0 where e^x is small. */
UNARY(expm1, CT_STAND_IN, true, cti_expm1f(a), expm1(a), ct_p61_expm1(a), ct_mul(g, ct_exp(x)))
UNARY(sqrt, CT_ROOT, false, sqrtf(a), sqrt(a), ct_p61_sqrt(a), ct_div(g, ct_scale(y, 2.0)))
/* One factor after the other: y^3 alone is 0 for an x of 1e36. */
UNARY(rsqrt, CT_INVERSE_ROOT, false, 1.0f / sqrtf(a), 1.0 / sqrt(a),
      ct_p61_div(ct_p61_whole(1), ct_p61_sqrt(a)),
      ct_mul(ct_mul(ct_mul(g, y), y), ct_scale(y, -0.5)))

/* The loop for near arguments is vector code; one far argument sends the tile through the other,
 * which gives near ones the same bits. */
#define TILE_TURNS(verb)                                                           \
    static CT_CLONES void verb##_f32(int64_t n, void *out, const void *const in[], \
                                     const ct_tile *tile) {                        \
        (void)tile;                                                                \
        const float *restrict x = in[0];                                           \
        float *restrict y = out;                                                   \
        int far = 0;                                                               \
        for (int64_t i = 0; i < n; i++) far |= fabsf(x[i]) > CTI_NEAR;             \
        for (int64_t i = 0; i < n && !far; i++) y[i] = cti_near_##verb##f(x[i]);   \
        for (int64_t i = 0; i < n && far; i++) y[i] = cti_##verb##f(x[i]);         \
    }
#define UNARY_TURNS(verb, derivative)            \
    TILE_TURNS(verb)                             \
    CTI_TILE_1(verb##_f64, double, verb(a))      \
    CTI_TILE_1_P61(verb##_p61, ct_p61_##verb(a)) \
    CTI_VJP_1(verb, derivative)                  \
    DEFINE_UNARY(verb, true, ct_infer_float, CTI_REALS(verb), vjp_##verb, .algebra = CT_STAND_IN)
UNARY_TURNS(sin, ct_mul(g, ct_cos(x)))
UNARY_TURNS(cos, ct_neg(ct_mul(g, ct_sin(x))))

UNARY(tanh, CT_STAND_IN, true, cti_tanhf(a), tanh(a), ct_p61_tanh(a),
      ct_sub(g, ct_mul(g, ct_mul(y, y))))
/* 1 / (1 + e^-x) without overflow, and with all digits of the small values below 0. */
static inline double sigmoid(double x) {
    double e = exp(-fabs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}
UNARY(sigmoid, CT_STAND_IN, true, cti_sigmoidf(a), sigmoid(a), ct_p61_sigmoid(a),
      ct_mul(g, ct_mul(y, ct_sub(cti_full_like(y, 1.0), y))))

/* height e^(-steepness x^2), which is 0 to the last digit where x is cut: then what flows back at
 * inf is 0 at every order, and not inf * 0. */
static ct_tensor *bell(ct_tensor *x, double steepness, double height) {
    ct_tensor *cut = ct_minimum(ct_maximum(x, cti_full_like(x, -40.0)), cti_full_like(x, 40.0));
    return ct_scale(ct_exp(ct_scale(ct_mul(cut, cut), -steepness)), height);
}

/* The height is 2 / sqrt(pi). */
UNARY(erf, CT_STAND_IN, true, cti_erff(a), erf(a), ct_p61_erf(a),
      ct_mul(g, bell(x, 1.0, 1.1283791670955126)))

/* erfc(u) / 2 at u = -x / sqrt(2). In the tail a rounded u alone would cost 2 u^2 units: what
 * rounding took away is put back by erfc's relative derivative, about u + sqrt(u^2 + 4/pi). */
static inline double ndtr(double x) {
    double t = x < -40.0 ? 40.0 : x > 40.0 ? -40.0 : -x;
    double u = t * 0.70710678118654752;
    double lost = fma(t, 0.70710678118654752, -u) - t * 4.8336466567264565e-17;
    double y = erfc(u);
    return 0.5 * (u > 0.0 ? y - y * (lost * (u + sqrt(u * u + 1.2732395447351628))) : y);
}
/* The height is 1 / sqrt(2 pi). */
UNARY(ndtr, CT_STAND_IN, true, cti_ndtrf(a), ndtr(a), ct_p61_ndtr(a),
      ct_mul(g, bell(x, 0.5, 0.39894228040143268)))

/* Rounds towards zero, then down by one if that went up. From 2^23 (2^52) on all are whole. */
TILES_REAL(floor,
           a != a || fabsf(a) >= 0x1p23f
               ? a
               : copysignf((float)(int32_t)a - ((float)(int32_t)a > a ? 1.0f : 0.0f), a),
           floor(a), ct_p61_from(floor(a.shadow)))
DEFINE_UNARY(floor, false, ct_infer_float, CTI_REALS(floor), ct_no_gradient, .algebra = CT_DECISION)

/* --- Those that take i64 too ------------------------------------------------------------------ */

#define TILES_NUMBER(verb, f32, f64, i64, p61) \
    TILES_REAL(verb, f32, f64, p61)            \
    CTI_TILE_1(verb##_i64, int64_t, i64)

#define UNARY_NUMBER(verb, f32, f64, i64, p61, derivative, ...)                \
    TILES_NUMBER(verb, f32, f64, i64, p61)                                     \
    CTI_VJP_1(verb, derivative)                                                \
    DEFINE_UNARY(verb, false, cti_infer_number, CTI_NUMBERS(verb), vjp_##verb, \
                 .algebra = CT_LINEAR, __VA_ARGS__)

static ct_tensor *neg_of_neg(ct_tensor *y) {
    ct_tensor *x = ct_input(y, 0);
    return ct_is(x, &ct_op_neg) ? ct_input(x, 0) : NULL;
}

static ct_tensor *neg_of_sub(ct_tensor *y) {
    ct_tensor *x = ct_input(y, 0);
    return ct_is(x, &ct_op_sub) ? ct_sub(ct_input(x, 1), ct_input(x, 0)) : NULL;
}

CTI_RULES(neg, {"-(-x) = x", neg_of_neg}, {"-(a - b) = b - a", neg_of_sub});
/* Through unsigned: the negative of the smallest i64 wraps instead of being undefined. */
UNARY_NUMBER(neg, -a, -a, (int64_t)(0 - (uint64_t)a), ct_p61_neg(a), ct_neg(g),
             .simplify = simplify_neg)

static ct_tensor *is_above_0(ct_tensor *y) {
    return ct_greater(ct_input(y, 0), cti_full_like(y, 0.0));
}
UNARY_NUMBER(abs, fabsf(a), fabs(a), a < 0 ? (int64_t)(0 - (uint64_t)a) : a,
             a.shadow < 0 ? ct_p61_neg(a) : a, ct_mul(g, ct_sign(x)), .branches = is_above_0)
TILES_NUMBER(sign, a != a ? a : (float)((a > 0) - (a < 0)),
             a != a ? a : (double)((a > 0) - (a < 0)), (a > 0) - (a < 0),
             ct_p61_from(isnan(a.shadow) ? a.shadow : (a.shadow > 0) - (a.shadow < 0)))
DEFINE_UNARY(sign, false, cti_infer_number, CTI_NUMBERS(sign), ct_no_gradient,
             .algebra = CT_DECISION)
