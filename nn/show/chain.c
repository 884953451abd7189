/* A model as a flat chain of layers.
 * It draws and counts nothing; summary.c and plot.c do.
 * Invariant: the layers are in the order of the forward. */
#include "nn/show/chain.h"

#include "tensor/base/alloc.h"

#include <string.h>

const char *cti_module_title(const ct_module *module) {
    return module->name ? module->name : module->kind->name;
}

static ct_status add_layer(cti_layer_list *list, ct_module *module, const char *prefix,
                           const char *name) {
    cti_layer *grown = cti_realloc(list->items, (size_t)list->count + 1, sizeof *grown);
    if (!grown) return CT_ERR_MEMORY;
    list->items = grown;
    size_t parent = strlen(prefix), size = parent + strlen(name) + 2;
    char *path = cti_alloc(size, 1);
    if (!path) return CT_ERR_MEMORY;
    snprintf(path, size, "%s%s%s", prefix, *prefix ? "/" : "", name);
    list->items[list->count++] = (cti_layer){path, module, (int64_t)parent};
    return CT_OK;
}

/* The depth is that of chains inside of chains, which paths limit to 512 bytes. */
static ct_status add_chain(cti_layer_list *list, ct_module *chain, const char *prefix) {
    for (int64_t i = 0; i < chain->n_children; i++) {
        ct_module *child = chain->children[i];
        const char *name = cti_module_title(child);
        if (!child->kind->chain) {
            if (add_layer(list, child, prefix, name) != CT_OK) return CT_ERR_MEMORY;
            continue;
        }
        char path[512];
        int length = snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "/" : "", name);
        if (length >= (int)sizeof path) {
            return ct_fail(CT_ERR_RANGE, "ct_summary: a module path is longer than %zu bytes",
                           sizeof path - 1);
        }
        if (add_chain(list, child, path) != CT_OK) return ct_error();
    }
    return CT_OK;
}

ct_status cti_layer_list_make(ct_module *model, cti_layer_list *list) {
    *list = (cti_layer_list){0};
    ct_status status = model->kind->chain ? add_chain(list, model, "")
                                          : add_layer(list, model, "", cti_module_title(model));
    if (status != CT_OK) cti_layer_list_free(list);
    return status;
}

void cti_layer_list_free(cti_layer_list *list) {
    for (int64_t i = 0; i < list->count; i++) cti_free(list->items[i].path);
    cti_free(list->items);
    *list = (cti_layer_list){0};
}
