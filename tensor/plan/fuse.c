/* Fusion: which items are computed in one pass, and in which step.
 * It looks at kinds and shapes only, never at what an op computes.
 * Invariant: an item's level is above the level of whatever it must wait for; items of one group
 * have one space and one level, so the passes of a level are independent of each other. */
#include "tensor/plan/fuse.h"

#include <string.h>

/* Recomputing a value in a later pass is worth it while it costs a few operations, and that pass
 * reads at most one more large operand for it, in place of the value itself. */
#define RECOMPUTE_OPERATIONS 6
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

bool cti_group_takes(const cti_group *g, const ct_reduction *geometry) {
    if (full(g)) return false;
    return !geometry || !g->reduces || memcmp(&g->geometry, geometry, sizeof *geometry) == 0;
}

int64_t *cti_find_group(cti_fusion *f, int64_t space, int64_t level) {
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
    int64_t *at = cti_find_group(f, space, level);
    while (*at >= 0 && !cti_group_takes(&f->groups[*at], geometry)) {
        level = full(&f->groups[*at]) ? f->groups[*at].open : level + 1;
        at = cti_find_group(f, space, level);
    }
    /* Without a geometry all groups in between were full: the next item need not look again. */
    if (!geometry && level > lowest) f->groups[*cti_find_group(f, space, lowest)].open = level;
    int64_t g = *at;
    item->level = level;
    if (g < 0) {
        g = *at = f->n_groups++;
        f->groups[g] = (cti_group){.space = space,
                                   .level = level,
                                   .open = level + 1,
                                   .first = i,
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

static void add_reader(cti_fusion *f, int64_t base, int64_t reader) {
    f->readers[f->n_readers] = (cti_reader){f->group_of[reader], f->first_reader[base]};
    f->first_reader[base] = f->n_readers++;
}

/* What must have memory, and who reads an item from another group over the same space: there it may
 * be recomputed. */
static void find_readers(cti_fusion *f) {
    cti_plan *plan = f->plan;
    for (int64_t i = 0; i < plan->n_items; i++) f->first_reader[i] = -1;
    for (int64_t i = 0; i < plan->n_items; i++) {
        cti_item *item = &plan->items[i];
        if (item->op && item->op->kind != CT_MAP) item->stored = true;
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t base = plan->items[plan->edges[item->edges + k]].base;
            if (cti_streamed_input(plan, item, k) < 0) plan->items[base].stored = true;
            else if (f->group_of[base] != f->group_of[i]) add_reader(f, base, i);
        }
    }
    for (int64_t r = 0; r < plan->graph.n_roots; r++) {
        plan->items[plan->items[plan->roots[r]].base].stored = true;
    }
}

static bool has_operand(const cti_operands *set, int64_t item) {
    for (int64_t k = 0; k < set->n; k++) {
        if (set->item[k] == item) return true;
    }
    return false;
}

static void add_operand(cti_operands *set, int64_t item) {
    if (set->n <= CTI_OPERANDS && !has_operand(set, item)) set->item[set->n++] = item;
}

/* What computing a MAP item anew would cost: operations and large operands. */
static void recompute_cost(cti_fusion *f, int64_t i) {
    cti_plan *plan = f->plan;
    const cti_item *item = &plan->items[i];
    f->operations[i] = item->op->costly ? 2 * RECOMPUTE_OPERATIONS : 1;
    f->operands[i].n = 0;
    for (int k = 0; k < item->n_inputs; k++) {
        int64_t base = plan->items[plan->edges[item->edges + k]].base;
        if (!plan->items[base].stored) {
            f->operations[i] += f->operations[base];
            for (int64_t j = 0; j < f->operands[base].n; j++) {
                add_operand(&f->operands[i], f->operands[base].item[j]);
            }
        } else if (plan->items[base].numel > item->numel / 8) {
            add_operand(&f->operands[i], base);
        }
    }
}

/* How many of i's operands no member of the group reads, be it for something that is computed
 * anew there. Later items are not decided on yet, and do not count. */
static int64_t not_read_by(const cti_fusion *f, int64_t group, int64_t i) {
    const cti_plan *plan = f->plan;
    const cti_operands *operands = &f->operands[i];
    cti_operands read = {0};
    for (int64_t m = f->groups[group].first; m >= 0; m = f->next_member[m]) {
        const cti_item *item = &plan->items[m];
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t base = plan->items[plan->edges[item->edges + k]].base;
            if (has_operand(operands, base)) add_operand(&read, base);
            if (base >= i || plan->items[base].stored) continue;
            for (int64_t j = 0; j < f->operands[base].n; j++) {
                int64_t item_read = f->operands[base].item[j];
                if (has_operand(operands, item_read)) add_operand(&read, item_read);
            }
        }
    }
    return operands->n - read.n;
}

static bool worth_recomputing(const cti_fusion *f, int64_t i) {
    if (f->operations[i] > RECOMPUTE_OPERATIONS || f->operands[i].n > CTI_OPERANDS) return false;
    for (int64_t r = f->first_reader[i]; r >= 0; r = f->readers[r].next) {
        if (not_read_by(f, f->readers[r].group, i) > 1) return false;
    }
    return true;
}

static void decide_stored(cti_fusion *f) {
    cti_plan *plan = f->plan;
    find_readers(f);
    for (int64_t i = 0; i < plan->n_items; i++) {
        cti_item *item = &plan->items[i];
        if (!item->op || item->op->kind != CT_MAP) continue;
        recompute_cost(f, i);
        if (f->first_reader[i] >= 0 && !worth_recomputing(f, i)) item->stored = true;
    }
}

static ct_status fuse_all(cti_fusion *f) {
    cti_plan *plan = f->plan;
    assign_levels(f);
    if (cti_delay_reductions(f) != CT_OK) return CT_ERR_MEMORY;
    decide_stored(f);
    size_t passes = (size_t)(f->n_groups + f->n_kernels);
    plan->passes = cti_zone_alloc(&plan->zone, passes, sizeof *plan->passes);
    if (!plan->passes) return CT_ERR_MEMORY;
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
        .table = cti_zone_alloc(plan->work, slots, sizeof(int64_t)),
        .table_mask = slots - 1,
        .group_of = cti_zone_alloc(plan->work, n, sizeof(int64_t)),
        .next_member = cti_zone_alloc(plan->work, n, sizeof(int64_t)),
        .operations = cti_zone_alloc(plan->work, n, sizeof(int64_t)),
        .operands = cti_zone_alloc(plan->work, n, sizeof(cti_operands)),
        .first_reader = cti_zone_alloc(plan->work, n, sizeof(int64_t)),
        .readers = cti_zone_alloc(plan->work, (size_t)plan->n_edges, sizeof(cti_reader)),
        .groups = cti_zone_alloc(plan->work, n, sizeof(cti_group)),
        .level_head = cti_zone_alloc(plan->work, n + 2, sizeof(int64_t)),
        .level_kernels = cti_zone_alloc(plan->work, n + 2, sizeof(int64_t)),
        .scratch = cti_zone_alloc(plan->work, n, sizeof(int64_t)),
        .marked = cti_zone_alloc(plan->work, n, sizeof(bool)),
    };
    bool ready = f.table && f.group_of && f.next_member && f.operations && f.operands && f.groups &&
                 f.first_reader && f.readers && f.level_head && f.level_kernels && f.scratch &&
                 f.marked;
    return ready ? fuse_all(&f) : CT_ERR_MEMORY;
}
