/* A model as a flat chain of layers.
 * It draws and counts nothing; summary.c and plot.c do.
 * Invariant: the layers are in the order of the forward. */
#include "nn/show/chain.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/context.h"

#include <string.h>

const char *cti_module_title(const ct_module *module) {
    return module->name ? module->name : module->kind->name;
}

static ct_status add_layer(cti_layer_list *list, ct_module *module, const char *prefix) {
    if (!cti_grow(&list->items, list->count, sizeof *list->items)) return CT_ERR_MEMORY;
    char *path = cti_path_new(prefix, cti_module_title(module));
    if (!path) return CT_ERR_MEMORY;
    list->items[list->count++] = (cti_layer){path, module, (int64_t)strlen(prefix)};
    return CT_OK;
}

/* Recursion is as deep as chains are nested, which cti_path_join limits. */
static ct_status add_chain(cti_layer_list *list, ct_module *chain, const char *prefix) {
    ct_status status = CT_OK;
    for (int64_t i = 0; i < chain->n_children && status == CT_OK; i++) {
        char path[CTI_PATH_SIZE];
        ct_module *child = chain->children[i];
        if (!child->kind->chain) {
            status = add_layer(list, child, prefix);
            continue;
        }
        status = cti_path_join("ct_summary", prefix, cti_module_title(child), path);
        if (status == CT_OK) status = add_chain(list, child, path);
    }
    return status;
}

ct_status cti_layer_list_make(ct_module *model, cti_layer_list *list) {
    *list = (cti_layer_list){0};
    ct_status status = model->kind->chain ? add_chain(list, model, "") : add_layer(list, model, "");
    if (status != CT_OK) cti_layer_list_free(list);
    return status;
}

void cti_layer_list_free(cti_layer_list *list) {
    for (int64_t i = 0; i < list->count; i++) cti_free(list->items[i].path);
    cti_free(list->items);
    *list = (cti_layer_list){0};
}
