/* Evaluation and prediction: passes over data in inference mode.
 * Nothing is trained and no slot changes.
 * Invariant: every item counts once, whatever the size of its batch; the memory of a batch is gone
 * before the next one. */
#include "optim/train/train.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"

#include <math.h>

void cti_sums_add(cti_sums *sums, double loss, double metric, int64_t items) {
    sums->loss += loss * (double)items;
    sums->metric += metric * (double)items;
    sums->items += items;
}

double cti_sums_mean(double sum, int64_t items) {
    return items > 0 ? sum / (double)items : (double)NAN;
}

ct_status cti_check_loss(const char *function, const ct_loss *loss) {
    if (loss->value) return CT_OK;
    return ct_fail(CT_ERR_NULL, "%s: the loss '%s' has no 'value'", function,
                   loss->name ? loss->name : "");
}

/* One number of a loss or a metric, which may be the user's own. */
static ct_tensor *measure(cti_metric *function, const char *what, ct_tensor *prediction,
                          ct_tensor *target) {
    ct_tensor *value;
    {
        CTI_CALLS_USER;
        value = function(prediction, target);
    }
    if (!value) return cti_null_in("ct_evaluate: %s returned NULL and no error", what);
    if (ct_numel(value) == 1) return value;
    return ct_fail_null(CT_ERR_SHAPE, "ct_evaluate: %s must be one number, got %s", what,
                        ct_shape_format(ct_shape_of(value)).text);
}

ct_status cti_measure(ct_module *model, const ct_loss *loss, cti_metric *metric, ct_mode mode,
                      const ct_batch *batch, ct_tensor **value, ct_tensor **measured) {
    ct_tensor *prediction = loss->from_logits ? ct_logits(model, batch->x, mode)
                                              : ct_forward(model, batch->x, mode);
    *value = prediction ? measure(loss->value, "a loss", prediction, batch->y) : NULL;
    *measured = *value && metric ? measure(metric, "a metric", prediction, batch->y) : NULL;
    return *value && (!metric || *measured) ? CT_OK : ct_error();
}

static ct_status add_batch(ct_module *model, const ct_loss *loss, cti_metric *metric,
                           const ct_batch *batch, cti_sums *sums) {
    ct_tensor *roots[2];
    ct_status status = cti_measure(model, loss, metric, CT_INFERENCE, batch, &roots[0], &roots[1]);
    if (status == CT_OK) status = ct_eval(roots, metric ? 2 : 1);
    if (status != CT_OK) return status;
    cti_sums_add(sums, ct_item(roots[0]), metric ? ct_item(roots[1]) : (double)NAN,
                 ct_dim(batch->x, 0));
    return CT_OK;
}

static ct_status run_pass(ct_module *model, const ct_loss *loss, cti_metric *metric,
                          ct_source *source, bool (*stop)(void), bool *stopped, cti_sums *sums) {
    if (ct_source_seek(source, 0, 0) != CT_OK) return ct_error();
    for (bool more = true; more;) {
        if (stop && (*stopped = stop())) return CT_OK;
        int64_t scope = ct_scope_open();
        ct_batch batch = {0};
        ct_status status = ct_source_next(source, &batch);
        more = status == CT_OK && batch.x;
        if (more) status = add_batch(model, loss, metric, &batch, sums);
        ct_scope_close(scope);
        if (status != CT_OK) return status;
    }
    return CT_OK;
}

ct_status cti_evaluate(const char *function, const char *what, ct_module *model,
                       const ct_loss *loss, cti_metric *metric, ct_source *source,
                       bool (*stop)(void), bool *stopped, double *mean_loss, double *mean_metric) {
    bool ended = false;
    cti_sums sums = {0};
    ct_status status = run_pass(model, loss, metric, source, stop, &ended, &sums);
    if (status == CT_OK && !ended && sums.items == 0) {
        status = ct_fail(CT_ERR_STATE, "%s: %s gave no batches", function, what);
    }
    if (stopped) *stopped = ended;
    bool whole = status == CT_OK && !ended;
    *mean_loss = whole ? cti_sums_mean(sums.loss, sums.items) : (double)NAN;
    *mean_metric = whole && metric ? cti_sums_mean(sums.metric, sums.items) : (double)NAN;
    return status;
}

ct_status ct_evaluate(ct_module *model, const ct_loss *loss, ct_source *source, double *mean_loss,
                      double *accuracy) {
    CTI_CALLED;
    double values[2] = {(double)NAN, (double)NAN};
    ct_status status = CT_OK;
    if (!model || !loss || !source) {
        status = cti_null("ct_evaluate: '%s' is NULL", !model  ? "model"
                                                       : !loss ? "loss"
                                                               : "source");
    } else {
        status = cti_check_loss("ct_evaluate", loss);
        if (status == CT_OK) {
            status = cti_evaluate("ct_evaluate", "the source", model, loss, loss->metric, source,
                                  NULL, NULL, &values[0], &values[1]);
        }
    }
    if (mean_loss) *mean_loss = values[0];
    if (accuracy) *accuracy = values[1];
    return status;
}

/* --- Prediction ------------------------------------------------------------------------------- */

/* The rows are taken by index, because indices are data and slices would be a plan each. */
static ct_tensor *predict_rows(ct_module *model, ct_tensor *x, int64_t first, int64_t end) {
    int64_t scope = ct_scope_open();
    ct_tensor *rows = ct_arange(CT_I64, (double)first, (double)end, 1);
    ct_tensor *y = ct_detach(ct_forward(model, ct_take(x, rows), CT_INFERENCE));
    return ct_scope_yield(scope, y);
}

static ct_tensor *predict_all(ct_module *model, ct_tensor *x, int64_t batch) {
    int64_t rows = ct_dim(x, 0), n = rows / batch + (rows % batch != 0);
    if (n <= 1) return ct_detach(ct_forward(model, x, CT_INFERENCE));
    if (!ct_data(x)) return NULL; /* once, not once per batch */
    ct_tensor **parts = cti_alloc((size_t)n, sizeof *parts);
    if (!parts) return NULL;
    int64_t made = 0;
    while (made < n) {
        int64_t first = made * batch, end = rows - first > batch ? first + batch : rows;
        if (!(parts[made] = predict_rows(model, x, first, end))) break;
        made++;
    }
    ct_tensor *whole = made == n ? ct_detach(ct_concat(parts, n, 0)) : NULL;
    cti_free(parts);
    return whole;
}

ct_tensor *ct_predict(ct_module *model, ct_tensor *x, int64_t batch) {
    CTI_CALLED;
    if (!model || !x) return cti_null_in("ct_predict: '%s' is NULL", model ? "x" : "model");
    if (batch < 0) {
        return ct_fail_null(CT_ERR_RANGE, "ct_predict: batch must be >= 0, got %lld",
                            (long long)batch);
    }
    if (ct_shape_of(x).rank == 0) {
        return ct_fail_null(CT_ERR_SHAPE, "ct_predict: x needs rank >= 1, got a scalar");
    }
    int64_t scope = ct_scope_open();
    return ct_scope_yield(scope, predict_all(model, x, batch ? batch : 256));
}
