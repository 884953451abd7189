/* Private: a commit in two halves, so that many slots change together or not at all, and values
 * that stand in for those of slots during a call. */
#ifndef COTAN_SLOT_PRIVATE_H
#define COTAN_SLOT_PRIVATE_H

#include "tensor/graph/node.h"
#include "tensor/slot.h"

/* The leaf that the slot would hold next; evaluates `value`. NULL with the error recorded. */
ct_tensor *cti_slot_prepare(ct_slot *slot, ct_tensor *value);
/* Puts a prepared leaf in. Cannot fail. */
void cti_slot_swap(ct_slot *slot, ct_tensor *prepared);
/* A frozen slot is left alone by optimizers and staged updates, from the next commit on. Writing to
 * it is still possible. */
void cti_slot_freeze(ct_slot *slot, bool frozen);
bool cti_slot_frozen(const ct_slot *slot);
/* A value that modules read in place of the slot's own. Calls nest, and the innermost one counts;
 * each puts back what it has replaced, the last first. The slot itself does not change. */
typedef struct cti_replacement {
    ct_slot *slot;
    ct_tensor *value; /* both borrowed */
    struct cti_replacement *outer;
    bool found; /* the slot is one of the module that is called */
} cti_replacement;
void cti_slot_replace(cti_replacement *replacement);
void cti_slot_put_back(const cti_replacement *replacement);
cti_replacement *cti_slot_replacement(const ct_slot *slot); /* NULL: the slot's own value counts */

#endif
