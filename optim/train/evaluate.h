/* Private: one pass over a source in inference mode, for ct_evaluate and for validation. */
#ifndef COTAN_EVALUATE_H
#define COTAN_EVALUATE_H

#include "optim/fit.h"

typedef ct_tensor *cti_metric(ct_tensor *scores, ct_tensor *labels);

/* What a loss of the user's own may lack. */
ct_status cti_check_loss(const char *function, const ct_loss *loss);
/* One batch as scalars that are not evaluated yet; *measured stays NULL without a metric. */
ct_status cti_measure(ct_module *model, const ct_loss *loss, cti_metric *metric, ct_mode mode,
                      const ct_batch *batch, ct_tensor **value, ct_tensor **measured);
/* `what`: what messages call the source. `stop` (may be NULL) is asked before each batch; when it
 * says so, *stopped is true and the means are NaN. */
ct_status cti_evaluate(const char *function, const char *what, ct_module *model,
                       const ct_loss *loss, cti_metric *metric, ct_source *source,
                       bool (*stop)(void), bool *stopped, double *mean_loss, double *mean_metric);

#endif
