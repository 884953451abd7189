/* ct_fit: epochs of steps, validation in between, and the reasons to stop.
 * What a step does is the optimizer's business, and how data is ordered the source's.
 * Invariant: a step either happened wholly, and is counted, or left everything as it was; one scope
 * per step, so memory at the end of every epoch is the same. */
#include "optim/fit.h"

#include "autograd/anomaly.h"
#include "optim/optimizer_private.h"
#include "optim/train/train.h"
#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/caller.h"
#include "tensor/base/process.h"
#include "tensor/graph/rows.h"
#include "tensor/ranks/exchange.h"
#include "tensor/value/slot_private.h"

#include <math.h>
#include <string.h>

typedef struct {
    ct_module *model;
    ct_optimizer *optimizer;
    cti_measures measures;
    ct_source *train;
    const ct_fit_options *options;
    ct_group *group; /* at the beginning; NULL: none */
    ct_history *history;
    cti_progress progress;
    int64_t count;         /* batches in an epoch */
    int64_t done;          /* steps in this call */
    const ct_batch *batch; /* of the running step ... */
    bool evaluated;        /* ... which has come as far */
    ct_step_record last;
    cti_sums sums;       /* of the running epoch ... */
    int64_t epoch_steps; /* ... over so many steps */
    cti_best own;        /* with restore_best alone */
    cti_best *best;      /* options.best or `own`; NULL: nobody wants it */
    bool stop;
    bool out_of_patience;
} training;

/* --- Divergence ------------------------------------------------------------------------------- */

static ct_status diverged(const training *t, const char *what, double value, const char *cause,
                          const char *advice) {
    return ct_fail(CT_ERR_DIVERGED, "ct_fit: %s is %s at step %lld, in epoch %lld%s; %s%s", what,
                   isnan(value) ? "nan"
                   : value > 0  ? "inf"
                                : "-inf",
                   (long long)t->last.step, (long long)t->progress.epoch + 1, cause, advice,
                   "allow_nonfinite goes on");
}

#define ADVICE "a smaller rate or clip_norm may help, "

static ct_status check_finite(const training *t, const char *what, double value) {
    if (t->options->allow_nonfinite || isfinite(value)) return CT_OK;
    return diverged(t, what, value, "", ADVICE);
}

/* Called between the evaluation of a step and its commit. */
static ct_status accept_step(void *context, ct_tensor *const roots[], ct_update *instead) {
    (void)instead;
    training *t = context;
    t->evaluated = true;
    double loss = ct_item(roots[0]);
    if (t->options->allow_nonfinite || isfinite(loss)) return CT_OK;
    cti_cause given;
    if (cti_batch_cause(t->batch, &given) != CT_OK) return ct_error();
    /* Before the first step of this call, training has not made them what they are. */
    if (!*given.text && t->done == 0 && cti_parameters_cause(t->optimizer, &given) != CT_OK) {
        return ct_error();
    }
    if (*given.text) return diverged(t, "loss", loss, given.text, "");
    if (!t->options->anomaly) return check_finite(t, "loss", loss);
    ct_anomaly_report report;
    if (ct_anomaly(roots, 1, &report) != CT_OK) return ct_error();
    char cause[sizeof report.text + 4];
    snprintf(cause, sizeof cause, " (%s)", report.text);
    return diverged(t, "loss", loss, cause, ADVICE);
}

/* The largest magnitude of each trained parameter, in one evaluation. */
static ct_status check_magnitudes(const training *t, const ct_slot_list *list, ct_tensor *largest[],
                                  const char *paths[]) {
    int64_t n = 0;
    for (int64_t i = 0; i < list->count; i++) {
        ct_tensor *value = ct_slot_read(list->items[i].slot);
        if (value && ct_numel(value) == 0) continue;
        paths[n] = list->items[i].path;
        largest[n] = ct_max(ct_abs(value), CT_ALL);
        if (!largest[n++]) return ct_error();
    }
    ct_status status = ct_eval(largest, n);
    for (int64_t k = 0; k < n && status == CT_OK; k++) {
        char what[640];
        snprintf(what, sizeof what, "parameter '%s'", paths[k]);
        status = check_finite(t, what, ct_item(largest[k]));
    }
    return status;
}

/* A loss that is finite may have a derivative that is not. */
static ct_status check_parameters(const training *t) {
    ct_slot_list list;
    if (t->options->allow_nonfinite) return CT_OK;
    if (ct_optimizer_parameters(t->optimizer, &list) != CT_OK) return ct_error();
    int64_t scope = ct_scope_open();
    ct_tensor **largest = cti_alloc((size_t)list.count, sizeof *largest);
    const char **paths = cti_alloc((size_t)list.count, sizeof *paths);
    ct_status status = largest && paths ? check_magnitudes(t, &list, largest, paths)
                                        : CT_ERR_MEMORY;
    cti_free(largest);
    cti_free(paths);
    ct_scope_close(scope);
    ct_slot_list_free(&list);
    return status;
}

/* --- Steps ------------------------------------------------------------------------------------ */

static void next_epoch(ct_position *position) {
    position->epoch++;
    position->batch = 0;
}

static void record_step(training *t, const cti_measured *measured, int64_t items) {
    t->last.loss = ct_item(measured->roots[0]);
    t->last.accuracy = t->measures.metric ? ct_item(measured->roots[1]) : (double)NAN;
    t->epoch_steps++;
    cti_measured_add(measured, &t->measures, items, &t->sums);
    if (t->options->record_steps) t->history->steps[t->history->n_steps++] = t->last;
}

static void advance(training *t) {
    ct_position *next = &t->history->position;
    next->batch++;
    if (next->batch >= t->count) next_epoch(next);
    t->done++;
}

ct_status ct_fit_want(ct_fit_step *step, ct_tensor *t) {
    CTI_CALLED;
    if (!step || !t) {
        cti_null_in("ct_fit_want: '%s' is NULL", step ? "t" : "step");
        return ct_error();
    }
    if (step->n_also >= CT_ALSO) {
        return ct_fail(CT_ERR_RANGE, "ct_fit_want: a step has at most %d tensors", CT_ALSO);
    }
    step->also[step->n_also++] = t;
    return CT_OK;
}

static ct_status call_also(const training *t, ct_fit_step *view) {
    if (!t->options->also) return CT_OK;
    ct_status status;
    {
        CTI_CALLS_USER;
        status = t->options->also(t->options->context, view);
    }
    if (status == CT_OK && ct_error() != CT_OK) return ct_error();
    if (status != CT_OK) {
        if (ct_error() != CT_OK) return status;
        return ct_fail(status, "ct_fit: 'also' failed and recorded no error");
    }
    if (view->n_also >= 0 && view->n_also <= CT_ALSO) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "ct_fit: n_also must be 0..%d, got %lld", CT_ALSO,
                   (long long)view->n_also);
}

/* What options.also and the monitor want evaluated with the step joins its roots. */
static ct_status ask_for_more(const training *t, cti_measured *measured, ct_fit_step *view) {
    view->loss = measured->roots[0];
    view->outputs = measured->outputs;
    ct_status status = call_also(t, view);
    if (status == CT_OK && t->options->monitor) {
        status = cti_monitor_want(t->options->monitor, t->last.step, view);
    }
    if (status != CT_OK) return status;
    for (int64_t i = 0; i < view->n_also; i++) {
        if (!view->also[i]) {
            cti_null_in("ct_fit: also[%lld] is NULL", (long long)i);
            return ct_error();
        }
        measured->roots[measured->n++] = view->also[i];
    }
    return CT_OK;
}

/* A user function has asked for a stop; where it recorded an error, that is why. */
static ct_status stop_early(training *t, int64_t errors_before) {
    if (ct_error() != CT_OK && cti_errors_so_far() > errors_before) return ct_error();
    t->stop = t->history->stopped_early = true;
    return CT_OK;
}

/* Its time is not training's. */
static ct_status show(training *t, const ct_fit_step *view) {
    const ct_fit_options *options = t->options;
    ct_status status = CT_OK;
    double start = cti_now();
    if (options->monitor) status = cti_monitor_step(options->monitor, &t->last, view);
    if (status == CT_OK && options->watch) {
        CTI_CALLS_USER;
        int64_t errors = cti_errors_so_far();
        if (!options->watch(options->context, view)) status = stop_early(t, errors);
    }
    t->progress.started += cti_now() - start;
    return status;
}

/* A step that is refused because it diverged is recorded too, other than one of which another rank
 * says so before it is evaluated. */
static ct_status learn(training *t, const ct_batch *batch) {
    const ct_position *at = &t->history->position;
    ct_fit_step view = {
        .model = t->model, .optimizer = t->optimizer, .batch = batch, .position = *at};
    cti_measured measured;
    t->batch = batch;
    t->evaluated = false;
    t->last.step = at->epoch * t->count + at->batch + 1;
    ct_status status = cti_measure(t->model, &t->measures, CT_TRAINING, batch, &t->sums, &measured);
    if (status == CT_OK) status = ask_for_more(t, &measured, &view);
    status = cti_group_kept(t->group, status);
    if (status != CT_OK) return status;
    status = cti_optimizer_step_if(t->optimizer, measured.roots[0], measured.roots + 1,
                                   measured.n - 1, accept_step, t);
    if (status != CT_OK && !(status == CT_ERR_DIVERGED && t->evaluated)) return status;
    record_step(t, &measured, cti_global_dim(batch->x, 0));
    if (status != CT_OK) return status;
    advance(t);
    return show(t, &view);
}

/* *more is false at the end of the epoch. */
static ct_status step(training *t, bool *more) {
    ct_history *history = t->history;
    /* Room first, so that a step that has happened is recorded. */
    if (t->options->record_steps &&
        !cti_grow(&history->steps, history->n_steps, sizeof *history->steps)) {
        return CT_ERR_MEMORY;
    }
    int64_t scope = ct_scope_open();
    ct_batch batch = {0};
    ct_status status = ct_source_next(t->train, &batch);
    *more = status == CT_OK && batch.x;
    if (*more) status = learn(t, &batch);
    ct_scope_close(scope);
    return status;
}

static ct_status call_back(training *t, const ct_epoch *epoch) {
    if (!t->options->callback) return CT_OK;
    CTI_CALLS_USER;
    int64_t errors = cti_errors_so_far();
    int64_t scope = ct_scope_open();
    double start = cti_now();
    bool go_on = t->options->callback(t->options->context, t->history->position, &t->last, epoch);
    t->progress.started += cti_now() - start; /* its time is not training's */
    ct_scope_close(scope);
    return go_on ? CT_OK : stop_early(t, errors);
}

static void look_for_interrupt(training *t) {
    if (!t->options->no_signals && cti_interrupt_seen()) t->stop = t->history->interrupted = true;
}

/* What has stopped one rank stops all; whether this one fared well, they learn. */
static ct_status meet(training *t, ct_status status) {
    bool *flags[] = {&t->stop, &t->history->stopped_early, &t->history->interrupted};
    return cti_meet(cti_group_kept(t->group, status), flags, 3);
}

static ct_status after_step(training *t) {
    cti_progress_step(&t->progress, t->epoch_steps, &t->sums);
    ct_status status = call_back(t, NULL);
    look_for_interrupt(t);
    if (t->done == t->options->max_steps) t->stop = true;
    return status;
}

static ct_status run_steps(training *t) {
    for (bool more = true; more && !t->stop;) {
        ct_status status = step(t, &more);
        if (status == CT_OK && more) status = after_step(t);
        status = meet(t, status);
        if (status != CT_OK) return status;
        /* Also when the source has fewer batches than it said, or had none left. */
        if (!more && t->history->position.batch > 0) next_epoch(&t->history->position);
    }
    return CT_OK;
}

/* --- Epochs ----------------------------------------------------------------------------------- */

static ct_status validate(training *t, ct_epoch *epoch, bool *validated) {
    bool stopped = false, unfinished = t->history->interrupted || t->history->stopped_early;
    if (!t->options->validation || unfinished) return CT_OK;
    ct_evaluation measured;
    ct_status status = cti_evaluate(
        "ct_fit", "the validation", t->model, &t->measures, t->options->validation,
        t->options->no_signals ? NULL : cti_interrupt_seen, &stopped, &measured);
    epoch->val_loss = measured.loss;
    epoch->val_accuracy = measured.accuracy;
    memcpy(epoch->val_metrics, measured.metrics, sizeof measured.metrics);
    if (stopped) t->stop = t->history->interrupted = true;
    *validated = status == CT_OK && !stopped;
    return *validated ? check_finite(t, "val_loss", epoch->val_loss) : status;
}

/* Epochs without a better val_loss; before the first best one all of them. */
static bool is_out_of_patience(const training *t, int64_t epochs_done) {
    int64_t patience = t->options->patience;
    return patience > 0 && epochs_done - t->history->position.best_epoch >= patience;
}

static void look_at_patience(training *t, int64_t epochs_done) {
    t->out_of_patience = is_out_of_patience(t, epochs_done);
    if (t->out_of_patience) t->stop = t->history->stopped_early = true;
}

/* What a whole epoch leads to, once no rank has failed. */
typedef struct {
    ct_update told;  /* of the optimizer's schedule */
    bool is_watched; /* by its val_loss, of which: */
    bool is_best;
    cti_best best;
} outcome;

/* What was held before is to be freed. */
static void keep_best(training *t, cti_best *next) {
    cti_best before = *t->best;
    *t->best = *next;
    *next = before;
}

static ct_status conclude(training *t, const ct_epoch *epoch, bool validated, outcome *out) {
    const ct_position *position = &t->history->position;
    double best = position->best_epoch ? position->best_val_loss : (double)INFINITY;
    out->is_watched = validated;
    out->is_best = validated && epoch->val_loss < best - t->options->min_delta;
    if (out->is_best && t->best &&
        cti_best_make(&out->best, t->model, t->progress.epoch + 1, NULL) != CT_OK) {
        return ct_error();
    }
    if (!validated && t->options->validation) return CT_OK;
    return cti_optimizer_tell(t->optimizer, validated ? epoch->val_loss : epoch->loss, &out->told);
}

static void carry_out(training *t, const ct_epoch *epoch, outcome *out) {
    ct_position *position = &t->history->position;
    if (out->told.slot) cti_slot_swap(out->told.slot, out->told.value);
    if (out->is_best) {
        if (t->best) keep_best(t, &out->best);
        position->best_epoch = t->progress.epoch + 1;
        position->best_val_loss = epoch->val_loss;
    }
    if (out->is_watched) look_at_patience(t, t->progress.epoch + 1);
}

/* Also after an error or a stop in the middle: what was measured is kept. */
static ct_status end_epoch(training *t, ct_status status) {
    ct_epoch epoch = {.loss = cti_sums_mean(t->sums.loss, t->sums.items),
                      .accuracy = cti_sums_mean(t->sums.metric, t->sums.items),
                      .val_loss = (double)NAN,
                      .val_accuracy = (double)NAN,
                      .seconds = cti_now() - t->progress.started,
                      .steps = t->epoch_steps,
                      .items = t->sums.items};
    cti_no_values(epoch.val_metrics);
    ct_status valued = cti_sums_values(&t->sums, &t->measures, epoch.metrics);
    if (status == CT_OK) status = valued;
    bool whole = status == CT_OK && t->history->position.batch == 0, validated = false;
    if (status == CT_OK) status = check_parameters(t);
    status = meet(t, status);
    if (status == CT_OK) status = validate(t, &epoch, &validated);
    t->history->epochs[t->history->n_epochs++] = epoch;
    cti_progress_line(&t->progress, &epoch, validated);
    if (status == CT_OK && t->options->monitor) {
        status = cti_monitor_epoch(t->options->monitor, t->options, t->last.step, &epoch);
    }
    int64_t scope = ct_scope_open();
    outcome out = {0};
    if (status == CT_OK && whole) status = conclude(t, &epoch, validated, &out);
    /* A callback may evaluate, on all ranks or on none. */
    status = cti_meet_measured(cti_group_kept(t->group, status), epoch.loss, epoch.val_loss);
    if (status == CT_OK) carry_out(t, &epoch, &out);
    cti_best_free(&out.best);
    ct_scope_close(scope);
    if (status == CT_OK) status = call_back(t, &epoch);
    return meet(t, status);
}

/* Every step of an epoch has a number. */
static ct_status check_numbers(const training *t, int64_t number, int64_t batch) {
    int64_t before, last;
    if (!__builtin_mul_overflow(number, t->count, &before) &&
        !__builtin_add_overflow(before, t->count > batch ? t->count : batch, &last) &&
        last < INT64_MAX) {
        return CT_OK;
    }
    return ct_fail(CT_ERR_RANGE,
                   "ct_fit: the steps from start.epoch %lld, start.batch %lld have "
                   "numbers above 2^63-1, with %lld batches in an epoch",
                   (long long)number, (long long)batch, (long long)t->count);
}

static ct_status begin_epoch(training *t, int64_t number, int64_t batch) {
    if (check_numbers(t, number, batch) != CT_OK) return CT_ERR_RANGE;
    ct_history *history = t->history;
    if (!cti_grow(&history->epochs, history->n_epochs, sizeof *history->epochs)) {
        return CT_ERR_MEMORY;
    }
    if (ct_source_seek(t->train, number, batch) != CT_OK) return ct_error();
    t->history->position.epoch = number;
    t->history->position.batch = batch;
    cti_sums_free(&t->sums);
    t->epoch_steps = 0;
    cti_progress_epoch(&t->progress, number, batch);
    return CT_OK;
}

static ct_status run_epoch(training *t, int64_t number, int64_t batch) {
    ct_status status = meet(t, begin_epoch(t, number, batch));
    if (status != CT_OK) return status;
    status = run_steps(t);
    if (t->epoch_steps > 0) return end_epoch(t, status);
    if (status == CT_OK && batch == 0) {
        return ct_fail(CT_ERR_STATE, "ct_fit: the source gave no batches");
    }
    return status;
}

/* --- Checks ----------------------------------------------------------------------------------- */

static ct_status check_arguments(const ct_module *model, const ct_optimizer *optimizer,
                                 bool measured, const ct_source *train) {
    if (model && optimizer && measured && train) return CT_OK;
    return cti_null("ct_fit: '%s' is NULL", !model       ? "model"
                                            : !optimizer ? "optimizer"
                                            : !measured  ? "loss"
                                                         : "train");
}

/* --- A run ------------------------------------------------------------------------------------ */

/* What early stopping knows of the epochs before options.start; *made: weights of the model as it
 * is, if these are the best. */
static ct_status continue_from_start(const training *t, cti_best *made) {
    const ct_position *start = &t->options->start;
    if (t->best && t->best->epoch != start->best_epoch) cti_best_free(t->best);
    if (start->best_epoch == 0) return CT_OK;
    if (!t->best) return CT_OK;
    if (t->best->epoch > 0) return cti_best_check("ct_fit", t->best, t->model);
    return cti_begins_at_best(start) ? cti_best_make(made, t->model, start->best_epoch, NULL)
                                     : CT_OK;
}

static void restore_best(training *t, bool ended_of_itself) {
    int64_t wanted = t->history->position.best_epoch;
    if (!t->options->restore_best || !ended_of_itself || wanted == 0) return;
    t->history->restored = t->best->epoch == wanted;
    if (t->history->restored) cti_best_restore(t->best);
    cti_progress_note(&t->progress,
                      t->history->restored ? "restored the weights of epoch %lld"
                                           : "the best epoch, %lld, came before the start: its "
                                             "weights are not restored",
                      (long long)wanted);
}

static void say_which_data(training *t, const char *use, const ct_source *source) {
    const char *about = ct_source_describe(source);
    if (about) cti_progress_note(&t->progress, "%s: %s", use, about);
}

static ct_status run(training *t) {
    int64_t epochs = t->progress.epochs, first = t->options->start.epoch;
    say_which_data(t, "train", t->train);
    say_which_data(t, "validation", t->options->validation);
    cti_best made = {0};
    ct_status status = meet(t, continue_from_start(t, &made));
    if (status == CT_OK && made.epoch > 0) keep_best(t, &made);
    cti_best_free(&made);
    if (status == CT_OK && t->options->start.best_epoch > 0) look_at_patience(t, first);
    for (int64_t e = first; e < epochs && status == CT_OK && !t->stop; e++) {
        status = run_epoch(t, e, e == first ? t->options->start.batch : 0);
    }
    const ct_history *history = t->history;
    bool has_diverged = status == CT_ERR_DIVERGED;
    if (history->interrupted) cti_progress_note(&t->progress, "interrupted");
    if (has_diverged) cti_progress_note(&t->progress, "diverged");
    bool is_whole = status == CT_OK && history->position.epoch >= epochs && !history->interrupted &&
                    !history->stopped_early;
    restore_best(t, is_whole || has_diverged || t->out_of_patience);
    return status;
}

void ct_history_free(ct_history *history) {
    if (!history) return;
    cti_free(history->epochs);
    cti_free(history->steps);
    *history = (ct_history){0};
}

static cti_measures measures_of(const ct_loss *loss, const ct_fit_options *options) {
    return (cti_measures){
        .loss = loss,
        .objective = options->objective,
        .context = options->context,
        .metric = options->metric ? options->metric : (loss ? loss->metric : NULL),
        .metrics = options->metrics,
        .n_metrics = options->n_metrics,
    };
}

static ct_status check(training *t) {
    bool measured = t->measures.loss || t->options->objective;
    ct_status status = check_arguments(t->model, t->optimizer, measured, t->train);
    if (status == CT_OK) status = cti_check_measures("ct_fit", &t->measures);
    if (status == CT_OK) status = cti_fit_check(t->options);
    if (status == CT_OK && (t->count = ct_source_count(t->train)) < 0) status = ct_error();
    status = cti_group_kept(t->group, status);
    return cti_meet_alike(status, t->model, t->optimizer, t->options, t->count);
}

static ct_status fit(training *t) {
    const ct_fit_options *options = t->options;
    FILE *log = ct_group_rank(t->group) > 0 ? NULL : options->log;
    t->best = options->best ? options->best : options->restore_best ? &t->own : NULL;
    cti_progress_begin(&t->progress, log, cti_fit_epochs(options, t->count), t->count,
                       t->measures.metric != NULL);
    t->progress.metrics = options->metrics;
    t->progress.n_metrics = options->n_metrics;
    if (!options->no_signals) cti_interrupt_begin();
    ct_status status = run(t);
    if (!options->no_signals) cti_interrupt_end();
    cti_best_free(&t->own);
    cti_sums_free(&t->sums);
    return status;
}

ct_status ct_fit(ct_module *model, ct_optimizer *optimizer, const ct_loss *loss, ct_source *train,
                 ct_fit_options options, ct_history *history) {
    CTI_CALLED;
    ct_history own = {0};
    if (history) *history = own;
    cti_watch watch = cti_watch_begin(); /* the user's functions may evaluate */
    training t = {
        .model = model,
        .optimizer = optimizer,
        .measures = measures_of(loss, &options),
        .train = train,
        .options = &options,
        .group = watch.group,
        .history = history ? history : &own,
    };
    t.history->position = options.start;
    ct_status status = check(&t);
    if (status == CT_OK) status = fit(&t);
    cti_watch_end(watch);
    cti_optimizer_settle(optimizer, status);
    ct_history_free(&own);
    return status;
}
