/* The conclusions of the original study, held against the numbers of this one.
 * Nothing is known in advance: a claim that the runs cannot decide is "not shown".
 * Invariant: an answer follows from the figures in the same sentence. */
#include "bn_study.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WINDOW 100          /* steps whose mean is the training accuracy of a moment */
#define DEAD_BELOW 0.2      /* training accuracy of an epoch; ten classes give 0.1 by chance */
#define TRAINED_FROM 0.9    /* the same */
#define LOSS_TOLERATED 0.01 /* of training accuracy, at ten times the rate */

static const char not_shown[] = "not shown by these runs";

static void add(study_verdict *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(study_verdict *v, const char *format, ...) {
    size_t used = strlen(v->figures);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(v->figures + used, sizeof v->figures - used, format, arguments);
    va_end(arguments);
}

static const char *answer(int held, int of) {
    return of == 0 ? not_shown : held == of ? "yes" : held == 0 ? "no" : "partly";
}

/* The last epoch that every run finished, of those that finished one; 0 = none. A run that was
 * broken off is compared with the others where they were then. */
static int64_t common_epoch(const study *s) {
    int64_t least = 0;
    for (int i = 0; i < 2 * s->n_settings; i++) {
        int64_t n = study_whole_epochs(s, &s->settings[i / 2].run[i % 2]);
        if (n > 0 && (least == 0 || n < least)) least = n;
    }
    return least;
}

/* Training accuracy in the common epoch; NaN when the run did not come so far. */
static double accuracy(const study *s, const study_run *run) {
    int64_t epoch = common_epoch(s);
    bool there = epoch > 0 && study_whole_epochs(s, run) >= epoch;
    return there ? run->history.epochs[epoch - 1].accuracy : (double)NAN;
}

static void add_epoch(study_verdict *v, const study *s) {
    int64_t epoch = common_epoch(s);
    add(v, "training accuracy");
    if (epoch > 0) add(v, " in epoch %lld", (long long)epoch);
}

/* --- Fewer steps ------------------------------------------------------------------------------ */

static const double goals[] = {0.90, 0.95};
enum { GOALS = sizeof goals / sizeof *goals };

/* The first step at which the mean of the last WINDOW steps reaches a goal; 0 = never. */
static int64_t steps_needed(const ct_history *history, double goal) {
    double sum = 0;
    for (int64_t i = 0; i < history->n_steps; i++) {
        sum += history->steps[i].accuracy;
        if (i >= WINDOW) sum -= history->steps[i - WINDOW].accuracy;
        if (i >= WINDOW - 1 && sum >= goal * WINDOW) return history->steps[i].step;
    }
    return 0;
}

static void add_steps(study_verdict *v, const int64_t steps[GOALS], const char *how) {
    /* After a goal that was never reached, a higher one goes without saying. */
    bool reached = true;
    for (int i = 0; i < GOALS && reached; i++) {
        reached = steps[i] > 0;
        if (reached) add(v, "%s%lld", i ? " and " : "", (long long)steps[i]);
        else add(v, "%snever", i ? " and " : "");
    }
    add(v, " %s", how);
}

static void judge_steps(const study *s, study_verdict *v) {
    v->claim = "BatchNorm reaches a given accuracy in fewer steps";
    add(v, "steps until the training accuracy, as the mean of %d steps, reached %.2f and %.2f",
        WINDOW, goals[0], goals[1]);
    int held = 0, of = 0, settings = 0;
    for (int i = 0; i < s->n_settings; i++) {
        const study_setting *c = &s->settings[i];
        if (!c->run[WITHOUT].ran || !c->run[WITH].ran) continue;
        int64_t needed[2][GOALS];
        for (int g = 0; g < GOALS; g++) {
            for (int k = 0; k < 2; k++) {
                needed[k][g] = steps_needed(&c->run[k].history, goals[g]);
            }
            int64_t without = needed[WITHOUT][g], with = needed[WITH][g];
            of += with || without; /* where neither comes, there is nothing to compare */
            held += with && (!without || with < without);
        }
        add(v, "%s %s %g: ", settings++ ? ";" : ":", c->activation->name, c->rate);
        add_steps(v, needed[WITH], "with, ");
        add_steps(v, needed[WITHOUT], "without");
    }
    v->answer = answer(held, of);
    if (settings == 0) add(v, ": needs runs with and without it");
}

/* --- Ten times the rate ----------------------------------------------------------------------- */

static const study_setting *at_ten_times(const study *s, const study_setting *low) {
    for (int i = 0; i < s->n_settings; i++) {
        const study_setting *high = &s->settings[i];
        if (high->activation == low->activation && fabs(high->rate / low->rate - 10) < 1e-6) {
            return high;
        }
    }
    return NULL;
}

static void judge_rate(const study *s, study_verdict *v) {
    v->claim = "BatchNorm tolerates ten times the learning rate";
    add_epoch(v, s);
    add(v, "; tolerated: at most %.2f lost", LOSS_TOLERATED);
    int held = 0, of = 0;
    for (int i = 0; i < s->n_settings; i++) {
        const study_setting *low = &s->settings[i], *high = at_ten_times(s, low);
        if (!high) continue;
        double from[2], to[2];
        for (int k = 0; k < 2; k++) {
            from[k] = accuracy(s, &low->run[k]);
            to[k] = accuracy(s, &high->run[k]);
        }
        if (isnan(from[WITH]) || isnan(to[WITH])) continue;
        add(v, "%s %s from %g to %g: %.4f to %.4f with", of ? ";" : ":", low->activation->name,
            low->rate, high->rate, from[WITH], to[WITH]);
        if (!isnan(from[WITHOUT]) && !isnan(to[WITHOUT])) {
            add(v, ", %.4f to %.4f without", from[WITHOUT], to[WITHOUT]);
        }
        of++;
        held += to[WITH] >= from[WITH] - LOSS_TOLERATED;
    }
    v->answer = answer(held, of);
    if (of == 0) add(v, ": needs two rates, one ten times the other, for at least one epoch");
}

/* --- Trains where the plain network is dead --------------------------------------------------- */

static void judge_dead(const study *s, study_verdict *v) {
    v->claim = "BatchNorm trains where the plain network is dead";
    add_epoch(v, s);
    add(v, "; dead: below %.1f, trained: from %.2f", DEAD_BELOW, TRAINED_FROM);
    int held = 0, of = 0;
    bool whole = false;
    for (int i = 0; i < s->n_settings; i++) {
        const study_setting *c = &s->settings[i];
        double without = accuracy(s, &c->run[WITHOUT]), with = accuracy(s, &c->run[WITH]);
        if (isnan(without) || isnan(with)) continue;
        whole = true;
        if (without >= DEAD_BELOW) continue;
        add(v, "%s %s %g: %.4f with, %.4f without", of ? ";" : ":", c->activation->name, c->rate,
            with, without);
        of++;
        held += with >= TRAINED_FROM;
    }
    v->answer = answer(held, of);
    if (of == 0 && whole) add(v, ": no plain network was that has one with BatchNorm beside it");
    if (of == 0 && !whole) add(v, ": needs whole epochs with and without it");
}

/* --- Two modes -------------------------------------------------------------------------------- */

static void judge_modes(const study *s, study_verdict *v) {
    v->claim = "Training and inference differ, and are handled automatically";
    double least = (double)INFINITY, most = 0;
    int n = 0;
    bool moved = false;
    for (int i = 0; i < s->n_settings; i++) {
        const study_run *run = &s->settings[i].run[WITH];
        if (!run->ran || isnan(run->modes.training)) continue;
        n++;
        least = fmin(least, run->modes.training);
        most = fmax(most, run->modes.inference);
        moved = moved || run->modes.moved;
    }
    if (n == 0) {
        v->answer = not_shown;
        add(v, "needs a finished run with BatchNorm and enough test images");
        return;
    }
    bool holds = least > 0 && most <= 1e-6 && !moved;
    v->answer = holds ? "yes" : "no";
    add(v,
        "the same weights, the same images in another batch: probabilities move by up to %.2g%s "
        "with the statistics of the batch (training), by up to %.2g with the moving ones "
        "(inference); evaluating changed %s of them",
        least, n > 1 ? " in the run where they move least" : "", most, moved ? "some" : "none");
}

/* --- Cost ------------------------------------------------------------------------------------- */

/* Whether so many of n pairs agree: three quarters, and of few pairs more, so that the others are
 * 2.6 standard deviations fewer than a fair coin makes them: by chance, one time in hundred. */
static bool sure(int64_t agree, int64_t n) {
    int64_t others = n - agree;
    return 4 * others <= n && (double)others <= 0.5 * (double)n - 2.6 * 0.5 * sqrt((double)n);
}

/* By steps that took turns: the runs, one after the other, met different loads of the machine. A
 * difference that the pairs do not agree upon is none. */
static void judge_cost(const study *s, study_verdict *v) {
    v->claim = "BatchNorm costs time per step";
    int more = 0, less = 0;
    for (int i = 0; i < s->n_costs; i++) {
        const study_cost *c = &s->costs[i];
        add(v,
            "%s%s: %.2f ms with, %.2f without; of %lld pairs of steps that took turns %lld were "
            "slower with it, %.2f times in the median, %.2f to %.2f in the middle half",
            i ? "; " : "", c->activation->name, c->ms[WITH].median, c->ms[WITHOUT].median,
            (long long)c->pairs, (long long)c->slower, c->ratio.median, c->ratio.low,
            c->ratio.high);
        more += sure(c->slower, c->pairs);
        less += sure(c->faster, c->pairs);
    }
    v->answer = more + less < s->n_costs ? "unsure" : answer(more, s->n_costs);
    if (s->n_costs == 0) add(v, "needs runs to their end, with and without it");
}

void study_judge(const study *s, study_verdict out[STUDY_VERDICTS]) {
    void (*const judges[STUDY_VERDICTS])(const study *, study_verdict *) = {
        judge_steps, judge_rate, judge_dead, judge_modes, judge_cost};
    for (int i = 0; i < STUDY_VERDICTS; i++) {
        out[i] = (study_verdict){.answer = not_shown};
        judges[i](s, &out[i]);
    }
}
