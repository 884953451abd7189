/* Checks that show nothing are called so, and what would show it: a constant channel, a cotangent
 * of ones in one channel or in all, one value per channel, cancellation beyond the tolerance.
 * Right and wrong closed forms that can be told are in test_verify.c. */
#include "autograd/compose.h"
#include "tests/support/verify_support.h"

enum { ROWS = 6, CHANNELS = 2 };
#define EPSILON 1e-3

/* Batch normalization of x times `by`, one number for each channel. */
typedef struct {
    double by[CHANNELS];
    bool wrong; /* the closed form has no variance term in channel 0 */
} setting;

static ct_tensor *row_of(ct_tensor *like, const double numbers[CHANNELS]) {
    return ct_cast(ct_from(CT_F64, CT_SHAPE(1, CHANNELS), numbers), ct_dtype_of(like));
}
static ct_tensor *rows_mean(ct_tensor *x) { return ct_mean_keep(x, CT_AXES(0)); }

static ct_tensor *batch_norm(void *context, ct_tensor *const in[], int64_t n) {
    const setting *of = context;
    (void)n;
    return ct_batch_norm(ct_mul(in[0], row_of(in[0], of->by)), in[1], in[2], -1, EPSILON, NULL,
                         NULL);
}
static ct_status closed_form(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                             ct_tensor *out[]) {
    const setting *of = context;
    const double second[] = {0, 1};
    (void)n;
    ct_tensor *by = row_of(in[0], of->by), *x = ct_mul(in[0], by), *c = ct_sub(x, rows_mean(x));
    ct_tensor *r = ct_rsqrt(ct_offset(rows_mean(ct_square(c)), EPSILON)), *h = ct_mul(c, r);
    ct_tensor *b = ct_mul(h, rows_mean(ct_mul(dy, h)));
    if (of->wrong) b = ct_mul(b, row_of(x, second));
    ct_tensor *inner = ct_sub(ct_sub(dy, rows_mean(dy)), b);
    out[0] = ct_mul(ct_mul(ct_mul(inner, r), in[1]), by);
    out[1] = ct_sum(ct_mul(dy, h), CT_AXES(0));
    out[2] = ct_sum(dy, CT_AXES(0));
    return ct_error();
}

static const ct_claim_input inputs[] = {
    {.name = "x", .shape = {2, {ROWS, CHANNELS}}},
    {.name = "gamma", .shape = {1, {CHANNELS}}},
    {.name = "beta", .shape = {1, {CHANNELS}}},
};

static ct_claim claim_on(setting *of) {
    return (ct_claim){.name = "batch_norm",
                      .f = batch_norm,
                      .closed = closed_form,
                      .context = of,
                      .inputs = inputs,
                      .n_inputs = 3};
}

TEST(degenerate, what_shows_everything_is_not_called_so) {
    setting plain = {.by = {1, 1}};
    ct_claim claim = claim_on(&plain);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ct_verify_options options = {.seed = seed, .orders = 1, .no_mutants = true};
        ct_verify_report r = verified(&claim, options);
        EXPECT(r.passed && !has_note(&r, "degenerate"), "seed %llu", (unsigned long long)seed);
        ct_verify_free(&r);
    }
}

TEST(degenerate, a_constant_channel) {
    setting constant = {.by = {0, 1}};
    ct_claim claim = claim_on(&constant);
    ct_verify_report r = verified(&claim, (ct_verify_options){.orders = 1});
    EXPECT(r.passed && has_note(&r, "degenerate: the derivative with regard to x[:,0] is 0 "
                                    "whatever the cotangent: none would do (a constant channel, "
                                    "what f does not read)"));
    EXPECT(has_note(&r, "with regard to gamma[0] is 0 whatever the cotangent"));
    EXPECT(!has_note(&r, "beta"));
    ct_verify_free(&r);
}

/* Wrong in a channel of ones, and equal there. */
TEST(degenerate, a_cotangent_of_ones_in_one_channel) {
    setting plain = {.by = {1, 1}, .wrong = true};
    ct_claim claim = claim_on(&plain);
    double numbers[ROWS * CHANNELS];
    for (int i = 0; i < ROWS * CHANNELS; i++) numbers[i] = i % CHANNELS ? 0.3 * i * i - i : 1;
    ct_tensor *given = ct_from(CT_F64, CT_SHAPE(ROWS, CHANNELS), numbers);
    ct_verify_report r = verified(&claim, (ct_verify_options){.orders = 1, .cotangent = given});
    EXPECT(!r.passed && has_note(&r, "degenerate: under the cotangent given the derivative with "
                                     "regard to x[:,0] is 0, right or wrong: it is 1 in all of "
                                     "it; one that varies there, as a random one, would tell"));
    EXPECT(has_note(&r, "with regard to gamma[0] is 0, right or wrong; a random one would tell"));
    ct_verify_free(&r);
    r = verified(&claim, (ct_verify_options){.orders = 1});
    EXPECT(!r.passed && !has_note(&r, "degenerate"));
    ct_verify_free(&r);
}

/* Wrong, and equal under this cotangent. */
TEST(degenerate, a_cotangent_of_ones) {
    setting plain = {.by = {1, 1}, .wrong = true};
    ct_claim claim = claim_on(&plain);
    ct_tensor *ones = ct_full(CT_F64, CT_SHAPE(ROWS, CHANNELS), 1);
    ct_verify_report r = verified(&claim, (ct_verify_options){.orders = 1, .cotangent = ones});
    EXPECT(!r.passed && has_note(&r, "degenerate: under the cotangent given the derivative with "
                                     "regard to x is 0, right or wrong: it is 1 in all of it"));
    ct_verify_free(&r);
}

/* Nothing is 0 whatever the cotangent where other inputs show it, and nothing is blamed on the
 * cotangent that no other shows. */
TEST(degenerate, a_cotangent_is_not_blamed_for_a_constant_channel) {
    setting constant = {.by = {0, 1}};
    ct_claim claim = claim_on(&constant);
    double numbers[ROWS * CHANNELS];
    for (int i = 0; i < ROWS * CHANNELS; i++) numbers[i] = 0.3 * i * i - i;
    ct_tensor *given = ct_from(CT_F64, CT_SHAPE(ROWS, CHANNELS), numbers);
    ct_verify_report r = verified(&claim, (ct_verify_options){.orders = 1, .cotangent = given});
    EXPECT(r.passed && has_note(&r, "x[:,0] is 0 whatever the cotangent"));
    ct_verify_free(&r);
}

/* ct_batch_norm takes no single value: the error says that nothing would be shown. */
TEST(degenerate, one_value_per_channel) {
    static const ct_claim_input one[] = {{.name = "x", .shape = {2, {1, CHANNELS}}},
                                         {.name = "gamma", .shape = {1, {CHANNELS}}},
                                         {.name = "beta", .shape = {1, {CHANNELS}}}};
    setting plain = {.by = {1, 1}};
    ct_claim claim = claim_on(&plain);
    claim.inputs = one;
    ct_verify_report r;
    expect_error(ct_verify(&claim, (ct_verify_options){0}, &r),
                 "ct_verify: batch_norm: training needs > 1 value per channel, got 1 (x is [1,2], "
                 "channels on axis 1): the variance of one value is 0 whatever it is, and so is "
                 "the derivative");
}

/* A relu that three draws do not take, and a fourth does. */
FUNCTION(relu_f, ct_maximum(x, ct_scalar(ct_dtype_of(x), 0)))
CLOSED_OF(relu_c, ct_where(ct_greater(x, ct_scalar(ct_dtype_of(x), 0)), dy, ct_scale(dy, 0)))

TEST(degenerate, a_branch_that_few_draws_take_is_not) {
    static const ct_claim_input x4 = {.name = "x", .shape = {1, {4}}};
    const ct_claim relu = {
        .name = "relu", .f = relu_f, .closed = relu_c, .inputs = &x4, .n_inputs = 1};
    for (uint64_t seed = 1; seed <= 30; seed++) {
        ct_verify_report r = verified(&relu, (ct_verify_options){.seed = seed, .orders = 1});
        EXPECT(r.passed && !has_note(&r, "degenerate"), "seed %llu", (unsigned long long)seed);
        ct_verify_free(&r);
    }
}

/* --- Cancellation ----------------------------------------------------------------------------- */

/* What 1e10 is added to, and taken from again, has seven digits left; its condition is 1. */
static ct_tensor *shifted(ct_tensor *x) {
    return ct_sub(ct_offset(x, 1e10), ct_full(ct_dtype_of(x), CT_SHAPE(1), 1e10));
}
FUNCTION(cancelling_f, ct_square(shifted(x)))
CLOSED_OF(cancelling_c, ct_mul(dy, ct_scale(x, 2)))
/* Of numbers around 2^25 the sine changes by its own size when they do in the 8th digit. */
FUNCTION(steep_f, ct_sin(ct_scale(x, 0x1p20)))
CLOSED_OF(steep_c, ct_mul(dy, ct_scale(ct_cos(ct_scale(x, 0x1p20)), 0x1p20)))

TEST(degenerate, cancellation_beyond_the_tolerance) {
    static const ct_claim_input few = {.name = "x", .shape = {1, {4}}, .near = true};
    ct_claim claim = {.name = "shifted",
                      .f = cancelling_f,
                      .closed = cancelling_c,
                      .inputs = &few,
                      .n_inputs = 1};
    ct_verify_report r = verified(&claim, (ct_verify_options){.orders = 1});
    EXPECT(has_note(&r, "cancellation: order 1 of x is left of larger numbers"));
    ct_verify_free(&r);
    claim.name = "steep", claim.f = steep_f, claim.closed = steep_c;
    r = verified(&claim, (ct_verify_options){.orders = 1});
    EXPECT(has_note(&r, "cancellation: rounding of the inputs alone moves order 1 of x by"));
    ct_verify_free(&r);
    r = verified(&claim, (ct_verify_options){.orders = 1, .tolerance = 1e-3});
    EXPECT(!has_note(&r, "cancellation"));
    ct_verify_free(&r);
}
