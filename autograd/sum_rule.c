/* sum(a + c*b) = sum(a) + c*sum(b), for a c that is the same along the axes of the sum.
 * When c comes out of a pass over the same elements, the sum on the left needs one more pass, and
 * those on the right do not: they can be formed while c is. The gradient of a mean inside of a
 * normalization is such a sum.
 * Invariant: the rule fires only when it saves that pass, because it changes the order of addition.
 */
#include "autograd/ops.h"
#include "autograd/rewrite.h"

#define MOST_TERMS 16

typedef struct {
    ct_tensor *value;
    bool negative;
} term;

typedef struct {
    term terms[MOST_TERMS];
    int n;
    int first, last; /* axes of the sum */
} expansion;

ct_tensor *cti_unstretched(ct_tensor *t, int first, int last) {
    if (!cti_is_broadcast(t)) return NULL;
    ct_tensor *x = t->inputs[0];
    int shift = t->shape.rank - x->shape.rank;
    for (int d = first; d < last; d++) {
        if (d >= shift && x->shape.dims[d - shift] != 1) return NULL;
    }
    ct_shape rest = {0}, out = {0};
    for (int d = 0; d < t->shape.rank; d++) {
        if (d >= first && d < last) continue;
        rest.dims[rest.rank++] = d < shift ? 1 : x->shape.dims[d - shift];
        out.dims[out.rank++] = t->shape.dims[d];
    }
    return ct_broadcast(ct_reshape(x, rest), out);
}

static bool push(expansion *e, ct_tensor *t, bool negative) {
    if (e->n == MOST_TERMS) return false;
    e->terms[e->n++] = (term){t, negative};
    return true;
}

/* Replaces the sums and differences of a level by their terms. */
static bool expand(expansion *e, int level) {
    for (int k = 0; k < e->n;) {
        ct_tensor *t = e->terms[k].value;
        bool negative = e->terms[k].negative, difference = cti_is_sub(t);
        if (t->level < level || !(cti_is_neg(t) || cti_is_add(t) || difference)) {
            k++;
            continue;
        }
        e->terms[k] = (term){t->inputs[0], negative != cti_is_neg(t)};
        if (t->n_inputs == 2 && !push(e, t->inputs[1], negative != difference)) return false;
    }
    return true;
}

/* The operand of a product that is the same along the axes: 0, 1, or -1 for none. */
static int factor(const expansion *e, const ct_tensor *t) {
    for (int k = 0; k < 2 && cti_is_mul(t); k++) {
        if (cti_unstretched(t->inputs[k], e->first, e->last)) return k;
    }
    return -1;
}

/* Whether the late ones among the terms are products whose stretched factor alone is late. */
static bool saves_a_pass(const expansion *e, int level) {
    bool any = false;
    for (int k = 0; k < e->n; k++) {
        const ct_tensor *t = e->terms[k].value;
        if (t->level < level) continue;
        int f = factor(e, t);
        if (f < 0 || t->inputs[1 - f]->level >= level) return false;
        any = true;
    }
    return any;
}

static ct_tensor *sum_of(const expansion *e, ct_tensor *t) {
    ct_axes axes = {0};
    for (int d = e->first; d < e->last; d++) axes.axis[axes.count++] = d;
    int f = factor(e, t);
    if (f < 0) return ct_sum(t, axes);
    return ct_mul(cti_unstretched(t->inputs[f], e->first, e->last),
                  ct_sum(t->inputs[1 - f], axes));
}

ct_tensor *cti_sum_of_terms(ct_tensor *t, int first, int last) {
    expansion e = {.terms = {{t, false}}, .n = 1, .first = first, .last = last};
    int level = t->level;
    if (level == 0 || !expand(&e, level) || !saves_a_pass(&e, level)) return NULL;
    ct_tensor *total = NULL;
    for (int k = 0; k < e.n; k++) {
        ct_tensor *part = sum_of(&e, e.terms[k].value);
        if (e.terms[k].negative) part = ct_neg(part);
        total = total ? ct_add(total, part) : part;
        if (!total) return NULL;
    }
    return total;
}
