/* Gradient accumulation: the sum of a round's gradients, and when it is applied.
 * How gradients are applied is update.c's business.
 * Invariant: between rounds all sums are zeros, and no parameter counts as reached. */
#include "optim/step_private.h"

#include "tensor/base/caller.h"

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
    cti_add_update(w, slot, ct_full(ct_dtype_of(old), ct_shape_of(old), 0.0));
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
        w->gradients[k] = ct_scale(sum, 1.0 / (double)size);
        if (!apply) cti_add_update(w, slot, sum);
        if (!apply && reached) cti_add_update(w, reached, ct_full(CT_I64, CT_SCALAR, 1));
    }
    if (apply) end_round(w);
    return apply;
}
