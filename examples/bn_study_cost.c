/* What BatchNorm costs: single training steps of both networks, which take turns, so that whatever
 * slows the machine down slows both. Networks of its own, after all training.
 * It judges nothing.
 * Invariant: no parameter, statistic or random number of a run is touched. */
#include "bn_study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAIRS = 100,      /* of steps, for each activation */
    FEWEST_PAIRS = 8, /* also when they take longer */
    LEFT_OUT = 3,     /* they fill caches and plans */
};
#define SECONDS 0.8 /* for each activation; ranks, whose clocks differ, take all pairs */

/* --- Spreads ---------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between neighbours, as R's and NumPy's default. */
static double quantile(const double *sorted, int64_t n, double part) {
    double at = part * (double)(n - 1);
    int64_t below = (int64_t)at, above = below + 1 < n ? below + 1 : below;
    return sorted[below] + (at - (double)below) * (sorted[above] - sorted[below]);
}

study_spread study_spread_of(double *values, int64_t n) {
    if (n == 0) return (study_spread){(double)NAN, (double)NAN, (double)NAN};
    qsort(values, (size_t)n, sizeof *values, by_value);
    return (study_spread){quantile(values, n, 0.25), quantile(values, n, 0.5),
                          quantile(values, n, 0.75)};
}

/* --- Steps ------------------------------------------------------------------------------------ */

typedef struct {
    ct_module *model;
    ct_optimizer *adam;
    double ms[PAIRS];
} side;

/* The same as a step of ct_fit, from fetching the batch on. */
static ct_status step(const study *s, const side *turn, double *ms) {
    int64_t scope = ct_scope_open();
    ct_batch batch;
    double start = study_seconds();
    ct_status status = ct_source_next(s->train, &batch);
    if (status == CT_OK && !batch.x) { /* the epoch has ended */
        status = ct_source_seek(s->train, 0, 0);
        if (status == CT_OK) status = ct_source_next(s->train, &batch);
    }
    if (status == CT_OK) {
        ct_tensor *logits = ct_logits(turn->model, batch.x, CT_TRAINING);
        ct_tensor *loss = ct_cross_entropy(logits, batch.y);
        ct_tensor *accuracy = ct_accuracy(logits, batch.y);
        status = ct_optimizer_step(turn->adam, loss, &accuracy, 1);
    }
    *ms = 1e3 * (study_seconds() - start);
    ct_scope_close(scope);
    return status;
}

/* Each pair begins with the other side, so that an order favours none. */
static ct_status take_turns(const study *s, side sides[2], int64_t *pairs) {
    double begin = study_seconds();
    ct_status status = CT_OK;
    for (int64_t i = -LEFT_OUT; i < PAIRS && status == CT_OK; i++) {
        if (study_interrupted()) return CT_OK;
        if (i >= FEWEST_PAIRS && !ct_group_current() && study_seconds() - begin > SECONDS) break;
        for (int k = 0; k < 2 && status == CT_OK; k++) {
            side *turn = &sides[(i & 1) ^ k];
            status = step(s, turn, &turn->ms[i < 0 ? 0 : i]);
        }
        if (status == CT_OK && i >= 0) *pairs = i + 1;
    }
    return status;
}

static void summarize(study_cost *cost, side sides[2]) {
    double ratios[PAIRS];
    for (int64_t i = 0; i < cost->pairs; i++) {
        double with = sides[WITH].ms[i], without = sides[WITHOUT].ms[i];
        ratios[i] = with / without;
        cost->slower += with > without;
        cost->faster += with < without;
    }
    cost->ratio = study_spread_of(ratios, cost->pairs);
    for (int k = 0; k < 2; k++) cost->ms[k] = study_spread_of(sides[k].ms, cost->pairs);
}

static ct_status measure(const study *s, const study_setting *setting, study_cost *cost) {
    side sides[2];
    *cost = (study_cost){.activation = setting->activation};
    ct_status status = ct_source_seek(s->train, 0, 0);
    for (int k = 0; k < 2; k++) {
        sides[k].model = study_model(setting->activation, k == WITH);
        sides[k].adam = ct_adam_new(sides[k].model, ct_adam_defaults(setting->rate));
        if (!sides[k].adam) status = ct_error();
    }
    if (status == CT_OK) status = take_turns(s, sides, &cost->pairs);
    for (int k = 0; k < 2; k++) {
        ct_optimizer_free(sides[k].adam);
        ct_module_free(sides[k].model);
    }
    if (status == CT_OK) summarize(cost, sides);
    return status;
}

ct_status study_costs_measure(study *s) {
    for (int i = 0; i < s->n_settings && !study_interrupted(); i++) {
        const study_setting *c = &s->settings[i];
        bool known = s->n_costs > 0 && s->costs[s->n_costs - 1].activation == c->activation;
        if (known || !c->run[WITHOUT].ran || !c->run[WITH].ran) continue;
        study_cost *cost = &s->costs[s->n_costs];
        if (measure(s, c, cost) != CT_OK) return ct_error();
        if (cost->pairs >= FEWEST_PAIRS) s->n_costs++;
    }
    return CT_OK;
}
