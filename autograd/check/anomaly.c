/* The first NaN or infinity of a graph, by name.
 * It computes nothing; replay.c does. It knows no op.
 * Invariant: the report depends on the graph and its values alone, not on the order of the roots:
 * "first" is the order of construction, in which every node comes after its operands. */
#include "autograd/anomaly.h"

#include "autograd/check/replay.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/graph/walk.h"
#include "tensor/io/writer.h"

#include <math.h>
#include <string.h>

/* What is known of a value when it is gone. */
typedef struct {
    double min, max; /* of all that is no NaN */
    int64_t nans;
    int64_t nan, infinity; /* flat index of the first, or -1 */
    double infinite;       /* the first infinity */
    bool reaches;          /* and not finite: leads to a root by others that are not */
} range;

typedef struct {
    cti_replay replay;
    range *ranges; /* of the replay's items */
} search;

/* --- Values ----------------------------------------------------------------------------------- */

static ct_status measure(void *context, int64_t i) {
    search *s = context;
    const ct_tensor *t = s->replay.items[i];
    range r = {.min = INFINITY, .max = -INFINITY, .nan = -1, .infinity = -1};
    for (int64_t k = 0; k < t->numel; k++) {
        double value = cti_value(t->buffer->data, t->dtype, k);
        if (isnan(value)) {
            if (r.nans++ == 0) r.nan = k;
            continue;
        }
        r.min = fmin(r.min, value);
        r.max = fmax(r.max, value);
        if (isinf(value) && r.infinity < 0) {
            r.infinity = k;
            r.infinite = value;
        }
    }
    s->ranges[i] = r;
    return CT_OK;
}

static bool is_finite(const range *r) { return r->nan < 0 && r->infinity < 0; }

/* Whether item i is where something begins that its operands do not have. */
static bool arises(const search *s, int64_t i) {
    const cti_replay *replay = &s->replay;
    const range *r = &s->ranges[i];
    bool nan = false, infinity = false;
    for (int64_t k = replay->first[i]; k < replay->first[i + 1]; k++) {
        const range *operand = &s->ranges[replay->operands[k]];
        nan |= operand->nan >= 0;
        infinity |= operand->infinity >= 0;
    }
    if (r->nan >= 0) return !nan;
    return replay->items[i]->op && r->infinity >= 0 && !nan && !infinity;
}

static void mark_reaching(search *s) {
    const cti_replay *replay = &s->replay;
    for (int64_t k = 0; k < replay->n_roots; k++) {
        range *root = &s->ranges[replay->roots[k]];
        root->reaches = !is_finite(root);
    }
    for (int64_t i = replay->n - 1; i >= 0; i--) {
        for (int64_t k = replay->first[i]; k < replay->first[i + 1] && s->ranges[i].reaches; k++) {
            range *operand = &s->ranges[replay->operands[k]];
            operand->reaches |= !is_finite(operand);
        }
    }
}

/* The first item in which something arises, one that reaches a root before others; -1: none. */
static int64_t first_of(const search *s) {
    int64_t first = -1;
    for (int64_t i = 0; i < s->replay.n; i++) {
        if (!arises(s, i)) continue;
        bool better = first < 0 || s->ranges[i].reaches > s->ranges[first].reaches;
        bool equal = !better && s->ranges[i].reaches == s->ranges[first].reaches;
        if (better || (equal && s->replay.items[i]->id < s->replay.items[first]->id)) first = i;
    }
    return first;
}

/* --- The report ------------------------------------------------------------------------------- */

static const char *word_for(double value) {
    return isnan(value) ? "NaN" : value > 0 ? "inf" : "-inf";
}

/* "x f64 [4,2]": by its name, or else by its op. */
static void put_tensor(cti_writer *out, const ct_tensor *t) {
    if (*t->name) cti_write_text(out, cti_show(t->name, strlen(t->name)).text);
    else cti_write_text(out, t->op ? t->op->name : "data");
    cti_write_format(out, " %s %s", ct_dtype_name(t->dtype), ct_shape_format(t->shape).text);
}

static void put_operand(cti_writer *out, const ct_anomaly_operand *operand) {
    put_tensor(out, operand->tensor);
    if (operand->min <= operand->max) {
        cti_write_format(out, " in [%s, %s]", cti_real_shown(operand->min, 6).text,
                         cti_real_shown(operand->max, 6).text);
    }
    if (operand->nans > 0) cti_write_format(out, " with %lld NaN", (long long)operand->nans);
}

/* "element [3,1]", of a scalar nothing. */
static void put_element(cti_writer *out, const char *before, ct_shape shape, int64_t index) {
    ct_shape at = shape;
    for (int k = shape.rank - 1; k >= 0; k--) {
        at.dims[k] = index % shape.dims[k];
        index /= shape.dims[k];
    }
    if (shape.rank > 0) cti_write_format(out, "%s%s", before, ct_shape_format(at).text);
}

static void put_input(cti_writer *out, const ct_anomaly_report *report) {
    const ct_tensor *t = report->tensor;
    cti_write_text(out, "input ");
    if (*t->name) cti_write_format(out, "'%s' ", cti_show(t->name, strlen(t->name)).text);
    cti_write_format(out, "%s %s has NaN", ct_dtype_name(t->dtype), ct_shape_format(t->shape).text);
    put_element(out, " at ", t->shape, report->index);
}

static void put_node(cti_writer *out, const ct_anomaly_report *report) {
    const ct_tensor *t = report->tensor;
    cti_write_format(out, "first %s: ", word_for(report->value));
    if (*t->name) cti_write_format(out, "'%s' = ", cti_show(t->name, strlen(t->name)).text);
    cti_write_text(out, report->op);
    if (*report->path) {
        cti_write_text(out, " in '");
        cti_write_text(out, cti_show_path(report->path).text);
        cti_write_text(out, "'");
    }
    if (report->order > 0) cti_write_format(out, " (derived, order %d)", report->order);
    else cti_write_text(out, " (forward)");
    put_element(out, ", element ", t->shape, report->index);
    for (int k = 0; k < report->n_operands; k++) {
        cti_write_text(out, k > 0 ? ", " : report->n_operands > 1 ? ": operands " : ": operand ");
        put_operand(out, &report->operands[k]);
    }
    if (t->n_inputs > report->n_operands && report->n_operands == CT_OP_INPUTS) {
        cti_write_text(out, ", ...");
    }
    if (cti_sums_elsewhere(t)) cti_write_text(out, ", and those of other ranks");
}

static ct_status put_text(ct_anomaly_report *report, bool finite) {
    cti_writer out = {0};
    if (report->tensor && !report->found) cti_write_text(&out, "gone before the roots: ");
    if (!report->tensor) {
        cti_write_text(&out, finite ? "no NaN and no infinity"
                                    : "no NaN; infinities are those of the inputs");
    } else if (report->tensor->op) {
        put_node(&out, report);
    } else {
        put_input(&out, report);
    }
    if (out.status == CT_OK) {
        snprintf(report->text, sizeof report->text, "%.*s", (int)out.used, out.text);
    }
    cti_free(out.text);
    return out.status;
}

static void describe(const search *s, int64_t i, ct_anomaly_report *report) {
    const cti_replay *replay = &s->replay;
    const ct_tensor *t = replay->items[i];
    const range *r = &s->ranges[i];
    report->found = r->reaches;
    report->tensor = t;
    report->op = t->op ? t->op->name : "";
    report->path = t->path;
    report->order = t->order;
    report->index = r->nan >= 0 ? r->nan : r->infinity;
    report->value = r->nan >= 0 ? (double)NAN : r->infinite;
    for (int64_t k = replay->first[i]; k < replay->first[i + 1]; k++) {
        if (report->n_operands == CT_OP_INPUTS) break;
        const range *operand = &s->ranges[replay->operands[k]];
        report->operands[report->n_operands++] = (ct_anomaly_operand){
            replay->items[replay->operands[k]], operand->min, operand->max, operand->nans};
    }
}

static ct_status look(search *s, ct_tensor *const roots[], int64_t n, ct_anomaly_report *report) {
    if (cti_replay_new(&s->replay, roots, n) != CT_OK) return CT_ERR_MEMORY;
    s->ranges = cti_zone_alloc(&s->replay.zone, (size_t)s->replay.n, sizeof *s->ranges);
    if (!s->ranges) return CT_ERR_MEMORY;
    if (cti_replay_run(&s->replay, measure, s) != CT_OK) return ct_error();
    mark_reaching(s);
    int64_t first = first_of(s);
    if (first >= 0) describe(s, first, report);
    bool finite = true;
    for (int64_t k = 0; k < n; k++) finite &= is_finite(&s->ranges[s->replay.roots[k]]);
    return put_text(report, finite);
}

ct_status ct_anomaly(ct_tensor *const roots[], int64_t n, ct_anomaly_report *report) {
    CTI_CALLED;
    static const char function[] = "ct_anomaly";
    if (!report) return cti_null("%s: 'report' is NULL", function);
    if (n < 1) return ct_fail(CT_ERR_RANGE, "%s: needs at least one root", function);
    if (cti_check_roots(function, roots, "n", n) != CT_OK) return ct_error();
    search s = {0};
    ct_anomaly_report made = {.op = "", .path = ""};
    ct_status status = look(&s, roots, n, &made);
    cti_replay_free(&s.replay);
    if (status == CT_OK) *report = made;
    return status;
}
