/* Private: what a slot is made of, and a write in two halves, so that many slots change together or
 * not at all. */
#ifndef COTAN_SLOT_PRIVATE_H
#define COTAN_SLOT_PRIVATE_H

#include "tensor/graph/node.h"
#include "tensor/slot.h"

/* A value that modules read in place of the slot's own during a functional call. Calls nest: the
 * innermost counts, and each restores `outer` at its end, its last slot first. */
typedef struct cti_replacement {
    ct_slot *slot;
    ct_tensor *value; /* both borrowed */
    struct cti_replacement *outer;
    bool found; /* the module that is called has this slot */
} cti_replacement;

struct ct_slot {
    int64_t refs;
    uint64_t id;
    const char *name;  /* interned */
    const char *owner; /* what `here` is in the thread that made it */
    bool frozen;       /* optimizers and staged updates leave it alone, from the next commit on */
    ct_tensor *value;
    cti_replacement *replacement; /* of the innermost functional call; NULL: none */
};

/* The leaf that the slot would hold next; evaluates `value`. NULL with the error recorded. */
ct_tensor *cti_slot_prepare(ct_slot *slot, ct_tensor *value);
/* The second half of a write. Cannot fail. */
void cti_slot_swap(ct_slot *slot, ct_tensor *prepared);

#endif
