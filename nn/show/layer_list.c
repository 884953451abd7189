/* A model as a flat list of layers with arrows between them.
 * It draws and counts nothing; summary.c and plot.c do.
 * Invariant: the layers are in the order of the forward. */
#include "nn/show/layer_list.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/context.h"

#include <string.h>

const char *cti_module_title(const ct_module *module) {
    return module->name ? module->name : module->kind->name;
}

/* Whether pictures show what is inside of it. */
static bool is_shown(const ct_module *module) {
    return module->kind->chain || (module->kind->branches && module->n_children > 1);
}

/* What a module's inputs come from. */
typedef struct {
    const int64_t *layers;
    int64_t n;
} sources;

static ct_status add_layer(cti_layer_list *list, ct_module *module, const char *prefix,
                           sources from, int64_t *end) {
    for (int64_t i = 0; i < from.n; i++) {
        if (!cti_grow(&list->inputs, list->n_inputs, sizeof *list->inputs)) return CT_ERR_MEMORY;
        list->inputs[list->n_inputs++] = from.layers[i];
    }
    if (!cti_grow(&list->items, list->count, sizeof *list->items)) return CT_ERR_MEMORY;
    char *path = cti_path_new(prefix, cti_module_title(module));
    if (!path) return CT_ERR_MEMORY;
    *end = list->count;
    list->items[list->count++] = (cti_layer){path, module, (int64_t)strlen(prefix),
                                             list->n_inputs - from.n, from.n};
    return CT_OK;
}

static ct_status add_below(cti_layer_list *list, ct_module *module, const char *path, sources from,
                           int64_t *end);

/* Adds a child. *end: the layer that its output comes from. */
static ct_status add_child(cti_layer_list *list, ct_module *child, const char *prefix, sources from,
                           int64_t *end) {
    char path[CTI_PATH_SIZE];
    if (!is_shown(child)) {
        return add_layer(list, child, prefix, from, end);
    }
    ct_status status = cti_path_join("ct_summary", prefix, cti_module_title(child), path);
    return status == CT_OK ? add_below(list, child, path, from, end) : status;
}

static ct_status add_chain(cti_layer_list *list, ct_module *chain, const char *path, sources from,
                           int64_t *end) {
    ct_status status = CT_OK;
    *end = from.layers[0];
    for (int64_t i = 0; i < chain->n_children && status == CT_OK; i++) {
        status = add_child(list, chain->children[i], path, from, end);
        from = (sources){end, 1};
    }
    return status;
}

static ct_status add_branches(cti_layer_list *list, ct_module *branches, const char *path,
                              sources from, int64_t *end) {
    int64_t n = branches->n_children - 1;
    int64_t *ends = cti_alloc((size_t)n, sizeof *ends);
    ct_status status = ends ? CT_OK : CT_ERR_MEMORY;
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        sources own = from.n == n ? (sources){&from.layers[i], 1} : from;
        status = add_child(list, branches->children[i], path, own, &ends[i]);
    }
    if (status == CT_OK) {
        status = add_child(list, branches->children[n], path, (sources){ends, n}, end);
    }
    cti_free(ends);
    return status;
}

/* Recursion is as deep as containers are nested, which cti_path_join limits. */
static ct_status add_below(cti_layer_list *list, ct_module *module, const char *path, sources from,
                           int64_t *end) {
    return module->kind->chain ? add_chain(list, module, path, from, end)
                               : add_branches(list, module, path, from, end);
}

ct_status cti_layer_list_make(ct_module *model, cti_layer_list *list) {
    *list = (cti_layer_list){0};
    int64_t input = -1, end;
    sources from = {&input, 1};
    ct_status status = is_shown(model) ? add_below(list, model, "", from, &end)
                                       : add_layer(list, model, "", from, &end);
    if (status != CT_OK) cti_layer_list_free(list);
    return status;
}

void cti_layer_list_free(cti_layer_list *list) {
    for (int64_t i = 0; i < list->count; i++) cti_free(list->items[i].path);
    cti_free(list->items);
    cti_free(list->inputs);
    *list = (cti_layer_list){0};
}
