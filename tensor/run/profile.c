/* Profiles: collects the time of passes by plan, and who computed which node.
 * It measures nothing itself, the runner does; the table is in io/profile_table.c.
 * Invariant: memory is taken before a run, so that a run which ends is always counted. */
#include "tensor/run/profile_private.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/caller.h"
#include "tensor/base/clock.h"

#include <stdlib.h>
#include <string.h>

#define OPS_LENGTH 160

/* The passes of one plan. Plans come and go in the cache, so a plan is known by its graph. */
typedef struct {
    uint64_t hash;
    int64_t n, calls;
    ct_profile_pass *passes;
    char (*ops)[OPS_LENGTH];
    ct_profile_share *shares; /* of all passes, one behind the other */
} profiled_plan;

typedef struct {
    uint64_t id;
    int64_t pass;
} computed;

static _Thread_local struct {
    bool on;
    profiled_plan *plans;
    int64_t n_plans, last; /* last: the plan of the last evaluation */
    computed *nodes;       /* of the last evaluation, by id */
    int64_t n_nodes;
    int64_t *pass_of; /* room for note_nodes */
    double *run;      /* [threads, passes] of this evaluation */
    double began, seconds;
    ct_profile_pass *sorted;
} profile;

void ct_profile_start(void) { profile.on = true; }
void ct_profile_stop(void) { profile.on = false; }
double ct_profile_seconds(void) { return profile.seconds; }

int64_t ct_profile_evaluations(void) {
    int64_t calls = 0;
    for (int64_t k = 0; k < profile.n_plans; k++) calls += profile.plans[k].calls;
    return calls;
}

static void free_plan(profiled_plan *plan) {
    cti_free(plan->passes);
    cti_free(plan->ops);
    cti_free(plan->shares);
}

void ct_profile_clear(void) {
    for (int64_t k = 0; k < profile.n_plans; k++) free_plan(&profile.plans[k]);
    cti_free(profile.plans);
    cti_free(profile.nodes);
    cti_free(profile.pass_of);
    cti_free(profile.run);
    cti_free(profile.sorted);
    bool on = profile.on;
    memset(&profile, 0, sizeof profile);
    profile.on = on;
}

/* --- One pass --------------------------------------------------------------------------------- */

/* The items that a pass computes; their number. */
static int64_t items_of(const cti_pass *pass, const int64_t **items) {
    bool kernel = pass->kind == CTI_KERNEL;
    *items = kernel ? &pass->kernel.item : pass->tiles.members;
    return kernel ? 1 : pass->tiles.n_members;
}

/* Paths are interned. */
static void count_op(ct_profile_pass *pass, ct_profile_share *shares, const char *module) {
    int64_t k = 0;
    while (k < pass->n_shares && shares[k].module != module) k++;
    if (k == pass->n_shares) shares[pass->n_shares++] = (ct_profile_share){module, 0};
    shares[k].share++;
}

static void append_op(char *ops, const char *name) {
    size_t used = strlen(ops), length = strlen(name);
    if (used + length + 5 < OPS_LENGTH) {
        if (used) ops[used++] = ' ';
        memcpy(ops + used, name, length + 1);
    } else if (used && ops[used - 1] != '.') {
        memcpy(ops + used, " ..", 4);
    }
}

/* What a pass consists of. Every op runs once for each element, so they share evenly; what only
 * copies belongs to the module that it copies for. */
static void label_pass(const cti_plan *plan, const cti_pass *pass, ct_profile_pass *to, char *ops,
                       ct_profile_share *shares) {
    const int64_t *items;
    int64_t n = items_of(pass, &items), counted = 0;
    to->module = "";
    to->ops = ops;
    to->shares = shares;
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
    cti_cost cost = cti_pass_cost(plan, pass);
    to->bytes = cost.bytes;
    to->operations = cost.operations;
}

/* --- One evaluation --------------------------------------------------------------------------- */

static int64_t find_plan(const cti_plan *plan) {
    for (int64_t k = 0; k < profile.n_plans; k++) {
        const profiled_plan *known = &profile.plans[k];
        if (known->hash == plan->graph.hash && known->n == plan->n_passes) return k;
    }
    return -1;
}

static ct_status add_plan(const cti_plan *plan) {
    size_t n = (size_t)plan->n_passes, shares = 0;
    const int64_t *items;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        shares += (size_t)items_of(&plan->passes[p], &items);
    }
    if (!cti_grow(&profile.plans, profile.n_plans, sizeof *profile.plans)) return CT_ERR_MEMORY;
    profiled_plan added = {.hash = plan->graph.hash,
                           .n = plan->n_passes,
                           .passes = cti_alloc(n, sizeof *added.passes),
                           .ops = cti_alloc(n, sizeof *added.ops),
                           .shares = cti_alloc(shares, sizeof *added.shares)};
    if (!added.passes || !added.ops || !added.shares) {
        free_plan(&added);
        return CT_ERR_MEMORY;
    }
    profile.plans[profile.n_plans++] = added;
    return CT_OK;
}

ct_status cti_profile_begin(const cti_planned *planned, int threads, double **seconds) {
    const cti_plan *plan = planned->plan;
    *seconds = NULL;
    if (!profile.on) return CT_OK;
    profile.last = find_plan(plan);
    if (profile.last < 0) {
        if (add_plan(plan) != CT_OK) return CT_ERR_MEMORY;
        profile.last = profile.n_plans - 1;
    }
    cti_free(profile.run);
    cti_free(profile.nodes);
    cti_free(profile.pass_of);
    profile.run = NULL, profile.nodes = NULL, profile.pass_of = NULL;
    profile.n_nodes = 0;
    profile.run = cti_alloc((size_t)(threads * plan->n_passes), sizeof *profile.run);
    profile.nodes = cti_alloc((size_t)planned->key.n_nodes, sizeof *profile.nodes);
    profile.pass_of = cti_alloc((size_t)plan->graph.n_nodes, sizeof *profile.pass_of);
    if (!profile.run || !profile.nodes || !profile.pass_of) return CT_ERR_MEMORY;
    *seconds = profile.run;
    profile.began = cti_now();
    return CT_OK;
}

static int by_id(const void *a, const void *b) {
    const computed *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* A value that is computed anew in a later pass belongs to its first one. */
static void note_nodes(const cti_planned *planned, const cti_walk *walk) {
    const cti_plan *plan = planned->plan;
    for (int64_t i = 0; i < plan->graph.n_nodes; i++) profile.pass_of[i] = -1;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        const int64_t *items;
        int64_t n = items_of(&plan->passes[p], &items);
        for (int64_t k = 0; k < n; k++) {
            int64_t node = plan->items[items[k]].node;
            if (node >= 0 && profile.pass_of[node] < 0) profile.pass_of[node] = p;
        }
    }
    profile.n_nodes = 0;
    for (int64_t i = 0; i < walk->count; i++) {
        int64_t image = planned->image_of[i];
        if (image < 0 || profile.pass_of[image] < 0) continue;
        profile.nodes[profile.n_nodes++] = (computed){walk->items[i]->id, profile.pass_of[image]};
    }
    qsort(profile.nodes, (size_t)profile.n_nodes, sizeof *profile.nodes, by_id);
}

void cti_profile_end(const cti_planned *planned, const cti_walk *walk, int threads) {
    if (!profile.on) return;
    const cti_plan *plan = planned->plan;
    profile.seconds += cti_now() - profile.began;
    profiled_plan *known = &profile.plans[profile.last];
    known->calls++;
    ct_profile_share *shares = known->shares;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        const int64_t *items;
        ct_profile_pass *to = &known->passes[p];
        for (int t = 0; t < threads; t++) to->seconds += profile.run[t * plan->n_passes + p];
        if (to->calls++ == 0) label_pass(plan, &plan->passes[p], to, known->ops[p], shares);
        shares += items_of(&plan->passes[p], &items);
    }
    note_nodes(planned, walk);
}

/* --- Questions -------------------------------------------------------------------------------- */

int64_t ct_profile_pass_of(const ct_tensor *t, double *share) {
    int64_t low = 0, high = profile.n_nodes;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (profile.nodes[middle].id < t->id) low = middle + 1;
        else high = middle;
    }
    if (low == profile.n_nodes || profile.nodes[low].id != t->id) return -1;
    const profiled_plan *known = &profile.plans[profile.last];
    double whole = 0;
    for (int64_t p = 0; p < known->n; p++) whole += known->passes[p].seconds;
    int64_t pass = profile.nodes[low].pass;
    *share = whole > 0 ? known->passes[pass].seconds / whole : 0;
    return pass;
}

static int by_seconds(const void *a, const void *b) {
    double x = ((const ct_profile_pass *)a)->seconds, y = ((const ct_profile_pass *)b)->seconds;
    return (x < y) - (x > y);
}

const ct_profile_pass *ct_profile_passes(int64_t *n) {
    CTI_CALLED;
    int64_t count = 0;
    for (int64_t k = 0; k < profile.n_plans; k++) count += profile.plans[k].n;
    if (!n) return ct_fail_null(CT_ERR_NULL, "ct_profile_passes: 'n' is NULL");
    *n = 0;
    cti_free(profile.sorted);
    profile.sorted = cti_alloc((size_t)count, sizeof *profile.sorted);
    if (!profile.sorted) return NULL;
    for (int64_t k = 0; k < profile.n_plans; k++) {
        for (int64_t p = 0; p < profile.plans[k].n; p++) {
            if (profile.plans[k].passes[p].calls) {
                profile.sorted[(*n)++] = profile.plans[k].passes[p];
            }
        }
    }
    qsort(profile.sorted, (size_t)*n, sizeof *profile.sorted, by_seconds);
    return profile.sorted;
}
