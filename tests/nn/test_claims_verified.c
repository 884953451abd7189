/* The claims that come with the library: all hold, exactly and numerically, at every order; every
 * mutant is refused by the stage that can see it; what the reports say is wrong is what is wrong.
 * That closed forms are right in f64 is in test_claims.c, what ct_verify does in
 * tests/autograd/verify/.
 * Invariant: a mutant is a formula that a person may write, not an edit of a right one. */
#include "nn/claims.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#define LEAST_MUTANTS 40
#define LEAST_NAMED 190 /* of the listed ones, by what the report says is wrong */

/* More than the input: a term, an op, a factor. */
static bool names_it(const char *says) {
    return says && strlen(says) >= 2 && strcmp(says + strlen(says) - 2, ": ") != 0;
}

static bool stage_fits(const ct_claim_mutant *wanted, const char *stage) {
    static const char *const exact[] = {"", "exact, order 1", "exact, order 2", "exact, order 3"};
    if (wanted->order) return strcmp(stage, exact[wanted->order]) == 0;
    return strcmp(stage, "numeric") == 0 || strcmp(stage, "far from 0") == 0;
}

static void check_rows(const ct_verify_report *r) {
    bool seen[CT_VERIFY_ORDERS + 1] = {0};
    for (int64_t k = 0; k < r->n_rows; k++) {
        const ct_verify_row *row = &r->rows[k];
        seen[row->order] = true;
        EXPECT(row->tried && row->exact && row->error_f64 <= 1e-12, "%s: order %d of %s: %g",
               r->claim, row->order, row->input, row->error_f64);
    }
    EXPECT(seen[1] && seen[2] && seen[3], "%s", r->claim);
}

TEST(claims_verified, all_hold_and_refuse_what_is_wrong) {
    int64_t n, mutants = 0, named = 0;
    const ct_claim *const *claims = ct_claims(&n);
    for (int64_t i = 0; i < n; i++) {
        ct_verify_report r;
        ct_verify_options options = {.orders = CT_VERIFY_ORDERS, .seed = support_seed(1)};
        if (!EXPECT(ct_verify(claims[i], options, &r) == CT_OK, "%s: %s", claims[i]->name,
                    ct_error_message()))
            continue;
        if (!EXPECT(r.passed, "%s", claims[i]->name)) ct_verify_print(stderr, &r);
        check_rows(&r);
        for (int64_t k = 0; k < claims[i]->n_mutants && k < r.n_mutants; k++) {
            const ct_claim_mutant *wanted = &claims[i]->mutants[k];
            const ct_verify_mutant *m = &r.mutants[k];
            EXPECT(m->killed && stage_fits(wanted, m->stage), "%s: %s: %s", claims[i]->name,
                   wanted->name, m->stage);
            EXPECT(m->named, "%s: %s: %s", claims[i]->name, wanted->name, m->says.text);
            mutants++;
            named += names_it(wanted->says) && !strstr(m->says.text, "no known");
        }
        ct_verify_free(&r);
    }
    printf("%lld claims, %lld mutants, %lld of them with what is wrong\n", (long long)n,
           (long long)mutants, (long long)named);
    EXPECT(mutants >= LEAST_MUTANTS && named >= LEAST_NAMED);
}

/* Libraries whose formulas were wrong when these mutants were written, and what sees it: an order,
 * or 0, where algebra is right and digits are lost. */
static const struct {
    const char *library;
    int order;
} field[] = {{"tiny-dnn", 1}, {"darknet", 1}, {"AIfES", 1},         {"libnnc", 1},
             {"nnabla", 0},   {"PyTorch", 3}, {"tf.nn.moments", 2}, {"tinygrad", 2}};
enum { FIELD = sizeof field / sizeof *field };

TEST(claims_verified, refuse_what_libraries_have_shipped) {
    static const char *const names[] = {"batch_norm", "batch_norm_inference"};
    int seen[FIELD] = {0};
    for (int i = 0; i < 2; i++) {
        const ct_claim *claim = ct_claim_named(names[i]);
        ct_verify_report r;
        if (!EXPECT(claim && ct_verify(claim, (ct_verify_options){.orders = 1}, &r) == CT_OK, "%s",
                    ct_error_message()))
            continue;
        for (int64_t k = 0; k < claim->n_mutants && k < r.n_mutants; k++) {
            const ct_claim_mutant *m = &claim->mutants[k];
            for (int f = 0; f < FIELD; f++) {
                if (!strstr(m->name, field[f].library)) continue;
                seen[f]++;
                EXPECT(m->order == field[f].order && r.mutants[k].killed &&
                           stage_fits(m, r.mutants[k].stage),
                       "%s: %s", m->name, r.mutants[k].stage);
            }
        }
        ct_verify_free(&r);
    }
    for (int f = 0; f < FIELD; f++) EXPECT(seen[f] > 0, "%s", field[f].library);
}

static void expect_parts(ct_status (*writer)(FILE *, const ct_verify_report *, int64_t),
                         const ct_verify_report *reports, const char *const parts[]) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    MADE(out);
    OK(writer(out, reports, 2));
    fclose(out);
    const char *at = text;
    for (; *parts && at; parts++) {
        const char *found = strstr(at, *parts);
        EXPECT(found != NULL, "no %s in %s", *parts, at);
        at = found;
    }
    free(text);
}

/* In this order, of two claims. */
TEST(claims_verified, documents_of_several) {
    ct_verify_report r[2];
    ct_verify_options options = {.orders = 2};
    OK(ct_verify(ct_claim_named("dense"), options, &r[0]));
    OK(ct_verify(ct_claim_named("huber"), options, &r[1]));
    expect_parts(ct_verify_write_json, r,
                 (const char *const[]){
                     "{\"verdict\": \"pass\", \"claims\": [\n  {\"name\": \"dense\"",
                     "\"order\": 1, \"exact\": true",
                     "\"worst_relative_error\": ", "\"mutants\": 5, \"killed\": 5",
                     "{\"name\": \"dense\", \"order\": 2, \"exact\": true",
                     "{\"name\": \"huber\", \"order\": 1", "{\"name\": \"huber\", \"order\": 2",
                     "\n], \"mutants\": ", ", \"killed\": ", ", \"worst_relative_error\": ", NULL});
    expect_parts(ct_verify_write_html, r,
                 (const char *const[]){"color-scheme:light dark", "<a href=\"#c0\">dense</a>",
                                       "x kernel + bias", "<td>equal<td>equal<td>", "<td>5/5",
                                       "<a href=\"#c1\">huber</a>", "<a id=c0></a>",
                                       "<a id=c1></a>", NULL});
    for (int i = 0; i < 2; i++) ct_verify_free(&r[i]);
}
