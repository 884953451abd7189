/* What the field does not see: identities of functions that have stand-ins, differences smaller
 * than rounding, and a derivative that is as wrong as the closed form.
 * Stages, mutants and documents are in test_verify.c. */
#include "autograd/compose.h"
#include "tensor/op.h"
#include "tensor/p61.h"
#include "tests/support/verify_support.h"

#include <math.h>

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
