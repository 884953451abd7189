/* A claim's verification: its rows, its mutants, what is to be said of them.
 * The stages are in exact.c and numeric.c; how a report is written is in print.c and write.c.
 * Invariant: a report holds all that was found, or after an error nothing. */
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/walk.h"
#include "tensor/p61.h"

#include <math.h>
#include <string.h>

/* --- What is asked ---------------------------------------------------------------------------- */

static ct_status check_inputs(const ct_claim *claim) {
    if (claim->n_inputs < 1 || claim->n_inputs > CT_CLAIM_INPUTS) {
        return ct_fail(CT_ERR_RANGE, "ct_verify: %s: needs 1..%d inputs, got %lld", claim->name,
                       CT_CLAIM_INPUTS, (long long)claim->n_inputs);
    }
    for (int64_t i = 0; i < claim->n_inputs; i++) {
        if (!claim->inputs[i].name) {
            return ct_fail(CT_ERR_NULL, "ct_verify: %s: input %lld has no name", claim->name,
                           (long long)i);
        }
        for (int64_t k = 0; k < i; k++) {
            if (strcmp(claim->inputs[k].name, claim->inputs[i].name) != 0) continue;
            return ct_fail(CT_ERR_RANGE, "ct_verify: %s: inputs %lld and %lld are both '%s'",
                           claim->name, (long long)k, (long long)i, claim->inputs[i].name);
        }
        ct_status status = cti_shape_check("ct_verify", claim->inputs[i].shape, CT_P61);
        if (status != CT_OK) return status;
        if (ct_shape_numel(claim->inputs[i].shape) < 1) {
            return ct_fail(CT_ERR_SHAPE, "ct_verify: %s: input '%s' is empty: %s", claim->name,
                           claim->inputs[i].name, ct_shape_format(claim->inputs[i].shape).text);
        }
    }
    return CT_OK;
}

static ct_status check_mutants(const ct_claim *claim) {
    if (claim->n_mutants < 0) {
        return ct_fail(CT_ERR_RANGE, "ct_verify: %s: n_mutants needs >= 0, got %lld", claim->name,
                       (long long)claim->n_mutants);
    }
    for (int64_t i = 0; i < claim->n_mutants; i++) {
        const ct_claim_mutant *m = &claim->mutants[i];
        if (!m->name) {
            return ct_fail(CT_ERR_NULL, "ct_verify: %s: mutant %lld has no name", claim->name,
                           (long long)i);
        }
        if (m->order >= 0 && m->order <= CT_VERIFY_ORDERS) continue;
        return ct_fail(CT_ERR_RANGE, "ct_verify: %s: mutant '%s': order needs 0..%d, got %d",
                       claim->name, m->name, CT_VERIFY_ORDERS, m->order);
    }
    return CT_OK;
}

static ct_status check_claim(const ct_claim *claim) {
    const char *missing = !claim                                ? "claim"
                          : !claim->name                        ? "claim->name"
                          : !claim->f                           ? "claim->f"
                          : !claim->inputs                      ? "claim->inputs"
                          : claim->n_mutants && !claim->mutants ? "claim->mutants"
                                                                : NULL;
    if (missing) return ct_fail(CT_ERR_NULL, "ct_verify: '%s' is NULL", missing);
    if (!claim->closed && !claim->arrays) {
        return ct_fail(CT_ERR_NULL,
                       "ct_verify: %s: 'claim->closed' or 'claim->arrays' must be given",
                       claim->name);
    }
    ct_status status = check_inputs(claim);
    return status == CT_OK ? check_mutants(claim) : status;
}

static ct_status complete(const ct_claim *claim, ct_verify_options *o) {
    if (o->orders < 0 || o->orders > CT_VERIFY_ORDERS) {
        return ct_fail(CT_ERR_RANGE, "ct_verify: orders needs 1..%d, got %d", CT_VERIFY_ORDERS,
                       o->orders);
    }
    if (o->draws < 0) return ct_fail(CT_ERR_RANGE, "ct_verify: draws needs >= 0, got %d", o->draws);
    if (!(o->tolerance >= 0 && o->tolerance < 1)) { /* 1 is that of zeros */
        return ct_fail(CT_ERR_RANGE, "ct_verify: tolerance needs 0 <= tolerance < 1, got %g",
                       o->tolerance);
    }
    if (o->cotangent && ct_dtype_of(o->cotangent) != CT_F64) {
        return ct_fail(CT_ERR_DTYPE, "ct_verify: the cotangent needs f64, got %s",
                       ct_dtype_name(ct_dtype_of(o->cotangent)));
    }
    if (!claim->closed && o->orders > 1) {
        return ct_fail(CT_ERR_RANGE,
                       "ct_verify: %s: a closed form over arrays is compared at order 1, got "
                       "orders = %d",
                       claim->name, o->orders);
    }
    if (o->orders == 0) o->orders = claim->closed ? 2 : 1;
    if (o->draws == 0) o->draws = 3;
    if (o->tolerance == 0) o->tolerance = 1e-12;
    return CT_OK;
}

/* --- One subject ------------------------------------------------------------------------------ */

static void findings_free(cti_findings *found) {
    cti_free(found->rows);
    cti_zone_free(&found->zone);
    *found = (cti_findings){0};
}

static ct_status find_stand_ins(const cti_instance *of, cti_findings *found) {
    ct_tensor *roots[2 * CTI_PAIRS];
    cti_walk walk;
    int64_t n = cti_instance_sides(of, roots);
    ct_status status = cti_walk_new(&walk, roots, n, cti_walk_whole_graph);
    if (status != CT_OK) return status;
    for (int64_t i = 0; i < walk.count; i++) {
        const ct_op *op = walk.items[i]->op;
        found->stands_in |= op && op->algebra >= CT_POWER && op->algebra <= CT_STAND_IN;
    }
    cti_walk_free(&walk);
    return CT_OK;
}

static void take_layout(const cti_instance *of, cti_layout *layout) {
    layout->n = of->n;
    for (int64_t k = 0; k < of->n; k++) {
        layout->pairs[k].order = of->pairs[k].order;
        layout->pairs[k].input = of->pairs[k].input;
        layout->pairs[k].numel = ct_numel(of->pairs[k].derived);
    }
}

static ct_status findings_new(const cti_instance *of, cti_findings *found) {
    found->n = of->n;
    found->rows = cti_alloc((size_t)of->n, sizeof *found->rows);
    found->zero = cti_zone_alloc(&found->zone, (size_t)of->n, sizeof *found->zero);
    found->zeros = cti_zone_alloc(&found->zone, (size_t)of->n, sizeof *found->zeros);
    if (!found->rows || !found->zero || !found->zeros) return CT_ERR_MEMORY;
    for (int64_t k = 0; k < of->n; k++) {
        size_t n = (size_t)ct_numel(of->pairs[k].derived);
        found->zeros[k] = cti_zone_alloc(&found->zone, n, sizeof *found->zeros[k]);
        if (!found->zeros[k]) return CT_ERR_MEMORY;
        memset(found->zeros[k], true, n);
    }
    return CT_OK;
}

/* The rows and the layout of a subject, which an instance in f64 tells. */
static ct_status make_rows(cti_subject *s, const ct_verify_options *options, cti_findings *found) {
    cti_draw draw = {.seed = options->seed, .cotangent = options->cotangent};
    cti_instance of;
    int64_t scope = ct_scope_open();
    ct_status status = cti_instance_begin(s, CT_F64, &draw, &of);
    if (status == CT_OK) status = cti_instance_derive(s, &draw, options->orders, &of);
    if (status == CT_OK) {
        status = findings_new(&of, found);
    }
    if (status == CT_OK) status = find_stand_ins(&of, found);
    if (status == CT_OK) take_layout(&of, &s->layout);
    for (int64_t k = 0; k < of.n && status == CT_OK; k++) {
        found->rows[k].order = of.pairs[k].order;
        found->rows[k].input = cti_claim_input_name(s->claim, of.pairs[k].input);
        found->rows[k].error_far = NAN;
        found->rows[k].condition = 1;
    }
    ct_scope_close(scope);
    return status;
}

/* A difference in the field that f64 does not see says nothing where functions have stand-ins. */
static ct_status doubt(const cti_subject *s, const ct_verify_options *options,
                       cti_findings *found) {
    bool agrees = false;
    if (!found->failed_order || !found->stands_in) return CT_OK;
    ct_status status = cti_numeric_agrees(s, options, &agrees);
    if (status != CT_OK || !agrees) return status;
    for (int64_t k = 0; k < found->n; k++) found->rows[k].undecided = !found->rows[k].exact;
    found->failed_order = 0;
    found->says = (ct_verify_line){""};
    return CT_OK;
}

static ct_status try_subject(cti_subject *s, const ct_verify_options *options,
                             cti_findings *found) {
    *found = (cti_findings){0};
    s->layout.n = 0;
    ct_status status = make_rows(s, options, found);
    if (status == CT_OK && s->closed) status = cti_verify_exact(s, options, found);
    if (status == CT_OK) status = doubt(s, options, found);
    if (status == CT_OK) status = cti_verify_numeric(s, options, found);
    for (int64_t k = 0; k < found->n && status == CT_OK; k++) {
        ct_verify_row *row = &found->rows[k];
        row->passed &= row->exact || row->undecided || !s->closed;
    }
    if (status != CT_OK) findings_free(found);
    return status;
}

/* --- Mutants ---------------------------------------------------------------------------------- */

static ct_status add_mutant(ct_verify_report *report, cti_subject *s,
                            const ct_verify_options *options, const ct_claim_mutant *wanted,
                            ct_verify_line name) {
    cti_findings found;
    ct_status status = try_subject(s, options, &found);
    if (status != CT_OK) return status;
    ct_verify_mutant *m = &report->mutants[report->n_mutants++];
    static const char *const exact[] = {"none", "exact, order 1", "exact, order 2",
                                        "exact, order 3"};
    *m = (ct_verify_mutant){.name = name, .stage = exact[found.failed_order], .says = found.says};
    if (!found.failed_order && found.failed_usual) m->stage = "numeric";
    if (!found.failed_order && !found.failed_usual && found.failed_far) m->stage = "far from 0";
    m->killed = strcmp(m->stage, "none") != 0;
    m->named = !wanted || !wanted->says || strstr(m->says.text, wanted->says) != NULL;
    report->n_killed += m->killed;
    findings_free(&found);
    return CT_OK;
}

static ct_status add_listed(ct_verify_report *report, const cti_subject *s,
                            const ct_verify_options *options) {
    for (int64_t i = 0; i < s->claim->n_mutants; i++) {
        const ct_claim_mutant *m = &s->claim->mutants[i];
        cti_subject wrong = *s;
        if (m->f) wrong.f = m->f;
        if (m->closed) wrong.closed = m->closed;
        ct_verify_options all = *options;
        if (wrong.closed && all.orders < m->order) all.orders = m->order;
        ct_verify_line name;
        cti_line(&name, "%s", m->name);
        ct_status status = add_mutant(report, &wrong, &all, m, name);
        if (status != CT_OK) return status;
    }
    return CT_OK;
}

/* Whether something flows through a term, and not everything. */
static ct_status term_counts(const cti_subject *s, const cti_instance *of, const char *name,
                             bool *counts) {
    int64_t n = s->claim->n_inputs;
    ct_tensor *flow[CT_CLAIM_INPUTS], *whole[CT_CLAIM_INPUTS];
    ct_status status = cti_term_flow(s, of, name, flow);
    if (status == CT_OK) status = ct_vjp(of->y, of->x[n], of->x, n, whole);
    *counts = false;
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        if (s->claim->inputs[i].fixed) continue;
        const double *part = ct_data_f64(flow[i]), *all = ct_data_f64(whole[i]);
        if (!part || !all) return ct_error();
        bool some = false, rest = false;
        for (int64_t e = 0; e < ct_numel(flow[i]); e++) {
            some |= fabs(part[e]) > 1e-9;
            rest |= fabs(all[e] - part[e]) > 1e-9;
        }
        *counts |= some && rest;
    }
    return status;
}

static ct_status terms_that_count(const cti_subject *s, const ct_verify_options *options,
                                  const char *names[CTI_TERMS], int64_t *n) {
    cti_draw draw = {.seed = options->seed, .cotangent = options->cotangent};
    cti_instance of;
    const char *all[CTI_TERMS];
    int64_t n_all = 0;
    *n = 0;
    int64_t scope = ct_scope_open();
    ct_status status = cti_instance_begin(s, CT_F64, &draw, &of);
    if (status == CT_OK) status = cti_term_names(&of, all, &n_all);
    for (int64_t k = 0; k < n_all && status == CT_OK; k++) {
        bool counts;
        status = term_counts(s, &of, all[k], &counts);
        if (counts) names[(*n)++] = all[k];
    }
    ct_scope_close(scope);
    return status;
}

static const struct {
    double factor;
    const char *says;
} mistakes[] = {{0, "without the term through '%s'"},
                {-1, "the term through '%s' negated"},
                {2, "the term through '%s' twice"}};
enum { MISTAKES = sizeof mistakes / sizeof *mistakes };

static ct_status add_of_terms(ct_verify_report *report, const cti_subject *s,
                              const ct_verify_options *options, const char *const names[],
                              int64_t n) {
    ct_verify_options first = *options;
    first.orders = 1;
    for (int64_t k = 0; k < n * MISTAKES; k++) {
        cti_subject wrong = *s;
        wrong.term = names[k / MISTAKES];
        wrong.factor = mistakes[k % MISTAKES].factor;
        ct_verify_line name;
        const char *says = mistakes[k % MISTAKES].says, *gap = strstr(says, "%s");
        cti_line(&name, "%.*s%.60s%s", (int)(gap - says), says, wrong.term, gap + 2);
        ct_status status = add_mutant(report, &wrong, &first, NULL, name);
        if (status != CT_OK) return status;
    }
    return CT_OK;
}

static ct_status add_mutants(ct_verify_report *report, const cti_subject *s,
                             const ct_verify_options *options) {
    const char *names[CTI_TERMS];
    int64_t n = 0;
    cti_subject mutant = *s;
    mutant.right = report->rows, mutant.n_right = report->n_rows;
    ct_status status = terms_that_count(s, options, names, &n);
    if (status != CT_OK) return status;
    report->mutants = cti_alloc((size_t)(s->claim->n_mutants + n * MISTAKES),
                                sizeof *report->mutants);
    if (!report->mutants) return CT_ERR_MEMORY;
    status = add_listed(report, &mutant, options);
    return status == CT_OK ? add_of_terms(report, &mutant, options, names, n) : status;
}

/* --- Notes ------------------------------------------------------------------------------------ */

#define MOST_NOTES 16

static void note(ct_verify_report *report, const ct_verify_line *line) {
    if (report->n_notes < MOST_NOTES && line->text[0]) report->notes[report->n_notes++] = *line;
}

static ct_status note_degenerate(ct_verify_report *report, const cti_subject *s,
                                 const cti_findings *found, const ct_verify_options *options) {
    cti_degenerate degenerate = {.n = 0};
    if (found->n_roots_missing) return CT_OK;
    ct_status status = cti_verify_degenerate(s, options, found, &degenerate);
    for (int64_t k = 0; k < degenerate.n; k++) note(report, &degenerate.lines[k]);
    report->passed &= !degenerate.hidden;
    return status;
}

/* Inputs whose cotangent the closed form leaves out. */
static void note_unclaimed(ct_verify_report *report, const ct_claim *claim) {
    for (int64_t i = 0; i < claim->n_inputs; i++) {
        bool claimed = claim->inputs[i].fixed;
        for (int64_t k = 0; k < report->n_rows; k++) {
            const ct_verify_row *row = &report->rows[k];
            claimed |= row->order == 1 && row->input == claim->inputs[i].name;
        }
        ct_verify_line line;
        cti_line(&line, "nothing is claimed of the derivative with regard to %s",
                 claim->inputs[i].name);
        if (!claimed) note(report, &line);
    }
}

static void note_cancellation(ct_verify_report *report, const cti_findings *found,
                              double tolerance) {
    ct_verify_line line;
    for (int64_t k = 0; k < found->n; k++) {
        const ct_verify_row *row = &found->rows[k];
        double explained = row->condition * 0x1p-53;
        if (explained * 128 > tolerance) {
            cti_line(&line,
                     "cancellation: rounding of the inputs alone moves order %d of %s by %.0e",
                     row->order, row->input, explained);
            note(report, &line);
        } else if (row->passed && row->exact && row->error_f64 > tolerance) {
            cti_line(
                &line,
                "cancellation: order %d of %s is left of larger numbers, and rounding of those "
                "explains %.0e",
                row->order, row->input, row->error_f64);
            note(report, &line);
        }
    }
}

static void note_doubts(ct_verify_report *report, const cti_subject *s, const cti_findings *found,
                        const ct_verify_options *options) {
    ct_verify_line line;
    if (found->n_roots_missing) {
        cti_line(&line,
                 "not proved: no inputs were found whose roots all exist in the field; fewer "
                 "roots at once (smaller shapes) would help");
        note(report, &line);
    }
    if (!s->closed) {
        cti_line(&line,
                 "the closed form is one of arrays: compared in f64 alone, nothing is exact");
        note(report, &line);
    }
    note(report, &found->beyond);
    for (int64_t k = 0; k < found->n; k++) {
        if (!found->rows[k].undecided) continue;
        cti_line(&line,
                 "not decided in the field from order %d of %s on, where a function has a stand-in "
                 "that knows few of its identities; within rounding in f64, each element, at "
                 "orders 1 to %d",
                 found->rows[k].order, found->rows[k].input, options->orders);
        note(report, &line);
        break;
    }
}

static ct_status note_grounds(ct_verify_report *report, const cti_subject *s,
                              const ct_verify_options *options) {
    ct_verify_line lines[CTI_GROUNDS] = {0};
    ct_status status = cti_verify_grounds(s, options, lines, &report->untaken);
    for (int k = 0; k < CTI_GROUNDS && status == CT_OK; k++) note(report, &lines[k]);
    ct_verify_line chance = {""};
    bool exact = report->passed;
    for (int64_t k = 0; k < report->n_rows; k++) exact &= report->rows[k].exact;
    if (status == CT_OK && exact) {
        status = cti_verify_chance(s, options, &report->log2_missed, &chance);
    }
    note(report, &chance);
    return status;
}

static ct_status note_branches(ct_verify_report *report, const cti_subject *s,
                               const ct_verify_options *options) {
    ct_verify_line line = {""};
    if (!s->closed || !report->passed) return CT_OK;
    ct_status status = cti_verify_branches(s, options, &line);
    report->passed &= !line.text[0];
    note(report, &line);
    return status;
}

static ct_status note_differences(ct_verify_report *report, const cti_subject *s,
                                  const ct_verify_options *options) {
    ct_verify_line line = {""};
    ct_status status = cti_verify_differences(s, options, report, &line);
    note(report, &line);
    return status;
}

/* --- The whole -------------------------------------------------------------------------------- */

void ct_verify_free(ct_verify_report *report) {
    if (!report) return;
    cti_free(report->rows);
    cti_free(report->mutants);
    cti_free(report->notes);
    for (int64_t k = 0; k < report->n_graph; k++) ct_set(&report->graph[k], NULL);
    cti_free(report->graph);
    *report = (ct_verify_report){0};
}

/* What a picture of the claim shows. */
static ct_status keep_graph(ct_verify_report *report, const cti_subject *s,
                            const ct_verify_options *options) {
    cti_draw draw = {.seed = options->seed, .cotangent = options->cotangent};
    cti_instance of;
    int64_t scope = ct_scope_open();
    ct_status status = cti_instance_begin(s, CT_F64, &draw, &of);
    if (status == CT_OK) status = cti_instance_derive(s, &draw, 1, &of);
    if (status == CT_OK) {
        report->graph = cti_alloc((size_t)of.n + 1, sizeof *report->graph);
        if (!report->graph) status = CT_ERR_MEMORY;
    }
    for (int64_t k = 0; k <= of.n && status == CT_OK; k++) {
        report->graph[k] = NULL;
        ct_set(&report->graph[k], k ? of.pairs[k - 1].derived : of.y);
        report->n_graph = k + 1;
    }
    ct_scope_close(scope);
    return status;
}

static ct_status verify(cti_subject *s, const ct_verify_options *options,
                        ct_verify_report *report) {
    cti_findings found;
    ct_status status = try_subject(s, options, &found);
    if (status != CT_OK) return status;
    report->rows = found.rows, report->n_rows = found.n;
    report->notes = cti_alloc(MOST_NOTES, sizeof *report->notes);
    if (!report->notes) status = CT_ERR_MEMORY;
    if (status == CT_OK) {
        report->passed = !found.failed_order;
        for (int64_t k = 0; k < found.n; k++) report->passed &= found.rows[k].passed;
        note(report, &found.says);
        status = note_degenerate(report, s, &found, options);
    }
    if (status == CT_OK) {
        note_unclaimed(report, s->claim);
        note_doubts(report, s, &found, options);
        note_cancellation(report, &found, options->tolerance);
        report->passed &= !found.n_roots_missing;
        status = note_branches(report, s, options);
        if (status == CT_OK && s->closed) status = note_grounds(report, s, options);
        if (status == CT_OK) status = note_differences(report, s, options);
    }
    cti_zone_free(&found.zone);
    if (status == CT_OK) status = keep_graph(report, s, options);
    if (status == CT_OK && report->passed && !options->no_mutants) {
        status = add_mutants(report, s, options);
    }
    report->passed &= report->n_killed == report->n_mutants;
    return status;
}

/* An error of f's, of the closed form's or of an op that they call does not know of which claim. */
static ct_status name_claim(const char *claim, ct_status status) {
    char text[1024];
    const char *message = ct_error_message(), *what = strchr(message, ':');
    if (status == CT_ERR_MEMORY || !what || strncmp(message, "ct_", 3) != 0) return status;
    what += what[1] == ' ' ? 2 : 1;
    if (strncmp(what, claim, strlen(claim)) == 0) return status;
    snprintf(text, sizeof text, "ct_verify: %s: %s", claim, what);
    ct_error_clear();
    return ct_fail(status, "%s", text);
}

ct_status ct_verify(const ct_claim *claim, ct_verify_options options, ct_verify_report *report) {
    CTI_CALLED;
    if (!report) return ct_fail(CT_ERR_NULL, "ct_verify: 'report' is NULL");
    *report = (ct_verify_report){0};
    ct_status status = check_claim(claim);
    if (status == CT_OK) status = complete(claim, &options);
    if (status != CT_OK) return status;
    cti_subject s = {.claim = claim, .f = claim->f, .closed = claim->closed};
    ct_verify_report made = {.claim = claim->name, .conventions = claim->conventions};
    const ct_status before = ct_error();
    int64_t scope = ct_scope_open();
    status = verify(&s, &options, &made);
    ct_scope_close(scope);
    if (before == CT_OK && ct_error() != CT_OK) { /* the first, which later ones hide */
        status = name_claim(claim->name, ct_error());
    }
    if (status == CT_OK) *report = made;
    else ct_verify_free(&made);
    return status;
}
