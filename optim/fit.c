/* ct_fit: epochs of steps, validation in between, and the reasons to stop.
 * What a step does is the optimizer's business, and how data is ordered the source's.
 * Invariant: a step either happened wholly, and is counted, or left everything as it was; one scope
 * per step, so memory at the end of every epoch is the same. */
#include "optim/fit.h"

#include "optim/evaluate.h"
#include "optim/history.h"
#include "optim/interrupt.h"
#include "optim/progress.h"

#include <math.h>

typedef struct {
    ct_module *model;
    ct_optimizer *optimizer;
    const ct_loss *loss;
    cti_metric *metric;
    ct_source *train;
    const ct_fit_options *options;
    ct_history *history;
    cti_progress progress;
    int64_t count;        /* batches in an epoch                        */
    int64_t done;         /* steps in this call                         */
    ct_step_record last;
    cti_sums sums;        /* of the running epoch ...                   */
    int64_t epoch_steps;  /* ... over so many steps                     */
    double best;          /* val_loss                                   */
    int64_t worse;        /* epochs since then                          */
    bool stop;
} training;

/* --- Steps ------------------------------------------------------------------------------------ */

static void count_step(training *t, double loss, double metric, int64_t items) {
    ct_position *next = &t->history->position;
    next->batch++;
    t->last = (ct_step_record){next->epoch * t->count + next->batch, loss, metric};
    if (next->batch >= t->count) *next = (ct_position){next->epoch + 1, 0};
    t->done++;
    t->epoch_steps++;
    cti_sums_add(&t->sums, loss, metric, items);
    if (t->options->record_steps) t->history->steps[t->history->n_steps++] = t->last;
}

static ct_status learn(training *t, const ct_batch *batch) {
    ct_tensor *value, *measured;
    ct_status status =
        cti_measure(t->model, t->loss, t->metric, CT_TRAINING, batch, &value, &measured);
    if (status == CT_OK) status = ct_optimizer_step(t->optimizer, value, &measured, measured != 0);
    if (status != CT_OK) return status;
    count_step(t, ct_item(value), measured ? ct_item(measured) : (double)NAN, ct_dim(batch->x, 0));
    return CT_OK;
}

/* *more is false at the end of the epoch. */
static ct_status step(training *t, bool *more) {
    if (t->options->record_steps && cti_history_reserve_step(t->history) != CT_OK) {
        return CT_ERR_MEMORY;
    }
    int64_t scope = ct_scope_open();
    ct_batch batch = {NULL, NULL};
    ct_status status = ct_source_next(t->train, &batch);
    *more = status == CT_OK && batch.x;
    if (*more) status = learn(t, &batch);
    ct_scope_close(scope);
    return status;
}

static void call_back(training *t, const ct_epoch *epoch) {
    if (!t->options->callback) return;
    int64_t scope = ct_scope_open();
    double start = cti_seconds();
    bool go_on = t->options->callback(t->options->context, t->history->position, &t->last, epoch);
    t->progress.started += cti_seconds() - start; /* its time is not training's */
    ct_scope_close(scope);
    if (!go_on) t->stop = t->history->stopped_early = true;
}

static bool interrupted(void) { return cti_interrupt_seen(); }

static void look_for_interrupt(training *t) {
    if (!t->options->no_signals && interrupted()) t->stop = t->history->interrupted = true;
}

static ct_status run_steps(training *t) {
    for (bool more = true; more && !t->stop;) {
        ct_status status = step(t, &more);
        if (status != CT_OK || !more) return status;
        cti_progress_step(&t->progress, t->epoch_steps, &t->sums);
        call_back(t, NULL);
        look_for_interrupt(t);
        if (t->done == t->options->max_steps) t->stop = true;
    }
    return CT_OK;
}

/* --- Epochs ----------------------------------------------------------------------------------- */

static ct_status validate(training *t, ct_epoch *epoch) {
    bool stopped = false, broken_off = t->history->interrupted || t->history->stopped_early;
    if (!t->options->validation || broken_off) return CT_OK;
    ct_status status = cti_evaluate("ct_fit", t->model, t->loss, t->metric, t->options->validation,
                                    t->options->no_signals ? NULL : interrupted, &stopped,
                                    &epoch->val_loss, &epoch->val_accuracy);
    if (stopped) t->stop = t->history->interrupted = true;
    return status;
}

static void watch_for_the_best(training *t, double val_loss) {
    bool better = val_loss < t->best;
    if (better) t->best = val_loss;
    t->worse = better ? 0 : t->worse + 1;
    if (t->worse >= t->options->patience) t->stop = t->history->stopped_early = true;
}

/* Also after an error or a stop in the middle: what was measured is kept. */
static ct_status end_epoch(training *t, ct_status status) {
    double nan = (double)NAN;
    ct_epoch epoch = {cti_sums_mean(t->sums.loss, t->sums.items),
                      cti_sums_mean(t->sums.metric, t->sums.items), nan, nan,
                      cti_seconds() - t->progress.started, t->epoch_steps, t->sums.items};
    if (status == CT_OK) status = validate(t, &epoch);
    t->history->epochs[t->history->n_epochs++] = epoch;
    cti_progress_line(&t->progress, &epoch);
    if (status != CT_OK) return status;
    if (t->options->patience > 0 && epoch.val_loss == epoch.val_loss) {
        watch_for_the_best(t, epoch.val_loss);
    }
    call_back(t, &epoch);
    return CT_OK;
}

static ct_status run_epoch(training *t, int64_t number, int64_t batch) {
    if (cti_history_reserve_epoch(t->history) != CT_OK) return CT_ERR_MEMORY;
    if (ct_source_seek(t->train, number, batch) != CT_OK) return ct_error();
    t->history->position = (ct_position){number, batch};
    t->sums = (cti_sums){0};
    t->epoch_steps = 0;
    cti_progress_epoch(&t->progress, number, batch);
    ct_status status = run_steps(t);
    if (t->epoch_steps > 0) return end_epoch(t, status);
    if (status == CT_OK && batch == 0) {
        return ct_fail(CT_ERR_STATE, "ct_fit: the source gave no batches");
    }
    return status;
}

/* --- Checks ----------------------------------------------------------------------------------- */

static ct_status check_arguments(const ct_module *model, const ct_optimizer *optimizer,
                                 const ct_loss *loss, const ct_source *train) {
    if (model && optimizer && loss && train) return CT_OK;
    if (ct_error() != CT_OK) return ct_error();
    return ct_fail(CT_ERR_NULL, "ct_fit: '%s' is NULL",
                   !model ? "model" : !optimizer ? "optimizer" : !loss ? "loss" : "train");
}

static ct_status check_options(const ct_fit_options *options) {
    const struct { const char *name; int64_t value; } counts[] = {
        {"epochs", options->epochs},           {"max_steps", options->max_steps},
        {"patience", options->patience},       {"start.epoch", options->start.epoch},
        {"start.batch", options->start.batch},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (counts[i].value >= 0) continue;
        return ct_fail(CT_ERR_RANGE, "ct_fit: %s must be >= 0, got %lld", counts[i].name,
                       (long long)counts[i].value);
    }
    if (options->patience > 0 && !options->validation) {
        return ct_fail(CT_ERR_NULL, "ct_fit: patience needs validation, which is NULL");
    }
    return CT_OK;
}

static ct_status run(training *t) {
    int64_t epochs = t->options->epochs ? t->options->epochs : 1;
    ct_position start = t->options->start;
    t->history->position = start;
    cti_progress_begin(&t->progress, t->options->log, epochs, t->count);
    ct_status status = CT_OK;
    for (int64_t e = start.epoch; e < epochs && status == CT_OK && !t->stop; e++) {
        status = run_epoch(t, e, e == start.epoch ? start.batch : 0);
    }
    if (t->history->interrupted) cti_progress_note(&t->progress, "interrupted");
    return status;
}

ct_status ct_fit(ct_module *model, ct_optimizer *optimizer, const ct_loss *loss, ct_source *train,
                 ct_fit_options options, ct_history *history) {
    ct_history own = {0};
    if (history) *history = own;
    if (check_arguments(model, optimizer, loss, train) != CT_OK) return ct_error();
    if (check_options(&options) != CT_OK) return ct_error();
    training t = {
        .model = model,
        .optimizer = optimizer,
        .loss = loss,
        .metric = options.metric ? options.metric : loss->metric,
        .train = train,
        .options = &options,
        .history = history ? history : &own,
        .count = ct_source_count(train),
        .best = (double)INFINITY,
    };
    if (!options.no_signals) cti_interrupt_begin();
    ct_status status = run(&t);
    if (!options.no_signals) cti_interrupt_end();
    ct_history_free(&own);
    return status;
}
