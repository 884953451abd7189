/* The memory plan: which bytes of one arena each stored value lives in, by liveness.
 * Roots and leaves are not in the arena: they outlive the run.
 * Invariant: two values whose lives touch the same phase never overlap. */
#include "tensor/plan/plan.h"

#include "tensor/plan/arena.h"

static void read_at(cti_plan *plan, int64_t item, int64_t phase) {
    cti_item *base = &plan->items[plan->items[item].base];
    if (phase > base->last_phase) base->last_phase = phase;
}

/* The passes are the readers, not the edges: a recomputed value reads its inputs again later. The
 * stages of a pass may be in different phases; its output lives through all of them. */
static void find_lives(cti_plan *plan) {
    for (int64_t k = 0; k < plan->n_tasks; k++) {
        const cti_task *t = &plan->tasks[k];
        const cti_pass *pass = &plan->passes[t->pass];
        if (pass->kernel >= 0) {
            const cti_item *item = &plan->items[pass->kernel];
            read_at(plan, pass->kernel, t->phase);
            for (int i = 0; i < item->n_inputs; i++) {
                read_at(plan, plan->edges[item->edges + i], t->phase);
            }
        }
        for (int64_t i = 0; i < pass->n_loads; i++) read_at(plan, pass->loads[i].item, t->phase);
        for (int64_t i = 0; i < pass->n_stores; i++) {
            read_at(plan, pass->slots[pass->stores[i]].item, t->phase);
        }
        for (int64_t i = 0; i < pass->n_reductions; i++) {
            read_at(plan, pass->reductions[i].item, t->phase);
        }
    }
}

static void place_item(cti_plan *plan, cti_arena *arena, int64_t i) {
    cti_item *item = &plan->items[i];
    if (item->base != i || !item->op || item->place == CTI_ROOT) return;
    if (!item->stored) return;
    item->place = CTI_ARENA;
    item->where = cti_arena_place(arena, item->numel * (int64_t)ct_dtype_size(item->dtype),
                                  item->last_phase);
}

static void place_pass(cti_plan *plan, cti_arena *arena, cti_pass *pass, int64_t last_phase) {
    if (pass->kernel >= 0) {
        const ct_op *op = plan->items[pass->kernel].op;
        place_item(plan, arena, pass->kernel);
        if (op->workspace) {
            int64_t bytes = (int64_t)op->workspace(&pass->call);
            pass->workspace = cti_arena_place(arena, bytes, last_phase);
        }
        return;
    }
    for (int64_t k = 0; k < pass->n_stores; k++) {
        place_item(plan, arena, pass->slots[pass->stores[k]].item);
    }
    for (int64_t k = 0; k < pass->n_reductions; k++) {
        cti_reduction *r = &pass->reductions[k];
        place_item(plan, arena, r->item);
        if (pass->parts[1] == 0) continue;
        int64_t partials = pass->geometry.outer * pass->chunks * pass->geometry.inner;
        r->partials = cti_arena_place(arena, partials * (int64_t)r->size, last_phase);
    }
}

/* What the plan needs per thread, how much it has to do, and how many places it may take. */
static int64_t sum_up(cti_plan *plan) {
    int64_t places = plan->n_items + 1;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        const cti_pass *pass = &plan->passes[p];
        places += 1 + pass->n_reductions;
        if (pass->scratch_bytes > plan->scratch_bytes) plan->scratch_bytes = pass->scratch_bytes;
        cti_cost cost = cti_pass_cost(plan, pass);
        plan->cost.bytes += cost.bytes;
        plan->cost.operations += cost.operations;
    }
    plan->scratch_bytes = (plan->scratch_bytes + 63) / 64 * 64;
    return places;
}

static void find_roots(cti_plan *plan) {
    for (int64_t r = plan->graph.n_roots - 1; r >= 0; r--) {
        cti_item *base = &plan->items[plan->items[plan->roots[r]].base];
        if (base->place == CTI_LEAF) continue;
        base->place = CTI_ROOT;
        base->where = r;
    }
}

static int64_t last_task(const cti_plan *plan, int64_t k) {
    while (k + 1 < plan->n_tasks && plan->tasks[k + 1].pass == plan->tasks[k].pass) k++;
    return k;
}

/* The first tasks of the passes by the phase in which they begin: lists, linked by pass. */
static void find_begins(const cti_plan *plan, int64_t *begins, int64_t *next) {
    for (int64_t phase = 0; phase < plan->n_phases; phase++) begins[phase] = -1;
    for (int64_t k = plan->n_tasks - 1; k >= 0; k--) {
        const cti_task *t = &plan->tasks[k];
        if (k > 0 && plan->tasks[k - 1].pass == t->pass) continue;
        next[t->pass] = begins[t->phase];
        begins[t->phase] = k;
    }
}

ct_status cti_plan_memory(cti_plan *plan) {
    cti_arena arena;
    int64_t places = sum_up(plan);
    int64_t *next = cti_zone_alloc(plan->work, (size_t)plan->n_passes, sizeof *next);
    int64_t *begins = cti_zone_alloc(plan->work, (size_t)plan->n_phases, sizeof *begins);
    if (!next || !begins || cti_arena_new(&arena, places, plan->n_phases) != CT_OK) {
        return CT_ERR_MEMORY;
    }
    find_roots(plan);
    find_lives(plan);
    find_begins(plan, begins, next);
    for (int64_t phase = 0; phase < plan->n_phases; phase++) {
        for (int64_t k = begins[phase]; k >= 0; k = next[plan->tasks[k].pass]) {
            int64_t pass = plan->tasks[k].pass, last = plan->tasks[last_task(plan, k)].phase;
            place_pass(plan, &arena, &plan->passes[pass], last);
        }
        cti_arena_end_level(&arena, phase);
    }
    plan->arena_bytes = (size_t)arena.most;
    plan->needed_bytes = (size_t)arena.most_in_use;
    cti_arena_free(&arena);
    return CT_OK;
}
