/* Fusion: which items are computed in one pass, and in which step.
 * It looks at kinds and shapes only, never at what an op computes.
 * Invariant: an item's level is above the level of whatever it must wait for; items of one group
 * have one space and one level, so the passes of a level are independent of each other. */
#include "tensor/plan_fuse.h"

#include "tensor/mem.h"

#include <string.h>

/* Recomputing a value in a later pass is worth it while it costs a few operations on at most one
 * large operand, which that pass would otherwise read the stored value instead of. */
#define RECOMPUTE_OPERATIONS 4
/* A pass of more operations would work on more tiles than L1 holds. */
#define GROUP_MEMBERS 64

static bool streams(const cti_item *item) {
    return item->op && (item->op->kind == CT_MAP || item->op->kind == CT_REDUCE);
}

/* The elements that a pass goes through. Their shape plays no part: what is row-major and whole is
 * the same stream in any shape. */
static int64_t space_of(const cti_plan *plan, const cti_item *item) {
    if (item->op->kind == CT_MAP) return item->numel;
    return plan->items[plan->edges[item->edges]].numel;
}

static const ct_reduction *geometry_of(const cti_item *item) {
    return item->op->kind == CT_REDUCE ? item->attr : NULL;
}

int64_t cti_streamed_input(const cti_plan *plan, const cti_item *item, int k) {
    const cti_item *in = &plan->items[plan->edges[item->edges + k]];
    const cti_item *base = &plan->items[in->base];
    if (!streams(item) || !base->op || base->op->kind != CT_MAP || !in->whole) return -1;
    return base->numel == space_of(plan, item) ? in->base : -1;
}

static int64_t lowest_level(const cti_plan *plan, const cti_item *item) {
    int64_t level = 1;
    for (int k = 0; k < item->n_inputs; k++) {
        const cti_item *in = &plan->items[plan->edges[item->edges + k]];
        int64_t after = plan->items[in->base].level;
        if (after > 0 && cti_streamed_input(plan, item, k) < 0) after++;
        if (after > level) level = after;
    }
    return level;
}

static bool full(const cti_group *g) { return g->n_members >= GROUP_MEMBERS; }

static bool joins(const cti_group *g, const ct_reduction *geometry) {
    if (full(g)) return false;
    return !geometry || !g->reduces || memcmp(&g->geometry, geometry, sizeof *geometry) == 0;
}

/* The place in the table of the group of a space and level, or of where it would be. */
static int64_t *find_group(cti_fusion *f, int64_t space, int64_t level) {
    uint64_t hash = ((uint64_t)level ^ (uint64_t)space << 20) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 32;
    for (;; hash++) {
        int64_t *at = &f->table[hash & f->table_mask];
        if (*at < 0) return at;
        const cti_group *g = &f->groups[*at];
        if (g->level == level && g->space == space) return at;
    }
}

/* The group that takes the item at its level; a full group, or one whose reduction is cut
 * differently, makes the item wait for the next level. Groups of one space and level are never
 * two. */
static void place_item(cti_fusion *f, int64_t i) {
    cti_item *item = &f->plan->items[i];
    int64_t space = space_of(f->plan, item);
    const ct_reduction *geometry = geometry_of(item);
    int64_t lowest = lowest_level(f->plan, item), level = lowest;
    int64_t *at = find_group(f, space, level);
    while (*at >= 0 && !joins(&f->groups[*at], geometry)) {
        level = full(&f->groups[*at]) ? f->groups[*at].open : level + 1;
        at = find_group(f, space, level);
    }
    /* Without a geometry all groups in between were full: the next item need not look again. */
    if (!geometry && level > lowest) f->groups[*find_group(f, space, lowest)].open = level;
    int64_t g = *at;
    item->level = level;
    if (g < 0) {
        g = *at = f->n_groups++;
        f->groups[g] = (cti_group){
            .space = space, .level = level, .open = level + 1, .first = i,
            .next = f->level_head[level]};
        f->level_head[level] = g;
    } else {
        f->next_member[f->groups[g].last] = i;
    }
    if (geometry) {
        f->groups[g].reduces = true;
        f->groups[g].geometry = *geometry;
    }
    f->groups[g].last = i;
    f->groups[g].n_members++;
    f->group_of[i] = g;
}

static void place_kernel(cti_fusion *f, int64_t i) {
    int64_t level = f->plan->items[i].level = lowest_level(f->plan, &f->plan->items[i]);
    f->next_member[i] = f->level_kernels[level];
    f->level_kernels[level] = i;
    f->n_kernels++;
}

static void assign_levels(cti_fusion *f) {
    cti_plan *plan = f->plan;
    for (int64_t l = 0; l < plan->n_items + 2; l++) f->level_head[l] = f->level_kernels[l] = -1;
    for (uint64_t k = 0; k <= f->table_mask; k++) f->table[k] = -1;
    for (int64_t i = 0; i < plan->n_items; i++) {
        const cti_item *item = &plan->items[i];
        f->group_of[i] = f->next_member[i] = -1;
        if (!item->op) continue;
        if (streams(item)) place_item(f, i);
        else place_kernel(f, i);
        if (item->level > f->levels) f->levels = item->level;
    }
}

/* --- What is stored --------------------------------------------------------------------------- */

/* Marks what somebody outside of its own group reads: `marked` if only passes over the same space
 * do, so that it may be recomputed there; `stored` if it must have memory. */
static void find_readers(cti_fusion *f) {
    cti_plan *plan = f->plan;
    for (int64_t i = 0; i < plan->n_items; i++) {
        cti_item *item = &plan->items[i];
        if (item->op && item->op->kind != CT_MAP) item->stored = true;
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t base = plan->items[plan->edges[item->edges + k]].base;
            if (cti_streamed_input(plan, item, k) < 0) plan->items[base].stored = true;
            else if (f->group_of[base] != f->group_of[i]) f->marked[base] = true;
        }
    }
    for (int64_t r = 0; r < plan->graph.n_roots; r++) {
        plan->items[plan->items[plan->roots[r]].base].stored = true;
    }
}

static int64_t merge_operand(int64_t a, int64_t b) {
    if (a == -1 || a == b) return b;
    return b == -1 ? a : -2;
}

/* What computing a MAP item anew would cost: operations and large operands. */
static void recompute_cost(cti_fusion *f, int64_t i) {
    cti_plan *plan = f->plan;
    const cti_item *item = &plan->items[i];
    f->operations[i] = item->op->costly ? 2 * RECOMPUTE_OPERATIONS : 1;
    f->operand[i] = -1;
    for (int k = 0; k < item->n_inputs; k++) {
        int64_t base = plan->items[plan->edges[item->edges + k]].base;
        if (!plan->items[base].stored) {
            f->operations[i] += f->operations[base];
            f->operand[i] = merge_operand(f->operand[i], f->operand[base]);
        } else if (plan->items[base].numel > item->numel / 8) {
            f->operand[i] = merge_operand(f->operand[i], base);
        }
    }
}

static void decide_stored(cti_fusion *f) {
    cti_plan *plan = f->plan;
    find_readers(f);
    for (int64_t i = 0; i < plan->n_items; i++) {
        cti_item *item = &plan->items[i];
        if (!item->op || item->op->kind != CT_MAP) continue;
        recompute_cost(f, i);
        bool cheap = f->operations[i] <= RECOMPUTE_OPERATIONS && f->operand[i] != -2;
        if (f->marked[i] && !cheap) item->stored = true;
    }
    for (int64_t i = 0; i < plan->n_items; i++) f->marked[i] = false;
}

static ct_status fuse_all(cti_fusion *f) {
    cti_plan *plan = f->plan;
    assign_levels(f);
    decide_stored(f);
    plan->passes = cti_alloc((size_t)(f->n_groups + f->n_kernels), sizeof *plan->passes);
    plan->steps = cti_alloc((size_t)f->levels, sizeof *plan->steps);
    if (!plan->passes || !plan->steps) return CT_ERR_MEMORY;
    for (int64_t l = 1; l <= f->levels; l++) {
        if (cti_emit_level(f, l) != CT_OK) return CT_ERR_MEMORY;
    }
    return CT_OK;
}

ct_status cti_plan_fuse(cti_plan *plan) {
    size_t n = (size_t)plan->n_items, slots = 16;
    while (slots < 2 * n) slots *= 2;
    cti_fusion f = {
        .plan = plan,
        .table = cti_alloc(slots, sizeof(int64_t)),
        .table_mask = slots - 1,
        .group_of = cti_alloc(n, sizeof(int64_t)),
        .next_member = cti_alloc(n, sizeof(int64_t)),
        .operations = cti_alloc(n, sizeof(int64_t)),
        .operand = cti_alloc(n, sizeof(int64_t)),
        .groups = cti_alloc(n, sizeof(cti_group)),
        .level_head = cti_alloc(n + 2, sizeof(int64_t)),
        .level_kernels = cti_alloc(n + 2, sizeof(int64_t)),
        .scratch = cti_alloc(n, sizeof(int64_t)),
        .marked = cti_alloc(n, sizeof(bool)),
    };
    bool ready = f.table && f.group_of && f.next_member && f.operations && f.operand && f.groups &&
                 f.level_head && f.level_kernels && f.scratch && f.marked;
    ct_status status = ready ? fuse_all(&f) : CT_ERR_MEMORY;
    cti_free(f.table);
    cti_free(f.group_of);
    cti_free(f.next_member);
    cti_free(f.operations);
    cti_free(f.operand);
    cti_free(f.groups);
    cti_free(f.level_head);
    cti_free(f.level_kernels);
    cti_free(f.scratch);
    cti_free(f.marked);
    return status;
}
