/* The weights of the best epoch: the tensors that were in the model's slots, held by reference.
 * Which epoch is the best one is decided elsewhere.
 * Invariant: values never change, so holding them copies nothing, and giving back is pointer swaps
 * that cannot fail. */
#include "optim/train/train.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/value/slot_private.h"

ct_status cti_best_make(cti_best *best, ct_module *model, int64_t epoch,
                        ct_tensor *const values[]) {
    cti_best next = {.epoch = epoch};
    int64_t scope = ct_scope_open();
    ct_status status = ct_module_list(model, &next.slots);
    if (status == CT_OK) {
        next.values = cti_alloc((size_t)next.slots.count, sizeof(ct_tensor *));
        if (!next.values) status = CT_ERR_MEMORY;
    }
    for (int64_t i = 0; i < next.slots.count; i++) ct_slot_keep(next.slots.items[i].slot);
    for (int64_t i = 0; i < next.slots.count && status == CT_OK; i++) {
        next.values[i] = ct_keep(values ? values[i] : ct_slot_read(next.slots.items[i].slot));
        if (!next.values[i]) status = ct_error();
    }
    ct_scope_close(scope);
    if (status == CT_OK) {
        cti_best old = *best;
        *best = next;
        next = old;
    }
    cti_best_free(&next);
    return status;
}

ct_status cti_best_check(const char *function, const cti_best *best, ct_module *model) {
    ct_slot_list list;
    if (best->epoch == 0) return CT_OK;
    if (ct_module_list(model, &list) != CT_OK) return ct_error();
    bool same = list.count == best->slots.count;
    for (int64_t i = 0; i < list.count && same; i++) {
        same = list.items[i].slot == best->slots.items[i].slot;
    }
    ct_slot_list_free(&list);
    if (same) return CT_OK;
    return ct_fail(CT_ERR_STATE, "%s: 'best' holds the weights of another model", function);
}

void cti_best_restore(const cti_best *best) {
    for (int64_t i = 0; i < best->slots.count; i++) {
        cti_slot_swap(best->slots.items[i].slot, best->values[i]);
    }
}

ct_status cti_best_hash(const cti_best *best, uint64_t *hash) {
    *hash = (uint64_t)best->epoch;
    for (int64_t i = 0; i < best->slots.count; i++) {
        if (cti_mix_value(hash, best->values[i]) != CT_OK) return ct_error();
    }
    return CT_OK;
}

void cti_best_free(cti_best *best) {
    for (int64_t i = 0; best->values && i < best->slots.count; i++) ct_drop(best->values[i]);
    for (int64_t i = 0; i < best->slots.count; i++) ct_slot_drop(best->slots.items[i].slot);
    cti_free(best->values);
    ct_slot_list_free(&best->slots);
    *best = (cti_best){0};
}

ct_best *ct_best_new(void) {
    CTI_CALLED;
    return cti_alloc(1, sizeof(ct_best));
}

int64_t ct_best_epoch(const ct_best *best) { return best ? best->epoch : 0; }

void ct_best_free(ct_best *best) {
    if (!best) return;
    cti_best_free(best);
    cti_free(best);
}
