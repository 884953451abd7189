/* Draws a computation graph: BatchNorm or a small network, alone or with its derived gradient.
 * The gradient is not written anywhere; ct_vjp and ct_grad make graph out of graph, and
 * ct_dot_save draws any graph.
 * Invariant: nothing is computed; a picture needs shapes and names only. */
#include "options.h"
#include "program.h"

#include <cotan/cotan.h>

#include <stdio.h>
#include <string.h>

#define MOST_ROOTS 32

typedef struct {
    ct_tensor *roots[MOST_ROOTS];
    int64_t n;
    ct_dot_options style;
} picture;

static void add_root(picture *p, ct_tensor *t, const char *name) {
    p->roots[p->n++] = *name ? ct_name(t, name) : t;
}

/* A leaf whose values do not matter. */
static ct_tensor *blank(const char *name, ct_shape shape) {
    return ct_name(ct_full(CT_F32, shape, 1.0), name);
}

/* --- BatchNorm -------------------------------------------------------------------------------- */

static ct_status batch_norm(picture *p, bool backward) {
    ct_tensor *x[] = {blank("x", CT_SHAPE(32, 8)), blank("gamma", CT_SHAPE(8)),
                      blank("beta", CT_SHAPE(8))};
    ct_tensor *mean, *variance, *y = ct_batch_norm(x[0], x[1], x[2], -1, 1e-3, &mean, &variance);
    if (!y) return ct_error();
    /* Both come as [8]; the graph of y holds what they are views of. */
    ct_name(ct_input(mean, 0), "mean");
    ct_name(ct_input(variance, 0), "variance");
    add_root(p, y, "y");
    p->style.title = "BatchNorm out of primitive ops: y = gamma (x - mean) / sqrt(variance + "
                     "epsilon) + beta";
    if (!backward) return CT_OK;
    ct_tensor *dy = blank("dy", CT_SHAPE(32, 8)), *dx[3];
    ct_status status = ct_vjp(y, dy, x, 3, dx);
    static const char *const names[] = {"dx", "dgamma", "dbeta"};
    for (int i = 0; i < 3 && status == CT_OK; i++) add_root(p, dx[i], names[i]);
    p->style.title = "BatchNorm and the gradient that was derived from it";
    return status;
}

/* --- The network of the study ----------------------------------------------------------------- */

static ct_status add_gradients(picture *p, ct_module *model, ct_tensor *loss) {
    ct_slot_list slots;
    ct_status status = ct_module_list(model, &slots);
    if (status != CT_OK) return status;
    ct_tensor *parameters[MOST_ROOTS], *gradients[MOST_ROOTS];
    int64_t n = 0;
    for (int64_t i = 0; i < slots.count && n < MOST_ROOTS - 1; i++) {
        if (slots.items[i].trainable) parameters[n++] = ct_slot_read(slots.items[i].slot);
    }
    ct_slot_list_free(&slots);
    status = ct_grad(loss, parameters, n, gradients);
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        char name[64];
        snprintf(name, sizeof name, "d%s", ct_name_of(parameters[i]));
        add_root(p, gradients[i], name);
    }
    return status;
}

static ct_status network(picture *p, ct_module *model, bool backward) {
    ct_tensor *images = blank("images", CT_SHAPE(32, 28, 28, 1));
    p->style.clusters = true;
    if (!backward) {
        p->style.title = "The network of the study, forward";
        ct_tensor *probabilities = ct_forward(model, images, CT_TRAINING);
        add_root(p, probabilities, "probabilities");
        return probabilities ? CT_OK : ct_error();
    }
    p->style.title = "The network of the study: loss and derived gradients";
    ct_tensor *labels = ct_name(ct_full(CT_I64, CT_SHAPE(32), 0), "labels");
    ct_tensor *loss = ct_cross_entropy(ct_logits(model, images, CT_TRAINING), labels);
    add_root(p, loss, "loss");
    return loss ? add_gradients(p, model, loss) : ct_error();
}

/* --- The program ------------------------------------------------------------------------------ */

static int failed(void) {
    ct_status status = ct_error();
    fprintf(stderr, "graph_dump: %s\n", ct_error_message());
    if (status == CT_ERR_IO) return EXIT_IO;
    return status == CT_ERR_RANGE ? EXIT_USAGE : 1;
}

int main(int argc, char *argv[]) {
    const char *graph = "bn", *out = "graph.svg";
    bool backward = false;
    const option list[] = {
        {"--graph", "bn|seed", "BatchNorm (default), or the network of the study", OPTION_CHOICE,
         &graph, 0, 0},
        {"--backward", NULL, "with the derived gradient", OPTION_FLAG, &backward, 0, 0},
        {"--out", "FILE", ".dot, .svg, .png or .pdf; default graph.svg", OPTION_TEXT, &out, 0, 0},
    };
    int usage = options_parse("graph_dump", "Draws a computation graph with graphviz.", list,
                              (int)(sizeof list / sizeof *list), argc, argv);
    if (usage >= 0) return usage;
    program_begin();

    int64_t scope = ct_scope_open();
    picture p = {.n = 0};
    ct_digits_cnn_options with_batch_norm = {0};
    ct_module *model = strcmp(graph, "seed") == 0 ? ct_digits_cnn_new(with_batch_norm) : NULL;
    ct_status status = model                 ? network(&p, model, backward)
                       : ct_error() != CT_OK ? ct_error()
                                             : batch_norm(&p, backward);
    if (status == CT_OK) status = ct_dot_save(out, p.roots, p.n, p.style);
    int code = status == CT_OK ? 0 : failed();
    if (status == CT_OK) printf("wrote %s\n", show(out).text);
    ct_module_free(model);
    ct_scope_close(scope);
    return program_end("graph_dump", code);
}
