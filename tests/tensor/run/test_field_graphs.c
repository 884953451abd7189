/* The engine in the field GF(2^61 - 1), where sums are associative: random graphs, with derivatives
 * of the first and second order, have the same field values node by node and in one plan, with and
 * without simplification, on any number of threads. What differs only in rounding cannot hide a
 * difference here, so rewrites that change rounding are held to the same.
 * test_random_graphs.c has the bits of f32 and f64. COTAN_GRAPHS and COTAN_SEED are as there.
 * Invariant: the reference is every node on its own, as the graph was built. */
#include "tests/support/random_graph.h"
#include "tests/support/test.h"

#include "autograd/ops.h"
#include "tensor/graph/simplify_private.h"
#include "tensor/graph/walk.h"
#include "tensor/p61.h"
#include "tensor/runtime.h"

#include <stdio.h>
#include <stdlib.h>

#define GRAPHS 300

typedef struct {
    uint64_t *values[GRAPH_ROOTS];
    int n;
} fields;

static void fields_free(fields *f) {
    for (int r = 0; r < f->n; r++) free(f->values[r]);
}

/* Every node alone, in the order of construction. */
static void evaluate_eagerly(const random_graph *g) {
    cti_walk walk;
    if (!EXPECT(cti_walk_new(&walk, g->roots, g->n_roots, cti_walk_whole_graph) == CT_OK)) return;
    ct_tensor **nodes = malloc((size_t)walk.count * sizeof *nodes);
    int64_t n = walk.count;
    for (int64_t i = 0; i < n; i++) nodes[i] = walk.items[i];
    cti_walk_free(&walk);
    for (int64_t i = 0; i < n; i++) EXPECT(ct_eval(&nodes[i], 1) == CT_OK);
    free(nodes);
}

static fields take_roots(const random_graph *g) {
    fields f = {.n = g->n_roots};
    for (int r = 0; r < f.n; r++) {
        int64_t n = ct_numel(g->roots[r]);
        const ct_p61 *data = ct_data(g->roots[r]);
        f.values[r] = malloc((size_t)(n + 1) * sizeof *f.values[r]);
        for (int64_t i = 0; i < n; i++) f.values[r][i] = data[i].field;
    }
    return f;
}

/* What has no value, a root or a quotient that does not exist, says nothing: a rewrite may do
 * without it. */
static int64_t compare(const char *how, uint64_t seed, const random_graph *g, const fields *f) {
    int64_t compared = 0;
    for (int r = 0; r < f->n; r++) {
        const ct_p61 *data = ct_data(g->roots[r]);
        for (int64_t i = 0; data && i < ct_numel(g->roots[r]); i++) {
            if (f->values[r][i] >= CT_P61_PRIME || !ct_p61_has_value(data[i])) continue;
            compared++;
            if (!EXPECT(data[i].field == f->values[r][i],
                        "seed %llu, %s: root %d, element %lld: "
                        "%s, not %llu",
                        (unsigned long long)seed, how, r, (long long)i, ct_p61_format(data[i]).text,
                        (unsigned long long)f->values[r][i])) {
                return compared;
            }
        }
    }
    return compared;
}

static int64_t check_graph(uint64_t seed) {
    static random_graph g;
    int64_t scope = ct_scope_open(), compared = 0;
    cti_simplifies = false;
    if (random_graph_build(&g, seed, CT_P61)) {
        evaluate_eagerly(&g);
        fields alone = take_roots(&g);
        for (int how = 0; how < 4; how++) {
            char words[48];
            int threads = 1 + how / 2;
            snprintf(words, sizeof words, "%d threads%s", threads, how % 2 ? ", simplified" : "");
            ct_threads_set(threads);
            cti_simplifies = how % 2 == 1;
            random_graph_build(&g, seed, CT_P61);
            EXPECT(ct_eval(g.roots, g.n_roots) == CT_OK, "%s", ct_error_message());
            compared += compare(words, seed, &g, &alone);
        }
        fields_free(&alone);
    }
    cti_simplifies = true;
    ct_threads_set(1);
    ct_scope_close(scope);
    return compared;
}

TEST(field_graphs, are_equal_however_they_are_evaluated) {
    const char *text = getenv("COTAN_GRAPHS");
    int64_t n = text ? strtoll(text, NULL, 10) : support_scaled(GRAPHS), compared = 0;
    uint64_t first = support_seed(1);
    for (int64_t k = 0; k < n; k++) compared += check_graph(first + (uint64_t)k);
    printf("%lld random graphs from seed %llu, %lld values\n", (long long)n,
           (unsigned long long)first, (long long)compared);
    EXPECT(compared > 100 * n);
}
