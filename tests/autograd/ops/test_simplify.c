/* Simplification: every rewrite fires where it should, leaves alone what it must, and keeps values;
 * and the passes of BatchNorm, which the sum rule is for.
 * What it does to graphs of all kinds is the business of test_random_graphs.
 * Invariant: a rewrite counts as fired only if the ops it removes are gone. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/graph/walk.h"
#include "tensor/op.h"
#include "tensor/profile.h"
#include "tensor/runtime.h"
#include "tensor/simplify.h"

#include <math.h>
#include <string.h>

static ct_tensor *data(ct_dtype dtype, ct_shape shape, double mean, uint64_t seed) {
    test_random r = {seed};
    ct_tensor *t = ct_full(CT_F64, shape, 0);
    double *values = (double *)(uintptr_t)ct_data_f64(t);
    for (int64_t i = 0; i < ct_numel(t); i++) values[i] = mean + random_real(&r, -1.5, 1.5);
    t = ct_detach(ct_cast(t, CT_F32));
    return dtype == CT_F32 ? t : ct_detach(ct_cast(t, dtype));
}

static ct_tensor *x_of(ct_shape shape) { return data(CT_F64, shape, 0, 7); }

/* Ops of a name behind t, in the graph as it stands. */
static int count(ct_tensor *t, const char *op) {
    cti_walk walk;
    int n = 0;
    if (!EXPECT(cti_walk_new(&walk, &t, 1, cti_walk_whole_graph) == CT_OK)) return -1;
    for (int64_t i = 0; i < walk.count; i++) {
        const ct_op *of = ct_op_of(walk.items[i]);
        n += of && (!op || strcmp(of->name, op) == 0);
    }
    cti_walk_free(&walk);
    return n;
}

static ct_tensor *simplified(ct_tensor *t) {
    ct_tensor *out = NULL;
    EXPECT(ct_simplify(&t, 1, &out) == CT_OK, "%s", ct_error_message());
    return out;
}

/* t becomes `expected` itself. */
static void expect_same(int line, ct_tensor *t, ct_tensor *expected) {
    ct_tensor *s = simplified(t);
    EXPECT(s == expected, "line %d: still %d ops", line, count(s, NULL));
}
#define BECOMES(t, expected) expect_same(__LINE__, t, expected)

/* t becomes that many ops, with the same values. */
static void expect_ops(int line, ct_tensor *t, int ops, double tolerance) {
    ct_tensor *s = simplified(t);
    EXPECT(count(s, NULL) == ops, "line %d: %d ops, not %d", line, count(s, NULL), ops);
    EXPECT(ct_shape_equal(ct_shape_of(s), ct_shape_of(t)) && ct_dtype_of(s) == ct_dtype_of(t));
    for (int64_t i = 0; i < ct_numel(t); i++) {
        EXPECT(near(element(s, i), element(t, i), tolerance, tolerance), "line %d: %g and %g", line,
               element(s, i), element(t, i));
    }
}
#define HAS_OPS(t, ops) expect_ops(__LINE__, t, ops, 0)

TEST(simplify, neutral_numbers_go) {
    ct_tensor *x = x_of(CT_SHAPE(3, 4)), *y = ct_exp(x);
    BECOMES(ct_scale(y, 1), y);
    BECOMES(ct_offset(y, 0), y);
    BECOMES(ct_offset(ct_scale(ct_offset(y, 0), 1), 0), y);
    ct_tensor *g = NULL, *z = ct_sum_all(x);
    EXPECT(ct_grad(ct_mul(z, ct_sum_all(x_of(CT_SHAPE(2)))), &x, 1, &g) == CT_OK);
    EXPECT(count(g, "mul") == 1 && count(simplified(g), "mul") == 0);
}

/* With g a number per column, 2 g x costs one product per element, not two and an addition. */
TEST(simplify, the_derivative_of_a_square_is_one_product) {
    ct_tensor *x = x_of(CT_SHAPE(3, 4)), *g = NULL, *u = ct_exp(x_of(CT_SHAPE(4)));
    EXPECT(ct_vjp(ct_sum(ct_mul(x, x), CT_AXES(0)), u, &x, 1, &g) == CT_OK);
    ct_tensor *s = simplified(g);
    EXPECT(count(s, "mul") == 2 && count(s, "add") == 0);
    EXPECT(ct_numel(ct_input(s, 0)) == 12 && ct_numel(ct_input(ct_input(s, 0), 0)) == 4);
    for (int i = 0; i < 12; i++) {
        EXPECT(element(g, i) == 2 * element(u, i % 4) * element(x, i), "element %d", i);
    }
}

TEST(simplify, a_users_scalar_is_data) {
    ct_tensor *y = ct_exp(x_of(CT_SHAPE(3, 4)));
    HAS_OPS(ct_mul(y, ct_scalar(CT_F64, 1)), 3);
    HAS_OPS(ct_add(y, ct_scalar(CT_F64, 0)), 3);
    HAS_OPS(ct_scale(y, 2), 3);
}

TEST(simplify, double_negation_goes) {
    ct_tensor *x = x_of(CT_SHAPE(5)), *a = ct_exp(x), *b = ct_sin(x);
    BECOMES(ct_neg(ct_neg(a)), a);
    HAS_OPS(ct_add(a, ct_neg(b)), 3);
    HAS_OPS(ct_add(ct_neg(a), b), 3);
    HAS_OPS(ct_sub(a, ct_neg(b)), 3);
    HAS_OPS(ct_neg(ct_sub(a, b)), 3);
    EXPECT(count(simplified(ct_sum_all(ct_neg(a))), "neg") == 1);
    EXPECT(ct_op_of(simplified(ct_sum_all(ct_neg(a))))->kind == CT_MAP);
}

TEST(simplify, views_of_views_are_one) {
    ct_tensor *x = x_of(CT_SHAPE(3, 4)), *e = ct_exp(x), *row = ct_sin(x_of(CT_SHAPE(4)));
    BECOMES(ct_transpose(ct_transpose(e)), e);
    ct_tensor *cube = ct_exp(x_of(CT_SHAPE(2, 3, 4)));
    HAS_OPS(ct_permute(ct_permute(cube, CT_AXES(1, 2, 0)), CT_AXES(1, 2, 0)), 2);
    BECOMES(ct_permute(ct_permute(cube, CT_AXES(1, 2, 0)), CT_AXES(2, 0, 1)), cube);
    BECOMES(ct_permute(cube, CT_AXES(0, 1, 2)), cube);
    BECOMES(ct_reshape(ct_reshape(e, CT_SHAPE(12)), CT_SHAPE(3, 4)), e);
    HAS_OPS(ct_reshape(ct_reshape(e, CT_SHAPE(12)), CT_SHAPE(2, 6)), 2);
    HAS_OPS(ct_broadcast(ct_broadcast(row, CT_SHAPE(3, 4)), CT_SHAPE(2, 3, 4)), 2);
    BECOMES(ct_broadcast(row, CT_SHAPE(4)), row);
}

/* It says something about derivatives, so it stays. */
TEST(simplify, a_stopped_gradient_stays_stopped) {
    ct_tensor *x = leaf_from(CT_F64, CT_SHAPE(2), (double[]){1, 2}), *g = NULL;
    ct_tensor *y = simplified(ct_sum_all(ct_mul(x, ct_stop_gradient(x))));
    EXPECT(ct_grad(y, &x, 1, &g) == CT_OK && element(g, 0) == 1 && element(g, 1) == 2);
}

/* Of two derivatives of one loss the second costs nothing. */
static ct_tensor *mean_of_squares(ct_tensor *x) { return ct_mean(ct_square(x), CT_AXES(0)); }
static ct_tensor *largest(ct_tensor *x) { return ct_max(x, CT_AXES(1)); }
static ct_tensor *likelihood(ct_tensor *x) { return ct_log_softmax(x, 1); }
static ct_tensor *pooled(ct_tensor *x) {
    return ct_max_pool2d(ct_reshape(x, CT_SHAPE(1, 4, 6, 1)), (ct_pool2d_spec){.window = {2, 2}});
}
static ct_tensor *averages(ct_tensor *x) {
    return ct_avg_pool2d(ct_reshape(x, CT_SHAPE(1, 4, 6, 1)), (ct_pool2d_spec){.window = {2, 2}});
}
static ct_tensor *normalized(ct_tensor *x) {
    ct_tensor *one = ct_detach(ct_full(CT_F64, CT_SHAPE(6), 1));
    return ct_batch_norm(x, one, one, 1, 1e-3, NULL, NULL);
}
static ct_tensor *normalized_rows(ct_tensor *x) {
    ct_tensor *one = ct_detach(ct_full(CT_F64, CT_SHAPE(6), 1));
    return ct_layer_norm(x, one, one, 1e-3);
}
static ct_tensor *with_elu(ct_tensor *x) { return ct_elu(x, 1); }
static ct_tensor *with_leak(ct_tensor *x) { return ct_leaky_relu(x, 0.1); }
static ct_tensor *cut(ct_tensor *x) { return ct_clip(x, -1, 1); }
static ct_tensor *to_a_power(ct_tensor *x) { return ct_pow(ct_abs(x), ct_abs(x)); }

TEST(simplify, two_derivatives_of_one_loss_are_one) {
    ct_tensor *(*const functions[])(ct_tensor *) = {
        ct_relu, mean_of_squares, ct_rsqrt,   ct_sigmoid,      ct_tanh,      largest,
        pooled,  averages,        normalized, normalized_rows, likelihood,   ct_gelu,
        ct_silu, ct_softplus,     with_elu,   with_leak,       cut,          to_a_power,
        ct_norm, ct_sqrt,         ct_erf,     ct_abs,          ct_reciprocal};
    ct_tensor *x = x_of(CT_SHAPE(4, 6));
    for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
        ct_tensor *loss = ct_sum_all(ct_sin(functions[k](x))), *g[4], *out[4];
        EXPECT(ct_grad(loss, &x, 1, &g[0]) == CT_OK && ct_grad(loss, &x, 1, &g[1]) == CT_OK);
        for (int i = 0; i < 2; i++) {
            EXPECT(ct_grad(ct_sum_all(ct_square(g[i])), &x, 1, &g[2 + i]) == CT_OK);
        }
        EXPECT(ct_simplify(g, 4, out) == CT_OK);
        EXPECT(out[0] == out[1], "function %zu", k);
        EXPECT(out[2] == out[3], "function %zu, order 2", k);
    }
}

/* A plan for two equal numbers is no plan for two that differ. */
TEST(simplify, numbers_that_are_equal_once_may_differ_the_next_time) {
    ct_tensor *x = x_of(CT_SHAPE(3));
    for (int k = 0; k < 4; k++) {
        double a = 3 + k % 2;
        ct_tensor *y = ct_add(ct_scale(x, 3), ct_sin(ct_scale(x, a)));
        for (int i = 0; i < 3; i++) {
            double v = element(x, i);
            EXPECT(near(element(y, i), 3 * v + sin(a * v), 1e-15, 1e-15), "round %d", k);
        }
    }
    EXPECT(count(simplified(ct_add(ct_scale(x, 2), ct_scale(x, 2))), "mul") == 1);
    EXPECT(count(simplified(ct_add(ct_scale(x, 2), ct_scale(x, 3))), "mul") == 2);
}

TEST(simplify, equal_expressions_are_one) {
    ct_tensor *x = x_of(CT_SHAPE(6)), *y = x_of(CT_SHAPE(6));
    HAS_OPS(ct_add(ct_exp(x), ct_exp(x)), 2);
    HAS_OPS(ct_mul(ct_sum(ct_sin(x), CT_ALL), ct_sum(ct_sin(x), CT_ALL)), 3);
    HAS_OPS(ct_add(ct_exp(x), ct_exp(y)), 3);
    HAS_OPS(ct_add(ct_sum_all(ct_exp(ct_sin(x))), ct_sum_all(ct_sin(x))), 5);
    ct_tensor *m = x_of(CT_SHAPE(2, 3));
    HAS_OPS(ct_add(ct_sum(m, CT_AXES(0)), ct_slice(ct_sum(m, CT_AXES(1)), 0, 0, 1, 1)), 5);
}

TEST(simplify, operands_of_a_sum_or_product_may_change_places) {
    ct_tensor *a = x_of(CT_SHAPE(4)), *b = x_of(CT_SHAPE(4));
    ct_tensor *one = ct_mul(ct_add(a, b), ct_mul(a, b));
    ct_tensor *other = ct_mul(ct_mul(b, a), ct_add(b, a));
    HAS_OPS(ct_concat((ct_tensor *[]){one, other}, 2, 0), 4);
    /* Of equal maxima the first one gets the cotangent. */
    HAS_OPS(ct_sub(ct_maximum(a, b), ct_maximum(b, a)), 3);
    HAS_OPS(ct_add(ct_sub(a, b), ct_sub(b, a)), 3);
}

TEST(simplify, a_sum_of_what_is_stretched_is_a_product) {
    ct_tensor *row = ct_exp(x_of(CT_SHAPE(4))), *wide = ct_broadcast(row, CT_SHAPE(5, 4));
    ct_tensor *s = simplified(ct_sum(wide, CT_AXES(0)));
    EXPECT(count(s, "sum") == 0);
    for (int i = 0; i < 4; i++) EXPECT(near(element(s, i), 5 * element(row, i), 0, 1e-15));
    EXPECT(count(simplified(ct_sum(wide, CT_AXES(1))), "sum") == 1);
    ct_tensor *none = ct_broadcast(ct_scalar(CT_F64, NAN), CT_SHAPE(0, 4));
    EXPECT(element(ct_sum(none, CT_AXES(0)), 2) == 0);
}

static ct_tensor *centred(ct_tensor *x, int axis) {
    return ct_sub(x, ct_mean_keep(x, CT_AXES(axis)));
}

/* sum(a + c*(x - mean(x))) where c needs a sum over the same elements. */
TEST(simplify, what_is_centred_sums_to_zero) {
    ct_tensor *x = x_of(CT_SHAPE(40, 8)), *a = ct_sin(x), *b = centred(x, 0);
    ct_tensor *c = ct_exp(ct_scale(ct_sum_keep(ct_mul(x, x), CT_AXES(0)), 0.01));
    ct_tensor *late[] = {ct_sum(ct_add(a, ct_mul(b, c)), CT_AXES(0)),
                         ct_sum(ct_sub(ct_mul(b, c), a), CT_AXES(0)),
                         ct_sum(ct_add(ct_add(a, ct_neg(ct_mul(c, b))), b), CT_AXES(0)),
                         ct_sum(ct_mul(ct_add(ct_mul(b, c), a), c), CT_AXES(0))};
    for (int k = 0; k < 4; k++) {
        ct_tensor *s = simplified(late[k]);
        for (int i = 0; i < 8; i++) {
            double factor = k == 3 ? element(c, i) : 1, sum = 0;
            for (int j = 0; j < 40; j++) sum += element(a, j * 8 + i);
            EXPECT(near(element(s, i), k == 1 ? -sum : factor * sum, 1e-12, 1e-12), "sum %d", k);
        }
        ct_eval(&s, 1);
        EXPECT(ct_plan_last().passes <= 2, "sum %d: %lld passes", k,
               (long long)ct_plan_last().passes);
    }
}

TEST(simplify, what_is_not_centred_stays) {
    ct_tensor *x = x_of(CT_SHAPE(8, 8)), *a = ct_sin(x), *row = ct_exp(x_of(CT_SHAPE(8)));
    ct_tensor *kept[] = {
        ct_add(a, ct_sub(x, ct_sum_keep(x, CT_AXES(0)))),  /* no mean */
        ct_add(a, ct_sub(a, ct_mean_keep(x, CT_AXES(0)))), /* of something else */
        ct_add(a, centred(x, 1)),                          /* of other axes */
        ct_add(a, ct_sub(x, ct_mean(x, CT_AXES(0)))),      /* this one is */
        ct_add(a, ct_sub(x, ct_mean(x, CT_AXES(1)))),      /* of columns */
        ct_add(a, ct_sub(x, ct_stop_gradient(ct_mean_keep(x, CT_AXES(0))))),
        ct_add(a, ct_mul(ct_exp(centred(x, 0)), row)),
        ct_add(a, ct_mul(centred(x, 0), a)),
    };
    for (int k = 0; k < 8; k++) {
        ct_tensor *sum = ct_sum(kept[k], CT_AXES(0)), *s = simplified(sum);
        EXPECT((count(s, "sub") == 0) == (k == 3), "operand %d", k);
        for (int i = 0; i < 8; i++) {
            EXPECT(near(element(s, i), element(sum, i), 1e-13, 1e-13), "operand %d", k);
        }
    }
}

/* --- BatchNorm ---------------------------------------------------------------------------- */

static int64_t passes_over(int64_t bytes) {
    int64_t n, large = 0;
    const ct_profile_pass *passes = ct_profile_passes(&n);
    for (int64_t i = 0; i < n; i++) large += passes[i].bytes >= (double)bytes;
    ct_profile_clear();
    return large;
}

/* Three passes over x forward. The cotangent is computed from y, as in a training step, so that the
 * backward passes cannot begin earlier: two more. */
TEST(simplify, passes_of_batch_norm_over_its_input) {
    for (int rank = 2; rank <= 4; rank += 2) {
        ct_shape shape = rank == 2 ? CT_SHAPE(512, 32) : CT_SHAPE(8, 8, 8, 32);
        ct_tensor *x = data(CT_F32, shape, 1, 3), *gamma = data(CT_F32, CT_SHAPE(32), 1, 4);
        ct_tensor *beta = data(CT_F32, CT_SHAPE(32), 0, 5), *in[] = {x, gamma, beta}, *out[3];
        ct_tensor *y = ct_batch_norm(x, gamma, beta, -1, 1e-3, NULL, NULL);
        ct_profile_start();
        ct_data(ct_batch_norm(x, gamma, beta, -1, 1e-3, NULL, NULL));
        EXPECT(passes_over(512 * 32 * 4) == 3);
        ct_tensor *loss = ct_sum_all(
            ct_matmul(ct_reshape(y, CT_SHAPE(512, 32)), data(CT_F32, CT_SHAPE(32, 8), 0, 6)));
        EXPECT(ct_grad(ct_square(loss), in, 3, out) == CT_OK);
        EXPECT(ct_eval(out, 3) == CT_OK);
        ct_profile_stop();
        int64_t kernels = ct_plan_last().kernels, all = passes_over(512 * 32 * 4);
        EXPECT(all - kernels == 5, "rank %d: %lld passes over x", rank, (long long)(all - kernels));
    }
}

/* The gradient of f32 in f32 against f64, at means where E[x^2] - E[x]^2 would be lost. */
TEST(simplify, batch_norm_gradients_stay_accurate_at_large_means) {
    static const double means[] = {0, 1e2, 1e4}, bounds[] = {2e-6, 2e-5, 2e-3};
    for (int k = 0; k < 3; k++) {
        double error = 0, size = 0;
        ct_tensor *dx[2];
        for (int wide = 0; wide < 2; wide++) {
            ct_dtype dtype = wide ? CT_F64 : CT_F32;
            ct_tensor *x = data(dtype, CT_SHAPE(600, 16), means[k], 3);
            ct_tensor *gamma = data(dtype, CT_SHAPE(16), 1, 4);
            ct_tensor *beta = data(dtype, CT_SHAPE(16), 0, 5);
            ct_tensor *dy = data(dtype, CT_SHAPE(600, 16), 0, 6);
            ct_tensor *y = ct_batch_norm(x, gamma, beta, 1, 1e-3, NULL, NULL);
            EXPECT(ct_vjp(y, dy, &x, 1, &dx[wide]) == CT_OK);
        }
        for (int64_t i = 0; i < 600 * 16; i++) {
            error = fmax(error, fabs(element(dx[0], i) - element(dx[1], i)));
            size = fmax(size, fabs(element(dx[1], i)));
        }
        printf("mean %g: error %.2g of the largest entry\n", means[k], error / size);
        EXPECT(error <= bounds[k] * size, "mean %g: %g", means[k], error / size);
    }
}

/* --- Refusals ----------------------------------------------------------------------------- */

static ct_tensor *piece(ct_tensor *x, int axis, int64_t before, int64_t after) {
    return ct_pad(x, axis, before, after, 0);
}

TEST(simplify, padded_neighbours_are_one_copy) {
    ct_tensor *x = x_of(CT_SHAPE(2, 3)), *a = ct_exp(x), *b = ct_sin(x), *c = ct_cos(x);
    /* exp, sin, cos, concat */
    HAS_OPS(ct_add(piece(a, 1, 0, 3), piece(b, 1, 3, 0)), 3);
    HAS_OPS(ct_add(piece(b, 1, 3, 0), piece(a, 1, 0, 3)), 3);
    HAS_OPS(ct_add(ct_add(piece(a, 0, 0, 4), piece(b, 0, 2, 2)), piece(c, 0, 4, 0)), 4);
    HAS_OPS(ct_add(ct_add(piece(c, 0, 4, 0), piece(a, 0, 0, 4)), piece(b, 0, 2, 2)), 4);
    /* One that is missing, before, between or after the others, is padding still. */
    HAS_OPS(ct_add(piece(a, 1, 1, 4), piece(b, 1, 4, 1)), 4);
    HAS_OPS(ct_add(piece(a, 1, 0, 6), piece(b, 1, 6, 0)), 5);
    /* Beside something else, and what does not fit together. */
    ct_tensor *other = ct_exp(x_of(CT_SHAPE(2, 6)));
    HAS_OPS(ct_add(ct_add(piece(a, 1, 0, 3), other), piece(b, 1, 3, 0)), 5);
    HAS_OPS(ct_add(piece(a, 1, 0, 3), piece(x_of(CT_SHAPE(2, 4)), 1, 2, 0)), 4);
    HAS_OPS(ct_add(ct_pad(a, 0, 0, 1, 1), ct_pad(b, 0, 2, 0, 0)), 5);
}

TEST(simplify, the_derivatives_of_slices_are_one_copy) {
    ct_tensor *x = x_of(CT_SHAPE(5, 4)), *sum = NULL, *g;
    for (int t = 0; t < 5; t++) {
        ct_tensor *row = ct_slice(x, 0, t, t + 1, 1);
        ct_tensor *term = ct_sum_all(ct_exp(ct_scale(row, (double)(t + 1))));
        sum = sum ? ct_add(sum, term) : term;
    }
    EXPECT(ct_grad(sum, &x, 1, &g) == CT_OK);
    ct_tensor *s = simplified(g);
    EXPECT(count(g, "pad") == 5);
    EXPECT(count(s, "pad") == 0 && count(s, "add") == 0 && count(s, "concat") == 1);
    EXPECT(ct_is(s, &ct_op_concat));
    for (int64_t i = 0; i < 20; i++) {
        double factor = (double)(i / 4 + 1);
        EXPECT(near(element(g, i), factor * exp(factor * element(x, i)), 0, 1e-14));
    }
}

TEST(simplify, errors) {
    ct_tensor *x = ct_exp(x_of(CT_SHAPE(2))), *roots[] = {x, NULL}, *out[2] = {x, x};
    EXPECT(ct_simplify(roots, 2, out) == CT_ERR_NULL && out[1] == x);
    EXPECT(strcmp(taken_error(NULL), "ct_simplify: root 1 is NULL") == 0);
    EXPECT(ct_simplify(roots, 0, out) == CT_OK);
}

TEST(simplify, a_node_with_a_value_is_left_alone) {
    ct_tensor *x = x_of(CT_SHAPE(4)), *inner = ct_neg(x);
    ct_data(inner);
    ct_tensor *outer = ct_neg(inner);
    BECOMES(outer, outer);
}

/* --- A user's rules ----------------------------------------------------------------------- */

static void tile_same(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)tile;
    memcpy(y, x[0], sizeof(double) * (size_t)n);
}

static ct_tensor *restless_again(ct_tensor *y);
static const ct_rule simplify_restless[] = {{"another one", restless_again}, {0}};

static const ct_op restless = {.name = "restless",
                               .kind = CT_MAP,
                               .n_inputs = 1,
                               .infer = ct_infer_float,
                               .tile = {[CT_F64] = tile_same},
                               .simplify = simplify_restless};

/* Another node each time: this would never end. */
static ct_tensor *restless_again(ct_tensor *y) {
    ct_tensor *x = ct_input(y, 0);
    int64_t turn = 1 + *(const int64_t *)ct_attr(y);
    return ct_node(&restless, &x, 1, &turn, sizeof turn);
}

/* A user's logarithm: log(a b) = log a + log b. */
static ct_tensor *logarithm(ct_tensor *x);

static void tile_logarithm(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)tile;
    for (int64_t i = 0; i < n; i++) ((double *)y)[i] = log(((const double *)x[0])[i]);
}

static ct_tensor *logarithms(ct_tensor *y) {
    ct_tensor *x = ct_input(y, 0);
    if (!ct_is(x, &ct_op_mul)) return NULL;
    return ct_add(logarithm(ct_input(x, 0)), logarithm(ct_input(x, 1)));
}

static const ct_rule simplify_logarithm[] = {{"log(a b) = log a + log b", logarithms}, {0}};

static const ct_op op_logarithm = {.name = "logarithm",
                                   .kind = CT_MAP,
                                   .n_inputs = 1,
                                   .infer = ct_infer_float,
                                   .tile = {[CT_F64] = tile_logarithm},
                                   .simplify = simplify_logarithm};

static ct_tensor *logarithm(ct_tensor *x) { return ct_node(&op_logarithm, &x, 1, NULL, 0); }

TEST(simplify, rules_of_users_recognize_the_librarys_ops) {
    ct_tensor *a = ct_full(CT_F64, CT_SHAPE(3), 2), *b = ct_full(CT_F64, CT_SHAPE(3), 3);
    ct_tensor *product = ct_mul(a, b), *y = simplified(logarithm(product));
    EXPECT(ct_is(y, &ct_op_add) && ct_is(ct_input(y, 0), &op_logarithm));
    expect_ops(__LINE__, logarithm(product), 3, 1e-15);
    HAS_OPS(logarithm(ct_add(a, b)), 2);
    EXPECT(!ct_is(a, &ct_op_mul) && !ct_is(NULL, &ct_op_mul));
    EXPECT(ct_data(product) && !ct_is(product, &ct_op_mul), "what has a value");
    ct_tensor *of_value = logarithm(product);
    BECOMES(of_value, of_value);
}

TEST(simplify, rules_that_never_end_are_cut_short) {
    ct_tensor *x = x_of(CT_SHAPE(4));
    int64_t turn = 0;
    ct_tensor *y = ct_node(&restless, &x, 1, &turn, sizeof turn);
    EXPECT(element(ct_exp(y), 2) == element(ct_exp(x), 2));
}

static ct_tensor *fails(ct_tensor *y) {
    (void)y;
    return ct_fail_null(CT_ERR_RANGE, "the rule says no");
}

static const ct_rule simplify_failing[] = {{"none", fails}, {0}};
static const ct_op failing = {.name = "failing",
                              .kind = CT_MAP,
                              .n_inputs = 1,
                              .infer = ct_infer_float,
                              .tile = {[CT_F64] = tile_same},
                              .simplify = simplify_failing};

TEST(simplify, an_error_in_a_rule_is_an_error_of_the_evaluation) {
    ct_tensor *x = x_of(CT_SHAPE(4)), *y = ct_node(&failing, &x, 1, NULL, 0);
    EXPECT(ct_eval(&y, 1) == CT_ERR_RANGE);
    EXPECT(strcmp(taken_error(NULL), "the rule says no") == 0);
}
