/* Rows of the elementwise primitives.
 * References are libm and C operators on doubles.
 * Invariant: sample ranges keep clear of kinks and poles by more than a difference step. */
#include "autograd/ops/stanza.h"
#include "tests/autograd/ops/primitive_table.h"

#include <math.h>

/* One operand: value, and how the library builds it. */
#define UNARY(verb, expression)                                              \
    static double value_##verb(const double *x) {                            \
        double a = x[0];                                                     \
        return expression;                                                   \
    }                                                                        \
    static ct_tensor *build_##verb(ct_tensor *const x[], const op_case *c) { \
        (void)c;                                                             \
        return ct_##verb(x[0]);                                              \
    }

#define BINARY_OF(prefix, verb, expression)                                  \
    static double value_##verb(const double *x) {                            \
        double a = x[0], b = x[1];                                           \
        return expression;                                                   \
    }                                                                        \
    static ct_tensor *build_##verb(ct_tensor *const x[], const op_case *c) { \
        (void)c;                                                             \
        return prefix##_##verb(x[0], x[1]);                                  \
    }
#define BINARY(verb, expression) BINARY_OF(ct, verb, expression)

UNARY(neg, -a)
UNARY(exp, exp(a))
UNARY(expm1, expm1(a))
UNARY(log, log(a))
UNARY(log1p, log1p(a))
UNARY(sqrt, sqrt(a))
UNARY(rsqrt, 1 / sqrt(a))
UNARY(sin, sin(a))
UNARY(cos, cos(a))
UNARY(tanh, tanh(a))
UNARY(sigmoid, 1 / (1 + exp(-a)))
UNARY(erf, erf(a))
UNARY(ndtr, erfc(-a *sqrt(0.5)) / 2)
UNARY(abs, a < 0 ? -a : a)
UNARY(sign, a > 0 ? 1 : a < 0 ? -1 : 0)
UNARY(floor, floor(a))

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(div, a / b)
BINARY(pow, pow(a, b))
BINARY(weigh, a *b)
BINARY_OF(cti, shift, a - b)
BINARY(maximum, a > b ? a : b)
BINARY(minimum, a < b ? a : b)
BINARY_OF(cti, max_is_first, a >= b)
BINARY_OF(cti, min_is_first, a <= b)
BINARY(equal, a == b)
BINARY(not_equal, a != b)
BINARY(less, a < b)
BINARY(less_equal, a <= b)
BINARY(greater, a > b)
BINARY(greater_equal, a >= b)

static double value_where(const double *x) { return x[0] != 0 ? x[1] : x[2]; }

static ct_tensor *build_where(ct_tensor *const x[], const op_case *c) {
    (void)c;
    return ct_where(x[0], x[1], x[2]);
}

static bool fill_where(test_random *r, const op_case *c, int i, array *base) {
    (void)c;
    for (int64_t k = 0; k < base->numel && i == 0; k++) {
        base->v[k] = (double)random_between(r, -1, 1);
    }
    return i == 0;
}

/* Exponents of both signs; bases are positive. */
static bool fill_pow(test_random *r, const op_case *c, int i, array *base) {
    (void)c;
    for (int64_t k = 0; k < base->numel && i == 1; k++) base->v[k] = random_real(r, -2, 2.5);
    return i == 1;
}

/* --- cast ------------------------------------------------------------------------------------- */

/* From any dtype to the one of the row; f64 to f32 rounds, so differences see steps and the
 * gradient is compared with its exact value, the rounded cotangent. */
static void shape_cast(test_random *r, op_case *c) {
    int64_t most = c->large ? 30000 : 60;
    c->out = c->shapes[0] = sample_shape(r, 0, c->large ? 3 : 5, most, c->large);
}

static void gradient_cast(const op_case *c, int i, const array *w, array *out) {
    for (int64_t k = 0; k < out->numel; k++) {
        out->v[k] = c->dtypes[i] == CT_F32 ? (double)(float)w->v[k] : w->v[k];
    }
}

static double value_float(const double *x) { return x[0]; }
static double value_i64(const double *x) { return trunc(x[0]); }
static double value_u8(const double *x) { return x[0] < 0 ? 0 : x[0] > 255 ? 255 : trunc(x[0]); }

#define CAST(to, dtype_to)                                                      \
    static ct_tensor *build_cast_##to(ct_tensor *const x[], const op_case *c) { \
        (void)c;                                                                \
        return ct_cast(x[0], dtype_to);                                         \
    }
CAST(f32, CT_F32)
CAST(f64, CT_F64)
CAST(i64, CT_I64)
CAST(u8, CT_U8)
CAST(p61, CT_P61)

#define BUILT(verb) .op = #verb, .build = build_##verb, .scalar = value_##verb

/* clang-format off */
const primitive_row elementwise_rows[] = {
    {BUILT(neg), .n_inputs = 1, .dtypes = NUMBERS, .flows = 1, .exact = true},
    {BUILT(exp), .n_inputs = 1, .dtypes = FLOATS, .flows = 1},
    {BUILT(expm1), .n_inputs = 1, .dtypes = FLOATS, .flows = 1},
    {BUILT(log), .n_inputs = 1, .dtypes = FLOATS, .flows = 1, .low = 0.2, .high = 3},
    {BUILT(log1p), .n_inputs = 1, .dtypes = FLOATS, .flows = 1, .low = -0.8, .high = 3},
    {BUILT(sqrt), .n_inputs = 1, .dtypes = FLOATS, .flows = 1, .low = 0.2, .high = 3},
    {BUILT(rsqrt), .n_inputs = 1, .dtypes = FLOATS, .flows = 1, .low = 0.2, .high = 3},
    {BUILT(sin), .n_inputs = 1, .dtypes = FLOATS, .flows = 1, .low = -4, .high = 4},
    {BUILT(cos), .n_inputs = 1, .dtypes = FLOATS, .flows = 1, .low = -4, .high = 4},
    {BUILT(tanh), .n_inputs = 1, .dtypes = FLOATS, .flows = 1},
    {BUILT(sigmoid), .n_inputs = 1, .dtypes = FLOATS, .flows = 1},
    {BUILT(erf), .n_inputs = 1, .dtypes = FLOATS, .flows = 1},
    {BUILT(ndtr), .n_inputs = 1, .dtypes = FLOATS, .flows = 1},
    {BUILT(abs), .n_inputs = 1, .dtypes = NUMBERS, .flows = 1, .sampling = APART, .exact = true},
    {BUILT(sign), .n_inputs = 1, .dtypes = NUMBERS, .sampling = APART, .exact = true},
    {BUILT(floor), .n_inputs = 1, .dtypes = FLOATS, .sampling = FRACTIONS, .low = -9, .high = 9},

    {BUILT(add), .n_inputs = 2, .dtypes = NUMBERS, .flows = 3, .exact = true},
    {BUILT(sub), .n_inputs = 2, .dtypes = NUMBERS, .flows = 3, .exact = true},
    {BUILT(mul), .n_inputs = 2, .dtypes = NUMBERS, .flows = 3, .exact = true},
    {BUILT(div), .n_inputs = 2, .dtypes = FLOATS, .flows = 3, .low = 0.3, .high = 2},
    {BUILT(pow), .n_inputs = 2, .dtypes = FLOATS, .flows = 3, .low = 0.3, .high = 2,
     .fill = fill_pow},
    {BUILT(weigh), .n_inputs = 2, .dtypes = FLOATS, .flows = 3, .exact = true},
    {BUILT(shift), .n_inputs = 2, .dtypes = FLOATS, .flows = 3, .exact = true},
    {BUILT(max_is_first), .n_inputs = 2, .dtypes = NUMBERS, .sampling = APART, .exact = true},
    {BUILT(min_is_first), .n_inputs = 2, .dtypes = NUMBERS, .sampling = APART, .exact = true},
    {BUILT(maximum), .n_inputs = 2, .dtypes = NUMBERS, .flows = 3, .sampling = APART,
     .exact = true},
    {BUILT(minimum), .n_inputs = 2, .dtypes = NUMBERS, .flows = 3, .sampling = APART,
     .exact = true},
    {BUILT(equal), .n_inputs = 2, .dtypes = NUMBERS, .sampling = APART, .exact = true},
    {BUILT(not_equal), .n_inputs = 2, .dtypes = NUMBERS, .sampling = APART, .exact = true},
    {BUILT(less), .n_inputs = 2, .dtypes = NUMBERS, .sampling = APART, .exact = true},
    {BUILT(less_equal), .n_inputs = 2, .dtypes = NUMBERS, .sampling = APART, .exact = true},
    {BUILT(greater), .n_inputs = 2, .dtypes = NUMBERS, .sampling = APART, .exact = true},
    {BUILT(greater_equal), .n_inputs = 2, .dtypes = NUMBERS, .sampling = APART, .exact = true},
    {BUILT(where), .n_inputs = 3, .dtypes = NUMBERS, .flows = 6, .exact = true,
     .fill = fill_where},

    {.op = "cast_f32", .n_inputs = 1, .dtypes = ANY & ~ON(CT_F32), .flows = 1, .exact = true,
     .rough = true, .shape = shape_cast, .build = build_cast_f32, .scalar = value_float,
     .gradient = gradient_cast},
    {.op = "cast_f64", .n_inputs = 1, .dtypes = ANY & ~ON(CT_F64), .flows = 1, .exact = true,
     .rough = true, .shape = shape_cast, .build = build_cast_f64, .scalar = value_float,
     .gradient = gradient_cast},
    {.op = "cast_p61", .n_inputs = 1, .dtypes = ANY & ~ON(CT_P61), .flows = 1, .exact = true,
     .rough = true, .shape = shape_cast, .build = build_cast_p61, .scalar = value_float,
     .gradient = gradient_cast},
    {.op = "cast_i64", .n_inputs = 1, .dtypes = ANY & ~ON(CT_I64), .exact = true, .low = -300,
     .high = 300, .sampling = FRACTIONS, .shape = shape_cast, .build = build_cast_i64,
     .scalar = value_i64},
    {.op = "cast_u8", .n_inputs = 1, .dtypes = ANY & ~ON(CT_U8), .exact = true, .low = -300,
     .high = 300, .sampling = FRACTIONS, .shape = shape_cast, .build = build_cast_u8,
     .scalar = value_u8},
};
/* clang-format on */
const int n_elementwise_rows = sizeof elementwise_rows / sizeof *elementwise_rows;
