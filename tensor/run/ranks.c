/* What ranks tell each other around a run: that they compute the same, and that one of them cannot.
 * It exchanges no sums; the runner does.
 * Invariant: whether ranks exchange anything follows from the graph as the user built it, so that a
 * rank that could not simplify it knows as well: it takes part in the first exchange of the others,
 * all come to the same status, and none waits. */
#include "tensor/run/ranks.h"

#include "tensor/base/hash.h"
#include "tensor/ranks/exchange.h"

#include <inttypes.h>

#define KEY_BYTES 16 /* a leaf that is no larger counts by its value */

/* The value of a leaf that is small enough to be compared, or NULL. */
static const cti_buffer *small_leaf(const cti_ranks_graph *g, int64_t i) {
    const cti_graph_node *leaf = &g->planned->plan->graph.nodes[i];
    size_t bytes = (size_t)leaf->numel * ct_dtype_size(leaf->dtype);
    bool counts = !leaf->op && leaf->batch < 0 && bytes <= KEY_BYTES;
    return counts ? cti_planned_leaf(g->planned, g->walk, i) : NULL;
}

/* Which batches they are, and of how many rows: a plan is for many. */
static uint64_t hash_of_batches(const cti_walk *walk) {
    uint64_t hash = 0;
    for (int64_t i = 0; i < walk->count; i++) {
        const ct_tensor *t = walk->items[i];
        if (t->rows && cti_has_value(t)) {
            const cti_rows *rows = t->rows;
            hash = cti_mix(cti_mix(hash, (uint64_t)rows->total), (uint64_t)rows->unit);
            hash = cti_mix(cti_mix(hash, (uint64_t)rows->epoch), (uint64_t)rows->number);
        }
    }
    return hash;
}

/* What is the same on all ranks of a shape: all but how many rows this one has. */
static uint64_t mix_shape(uint64_t hash, const cti_graph_node *node) {
    for (int d = 0; d < node->shape.rank; d++) {
        if (d != node->batch) hash = cti_mix(hash, (uint64_t)node->shape.dims[d]);
    }
    return hash;
}

/* Whether an attribute is the same on all ranks: it says nothing of this rank's rows. Those of ops
 * that go row by row do not, unless one is the output's shape; what begins rows, or is computed by
 * grain, counts them. */
static bool is_common(const cti_graph *graph, const cti_graph_node *node) {
    bool of_rows = false;
    if (!node->op || node->op->release) return false;
    for (int k = 0; k < node->n_inputs; k++) {
        of_rows |= graph->nodes[graph->edges[node->edges + k]].batch >= 0;
    }
    if (!of_rows) return node->batch < 0;
    if (node->op->kind != CT_MAP && !node->op->batch) return false;
    return node->attr_size != sizeof node->shape ||
           !ct_shape_equal(*(const ct_shape *)node->attr, node->shape);
}

static uint64_t mix_node(uint64_t hash, const cti_ranks_graph *g, int64_t i) {
    const cti_graph *graph = &g->planned->plan->graph;
    const cti_graph_node *node = &graph->nodes[i];
    const cti_buffer *value = small_leaf(g, i);
    hash = cti_mix_text(hash, node->op ? node->op->name : "");
    if (value) {
        hash = cti_mix_bytes(hash, value->data, (size_t)node->numel * ct_dtype_size(node->dtype));
    }
    if (is_common(graph, node)) hash = cti_mix_bytes(hash, node->attr, node->attr_size);
    hash = cti_mix(hash, (uint64_t)node->dtype << 16 | (uint64_t)node->shape.rank << 8 |
                             (uint64_t)(node->batch + 1));
    hash = mix_shape(hash, node);
    for (int k = 0; k < node->n_inputs; k++) {
        hash = cti_mix(hash, (uint64_t)graph->edges[node->edges + k]);
    }
    return hash;
}

/* The parts: the batches, each node, and that there are no more. */
static uint64_t hash_of_first(const void *of, int64_t n) {
    const cti_ranks_graph *g = of;
    int64_t nodes = g->planned->plan->graph.n_nodes;
    uint64_t hash = n > 0 ? hash_of_batches(g->walk) : 0;
    for (int64_t i = 0; i < nodes && i < n - 1; i++) hash = mix_node(hash, g, i);
    return n > nodes + 1 ? cti_mix(hash, (uint64_t)nodes) : hash;
}

static void say_batches(const cti_walk *walk, char *text, size_t size) {
    const cti_rows *rows = NULL;
    for (int64_t i = 0; i < walk->count && !rows; i++) {
        if (cti_has_value(walk->items[i])) rows = walk->items[i]->rows;
    }
    int n = snprintf(text, size, "a batch of %lld rows", rows ? (long long)rows->total : 0);
    if (!rows || rows->number == 0) return;
    snprintf(text + n, size - (size_t)n, ", number %lld of epoch %lld", (long long)rows->number - 1,
             (long long)rows->epoch);
}

static bool takes(const cti_graph *graph, const cti_graph_node *node, int64_t i) {
    for (int k = 0; k < node->n_inputs; k++) {
        if (graph->edges[node->edges + k] == i) return true;
    }
    return false;
}

/* Of a node, or of the first one that takes it: a number that simplification made has none. */
static const char *path_of(const cti_graph *graph, int64_t i) {
    for (int64_t j = i; j < graph->n_nodes; j++) {
        const cti_graph_node *node = &graph->nodes[j];
        if (node->path && *node->path && (j == i || takes(graph, node, i))) return node->path;
    }
    return "";
}

/* Its first elements. */
static void say_value(const cti_buffer *value, const cti_graph_node *node, char *text,
                      size_t size) {
    size_t used = 0;
    for (int64_t k = 0; k < node->numel && k < 4 && used < size; k++) {
        const char *before = k > 0 ? "," : node->numel > 1 ? " = [" : " = ";
        if (node->dtype == CT_I64) {
            int64_t element = ((const int64_t *)value->data)[k];
            used += (size_t)snprintf(text + used, size - used, "%s%" PRId64, before, element);
        } else {
            double element = cti_value(value->data, node->dtype, k);
            used += (size_t)snprintf(text + used, size - used, "%s%.9g", before, element);
        }
    }
    if (node->numel > 1 && used < size) {
        snprintf(text + used, size - used, "%s]", node->numel > 4 ? ",..." : "");
    }
}

static void say_node(const cti_ranks_graph *g, int64_t i, char *text, size_t size) {
    const cti_graph_node *node = &g->planned->plan->graph.nodes[i];
    const cti_buffer *value = small_leaf(g, i);
    const char *path = path_of(&g->planned->plan->graph, i);
    char more[64] = "";
    if (node->batch >= 0) snprintf(more, sizeof more, ", rows along axis %d", node->batch);
    if (value) say_value(value, node, more, sizeof more);
    snprintf(text, size, "%s %s %s%s%s%s", node->op ? node->op->name : "a leaf",
             ct_dtype_name(node->dtype), ct_shape_format(node->shape).text, more,
             *path ? " in " : "", path);
}

static void say(const void *of, int64_t part, char *text, size_t size) {
    const cti_ranks_graph *g = of;
    if (part == 0) say_batches(g->walk, text, size);
    else if (part <= g->planned->plan->graph.n_nodes) say_node(g, part - 1, text, size);
    else snprintf(text, size, "no more");
}

cti_entry cti_ranks_entry(cti_ranks_graph *graph, const cti_planned *planned,
                          const cti_walk *walk) {
    *graph = (cti_ranks_graph){planned, walk, {graph, hash_of_first, say}};
    return (cti_entry){.hash = hash_of_first(graph, INT64_MAX), .parts = &graph->parts};
}

static bool sums(const ct_tensor *t) { return !cti_has_value(t) && cti_sums_elsewhere(t); }

ct_status cti_ranks_check(const cti_walk *walk) {
    int first, last, all;
    const ct_group *group = ct_group_current();
    ct_group_grains(group, &first, &last, &all);
    for (int64_t i = 0; i < walk->count; i++) {
        const ct_tensor *t = walk->items[i];
        if (!sums(t)) continue;
        const cti_rows *rows = t->inputs[0]->rows;
        if (rows->first == first && rows->n == last - first && rows->all == all) continue;
        char now[64] = "and there is no current group";
        if (group) {
            snprintf(now, sizeof now, "the current group %d..%d of %d", first, last - 1, all);
        }
        return ct_fail(CT_ERR_STATE, "ct_eval: the graph has grains %d..%d of %d, %s", rows->first,
                       rows->first + rows->n - 1, rows->all, now);
    }
    return CT_OK;
}

ct_status cti_ranks_told(ct_tensor *const roots[], int64_t n, ct_status status) {
    ct_group *group = ct_group_current();
    bool may_sum = false;
    for (int64_t i = 0; i < n; i++) may_sum |= roots[i]->sums && !cti_has_value(roots[i]);
    if (!group || !may_sum || !cti_walk_meets(roots, n, cti_walk_needed, sums)) return status;
    ct_status all = cti_all_sum(group, (cti_entry){.status = status}, CT_F32, NULL, 0);
    return status != CT_OK ? status : all;
}
