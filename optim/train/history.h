/* Private: how a history grows. */
#ifndef COTAN_HISTORY_H
#define COTAN_HISTORY_H

#include "optim/fit.h"

/* Makes room for one more record, so that adding it cannot fail. */
ct_status cti_history_reserve_epoch(ct_history *history);
ct_status cti_history_reserve_step(ct_history *history);

/* A mean over items, kept as the sum over batches of (mean times size). */
typedef struct {
    double loss, metric;
    int64_t items;
} cti_sums;

/* `loss` and `metric` are evaluated scalars; metric may be NULL. */
void cti_sums_add(cti_sums *sums, double loss, double metric, int64_t items);
double cti_sums_mean(double sum, int64_t items); /* NaN without items */

#endif
