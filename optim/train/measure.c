/* What is measured of a batch: the loss, or an objective, and metrics, as roots of one evaluation.
 * It evaluates nothing, and adds up what others evaluated.
 * Invariant: room for sums is made before the evaluation, so that adding cannot fail. */
#include "optim/train/train.h"

#include "nn/options_private.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/varying.h"

#include <math.h>
#include <string.h>

/* --- Checks ----------------------------------------------------------------------------------- */

static ct_status check_metric(const char *function, const ct_metric *metric, int64_t i) {
    if (!metric->name || !metric->sums || !metric->value) {
        return ct_fail(CT_ERR_NULL, "%s: metrics[%lld] has no '%s'", function, (long long)i,
                       !metric->name   ? "name"
                       : !metric->sums ? "sums"
                                       : "value");
    }
    if (metric->output >= 0 && metric->output < CT_OUTPUTS) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: the output of metric '%s' must be in 0..%d, got %d", function,
                   metric->name, CT_OUTPUTS - 1, metric->output);
}

bool cti_lists_metric(const ct_metric metrics[], int64_t n, const char *name) {
    for (int64_t i = 0; i < n; i++) {
        if (strcmp(metrics[i].name, name) == 0) return true;
    }
    return false;
}

static ct_status check_metrics(const char *function, const cti_measures *m) {
    ct_status status = cti_check_list(function, "metrics", m->metrics, "n_metrics", m->n_metrics);
    if (status == CT_OK && m->n_metrics > CT_METRICS) {
        return ct_fail(CT_ERR_RANGE, "%s: n_metrics must be 0..%d, got %lld", function, CT_METRICS,
                       (long long)m->n_metrics);
    }
    for (int64_t i = 0; i < m->n_metrics && status == CT_OK; i++) {
        status = check_metric(function, &m->metrics[i], i);
        for (int64_t k = 0; k < i && status == CT_OK; k++) {
            if (strcmp(m->metrics[i].name, m->metrics[k].name) != 0) continue;
            status = ct_fail(CT_ERR_STATE,
                             "%s: metrics[%lld] and metrics[%lld] are both named '%s'; a copy "
                             "with another name is one more metric",
                             function, (long long)k, (long long)i, m->metrics[i].name);
        }
    }
    return status;
}

ct_status cti_check_measures(const char *function, const cti_measures *m) {
    if (check_metrics(function, m) != CT_OK) return ct_error();
    if (m->objective) {
        if (!m->loss) return CT_OK;
        return ct_fail(CT_ERR_STATE, "%s: with an objective the loss must be NULL", function);
    }
    if (!m->loss) return cti_null("%s: 'loss' is NULL, and there is no objective", function);
    if (m->loss->value || m->loss->value_with) return CT_OK;
    return ct_fail(CT_ERR_NULL, "%s: the loss '%s' has no 'value'", function,
                   m->loss->name ? m->loss->name : "");
}

/* --- One batch -------------------------------------------------------------------------------- */

static bool is_replicated(const char *what, ct_tensor *value) {
    int axis = ct_varying_axis(value);
    if (axis < 0) return true;
    ct_fail(CT_ERR_STATE,
            "ct_evaluate: %s varies between ranks along axis %d, so each would have another one; "
            "sum over it (ct_sum)",
            what, axis);
    return false;
}

/* A loss or a metric, which may be the user's own. */
static ct_tensor *one_number(const char *what, ct_tensor *value) {
    if (!value) return cti_null_in("ct_evaluate: %s returned NULL and no error", what);
    if (!is_replicated(what, value)) return NULL;
    if (ct_numel(value) == 1) return value;
    return ct_fail_null(CT_ERR_SHAPE, "ct_evaluate: %s must be one number, got %s", what,
                        ct_shape_format(ct_shape_of(value)).text);
}

static ct_tensor *loss_of(ct_module *model, const cti_measures *m, const ct_batch *batch,
                          ct_mode mode, ct_output outputs[]) {
    if (m->objective) {
        CTI_CALLS_USER;
        return m->objective(m->context, model, batch, mode, outputs);
    }
    ct_tensor *prediction = m->loss->from_logits ? ct_logits(model, batch->x, mode)
                                                 : ct_forward(model, batch->x, mode);
    outputs[0].prediction = prediction;
    return prediction ? ct_loss_of(m->loss, prediction, batch->y) : NULL;
}

static const ct_output *output_of(const cti_measures *m, const cti_measured *measured, int number) {
    const ct_output *output = &measured->outputs[number];
    if (output->prediction) return output;
    return ct_fail_null(CT_ERR_NULL, "ct_evaluate: a metric needs outputs[%d].prediction, which %s",
                        number, m->objective ? "the objective left NULL" : "no loss gives");
}

static ct_tensor *metric_of(const cti_measures *m, const cti_measured *measured) {
    const ct_output *output = output_of(m, measured, 0);
    if (!output) return NULL;
    CTI_CALLS_USER;
    return m->metric(output->prediction, output->target);
}

static ct_tensor *sums_of(const cti_measures *m, const ct_metric *metric,
                          const cti_measured *measured) {
    const ct_output *output = output_of(m, measured, metric->output);
    if (!output) return NULL;
    CTI_CALLS_USER;
    return metric->sums(metric, output->prediction, output->target);
}

static ct_tensor *checked_sums(const ct_metric *metric, ct_tensor *sums) {
    if (!sums) {
        return cti_null_in("ct_evaluate: 'sums' of metric '%s' returned NULL and no error",
                           metric->name);
    }
    if (!is_replicated(metric->name, sums)) return NULL;
    if (ct_dtype_of(sums) == CT_F64 && ct_shape_of(sums).rank <= 1 && ct_numel(sums) > 0) {
        return sums;
    }
    return ct_fail_null(CT_ERR_SHAPE, "ct_evaluate: sums of metric '%s' must be f64 [n], got %s %s",
                        metric->name, ct_dtype_name(ct_dtype_of(sums)),
                        ct_shape_format(ct_shape_of(sums)).text);
}

/* Room for n sums of metric number i. */
static ct_status make_room(cti_sums *sums, const ct_metric *metric, int64_t i, int64_t n) {
    if (metric->counts && metric->n_counts != n) {
        return ct_fail(CT_ERR_SHAPE,
                       "ct_evaluate: metric '%s' has %lld sums, and counts room for %lld",
                       metric->name, (long long)n, (long long)metric->n_counts);
    }
    if (!sums->metrics[i].sums) {
        sums->metrics[i].sums = cti_alloc((size_t)n, sizeof(double));
        sums->metrics[i].n = n;
    }
    if (!sums->metrics[i].sums) return CT_ERR_MEMORY;
    if (sums->metrics[i].n == n) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "ct_evaluate: metric '%s' has %lld sums, before it had %lld",
                   metric->name, (long long)n, (long long)sums->metrics[i].n);
}

ct_status cti_measure(ct_module *model, const cti_measures *m, ct_mode mode, const ct_batch *batch,
                      cti_sums *sums, cti_measured *out) {
    *out = (cti_measured){.outputs[0].target = batch->y};
    ct_tensor *loss = loss_of(model, m, batch, mode, out->outputs);
    if (!m->objective && !out->outputs[0].prediction) return ct_error();
    out->roots[out->n++] = one_number(m->objective ? "an objective" : "a loss", loss);
    if (out->roots[0] && m->metric) {
        out->roots[out->n++] = one_number("a metric", metric_of(m, out));
    }
    out->first_sums = out->n;
    for (int64_t i = 0; i < m->n_metrics && out->roots[out->n - 1]; i++) {
        ct_tensor *t = checked_sums(&m->metrics[i], sums_of(m, &m->metrics[i], out));
        if (!t || make_room(sums, &m->metrics[i], i, ct_numel(t)) != CT_OK) return ct_error();
        out->roots[out->n++] = t;
    }
    return out->roots[out->n - 1] ? CT_OK : ct_error();
}

/* --- Many batches ----------------------------------------------------------------------------- */

void cti_measured_add(const cti_measured *measured, const cti_measures *m, int64_t items,
                      cti_sums *sums) {
    double metric = m->metric ? ct_item(measured->roots[1]) : (double)NAN;
    sums->loss += ct_item(measured->roots[0]) * (double)items;
    sums->metric += metric * (double)items;
    sums->items += items;
    for (int64_t i = 0; i < m->n_metrics; i++) {
        const double *more = ct_data(measured->roots[measured->first_sums + i]);
        for (int64_t k = 0; k < sums->metrics[i].n && more; k++) {
            sums->metrics[i].sums[k] += more[k];
        }
    }
}

double cti_sums_mean(double sum, int64_t items) {
    return items > 0 ? sum / (double)items : (double)NAN;
}

void cti_no_values(double values[CT_METRICS]) {
    for (int i = 0; i < CT_METRICS; i++) values[i] = (double)NAN;
}

static int errors(void) { return ct_error() == CT_OK ? 0 : 1 + ct_error_count(); }

ct_status cti_sums_values(const cti_sums *sums, const cti_measures *m, double values[CT_METRICS]) {
    int before = errors();
    cti_no_values(values);
    for (int64_t i = 0; i < m->n_metrics; i++) {
        const ct_metric *metric = &m->metrics[i];
        const double *all = sums->metrics[i].sums;
        if (!all) continue;
        CTI_CALLS_USER;
        values[i] = metric->value(metric, all, sums->metrics[i].n);
        size_t bytes = (size_t)sums->metrics[i].n * sizeof *all;
        if (metric->counts) memcpy(metric->counts, all, bytes);
    }
    return errors() == before ? CT_OK : ct_error();
}

void cti_sums_free(cti_sums *sums) {
    for (int i = 0; i < CT_METRICS; i++) cti_free(sums->metrics[i].sums);
    *sums = (cti_sums){0};
}
