/* Where ranks differ: what they compute has parts, whose hashes they compare.
 * It does not know what the parts are.
 * Invariant: all ranks take as many steps, whatever they computed and however much of it, so that
 * none waits for another; but for the two that differ, which tell each other what they have. */
#include "tensor/ranks/group_private.h"

#include <string.h>

#define MOST_PARTS (INT64_C(1) << 24)

static uint64_t hash_of_first(const cti_exchange *e, int64_t n) {
    return e->parts ? e->parts->hash(e->parts->of, n) : e->mine.hash;
}

/* The two that differ say which part they have. */
static void tell(ct_group *g, const cti_exchange *e, int64_t part, cti_difference *d) {
    int peer = d->fault.rank + d->fault.other - g->rank;
    if (g->rank != d->fault.rank && g->rank != d->fault.other) return;
    const cti_range all = {0, g->size};
    const cti_steps once = {
        .n = 1,
        .common = 1,
        .steps = {{.peer = peer, .give = 0, .take = 1, .given = all, .taken = all}}};
    char texts[2][CTI_DIFFERENCE_TEXT] = {{0}};
    if (e->parts) e->parts->say(e->parts->of, part, texts[0], sizeof texts[0]);
    const cti_entry alike = {.status = CT_OK};
    if (cti_exchange_bytes(g, alike, &once, texts, sizeof texts[0]) != CT_OK) return;
    bool first = g->rank == d->fault.rank;
    memcpy(d->text[0], texts[!first], sizeof texts[0]);
    memcpy(d->text[1], texts[first], sizeof texts[0]);
    d->text[0][CTI_DIFFERENCE_TEXT - 1] = d->text[1][CTI_DIFFERENCE_TEXT - 1] = 0;
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
