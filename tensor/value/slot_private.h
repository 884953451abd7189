/* Private: a commit in two halves, so that many slots change together or not at all. */
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
/* Never 0; a leaf's `slot` field is the id of the slot that made it. */
uint64_t cti_slot_id(const ct_slot *slot);

#endif
