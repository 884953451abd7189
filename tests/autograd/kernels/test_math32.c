/* The f32 elementary functions: error against f64 libm, special values, reproducibility.
 * Not exhaustive: it strides over the bit patterns, about 2^22 of them for each function;
 * sweep_math32.c visits all.
 * Invariant: every loop, however the compiler vectorized it, gives the bits that the function
 * gives for one element at a time, and these are the bits recorded here. */
#include "tests/autograd/kernels/math32_loops.h"
#include "tests/support/test.h"

#include "autograd/ops.h"

enum { BLOCK = 1024, STRIDE = 1021 };

/* clang-format off */
static const float special[] = {
    0.0f, -0.0f, 0x1p-149f, -0x1p-149f, 0x1.fffffcp-127f, 0x1p-126f, -0x1p-126f, 0x1p-13f,
    0.5f, -0.5f, 0x1.fffffep-1f, 1.0f, -1.0f, 0x1.000002p+0f, 1.5f, 2.0f, -2.0f, 3.0f, -3.0f,
    10.0f, 88.0f, 88.8f, -87.4f, -103.9f, -104.1f, 1e5f, 4194303.5f, -8388607.5f, 8388607.0f,
    8388609.0f, -8388609.0f, 16777215.0f, -16777216.0f, 1e30f, -1e30f, 0x1.fffffep+127f,
    -0x1.fffffep+127f, INFINITY, -INFINITY, NAN,
};
/* clang-format on */
enum { N_SPECIAL = sizeof special / sizeof *special };

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

/* `recorded` is a hash over the results. */
static void sample(const char *name, uint64_t recorded) {
    static float x[BLOCK], out[BLOCK];
    size_t function = 0;
    while (strcmp(functions[function].name, name) != 0) function++;
    double bound = stated_error(name), worst = 0.0;
    cr_assert(bound > 0.0, "ops.h states no error of ct_%s", name);
    uint64_t hash = 14695981039346656037u;
    for (uint64_t bits = 0; bits >> 32 == 0;) {
        size_t n = 0;
        for (; n < BLOCK && bits >> 32 == 0; n++, bits += STRIDE)
            x[n] = bits == 0 ? 0.0f : cti_f32_from_bits((uint32_t)bits);
        evaluate(function, n, out, x, x);
        for (size_t i = 0; i < n; i++) {
            double exact = functions[function].exact((double)x[i]), error = ulps(out[i], exact);
            hash = mix(hash, out[i]);
            worst = error > worst ? error : worst;
            cr_assert(error <= bound, "%s(%a) = %a, not %a: %g ulp", name, (double)x[i],
                      (double)out[i], exact, error);
        }
    }
    cr_log_info("%s: %.4f ulp, hash %#llx", name, worst, (unsigned long long)hash);
    cr_expect_eq(hash, recorded, "%s: other bits than recorded: %#llx", name,
                 (unsigned long long)hash);
}

#define SAMPLE(name, recorded) \
    TEST(math32, name##_is_within_its_bound) { sample(#name, UINT64_C(recorded)); }
SAMPLE(exp, 0x6867a4af323868b0)
SAMPLE(expm1, 0xbad4478474afcdc4)
SAMPLE(log, 0x64062626e10f61c8)
SAMPLE(log1p, 0x17143127088184c5)
SAMPLE(sqrt, 0xbb5a88415b90435d)
SAMPLE(rsqrt, 0xce34a2f14fd43e5a)
SAMPLE(sin, 0x5c582439acc8ecdc)
SAMPLE(cos, 0x2abffd870813cc6)
SAMPLE(tanh, 0x7609213aa632b7be)
SAMPLE(sigmoid, 0xf1c85b5c4e469e78)
SAMPLE(erf, 0x074f68bad86df0d0)
SAMPLE(ndtr, 0xc46568b1f117a794)

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

TEST(math32, pow_is_within_its_bound) {
    static float x[BLOCK], y[BLOCK], out[BLOCK];
    uint64_t state = 1, hash = 14695981039346656037u;
    double bound = stated_error("pow"), worst = 0.0;
    for (size_t block = 0; block < 512; block++) {
        for (size_t i = 0; i < BLOCK; i++) draw_pair(&state, x + i, y + i);
        evaluate(N_UNARY, BLOCK, out, x, y);
        for (size_t i = 0; i < BLOCK; i++) {
            double error = ulps(out[i], pow((double)x[i], (double)y[i]));
            hash = mix(hash, out[i]);
            worst = error > worst ? error : worst;
            cr_assert(error <= bound, "pow(%a, %a) = %a: %g ulp", (double)x[i], (double)y[i],
                      (double)out[i], error);
        }
    }
    cr_log_info("pow: %.4f ulp, hash %#llx", worst, (unsigned long long)hash);
    cr_expect_eq(hash, UINT64_C(0x77b472d57764ef2f), "pow: other bits than recorded: %#llx",
                 (unsigned long long)hash);
}

/* The same value and the same sign of zero, or both NaN. */
static int is_same(float a, float b) {
    return (isnan(a) && isnan(b)) || cti_f32_bits(a) == cti_f32_bits(b);
}

/* Where libm's result is exact, that is 0, +-1, inf or NaN, cti must give it exactly. */
TEST(math32, special_values_are_exact) {
    static float out[N_SPECIAL];
    for (size_t function = 0; function < N_UNARY; function++) {
        evaluate(function, N_SPECIAL, out, special, special);
        for (size_t i = 0; i < N_SPECIAL; i++) {
            float exact = (float)functions[function].exact((double)special[i]);
            if (exact != 0.0f && fabsf(exact) != 1.0f && isfinite(exact)) continue;
            /* Rounded twice, right below 1. */
            if (functions[function].exact == exact_rsqrt && special[i] == 0x1.fffffep-1f) continue;
            cr_expect(is_same(out[i], exact), "%s(%a) = %a, not %a", functions[function].name,
                      (double)special[i], (double)out[i], (double)exact);
        }
    }
    cr_expect(ulps(cti_expf(0x1.62e42ep+6f), exp(0x1.62e42ep+6)) <= 1.0);
    cr_expect(is_same(cti_tanhf(-0x1p-149f), -0x1p-149f) && is_same(cti_erff(-0.0f), -0.0f));
    cr_expect(is_same(cti_expm1f(-0x1p-149f), -0x1p-149f) && is_same(cti_expm1f(-0.0f), -0.0f));
    cr_expect(is_same(cti_log1pf(-0x1p-149f), -0x1p-149f) && is_same(cti_log1pf(-0.0f), -0.0f));
    cr_expect(is_same(cti_log1pf(-1.0f), -INFINITY) && isnan(cti_log1pf(-0x1.000002p+0f)));
    cr_expect(is_same(cti_ndtrf(-INFINITY), 0.0f) && is_same(cti_ndtrf(0.0f), 0.5f));
    cr_expect(cti_sigmoidf(-87.33f) >= FLT_MIN && is_same(cti_sigmoidf(-87.34f), 0.0f));
    cr_expect(is_same(cti_sinf(-0x1p-149f), -0x1p-149f) && is_same(cti_sinf(-0.0f), -0.0f));
}

TEST(math32, pow_of_special_pairs_is_exact) {
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
TEST(math32, tails_give_the_bits_of_the_vector_body) {
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

/* What y[i] = f(x[i]) gives through a tensor, all elements together and each alone. */
static void expect_the_same_alone(ct_tensor *(*f)(ct_tensor *x), const float *x, int64_t n) {
    const float *together = ct_data_f32(f(ct_from(CT_F32, CT_SHAPE(n), x)));
    for (int64_t i = 0; i < n; i++) {
        const float *alone = ct_data_f32(f(ct_from(CT_F32, CT_SHAPE(1), x + i)));
        cr_assert(together && alone && is_same(together[i], *alone), "%a: %a, alone %a",
                  (double)x[i], (double)together[i], (double)*alone);
    }
}

/* A tile with a far argument takes another loop. */
TEST(math32, sin_and_cos_do_not_depend_on_their_neighbours) {
    static float x[3000];
    uint64_t state = 3;
    for (size_t i = 0; i < 3000; i++) {
        float any = cti_f32_from_bits(draw(&state)), near = (float)(int32_t)draw(&state) * 0x1p-29f;
        x[i] = i % 100 == 7 ? any : near;
    }
    int64_t scope = ct_scope_open();
    expect_the_same_alone(ct_sin, x, 3000);
    expect_the_same_alone(ct_cos, x, 3000);
    expect_the_same_alone(ct_sin, special, N_SPECIAL);
    float far = 1e16f;
    double exact = sin((double)far), got = ct_item(ct_sin(ct_from(CT_F32, CT_SHAPE(1), &far)));
    cr_expect(fabs(got - exact) < 1e-7, "sin(1e16) = %g, not %g", got, exact);
    ct_scope_close(scope);
}
