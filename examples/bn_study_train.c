/* One run: trains a network and measures accuracy and time on the way.
 * What a step is, is ct_fit's business; files and pictures are made elsewhere.
 * Invariant: time is training alone: from the end of one callback to the next step's, so that
 * fetching a batch counts and no validation does. Of the steps' times the median counts. */
#include "bn_study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* In steps: a learning curve is steep at first. */
#define VALIDATE_EVERY 250
#define VALIDATE_EVERY_AT_FIRST 50
#define LOOKS 50

typedef struct {
    const study *study;
    study_run *run;
    ct_module *model;
    double resumed; /* when training last went on */
    double *ms;     /* of the steps that count for the time per step */
    int64_t n_ms, ms_capacity;
    int64_t steps, epoch;
    int64_t capacity; /* of run->points */
    ct_status status;
    ct_monitor *monitor;
} watch;

double study_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Room for one element more than n; NULL when out of memory, and then nothing has changed. */
static void *grown(void *items, int64_t n, int64_t *capacity, size_t size) {
    if (n < *capacity) return items;
    int64_t more = *capacity ? 2 * *capacity : 16;
    void *moved = realloc(items, (size_t)more * size);
    if (moved) *capacity = more;
    else ct_fail(CT_ERR_MEMORY, "bn_study: out of memory");
    return moved;
}

static ct_status add_point(watch *w, study_point point) {
    study_run *run = w->run;
    study_point *points = grown(run->points, run->n_points, &w->capacity, sizeof *points);
    if (!points) return CT_ERR_MEMORY;
    run->points = points;
    run->points[run->n_points++] = point;
    return CT_OK;
}

static ct_status add_time(watch *w, double ms) {
    double *times = grown(w->ms, w->n_ms, &w->ms_capacity, sizeof *times);
    if (!times) return CT_ERR_MEMORY;
    w->ms = times;
    w->ms[w->n_ms++] = ms;
    return CT_OK;
}

static ct_status validate_part(watch *w) {
    study_point point = {.step = w->steps};
    ct_status status = ct_evaluate(w->model, &ct_loss_cross_entropy, w->study->part, &point.loss,
                                   &point.accuracy);
    return status == CT_OK ? add_point(w, point) : status;
}

static void after_step(watch *w, ct_position next, double elapsed) {
    w->steps++;
    w->run->seconds[w->epoch] += elapsed;
    if (w->steps > STUDY_STEPS_LEFT_OUT) w->status = add_time(w, 1e3 * elapsed);
    /* The end of an epoch is measured on all images right after this. */
    bool ends = next.batch == 0 || w->steps == w->study->options.steps;
    int64_t every = w->steps < VALIDATE_EVERY ? VALIDATE_EVERY_AT_FIRST : VALIDATE_EVERY;
    if (w->status == CT_OK && w->steps % every == 0 && !ends) w->status = validate_part(w);
}

static bool on_step(void *context, ct_position next, const ct_step_record *step,
                    const ct_epoch *epoch) {
    watch *w = context;
    (void)step;
    if (epoch) {
        w->epoch++;
        if (epoch->val_accuracy == epoch->val_accuracy) { /* NaN: not measured */
            w->status = add_point(
                w, (study_point){w->steps, epoch->val_loss, epoch->val_accuracy, true});
        }
    } else {
        after_step(w, next, study_seconds() - w->resumed);
    }
    w->resumed = study_seconds();
    return w->status == CT_OK && !program_interrupted();
}

study_name study_layers_name(const study_setting *setting, int k) {
    study_name name;
    snprintf(name.text, sizeof name.text, "layers/%s_%g_%s", setting->activation->name,
             setting->rate, k == WITH ? "with" : "without");
    return name;
}

bool study_monitors(const study *s) { return s->options.out && !ct_group_current(); }

/* Looks at the layers some LOOKS times. */
static ct_monitor *monitor_of(const study *s, const study_setting *setting, int k) {
    char *directory;
    int64_t steps = s->options.epochs * s->steps_per_epoch;
    if (s->options.steps && s->options.steps < steps) steps = s->options.steps;
    study_name name = study_layers_name(setting, k);
    if (asprintf(&directory, "%s/%s", s->options.out, name.text) < 0) {
        return ct_fail_null(CT_ERR_MEMORY, "bn_study: out of memory");
    }
    ct_monitor_options options = {.directory = directory, .every = steps / LOOKS + 1};
    ct_monitor *monitor = ct_monitor_new(options);
    free(directory);
    return monitor;
}

static ct_status fit(watch *w, ct_optimizer *adam) {
    const study_options *options = &w->study->options;
    ct_fit_options fit_options = {
        .epochs = options->epochs,
        .max_steps = options->steps,
        .validation = w->study->test,
        .log = options->quiet ? NULL : stdout,
        .callback = on_step,
        .context = w,
        .monitor = w->monitor,
        .record_steps = true,
        .allow_nonfinite = true, /* what diverges is a result too */
        .no_signals = true,      /* the study catches them, between runs too */
    };
    w->status = validate_part(w);
    if (w->status != CT_OK) return w->status;
    w->resumed = study_seconds();
    ct_status status = ct_fit(w->model, adam, &ct_loss_cross_entropy, w->study->train, fit_options,
                              &w->run->history);
    w->run->ms_per_step = study_spread_of(w->ms, w->n_ms).median;
    free(w->ms);
    return status != CT_OK ? status : w->status;
}

ct_status study_train(const study *s, const study_setting *setting, bool batch_norm,
                      study_run *run) {
    double nan = (double)NAN;
    *run = (study_run){.ran = true, .ms_per_step = nan, .modes = {nan, nan, false}};
    run->seconds = calloc((size_t)s->options.epochs, sizeof *run->seconds);
    if (!run->seconds) return ct_fail(CT_ERR_MEMORY, "bn_study: out of memory");
    /* Both networks of a setting begin at the same place of the same stream. */
    ct_seed_set((uint64_t)s->options.seed);
    watch w = {.study = s, .run = run, .model = study_model(setting->activation, batch_norm)};
    ct_optimizer *adam = ct_adam_new(w.model, ct_adam_defaults(setting->rate));
    bool monitors = study_monitors(s);
    if (monitors) w.monitor = monitor_of(s, setting, batch_norm ? WITH : WITHOUT);
    bool ready = adam && (w.monitor || !monitors);
    ct_status status = ready ? fit(&w, adam) : ct_error();
    ct_monitor_free(w.monitor);
    if (status == CT_OK && batch_norm) status = study_modes_measure(s, w.model, &run->modes);
    ct_optimizer_free(adam);
    ct_module_free(w.model);
    return status;
}

int64_t study_whole_epochs(const study *s, const study_run *run) {
    int64_t n = run->history.n_epochs;
    return n > 0 && run->history.epochs[n - 1].steps < s->steps_per_epoch ? n - 1 : n;
}
