/* Whether the parameters of a model are finite: the largest magnitude of each, in one evaluation.
 * What follows when one is not is ct_fit's business.
 * Invariant: nothing changes, and entries are looked at by ops alone. */
#include "optim/train/finite.h"

#include "autograd/ops.h"
#include "tensor/base/alloc.h"

#include <math.h>

static ct_status find(const ct_slot_list *list, ct_tensor *largest[], const char *paths[],
                      cti_nonfinite *found) {
    int64_t n = 0;
    for (int64_t i = 0; i < list->count; i++) {
        if (!list->items[i].trainable) continue;
        ct_tensor *value = ct_slot_read(list->items[i].slot);
        if (value && (ct_numel(value) == 0 || !ct_dtype_is_float(ct_dtype_of(value)))) continue;
        paths[n] = list->items[i].path;
        largest[n] = ct_max(ct_abs(value), CT_ALL);
        if (!largest[n++]) return ct_error();
    }
    if (ct_eval(largest, n) != CT_OK) return ct_error();
    for (int64_t k = 0; k < n && !*found->path; k++) {
        found->value = ct_item(largest[k]);
        if (!isfinite(found->value)) snprintf(found->path, sizeof found->path, "%s", paths[k]);
    }
    return CT_OK;
}

ct_status cti_nonfinite_find(ct_module *model, cti_nonfinite *found) {
    *found = (cti_nonfinite){0};
    ct_slot_list list;
    if (ct_module_list(model, &list) != CT_OK) return ct_error();
    int64_t scope = ct_scope_open();
    ct_tensor **largest = cti_alloc((size_t)list.count, sizeof *largest);
    const char **paths = cti_alloc((size_t)list.count, sizeof *paths);
    ct_status status = largest && paths ? find(&list, largest, paths, found) : CT_ERR_MEMORY;
    cti_free(largest);
    cti_free(paths);
    ct_scope_close(scope);
    ct_slot_list_free(&list);
    return status;
}
