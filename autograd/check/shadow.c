/* The precision shadow: f64 beside f32, and where they part.
 * It knows no rule of any op: the twin of a node is the same op on the twins of its operands.
 * Invariant: both sides take the same branches, since what no gradient goes to is the f32 value on
 * both; so every difference is rounding, or that of the range. */
#include "autograd/shadow.h"

#include "autograd/check/replay.h"
#include "autograd/derive/derive_private.h"
#include "autograd/ops.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/graph/walk.h"

#include <math.h>
#include <stdlib.h>

#define UNIT 0x1p-24 /* f32's unit roundoff */
#define NOISE 0x1p20 /* 2^-53 / 2^-24 of this is 2^-9: what f64 itself is off by */
#define LOSSY 0x1p12 /* half of the 24 bits */

/* What is known of a node when its values are gone. */
typedef struct {
    double error;
    double reaching; /* the part of the bounded error that reaches a root */
    bool noise;
} part;

typedef struct {
    cti_replay replay;
    ct_tensor **twins; /* f64 leaves, of integers the value; owned until they were read */
    part *parts;
    int64_t unshadowed;
} shadowing;

/* --- Twins ------------------------------------------------------------------------------------ */

static bool is_float(const ct_tensor *t) { return ct_dtype_is_float(t->dtype); }

/* t's own value as that of its twin. */
static ct_tensor *as_it_is(ct_tensor *t) {
    if (t->dtype == CT_F32) return ct_cast(t, CT_F64);
    return cti_marked(cti_leaf_over(t->buffer, t->dtype, t->shape), cti_mark_of(t));
}

/* The same op on twins. */
typedef struct {
    const ct_tensor *t;
    ct_tensor **inputs, *twin;
} call;

static ct_status compute(void *context) {
    call *c = context;
    const ct_tensor *t = c->t;
    c->twin = cti_node_marked(t->op, c->inputs, t->n_inputs, t->attr, t->attr_size, cti_mark_of(t));
    return c->twin ? ct_eval(&c->twin, 1) : ct_error();
}

/* A view passes elements on: it picks no branch by them, whether or not a gradient goes through. */
static bool is_branch(const ct_tensor *t, int k) {
    return t->op->kind != CT_VIEW && k < CT_OP_INPUTS && t->op->vjp[k] == ct_no_gradient;
}

static ct_status call_on_twins(shadowing *s, int64_t i, ct_tensor **twin) {
    ct_tensor *t = s->replay.items[i];
    call c = {.t = t, .inputs = cti_alloc((size_t)t->n_inputs, sizeof *c.inputs)};
    ct_status status = c.inputs ? CT_OK : CT_ERR_MEMORY;
    for (int k = 0; k < t->n_inputs && status == CT_OK; k++) {
        ct_tensor *of = s->twins[s->replay.operands[s->replay.first[i] + k]];
        c.inputs[k] = is_branch(t, k) ? as_it_is(t->inputs[k]) : of;
        if (!c.inputs[k]) status = ct_error();
    }
    if (status == CT_OK) status = cti_try(compute, &c);
    cti_free(c.inputs);
    *twin = status == CT_OK ? c.twin : NULL;
    return status == CT_ERR_MEMORY ? ct_fail(status, "out of memory") : CT_OK;
}

/* The twin of item i, in the open scope. */
static ct_status twin_of(shadowing *s, int64_t i, ct_tensor **twin) {
    ct_tensor *t = s->replay.items[i];
    const int64_t *operands = s->replay.operands + s->replay.first[i];
    bool floats = false;
    double decay;
    for (int64_t k = s->replay.first[i]; k < s->replay.first[i + 1]; k++) {
        floats |= is_float(s->replay.items[s->replay.operands[k]]);
    }
    *twin = NULL;
    if (t->op && is_float(t) && floats) {
        bool same = t->op == &ct_op_cast_f32 || t->op == &ct_op_cast_f64 || cti_staged(t, &decay);
        if (same) *twin = s->twins[operands[0]];
        else if (!t->op->release && call_on_twins(s, i, twin) != CT_OK) return ct_error();
        if (*twin && (*twin)->dtype == CT_F64) return CT_OK;
        s->unshadowed++;
    }
    *twin = as_it_is(t);
    return *twin ? CT_OK : ct_error();
}

/* --- Errors ----------------------------------------------------------------------------------- */

static part compare(const ct_tensor *t, const ct_tensor *twin) {
    double largest = 0, apart = 0;
    for (int64_t k = 0; k < t->numel && is_float(t); k++) {
        double a = cti_value(t->buffer->data, t->dtype, k);
        double b = cti_value(twin->buffer->data, twin->dtype, k);
        bool same = a == b || (isnan(a) && isnan(b));
        if (!same) apart = fmax(apart, isfinite(a) && isfinite(b) ? fabs(a - b) : INFINITY);
        if (isfinite(b)) largest = fmax(largest, fabs(b));
    }
    if (apart == 0) return (part){0};
    double error = isinf(apart) || largest == 0 ? INFINITY : apart / largest;
    return (part){.error = error, .noise = isfinite(apart) && error > NOISE};
}

static double bounded(double error) { return fmin(fmax(error, UNIT), 1); }

static double error_of_operands(const shadowing *s, int64_t i) {
    double largest = 0;
    for (int64_t k = s->replay.first[i]; k < s->replay.first[i + 1]; k++) {
        largest = fmax(largest, s->parts[s->replay.operands[k]].error);
    }
    return bounded(largest);
}

static ct_status look(void *context, int64_t i) {
    shadowing *s = context;
    cti_replay *r = &s->replay;
    int64_t scope = ct_scope_open();
    ct_tensor *twin;
    ct_status status = twin_of(s, i, &twin);
    twin = status == CT_OK ? ct_detach(twin) : NULL;
    if (twin) s->parts[i] = compare(r->items[i], twin);
    else status = ct_error();
    if (twin && r->last[i] != i) ct_set(&s->twins[i], twin);
    ct_scope_close(scope);
    for (int64_t k = r->first[i]; k < r->first[i + 1]; k++) {
        if (r->last[r->operands[k]] == i) ct_set(&s->twins[r->operands[k]], NULL);
    }
    return status;
}

/* Readers come after what they read. */
static void find_reaching(shadowing *s) {
    const cti_replay *r = &s->replay;
    for (int64_t k = 0; k < r->n_roots; k++) {
        part *root = &s->parts[r->roots[k]];
        root->reaching = bounded(root->error);
    }
    for (int64_t i = r->n - 1; i >= 0; i--) {
        for (int64_t k = r->first[i]; k < r->first[i + 1]; k++) {
            part *operand = &s->parts[r->operands[k]];
            double through = fmin(bounded(operand->error), s->parts[i].reaching);
            operand->reaching = fmax(operand->reaching, through);
        }
    }
}

/* --- The report ------------------------------------------------------------------------------- */

static ct_shadow_entry entry_of(const shadowing *s, int64_t i) {
    const ct_tensor *t = s->replay.items[i];
    const part *p = &s->parts[i];
    double before = error_of_operands(s, i);
    return (ct_shadow_entry){
        .tensor = t,
        .op = t->op->name,
        .path = t->path,
        .order = t->order,
        .error = p->error,
        .amplification = bounded(p->error) / before,
        .lost = p->noise ? 0 : fmax(0, log10(p->reaching / before)),
        .left = 0 - log10(bounded(p->error)),
        .noise = p->noise,
    };
}

static int by_loss(const void *a, const void *b) {
    const ct_shadow_entry *x = a, *y = b;
    if (x->lost != y->lost) return x->lost < y->lost ? 1 : -1;
    return (x->tensor->id > y->tensor->id) - (x->tensor->id < y->tensor->id);
}

/* Entries by node, for ct_shadow_of: ascending ids. */
struct cti_shadow_place {
    uint64_t id;
    int64_t entry;
};

static int by_id(const void *a, const void *b) {
    const struct cti_shadow_place *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static ct_status list_by_node(ct_shadow_report *report) {
    size_t n = (size_t)report->n;
    report->places = cti_alloc(n, sizeof *report->places);
    if (!report->places) return CT_ERR_MEMORY;
    for (int64_t k = 0; k < report->n; k++) {
        report->places[k] = (struct cti_shadow_place){report->entries[k].tensor->id, k};
    }
    if (n > 0) qsort(report->places, n, sizeof *report->places, by_id);
    return CT_OK;
}

static ct_status describe(const shadowing *s, ct_shadow_report *report) {
    const cti_replay *r = &s->replay;
    report->entries = cti_alloc((size_t)r->n, sizeof *report->entries);
    if (!report->entries) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < r->n; i++) {
        if (!r->items[i]->op || !is_float(r->items[i])) continue;
        ct_shadow_entry entry = entry_of(s, i);
        report->n_lossy += entry.lost >= log10(LOSSY);
        report->n_noise += entry.noise;
        report->entries[report->n++] = entry;
    }
    if (report->n > 0) qsort(report->entries, (size_t)report->n, sizeof *report->entries, by_loss);
    for (int64_t k = 0; k < r->n_roots; k++) {
        const part *root = &s->parts[r->roots[k]];
        if (!root->noise) report->error = fmax(report->error, root->error);
    }
    report->n_unshadowed = s->unshadowed;
    return list_by_node(report);
}

static ct_status shadow(shadowing *s, ct_tensor *const roots[], int64_t n,
                        ct_shadow_report *report) {
    cti_replay *r = &s->replay;
    if (cti_replay_new(r, roots, n) != CT_OK) return CT_ERR_MEMORY;
    s->twins = cti_zone_alloc(&r->zone, (size_t)r->n, sizeof(ct_tensor *));
    s->parts = cti_zone_alloc(&r->zone, (size_t)r->n, sizeof *s->parts);
    if (!s->twins || !s->parts) return CT_ERR_MEMORY;
    bool any = false;
    for (int64_t i = 0; i < r->n; i++) any |= r->items[i]->dtype == CT_F32;
    if (!any) return ct_fail(CT_ERR_DTYPE, "ct_shadow: nothing is f32, so nothing is compared");
    ct_status status = cti_replay_run(r, look, s);
    for (int64_t i = 0; i < r->n; i++) ct_set(&s->twins[i], NULL);
    if (status != CT_OK) return status;
    find_reaching(s);
    return describe(s, report);
}

ct_status ct_shadow(ct_tensor *const roots[], int64_t n, ct_shadow_report *report) {
    CTI_CALLED;
    static const char function[] = "ct_shadow";
    if (!report) return cti_null("%s: 'report' is NULL", function);
    *report = (ct_shadow_report){0};
    if (n < 1) return ct_fail(CT_ERR_RANGE, "%s: needs at least one root", function);
    if (cti_check_roots(function, roots, "n", n) != CT_OK) return ct_error();
    shadowing s = {0};
    ct_status status = shadow(&s, roots, n, report);
    cti_replay_free(&s.replay);
    if (status != CT_OK) ct_shadow_free(report);
    return status;
}

const ct_shadow_entry *ct_shadow_of(const ct_shadow_report *report, const ct_tensor *t) {
    if (!report || !t || report->n == 0) return NULL;
    const struct cti_shadow_place key = {.id = t->id};
    const struct cti_shadow_place *place = bsearch(&key, report->places, (size_t)report->n,
                                                   sizeof key, by_id);
    return place ? &report->entries[place->entry] : NULL;
}

void ct_shadow_free(ct_shadow_report *report) {
    if (!report) return;
    cti_free(report->entries);
    cti_free(report->places);
    *report = (ct_shadow_report){0};
}
