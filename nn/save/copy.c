/* Weights of a model given to another one of the same slots.
 * It reads no file; weights.c does.
 * Invariant: every slot changes or none. Values never change, so both models hold the same ones. */
#include "nn/weights.h"

#include "nn/layers/keys.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/value/slot_private.h"

#include <string.h>

/* The item of this path, which is mostly number `hint`. */
static const ct_named_slot *find(const ct_slot_list *list, const char *path, int64_t hint) {
    if (hint < list->count && strcmp(list->items[hint].path, path) == 0) return &list->items[hint];
    for (int64_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].path, path) == 0) return &list->items[i];
    }
    return NULL;
}

static ct_status check_type(const char *path, ct_tensor *here, ct_tensor *there) {
    if (!here || !there) return ct_error();
    if (!ct_shape_equal(ct_shape_of(here), ct_shape_of(there))) {
        return ct_fail(CT_ERR_SHAPE, "ct_weights_copy: '%s' is %s here, %s there", path,
                       ct_shape_format(ct_shape_of(here)).text,
                       ct_shape_format(ct_shape_of(there)).text);
    }
    if (ct_dtype_of(here) == ct_dtype_of(there)) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "ct_weights_copy: '%s' is %s here, %s there", path,
                   ct_dtype_name(ct_dtype_of(here)), ct_dtype_name(ct_dtype_of(there)));
}

/* The values that the slots will get. */
static ct_status prepare(const ct_slot_list *to, const ct_slot_list *from, ct_tensor *values[]) {
    for (int64_t i = 0; i < to->count; i++) {
        const char *path = to->items[i].path;
        const ct_named_slot *other = find(from, path, i);
        if (!other) return ct_fail(CT_ERR_SHAPE, "ct_weights_copy: '%s' is only here", path);
        ct_tensor *value = ct_slot_read(other->slot);
        ct_status status = check_type(path, ct_slot_read(to->items[i].slot), value);
        if (status != CT_OK) return status;
        if (!(values[i] = cti_slot_prepare(to->items[i].slot, value))) return ct_error();
    }
    for (int64_t i = 0; i < from->count; i++) {
        const char *path = from->items[i].path;
        if (!find(to, path, i)) {
            return ct_fail(CT_ERR_SHAPE, "ct_weights_copy: '%s' is only there", path);
        }
    }
    return CT_OK;
}

static ct_status copy(const ct_slot_list *to, const ct_slot_list *from) {
    ct_tensor **values = cti_alloc((size_t)to->count, sizeof *values);
    if (!values) return CT_ERR_MEMORY;
    int64_t scope = ct_scope_open();
    ct_status status = prepare(to, from, values);
    for (int64_t i = 0; i < to->count && status == CT_OK; i++) {
        cti_slot_swap(to->items[i].slot, values[i]);
    }
    ct_scope_close(scope);
    cti_free(values);
    return status;
}

ct_status ct_weights_copy(ct_module *model, ct_module *from) {
    CTI_CALLED;
    if (!model || !from) {
        return cti_null("ct_weights_copy: '%s' is NULL", model ? "from" : "model");
    }
    ct_slot_list here = {0}, there = {0};
    ct_status status = ct_module_list(model, &here);
    if (status == CT_OK) status = ct_module_list(from, &there);
    if (status == CT_OK) status = cti_keys_catch_up(&there);
    if (status == CT_OK) status = copy(&here, &there);
    ct_slot_list_free(&here);
    ct_slot_list_free(&there);
    return status;
}
