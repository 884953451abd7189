/* Averages of the parameters over the steps: what a step adds to them, and reading a model by them.
 * They are states of the optimizer, so a commit changes them with the parameters.
 * Invariant: while a model holds its averages, no step is taken and nothing is saved. */
#include "optim/step_private.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/value/slot_private.h"

/* The first average is the parameter: weights may have been loaded since the optimizer was made. */
static double decay_after(const ct_optimizer *o, int64_t applied) {
    if (applied == 0) return 0;
    double t = (double)applied + 1, ramp = (1 + t) / (10 + t);
    return o->options.average_warmup && ramp < o->options.average ? ramp : o->options.average;
}

ct_status cti_average(cti_work *w) {
    const ct_optimizer *o = w->o;
    double share = 1 - decay_after(o, w->applied);
    ct_tensor *shares[CT_DTYPES] = {0};
    for (int64_t i = 0; i < o->parameters.count && o->options.average > 0; i++) {
        ct_tensor *p = w->after[i] ? w->after[i] : ct_slot_read(o->parameters.items[i].slot);
        ct_tensor *old = ct_slot_read(cti_average_of(o, i)), **by = &shares[ct_dtype_of(p)];
        if (!*by) *by = ct_scalar(ct_dtype_of(p), share);
        ct_tensor *next = ct_add(old, ct_mul(ct_sub(p, old), *by));
        if (!next) return ct_error();
        cti_add_update(w, cti_average_of(o, i), next);
    }
    return CT_OK;
}

static ct_status check(const char *function, const ct_optimizer *o) {
    if (!o) return cti_null("%s: 'optimizer' is NULL", function);
    if (o->options.average > 0) return CT_OK;
    return ct_fail(CT_ERR_STATE, "%s: the optimizer keeps no averages; step.average does",
                   function);
}

ct_status cti_check_holds_weights(const ct_optimizer *o) {
    if (!o->swapped) return CT_OK;
    return ct_fail(CT_ERR_STATE,
                   "ct_optimizer_step: the model holds its averages; ct_optimizer_swap_averages "
                   "gives it its weights back");
}

/* Before the first step that is the parameter. */
static ct_tensor *average_now(const ct_optimizer *o, int64_t i) {
    const int64_t *steps = ct_data_i64(ct_slot_read(o->steps));
    if (!steps) return NULL;
    bool begun = o->swapped || steps[0] > 0;
    return ct_slot_read(begun ? cti_average_of(o, i) : o->parameters.items[i].slot);
}

/* New leaves for n slots, then for their averages, each with the other's value. */
static ct_status prepare(const ct_optimizer *o, ct_tensor *prepared[]) {
    int64_t n = o->parameters.count;
    for (int64_t i = 0; i < n; i++) {
        ct_slot *slot = o->parameters.items[i].slot, *average = cti_average_of(o, i);
        prepared[i] = cti_slot_prepare(slot, average_now(o, i));
        prepared[n + i] = cti_slot_prepare(average, ct_slot_read(slot));
        if (!prepared[i] || !prepared[n + i]) return ct_error();
    }
    return CT_OK;
}

ct_status ct_optimizer_swap_averages(ct_optimizer *o) {
    CTI_CALLED;
    if (check("ct_optimizer_swap_averages", o) != CT_OK) return ct_error();
    int64_t n = o->parameters.count, scope = ct_scope_open();
    ct_tensor **prepared = cti_alloc((size_t)n * 2, sizeof *prepared);
    ct_status status = prepared ? prepare(o, prepared) : CT_ERR_MEMORY;
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        cti_slot_swap(o->parameters.items[i].slot, prepared[i]);
        cti_slot_swap(cti_average_of(o, i), prepared[n + i]);
    }
    if (status == CT_OK) o->swapped = !o->swapped;
    cti_free(prepared);
    ct_scope_close(scope);
    return status;
}

ct_tensor *ct_optimizer_average(ct_optimizer *o, ct_slot *slot) {
    CTI_CALLED;
    if (!o || !slot) {
        return cti_null_in("ct_optimizer_average: '%s' is NULL", o ? "slot" : "optimizer");
    }
    if (check("ct_optimizer_average", o) != CT_OK) return NULL;
    for (int64_t i = 0; i < o->parameters.count && !o->swapped; i++) {
        if (o->parameters.items[i].slot == slot) return average_now(o, i);
    }
    return ct_slot_read(slot);
}
