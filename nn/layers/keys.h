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
/* Of the keys as they are, where the current group has other ranks that have to draw the same. */
ct_status cti_keys_hash(const ct_slot_list *streams, uint64_t *hash);
/* After an error that all ranks of the current group have: some may have drawn keys that others
 * have not. These streams, and that of ct_seed_draw, become those of rank 0; where one has NULL for
 * them, nothing does. */
void cti_keys_meet(const ct_slot_list *streams);

#endif
