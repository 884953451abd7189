/* The memory plan: which bytes of one arena each stored value lives in, by liveness.
 * Roots and leaves are not in the arena: they outlive the run.
 * Invariant: two values whose lives touch the same step never overlap. */
#include "tensor/plan.h"

#include "tensor/mem.h"

#include <string.h>

/* A stretch of the arena: in use until a level has ended, or a gap. */
typedef struct block {
    int64_t begin, end;
    struct block *next; /* in the list of its level, or the next gap */
} block;

typedef struct {
    block *gaps;    /* by offset; no two touch, and none reaches the top */
    block **ending; /* level -> blocks that are free when it has ended   */
    block *spare;   /* list nodes not used yet                           */
    int64_t top;    /* bytes in use from 0, gaps included                */
    int64_t most;   /* the most bytes ever needed                        */
} arena;

/* Gives a block back: it joins the gaps at either side, and the top falls if it was there. */
static void release(arena *a, block *b) {
    block **at = &a->gaps, *before = NULL;
    for (; *at && (*at)->begin < b->begin; at = &(*at)->next) before = *at;
    b->next = *at;
    if (b->next && b->next->begin == b->end) {
        b->end = b->next->end;
        b->next = b->next->next;
    }
    if (before && before->end == b->begin) {
        before->end = b->end;
        before->next = b->next;
        b = before;
    } else {
        *at = b;
    }
    if (b->end < a->top) return;
    a->top = b->begin;
    for (at = &a->gaps; *at != b; at = &(*at)->next) {
    }
    *at = NULL;
}

static void end_level(arena *a, int64_t level) {
    for (block *b = a->ending[level], *next; b; b = next) {
        next = b->next;
        release(a, b);
    }
}

/* The smallest gap that fits, so that large gaps stay whole; else the top. */
static int64_t take(arena *a, int64_t bytes) {
    block **best = NULL;
    for (block **at = &a->gaps; *at; at = &(*at)->next) {
        int64_t size = (*at)->end - (*at)->begin;
        if (size >= bytes && (!best || size < (*best)->end - (*best)->begin)) best = at;
    }
    if (!best) {
        a->top += bytes;
        if (a->top > a->most) a->most = a->top;
        return a->top - bytes;
    }
    int64_t begin = (*best)->begin;
    (*best)->begin += bytes;
    if ((*best)->begin == (*best)->end) *best = (*best)->next;
    return begin;
}

static int64_t place(arena *a, int64_t bytes, int64_t last_level) {
    if (bytes == 0) return 0;
    int64_t begin = take(a, bytes);
    block *b = a->spare++;
    *b = (block){begin, begin + bytes, a->ending[last_level]};
    a->ending[last_level] = b;
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

/* What the plan needs per thread, how much it has to do, and how many blocks it may place. */
static int64_t sum_up(cti_plan *plan) {
    int64_t blocks = plan->n_items + 1;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        const cti_pass *pass = &plan->passes[p];
        blocks += 1 + pass->n_reductions;
        if (pass->scratch_bytes > plan->scratch_bytes) plan->scratch_bytes = pass->scratch_bytes;
        plan->work += pass->kernel >= 0 ? plan->items[pass->kernel].numel
                                        : pass->numel * (1 + pass->n_instructions);
    }
    plan->scratch_bytes = (plan->scratch_bytes + 63) / 64 * 64;
    return blocks;
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
    block *blocks = cti_alloc((size_t)sum_up(plan), sizeof *blocks);
    block **ending = cti_alloc((size_t)plan->n_steps + 2, sizeof *ending);
    ct_status status = blocks && ending ? CT_OK : CT_ERR_MEMORY;
    if (status == CT_OK) {
        arena a = {.spare = blocks, .ending = ending};
        find_roots(plan);
        find_lives(plan);
        for (int64_t s = 0; s < plan->n_steps; s++) {
            for (int64_t p = 0; p < plan->steps[s].count; p++) {
                place_pass(plan, &a, &plan->passes[plan->steps[s].first + p], s + 1);
            }
            end_level(&a, s + 1);
        }
        plan->arena_bytes = (size_t)a.most;
    }
    cti_free(blocks);
    cti_free(ending);
    return status;
}
