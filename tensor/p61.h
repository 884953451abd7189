/* CT_P61: numbers that have no rounding, by which formulas are compared without a tolerance.
 *
 * An element is a value of the field GF(p), p = 2^61 - 1, together with its shadow, the same number
 * in f64. Sums, differences, products and quotients are exact in the field, so two formulas that
 * are equal as algebra give the same field value, in whatever order they are evaluated; two that
 * differ do not, but by an accident of about one in 2^40. What decides (a comparison, a maximum, a
 * sign, floor) looks at the shadow, so that branches are taken as in real arithmetic.
 *
 * The functions without algebra (exp, log, sin, cos, erf, ndtr) have stand-ins in the field: keyed
 * hashes of the operand, in [1, p). Derivatives of all of them are made of the functions themselves
 * (E' = E, log' x = 1 / x), so nothing is lost there. The stand-ins know
 *   exp -x = 1 / exp x, sin -x = -sin x, cos -x = cos x, erf -x = -erf x, ndtr -x = 1 - ndtr x,
 *   and what sigmoid, tanh, expm1, log1p say of exp and log,
 * but not exp(a + b) = exp a exp b, nor log(a b), nor sin^2 + cos^2 = 1, nor log exp x = x.
 *
 * An element may have lost its value: by a quotient with 0, a root of what is no square, a double
 * that is infinite or NaN. Then its field is one of the three numbers below and stays such a number
 * in all that is computed from it; the shadow goes on. Half of all elements are squares, so who
 * draws the inputs of a formula draws again. */
#ifndef COTAN_P61_H
#define COTAN_P61_H

#include <cotan/tensor/error.h>

#include <stdbool.h>
#include <stdint.h>

CT_C_BEGIN

#define CT_P61_PRIME UINT64_C(0x1fffffffffffffff)

typedef struct {
    uint64_t field; /* below p; or why there is no value */
    double shadow;
} ct_p61;

/* In place of a field value; of two the larger stays. */
#define CT_P61_NO_NUMBER (UINT64_MAX - 2)   /* infinite, or NaN */
#define CT_P61_NO_QUOTIENT (UINT64_MAX - 1) /* divided by 0 */
#define CT_P61_NO_ROOT UINT64_MAX           /* the root of what is no square */

static inline bool ct_p61_has_value(ct_p61 a) { return a.field < CT_P61_PRIME; }

/* --- Numbers ---------------------------------------------------------------------------------- */

/* A double stands for the simplest fraction n / d that rounds to it, if n d <= 2^40: 0.1 is 1 / 10,
 * 1.0 / 3 is 1 / 3, 1e-5 is 1 / 100000; otherwise for what it is, a multiple of a power of two, as
 * sqrt(0.5) or 1 - 0.9. About one double in ten thousand is such a fraction by accident; different
 * doubles are always different fractions. */
ct_p61 ct_p61_from(double value);
ct_p61 ct_p61_whole(int64_t value);
/* Whether a double stands for a fraction, a whole number included, and which: the simplest one,
 * with the denominator above 0. What is none is a constant that both sides of a comparison must
 * share. */
bool ct_p61_is_fraction(double value, int64_t *numerator, int64_t *denominator);
/* The fraction n / d with |n|, d <= 2^20 that a is in the field, if there is one: there is at most
 * one, and of a million random elements one has it. */
bool ct_p61_to_fraction(ct_p61 a, int64_t *numerator, int64_t *denominator);

/* "1/3 (0.333333)", "768614336404564651 (0.5)", "no root (-1)"; by value, so that one message can
 * hold several. */
typedef struct {
    char text[64];
} ct_p61_text;
ct_p61_text ct_p61_format(ct_p61 a);

/* --- Arithmetic ------------------------------------------------------------------------------- */

/* The shadow of each is that of f64. */
static inline ct_p61 ct_p61_add(ct_p61 a, ct_p61 b) {
    ct_p61 y = {a.field + b.field, a.shadow + b.shadow};
    if (!ct_p61_has_value(a) || !ct_p61_has_value(b)) {
        y.field = a.field > b.field ? a.field : b.field;
    } else if (y.field >= CT_P61_PRIME) {
        y.field -= CT_P61_PRIME;
    }
    return y;
}

static inline ct_p61 ct_p61_neg(ct_p61 a) {
    ct_p61 y = {a.field, -a.shadow};
    if (a.field > 0 && ct_p61_has_value(a)) y.field = CT_P61_PRIME - a.field;
    return y;
}

static inline ct_p61 ct_p61_sub(ct_p61 a, ct_p61 b) { return ct_p61_add(a, ct_p61_neg(b)); }

__extension__ typedef unsigned __int128 cti_p61_product;

/* 2^61 = 1, so what is above 61 bits is added to what is below. */
static inline ct_p61 ct_p61_mul(ct_p61 a, ct_p61 b) {
    ct_p61 y = {0, a.shadow * b.shadow};
    if (!ct_p61_has_value(a) || !ct_p61_has_value(b)) {
        y.field = a.field > b.field ? a.field : b.field;
        return y;
    }
    cti_p61_product product = (cti_p61_product)a.field * b.field;
    y.field = (uint64_t)(product & CT_P61_PRIME) + (uint64_t)(product >> 61);
    if (y.field >= CT_P61_PRIME) y.field -= CT_P61_PRIME;
    return y;
}

/* a / b: times the inverse b^(p - 2). */
ct_p61 ct_p61_div(ct_p61 a, ct_p61 b);
/* The root that is a square itself, so that sqrt(a b) = sqrt a sqrt b; of 0 it is 0. */
ct_p61 ct_p61_sqrt(ct_p61 a);
/* a^b = a^n a^(b - n) for the whole number n below b: the first is a product, the second is 1 where
 * the shadow of b is whole, a root where b - n is 1 / 2, and else a stand-in. */
ct_p61 ct_p61_pow(ct_p61 a, ct_p61 b);

/* --- Stand-ins -------------------------------------------------------------------------------- */

ct_p61 ct_p61_exp(ct_p61 a);     /* a hash of a, with exp -a = 1 / exp a; exp -inf = 0 */
ct_p61 ct_p61_expm1(ct_p61 a);   /* exp a - 1 */
ct_p61 ct_p61_log(ct_p61 a);     /* a hash of a */
ct_p61 ct_p61_log1p(ct_p61 a);   /* log(1 + a) */
ct_p61 ct_p61_sin(ct_p61 a);     /* a hash of a, with sin -a = -sin a */
ct_p61 ct_p61_cos(ct_p61 a);     /* another, with cos -a = cos a */
ct_p61 ct_p61_tanh(ct_p61 a);    /* 1 - 2 / (exp 2a + 1) */
ct_p61 ct_p61_sigmoid(ct_p61 a); /* 1 / (1 + exp -a) */
ct_p61 ct_p61_erf(ct_p61 a);     /* a hash of a, with erf -a = -erf a */
ct_p61 ct_p61_ndtr(ct_p61 a);    /* as ct_ndtr */

CT_C_END

#endif
