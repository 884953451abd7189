/* Slots: the only thing that changes. A slot holds one evaluated tensor; a parameter, a moving
 * statistic and an optimizer's moment are slots. Reference counted. A slot belongs to one thread,
 * but while it is frozen (ct_module_freeze) and not written to, any thread may read it. */
#ifndef COTAN_SLOT_H
#define COTAN_SLOT_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

typedef struct ct_slot ct_slot;

/* A slot with an initial value (evaluated and detached). The name goes to the leaf. The caller
 * owns one reference. A slot is the same on all ranks (varying.h): a value that varies is an error,
 * CT_ERR_STATE, also of ct_slot_write. */
ct_slot *ct_slot_new(const char *name, ct_tensor *initial);
ct_slot *ct_slot_keep(ct_slot *slot); /* one reference more */
void ct_slot_drop(ct_slot *slot);     /* one less; takes NULL */
/* The value now, as a leaf. It stays what it is when the slot changes. Another thread than the one
 * that made the slot gets a leaf of its own for each reading, while the slot is frozen. */
ct_tensor *ct_slot_read(ct_slot *slot);
/* Replaces the value; shape and dtype stay. Evaluates first, so an error changes nothing. */
ct_status ct_slot_write(ct_slot *slot, ct_tensor *value);
const char *ct_slot_name(const ct_slot *slot); /* as it was made with */
/* True for the leaf that the slot holds now. */
bool ct_slot_holds(const ct_slot *slot, const ct_tensor *t);

CT_C_END

#endif
