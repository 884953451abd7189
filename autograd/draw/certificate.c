/* Reports of verifications as one page that needs no other file, with the graph of each claim.
 * The documents for machines are in verify/write.c.
 * Invariant: all that comes from a report is escaped. */
#include "autograd/dot.h"
#include "autograd/verify/documents.h"
#include "autograd/verify/verify_private.h"
#include "tensor/base/caller.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Certificate</title>\n"
    "<style>:root{color-scheme:light dark}body{font:15px/1.45 "
    "system-ui,sans-serif;max-width:86em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:.6em 0}td,th{padding:.15em .7em;text-align:right;"
    "border-bottom:1px solid #8886}td:nth-child(2),th:nth-child(2),td.l,th.l{text-align:left}"
    ".no{background:#e0402033}.verdict{font-weight:600}code{font-size:14px}"
    "td.l:first-child{white-space:nowrap}details{margin:.4em 0}"
    "svg{max-width:100%;height:auto;background:#fff}</style>\n<h1>Certificate</h1>\n";

static void tagged(cti_writer *out, const char *open, const char *text, const char *close) {
    cti_write_text(out, open);
    cti_write_escaped(out, text);
    cti_write_text(out, close);
}

static void cell(cti_writer *out, double value) {
    tagged(out, "<td>", cti_column_shown(value).text, "</td>");
}

static void rows(cti_writer *out, const ct_verify_report *r) {
    cti_write_text(out, "<table><tr><th>order<th>derivative<th>exact<th>f64<th>f32<th>condition"
                        "<th>far</tr>\n");
    for (int64_t k = 0; k < r->n_rows; k++) {
        const ct_verify_row *row = &r->rows[k];
        cti_write_format(out, "<tr%s><td>%d", row->passed ? "" : " class=no", row->order);
        tagged(out, "<td>", row->input, "");
        tagged(out, "<td>", cti_exact_word(row), "");
        cell(out, row->error_f64);
        cell(out, row->error_f32);
        cell(out, row->condition);
        cell(out, row->error_far);
        cti_write_text(out, "</tr>\n");
    }
    cti_write_text(out, "</table>\n");
}

static void mutants(cti_writer *out, const ct_verify_report *r) {
    cti_write_format(out,
                     "<details><summary>%lld of %lld mutants refused</summary><table><tr>"
                     "<th class=l>refused by<th class=l>mutant<th class=l>what it says</tr>\n",
                     (long long)r->n_killed, (long long)r->n_mutants);
    for (int64_t k = 0; k < r->n_mutants; k++) {
        const ct_verify_mutant *m = &r->mutants[k];
        tagged(out, m->killed ? "<tr><td class=l>" : "<tr class=no><td class=l>", m->stage, "");
        tagged(out, "<td class=l>", m->name.text, "");
        tagged(out, "<td class=l>", m->says.text, "</tr>\n");
    }
    cti_write_text(out, "</table></details>\n");
}

/* --- The graph -------------------------------------------------------------------------------- */

/* The terms of a refused claim, in the order in which they are computed, each with a word on it. */
typedef struct {
    ct_term terms[CT_TERMS];
    ct_formula formula;
} marked_terms;

static bool is_said(const ct_verify_report *r, const char *name) {
    return r->n_notes > 0 && cti_term_is_said(&r->notes[0], name);
}

static ct_status mark_terms(marked_terms *m, const ct_verify_report *r) {
    cti_instance of = {.y = r->graph[0]};
    const char *names[CTI_TERMS];
    int64_t n = 0;
    ct_status status = cti_term_names(&of, names, &n);
    *m = (marked_terms){.formula = {.name = r->claim}};
    const char *others = ""; /* nothing is known of them where none is said */
    for (int64_t k = 0; k < n && status == CT_OK; k++)
        others = is_said(r, names[k]) ? "right" : others;
    /* Of too many, those that are said to be wrong. */
    for (int64_t k = n; k-- > 0 && status == CT_OK;) {
        bool said = is_said(r, names[k]);
        if (m->formula.n_terms == CT_TERMS || (n > CT_TERMS && !said)) continue;
        m->terms[m->formula.n_terms++] = (ct_term){.node = names[k],
                                                   .forward = names[k],
                                                   .derivative = said ? "WRONG in the closed form"
                                                                      : others};
    }
    m->formula.terms = m->terms;
    return status;
}

/* As SVG, which the caller frees; NULL without Graphviz, or where the graph is too large for it. */
static char *drawn(const ct_verify_report *r) {
    char *text = NULL;
    size_t size = 0;
    marked_terms marked;
    ct_dot_options options = {.format = "svg"};
    if (r->n_graph == 0 || mark_terms(&marked, r) != CT_OK) return NULL;
    if (!r->passed && marked.formula.n_terms) options.formula = &marked.formula;
    FILE *out = open_memstream(&text, &size);
    ct_status status = CT_ERR_MEMORY;
    if (out) {
        status = ct_dot_write(out, r->graph, r->n_graph, options);
        if (fclose(out) != 0) status = CT_ERR_MEMORY;
    }
    if (status == CT_OK) return text;
    free(text);
    return NULL;
}

/* A page without a picture is still a certificate: no error of drawing is one of writing. */
static void graph(cti_writer *out, const ct_verify_report *r) {
    bool failed_before = ct_error() != CT_OK;
    char *svg = drawn(r);
    const char *begins = svg ? strstr(svg, "<svg") : NULL;
    cti_write_format(out, "<details%s><summary>The graph, and what is derived from it</summary>\n",
                     r->passed ? "" : " open");
    if (begins) cti_write_text(out, begins);
    else tagged(out, "<p>No picture: ", failed_before ? "" : ct_error_message(), "</p>");
    cti_write_text(out, "</details>\n");
    if (!failed_before) ct_error_clear();
    free(svg);
}

/* --- The page --------------------------------------------------------------------------------- */

/* Of all rows of an order. */
static const char *exact_word(const ct_verify_report *r, int order) {
    const char *word = "";
    for (int64_t k = 0; k < r->n_rows; k++) {
        const ct_verify_row *row = &r->rows[k];
        if (row->order == order) word = cti_exact_word(row);
        if (row->order == order && !row->exact) break;
    }
    return word;
}

/* A line for each claim, which leads to its rows. */
static void overview(cti_writer *out, const ct_verify_report *reports, int64_t n) {
    cti_write_text(out, "<table><tr><th class=l>claim<th class=l>conventions<th>order 1<th>order 2"
                        "<th>order 3<th>f64<th>f32<th>condition<th>mutants</tr>\n");
    for (int64_t i = 0; i < n; i++) {
        const ct_verify_report *r = &reports[i];
        double f32 = 0, condition = 0;
        for (int64_t k = 0; k < r->n_rows; k++) {
            f32 = fmax(f32, r->rows[k].error_f32);
            condition = fmax(condition, r->rows[k].condition);
        }
        cti_write_format(out, "<tr%s><td class=l><a href=\"#c%lld\">", r->passed ? "" : " class=no",
                         (long long)i);
        tagged(out, "", r->claim, "</a>");
        tagged(out, "<td>", r->conventions ? r->conventions : "", "");
        for (int order = 1; order <= CT_VERIFY_ORDERS; order++) {
            tagged(out, "<td>", exact_word(r, order), "");
        }
        cell(out, cti_worst_error(r, 0));
        cell(out, f32);
        cell(out, condition);
        cti_write_format(out, "<td>%lld/%lld</tr>\n", (long long)r->n_killed,
                         (long long)r->n_mutants);
    }
    cti_write_text(out, "</table>\n");
}

static void page(cti_writer *out, const ct_verify_report *reports, int64_t n) {
    cti_write_text(out, head);
    cti_write_format(out, "<p class=verdict>%s</p>\n",
                     cti_all_passed(reports, n) ? "All claims hold." : "Not all claims hold.");
    if (n > 1) overview(out, reports, n);
    for (int64_t i = 0; i < n; i++) {
        const ct_verify_report *r = &reports[i];
        cti_write_format(out, "<a id=c%lld></a>", (long long)i);
        tagged(out, "<h2>", r->claim, "</h2>\n");
        if (r->conventions) tagged(out, "<p>", r->conventions, "</p>\n");
        tagged(out, "<p class=verdict>", cti_verdict(r), "</p>\n");
        for (int64_t k = 0; k < r->n_notes; k++) tagged(out, "<p>", r->notes[k].text, "</p>\n");
        rows(out, r);
        ct_verify_line difference = cti_first_difference(r);
        if (difference.text[0]) tagged(out, "<p>", difference.text, "</p>\n");
        if (r->n_mutants) mutants(out, r);
        graph(out, r);
    }
    cti_write_text(out,
                   "<p>f64: max |derived - closed| / max |closed|; f32: either side from itself "
                   "in f64, by the same norm; far: both with inputs near 1000, 32768 and -1000, in "
                   "units of what rounding of the inputs explains."
                   "</p></html>\n");
}

ct_status ct_verify_write_html(FILE *out, const ct_verify_report *reports, int64_t n) {
    CTI_CALLED;
    return cti_write_document("ct_verify_write_html", out, reports, n, page);
}
