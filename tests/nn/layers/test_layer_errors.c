/* What layers of one input refuse, when they are made and in a forward: one message each, which
 * names the function or the layer and both sides of what does not fit. */
#include "tests/support/nn_support.h"

static void none(ct_module *module, ct_status status, const char *message) {
    cr_expect_null(module, "%s", message);
    expect_error(status, message);
}

/* In a forward of a model that holds the layer. */
static void refused(ct_module *layer, ct_tensor *x, ct_status status, const char *message) {
    ct_module *model = CT_SEQUENTIAL("net", layer);
    MADE(model);
    cr_expect_null(ct_forward(model, x, CT_TRAINING), "%s", message);
    expect_error(status, message);
    ct_module_free(model);
}

static ct_tensor *of(ct_shape shape) { return ct_full(CT_F32, shape, 1); }

TEST(layer_errors, embedding) {
    ct_embedding_options usual = {0}, pads = {.pads = true, .pad_id = 5};
    none(ct_embedding_new(0, 2, usual), CT_ERR_RANGE,
         "ct_embedding_new: count must be >= 1, got 0");
    none(ct_embedding_new(5, -1, usual), CT_ERR_RANGE,
         "ct_embedding_new: size must be >= 1, got -1");
    none(ct_embedding_new(5, 2, pads), CT_ERR_RANGE,
         "ct_embedding_new: pad_id must be in 0..4, got 5");
    pads.pads = false;
    none(ct_embedding_new(5, 2, pads), CT_ERR_STATE,
         "ct_embedding_new: pad_id is 5, and pads is false");
    ct_tensor *ids = ct_from(CT_I64, CT_SHAPE(2, 2), (int64_t[]){0, 4, 5, 1});
    refused(ct_embedding_new(5, 2, usual), ids, CT_ERR_RANGE,
            "Embedding: index must be in 0..4, got 5 at [2] (in net/embedding)");
    ids = ct_from(CT_I64, CT_SHAPE(1), (int64_t[]){-1});
    refused(ct_embedding_new(5, 2, usual), ids, CT_ERR_RANGE,
            "Embedding: index must be in 0..4, got -1 at [0] (in net/embedding)");
    refused(ct_embedding_new(5, 2, usual), of(CT_SHAPE(3)), CT_ERR_DTYPE,
            "Embedding: indices must be i64, got f32 (in net/embedding)");
    ct_tensor *deep = ct_full(CT_I64, CT_SHAPE(1, 1, 1, 1, 1, 1, 1, 1), 0);
    pads.pad_id = 0;
    refused(ct_embedding_new(5, 2, pads), deep, CT_ERR_SHAPE,
            "Embedding: cannot take rows [1,1,1,1,1,1,1,1] of [5,2] (in net/embedding)");
}

TEST(layer_errors, convolutions) {
    ct_conv2d_options usual = {0}, grouped = {.groups = 2};
    none(ct_conv1d_new(3, 4, (ct_conv1d_options){.groups = 2}), CT_ERR_SHAPE,
         "ct_conv1d_new: groups 2 must divide 3 inputs");
    none(ct_conv1d_new(3, 4, (ct_conv1d_options){.stride = -2}), CT_ERR_RANGE,
         "ct_conv1d_new: stride must be >= 1, got -2");
    refused(ct_conv1d_new(3, 4, (ct_conv1d_options){0}), of(CT_SHAPE(2, 5, 5, 3)), CT_ERR_SHAPE,
            "Conv1D: needs [N,L,C], got [2,5,5,3] (in net/conv1d)");
    refused(ct_conv1d_new(3, 4, (ct_conv1d_options){0}), of(CT_SHAPE(2, 5, 4)), CT_ERR_SHAPE,
            "Conv1D: made for 3 channels, x is [2,5,4] (in net/conv1d)");
    none(ct_depthwise_conv2d_new(0, 1, usual), CT_ERR_RANGE,
         "ct_depthwise_conv2d_new: channels must be >= 1, got 0");
    none(ct_depthwise_conv2d_new(3, 0, usual), CT_ERR_RANGE,
         "ct_depthwise_conv2d_new: multiplier must be >= 1, got 0");
    none(ct_depthwise_conv2d_new(4, 1, grouped), CT_ERR_RANGE,
         "ct_depthwise_conv2d_new: there is a group for each channel, got groups 2");
    none(ct_separable_conv2d_new(4, 0, 1, usual), CT_ERR_RANGE,
         "ct_separable_conv2d_new: filters must be >= 1, got 0");
    none(ct_separable_conv2d_new(4, 3, -1, usual), CT_ERR_RANGE,
         "ct_separable_conv2d_new: multiplier must be >= 1, got -1");
    const int64_t many = 1 << 20;
    none(ct_depthwise_conv2d_new(many, many, usual), CT_ERR_RANGE,
         "ct_depthwise_conv2d_new: channels multiplier must be < 2^31, got 1099511627776");
    none(ct_separable_conv2d_new(many, 3, many, usual), CT_ERR_RANGE,
         "ct_separable_conv2d_new: inputs multiplier must be < 2^31, got 1099511627776");
    none(ct_separable_conv2d_new(4, 3, 1, grouped), CT_ERR_RANGE,
         "ct_separable_conv2d_new: there is a group for each channel, got groups 2");
    refused(ct_separable_conv2d_new(2, 3, 1, usual), of(CT_SHAPE(1, 5, 5, 4)), CT_ERR_SHAPE,
            "DepthwiseConv2D: channels differ: x [1,5,5,4] has 2 in each of 2 groups, w [3,3,1,2] "
            "has 1 (in net/separable_conv2d/depthwise)");
}

TEST(layer_errors, conv2d_transpose) {
    ct_conv2d_options usual = {0};
    none(ct_conv2d_new(2, 2, (ct_conv2d_options){.output_padding = {1, 0}}), CT_ERR_RANGE,
         "ct_conv2d_new: output_padding is for ct_conv2d_transpose_new");
    none(ct_conv2d_transpose_new(2, 3, (ct_conv2d_options){.groups = 2}), CT_ERR_SHAPE,
         "ct_conv2d_transpose_new: groups 2 must divide 3 filters");
    none(ct_conv2d_transpose_new(2, 3, (ct_conv2d_options){.output_padding = {0, 1}}), CT_ERR_RANGE,
         "ct_conv2d_transpose_new: output_padding must be in 0..stride-1, got 1 of stride 1");
    ct_conv2d_options both = {.stride = {2, 2}, .padding = CT_SAME, .output_padding = {1, 1}};
    none(ct_conv2d_transpose_new(2, 3, both), CT_ERR_RANGE,
         "ct_conv2d_transpose_new: output_padding 1 is given together with CT_SAME");
    refused(ct_conv2d_transpose_new(2, 3, usual), of(CT_SHAPE(2, 2)), CT_ERR_SHAPE,
            "Conv2DTranspose: needs [N,H,W,C], got [2,2] (in net/conv2d_transpose)");
    refused(ct_conv2d_transpose_new(2, 3, usual), of(CT_SHAPE(1, 4, 4, 3)), CT_ERR_SHAPE,
            "Conv2DTranspose: made for 2 channels, x is [1,4,4,3] (in net/conv2d_transpose)");
    ct_conv2d_options cropped = {.pad = {3, 3, 0, 0}}, below = {.pad = {0, 0, 0, INT64_MIN}};
    none(ct_conv2d_transpose_new(2, 3, below), CT_ERR_RANGE,
         "ct_conv2d_transpose_new: pad must be >= 0, got -9223372036854775808");
    refused(
        ct_conv2d_transpose_new(2, 3, cropped), of(CT_SHAPE(1, 4, 4, 2)), CT_ERR_SHAPE,
        "Conv2DTranspose: padding leaves 0 x 6 pixels of x [1,4,4,2] (in net/conv2d_transpose)");
}

TEST(layer_errors, sizes_of_images) {
    ct_up_sampling2d_options smaller = {.factor = {1, -1}};
    none(ct_up_sampling2d_new(smaller), CT_ERR_RANGE,
         "ct_up_sampling2d_new: factor must be >= 1, got -1");
    refused(ct_up_sampling2d_new((ct_up_sampling2d_options){0}), of(CT_SHAPE(2, 2)), CT_ERR_SHAPE,
            "UpSampling2D: needs [N,H,W,C], got [2,2] (in net/up_sampling2d)");
    none(ct_zero_padding2d_new(0, 0, -1, 0), CT_ERR_RANGE,
         "ct_zero_padding2d_new: left must be >= 0, got -1");
    none(ct_zero_padding2d_new(INT64_MAX, 0, 0, 0), CT_ERR_RANGE,
         "ct_zero_padding2d_new: top must be < 2^31, got 9223372036854775807");
    refused(ct_zero_padding2d_new(1, 1, 1, 1), of(CT_SHAPE(3)), CT_ERR_SHAPE,
            "ZeroPadding2D: needs [N,H,W,C], got [3] (in net/zero_padding2d)");
    none(ct_adaptive_avg_pool2d_new(0, 1), CT_ERR_RANGE,
         "ct_adaptive_avg_pool2d_new: height must be >= 1, got 0");
    refused(ct_adaptive_avg_pool2d_new(2, 2), of(CT_SHAPE(3, 3, 3)), CT_ERR_SHAPE,
            "AdaptiveAvgPool2D: needs [N,H,W,C], got [3,3,3] (in net/adaptive_avg_pool2d)");
    refused(ct_adaptive_avg_pool2d_new(2, 2), of(CT_SHAPE(3, 0, 3, 1)), CT_ERR_RANGE,
            "AdaptiveAvgPool2D: the height of x must be >= 1, got 0 (in net/adaptive_avg_pool2d)");
    refused(ct_global_max_pool2d_new(), of(CT_SHAPE(3, 3)), CT_ERR_SHAPE,
            "GlobalMaxPool2D: needs [N,H,W,C], got [3,3] (in net/global_max_pool2d)");
}

/* Before anything is multiplied. */
TEST(layer_errors, images_beyond_all_measure) {
    ct_tensor *x = ct_broadcast(ct_scalar(CT_F32, 1), CT_SHAPE(1, INT64_C(1) << 40, 1, 1));
    ct_conv2d_options fast = {.stride = {INT32_MAX, 1}, .padding = CT_SAME};
    ct_up_sampling2d_options much = {.factor = {INT32_MAX, 1}};
    refused(ct_conv2d_transpose_new(1, 1, fast), x, CT_ERR_RANGE,
            "Conv2DTranspose: the height of x must be < 2^31, got 1099511627776 (in "
            "net/conv2d_transpose)");
    refused(ct_up_sampling2d_new(much), x, CT_ERR_RANGE,
            "UpSampling2D: the height of x must be < 2^31, got 1099511627776 (in "
            "net/up_sampling2d)");
}

TEST(layer_errors, normalizations) {
    ct_group_norm_options usual = ct_group_norm_defaults(), below = usual;
    below.epsilon = -1;
    none(ct_group_norm_new(4, 6, usual), CT_ERR_SHAPE,
         "ct_group_norm_new: groups 4 must divide 6 channels");
    none(ct_group_norm_new(0, 6, usual), CT_ERR_RANGE,
         "ct_group_norm_new: groups must be >= 1, got 0");
    none(ct_group_norm_new(2, 6, below), CT_ERR_RANGE,
         "ct_group_norm_new: epsilon must be >= 0, got -1");
    none(ct_instance_norm_new(6, (ct_group_norm_options){.epsilon = 1e-5}), CT_ERR_STATE,
         "ct_instance_norm_new: start from ct_group_norm_defaults()");
    none(ct_rms_norm_new(6, (ct_rms_norm_options){0}), CT_ERR_STATE,
         "ct_rms_norm_new: start from ct_rms_norm_defaults()");
    ct_rms_norm_options rms = ct_rms_norm_defaults();
    none(ct_rms_norm_new(0, rms), CT_ERR_RANGE, "ct_rms_norm_new: size must be >= 1, got 0");
    refused(ct_rms_norm_new(4, rms), of(CT_SHAPE(2, 3)), CT_ERR_SHAPE,
            "RMSNorm: made for 4 channels, x is [2,3] (in net/rms_norm)");
    rms.epsilon = (double)NAN;
    cr_expect_null(ct_rms_norm_new(4, rms));
    ct_error_clear();
    refused(ct_group_norm_new(2, 4, usual), of(CT_SHAPE(2, 3, 3, 6)), CT_ERR_SHAPE,
            "GroupNorm: made for 4 channels, x is [2,3,3,6] (in net/group_norm)");
    refused(ct_group_norm_new(2, 4, usual), of(CT_SHAPE(4)), CT_ERR_SHAPE,
            "GroupNorm: needs [N,...,C], got [4] (in net/group_norm)");
    refused(ct_instance_norm_new(4, usual), of(CT_SHAPE(2, 4)), CT_ERR_SHAPE,
            "InstanceNorm: needs > 1 value per group, got 1 (x is [2,4], 4 groups) (in "
            "net/instance_norm)");
}

TEST(layer_errors, options_that_make_no_sense) {
    ct_conv2d_options causal = {.padding = CT_SAME, .pad = {2, 0, 0, 0}};
    none(ct_conv2d_new(2, 3, causal), CT_ERR_RANGE,
         "ct_conv2d_new: pad 2 is given together with CT_SAME");
    none(ct_conv2d_new(2, 3, (ct_conv2d_options){.pad = {0, -1}}), CT_ERR_RANGE,
         "ct_conv2d_new: pad must be >= 0, got -1");
    ct_conv1d_options along = {.padding = CT_SAME, .pad = {2, 0}};
    none(ct_conv1d_new(2, 3, along), CT_ERR_RANGE,
         "ct_conv1d_new: pad 2 is given together with CT_SAME");
    static const ct_activation empty = {.name = "mine"};
    none(ct_conv2d_new(2, 3, (ct_conv2d_options){.padding = 7}), CT_ERR_RANGE,
         "ct_conv2d_new: padding must be CT_VALID or CT_SAME, got 7");
    none(ct_avg_pool2d_new((ct_pool2d_options){.padding = 7}), CT_ERR_RANGE,
         "ct_avg_pool2d_new: padding must be CT_VALID or CT_SAME, got 7");
    none(ct_lstm_new(2, 3, (ct_recurrent_options){.reset_before = true}), CT_ERR_RANGE,
         "ct_lstm_new: reset_before is an option of a GRU alone");
    ct_layer_norm_options whole = ct_layer_norm_defaults();
    whole.dtype = CT_I64;
    none(ct_layer_norm_new(3, whole), CT_ERR_DTYPE,
         "ct_layer_norm_new: dtype must be f32, f64 or p61, got i64");
    none(ct_prelu_new(3, (ct_prelu_options){.dtype = CT_I64}), CT_ERR_DTYPE,
         "ct_prelu_new: dtype must be f32, f64 or p61, got i64");
    ct_recurrent_options last = {.last_only = true}, back = {.backward = true};
    none(ct_bidirectional_new(ct_gru_new(2, 3, last), ct_gru_new(2, 3, back)), CT_ERR_STATE,
         "ct_bidirectional_new: only 'forward' has the option last_only");
    refused(ct_multi_head_attention_new(4, 2, (ct_attention_options){0}), of(CT_SHAPE(2, 0, 4)),
            CT_ERR_SHAPE,
            "MultiHeadAttention: k needs at least one time step, got [2,0,4] (in "
            "net/multi_head_attention)");
    none(ct_lstm_new(2, 3, (ct_recurrent_options){.activation = &empty}), CT_ERR_NULL,
         "ct_lstm_new: 'activation->apply' is NULL");
}

TEST(layer_errors, weight_norm) {
    none(ct_weight_norm_new(NULL), CT_ERR_NULL, "ct_weight_norm_new: child 0 is NULL");
    none(ct_weight_norm_new(ct_flatten_new()), CT_ERR_STATE,
         "ct_weight_norm_new: Flatten has no slot 'kernel'");
    refused(ct_weight_norm_new(ct_dense_new(4, 3, (ct_dense_options){0})), of(CT_SHAPE(2, 5)),
            CT_ERR_SHAPE,
            "Dense: inner dims must match, got x [2,5], kernel [4,3] (5 vs 4) (in "
            "net/weight_norm/dense)");
}

TEST(layer_errors, shapes) {
    none(ct_reshape_new(CT_SHAPE(-1, -1)), CT_ERR_SHAPE,
         "ct_reshape_new: more than one size is -1");
    none(ct_reshape_new(CT_SHAPE(2, 0)), CT_ERR_RANGE,
         "ct_reshape_new: a size must be >= 1, got 0");
    none(ct_reshape_new(CT_SHAPE(1, 1, 1, 1, 1, 1, 1, 1)), CT_ERR_SHAPE,
         "ct_reshape_new: a sample has a rank in 0..7, got 8");
    refused(ct_reshape_new(CT_SHAPE(4, -1)), of(CT_SHAPE(2, 6)), CT_ERR_SHAPE,
            "Reshape: a sample of x [2,6] has 6 elements, its shape is to be [4,-1] (in "
            "net/reshape)");
    refused(ct_reshape_new(CT_SHAPE(4)), of(CT_SHAPE(2, 6)), CT_ERR_SHAPE,
            "Reshape: a sample of x [2,6] has 6 elements, its shape is to be [4] (in net/reshape)");
    refused(ct_reshape_new(CT_SHAPE(4)), ct_scalar(CT_F32, 1), CT_ERR_SHAPE,
            "Reshape: needs [N,...], got [] (in net/reshape)");
    static const char once[] = "ct_permute_new: names each axis of 1..n once, n in 1..7";
    none(ct_permute_new(CT_AXES(0, 1)), CT_ERR_SHAPE, once);
    none(ct_permute_new(CT_AXES(1, 1)), CT_ERR_SHAPE, once);
    none(ct_permute_new(CT_AXES(1, 3)), CT_ERR_SHAPE, once);
    none(ct_permute_new(CT_ALL), CT_ERR_SHAPE, once);
    refused(ct_permute_new(CT_AXES(2, 1)), of(CT_SHAPE(2, 3)), CT_ERR_SHAPE,
            "Permute: made for rank 3, x is [2,3] (in net/permute)");
}

TEST(layer_errors, noise_and_activations) {
    none(ct_spatial_dropout2d_new(1), CT_ERR_RANGE,
         "ct_spatial_dropout2d_new: rate must be in [0,1), got 1");
    refused(ct_spatial_dropout2d_new(0.5), of(CT_SHAPE(2, 3)), CT_ERR_SHAPE,
            "SpatialDropout2D: needs [N,H,W,C], got [2,3] (in net/spatial_dropout2d)");
    none(ct_gaussian_noise_new(-1), CT_ERR_RANGE,
         "ct_gaussian_noise_new: deviation must be finite and >= 0, got -1");
    none(ct_gaussian_noise_new(HUGE_VAL), CT_ERR_RANGE,
         "ct_gaussian_noise_new: deviation must be finite and >= 0, got inf");
    none(ct_leaky_relu_new(HUGE_VAL), CT_ERR_RANGE,
         "ct_leaky_relu_new: slope must be finite, got inf");
    none(ct_prelu_new(0, (ct_prelu_options){0}), CT_ERR_RANGE,
         "ct_prelu_new: channels must be >= 1, got 0");
    refused(ct_prelu_new(3, (ct_prelu_options){0}), of(CT_SHAPE(2, 4)), CT_ERR_SHAPE,
            "Prelu: made for 3 channels, x is [2,4] (in net/prelu)");
}
