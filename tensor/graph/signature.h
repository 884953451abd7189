/* Private: a graph without values: what plans are made from, and the key of their cache. */
#ifndef COTAN_GRAPH_H
#define COTAN_GRAPH_H

#include "tensor/base/zone.h"
#include "tensor/graph/walk.h"

typedef struct {
    const ct_op *op; /* NULL: a leaf, or evaluated */
    const void *attr;
    size_t attr_size;
    ct_dtype dtype;
    int batch;      /* axis along which it varies between ranks, or -1 */
    bool elsewhere; /* a sum of which other ranks have terms; the attribute says so too */
    ct_shape shape;
    int64_t numel;
    cti_number number; /* of a leaf */
    const char *path;  /* module path and derivative order are not compared */
    int order;
    int n_inputs;
    int64_t edges; /* inputs are graph->edges[edges .. edges + n_inputs) */
} cti_graph_node;

typedef struct {
    int64_t n_nodes, n_edges, n_roots;
    cti_graph_node *nodes; /* topological: inputs come first */
    int64_t *edges;
    int64_t *roots;
    uint64_t hash; /* over what equality compares */
} cti_graph;

/* The graph of a walk along needed inputs, which is the current one. It is allocated from the zone
 * and holds no tensor. */
ct_status cti_graph_from(cti_graph *graph, cti_zone *zone, const cti_walk *walk,
                         ct_tensor *const roots[], int64_t n_roots);
/* The hash of the graph of such a walk, and whether a graph equals it. */
uint64_t cti_graph_hash(const cti_walk *walk, ct_tensor *const roots[], int64_t n_roots);
bool cti_graph_is(const cti_graph *graph, uint64_t hash, const cti_walk *walk,
                  ct_tensor *const roots[], int64_t n_roots);

#endif
