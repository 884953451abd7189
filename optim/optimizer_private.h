/* Private: what an optimizer is made of, and what optimizers and training are made with. */
#ifndef COTAN_OPTIMIZER_PRIVATE_H
#define COTAN_OPTIMIZER_PRIVATE_H

#include "autograd/derive/derive_private.h"
#include "nn/options_private.h"
#include "optim/optim.h"

struct ct_optimizer {
    const ct_optimizer_kind *kind;
    bool is_own; /* the kind is the user's */
    ct_schedule rate;
    ct_step_options options;
    void *rule;              /* the kind's options */
    ct_slot_list parameters; /* those of frozen modules too, not those of frozen groups; the slots
                                are kept                                                        */
    ct_slot_list streams;    /* of the model's random keys; the slots are kept */
    ct_parameter_group *groups; /* copies, then one of zeros for what none of them holds */
    int64_t n_groups;           /* with that one */
    int64_t *group_of;          /* of each parameter */
    int64_t per_parameter;      /* states, then, if any, the accumulated gradient and whether
                                   there is one                                              */
    ct_slot **states;           /* [parameter][per_parameter] */
    ct_slot *steps;             /* i64 [2]: applied, accumulated */
    ct_slot *plateau;           /* plateau.c's; NULL without one */
    bool swapped;               /* the model holds the averages, and they the weights */
    ct_slot *skipped;           /* i64: steps that skip_nonfinite skipped; NULL without it */
};

/* --- optimizer.c ------------------------------------------------------------------------------ */

/* ct_optimizer_new for the function that the user called, which messages name. */
ct_optimizer *cti_optimizer_new(const char *function, const ct_optimizer_kind *kind,
                                ct_module *model, ct_schedule rate, ct_step_options step,
                                const void *options, size_t size);
ct_slot **cti_states_of(const ct_optimizer *optimizer, int64_t parameter);
/* The sum of a round of accumulation, or NULL. */
ct_slot *cti_accumulated(const ct_optimizer *optimizer, int64_t parameter);
/* The average over steps, or NULL. */
ct_slot *cti_average_of(const ct_optimizer *optimizer, int64_t parameter);
/* Whether a step of this round has reached the parameter (i64), or NULL: where all have to. */
ct_slot *cti_reached(const ct_optimizer *optimizer, int64_t parameter);

/* --- groups.c --------------------------------------------------------------------------------- */

/* Takes the groups over and finds that of each parameter. The parameters of frozen ones leave the
 * optimizer's list. */
ct_status cti_groups_make(const char *function, ct_optimizer *optimizer,
                          const ct_step_options *step);

/* --- average.c -------------------------------------------------------------------------------- */

/* Nothing is trained or listed while the model holds its averages. */
ct_status cti_check_holds_weights(const ct_optimizer *optimizer);

/* --- step.c ----------------------------------------------------------------------------------- */

/* ct_optimizer_step, which `accept` may refuse before anything changes; its roots begin with the
 * loss and `also`. */
ct_status cti_optimizer_step_if(ct_optimizer *optimizer, ct_tensor *loss, ct_tensor *const also[],
                                int64_t n_also, cti_accept *accept, void *context);

/* After a step, or a training, came to `status`: after an error the model's streams of keys stand
 * where they go on, so that ranks show the same. */
void cti_optimizer_settle(const ct_optimizer *optimizer, ct_status status);

/* --- rules/ ----------------------------------------------------------------------------------- */

/* Checks the numbers of a rate; `function` is the one that the user called. */
ct_status cti_schedule_check(const char *function, const ct_schedule *schedule);
/* The rate after `step` finished steps (f64 scalar), as an f64 scalar. */
ct_tensor *cti_schedule_rate(const ct_schedule *schedule, ct_tensor *step);
ct_status cti_plateau_check(const char *function, const ct_plateau *plateau);
ct_slot *cti_plateau_new(const ct_plateau *plateau);
/* What the rate is to be multiplied by, f64. */
ct_tensor *cti_plateau_scale(ct_slot *slot);
/* The Euclidean norm of all entries of n > 0 gradients, f64. */
ct_tensor *cti_norm_of(ct_tensor *const gradients[], int64_t n);
/* Clips gradients in place by value, then by global norm; 0 = off. */
ct_status cti_clip(ct_tensor *gradients[], int64_t n, const ct_step_options *options);

/* What ct_fit has measured, for a plateau that is not told by the user: *told is what is to be
 * swapped in when all ranks have come so far; unchanged where there is none. */
ct_status cti_optimizer_tell(ct_optimizer *optimizer, double value, ct_update *told);

#endif
