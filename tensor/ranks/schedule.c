/* The fixed tree as steps of one rank.
 * It moves no bytes: exchange.c does. The steps of all ranks are parts of one order of all
 * transfers, so that no two ranks wait for each other.
 * Invariant: which numbers are added to which follows from the number of grains alone. */
#include "tensor/ranks/schedule.h"

#include <string.h>

cti_range cti_grains_of(int rank, int size, int grains) {
    return (cti_range){(grains * rank + size - 1) / size, (grains * (rank + 1) + size - 1) / size};
}

static void append(cti_steps *list, cti_rank_step step) { list->steps[list->n++] = step; }

/* --- To all ----------------------------------------------------------------------------------- */

/* A binomial tree: rank r has them from the rank without its lowest bit. */
static void pass_down(cti_steps *list, int rank, int size) {
    const cti_range all = {0, size};
    int lowest = rank & -rank, bit = 1;
    if (rank > 0) {
        append(list, (cti_rank_step){.peer = rank - lowest, .give = -1, .take = 0, .taken = all});
    }
    while (bit < size && (rank == 0 || bit < lowest)) bit *= 2;
    for (bit /= 2; bit > 0; bit /= 2) {
        if (rank + bit >= size) continue;
        append(list, (cti_rank_step){.peer = rank + bit, .give = 0, .take = -1, .given = all});
    }
}

static void spread(cti_steps *list, const cti_steps *sum, int rank, int size) {
    for (int i = 0; i < sum->n; i++) {
        int peer = sum->steps[i].peer;
        if (peer != rank) append(list, (cti_rank_step){.peer = peer, .give = -1, .take = -1});
    }
    list->common = list->n;
    pass_down(list, rank, size);
}

/* --- Any number of ranks ---------------------------------------------------------------------- */

typedef struct {
    cti_schedule *out;
    int rank, size, grains;
} building;

static int owner(const building *b, int grain) { return grain * b->size / b->grains; }

/* Sums the node over [lo, hi) where its first grain is; what is returned is this rank's number of
 * the node, if it is there. */
static int sum_up(building *b, int lo, int hi) {
    int mid = lo + (hi - lo) / 2, left = owner(b, lo), right = owner(b, mid);
    if (left == owner(b, hi - 1)) {
        if (left != b->rank) return -1;
        b->out->nodes[b->out->n_nodes] = (cti_range){lo, hi};
        return b->out->n_nodes++;
    }
    int low = sum_up(b, lo, mid), high = sum_up(b, mid, hi);
    const cti_range all = {0, b->size};
    cti_rank_step step = {
        .peer = left, .give = -1, .take = -1, .given = all, .taken = all, .adds = true};
    if (b->rank == left) step.take = low, step.peer = right;
    if (b->rank == right) step.give = high;
    if (b->rank == left || b->rank == right) append(&b->out->sum, step);
    return low;
}

/* --- A power of two that divides the grains --------------------------------------------------- */

/* Recursive halving: with the partners rank ^ 1, rank ^ 2 and so on, the ranks of a node share the
 * work of adding it, each for its pieces; then back, doubling what is known. The last partner there
 * is the first on the way back: both give all that they have, as many bytes in one step. */
static void halve_and_double(cti_schedule *out, int rank, int size) {
    cti_range mine = {0, size}, before[8];
    int levels = 0, bit = 1;
    out->nodes[out->n_nodes++] = out->grains;
    for (; 2 * bit < size; bit *= 2) {
        int mid = (mine.first + mine.last) / 2;
        cti_range low = {mine.first, mid}, high = {mid, mine.last};
        before[levels++] = mine;
        mine = rank & bit ? high : low;
        append(&out->sum, (cti_rank_step){.peer = rank ^ bit,
                                          .given = rank & bit ? low : high,
                                          .taken = mine,
                                          .adds = true});
    }
    if (bit < size) {
        append(&out->sum,
               (cti_rank_step){.peer = rank ^ bit, .given = mine, .taken = mine, .adds = true});
    }
    for (bit /= 2; levels > 0; bit /= 2) {
        cti_range whole = before[--levels], other = whole;
        if (rank & bit) other.last = mine.first;
        else other.first = mine.last;
        append(&out->sum, (cti_rank_step){.peer = rank ^ bit, .given = mine, .taken = other});
        mine = whole;
    }
}

void cti_schedule_make(cti_schedule *out, int rank, int size, int grains) {
    memset(out, 0, sizeof *out);
    out->grains = cti_grains_of(rank, size, grains);
    if ((size & (size - 1)) == 0 && grains % size == 0) {
        halve_and_double(out, rank, size);
    } else {
        sum_up(&(building){out, rank, size, grains}, 0, grains);
        pass_down(&out->sum, rank, size);
    }
    out->sum.common = out->sum.n;
    spread(&out->spread, &out->sum, rank, size);
}
