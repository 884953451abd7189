/* The random keys of a layer.
 * What is made with them is the layer's business.
 * Invariant: each forward takes the next key of the layer's own stream, which is a slot and so is
 * saved with the model; a forward that is given the stream leaves the slot alone. */
#include "nn/layers/keys.h"

#include "tensor/base/hash.h"
#include "tensor/graph/node.h"
#include "tensor/ranks/exchange.h"
#include "tensor/value/slot_private.h"

#include <string.h>

static const char stream[] = "stream";

ct_tensor *cti_keys_next(ct_module *self, int slot_number) {
    ct_slot *slot = self->slots[slot_number].slot;
    ct_tensor *key = ct_module_read(self, slot_number);
    if (cti_replacement_of(slot)) return key;
    const int64_t *now = ct_data_i64(key);
    if (!now) return NULL;
    int64_t next[2] = {now[0], (int64_t)((uint64_t)now[1] + 1)};
    return ct_slot_write(slot, ct_from(CT_I64, CT_SHAPE(2), next)) == CT_OK ? key : NULL;
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

/* --- Ranks ------------------------------------------------------------------------------------ */

/* A seed of the rank's own stays. */
static ct_status meet_seed(ct_group *group, const ct_slot_list *streams) {
    int64_t mine[2], first[2];
    cti_seed_state(mine);
    memcpy(first, mine, sizeof first);
    cti_entry entry = {.hash = cti_call_hash("seed")};
    if (!streams) entry.status = ct_error();
    else entry.hash = cti_mix(entry.hash, (uint64_t)streams->count);
    ct_status status = cti_spread(group, entry, first, sizeof first);
    if (status == CT_OK && first[0] == mine[0]) cti_seed_restore(first);
    return status;
}

/* A rank that has no room for a key tells in place of it. */
static ct_status meet_stream(ct_group *group, const ct_named_slot *item) {
    const int64_t *now = ct_data_i64(ct_slot_read(item->slot));
    ct_tensor *own = now ? ct_from(CT_I64, CT_SHAPE(2), now) : NULL;
    ct_tensor *key = cti_slot_prepare(item->slot, own);
    int64_t none[2];
    cti_entry entry = {.hash = cti_mix_text(cti_call_hash("stream"), item->path),
                       .status = key ? CT_OK : ct_error()};
    ct_status status = cti_spread(group, entry, key ? key->buffer->data : none, sizeof none);
    if (status == CT_OK) cti_slot_swap(item->slot, key);
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

ct_status cti_keys_hash(const ct_slot_list *streams, uint64_t *hash) {
    *hash = 0;
    if (ct_group_size(ct_group_current()) == 1) return CT_OK;
    for (int64_t i = 0; i < streams->count; i++) {
        const int64_t *now = ct_data_i64(ct_slot_read(streams->items[i].slot));
        if (!now) return ct_error();
        *hash = cti_mix_bytes(*hash, now, 2 * sizeof *now);
    }
    return CT_OK;
}

void cti_keys_meet(const ct_slot_list *streams) {
    ct_group *group = ct_group_current();
    if (ct_group_size(group) == 1) return;
    int64_t scope = ct_scope_open();
    ct_status status = meet_seed(group, streams);
    for (int64_t i = 0; status == CT_OK && i < streams->count; i++) {
        status = meet_stream(group, &streams->items[i]);
    }
    ct_scope_close(scope);
}
