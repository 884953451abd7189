/* Pictures of graphs: the network as layers, one training step as layers and their derivatives, and
 * BatchNorm as primitive ops beside the textbook's formula.
 * The graphs are the library's; graphviz draws them.
 * Invariant: the text of a graph is written first, and stays when there is no graphviz. */
#include "bn_study.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *path_of(const study *s, const char *base, const char *ending) {
    char *path;
    return asprintf(&path, "%s/%s.%s", s->options.out, base, ending) < 0 ? NULL : path;
}

static ct_status render(const study *s, const char *base, const char *ending) {
    char *from = path_of(s, base, "dot"), *to = path_of(s, base, ending);
    ct_status status = from && to ? ct_dot_render(from, to)
                                  : ct_fail(CT_ERR_MEMORY, "bn_study: out of memory");
    free(from);
    free(to);
    return status;
}

/* The model as it is drawn: 19 boxes, from the input to softmax. */
static ct_status save_model(const study *s) {
    char *path = path_of(s, "model", "dot");
    ct_module *model = study_model(s->settings[0].activation, true);
    ct_show_options image = {.input = CT_SHAPE(s->options.batch, 28, 28, 1)};
    ct_status status = path ? ct_model_plot_save(path, model, image)
                            : ct_fail(CT_ERR_MEMORY, "bn_study: out of memory");
    ct_module_free(model);
    free(path);
    return status;
}

/* Loss and gradients of two images, which no step ever takes. */
static ct_status save_step_of(const study *s, ct_module *model, const ct_slot_list *slots,
                              const char *path) {
    ct_tensor **parameters = calloc((size_t)slots->count, 2 * sizeof *parameters);
    if (!parameters) return ct_fail(CT_ERR_MEMORY, "bn_study: out of memory");
    int64_t n = 0;
    for (int64_t i = 0; i < slots->count; i++) {
        if (slots->items[i].trainable) parameters[n++] = ct_slot_read(slots->items[i].slot);
    }
    ct_tensor *bytes = ct_slice(s->data->test_images, 0, 0, 2, 1);
    ct_tensor *images = ct_name(ct_detach(ct_scale(ct_cast(bytes, CT_F32), 1.0 / 255)), "images");
    ct_tensor *labels = ct_name(ct_detach(ct_slice(s->data->test_labels, 0, 0, 2, 1)), "labels");
    ct_tensor *loss = ct_name(ct_cross_entropy(ct_logits(model, images, CT_TRAINING), labels),
                              "loss");
    ct_tensor **roots = parameters + slots->count;
    ct_status status = ct_grad(loss, parameters, n, roots);
    roots[n] = loss;
    ct_dot_options options = {
        .title = "One training step: loss and gradients", .level = CT_DOT_MODULES, .depth = 1};
    if (status == CT_OK) status = ct_dot_save(path, roots, n + 1, options);
    free(parameters);
    return status;
}

static ct_status save_step(const study *s) {
    char *path = path_of(s, "step", "dot");
    ct_module *model = study_model(s->settings[0].activation, true);
    ct_slot_list slots;
    ct_status status = model ? ct_module_list(model, &slots) : ct_error();
    if (status == CT_OK) {
        int64_t scope = ct_scope_open();
        status = path ? save_step_of(s, model, &slots, path)
                      : ct_fail(CT_ERR_MEMORY, "bn_study: out of memory");
        ct_scope_close(scope);
        ct_slot_list_free(&slots);
    }
    ct_module_free(model);
    free(path);
    return status;
}

/* Of as many rows and channels as a dense layer's has here. */
static ct_status save_batch_norm(const study *s) {
    char *path = path_of(s, "batch_norm", "dot");
    int64_t scope = ct_scope_open();
    ct_shape all = CT_SHAPE(32, 64), each = CT_SHAPE(64);
    ct_tensor *x[] = {ct_name(ct_full(CT_F32, all, 0), "x"),
                      ct_name(ct_full(CT_F32, each, 1), "gamma"),
                      ct_name(ct_full(CT_F32, each, 0), "beta")};
    ct_tensor *dy = ct_name(ct_full(CT_F32, all, 1), "dy"), *roots[4];
    roots[0] = ct_name(ct_batch_norm(x[0], x[1], x[2], -1, 1e-3, NULL, NULL), "y");
    ct_status status = ct_vjp(roots[0], dy, x, 3, roots + 1);
    static const char *const names[] = {"dx", "dgamma", "dbeta"};
    for (int i = 0; i < 3 && status == CT_OK; i++) ct_name(roots[i + 1], names[i]);
    ct_dot_options options = {.title = "BatchNorm, and the gradient that nobody wrote",
                              .formula = &ct_formula_batch_norm};
    if (!path) status = ct_fail(CT_ERR_MEMORY, "bn_study: out of memory");
    if (status == CT_OK) status = ct_dot_save_both(path, roots, 4, options);
    ct_scope_close(scope);
    free(path);
    return status;
}

int study_pictures_save(const study *s) {
    enum { PICTURES = 3, FILES = 2 * PICTURES };
    static const char *const bases[PICTURES] = {"model", "step", "batch_norm"};
    static const char *const endings[] = {"svg", "png"};
    if (save_model(s) != CT_OK || save_step(s) != CT_OK || save_batch_norm(s) != CT_OK) {
        return study_failed();
    }
    for (int i = 0; i < FILES; i++) study_file_remove(s, bases[i / 2], endings[i % 2]);
    char *version[] = {(char[]){"dot"}, (char[]){"-V"}, NULL};
    if (study_tool_run(s, version) == TOOL_MISSING) {
        fprintf(
            stderr,
            "bn_study: 'dot' not found in PATH; wrote model.dot, step.dot and batch_norm.dot in %s "
            "(install graphviz)\n",
            s->options.out);
        return 0;
    }
    for (int i = 0; i < FILES; i++) {
        if (render(s, bases[i / 2], endings[i % 2]) != CT_OK) return study_failed();
    }
    return 0;
}
