/* The memory plan: which bytes of one arena each stored value lives in, by liveness.
 * Roots and leaves are not in the arena: they outlive the run.
 * Invariant: two values whose lives touch the same step never overlap. */
#include "tensor/plan.h"

#include "tensor/arena.h"

static void read_at(cti_plan *plan, int64_t item, int64_t level) {
    cti_item *base = &plan->items[plan->items[item].base];
    if (level > base->last_level) base->last_level = level;
}

/* The passes are the readers, not the edges: a recomputed value reads its inputs again later. */
static void find_lives(cti_plan *plan) {
    for (int64_t i = 0; i < plan->n_items; i++) plan->items[i].last_level = plan->items[i].level;
    for (int64_t s = 0; s < plan->n_steps; s++) {
        const cti_step *step = &plan->steps[s];
        for (int64_t p = step->first; p < step->first + step->count; p++) {
            const cti_pass *pass = &plan->passes[p];
            if (pass->kernel >= 0) {
                const cti_item *item = &plan->items[pass->kernel];
                for (int k = 0; k < item->n_inputs; k++) {
                    read_at(plan, plan->edges[item->edges + k], s + 1);
                }
            }
            for (int64_t k = 0; k < pass->n_loads; k++) {
                read_at(plan, pass->loads[k].item, s + 1);
            }
        }
    }
}

static void place_item(cti_plan *plan, cti_arena *arena, int64_t i) {
    cti_item *item = &plan->items[i];
    if (item->base != i || !item->op || item->place == CTI_ROOT) return;
    if (!item->stored) return;
    item->place = CTI_ARENA;
    item->where = cti_arena_place(arena, item->numel * (int64_t)ct_dtype_size(item->dtype),
                                  item->last_level);
}

static void place_pass(cti_plan *plan, cti_arena *arena, cti_pass *pass, int64_t level) {
    if (pass->kernel >= 0) {
        const ct_op *op = plan->items[pass->kernel].op;
        place_item(plan, arena, pass->kernel);
        if (op->workspace) {
            int64_t bytes = (int64_t)op->workspace(&pass->call);
            pass->workspace = cti_arena_place(arena, bytes, level);
        }
        return;
    }
    for (int64_t k = 0; k < pass->n_slots; k++) {
        if (pass->slots[k].item >= 0) place_item(plan, arena, pass->slots[k].item);
    }
    for (int64_t k = 0; k < pass->n_reductions; k++) {
        cti_reduction *r = &pass->reductions[k];
        place_item(plan, arena, r->item);
        if (pass->parts[1] == 0) continue;
        int64_t partials = pass->geometry.outer * pass->chunks * pass->geometry.inner;
        r->partials = cti_arena_place(arena, partials * (int64_t)r->size, level);
    }
}

/* What the plan needs per thread, how much it has to do, and how many places it may take. */
static int64_t sum_up(cti_plan *plan) {
    int64_t places = plan->n_items + 1;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        const cti_pass *pass = &plan->passes[p];
        places += 1 + pass->n_reductions;
        if (pass->scratch_bytes > plan->scratch_bytes) plan->scratch_bytes = pass->scratch_bytes;
        plan->work += pass->kernel >= 0
                          ? cti_kernel_operations(plan->items[pass->kernel].op, &pass->call)
                          : (double)pass->numel * (double)(1 + pass->n_instructions);
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

ct_status cti_plan_memory(cti_plan *plan) {
    cti_arena arena;
    int64_t places = sum_up(plan);
    if (cti_arena_new(&arena, places, plan->n_steps) != CT_OK) return CT_ERR_MEMORY;
    find_roots(plan);
    find_lives(plan);
    for (int64_t s = 0; s < plan->n_steps; s++) {
        for (int64_t p = 0; p < plan->steps[s].count; p++) {
            place_pass(plan, &arena, &plan->passes[plan->steps[s].first + p], s + 1);
        }
        cti_arena_end_level(&arena, s + 1);
    }
    plan->arena_bytes = (size_t)arena.most;
    cti_arena_free(&arena);
    return CT_OK;
}
