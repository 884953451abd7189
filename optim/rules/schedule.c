/* Learning-rate schedules: the rate as a small graph of the step number.
 * They are tensor algebra, so a new rate is data and never a new plan.
 * Invariant: a schedule is a plain value and owns nothing. */
#include "optim/optim.h"

#include "optim/optimizer_private.h"

#include "tensor/base/caller.h"

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

/* Half a cosine from one number to another; `done` is in 0..1. */
static ct_tensor *half_cosine(double from, double to, ct_tensor *done) {
    ct_tensor *wave = ct_offset(ct_cos(ct_scale(done, 3.14159265358979323846)), 1.0);
    return ct_offset(ct_scale(wave, (from - to) / 2), to);
}

static ct_tensor *share_done(ct_tensor *step, double from, double to) {
    return ct_clip(ct_div(ct_offset(step, -from), number(to - from)), 0, 1);
}

/* The lower of rise and fall: each is at the peak where the other one moves. */
static ct_tensor *one_cycle_rate(const ct_schedule *self, ct_tensor *step) {
    double peak = self->initial, first = peak / self->divisors[0], last = first / self->divisors[1];
    double top = self->factor * (double)self->period - 1, end = (double)self->period - 1;
    ct_tensor *fall = half_cosine(peak, last, share_done(step, top, end));
    if (!(top > 0)) return fall;
    return ct_minimum(half_cosine(first, peak, share_done(step, 0, top)), fall);
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

static ct_status check_one_cycle(const char *function, const ct_schedule *s) {
    if (cti_check_number(function, "the rate's rise", s->factor, 0, 1) != CT_OK) return ct_error();
    for (int k = 0; k < 2; k++) {
        if (s->divisors[k] > 0 && s->divisors[k] < 1e300) continue;
        return ct_fail(CT_ERR_RANGE, "%s: the rate's %s must be finite and > 0, got %g", function,
                       k ? "final_divisor" : "divisor", s->divisors[k]);
    }
    return CT_OK;
}

/* A schedule of the user's own may give its numbers any meaning. */
static ct_status check_numbers(const char *function, const ct_schedule *s) {
    if (s->rate != step_rate && s->rate != exponential_rate && s->rate != cosine_rate &&
        s->rate != one_cycle_rate) {
        return CT_OK;
    }
    if (s->period < 1) {
        return ct_fail(CT_ERR_RANGE, "%s: the rate's period must be >= 1, got %lld", function,
                       (long long)s->period);
    }
    if (s->rate == one_cycle_rate) return check_one_cycle(function, s);
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
ct_schedule ct_rate(double rate) { return (ct_schedule){.rate = constant_rate, .initial = rate}; }

ct_schedule ct_rate_step(double rate, double factor, int64_t period) {
    return (ct_schedule){.rate = step_rate, .initial = rate, .factor = factor, .period = period};
}

ct_schedule ct_rate_exponential(double rate, double factor, int64_t period) {
    return (ct_schedule){
        .rate = exponential_rate, .initial = rate, .factor = factor, .period = period};
}

ct_schedule ct_rate_cosine(double rate, double final_share, int64_t period) {
    return (ct_schedule){
        .rate = cosine_rate, .initial = rate, .factor = final_share, .period = period};
}

ct_schedule ct_rate_warmup(ct_schedule schedule, int64_t steps) {
    schedule.warmup = steps;
    return schedule;
}

ct_schedule ct_rate_one_cycle(double peak, int64_t steps, ct_one_cycle_options options) {
    return (ct_schedule){.rate = one_cycle_rate,
                         .initial = peak,
                         .factor = options.rise == 0 ? 0.3 : options.rise,
                         .period = steps,
                         .divisors = {options.divisor == 0 ? 25 : options.divisor,
                                      options.final_divisor == 0 ? 1e4 : options.final_divisor}};
}

int64_t ct_epoch_steps(const ct_source *source, double epochs, int64_t accumulate) {
    CTI_CALLED;
    static const char function[] = "ct_epoch_steps";
    if (!source) {
        cti_null("%s: 'source' is NULL", function);
        return -1;
    }
    if (cti_check_number(function, "epochs", epochs, 0, 1e9) != CT_OK) return -1;
    if (accumulate < 0) {
        ct_fail(CT_ERR_RANGE, "%s: accumulate must be >= 0, got %lld", function,
                (long long)accumulate);
        return -1;
    }
    int64_t batches = ct_source_count(source);
    if (batches < 0) return -1;
    double steps = epochs * (double)batches / (double)(accumulate > 0 ? accumulate : 1);
    if (steps < 9e18) return (int64_t)(steps + 0.5);
    ct_fail(CT_ERR_RANGE, "%s: %g epochs of %lld batches are too many steps", function, epochs,
            (long long)batches);
    return -1;
}
