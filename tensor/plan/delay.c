/* Delays: a reduction moves from the first pass that could do it to a later one that reads its
 * operands anyway, so that they are streamed once less.
 * It moves reductions of leaves and of kernels' outputs alone: those are in memory either way.
 * Invariant: what reads a reduction stays on a higher level than it. */
#include "tensor/plan/fuse.h"

/* Later levels that are looked at. */
#define LEVELS_AHEAD 8

static int64_t base_of(const cti_plan *plan, const cti_item *item, int k) {
    return plan->items[plan->edges[item->edges + k]].base;
}

static bool in_memory(const cti_item *base) { return !base->op || base->op->kind == CT_KERNEL; }

static bool reads(const cti_plan *plan, const cti_item *item, int64_t base) {
    for (int k = 0; k < item->n_inputs; k++) {
        if (base_of(plan, item, k) == base) return true;
    }
    return false;
}

/* Whether a member of the group other than i reads an operand of i; all of them, for `every`. */
static bool group_reads(const cti_fusion *f, const cti_group *g, int64_t i, bool every) {
    const cti_plan *plan = f->plan;
    const cti_item *item = &plan->items[i];
    int n = 0;
    for (int k = 0; k < item->n_inputs; k++) {
        bool read = false;
        for (int64_t m = g->first; m >= 0 && !read; m = f->next_member[m]) {
            read = m != i && reads(plan, &plan->items[m], base_of(plan, item, k));
        }
        n += read;
    }
    return every ? n == item->n_inputs : n > 0;
}

static void leave(cti_fusion *f, cti_group *g, int64_t i) {
    int64_t before = -1;
    for (int64_t m = g->first; m != i; m = f->next_member[m]) before = m;
    if (before < 0) g->first = f->next_member[i];
    else f->next_member[before] = f->next_member[i];
    if (g->last == i) g->last = before;
    g->n_members--;
}

static void enter(cti_fusion *f, int64_t g, int64_t i) {
    cti_group *to = &f->groups[g];
    f->next_member[i] = to->first;
    to->first = i;
    to->n_members++;
    to->reduces = true;
    to->geometry = *(const ct_reduction *)f->plan->items[i].attr;
    f->group_of[i] = g;
    f->plan->items[i].level = to->level;
}

static void delay(cti_fusion *f, int64_t i, int64_t first_reader) {
    cti_item *item = &f->plan->items[i];
    cti_group *from = &f->groups[f->group_of[i]];
    int64_t end = item->level + 1 + LEVELS_AHEAD;
    if (end > first_reader) end = first_reader;
    if (end <= item->level + 1 || group_reads(f, from, i, false)) return;
    for (int64_t level = item->level + 1; level < end; level++) {
        int64_t g = *cti_find_group(f, from->space, level);
        if (g < 0 || !cti_group_takes(&f->groups[g], item->attr)) continue;
        if (!group_reads(f, &f->groups[g], i, true)) continue;
        leave(f, from, i);
        enter(f, g, i);
        return;
    }
}

static bool can_wait(const cti_plan *plan, const cti_item *item) {
    if (!item->op || item->op->kind != CT_REDUCE) return false;
    for (int k = 0; k < item->n_inputs; k++) {
        if (!in_memory(&plan->items[base_of(plan, item, k)])) return false;
    }
    return true;
}

ct_status cti_delay_reductions(cti_fusion *f) {
    const cti_plan *plan = f->plan;
    int64_t *first_reader = cti_zone_alloc(plan->work, (size_t)plan->n_items, sizeof *first_reader);
    if (!first_reader) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < plan->n_items; i++) first_reader[i] = f->levels + 1;
    for (int64_t i = 0; i < plan->n_items; i++) {
        const cti_item *item = &plan->items[i];
        for (int k = 0; k < item->n_inputs && item->op; k++) {
            int64_t *first = &first_reader[base_of(plan, item, k)];
            if (item->level < *first) *first = item->level;
        }
    }
    for (int64_t i = 0; i < plan->n_items; i++) {
        if (can_wait(plan, &plan->items[i])) delay(f, i, first_reader[i]);
    }
    return CT_OK;
}
