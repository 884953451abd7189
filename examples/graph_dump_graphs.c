/* Graphs worth looking at: normalizations, the study's network, and models of the library.
 * No derivative is written here; ct_vjp and ct_grad make graph out of graph.
 * Invariant: nothing is computed; pictures need shapes and names only, but for --values. */
#include "graph_dump.h"

#include <stdio.h>
#include <string.h>

static void add_root(graph *g, ct_tensor *t, const char *name) {
    if (g->n < MOST_ROOTS) g->roots[g->n++] = ct_name(t, name);
}

/* A leaf whose values do not matter. */
static ct_tensor *blank(const char *name, ct_dtype dtype, ct_shape shape) {
    return ct_name(ct_full(dtype, shape, 1), name);
}

/* The gradients of y by x[0..n), of a cotangent or for NULL of a y that is one number, as roots
 * named after x; and the sum of their squares' gradients, for order 2. */
static ct_status add_gradients(graph *g, ct_tensor *y, ct_tensor *cotangent, ct_tensor *const x[],
                               int64_t n, int order) {
    ct_tensor *dx[MOST_ROOTS], *squares = NULL;
    const char *prefix = "d";
    for (int k = 1; k <= order; k++, prefix = "dd") {
        ct_status status = cotangent ? ct_vjp(y, cotangent, x, n, dx) : ct_grad(y, x, n, dx);
        if (status != CT_OK) return status;
        squares = NULL;
        for (int64_t i = 0; i < n; i++) {
            char name[80];
            snprintf(name, sizeof name, "%s%s", prefix, ct_name_of(x[i]));
            add_root(g, dx[i], name);
            ct_tensor *square = ct_sum_all(ct_square(dx[i]));
            squares = squares ? ct_add(squares, square) : square;
        }
        y = squares, cotangent = NULL;
    }
    return CT_OK;
}

/* --- Layers as functions ---------------------------------------------------------------------- */

enum { ROWS = 32, WIDTH = 8 };

static ct_status batch_norm(graph *g, int order) {
    ct_tensor *x[] = {blank("x", CT_F32, CT_SHAPE(ROWS, WIDTH)),
                      blank("gamma", CT_F32, CT_SHAPE(WIDTH)),
                      blank("beta", CT_F32, CT_SHAPE(WIDTH))};
    ct_tensor *y = ct_batch_norm(x[0], x[1], x[2], -1, 1e-3, NULL, NULL);
    if (!y) return ct_error();
    add_root(g, y, "y");
    g->title = order ? "BatchNorm and the gradient that was derived from it"
                     : "BatchNorm out of primitive ops: y = gamma (x - mean) / sqrt(variance + "
                       "epsilon) + beta";
    return add_gradients(g, y, blank("dy", CT_F32, CT_SHAPE(ROWS, WIDTH)), x, 3, order);
}

/* The example of docs/batch-norm-gradient.md, whose numbers need no calculator. */
static ct_status three_rows(graph *g, int order) {
    static const double numbers[] = {2, 1, 2, 4, -1, 1}, cotangent[] = {1, 0, 0, 1, 0, 0};
    ct_tensor *x = ct_name(ct_from(CT_F64, CT_SHAPE(3, 2), numbers), "x");
    ct_tensor *dy = ct_name(ct_from(CT_F64, CT_SHAPE(3, 2), cotangent), "dy");
    ct_tensor *gamma = ct_name(ct_full(CT_F64, CT_SHAPE(2), 2), "gamma");
    ct_tensor *beta = ct_name(ct_full(CT_F64, CT_SHAPE(2), 0), "beta"), *in[] = {x, gamma, beta};
    ct_tensor *mean = ct_name(ct_mean_keep(x, CT_AXES(0)), "mean");
    ct_tensor *c = ct_name(ct_sub(x, mean), "c");
    ct_tensor *s = ct_name(ct_offset(ct_mean_keep(ct_square(c), CT_AXES(0)), 2), "s");
    ct_tensor *r = ct_name(ct_rsqrt(s), "r"), *h = ct_name(ct_mul(c, r), "h");
    ct_tensor *y = ct_add(ct_mul(h, gamma), beta);
    if (!y) return ct_error();
    add_root(g, y, "y");
    g->title = "BatchNorm of three rows and two channels, epsilon 2";
    return add_gradients(g, y, dy, in, 3, order);
}

static ct_status layer_norm(graph *g, int order) {
    ct_tensor *x[] = {blank("x", CT_F32, CT_SHAPE(ROWS, WIDTH)),
                      blank("gamma", CT_F32, CT_SHAPE(WIDTH)),
                      blank("beta", CT_F32, CT_SHAPE(WIDTH))};
    ct_tensor *y = ct_layer_norm(x[0], x[1], x[2], 1e-5);
    if (!y) return ct_error();
    add_root(g, y, "y");
    g->title = order ? "LayerNorm and the gradient that was derived from it"
                     : "LayerNorm out of primitive ops";
    return add_gradients(g, y, blank("dy", CT_F32, CT_SHAPE(ROWS, WIDTH)), x, 3, order);
}

static ct_status softmax(graph *g, int order) {
    ct_tensor *x = blank("scores", CT_F32, CT_SHAPE(ROWS, 10));
    ct_tensor *loss = ct_cross_entropy(x, blank("labels", CT_I64, CT_SHAPE(ROWS)));
    if (!loss) return ct_error();
    add_root(g, loss, "loss");
    g->title = order ? "Softmax cross-entropy and the gradient that was derived from it"
                     : "Softmax cross-entropy out of primitive ops";
    return add_gradients(g, loss, NULL, &x, 1, order);
}

/* --- Models ----------------------------------------------------------------------------------- */

static ct_status add_parameter_gradients(graph *g, ct_tensor *loss, int order) {
    ct_slot_list slots;
    ct_status status = ct_module_list(g->model, &slots);
    if (status != CT_OK) return status;
    ct_tensor *parameters[MOST_ROOTS / 2];
    int64_t n = 0;
    for (int64_t i = 0; i < slots.count && n < MOST_ROOTS / 2 - 1; i++) {
        if (slots.items[i].trainable) parameters[n++] = ct_slot_read(slots.items[i].slot);
    }
    ct_slot_list_free(&slots);
    return add_gradients(g, loss, NULL, parameters, n, order);
}

/* What a model gives for x, or the loss of classes and its gradients. */
static ct_status classify(graph *g, ct_tensor *x, ct_shape labels, int order) {
    if (!g->model) return ct_error();
    g->input = (ct_type){ct_dtype_of(x), ct_shape_of(x)};
    if (order == 0) {
        ct_tensor *y = ct_forward(g->model, x, g->mode);
        add_root(g, y, "y");
        return y ? CT_OK : ct_error();
    }
    ct_tensor *target = blank("labels", CT_I64, labels);
    ct_tensor *loss = ct_cross_entropy(ct_logits(g->model, x, g->mode), target);
    if (!loss) return ct_error();
    add_root(g, loss, "loss");
    return add_parameter_gradients(g, loss, order);
}

static ct_status seed(graph *g, int order) {
    g->model = ct_digits_cnn_new((ct_digits_cnn_options){.no_batch_norm = g->plain});
    g->title = order ? "The network of the study: loss and derived gradients"
                     : "The network of the study, forward";
    return classify(g, blank("images", CT_F32, CT_SHAPE(32, 28, 28, 1)), CT_SHAPE(32), order);
}

static ct_status resnet18(graph *g, int order) {
    g->model = ct_resnet18_new((ct_classifier_options){0});
    g->title = order ? "ResNet-18: loss and derived gradients" : "ResNet-18, forward";
    return classify(g, blank("images", CT_F32, CT_SHAPE(2, 32, 32, 3)), CT_SHAPE(2), order);
}

static ct_status gpt(graph *g, int order) {
    ct_gpt_options small = {.vocabulary = 65, .length = 64, .width = 128, .layers = 4, .heads = 4};
    g->model = ct_gpt_new(small);
    g->title = order ? "A small GPT: loss and derived gradients" : "A small GPT, forward";
    return classify(g, blank("tokens", CT_I64, CT_SHAPE(2, 64)), CT_SHAPE(2, 64), order);
}

static ct_status lstm(graph *g, int order) {
    ct_module *memory = ct_lstm_new(2, 32, (ct_recurrent_options){.last_only = true});
    g->model = CT_SEQUENTIAL("adder", memory, ct_dense_new(32, 1, (ct_dense_options){0}));
    if (!g->model) return ct_error();
    g->title = order ? "An LSTM of 32 steps: loss and derived gradients"
                     : "An LSTM of 32 steps, forward";
    g->input = (ct_type){CT_F32, CT_SHAPE(16, 32, 2)};
    ct_tensor *y = ct_forward(g->model, blank("x", CT_F32, g->input.shape), g->mode);
    if (order > 0) y = ct_mse(y, blank("targets", CT_F32, CT_SHAPE(16, 1)));
    if (!y) return ct_error();
    add_root(g, y, order ? "loss" : "y");
    return order ? add_parameter_gradients(g, y, order) : CT_OK;
}

/* --- All of them ------------------------------------------------------------------------------ */

const graph_kind graphs[] = {
    {"bn", "BatchNorm", batch_norm, &ct_formula_batch_norm, false},
    {"bn3", "BatchNorm of three rows", three_rows, NULL, false},
    {"ln", "LayerNorm", layer_norm, &ct_formula_layer_norm, false},
    {"softmax", "softmax cross-entropy", softmax, &ct_formula_cross_entropy, false},
    {"seed", "the network of the study", seed, NULL, true},
    {"resnet18", "ResNet-18", resnet18, NULL, true},
    {"lstm", "an LSTM of 32 steps", lstm, NULL, true},
    {"gpt", "a small GPT", gpt, NULL, true},
};

const graph_kind *graph_kind_of(const char *name) {
    for (size_t k = 0; k < sizeof graphs / sizeof *graphs; k++) {
        if (strcmp(graphs[k].name, name) == 0) return &graphs[k];
    }
    return NULL;
}
