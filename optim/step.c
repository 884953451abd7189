/* A step: from a loss to one commit of parameters, moments and staged statistics.
 * How gradients become updates is update.c's business; derivatives come from ct_grad.
 * Invariant: everything is evaluated before anything changes. */
#include "optim/step_private.h"

#include "nn/layers/keys.h"
#include "nn/module_private.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/ranks/exchange.h"
#include "tensor/value/slot_private.h"

#include <math.h>

/* --- What a step works on --------------------------------------------------------------------- */

ct_status cti_work_open(cti_work *w, const ct_optimizer *o) {
    size_t n = (size_t)o->parameters.count;
    *w = (cti_work){
        .o = o,
        .numbers = cti_alloc(n, sizeof(int64_t)),
        .parameters = cti_alloc(n, sizeof(ct_tensor *)),
        .gradients = cti_alloc(n, sizeof(ct_tensor *)),
        .after = cti_alloc(n, sizeof(ct_tensor *)),
        .groups = cti_alloc((size_t)o->n_groups, sizeof(cti_shared)),
        .updates = cti_alloc(n * (size_t)(2 + o->per_parameter) + 1, sizeof(ct_update))};
    if (!w->numbers || !w->parameters || !w->gradients || !w->after || !w->groups || !w->updates) {
        return CT_ERR_MEMORY;
    }
    if (cti_check_holds_weights(o) != CT_OK) return ct_error();
    const int64_t *count = ct_data_i64(ct_slot_read(o->steps));
    if (!count) return ct_error();
    w->applied = count[0];
    w->accumulated = count[1];
    for (int64_t i = 0; i < o->parameters.count; i++) {
        ct_slot *slot = o->parameters.items[i].slot;
        if (slot->frozen) continue;
        w->numbers[w->n] = i;
        w->parameters[w->n++] = ct_slot_read(slot);
    }
    if (w->n > 0) return CT_OK;
    return ct_fail(CT_ERR_STATE,
                   "ct_optimizer_step: nothing is left to train: all %lld parameters of the "
                   "optimizer are frozen, '%s' first; ct_module_freeze thaws",
                   (long long)o->parameters.count, o->parameters.items[0].path);
}

void cti_work_close(cti_work *w) {
    cti_free(w->numbers);
    cti_free(w->parameters);
    cti_free(w->gradients);
    cti_free(w->after);
    cti_free(w->groups);
    cti_free(w->updates);
}

void cti_add_update(cti_work *w, ct_slot *slot, ct_tensor *value) {
    w->updates[w->n_updates++] = (ct_update){slot, value};
}

static const char *path_of(const cti_work *w, int64_t k) {
    return w->o->parameters.items[w->numbers[k]].path;
}

/* --- Gradients -------------------------------------------------------------------------------- */

/* The loss must have been built from the values that the slots hold now. */
static ct_status check_unreached(const cti_work *w, int64_t k, cti_reach reach) {
    if (reach == CTI_OUTDATED) {
        return ct_fail(CT_ERR_STATE,
                       "ct_optimizer_step: '%s' was changed after the loss was "
                       "built; build the loss again",
                       path_of(w, k));
    }
    if (w->o->options.allow_unused) return CT_OK;
    return ct_fail(CT_ERR_GRADIENT,
                   "ct_optimizer_step: '%s' has no gradient (not reached from "
                   "the loss); step.allow_unused leaves such parameters alone",
                   path_of(w, k));
}

/* A parameter that is not reached has no gradient, NULL. */
static ct_status mark_unreached(cti_work *w, const cti_reach reach[]) {
    bool any = false, outdated = false;
    for (int64_t k = 0; k < w->n; k++) {
        any |= reach[k] == CTI_REACHED;
        outdated |= reach[k] == CTI_OUTDATED;
    }
    if (!any && !outdated) {
        return ct_fail(
            CT_ERR_GRADIENT,
            "ct_optimizer_step: the loss reaches no parameter, '%s' for one; it is of "
            "another model, or of values (ct_detach, ct_stop_gradient, ct_from, ct_own_rows)",
            path_of(w, 0));
    }
    for (int64_t k = 0; k < w->n; k++) {
        if (reach[k] == CTI_REACHED) continue;
        if (check_unreached(w, k, reach[k]) != CT_OK) return ct_error();
        w->gradients[k] = NULL;
    }
    return CT_OK;
}

static ct_status derive(cti_work *w, ct_tensor *loss) {
    cti_reach *reach = cti_alloc((size_t)w->n, sizeof *reach);
    if (!reach) return CT_ERR_MEMORY;
    ct_status status = cti_grad(loss, w->parameters, w->n, w->gradients, reach);
    if (status == CT_OK) status = mark_unreached(w, reach);
    cti_free(reach);
    return status;
}

static ct_status check_loss(const char *function, const ct_optimizer *o, ct_tensor *loss) {
    if (!o || !loss) {
        return cti_null("%s: '%s' is NULL", function, o ? "loss" : "optimizer");
    }
    if (ct_numel(loss) == 1 && ct_dtype_is_float(ct_dtype_of(loss))) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: the loss must be one number of f32, f64 or p61, got %s %s",
                   function, ct_dtype_name(ct_dtype_of(loss)),
                   ct_shape_format(ct_shape_of(loss)).text);
}

static ct_status check_count(const char *function, const cti_work *w, const void *gradients,
                             const char *name, int64_t n) {
    ct_status status = cti_check_array(function, name, gradients, "n", n);
    if (status != CT_OK || n == w->n) return status;
    return ct_fail(CT_ERR_SHAPE,
                   "%s: n is %lld, the optimizer trains %lld parameters now (see "
                   "ct_optimizer_parameters)",
                   function, (long long)n, (long long)w->n);
}

ct_status ct_optimizer_gradients(ct_optimizer *o, ct_tensor *loss, ct_tensor *out[], int64_t n) {
    CTI_CALLED;
    static const char function[] = "ct_optimizer_gradients";
    if (check_loss(function, o, loss) != CT_OK) return ct_error();
    cti_work w;
    ct_status status = cti_work_open(&w, o);
    if (status == CT_OK) status = check_count(function, &w, out, "out", n);
    if (status == CT_OK) status = derive(&w, loss);
    for (int64_t k = 0; k < n && status == CT_OK; k++) out[k] = w.gradients[k];
    cti_work_close(&w);
    return status;
}

/* --- From gradients to a commit --------------------------------------------------------------- */

/* What the caller wants of a step. */
typedef struct {
    ct_tensor *loss, *const *also;
    int64_t n_also;
    ct_tensor *const *given; /* gradients of the user; NULL: the loss's */
    int64_t n_given;
    cti_accept *accept;
    void *context;
} request;

/* What is asked between the evaluation of a step and its commit. */
typedef struct {
    const request *r;
    ct_tensor *norm;  /* of the gradients, when it has to be finite ... */
    ct_slot *skipped; /* ... as else the step counts here, and is none */
} gate;

static ct_status ask(void *context, ct_tensor *const roots[], ct_update *instead) {
    const gate *g = context;
    if (!g->norm || isfinite(ct_item(g->norm))) {
        return g->r->accept ? g->r->accept(g->r->context, roots, instead) : CT_OK;
    }
    const int64_t *count = ct_data_i64(ct_slot_read(g->skipped));
    int64_t next = count ? *count + 1 : 0;
    *instead = (ct_update){g->skipped, count ? ct_from(CT_I64, CT_SCALAR, &next) : NULL};
    return instead->value ? CT_OK : ct_error();
}

/* The roots are the loss, `also`, and what gradients were given, so that reading them runs
 * nothing. */
static ct_status commit(cti_work *w, gate *g) {
    const request *r = g->r;
    ct_tensor **roots = cti_alloc((size_t)(r->n_also + r->n_given) + 2, sizeof *roots);
    if (!roots) return cti_agreed(CT_ERR_MEMORY);
    int64_t n = 0;
    roots[n++] = r->loss;
    for (int64_t k = 0; k < r->n_also; k++) roots[n++] = r->also[k];
    for (int64_t k = 0; k < r->n_given; k++) {
        if (r->given[k]) roots[n++] = r->given[k];
    }
    if (g->norm) roots[n++] = g->norm;
    ct_status status = cti_commit_if(roots, n, w->updates, w->n_updates, ask, g,
                                     r->given ? NULL : r->loss);
    cti_free(roots);
    return status;
}

static ct_status gather_updates(cti_work *w, gate *g) {
    if (cti_drop_unused(w) != CT_OK) return ct_error();
    g->skipped = w->o->skipped;
    if (g->skipped && !(g->norm = cti_norm_of(w->gradients, w->n))) return ct_error();
    bool now = cti_accumulate(w);
    if (now && cti_apply(w) != CT_OK) return ct_error();
    int64_t next[2] = {w->applied + now, now ? 0 : w->accumulated + 1};
    cti_add_update(w, w->o->steps, ct_from(CT_I64, CT_SHAPE(2), next));
    return CT_OK;
}

static ct_status check_also(const char *function, const request *r) {
    ct_status status = cti_check_array(function, "also", r->also, "n_also", r->n_also);
    if (status != CT_OK) return status;
    for (int64_t k = 0; k < r->n_also; k++) {
        if (!r->also[k]) return cti_null("%s: also[%lld] is NULL", function, (long long)k);
    }
    return CT_OK;
}

/* NULL is no gradient only where there may be none, and nothing has failed before. */
static ct_status check_gradient(const cti_work *w, int64_t k, ct_tensor *gradient) {
    static const char function[] = "ct_optimizer_apply";
    ct_tensor *p = w->parameters[k];
    if (!gradient) {
        if (w->o->options.allow_unused && ct_error() == CT_OK) return CT_OK;
        return cti_null("%s: the gradient of '%s' is NULL", function, path_of(w, k));
    }
    if (ct_dtype_of(gradient) == ct_dtype_of(p) &&
        ct_shape_equal(ct_shape_of(gradient), ct_shape_of(p))) {
        return CT_OK;
    }
    return ct_fail(CT_ERR_SHAPE, "%s: '%s' is %s %s, its gradient %s %s", function, path_of(w, k),
                   ct_dtype_name(ct_dtype_of(p)), ct_shape_format(ct_shape_of(p)).text,
                   ct_dtype_name(ct_dtype_of(gradient)),
                   ct_shape_format(ct_shape_of(gradient)).text);
}

static ct_status take_given(cti_work *w, const request *r) {
    bool any = false;
    if (check_count("ct_optimizer_apply", w, r->given, "gradients", r->n_given) != CT_OK) {
        return ct_error();
    }
    for (int64_t k = 0; k < w->n; k++) {
        if (check_gradient(w, k, r->given[k]) != CT_OK) return ct_error();
        w->gradients[k] = r->given[k];
        any |= r->given[k] != NULL;
    }
    if (any) return CT_OK;
    return ct_fail(CT_ERR_GRADIENT, "ct_optimizer_apply: every gradient is NULL");
}

void cti_optimizer_settle(const ct_optimizer *o, ct_status status) {
    if (status != CT_OK && o) cti_keys_catch_up(&o->streams);
}

/* Of a request that was found to be so. Ranks of a group that come as far as the commit wait for
 * each other there, so one that does not tells them. */
static ct_status step(ct_optimizer *o, const request *r, ct_status status) {
    int64_t scope = ct_scope_open();
    cti_watch watch = cti_watch_begin();
    cti_work w = {0};
    gate g = {.r = r};
    if (status == CT_OK) status = cti_work_open(&w, o);
    if (status == CT_OK) status = r->given ? take_given(&w, r) : derive(&w, r->loss);
    if (status == CT_OK) status = gather_updates(&w, &g);
    status = status == CT_OK ? commit(&w, &g) : cti_agreed(status);
    cti_watch_end(watch);
    cti_optimizer_settle(o, status);
    cti_work_close(&w);
    ct_scope_close(scope);
    return status;
}

ct_status cti_optimizer_step_if(ct_optimizer *o, ct_tensor *loss, ct_tensor *const also[],
                                int64_t n_also, cti_accept *accept, void *context) {
    static const char function[] = "ct_optimizer_step";
    request r = {
        .loss = loss, .also = also, .n_also = n_also, .accept = accept, .context = context};
    ct_status status = check_loss(function, o, loss);
    if (status == CT_OK) status = check_also(function, &r);
    return step(o, &r, status);
}

ct_status ct_optimizer_step(ct_optimizer *o, ct_tensor *loss, ct_tensor *const also[],
                            int64_t n_also) {
    CTI_CALLED;
    return cti_optimizer_step_if(o, loss, also, n_also, NULL, NULL);
}

ct_status ct_optimizer_apply(ct_optimizer *o, ct_tensor *loss, ct_tensor *const gradients[],
                             int64_t n, ct_tensor *const also[], int64_t n_also) {
    CTI_CALLED;
    static const char function[] = "ct_optimizer_apply";
    request r = {.loss = loss, .also = also, .n_also = n_also, .given = gradients, .n_given = n};
    ct_status status = check_loss(function, o, loss);
    if (status == CT_OK) status = check_also(function, &r);
    if (status == CT_OK && !gradients) status = cti_null("%s: 'gradients' is NULL", function);
    return step(o, &r, status);
}
