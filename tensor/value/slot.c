/* Slots: named places for evaluated leaves.
 * A slot takes no part in graphs: a graph holds the leaf that was in it.
 * Invariant: the value is always evaluated, has no history, and is replaced by a pointer swap
 * that cannot fail. */
#include "tensor/slot.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/value/slot_private.h"

#include <stdatomic.h>

/* Its address tells living threads apart. */
static _Thread_local char here;

/* A leaf that says which slot it belongs to. */
static ct_tensor *leaf_for(const ct_slot *slot, ct_tensor *value) {
    ct_tensor *leaf = ct_detach(value);
    if (!leaf) return NULL;
    leaf->name = slot->name;
    leaf->slot = slot->id;
    return leaf;
}

/* `which` value: the new one, or the initial one. */
static ct_status check_replicated(const char *function, const char *name, const char *which,
                                  const ct_tensor *value) {
    if (!value->rows) return CT_OK;
    return ct_fail(CT_ERR_STATE,
                   "%s: '%s' is the same on all ranks, the %s value varies along axis %d", function,
                   name ? name : "", which, value->batch);
}

ct_slot *ct_slot_new(const char *name, ct_tensor *initial) {
    CTI_CALLED;
    static atomic_uint_least64_t ids;
    if (!initial) return cti_null_in("ct_slot_new: 'initial' is NULL");
    if (check_replicated("ct_slot_new", name, "initial", initial) != CT_OK) return NULL;
    ct_slot *slot = cti_alloc(1, sizeof *slot);
    if (!slot) return NULL;
    slot->refs = 1;
    slot->owner = &here;
    slot->id = atomic_fetch_add(&ids, 1) + 1;
    slot->name = cti_intern(name);
    ct_tensor *leaf = slot->name ? leaf_for(slot, initial) : NULL;
    if (!leaf) {
        cti_free(slot);
        return NULL;
    }
    slot->value = ct_keep(leaf);
    return slot;
}

ct_slot *ct_slot_keep(ct_slot *slot) {
    if (slot) slot->refs++;
    return slot;
}

void ct_slot_drop(ct_slot *slot) {
    if (!slot || --slot->refs > 0) return;
    ct_drop(slot->value);
    cti_free(slot);
}

ct_tensor *ct_slot_read(ct_slot *slot) {
    if (!slot) return cti_null_in("ct_slot_read: 'slot' is NULL");
    /* Walks mark the leaves that they meet, so threads that share a value have a leaf each. */
    return slot->frozen && slot->owner != &here ? leaf_for(slot, slot->value)
                                                : ct_scope_add(slot->value);
}

ct_tensor *cti_slot_prepare(ct_slot *slot, ct_tensor *value) {
    if (!slot || !value) return NULL;
    const ct_tensor *old = slot->value;
    if (check_replicated("ct_slot_write", slot->name, "new", value) != CT_OK) return NULL;
    if (value->dtype != old->dtype || !ct_shape_equal(value->shape, old->shape)) {
        return ct_fail_null(CT_ERR_SHAPE, "ct_slot_write: '%s' is %s %s, the new value is %s %s",
                            slot->name, ct_dtype_name(old->dtype), ct_shape_format(old->shape).text,
                            ct_dtype_name(value->dtype), ct_shape_format(value->shape).text);
    }
    return leaf_for(slot, value);
}

void cti_slot_swap(ct_slot *slot, ct_tensor *prepared) { ct_set(&slot->value, prepared); }

ct_status ct_slot_write(ct_slot *slot, ct_tensor *value) {
    CTI_CALLED;
    if (!slot || !value) return cti_null("ct_slot_write: '%s' is NULL", slot ? "value" : "slot");
    ct_tensor *leaf = cti_slot_prepare(slot, value);
    if (!leaf) return ct_error();
    cti_slot_swap(slot, leaf);
    return CT_OK;
}

const char *ct_slot_name(const ct_slot *slot) { return slot ? slot->name : ""; }

bool ct_slot_holds(const ct_slot *slot, const ct_tensor *t) { return slot && slot->value == t; }

/* --- Replacements ----------------------------------------------------------------------------- */

static _Thread_local const cti_replacements *innermost;

void cti_replacements_open(cti_replacements *list) {
    list->outer = innermost;
    innermost = list;
}

void cti_replacements_close(void) { innermost = innermost->outer; }

cti_replacement *cti_replacement_in(const cti_replacements *list, const ct_slot *slot) {
    int64_t i = list->count - 1;
    while (i >= 0 && list->items[i].slot != slot) i--;
    return i >= 0 ? &list->items[i] : NULL;
}

ct_tensor *cti_replacement_of(const ct_slot *slot) {
    for (const cti_replacements *list = innermost; list; list = list->outer) {
        const cti_replacement *given = cti_replacement_in(list, slot);
        if (given) return given->value;
    }
    return NULL;
}
