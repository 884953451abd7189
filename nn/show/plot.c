/* The picture of a model: one box per layer, from the input down.
 * It shows no ops; ct_dot_write draws graphs.
 * Invariant: the picture depends on the names of modules and kinds alone. */
#include "autograd/draw/picture.h"
#include "nn/show/layer_list.h"
#include "tensor/base/caller.h"

static void add_box(cti_picture *picture, const char *name, const char *kind) {
    picture->nodes[picture->n_nodes++] = (cti_picture_node){
        .name = name, .kind = kind, .origin = -1, .frame = -1};
}

/* The boxes borrow the names of `layers`. */
static ct_status draw(cti_picture *picture, const cti_layer_list *layers) {
    if (cti_picture_new(picture, layers->count + 1, layers->n_inputs) != CT_OK)
        return CT_ERR_MEMORY;
    picture->joint = ": ";
    add_box(picture, "input", "Input");
    for (int64_t i = 0; i < layers->count; i++) {
        const cti_layer *layer = &layers->items[i];
        add_box(picture, layer->path, layer->module->kind->name);
        for (int64_t k = 0; k < layer->n; k++) {
            picture->arrows[picture->n_arrows++] = (cti_picture_arrow){
                .from = layers->inputs[layer->first + k] + 1, .to = i + 1};
        }
    }
    return CT_OK;
}

/* To `out`, or to a file at `path`. */
static ct_status plot(const char *function, FILE *out, const char *path, ct_module *model) {
    if (!model) return cti_null("%s: 'model' is NULL", function);
    cti_layer_list layers;
    cti_picture picture;
    if (cti_layer_list_make(model, &layers) != CT_OK) return ct_error();
    ct_status status = draw(&picture, &layers);
    if (status == CT_OK) {
        status = out ? cti_picture_write(&picture, function, out)
                     : cti_picture_save(&picture, function, path, false, NULL);
    }
    cti_picture_free(&picture);
    cti_layer_list_free(&layers);
    return status;
}

ct_status ct_model_plot(FILE *out, ct_module *model) {
    CTI_CALLED;
    if (!out) return ct_fail(CT_ERR_NULL, "ct_model_plot: 'out' is NULL");
    return plot("ct_model_plot", out, NULL, model);
}

ct_status ct_model_plot_save(const char *path, ct_module *model) {
    CTI_CALLED;
    return plot("ct_model_plot_save", NULL, path, model);
}
