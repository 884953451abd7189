/* Layers against PyTorch and Keras in f64: values, gradients by the inputs and by each parameter.
 * The numbers come from tests/reference/modules.py; inputs are made here by the same formula, and
 * masks and noise are those of the key that it has. */
#include "tests/reference/modules.h"
#include "tests/support/nn_support.h"

#define TOLERANCE 1e-12
#define MOST 4

/* y's value and the gradients by n tensors of <y, cotangent>, each of `sizes` elements. */
static void expect_results(const char *name, ct_tensor *y, uint32_t salt, size_t size,
                           const double *value, ct_tensor *const by[], int64_t n,
                           const double *const gradients[], const size_t sizes[]) {
    ct_tensor *out[MOST];
    MADE(y);
    REQUIRE((size_t)ct_numel(y) == size, "%s", ct_shape_format(ct_shape_of(y)).text);
    cr_expect_lt(distance(y, value), TOLERANCE, "y of %s", name);
    OK(ct_vjp(y, centred(CT_F64, ct_shape_of(y), salt + 9, 1, 0), by, n, out));
    for (int64_t i = 0; i < n; i++) {
        REQUIRE((size_t)ct_numel(out[i]) == sizes[i], "%lld", (long long)i);
        double error = distance(out[i], gradients[i]);
        cr_expect_lt(error, TOLERANCE, "%s, input %lld: %g", name, (long long)i, error);
    }
}

/* Fills the parameters and compares; frees the module. `gradients` are those by x, unless it is
 * ids, and then those by the parameters in their order. */
static void expect_module(ct_module *module, ct_tensor *x, uint32_t salt, size_t size,
                          const double *value, int64_t n, const double *const gradients[],
                          const size_t sizes[]) {
    MADE(module);
    ct_slot_list list;
    ct_tensor *by[MOST];
    int64_t ids = ct_dtype_is_float(ct_dtype_of(x)) ? 0 : 1;
    OK(ct_module_parameters(module, &list));
    REQUIRE(list.count + 1 - ids == n, "%lld parameters", (long long)list.count);
    by[0] = x;
    for (int64_t i = 0; i < list.count; i++) {
        ct_shape shape = ct_shape_of(ct_slot_read(list.items[i].slot));
        uint32_t own = salt + 1 + (uint32_t)i;
        OK(ct_slot_write(list.items[i].slot, centred(CT_F64, shape, own, 1, 0)));
        by[i + 1] = ct_slot_read(list.items[i].slot);
    }
    expect_results(module->kind->name, ct_forward(module, x, CT_TRAINING), salt, size, value,
                   by + ids, n, gradients, sizes);
    ct_slot_list_free(&list);
    ct_module_free(module);
}

/* The same for a module of n inputs and no parameters. */
static void expect_merge(ct_module *module, ct_tensor *const x[], int n, uint32_t salt, size_t size,
                         const double *value, const double *const gradients[],
                         const size_t sizes[]) {
    ct_tensor *y = NULL;
    OK(ct_forward_many(module, x, n, &y, 1, CT_TRAINING));
    expect_results(module->kind->name, y, salt, size, value, x, n, gradients, sizes);
    ct_module_free(module);
}

#define SIZE(array) (sizeof(array) / sizeof(double))
#define EXPECT_1(module, x, salt, name, a)                                                      \
    expect_module(module, x, salt, SIZE(name##_y), name##_y, 1, (const double *[]){name##_##a}, \
                  (const size_t[]){SIZE(name##_##a)})
#define EXPECT_2(module, x, salt, name, a, b)                   \
    expect_module(module, x, salt, SIZE(name##_y), name##_y, 2, \
                  (const double *[]){name##_##a, name##_##b},   \
                  (const size_t[]){SIZE(name##_##a), SIZE(name##_##b)})
#define EXPECT_3(module, x, salt, name, a, b, c)                          \
    expect_module(module, x, salt, SIZE(name##_y), name##_y, 3,           \
                  (const double *[]){name##_##a, name##_##b, name##_##c}, \
                  (const size_t[]){SIZE(name##_##a), SIZE(name##_##b), SIZE(name##_##c)})
#define EXPECT_4(module, x, salt, name, a, b, c, d)                         \
    expect_module(                                                          \
        module, x, salt, SIZE(name##_y), name##_y, 4,                       \
        (const double *[]){name##_##a, name##_##b, name##_##c, name##_##d}, \
        (const size_t[]){SIZE(name##_##a), SIZE(name##_##b), SIZE(name##_##c), SIZE(name##_##d)})

static ct_tensor *leaf(ct_shape shape, uint32_t salt) { return centred(CT_F64, shape, salt, 1, 0); }
static ct_tensor *wide(ct_shape shape, uint32_t salt) { return centred(CT_F64, shape, salt, 3, 0); }

TEST(layer_parity, embedding) {
    ct_embedding_options options = {.dtype = CT_F64};
    ct_tensor *ids = ct_reshape(some_labels(12, 5, 100), CT_SHAPE(3, 4));
    EXPECT_1(ct_embedding_new(5, 2, options), ids, 100, embedding, dtable);
    options.pads = true;
    options.pad_id = 1;
    ids = ct_reshape(some_labels(12, 5, 110), CT_SHAPE(3, 4));
    EXPECT_1(ct_embedding_new(5, 2, options), ids, 110, embedding_pads, dtable);
}

TEST(layer_parity, conv1d) {
    ct_conv1d_options plain = {.dtype = CT_F64};
    EXPECT_3(ct_conv1d_new(3, 4, plain), leaf(CT_SHAPE(2, 7, 3), 120), 120, conv1d, dx, dkernel,
             dbias);
    ct_conv1d_options all = {
        .kernel = 2, .stride = 2, .pad = {1, 1}, .dilation = 3, .groups = 2, .dtype = CT_F64};
    EXPECT_3(ct_conv1d_new(4, 6, all), leaf(CT_SHAPE(2, 8, 4), 130), 130, conv1d_strided, dx,
             dkernel, dbias);
    ct_conv1d_options causal = {.dilation = 2, .pad = {4, 0}, .dtype = CT_F64};
    EXPECT_3(ct_conv1d_new(2, 3, causal), leaf(CT_SHAPE(2, 6, 2), 140), 140, conv1d_causal, dx,
             dkernel, dbias);
}

TEST(layer_parity, convolutions_by_channel) {
    ct_conv2d_options options = {.kernel = {3, 2}, .stride = {2, 2}, .dtype = CT_F64};
    EXPECT_3(ct_depthwise_conv2d_new(3, 2, options), leaf(CT_SHAPE(1, 5, 6, 3), 150), 150,
             depthwise, dx, dkernel, dbias);
    ct_conv2d_options same = {.padding = CT_SAME, .dtype = CT_F64};
    EXPECT_4(ct_separable_conv2d_new(2, 3, 2, same), leaf(CT_SHAPE(1, 5, 4, 2), 160), 160,
             separable, dx, ddepthwise, dpointwise, dbias);
}

TEST(layer_parity, conv2d_transpose) {
    ct_conv2d_options valid = {.stride = {2, 2}, .dtype = CT_F64};
    EXPECT_3(ct_conv2d_transpose_new(2, 2, valid), leaf(CT_SHAPE(1, 3, 2, 2), 170), 170, transpose,
             dx, dkernel, dbias);
    ct_conv2d_options padded = {.kernel = {3, 2},
                                .stride = {3, 2},
                                .pad = {1, 1, 0, 0},
                                .output_padding = {2, 1},
                                .dilation = {1, 2},
                                .groups = 2,
                                .dtype = CT_F64};
    EXPECT_3(ct_conv2d_transpose_new(4, 2, padded), leaf(CT_SHAPE(1, 3, 4, 4), 180), 180,
             transpose_padded, dx, dkernel, dbias);
    ct_conv2d_options same = {
        .kernel = {4, 4}, .stride = {2, 2}, .padding = CT_SAME, .dtype = CT_F64};
    EXPECT_3(ct_conv2d_transpose_new(2, 2, same), leaf(CT_SHAPE(1, 3, 2, 2), 190), 190,
             transpose_same, dx, dkernel, dbias);
    same.kernel[0] = same.kernel[1] = 3;
    EXPECT_3(ct_conv2d_transpose_new(2, 2, same), leaf(CT_SHAPE(1, 3, 2, 2), 200), 200,
             transpose_odd, dx, dkernel, dbias);
    ct_conv2d_options keras = {
        .kernel = {2, 2}, .stride = {3, 3}, .output_padding = {1, 1}, .dtype = CT_F64};
    EXPECT_3(ct_conv2d_transpose_new(2, 2, keras), leaf(CT_SHAPE(1, 2, 2, 2), 210), 210,
             transpose_short, dx, dkernel, dbias);
}

TEST(layer_parity, sizes_of_images) {
    ct_up_sampling2d_options nearest = {.factor = {2, 3}};
    EXPECT_1(ct_up_sampling2d_new(nearest), leaf(CT_SHAPE(1, 2, 3, 2), 220), 220, up_nearest, dx);
    ct_up_sampling2d_options bilinear = {.factor = {3, 2}, .bilinear = true};
    EXPECT_1(ct_up_sampling2d_new(bilinear), leaf(CT_SHAPE(1, 2, 3, 2), 230), 230, up_bilinear, dx);
    EXPECT_1(ct_zero_padding2d_new(1, 0, 2, 1), leaf(CT_SHAPE(1, 2, 2, 2), 240), 240, zero_padding,
             dx);
    EXPECT_1(ct_adaptive_avg_pool2d_new(3, 4), leaf(CT_SHAPE(2, 5, 7, 2), 250), 250, adaptive, dx);
    EXPECT_1(ct_adaptive_avg_pool2d_new(3, 2), leaf(CT_SHAPE(1, 6, 4, 2), 260), 260, adaptive_even,
             dx);
    EXPECT_1(ct_adaptive_avg_pool2d_new(3, 3), leaf(CT_SHAPE(1, 2, 3, 1), 270), 270,
             adaptive_larger, dx);
    EXPECT_1(ct_global_max_pool2d_new(), leaf(CT_SHAPE(2, 3, 4, 3), 280), 280, global_max, dx);
}

TEST(layer_parity, normalizations) {
    ct_group_norm_options keras = ct_group_norm_defaults(), torch = keras, plain = keras;
    keras.dtype = torch.dtype = plain.dtype = CT_F64;
    torch.epsilon = 1e-5;
    plain.no_scale = plain.no_center = true;
    EXPECT_3(ct_group_norm_new(3, 6, keras), wide(CT_SHAPE(2, 3, 2, 6), 300), 300, group_norm, dx,
             dgamma, dbeta);
    EXPECT_3(ct_group_norm_new(2, 6, torch), wide(CT_SHAPE(3, 6), 310), 310, group_norm_rows, dx,
             dgamma, dbeta);
    EXPECT_3(ct_instance_norm_new(2, torch), wide(CT_SHAPE(2, 3, 2, 2), 320), 320, instance_norm,
             dx, dgamma, dbeta);
    EXPECT_1(ct_instance_norm_new(2, plain), wide(CT_SHAPE(2, 5, 2), 330), 330, instance_norm_plain,
             dx);
    ct_rms_norm_options rms = ct_rms_norm_defaults();
    rms.dtype = CT_F64;
    EXPECT_2(ct_rms_norm_new(4, rms), wide(CT_SHAPE(3, 2, 4), 340), 340, rms_norm, dx, dgamma);
}

TEST(layer_parity, weight_norm) {
    ct_module *dense = ct_dense_new(4, 3, (ct_dense_options){.dtype = CT_F64});
    EXPECT_4(ct_weight_norm_new(dense), leaf(CT_SHAPE(2, 4), 350), 350, weight_norm_dense, dx, dg,
             dkernel, dbias);
    ct_module *conv = ct_conv2d_new(2, 2, (ct_conv2d_options){.kernel = {3, 2}, .dtype = CT_F64});
    EXPECT_4(ct_weight_norm_new(conv), leaf(CT_SHAPE(1, 4, 3, 2), 360), 360, weight_norm_conv, dx,
             dg, dkernel, dbias);
}

TEST(layer_parity, shapes_and_activations) {
    EXPECT_1(ct_reshape_new(CT_SHAPE(3, -1)), leaf(CT_SHAPE(2, 6), 370), 370, reshape, dx);
    EXPECT_1(ct_flatten_new(), leaf(CT_SHAPE(2, 3, 2, 2), 590), 590, flatten, dx);
    EXPECT_1(ct_permute_new(CT_AXES(3, 1, 2)), leaf(CT_SHAPE(2, 3, 2, 2), 380), 380, permute, dx);
    EXPECT_1(ct_leaky_relu_new(0.3), leaf(CT_SHAPE(2, 5), 390), 390, leaky_relu, dx);
    ct_prelu_options options = {.dtype = CT_F64};
    EXPECT_2(ct_prelu_new(4, options), leaf(CT_SHAPE(2, 3, 4), 400), 400, prelu, dx, dalpha);
    EXPECT_2(ct_prelu_new(1, options), leaf(CT_SHAPE(2, 6), 410), 410, prelu_one, dx, dalpha);
}

TEST(layer_parity, activations) {
    static const size_t size[] = {12};
#define ROW(name, salt) \
    { &ct_activation_##name, salt, name##_y, name##_dx }
    static const struct {
        const ct_activation *activation;
        uint32_t salt;
        const double *y, *dx;
    } rows[] = {ROW(relu, 420),
                ROW(sigmoid, 430),
                ROW(tanh, 440),
                ROW(softmax, 450),
                ROW(gelu, 460),
                ROW(elu, 470),
                ROW(silu, 480),
                ROW(softplus, 490),
                {&ct_activation_leaky_relu, 600, leaky_relu_usual_y, leaky_relu_usual_dx}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        expect_module(ct_activation_new(rows[i].activation), wide(CT_SHAPE(3, 4), rows[i].salt),
                      rows[i].salt, 12, rows[i].y, 1, &rows[i].dx, size);
    }
}

TEST(layer_parity, dense_and_normalizations) {
    EXPECT_3(ct_dense_new(4, 5, (ct_dense_options){.dtype = CT_F64}), leaf(CT_SHAPE(2, 3, 4), 500),
             500, dense, dx, dkernel, dbias);
    ct_layer_norm_options rows = ct_layer_norm_defaults();
    rows.dtype = CT_F64;
    EXPECT_3(ct_layer_norm_new(5, rows), wide(CT_SHAPE(3, 2, 5), 510), 510, layer_norm, dx, dgamma,
             dbeta);
    ct_batch_norm_options channels = ct_batch_norm_keras();
    channels.dtype = CT_F64;
    EXPECT_3(ct_batch_norm_new(3, channels), wide(CT_SHAPE(3, 2, 2, 3), 520), 520, batch_norm, dx,
             dgamma, dbeta);
}

TEST(layer_parity, conv2d) {
    ct_conv2d_options strided = {.kernel = {3, 2}, .stride = {2, 1}, .dtype = CT_F64};
    EXPECT_3(ct_conv2d_new(2, 3, strided), leaf(CT_SHAPE(2, 5, 4, 2), 530), 530, conv2d, dx,
             dkernel, dbias);
    ct_conv2d_options same = {.padding = CT_SAME, .stride = {2}, .dtype = CT_F64};
    EXPECT_3(ct_conv2d_new(2, 2, same), leaf(CT_SHAPE(1, 4, 5, 2), 540), 540, conv2d_same, dx,
             dkernel, dbias);
}

TEST(layer_parity, pooling) {
    ct_pool2d_options tall = {.window = {3, 2}, .stride = {2}};
    EXPECT_1(ct_max_pool2d_new(tall), leaf(CT_SHAPE(2, 5, 4, 2), 550), 550, max_pool, dx);
    ct_pool2d_options same = {.padding = CT_SAME, .window = {3}, .stride = {2}};
    EXPECT_1(ct_max_pool2d_new(same), leaf(CT_SHAPE(1, 5, 4, 2), 560), 560, max_pool_same, dx);
    ct_pool2d_options flat = {.window = {2, 3}, .stride = {2, 1}};
    EXPECT_1(ct_avg_pool2d_new(flat), leaf(CT_SHAPE(2, 5, 4, 2), 570), 570, avg_pool, dx);
    EXPECT_1(ct_global_avg_pool2d_new(), leaf(CT_SHAPE(2, 3, 4, 3), 580), 580, global_avg, dx);
}

/* Frozen it uses the moving statistics, as in inference. */
TEST(layer_parity, batch_norm_by_moving_statistics) {
    ct_batch_norm_options channels = ct_batch_norm_keras();
    channels.dtype = CT_F64;
    ct_module *layer = ct_batch_norm_new(3, channels);
    MADE(layer);
    OK(ct_slot_write(slot_at(layer, "moving_mean"), leaf(CT_SHAPE(3), 615)));
    OK(ct_slot_write(slot_at(layer, "moving_variance"),
                     centred(CT_F64, CT_SHAPE(3), 616, 0.5, 1.0)));
    ct_module_freeze(layer, true);
    EXPECT_3(layer, leaf(CT_SHAPE(3, 2, 3), 610), 610, batch_norm_moving, dx, dgamma, dbeta);
}

/* --- Masks and noise as data ------------------------------------------------------------------ */

/* With the key of modules.py for its first forward. */
static ct_module *keyed(ct_module *layer) {
    MADE(layer);
    OK(ct_slot_write(slot_at(layer, "stream"), ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){7, 3})));
    return layer;
}

TEST(layer_parity, layers_that_draw) {
    EXPECT_1(keyed(ct_dropout_new(0.4)), leaf(CT_SHAPE(3, 5), 620), 620, dropout, dx);
    EXPECT_1(keyed(ct_spatial_dropout2d_new(0.25)), leaf(CT_SHAPE(2, 2, 3, 4), 630), 630,
             spatial_dropout, dx);
    EXPECT_1(keyed(ct_gaussian_noise_new(0.5)), leaf(CT_SHAPE(3, 5), 640), 640, gaussian_noise, dx);
}

/* --- Several inputs, and containers ----------------------------------------------------------- */

TEST(layer_parity, merges) {
    ct_tensor *ends[] = {leaf(CT_SHAPE(2, 3), 650), leaf(CT_SHAPE(2, 1), 651),
                         leaf(CT_SHAPE(2, 2), 652)};
    expect_merge(ct_concatenate_new(-1), ends, 3, 650, SIZE(concatenate_y), concatenate_y,
                 (const double *[]){concatenate_dx, concatenate_db, concatenate_dc},
                 (const size_t[]){6, 2, 4});
    ct_tensor *rows[] = {leaf(CT_SHAPE(2, 3, 2), 660), leaf(CT_SHAPE(2, 1, 2), 661)};
    expect_merge(ct_concatenate_new(1), rows, 2, 660, SIZE(concatenate_rows_y), concatenate_rows_y,
                 (const double *[]){concatenate_rows_dx, concatenate_rows_db},
                 (const size_t[]){12, 4});
    ct_tensor *terms[] = {leaf(CT_SHAPE(2, 3, 2), 670), leaf(CT_SHAPE(2, 1, 2), 671),
                          leaf(CT_SHAPE(2, 3, 2), 672)};
    expect_merge(ct_add_new(), terms, 3, 670, SIZE(add_y), add_y,
                 (const double *[]){add_dx, add_db, add_dc}, (const size_t[]){12, 4, 12});
}

TEST(layer_parity, containers) {
    ct_dense_options full = {.dtype = CT_F64}, bare = {.dtype = CT_F64, .no_bias = true};
    EXPECT_3(ct_residual_new(ct_dense_new(3, 3, full), NULL), leaf(CT_SHAPE(2, 3), 680), 680,
             residual, dx, dkernel, dbias);
    EXPECT_4(ct_residual_new(ct_dense_new(3, 2, full), ct_dense_new(3, 2, bare)),
             leaf(CT_SHAPE(2, 3), 690), 690, residual_shortcut, dx, dkernel, dbias, dother);
    EXPECT_4(CT_BRANCHES("towers", ct_concatenate_new(-1), ct_dense_new(3, 2, full),
                         ct_dense_new(3, 2, bare)),
             leaf(CT_SHAPE(2, 3), 700), 700, branches, dx, dkernel, dbias, dother);
}

TEST(layer_parity, learned_positions) {
    EXPECT_2(ct_positions_new(5, 4, (ct_positions_options){.dtype = CT_F64}),
             leaf(CT_SHAPE(2, 3, 4), 710), 710, positions, dx, dtable);
}
