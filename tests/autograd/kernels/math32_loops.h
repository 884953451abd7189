/* For the suite and the sweep of math32.h: the functions as loops, one for each instruction set,
 * with exact values and the errors that ops.h states. Everything is static: each is one program. */
#ifndef COTAN_TESTS_MATH32_LOOPS_H
#define COTAN_TESTS_MATH32_LOOPS_H

#include "autograd/kernels/math32.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* The loops of one function, one for each instruction set: baseline, AVX2 with FMA, AVX-512. */
#if defined(__x86_64__)
#define WITH_SETS(loop)                                              \
    loop(baseline, ) loop(avx2, __attribute__((target("avx2,fma")))) \
        loop(avx512, __attribute__((target("avx512f,avx2,fma"))))
#define SETS(op) \
    { op##_baseline, op##_avx2, op##_avx512 }
#else
#define WITH_SETS(loop) loop(baseline, )
#define SETS(op) \
    { op##_baseline }
#endif

/* Every loop takes y, so that pow is one of them. */
typedef void loop(size_t n, float *out, const float *x, const float *y);

#define LOOP(op, call, set, attribute)                                                       \
    attribute static void op##_##set(size_t n, float *restrict out, const float *restrict x, \
                                     const float *restrict y) {                              \
        (void)y;                                                                             \
        for (size_t i = 0; i < n; i++) out[i] = call;                                        \
    }

#define EXP(set, attribute) LOOP(exp, cti_expf(x[i]), set, attribute)
#define EXPM1(set, attribute) LOOP(expm1, cti_expm1f(x[i]), set, attribute)
#define LOG(set, attribute) LOOP(log, cti_logf(x[i]), set, attribute)
#define LOG1P(set, attribute) LOOP(log1p, cti_log1pf(x[i]), set, attribute)
#define SQRT(set, attribute) LOOP(sqrt, sqrtf(x[i]), set, attribute)
#define RSQRT(set, attribute) LOOP(rsqrt, 1.0f / sqrtf(x[i]), set, attribute)
#define SIN(set, attribute) LOOP(sin, cti_sinf(x[i]), set, attribute)
#define COS(set, attribute) LOOP(cos, cti_cosf(x[i]), set, attribute)
#define TANH(set, attribute) LOOP(tanh, cti_tanhf(x[i]), set, attribute)
#define SIGMOID(set, attribute) LOOP(sigmoid, cti_sigmoidf(x[i]), set, attribute)
#define ERF(set, attribute) LOOP(erf, cti_erff(x[i]), set, attribute)
#define NDTR(set, attribute) LOOP(ndtr, cti_ndtrf(x[i]), set, attribute)
#define POW(set, attribute) LOOP(pow, cti_powf(x[i], y[i]), set, attribute)
WITH_SETS(EXP)
WITH_SETS(EXPM1)
WITH_SETS(LOG)
WITH_SETS(LOG1P)
WITH_SETS(SQRT)
WITH_SETS(RSQRT)
WITH_SETS(SIN)
WITH_SETS(COS)
WITH_SETS(TANH)
WITH_SETS(SIGMOID)
WITH_SETS(ERF)
WITH_SETS(NDTR)
WITH_SETS(POW)

/* 0 where ops.h says so. */
static double exact_sigmoid(double x) {
    double e = exp(-fabs(x));
    return x < (double)-87.33f ? 0.0 : (x < 0.0 ? e : 1.0) / (1.0 + e);
}
static double exact_rsqrt(double x) { return 1.0 / sqrt(x); }
static double exact_ndtr(double x) { return 0.5 * erfc(x * -0.70710678118654752); }

enum { N_SETS = 3 };

/* All of one argument, then pow. */
static const struct {
    const char *name;
    double (*exact)(double);
    loop *set[N_SETS];
} functions[] = {
    {"exp", exp, SETS(exp)},    {"expm1", expm1, SETS(expm1)},
    {"log", log, SETS(log)},    {"log1p", log1p, SETS(log1p)},
    {"sqrt", sqrt, SETS(sqrt)}, {"rsqrt", exact_rsqrt, SETS(rsqrt)},
    {"sin", sin, SETS(sin)},    {"cos", cos, SETS(cos)},
    {"tanh", tanh, SETS(tanh)}, {"sigmoid", exact_sigmoid, SETS(sigmoid)},
    {"erf", erf, SETS(erf)},    {"ndtr", exact_ndtr, SETS(ndtr)},
    {"pow", NULL, SETS(pow)},
};
enum { N_FUNCTIONS = sizeof functions / sizeof *functions, N_UNARY = N_FUNCTIONS - 1 };

static int is_supported(size_t set) {
#if defined(__x86_64__)
    if (set == 1) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (set == 2) return __builtin_cpu_supports("avx512f") != 0;
#endif
    return set == 0;
}

/* Distance in units in the last place of the exact value, where inf counts as 2^128. */
static double ulps(float got, double exact) {
    if (isnan(got) || isnan(exact)) return isnan(got) && isnan(exact) ? 0.0 : INFINITY;
    if (!signbit(got) != !signbit(exact) && exact != 0.0) return INFINITY;
    double value = isinf(got) ? copysign(0x1p128, (double)got) : (double)got;
    exact = fabs(exact) > 0x1p128 ? copysign(0x1p128, exact) : exact;
    uint64_t exponent = cti_f64_bits(exact) >> 52 & 0x7ff;
    exponent = exponent < 1023 - 126 ? 1023 - 126 : exponent > 1023 + 127 ? 1023 + 127 : exponent;
    return fabs(value - exact) / cti_f64_from_bits((exponent - 23) << 52);
}

/* The error that ops.h states of ct_NAME, at its declaration or right before; NaN when it states
 * none. OPS_HEADER is the path. */
static double stated_error(const char *name) {
    static char text[1 << 16];
    FILE *file = fopen(OPS_HEADER, "rb");
    if (!file) return NAN;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    char wanted[64];
    snprintf(wanted, sizeof wanted, "ct_tensor *ct_%s(", name);
    char *line = text, *from = text, *found = NULL;
    for (char *next; line && !found; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        if (strncmp(line, wanted, strlen(wanted)) == 0) found = line;
        for (char *c = from; found && c < line; c++) *c = *c ? *c : ' ';
        if (!found && strncmp(line, "ct_tensor *", 11) == 0) from = next;
    }
    char *unit = found ? strstr(from, " ulp") : NULL;
    while (unit && unit > from && strchr("0123456789.", unit[-1])) unit--;
    return unit ? strtod(unit, NULL) : NAN;
}

#endif
