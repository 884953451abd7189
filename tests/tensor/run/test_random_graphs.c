/* Random graphs: however a graph is cut into evaluations and whatever the number of threads, the
 * bits are the same; f32 agrees with f64; and what ct_simplify returns is what an evaluation runs.
 * COTAN_GRAPHS sets how many; COTAN_SEED the first seed, which a failure prints.
 * Invariant: the reference is every node evaluated on its own, which fuses nothing. */
#include "tests/autograd/ops/primitive_table.h"
#include "tests/support/random_graph.h"
#include "tests/support/test.h"

#include "autograd/ops.h"
#include "tensor/graph/simplify_private.h"
#include "tensor/graph/walk.h"
#include "tensor/op.h"
#include "tensor/runtime.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRAPHS 500
#define MOST_ITEMS 20000

/* Values of all nodes behind the roots, in walk order. */
typedef struct {
    int64_t n;
    ct_tensor *items[MOST_ITEMS]; /* kept */
    int n_roots;
    ct_tensor *roots[GRAPH_ROOTS]; /* some of the items */
} values;

static void values_free(values *v) {
    for (int64_t i = 0; i < v->n; i++) ct_drop(v->items[i]);
    v->n = 0;
}

/* The nodes in topological order; the pointers are the graph's. */
static int64_t nodes_of(const random_graph *g, ct_tensor *items[MOST_ITEMS]) {
    cti_walk walk;
    if (!EXPECT(cti_walk_new(&walk, g->roots, g->n_roots, cti_walk_whole_graph) == CT_OK)) return 0;
    int64_t n = walk.count;
    if (!EXPECT(n <= MOST_ITEMS, "%lld nodes", (long long)n)) n = 0;
    memcpy(items, walk.items, sizeof *items * (size_t)n);
    cti_walk_free(&walk);
    return n;
}

/* Every node alone: one op per plan, no fusion, no reuse of memory. */
static void evaluate_eagerly(const random_graph *g, values *v) {
    v->n = nodes_of(g, v->items);
    v->n_roots = g->n_roots;
    memcpy(v->roots, g->roots, sizeof v->roots);
    for (int64_t i = 0; i < v->n; i++) {
        ct_keep(v->items[i]);
        EXPECT(ct_eval(&v->items[i], 1) == CT_OK, "%s", ct_error_message());
    }
}

static void compare(const char *how, uint64_t seed, ct_tensor *const items[], int64_t n,
                    const values *v) {
    if (!EXPECT(n == v->n)) return;
    for (int64_t i = 0; i < n; i++) {
        if (!items[i]->buffer) continue;
        const ct_op *op = ct_op_of(items[i]);
        if (!EXPECT(same_bits(items[i], v->items[i]), "seed %llu, %s: node %lld, '%s' %s",
                    (unsigned long long)seed, how, (long long)i, op ? op->name : "leaf",
                    ct_shape_format(ct_shape_of(items[i])).text)) {
            return;
        }
    }
}

static ct_tensor *items[MOST_ITEMS];
static values eager, wide;

/* The whole graph at once, with every number of threads. */
static void check_threads(uint64_t seed, ct_dtype dtype) {
    for (int threads = 1; threads <= 4; threads++) {
        int64_t scope = ct_scope_open();
        random_graph g;
        ct_threads_set(threads);
        random_graph_build(&g, seed, dtype);
        EXPECT(ct_eval(g.roots, g.n_roots) == CT_OK, "%s", ct_error_message());
        char how[32];
        snprintf(how, sizeof how, "fused, %d thread%s", threads, threads > 1 ? "s" : "");
        compare(how, seed, items, nodes_of(&g, items), &eager);
        ct_scope_close(scope);
    }
    ct_threads_set(1);
}

/* All nodes as roots; then some nodes first and the roots after them. */
static void check_cuts(uint64_t seed, ct_dtype dtype) {
    int64_t scope = ct_scope_open();
    random_graph g;
    random_graph_build(&g, seed, dtype);
    int64_t n = nodes_of(&g, items);
    EXPECT(ct_eval(items, n) == CT_OK, "%s", ct_error_message());
    compare("all nodes as roots", seed, items, n, &eager);
    ct_scope_close(scope);

    random_graph_build(&g, seed, dtype);
    n = nodes_of(&g, items);
    test_random r = {seed};
    for (int64_t start = 0; start < n; start += random_between(&r, 1, n)) {
        ct_tensor *some[5];
        int64_t count = random_between(&r, 1, 5);
        for (int64_t k = 0; k < count; k++) some[k] = items[random_below(&r, n)];
        EXPECT(ct_eval(some, count) == CT_OK, "%s", ct_error_message());
    }
    for (int64_t k = g.n_roots - 1; k >= 0; k--) {
        EXPECT(ct_eval(&g.roots[k], 1) == CT_OK, "%s", ct_error_message());
    }
    compare("piece by piece", seed, items, n, &eager);
    ct_scope_close(scope);
}

/* Every root of the f32 graph against f64. Only smooth graphs: others may take another branch. */
static void check_accuracy(uint64_t seed) {
    for (int i = 0; i < eager.n_roots; i++) {
        ct_tensor *a = eager.roots[i], *b = wide.roots[i];
        double size = 1;
        for (int64_t k = 0; k < ct_numel(b); k++) size = fmax(size, fabs(element(b, k)));
        for (int64_t k = 0; k < ct_numel(b); k++) {
            if (!EXPECT(near(element(a, k), element(b, k), 1e-3 * size, 0),
                        "seed %llu: root %d, element %lld: f32 %.9g, f64 %.9g",
                        (unsigned long long)seed, i, (long long)k, element(a, k), element(b, k))) {
                return;
            }
        }
    }
}

/* The simplified graph, node by node as it stands, against an evaluation of the graph itself; and
 * simplifying twice changes nothing more. */
static void check_simplified(uint64_t seed, ct_dtype dtype) {
    int64_t scope = ct_scope_open();
    random_graph g, plain;
    ct_tensor *twice[GRAPH_ROOTS];
    random_graph_build(&g, seed, dtype);
    random_graph_build(&plain, seed, dtype);
    EXPECT(ct_simplify(g.roots, g.n_roots, g.roots) == CT_OK, "%s", ct_error_message());
    EXPECT(ct_simplify(g.roots, g.n_roots, twice) == CT_OK, "%s", ct_error_message());
    EXPECT(memcmp(twice, g.roots, sizeof *twice * (size_t)g.n_roots) == 0, "seed %llu: not settled",
           (unsigned long long)seed);
    int64_t n = nodes_of(&g, items);
    for (int64_t i = 0; i < n; i++) EXPECT(ct_eval(&items[i], 1) == CT_OK);
    for (int threads = 1; threads <= 2; threads++) {
        ct_threads_set(threads);
        if (threads == 2) random_graph_build(&plain, seed, dtype);
        cti_simplifies = true;
        EXPECT(ct_eval(plain.roots, plain.n_roots) == CT_OK, "%s", ct_error_message());
        cti_simplifies = false;
        for (int r = 0; r < g.n_roots; r++) {
            EXPECT(same_bits(plain.roots[r], g.roots[r]), "seed %llu, simplified: root %d '%s'",
                   (unsigned long long)seed, r, ct_op_of(g.roots[r]) ? "" : "leaf");
        }
    }
    ct_threads_set(1);
    ct_scope_close(scope);
}

static void check_graph(uint64_t seed) {
    random_graph g;
    int64_t scope = ct_scope_open();
    if (random_graph_build(&g, seed, CT_F32)) {
        evaluate_eagerly(&g, &eager);
        check_threads(seed, CT_F32);
        check_cuts(seed, CT_F32);
        check_simplified(seed, CT_F32);
        if (g.smooth && random_graph_build(&g, seed, CT_F64)) {
            evaluate_eagerly(&g, &wide);
            check_accuracy(seed);
            values_free(&eager);
            eager = wide;
            wide.n = 0;
            check_threads(seed, CT_F64);
        }
    }
    values_free(&eager);
    ct_scope_close(scope);
    EXPECT(ct_error() == CT_OK, "seed %llu: %s", (unsigned long long)seed, ct_error_message());
    ct_error_clear();
}

TEST(random_graphs, same_bits_however_they_are_evaluated) {
    const char *text = getenv("COTAN_GRAPHS");
    int64_t n = text ? strtoll(text, NULL, 10) : support_scaled(GRAPHS);
    uint64_t first = support_seed(1);
    cti_simplifies = false;
    for (int64_t k = 0; k < n; k++) check_graph(first + (uint64_t)k);
    cti_simplifies = true;
    printf("%lld random graphs from seed %llu\n", (long long)n, (unsigned long long)first);
}

/* An op joins by its row: where the table has it for both float types, some graph has it. */
TEST(random_graphs, hold_every_op_of_the_table) {
    static bool seen[200];
    const primitive_row *row;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        random_graph g;
        int64_t scope = ct_scope_open();
        random_graph_build(&g, seed, CT_F32);
        int64_t n = nodes_of(&g, items);
        for (int64_t i = 0; i < n; i++) {
            const ct_op *op = ct_op_of(items[i]);
            for (int k = 0; op && (row = primitive_row_at(k)); k++) {
                if (strcmp(row->op, op->name) == 0) seen[k] = true;
            }
        }
        ct_scope_close(scope);
    }
    for (int k = 0; (row = primitive_row_at(k)); k++) {
        EXPECT(seen[k] || (row->dtypes & FLOATS) != FLOATS, "no graph has '%s'", row->op);
    }
}
