/* The signature of a graph: ops, attributes, types and edges.
 * It holds no values: graphs that differ only in data are equal.
 * Invariant: a hash only selects; equality is decided by comparing everything. */
#include "tensor/graph/signature.h"

#include "tensor/base/hash.h"

#include <string.h>

/* What a tensor is in a graph, besides its type and inputs. A look-up copies no more than this. */
typedef struct {
    const ct_op *op;
    const void *attr;
    size_t attr_size;
    cti_number number;
} identity;

static identity identity_of(const ct_tensor *t) {
    if (cti_has_value(t)) return (identity){.number = cti_number_of(t)};
    if (t->op->attr_is_runtime) return (identity){.op = t->op};
    return (identity){.op = t->op, .attr = t->attr, .attr_size = t->attr_size};
}

/* --- Hash ------------------------------------------------------------------------------------- */

static uint64_t node_hash(const ct_tensor *t) {
    identity id = identity_of(t);
    uint64_t hash = cti_mix((uint64_t)(uintptr_t)id.op, (uint64_t)id.number.known << 16 |
                                                            (uint64_t)t->dtype << 8 |
                                                            (uint64_t)t->shape.rank);
    if (id.number.known) hash = cti_mix_bytes(hash, &id.number.value, sizeof id.number.value);
    hash = cti_mix_bytes(hash, t->shape.dims, sizeof(int64_t) * (size_t)t->shape.rank);
    hash = cti_mix_bytes(hash, id.attr, id.attr_size);
    if (t->rows) hash = cti_mix(hash, (uint64_t)t->batch);
    for (int k = 0; k < cti_walk_needed(t); k++) {
        hash = cti_mix(hash, (uint64_t)t->inputs[k]->index);
    }
    return hash;
}

/* Nodes are hashed independently of each other, so that the processor overlaps several. */
uint64_t cti_graph_hash(const cti_walk *walk, ct_tensor *const roots[], int64_t n_roots) {
    uint64_t hash = cti_mix((uint64_t)walk->count, (uint64_t)n_roots);
    for (int64_t i = 0; i < walk->count; i++) hash = cti_mix(hash, node_hash(walk->items[i]));
    for (int64_t r = 0; r < n_roots; r++) hash = cti_mix(hash, (uint64_t)roots[r]->index);
    return hash;
}

/* --- Equality --------------------------------------------------------------------------------- */

static bool node_is(const cti_graph *graph, const cti_graph_node *node, const ct_tensor *t) {
    identity id = identity_of(t);
    if (node->op != id.op || node->dtype != t->dtype || node->number.known != id.number.known ||
        node->number.value != id.number.value || node->n_inputs != cti_walk_needed(t) ||
        node->attr_size != id.attr_size || node->batch != cti_mark_of(t).axis ||
        !ct_shape_equal(node->shape, t->shape)) {
        return false;
    }
    const int64_t *edges = &graph->edges[node->edges];
    for (int k = 0; k < node->n_inputs; k++) {
        if (edges[k] != t->inputs[k]->index) return false;
    }
    return !id.attr_size || memcmp(node->attr, id.attr, id.attr_size) == 0;
}

bool cti_graph_is(const cti_graph *graph, uint64_t hash, const cti_walk *walk,
                  ct_tensor *const roots[], int64_t n_roots) {
    if (graph->hash != hash || graph->n_nodes != walk->count || graph->n_roots != n_roots) {
        return false;
    }
    for (int64_t i = 0; i < walk->count; i++) {
        if (!node_is(graph, &graph->nodes[i], walk->items[i])) return false;
    }
    for (int64_t r = 0; r < n_roots; r++) {
        if (graph->roots[r] != roots[r]->index) return false;
    }
    return true;
}

/* --- Making one ------------------------------------------------------------------------------- */

static cti_graph_node node_from(const ct_tensor *t) {
    identity id = identity_of(t);
    return (cti_graph_node){
        .op = id.op,
        .attr = id.attr,
        .attr_size = id.attr_size,
        .path = t->path,
        .order = t->order,
        .dtype = t->dtype,
        .batch = cti_mark_of(t).axis,
        .elsewhere = !cti_has_value(t) && cti_sums_elsewhere(t),
        .shape = t->shape,
        .numel = t->numel,
        .number = id.number,
        .n_inputs = cti_walk_needed(t),
    };
}

ct_status cti_graph_from(cti_graph *graph, cti_zone *zone, const cti_walk *walk,
                         ct_tensor *const roots[], int64_t n_roots) {
    *graph = (cti_graph){.n_nodes = walk->count, .n_roots = n_roots};
    for (int64_t i = 0; i < walk->count; i++) graph->n_edges += cti_walk_needed(walk->items[i]);
    graph->nodes = cti_zone_alloc(zone, (size_t)graph->n_nodes, sizeof *graph->nodes);
    graph->edges = cti_zone_alloc(zone, (size_t)graph->n_edges, sizeof *graph->edges);
    graph->roots = cti_zone_alloc(zone, (size_t)graph->n_roots, sizeof *graph->roots);
    if (!graph->nodes || !graph->edges || !graph->roots) return CT_ERR_MEMORY;
    int64_t edge = 0;
    for (int64_t i = 0; i < walk->count; i++) {
        const ct_tensor *t = walk->items[i];
        cti_graph_node *node = &graph->nodes[i];
        *node = node_from(t);
        node->edges = edge;
        for (int k = 0; k < node->n_inputs; k++) graph->edges[edge++] = t->inputs[k]->index;
        if (!node->attr_size) continue;
        void *copy = cti_zone_alloc(zone, 1, node->attr_size);
        if (!copy) return CT_ERR_MEMORY;
        node->attr = memcpy(copy, node->attr, node->attr_size);
    }
    for (int64_t r = 0; r < n_roots; r++) graph->roots[r] = roots[r]->index;
    graph->hash = cti_graph_hash(walk, roots, n_roots);
    return CT_OK;
}
