/* Private: a write in two halves, so that many slots change together or not at all, and replacement
 * of slots' values during a functional call. */
#ifndef COTAN_SLOT_PRIVATE_H
#define COTAN_SLOT_PRIVATE_H

#include "tensor/graph/node.h"
#include "tensor/slot.h"

/* The leaf that the slot would hold next; evaluates `value`. NULL with the error recorded. */
ct_tensor *cti_slot_prepare(ct_slot *slot, ct_tensor *value);
/* The second half of a write. Cannot fail. */
void cti_slot_swap(ct_slot *slot, ct_tensor *prepared);
/* A frozen slot is left alone by optimizers and staged updates, from the next commit on. Writing to
 * it is still possible. */
void cti_slot_freeze(ct_slot *slot, bool frozen);
bool cti_slot_frozen(const ct_slot *slot);
/* A value that modules read in place of the slot's own. Functional calls nest, the innermost
 * counts, and each undoes its replacements in reverse order. The slot's value does not change. */
typedef struct cti_replacement {
    ct_slot *slot;
    ct_tensor *value; /* both borrowed */
    struct cti_replacement *outer;
    bool found; /* the module that is called has this slot */
} cti_replacement;
void cti_slot_replace(cti_replacement *replacement);
void cti_slot_put_back(const cti_replacement *replacement);
cti_replacement *cti_slot_replacement(const ct_slot *slot); /* NULL: the slot's own value counts */

#endif
