/* Random graphs from a seed: every kind of op, views, reuse, derivatives. */
#ifndef COTAN_TESTS_RANDOM_GRAPH_H
#define COTAN_TESTS_RANDOM_GRAPH_H

#include "tests/support/support.h"

#define GRAPH_NODES 400
#define GRAPH_ROOTS 48

typedef struct {
    test_random r;
    ct_dtype dtype;
    bool smooth;  /* only ops whose values and derivatives are continuous */
    int64_t most; /* elements of a tensor */
    int n;
    ct_tensor *nodes[GRAPH_NODES]; /* what was made, in order, floats of `dtype` */
    int n_leaves;
    ct_tensor *leaves[GRAPH_NODES]; /* leaves of `dtype` among them */
    int n_roots;
    ct_tensor *roots[GRAPH_ROOTS];
} random_graph;

/* The graph of a seed. The structure is the same for f32 and f64, so are the leaves up to
 * rounding. False, with the failure reported, when an op refuses. */
bool random_graph_build(random_graph *g, uint64_t seed, ct_dtype dtype);

/* --- For the steps that grow it (random_graph_ops.c) ------------------------------------------ */

/* One more op, or a few, on what is there. NULL when the choice does not fit: then nothing is
 * added. */
ct_tensor *random_graph_grow(random_graph *g);
ct_tensor *random_graph_pick(random_graph *g);
ct_tensor *random_graph_leaf(random_graph *g, ct_shape shape);

#endif
