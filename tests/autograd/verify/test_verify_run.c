/* ct_verify_run: its exit status, and what it prints, for claims that hold, are refused, or cannot
 * be tried, and where nothing can be printed. */
#include "autograd/ops.h"
#include "autograd/verify.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

static ct_tensor *square(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_mul(in[0], in[0]);
}
static ct_status right(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                       ct_tensor *out[]) {
    (void)context, (void)n;
    out[0] = ct_scale(ct_mul(dy, in[0]), 2);
    return ct_error();
}
static ct_status wrong(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                       ct_tensor *out[]) {
    (void)context, (void)n;
    out[0] = ct_mul(dy, in[0]);
    return ct_error();
}
static void of_arrays(void *context, const double *const in[], int64_t n, const double *dy,
                      double *const out[]) {
    (void)context, (void)n;
    for (int i = 0; i < 3; i++) out[0][i] = 2 * dy[i] * in[0][i];
}

static const ct_claim_input x = {.name = "x", .shape = {1, {3}}};
static const ct_claim claim = {
    .name = "square", .f = square, .closed = right, .inputs = &x, .n_inputs = 1};

/* What is printed has to hold `says`. */
static void expect_run(const ct_claim *of, ct_verify_options options, int status,
                       const char *says) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    MADE(out);
    EXPECT(ct_verify_run(out, of, options) == status, "%s", says);
    fclose(out);
    EXPECT(strstr(text, says) != NULL, "%s: %s", says, text);
    free(text);
    EXPECT((ct_error() != CT_OK) == (status == 2), "%s", ct_error_message());
    ct_error_clear();
}

TEST(verify_run, the_status_is_what_the_report_says) {
    ct_verify_options plain = {0};
    expect_run(&claim, plain, 0, "square: the derived gradient is the closed form\n");
    expect_run(&claim, plain, 0, "mutants: none");
    ct_claim other = claim;
    other.closed = wrong;
    expect_run(&other, plain, 1, "square: REFUSED\n");
    expect_run(&other, plain, 1, "x: all of it has the factor 1/2");
    other.closed = NULL, other.arrays = of_arrays;
    expect_run(&other, plain, 0, "compared in f64 alone");
}

TEST(verify_run, what_cannot_be_tried_is_said) {
    ct_claim other = claim;
    other.f = NULL;
    expect_run(&other, (ct_verify_options){0}, 2, "ct_verify_run: 'claim->f' is NULL\n");
    expect_run(NULL, (ct_verify_options){0}, 2, "ct_verify_run: 'claim' is NULL\n");
    expect_run(&claim, (ct_verify_options){.orders = 4}, 2,
               "ct_verify_run: orders needs 1..3, got 4\n");
    EXPECT(ct_verify_run(NULL, &claim, (ct_verify_options){0}) == 2);
    expect_error(ct_error(), "ct_verify_run: 'out' is NULL");
}

TEST(verify_run, a_report_that_was_not_written_proves_nothing) {
    FILE *full = fopen("/dev/full", "w");
    MADE(full);
    EXPECT(ct_verify_run(full, &claim, (ct_verify_options){0}) == 2);
    expect_error(ct_error(), "ct_verify_run: writing failed");
    fclose(full);
}
