/* Private: a model as the layers that pictures and summaries show. */
#ifndef COTAN_LAYER_LIST_H
#define COTAN_LAYER_LIST_H

#include "nn/nn.h"

typedef struct {
    char *path;            /* from the model down, "block/conv2d"; the module's own name if that is
                            the model                                                           */
    ct_module *module;     /* borrowed */
    int64_t parent_length; /* of the path before the module's own name, without the slash */
    int64_t first, n;      /* its inputs among those of the list */
} cti_layer;

typedef struct {
    cti_layer *items;
    int64_t count;
    int64_t *inputs; /* the layers that inputs come from; -1: the model's input */
    int64_t n_inputs;
} cti_layer_list;

/* Nested chains and branches are flattened; any other module is one layer, together with all below
 * it. A layer stands after those that its inputs come from. */
ct_status cti_layer_list_make(ct_module *model, cti_layer_list *list);
void cti_layer_list_free(cti_layer_list *list);
/* The module's name, or its kind's while it has none. */
const char *cti_module_title(const ct_module *module);

#endif
