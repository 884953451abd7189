/* The checks of one application: values, first and second derivatives.
 * The finite differences are this file's own; the library's gradient checker is not asked.
 * Invariant: each tolerance is that of the reliability programme, with no absolute loophole. */
#include "tests/autograd/ops/primitive_checks.h"

#include "autograd/grad.h"
#include "autograd/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void operands_read(const sample *s, array x[]) {
    for (int i = 0; i < s->c.n; i++) {
        x[i] = array_new(s->operands[i].shape);
        operand_read(i == 1 && s->same ? &s->operands[0] : &s->operands[i], &x[i]);
    }
}

static void arrays_free(array x[], int n) {
    for (int i = 0; i < n; i++) array_free(&x[i]);
}

/* The reference's result for the elements that the operands hold now. */
static array expected(const sample *s) {
    array x[MOST_OPERANDS], y = array_new(s->c.out);
    operands_read(s, x);
    primitive_reference(s->row, &s->c, x, &y);
    arrays_free(x, s->c.n);
    return y;
}

/* The sum of the terms' magnitudes, which is what rounding errors are measured against. */
static array magnitudes(const sample *s) {
    array x[MOST_OPERANDS], y = array_new(s->c.out);
    operands_read(s, x);
    for (int i = 0; i < s->c.n; i++) {
        for (int64_t k = 0; k < x[i].numel && ct_dtype_is_float(s->c.dtypes[i]); k++) {
            bool selects = i > 0 && !(s->row->flows >> i & 1);
            if (!selects) x[i].v[k] = fabs(x[i].v[k]);
        }
    }
    primitive_reference(s->row, &s->c, x, &y);
    arrays_free(x, s->c.n);
    return y;
}

/* --- Values ----------------------------------------------------------------------------------- */

void check_values(const sample *s, bool whole) {
    built b = sample_build(s, s->c.dtype);
    const primitive_row *row = s->row;
    bool single = s->c.dtype == CT_F32 || ct_dtype_of(b.y) == CT_F32;
    double epsilon = single ? 0x1p-24 : 0x1p-53;
    array want = expected(s), size = row->linear ? magnitudes(s) : expected(s);
    for (int64_t i = 0; b.y && i < want.numel; i++) {
        double got = element(b.y, i),
               allowed = 16 * epsilon * fabs(size.v[i]) + (single ? row->slack : row->slack * 1e-8);
        if (whole && row->exact) allowed = 0;
        if (!EXPECT(near(got, want.v[i], allowed, 0), "%s: element %lld is %.17g, not %.17g",
                    sample_text(s), (long long)i, got, want.v[i])) {
            break;
        }
        if (!whole || !row->exact || ct_dtype_of(b.y) != CT_P61) continue;
        EXPECT(ct_data_p61(b.y)[i].field == ct_p61_whole((int64_t)want.v[i]).field,
               "%s: element %lld", sample_text(s), (long long)i);
    }
    array_free(&want);
    array_free(&size);
}

/* --- First derivative ------------------------------------------------------------------------- */

/* The gradient of <w, y> with respect to the stored elements of an operand. */
static array difference_quotient(sample *s, operand *o, const array *w) {
    array g = array_new(o->base.shape);
    for (int64_t k = 0; k < g.numel; k++) {
        double value = o->base.v[k], h = 1e-6 * fmax(1, fabs(value));
        o->base.v[k] = value + h;
        double above = o->base.v[k];
        array high = expected(s);
        o->base.v[k] = value - h;
        double width = above - o->base.v[k];
        array low = expected(s);
        o->base.v[k] = value;
        for (int64_t i = 0; i < w->numel; i++) g.v[k] += w->v[i] * (high.v[i] - low.v[i]);
        g.v[k] /= width;
        array_free(&high);
        array_free(&low);
    }
    return g;
}

/* A row that gives the exact gradient of its operand: sent back through the operand's views. */
static array exact_gradient(const sample *s, const operand *o, const array *w) {
    array g = array_new(o->base.shape), seen = array_new(o->shape);
    s->row->gradient(&s->c, (int)(o - s->operands), w, &seen);
    for (int64_t k = 0; k < seen.numel; k++) g.v[o->map[k]] += seen.v[k];
    array_free(&seen);
    return g;
}

static void compare_gradient(const sample *s, const operand *o, ct_tensor *got, const array *want,
                             double f) {
    for (int64_t k = 0; k < want->numel; k++) {
        double g = element(got, k);
        double allowed = 1e-6 * fabs(g) + 3e-9 * fmax(1, fabs(f));
        if (s->row->rough) allowed = 0x1p-20 * fmax(1, fabs(g));
        if (!sample_flows(s, o)) allowed = 0;
        if (!EXPECT(near(g, want->v[k], allowed, 0),
                    "%s: operand %d, element %lld: derivative %.12g, difference quotient %.12g",
                    sample_text(s), (int)(o - s->operands), (long long)k, g, want->v[k])) {
            break;
        }
    }
}

static double inner(ct_tensor *t, const array *v) {
    double sum = 0;
    for (int64_t k = 0; k < v->numel; k++) sum += element(t, k) * v->v[k];
    return sum;
}

static array random_array(test_random *r, ct_shape shape) {
    array a = array_new(shape);
    for (int64_t k = 0; k < a.numel; k++) a.v[k] = random_real(r, -1, 1);
    return a;
}

/* Operands without a floating-point type have no derivative to ask for. */
static void keep_floats(built *b) {
    int n = 0;
    for (int i = 0; i < b->n; i++) {
        if (!ct_dtype_is_float(ct_dtype_of(b->leaves[i]))) continue;
        b->of[n] = b->of[i];
        b->leaves[n++] = b->leaves[i];
    }
    b->n = n;
}

/* <J v, w> = <v, J' w>. */
static void check_jvp(const sample *s, const built *b, ct_tensor *const g[], const array *w) {
    test_random r = {s->seed + 1};
    array v[MOST_OPERANDS];
    ct_tensor *tangents[MOST_OPERANDS];
    double back = 0, size = 0;
    for (int i = 0; i < b->n; i++) {
        v[i] = random_array(&r, b->of[i]->base.shape);
        tangents[i] = leaf_from(CT_F64, v[i].shape, v[i].v);
        back += inner(g[i], &v[i]);
        for (int64_t k = 0; k < v[i].numel; k++) size += fabs(element(g[i], k) * v[i].v[k]);
    }
    ct_tensor *forward = ct_jvp(b->y, b->leaves, tangents, b->n);
    EXPECT(forward && near(inner(forward, w), back, 1e-13 + 1e-12 * size, 0),
           "%s: <Jv,w> = %.17g, <v,J'w> = %.17g %s", sample_text(s), inner(forward, w), back,
           ct_error_message());
    arrays_free(v, b->n);
}

/* Every other subset of operands gives the same gradients, and so does asking again. */
static void check_masks(const sample *s, const built *b, ct_tensor *w, ct_tensor *const g[]) {
    for (unsigned mask = 1; mask < 1u << b->n; mask++) {
        ct_tensor *x[MOST_OPERANDS], *out[MOST_OPERANDS];
        int n = 0, which[MOST_OPERANDS];
        for (int i = 0; i < b->n; i++) {
            if (!(mask >> i & 1)) continue;
            which[n] = i;
            x[n++] = b->leaves[i];
        }
        if (!EXPECT(ct_vjp(b->y, w, x, n, out) == CT_OK, "%s", ct_error_message())) return;
        for (int k = 0; k < n; k++) {
            EXPECT(same_bits(out[k], g[which[k]]), "%s: mask %u, operand %d", sample_text(s), mask,
                   which[k]);
        }
    }
}

/* The same derivative in another type, by accuracy. */
static void check_in(const sample *s, ct_dtype dtype, double accuracy, ct_tensor *const g[]) {
    built b = sample_build(s, dtype);
    keep_floats(&b);
    ct_tensor *w = operand_view(&s->cotangent, operand_leaf(&s->cotangent, dtype));
    ct_tensor *out[MOST_OPERANDS];
    if (!b.y || !EXPECT(ct_vjp(b.y, w, b.leaves, b.n, out) == CT_OK, "%s", ct_error_message())) {
        return;
    }
    for (int i = 0; i < b.n; i++) {
        double largest = 0;
        for (int64_t k = 0; k < ct_numel(g[i]); k++) {
            largest = fmax(largest, fabs(element(g[i], k)));
        }
        for (int64_t k = 0; k < ct_numel(g[i]); k++) {
            double other = element(out[i], k), exact = element(g[i], k);
            if (!EXPECT(near(other, exact, accuracy * fmax(1, largest), 0),
                        "%s: operand %d, element %lld: %s %.9g, f64 %.9g", sample_text(s), i,
                        (long long)k, ct_dtype_name(dtype), other, exact)) {
                return;
            }
        }
    }
}

static ct_tensor *weighed(ct_tensor *a, ct_tensor *b) { return ct_sum_all(ct_mul(a, b)); }

/* <J v, w> = <v, J' w> without a tolerance, unless a root or quotient does not exist. */
static void check_exact(const sample *s) {
    built b = sample_build(s, CT_P61);
    keep_floats(&b);
    test_random r = {s->seed + 2};
    ct_tensor *w = operand_leaf(&s->cotangent, CT_P61), *v[MOST_OPERANDS], *g[MOST_OPERANDS];
    w = operand_view(&s->cotangent, w);
    ct_tensor *back = ct_scalar(CT_P61, 0);
    if (!b.y || !EXPECT(ct_vjp(b.y, w, b.leaves, b.n, g) == CT_OK, "%s", ct_error_message()))
        return;
    for (int i = 0; i < b.n; i++) {
        array tangent = random_array(&r, b.of[i]->base.shape);
        v[i] = leaf_from(CT_P61, tangent.shape, tangent.v);
        back = ct_add(back, weighed(g[i], v[i]));
        array_free(&tangent);
    }
    const ct_p61 *p = ct_data_p61(weighed(ct_jvp(b.y, b.leaves, v, b.n), w)),
                 *q = ct_data_p61(back);
    if (!EXPECT(p && q, "%s: %s", sample_text(s), ct_error_message())) return;
    bool lost = !ct_p61_has_value(*p) || !ct_p61_has_value(*q);
    EXPECT(lost || p->field == q->field, "%s: <Jv,w> = %s, <v,J'w> = %s", sample_text(s),
           ct_p61_format(*p).text, ct_p61_format(*q).text);
}

void check_order_1(const sample *given) {
    sample moving = *given, *s = &moving;
    built b = sample_build(s, s->c.dtype);
    if (!b.y || !ct_dtype_is_float(ct_dtype_of(b.y))) return;
    keep_floats(&b);
    ct_tensor *w = operand_view(&s->cotangent, operand_leaf(&s->cotangent, ct_dtype_of(b.y)));
    ct_tensor *g[MOST_OPERANDS];
    if (!b.n || !EXPECT(ct_vjp(b.y, w, b.leaves, b.n, g) == CT_OK, "%s: %s", sample_text(s),
                        ct_error_message())) {
        return;
    }
    array weights = array_new(s->c.out), y = expected(s);
    operand_read(&s->cotangent, &weights);
    double f = 0;
    for (int64_t k = 0; k < y.numel; k++) f += y.v[k] * weights.v[k];
    for (int i = 0; i < b.n; i++) {
        operand *o = &s->operands[b.of[i] - s->operands];
        array want = !sample_flows(s, o) ? array_new(o->base.shape)
                     : s->row->rough     ? exact_gradient(s, o, &weights)
                                         : difference_quotient(s, o, &weights);
        compare_gradient(s, o, g[i], &want, f);
        array_free(&want);
    }
    check_masks(s, &b, w, g);
    if (!s->row->rough) {
        check_jvp(s, &b, g, &weights);
        check_in(s, CT_F32, 2e-5, g);
        if (s->row->dtypes & ON(CT_P61)) {
            check_in(s, CT_P61, 1e-12, g);
            check_exact(s);
        }
    }
    array_free(&weights);
    array_free(&y);
}
