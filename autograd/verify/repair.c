/* What would make a closed form right: one edit of its own formula, as another number, another
 * tensor for an operand, operands or ops in the other order, a factor that belongs inside of a
 * mean, another op; or the same edit of f, whose derivative the closed form then is.
 * It tries one edit at a time. Mistakes on the way back through f are in mistakes.c.
 * Invariant: an edit changes no shape, and what it says is an identity in the field that holds for
 * all elements of an input. */
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/graph/node.h"
#include "tensor/graph/walk.h"

#include <stdio.h>
#include <string.h>

#define MOST_NODES 100
#define MOST_TRIES 3000
#define MOST_AXES 5

typedef struct {
    const cti_subject *s;
    const cti_instance *of;
    const cti_pair *pair;
    bool of_f; /* f is edited, not the closed form */
    ct_verify_line *out;
    bool found;
    int64_t n_nodes, n_pool, tries;
    ct_tensor *nodes[MOST_NODES];    /* of what is edited, the nearest to its value first */
    ct_tensor *pool[3 * MOST_NODES]; /* what may stand in it: of f and of the closed form */
} search;

/* --- One edit --------------------------------------------------------------------------------- */

static bool equal(ct_tensor *a, ct_tensor *b) {
    const ct_p61 *left = ct_data(a), *right = ct_data(b);
    for (int64_t i = 0; left && right && i < ct_numel(a); i++) {
        if (left[i].field != right[i].field) return false;
    }
    return left && right;
}

static ct_tensor *root_of(const search *k) { return k->of_f ? k->of->y : k->pair->closed; }

/* Whether the edited formula makes both sides equal. */
static ct_status judge(search *k, ct_tensor *edited) {
    int64_t n = k->s->claim->n_inputs;
    ct_tensor *derived[CT_CLAIM_INPUTS], *side = edited;
    if (!edited) return ct_error();
    k->tries++;
    ct_status status = CT_OK;
    if (k->of_f) status = ct_vjp(edited, k->of->x[n], k->of->x, n, derived);
    if (k->of_f && status == CT_OK) side = derived[k->pair->input];
    if (status == CT_OK) status = ct_eval(&side, 1);
    if (status == CT_OK) k->found = equal(side, k->of_f ? k->pair->closed : k->pair->derived);
    return status;
}

static void say(search *k, const char *now, const char *was, const ct_tensor *where) {
    cti_written in = where ? cti_written_of(where) : (cti_written){""};
    cti_line(k->out, "%s: %s with %.60s in place of %.60s%s%.40s",
             cti_claim_input_name(k->s->claim, k->pair->input),
             k->of_f ? "the derivative of another f," : "it would be right", now, was,
             where ? ", in " : "", in.text);
}

static bool is_over(const search *k) { return k->found || k->tries >= MOST_TRIES; }

/* The node becomes another. What changes in it is told by `now` and `was`; NULL: by the whole. */
static ct_status try_edit(search *k, const ct_tensor *node, ct_tensor *other, const char *now,
                          const char *was) {
    if (!other) return ct_error();
    if (is_over(k)) return CT_OK;
    ct_status status = judge(k, cti_graph_with(root_of(k), node, other));
    if (status != CT_OK || !k->found) return status;
    if (now) return say(k, now, was, node == root_of(k) ? NULL : node), CT_OK;
    cti_written new, old;
    cti_write_both(other, node, new.text, old.text);
    say(k, new.text, old.text, NULL);
    return CT_OK;
}

/* t with another operand. */
static ct_tensor *with_operand(const ct_tensor *t, int at, ct_tensor *operand) {
    ct_tensor *copy = operand ? cti_node_like(t) : NULL;
    if (copy) ct_set(&copy->inputs[at], operand);
    return copy;
}

/* ct_is asks for nodes without a value. */
static bool is(const ct_tensor *t, const ct_op *op) { return t->op == op; }

static ct_tensor *unstretched(ct_tensor *t) {
    while (is(t, &ct_op_broadcast) || is(t, &ct_op_reshape)) t = t->inputs[0];
    return t;
}

/* Nothing is edited that lies differently on each rank: all ranks try the same. */
static bool takes_rows(const ct_tensor *t) {
    bool rows = false;
    for (int a = 0; a < t->n_inputs; a++) rows |= t->inputs[a]->rows != NULL;
    return rows;
}

/* q in the shape of t; NULL where it does not fit. */
static ct_tensor *fitted(ct_tensor *q, const ct_tensor *t) {
    ct_shape to = ct_shape_of(t);
    if (ct_numel(q) == 1) return ct_broadcast(ct_reshape(q, CT_SCALAR), to);
    if (ct_numel(q) == ct_numel(t)) return ct_reshape(q, to);
    ct_shape from = ct_shape_of(q);
    for (int d = 1; d <= from.rank; d++) {
        int64_t size = from.dims[from.rank - d];
        if (d > to.rank || (size != 1 && size != to.dims[to.rank - d])) return NULL;
    }
    return ct_broadcast(q, to);
}

/* --- The edits -------------------------------------------------------------------------------- */

static bool is_number(const ct_tensor *t) { return t->n_inputs == 0 && ct_numel(t) == 1; }

/* All that fits, for one operand; numbers for a number. */
static ct_status try_operand(search *k, ct_tensor *t, int at, bool numbers) {
    ct_tensor *was = t->inputs[at], *plain = unstretched(was);
    ct_status status = CT_OK;
    if (is_number(plain) != numbers) return CT_OK;
    for (int64_t i = 0; i < k->n_pool && status == CT_OK && !k->found; i++) {
        ct_tensor *q = k->pool[i];
        if (q == plain || q == t || (numbers && !is_number(q))) continue;
        ct_tensor *fits = fitted(q, was);
        if (!fits) continue;
        cti_written now, old;
        cti_write_both(q, was, now.text, old.text);
        status = try_edit(k, t, with_operand(t, at, fits), now.text, old.text);
    }
    return status;
}

static ct_status try_transposed(search *k, ct_tensor *t, int at) {
    ct_shape s = ct_shape_of(t->inputs[at]);
    if (s.rank < 2 || s.dims[s.rank - 1] != s.dims[s.rank - 2] || s.dims[s.rank - 1] == 1) {
        return CT_OK;
    }
    ct_tensor *turned = with_operand(t, at, ct_transpose(t->inputs[at]));
    return try_edit(k, t, turned, "its transpose", cti_written_of(t->inputs[at]).text);
}

static ct_status try_swapped(search *k, ct_tensor *t) {
    int last = t->n_inputs - 1;
    bool alike = last > 0 &&
                 ct_shape_equal(ct_shape_of(t->inputs[last]), ct_shape_of(t->inputs[last - 1]));
    if (!alike || t->inputs[last]->dtype != t->inputs[last - 1]->dtype) return CT_OK;
    ct_tensor *turned = with_operand(t, last, t->inputs[last - 1]);
    if (turned) ct_set(&turned->inputs[last - 1], t->inputs[last]);
    return try_edit(k, t, turned, "the other order of its operands", cti_written_of(t).text);
}

/* root(v) + epsilon for root(v + epsilon), and the other way round. */
static ct_status try_order(search *k, ct_tensor *t, int at) {
    ct_tensor *inner = t->inputs[at];
    int other = t->n_inputs == 1 ? 0 : 1 - at;
    bool one = t->n_inputs == 1 && inner->n_inputs == 2;
    bool two = t->n_inputs == 2 && inner->n_inputs == 1 && inner != t->inputs[other];
    if ((!one && !two) || takes_rows(inner)) return CT_OK;
    ct_tensor *below = inner->inputs[0];
    for (int i = 0; i < inner->n_inputs; i++) {
        if (!ct_shape_equal(ct_shape_of(inner->inputs[i]), ct_shape_of(t))) return CT_OK;
        if (inner->inputs[i]->dtype != t->dtype) return CT_OK;
    }
    ct_tensor *first = one ? with_operand(t, 0, below) : with_operand(t, at, below);
    ct_tensor *turned = first ? with_operand(inner, 0, first) : NULL;
    return try_edit(k, t, turned, NULL, NULL);
}

/* A factor in front of what is linear in the cotangent belongs next to the cotangent: gamma, which
 * stands outside of the means. */
static ct_status try_inside(search *k, ct_tensor *t, int at) {
    ct_tensor *c = k->of->x[k->s->claim->n_inputs], *factor = t->inputs[at];
    if (k->of_f || !is(t, &ct_op_mul)) return CT_OK;
    for (int i = -1; i < 2; i++) {
        bool part = i >= 0 && is(unstretched(factor), &ct_op_mul);
        if (i >= 0 && !part) break;
        ct_tensor *by = part ? unstretched(factor)->inputs[i] : factor, *fits = fitted(by, c);
        ct_tensor *kept = part ? fitted(unstretched(factor)->inputs[1 - i], t) : NULL;
        if (!fits || (part && !kept)) continue;
        ct_tensor *inner = cti_graph_with(t->inputs[1 - at], c, ct_mul(c, fits));
        if (inner && part) inner = ct_mul(kept, inner);
        cti_written what = cti_written_of(by);
        char now[96];
        snprintf(now, sizeof now, "%.60s inside, at the cotangent,", what.text);
        ct_status status = try_edit(k, t, inner, now, "the same outside");
        if (status != CT_OK || k->found) return status;
    }
    return CT_OK;
}

static cti_written axes_called(int mask, const char *more) {
    cti_written f;
    snprintf(f.text, sizeof f.text, mask & (mask - 1) ? "axes " : "axis ");
    for (int d = 0; d < MOST_AXES; d++) {
        size_t used = strlen(f.text);
        if (!(mask >> d & 1)) continue;
        snprintf(f.text + used, sizeof f.text - used, "%s%d", f.text[used - 1] == ' ' ? "" : ", ",
                 d);
    }
    size_t used = strlen(f.text);
    snprintf(f.text + used, sizeof f.text - used, "%s", more);
    return f;
}

/* Of rows for columns, of the batch for each sample: here, or wherever it is like here. */
static ct_status try_axes(search *k, ct_tensor *t) {
    int rank = ct_shape_of(t).rank, before = 0;
    ct_axes now = cti_stretched_axes(t);
    ct_status status = CT_OK;
    for (int i = 0; i < now.count; i++) before |= 1 << now.axis[i];
    for (int mask = 1; mask < 1 << rank && rank <= MOST_AXES && status == CT_OK; mask++) {
        ct_axes axes = {0};
        for (int d = 0; d < rank; d++) {
            if (mask >> d & 1) axes.axis[axes.count++] = d;
        }
        for (int way = 0; way < 4 && status == CT_OK && mask != before && !is_over(k); way++) {
            bool all = way & 1, mean = !(way & 2);
            status = judge(k, cti_graph_over(root_of(k), t, all, axes, mean));
            if (!k->found) continue;
            const char *where = all ? ", in all sums over them" : "";
            say(k, axes_called(mask, "").text, axes_called(before, where).text, all ? NULL : t);
        }
    }
    return status;
}

/* Another op that the formulas have, for this one. */
static ct_status try_ops(search *k, ct_tensor *t) {
    ct_status status = CT_OK;
    for (int64_t i = 0; i < k->n_pool && status == CT_OK && !k->found; i++) {
        ct_tensor *q = k->pool[i];
        bool alike = q->n_inputs == t->n_inputs && q->op != t->op && t->n_inputs;
        alike = alike && !q->op->release && ct_shape_equal(ct_shape_of(q), ct_shape_of(t));
        for (int a = 0; alike && a < t->n_inputs; a++) {
            alike = q->inputs[a]->dtype == t->inputs[a]->dtype &&
                    ct_shape_equal(ct_shape_of(q->inputs[a]), ct_shape_of(t->inputs[a]));
        }
        if (!alike) continue;
        ct_tensor *other = cti_node_like(q);
        for (int a = 0; other && a < t->n_inputs; a++) ct_set(&other->inputs[a], t->inputs[a]);
        status = try_edit(k, t, other, NULL, NULL);
    }
    return status;
}

/* --- All -------------------------------------------------------------------------------------- */

static ct_status try_node(search *k, ct_tensor *t, bool thorough) {
    ct_status status = CT_OK;
    for (int a = 0; a < t->n_inputs && status == CT_OK && !k->found; a++) {
        if (t->inputs[a]->dtype != CT_P61) continue;
        status = try_operand(k, t, a, !thorough);
        if (status != CT_OK || thorough) continue;
        status = try_order(k, t, a);
        if (status == CT_OK && t->n_inputs == 2) status = try_inside(k, t, a);
        if (status == CT_OK) status = try_transposed(k, t, a);
    }
    if (status == CT_OK && !thorough) status = try_swapped(k, t);
    if (status == CT_OK && !thorough && cti_is_stretched_sum(t)) status = try_axes(k, t);
    if (status == CT_OK && thorough) status = try_ops(k, t);
    return status == CT_OK ? ct_error() : status;
}

static ct_status add_nodes(ct_tensor *root, ct_tensor *to[], int64_t *n, int64_t most) {
    cti_walk walk;
    ct_status status = cti_walk_new(&walk, &root, 1, cti_walk_whole_graph);
    for (int64_t i = walk.count; status == CT_OK && i-- > 0 && *n < most;) {
        bool known = walk.items[i]->dtype != CT_P61 || walk.items[i]->rows;
        for (int64_t k = 0; k < *n && !known; k++) known = to[k] == walk.items[i];
        if (!known) to[(*n)++] = walk.items[i];
    }
    if (status == CT_OK) cti_walk_free(&walk);
    return status;
}

static ct_status find_edit(search *k) {
    ct_status status = add_nodes(k->of_f ? k->of->y : k->pair->closed, k->nodes, &k->n_nodes,
                                 MOST_NODES);
    for (int64_t i = 0; i < k->of->n && status == CT_OK; i++) {
        if (k->of->pairs[i].order > 1) break;
        status = add_nodes(k->of->pairs[i].closed, k->pool, &k->n_pool, 2 * MOST_NODES);
    }
    if (status == CT_OK) status = add_nodes(k->of->y, k->pool, &k->n_pool, 3 * MOST_NODES);
    for (int64_t i = 0; i < 2 * k->n_nodes && status == CT_OK && !k->found; i++) {
        ct_tensor *t = k->nodes[i % k->n_nodes];
        int64_t scope = ct_scope_open();
        if (t->n_inputs && !t->op->release && !takes_rows(t))
            status = try_node(k, t, i >= k->n_nodes);
        ct_scope_close(scope);
    }
    return status;
}

ct_status cti_guess_repair(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                           ct_verify_line *out, bool *found) {
    ct_status status = CT_OK;
    *found = false;
    for (int of_f = 0; of_f < 2 && status == CT_OK && !*found; of_f++) {
        search k = {.s = s, .of = of, .pair = pair, .of_f = of_f, .out = out};
        status = find_edit(&k);
        *found = k.found;
    }
    return status;
}
