/* Order: the rounds of a graph with sums of which other ranks have terms. The sums of a round wait
 * for equally many others, and so can be exchanged at once. Those that no other sum waits for, as
 * gradients of parameters, join the next round: they are computed while one is exchanged.
 * It places nothing; group.c does, round by round.
 * Invariant: rounds follow from ops and edges alone, which are the same on all ranks, where shapes
 * are not. */
#include "tensor/base/shape_rules.h"
#include "tensor/plan/planning.h"

/* Items that some sum comes after. */
static void find_awaited(const cti_plan *plan, bool *awaited) {
    for (int64_t i = 0; i < plan->n_items; i++) awaited[i] = false;
    for (int64_t i = plan->n_items - 1; i >= 0; i--) {
        const cti_item *item = &plan->items[i];
        for (int k = 0; k < item->n_inputs; k++) {
            if (item->elsewhere || awaited[i]) awaited[cti_base_of(plan, item, k)] = true;
        }
    }
}

/* The last round, where the sums that no other comes after are `late` rounds later, but not after
 * `end`. */
static int64_t find_rounds(cti_planning *p, const bool *awaited, int64_t late, int64_t end) {
    const cti_plan *plan = p->plan;
    int64_t last = 0;
    for (int64_t i = 0; i < plan->n_items; i++) {
        const cti_item *item = &plan->items[i];
        int64_t before = 0;
        for (int k = 0; k < item->n_inputs; k++) {
            before = cti_most(before, p->round[cti_base_of(plan, item, k)]);
        }
        p->round[i] = before + item->elsewhere;
        if (item->elsewhere && !awaited[i]) p->round[i] = cti_least(p->round[i] + late, end);
        last = cti_most(last, p->round[i]);
    }
    return last;
}

/* Where an item stands among all: the sums of a round before what may read them. */
static int64_t place_of(const cti_planning *p, int64_t i) {
    return 2 * p->round[i] + !p->plan->items[i].elsewhere;
}

ct_status cti_plan_order(cti_planning *p) {
    int64_t n = p->plan->n_items;
    p->round = cti_zone_alloc(&p->work, (size_t)n, sizeof *p->round);
    p->order = cti_zone_alloc(&p->work, (size_t)n, sizeof *p->order);
    bool *awaited = cti_zone_alloc(&p->work, (size_t)n, sizeof *awaited);
    if (!p->round || !p->order || !awaited) return CT_ERR_MEMORY;
    find_awaited(p->plan, awaited);
    int64_t last = find_rounds(p, awaited, 0, INT64_MAX), places = 2 * (last + 1);
    if (last > 0) find_rounds(p, awaited, 1, last);
    int64_t *next = cti_zone_alloc(&p->work, (size_t)places + 1, sizeof *next);
    if (!next) return CT_ERR_MEMORY;
    for (int64_t k = 0; k <= places; k++) next[k] = 0;
    for (int64_t i = 0; i < n; i++) next[place_of(p, i) + 1]++;
    for (int64_t k = 0; k < places; k++) next[k + 1] += next[k];
    for (int64_t i = 0; i < n; i++) p->order[next[place_of(p, i)]++] = i;
    return CT_OK;
}
