/* The backward walk: from a cotangent of y to cotangents of x, through the ops' VJPs.
 * It knows no op and computes nothing; it builds graph.
 * Invariant: a node's cotangent is complete before its VJPs are asked, because nodes are visited
 * in reverse topological order. */
#include "autograd/derive/derive_private.h"

#include "autograd/ops.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/graph/walk.h"
#include "tensor/varying.h"

typedef struct {
    cti_walk walk;
    bool *active;       /* node -> leads to one of x */
    ct_tensor **sum;    /* node -> its cotangent so far */
    const char **users; /* node -> the module around all that have added to it: there sums stand */
} backward;

static ct_vjp_fn *vjp_of(const ct_tensor *t, int i) {
    if (t->op->vjp_any) return t->op->vjp_any;
    return i < CT_OP_INPUTS ? t->op->vjp[i] : NULL;
}

/* Which nodes a cotangent has to pass through: those with a path to some x. */
static void mark_active(backward *b, ct_tensor *const x[], int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        if (cti_walk_has(&b->walk, x[k])) b->active[x[k]->index] = true;
    }
    for (int64_t i = 0; i < b->walk.count; i++) {
        const ct_tensor *t = b->walk.items[i];
        for (int k = 0; k < t->n_inputs && !b->active[i]; k++) {
            const ct_tensor *in = t->inputs[k];
            b->active[i] = b->active[in->index] && ct_dtype_is_float(in->dtype) &&
                           vjp_of(t, k) != ct_no_gradient;
        }
    }
}

/* A term that is 0 by structure is left out: it would be drawn without saying anything. */
static ct_status add_to(backward *b, int64_t i, ct_tensor *g) {
    if (!g) return ct_error();
    ct_tensor **sum = &b->sum[i];
    cti_node_context *context = cti_context(), saved = *context;
    context->path = b->users[i] ? cti_path_common(b->users[i], saved.path) : saved.path;
    b->users[i] = context->path;
    if (!*sum || ct_is_number(*sum, 0)) *sum = g;
    else if (!ct_is_number(g, 0)) *sum = context->path ? ct_add(*sum, g) : NULL;
    context->path = saved.path;
    return *sum ? CT_OK : ct_error();
}

static ct_status pass_back(backward *b, ct_tensor *t, ct_tensor *g) {
    for (int k = 0; k < t->n_inputs; k++) {
        ct_tensor *in = t->inputs[k];
        if (!b->active[in->index] || !ct_dtype_is_float(in->dtype)) continue;
        ct_vjp_fn *vjp = vjp_of(t, k);
        if (vjp == ct_no_gradient) continue;
        if (!vjp) {
            return ct_fail(CT_ERR_GRADIENT, "ct_grad: op '%s' has no derivative for input %d",
                           t->op->name, k);
        }
        cti_context()->derived = t->op->name;
        ct_tensor *part = vjp(g, t, k);
        cti_context()->derived = NULL;
        cti_walk_resume(&b->walk); /* a user's VJP may have evaluated or derived something */
        if (part && !ct_shape_equal(part->shape, in->shape)) {
            return ct_fail(CT_ERR_GRADIENT,
                           "ct_grad: the derivative of '%s' for input %d has "
                           "shape %s, the input %s",
                           t->op->name, k, ct_shape_format(part->shape).text,
                           ct_shape_format(in->shape).text);
        }
        if (part && part->dtype != in->dtype) {
            return ct_fail(CT_ERR_GRADIENT,
                           "ct_grad: the derivative of '%s' for input %d is %s, the input %s",
                           t->op->name, k, ct_dtype_name(part->dtype), ct_dtype_name(in->dtype));
        }
        if (part && !cti_marks_equal(cti_mark_of(part), cti_mark_of(in))) {
            return ct_fail(CT_ERR_GRADIENT,
                           "ct_grad: the derivative of '%s' for input %d varies between ranks "
                           "along axis %d, the input along %d (-1: not at all)",
                           t->op->name, k, ct_varying_axis(part), ct_varying_axis(in));
        }
        if (!part && ct_error() == CT_OK) {
            return ct_fail(CT_ERR_GRADIENT, "ct_grad: the derivative of '%s' for input %d is NULL",
                           t->op->name, k);
        }
        if (add_to(b, in->index, part) != CT_OK) return ct_error();
    }
    return CT_OK;
}

/* The nodes of a derivative lie in the module of the node they come from, one order higher. */
static cti_node_context one_order_above(const ct_tensor *t) {
    return (cti_node_context){.path = t->path, .order = t->order + 1, .origin = t->id};
}

static ct_status walk_back(backward *b) {
    cti_node_context saved = *cti_context();
    ct_status status = CT_OK;
    for (int64_t i = b->walk.count - 1; i >= 0 && status == CT_OK; i--) {
        ct_tensor *t = b->walk.items[i];
        if (!b->sum[i] || !b->active[i] || !t->op) continue;
        *cti_context() = one_order_above(t);
        status = pass_back(b, t, b->sum[i]);
    }
    *cti_context() = saved;
    return status;
}

/* A number that the formulas of a thread share becomes a node of its own: whoever gets it may give
 * it a name, and derive by it. */
static ct_tensor *handed_out(ct_tensor *g, const ct_tensor *x) {
    if (!g->literal) return ct_scope_add(g); /* also the cotangent itself, which is not ours */
    cti_node_context saved = *cti_context();
    *cti_context() = one_order_above(x);
    ct_tensor *own = ct_broadcast(g, g->shape); /* replicated, as all literals */
    *cti_context() = saved;
    return own;
}

static ct_tensor *zeros_like(const ct_tensor *t) {
    return cti_marked(ct_full(t->dtype, t->shape, 0.0), cti_mark_of(t));
}

static cti_reach why_not(const backward *b, const ct_tensor *x) {
    for (int64_t i = 0; i < b->walk.count && x->slot; i++) {
        const ct_tensor *t = b->walk.items[i];
        if (t->slot == x->slot && t != x) return CTI_OUTDATED;
    }
    return CTI_UNREACHED;
}

static ct_status collect(backward *b, ct_tensor *const x[], int64_t n, ct_tensor *found[],
                         cti_reach reach[]) {
    for (int64_t k = 0; k < n; k++) {
        ct_tensor *g = cti_walk_has(&b->walk, x[k]) ? b->sum[x[k]->index] : NULL;
        if (reach) reach[k] = g ? CTI_REACHED : why_not(b, x[k]);
        found[k] = g ? handed_out(g, x[k]) : zeros_like(x[k]);
        if (!found[k]) return ct_error();
    }
    return CT_OK;
}

static ct_status check(ct_tensor *y, ct_tensor *cotangent, ct_tensor *const x[], int64_t n,
                       ct_tensor *out[]) {
    if (!y || !cotangent) {
        return cti_null("ct_vjp: '%s' is NULL", y ? "cotangent" : "y");
    }
    if (cti_check_array("ct_vjp", "x", x, "n", n) != CT_OK ||
        cti_check_array("ct_vjp", "out", out, "n", n) != CT_OK) {
        return ct_error();
    }
    if (!ct_dtype_is_float(y->dtype)) {
        return ct_fail(CT_ERR_DTYPE, "ct_vjp: y is %s; only f32 and f64 have derivatives",
                       ct_dtype_name(y->dtype));
    }
    if (!ct_shape_equal(y->shape, cotangent->shape) || y->dtype != cotangent->dtype) {
        return ct_fail(CT_ERR_SHAPE, "ct_vjp: y is %s %s, the cotangent %s %s",
                       ct_dtype_name(y->dtype), ct_shape_format(y->shape).text,
                       ct_dtype_name(cotangent->dtype), ct_shape_format(cotangent->shape).text);
    }
    if (!cti_marks_equal(cti_mark_of(y), cti_mark_of(cotangent))) {
        return ct_fail(CT_ERR_STATE,
                       "ct_vjp: y varies between ranks along axis %d, the cotangent along %d (-1: "
                       "not at all)",
                       ct_varying_axis(y), ct_varying_axis(cotangent));
    }
    for (int64_t k = 0; k < n; k++) {
        if (!x[k]) return cti_null("ct_vjp: x[%lld] is NULL", (long long)k);
        if (ct_dtype_is_float(x[k]->dtype)) continue;
        return ct_fail(CT_ERR_DTYPE, "ct_vjp: x[%lld] is %s; only f32 and f64 have derivatives",
                       (long long)k, ct_dtype_name(x[k]->dtype));
    }
    return CT_OK;
}

static ct_status vjp_into(ct_tensor *y, ct_tensor *cotangent, ct_tensor *const x[], int64_t n,
                          ct_tensor *found[], cti_reach reach[]) {
    backward b = {0};
    if (cti_walk_new(&b.walk, &y, 1, cti_walk_whole_graph) != CT_OK) return CT_ERR_MEMORY;
    b.active = cti_alloc((size_t)b.walk.count, sizeof *b.active);
    b.sum = cti_alloc((size_t)b.walk.count, sizeof *b.sum);
    b.users = cti_alloc((size_t)b.walk.count, sizeof *b.users);
    ct_status status = CT_ERR_MEMORY;
    if (b.active && b.sum && b.users) {
        mark_active(&b, x, n);
        b.sum[y->index] = cotangent;
        status = walk_back(&b);
        if (status == CT_OK) status = collect(&b, x, n, found, reach);
    }
    cti_free(b.active);
    cti_free(b.sum);
    cti_free(b.users);
    cti_walk_free(&b.walk);
    return status;
}

static ct_status vjp(ct_tensor *y, ct_tensor *cotangent, ct_tensor *const x[], int64_t n,
                     ct_tensor *out[], cti_reach reach[]) {
    ct_status status = check(y, cotangent, x, n, out);
    if (status != CT_OK) return status;
    ct_tensor **found = cti_alloc((size_t)n, sizeof *found);
    if (!found) return CT_ERR_MEMORY;
    status = vjp_into(y, cotangent, x, n, found, reach);
    for (int64_t k = 0; k < n && status == CT_OK; k++) out[k] = found[k];
    cti_free(found);
    return status;
}

ct_status ct_vjp(ct_tensor *y, ct_tensor *cotangent, ct_tensor *const x[], int64_t n,
                 ct_tensor *out[]) {
    CTI_CALLED;
    return vjp(y, cotangent, x, n, out, NULL);
}

ct_status cti_grad(ct_tensor *y, ct_tensor *const x[], int64_t n, ct_tensor *out[],
                   cti_reach reach[]) {
    if (y && y->rows) {
        return ct_fail(CT_ERR_STATE,
                       "ct_grad: y varies between ranks along axis %d, so each rank would derive "
                       "another number; sum over it (ct_sum)",
                       y->batch);
    }
    if (y && y->numel != 1) {
        return ct_fail(CT_ERR_SHAPE,
                       "ct_grad: y must have one element, got %s; ct_vjp takes a "
                       "cotangent of that shape",
                       ct_shape_format(y->shape).text);
    }
    if (y && !ct_dtype_is_float(y->dtype)) {
        return ct_fail(CT_ERR_DTYPE, "ct_grad: y is %s; only f32 and f64 have derivatives",
                       ct_dtype_name(y->dtype));
    }
    cti_node_context saved = *cti_context();
    if (y) *cti_context() = one_order_above(y);
    ct_tensor *one = y ? ct_reshape(cti_literal(y->dtype, 1.0), y->shape) : NULL;
    *cti_context() = saved;
    return vjp(y, one, x, n, out, reach);
}

ct_status ct_grad(ct_tensor *y, ct_tensor *const x[], int64_t n, ct_tensor *out[]) {
    CTI_CALLED;
    return cti_grad(y, x, n, out, NULL);
}

/* <a[0], v[0]> + <a[1], v[1]> + ... */
static ct_tensor *inner_product(ct_tensor *const a[], ct_tensor *const v[], int64_t n) {
    ct_tensor *sum = NULL;
    for (int64_t k = 0; k < n; k++) {
        ct_tensor *term = ct_sum_all(ct_mul(a[k], v[k]));
        sum = k > 0 ? ct_add(sum, term) : term;
        if (!sum) return NULL; /* else the next term would begin a new sum */
    }
    return sum;
}

static ct_status check_tangents(const char *function, ct_tensor *const x[], ct_tensor *const v[],
                                int64_t n) {
    if (cti_check_array(function, "x", x, "n", n) != CT_OK ||
        cti_check_array(function, "v", v, "n", n) != CT_OK) {
        return ct_error();
    }
    if (n == 0) return ct_fail(CT_ERR_RANGE, "%s: needs at least one x", function);
    for (int64_t k = 0; k < n; k++) {
        if (!x[k] || !v[k]) {
            return cti_null("%s: %s[%lld] is NULL", function, x[k] ? "v" : "x", (long long)k);
        }
        if (ct_shape_equal(x[k]->shape, v[k]->shape) && x[k]->dtype == v[k]->dtype) continue;
        return ct_fail(CT_ERR_SHAPE, "%s: x[%lld] is %s %s, v[%lld] is %s %s", function,
                       (long long)k, ct_dtype_name(x[k]->dtype), ct_shape_format(x[k]->shape).text,
                       (long long)k, ct_dtype_name(v[k]->dtype), ct_shape_format(v[k]->shape).text);
    }
    return CT_OK;
}

static ct_tensor *jvp_into(ct_tensor *y, ct_tensor *const x[], ct_tensor *const v[], int64_t n,
                           ct_tensor **back) {
    ct_tensor *cotangent = zeros_like(y), *out = NULL;
    if (ct_vjp(y, cotangent, x, n, back) != CT_OK) return NULL;
    ct_tensor *product = inner_product(back, v, n);
    if (!product || ct_grad(product, &cotangent, 1, &out) != CT_OK) return NULL;
    return out;
}

ct_tensor *ct_jvp(ct_tensor *y, ct_tensor *const x[], ct_tensor *const v[], int64_t n) {
    CTI_CALLED;
    if (!y) return cti_null_in("ct_jvp: 'y' is NULL");
    if (check_tangents("ct_jvp", x, v, n) != CT_OK) return NULL;
    ct_tensor **back = cti_alloc((size_t)n, sizeof *back);
    ct_tensor *out = back ? jvp_into(y, x, v, n, back) : NULL;
    cti_free(back);
    return out;
}

ct_status ct_hvp(ct_tensor *y, ct_tensor *const x[], ct_tensor *const v[], int64_t n,
                 ct_tensor *out[]) {
    CTI_CALLED;
    ct_status status = check_tangents("ct_hvp", x, v, n);
    if (status == CT_OK) status = cti_check_array("ct_hvp", "out", out, "n", n);
    if (status != CT_OK) return status;
    ct_tensor **gradient = cti_alloc((size_t)n, sizeof *gradient);
    if (!gradient) return CT_ERR_MEMORY;
    status = ct_grad(y, x, n, gradient);
    if (status == CT_OK) {
        ct_tensor *product = inner_product(gradient, v, n);
        status = product ? ct_grad(product, x, n, out) : ct_error();
    }
    cti_free(gradient);
    return status;
}
