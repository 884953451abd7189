/* A step: from a loss to one commit of parameters, moments and staged statistics.
 * The update rules are in rules/; the derivatives come from ct_grad.
 * Invariant: everything is evaluated before anything changes. */
#include "optim/optimizer_private.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/value/slot_private.h"

/* --- A step ----------------------------------------------------------------------------------- */

/* What the parameters of a group share, made once: as prepared and in each dtype. */
typedef struct {
    ct_step f64, of[CT_DTYPES];
} shared;

/* What a step works on: the parameters that it trains, by their numbers. */
typedef struct {
    int64_t *numbers, n;
    ct_tensor **parameters, **gradients;
    cti_reach *reach;
    shared *groups; /* by their numbers */
    ct_update *updates;
    int64_t n_updates;
    cti_accept *accept;
    void *context;
} work;

/* The loss must have been built from the values that the slots hold now. */
static ct_status check_unreached(const ct_optimizer *o, const char *path, cti_reach reach) {
    if (reach == CTI_OUTDATED) {
        return ct_fail(CT_ERR_STATE,
                       "ct_optimizer_step: '%s' was changed after the loss was "
                       "built; build the loss again",
                       path);
    }
    if (o->options.allow_unused) return CT_OK;
    return ct_fail(CT_ERR_GRADIENT,
                   "ct_optimizer_step: '%s' has no gradient (not reached from "
                   "the loss); step.allow_unused leaves such parameters alone",
                   path);
}

/* Whether an earlier step of the round has reached the parameter. */
static ct_status reached_before(const ct_optimizer *o, int64_t number, bool *reached) {
    *reached = false;
    ct_slot *slot = cti_reached(o, number);
    if (!slot) return CT_OK;
    const int64_t *flag = ct_data_i64(ct_slot_read(slot));
    if (!flag) return ct_error();
    *reached = *flag != 0;
    return CT_OK;
}

/* Drops parameters without a gradient: neither old moments nor weight decay may move them. */
static ct_status drop_unused(const ct_optimizer *o, work *w) {
    int64_t n = 0;
    bool any = false;
    for (int64_t k = 0; k < w->n; k++) {
        int64_t number = w->numbers[k];
        bool used = w->reach[k] == CTI_REACHED;
        any |= used;
        if (!used && (check_unreached(o, o->parameters.items[number].path, w->reach[k]) != CT_OK ||
                      reached_before(o, number, &used) != CT_OK)) {
            return ct_error();
        }
        if (!used) continue;
        w->numbers[n] = number;
        w->parameters[n] = w->parameters[k];
        w->gradients[n++] = w->gradients[k];
    }
    w->n = n;
    if (any) return CT_OK;
    return ct_fail(CT_ERR_GRADIENT, "ct_optimizer_step: the loss reaches no parameter");
}

static ct_status derive(const ct_optimizer *o, work *w, ct_tensor *loss) {
    for (int64_t i = 0; i < o->parameters.count; i++) {
        ct_slot *slot = o->parameters.items[i].slot;
        if (slot->frozen) continue;
        w->numbers[w->n] = i;
        w->parameters[w->n++] = ct_slot_read(slot);
    }
    if (w->n == 0) {
        return ct_fail(CT_ERR_STATE, "ct_optimizer_step: every parameter is frozen");
    }
    ct_status status = cti_grad(loss, w->parameters, w->n, w->gradients, w->reach);
    return status == CT_OK ? drop_unused(o, w) : status;
}

static void add_update(work *w, ct_slot *slot, ct_tensor *value) {
    w->updates[w->n_updates++] = (ct_update){slot, value};
}

static void clear(work *w, ct_slot *slot) {
    ct_tensor *old = ct_slot_read(slot);
    add_update(w, slot, ct_full(ct_dtype_of(old), ct_shape_of(old), 0.0));
}

/* Adds this step's gradients to the accumulated ones; true when it is time to apply them, and
 * then the gradients are the means. What was accumulated before a parameter was frozen is
 * forgotten with the round that it belongs to. */
static bool accumulate(const ct_optimizer *o, work *w, int64_t done) {
    if (o->options.accumulate <= 1) return true;
    bool apply = done + 1 >= o->options.accumulate;
    for (int64_t i = 0, k = 0; i < o->parameters.count; i++) {
        ct_slot *slot = cti_accumulated(o, i), *reached = cti_reached(o, i);
        if (k < w->n && w->numbers[k] == i) {
            ct_tensor *sum = ct_add(ct_slot_read(slot), w->gradients[k]);
            w->gradients[k++] = ct_scale(sum, 1.0 / (double)o->options.accumulate);
            if (!apply) add_update(w, slot, sum);
            if (!apply && reached) add_update(w, reached, ct_full(CT_I64, CT_SCALAR, 1));
        }
        if (apply) clear(w, slot);
        if (apply && reached) clear(w, reached);
    }
    return apply;
}

/* A function of a user's kind that fails is an error also when it recorded none. */
static ct_status failed(const ct_optimizer *o, const char *function) {
    cti_null_in("ct_optimizer_step: %s of '%s' failed and recorded no error", function,
                o->kind->name);
    return ct_error();
}

/* The rate of a step, in f64. */
static ct_tensor *rate_of(const ct_optimizer *o, int64_t applied) {
    ct_tensor *rate = cti_schedule_rate(&o->rate, ct_scalar(CT_F64, (double)applied));
    if (!rate) {
        failed(o, "the rate");
        return NULL;
    }
    if (ct_numel(rate) == 1) return rate;
    return ct_fail_null(CT_ERR_SHAPE,
                        "ct_optimizer_step: the rate of '%s' must be one number, got %s",
                        o->kind->name, ct_shape_format(ct_shape_of(rate)).text);
}

/* What the parameters of a group share, in f64. */
static ct_status prepare(const ct_optimizer *o, ct_tensor *rate, ct_tensor *count, int64_t number,
                         ct_step *f64) {
    const ct_parameter_group *group = &o->groups[number];
    f64->group = number + 1 < o->n_groups ? group : NULL;
    f64->decay = group->no_decay ? 0 : group->decay_factor > 0 ? group->decay_factor : 1;
    f64->rate = group->rate_factor > 0 ? ct_scale(rate, group->rate_factor) : rate;
    if (!f64->rate) return ct_error();
    if (!o->kind->prepare) return CT_OK;
    ct_status status = o->kind->prepare(o->rule, count, f64->rate, f64->scalars);
    return status == CT_OK ? CT_OK : failed(o, "'prepare'");
}

/* The same in the dtype of a parameter. An absent scalar stays NULL. */
static ct_status cast(const ct_step *f64, ct_dtype dtype, ct_step *step) {
    *step = *f64;
    if (!(step->rate = ct_cast(f64->rate, dtype))) return ct_error();
    for (int k = 0; k < CT_OPTIMIZER_SCALARS; k++) {
        if (!f64->scalars[k]) continue;
        if (!(step->scalars[k] = ct_cast(f64->scalars[k], dtype))) return ct_error();
    }
    return CT_OK;
}

/* A slot takes values of its own dtype and shape only. */
static ct_status check_update(const ct_optimizer *o, int64_t number, const ct_slot *slot,
                              ct_tensor *value, ct_tensor *old) {
    if (!value) return failed(o, "'update'");
    if (ct_dtype_of(value) == ct_dtype_of(old) &&
        ct_shape_equal(ct_shape_of(value), ct_shape_of(old))) {
        return CT_OK;
    }
    return ct_fail(CT_ERR_SHAPE,
                   "ct_optimizer_step: 'update' of '%s' makes %s %s for '%s' of "
                   "'%s', which is %s %s",
                   o->kind->name, ct_dtype_name(ct_dtype_of(value)),
                   ct_shape_format(ct_shape_of(value)).text, ct_slot_name(slot),
                   o->parameters.items[number].path, ct_dtype_name(ct_dtype_of(old)),
                   ct_shape_format(ct_shape_of(old)).text);
}

static ct_status update(const ct_optimizer *o, work *w, int64_t i, const ct_step *step) {
    ct_slot **slots = cti_states_of(o, w->numbers[i]);
    ct_tensor *state[CT_OPTIMIZER_STATES] = {0}, *next[CT_OPTIMIZER_STATES] = {0};
    for (int k = 0; k < o->kind->n_states; k++) state[k] = ct_slot_read(slots[k]);
    ct_tensor *p = o->kind->update(o->rule, step, w->parameters[i], w->gradients[i], state, next);
    ct_slot *slot = o->parameters.items[w->numbers[i]].slot;
    if (check_update(o, w->numbers[i], slot, p, w->parameters[i]) != CT_OK) return ct_error();
    add_update(w, slot, p);
    for (int k = 0; k < o->kind->n_states; k++) {
        if (!next[k]) return failed(o, "the next state");
        if (check_update(o, w->numbers[i], slots[k], next[k], state[k]) != CT_OK) {
            return ct_error();
        }
        add_update(w, slots[k], next[k]);
    }
    return CT_OK;
}

static ct_status apply(const ct_optimizer *o, work *w, int64_t applied) {
    ct_tensor *rate = rate_of(o, applied), *count = ct_scalar(CT_F64, (double)applied + 1);
    if (!rate || !count) return ct_error();
    for (int64_t i = 0; i < w->n; i++) {
        int64_t number = w->numbers[i], group = o->group_of[number];
        ct_dtype dtype = ct_dtype_of(w->parameters[i]);
        ct_step *f64 = &w->groups[group].f64, *step = &w->groups[group].of[dtype];
        if (!f64->rate && prepare(o, rate, count, group, f64) != CT_OK) return ct_error();
        if (!step->rate && cast(f64, dtype, step) != CT_OK) return ct_error();
        step->path = o->parameters.items[number].path;
        if (update(o, w, i, step) != CT_OK) return ct_error();
    }
    return CT_OK;
}

static ct_status step(ct_optimizer *o, work *w, ct_tensor *loss, ct_tensor *const also[],
                      int64_t n_also) {
    const int64_t *count = ct_data_i64(ct_slot_read(o->steps));
    if (!count) return ct_error();
    if (derive(o, w, loss) != CT_OK) return ct_error();
    bool now = accumulate(o, w, count[1]);
    if (now &&
        (cti_clip(w->gradients, w->n, &o->options) != CT_OK || apply(o, w, count[0]) != CT_OK)) {
        return ct_error();
    }
    int64_t next[2] = {count[0] + now, now ? 0 : count[1] + 1};
    add_update(w, o->steps, ct_from(CT_I64, CT_SHAPE(2), next));
    ct_tensor **roots = cti_alloc((size_t)n_also + 1, sizeof *roots);
    if (!roots) return CT_ERR_MEMORY;
    roots[0] = loss;
    for (int64_t k = 0; k < n_also; k++) roots[k + 1] = also[k];
    ct_status status = cti_commit_if(roots, n_also + 1, w->updates, w->n_updates, w->accept,
                                     w->context);
    cti_free(roots);
    return status;
}

static ct_status check_arguments(const ct_optimizer *o, ct_tensor *loss, ct_tensor *const also[],
                                 int64_t n_also) {
    static const char function[] = "ct_optimizer_step";
    if (!o || !loss) {
        return cti_null("%s: '%s' is NULL", function, o ? "loss" : "optimizer");
    }
    if (ct_numel(loss) != 1 || !ct_dtype_is_float(ct_dtype_of(loss))) {
        return ct_fail(CT_ERR_SHAPE, "%s: the loss must be one number of f32 or f64, got %s %s",
                       function, ct_dtype_name(ct_dtype_of(loss)),
                       ct_shape_format(ct_shape_of(loss)).text);
    }
    ct_status status = cti_check_array(function, "also", also, "n_also", n_also);
    if (status != CT_OK) return status;
    for (int64_t k = 0; k < n_also; k++) {
        if (!also[k]) return cti_null("%s: also[%lld] is NULL", function, (long long)k);
    }
    return CT_OK;
}

ct_status cti_optimizer_step_if(ct_optimizer *o, ct_tensor *loss, ct_tensor *const also[],
                                int64_t n_also, cti_accept *accept, void *context) {
    ct_status status = check_arguments(o, loss, also, n_also);
    if (status != CT_OK) return status;
    size_t n = (size_t)o->parameters.count;
    int64_t scope = ct_scope_open();
    work w = {.numbers = cti_alloc(n, sizeof(int64_t)),
              .parameters = cti_alloc(n, sizeof(ct_tensor *)),
              .gradients = cti_alloc(n, sizeof(ct_tensor *)),
              .reach = cti_alloc(n, sizeof(cti_reach)),
              .groups = cti_alloc((size_t)o->n_groups, sizeof(shared)),
              .updates = cti_alloc(n * (size_t)(2 + o->per_parameter) + 1, sizeof(ct_update)),
              .accept = accept,
              .context = context};
    status = CT_ERR_MEMORY;
    if (w.numbers && w.parameters && w.gradients && w.reach && w.groups && w.updates) {
        status = step(o, &w, loss, also, n_also);
    }
    cti_free(w.numbers);
    cti_free(w.parameters);
    cti_free(w.gradients);
    cti_free(w.reach);
    cti_free(w.groups);
    cti_free(w.updates);
    ct_scope_close(scope);
    return status;
}

ct_status ct_optimizer_step(ct_optimizer *o, ct_tensor *loss, ct_tensor *const also[],
                            int64_t n_also) {
    CTI_CALLED;
    return cti_optimizer_step_if(o, loss, also, n_also, NULL, NULL);
}
