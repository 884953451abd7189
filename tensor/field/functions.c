/* Stand-ins in the field for functions without algebra, and powers.
 * Which identities they know stands in p61.h.
 * Invariant: a result depends on its arguments alone, so two formulas that call a function of equal
 * operands get equal values. */
#include "tensor/base/hash.h"
#include "tensor/p61.h"

#include <math.h>

/* The key of each function: any numbers that differ. */
enum { EXP = 1, LOG, SIN, COS, ERF, NDTR, POW };

static const ct_p61 zero = {0, 0}, one = {1, 1}, two = {2, 2};

/* A number in [1, p) for the function and its operands; what has no value gives none. */
static uint64_t stand_in(uint64_t key, uint64_t a, uint64_t b) {
    uint64_t lost = a > b ? a : b, hash = cti_mix(cti_mix(cti_mix(0, key), a), b);
    hash = cti_mix(hash, hash >> 32);
    return lost >= CT_P61_PRIME ? lost : 1 + hash % (CT_P61_PRIME - 1);
}

/* Of a and -a one is taken; 0 is neither. */
static bool is_negative(ct_p61 a) { return ct_p61_has_value(a) && a.field > CT_P61_PRIME / 2; }

static ct_p61 with_shadow(ct_p61 a, double shadow) { return (ct_p61){a.field, shadow}; }

static ct_p61 odd(uint64_t key, ct_p61 a, double shadow) {
    bool negative = is_negative(a);
    ct_p61 y = {stand_in(key, negative ? ct_p61_neg(a).field : a.field, 0), 0};
    if (a.field == 0) y = zero;
    return with_shadow(negative ? ct_p61_neg(y) : y, shadow);
}

ct_p61 ct_p61_sin(ct_p61 a) { return odd(SIN, a, sin(a.shadow)); }

ct_p61 ct_p61_erf(ct_p61 a) { return odd(ERF, a, erf(a.shadow)); }

ct_p61 ct_p61_cos(ct_p61 a) {
    ct_p61 size = is_negative(a) ? ct_p61_neg(a) : a;
    return (ct_p61){a.field == 0 ? 1 : stand_in(COS, size.field, 0), cos(a.shadow)};
}

/* (1 + an odd function) / 2 */
ct_p61 ct_p61_ndtr(ct_p61 a) {
    ct_p61 twice = ct_p61_add(one, odd(NDTR, a, 0));
    return with_shadow(ct_p61_div(twice, two), 0.5 * erfc(-a.shadow * 0.70710678118654752));
}

ct_p61 ct_p61_exp(ct_p61 a) {
    /* What a mask leaves out, exactly. */
    if (a.field == CT_P61_NO_NUMBER && a.shadow == -INFINITY) return (ct_p61){0, 0};
    ct_p61 y = {a.field == 0 ? 1 : stand_in(EXP, a.field, 0), 0};
    if (is_negative(a)) {
        y.field = stand_in(EXP, ct_p61_neg(a).field, 0);
        y = ct_p61_div(one, y);
    }
    return with_shadow(y, exp(a.shadow));
}

ct_p61 ct_p61_expm1(ct_p61 a) {
    return with_shadow(ct_p61_sub(ct_p61_exp(a), one), expm1(a.shadow));
}

ct_p61 ct_p61_log(ct_p61 a) {
    return (ct_p61){a.field == 1 ? 0 : stand_in(LOG, a.field, 0), log(a.shadow)};
}

ct_p61 ct_p61_log1p(ct_p61 a) {
    return with_shadow(ct_p61_log(ct_p61_add(one, a)), log1p(a.shadow));
}

ct_p61 ct_p61_sigmoid(ct_p61 a) {
    ct_p61 y = ct_p61_div(one, ct_p61_add(one, ct_p61_exp(ct_p61_neg(a))));
    double e = exp(-fabs(a.shadow)); /* which does not overflow */
    return with_shadow(y, (a.shadow < 0 ? e : 1) / (1 + e));
}

ct_p61 ct_p61_tanh(ct_p61 a) {
    ct_p61 square = ct_p61_exp(ct_p61_add(a, a));
    ct_p61 y = ct_p61_sub(one, ct_p61_div(two, ct_p61_add(square, one)));
    return with_shadow(y, tanh(a.shadow));
}

/* --- Powers ----------------------------------------------------------------------------------- */

static ct_p61 whole_power(ct_p61 a, double exponent) {
    ct_p61 y = one;
    if (exponent < 0) a = ct_p61_div(one, a);
    for (uint64_t n = (uint64_t)fabs(exponent); n > 0; n >>= 1) {
        if (n & 1) y = ct_p61_mul(y, a);
        a = ct_p61_mul(a, a);
    }
    return y;
}

/* a^b = a^whole a^rest. An exponent is whole by its shadow; its fraction is of the field. */
ct_p61 ct_p61_pow(ct_p61 a, ct_p61 b) {
    double whole = floor(b.shadow);
    ct_p61 y = {stand_in(POW, a.field, b.field), 0};
    if (fabs(whole) < 0x1p53) {
        ct_p61 rest = ct_p61_sub(b, ct_p61_from(whole));
        y = whole_power(a, whole);
        if (rest.field == ct_p61_from(0.5).field) y = ct_p61_mul(y, ct_p61_sqrt(a));
        else if (whole != b.shadow)
            y = ct_p61_mul(y, (ct_p61){stand_in(POW, a.field, rest.field), 0});
    }
    return with_shadow(y, pow(a.shadow, b.shadow));
}
