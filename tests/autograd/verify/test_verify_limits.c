/* What the field does not see: identities of functions that have stand-ins, differences smaller
 * than rounding, branches that no draw takes, and a derivative that is as wrong as the closed form;
 * functions that are none.
 * Stages, mutants and documents are in test_verify.c. */
#include "autograd/compose.h"
#include "tensor/op.h"
#include "tensor/p61.h"
#include "tests/support/verify_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const ct_claim_input x23[] = {{.name = "x", .shape = {2, {2, 3}}}};

FUNCTION(softmax_f, ct_softmax(x, -1))
/* exp(a + b) = exp a exp b is beyond the field: neither proved nor refused. Wrong stays so. */
static ct_tensor *by_mean(ct_tensor *x, ct_tensor *dy) {
    ct_tensor *e = ct_exp(ct_sub(x, ct_mean_keep(x, CT_AXES(-1))));
    ct_tensor *p = ct_div(e, ct_sum_keep(e, CT_AXES(-1)));
    return ct_mul(p, ct_sub(dy, ct_sum_keep(ct_mul(dy, p), CT_AXES(-1))));
}
CLOSED_OF(other_shift_c, by_mean(x, dy))
CLOSED_OF(wrong_shift_c, ct_scale(by_mean(x, dy), 0.9))

TEST(verify_limits, what_the_field_cannot_decide_is_called_so) {
    ct_claim shifted = {
        .name = "shifted", .f = softmax_f, .closed = other_shift_c, .inputs = x23, .n_inputs = 1};
    ct_verify_report r = verified(&shifted, (ct_verify_options){.orders = 3});
    EXPECT(r.passed && r.rows[0].undecided && !r.rows[0].exact && r.log2_missed == 0);
    EXPECT(r.n_killed == r.n_mutants && has_note(&r, "not decided in the field"));
    ct_verify_free(&r);
    shifted.closed = wrong_shift_c;
    r = verified(&shifted, (ct_verify_options){0});
    EXPECT(!r.passed && !r.rows[0].undecided);
    ct_verify_free(&r);
}

/* Beside exp(40) in another element 1e-6 is less than rounding, and in its own it is everything. */
FUNCTION(steep_f, ct_exp(ct_scale(x, 20)))
CLOSED_OF(steep_c, ct_mul(dy, ct_offset(ct_scale(ct_exp(ct_scale(x, 20)), 20), 1e-6)))
/* 1 - tanh^2 has no digit left where the other formula has all. */
FUNCTION(flat_f, ct_tanh(ct_scale(x, 20)))
static ct_tensor *by_cosh(ct_tensor *x) {
    ct_tensor *e = ct_exp(ct_scale(x, 20)), *cosh = ct_add(e, ct_exp(ct_scale(x, -20)));
    return ct_div(ct_scalar(ct_dtype_of(x), 80), ct_square(cosh));
}
CLOSED_OF(flat_c, ct_mul(dy, by_cosh(x)))

TEST(verify_limits, what_the_field_cannot_decide_is_judged_element_by_element) {
    static const ct_claim_input near[] = {{.name = "x", .shape = {2, {3, 4}}, .near = true}};
    ct_claim of = {.name = "steep", .f = steep_f, .closed = steep_c, .inputs = near, .n_inputs = 1};
    for (uint64_t seed = 0; seed < 20; seed++) {
        ct_verify_options options = {.seed = seed, .orders = 1 + (int)(seed % 2)};
        of.f = steep_f, of.closed = steep_c;
        ct_verify_report r = verified(&of, options);
        EXPECT(!r.passed && !r.rows[0].undecided && r.rows[0].error_f64 < 1e-12);
        EXPECT(fabs(r.rows[0].derived - r.rows[0].closed) > 0.1 * fabs(r.rows[0].closed));
        ct_verify_free(&r);
        of.f = flat_f, of.closed = flat_c;
        r = verified(&of, options);
        if (!EXPECT(r.passed && r.rows[0].undecided)) ct_verify_print(stderr, &r);
        ct_verify_free(&r);
    }
}

/* An op whose derivative is wrong, and a closed form that has the same fault: equal, in the field
 * and in f64, and no derivative of f. */
static void twice_f64(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)tile;
    for (int64_t i = 0; i < n; i++) ((double *)y)[i] = 2 * ((const double *)x[0])[i];
}
static void twice_f32(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)tile;
    for (int64_t i = 0; i < n; i++) ((float *)y)[i] = 2 * ((const float *)x[0])[i];
}
static void twice_p61(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)tile;
    const ct_p61 *a = x[0];
    for (int64_t i = 0; i < n; i++) ((ct_p61 *)y)[i] = ct_p61_add(a[i], a[i]);
}
static ct_tensor *vjp_twice(ct_tensor *g, ct_tensor *y, int i) {
    (void)y, (void)i;
    return ct_scale(g, 3);
}
static const ct_op op_twice = {
    .name = "twice",
    .kind = CT_MAP,
    .n_inputs = 1,
    .infer = ct_infer_float,
    .tile = {[CT_F32] = twice_f32, [CT_F64] = twice_f64, [CT_P61] = twice_p61},
    .vjp = {vjp_twice}};
FUNCTION(twice_f, ct_mul(x, ct_node(&op_twice, &x, 1, NULL, 0)))
CLOSED_OF(twice_c, ct_mul(dy, ct_scale(x, 5)))

TEST(verify_limits, finite_differences_see_what_both_sides_share) {
    const ct_claim twice = {
        .name = "twice", .f = twice_f, .closed = twice_c, .inputs = x23, .n_inputs = 1};
    ct_verify_report r = verified(&twice, (ct_verify_options){.orders = 1, .no_mutants = true});
    EXPECT(r.rows[0].exact && r.differences > 0 && r.differences_missed == r.differences);
    EXPECT(!r.passed && has_note(&r, "finite differences of f are not what is derived"));
    EXPECT(has_note(&r, "no bound on how likely a wrong formula passes: twice does not say"));
    ct_verify_free(&r);
}

/* Of two values the gradient is what epsilon leaves of numbers 1e5 times as large. */
static ct_tensor *mean_of(ct_tensor *x) { return ct_mean_keep(x, CT_AXES(0)); }
static ct_tensor *normalized(ct_tensor *x) {
    ct_tensor *d = ct_sub(x, mean_of(x));
    return ct_mul(d, ct_rsqrt(ct_offset(mean_of(ct_square(d)), 1e-5)));
}
FUNCTION(of_two_f, normalized(x))
static ct_tensor *of_two(ct_tensor *x, ct_tensor *dy) {
    ct_tensor *d = ct_sub(x, mean_of(x)), *r = ct_rsqrt(ct_offset(mean_of(ct_square(d)), 1e-5));
    ct_tensor *h = ct_mul(d, r);
    return ct_mul(r, ct_sub(ct_sub(dy, mean_of(dy)), ct_mul(h, mean_of(ct_mul(dy, h)))));
}
CLOSED_OF(of_two_c, of_two(x, dy))

TEST(verify_limits, a_right_claim_that_cancels_is_not_refused) {
    ct_claim of = {.name = "of two", .f = of_two_f, .closed = of_two_c, .inputs = x23};
    int64_t noted = 0;
    of.n_inputs = 1;
    for (uint64_t seed = 0; seed < 30; seed++) {
        ct_verify_report r = verified(&of, (ct_verify_options){.seed = seed, .orders = 3});
        EXPECT(r.passed, "seed %llu: %s", (unsigned long long)seed, r.notes[0].text);
        noted += has_note(&r, "is left of larger numbers");
        ct_verify_free(&r);
    }
    EXPECT(noted > 0);
}

/* --- Branches --------------------------------------------------------------------------------- */

static ct_tensor *above(ct_tensor *x, double edge) {
    return ct_greater(x, ct_scalar(ct_dtype_of(x), edge));
}
FUNCTION(relu_f, ct_relu(x))
CLOSED_OF(relu_c, ct_mul(dy, above(x, 0)))
CLOSED_OF(relu_late, ct_mul(dy, above(x, 1e-7)))
CLOSED_OF(relu_early, ct_where(above(x, -1e-6), dy, ct_scale(dy, 0)))
FUNCTION(clip_f, ct_sum(ct_clip(x, -1, 0.5), CT_AXES(0)))
static ct_tensor *inside(ct_tensor *x, double high) {
    return ct_mul(above(x, -1), ct_sub(ct_scalar(ct_dtype_of(x), 1), above(x, high)));
}
CLOSED_OF(clip_c, ct_mul(dy, inside(x, 0.5)))
CLOSED_OF(clip_off, ct_mul(dy, inside(x, 0.50001)))

TEST(verify_limits, both_sides_of_a_branch_are_compared) {
    static const struct {
        ct_function *f;
        ct_closed_form *closed;
        bool right;
    } cases[] = {{relu_f, relu_c, true},
                 {relu_f, relu_late, false},
                 {clip_f, clip_c, true},
                 {relu_f, relu_early, false},
                 {clip_f, clip_off, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ct_claim of = {.name = "branch", .f = cases[i].f, .closed = cases[i].closed};
        of.inputs = x23, of.n_inputs = 1;
        for (uint64_t seed = 0; seed < 20; seed++) {
            ct_verify_report r = verified(&of, (ct_verify_options){.seed = seed, .orders = 1});
            if (!EXPECT(r.passed == cases[i].right, "case %zu, seed %llu", i,
                        (unsigned long long)seed)) {
                ct_verify_print(stderr, &r);
            }
            EXPECT(cases[i].right || !r.rows[0].exact || has_note(&r, "differs near a branch"));
            ct_verify_free(&r);
        }
    }
}

/* Attention whose closed form subtracts sum dy y, as FlashAttention does, in place of sum p dp: far
 * from 0 the softmax is 0 and 1, and both sides are what rounding leaves of the difference. */
static ct_tensor *weights_of(ct_tensor *const in[]) {
    return ct_softmax(ct_scale(ct_matmul(in[0], ct_transpose(in[1])), 0.5), -1);
}
static ct_tensor *attention_f(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_matmul(weights_of(in), in[2]);
}
static ct_status flash_c(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                         ct_tensor *out[]) {
    (void)context, (void)n;
    ct_tensor *p = weights_of(in), *dp = ct_matmul(dy, ct_transpose(in[2]));
    ct_tensor *rows = ct_sum_keep(ct_mul(dy, ct_matmul(p, in[2])), CT_AXES(-1));
    ct_tensor *ds = ct_scale(ct_mul(p, ct_sub(dp, rows)), 0.5);
    out[0] = ct_matmul(ds, in[1]);
    out[1] = ct_matmul(ct_transpose(ds), in[0]);
    out[2] = ct_matmul(ct_transpose(p), dy);
    return ct_error();
}

TEST(verify_limits, what_rounding_leaves_near_a_branch_is_no_fault) {
    static const ct_claim_input inputs[] = {{.name = "q", .shape = {2, {4, 4}}},
                                            {.name = "k", .shape = {2, {4, 4}}},
                                            {.name = "v", .shape = {2, {4, 4}}}};
    ct_claim of = {.name = "attention", .f = attention_f, .closed = flash_c, .inputs = inputs};
    of.n_inputs = 3;
    for (uint64_t seed = 0; seed < 20; seed++) {
        ct_verify_options options = {.seed = seed, .orders = 1, .no_mutants = true};
        ct_verify_report r = verified(&of, options);
        EXPECT(r.passed, "seed %llu: %s", (unsigned long long)seed, r.notes[0].text);
        ct_verify_free(&r);
    }
}

/* Branches behind -2, forgotten by the closed form. */
static ct_tensor *hard_sigmoid(ct_tensor *x) {
    return ct_scale(ct_clip(ct_offset(x, 3), 0, 6), 1.0 / 6);
}
FUNCTION(hard_f, ct_mul(x, hard_sigmoid(x)))
CLOSED_OF(hard_late, ct_mul(dy, ct_where(above(x, 3), ct_full(ct_dtype_of(x), CT_SCALAR, 1),
                                         ct_scale(ct_offset(ct_scale(x, 2), 3), 1.0 / 6))))
FUNCTION(shifted_relu_f, ct_relu(ct_offset(x, 5)))
CLOSED_OF(shifted_relu_c, ct_scale(dy, 1))
static void shifted_relu_a(void *context, const double *const in[], int64_t n, const double *dy,
                           double *const out[]) {
    (void)context, (void)in, (void)n;
    for (int k = 0; k < 6; k++) out[0][k] = dy[k];
}

TEST(verify_limits, branches_further_from_0_are_taken) {
    ct_claim cases[] = {{.f = hard_f, .closed = hard_late},
                        {.f = shifted_relu_f, .closed = shifted_relu_c},
                        {.f = shifted_relu_f, .arrays = shifted_relu_a}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cases[i].name = "behind -2", cases[i].inputs = x23, cases[i].n_inputs = 1;
        for (uint64_t seed = 0; seed < 20; seed++) {
            ct_verify_report r = verified(&cases[i], (ct_verify_options){.seed = seed});
            EXPECT(!r.passed, "case %zu, seed %llu", i, (unsigned long long)seed);
            ct_verify_free(&r);
        }
    }
}

/* Wrong above 10, where no draw is; a product with a comparison is a branch, too. */
FUNCTION(double_f, ct_mul(x, x))
CLOSED_OF(double_c, ct_mul(ct_scale(ct_mul(dy, x), 2), ct_offset(ct_neg(above(x, 10)), 1)))

TEST(verify_limits, a_comparison_that_never_changes_is_said) {
    static const ct_claim_input near[] = {{.name = "x", .shape = {2, {2, 3}}, .near = true}};
    ct_claim of = {.name = "far", .f = double_f, .closed = double_c, .inputs = near, .n_inputs = 1};
    ct_verify_report r = verified(&of, (ct_verify_options){.orders = 1});
    EXPECT(r.passed && has_note(&r, "one branch of greater(x, 10) was never taken"));
    EXPECT(has_note(&r, "at most 2^-120, on the branches that were taken"));
    ct_verify_free(&r);
    of.inputs = x23; /* where it is wrong */
    r = verified(&of, (ct_verify_options){.orders = 1});
    EXPECT(!r.passed && has_note(&r, "x: order 1 differs by") && has_note(&r, "near 1000, in f64"));
    EXPECT(fabs(r.rows[0].derived) > 1000 && r.rows[0].closed == 0);
    ct_verify_free(&r);
}

/* --- Names on one chain ----------------------------------------------------------------------- */

static ct_tensor *rms_of(ct_tensor *x) {
    ct_tensor *mean = ct_name(ct_mean_keep(ct_square(x), CT_AXES(-1)), "mean square");
    return ct_name(ct_rsqrt(ct_offset(mean, 1e-6)), "1 / rms");
}
FUNCTION(rms_f, ct_mul(x, rms_of(x)))
static ct_tensor *with_sum(ct_tensor *x, ct_tensor *dy) {
    ct_tensor *r = rms_of(x), *h = ct_mul(x, r);
    return ct_mul(r, ct_sub(dy, ct_mul(h, ct_sum_keep(ct_mul(dy, h), CT_AXES(-1)))));
}
CLOSED_OF(rms_sum, with_sum(x, dy))

/* What flows through one name flows through the other, too: the page marks the one that is said. */
TEST(verify_limits, a_name_that_is_said_stands_in_quotes_and_is_marked) {
    ct_claim of = {.name = "rms", .f = rms_f, .closed = rms_sum, .inputs = x23, .n_inputs = 1};
    ct_verify_report r = verified(&of, (ct_verify_options){0});
    char *page = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&page, &length);
    EXPECT(!r.passed && has_note(&r, "x: the term through '1 / rms' has the factor 3"));
    EXPECT(ct_verify_write_html(out, &r, 1) == CT_OK);
    fclose(out);
    EXPECT(strstr(page, "WRONG in the closed form") != NULL);
    free(page);
    ct_verify_free(&r);
}

/* --- Functions that change ------------------------------------------------------------------- */

/* Of p61 there are two cotangents, of f64 one. */
static ct_status two_of_p61(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                            ct_tensor *out[]) {
    (void)context, (void)n;
    out[0] = ct_mul(dy, in[1]);
    if (ct_dtype_of(dy) == CT_P61) out[1] = ct_mul(dy, in[0]);
    return ct_error();
}
static ct_tensor *product_f(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_mul(in[0], in[1]);
}
/* The value of f32 is smaller than that of f64. */
static ct_tensor *shrinks(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    ct_tensor *y = ct_mul(in[0], in[1]);
    return ct_dtype_of(y) == CT_F32 ? ct_slice(y, 0, 0, 1, 1) : y;
}
static ct_status shrinks_c(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                           ct_tensor *out[]) {
    (void)context, (void)n;
    if (ct_dtype_of(dy) == CT_F32) dy = ct_pad(dy, 0, 0, 1, 0);
    out[0] = ct_mul(dy, in[1]), out[1] = ct_mul(dy, in[0]);
    return ct_error();
}
static ct_status of_i64(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                        ct_tensor *out[]) {
    (void)context, (void)n, (void)dy;
    out[0] = ct_cast(in[0], CT_I64);
    return ct_error();
}

static void expect_no_claim(const ct_claim *of, ct_verify_options options, ct_status status,
                            const char *message) {
    ct_verify_report r;
    EXPECT(ct_verify(of, options, &r) == status);
    expect_error(status, message);
    EXPECT(r.rows == NULL && r.graph == NULL);
}

/* Of p61 half of what it is of f64. */
static ct_tensor *weight(ct_tensor *x) { return ct_scale(x, ct_dtype_of(x) == CT_P61 ? 0.5 : 1); }
FUNCTION(halved_f, ct_mul(weight(x), x))
CLOSED_OF(halved_c, ct_mul(dy, ct_scale(weight(x), 2)))

TEST(verify_limits, functions_that_change_are_no_claim) {
    static const ct_claim_input two[] = {{.name = "a", .shape = {2, {2, 3}}},
                                         {.name = "b", .shape = {2, {2, 3}}}};
    const char *changed = "ct_verify: odd: f or the closed form gave something else before";
    ct_claim of = {.name = "odd", .f = product_f, .closed = two_of_p61};
    of.inputs = two, of.n_inputs = 2;
    expect_no_claim(&of, (ct_verify_options){.orders = 1}, CT_ERR_STATE, changed);
    of.f = shrinks, of.closed = shrinks_c;
    expect_no_claim(&of, (ct_verify_options){.orders = 2}, CT_ERR_STATE, changed);
    ct_claim halved = {.name = "halved", .f = halved_f, .closed = halved_c};
    halved.inputs = x23, halved.n_inputs = 1;
    ct_verify_report r;
    EXPECT(ct_verify(&halved, (ct_verify_options){0}, &r) == CT_ERR_STATE);
    const char *other = "ct_verify: halved: f or the closed form is another function of p61 than";
    EXPECT(strncmp(ct_error_message(), other, strlen(other)) == 0, "%s", ct_error_message());
    ct_error_clear();
    of.f = product_f, of.closed = of_i64;
    expect_no_claim(&of, (ct_verify_options){0}, CT_ERR_DTYPE,
                    "ct_verify: odd: the closed form's cotangent of 'a' is i64, 'a' is f64");
}

TEST(verify_limits, tolerances_that_pass_everything_are_refused) {
    const ct_claim of = {
        .name = "relu", .f = relu_f, .closed = relu_c, .inputs = x23, .n_inputs = 1};
    expect_no_claim(&of, (ct_verify_options){.tolerance = 1}, CT_ERR_RANGE,
                    "ct_verify: tolerance needs 0 <= tolerance < 1, got 1");
    expect_no_claim(&of, (ct_verify_options){.tolerance = INFINITY}, CT_ERR_RANGE,
                    "ct_verify: tolerance needs 0 <= tolerance < 1, got inf");
    expect_no_claim(&of, (ct_verify_options){.tolerance = NAN}, CT_ERR_RANGE,
                    "ct_verify: tolerance needs 0 <= tolerance < 1, got nan");
}

/* 1000^16 is beyond f32, for both sides. */
static ct_tensor *power(ct_tensor *x, int exponent) {
    ct_tensor *y = x;
    for (int i = 1; i < exponent; i++) y = ct_mul(y, x);
    return y;
}
FUNCTION(power_f, power(x, 16))
CLOSED_OF(power_c, ct_mul(dy, ct_scale(power(x, 15), 16)))

TEST(verify_limits, what_f32_does_not_hold_is_no_fault) {
    const ct_claim of = {
        .name = "power", .f = power_f, .closed = power_c, .inputs = x23, .n_inputs = 1};
    ct_verify_report r = verified(&of, (ct_verify_options){.orders = 1});
    EXPECT(r.passed);
    ct_verify_free(&r);
}

FUNCTION(overflow_f, ct_exp(ct_scale(x, 1000)))
CLOSED_OF(overflow_c, ct_mul(dy, ct_scale(ct_exp(ct_scale(x, 1000)), 1000)))

TEST(verify_limits, what_overflows_is_said) {
    const ct_claim of = {
        .name = "steep", .f = overflow_f, .closed = overflow_c, .inputs = x23, .n_inputs = 1};
    ct_verify_report r = verified(&of, (ct_verify_options){.orders = 1});
    EXPECT(!r.passed && has_note(&r, "x: order 1 is not finite in f64 with inputs of size 2"));
    ct_verify_free(&r);
}

/* exp(1000) is infinite, the softmax that f derives is not. */
static ct_tensor *unshifted(ct_tensor *x, ct_tensor *dy) {
    ct_tensor *e = ct_exp(x), *p = ct_div(e, ct_sum_keep(e, CT_AXES(-1)));
    return ct_mul(p, ct_sub(dy, ct_sum_keep(ct_mul(dy, p), CT_AXES(-1))));
}
CLOSED_OF(unshifted_c, unshifted(x, dy))

TEST(verify_limits, a_closed_form_that_overflows_alone_is_said) {
    const ct_claim of = {
        .name = "softmax", .f = softmax_f, .closed = unshifted_c, .inputs = x23, .n_inputs = 1};
    ct_verify_report r = verified(&of, (ct_verify_options){.orders = 1});
    EXPECT(r.passed && has_note(&r, "x: the closed form is not finite near 1000, where what is"));
    ct_verify_free(&r);
}

/* --- Roots ------------------------------------------------------------------------------------ */

static ct_tensor *row_root(ct_tensor *x, double epsilon) {
    ct_tensor *square = ct_mean_keep(ct_square(x), CT_AXES(-1));
    return ct_rsqrt(ct_offset(square, epsilon));
}
FUNCTION(rows_f, ct_mul(x, row_root(x, 1e-5)))
static ct_tensor *rows_back(ct_tensor *x, ct_tensor *dy) {
    ct_tensor *r = row_root(x, 1e-5), *y = ct_mul(x, r);
    return ct_mul(r, ct_sub(dy, ct_mul(y, ct_mean_keep(ct_mul(dy, y), CT_AXES(-1)))));
}
CLOSED_OF(rows_c, rows_back(x, dy))
FUNCTION(root_of_3_f, ct_mul(x, ct_sqrt(ct_full(ct_dtype_of(x), ct_shape_of(x), 3))))
CLOSED_OF(root_of_3_c, ct_mul(dy, ct_sqrt(ct_full(ct_dtype_of(x), ct_shape_of(x), 3))))

/* No draw of everything has forty roots: each row finds its own. */
TEST(verify_limits, many_roots_are_found) {
    static const ct_claim_input rows[] = {{.name = "x", .shape = {2, {40, 3}}}};
    ct_claim of = {.name = "rows", .f = rows_f, .closed = rows_c, .inputs = rows, .n_inputs = 1};
    ct_verify_report r = verified(&of, (ct_verify_options){.orders = 2, .no_mutants = true});
    EXPECT(r.passed && r.rows[0].exact && r.rows[2].exact && r.log2_missed == 0);
    ct_verify_free(&r);
    of.f = root_of_3_f, of.closed = root_of_3_c, of.inputs = x23; /* 3 has none */
    r = verified(&of, (ct_verify_options){.orders = 1, .no_mutants = true});
    EXPECT(!r.passed && !r.rows[0].tried && has_note(&r, "not proved: no inputs were found"));
    ct_verify_free(&r);
}

/* --- What a proof rests on -------------------------------------------------------------------- */

/* By a number that is no fraction, written as a number or as a tensor of one. */
FUNCTION(by_literal_f, ct_scale(x, sqrt(2)))
CLOSED_OF(by_literal_c, ct_scale(dy, sqrt(2)))
FUNCTION(by_scalar_f, ct_mul(x, ct_scalar(ct_dtype_of(x), sqrt(2))))
CLOSED_OF(by_scalar_c, ct_mul(dy, ct_full(ct_dtype_of(dy), CT_SHAPE(1), sqrt(2))))
FUNCTION(by_half_f, ct_mul(x, ct_scalar(ct_dtype_of(x), 0.5)))
CLOSED_OF(by_half_c, ct_scale(dy, 0.5))

TEST(verify_limits, numbers_that_are_no_fractions_are_listed) {
    static const ct_claim_input one[] = {{.name = "x", .shape = {1, {1}}}};
    const struct {
        ct_function *f;
        ct_closed_form *closed;
        bool listed;
    } cases[] = {{by_literal_f, by_literal_c, true},
                 {by_scalar_f, by_scalar_c, true},
                 {by_literal_f, by_scalar_c, true},
                 {by_half_f, by_half_c, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ct_claim of = {.name = "root", .f = cases[i].f, .closed = cases[i].closed};
        of.inputs = one, of.n_inputs = 1;
        ct_verify_report r = verified(&of, (ct_verify_options){.orders = 1});
        EXPECT(r.passed && has_note(&r, "as no small fractions: 1.4142135623730951; both sides") ==
                               cases[i].listed,
               "case %zu", i);
        ct_verify_free(&r);
    }
}
