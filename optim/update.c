/* From gradients to updates: the rate, what groups share, and the rule of the kind.
 * Where gradients come from is step.c's business; rules are in rules/.
 * Invariant: a rule's results fit the slots that they are for, or the step is an error. */
#include "optim/step_private.h"

#include "tensor/base/caller.h"

/* A function of a user's kind that fails is an error also when it recorded none. */
static ct_status failed(const ct_optimizer *o, const char *function) {
    cti_null_in("ct_optimizer_step: %s of '%s' failed and recorded no error", function,
                o->kind->name);
    return ct_error();
}

ct_tensor *cti_rate_after(const ct_optimizer *o, int64_t applied) {
    ct_tensor *step = ct_scalar(CT_F64, (double)applied);
    if (!step) return NULL; /* a constant rate would not look at it */
    ct_tensor *rate = cti_schedule_rate(&o->rate, step);
    if (!rate) {
        failed(o, "the rate");
        return NULL;
    }
    if (ct_numel(rate) == 1) return o->plateau ? ct_mul(rate, cti_plateau_scale(o->plateau)) : rate;
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
    ct_status status;
    {
        CTI_CALLED_AS(o->is_own ? NULL : __func__);
        status = o->kind->prepare(o->rule, count, f64->rate, f64->scalars);
    }
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

static ct_status update(cti_work *w, int64_t i, const ct_step *step) {
    const ct_optimizer *o = w->o;
    ct_slot **slots = cti_states_of(o, w->numbers[i]);
    ct_tensor *state[CT_OPTIMIZER_STATES] = {0}, *next[CT_OPTIMIZER_STATES] = {0};
    for (int k = 0; k < o->kind->n_states; k++) state[k] = ct_slot_read(slots[k]);
    ct_tensor *p;
    {
        CTI_CALLED_AS(o->is_own ? NULL : __func__);
        p = o->kind->update(o->rule, step, w->parameters[i], w->gradients[i], state, next);
    }
    ct_slot *slot = o->parameters.items[w->numbers[i]].slot;
    if (check_update(o, w->numbers[i], slot, p, w->parameters[i]) != CT_OK) return ct_error();
    cti_add_update(w, slot, p);
    w->after[w->numbers[i]] = p;
    for (int k = 0; k < o->kind->n_states; k++) {
        if (!next[k]) return failed(o, "the next state");
        if (check_update(o, w->numbers[i], slots[k], next[k], state[k]) != CT_OK) {
            return ct_error();
        }
        cti_add_update(w, slots[k], next[k]);
    }
    return CT_OK;
}

ct_status cti_apply(cti_work *w) {
    const ct_optimizer *o = w->o;
    if (cti_clip(w->gradients, w->n, &o->options) != CT_OK) return ct_error();
    ct_tensor *rate = cti_rate_after(o, w->applied);
    ct_tensor *count = ct_scalar(CT_F64, (double)w->applied + 1);
    if (!rate || !count) return ct_error();
    for (int64_t i = 0; i < w->n; i++) {
        int64_t number = w->numbers[i], group = o->group_of[number];
        ct_dtype dtype = ct_dtype_of(w->parameters[i]);
        ct_step *f64 = &w->groups[group].f64, *step = &w->groups[group].of[dtype];
        if (!f64->rate && prepare(o, rate, count, group, f64) != CT_OK) return ct_error();
        if (!step->rate && cast(f64, dtype, step) != CT_OK) return ct_error();
        step->path = o->parameters.items[number].path;
        if (update(w, i, step) != CT_OK) return ct_error();
    }
    return cti_average(w);
}
