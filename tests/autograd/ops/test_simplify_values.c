/* What simplification may not do: lose digits, overflow, change a derivative, or let a tensor's
 * bits depend on what is evaluated beside it.
 * Which rules fire is the business of test_simplify.
 * Invariant: the truth is computed in long double from the same operands, by loops. */
#include "tests/support/random_graph.h"
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "tensor/graph/simplify_private.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 3
#define N 64
#define DRAWS 1000

/* Operands x, y, z [ROWS, N] and u [ROWS, 1]. */
typedef struct {
    double x[ROWS * N], y[ROWS * N], z[ROWS * N], u[ROWS];
} numbers;
typedef struct {
    ct_tensor *x, *y, *z, *u;
} operands;

/* --- Families of operands --------------------------------------------------------------------- */

static void cancelling(test_random *r, numbers *a) {
    for (int i = 0; i < ROWS * N; i++) {
        a->x[i] = random_real(r, 1e4, 1.1e4);
        a->y[i] = 2.7 * a->x[i] + random_real(r, -0.5, 0.5);
        a->z[i] = -a->x[i] * (1 + random_real(r, -1e-5, 1e-5));
    }
    for (int k = 0; k < ROWS; k++) a->u[k] = random_real(r, -3, 3);
}

static void large_mean(test_random *r, numbers *a) {
    for (int i = 0; i < ROWS * N; i++) {
        a->x[i] = 1e5 + random_real(r, -1, 1);
        a->y[i] = -3e4 + random_real(r, -1, 1);
        a->z[i] = 1e5 + random_real(r, -1, 1);
    }
    for (int k = 0; k < ROWS; k++) a->u[k] = random_real(r, 0.5, 2);
}

static void mixed_magnitudes(test_random *r, numbers *a) {
    for (int i = 0; i < ROWS * N; i++) {
        a->x[i] = random_real(r, -1, 1) * exp(random_real(r, -12, 12));
        a->y[i] = random_real(r, -1, 1) * exp(random_real(r, -12, 12));
        a->z[i] = random_real(r, -1, 1) * exp(random_real(r, -12, 12));
    }
    for (int k = 0; k < ROWS; k++) a->u[k] = exp(random_real(r, -8, 8));
}

static void centred_already(test_random *r, numbers *a) {
    for (int i = 0; i < ROWS * N; i++) {
        a->x[i] = random_real(r, -2, 2);
        a->y[i] = -1.5 * a->x[i] + random_real(r, -1e-3, 1e-3);
        a->z[i] = random_real(r, -2, 2);
    }
    for (int k = 0; k < ROWS; k++) a->u[k] = random_real(r, 1.4, 1.6);
}

/* As large as a node may be: no product of two of them is among the forms that see these. */
static void huge(test_random *r, numbers *a) {
    for (int i = 0; i < ROWS * N; i++) {
        a->x[i] = random_real(r, -1, 1) * 0x1p92;
        a->y[i] = random_real(r, -1, 1) * 0x1p92;
        a->z[i] = random_real(r, -1, 1) * 0x1p92;
    }
    for (int k = 0; k < ROWS; k++) a->u[k] = random_real(r, 0.5, 1) * 0x1p-60;
}

/* --- Forms: a graph, and the same in long double ---------------------------------------------- */

typedef long double wide;

static wide wide_mean(const double *x) {
    wide sum = 0;
    for (int i = 0; i < N; i++) sum += x[i];
    return sum / N;
}

static ct_tensor *centre(ct_tensor *x) { return ct_sub(x, ct_mean_keep(x, CT_AXES(1))); }

static ct_tensor *rows(ct_tensor *t) { return ct_sum(t, CT_AXES(1)); }

/* sum(y + u (x - mean x)) */
static ct_tensor *with_centred(operands o) { return rows(ct_add(o.y, ct_mul(o.u, centre(o.x)))); }
static wide sum_of_y(const numbers *a, int row) {
    wide sum = 0;
    for (int i = row * N; i < (row + 1) * N; i++) sum += a->y[i];
    return sum;
}

/* sum((y + z) - u (x - mean x)): the terms cancel in pairs, in that order only */
static ct_tensor *with_pairs(operands o) {
    return rows(ct_sub(ct_add(o.x, o.z), ct_mul(centre(o.x), o.u)));
}
static wide sum_of_pairs(const numbers *a, int row) {
    wide sum = 0;
    for (int i = row * N; i < (row + 1) * N; i++) sum += (wide)a->x[i] + a->z[i];
    return sum;
}

/* sum(u y + u (x - mean x)): a factor comes out */
static ct_tensor *with_factor(operands o) {
    return rows(ct_add(ct_mul(o.y, o.u), ct_mul(o.u, centre(o.x))));
}
static wide factor_of_sum(const numbers *a, int row) { return a->u[row] * sum_of_y(a, row); }

/* Residuals of a regression through the origin: sum(y - c x), c = sum(x y) / sum(x x) */
static ct_tensor *residuals(operands o) {
    ct_tensor *xy = ct_sum_keep(ct_mul(o.x, o.y), CT_AXES(1));
    ct_tensor *xx = ct_sum_keep(ct_mul(o.x, o.x), CT_AXES(1));
    return rows(ct_sub(o.y, ct_mul(ct_div(xy, xx), o.x)));
}
static wide sum_of_residuals(const numbers *a, int row) {
    wide xy = 0, xx = 0, sum = 0;
    for (int i = row * N; i < (row + 1) * N; i++) {
        xy += (wide)a->x[i] * a->y[i];
        xx += (wide)a->x[i] * a->x[i];
    }
    for (int i = row * N; i < (row + 1) * N; i++) sum += a->y[i] - xy / xx * a->x[i];
    return sum;
}

/* sum(x w - mean(x) w) with w = y: nothing here is centred by structure */
static ct_tensor *weighted(operands o) {
    ct_tensor *mean = ct_mean_keep(o.x, CT_AXES(1));
    return rows(ct_sub(ct_mul(o.x, o.y), ct_mul(mean, o.y)));
}
static wide sum_weighted(const numbers *a, int row) {
    wide mean = wide_mean(a->x + row * N), sum = 0;
    for (int i = row * N; i < (row + 1) * N; i++) sum += (a->x[i] - mean) * a->y[i];
    return sum;
}

/* sum((x u + z u) + y): products and another term */
static ct_tensor *three_terms(operands o) {
    return rows(ct_add(ct_add(ct_mul(o.x, o.u), ct_mul(o.z, o.u)), o.y));
}
static wide sum_of_three(const numbers *a, int row) {
    wide sum = 0;
    for (int i = row * N; i < (row + 1) * N; i++) {
        sum += (wide)a->x[i] * a->u[row] + (wide)a->z[i] * a->u[row] + a->y[i];
    }
    return sum;
}

/* sum((y + x u) + x u): a product twice */
static ct_tensor *twice(operands o) {
    ct_tensor *product = ct_mul(o.x, o.u);
    return rows(ct_add(ct_add(o.y, product), product));
}
static wide sum_of_twice(const numbers *a, int row) {
    wide sum = 0;
    for (int i = row * N; i < (row + 1) * N; i++) sum += a->y[i] + 2 * (wide)a->x[i] * a->u[row];
    return sum;
}

/* sum(-(y - (-x)) + -(-z)) and sum(u) over a row */
static ct_tensor *signs(operands o) {
    ct_tensor *t = ct_add(ct_neg(ct_sub(o.y, ct_neg(o.x))), ct_neg(ct_neg(o.z)));
    return ct_add(rows(t), rows(ct_broadcast(o.u, CT_SHAPE(ROWS, N))));
}
static wide sum_of_signs(const numbers *a, int row) {
    wide sum = 0;
    for (int i = row * N; i < (row + 1) * N; i++) {
        sum += (wide)a->z[i] - a->y[i] - a->x[i] + a->u[row];
    }
    return sum;
}

/* ((x u) / 16) summed with ((z / 16) u): exact factors come together */
static ct_tensor *scaled(operands o) {
    ct_tensor *a = ct_mul(ct_mul(o.x, o.u), cti_structural(ct_dtype_of(o.x), 0.0625));
    ct_tensor *b = ct_mul(o.u, ct_mul(o.z, cti_structural(ct_dtype_of(o.x), 0.0625)));
    ct_tensor *both = ct_add(ct_mul(o.x, o.u), ct_mul(o.z, o.u));
    return rows(ct_add(ct_add(a, b), ct_mul(both, cti_structural(ct_dtype_of(o.x), 0.5))));
}
static wide sum_scaled(const numbers *a, int row) {
    wide sum = 0;
    for (int i = row * N; i < (row + 1) * N; i++) {
        sum += ((wide)a->x[i] + a->z[i]) * a->u[row] * 0.5625L;
    }
    return sum;
}

static const struct {
    const char *name;
    ct_tensor *(*graph)(operands o);
    wide (*truth)(const numbers *a, int row);
    bool squares; /* products of two of x, y, z: not for huge ones */
} forms[] = {
    {"with a centred term", with_centred, sum_of_y, false},
    {"terms that cancel in pairs", with_pairs, sum_of_pairs, false},
    {"a factor comes out", with_factor, factor_of_sum, false},
    {"residuals", residuals, sum_of_residuals, true},
    {"weighted", weighted, sum_weighted, true},
    {"three terms", three_terms, sum_of_three, false},
    {"twice", twice, sum_of_twice, false},
    {"signs", signs, sum_of_signs, false},
    {"exact factors", scaled, sum_scaled, false},
};
#define FORMS ((int)(sizeof forms / sizeof *forms))

static void (*const families[])(test_random *r, numbers *a) = {
    cancelling, large_mean, mixed_magnitudes, centred_already, huge};
#define FAMILIES ((int)(sizeof families / sizeof *families))

/* --- Digits ----------------------------------------------------------------------------------- */

/* The operands as the dtype holds them, which the truth is then computed from. */
static ct_tensor *rounded(ct_dtype dtype, ct_shape shape, double *values) {
    int64_t n = ct_shape_numel(shape);
    for (int64_t i = 0; i < n && dtype == CT_F32; i++) values[i] = (float)values[i];
    return leaf_from(dtype, shape, values);
}

static operands operands_from(ct_dtype dtype, numbers *a) {
    ct_shape all = CT_SHAPE(ROWS, N);
    return (operands){rounded(dtype, all, a->x), rounded(dtype, all, a->y),
                      rounded(dtype, all, a->z), rounded(dtype, CT_SHAPE(ROWS, 1), a->u)};
}

/* Adds the squared errors of both graphs, in units of the dtype's rounding of the truth's terms. */
static void add_errors(int form, ct_dtype dtype, numbers *a, wide errors[2]) {
    for (int simplify = 0; simplify < 2; simplify++) {
        int64_t scope = ct_scope_open();
        cti_simplifies = simplify;
        ct_tensor *sums = forms[form].graph(operands_from(dtype, a));
        for (int row = 0; row < ROWS; row++) {
            double value = element(sums, row);
            EXPECT(isfinite(value), "%s: %g", forms[form].name, value);
            wide error = value - forms[form].truth(a, row);
            errors[simplify] += error * error;
        }
        ct_scope_close(scope);
    }
    cti_simplifies = true;
}

static void compare_digits(int form, int family, ct_dtype dtype) {
    test_random r = {support_seed(1) + (uint64_t)(form * FAMILIES + family)};
    wide errors[2] = {0, 0};
    numbers *a = malloc(sizeof *a);
    int64_t draws = support_scaled(DRAWS);
    for (int64_t k = 0; k < draws && a; k++) {
        families[family](&r, a);
        add_errors(form, dtype, a, errors);
    }
    free(a);
    double written = (double)sqrtl(errors[0]), simplified = (double)sqrtl(errors[1]);
    EXPECT(simplified <= 4 * written, "%s, family %d, %s: error %g as written, %g simplified",
           forms[form].name, family, ct_dtype_name(dtype), written, simplified);
}

TEST(simplify_values, no_rule_loses_digits) {
    for (int form = 0; form < FORMS; form++) {
        for (int family = 0; family < FAMILIES; family++) {
            if (forms[form].squares && families[family] == huge) continue;
            compare_digits(form, family, CT_F32);
            compare_digits(form, family, CT_F64);
        }
    }
}

/* y = 2.7 x and a little noise, up to a million times. The truth takes c as it was rounded. */
TEST(simplify_values, residuals_of_a_large_regression) {
    for (int64_t n = 1000; n <= INT64_C(1) << 20; n *= 32) {
        test_random r = {7};
        float *x = malloc(sizeof *x * (size_t)n), *y = malloc(sizeof *y * (size_t)n);
        for (int64_t i = 0; i < n; i++) {
            x[i] = (float)random_real(&r, 1e4, 1.1e4);
            y[i] = (float)(2.7 * x[i] + random_real(&r, -0.5, 0.5));
        }
        double error[2];
        for (int simplify = 0; simplify < 2; simplify++) {
            cti_simplifies = simplify;
            ct_tensor *a = ct_from(CT_F32, CT_SHAPE(n), x), *b = ct_from(CT_F32, CT_SHAPE(n), y);
            ct_tensor *c = ct_div(ct_sum_all(ct_mul(a, b)), ct_sum_all(ct_mul(a, a)));
            double sum = ct_item(ct_sum_all(ct_sub(b, ct_mul(c, a))));
            double truth = 0, factor = ct_item(c);
            for (int64_t i = 0; i < n; i++) truth += y[i] - factor * x[i];
            error[simplify] = fabs(sum - truth);
        }
        cti_simplifies = true;
        EXPECT(error[1] <= 4 * error[0], "n %lld: error %g, as written %g", (long long)n, error[1],
               error[0]);
        free(x), free(y);
    }
}

/* What is centred sums to the rounding of its mean, which a second centring corrects. */
static ct_tensor *centred_rows(ct_tensor *x) { return ct_sub(x, ct_mean_keep(x, CT_AXES(1))); }
static ct_tensor *centred_twice(ct_tensor *x) { return centred_rows(centred_rows(x)); }
static ct_tensor *normalized_rows(ct_tensor *x) {
    ct_dtype dtype = ct_dtype_of(x);
    ct_tensor *one = ct_full(dtype, CT_SHAPE(ct_dim(x, -1)), 1);
    return ct_layer_norm(x, one, ct_scale(one, 0.25), 1e-3);
}
static ct_tensor *normalized_centred(ct_tensor *x) { return normalized_rows(centred_rows(x)); }
static ct_tensor *normalized_twice(ct_tensor *x) { return normalized_rows(normalized_rows(x)); }
static ct_tensor *variance_centred(ct_tensor *x) { return ct_var(centred_rows(x), CT_AXES(1)); }
static ct_tensor *normalized_one_row(ct_tensor *x) {
    ct_tensor *b = ct_offset(normalized_rows(ct_reshape(x, CT_SHAPE(1, ct_numel(x)))), -1);
    return normalized_rows(ct_sub(b, ct_mean_keep(b, CT_AXES(0)))); /* exactly 0 */
}

/* Root of the sum of squared differences from the same in f64. */
static double error_of(ct_tensor *function(ct_tensor *), ct_tensor *x, bool simplify) {
    ct_tensor *y, *truth;
    cti_simplifies = simplify;
    EXPECT(ct_eval((ct_tensor *[]){y = function(x)}, 1) == CT_OK, "%s", ct_error_message());
    cti_simplifies = false;
    EXPECT(ct_eval((ct_tensor *[]){truth = function(ct_cast(x, CT_F64))}, 1) == CT_OK);
    cti_simplifies = true;
    double sum = 0;
    for (int64_t i = 0; i < ct_numel(y); i++) {
        double d = element(y, i) - element(truth, i);
        sum += d * d;
    }
    return sqrt(sum);
}

TEST(simplify_values, what_centring_again_corrects_is_kept) {
    ct_tensor *(*const functions[])(ct_tensor *) = {centred_rows,       centred_twice,
                                                    normalized_centred, normalized_twice,
                                                    variance_centred,   normalized_one_row};
    const double means[] = {10, 1000, 1e5};
    test_random r = {11};
    for (size_t m = 0; m < 3; m++) {
        float values[20 * 45];
        for (int i = 0; i < 20 * 45; i++) values[i] = (float)(means[m] + random_real(&r, -1, 1));
        ct_tensor *x = ct_from(CT_F32, CT_SHAPE(20, 45), values);
        for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
            double written = error_of(functions[k], x, false);
            double simplified = error_of(functions[k], x, true);
            EXPECT(simplified <= 4 * written, "function %zu, mean %g: %g as written, %g simplified",
                   k, means[m], written, simplified);
        }
    }
}

/* --- Range ------------------------------------------------------------------------------------ */

TEST(simplify_values, nothing_overflows_that_did_not) {
    ct_tensor *b = ct_from(CT_F32, CT_SHAPE(4), (float[]){3e38f, 3e38f, 3e38f, 3e38f});
    ct_tensor *max = ct_max_keep(b, CT_AXES(0));
    EXPECT(near(ct_item(ct_sum_all(ct_mul(b, ct_reciprocal(max)))), 4, 0, 1e-6));
    EXPECT(ct_item(ct_sum_all(ct_mul(b, ct_scale(max, 0)))) == 0);
    ct_tensor *t = ct_from(CT_F32, CT_SHAPE(1), (float[]){1e4f}), *minus = ct_neg(t);
    ct_tensor *sum = ct_offset(ct_add(ct_mul(t, t), ct_mul(t, minus)), 1);
    EXPECT(element(sum, 0) == 1);
    ct_tensor *big = ct_full(CT_F32, CT_SHAPE(1), 3e38), *one = ct_exp(ct_scale(big, 0));
    sum = ct_add(ct_add(ct_mul(ct_neg(big), one), ct_mul(big, one)), big);
    EXPECT(element(sum, 0) == 3e38f);
    ct_tensor *half = ct_broadcast(ct_scalar(CT_F32, 1.8e38), CT_SHAPE(2));
    ct_tensor *small = ct_from(CT_F32, CT_SHAPE(2), (float[]){1e-3f, 1e-38f});
    ct_tensor *product = ct_mul(small, half), *twofold = ct_add(product, product);
    EXPECT(near(element(twofold, 0), 3.6e35, 0, 1e-6));
    twofold = ct_add(ct_add(small, product), product);
    EXPECT(near(element(twofold, 1), 3.6, 0, 1e-6));
}

static ct_tensor *stretched(double value) {
    return ct_broadcast(ct_scalar(CT_F32, value), CT_SHAPE(4));
}

/* Factors follow a sum in their order; terms that cancel do so whichever way round they are. */
TEST(simplify_values, factors_beside_centred_terms_keep_their_order) {
    ct_tensor *x = ct_from(CT_F32, CT_SHAPE(4), (float[]){0.1f, 0.2f, 0.4f, 0.6f});
    ct_tensor *small = ct_from(CT_F32, CT_SHAPE(4), (float[]){1e-24f, 2e-24f, 3e-24f, 4e-24f});
    ct_tensor *large = ct_from(CT_F32, CT_SHAPE(4), (float[]){1e25f, 2e25f, 3e25f, 4e25f});
    ct_tensor *c = ct_sub(x, ct_mean_keep(x, CT_ALL)), *tiny = ct_scale(c, 1e-30);
    ct_tensor *up = ct_mul(ct_mul(ct_add(small, tiny), stretched(1e21)), stretched(1e21));
    EXPECT(near(ct_item(ct_sum_all(up)), 1e19, 0, 1e-6));
    ct_tensor *down = ct_mul(ct_mul(ct_add(large, c), stretched(1e-24)), stretched(1e-24));
    EXPECT(near(ct_item(ct_sum_all(down)), 1e-22, 0, 1e-6));
    ct_tensor *nothing = ct_mul(ct_add(c, ct_neg(c)), stretched(1e25));
    EXPECT(ct_item(ct_sum_all(nothing)) == 0);
    for (int k = 0; k < 2; k++) {
        ct_tensor *bad = ct_mul(ct_add(c, c), stretched(k ? NAN : INFINITY));
        EXPECT(isnan(ct_item(ct_sum_all(ct_add(x, ct_add(c, bad))))), "factor %d", k);
    }
}

TEST(simplify_values, nan_and_infinity_come_through) {
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 6; k++) {
        double values[ROWS * N] = {0}, factors[ROWS] = {1, 1, 1}, ones[ROWS * N] = {0};
        if (k < 3) values[N + 5] = bad[k];
        else factors[1] = bad[k - 3];
        ct_tensor *x = leaf_from(CT_F64, CT_SHAPE(ROWS, N), values);
        ct_tensor *u = leaf_from(CT_F64, CT_SHAPE(ROWS, 1), factors);
        ct_tensor *y = leaf_from(CT_F64, CT_SHAPE(ROWS, N), ones);
        ct_tensor *sum = rows(ct_add(y, ct_mul(u, centre(x))));
        EXPECT(element(sum, 0) == 0 && isnan(element(sum, 1)), "number %d", k);
    }
}

/* --- Derivatives ------------------------------------------------------------------------------ */

/* Within rounding of the largest of all n tensors: some derivatives are 0 but for that. */
static void expect_close(const char *form, ct_tensor *const a[], ct_tensor *const b[], int n) {
    double size = 0;
    for (int k = 0; k < n; k++) {
        for (int64_t i = 0; i < ct_numel(b[k]); i++) size = fmax(size, fabs(element(b[k], i)));
    }
    for (int k = 0; k < n; k++) {
        for (int64_t i = 0; i < ct_numel(b[k]); i++) {
            if (!EXPECT(near(element(a[k], i), element(b[k], i), 1e-11 * size, 0),
                        "%s, operand %d: %.17g, as written %.17g", form, k, element(a[k], i),
                        element(b[k], i))) {
                break;
            }
        }
    }
}

/* What is simplified, then differentiated twice, against the graph as written. */
TEST(simplify_values, rules_keep_derivatives) {
    test_random r = {3};
    for (int form = 0; form < FORMS; form++) {
        numbers a;
        centred_already(&r, &a);
        operands o = operands_from(CT_F64, &a);
        ct_tensor *in[] = {o.x, o.y, o.z, o.u}, *loss[2], *first[2][4], *second[2][4];
        loss[0] = ct_sum_all(ct_sin(forms[form].graph(o)));
        EXPECT(ct_simplify(&loss[0], 1, &loss[1]) == CT_OK);
        for (int k = 0; k < 2; k++) {
            cti_simplifies = k;
            EXPECT(ct_grad(loss[k], in, 4, first[k]) == CT_OK);
            ct_tensor *norm = ct_scalar(CT_F64, 0);
            for (int i = 0; i < 4; i++) norm = ct_add(norm, ct_sum_all(ct_square(first[k][i])));
            EXPECT(ct_grad(norm, in, 4, second[k]) == CT_OK);
            EXPECT(ct_eval(first[k], 4) == CT_OK && ct_eval(second[k], 4) == CT_OK);
        }
        cti_simplifies = true;
        expect_close(forms[form].name, first[1], first[0], 4);
        expect_close(forms[form].name, second[1], second[0], 4);
    }
}

/* --- Bits ------------------------------------------------------------------------------------- */

/* Each root of a random graph alone, against all nodes of it together. */
TEST(simplify_values, bits_do_not_depend_on_other_roots) {
    int64_t n = support_scaled(200);
    for (uint64_t seed = 1; seed <= (uint64_t)n; seed++) {
        int64_t scope = ct_scope_open();
        random_graph together;
        random_graph_build(&together, seed, CT_F32);
        cti_walk walk;
        EXPECT(cti_walk_new(&walk, together.roots, together.n_roots, cti_walk_whole_graph) ==
               CT_OK);
        EXPECT(ct_eval(walk.items, walk.count) == CT_OK, "%s", ct_error_message());
        cti_walk_free(&walk);
        for (int k = 0; k < together.n_roots; k++) {
            random_graph alone;
            random_graph_build(&alone, seed, CT_F32);
            EXPECT(same_bits(alone.roots[k], together.roots[k]), "seed %llu, root %d",
                   (unsigned long long)seed, k);
        }
        ct_scope_close(scope);
    }
}
