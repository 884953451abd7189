/* The engine in the field GF(2^61 - 1), where sums are associative: random graphs, with derivatives
 * of the first and second order, have the same field values node by node, in one plan, root by root
 * and with a part of the nodes evaluated before; without simplification, with all of its rules and
 * with each alone; on any number of threads. What differs only in rounding cannot hide a difference
 * here, so rewrites that change rounding are held to the same; which ones do in f64 is printed.
 * test_random_graphs.c has the bits of f32 and f64. COTAN_GRAPHS and COTAN_SEED are as there.
 * Invariant: the reference is every node on its own, as the graph was built. */
#include "tests/support/random_graph.h"
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/ops/stanza.h"
#include "tensor/graph/node.h"
#include "tensor/graph/simplify_private.h"
#include "tensor/graph/walk.h"
#include "tensor/p61.h"
#include "tensor/runtime.h"
#include "tensor/varying.h"
#include "tests/autograd/ops/primitive_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* --- Groupings into passes -------------------------------------------------------------------- */

typedef void evaluate_fn(const random_graph *g);

static void in_one_plan(const random_graph *g) {
    EXPECT(ct_eval(g->roots, g->n_roots) == CT_OK, "%s", ct_error_message());
}

static void root_by_root(const random_graph *g) {
    for (int r = g->n_roots; r-- > 0;) EXPECT(ct_eval(&g->roots[r], 1) == CT_OK);
}

/* What is between the others has to be stored, so passes are cut there. */
static void some_before(const random_graph *g) {
    for (int k = g->n - 1; k >= 0; k -= 3) EXPECT(ct_eval(&g->nodes[k], 1) == CT_OK);
    in_one_plan(g);
}

static const struct {
    const char *name;
    evaluate_fn *evaluate;
} groupings[] = {
    {"in one plan", in_one_plan}, {"root by root", root_by_root}, {"some before", some_before}};
enum { GROUPINGS = sizeof groupings / sizeof *groupings };

/* --- Rules ------------------------------------------------------------------------------------ */

#define MOST_RULES 80

static struct {
    const ct_rule *rule;
    int64_t applied, compared;
    int64_t rounded; /* values of f64 that have other bits by it */
} rules[MOST_RULES];
static int n_rules;

/* Those that descriptors hold, so that a new one is tried by itself. */
static void find_rules(void) {
    rules[n_rules++].rule = &cti_rule_equal_nodes;
    for (int k = 0; primitive_descriptor(k); k++) {
        const ct_rule *rule = primitive_descriptor(k)->simplify;
        for (; rule && rule->rewrite && n_rules < MOST_RULES; rule++) rules[n_rules++].rule = rule;
    }
}

static ct_tensor *same_number(double value, ct_tensor *like) {
    return ct_broadcast(cti_structural(ct_dtype_of(like), value), ct_shape_of(like));
}

/* Of sums over axis 0. */
static int make_sums(ct_tensor *x, ct_tensor *out[]) {
    ct_tensor *s = ct_sin(x), *f = cti_broadcast_like(ct_mean_keep(x, CT_AXES(0)), x);
    out[0] = ct_sum(ct_neg(s), CT_AXES(0));
    out[1] = ct_sum(f, CT_AXES(0));
    out[2] = ct_sum(ct_add(s, ct_mul(f, ct_sub(x, f))), CT_AXES(0));
    return 3;
}

/* What few graphs have by accident and rules look for; x is [n]. */
static int make_occasions(ct_tensor *x, ct_tensor *out[]) {
    int64_t n = ct_numel(x);
    int made = 0;
    ct_tensor *s = ct_sin(x), *mean = ct_mean_keep(x, CT_AXES(0));
    ct_tensor *f = ct_broadcast(mean, ct_shape_of(x));
    ct_tensor *rows = ct_varying(ct_full(ct_dtype_of(x), CT_SHAPE(3, 1), 2), 0);
    out[made++] = ct_neg(ct_neg(s));
    out[made++] = ct_neg(ct_sub(s, x));
    out[made++] = ct_sub(x, ct_neg(s));
    out[made++] = ct_add(ct_neg(s), x);
    out[made++] = ct_sub(s, same_number(0, x));
    out[made++] = ct_add(ct_pad(x, 0, 0, n, 0), ct_pad(s, 0, n, 0, 0));
    out[made++] = ct_broadcast(ct_broadcast(ct_reshape(s, CT_SHAPE(n, 1)), CT_SHAPE(n, 2)),
                               CT_SHAPE(2, n, 2));
    made += make_sums(x, out + made);
    made += make_sums(ct_mul(rows, x), out + made);
    out[made++] = ct_mul(ct_add(ct_mul(x, f), ct_mul(s, f)), same_number(0.5, x));
    out[made++] = ct_mul(f, same_number(3, x));
    return made;
}

/* Those of one node, with first and second derivatives. */
static void add_occasions(random_graph *g) {
    ct_tensor *x = g->nodes[g->n - 1], *made[20], *loss = NULL;
    if (ct_numel(x) < 2 || g->n_roots + 22 > GRAPH_ROOTS) return;
    x = ct_reshape(x, CT_SHAPE(ct_numel(x)));
    int n = make_occasions(x, made);
    for (int k = 0; k < n; k++) {
        g->roots[g->n_roots++] = made[k];
        ct_tensor *term = ct_mean_all(ct_mul(made[k], ct_cos(made[k])));
        loss = loss ? ct_add(loss, term) : term;
    }
    for (int order = 1; order <= 2; order++) {
        ct_tensor *dx;
        if (!EXPECT(ct_grad(loss, &x, 1, &dx) == CT_OK, "%s", ct_error_message())) return;
        g->roots[g->n_roots++] = dx;
        loss = ct_sum_all(ct_mul(dx, dx));
    }
}

static bool build(random_graph *g, uint64_t seed, ct_dtype dtype) {
    if (!random_graph_build(g, seed, dtype)) return false;
    if (g->most <= 100) add_occasions(g);
    return true;
}

/* --- One graph -------------------------------------------------------------------------------- */

/* Builds the graph once more, evaluates it so and compares. */
static int64_t try(const char *how, uint64_t seed, evaluate_fn *evaluate, const fields *alone) {
    static random_graph g;
    int64_t scope = ct_scope_open(), compared = 0;
    if (build(&g, seed, CT_P61)) {
        evaluate(&g);
        compared = compare(how, seed, &g, alone);
    }
    ct_scope_close(scope);
    return compared;
}

static int64_t try_groupings(uint64_t seed, const fields *alone) {
    int64_t compared = 0;
    for (int how = 0; how < 4 * GROUPINGS; how++) {
        char words[64];
        int threads = 1 + how / 2 % 2;
        if (how >= 4 && threads == 1) continue;
        snprintf(words, sizeof words, "%s, %d threads%s", groupings[how / 4].name, threads,
                 how % 2 ? ", simplified" : "");
        ct_threads_set(threads);
        cti_simplifies = how % 2 == 1;
        compared += try(words, seed, groupings[how / 4].evaluate, alone);
    }
    ct_threads_set(1);
    return compared;
}

/* The bits of all roots in f64, one behind the other; the caller frees them. */
static uint64_t *bits_of(uint64_t seed, int64_t *n) {
    static random_graph g;
    int64_t scope = ct_scope_open();
    uint64_t *bits = NULL;
    *n = 0;
    if (build(&g, seed, CT_F64)) {
        in_one_plan(&g);
        for (int r = 0; r < g.n_roots; r++) *n += ct_numel(g.roots[r]);
        bits = malloc(((size_t)*n + 1) * sizeof *bits);
        int64_t at = 0;
        for (int r = 0; r < g.n_roots; at += ct_numel(g.roots[r++])) {
            size_t size = (size_t)ct_numel(g.roots[r]) * sizeof *bits;
            if (size) memcpy(bits + at, ct_data(g.roots[r]), size);
        }
    }
    ct_scope_close(scope);
    return bits;
}

/* What each rule rounds differently: no fault, but to be known. */
static void count_rounded(uint64_t seed) {
    int64_t n, m;
    cti_simplifies = false;
    uint64_t *as_built = bits_of(seed, &n);
    cti_simplifies = true;
    for (int k = 0; k < n_rules; k++) {
        cti_rule_alone = rules[k].rule;
        uint64_t *by_rule = bits_of(seed, &m);
        for (int64_t i = 0; i < n && n == m; i++) rules[k].rounded += as_built[i] != by_rule[i];
        free(by_rule);
    }
    cti_rule_alone = NULL;
    free(as_built);
}

static void try_rules(uint64_t seed, const fields *alone) {
    cti_simplifies = true;
    for (int k = 0; k < n_rules; k++) {
        cti_rule_alone = rules[k].rule;
        cti_rules_applied = 0;
        int64_t compared = try(rules[k].rule->name, seed, in_one_plan, alone);
        rules[k].applied += cti_rules_applied;
        if (cti_rules_applied) rules[k].compared += compared;
    }
    cti_rule_alone = NULL;
}

static int64_t check_graph(uint64_t seed) {
    static random_graph g;
    int64_t scope = ct_scope_open(), compared = 0;
    cti_simplifies = false;
    if (build(&g, seed, CT_P61)) {
        evaluate_eagerly(&g);
        fields alone = take_roots(&g);
        compared = try_groupings(seed, &alone);
        if (g.most <= 100) { /* small, so that there can be many */
            try_rules(seed, &alone);
            count_rounded(seed);
        }
        fields_free(&alone);
    }
    cti_simplifies = true;
    ct_scope_close(scope);
    return compared;
}

TEST(field_graphs, are_equal_however_they_are_evaluated) {
    const char *text = getenv("COTAN_GRAPHS");
    int64_t n = text ? strtoll(text, NULL, 10) : support_scaled(GRAPHS), compared = 0;
    uint64_t first = support_seed(1);
    find_rules();
    for (int64_t k = 0; k < n; k++) compared += check_graph(first + (uint64_t)k);
    printf("%lld random graphs from seed %llu, %lld values\n", (long long)n,
           (unsigned long long)first, (long long)compared);
    EXPECT(compared > 100 * n);
    for (int k = 0; k < n_rules; k++) {
        printf("%8lld times, %9lld values, %6lld with other bits in f64: %s\n",
               (long long)rules[k].applied, (long long)rules[k].compared,
               (long long)rules[k].rounded, rules[k].rule->name);
        /* Fewer graphs, as where suites are scaled down, need not hold all. */
        EXPECT(n < GRAPHS || (rules[k].applied > 0 && rules[k].compared > 0),
               "'%s' was never applied", rules[k].rule->name);
    }
}
