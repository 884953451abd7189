/* What is measured of a batch: the loss, or an objective, and metrics, as roots of one evaluation.
 * It evaluates nothing, and adds up what others evaluated.
 * Invariant: room for what will be added is made before the evaluation, so that adding cannot fail.
 */
#include "optim/train/train.h"

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

ct_status cti_check_measures(const char *function, const cti_measures *m) {
    if (m->objective) {
        if (!m->loss) return CT_OK;
        return ct_fail(CT_ERR_STATE, "%s: with an objective the loss must be NULL", function);
    }
    if (!m->loss) return cti_null("%s: 'loss' is NULL", function);
    if (m->loss->value || m->loss->value_with) return CT_OK;
    return ct_fail(CT_ERR_NULL, "%s: the loss '%s' has no 'value'", function,
                   m->loss->name ? m->loss->name : "");
}

/* A loss or a metric, which may be the user's own. */
static ct_tensor *one_number(const char *what, ct_tensor *value) {
    if (!value) return cti_null_in("ct_evaluate: %s returned NULL and no error", what);
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

static ct_tensor *metric_of(const cti_measures *m, const ct_output *output) {
    if (!output->prediction) {
        return ct_fail_null(CT_ERR_NULL, "ct_evaluate: a metric needs outputs[0].prediction, which "
                                         "the objective left NULL");
    }
    CTI_CALLS_USER;
    return m->metric(output->prediction, output->target);
}

ct_status cti_measure(ct_module *model, const cti_measures *m, ct_mode mode, const ct_batch *batch,
                      cti_measured *out) {
    *out = (cti_measured){.outputs[0].target = batch->y};
    ct_tensor *loss = loss_of(model, m, batch, mode, out->outputs);
    if (!m->objective && !out->outputs[0].prediction) return ct_error();
    out->roots[out->n++] = one_number(m->objective ? "an objective" : "a loss", loss);
    if (out->roots[0] && m->metric) {
        out->roots[out->n++] = one_number("a metric", metric_of(m, out->outputs));
    }
    return out->roots[out->n - 1] ? CT_OK : ct_error();
}

void cti_measured_add(const cti_measured *measured, const cti_measures *m, int64_t items,
                      cti_sums *sums) {
    cti_sums_add(sums, ct_item(measured->roots[0]),
                 m->metric ? ct_item(measured->roots[1]) : (double)NAN, items);
}
