/* The record of a training run: epochs, and steps when asked for.
 * It measures nothing itself.
 * Invariant: an array of n records has room for the next power of two from n on, at least 16. */
#include "optim/train/history.h"

#include "tensor/base/alloc.h"

#include <math.h>

#define FIRST_CAPACITY 16

/* True when n records fill the array that holds them. */
static bool is_full(int64_t n) { return n == 0 || (n >= FIRST_CAPACITY && (n & (n - 1)) == 0); }

static void *grown(void *records, int64_t n, size_t size) {
    return cti_realloc(records, n ? 2 * (size_t)n : FIRST_CAPACITY, size);
}

ct_status cti_history_reserve_epoch(ct_history *history) {
    if (!is_full(history->n_epochs)) return CT_OK;
    ct_epoch *epochs = grown(history->epochs, history->n_epochs, sizeof *epochs);
    if (!epochs) return CT_ERR_MEMORY;
    history->epochs = epochs;
    return CT_OK;
}

ct_status cti_history_reserve_step(ct_history *history) {
    if (!is_full(history->n_steps)) return CT_OK;
    ct_step_record *steps = grown(history->steps, history->n_steps, sizeof *steps);
    if (!steps) return CT_ERR_MEMORY;
    history->steps = steps;
    return CT_OK;
}

void ct_history_free(ct_history *history) {
    if (!history) return;
    cti_free(history->epochs);
    cti_free(history->steps);
    *history = (ct_history){0};
}

void cti_sums_add(cti_sums *sums, double loss, double metric, int64_t items) {
    sums->loss += loss * (double)items;
    sums->metric += metric * (double)items;
    sums->items += items;
}

double cti_sums_mean(double sum, int64_t items) {
    return items > 0 ? sum / (double)items : (double)NAN;
}
