/* Private: one step while it is put together, and the parts of it, each in the .c of its name. */
#ifndef COTAN_STEP_PRIVATE_H
#define COTAN_STEP_PRIVATE_H

#include "optim/optimizer_private.h"

/* What the parameters of a group share, made once: as prepared and in each dtype. */
typedef struct {
    ct_step f64, of[CT_DTYPES];
} cti_shared;

/* What a step works on. Tensors are temporaries of the caller's scope. */
typedef struct {
    const ct_optimizer *o;
    int64_t applied, accumulated; /* counts before the step */
    int64_t *numbers, n;          /* of the parameters that it trains */
    ct_tensor **parameters, **gradients;
    ct_tensor **after;  /* what each parameter will be, by all their numbers; NULL: as it is */
    cti_shared *groups; /* by their numbers */
    ct_update *updates;
    int64_t n_updates;
} cti_work;

/* --- step.c ----------------------------------------------------------------------------------- */

/* Finds what is trained now: all that is not frozen. Close it also after an error. */
ct_status cti_work_open(cti_work *work, const ct_optimizer *optimizer);
void cti_work_close(cti_work *work);
void cti_add_update(cti_work *work, ct_slot *slot, ct_tensor *value);

/* --- accumulate.c ----------------------------------------------------------------------------- */

/* Drops parameters without a gradient (NULL), unless an earlier step of this round of accumulation
 * had one. */
ct_status cti_drop_unused(cti_work *work);
/* Adds the gradients to those of the round; true when it is time to apply them, and then they are
 * the means. */
bool cti_accumulate(cti_work *work);

/* --- update.c --------------------------------------------------------------------------------- */

/* The rate after so many steps, f64; NULL with the error recorded. */
ct_tensor *cti_rate_after(const ct_optimizer *optimizer, int64_t applied);
/* From gradients to updates of parameters and moments, by the rule, and of averages. */
ct_status cti_apply(cti_work *work);

/* --- average.c -------------------------------------------------------------------------------- */

/* Adds the updates of the averages, if there are any, by what the parameters will be. */
ct_status cti_average(cti_work *work);

#endif
