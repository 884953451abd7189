/* The field of CT_P61: what a double stands for, fractions, quotients, roots, text.
 * It knows no tensors; sums and products are in the header, stand-ins in functions.c.
 * Invariant: a result depends on its arguments alone, and field values are below p. */
#include "tensor/p61.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

typedef cti_p61_product wide;

#define FRACTION_BITS 40 /* of numerator times denominator */
#define SMALL 0x100000   /* 2^20 */

/* --- Doubles ---------------------------------------------------------------------------------- */

ct_p61 ct_p61_whole(int64_t value) {
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    ct_p61 y = {size % CT_P61_PRIME, (double)size};
    return value < 0 ? ct_p61_neg(y) : y;
}

/* Convergents n / d of a number, the last two. */
typedef struct {
    wide n[2], d[2];
} convergents;

static bool rounds_to(const convergents *c, wide t, double x) {
    return (double)(t * c->n[1] + c->n[0]) / (double)(t * c->d[1] + c->d[0]) == x;
}

/* The least t in 1 .. most with (t n1 + n0) / (t d1 + d0) = x, rounded; 0: none. These fractions
 * come closer with each t, from one side. */
static wide least_that_rounds(const convergents *c, wide most, double x) {
    if (most == 0 || !rounds_to(c, most, x)) return 0;
    wide low = 1;
    while (low < most) {
        wide middle = (low + most) / 2;
        if (rounds_to(c, middle, x)) most = middle;
        else low = middle + 1;
    }
    return low;
}

/* The simplest fraction in an interval lies between two convergents of any number in it, or is one.
 * x is no whole number, above 0. */
static bool simplest(double x, int64_t *numerator, int64_t *denominator) {
    const wide limit = (wide)1 << FRACTION_BITS;
    if (x >= 0x1p41 || x < 0x1p-41) return false;
    int exponent;
    wide a = (wide)ldexp(frexp(x, &exponent), 53), b = (wide)1 << (53 - exponent);
    convergents c = {{0, 1}, {1, 0}};
    while (b > 0 && c.n[1] * c.d[1] <= limit) {
        wide whole = a / b, rest = a % b, most = whole < 2 * limit ? whole : 2 * limit;
        wide t = least_that_rounds(&c, most, x);
        if (t == 0) t = most;
        wide n = t * c.n[1] + c.n[0], d = t * c.d[1] + c.d[0];
        if (d > 0 && (double)n / (double)d == x) {
            if (n > limit || d > limit || n * d > limit) return false;
            *numerator = (int64_t)n, *denominator = (int64_t)d;
            return true;
        }
        c = (convergents){{c.n[1], n}, {c.d[1], d}};
        a = b, b = rest;
    }
    return false;
}

bool ct_p61_is_fraction(double value, int64_t *numerator, int64_t *denominator) {
    *numerator = 0, *denominator = 1;
    if (!(fabs(value) < 0x1p63)) return false;
    if (value == floor(value)) {
        *numerator = (int64_t)value;
        return true;
    }
    bool found = simplest(fabs(value), numerator, denominator);
    if (value < 0) *numerator = -*numerator;
    return found;
}

/* 2^61 = 1, so a power of two depends on its exponent modulo 61. */
static uint64_t multiple_of_power(double value) {
    int exponent;
    uint64_t digits = (uint64_t)ldexp(frexp(fabs(value), &exponent), 53);
    int shift = ((exponent - 53) % 61 + 61) % 61;
    ct_p61 y = ct_p61_mul((ct_p61){digits, 0}, (ct_p61){UINT64_C(1) << shift, 0});
    return value < 0 ? ct_p61_neg(y).field : y.field;
}

ct_p61 ct_p61_from(double value) {
    ct_p61 y = {CT_P61_NO_NUMBER, value};
    int64_t n, d;
    if (!isfinite(value)) return y;
    if (!ct_p61_is_fraction(value, &n, &d)) y.field = multiple_of_power(value);
    else if (d == 1) y.field = ct_p61_whole(n).field;
    else y.field = ct_p61_div(ct_p61_whole(n), ct_p61_whole(d)).field;
    return y;
}

/* --- Quotients and roots ---------------------------------------------------------------------- */

static ct_p61 power(ct_p61 a, uint64_t exponent) {
    ct_p61 y = {1, 0};
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) y = ct_p61_mul(y, a);
        a = ct_p61_mul(a, a);
    }
    return y;
}

/* a^(p - 1) = 1 */
static ct_p61 inverse(ct_p61 a) {
    ct_p61 y = power(a, CT_P61_PRIME - 2);
    if (a.field == 0) y.field = CT_P61_NO_QUOTIENT;
    return y;
}

ct_p61 ct_p61_div(ct_p61 a, ct_p61 b) {
    ct_p61 y = ct_p61_mul(a, inverse(b));
    y.shadow = a.shadow / b.shadow;
    return y;
}

/* p = 3 modulo 4, so a^((p + 1) / 4) squared is a^((p - 1) / 2) a, where the power is 1 for squares
 * and -1 for others. */
ct_p61 ct_p61_sqrt(ct_p61 a) {
    ct_p61 y = a;
    for (int i = 0; i < 59; i++) y = ct_p61_mul(y, y);
    if (ct_p61_has_value(a) && ct_p61_mul(y, y).field != a.field) y.field = CT_P61_NO_ROOT;
    y.shadow = sqrt(a.shadow);
    return y;
}

/* --- Fractions -------------------------------------------------------------------------------- */

/* Euclid's algorithm for p and a keeps r = s a in the field, with r falling and |s| growing. */
bool ct_p61_to_fraction(ct_p61 a, int64_t *numerator, int64_t *denominator) {
    *numerator = 0, *denominator = 1;
    if (!ct_p61_has_value(a)) return false;
    int64_t r0 = (int64_t)CT_P61_PRIME, r = (int64_t)a.field, s0 = 0, s = 1;
    while (r > SMALL) {
        int64_t times = r0 / r, rest = r0 % r, next = s0 - times * s;
        r0 = r, r = rest;
        s0 = s, s = next;
    }
    *numerator = s < 0 ? -r : r;
    *denominator = s < 0 ? -s : s;
    return *denominator <= SMALL;
}

ct_p61_text ct_p61_format(ct_p61 a) {
    ct_p61_text out;
    int64_t n, d;
    const char *lost = a.field == CT_P61_NO_ROOT       ? "no root"
                       : a.field == CT_P61_NO_QUOTIENT ? "no quotient"
                                                       : "no number";
    char field[48];
    if (!ct_p61_has_value(a)) snprintf(field, sizeof field, "%s", lost);
    else if (!ct_p61_to_fraction(a, &n, &d)) snprintf(field, sizeof field, "%" PRIu64, a.field);
    else if (d == 1) snprintf(field, sizeof field, "%" PRId64, n);
    else snprintf(field, sizeof field, "%" PRId64 "/%" PRId64, n, d);
    snprintf(out.text, sizeof out.text, "%s (%.6g)", field, a.shadow);
    return out;
}
