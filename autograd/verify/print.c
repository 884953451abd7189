/* The report of a verification as text.
 * It verifies nothing.
 * Invariant: what is printed depends on the report alone. */
#include "autograd/verify/documents.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"

#include <math.h>

const char *cti_exact_word(const ct_verify_row *row) {
    if (!row->tried) return "not tried";
    return row->exact ? "equal" : row->undecided ? "undecided" : "DIFFERENT";
}

const char *cti_verdict(const ct_verify_report *report) {
    bool undecided = false, tried = false;
    for (int64_t k = 0; k < report->n_rows; k++) {
        undecided |= report->rows[k].undecided;
        tried |= report->rows[k].tried;
    }
    if (!report->passed) return "REFUSED";
    if (!tried) return "equal in f64, which proves less than the field";
    if (undecided) return "equal in f64, undecided in the field";
    return report->untaken ? "the derived gradient is the closed form, on branches that were taken"
                           : "the derived gradient is the closed form";
}

cti_column cti_column_shown(double value) {
    cti_column shown = {"-"};
    if (!isnan(value)) snprintf(shown.text, sizeof shown.text, "%.1e", value);
    return shown;
}

static void print_row(cti_writer *out, const ct_verify_row *row) {
    const double numbers[] = {row->error_f64, row->error_f32, row->condition, row->error_far};
    cti_write_format(out, "  %5d  %-16.16s %-10s", row->order, row->input, cti_exact_word(row));
    for (int i = 0; i < 4; i++) cti_write_format(out, " %9s", cti_column_shown(numbers[i]).text);
    cti_write_format(out, "  %s\n", row->passed ? "ok" : "WRONG");
}

ct_verify_line cti_first_difference(const ct_verify_report *report) {
    ct_verify_line line = {""};
    for (int64_t k = 0; k < report->n_rows; k++) {
        const ct_verify_row *row = &report->rows[k];
        if (row->passed || row->derived == row->closed) continue; /* it may not have been tried */
        bool small = fabs(row->derived - row->closed) < 1e-7 * fabs(row->closed);
        snprintf(line.text, sizeof line.text,
                 "the first difference: order %d of %.40s, element %lld: derived %.*g, closed %.*g",
                 row->order, row->input, (long long)row->worst, small ? 17 : 9, row->derived,
                 small ? 17 : 9, row->closed);
        break;
    }
    return line;
}

static void print_mutants(cti_writer *out, const ct_verify_report *report) {
    if (report->n_mutants == 0) {
        if (report->passed)
            cti_write_format(out, "  mutants: none; a name in f (ct_name) gives three, where a "
                                  "part of a derivative flows through it\n");
        return;
    }
    cti_write_format(out, "  mutants: %lld of %lld refused\n", (long long)report->n_killed,
                     (long long)report->n_mutants);
    for (int64_t k = 0; k < report->n_mutants; k++) {
        const ct_verify_mutant *m = &report->mutants[k];
        cti_write_format(out, "    %-14s %-44s %s\n", m->killed ? m->stage : "NOT REFUSED",
                         m->name.text, m->says.text);
    }
}

static void print_report(cti_writer *out, const ct_verify_report *report) {
    ct_verify_line difference = cti_first_difference(report);
    cti_write_text(out, report->claim);
    cti_write_format(out, ": %s", cti_verdict(report));
    if (report->conventions) {
        cti_write_text(out, " ("), cti_write_text(out, report->conventions);
        cti_write_text(out, ")");
    }
    cti_write_format(out, "\n  %5s  %-16s %-10s %9s %9s %9s %9s\n", "order", "derivative", "exact",
                     "f64", "f32", "condition", "far");
    for (int64_t k = 0; k < report->n_rows; k++) print_row(out, &report->rows[k]);
    for (int64_t k = 0; k < report->n_notes; k++) {
        cti_write_format(out, "  %s\n", report->notes[k].text);
    }
    if (difference.text[0]) cti_write_format(out, "  %s\n", difference.text);
    print_mutants(out, report);
}

/* Names of any bytes, which a terminal would obey, become text. */
static void print_plain(cti_writer *out, const ct_verify_report *reports, int64_t n) {
    cti_writer raw = {0};
    for (int64_t i = 0; i < n; i++) print_report(&raw, &reports[i]);
    cti_write_bytes(&raw, "", 1);
    if (raw.status == CT_OK) cti_write_plain(out, raw.text);
    else out->status = raw.status;
    cti_free(raw.text);
}

ct_status ct_verify_print(FILE *out, const ct_verify_report *report) {
    CTI_CALLED;
    if (!report) return ct_fail(CT_ERR_NULL, "ct_verify_print: 'report' is NULL");
    return cti_write_document("ct_verify_print", out, report, 1, print_plain);
}
