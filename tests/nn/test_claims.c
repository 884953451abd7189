/* The shipped claims: each closed form is the derivative in f64, each mutant is not, at the order
 * that it says, by a loop of a few lines that shares nothing with ct_verify; lookup; claims on
 * modules. What ct_verify says of them is in test_claims_verified.c. */
#include "nn/claims.h"
#include "tests/support/nn_support.h"

#define MOST (CT_CLAIM_INPUTS + 1)

/* Inputs, the cotangent, and what one side makes of them. */
typedef struct {
    ct_tensor *in[MOST]; /* the cotangent last */
    ct_tensor *by[MOST]; /* cotangents of these; NULL: none is compared */
    int64_t n;
} side;

/* At order 1 of the inputs; each order further is of a random sum of the one before. */
static void derive_once_more(side *s, uint32_t salt) {
    ct_tensor *sum = ct_scalar(CT_F64, 0.0);
    for (int64_t i = 0; i <= s->n; i++) {
        if (!s->by[i]) continue;
        ct_tensor *w = centred(CT_F64, ct_shape_of(s->by[i]), salt + (uint32_t)i, 1, 0);
        sum = ct_add(sum, ct_sum_all(ct_mul(s->by[i], w)));
    }
    OK(ct_grad(sum, s->in, s->n + 1, s->by));
}

static void leave_out_fixed(side *s, const ct_claim *claim) {
    for (int64_t i = 0; i < s->n; i++) {
        if (claim->inputs[i].fixed) s->by[i] = NULL;
    }
}

static ct_tensor *drawn(const ct_claim_input *input, uint32_t salt) {
    return centred(CT_F64, input->shape, salt, input->positive ? 0.9 : 2, input->positive);
}

/* Largest |derived - closed| over the largest |closed|, of all inputs at this order. */
static double apart(const side *derived, const side *closed) {
    double worst = 0;
    for (int64_t i = 0; i <= closed->n; i++) {
        if (!derived->by[i] || !closed->by[i]) continue;
        REQUIRE(ct_shape_equal(ct_shape_of(derived->by[i]), ct_shape_of(closed->by[i])), "%lld",
                (long long)i);
        const double *wanted = ct_data_f64(closed->by[i]);
        MADE(wanted);
        worst = fmax(worst, distance(derived->by[i], wanted));
    }
    return worst;
}

/* error[k - 1] is that of order k; a function and a closed form of the claim or a mutant. */
static void measure(const ct_claim *claim, ct_function *f, ct_closed_form *closed_form, int orders,
                    double error[]) {
    side derived = {.n = claim->n_inputs}, closed;
    for (int64_t i = 0; i < derived.n; i++) {
        derived.in[i] = drawn(&claim->inputs[i], 10 + (uint32_t)i);
    }
    ct_tensor *y = f(claim->context, derived.in, derived.n);
    MADE(y);
    ct_tensor *c = derived.in[derived.n] = centred(CT_F64, ct_shape_of(y), 99, 1, 0);
    closed = derived;
    OK(ct_vjp(y, c, derived.in, derived.n, derived.by));
    OK(closed_form(claim->context, closed.in, closed.n, c, closed.by));
    for (int k = 0; k < orders; k++) {
        if (k) derive_once_more(&derived, 100 * (uint32_t)k);
        if (k) derive_once_more(&closed, 100 * (uint32_t)k);
        leave_out_fixed(&derived, claim), leave_out_fixed(&closed, claim);
        error[k] = apart(&derived, &closed);
    }
}

static void expect_mutant(const ct_claim *claim, const ct_claim_mutant *m) {
    double error[CT_VERIFY_ORDERS];
    int64_t scope = ct_scope_open();
    EXPECT(m->f || m->closed, "%s: %s", claim->name, m->name);
    measure(claim, m->f ? m->f : claim->f, m->closed ? m->closed : claim->closed, CT_VERIFY_ORDERS,
            error);
    ct_scope_close(scope);
    for (int k = 1; k <= CT_VERIFY_ORDERS; k++) {
        if (m->order == k) {
            EXPECT(!(error[k - 1] < 1e-7), "%s: %s, order %d: %g", claim->name, m->name, k,
                   error[k - 1]);
            break;
        }
        EXPECT(error[k - 1] < 1e-10, "%s: %s, order %d: %g", claim->name, m->name, k, error[k - 1]);
    }
}

static void expect_claim(const ct_claim *claim) {
    double error[CT_VERIFY_ORDERS];
    int64_t scope = ct_scope_open();
    measure(claim, claim->f, claim->closed, CT_VERIFY_ORDERS, error);
    ct_scope_close(scope);
    for (int k = 0; k < CT_VERIFY_ORDERS; k++) {
        EXPECT(error[k] < (k ? 1e-10 : 1e-12), "%s, order %d: %g", claim->name, k + 1, error[k]);
    }
}

TEST(claims, closed_forms_are_the_derivatives) {
    int64_t n;
    const ct_claim *const *claims = ct_claims(&n);
    for (int64_t i = 0; i < n; i++) expect_claim(claims[i]);
}

TEST(claims, mutants_are_not) {
    int64_t n, mutants = 0;
    const ct_claim *const *claims = ct_claims(&n);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < claims[i]->n_mutants; k++) {
            expect_mutant(claims[i], &claims[i]->mutants[k]);
            mutants++;
        }
    }
    EXPECT(mutants >= 45, "%lld", (long long)mutants);
}

/* --- The list --------------------------------------------------------------------------------- */

TEST(claims, are_found_by_name) {
    int64_t n;
    const ct_claim *const *claims = ct_claims(&n);
    EXPECT(claims && n >= 40, "%lld", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        EXPECT(ct_claim_named(claims[i]->name) == claims[i], "%s", claims[i]->name);
        EXPECT(claims[i]->conventions != NULL, "%s", claims[i]->name);
    }
    EXPECT(ct_claims(NULL) == claims);
    EXPECT(!ct_claim_named("no such") && !ct_claim_named(NULL));
}

/* Modules are made inside of claims; a program's random numbers stay what they are. */
TEST(claims, draw_no_random_numbers) {
    ct_seed_set(7);
    ct_module *first = ct_dense_new(2, 2, (ct_dense_options){0});
    MADE(first);
    uint64_t wanted = state_hash(first, NULL);
    ct_module_free(first);
    ct_seed_set(7);
    double error[1];
    int64_t n, scope = ct_scope_open();
    const ct_claim *const *claims = ct_claims(&n);
    for (int64_t i = 0; i < n; i++) measure(claims[i], claims[i]->f, claims[i]->closed, 1, error);
    ct_scope_close(scope);
    ct_module *then = ct_dense_new(2, 2, (ct_dense_options){0});
    MADE(then);
    EXPECT(state_hash(then, NULL) == wanted);
    ct_module_free(then);
}

/* --- Of a module ------------------------------------------------------------------------------ */

/* in: x, gamma, beta, moving_mean, moving_variance; the context is what the user has given. */
static ct_status given_statistics(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                                  ct_tensor *out[]) {
    ct_module_claim *of = context;
    EXPECT(n == 5);
    ct_tensor *r = ct_rsqrt(ct_offset(in[4], *(const double *)of->context));
    out[0] = ct_mul(dy, ct_mul(in[1], r));
    out[1] = ct_sum(ct_mul(dy, ct_mul(ct_sub(in[0], in[3]), r)), CT_AXES(0));
    out[2] = ct_sum(dy, CT_AXES(0));
    return ct_error();
}

static const ct_claim_input rows = {.name = "x", .shape = {2, {4, 3}}};

static void expect_rows(const ct_verify_report *report) {
    EXPECT(report->passed, "%s", report->claim);
    for (int64_t i = 0; i < report->n_rows; i++) {
        const ct_verify_row *row = &report->rows[i];
        EXPECT(row->passed && row->tried && row->exact, "%s, order %d of %s", report->claim,
               row->order, row->input);
        EXPECT(!(row->error_f64 > 1e-12), "%s, order %d of %s: %g", report->claim, row->order,
               row->input, row->error_f64);
    }
}

TEST(claims, of_a_module) {
    static double epsilon = 1e-3;
    ct_module *module = ct_batch_norm_new(3, ct_batch_norm_defaults());
    MADE(module);
    uint64_t before = state_hash(module, NULL);
    ct_claim like = {.name = "mine",
                     .closed = given_statistics,
                     .context = &epsilon,
                     .inputs = &rows,
                     .n_inputs = 1};
    ct_module_claim of;
    OK(ct_module_claim_open(&of, module, CT_INFERENCE, like));
    static const char *const names[] = {"x", "gamma", "beta", "moving_mean", "moving_variance"};
    REQUIRE(of.claim.n_inputs == 5);
    for (int i = 0; i < 5; i++) {
        EXPECT(strcmp(of.claim.inputs[i].name, names[i]) == 0, "%s", of.claim.inputs[i].name);
        EXPECT(of.claim.inputs[i].fixed == (i > 2));
        EXPECT(of.claim.inputs[i].positive == (i == 4));
    }
    expect_claim(&of.claim);
    ct_verify_report report;
    OK(ct_verify(&of.claim, (ct_verify_options){0}, &report));
    expect_rows(&report);
    ct_verify_free(&report);
    EXPECT(state_hash(module, NULL) == before);
    ct_module_claim_close(&of);
    ct_module_claim_close(&of);
    ct_module_claim_close(NULL);
    ct_module_free(module);
}

/* The mask is the same at every call, and no key is taken. */
static ct_status halves(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                        ct_tensor *out[]) {
    ct_module_claim *of = context;
    ct_tensor *mask = ct_div(of->claim.f(context, in, n), in[0]);
    out[0] = ct_mul(dy, mask);
    return ct_error();
}

TEST(claims, of_dropout) {
    ct_module *module = ct_dropout_new(0.5);
    MADE(module);
    uint64_t before = state_hash(module, NULL);
    ct_claim like = {.name = "dropout", .closed = halves, .inputs = &rows, .n_inputs = 1};
    ct_module_claim of;
    double error[1];
    OK(ct_module_claim_open(&of, module, CT_TRAINING, like));
    EXPECT(of.claim.n_inputs == 1);
    int64_t scope = ct_scope_open();
    measure(&of.claim, of.claim.f, of.claim.closed, 1, error);
    ct_scope_close(scope);
    EXPECT(error[0] < 1e-15, "%g", error[0]);
    EXPECT(state_hash(module, NULL) == before);
    ct_module_claim_close(&of);
    ct_module_free(module);
}

static void nothing_to_see(void *state, bool failed) { (void)state, (void)failed; }
static ct_status open_and_close(void *state) {
    (void)state;
    ct_module *module = ct_batch_norm_new(3, ct_batch_norm_defaults());
    if (!module) return ct_error();
    ct_module_claim of;
    ct_claim like = {.name = "mine", .closed = halves, .inputs = &rows, .n_inputs = 1};
    ct_status status = ct_module_claim_open(&of, module, CT_TRAINING, like);
    EXPECT((status == CT_OK) == (of.inputs != NULL));
    ct_module_claim_close(&of);
    ct_module_free(module);
    return status;
}
TEST(claims, of_a_module_when_memory_runs_out) {
    oom_sweep("ct_module_claim_open", open_and_close, nothing_to_see, NULL);
}

/* A claim's own function: the module that it makes is freed, and the result is NULL. */
static ct_status apply(void *state) {
    const ct_claim *claim = state;
    int64_t scope = ct_scope_open();
    ct_tensor *in[CT_CLAIM_INPUTS];
    for (int64_t i = 0; i < claim->n_inputs; i++) {
        in[i] = ct_full(CT_F64, claim->inputs[i].shape, 0.5);
    }
    bool made = ct_error() == CT_OK; /* a state that is NULL stands for zeros */
    ct_tensor *y = claim->f(claim->context, in, claim->n_inputs);
    EXPECT(!made || (y != NULL) == (ct_error() == CT_OK), "%p: %s", (void *)y, ct_error_message());
    ct_scope_close(scope);
    return ct_error();
}
TEST(claims, apply_when_memory_runs_out) {
    oom_sweep("lstm_cell", apply, nothing_to_see, (void *)(uintptr_t)ct_claim_named("lstm_cell"));
    oom_sweep("frozen", apply, nothing_to_see,
              (void *)(uintptr_t)ct_claim_named("batch_norm_frozen"));
}

TEST(claims, of_a_module_that_does_not_fit) {
    ct_module *module = small_cnn_layers(0);
    MADE(module);
    ct_module_claim of;
    ct_claim like = {.name = "mine", .closed = halves, .inputs = &rows, .n_inputs = 1};
    expect_error(ct_module_claim_open(NULL, module, CT_TRAINING, like),
                 "ct_module_claim_open: 'of' is NULL");
    expect_error(ct_module_claim_open(&of, NULL, CT_TRAINING, like),
                 "ct_module_claim_open: 'module' is NULL");
    like.inputs = NULL;
    expect_error(ct_module_claim_open(&of, module, CT_TRAINING, like),
                 "ct_module_claim_open: 'like.inputs' is NULL");
    like.inputs = &rows, like.n_inputs = 0;
    expect_error(ct_module_claim_open(&of, module, CT_TRAINING, like),
                 "ct_module_claim_open: inputs must be 1..16, got 0");
    like.n_inputs = 1;
    ct_module *deep[] = {small_cnn_layers(0), small_cnn_layers(0), module};
    ct_module *both = ct_sequential_new("deep", deep, 3);
    MADE(both);
    expect_error(ct_module_claim_open(&of, both, CT_TRAINING, like),
                 "ct_module_claim_open: more than 16 inputs and slots");
    EXPECT(!of.inputs && !of.slots.items);
    ct_module_free(both);
}
