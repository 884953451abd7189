/* Private: the stream of random keys of a layer, as a slot of its own. */
#ifndef COTAN_KEYS_H
#define COTAN_KEYS_H

#include "nn/module_private.h"

/* Adds the slot "stream": the i64 [2] key of the next forward in training. Its seed is drawn from
 * that of the thread, so that different layers have different streams. */
ct_status cti_keys_add(ct_module *module);
/* The key of this forward, from slot number `slot`, which gets the next one unless the key was
 * given by a functional call. */
ct_tensor *cti_keys_next(ct_module *self, int slot);
/* The slots of the model's streams; the caller frees the list. */
ct_status cti_keys_list(ct_module *model, ct_slot_list *streams);
/* Has those of the slots that are streams at the key that they draw next, where ranks go on further
 * after an error. */
ct_status cti_keys_catch_up(const ct_slot_list *slots);

#endif
