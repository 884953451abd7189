/* Grouping: which items may be computed in one pass, and the level of each.
 * It looks at kinds and shapes only, never at what an op computes.
 * Invariant: an item's level is higher than that of every input which must be complete before it,
 * and a space has one group per level; so the passes of a level are independent of each other. */
#include "tensor/base/shape_rules.h"
#include "tensor/plan/planning.h"

#include <string.h>

/* A pass of more operations would use more tiles than the L1 cache holds. */
#define GROUP_MEMBERS 64
/* Levels that a reduction may be delayed by. */
#define LEVELS_AHEAD 8

static bool streams(const cti_item *item) {
    return item->op && (item->op->kind == CT_MAP || item->op->kind == CT_REDUCE);
}

static int64_t space_of(const cti_plan *plan, const cti_item *item) {
    if (item->op->kind == CT_MAP) return item->numel;
    return cti_input_of(plan, item, 0)->numel;
}

static bool reduces(const cti_plan *plan, const cti_item *item, ct_reduction *geometry) {
    if (item->op->kind != CT_REDUCE) return false;
    *geometry = item->op->geometry(item->attr, cti_input_of(plan, item, 0)->shape);
    return true;
}

int64_t cti_streamed_input(const cti_plan *plan, const cti_item *item, int k) {
    const cti_item *in = cti_input_of(plan, item, k);
    const cti_item *base = &plan->items[in->base];
    if (!streams(item) || !base->op || base->op->kind != CT_MAP || !in->whole) return -1;
    return base->numel == space_of(plan, item) ? in->base : -1;
}

/* --- Levels ----------------------------------------------------------------------------------- */

static int64_t lowest_level(const cti_plan *plan, const cti_item *item) {
    int64_t level = 1;
    for (int k = 0; k < item->n_inputs; k++) {
        int64_t after = plan->items[cti_base_of(plan, item, k)].level;
        if (after > 0 && cti_streamed_input(plan, item, k) < 0) after++;
        if (after > level) level = after;
    }
    return level;
}

static bool full(const cti_group *group) { return group->n_members >= GROUP_MEMBERS; }

/* Whether there is room for another member, of that geometry if it reduces (else NULL). */
static bool takes(const cti_group *group, const ct_reduction *geometry) {
    if (full(group)) return false;
    return !geometry || !group->reduces ||
           memcmp(&group->geometry, geometry, sizeof *geometry) == 0;
}

/* The table's entry for a space and level; -1 in it where there is no such group yet. */
static int64_t *find_group(const cti_groups *g, int64_t space, int64_t level) {
    uint64_t hash = ((uint64_t)level ^ (uint64_t)space << 20) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 32;
    for (;; hash++) {
        int64_t *at = &g->table[hash & g->table_mask];
        if (*at < 0) return at;
        const cti_group *group = &g->groups[*at];
        if (group->level == level && group->space == space) return at;
    }
}

static cti_group *new_group(cti_groups *g, int64_t space, int64_t level) {
    cti_group *group = &g->groups[g->n_groups];
    *group = (cti_group){.space = space,
                         .level = level,
                         .open = level + 1,
                         .first = -1,
                         .last = -1,
                         .next = g->level_groups[level]};
    g->level_groups[level] = g->n_groups++;
    return group;
}

/* Appends to a group's members, or prepends. */
static void enter(cti_planning *p, int64_t group, int64_t i, bool at_end) {
    cti_groups *g = &p->groups;
    cti_group *to = &g->groups[group];
    cti_item *item = &p->plan->items[i];
    g->next_member[i] = at_end ? -1 : to->first;
    if (at_end && to->last >= 0) g->next_member[to->last] = i;
    else to->first = i;
    if (at_end || to->last < 0) to->last = i;
    to->n_members++;
    to->reduces |= reduces(p->plan, item, &to->geometry);
    g->group_of[i] = group;
    item->level = to->level;
}

/* Into the group of the lowest possible level; where that is full, or has a reduction of another
 * geometry, of the next level that takes the item. */
static void place_item(cti_planning *p, int64_t i) {
    cti_groups *g = &p->groups;
    const cti_item *item = &p->plan->items[i];
    ct_reduction own, *geometry = reduces(p->plan, item, &own) ? &own : NULL;
    int64_t space = space_of(p->plan, item);
    int64_t lowest = lowest_level(p->plan, item), level = lowest;
    int64_t *at = find_group(g, space, level);
    while (*at >= 0 && !takes(&g->groups[*at], geometry)) {
        level = full(&g->groups[*at]) ? g->groups[*at].open : level + 1;
        at = find_group(g, space, level);
    }
    /* Without a geometry all groups in between were full: the next item skips them. */
    if (!geometry && level > lowest) g->groups[*find_group(g, space, lowest)].open = level;
    if (*at < 0) *at = new_group(g, space, level) - g->groups;
    enter(p, *at, i, true);
}

static void place_kernel(cti_planning *p, int64_t i, int64_t level) {
    cti_groups *g = &p->groups;
    p->plan->items[i].level = level;
    g->next_member[i] = g->level_kernels[level];
    g->level_kernels[level] = i;
    g->n_kernels++;
}

/* The sums of a round, which begin at this place of the order, get one level; returns their end. */
static int64_t place_sums(cti_planning *p, int64_t first) {
    const cti_plan *plan = p->plan;
    const int64_t *order = p->order;
    int64_t level = 1, end = first, round = p->round[order[first]];
    while (end < plan->n_items && plan->items[order[end]].elsewhere &&
           p->round[order[end]] == round) {
        level = cti_most(level, lowest_level(plan, &plan->items[order[end++]]));
    }
    for (int64_t k = first; k < end; k++) place_kernel(p, order[k], level);
    return end;
}

static int64_t place_next(cti_planning *p, int64_t k) {
    int64_t i = p->order[k];
    const cti_item *item = &p->plan->items[i];
    if (item->elsewhere) return place_sums(p, k);
    if (!item->op) return k + 1;
    if (streams(item)) place_item(p, i);
    else place_kernel(p, i, lowest_level(p->plan, item));
    return k + 1;
}

static void assign_levels(cti_planning *p) {
    int64_t n = p->plan->n_items;
    for (int64_t i = 0; i < n; i++) p->groups.group_of[i] = p->groups.next_member[i] = -1;
    for (int64_t k = 0; k < n;) {
        k = place_next(p, k);
        p->groups.levels = cti_most(p->groups.levels, p->plan->items[p->order[k - 1]].level);
    }
}

/* --- Delays ----------------------------------------------------------------------------------- */

/* A reduction moves from the lowest level that it could have to a later pass that reads its
 * operands anyway, which saves streaming them once. Only reductions of leaves and of kernels'
 * outputs move, because those are in memory in any case. Readers of a reduction stay on a higher
 * level. */

static bool reads(const cti_plan *plan, const cti_item *item, int64_t base) {
    for (int k = 0; k < item->n_inputs; k++) {
        if (cti_base_of(plan, item, k) == base) return true;
    }
    return false;
}

/* Whether a member of the group other than i reads an operand of i; all of them, for `every`. */
static bool group_reads(const cti_planning *p, const cti_group *group, int64_t i, bool every) {
    const cti_plan *plan = p->plan;
    const cti_item *item = &plan->items[i];
    int n = 0;
    for (int k = 0; k < item->n_inputs; k++) {
        bool read = false;
        for (int64_t m = group->first; m >= 0 && !read; m = p->groups.next_member[m]) {
            read = m != i && reads(plan, &plan->items[m], cti_base_of(plan, item, k));
        }
        n += read;
    }
    return every ? n == item->n_inputs : n > 0;
}

static void leave(cti_groups *g, cti_group *group, int64_t i) {
    int64_t before = -1;
    for (int64_t m = group->first; m != i; m = g->next_member[m]) before = m;
    if (before < 0) group->first = g->next_member[i];
    else g->next_member[before] = g->next_member[i];
    if (group->last == i) group->last = before;
    group->n_members--;
}

static void delay(cti_planning *p, int64_t i, int64_t first_reader) {
    const cti_item *item = &p->plan->items[i];
    cti_group *from = &p->groups.groups[p->groups.group_of[i]];
    int64_t end = item->level + 1 + LEVELS_AHEAD;
    if (end > first_reader) end = first_reader;
    if (end <= item->level + 1 || group_reads(p, from, i, false)) return;
    ct_reduction geometry;
    reduces(p->plan, item, &geometry);
    for (int64_t level = item->level + 1; level < end; level++) {
        int64_t to = *find_group(&p->groups, from->space, level);
        if (to < 0 || !takes(&p->groups.groups[to], &geometry)) continue;
        if (!group_reads(p, &p->groups.groups[to], i, true)) continue;
        leave(&p->groups, from, i);
        enter(p, to, i, false);
        return;
    }
}

static bool may_be_delayed(const cti_plan *plan, const cti_item *item) {
    if (!item->op || item->op->kind != CT_REDUCE) return false;
    for (int k = 0; k < item->n_inputs; k++) {
        const cti_item *base = &plan->items[cti_base_of(plan, item, k)];
        if (base->op && base->op->kind != CT_KERNEL) return false;
    }
    return true;
}

static void delay_reductions(cti_planning *p, int64_t first_reader[]) {
    const cti_plan *plan = p->plan;
    for (int64_t i = 0; i < plan->n_items; i++) first_reader[i] = p->groups.levels + 1;
    for (int64_t i = 0; i < plan->n_items; i++) {
        const cti_item *item = &plan->items[i];
        for (int k = 0; k < item->n_inputs && item->op; k++) {
            int64_t *first = &first_reader[cti_base_of(plan, item, k)];
            if (item->level < *first) *first = item->level;
        }
    }
    for (int64_t i = 0; i < plan->n_items; i++) {
        if (may_be_delayed(plan, &plan->items[i])) delay(p, i, first_reader[i]);
    }
}

ct_status cti_plan_group(cti_planning *p) {
    size_t n = (size_t)p->plan->n_items, places = 16;
    while (places < 2 * n) places *= 2;
    cti_groups *g = &p->groups;
    *g = (cti_groups){.group_of = cti_zone_alloc(&p->work, n, sizeof *g->group_of),
                      .next_member = cti_zone_alloc(&p->work, n, sizeof *g->next_member),
                      .groups = cti_zone_alloc(&p->work, n, sizeof *g->groups),
                      .level_groups = cti_zone_alloc(&p->work, n + 2, sizeof(int64_t)),
                      .level_kernels = cti_zone_alloc(&p->work, n + 2, sizeof(int64_t)),
                      .table = cti_zone_alloc(&p->work, places, sizeof *g->table),
                      .table_mask = places - 1};
    int64_t *first_reader = cti_zone_alloc(&p->work, n, sizeof *first_reader);
    if (!g->group_of || !g->next_member || !g->groups || !g->level_groups || !g->level_kernels ||
        !g->table || !first_reader) {
        return CT_ERR_MEMORY;
    }
    for (size_t l = 0; l < n + 2; l++) g->level_groups[l] = g->level_kernels[l] = -1;
    for (size_t k = 0; k < places; k++) g->table[k] = -1;
    assign_levels(p);
    delay_reductions(p, first_reader);
    return CT_OK;
}
