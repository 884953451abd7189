/* Models beside the study's: ResNet-18 for 32 x 32 images (He et al., 2015, arXiv:1512.03385) and a
 * transformer's block (Vaswani et al., 2017, arXiv:1706.03762; normalized before, as in GPT-2).
 * Nothing is measured here.
 * Invariant: a model that could not be made ends the program. */
#include "tests/bench/bench.h"

#include <math.h>
#include <stdlib.h>

static ct_module *conv(int64_t in, int64_t out, int64_t size, int64_t stride) {
    ct_conv2d_options options = {
        .kernel = {size, size}, .stride = {stride, stride}, .padding = CT_SAME, .no_bias = true};
    return ct_conv2d_new(in, out, options);
}

static ct_module *normalized(int64_t channels) {
    return ct_batch_norm_new(channels, ct_batch_norm_defaults());
}

static ct_module *relu(void) { return ct_activation_new(&ct_activation_relu); }

static ct_module *residual(int64_t in, int64_t out, int64_t stride) {
    ct_module *body = CT_SEQUENTIAL("body", conv(in, out, 3, stride), normalized(out), relu(),
                                    conv(out, out, 3, 1), normalized(out));
    ct_module *shortcut = NULL;
    if (in != out) shortcut = CT_SEQUENTIAL("shortcut", conv(in, out, 1, stride), normalized(out));
    return CT_SEQUENTIAL("block", ct_residual_new(body, shortcut), relu());
}

ct_module *bench_resnet18(void) {
    ct_module *model = CT_SEQUENTIAL(
        "resnet18", conv(3, 64, 3, 1), normalized(64), relu(), residual(64, 64, 1),
        residual(64, 64, 1), residual(64, 128, 2), residual(128, 128, 1), residual(128, 256, 2),
        residual(256, 256, 1), residual(256, 512, 2), residual(512, 512, 1),
        ct_global_avg_pool2d_new(), ct_dense_new(512, 10, (ct_dense_options){0}));
    bench_require(model != NULL);
    return model;
}

/* [batch, length, heads * size] -> [batch, heads, length, size] */
static ct_tensor *by_head(ct_tensor *x, int64_t heads) {
    int64_t batch = ct_dim(x, 0), length = ct_dim(x, 1), size = ct_dim(x, 2) / heads;
    return ct_permute(ct_reshape(x, CT_SHAPE(batch, length, heads, size)), CT_AXES(0, 2, 1, 3));
}

static ct_tensor *attention(ct_tensor *x, ct_tensor *const w[4], int64_t heads) {
    ct_tensor *q = by_head(ct_matmul(x, w[0]), heads), *k = by_head(ct_matmul(x, w[1]), heads);
    ct_tensor *v = by_head(ct_matmul(x, w[2]), heads);
    double scale = 1 / sqrt((double)ct_dim(q, 3));
    ct_tensor *scores = ct_matmul(ct_scale(q, scale), ct_permute(k, CT_AXES(0, 1, 3, 2)));
    ct_tensor *y = ct_permute(ct_matmul(ct_softmax(scores, -1), v), CT_AXES(0, 2, 1, 3));
    return ct_matmul(ct_reshape(y, ct_shape_of(x)), w[3]);
}

ct_tensor *bench_transformer(ct_tensor *x, ct_tensor *const w[BENCH_TRANSFORMER]) {
    ct_tensor *seen = ct_layer_norm(x, w[6], w[7], 1e-5);
    x = ct_add(x, attention(seen, w, 4));
    ct_tensor *hidden = ct_gelu(ct_matmul(ct_layer_norm(x, w[8], w[9], 1e-5), w[4]));
    return ct_add(x, ct_matmul(hidden, w[5]));
}

ct_tensor *bench_uniform(ct_shape shape) {
    float *values = bench_floats(ct_shape_numel(shape));
    ct_tensor *t = ct_keep(ct_from(CT_F32, shape, values));
    bench_require(t != NULL);
    free(values);
    return t;
}

void bench_transformer_weights(int64_t width, ct_tensor *w[BENCH_TRANSFORMER]) {
    for (int k = 0; k < BENCH_TRANSFORMER; k++) {
        w[k] = bench_uniform(k < 4    ? CT_SHAPE(width, width)
                             : k == 4 ? CT_SHAPE(width, 4 * width)
                             : k == 5 ? CT_SHAPE(4 * width, width)
                                      : CT_SHAPE(width));
    }
}

void bench_transformer_pass(ct_tensor *x, ct_tensor *const w[BENCH_TRANSFORMER]) {
    ct_tensor *out[BENCH_TRANSFORMER + 1];
    out[BENCH_TRANSFORMER] = ct_mean_all(ct_square(bench_transformer(x, w)));
    bench_require(ct_grad(out[BENCH_TRANSFORMER], w, BENCH_TRANSFORMER, out) == CT_OK);
    bench_require(ct_eval(out, BENCH_TRANSFORMER + 1) == CT_OK);
}
