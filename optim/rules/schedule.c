/* Learning-rate schedules: the rate as a small graph of the step number.
 * They are tensor algebra, so a new rate is data and never a new plan.
 * Invariant: a schedule is a plain value and owns nothing. */
#include "optim/optim.h"

#include "optim/optimizer_private.h"

static ct_tensor *number(double value) { return ct_scalar(CT_F64, value); }

static ct_tensor *decayed(const ct_schedule *self, ct_tensor *exponent) {
    return ct_scale(ct_pow(number(self->factor), exponent), self->initial);
}

static ct_tensor *periods(const ct_schedule *self, ct_tensor *step) {
    return ct_div(step, number((double)self->period));
}

static ct_tensor *step_rate(const ct_schedule *self, ct_tensor *step) {
    return decayed(self, ct_floor(periods(self, step)));
}

static ct_tensor *exponential_rate(const ct_schedule *self, ct_tensor *step) {
    return decayed(self, periods(self, step));
}

static ct_tensor *cosine_rate(const ct_schedule *self, ct_tensor *step) {
    ct_tensor *done = ct_minimum(periods(self, step), number(1.0));
    ct_tensor *wave = ct_scale(ct_offset(ct_cos(ct_scale(done, 3.14159265358979323846)), 1.0), 0.5);
    ct_tensor *share = ct_offset(ct_scale(wave, 1.0 - self->factor), self->factor);
    return ct_scale(share, self->initial);
}

static ct_tensor *after_warmup(const ct_schedule *self, ct_tensor *step) {
    return self->rate ? self->rate(self, step) : number(self->initial);
}

/* During warm-up the schedule is at its step 0; it begins there afterwards. */
ct_tensor *cti_schedule_rate(const ct_schedule *schedule, ct_tensor *step) {
    if (schedule->warmup <= 0) return after_warmup(schedule, step);
    ct_tensor *length = number((double)schedule->warmup);
    ct_tensor *risen = ct_minimum(ct_div(ct_offset(step, 1.0), length), number(1.0));
    ct_tensor *own_step = ct_maximum(ct_sub(step, length), number(0.0));
    return ct_mul(after_warmup(schedule, own_step), risen);
}

static ct_tensor *constant_rate(const ct_schedule *self, ct_tensor *step) {
    (void)step;
    return number(self->initial);
}

/* A schedule of the user's own may give its numbers any meaning. */
static ct_status check_numbers(const char *function, const ct_schedule *s) {
    if (s->rate != step_rate && s->rate != exponential_rate && s->rate != cosine_rate) return CT_OK;
    if (s->period < 1) {
        return ct_fail(CT_ERR_RANGE, "%s: the rate's period must be >= 1, got %lld", function,
                       (long long)s->period);
    }
    if (s->factor >= 0 && s->factor < 1e300) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: the rate's %s must be finite and >= 0, got %g", function,
                   s->rate == cosine_rate ? "final_share" : "factor", s->factor);
}

ct_status cti_schedule_check(const char *function, const ct_schedule *s) {
    if (!s->rate && s->initial == 0) {
        return ct_fail(CT_ERR_RANGE, "%s: 'rate' is missing; set it to ct_rate(0.001), say",
                       function);
    }
    if (!(s->initial >= 0 && s->initial < 1e300)) {
        return ct_fail(CT_ERR_RANGE, "%s: rate must be finite and >= 0, got %g", function,
                       s->initial);
    }
    if (s->warmup >= 0) return check_numbers(function, s);
    return ct_fail(CT_ERR_RANGE, "%s: the rate's warm-up must be >= 0 steps, got %lld", function,
                   (long long)s->warmup);
}

/* A function of its own tells a rate of 0 from a missing one. */
ct_schedule ct_rate(double rate) { return (ct_schedule){constant_rate, rate, 0, 0, 0}; }

ct_schedule ct_rate_step(double rate, double factor, int64_t period) {
    return (ct_schedule){step_rate, rate, factor, period, 0};
}

ct_schedule ct_rate_exponential(double rate, double factor, int64_t period) {
    return (ct_schedule){exponential_rate, rate, factor, period, 0};
}

ct_schedule ct_rate_cosine(double rate, double final_share, int64_t period) {
    return (ct_schedule){cosine_rate, rate, final_share, period, 0};
}

ct_schedule ct_rate_warmup(ct_schedule schedule, int64_t steps) {
    schedule.warmup = steps;
    return schedule;
}
