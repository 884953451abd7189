/* Random graphs: leaves, growth, roots and derivatives.
 * The ops to choose from are in random_graph_ops.c.
 * Invariant: no choice depends on a value, so one seed is one structure. */
#include "tests/support/random_graph.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "tests/support/operand.h"

#include <stdlib.h>

ct_tensor *random_graph_pick(random_graph *g) {
    /* Recent nodes twice as often: deep as well as wide. */
    int64_t low = random_chance(&g->r, 50) ? g->n / 2 : 0;
    return g->nodes[random_between(&g->r, low, g->n - 1)];
}

static void add(random_graph *g, ct_tensor *t) {
    if (t && g->n < GRAPH_NODES) g->nodes[g->n++] = t;
}

ct_tensor *random_graph_leaf(random_graph *g, ct_shape shape) {
    array values = array_new(shape);
    for (int64_t i = 0; i < values.numel; i++) {
        values.v[i] = (double)(float)random_real(&g->r, -1.5, 1.5);
    }
    ct_tensor *leaf = leaf_from(g->dtype, shape, values.v);
    array_free(&values);
    if (leaf && g->n_leaves < GRAPH_NODES) g->leaves[g->n_leaves++] = leaf;
    return leaf;
}

static ct_shape leaf_shape(random_graph *g) {
    bool large = g->most >= 2000;
    return sample_shape(&g->r, large ? 1 : 0, large ? 3 : 4, g->most, large);
}

/* The mean of everything that is random, as what is differentiated. */
static ct_tensor *loss_of(random_graph *g) {
    ct_tensor *loss = NULL;
    int terms = (int)random_between(&g->r, 1, 4);
    for (int k = 0; k < terms; k++) {
        ct_tensor *t = random_graph_pick(g);
        if (ct_numel(t) == 0) continue;
        ct_tensor *term = ct_mean_all(ct_mul(t, random_graph_leaf(g, ct_shape_of(t))));
        loss = loss ? ct_add(loss, term) : term;
    }
    return loss;
}

static void add_root(random_graph *g, ct_tensor *t) {
    if (g->n_roots < GRAPH_ROOTS) g->roots[g->n_roots++] = t;
}

/* Gradients with respect to leaves and to nodes in between; sometimes of gradients again. */
static bool add_derivatives(random_graph *g, ct_tensor *loss, int order) {
    ct_tensor *x[6], *out[6];
    int64_t n = 0;
    for (int k = 0; k < 4; k++) x[n++] = g->leaves[random_below(&g->r, g->n_leaves)];
    for (int k = 0; k < 2; k++) x[n++] = random_graph_pick(g);
    add_root(g, loss);
    if (ct_grad(loss, x, n, out) != CT_OK) return false;
    ct_tensor *next = NULL;
    for (int64_t k = 0; k < n; k++) {
        add_root(g, out[k]);
        ct_tensor *term = ct_sum_all(ct_mul(out[k], ct_tanh(out[k])));
        next = next ? ct_add(next, term) : term;
    }
    return order > 1 ? add_derivatives(g, next, order - 1) : true;
}

bool random_graph_build(random_graph *g, uint64_t seed, ct_dtype dtype) {
    *g = (random_graph){.r = {seed * UINT64_C(2654435761)}, .dtype = dtype};
    g->smooth = random_chance(&g->r, 50);
    g->most = random_chance(&g->r, 40) ? 100 : random_chance(&g->r, 60) ? 3000 : 30000;
    int leaves = (int)random_between(&g->r, 1, 4), ops = (int)random_between(&g->r, 2, 60);
    if (random_chance(&g->r, 8)) {
        /* Reductions that are cut into several parts, each with a partial result. */
        g->most = 200000;
        ops = (int)random_between(&g->r, 2, 15);
    }
    for (int k = 0; k < leaves; k++) add(g, random_graph_leaf(g, leaf_shape(g)));
    for (int k = 0; k < ops; k++) add(g, random_graph_grow(g));
    int roots = (int)random_between(&g->r, 1, 6);
    for (int k = 0; k < roots; k++) add_root(g, random_graph_pick(g));
    add_root(g, g->nodes[g->n - 1]);
    bool sound = ct_error() == CT_OK;
    if (sound && random_chance(&g->r, 70)) {
        ct_tensor *loss = loss_of(g);
        int order = random_chance(&g->r, 20) ? 2 : 1;
        if (loss) sound = add_derivatives(g, loss, order);
    }
    return EXPECT(sound && ct_error() == CT_OK, "seed %llu: %s", (unsigned long long)seed,
                  ct_error_message());
}
