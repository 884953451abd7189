/* The signature of a graph: ops, structural attributes, types, wiring, and which leaf is which.
 * It holds no values: two graphs that differ in numbers alone are the same graph.
 * Invariant: a hash only selects; equality is decided by comparing everything. */
#include "tensor/graph.h"

#include "tensor/hash.h"
#include "tensor/mem.h"

#include <string.h>

static uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = cti_mix(hash, word);
    }
    for (; size > 0; size--, at++) hash = cti_mix(hash, *at);
    return hash;
}

static uint64_t hash_of(const cti_graph *graph) {
    uint64_t hash = cti_mix(cti_mix(0, (uint64_t)graph->n_nodes), (uint64_t)graph->n_roots);
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        const cti_graph_node *node = &graph->nodes[i];
        hash = cti_mix(hash, (uint64_t)(uintptr_t)node->op);
        hash = cti_mix(hash, (uint64_t)node->number << 16 | (uint64_t)node->dtype << 8 |
                             (uint64_t)node->shape.rank);
        hash = mix_bytes(hash, node->shape.dims, sizeof(int64_t) * (size_t)node->shape.rank);
        hash = mix_bytes(hash, node->attr, node->attr_size);
    }
    hash = mix_bytes(hash, graph->edges, sizeof(int64_t) * (size_t)graph->n_edges);
    return mix_bytes(hash, graph->roots, sizeof(int64_t) * (size_t)graph->n_roots);
}

static ct_status graph_alloc(cti_graph *graph, int64_t n_nodes, int64_t n_edges,
                             int64_t n_roots) {
    *graph = (cti_graph){.n_nodes = n_nodes, .n_edges = n_edges, .n_roots = n_roots};
    graph->nodes = cti_alloc_raw((size_t)n_nodes, sizeof *graph->nodes);
    graph->edges = cti_alloc_raw((size_t)n_edges, sizeof *graph->edges);
    graph->roots = cti_alloc_raw((size_t)n_roots, sizeof *graph->roots);
    if (graph->nodes && graph->edges && graph->roots) return CT_OK;
    cti_graph_free(graph);
    return CT_ERR_MEMORY;
}

ct_status cti_graph_from(cti_graph *graph, const cti_walk *walk, ct_tensor *const roots[],
                         int64_t n_roots) {
    int64_t n_edges = 0, edge = 0;
    for (int64_t i = 0; i < walk->count; i++) n_edges += cti_walk_needed(walk->items[i]);
    if (graph_alloc(graph, walk->count, n_edges, n_roots) != CT_OK) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < walk->count; i++) {
        const ct_tensor *t = walk->items[i];
        bool leaf = cti_has_value(t), structural = !leaf && !t->op->attr_is_runtime;
        graph->nodes[i] = (cti_graph_node){
            .op = leaf ? NULL : t->op,
            .attr = structural ? t->attr : NULL,
            .attr_size = structural ? t->attr_size : 0,
            .path = t->path,
            .order = t->order,
            .dtype = t->dtype,
            .shape = t->shape,
            .numel = t->numel,
            .number = leaf ? cti_number_of(t) : CTI_ANY_NUMBER,
            .n_inputs = cti_walk_needed(t),
            .edges = edge,
        };
        for (int k = 0; k < graph->nodes[i].n_inputs; k++) {
            graph->edges[edge++] = t->inputs[k]->index;
        }
    }
    for (int64_t i = 0; i < n_roots; i++) graph->roots[i] = roots[i]->index;
    graph->hash = hash_of(graph);
    return CT_OK;
}

/* The attributes of a copy lie in one block behind its nodes. */
ct_status cti_graph_copy(cti_graph *copy, const cti_graph *graph) {
    size_t attr_bytes = 0;
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        attr_bytes += (graph->nodes[i].attr_size + 15) / 16 * 16;
    }
    if (graph_alloc(copy, graph->n_nodes, graph->n_edges, graph->n_roots) != CT_OK) {
        return CT_ERR_MEMORY;
    }
    size_t nodes_bytes = (sizeof *copy->nodes * (size_t)graph->n_nodes + 15) / 16 * 16;
    cti_free(copy->nodes);
    copy->nodes = cti_alloc_raw(nodes_bytes + attr_bytes, 1);
    if (!copy->nodes) {
        cti_graph_free(copy);
        return CT_ERR_MEMORY;
    }
    char *attr = (char *)copy->nodes + nodes_bytes;
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        copy->nodes[i] = graph->nodes[i];
        if (!graph->nodes[i].attr_size) continue;
        copy->nodes[i].attr = memcpy(attr, graph->nodes[i].attr, graph->nodes[i].attr_size);
        attr += (graph->nodes[i].attr_size + 15) / 16 * 16;
    }
    memcpy(copy->edges, graph->edges, sizeof(int64_t) * (size_t)graph->n_edges);
    memcpy(copy->roots, graph->roots, sizeof(int64_t) * (size_t)graph->n_roots);
    copy->hash = graph->hash;
    return CT_OK;
}

static bool node_equal(const cti_graph_node *a, const cti_graph_node *b) {
    return a->op == b->op && a->dtype == b->dtype && a->number == b->number &&
           a->n_inputs == b->n_inputs && a->attr_size == b->attr_size &&
           ct_shape_equal(a->shape, b->shape) &&
           (!a->attr_size || memcmp(a->attr, b->attr, a->attr_size) == 0);
}

bool cti_graph_equal(const cti_graph *a, const cti_graph *b) {
    if (a->hash != b->hash || a->n_nodes != b->n_nodes || a->n_edges != b->n_edges ||
        a->n_roots != b->n_roots) {
        return false;
    }
    for (int64_t i = 0; i < a->n_nodes; i++) {
        if (!node_equal(&a->nodes[i], &b->nodes[i])) return false;
    }
    return memcmp(a->edges, b->edges, sizeof(int64_t) * (size_t)a->n_edges) == 0 &&
           memcmp(a->roots, b->roots, sizeof(int64_t) * (size_t)a->n_roots) == 0;
}

void cti_graph_free(cti_graph *graph) {
    cti_free(graph->nodes);
    cti_free(graph->edges);
    cti_free(graph->roots);
    *graph = (cti_graph){0};
}
