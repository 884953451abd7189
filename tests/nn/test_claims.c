/* The shipped claims: each closed form is the derivative in f64, each mutant is not, at the order
 * that it says; lookup; claims on modules. */
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
