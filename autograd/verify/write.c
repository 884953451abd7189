/* Reports of verifications as documents for machines: JSON and JUnit XML.
 * The page for people is in draw/certificate.c.
 * Invariant: a number that does not exist is null in JSON, and an infinite one is not lost. */
#include "autograd/verify/documents.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/io/json.h"

#include <math.h>
#include <string.h>

ct_status cti_write_document(const char *function, FILE *out, const ct_verify_report *reports,
                             int64_t n, cti_document *document) {
    if (!out) return ct_fail(CT_ERR_NULL, "%s: 'out' is NULL", function);
    ct_status status = cti_check_array(function, "reports", reports, "n", n);
    if (status != CT_OK) return status;
    cti_writer text = {0};
    document(&text, reports, n);
    status = text.status;
    if (status == CT_OK &&
        (fwrite(text.text, 1, text.used, out) != text.used || fflush(out) != 0)) {
        status = ct_fail(CT_ERR_IO, "%s: writing failed", function);
    }
    cti_free(text.text);
    return status;
}

bool cti_all_passed(const ct_verify_report *reports, int64_t n) {
    bool passed = true;
    for (int64_t i = 0; i < n; i++) passed &= reports[i].passed;
    return passed;
}

double cti_worst_error(const ct_verify_report *report, int order) {
    double worst = 0;
    for (int64_t k = 0; k < report->n_rows; k++) {
        if (order && report->rows[k].order != order) continue;
        worst = fmax(worst, report->rows[k].error_f64);
    }
    return worst;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void number(cti_writer *out, const char *key, double value) {
    const char *infinite = value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    cti_write_format(out, ", \"%s\": %s", key,
                     isfinite(value) ? cti_real_shown(value, 6).text
                     : isnan(value)  ? "null"
                                     : infinite);
}

static void string(cti_writer *out, const char *before, const char *text) {
    cti_writer plain = {0};
    cti_write_plain(&plain, text);
    cti_write_bytes(&plain, "", 1);
    cti_write_text(out, before);
    cti_write_json_string(out, plain.text ? plain.text : "");
    if (plain.status != CT_OK) out->status = plain.status;
    cti_free(plain.text);
}

static const char *truth(bool value) { return value ? "true" : "false"; }

/* All rows of an order, as one line of the list. */
static void json_order(cti_writer *out, const ct_verify_report *r, int order) {
    bool exact = true, passed = true, any = false;
    for (int64_t k = 0; k < r->n_rows; k++) {
        if (r->rows[k].order != order) continue;
        any = true;
        exact &= r->rows[k].exact;
        passed &= r->rows[k].passed;
    }
    if (!any) return;
    if (out->used && out->text[out->used - 1] == '}') cti_write_text(out, ",");
    string(out, "\n  {\"name\": ", r->claim);
    cti_write_format(out, ", \"order\": %d, \"exact\": %s, \"passed\": %s", order, truth(exact),
                     truth(passed));
    number(out, "worst_relative_error", cti_worst_error(r, order));
    number(out, "log2_missed", r->log2_missed < 0 ? r->log2_missed : NAN);
    cti_write_format(out, ", \"differences\": %lld, \"differences_missed\": %lld",
                     (long long)r->differences, (long long)r->differences_missed);
    cti_write_format(out, ", \"mutants\": %lld, \"killed\": %lld, \"untaken\": %lld, \"rows\": [",
                     (long long)r->n_mutants, (long long)r->n_killed, (long long)r->untaken);
    for (int64_t k = 0; k < r->n_rows; k++) {
        const ct_verify_row *row = &r->rows[k];
        if (row->order != order) continue;
        if (out->text[out->used - 1] == '}') cti_write_text(out, ", ");
        string(out, "{\"derivative\": ", row->input);
        cti_write_format(out, ", \"tried\": %s, \"exact\": %s, \"undecided\": %s, \"passed\": %s",
                         truth(row->tried), truth(row->exact), truth(row->undecided),
                         truth(row->passed));
        number(out, "error_f64", row->error_f64);
        number(out, "error_f32", row->error_f32);
        number(out, "condition", row->condition);
        number(out, "error_far", row->error_far);
        cti_write_text(out, "}");
    }
    cti_write_text(out, "], \"notes\": [");
    for (int64_t k = 0; k < r->n_notes; k++) string(out, k ? ", " : "", r->notes[k].text);
    cti_write_text(out, "]}");
}

static void json(cti_writer *out, const ct_verify_report *reports, int64_t n) {
    double worst = 0;
    long long mutants = 0, killed = 0;
    cti_write_format(out, "{\"verdict\": \"%s\", \"claims\": [",
                     cti_all_passed(reports, n) ? "pass" : "fail");
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, cti_worst_error(&reports[i], 0));
        mutants += reports[i].n_mutants, killed += reports[i].n_killed;
        for (int order = 1; order <= CT_VERIFY_ORDERS; order++) json_order(out, &reports[i], order);
    }
    cti_write_format(out, "\n], \"mutants\": %lld, \"killed\": %lld", mutants, killed);
    number(out, "worst_relative_error", worst);
    cti_write_text(out, "}\n");
}

ct_status ct_verify_write_json(FILE *out, const ct_verify_report *reports, int64_t n) {
    CTI_CALLED;
    return cti_write_document("ct_verify_write_json", out, reports, n, json);
}

/* --- XML -------------------------------------------------------------------------------------- */

static void property(cti_writer *out, const char *name, const char *value) {
    cti_write_format(out, "<property name=\"%s\" value=\"%s\"/>", name, value);
}

/* The numbers of a row; of a mutant which stage refused it. */
static void properties(cti_writer *out, const ct_verify_row *row, const char *stage) {
    cti_write_text(out, "<properties>");
    if (stage) property(out, "refused by", stage);
    if (row) {
        property(out, "exact", cti_exact_word(row));
        property(out, "error_f64", cti_column_shown(row->error_f64).text);
        property(out, "error_f32", cti_column_shown(row->error_f32).text);
        property(out, "condition", cti_column_shown(row->condition).text);
        property(out, "error_far", cti_column_shown(row->error_far).text);
    }
    cti_write_text(out, "</properties>");
}

typedef struct {
    const ct_verify_row *row;
    const char *stage;
} details;

static void test_case(cti_writer *out, const char *claim, const char *name, details of, bool passed,
                      const char *why) {
    cti_write_text(out, "  <testcase classname=\"");
    cti_write_escaped(out, claim);
    cti_write_text(out, "\" name=\"");
    cti_write_escaped(out, name);
    cti_write_text(out, "\">");
    if (of.row || of.stage) properties(out, of.row, of.stage);
    if (!passed) {
        cti_write_text(out, "<failure message=\"");
        cti_write_escaped(out, why);
        cti_write_text(out, "\"/>");
    }
    cti_write_text(out, "</testcase>\n");
}

static int64_t failed_parts(const ct_verify_report *r) {
    int64_t n = r->n_mutants - r->n_killed;
    for (int64_t k = 0; k < r->n_rows; k++) n += !r->rows[k].passed;
    return n;
}

/* By finite differences, a branch, a degenerate cotangent. */
static bool fails_as_whole(const ct_verify_report *r) { return !r->passed && !failed_parts(r); }

static void junit(cti_writer *out, const ct_verify_report *reports, int64_t n) {
    long long tests = 0, failures = 0;
    for (int64_t i = 0; i < n; i++) {
        tests += reports[i].n_rows + reports[i].n_mutants + fails_as_whole(&reports[i]);
        failures += failed_parts(&reports[i]) + fails_as_whole(&reports[i]);
    }
    cti_write_format(out,
                     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"cotan verify\" "
                     "tests=\"%lld\" failures=\"%lld\">\n",
                     tests, failures);
    for (int64_t i = 0; i < n; i++) {
        const ct_verify_report *r = &reports[i];
        for (int64_t k = 0; k < r->n_rows; k++) {
            ct_verify_line name;
            snprintf(name.text, sizeof name.text, "order %d of %.100s", r->rows[k].order,
                     r->rows[k].input);
            test_case(out, r->claim, name.text, (details){.row = &r->rows[k]}, r->rows[k].passed,
                      r->n_notes ? r->notes[0].text : "different");
        }
        if (fails_as_whole(r)) {
            test_case(out, r->claim, "the claim", (details){0}, false,
                      r->n_notes ? r->notes[0].text : "refused");
        }
        for (int64_t k = 0; k < r->n_mutants; k++) {
            const ct_verify_mutant *m = &r->mutants[k];
            test_case(out, r->claim, m->name.text, (details){.stage = m->stage}, m->killed,
                      "a wrong formula was not refused");
        }
    }
    cti_write_text(out, "</testsuite>\n");
}

ct_status ct_verify_write_junit(FILE *out, const ct_verify_report *reports, int64_t n) {
    CTI_CALLED;
    return cti_write_document("ct_verify_write_junit", out, reports, n, junit);
}
