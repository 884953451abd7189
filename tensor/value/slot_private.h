/* Private: what a slot is made of, and a write in two halves, so that many slots change together or
 * not at all. */
#ifndef COTAN_SLOT_PRIVATE_H
#define COTAN_SLOT_PRIVATE_H

#include "tensor/graph/node.h"
#include "tensor/slot.h"

struct ct_slot {
    int64_t refs;
    uint64_t id;
    const char *name;  /* interned */
    const char *owner; /* what `here` is in the thread that made it */
    bool frozen;       /* optimizers and staged updates leave it alone, from the next commit on */
    ct_tensor *value;
};

/* What this thread's modules read in place of slots' own values during a functional call. Calls
 * nest: the innermost that replaces a slot counts. The caller owns the lists and closes what it has
 * opened, the last one first. */
typedef struct {
    const ct_slot *slot;
    ct_tensor *value; /* both borrowed */
    bool found;       /* the module that is called has this slot */
} cti_replacement;
typedef struct cti_replacements {
    cti_replacement *items;
    int64_t count;
    const struct cti_replacements *outer;
} cti_replacements;
void cti_replacements_open(cti_replacements *list);
void cti_replacements_close(void);
/* The value that counts, or NULL. Of two for one slot in a list that is the later one. */
ct_tensor *cti_replacement_of(const ct_slot *slot);
cti_replacement *cti_replacement_in(const cti_replacements *list, const ct_slot *slot);

/* The leaf that the slot would hold next; evaluates `value`. NULL with the error recorded. */
ct_tensor *cti_slot_prepare(ct_slot *slot, ct_tensor *value);
/* The second half of a write. Cannot fail. */
void cti_slot_swap(ct_slot *slot, ct_tensor *prepared);

#endif
