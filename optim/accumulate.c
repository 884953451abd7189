/* Gradient accumulation: the sum of a round's gradients, and when it is applied.
 * How gradients are applied is update.c's business.
 * Invariant: between rounds all sums are zeros, and no parameter counts as reached. */
#include "optim/step_private.h"

#include "tensor/base/caller.h"
#include "tensor/ranks/exchange.h"

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

/* Neither old moments nor weight decay may move a parameter without a gradient. */
ct_status cti_drop_unused(cti_work *w) {
    int64_t n = 0;
    for (int64_t k = 0; k < w->n; k++) {
        ct_tensor *gradient = w->gradients[k], *p = w->parameters[k];
        bool reached = true;
        if (!gradient) {
            if (reached_before(w->o, w->numbers[k], &reached) != CT_OK) return ct_error();
            if (!reached) continue;
            gradient = ct_full(ct_dtype_of(p), ct_shape_of(p), 0.0);
            if (!gradient) return ct_error();
        }
        w->numbers[n] = w->numbers[k];
        w->parameters[n] = p;
        w->gradients[n++] = gradient;
    }
    w->n = n;
    return CT_OK;
}

static void clear(cti_work *w, ct_slot *slot) {
    ct_tensor *old = ct_slot_read(slot);
    cti_add_update(w, slot, old ? ct_full(ct_dtype_of(old), ct_shape_of(old), 0.0) : NULL);
}

/* What was accumulated before a parameter was frozen is forgotten with the round that it belongs
 * to. */
static void end_round(cti_work *w) {
    for (int64_t i = 0; i < w->o->parameters.count; i++) {
        ct_slot *reached = cti_reached(w->o, i);
        clear(w, cti_accumulated(w->o, i));
        if (reached) clear(w, reached);
    }
}

bool cti_accumulate(cti_work *w) {
    int64_t size = w->o->options.accumulate;
    if (size <= 1) return true;
    bool apply = w->accumulated + 1 >= size;
    for (int64_t k = 0; k < w->n; k++) {
        ct_slot *slot = cti_accumulated(w->o, w->numbers[k]);
        ct_slot *reached = cti_reached(w->o, w->numbers[k]);
        ct_tensor *sum = ct_add(ct_slot_read(slot), w->gradients[k]);
        if (apply) w->gradients[k] = ct_scale(sum, 1.0 / (double)size);
        else cti_add_update(w, slot, sum);
        if (!apply && reached) cti_add_update(w, reached, ct_full(CT_I64, CT_SCALAR, 1));
    }
    if (apply) end_round(w);
    return apply;
}

/* --- A round that is not full ----------------------------------------------------------------- */

/* The mean of what there is, as the gradients. */
static ct_status take_means(cti_work *w) {
    for (int64_t k = 0; k < w->n; k++) {
        bool reached = true;
        if (cti_reached(w->o, w->numbers[k]) &&
            reached_before(w->o, w->numbers[k], &reached) != CT_OK) {
            return ct_error();
        }
        if (!reached) continue;
        ct_tensor *sum = ct_slot_read(cti_accumulated(w->o, w->numbers[k]));
        w->gradients[k] = ct_scale(sum, 1.0 / (double)w->accumulated);
        if (!w->gradients[k]) return ct_error();
    }
    if (cti_drop_unused(w) != CT_OK) return ct_error();
    if (w->n > 0) return CT_OK;
    return ct_fail(CT_ERR_GRADIENT, "ct_optimizer_flush: the round reaches no parameter that is "
                                    "trained now");
}

static ct_status gather_round(const ct_optimizer *o, cti_work *w) {
    if (!o) return cti_null("ct_optimizer_flush: 'optimizer' is NULL");
    if (o->options.accumulate <= 1) return CT_OK;
    if (cti_work_open(w, o) != CT_OK) return ct_error();
    if (w->accumulated == 0) return CT_OK;
    if (take_means(w) != CT_OK) return ct_error();
    end_round(w);
    if (cti_apply(w) != CT_OK) return ct_error();
    int64_t next[2] = {w->applied + 1, 0};
    cti_add_update(w, o->steps, ct_from(CT_I64, CT_SHAPE(2), next));
    return CT_OK;
}

/* Ranks of a group commit together, also where there is nothing to; so one that does not come so
 * far tells them. */
ct_status ct_optimizer_flush(ct_optimizer *o) {
    CTI_CALLED;
    int64_t scope = ct_scope_open();
    cti_watch watch = cti_watch_begin();
    cti_work w = {0};
    ct_status status = gather_round(o, &w);
    status = status == CT_OK ? cti_commit_if(NULL, 0, w.updates, w.n_updates, NULL, NULL, NULL)
                             : cti_agreed(status);
    cti_work_close(&w);
    cti_watch_end(watch);
    ct_scope_close(scope);
    return status;
}
