/* Private: what ranks have to agree about before a plan with exchanges runs. */
#ifndef COTAN_RUN_RANKS_H
#define COTAN_RUN_RANKS_H

#include "tensor/plan/cache.h"
#include "tensor/ranks/exchange.h"

/* What has to be equal on all ranks: the plan's graph but for how many rows are here, how many
 * there are of all ranks, and the values of small leaves, such as numbers and keys of random ones.
 */
typedef struct {
    const cti_planned *planned;
    const cti_walk *walk;
    cti_parts parts; /* of this very struct */
} cti_ranks_graph;
/* What a rank with that graph brings to its exchanges, for as long as `graph` is there. */
cti_entry cti_ranks_entry(cti_ranks_graph *graph, const cti_planned *planned, const cti_walk *walk);
/* Whether the sums of the walk are over the grains of the current group; an error if not. */
ct_status cti_ranks_check(const cti_walk *walk);
/* For a rank whose run of what these roots need has no exchange, as it failed before, or all sums
 * were simplified away: takes part in that of the others, if there is a sum in the graph. Returns
 * the status, or that of a rank that failed. */
ct_status cti_ranks_told(ct_tensor *const roots[], int64_t n, ct_status status);

#endif
