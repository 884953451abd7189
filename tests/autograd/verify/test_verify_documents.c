/* Reports as JSON and JUnit XML: each number is there, also one that is infinite, mutants are
 * counted once, and what was not tried or not taken is said. Escapes are in test_verify.c.
 * Invariant: reports are written here by hand, so that each number is known. */
#include "tests/support/verify_support.h"

#include <math.h>
#include <stdlib.h>

typedef ct_status writer(FILE *, const ct_verify_report *, int64_t);

static char *written(writer *write, const ct_verify_report *reports, int64_t n) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    MADE(out);
    EXPECT(write(out, reports, n) == CT_OK, "%s", ct_error_message());
    fclose(out);
    return text;
}

static void expect_parts(writer *write, const ct_verify_report *reports, int64_t n,
                         const char *const parts[]) {
    char *text = written(write, reports, n);
    for (; *parts; parts++) EXPECT(strstr(text, *parts), "no %s in %s", *parts, text);
    free(text);
}

static ct_verify_row rows[] = {
    {.order = 1,
     .input = "x",
     .tried = true,
     .exact = true,
     .passed = true,
     .error_f64 = 0.5,
     .error_f32 = 0.25,
     .condition = 2,
     .error_far = 8},
    {.order = 2,
     .input = "x",
     .tried = false,
     .passed = false,
     .error_f64 = INFINITY,
     .error_f32 = -INFINITY,
     .condition = 2,
     .error_far = NAN},
};
static ct_verify_mutant mutants[] = {
    {.name = {"half"}, .killed = true, .stage = "exact, order 1"},
    {.name = {"right"}, .killed = false, .stage = "none"},
};
static ct_verify_report report = {.claim = "mine",
                                  .rows = rows,
                                  .n_rows = 2,
                                  .mutants = mutants,
                                  .n_mutants = 2,
                                  .n_killed = 1,
                                  .untaken = 3};

TEST(verify_documents, json_loses_no_number) {
    expect_parts(
        ct_verify_write_json, &report, 1,
        (const char *const[]){
            "{\"derivative\": \"x\", \"tried\": true, \"exact\": true, \"undecided\": false, "
            "\"passed\": true, \"error_f64\": 0.5, \"error_f32\": 0.25, \"condition\": 2, "
            "\"error_far\": 8}",
            "{\"derivative\": \"x\", \"tried\": false, \"exact\": false, \"undecided\": false, "
            "\"passed\": false, \"error_f64\": \"Infinity\", \"error_f32\": \"-Infinity\", "
            "\"condition\": 2, \"error_far\": null}",
            "\"order\": 2, \"exact\": false, \"passed\": false, "
            "\"worst_relative_error\": \"Infinity\"",
            "\"untaken\": 3",
            "], \"mutants\": 2, \"killed\": 1, \"worst_relative_error\": ", NULL});
}

/* Each of two claims has two orders and two mutants. */
TEST(verify_documents, json_counts_each_mutant_once) {
    const ct_verify_report both[] = {report, report};
    expect_parts(ct_verify_write_json, both, 2,
                 (const char *const[]){"\n], \"mutants\": 4, \"killed\": 2", NULL});
}

TEST(verify_documents, junit_has_the_numbers) {
    expect_parts(
        ct_verify_write_junit, &report, 1,
        (const char *const[]){
            "tests=\"4\" failures=\"2\"",
            "name=\"order 1 of x\"><properties><property name=\"exact\" value=\"equal\"/>"
            "<property name=\"error_f64\" value=\"5.0e-01\"/>"
            "<property name=\"error_f32\" value=\"2.5e-01\"/>"
            "<property name=\"condition\" value=\"2.0e+00\"/>"
            "<property name=\"error_far\" value=\"8.0e+00\"/></properties></testcase>",
            "<property name=\"error_f64\" value=\"inf\"/>",
            "name=\"half\"><properties><property name=\"refused by\" value=\"exact, order 1\"/>",
            "<property name=\"refused by\" value=\"none\"/></properties><failure message=\"a wrong "
            "formula was not refused\"/></testcase>",
            NULL});
}

/* --- A branch that no draw takes -------------------------------------------------------------- */

static ct_status print_one(FILE *out, const ct_verify_report *r, int64_t n) {
    (void)n;
    return ct_verify_print(out, r);
}
static ct_tensor *above(ct_tensor *x, double edge) {
    return ct_greater(x, ct_scalar(ct_dtype_of(x), edge));
}
FUNCTION(twice_f, ct_where(above(x, 100), ct_scale(x, 3), ct_scale(x, 2)))
CLOSED_OF(twice_c, ct_where(above(x, 100), ct_scale(dy, 3), ct_scale(dy, 2)))

TEST(verify_documents, a_branch_that_no_draw_takes_is_part_of_the_verdict) {
    static const ct_claim_input near = {.name = "x", .shape = {1, {3}}, .near = true};
    const ct_claim of = {
        .name = "far", .f = twice_f, .closed = twice_c, .inputs = &near, .n_inputs = 1};
    ct_verify_report r = verified(&of, (ct_verify_options){.orders = 1});
    static const char verdict[] =
        "the derived gradient is the closed form, on branches that were taken";
    EXPECT(r.passed && r.untaken > 0 && has_note(&r, "one branch of greater(x, 100)"));
    expect_parts(print_one, &r, 1, (const char *const[]){verdict, NULL});
    expect_parts(ct_verify_write_html, &r, 1, (const char *const[]){verdict, NULL});
    expect_parts(ct_verify_write_json, &r, 1,
                 (const char *const[]){"\"untaken\": ", "was never taken", NULL});
    ct_verify_free(&r);
}
