/* The random keys of a layer.
 * What is made with them is the layer's business.
 * Invariant: each forward takes the next key of the layer's own stream, which is a slot and so is
 * saved with the model; a forward that is given the stream leaves the slot alone. */
#include "nn/layers/keys.h"

#include "tensor/base/hash.h"
#include "tensor/base/keys.h"
#include "tensor/value/slot_private.h"

#include <string.h>

static const char stream[] = "stream";

static ct_status write(ct_slot *slot, int64_t seed, int64_t next) {
    cti_keys *keys = cti_keys_of_thread();
    ct_tensor *key = ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){seed, next});
    if (ct_slot_write(slot, key) != CT_OK) return ct_error();
    if (next > keys->next) keys->next = next;
    return CT_OK;
}

/* Where it was drawn from before the last error of the ranks; not what was loaded or made since. */
static ct_status catch_up(ct_slot *slot) {
    const cti_keys *keys = cti_keys_of_thread();
    if (slot->value->id > keys->before) return CT_OK;
    const int64_t *now = ct_data_i64(ct_slot_read(slot));
    if (!now) return ct_error();
    return now[1] < keys->least ? write(slot, now[0], keys->least) : CT_OK;
}

ct_tensor *cti_keys_next(ct_module *self, int slot_number) {
    ct_slot *slot = self->slots[slot_number].slot;
    if (cti_replacement_of(slot)) return ct_module_read(self, slot_number);
    if (catch_up(slot) != CT_OK) return NULL;
    ct_tensor *key = ct_module_read(self, slot_number);
    const int64_t *now = ct_data_i64(key);
    if (!now) return NULL;
    uint64_t drawn = cti_mix((uint64_t)now[0], (uint64_t)now[1]);
    if (write(slot, now[0], (int64_t)((uint64_t)now[1] + 1)) != CT_OK) return NULL;
    cti_keys_of_thread()->draws += (uint32_t)drawn;
    return key;
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

static bool is_stream(const ct_named_slot *item) {
    const ct_tensor *value = item->slot->value;
    return strcmp(ct_slot_name(item->slot), stream) == 0 && ct_dtype_of(value) == CT_I64 &&
           ct_shape_equal(ct_shape_of(value), CT_SHAPE(2));
}

ct_status cti_keys_list(ct_module *model, ct_slot_list *streams) {
    if (ct_module_list(model, streams) != CT_OK) return ct_error();
    cti_slot_list_keep(streams, is_stream);
    return CT_OK;
}

ct_status cti_keys_catch_up(const ct_slot_list *slots) {
    ct_status status = CT_OK;
    int64_t scope = ct_scope_open();
    for (int64_t i = 0; i < slots->count && status == CT_OK; i++) {
        if (!is_stream(&slots->items[i])) continue;
        status = catch_up(slots->items[i].slot);
    }
    ct_scope_close(scope);
    return status;
}
