/* LeNet-5.
 * There is no arithmetic here: it is a list of layers.
 * Invariant: none beyond that of Sequential. */
#include "nn/models.h"

#include "tensor/base/caller.h"

static ct_module *tanh_layer(void) { return ct_activation_new(&ct_activation_tanh); }

static ct_module *halved(void) { return ct_avg_pool2d_new((ct_pool2d_options){0}); }

ct_module *ct_lenet5_new(ct_classifier_options options) {
    CTI_CALLED;
    int64_t channels = options.channels ? options.channels : 1;
    ct_conv2d_options wide = {.kernel = {5, 5}, .dtype = options.dtype}, padded = wide;
    padded.padding = CT_SAME;
    ct_dense_options dense = {.dtype = options.dtype};
    return CT_SEQUENTIAL("lenet5", ct_conv2d_new(channels, 6, padded), tanh_layer(), halved(),
                         ct_conv2d_new(6, 16, wide), tanh_layer(), halved(), ct_flatten_new(),
                         ct_dense_new(5 * 5 * 16, 120, dense), tanh_layer(),
                         ct_dense_new(120, 84, dense), tanh_layer(),
                         ct_dense_new(84, options.classes ? options.classes : 10, dense),
                         ct_activation_new(&ct_activation_softmax));
}
