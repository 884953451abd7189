/* Profiles: the time of passes, summed by plan, and which pass computed which node.
 * It measures nothing itself, the runner does; the table is in io/profile_table.c.
 * Invariant: memory is allocated before a run, so every run is counted. */
#include "tensor/profile.h"
#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/caller.h"
#include "tensor/base/process.h"
#include "tensor/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPS_LENGTH 160

/* The passes of one plan, identified by its graph: the cache may evict it and make it again. */
typedef struct {
    uint64_t hash;
    int64_t n, calls;
    ct_profile_pass *passes;
} profiled_plan;

typedef struct {
    uint64_t id;
    int64_t pass;
} computed;

static _Thread_local struct {
    bool on;
    cti_zone zone; /* what the plans point to */
    profiled_plan *plans;
    int64_t n_plans;
    double seconds;
    ct_profile_pass *sorted;
} profile;

/* The last evaluation that was measured. */
static _Thread_local struct {
    cti_zone zone; /* what this struct points to */
    int64_t plan;
    computed *nodes; /* by id */
    int64_t n_nodes;
    int64_t *pass_of;       /* node of the plan's graph -> the first pass that computes it, or -1 */
    ct_profile_part *parts; /* as the plan numbers them */
    int64_t n_parts;
    double began;
} last;

void ct_profile_start(void) { profile.on = true; }
void ct_profile_stop(void) { profile.on = false; }
double ct_profile_seconds(void) { return profile.seconds; }

int64_t ct_profile_evaluations(void) {
    int64_t calls = 0;
    for (int64_t k = 0; k < profile.n_plans; k++) calls += profile.plans[k].calls;
    return calls;
}

void ct_profile_clear(void) {
    cti_zone_free(&profile.zone);
    cti_zone_free(&last.zone);
    cti_free(profile.plans);
    cti_free(profile.sorted);
    bool on = profile.on;
    memset(&profile, 0, sizeof profile);
    memset(&last, 0, sizeof last);
    profile.on = on;
}

/* --- One pass --------------------------------------------------------------------------------- */

/* Adds an op of that module to the shares. Paths are interned. */
static void count_op(ct_profile_pass *pass, ct_profile_share *shares, const char *module) {
    int64_t k = 0;
    while (k < pass->n_shares && shares[k].module != module) k++;
    if (k == pass->n_shares) shares[pass->n_shares++] = (ct_profile_share){module, 0};
    shares[k].share++;
}

static void append_op(char *ops, const char *name) {
    size_t used = strlen(ops), room = OPS_LENGTH - used;
    bool fits = strlen(name) + 5 < room;
    if (fits) snprintf(ops + used, room, "%s%s", used ? " " : "", name);
    else if (used && ops[used - 1] != '.') snprintf(ops + used, room, " ..");
}

/* What a pass consists of. Every op runs once for each element, so they share evenly; a copy
 * belongs to the module of what is computed beside it. */
static ct_status label_pass(const cti_plan *plan, const cti_pass *pass, ct_profile_pass *to) {
    const int64_t *items;
    int64_t n = cti_pass_items(pass, &items), counted = 0;
    char *ops = cti_zone_alloc(&profile.zone, OPS_LENGTH, 1);
    ct_profile_share *shares = cti_zone_alloc(&profile.zone, (size_t)n, sizeof *shares);
    if (!ops || !shares) return CT_ERR_MEMORY;
    cti_cost cost = cti_pass_cost(plan, pass);
    *to = (ct_profile_pass){.module = "",
                            .ops = ops,
                            .shares = shares,
                            .bytes = cost.bytes,
                            .operations = cost.operations};
    for (int64_t k = 0; k < n; k++) {
        const cti_item *item = &plan->items[items[k]];
        append_op(ops, item->op->name);
        if (item->node < 0) continue;
        to->module = plan->graph.nodes[item->node].path;
        to->order = plan->graph.nodes[item->node].order;
        count_op(to, shares, to->module);
        counted++;
    }
    if (counted == 0) count_op(to, shares, to->module);
    for (int64_t k = 0; k < to->n_shares; k++) shares[k].share /= (double)(counted ? counted : 1);
    return CT_OK;
}

/* --- One evaluation --------------------------------------------------------------------------- */

/* The number of the plan, which may be a new one. */
static ct_status find_plan(const cti_plan *plan, int64_t *found) {
    for (*found = 0; *found < profile.n_plans; ++*found) {
        const profiled_plan *known = &profile.plans[*found];
        if (known->hash == plan->graph.hash && known->n == plan->n_passes) return CT_OK;
    }
    size_t n = (size_t)plan->n_passes;
    profiled_plan added = {.hash = plan->graph.hash,
                           .n = plan->n_passes,
                           .passes = cti_zone_alloc(&profile.zone, n, sizeof *added.passes)};
    if (!added.passes) return CT_ERR_MEMORY;
    for (int64_t p = 0; p < added.n; p++) {
        if (label_pass(plan, &plan->passes[p], &added.passes[p]) != CT_OK) return CT_ERR_MEMORY;
    }
    if (!cti_grow(&profile.plans, profile.n_plans, sizeof *profile.plans)) return CT_ERR_MEMORY;
    profile.plans[profile.n_plans++] = added;
    return CT_OK;
}

ct_status cti_profile_begin(const cti_planned *planned, ct_profile_part **times) {
    const cti_plan *plan = planned->plan;
    *times = NULL;
    if (!profile.on) return CT_OK;
    cti_zone_free(&last.zone);
    memset(&last, 0, sizeof last);
    last.parts = cti_zone_alloc(&last.zone, (size_t)plan->n_parts, sizeof *last.parts);
    last.nodes = cti_zone_alloc(&last.zone, (size_t)planned->key.n_nodes, sizeof *last.nodes);
    last.pass_of = cti_zone_alloc(&last.zone, (size_t)plan->graph.n_nodes, sizeof *last.pass_of);
    if (!last.parts || !last.nodes || !last.pass_of) return CT_ERR_MEMORY;
    if (find_plan(plan, &last.plan) != CT_OK) return CT_ERR_MEMORY;
    *times = last.parts;
    last.began = cti_now();
    return CT_OK;
}

static int by_id(const void *a, const void *b) {
    const computed *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* A recomputed value counts for the first pass that computes it. */
static void note_nodes(const cti_planned *planned, const cti_walk *walk) {
    const cti_plan *plan = planned->plan;
    for (int64_t i = 0; i < plan->graph.n_nodes; i++) last.pass_of[i] = -1;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        const int64_t *items;
        int64_t n = cti_pass_items(&plan->passes[p], &items);
        for (int64_t k = 0; k < n; k++) {
            int64_t node = plan->items[items[k]].node;
            if (node >= 0 && last.pass_of[node] < 0) last.pass_of[node] = p;
        }
    }
    for (int64_t i = 0; i < walk->count; i++) {
        int64_t image = planned->image_of[i];
        if (image < 0 || last.pass_of[image] < 0) continue;
        last.nodes[last.n_nodes++] = (computed){walk->items[i]->id, last.pass_of[image]};
    }
    qsort(last.nodes, (size_t)last.n_nodes, sizeof *last.nodes, by_id);
}

/* Adds the times of the parts to their passes. */
static void note_parts(const cti_plan *plan, ct_profile_pass *passes) {
    last.n_parts = plan->n_parts;
    for (int64_t k = 0; k < plan->n_parts; k++) {
        ct_profile_pass *pass = &passes[last.parts[k].number];
        last.parts[k].pass = pass;
        pass->seconds += last.parts[k].end - last.parts[k].begin;
    }
}

void cti_profile_end(const cti_planned *planned, const cti_walk *walk) {
    if (!profile.on) return;
    profile.seconds += cti_now() - last.began;
    profiled_plan *known = &profile.plans[last.plan];
    known->calls++;
    for (int64_t p = 0; p < known->n; p++) known->passes[p].calls++;
    note_parts(planned->plan, known->passes);
    note_nodes(planned, walk);
}

/* --- Questions -------------------------------------------------------------------------------- */

int64_t ct_profile_pass_of(const ct_tensor *t, double *share) {
    const computed wanted = {.id = t ? t->id : 0}, *found = NULL;
    size_t n = (size_t)last.n_nodes;
    if (n > 0) found = bsearch(&wanted, last.nodes, n, sizeof wanted, by_id);
    if (!found) return -1;
    const profiled_plan *known = &profile.plans[last.plan];
    double whole = 0;
    for (int64_t p = 0; p < known->n; p++) whole += known->passes[p].seconds;
    *share = whole > 0 ? known->passes[found->pass].seconds / whole : 0;
    return found->pass;
}

const ct_profile_part *ct_profile_parts(int64_t *n) {
    if (!n) return cti_null_in("ct_profile_parts: 'n' is NULL");
    *n = last.n_parts;
    return last.parts;
}

static int by_seconds(const void *a, const void *b) {
    double x = ((const ct_profile_pass *)a)->seconds, y = ((const ct_profile_pass *)b)->seconds;
    return (x < y) - (x > y);
}

const ct_profile_pass *ct_profile_passes(int64_t *n) {
    CTI_CALLED;
    if (!n) return cti_null_in("ct_profile_passes: 'n' is NULL");
    *n = 0;
    int64_t count = 0;
    for (int64_t k = 0; k < profile.n_plans; k++) count += profile.plans[k].n;
    cti_free(profile.sorted);
    profile.sorted = cti_alloc((size_t)count, sizeof *profile.sorted);
    if (!profile.sorted) return NULL;
    for (int64_t k = 0; k < profile.n_plans; k++) {
        const profiled_plan *plan = &profile.plans[k];
        for (int64_t p = 0; p < plan->n; p++) profile.sorted[(*n)++] = plan->passes[p];
    }
    qsort(profile.sorted, (size_t)*n, sizeof *profile.sorted, by_seconds);
    return profile.sorted;
}
