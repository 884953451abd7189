/* Evaluation: passes over data in inference mode.
 * Nothing is trained and no slot changes; what models make of data is predict.c's.
 * Invariant: every item counts once, whatever the size of its batch; the memory of a batch is gone
 * before the next one. */
#include "optim/train/train.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/graph/rows.h"
#include "tensor/ranks/exchange.h"

#include <math.h>

static ct_status add_batch(const cti_measured *measured, const cti_measures *measures,
                           const ct_batch *batch, cti_sums *sums) {
    ct_status status = ct_eval(measured->roots, measured->n);
    if (status != CT_OK) return status;
    cti_measured_add(measured, measures, cti_global_dim(batch->x, 0), sums);
    return CT_OK;
}

/* The next batch, if there is one, and what is to be evaluated of it. */
static ct_status pull(ct_module *model, const cti_measures *measures, ct_source *source,
                      ct_batch *batch, cti_sums *sums, cti_measured *measured) {
    ct_status status = ct_source_next(source, batch);
    if (status != CT_OK || !batch->x) return status;
    return cti_measure(model, measures, CT_INFERENCE, batch, sums, measured);
}

/* Before each evaluation the ranks of a group tell how they fared up to there, and whether to stop.
 * The user's functions may evaluate before: there one that failed is missed, and all know; one that
 * is to stop goes along until all do. */
static ct_status run_pass(ct_module *model, const cti_measures *measures, ct_source *source,
                          bool (*stop)(void), bool *stopped, cti_sums *sums) {
    ct_group *group = ct_group_current();
    ct_status status = CT_OK;
    for (bool begins = true, more = true; more; begins = false) {
        int64_t scope = ct_scope_open();
        ct_batch batch = {0};
        cti_measured measured = {0};
        *stopped = stop && stop();
        bool ends = *stopped && !ct_group_current();
        if (begins) status = ct_source_seek(source, 0, 0);
        if (status == CT_OK && !ends) {
            status = pull(model, measures, source, &batch, sums, &measured);
        }
        status = cti_meet(cti_group_kept(group, status), &stopped, 1);
        more = status == CT_OK && batch.x && !*stopped;
        if (more) status = add_batch(&measured, measures, &batch, sums);
        ct_scope_close(scope);
    }
    return status;
}

static void nothing_measured(ct_evaluation *result) {
    *result = (ct_evaluation){.loss = (double)NAN, .accuracy = (double)NAN};
    cti_no_values(result->metrics);
}

ct_status cti_evaluate(const char *function, const char *what, ct_module *model,
                       const cti_measures *measures, ct_source *source, bool (*stop)(void),
                       bool *stopped, ct_evaluation *result) {
    bool ended = false;
    cti_sums sums = {0};
    ct_status status = run_pass(model, measures, source, stop, &ended, &sums);
    if (status == CT_OK && !ended && sums.items == 0) {
        status = ct_fail(CT_ERR_STATE, "%s: %s gave no batches", function, what);
    }
    if (stopped) *stopped = ended;
    nothing_measured(result);
    if (status == CT_OK && !ended) {
        result->loss = cti_sums_mean(sums.loss, sums.items);
        if (measures->metric) result->accuracy = cti_sums_mean(sums.metric, sums.items);
        result->items = sums.items;
        status = cti_sums_values(&sums, measures, result->metrics);
    }
    cti_sums_free(&sums);
    return status;
}

static ct_status check(const ct_module *model, const cti_measures *measures,
                       const ct_source *source) {
    bool measured = measures->loss || measures->objective;
    if (model && measured && source) return cti_check_measures("ct_evaluate", measures);
    return cti_null("ct_evaluate: '%s' is NULL", !model ? "model" : !measured ? "loss" : "source");
}

static ct_status evaluate(ct_module *model, const ct_loss *loss, ct_source *source,
                          ct_evaluate_options options, ct_evaluation *result) {
    cti_measures measures = {.loss = loss,
                             .objective = options.objective,
                             .context = options.context,
                             .metric = loss ? loss->metric : NULL,
                             .metrics = options.metrics,
                             .n_metrics = options.n_metrics};
    nothing_measured(result);
    cti_watch watch = cti_watch_begin();
    ct_status status = check(model, &measures, source);
    if (status == CT_OK) {
        status = cti_evaluate("ct_evaluate", "the source", model, &measures, source, NULL, NULL,
                              result);
    }
    status = cti_meet(cti_group_kept(watch.group, status), NULL, 0);
    cti_watch_end(watch);
    if (status != CT_OK) nothing_measured(result);
    return status;
}

ct_status ct_evaluate(ct_module *model, const ct_loss *loss, ct_source *source, double *mean_loss,
                      double *accuracy) {
    CTI_CALLED;
    ct_evaluation result;
    ct_status status = evaluate(model, loss, source, (ct_evaluate_options){0}, &result);
    if (mean_loss) *mean_loss = result.loss;
    if (accuracy) *accuracy = result.accuracy;
    return status;
}

ct_status ct_evaluate_with(ct_module *model, const ct_loss *loss, ct_source *source,
                           ct_evaluate_options options, ct_evaluation *result) {
    CTI_CALLED;
    if (!result) return cti_agreed(cti_null("ct_evaluate_with: 'result' is NULL"));
    return evaluate(model, loss, source, options, result);
}
