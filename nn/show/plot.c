/* The picture of a model: one box per layer, from the input down.
 * It shows no ops; ct_dot_write draws graphs.
 * Invariant: the text depends on names and classes alone, and these enter it only escaped. */
#include "autograd/draw/dot_label.h"
#include "nn/show/chain.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/io/json.h"

static void put_box(cti_writer *text, int64_t number, const char *name, const char *kind) {
    char id[64];
    snprintf(id, sizeof id, "  n%lld [label=\"", (long long)number);
    cti_write_text(text, id);
    cti_write_text(text, cti_dot_escape(name).text);
    cti_write_text(text, ": ");
    cti_write_text(text, cti_dot_escape(kind).text);
    cti_write_text(text, "\"];\n");
    if (number == 0) return;
    snprintf(id, sizeof id, "  n%lld -> n%lld;\n", (long long)number - 1, (long long)number);
    cti_write_text(text, id);
}

/* The caller frees text->text, also after an error. */
static ct_status draw(const char *function, ct_module *model, cti_writer *text) {
    if (!model) {
        return cti_null("%s: 'model' is NULL", function);
    }
    cti_layer_list layers;
    if (cti_layer_list_make(model, &layers) != CT_OK) return ct_error();
    cti_write_text(text, "digraph model {\n"
                         "  graph [rankdir=TB, ranksep=0.3];\n"
                         "  node [shape=box, fontname=\"Helvetica\", fontsize=12];\n");
    put_box(text, 0, "input", "Input");
    for (int64_t i = 0; i < layers.count; i++) {
        put_box(text, i + 1, layers.items[i].path, layers.items[i].module->kind->name);
    }
    cti_write_text(text, "}\n");
    cti_layer_list_free(&layers);
    return text->status;
}

ct_status ct_model_plot(FILE *out, ct_module *model) {
    CTI_CALLED;
    if (!out) return ct_fail(CT_ERR_NULL, "ct_model_plot: 'out' is NULL");
    cti_writer text = {0};
    ct_status status = draw("ct_model_plot", model, &text);
    if (status == CT_OK) fwrite(text.text, 1, text.used, out);
    cti_free(text.text);
    if (status == CT_OK && ferror(out)) {
        status = ct_fail(CT_ERR_IO, "ct_model_plot: writing failed");
    }
    return status;
}

ct_status ct_model_plot_save(const char *path, ct_module *model) {
    CTI_CALLED;
    cti_writer text = {0};
    ct_status status = draw("ct_model_plot_save", model, &text);
    if (status == CT_OK) {
        status = cti_dot_save_text("ct_model_plot_save", path, text.text, text.used);
    }
    cti_free(text.text);
    return status;
}
