/* Private: what optimizers and training are made with. */
#ifndef COTAN_OPTIMIZER_PRIVATE_H
#define COTAN_OPTIMIZER_PRIVATE_H

#include "autograd/derive/derive_private.h"
#include "optim/optim.h"

/* ct_optimizer_step, which `accept` may refuse before anything changes; its roots are the loss and
 * `also`. */
ct_status cti_optimizer_step_if(ct_optimizer *optimizer, ct_tensor *loss, ct_tensor *const also[],
                                int64_t n_also, cti_accept *accept, void *context);

/* Checks the numbers of a rate; `function` is the one that the user called. */
ct_status cti_schedule_check(const char *function, const ct_schedule *schedule);
/* The rate after `step` finished steps (f64 scalar), as an f64 scalar. */
ct_tensor *cti_schedule_rate(const ct_schedule *schedule, ct_tensor *step);
/* ct_optimizer_new for the function that the user called, which messages name. */
ct_optimizer *cti_optimizer_new(const char *function, const ct_optimizer_kind *kind,
                                ct_module *model, ct_schedule rate, ct_step_options step,
                                const void *options, size_t size);
/* Clips gradients in place by value, then by global norm; 0 = off. */
ct_status cti_clip(ct_tensor *gradients[], int64_t n, const ct_step_options *options);

#endif
