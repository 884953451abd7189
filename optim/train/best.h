/* Private: the weights of the best epoch, for ct_fit to give back at its end. */
#ifndef COTAN_BEST_H
#define COTAN_BEST_H

#include "nn/nn.h"

/* Zeros hold nothing. */
typedef struct {
    ct_slot_list slots; /* of the model */
    ct_tensor **values; /* what was in them, kept */
    int64_t epoch;      /* when that was; 0 = nothing */
} cti_best;

/* Holds what the model's slots have now instead of what was held before. On an error nothing has
 * changed. */
ct_status cti_best_hold(cti_best *best, ct_module *model, int64_t epoch);
/* Puts what is held back into the slots. Cannot fail. */
void cti_best_restore(const cti_best *best);
void cti_best_free(cti_best *best);

#endif
