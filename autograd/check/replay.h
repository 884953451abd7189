/* Private: every value of a graph in turn, as the graph is written: one op at a time, nothing
 * simplified away, the same random draws. */
#ifndef COTAN_REPLAY_H
#define COTAN_REPLAY_H

#include "tensor/base/zone.h"
#include "tensor/graph/node.h"

/* What n roots are computed from, in post-order. Values that are there already are taken, also
 * those behind which the graph goes on. */
typedef struct {
    ct_tensor **items; /* borrowed: as long as the roots live */
    int64_t n;
    int64_t *first, *operands; /* item i reads the items operands[first[i] .. first[i + 1] - 1] */
    int64_t *last;             /* the last item that reads item i; i itself: none does */
    int64_t *roots;            /* their items */
    int64_t n_roots;
    bool *ours; /* the value is of the replay, and goes with its last reader */
    cti_zone zone;
} cti_replay;

ct_status cti_replay_new(cti_replay *r, ct_tensor *const roots[], int64_t n);
void cti_replay_free(cti_replay *r); /* also after an error */

/* Called for item i when it has its value and its operands still have theirs. */
typedef ct_status cti_replay_visit(void *context, int64_t i);
/* Afterwards the nodes hold the values that they held before, also after an error. */
ct_status cti_replay_run(cti_replay *r, cti_replay_visit *visit, void *context);

#endif
