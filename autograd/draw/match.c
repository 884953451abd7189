/* Which nodes of two graphs are the same: partners, and in what they differ.
 * It draws nothing; both.c and diff.c show what it finds.
 * Invariant: a hash only selects: what partners differ in is found by comparing them, so graphs
 * that are called equal are. Partners follow from the graphs alone, not from hashes. */
#include "autograd/draw/match.h"

#include "tensor/base/hash.h"
#include "tensor/graph/node.h"

#include <stdlib.h>
#include <string.h>

/* What nodes agree in. */
enum { MODULE = 1, NAME = 2, TYPE = 4, ATTRIBUTE = 8, ALL = 15 };

/* How partners are looked for, one after the other: by what of themselves, and by what of others,
 * which have to agree in the same. */
static const struct {
    unsigned what;
    bool below, above; /* all that they are computed from, all that is computed from them */
    bool operands, consumers;
    bool partners; /* operands and consumers that have partners are those, and not what they are */
} levels[] = {
    {.what = ALL, .below = true},
    {.what = ALL, .above = true},
    {.what = ALL, .operands = true, .consumers = true, .partners = true},
    {.what = ALL, .operands = true, .partners = true},
    {.what = ALL, .consumers = true, .partners = true},
    {.what = ALL, .operands = true, .consumers = true},
    {.what = ALL, .operands = true},
    {.what = ALL, .consumers = true},
    {.what = ALL},
    {.what = ALL & ~NAME, .operands = true, .consumers = true},
    {.what = ALL & ~NAME},
    {.what = ALL & ~ATTRIBUTE, .operands = true, .consumers = true},
    {.what = ALL & ~ATTRIBUTE, .operands = true},
    {.what = ALL & ~ATTRIBUTE, .consumers = true},
    {.what = ALL & ~TYPE, .operands = true, .consumers = true},
    {.what = ALL & ~TYPE, .operands = true},
    {.what = ALL & ~TYPE, .consumers = true},
    {.what = MODULE | NAME, .operands = true, .consumers = true},
    {.what = ALL & ~MODULE, .below = true},
    {.what = ALL & ~MODULE, .operands = true, .consumers = true},
};

typedef struct {
    uint64_t key;
    int64_t node;
} candidate;

/* One of the graphs. */
typedef struct {
    const cti_picture *p;
    const int64_t *arrow;
    int64_t *partner;
    bool second;
    uint64_t *own, *key; /* of each node on the current level: alone, and with what is around it */
    uint64_t *neighbour; /* for those around it */
    candidate *list;
    int64_t left; /* in the list */
} graph;

/* --- Keys --------------------------------------------------------------------------------- */

static bool is_commutative(const cti_picture_node *node) {
    return node->value->op && node->value->op->commutative;
}

/* (·, 0.5): the numbers among the operands, in any order where it does not matter. */
static uint64_t mix_numbers(uint64_t hash, const cti_picture_node *node) {
    if (!node->operands || !is_commutative(node)) return cti_mix_text(hash, node->operands);
    uint64_t sum = 0;
    for (const char *at = node->operands; *at;) {
        at += strspn(at, "(, )");
        size_t length = strcspn(at, "(, )");
        if (length) sum += cti_mix_bytes(0, at, length);
        at += length;
    }
    return cti_mix(hash, sum);
}

/* The bytes of an attribute that are the same for the same op. */
static size_t attribute_size(const ct_tensor *t) {
    bool comparable = t->op && !t->op->attr_is_runtime && !t->op->release;
    return comparable ? t->attr_size : 0;
}

static uint64_t own_key(const cti_picture_node *node, unsigned what) {
    const ct_tensor *t = node->value;
    uint64_t hash = cti_mix_text(cti_mix(1, (uint64_t)node->order), t->op ? t->op->name : NULL);
    if (what & MODULE) hash = cti_mix_text(hash, node->path);
    if (what & NAME) hash = cti_mix_text(hash, node->name);
    if (what & TYPE) hash = cti_mix_text(hash, node->type);
    if (what & ATTRIBUTE) {
        hash = cti_mix_text(hash, node->detail);
        hash = cti_mix_text(hash, t->op || node->name ? NULL : node->kind);
        hash = mix_numbers(cti_mix(hash, node->slot), node);
        hash = cti_mix_bytes(hash, t->attr, attribute_size(t));
    }
    return hash;
}

/* With the keys of its operands, in any order where it does not matter. */
static uint64_t with_operands(const graph *g, int64_t i, const uint64_t keys[]) {
    bool sorted = !is_commutative(&g->p->nodes[i]);
    uint64_t hash = g->own[i], sum = 0;
    for (int64_t k = g->arrow[i]; k < g->arrow[i + 1]; k++) {
        uint64_t key = keys[g->p->arrows[k].from];
        if (sorted) hash = cti_mix(hash, key);
        else sum += cti_mix(0, key);
    }
    return cti_mix(hash, sum);
}

/* Adds the keys of consumers, be it those of all that is computed from them. */
static void add_consumers(graph *g, bool all) {
    for (int64_t i = g->p->n_nodes - 1; i >= 0; i--) {
        bool sorted = !is_commutative(&g->p->nodes[i]);
        for (int64_t k = g->arrow[i]; k < g->arrow[i + 1]; k++) {
            uint64_t place = sorted ? (uint64_t)(k - g->arrow[i]) : 0;
            uint64_t key = all ? g->key[i] : g->neighbour[i];
            g->key[g->p->arrows[k].from] += cti_mix(cti_mix(1, place), key);
        }
    }
}

/* What a node is to those around it: itself, or which pair of partners. */
static void set_neighbours(graph *g, bool partners) {
    for (int64_t i = 0; i < g->p->n_nodes; i++) {
        int64_t of_first = g->second ? g->partner[i] : i;
        bool known = partners && g->partner[i] >= 0;
        g->neighbour[i] = known ? cti_mix(2, (uint64_t)of_first) : g->own[i];
    }
}

static void set_keys(graph *g, int level) {
    for (int64_t i = 0; i < g->p->n_nodes; i++) {
        g->own[i] = own_key(&g->p->nodes[i], levels[level].what);
        g->key[i] = g->own[i];
        if (levels[level].below) g->key[i] = with_operands(g, i, g->key);
    }
    set_neighbours(g, levels[level].partners);
    for (int64_t i = 0; i < g->p->n_nodes && levels[level].operands; i++) {
        g->key[i] = with_operands(g, i, g->neighbour);
    }
    if (levels[level].consumers || levels[level].above) add_consumers(g, levels[level].above);
}

static int by_key(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

/* The nodes that have no partner, by their keys on a level. A view alone says nothing. */
static void list_candidates(graph *g, int level) {
    bool alone = !levels[level].below && !levels[level].above && !levels[level].operands &&
                 !levels[level].consumers;
    set_keys(g, level);
    g->left = 0;
    for (int64_t i = 0; i < g->p->n_nodes; i++) {
        bool says_little = alone && g->p->nodes[i].shape == CTI_SMALL_BOX;
        if (g->partner[i] < 0 && !says_little) g->list[g->left++] = (candidate){g->key[i], i};
    }
    qsort(g->list, (size_t)g->left, sizeof *g->list, by_key);
}

/* --- Partners ----------------------------------------------------------------------------- */

static void find_partners(graph graphs[2]) {
    graph *a = &graphs[0], *b = &graphs[1];
    for (int level = 0; level < (int)(sizeof levels / sizeof *levels); level++) {
        list_candidates(a, level);
        list_candidates(b, level);
        for (int64_t i = 0, k = 0; i < a->left && k < b->left;) {
            candidate x = a->list[i], y = b->list[k];
            if (x.key == y.key) a->partner[x.node] = y.node, b->partner[y.node] = x.node;
            i += x.key <= y.key;
            k += y.key <= x.key;
        }
    }
}

/* --- Differences -------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* (·, 0.5) and (0.5, ·) are the same where the order does not matter. */
static bool same_numbers(const cti_picture_node *a, const cti_picture_node *b) {
    const char *x = a->operands, *y = b->operands, *comma = x ? strchr(x, ',') : NULL;
    if (same_text(x, y)) return true;
    if (!x || !y || !comma || strlen(x) != strlen(y) || !is_commutative(a)) return false;
    size_t first = (size_t)(comma - x) - 1, second = strlen(comma + 2) - 1;
    return memcmp(y + 1, comma + 2, second) == 0 && memcmp(y + second + 3, x + 1, first) == 0;
}

static bool same_attribute(const cti_picture_node *a, const cti_picture_node *b) {
    const ct_tensor *x = a->value, *y = b->value;
    size_t size = attribute_size(x);
    if (x->op != y->op || a->slot != b->slot || size != attribute_size(y)) return false;
    if (size && memcmp(x->attr, y->attr, size) != 0) return false;
    if (!x->op && !a->name && !same_text(a->kind, b->kind)) return false;
    return same_text(a->detail, b->detail) && same_numbers(a, b);
}

bool cti_match_passes(const cti_picture_node *node) {
    return node->shape == CTI_SMALL_BOX && !node->name && !node->root && node->value->n_inputs == 1;
}

/* A view that stands between other operands is not the same to whoever reads it. */
/* A view that stands between other operands is not the same to whoever reads it; of equal
 * expressions it does not matter which is read. */
bool cti_match_same_operand(const cti_match *m, int64_t from, int64_t other) {
    int64_t partner = m->partner[0][from];
    if (partner < 0 || m->expression[partner] != m->expression[other]) return false;
    return !(m->changes[from] & CTI_OTHER_OPERANDS) ||
           !cti_match_passes(&m->pictures[0].nodes[from]);
}

static bool same_operands(const cti_match *m, int64_t i, int64_t k) {
    const cti_picture *a = &m->pictures[0], *b = &m->pictures[1];
    const cti_picture_arrow *x = a->arrows + m->arrow[0][i], *y = b->arrows + m->arrow[1][k];
    int64_t n = m->arrow[0][i + 1] - m->arrow[0][i];
    if (n != m->arrow[1][k + 1] - m->arrow[1][k]) return false;
    if (n == 2 && is_commutative(&a->nodes[i]) && cti_match_same_operand(m, x[0].from, y[1].from) &&
        cti_match_same_operand(m, x[1].from, y[0].from)) {
        return true;
    }
    for (int64_t at = 0; at < n; at++) {
        if (!cti_match_same_operand(m, x[at].from, y[at].from)) return false;
        if (x[at].staged != y[at].staged) return false;
    }
    return true;
}

/* In what two nodes differ by themselves. */
static unsigned own_changes(const cti_picture_node *a, const cti_picture_node *b) {
    unsigned changes = 0;
    if (!same_text(a->name, b->name)) changes |= CTI_OTHER_NAME;
    if (!same_text(a->path, b->path) || a->order != b->order) changes |= CTI_OTHER_MODULE;
    if (!same_text(a->type, b->type)) changes |= CTI_OTHER_TYPE;
    if (!same_attribute(a, b)) changes |= CTI_OTHER_ATTRIBUTE;
    return changes;
}

static unsigned changes_of(const cti_match *m, int64_t i, int64_t k) {
    const cti_picture_node *a = &m->pictures[0].nodes[i], *b = &m->pictures[1].nodes[k];
    unsigned changes = own_changes(a, b);
    if (!same_operands(m, i, k)) changes |= CTI_OTHER_OPERANDS;
    if (a->root != b->root) changes |= CTI_OTHER_ROOT;
    return changes;
}

/* --- Equal expressions -------------------------------------------------------------------- */

/* Whether two nodes of the second graph are the same of the same expressions. */
static bool same_expression(const cti_match *m, int64_t i, int64_t k) {
    const cti_picture *p = &m->pictures[1];
    const int64_t *e = m->expression;
    const cti_picture_arrow *x = p->arrows + m->arrow[1][i], *y = p->arrows + m->arrow[1][k];
    int64_t n = m->arrow[1][i + 1] - m->arrow[1][i];
    if (n != m->arrow[1][k + 1] - m->arrow[1][k]) return false;
    if (own_changes(&p->nodes[i], &p->nodes[k])) return false;
    if (n == 2 && is_commutative(&p->nodes[i]) && e[x[0].from] == e[y[1].from] &&
        e[x[1].from] == e[y[0].from]) {
        return true;
    }
    for (int64_t at = 0; at < n; at++) {
        if (e[x[at].from] != e[y[at].from] || x[at].staged != y[at].staged) return false;
    }
    return true;
}

/* The first node that is each node's expression. Leaves of one type may hold different data. The
 * keys are those of the first level. */
static ct_status find_expressions(cti_match *m, const graph *g) {
    size_t size = 2;
    while (size < 2 * (size_t)g->p->n_nodes) size *= 2;
    int64_t *table = cti_zone_alloc(&m->zone, size, sizeof *table); /* nodes, from 1 on */
    if (!table) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < g->p->n_nodes; i++) {
        g->own[i] = own_key(&g->p->nodes[i], ALL);
        g->key[i] = with_operands(g, i, g->key);
        m->expression[i] = i;
        if (!g->p->nodes[i].value->op) continue;
        size_t at = g->key[i] & (size - 1);
        while (table[at] &&
               !(g->key[table[at] - 1] == g->key[i] && same_expression(m, table[at] - 1, i))) {
            at = (at + 1) & (size - 1);
        }
        if (!table[at]) table[at] = i + 1;
        m->expression[i] = table[at] - 1;
    }
    return CT_OK;
}

/* --- The whole ---------------------------------------------------------------------------- */

static ct_status make_room(cti_match *m, graph graphs[2]) {
    for (int s = 0; s < 2; s++) {
        const cti_picture *p = &m->pictures[s];
        size_t n = (size_t)p->n_nodes;
        graph *g = &graphs[s];
        int64_t *numbers = cti_zone_alloc(&m->zone, 2 * n + 1, sizeof *numbers);
        g->own = cti_zone_alloc(&m->zone, 3 * n, sizeof *g->own);
        g->list = cti_zone_alloc(&m->zone, n, sizeof *g->list);
        if (!numbers || !g->own || !g->list) return CT_ERR_MEMORY;
        g->p = p;
        g->key = g->own + n, g->neighbour = g->own + 2 * n;
        g->second = s > 0;
        g->partner = m->partner[s] = numbers;
        g->arrow = m->arrow[s] = numbers + n;
        for (int64_t i = 0, k = 0; i < p->n_nodes; i++) {
            while (k < p->n_arrows && p->arrows[k].to == i) k++;
            m->partner[s][i] = -1;
            m->arrow[s][i + 1] = k;
        }
    }
    size_t n = (size_t)m->pictures[0].n_nodes;
    m->changes = cti_zone_alloc(&m->zone, n, sizeof *m->changes);
    m->expression = cti_zone_alloc(&m->zone, (size_t)m->pictures[1].n_nodes, sizeof(int64_t));
    return m->changes && m->expression ? CT_OK : CT_ERR_MEMORY;
}

ct_status cti_match_new(cti_match *m, const char *function, ct_tensor *const first[],
                        int64_t n_first, ct_tensor *const second[], int64_t n_second) {
    *m = (cti_match){0};
    const ct_dot_options whole = {
        .show_views = true, .unfold = true, .clusters = true, .max_nodes = INT64_MAX};
    graph graphs[2];
    ct_status status = cti_picture_of(&m->pictures[0], function, first, n_first, &whole, NULL);
    if (status == CT_OK) {
        status = cti_picture_of(&m->pictures[1], function, second, n_second, &whole, NULL);
    }
    if (status == CT_OK) status = make_room(m, graphs);
    if (status == CT_OK) status = find_expressions(m, &graphs[1]);
    if (status != CT_OK) return status;
    find_partners(graphs);
    for (int64_t i = 0; i < m->pictures[0].n_nodes; i++) {
        if (m->partner[0][i] >= 0) m->changes[i] = changes_of(m, i, m->partner[0][i]);
    }
    return CT_OK;
}

void cti_match_free(cti_match *m) {
    cti_picture_free(&m->pictures[0]);
    cti_picture_free(&m->pictures[1]);
    cti_zone_free(&m->zone);
}
