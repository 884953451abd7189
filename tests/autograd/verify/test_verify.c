/* Certificates: right closed forms pass, wrong ones are refused by the stage that can see them and
 * with the words that say what is wrong; checks that show nothing are called so.
 * The claims of the library's layers are in tests/nn/test_claims.c.
 * Invariant: the closed forms are written here by hand, as in a textbook. */
#include "autograd/compose.h"
#include "autograd/ops.h"
#include "autograd/verify.h"
#include "tests/support/verify_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6, CHANNELS = 2 };
#define EPSILON 1e-3

static ct_tensor *rows_mean(ct_tensor *x) { return ct_mean_keep(x, CT_AXES(0)); }

static ct_tensor *batch_norm(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_batch_norm(in[0], in[1], in[2], -1, EPSILON, NULL, NULL);
}

/* What a person may get wrong, one at a time. */
typedef enum {
    RIGHT,
    NO_MEAN,
    NO_VARIANCE,
    N_MINUS_1,
    MEAN_SIGN,
    VARIANCE_TWICE,
    X_FOR_XHAT,
    ROOT_TWICE,
    NO_GAMMA,
    DBETA_MEAN,
    ODD_FACTOR
} mistake;

static ct_status closed_form(mistake made, ct_tensor *const in[], ct_tensor *dy, ct_tensor *out[]) {
    ct_tensor *c = ct_sub(in[0], rows_mean(in[0]));
    ct_tensor *r = ct_rsqrt(ct_offset(rows_mean(ct_square(c)), EPSILON)), *h = ct_mul(c, r);
    ct_tensor *a = rows_mean(dy), *b = rows_mean(ct_mul(dy, h));
    if (made == NO_MEAN) a = ct_scale(a, 0);
    if (made == NO_VARIANCE) b = ct_scale(b, 0);
    if (made == N_MINUS_1) b = ct_scale(b, ROWS / (ROWS - 1.0));
    if (made == MEAN_SIGN) a = ct_neg(a);
    if (made == VARIANCE_TWICE) b = ct_scale(b, 2);
    if (made == ODD_FACTOR) b = ct_scale(b, 1 - 0.9);
    ct_tensor *dx = ct_mul(ct_sub(ct_sub(dy, a), ct_mul(made == X_FOR_XHAT ? c : h, b)), r);
    if (made == ROOT_TWICE) dx = ct_mul(dx, r);
    out[0] = made == NO_GAMMA ? dx : ct_mul(dx, in[1]);
    out[1] = ct_sum(ct_mul(dy, h), CT_AXES(0));
    out[2] = ct_sum(dy, CT_AXES(0));
    if (made == DBETA_MEAN) out[2] = ct_mean(dy, CT_AXES(0));
    return ct_error();
}

#define CLOSED(name, made)                                                                \
    static ct_status name(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy, \
                          ct_tensor *out[]) {                                             \
        (void)context, (void)n;                                                           \
        return closed_form(made, in, dy, out);                                            \
    }
CLOSED(right, RIGHT)
CLOSED(no_mean, NO_MEAN)
CLOSED(no_variance, NO_VARIANCE)
CLOSED(n_minus_1, N_MINUS_1)
CLOSED(mean_sign, MEAN_SIGN)
CLOSED(variance_twice, VARIANCE_TWICE)
CLOSED(x_for_xhat, X_FOR_XHAT)
CLOSED(root_twice, ROOT_TWICE)
CLOSED(no_gamma, NO_GAMMA)
CLOSED(dbeta_mean, DBETA_MEAN)

/* The derivative with regard to x is right, and does not know that the mean depends on x. */
static ct_tensor *detached_mean(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    ct_tensor *m = rows_mean(in[0]), *d = ct_sub(in[0], ct_stop_gradient(m));
    ct_tensor *r = ct_rsqrt(ct_offset(rows_mean(ct_square(d)), EPSILON));
    return ct_add(ct_mul(ct_mul(ct_sub(in[0], m), r), in[1]), in[2]);
}

static ct_tensor *one_pass(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    ct_tensor *m = rows_mean(in[0]);
    ct_tensor *variance = ct_sub(rows_mean(ct_square(in[0])), ct_square(m));
    ct_tensor *h = ct_mul(ct_sub(in[0], m), ct_rsqrt(ct_offset(variance, EPSILON)));
    return ct_add(ct_mul(h, in[1]), in[2]);
}

static const ct_claim_mutant mutants[] = {
    {"no mean", NULL, no_mean, 1, "x: the term through 'mean' is missing"},
    {"no variance", NULL, no_variance, 1, "x: the term through 'variance' is missing"},
    {"N - 1", NULL, n_minus_1, 1, "'variance' has the factor 6/5 = m / (m - 1)"},
    {"sign", NULL, mean_sign, 1, "x: the term through 'mean' has the wrong sign"},
    {"twice", NULL, variance_twice, 1, "x: the term through 'variance' has the factor 2"},
    {"x for xhat", NULL, x_for_xhat, 1, "lacks the factor rsqrt(variance)"},
    {"root twice", NULL, root_twice, 1, "all of it has the factor rsqrt(variance) once too often"},
    {"no gamma", NULL, no_gamma, 1, "x: all of it lacks the factor gamma"},
    {"dbeta is a mean", NULL, dbeta_mean, 1, "beta: all of it has the factor 1/6"},
    {"detached mean", detached_mean, NULL, 2, "different at order 2"},
    {"one pass", one_pass, NULL, 0, "digits are lost"},
};
enum { MUTANTS = sizeof mutants / sizeof *mutants };

static const ct_claim_input inputs[] = {
    {.name = "x", .shape = {2, {ROWS, CHANNELS}}},
    {.name = "gamma", .shape = {1, {CHANNELS}}},
    {.name = "beta", .shape = {1, {CHANNELS}}},
};
static const ct_claim claim = {.name = "batch_norm",
                               .f = batch_norm,
                               .closed = right,
                               .inputs = inputs,
                               .n_inputs = 3,
                               .mutants = mutants,
                               .n_mutants = MUTANTS};

TEST(verify, a_right_claim_is_equal_in_all_orders) {
    ct_verify_report r = verified(&claim, (ct_verify_options){.orders = 3, .no_mutants = true});
    EXPECT(r.passed && r.n_rows == 3 + 4 + 4, "%lld rows", (long long)r.n_rows);
    for (int64_t k = 0; k < r.n_rows; k++) {
        const ct_verify_row *row = &r.rows[k];
        EXPECT(row->tried && row->exact && row->passed && row->error_f64 <= 1e-14, "order %d of %s",
               row->order, row->input);
    }
    ct_verify_free(&r);
}

TEST(verify, mutants_are_refused_by_the_stage_that_sees_them_and_named) {
    ct_verify_report r = verified(&claim, (ct_verify_options){0});
    EXPECT(r.passed && r.n_mutants == MUTANTS + 2 * 3 && r.n_killed == r.n_mutants, "%lld of %lld",
           (long long)r.n_killed, (long long)r.n_mutants);
    for (int64_t k = 0; k < MUTANTS && k < r.n_mutants; k++) {
        static const char *const stages[] = {"far from 0", "exact, order 1", "exact, order 2"};
        EXPECT(strcmp(r.mutants[k].stage, stages[mutants[k].order]) == 0, "%s: %s", mutants[k].name,
               r.mutants[k].stage);
        EXPECT(r.mutants[k].named, "%s: %s", mutants[k].name, r.mutants[k].says.text);
    }
    ct_verify_free(&r);
}

/* 1 - 0.9 is no fraction, though in the field it is that of small numbers. */
CLOSED(odd_factor, ODD_FACTOR)

TEST(verify, a_factor_that_is_no_fraction_is_not_called_one) {
    ct_claim wrong = claim;
    wrong.closed = odd_factor;
    ct_verify_report r = verified(&wrong, (ct_verify_options){0});
    EXPECT(!r.passed && r.n_notes && !strstr(r.notes[0].text, "factor -") &&
               !strstr(r.notes[0].text, "/"),
           "%s", r.n_notes ? r.notes[0].text : "");
    ct_verify_free(&r);
}

TEST(verify, a_wrong_claim_is_refused_with_its_term) {
    ct_claim wrong = claim;
    wrong.closed = n_minus_1;
    ct_verify_report r = verified(&wrong, (ct_verify_options){0});
    EXPECT(!r.passed && r.n_notes > 0 && r.n_mutants == 0);
    EXPECT(r.n_notes && strstr(r.notes[0].text, "'variance' has the factor 6/5"), "%s",
           r.n_notes ? r.notes[0].text : "");
    EXPECT(r.rows[0].worst >= 0 && fabs(r.rows[0].derived - r.rows[0].closed) > 1e-6);
    ct_verify_free(&r);
}

/* A mutant that is no mutant: the score says so, and the claim does not pass. */
TEST(verify, a_mutant_that_is_right_is_not_refused) {
    static const ct_claim_mutant same[] = {{"the same", NULL, right, 1, NULL}};
    ct_claim odd = claim;
    odd.mutants = same, odd.n_mutants = 1;
    ct_verify_report r = verified(&odd, (ct_verify_options){0});
    EXPECT(!r.passed && r.n_killed == r.n_mutants - 1 && !r.mutants[0].killed &&
           strcmp(r.mutants[0].stage, "none") == 0);
    ct_verify_free(&r);
}

TEST(verify, one_value_per_channel_shows_nothing) {
    static const ct_claim_input one[] = {{.name = "x", .shape = {2, {1, CHANNELS}}},
                                         {.name = "gamma", .shape = {1, {CHANNELS}}},
                                         {.name = "beta", .shape = {1, {CHANNELS}}}};
    ct_claim small = claim;
    small.f = one_pass, small.inputs = one, small.n_mutants = 0;
    ct_verify_report r = verified(&small, (ct_verify_options){.orders = 1, .no_mutants = true});
    EXPECT(r.n_notes && strstr(r.notes[0].text, "degenerate: the derivative with regard to x is 0"),
           "%s", r.n_notes ? r.notes[0].text : "");
    ct_verify_free(&r);
}

/* The reference of a port, over arrays. */
static void over_arrays(void *context, const double *const in[], int64_t n, const double *dy,
                        double *const out[]) {
    const double *factor = context;
    (void)n;
    for (int j = 0; j < CHANNELS; j++) {
        double mean = 0, variance = 0, a = 0, b = 0;
        for (int i = 0; i < ROWS; i++) mean += in[0][i * CHANNELS + j] / ROWS;
        for (int i = 0; i < ROWS; i++) {
            variance += (in[0][i * CHANNELS + j] - mean) * (in[0][i * CHANNELS + j] - mean) / ROWS;
        }
        double r = 1 / sqrt(variance + EPSILON);
        for (int i = 0; i < ROWS; i++) {
            a += dy[i * CHANNELS + j];
            b += dy[i * CHANNELS + j] * (in[0][i * CHANNELS + j] - mean) * r;
        }
        for (int i = 0; i < ROWS; i++) {
            double h = (in[0][i * CHANNELS + j] - mean) * r;
            out[0][i * CHANNELS + j] = *factor * in[1][j] * r *
                                       (dy[i * CHANNELS + j] - a / ROWS - h * b / ROWS);
        }
        out[1][j] = b, out[2][j] = a;
    }
}

/* As a port whose caller clears gradients: nothing is there to add to. */
static void adding_arrays(void *context, const double *const in[], int64_t n, const double *dy,
                          double *const out[]) {
    (void)context, (void)in, (void)n;
    for (int i = 0; i < ROWS * CHANNELS; i++) out[0][i] += 2 * dy[i];
}

static ct_tensor *doubled(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_scale(in[0], 2);
}

TEST(verify, arrays_hold_nothing_before_they_are_filled) {
    ct_claim port = {
        .name = "adds", .f = doubled, .arrays = adding_arrays, .inputs = inputs, .n_inputs = 1};
    ct_verify_report r = verified(&port, (ct_verify_options){0});
    EXPECT(!r.passed && r.n_rows == 1 && isnan(r.rows[0].closed));
    ct_verify_free(&r);
}

TEST(verify, a_closed_form_over_arrays) {
    double factor = 1;
    ct_claim port = {.name = "port",
                     .f = batch_norm,
                     .arrays = over_arrays,
                     .context = &factor,
                     .inputs = inputs,
                     .n_inputs = 3};
    ct_verify_report r = verified(&port, (ct_verify_options){0});
    EXPECT(r.passed && r.n_rows == 3 && !r.rows[0].tried && r.rows[0].error_f64 <= 1e-14);
    EXPECT(isnan(r.rows[0].error_f32) && r.n_mutants == 2 * 3 && r.n_killed == r.n_mutants);
    EXPECT(strcmp(r.mutants[0].stage, "numeric") == 0, "%s", r.mutants[0].stage);
    ct_verify_free(&r);
    factor = 1 + 1e-11;
    r = verified(&port, (ct_verify_options){0});
    EXPECT(!r.passed && r.n_notes && strstr(r.notes[0].text, "in f64"), "%s", r.notes[0].text);
    ct_verify_free(&r);
}

/* What is wrong beside an array's closed form is listed as for others. */
static const ct_claim_mutant of_port[] = {
    {"no mean", NULL, no_mean, 1, "x: the term through 'mean' is missing"},
    {"detached mean", detached_mean, right, 2, "different at order 2"},
    {"one pass", one_pass, NULL, 0, "digits are lost"},
};

TEST(verify, mutants_of_a_closed_form_over_arrays) {
    double factor = 1;
    ct_claim port = {.name = "port",
                     .f = batch_norm,
                     .arrays = over_arrays,
                     .context = &factor,
                     .inputs = inputs,
                     .n_inputs = 3,
                     .mutants = of_port,
                     .n_mutants = 3};
    ct_verify_report r = verified(&port, (ct_verify_options){0});
    EXPECT(r.passed && r.n_mutants == 3 + 2 * 3 && r.n_killed == r.n_mutants);
    for (int k = 0; k < 3 && k < r.n_mutants; k++) {
        EXPECT(r.mutants[k].named, "%s: %s", r.mutants[k].name.text, r.mutants[k].says.text);
    }
    ct_verify_free(&r);
}

/* Under a cotangent that makes all derivatives 0 arrays pass whatever they hold. */
TEST(verify, a_cotangent_that_shows_nothing_of_arrays) {
    double factor = 2;
    ct_claim port = {.name = "port",
                     .f = batch_norm,
                     .arrays = over_arrays,
                     .context = &factor,
                     .inputs = inputs,
                     .n_inputs = 3};
    for (int ones = 0; ones <= 1; ones++) {
        ct_tensor *given = ct_full(CT_F64, CT_SHAPE(ROWS, CHANNELS), ones);
        ct_verify_report r = verified(&port, (ct_verify_options){.cotangent = given});
        EXPECT(!r.passed && has_note(&r, "degenerate: under the cotangent given the derivative"));
        ct_verify_free(&r);
    }
}

/* Beside exp(40) in another element 1e-6 is nothing, and in its own it is everything. */
static ct_tensor *steep(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_exp(ct_scale(in[0], 20));
}
static void steep_arrays(void *context, const double *const in[], int64_t n, const double *dy,
                         double *const out[]) {
    const double *off = context;
    (void)n;
    for (int i = 0; i < 4; i++) out[0][i] = dy[i] * (20 * exp(20 * in[0][i]) + *off);
}

TEST(verify, arrays_are_tried_where_no_element_is_small) {
    static const ct_claim_input near[] = {{.name = "x", .shape = {1, {4}}, .near = true}};
    double off = 0;
    ct_claim port = {.name = "port", .f = steep, .arrays = steep_arrays, .context = &off};
    port.inputs = near, port.n_inputs = 1;
    for (uint64_t seed = 0; seed < 20; seed++) {
        for (off = 0; off < 1; off += 1e-6) {
            ct_verify_report r = verified(&port, (ct_verify_options){.seed = seed});
            EXPECT(r.passed == (off == 0), "seed %llu, %g", (unsigned long long)seed, off);
            ct_verify_free(&r);
            if (off > 0) break;
        }
    }
}

/* A derivative of 1e-300 is none of 0 where the cotangent is as small. */
static void doubled_arrays(void *context, const double *const in[], int64_t n, const double *dy,
                           double *const out[]) {
    const double *edge = context;
    (void)n;
    for (int i = 0; i < ROWS * CHANNELS; i++) out[0][i] = (in[0][i] > *edge ? 3 : 2) * dy[i];
}

TEST(verify, arrays_are_tried_in_many_draws) {
    double edge = 5;
    ct_claim port = {.name = "port", .f = doubled, .arrays = doubled_arrays, .context = &edge};
    static const ct_claim_input near[] = {{.name = "x", .shape = {2, {6, 2}}, .near = true}};
    port.inputs = near, port.n_inputs = 1;
    ct_tensor *tiny = ct_full(CT_F64, CT_SHAPE(ROWS, CHANNELS), 1e-300);
    ct_verify_report r = verified(&port, (ct_verify_options){.cotangent = tiny});
    EXPECT(r.passed && !has_note(&r, "degenerate"));
    ct_verify_free(&r);
    edge = 1.9; /* one of forty numbers is above, there are twelve in a draw */
    for (uint64_t seed = 0; seed < 20; seed++) {
        r = verified(&port, (ct_verify_options){.seed = seed});
        EXPECT(!r.passed && r.n_notes && strstr(r.notes[0].text, "x: order 1 differs by"));
        ct_verify_free(&r);
    }
}

/* --- False alarms ----------------------------------------------------------------------------- */

FUNCTION(mean_f, ct_mul(ct_mean_all(x), ct_mean_all(x)))
CLOSED_OF(mean_c, ct_broadcast(ct_scale(ct_mul(dy, ct_mean_all(x)), 2 * (1.0 / 6)), ct_shape_of(x)))
FUNCTION(leaky_f, ct_maximum(x, ct_scale(x, 0.125)))
CLOSED_OF(leaky_c, ct_where(ct_greater(x, ct_scalar(ct_dtype_of(x), 0)), dy, ct_scale(dy, 0.125)))
static ct_tensor *absolute(ct_tensor *x) { return ct_abs(x); }
FUNCTION(huber_f, ct_where(ct_less_equal(absolute(x), ct_scalar(ct_dtype_of(x), 1)),
                           ct_scale(ct_square(x), 0.5), ct_offset(absolute(x), -0.5)))
CLOSED_OF(huber_c, ct_mul(dy, ct_clip(x, -1, 1)))
FUNCTION(softmax_f, ct_softmax(x, -1))
static ct_tensor *softmax_back(ct_tensor *x, ct_tensor *dy) {
    ct_tensor *shifted = ct_sub(x, ct_stop_gradient(ct_max_keep(x, CT_AXES(-1))));
    ct_tensor *e = ct_exp(shifted), *p = ct_div(e, ct_sum_keep(e, CT_AXES(-1)));
    return ct_mul(p, ct_sub(dy, ct_sum_keep(ct_mul(dy, p), CT_AXES(-1))));
}
CLOSED_OF(softmax_c, softmax_back(x, dy))

TEST(verify, right_formulas_are_never_refused) {
    static const ct_claim_input x[] = {{.name = "x", .shape = {2, {2, 3}}}};
    const ct_claim right_ones[] = {
        {.name = "mean", .f = mean_f, .closed = mean_c, .inputs = x, .n_inputs = 1},
        {.name = "leaky", .f = leaky_f, .closed = leaky_c, .inputs = x, .n_inputs = 1},
        {.name = "huber", .f = huber_f, .closed = huber_c, .inputs = x, .n_inputs = 1},
        {.name = "softmax", .f = softmax_f, .closed = softmax_c, .inputs = x, .n_inputs = 1},
        claim,
    };
    for (uint64_t seed = 1; seed <= 200; seed++) {
        for (size_t i = 0; i < sizeof right_ones / sizeof *right_ones; i++) {
            ct_verify_options options = {.seed = seed, .orders = 1, .draws = 1, .no_mutants = true};
            ct_verify_report r = verified(&right_ones[i], options);
            if (!EXPECT(r.passed, "%s, seed %llu: %s", right_ones[i].name, (unsigned long long)seed,
                        r.n_notes ? r.notes[0].text : ""))
                ct_verify_print(stderr, &r);
            ct_verify_free(&r);
        }
    }
}

/* Rounding is luck: no draw may let a variance in one pass through. */
TEST(verify, one_pass_is_refused_whatever_the_seed) {
    static const ct_claim_mutant lossy[] = {{"one pass", one_pass, NULL, 0, "digits are lost"}};
    ct_claim of = claim;
    of.mutants = lossy, of.n_mutants = 1;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        ct_verify_report r = verified(&of, (ct_verify_options){.seed = seed, .orders = 1});
        EXPECT(r.passed && r.n_mutants && strcmp(r.mutants[0].stage, "far from 0") == 0,
               "seed %llu: %s", (unsigned long long)seed, r.n_mutants ? r.mutants[0].stage : "");
        ct_verify_free(&r);
    }
}

/* --- What is said of a proof ------------------------------------------------------------------ */

static const ct_claim_input x23[] = {{.name = "x", .shape = {2, {2, 3}}}};

/* dy 2 x is of degree 2, an input has 2^41 values at least, and there are three draws. */
FUNCTION(square_f, ct_mul(x, x))
CLOSED_OF(square_c, ct_scale(ct_mul(dy, x), 2))

TEST(verify, says_how_likely_a_wrong_formula_passes) {
    const ct_claim square = {
        .name = "square", .f = square_f, .closed = square_c, .inputs = x23, .n_inputs = 1};
    ct_verify_report r = verified(&square, (ct_verify_options){.orders = 1, .no_mutants = true});
    EXPECT(r.passed && r.log2_missed == 3 * (1 - 41), "%g", r.log2_missed);
    EXPECT(has_note(&r, "passes 3 draws with probability at most 2^-120"));
    ct_verify_free(&r);
    r = verified(&claim, (ct_verify_options){.orders = 3, .no_mutants = true});
    EXPECT(r.passed && r.log2_missed < -40, "%g", r.log2_missed);
    ct_verify_free(&r);
}

/* --- Errors ----------------------------------------------------------------------------------- */

static ct_status of_wrong_shape(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                                ct_tensor *out[]) {
    (void)context, (void)n, (void)dy;
    out[0] = in[1];
    return CT_OK;
}

static ct_status that_gives_up(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                               ct_tensor *out[]) {
    (void)context, (void)n;
    out[0] = ct_mul(dy, in[0]);
    return CT_ERR_STATE;
}

/* Right and rounded: bits that are equal prove nothing about the formulas. */
static ct_tensor *rounded(ct_tensor *x) { return ct_cast(ct_cast(x, CT_F64), ct_dtype_of(x)); }
FUNCTION(rounded_f, rounded(ct_mul(rounded(x), rounded(x))))
CLOSED_OF(rounded_c, rounded(ct_scale(ct_mul(dy, x), 2)))

static ct_tensor *nothing(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)in, (void)n;
    return NULL;
}

static void expect_refusal(const ct_claim *of, ct_verify_options options, ct_status status,
                           const char *message) {
    ct_verify_report r;
    EXPECT(ct_verify(of, options, &r) == status, "%s", ct_error_message());
    expect_error(status, message);
    EXPECT(r.n_rows == 0 && r.rows == NULL);
}

TEST(verify, errors_name_what_is_wrong) {
    ct_claim c = claim;
    expect_refusal(NULL, (ct_verify_options){0}, CT_ERR_NULL, "ct_verify: 'claim' is NULL");
    c.closed = NULL;
    expect_refusal(&c, (ct_verify_options){0}, CT_ERR_NULL,
                   "ct_verify: batch_norm: 'claim->closed' or 'claim->arrays' must be given");
    c.closed = of_wrong_shape;
    expect_refusal(
        &c, (ct_verify_options){0}, CT_ERR_SHAPE,
        "ct_verify: batch_norm: the closed form's cotangent of 'x' is [2], 'x' is [6,2]");
    c.closed = that_gives_up;
    expect_refusal(&c, (ct_verify_options){0}, CT_ERR_STATE,
                   "ct_verify: batch_norm: the closed form returned an error");
    c = claim;
    expect_refusal(&c, (ct_verify_options){.orders = 4}, CT_ERR_RANGE,
                   "ct_verify: orders needs 1..3, got 4");
    c.n_inputs = 0;
    expect_refusal(&c, (ct_verify_options){0}, CT_ERR_RANGE,
                   "ct_verify: batch_norm: needs 1..16 inputs, got 0");
    c = claim;
    c.f = nothing;
    expect_refusal(&c, (ct_verify_options){0}, CT_ERR_NULL, "ct_verify: batch_norm: f gave NULL");
    const ct_claim through_f64 = {
        .name = "rounded", .f = rounded_f, .closed = rounded_c, .inputs = x23, .n_inputs = 1};
    expect_refusal(&through_f64, (ct_verify_options){0}, CT_ERR_DTYPE,
                   "ct_verify: rounded: f or the closed form computes in f64 what the inputs' type "
                   "should be");
    const ct_claim_input deep[] = {{.name = "x", .shape = {99, {1}}}};
    const ct_claim too_deep = {
        .name = "deep", .f = square_f, .closed = square_c, .inputs = deep, .n_inputs = 1};
    expect_refusal(&too_deep, (ct_verify_options){0}, CT_ERR_SHAPE,
                   "ct_verify: rank must be 0..8, got 99");
    ct_tensor *lost = ct_full(CT_F64, CT_SHAPE(ROWS, CHANNELS), NAN);
    expect_refusal(&claim, (ct_verify_options){.cotangent = lost}, CT_ERR_RANGE,
                   "ct_verify: batch_norm: the cotangent is NaN at [0]");
    static const ct_claim_mutant of_order_7[] = {{"seventh", NULL, no_mean, 7, NULL}};
    static const ct_claim_mutant nameless[] = {{NULL, NULL, no_mean, 1, NULL}};
    c = claim;
    c.mutants = of_order_7, c.n_mutants = 1;
    expect_refusal(&c, (ct_verify_options){0}, CT_ERR_RANGE,
                   "ct_verify: batch_norm: mutant 'seventh': order needs 0..3, got 7");
    c.mutants = nameless;
    expect_refusal(&c, (ct_verify_options){0}, CT_ERR_NULL,
                   "ct_verify: batch_norm: mutant 0 has no name");
    c.n_mutants = -5;
    expect_refusal(&c, (ct_verify_options){0}, CT_ERR_RANGE,
                   "ct_verify: batch_norm: n_mutants needs >= 0, got -5");
    static const ct_claim_input twins[] = {{.name = "x", .shape = {1, {2}}},
                                           {.name = "x", .shape = {1, {2}}}};
    c = claim;
    c.inputs = twins, c.n_inputs = 2;
    expect_refusal(&c, (ct_verify_options){0}, CT_ERR_RANGE,
                   "ct_verify: batch_norm: inputs 0 and 1 are both 'x'");
    c = claim;
    c.closed = NULL, c.arrays = over_arrays;
    expect_refusal(&c, (ct_verify_options){.orders = 2}, CT_ERR_RANGE,
                   "ct_verify: batch_norm: a closed form over arrays is compared at order 1, got "
                   "orders = 2");
    ct_tensor *narrow = ct_full(CT_F64, CT_SHAPE(3), 1);
    expect_refusal(&claim, (ct_verify_options){.cotangent = narrow}, CT_ERR_SHAPE,
                   "ct_verify: batch_norm: the cotangent is [3], the value of f [6,2]");
}

/* --- Documents -------------------------------------------------------------------------------- */

static void expect_document(ct_status (*writer)(FILE *, const ct_verify_report *, int64_t),
                            const ct_verify_report *r, const char *const parts[]) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    EXPECT(writer(out, r, 1) == CT_OK, "%s", ct_error_message());
    fclose(out);
    for (; *parts; parts++) EXPECT(strstr(text, *parts), "no %s in %s", *parts, text);
    free(text);
}

static ct_status nothing_alike(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                               ct_tensor *out[]) {
    (void)context, (void)n;
    out[0] = ct_mul(ct_square(dy), ct_offset(in[0], 0.3));
    return ct_error();
}

static ct_status print_one(FILE *out, const ct_verify_report *r, int64_t n) {
    (void)n;
    return ct_verify_print(out, r);
}

TEST(verify, documents_say_what_the_report_says) {
    ct_claim odd = claim;
    odd.name = "a <\"b\">";
    ct_verify_report r = verified(&odd, (ct_verify_options){.orders = 1});
    expect_document(ct_verify_write_json, &r,
                    (const char *const[]){"\"verdict\": \"pass\"", "\"name\": \"a <\\\"b\\\">\"",
                                          "\"order\": 1, \"exact\": true", "\"mutants\": 17",
                                          "\"killed\": 17", NULL});
    expect_document(
        ct_verify_write_junit, &r,
        (const char *const[]){"tests=\"20\" failures=\"0\"", "a &lt;&quot;b&quot;&gt;", NULL});
    expect_document(ct_verify_write_html, &r,
                    (const char *const[]){"<h2>a &lt;", "17 of 17 mutants refused", "<svg ", NULL});
    expect_document(print_one, &r,
                    (const char *const[]){"the derived gradient is the closed form",
                                          "mutants: 17 of 17 refused", NULL});
    ct_verify_free(&r);
    odd.closed = no_mean, odd.name = "bell \a, cut \xc3";
    r = verified(&odd, (ct_verify_options){.orders = 1});
    expect_document(ct_verify_write_json, &r,
                    (const char *const[]){"\"name\": \"bell \xef\xbf\xbd, cut \xef\xbf\xbd\"",
                                          "\"verdict\": \"fail\"", "\"exact\": false",
                                          "the term through 'mean' is missing", NULL});
    expect_document(ct_verify_write_junit, &r,
                    (const char *const[]){"failures=\"1\"", "the term through",
                                          "classname=\"bell \xef\xbf\xbd, cut", NULL});
    expect_document(ct_verify_write_html, &r,
                    (const char *const[]){"<svg ", "WRONG in the closed form",
                                          "<p>the first difference: order 1 of x", NULL});
    ct_verify_free(&r);
    odd.closed = nothing_alike; /* no term is right where none explains it */
    r = verified(&odd, (ct_verify_options){.orders = 1});
    char *page = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&page, &length);
    EXPECT(ct_verify_write_html(out, &r, 1) == CT_OK);
    fclose(out);
    EXPECT(strstr(page, "no known term") && strstr(page, "<svg ") && !strstr(page, ">right<"));
    free(page);
    ct_verify_free(&r);
    odd.closed = no_mean;
    odd.name = "a\x01\tb\x1b[2J";
    r = verified(&odd, (ct_verify_options){.orders = 1});
    expect_document(ct_verify_write_junit, &r,
                    (const char *const[]){"a\xef\xbf\xbd\tb\xef\xbf\xbd[2J", NULL});
    expect_document(ct_verify_write_html, &r,
                    (const char *const[]){"a\xef\xbf\xbd\tb\xef\xbf\xbd[2J", NULL});
    expect_document(print_one, &r, (const char *const[]){"a\xef\xbf\xbd\tb\xef\xbf\xbd[2J", NULL});
    ct_verify_free(&r);
}
