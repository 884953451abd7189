/* Private: what a rank does in a sum over all grains, as a list of steps, and what when bytes of
 * rank 0 go to all.
 *
 * The tree: the leaves are the grains, and the node over [lo, hi) adds the node over [lo, mid) to
 * that over [mid, hi), where mid = lo + (hi - lo) / 2. A rank's grains are the leaves below one or
 * more nodes, which it sums by itself. */
#ifndef COTAN_RANKS_SCHEDULE_H
#define COTAN_RANKS_SCHEDULE_H

#include "tensor/group.h"

typedef struct {
    int first, last; /* [first, last) */
} cti_range;

/* An exchange of heads with a peer, and of payload: pieces of the sums of own nodes. An array is
 * cut into P pieces. Where the peer is the rank itself, two of its nodes are added. */
typedef struct {
    int peer;
    int give, take; /* own nodes by number, or -1: no payload that way */
    cti_range given, taken;
    bool adds; /* what is taken is added, and does not replace */
} cti_rank_step;

enum {
    CTI_MOST_NODES = 16, /* at most two for each level of the tree */
    CTI_MOST_STEPS = 2 * CT_GROUP_MOST
};

/* After the first `common` steps every rank knows how all have fared. As far as that all lists are
 * alike, but for payload: so ranks that make different calls meet, and none waits for another. */
typedef struct {
    int n, common;
    cti_rank_step steps[CTI_MOST_STEPS];
} cti_steps;

typedef struct {
    cti_range grains;
    int n_nodes;
    cti_range nodes[CTI_MOST_NODES]; /* from left to right */
    cti_steps sum;                   /* at its end node 0 is the sum of all grains, on every rank */
    cti_steps spread;                /* the heads of a sum, then node 0 of rank 0 to all */
} cti_schedule;

cti_range cti_grains_of(int rank, int size, int grains);
void cti_schedule_make(cti_schedule *schedule, int rank, int size, int grains);

#endif
