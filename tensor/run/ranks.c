/* What ranks tell each other around a run: that they compute the same, and that one of them cannot.
 * It exchanges no sums; the runner does.
 * Invariant: whether ranks exchange anything follows from the graph as the user built it, so that a
 * rank that could not simplify it knows as well: it takes part in the first exchange of the others,
 * all come to the same status, and none waits. */
#include "tensor/run/ranks.h"

#include "tensor/base/hash.h"
#include "tensor/ranks/exchange.h"

#define KEY_BYTES 16 /* a leaf that is no larger counts by its value */

static uint64_t mix_value(uint64_t hash, const cti_planned *planned, const cti_walk *walk,
                          int64_t i) {
    const cti_graph_node *leaf = &planned->plan->graph.nodes[i];
    size_t bytes = (size_t)leaf->numel * ct_dtype_size(leaf->dtype);
    if (leaf->op || leaf->batch >= 0 || bytes > KEY_BYTES) return hash;
    return cti_mix_bytes(hash, cti_planned_leaf(planned, walk, i)->data, bytes);
}

/* Of how many rows the batches are: a plan is for many. */
static uint64_t hash_of_batches(const cti_walk *walk) {
    uint64_t hash = 0;
    for (int64_t i = 0; i < walk->count; i++) {
        const ct_tensor *t = walk->items[i];
        if (t->rows && cti_has_value(t)) {
            hash = cti_mix(cti_mix(hash, (uint64_t)t->rows->total), (uint64_t)t->rows->unit);
        }
    }
    return hash;
}

uint64_t cti_ranks_hash(const cti_planned *planned, const cti_walk *walk) {
    const cti_graph *graph = &planned->plan->graph;
    uint64_t hash = cti_mix(hash_of_batches(walk), (uint64_t)graph->n_nodes);
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        const cti_graph_node *node = &graph->nodes[i];
        hash = mix_value(cti_mix_text(hash, node->op ? node->op->name : ""), planned, walk, i);
        hash = cti_mix(hash, (uint64_t)node->dtype << 16 | (uint64_t)node->shape.rank << 8 |
                                 (uint64_t)(node->batch + 1));
        for (int d = 0; d < node->shape.rank && node->batch < 0; d++) {
            hash = cti_mix(hash, (uint64_t)node->shape.dims[d]);
        }
        for (int k = 0; k < node->n_inputs; k++) {
            hash = cti_mix(hash, (uint64_t)graph->edges[node->edges + k]);
        }
    }
    return hash;
}

static bool sums(const ct_tensor *t) { return !cti_has_value(t) && cti_sums_elsewhere(t); }

ct_status cti_ranks_check(const cti_walk *walk) {
    int first, last, all;
    ct_group_grains(ct_group_current(), &first, &last, &all);
    for (int64_t i = 0; i < walk->count; i++) {
        const ct_tensor *t = walk->items[i];
        if (!sums(t)) continue;
        const cti_rows *rows = t->inputs[0]->rows;
        if (rows->first == first && rows->n == last - first && rows->all == all) continue;
        return ct_fail(CT_ERR_STATE,
                       "ct_eval: the graph has grains %d..%d of %d, the current group %d..%d of %d",
                       rows->first, rows->first + rows->n - 1, rows->all, first, last - 1, all);
    }
    return CT_OK;
}

ct_status cti_ranks_told(ct_tensor *const roots[], int64_t n, ct_status status) {
    ct_group *group = ct_group_current();
    bool may_sum = false;
    for (int64_t i = 0; i < n; i++) may_sum |= roots[i]->sums && !cti_has_value(roots[i]);
    if (!group || !may_sum || !cti_walk_meets(roots, n, cti_walk_needed, sums)) return status;
    ct_status all = cti_all_sum(group, (cti_entry){0, status}, CT_F32, NULL, 0);
    return status != CT_OK ? status : all;
}
