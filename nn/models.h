/* Ready models: layers put together as their papers have them. Each is a ct_sequential, so its
 * layers are model->children. Those that classify end in a softmax: a loss takes ct_logits. */
#ifndef COTAN_MODELS_H
#define COTAN_MODELS_H

#include <cotan/nn/layers.h>

CT_C_BEGIN

typedef struct {
    int64_t channels; /* of images; default: 1 for LeNet-5, 3 for ResNets */
    int64_t classes;  /* default: 10 */
    ct_dtype dtype;   /* default: f32 */
} ct_classifier_options;

/* LeNet-5 (LeCun et al., 1998) for images [N,28,28,channels]: 5 x 5 convolutions of 6 maps (padded)
 * and 16 maps, each with tanh and average pooling, dense layers of 120, 84 and classes units.
 * 61 706 parameters. */
ct_module *ct_lenet5_new(ct_classifier_options options);

/* ResNet-18 and 34 for small images [N,H,W,channels], as for CIFAR's 32 x 32 (He et al., 2015,
 * arXiv:1512.03385, in PyTorch's layout): a 3 x 3 convolution, four stages of 64, 128, 256 and 512
 * channels, the last three beginning with stride 2, global average pooling, a dense layer.
 * Convolutions begin as He normal, BatchNorm is ct_batch_norm_pytorch(). 11 173 962 and 21 282 122
 * parameters. */
ct_module *ct_resnet18_new(ct_classifier_options options);
ct_module *ct_resnet34_new(ct_classifier_options options);

typedef struct {
    const ct_activation *activation; /* of all layers but the last; default: relu */
    bool no_batch_norm;
    ct_dtype dtype; /* default: f32 */
} ct_digits_cnn_options;
/* The network of the BatchNorm study (README) for images [N,28,28,1] of ten classes: 3 x 3
 * convolutions of 32, 64 and 64 channels without padding, the first two halved by max pooling, and
 * dense layers of 64 and 10 units. Each is followed by BatchNorm, ct_batch_norm_keras(), and then
 * the activation, the last by softmax; with BatchNorm none has a bias. 93 556 parameters; 93 322
 * without BatchNorm. */
ct_module *ct_digits_cnn_new(ct_digits_cnn_options options);

typedef struct {
    const ct_activation *hidden; /* default: relu */
    const ct_activation *output; /* default: sigmoid, for x in 0..1 */
    ct_dtype dtype;
} ct_autoencoder_options;
/* Dense layers of widths[1], .., widths[n-1] units, and back to widths[0]: x [N,widths[0]] -> the
 * same shape. Children encoder, whose output is the code [N,widths[n-1]], and decoder.
 *
 *     ct_module *model = CT_AUTOENCODER((ct_autoencoder_options){0}, 784, 128, 32);
 *     ct_tensor *code = ct_forward(model->children[0], x, CT_INFERENCE);
 */
ct_module *ct_autoencoder_new(const int64_t widths[], int64_t n, ct_autoencoder_options options);
#define CT_AUTOENCODER(options, ...)                                                             \
    ct_autoencoder_new(CTI_LIST(int64_t, __VA_ARGS__), (int64_t)CTI_COUNT(int64_t, __VA_ARGS__), \
                       options)

typedef struct {
    int64_t vocabulary, length; /* tokens there are; of the longest sequence */
    int64_t width, layers, heads;
    double dropout; /* of what is embedded, of attention's weights, of what blocks add */
    ct_dtype dtype; /* default: f32 */
} ct_gpt_options;
/* A small GPT (Radford et al., 2019): tokens i64 [N,T], T <= length -> logits [N,T,vocabulary] of
 * the token after each. Embedded tokens and learned places; blocks that add causal attention of
 * what is normalized, then a dense layer of 4 width units with GELU and one back; a normalization
 * and a dense layer without bias. Weights begin as truncated normal, standard deviation 0.02.
 *
 *     ct_gpt_options small = {
 *         .vocabulary = 65, .length = 64, .width = 128, .layers = 4, .heads = 4};
 *     ct_module *gpt = ct_gpt_new(small);
 *
 * Errors: CT_ERR_RANGE, for heads that do not divide width too. */
ct_module *ct_gpt_new(ct_gpt_options options);

CT_C_END

#endif
