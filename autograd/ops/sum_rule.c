/* sum(a + c*(x - mean(x))) = sum(a), for a c that is the same along the axes of sum and mean.
 * What is centred sums to zero, so a sum need not wait for a c that comes out of a pass over the
 * same elements: the gradient of a mean inside of a normalization then costs no pass of its own.
 * It is no distributive law: sum(a) + c*sum(b) would cancel where sum(a + c*b) does not. And what
 * is centred sums to the rounding of its mean, not to 0: where nothing else is summed that is the
 * answer (the mean of x - mean x, by which centring twice is better than once), and it stays.
 * Invariant: the rule looks at a sum's own graph alone, leaves the order of the additions that
 * stay, and keeps values and derivatives, NaN included. */
#include "autograd/ops.h"
#include "autograd/ops/algebra.h"
#include "autograd/ops/stanza.h"

#define MOST_TERMS 16 /* of an operand; and so deep does the rule look */

typedef struct {
    bool away[CT_MAX_RANK];       /* axes of the sum */
    int looked_at;                /* terms */
    int n;                        /* terms that are left away */
    ct_tensor *zeros[MOST_TERMS]; /* what each sums to: 0, or NaN where it has one */
} expansion;

/* What is summed by t, a sum or a sum of sums over further axes, and over which axes; NULL if t is
 * no sum. */
static ct_tensor *summed(ct_tensor *t, bool away[]) {
    int first[CT_MAX_RANK + 1], last[CT_MAX_RANK + 1], n = 0, left[CT_MAX_RANK], n_left;
    for (ct_tensor *x; n <= CT_MAX_RANK && (x = cti_sum_operand(t, &first[n], &last[n])); n++)
        t = x;
    if (n == 0 || n > CT_MAX_RANK) return NULL;
    for (n_left = 0; n_left < t->shape.rank; n_left++) {
        left[n_left] = n_left;
        away[n_left] = false;
    }
    while (n-- > 0) {
        for (int d = first[n]; d < last[n]; d++) away[left[d]] = true;
        for (int d = last[n]; d < n_left; d++) left[d - last[n] + first[n]] = left[d];
        n_left -= last[n] - first[n];
    }
    return t;
}

/* --- What is centred -------------------------------------------------------------------------- */

static ct_tensor *unshaped(ct_tensor *t) {
    while (ct_is(t, &ct_op_reshape)) t = t->inputs[0];
    return t;
}

bool cti_is_stretched(const ct_tensor *t, const bool away[]) {
    if (!ct_is(t, &ct_op_broadcast)) return false;
    const ct_tensor *x = t->inputs[0];
    if (x->rows && away[t->batch]) return false; /* though a rank may have one row */
    int shift = t->shape.rank - x->shape.rank;
    for (int d = shift; d < t->shape.rank; d++) {
        if (away[d] && x->shape.dims[d - shift] != 1) return false;
    }
    return true;
}

ct_tensor *cti_unstretched(ct_tensor *t, const bool away[]) {
    if (!cti_is_stretched(t, away)) return NULL;
    ct_tensor *x = t->inputs[0];
    int shift = t->shape.rank - x->shape.rank;
    ct_shape rest = {0}, out = {0};
    cti_mark mark = cti_mark_of(t);
    for (int d = 0; d < t->shape.rank; d++) {
        if (away[d]) mark.axis -= t->rows && d < t->batch;
        if (away[d]) continue;
        rest.dims[rest.rank++] = d < shift ? 1 : x->shape.dims[d - shift];
        out.dims[out.rank++] = t->shape.dims[d];
    }
    if (t->rows && away[t->batch]) mark = CTI_REPLICATED;
    x = cti_reshape_marked(x, rest, x->rows ? mark : CTI_REPLICATED);
    return cti_broadcast_along(x, out, mark);
}

/* The number per group that t repeats along the axes of the sum and along no other, in whatever
 * shape; NULL if t is something else. */
static ct_tensor *per_group(const expansion *e, ct_tensor *t) {
    if (!cti_is_stretched(t, e->away)) return NULL;
    int64_t groups = 1;
    for (int d = 0; d < t->shape.rank; d++) groups *= e->away[d] ? 1 : cti_global_dim(t, d);
    return cti_global_numel(t->inputs[0]) == groups ? unshaped(t->inputs[0]) : NULL;
}

/* sum(x) over these axes, divided by the number of elements: x; NULL if t is no such mean. */
static ct_tensor *averaged(const expansion *e, ct_tensor *t) {
    bool away[CT_MAX_RANK];
    ct_tensor *x = ct_is(t, &ct_op_div) ? summed(unshaped(t->inputs[0]), away) : NULL;
    double count = 1;
    for (int d = 0; x && d < x->shape.rank; d++) {
        if (away[d] != e->away[d]) return NULL;
        if (away[d]) count *= (double)cti_global_dim(x, d);
    }
    return x && ct_is_number(t->inputs[1], count) ? x : NULL;
}

/* Whether m, one number per group, is the mean of x over these axes: averaged, or averaged from a
 * shift that is added again: s + mean(x - s). */
static bool is_mean(const expansion *e, ct_tensor *m, const ct_tensor *x) {
    if (!m) return false;
    if (averaged(e, m) == x) return true;
    for (int k = 0; k < 2 && ct_is(m, &ct_op_add); k++) {
        ct_tensor *shifted = averaged(e, unshaped(m->inputs[k]));
        if (shifted && ct_is(shifted, &ct_op_sub) && shifted->inputs[0] == x &&
            per_group(e, shifted->inputs[1]) == unshaped(m->inputs[1 - k])) {
            return true;
        }
    }
    return false;
}

/* Which operand of a difference is the mean of the other; -1: none. Both orders, as -(x - m) has
 * become m - x. */
static int mean_in(const expansion *e, const ct_tensor *t) {
    for (int k = 0; k < 2 && ct_is(t, &ct_op_sub); k++) {
        if (is_mean(e, per_group(e, t->inputs[k]), t->inputs[1 - k])) return k;
    }
    return -1;
}

/* Which operand of a product is the same along the axes; -1: none, or no product. */
static int factor_of(const expansion *e, const ct_tensor *t) {
    for (int k = 0; k < 2 && ct_is(t, &ct_op_mul); k++) {
        if (cti_is_stretched(t->inputs[k], e->away)) return k;
    }
    return -1;
}

/* What t, a centred tensor times factors, sums to: 0, but NaN where t is NaN or infinite. NULL if t
 * is something else. */
static ct_tensor *zero_of(const expansion *e, ct_tensor *t) {
    ct_tensor *factors[MOST_TERMS], *zero;
    int n = 0, mean;
    for (int f; (mean = mean_in(e, t)) < 0; t = t->inputs[1 - f]) {
        if (n == MOST_TERMS || (f = factor_of(e, t)) < 0) return NULL;
        factors[n++] = t->inputs[f];
    }
    zero = ct_scale(cti_unstretched(t->inputs[mean], e->away), 0.0);
    while (n-- > 0) zero = ct_mul(cti_unstretched(factors[n], e->away), zero);
    return zero;
}

/* --- The sum without it ----------------------------------------------------------------------- */

/* Whether t is such a term, and then takes note of it: at each place anew, because what multiplies
 * it there belongs to its zero. */
static bool leave_away(expansion *e, ct_tensor *t) {
    ct_tensor *zero = zero_of(e, t);
    if (zero) e->zeros[e->n++] = zero;
    return zero != NULL;
}

static ct_tensor *without(expansion *e, ct_tensor *t);

/* The same for a product with a factor, which belongs to the zeros too. */
static ct_tensor *product_without(expansion *e, ct_tensor *t, int factor) {
    ct_tensor *f = t->inputs[factor], *x = t->inputs[1 - factor];
    int before = e->n;
    ct_tensor *rest = without(e, x);
    if (rest == x) return t;
    for (int k = before; k < e->n; k++) {
        e->zeros[k] = ct_mul(cti_unstretched(f, e->away), e->zeros[k]);
    }
    return rest ? ct_mul(rest, f) : NULL;
}

/* t without the terms that sum to zero; NULL if nothing is left. Each call looks at one term. */
static ct_tensor *without(expansion *e, ct_tensor *t) {
    if (e->looked_at++ >= MOST_TERMS) return t;
    if (leave_away(e, t)) return NULL;
    int factor = factor_of(e, t);
    if (factor >= 0) return product_without(e, t, factor);
    bool negated = ct_is(t, &ct_op_neg), difference = ct_is(t, &ct_op_sub);
    if (!negated && !difference && !ct_is(t, &ct_op_add)) return t;
    ct_tensor *a = without(e, t->inputs[0]);
    ct_tensor *b = negated ? NULL : without(e, t->inputs[1]);
    if (a == t->inputs[0] && (negated || b == t->inputs[1])) return t;
    if (negated) return a ? ct_neg(a) : NULL;
    if (!a) return b && difference ? ct_neg(b) : b;
    return !b ? a : difference ? ct_sub(a, b) : ct_add(a, b);
}

/* The sum of what is left. Factors of all of it come after the sum, which then waits for them no
 * more: in their order, so that nothing leaves the range that did not before, and with no further
 * rounding, as each product would have been one. An infinite factor may give inf for NaN. */
static ct_tensor *sum_of(const expansion *e, ct_tensor *t) {
    ct_axes axes = {0};
    for (int d = 0; d < t->shape.rank; d++) {
        if (e->away[d]) axes.axis[axes.count++] = d;
    }
    ct_tensor *factors[MOST_TERMS];
    int n = 0;
    for (int f; n < MOST_TERMS && (f = factor_of(e, t)) >= 0; t = t->inputs[1 - f]) {
        factors[n++] = cti_unstretched(t->inputs[f], e->away);
    }
    ct_tensor *sum = ct_sum(t, axes);
    while (n-- > 0) sum = ct_mul(factors[n], sum);
    return sum;
}

/* Whether t, what is left of an operand, has a term that differs along the axes. */
static bool varies(const expansion *e, const ct_tensor *t) {
    int factor = factor_of(e, t);
    if (factor >= 0) return varies(e, t->inputs[1 - factor]);
    if (ct_is(t, &ct_op_neg)) return varies(e, t->inputs[0]);
    if (ct_is(t, &ct_op_add) || ct_is(t, &ct_op_sub))
        return varies(e, t->inputs[0]) || varies(e, t->inputs[1]);
    return !cti_is_stretched(t, e->away);
}

ct_tensor *cti_sum_without_centred(ct_tensor *sum) {
    expansion e = {0};
    if (!ct_dtype_is_float(ct_dtype_of(sum))) return NULL;
    ct_tensor *t = summed(sum, e.away);
    if (!t || cti_global_numel(t) == 0) return NULL;
    ct_tensor *rest = without(&e, t);
    if (e.n == 0 || !rest || !varies(&e, rest)) return NULL;
    ct_tensor *total = sum_of(&e, rest);
    for (int k = 0; k < e.n; k++) total = ct_add(total, e.zeros[k]);
    return total;
}
