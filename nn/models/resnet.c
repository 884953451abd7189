/* ResNet-18 and 34 for small images.
 * There is no arithmetic here: it is blocks of layers.
 * Invariant: a block's shortcut is a projection where its shape changes, else the input itself. */
#include "nn/models/classifier.h"

#include "tensor/base/caller.h"

static ct_module *convolution(int64_t in, int64_t out, int64_t size, int64_t stride,
                              ct_dtype dtype) {
    int64_t edge = size / 2;
    ct_conv2d_options options = {.kernel = {size, size},
                                 .stride = {stride, stride},
                                 .pad = {edge, edge, edge, edge},
                                 .no_bias = true,
                                 .kernel_init = ct_he_normal,
                                 .dtype = dtype};
    return ct_conv2d_new(in, out, options);
}

static ct_module *normalization(int64_t channels, ct_dtype dtype) {
    ct_batch_norm_options options = ct_batch_norm_pytorch();
    options.dtype = dtype;
    return ct_batch_norm_new(channels, options);
}

static ct_module *relu(void) { return ct_activation_new(&ct_activation_relu); }

static ct_module *block(int64_t in, int64_t out, int64_t stride, ct_dtype dtype) {
    ct_module *body = CT_SEQUENTIAL("body", convolution(in, out, 3, stride, dtype),
                                    normalization(out, dtype), relu(),
                                    convolution(out, out, 3, 1, dtype), normalization(out, dtype));
    ct_module *shortcut = NULL;
    if (in != out || stride != 1) {
        shortcut = CT_SEQUENTIAL("shortcut", convolution(in, out, 1, stride, dtype),
                                 normalization(out, dtype));
    }
    return CT_SEQUENTIAL("block", ct_residual_new(body, shortcut), relu());
}

#define MOST_LAYERS 32

static ct_module *resnet(const char *function, const char *name, const int64_t blocks[4],
                         ct_classifier_options o) {
    if (cti_complete_classifier(function, &o, 3) != CT_OK) return NULL;
    ct_module *layers[MOST_LAYERS];
    int64_t n = 0, in = 64, out = 64;
    layers[n++] = convolution(o.channels, in, 3, 1, o.dtype);
    layers[n++] = normalization(in, o.dtype);
    layers[n++] = relu();
    for (int stage = 0; stage < 4; stage++, out *= 2) {
        for (int64_t i = 0; i < blocks[stage]; i++) {
            layers[n++] = block(in, out, stage > 0 && i == 0 ? 2 : 1, o.dtype);
            in = out;
        }
    }
    layers[n++] = ct_global_avg_pool2d_new();
    layers[n++] = ct_dense_new(in, o.classes, (ct_dense_options){.dtype = o.dtype});
    layers[n++] = ct_activation_new(&ct_activation_softmax);
    return ct_sequential_new(name, layers, n);
}

ct_module *ct_resnet18_new(ct_classifier_options options) {
    CTI_CALLED;
    return resnet("ct_resnet18_new", "resnet18", (int64_t[]){2, 2, 2, 2}, options);
}

ct_module *ct_resnet34_new(ct_classifier_options options) {
    CTI_CALLED;
    return resnet("ct_resnet34_new", "resnet34", (int64_t[]){3, 4, 6, 3}, options);
}
