/* math32.h: exp, log and the other elementary functions for f32, as branch-free inline functions
 * that gcc and clang turn into vector code inside a plain loop.
 * Not libm: no errno, no floating-point exceptions, rounding to nearest only, no f64 versions.
 * Invariant: a result depends on its arguments alone. Only + - * /, comparisons, conversions and
 * integer arithmetic occur, which IEEE 754 rounds in one way, so the bits are the same for every
 * compiler, instruction set, vector length and loop tail. Contraction into fused multiply-add
 * would break that: compile with -ffp-contract=off.
 *
 * How far off they are stands in ops.h, subnormal results included. NaN gives NaN. Polynomials are
 * minimax in the relative error of the function on the interval named, their coefficients rounded
 * one at a time from the lowest up, the remaining ones fitted anew after each. */
#ifndef COTAN_MATH32_H
#define COTAN_MATH32_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Polynomials are laid out by hand: one line where it fits.
 * clang-format would give each bracket its own. */
/* clang-format off */
_Static_assert(FLT_EVAL_METHOD == 0, "math32.h needs f32 arithmetic rounded to f32");

/* Forced, because a caller built for a wider instruction set vectorizes only what is inlined. */
#define CTI_INLINE static inline __attribute__((always_inline))

CTI_INLINE uint32_t cti_f32_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

CTI_INLINE float cti_f32_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

CTI_INLINE uint64_t cti_f64_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

CTI_INLINE double cti_f64_from_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* |x| with the sign bit apart, so that odd functions keep the sign of zero. */
CTI_INLINE float cti_f32_split_sign(float x, uint32_t *sign) {
    uint32_t bits = cti_f32_bits(x);
    *sign = bits & 0x80000000u;
    return cti_f32_from_bits(bits & 0x7fffffffu);
}

/* Adding 1.5 * 2^23 (f64: 1.5 * 2^52) rounds to an integer, ties to even, and leaves that integer
 * in the low bits of the sum: rint() and a conversion without SSE4.1. */
#define CTI_ROUND32 0x1.8p+23f
#define CTI_ROUND64 0x1.8p+52

/* e^x = 2^n e^r with |r| <= ln(2)/2: returns r, and n + bias in the low bits of *biased.
 * ln 2 is subtracted in two parts, the first of 15 bits, so that n times it is exact. */
CTI_INLINE float cti_exp_reduce(float x, float bias, uint32_t *biased) {
    float shifted = x * 1.44269504f + (CTI_ROUND32 + bias);
    float n = shifted - (CTI_ROUND32 + bias);
    *biased = cti_f32_bits(shifted);
    return (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;
}

/* e^r - 1 for |r| <= ln(2)/2. */
CTI_INLINE float cti_exp_fraction(float r) {
    float square = r * r;
    float low = 0.499999940f + r * 0.166665211f;
    float high = (0.0416682586f + r * 0.00836866908f) + square * 0.00138213043f;
    return r + (square * low + (square * square) * high);
}

/* e^x where neither overflow nor a subnormal result is possible: |x| <= 87.33. */
CTI_INLINE float cti_exp_normal(float x) {
    uint32_t biased;
    float y = 1.0f + cti_exp_fraction(cti_exp_reduce(x, 127.0f, &biased));
    return y * cti_f32_from_bits(biased << 23);
}

/* y 2^n, for n + 254 in the low bits of `biased`: two normal factors of about 2^(n/2), so that a
 * subnormal result is rounded once. */
CTI_INLINE float cti_scale_twice(float y, uint32_t biased) {
    uint32_t half = biased >> 1;
    return y * cti_f32_from_bits(half << 23) * cti_f32_from_bits((biased - half) << 23);
}

/* e^x. Underflows through the subnormals to 0, overflows to inf. */
CTI_INLINE float cti_expf(float x) {
    uint32_t biased;
    float r = cti_exp_reduce(x < -104.0f ? -104.0f : x, 2.0f * 127.0f, &biased);
    float y = cti_scale_twice(1.0f + cti_exp_fraction(r), biased);
    return x > 89.0f ? INFINITY : y;
}

/* e^x - 1 = 2 ((2^(n-1) - 1/2) + 2^(n-1) (e^r - 1)), so that e^88.7 is no overflow; below ln(2)/2,
 * where n = 0, the last part alone. */
CTI_INLINE float cti_expm1f(float x) {
    uint32_t biased;
    float t = cti_exp_fraction(cti_exp_reduce(x < -32.0f ? -32.0f : x, 127.0f - 1.0f, &biased));
    float half = cti_f32_from_bits(biased << 23);
    float y = half == 0.5f ? t : 2.0f * ((half - 0.5f) + half * t);
    y = x > 89.0f ? INFINITY : y;
    return x == 0.0f ? x : y;
}

/* x = 2^n m with m in [low, 2 low), x > 0, subnormals included; low_bits are the bits of low.
 * For any other x the result is finite and meaningless. */
CTI_INLINE float cti_split_exponent(float x, uint32_t low_bits, float *n) {
    uint32_t bits = cti_f32_bits(x);
    uint32_t raised = cti_f32_bits(x * 0x1p25f);
    int32_t raise = (int32_t)bits < 0x00800000 ? 25 : 0;
    bits = (int32_t)bits < 0x00800000 ? raised : bits;
    uint32_t above = bits - low_bits;
    *n = (float)(((int32_t)above >> 23) - raise);
    return cti_f32_from_bits(bits - (above & 0xff800000u));
}

/* n ln 2 + ln(1 + f) for 1 + f in [2/3, 4/3), an integer n, and `high` = n times the first part of
 * ln 2, which is exact: ln(1 + f) = f - f^2/2 + f^3 P(f). */
CTI_INLINE float cti_log_sum(float high, float n, float f) {
    float square = f * f;
    float a = 0.333332151f - f * 0.249998048f;
    float b = 0.200104401f - f * 0.166802004f;
    float c = 0.140054420f - f * 0.121879123f;
    float d = 0.139861509f - f * 0.128768250f;
    float p = (a + square * b) + (square * square) * (c + square * d);
    float low = n * 0x1.7f7d1cp-20f - 0.5f * square;
    return high + (f + (low + (f * square) * p));
}

/* The value of n ln 2 where the logarithm of x is finite; what the logarithm is elsewhere. */
CTI_INLINE float cti_log_high(float x, float n) {
    float high = n * 0x1.62e4p-1f;
    high = x < INFINITY ? high : x;
    high = x == 0.0f ? -INFINITY : high;
    return x < 0.0f ? NAN : high;
}

/* ln x; -inf at 0, NaN below. */
CTI_INLINE float cti_logf(float x) {
    float n;
    float f = cti_split_exponent(x, 0x3f2aaaabu, &n) - 1.0f;
    return cti_log_sum(cti_log_high(x, n), n, f);
}

/* ln(1 + x); -inf at -1, NaN below. With u = 2^n m the rounded 1 + x, what rounding took away goes
 * to the fraction m - 1, which where n = 0 gives x itself. From 2^25 on nothing is missing. */
CTI_INLINE float cti_log1pf(float x) {
    float n, u = 1.0f + x;
    float m = cti_split_exponent(u, 0x3f2aaaabu, &n);
    float lost = fabsf(x) < 0x1p25f ? x - (u - 1.0f) : 0.0f;
    float shrink = cti_f32_from_bits((uint32_t)(127 - (int32_t)(n < 64.0f ? n : 64.0f)) << 23);
    float y = cti_log_sum(cti_log_high(u, n), n, (m - 1.0f) + lost * shrink);
    return x == 0.0f ? x : y;
}

/* tanh x: x + x^3 P(x^2) below 0.625, 1 - 2 / (e^(2x) + 1) above. */
CTI_INLINE float cti_tanhf(float x) {
    uint32_t sign;
    float a = cti_f32_split_sign(x, &sign);
    float square = a * a;
    float p = -0.333332807f + square * (0.133314058f + square * (-0.0537365191f
              + square * (0.0206281971f - square * 0.00569235114f)));
    float small = a + a * (square * p);
    float large = 1.0f - 2.0f / (cti_exp_normal(a > 10.0f ? 20.0f : 2.0f * a) + 1.0f);
    return cti_f32_from_bits(cti_f32_bits(a < 0.625f ? small : large) | sign);
}

/* 1 / (1 + e^-x), as e^x / (1 + e^x) below 0, so that nothing overflows and the small values below
 * keep their digits; what rounding took away from the sum is put back. 0 below -87.33, where
 * results would soon be subnormal, which processors are slow with: a saturated layer hands them to
 * all that follows. */
CTI_INLINE float cti_sigmoidf(float x) {
    uint32_t sign;
    float a = cti_f32_split_sign(x, &sign);
    float e = cti_exp_normal(a > 87.33f ? -87.33f : -a);
    float sum = 1.0f + e, lost = e - (sum - 1.0f);
    float y = (sign != 0 ? e : 1.0f) / sum;
    y = y - y * lost;
    return x < -87.33f ? 0.0f : y;
}

/* erf x: x + x P(x^2) below 0.875, 1 - e^(x Q(x)) above. */
CTI_INLINE float cti_erff(float x) {
    uint32_t sign;
    float a = cti_f32_split_sign(x, &sign);
    float square = a * a;
    float p = 0.128379151f + square * (-0.376125127f + square * (0.112821095f
              + square * (-0.0267799720f + square * (0.00501620723f - square * 0.000612423755f))));
    float small = a + a * p;
    float t = a > 4.0f ? 4.0f : a;
    float q = -1.12852550f + t * (-0.635680377f + t * (-0.105312183f + t * (0.0229224581f
              + t * (-0.00322515378f + t * 0.000215229666f))));
    float large = 1.0f - cti_exp_normal(t * q);
    return cti_f32_from_bits(cti_f32_bits(a < 0.875f ? small : large) | sign);
}

/* Phi(x), the share of a normal distribution below x: e^(-t^2/2) / sqrt(2 pi) / (t + P(t)/Q(t)) for
 * t = -x >= 0, and 1 - Phi(-x) above 0. t is cut in two, so that the square of the first 12 bits is
 * exact; what is missing is subtracted behind the reduction. */
CTI_INLINE float cti_ndtrf(float x) {
    uint32_t biased, unused;
    float t = cti_f32_split_sign(x, &unused);
    t = t > 15.0f ? 15.0f : t;
    float top = cti_f32_from_bits(cti_f32_bits(t) & 0xfffff000u);
    float rest = 0.5f * ((t - top) * (t + top));
    float e = cti_exp_fraction(cti_exp_reduce(-0.5f * (top * top), 2.0f * 127.0f, &biased) - rest);
    float p = 1.42103708f + t * (0.707895815f + t * (0.182307094f + t * 0.0204349849f));
    float q = 1.78100586f + t * (1.69833517f + t * (0.758677423f + t * (0.181670889f
              + t * 0.0204519872f)));
    float ratio = 0.398942280f / (t + p / q);
    float y = cti_scale_twice(ratio + ratio * e, biased);
    y = x > 0.0f ? 1.0f - y : y;
    return x == x ? y : x; /* of several NaN a compiler may take either */
}

/* a = r + q pi/2 with |r| <= pi/4: the next two return r, and q in the low bits of *quarters.
 * Up to a = CTI_NEAR, where neighbouring floats are 4 apart, pi/2 is subtracted in two parts in
 * f64; the first has 27 bits, so that q times it is exact. */
#define CTI_NEAR 0x1p26f
CTI_INLINE float cti_near_turns(float a, uint32_t *quarters) {
    double shifted = (double)a * 0.63661977236758134 + CTI_ROUND64;
    double q = shifted - CTI_ROUND64;
    *quarters = (uint32_t)cti_f64_bits(shifted);
    return (float)(((double)a - q * 0x1.921fb54p+0) - q * 0x1.10b4611a62633p-30);
}

/* Beyond, a = m 2^e is multiplied in integers by those bits of 2/pi that count (Payne and Hanek,
 * 1983): whole turns wrap around, which leaves a mod 4 quarters in units of 2^-62, off by at most 2
 * where no float is closer than 2^32 to a multiple of pi/2. */
CTI_INLINE float cti_far_turns(float a, uint32_t *quarters) {
    /* 32 bits of 2/pi each, from bit 8 k behind the point on, counted from 0. */
    static const uint32_t two_over_pi[] = {
        0x517cc1b7, 0x7cc1b727, 0xc1b72722, 0xb727220a, 0x27220a94, 0x220a94fe, 0x0a94fe13,
        0x94fe13ab, 0xfe13abe8, 0x13abe8fa, 0xabe8fa9a, 0xe8fa9a6e, 0xfa9a6ee0, 0x9a6ee06d,
        0x6ee06db1, 0xe06db14a, 0x6db14acc, 0xb14acc9e, 0x4acc9e21, 0xcc9e21c8, 0x9e21c820};
    uint32_t bits = cti_f32_bits(a < INFINITY ? a : CTI_NEAR), e = (bits >> 23) - (150 + 1);
    const uint32_t *part = two_over_pi + (e >> 3);
    uint64_t m = (uint64_t)((bits & 0x007fffffu) | 0x00800000u) << (e & 7u);
    uint64_t turns = ((m * part[0]) << 32) + m * part[4] + ((m * part[8]) >> 32);
    uint64_t q = (turns + (UINT64_C(1) << 61)) >> 62;
    *quarters = (uint32_t)q;
    float r = (float)((double)(int64_t)(turns - (q << 62)) * 0x1.921fb54442d18p-62);
    return a < INFINITY ? r : NAN;
}

/* sin(r + q pi/2) for |r| <= pi/4. */
CTI_INLINE float cti_sin_quadrant(float r, uint32_t q) {
    float square = r * r;
    float s = -0.166666672f + square * (0.0083333794f
              + square * (-0.000198530746f + square * 0.00000283276586f));
    float c = 0.0416666456f + square * (-0.00138873106f + square * 0.0000244325638f);
    float half = 0.5f * square;
    float one = 1.0f - half;
    float sine = r + r * (square * s);
    float cosine = one + (((1.0f - one) - half) + (square * square) * c);
    float y = (q & 1u) != 0 ? cosine : sine;
    return cti_f32_from_bits(cti_f32_bits(y) ^ ((q & 2u) << 30));
}

/* sin x and cos x for |x| <= CTI_NEAR: what a plain loop turns into vector code. */
CTI_INLINE float cti_near_sinf(float x) {
    uint32_t sign, quarters;
    float r = cti_near_turns(cti_f32_split_sign(x, &sign), &quarters);
    return cti_f32_from_bits(cti_f32_bits(cti_sin_quadrant(r, quarters)) ^ sign);
}

CTI_INLINE float cti_near_cosf(float x) {
    uint32_t sign, quarters;
    float r = cti_near_turns(cti_f32_split_sign(x, &sign), &quarters);
    return cti_sin_quadrant(r, quarters + 1u);
}

/* sin x; NaN at +-inf. */
CTI_INLINE float cti_sinf(float x) {
    uint32_t sign, quarters;
    float a = cti_f32_split_sign(x, &sign);
    if (!(a > CTI_NEAR)) return cti_near_sinf(x);
    float r = cti_far_turns(a, &quarters);
    return cti_f32_from_bits(cti_f32_bits(cti_sin_quadrant(r, quarters)) ^ sign);
}

/* cos x; NaN at +-inf. */
CTI_INLINE float cti_cosf(float x) {
    uint32_t sign, quarters;
    float a = cti_f32_split_sign(x, &sign);
    if (!(a > CTI_NEAR)) return cti_near_cosf(x);
    float r = cti_far_turns(a, &quarters);
    return cti_sin_quadrant(r, quarters + 1u);
}

/* a^y = 2^(y log2 a) in f64, for a >= 0; meaningless where y log2 a is 0 times inf. */
CTI_INLINE float cti_pow_magnitude(float a, float y) {
    float n;
    double m = (double)cti_split_exponent(a, 0x3f3504f3u, &n);
    n = a == 0.0f ? -INFINITY : n;
    n = a < INFINITY ? n : a;
    double s = (m - 1.0) / (m + 1.0);
    double square = s * s;
    double log2_a = (double)n + s * (2.8853900817900922 + square * (0.96179667333370011
                  + square * (0.57708358660416825 + square * (0.4116726154708219
                  + square * 0.3407321153205029))));
    double t = (double)y * log2_a;
    double shifted = t + (CTI_ROUND64 + 1023.0);
    double r = t - (shifted - (CTI_ROUND64 + 1023.0));
    double p = 0x1.000000026168ep+0 + r * (0x1.62e430c7ef9a6p-1 + r * (0x1.ebfbdadc83c39p-3
               + r * (0x1.c6aed4b0744efp-5 + r * (0x1.3b2dbbd48becep-7 + r * (0x1.5f456f0b0a2a6p-10
               + r * 0x1.41d32d9cece98p-13)))));
    float z = (float)(p * cti_f64_from_bits(cti_f64_bits(shifted) << 52));
    z = (float)t > 200.0f ? INFINITY : z;
    return (float)t < -200.0f ? 0.0f : z;
}

/* x^y as the C standard (annex F) has it: 1 for y = 0 or x = 1 even when the other is NaN; the
 * sign of x for odd y; NaN for finite x < 0 and non-integer y; 0^y = inf for y < 0. */
CTI_INLINE float cti_powf(float x, float y) {
    uint32_t sign, unused;
    float a = cti_f32_split_sign(x, &sign);
    float b = cti_f32_split_sign(y, &unused);
    float shifted = b < 0x1p23f ? b + 0x1p23f : b;
    float rounded = b < 0x1p23f ? shifted - 0x1p23f : b;
    uint32_t odd = b < 0x1p24f ? cti_f32_bits(shifted) << 31 : 0u;
    float z = cti_pow_magnitude(a, y);
    z = a == 1.0f ? 1.0f : z;
    float signed_z = cti_f32_from_bits(cti_f32_bits(z) | (sign & odd));
    z = rounded == b ? signed_z : x < 0.0f && a < INFINITY ? NAN : z;
    z = x == x && y == y ? z : NAN;
    return x == 1.0f || y == 0.0f ? 1.0f : z;
}

/* clang-format on */

#endif
