/* The f32 elementary functions: error against f64 libm, special values, reproducibility.
 * Not exhaustive: it strides over the bit patterns, about 2^22 of them for each function.
 * Invariant: every loop, however the compiler vectorized it, gives the bits that the function
 * gives for one element at a time, and these are the bits recorded here. */
#include "autograd/math32.h"

#include <criterion/criterion.h>
#include <stddef.h>

/* The loops of one function, one for each instruction set: baseline, AVX2 with FMA, AVX-512. */
#if defined(__x86_64__)
#define WITH_SETS(loop)                                                                     \
    loop(baseline, )                                                                        \
    loop(avx2, __attribute__((target("avx2,fma"))))                                         \
    loop(avx512, __attribute__((target("avx512f,avx2,fma"))))
#define SETS(op) {op##_baseline, op##_avx2, op##_avx512}
#else
#define WITH_SETS(loop) loop(baseline, )
#define SETS(op) {op##_baseline}
#endif

/* Every loop takes y, so that pow is one of them. */
typedef void loop(size_t n, float *out, const float *x, const float *y);

#define LOOP(op, call, set, attribute)                                                      \
    attribute static void op##_##set(size_t n, float *restrict out, const float *restrict x, \
                                     const float *restrict y) {                             \
        (void)y;                                                                            \
        for (size_t i = 0; i < n; i++) out[i] = call;                                       \
    }

#define EXP(set, attribute) LOOP(exp, cti_expf(x[i]), set, attribute)
#define LOG(set, attribute) LOOP(log, cti_logf(x[i]), set, attribute)
#define TANH(set, attribute) LOOP(tanh, cti_tanhf(x[i]), set, attribute)
#define SIGMOID(set, attribute) LOOP(sigmoid, cti_sigmoidf(x[i]), set, attribute)
#define ERF(set, attribute) LOOP(erf, cti_erff(x[i]), set, attribute)
#define SIN(set, attribute) LOOP(sin, cti_sinf(x[i]), set, attribute)
#define COS(set, attribute) LOOP(cos, cti_cosf(x[i]), set, attribute)
#define POW(set, attribute) LOOP(pow, cti_powf(x[i], y[i]), set, attribute)
WITH_SETS(EXP)
WITH_SETS(LOG)
WITH_SETS(TANH)
WITH_SETS(SIGMOID)
WITH_SETS(ERF)
WITH_SETS(SIN)
WITH_SETS(COS)
WITH_SETS(POW)

static double sigmoid(double x) { return x < 0.0 ? exp(x) / (1.0 + exp(x)) : 1.0 / (1.0 + exp(-x)); }

enum { N_SETS = 3, N_FUNCTIONS = 8, BLOCK = 1024, STRIDE = 1021 };

static const struct {
    const char *name;
    double (*reference)(double);
    loop *set[N_SETS];
    double bound;      /* in units in the last place */
    float accurate_to; /* the bound holds up to this |x| */
    uint64_t bits;     /* hash over the results of the sweep */
} functions[N_FUNCTIONS] = {
    {"exp", exp, SETS(exp), 1.01, INFINITY, 0x6867a4af323868b0u},
    {"log", log, SETS(log), 0.87, INFINITY, 0x64062626e10f61c8u},
    {"tanh", tanh, SETS(tanh), 1.34, INFINITY, 0x7609213aa632b7beu},
    {"erf", erf, SETS(erf), 1.23, INFINITY, 0x074f68bad86df0d0u},
    {"sin", sin, SETS(sin), 1.49, 0x1p26f, 0xc25ddfb3e831078bu},
    {"cos", cos, SETS(cos), 1.50, 0x1p26f, 0x1f47347b23c4330cu},
    {"sigmoid", sigmoid, SETS(sigmoid), 2.34, 87.33f, 0xf4c39ff33555caffu},
    {"pow", NULL, SETS(pow), 0.54, INFINITY, 0x77b472d57764ef2fu},
};

static const float special[] = {
    0.0f, -0.0f, 0x1p-149f, -0x1p-149f, 0x1.fffffcp-127f, 0x1p-126f, -0x1p-126f, 0x1p-13f,
    0.5f, -0.5f, 0x1.fffffep-1f, 1.0f, -1.0f, 0x1.000002p+0f, 1.5f, 2.0f, -2.0f, 3.0f, -3.0f,
    10.0f, 88.0f, 88.8f, -87.4f, -103.9f, -104.1f, 1e5f, 4194303.5f, -8388607.5f, 8388607.0f,
    8388609.0f, -8388609.0f, 16777215.0f, -16777216.0f, 1e30f, -1e30f, 0x1.fffffep+127f,
    -0x1.fffffep+127f, INFINITY, -INFINITY, NAN,
};
enum { N_SPECIAL = sizeof special / sizeof *special };

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

static uint64_t mix(uint64_t hash, float value) {
    uint32_t bits = isnan(value) ? 0x7fc00000u : cti_f32_bits(value);
    return (hash ^ bits) * 1099511628211u;
}

/* All the loops and single calls on one block: they must agree bit for bit. */
static void evaluate(size_t function, size_t n, float *out, const float *x, const float *y) {
    static float other[BLOCK];
    functions[function].set[0](n, out, x, y);
    for (size_t set = 1; set < N_SETS && is_supported(set); set++) {
        functions[function].set[set](n, other, x, y);
        cr_assert_arr_eq(other, out, n * sizeof *out, "%s: instruction set %zu differs",
                         functions[function].name, set);
    }
    for (size_t i = 0; i < n; i++) functions[function].set[0](1, other + i, x + i, y + i);
    cr_assert_arr_eq(other, out, n * sizeof *out, "%s: single calls differ",
                     functions[function].name);
}

/* Beyond the accurate range the phase fades, 2^-53 |x| at a time, but no result leaves [-1, 1]. */
static void check_faded(const char *name, float x, float got, double exact) {
    double fading = 0x1p-52 * fabs((double)x) + 0x1p-24;
    cr_assert(fabsf(got) <= 1.0f, "%s(%a) = %a", name, (double)x, (double)got);
    cr_assert(fading > 0.1 || fabs((double)got - exact) <= fading, "%s(%a) = %a, not %a", name,
              (double)x, (double)got, exact);
}

static void sweep(size_t function) {
    static float x[BLOCK], out[BLOCK];
    double (*reference)(double) = functions[function].reference;
    float accurate_to = functions[function].accurate_to;
    uint64_t hash = 14695981039346656037u;
    double worst = 0.0;
    for (uint64_t bits = 0; bits >> 32 == 0;) {
        size_t n = 0;
        for (; n < BLOCK && bits >> 32 == 0; n++, bits += STRIDE)
            x[n] = bits == 0 ? 0.0f : cti_f32_from_bits((uint32_t)bits);
        evaluate(function, n, out, x, x);
        for (size_t i = 0; i < n; i++) {
            double exact = reference((double)x[i]);
            hash = mix(hash, out[i]);
            if (fabsf(x[i]) > accurate_to && isfinite(x[i])) {
                check_faded(functions[function].name, x[i], out[i], exact);
                continue;
            }
            double error = ulps(out[i], exact);
            worst = error > worst ? error : worst;
            cr_assert(error <= functions[function].bound, "%s(%a) = %a, not %a: %g ulp",
                      functions[function].name, (double)x[i], (double)out[i], exact, error);
        }
    }
    cr_log_info("%s: %.4f ulp, hash %#llx", functions[function].name, worst,
                (unsigned long long)hash);
    cr_expect_eq(hash, functions[function].bits, "%s: other bits than recorded: %#llx",
                 functions[function].name, (unsigned long long)hash);
}

Test(math32, exp_is_within_its_bound) { sweep(0); }
Test(math32, log_is_within_its_bound) { sweep(1); }
Test(math32, tanh_is_within_its_bound) { sweep(2); }
Test(math32, erf_is_within_its_bound) { sweep(3); }
Test(math32, sin_is_within_its_bound) { sweep(4); }
Test(math32, cos_is_within_its_bound) { sweep(5); }
Test(math32, sigmoid_is_within_its_bound) { sweep(6); }

/* The next of a fixed sequence of 32-bit patterns (a linear congruential generator). */
static uint32_t draw(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

/* Pairs of three kinds: any bits; results of every size; small integer powers of both signs. */
static void draw_pair(uint64_t *state, float *x, float *y) {
    uint32_t a = draw(state), b = draw(state);
    float unit = (float)(int32_t)b * 0x1p-31f;
    *x = cti_f32_from_bits(a);
    *y = cti_f32_from_bits(b);
    if (a % 3 == 1) *y = 104.0f * unit / cti_logf(fabsf(*x));
    if (a % 3 == 2) *y = (float)(int32_t)(20.0f * unit);
}

Test(math32, pow_is_within_its_bound) {
    static float x[BLOCK], y[BLOCK], out[BLOCK];
    uint64_t state = 1, hash = 14695981039346656037u;
    double worst = 0.0;
    for (size_t block = 0; block < 512; block++) {
        for (size_t i = 0; i < BLOCK; i++) draw_pair(&state, x + i, y + i);
        evaluate(7, BLOCK, out, x, y);
        for (size_t i = 0; i < BLOCK; i++) {
            double error = ulps(out[i], pow((double)x[i], (double)y[i]));
            hash = mix(hash, out[i]);
            worst = error > worst ? error : worst;
            cr_assert(error <= functions[7].bound, "pow(%a, %a) = %a: %g ulp", (double)x[i],
                      (double)y[i], (double)out[i], error);
        }
    }
    cr_log_info("pow: %.4f ulp, hash %#llx", worst, (unsigned long long)hash);
    cr_expect_eq(hash, functions[7].bits, "pow: other bits than recorded: %#llx",
                 (unsigned long long)hash);
}

/* The same value and the same sign of zero, or both NaN. */
static int is_same(float a, float b) {
    return (isnan(a) && isnan(b)) || cti_f32_bits(a) == cti_f32_bits(b);
}

/* Where libm's result is exact, that is 0, +-1, inf or NaN, cti must give it exactly. */
Test(math32, special_values_are_exact) {
    static float out[N_SPECIAL];
    for (size_t function = 0; function < 7; function++) {
        evaluate(function, N_SPECIAL, out, special, special);
        for (size_t i = 0; i < N_SPECIAL; i++) {
            if (fabsf(special[i]) > functions[function].accurate_to && isfinite(special[i]))
                continue;
            float exact = (float)functions[function].reference((double)special[i]);
            if (exact != 0.0f && fabsf(exact) != 1.0f && isfinite(exact)) continue;
            cr_expect(is_same(out[i], exact), "%s(%a) = %a, not %a", functions[function].name,
                      (double)special[i], (double)out[i], (double)exact);
        }
    }
    cr_expect(ulps(cti_expf(0x1.62e42ep+6f), exp(0x1.62e42ep+6)) <= 1.0);
    cr_expect(is_same(cti_tanhf(-0x1p-149f), -0x1p-149f) && is_same(cti_erff(-0.0f), -0.0f));
    cr_expect(cti_sigmoidf(-87.33f) >= FLT_MIN && is_same(cti_sigmoidf(-87.34f), 0.0f));
    cr_expect(is_same(cti_sinf(-0x1p-149f), -0x1p-149f) && is_same(cti_sinf(-0.0f), -0.0f));
}

Test(math32, pow_of_special_pairs_is_exact) {
    for (size_t i = 0; i < N_SPECIAL; i++) {
        for (size_t j = 0; j < N_SPECIAL; j++) {
            float x = special[i], y = special[j], got = cti_powf(x, y);
            double exact = pow((double)x, (double)y);
            int is_exact = !isfinite(exact) || fabs(exact) == 1.0 || x == 0.0f || isinf(y);
            cr_expect(is_exact ? is_same(got, (float)exact) : ulps(got, exact) <= 0.54,
                      "pow(%a, %a) = %a, not %a", (double)x, (double)y, (double)got, exact);
        }
    }
}

/* Every length from nothing to four of the widest vectors and more, over mixed arguments. */
Test(math32, tails_give_the_bits_of_the_vector_body) {
    static float x[BLOCK], y[BLOCK], whole[BLOCK], part[BLOCK];
    uint64_t state = 2;
    for (size_t i = 0; i < BLOCK; i++) draw_pair(&state, x + i, y + i);
    for (size_t i = 0; i < N_SPECIAL; i++) x[7 + 3 * i] = y[500 + 3 * i] = special[i];
    for (size_t function = 0; function < N_FUNCTIONS; function++) {
        evaluate(function, BLOCK, whole, x, y);
        for (size_t n = 0; n <= 80; n++) {
            for (size_t at = 0; at + n <= BLOCK; at += 37) {
                evaluate(function, n, part, x + at, y + at);
                cr_assert_arr_eq(part, whole + at, n * sizeof *part, "%s: %zu elements at %zu",
                                 functions[function].name, n, at);
            }
        }
    }
}
