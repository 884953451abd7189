/* The memory plan: which bytes of one arena each stored value lives in, by liveness.
 * Roots and leaves are not in the arena: they outlive the run.
 * Invariant: two values whose lives touch the same step never overlap. */
#include "tensor/plan.h"

#include "tensor/mem.h"

#include <string.h>

/* A stretch of the arena in use, in the list ordered by offset. */
typedef struct block {
    int64_t begin, end, last_level;
    struct block *next;
} block;

typedef struct {
    block *blocks;  /* ordered by offset            */
    block *spare;   /* unused list nodes            */
    int64_t top;    /* the most bytes ever needed   */
} arena;

static void expire(arena *a, int64_t level) {
    for (block **at = &a->blocks; *at;) {
        block *b = *at;
        if (b->last_level >= level) {
            at = &b->next;
            continue;
        }
        *at = b->next;
        b->next = a->spare;
        a->spare = b;
    }
}

/* The smallest gap that fits, so that large gaps stay whole. */
static int64_t place(arena *a, int64_t bytes, int64_t last_level) {
    block **best = NULL;
    int64_t best_gap = INT64_MAX, end = 0;
    block **at = &a->blocks;
    for (; *at; at = &(*at)->next) {
        int64_t gap = (*at)->begin - end;
        if (gap >= bytes && gap < best_gap) {
            best = at;
            best_gap = gap;
        }
        end = (*at)->end;
    }
    if (!best) best = at;
    int64_t begin = best == at ? end : (*best)->begin - best_gap;
    block *b = a->spare;
    a->spare = b->next;
    *b = (block){begin, begin + bytes, last_level, *best};
    *best = b;
    if (b->end > a->top) a->top = b->end;
    return begin;
}

static int64_t bytes_of(int64_t numel, size_t size) {
    return (numel * (int64_t)size + 63) / 64 * 64;
}

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

static void place_item(cti_plan *plan, arena *a, int64_t i) {
    cti_item *item = &plan->items[i];
    if (item->base != i || !item->op || item->place == CTI_ROOT) return;
    if (!item->stored) return;
    item->place = CTI_ARENA;
    item->where = place(a, bytes_of(item->numel, ct_dtype_size(item->dtype)), item->last_level);
}

static void place_pass(cti_plan *plan, arena *a, cti_pass *pass, int64_t level) {
    if (pass->kernel >= 0) {
        const ct_op *op = plan->items[pass->kernel].op;
        place_item(plan, a, pass->kernel);
        if (op->workspace) {
            pass->workspace = place(a, bytes_of((int64_t)op->workspace(&pass->call), 1), level);
        }
        return;
    }
    for (int64_t k = 0; k < pass->n_slots; k++) {
        if (pass->slots[k].item >= 0) place_item(plan, a, pass->slots[k].item);
    }
    for (int64_t k = 0; k < pass->n_reductions; k++) {
        cti_reduction *r = &pass->reductions[k];
        place_item(plan, a, r->item);
        if (pass->parts[1] == 0) continue;
        int64_t partials = pass->geometry.outer * pass->chunks * pass->geometry.inner;
        r->partials = place(a, bytes_of(partials, r->size), level);
    }
}

ct_status cti_plan_memory(cti_plan *plan) {
    int64_t n_blocks = plan->n_items + 1;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        n_blocks += 1 + plan->passes[p].n_reductions;
        if (plan->passes[p].scratch_bytes > plan->scratch_bytes) {
            plan->scratch_bytes = plan->passes[p].scratch_bytes;
        }
        plan->work += plan->passes[p].kernel >= 0
                          ? plan->items[plan->passes[p].kernel].numel
                          : plan->passes[p].numel * (1 + plan->passes[p].n_instructions);
    }
    plan->scratch_bytes = (plan->scratch_bytes + 63) / 64 * 64;
    block *blocks = cti_alloc((size_t)n_blocks, sizeof *blocks);
    if (!blocks) return CT_ERR_MEMORY;
    for (int64_t k = 0; k + 1 < n_blocks; k++) blocks[k].next = &blocks[k + 1];
    arena a = {.spare = blocks};
    for (int64_t r = plan->graph.n_roots - 1; r >= 0; r--) {
        cti_item *base = &plan->items[plan->items[plan->roots[r]].base];
        if (base->place == CTI_LEAF) continue;
        base->place = CTI_ROOT;
        base->where = r;
    }
    find_lives(plan);
    for (int64_t s = 0; s < plan->n_steps; s++) {
        expire(&a, s + 1);
        for (int64_t p = 0; p < plan->steps[s].count; p++) {
            place_pass(plan, &a, &plan->passes[plan->steps[s].first + p], s + 1);
        }
    }
    plan->arena_bytes = (size_t)a.top;
    cti_free(blocks);
    return CT_OK;
}
