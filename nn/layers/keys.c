/* The random keys of a layer.
 * What is made with them is the layer's business.
 * Invariant: each forward takes the next key of the layer's own stream, which is a slot and so is
 * saved with the model; a forward that is given the stream leaves the slot alone. */
#include "nn/layers/keys.h"

#include "tensor/base/hash.h"
#include "tensor/ranks/exchange.h"
#include "tensor/value/draws.h"
#include "tensor/value/slot_private.h"

static const char stream[] = "stream";

ct_tensor *cti_keys_next(ct_module *self, int slot_number) {
    ct_slot *slot = self->slots[slot_number].slot;
    ct_tensor *key = ct_module_read(self, slot_number);
    if (cti_replacement_of(slot)) return key;
    const int64_t *now = ct_data_i64(key);
    if (!now) return NULL;
    int64_t next[2] = {now[0], (int64_t)((uint64_t)now[1] + 1)};
    return cti_draw_key(slot, ct_from(CT_I64, CT_SHAPE(2), next)) == CT_OK ? key : NULL;
}

ct_status cti_keys_add(ct_module *module) {
    int64_t scope = ct_scope_open();
    /* The layer's own seed: the drawn key's stream number, with the seed's bits mixed in. */
    ct_tensor *key = ct_seed_draw();
    ct_tensor *mixed = key ? ct_sum_all(ct_mul(key, ct_from(CT_I64, CT_SHAPE(2),
                                                            (int64_t[]){INT64_C(0x2545F4914F6CDD1D),
                                                                        INT64_C(0x1234567)})))
                           : NULL;
    ct_tensor *zero = ct_from(CT_I64, CT_SHAPE(1), (int64_t[]){0});
    ct_tensor *first = mixed ? CT_CONCAT(0, ct_reshape(mixed, CT_SHAPE(1)), zero) : NULL;
    ct_status status = ct_module_add_slot(module, stream, first, false);
    ct_scope_close(scope);
    return status;
}
