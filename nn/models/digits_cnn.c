/* The convolutional network of the BatchNorm study.
 * There is no arithmetic here: it is a list of layers.
 * Invariant: with BatchNorm no layer has a bias, because BatchNorm's beta is one. */
#include "nn/models.h"

#include "tensor/base/caller.h"

#include <stdio.h>

#define MOST_LAYERS 24

typedef struct {
    ct_digits_cnn_options options;
    ct_module *items[MOST_LAYERS];
    int64_t n;
} layers;

/* Called BASE_1, BASE_2, ..; BASE alone for number 0. */
static void add(layers *l, ct_module *layer, const char *base, int number) {
    char name[48];
    if (number) snprintf(name, sizeof name, "%s_%d", base, number);
    else snprintf(name, sizeof name, "%s", base);
    if (layer && ct_module_rename(layer, name) != CT_OK) {
        ct_module_free(layer);
        layer = NULL;
    }
    l->items[l->n++] = layer;
}

/* BatchNorm number `number`, unless there is none. */
static void normalize(layers *l, int64_t channels, int number) {
    if (l->options.no_batch_norm) return;
    ct_batch_norm_options options = ct_batch_norm_keras();
    options.dtype = l->options.dtype;
    add(l, ct_batch_norm_new(channels, options), "batch_norm", number);
}

static void activate(layers *l, int64_t channels, int number) {
    const ct_activation *activation = l->options.activation;
    if (!activation) activation = &ct_activation_relu;
    normalize(l, channels, number);
    add(l, ct_activation_new(activation), activation->name, number);
}

ct_module *ct_digits_cnn_new(ct_digits_cnn_options options) {
    CTI_CALLED;
    const struct { int64_t inputs, filters; } conv[] = {{1, 32}, {32, 64}, {64, 64}};
    bool no_bias = !options.no_batch_norm;
    ct_conv2d_options no_padding = {.no_bias = no_bias, .dtype = options.dtype};
    ct_dense_options dense = {.no_bias = no_bias, .dtype = options.dtype};
    layers l = {.options = options};
    for (int i = 0; i < 3; i++) {
        add(&l, ct_conv2d_new(conv[i].inputs, conv[i].filters, no_padding), "conv", i + 1);
        activate(&l, conv[i].filters, i + 1);
        if (i < 2) add(&l, ct_max_pool2d_new((ct_pool2d_options){0}), "pool", i + 1);
    }
    add(&l, ct_flatten_new(), "flatten", 0);
    add(&l, ct_dense_new(576, 64, dense), "dense", 1);
    activate(&l, 64, 4);
    add(&l, ct_dense_new(64, 10, dense), "dense", 2);
    normalize(&l, 10, 5);
    add(&l, ct_activation_new(&ct_activation_softmax), ct_activation_softmax.name, 0);
    return ct_sequential_new("cnn", l.items, l.n);
}
