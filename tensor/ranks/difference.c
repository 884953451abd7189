/* Where ranks differ: what they compute has parts, whose hashes they compare.
 * It does not know what the parts are.
 * Invariant: all ranks take as many steps, whatever they computed and however much of it, so that
 * none waits for another. */
#include "tensor/ranks/group_private.h"

#define MOST_PARTS (INT64_C(1) << 24)

static uint64_t hash_of_first(const cti_exchange *e, int64_t n) {
    return e->parts ? e->parts->hash(e->parts->of, n) : e->mine.hash;
}

/* What the two that differ have, on all ranks: a sum to which the others add nothing. */
static void tell(ct_group *g, const cti_exchange *e, int64_t part, cti_difference *d) {
    int64_t partials[CT_GROUP_MOST][sizeof d->text / sizeof(int64_t)] = {0};
    char(*mine)[CTI_DIFFERENCE_TEXT] = (void *)partials[0];
    int which = g->rank == d->fault.rank ? 0 : 1;
    if (e->parts && (g->rank == d->fault.rank || g->rank == d->fault.other)) {
        e->parts->say(e->parts->of, part, mine[which], sizeof mine[which]);
    }
    const cti_summand all = {partials, d->text, sizeof partials[0] / sizeof partials[0][0]};
    cti_all_sum(g, (cti_entry){.status = CT_OK}, CT_I64, &all, 1);
}

/* By halving: the first `same` parts are equal on all ranks, the first `differ` are not. */
static int64_t search(ct_group *g, const cti_exchange *e, cti_difference *d) {
    int64_t same = 0, differ = MOST_PARTS;
    while (differ - same > 1) {
        int64_t middle = same + (differ - same) / 2;
        cti_agree(g, (cti_entry){.hash = hash_of_first(e, middle)});
        const cti_fault *fault = &g->exchange.fault;
        if (fault->kind == CTI_SOUND) {
            same = middle;
        } else if (fault->kind == CTI_DIFFERENT) {
            differ = middle;
            d->fault = *fault;
        } else {
            return -1; /* a rank was lost */
        }
    }
    return same;
}

cti_difference cti_difference_find(ct_group *g) {
    const cti_exchange before = g->exchange;
    cti_difference d = {.fault = before.fault};
    g->comparing = true;
    int64_t part = search(g, &before, &d);
    if (part >= 0 && part < MOST_PARTS - 1) tell(g, &before, part, &d);
    g->comparing = false;
    g->exchange = before;
    return d;
}
