/* How likely a wrong formula passes the exact stage: by the degrees of both sides as rational
 * functions of what is drawn, found from the graph and from what each op says it is as algebra.
 *
 * All nodes are written over common denominators: node = P / (Q1^e1 Q2^e2 ..), where Qi is the
 * product of all different elements that something is divided by. A polynomial of degree d that is
 * not 0 is 0 at a random point with probability at most d / S, where each variable has S values
 * (Schwartz, 1980; Zippel, 1979). With k roots the product over both signs of each is a polynomial
 * of degree 2^k d, and all k are squares in one of 2^k draws: at most 4^k d / S.
 *
 * A stand-in is one more variable, E or 1 / E, of all p values; that two of them meet by accident
 * counts too. The branches are those that were taken, and roots that depend on each other, as those
 * of x^2 and y, are counted as if they did not.
 * Invariant: every estimate is from above. */
#include "autograd/verify/verify_private.h"
#include "tensor/base/alloc.h"
#include "tensor/graph/node.h"
#include "tensor/graph/walk.h"
#include "tensor/simplify.h"

#include <math.h>
#include <string.h>

#define LOG2_VALUES 41.0 /* of an input: 2^42 in all, 2^41 of one that is positive */
#define MOST_CELLS 50000000

/* What is divided by: the elements of a node, or their roots. */
typedef struct {
    const ct_tensor *node;
    bool root;
    double one, all; /* degrees of an element, and of the product of all */
} divisor;

typedef struct {
    int64_t n_nodes, n, most; /* divisors */
    divisor *divisors;
    double *top;                   /* of each node, the degree of P */
    float *below;                  /* and e of each divisor */
    double roots, hashed, deepest; /* elements; the largest degree that a stand-in takes */
    const char *untold;            /* an op that says nothing */
    bool branches;
    cti_zone zone;
} estimate;

static float *below(const estimate *e, int64_t node) { return e->below + node * e->most; }

/* The elements that differ. */
static const ct_tensor *unviewed(const ct_tensor *t) {
    while (t->op && t->op->kind == CT_VIEW) t = t->inputs[0];
    return t;
}

static int64_t divisor_of(estimate *e, const ct_tensor *node, bool root, double degree) {
    for (int64_t q = 0; q < e->n; q++) {
        if (e->divisors[q].node == node && e->divisors[q].root == root) return q;
    }
    e->divisors[e->n] = (divisor){node, root, degree, degree * (double)cti_global_numel(node)};
    return e->n++;
}

/* The degree of P when e is at least `common`. */
static double raised(const estimate *e, int64_t node, const float *common) {
    double degree = e->top[node];
    const float *own = below(e, node);
    for (int64_t q = 0; q < e->n; q++) {
        if (common[q] > own[q]) degree += (double)(common[q] - own[q]) * e->divisors[q].all;
    }
    return degree;
}

static double whole_degree(const estimate *e, int64_t node) {
    double degree = e->top[node];
    for (int64_t q = 0; q < e->n; q++) {
        degree += (double)below(e, node)[q] * e->divisors[q].all;
    }
    return degree;
}

/* --- Kinds of algebra ------------------------------------------------------------------------- */

static void add_linear(estimate *e, const ct_tensor *t, int64_t at) {
    float *own = below(e, at);
    for (int k = 0; k < t->n_inputs; k++) {
        const float *in = below(e, t->inputs[k]->index);
        for (int64_t q = 0; q < e->n; q++) own[q] = fmaxf(own[q], in[q]);
    }
    for (int k = 0; k < t->n_inputs; k++) {
        e->top[at] = fmax(e->top[at], raised(e, t->inputs[k]->index, own));
    }
}

static void add_product(estimate *e, const ct_tensor *t, int64_t at) {
    for (int k = 0; k < t->n_inputs; k++) {
        const float *in = below(e, t->inputs[k]->index);
        e->top[at] += e->top[t->inputs[k]->index];
        for (int64_t q = 0; q < e->n; q++) below(e, at)[q] += in[q];
    }
}

/* Each element of 1 / Q is the product of all others over that of all. */
static void divide_by(estimate *e, int64_t at, int64_t q) {
    e->top[at] += e->divisors[q].all - e->divisors[q].one;
    below(e, at)[q] += 1;
}

static void add_quotient(estimate *e, const ct_tensor *t, int64_t at) {
    int64_t a = t->inputs[0]->index, b = t->inputs[1]->index;
    e->top[at] = raised(e, a, below(e, b));
    for (int64_t q = 0; q < e->n; q++) {
        below(e, at)[q] = fmaxf(0, below(e, a)[q] - below(e, b)[q]);
    }
    if (e->top[b] == 0) return;
    divide_by(e, at, divisor_of(e, unviewed(t->inputs[1]), false, e->top[b]));
}

/* sqrt(P / Q^e) = sqrt(P Q^(e mod 2)) / Q^(e / 2, rounded up) */
static void add_root(estimate *e, const ct_tensor *t, int64_t at, bool inverse) {
    const ct_tensor *of = unviewed(t->inputs[0]);
    const float *in = below(e, t->inputs[0]->index);
    double degree = e->top[t->inputs[0]->index], rest = 0;
    for (int64_t q = 0; q < e->n; q++) {
        float half = ceilf(in[q] / 2);
        degree += (double)(2 * half - in[q]) * e->divisors[q].all;
        rest += (double)half * e->divisors[q].all;
        if (!inverse) below(e, at)[q] = half;
    }
    degree = ceil(degree / 2);
    int64_t known = e->n, root = divisor_of(e, of, true, degree);
    if (root == known) e->roots += (double)cti_global_numel(of);
    e->top[at] = inverse ? rest : degree;
    if (inverse) divide_by(e, at, root);
}

static void add_stand_in(estimate *e, const ct_tensor *t, int64_t at) {
    e->hashed += (double)cti_global_numel(unviewed(t->inputs[0]));
    for (int k = 0; k < t->n_inputs; k++) {
        e->deepest = fmax(e->deepest, whole_degree(e, t->inputs[k]->index));
    }
    e->top[at] = 1;
    divide_by(e, at, divisor_of(e, t, false, 1));
}

/* Of whole exponents that are written as numbers. */
static void add_power(estimate *e, const ct_tensor *t, int64_t at) {
    const ct_tensor *exponent = unviewed(t->inputs[1]);
    double n = exponent->literal ? cti_value(exponent->buffer->data, exponent->dtype, 0) : -1;
    if (!(n >= 0 && n == floor(n) && n < 1e6)) {
        e->untold = t->op->name;
        return;
    }
    e->top[at] = n * e->top[t->inputs[0]->index];
    for (int64_t q = 0; q < e->n; q++) {
        below(e, at)[q] = (float)n * below(e, t->inputs[0]->index)[q];
    }
}

static void add_node(estimate *e, const ct_tensor *t, int64_t at) {
    e->branches |= t->op && (t->op->branches || (t->op->algebra == CT_DECISION && t->n_inputs));
    if (t->dtype != CT_P61) return;
    if (t->n_inputs == 0 || !t->op) {
        e->top[at] = !t->op && !t->literal;
        return;
    }
    switch (t->op->algebra) {
    case CT_LINEAR: add_linear(e, t, at); break;
    case CT_PRODUCT: add_product(e, t, at); break;
    case CT_QUOTIENT: add_quotient(e, t, at); break;
    case CT_POWER: add_power(e, t, at); break;
    case CT_ROOT:
    case CT_INVERSE_ROOT: add_root(e, t, at, t->op->algebra == CT_INVERSE_ROOT); break;
    case CT_STAND_IN: add_stand_in(e, t, at); break;
    case CT_DECISION: break;
    case CT_UNTOLD: e->untold = t->op->name; break;
    }
}

/* --- The whole -------------------------------------------------------------------------------- */

/* log2 of the probability in one draw. */
static double log2_of(estimate *e, ct_tensor *const sides[], int64_t n) {
    double degree = 0;
    float *common = cti_zone_alloc(&e->zone, (size_t)e->most, sizeof *common);
    if (!common) return 0;
    for (int64_t k = 0; k < n; k += 2) {
        int64_t a = sides[k]->index, b = sides[k + 1]->index;
        for (int64_t q = 0; q < e->n; q++) common[q] = fmaxf(below(e, a)[q], below(e, b)[q]);
        degree = fmax(degree, fmax(raised(e, a, common), raised(e, b, common)));
    }
    /* Pairs, times the degree of a difference. */
    double meetings = e->hashed * e->hashed * e->deepest;
    return log2(fmax(1, degree + meetings)) + 2 * e->roots - LOG2_VALUES;
}

static ct_status estimate_walk(estimate *e, const cti_walk *walk) {
    e->most = 1;
    for (int64_t i = 0; i < walk->count; i++) {
        const ct_tensor *t = walk->items[i];
        e->most += t->op && t->dtype == CT_P61 && t->op->algebra > CT_PRODUCT;
    }
    if (walk->count * e->most > MOST_CELLS) {
        e->untold = "a graph of this size";
        return CT_OK;
    }
    e->divisors = cti_zone_alloc(&e->zone, (size_t)e->most, sizeof *e->divisors);
    e->top = cti_zone_alloc(&e->zone, (size_t)walk->count, sizeof *e->top);
    e->below = cti_zone_alloc(&e->zone, (size_t)(walk->count * e->most), sizeof *e->below);
    if (!e->divisors || !e->top || !e->below) return CT_ERR_MEMORY;
    memset(e->top, 0, (size_t)walk->count * sizeof *e->top);
    memset(e->below, 0, (size_t)(walk->count * e->most) * sizeof *e->below);
    for (int64_t i = 0; i < walk->count && !e->untold; i++) add_node(e, walk->items[i], i);
    return CT_OK;
}

static ct_status sides_of(const cti_subject *s, const ct_verify_options *options, ct_tensor *out[],
                          int64_t *n) {
    cti_draw draw = {.seed = options->seed, .cotangent = options->cotangent};
    cti_instance of;
    ct_status status = cti_instance_begin(s, CT_P61, &draw, &of);
    if (status == CT_OK) status = cti_instance_derive(s, &draw, options->orders, &of);
    *n = 0;
    for (int64_t k = 0; k < of.n && status == CT_OK; k++) {
        out[(*n)++] = of.pairs[k].derived;
        out[(*n)++] = of.pairs[k].closed;
    }
    return status == CT_OK ? ct_simplify(out, *n, out) : status;
}

ct_status cti_verify_chance(const cti_subject *s, const ct_verify_options *options,
                            double *log2_missed, ct_verify_line *line) {
    ct_tensor *sides[2 * CTI_PAIRS];
    estimate e = {0};
    cti_walk walk;
    int64_t n = 0, scope = ct_scope_open();
    ct_status status = sides_of(s, options, sides, &n);
    if (status == CT_OK) status = cti_walk_new(&walk, sides, n, cti_walk_whole_graph);
    if (status == CT_OK) {
        status = estimate_walk(&e, &walk);
        *log2_missed = status == CT_OK && !e.untold
                           ? fmin(0, ceil(log2_of(&e, sides, n) * options->draws))
                           : 0;
        cti_walk_free(&walk);
    }
    if (status == CT_OK && *log2_missed < 0) {
        cti_line(line, "a wrong formula passes %d draws with probability at most 2^%.0f%s%s",
                 options->draws, *log2_missed,
                 e.branches ? ", on the branches that were taken" : "",
                 e.hashed > 0 ? ", if stand-ins of exp and the like are random numbers" : "");
    } else if (status == CT_OK) {
        cti_line(line, "no bound on how likely a wrong formula passes: %s%s",
                 e.untold ? e.untold : "degrees and roots are too many for the field",
                 e.untold ? " does not say what it is as algebra" : "");
    }
    cti_zone_free(&e.zone);
    ct_scope_close(scope);
    return status;
}
