/* Learning rates: a rate as a function of the step, or of what was measured. */
#ifndef COTAN_SCHEDULE_H
#define COTAN_SCHEDULE_H

#include <cotan/tensor/source.h>

CT_C_BEGIN

/* A rate as a function of the number of finished steps (an f64 scalar tensor), so that it is part
 * of the step's graph. A schedule of your own is a function and its numbers. Whoever makes an
 * optimizer gets CT_ERR_RANGE for a rate or factor that is negative or not finite, for a period
 * below 1 and for a negative warm-up. */
typedef struct ct_schedule ct_schedule;
struct ct_schedule {
    ct_tensor *(*rate)(const ct_schedule *self, ct_tensor *step); /* NULL: constant */
    double initial;
    double factor;      /* decay per period; cosine: the final share of the rate */
    int64_t period;     /* steps */
    int64_t warmup;     /* steps before the schedule's own first one; see below */
    double divisors[2]; /* of one cycle */
};
ct_schedule ct_rate(double rate); /* constant; 0 is a rate too */
ct_schedule ct_rate_step(double rate, double factor, int64_t period); /* factor^floor(t/period) */
ct_schedule ct_rate_exponential(double rate, double factor, int64_t period); /* factor^(t/period) */
/* From rate to final_share rate along half a cosine over `period` steps, then constant
 * (Loshchilov and Hutter, 2017, arXiv:1608.03983). */
ct_schedule ct_rate_cosine(double rate, double final_share, int64_t period);
/* Warm-up, then the schedule, one after the other: over the first `steps` steps the rate rises
 * linearly to the schedule's rate at its step 0, (t + 1) / steps of it at step t, and from step
 * `steps` on it is the schedule's at its step t - steps. So ct_rate_warmup(ct_rate_cosine(1, 0, 4),
 * 2) gives .5, 1, 1, .854, .5, .146, 0, 0, ...: the period is the cosine's alone. It takes any
 * schedule, also one of your own; 0 steps are no warm-up. A schedule has one warm-up: a second one
 * replaces the first. */
ct_schedule ct_rate_warmup(ct_schedule schedule, int64_t steps);

/* One cycle of `steps` steps: along half a cosine from peak / divisor to the peak, at step
 * rise steps - 1, and along another one to peak / divisor / final_divisor, at step steps - 1; then
 * constant. Smith and Topin, 2018, arXiv:1708.07120, as PyTorch's OneCycleLR of two phases. Unlike
 * there, momentum does not cycle. */
typedef struct {
    double rise;          /* share of the steps, below 1; 0 = 0.3 */
    double divisor;       /* 0 = 25 */
    double final_divisor; /* 0 = 10000 */
} ct_one_cycle_options;
ct_schedule ct_rate_one_cycle(double peak, int64_t steps, ct_one_cycle_options options);

/* The steps that an optimizer applies in so many epochs of a source, rounded to the nearest number
 * (half a step up): epochs times ct_source_count over `accumulate` (0 = 1). So periods may be given
 * in epochs: ct_rate_cosine(0.1, 0, ct_epoch_steps(train, 20, 0)). -1 with the error recorded:
 * schedules refuse it. */
int64_t ct_epoch_steps(const ct_source *source, double epochs, int64_t accumulate);

/* Reduces the rate when a measured value stops getting better: the rate of the schedule is
 * multiplied by a scale, 1 at first. A value is better than the best before when it is below
 * best (1 - threshold), or, with `maximize`, above best (1 + threshold). After more than `patience`
 * values in a row that are not, scale := max(factor scale, min_scale). PyTorch's ReduceLROnPlateau,
 * whose numbers are {.factor = 0.1, .patience = 10, .threshold = 1e-4}. It is an option of the
 * optimizer, ct_step_options.plateau, as it has a state that checkpoints hold. */
typedef struct {
    double factor; /* in [0,1); 0 = no plateau */
    int64_t patience;
    double threshold; /* relative */
    int64_t cooldown; /* so many values after a reduction do not count as bad */
    double min_scale;
    bool maximize; /* larger is better, as of an accuracy */
    bool own;      /* ct_optimizer_measured is told by you; otherwise ct_fit tells it, at the end of
                      each epoch: val_loss, or without validation the loss                        */
} ct_plateau;

CT_C_END

#endif
