/* LeNet-5.
 * There is no arithmetic here: it is a list of layers.
 * Invariant: none beyond that of Sequential. */
#include "nn/models/classifier.h"

#include "tensor/base/caller.h"

static ct_module *tanh_layer(void) { return ct_activation_new(&ct_activation_tanh); }

static ct_module *halved(void) { return ct_avg_pool2d_new((ct_pool2d_options){0}); }

ct_module *ct_lenet5_new(ct_classifier_options options) {
    CTI_CALLED;
    if (cti_complete_classifier("ct_lenet5_new", &options, 1) != CT_OK) return NULL;
    ct_conv2d_options wide = {.kernel = {5, 5}, .dtype = options.dtype}, padded = wide;
    padded.padding = CT_SAME;
    ct_dense_options dense = {.dtype = options.dtype};
    return CT_SEQUENTIAL("lenet5", ct_conv2d_new(options.channels, 6, padded), tanh_layer(),
                         halved(), ct_conv2d_new(6, 16, wide), tanh_layer(), halved(),
                         ct_flatten_new(), ct_dense_new(5 * 5 * 16, 120, dense), tanh_layer(),
                         ct_dense_new(120, 84, dense), tanh_layer(),
                         ct_dense_new(84, options.classes, dense),
                         ct_activation_new(&ct_activation_softmax));
}
