/* Private: what the parts of optim share. */
#ifndef COTAN_STEP_H
#define COTAN_STEP_H

#include "optim/optim.h"

/* The rate after `step` finished steps (f64 scalar), as an f64 scalar. */
ct_tensor *cti_schedule_rate(const ct_schedule *schedule, ct_tensor *step);
/* Checks that a number lies in [low, high); names function and option. */
ct_status cti_check_option(const char *function, const char *name, double value, double low,
                           double high);
/* Clips gradients in place by value, then by global norm; 0 = off. */
ct_status cti_clip(ct_tensor *gradients[], int64_t n, const ct_step_options *options);

#endif
