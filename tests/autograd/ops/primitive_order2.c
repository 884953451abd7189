/* The second derivative of one application: the Hessian of <y, w> over all operands and w, which
 * covers the derivatives of every VJP with respect to what it saved and to its cotangent.
 * The library's gradient is differenced; that it is right was checked at order 1.
 * Invariant: w is a variable like the others, so ops that are linear are tested too. */
#include "tests/autograd/ops/primitive_checks.h"

#include "autograd/grad.h"

#include <math.h>

#define MOST_VARIABLES (MOST_OPERANDS + 1)
#define DIRECTIONS 6

/* A point or a direction in the space of all variables. */
typedef struct {
    int n;
    array part[MOST_VARIABLES];
} point;

static void point_free(point *p) {
    for (int i = 0; i < p->n; i++) array_free(&p->part[i]);
}

static const operand *variable(const sample *s, int i) {
    int count = 0;
    for (int k = 0; k < s->c.n; k++) {
        if (!sample_flows(s, &s->operands[k]) || (k == 1 && s->same)) continue;
        if (count++ == i) return &s->operands[k];
    }
    return i == count ? &s->cotangent : NULL;
}

static point stored(const sample *s) {
    point p = {0};
    for (const operand *o; (o = variable(s, p.n)); p.n++) {
        p.part[p.n] = array_new(o->base.shape);
        for (int64_t k = 0; k < o->base.numel; k++) p.part[p.n].v[k] = o->base.v[k];
    }
    return p;
}

static point direction(const point *like, test_random *r) {
    point p = {.n = like->n};
    for (int i = 0; i < p.n; i++) {
        p.part[i] = array_new(like->part[i].shape);
        for (int64_t k = 0; k < p.part[i].numel; k++) p.part[i].v[k] = random_real(r, -1, 1);
    }
    return p;
}

/* <y, w> and its variables, with the stored elements moved by t along u. */
typedef struct {
    ct_tensor *value;
    ct_tensor *z[MOST_VARIABLES];
} form;

static form form_at(const sample *s, const point *u, double t) {
    form f = {0};
    sample moved = *s;
    for (int i = 0; i < u->n; i++) {
        const operand *o = variable(s, i);
        array *base = o == &s->cotangent ? &moved.cotangent.base
                                         : &moved.operands[o - s->operands].base;
        *base = array_new(o->base.shape);
        for (int64_t k = 0; k < base->numel; k++) base->v[k] = o->base.v[k] + t * u->part[i].v[k];
    }
    built b = sample_build(&moved, CT_F64);
    ct_tensor *w = operand_leaf(&moved.cotangent, CT_F64);
    f.value = ct_sum_all(ct_mul(b.y, operand_view(&moved.cotangent, w)));
    int n = 0;
    for (int i = 0; i < b.n; i++) {
        if (sample_flows(&moved, b.of[i])) f.z[n++] = b.leaves[i];
    }
    f.z[n] = w;
    for (int i = 0; i < u->n; i++) {
        const operand *o = variable(s, i);
        array_free(o == &s->cotangent ? &moved.cotangent.base
                                      : &moved.operands[o - s->operands].base);
    }
    return f;
}

static double inner(ct_tensor *const t[], const point *v) {
    double sum = 0;
    for (int i = 0; i < v->n; i++) {
        for (int64_t k = 0; k < v->part[i].numel; k++) sum += element(t[i], k) * v->part[i].v[k];
    }
    return sum;
}

/* <gradient, v> at a place moved along u; *size is the sum of the terms' magnitudes. */
static double slope(const sample *s, const point *u, double t, const point *v, double *size) {
    form f = form_at(s, u, t);
    ct_tensor *g[MOST_VARIABLES];
    if (!EXPECT(ct_grad(f.value, f.z, u->n, g) == CT_OK && ct_eval(g, u->n) == CT_OK, "%s: %s",
                sample_text(s), ct_error_message())) {
        return NAN;
    }
    *size = 0;
    for (int i = 0; i < v->n; i++) {
        for (int64_t k = 0; k < v->part[i].numel; k++) {
            *size += fabs(element(g[i], k) * v->part[i].v[k]);
        }
    }
    return inner(g, v);
}

static bool product(const sample *s, const point *v, ct_tensor *out[]) {
    form f = form_at(s, v, 0);
    ct_tensor *tangents[MOST_VARIABLES];
    for (int i = 0; i < v->n; i++) {
        tangents[i] = leaf_from(CT_F64, v->part[i].shape, v->part[i].v);
    }
    return EXPECT(ct_hvp(f.value, f.z, tangents, v->n, out) == CT_OK && ct_eval(out, v->n) == CT_OK,
                  "%s: %s", sample_text(s), ct_error_message());
}

void check_order_2(const sample *s) {
    if (!s->row->flows || s->row->rough) return;
    test_random r = {s->seed + 2};
    point at = stored(s), v = direction(&at, &r);
    ct_tensor *hv[MOST_VARIABLES], *hu[MOST_VARIABLES];
    bool sound = product(s, &v, hv);
    for (int k = 0; k < DIRECTIONS && sound; k++) {
        point u = direction(&at, &r);
        const double h = 1e-6;
        double size_above, size_below;
        double above = slope(s, &u, h, &v, &size_above);
        double below = slope(s, &u, -h, &v, &size_below);
        double numeric = (above - below) / (2 * h), analytic = inner(hv, &u);
        double allowed = 1e-7 * fmax(1, size_above) + 1e-5 * fabs(analytic);
        sound = EXPECT(near(numeric, analytic, allowed, 0),
                       "%s: second derivative %.12g, difference quotient %.12g", sample_text(s),
                       analytic, numeric);
        if (sound && k == 0 && product(s, &u, hu)) {
            double other = inner(hu, &v), scale = fmax(fabs(other), size_above);
            sound = EXPECT(near(analytic, other, 1e-13 + 1e-10 * scale, 0),
                           "%s: u'Hv = %.17g, v'Hu = %.17g", sample_text(s), analytic, other);
        }
        point_free(&u);
    }
    point_free(&v);
    point_free(&at);
}
