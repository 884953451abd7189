/* Order: the rounds of a graph with sums of which other ranks have terms. The sums of a round wait
 * for equally many others, and so can be exchanged at once.
 * It places nothing; group.c does, round by round.
 * Invariant: rounds follow from ops and edges alone, which are the same on all ranks, where shapes
 * are not. */
#include "tensor/base/shape_rules.h"
#include "tensor/plan/planning.h"

/* The number of rounds. */
static int64_t find_rounds(cti_planning *p) {
    const cti_plan *plan = p->plan;
    int64_t rounds = 1;
    for (int64_t i = 0; i < plan->n_items; i++) {
        const cti_item *item = &plan->items[i];
        p->round[i] = item->elsewhere;
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t before = p->round[cti_base_of(plan, item, k)];
            p->round[i] = cti_most(p->round[i], before + item->elsewhere);
        }
        rounds = cti_most(rounds, p->round[i] + 1);
    }
    return rounds;
}

/* Where an item stands among all: the sums of a round before what may read them. */
static int64_t place_of(const cti_planning *p, int64_t i) {
    return 2 * p->round[i] + !p->plan->items[i].elsewhere;
}

ct_status cti_plan_order(cti_planning *p) {
    int64_t n = p->plan->n_items;
    p->round = cti_zone_alloc(&p->work, (size_t)n, sizeof *p->round);
    p->order = cti_zone_alloc(&p->work, (size_t)n, sizeof *p->order);
    if (!p->round || !p->order) return CT_ERR_MEMORY;
    int64_t places = 2 * find_rounds(p);
    int64_t *next = cti_zone_alloc(&p->work, (size_t)places + 1, sizeof *next);
    if (!next) return CT_ERR_MEMORY;
    for (int64_t k = 0; k <= places; k++) next[k] = 0;
    for (int64_t i = 0; i < n; i++) next[place_of(p, i) + 1]++;
    for (int64_t k = 0; k < places; k++) next[k + 1] += next[k];
    for (int64_t i = 0; i < n; i++) p->order[next[place_of(p, i)]++] = i;
    return CT_OK;
}
