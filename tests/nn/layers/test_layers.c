/* Layers against plain loops: Dense, Conv2D, pooling, Flatten, LayerNorm, Dropout, activations,
 * containers. BatchNorm has a suite of its own. */
#include "tests/support/nn_support.h"

static void expect_close(ct_tensor *y, ct_shape shape, const double *wanted, double tolerance) {
    MADE(y);
    cr_expect(ct_shape_equal(ct_shape_of(y), shape), "%s", ct_shape_format(ct_shape_of(y)).text);
    cr_expect_lt(distance(y, wanted), tolerance);
}

TEST(dense, is_x_kernel_plus_bias) {
    ct_dense_options options = {.dtype = CT_F64, .bias = ct_init_constant(0.25)};
    ct_module *dense = ct_dense_new(4, 3, options);
    MADE(dense);
    ct_tensor *x = centred(CT_F64, CT_SHAPE(2, 5, 4), 1, 1, 0);
    ct_tensor *kernel = read_slot(dense, "kernel");
    double wanted[30];
    for (int row = 0; row < 10; row++) {
        for (int unit = 0; unit < 3; unit++) {
            double sum = 0.25;
            for (int k = 0; k < 4; k++) {
                sum += element(x, row * 4 + k) * element(kernel, k * 3 + unit);
            }
            wanted[row * 3 + unit] = sum;
        }
    }
    expect_close(ct_forward(dense, x, CT_TRAINING), CT_SHAPE(2, 5, 3), wanted, 1e-14);
    ct_module_free(dense);
}

TEST(dense, says_what_does_not_fit) {
    cr_expect_null(ct_dense_new(0, 3, (ct_dense_options){0}));
    expect_error(CT_ERR_RANGE, "ct_dense_new: inputs must be >= 1, got 0");
    ct_module *model = CT_SEQUENTIAL("net", ct_dense_new(4, 3, (ct_dense_options){0}));
    cr_expect_null(ct_forward(model, centred(CT_F32, CT_SHAPE(2, 5), 1, 1, 0), CT_TRAINING));
    expect_error(CT_ERR_SHAPE, "Dense: inner dims must match, got x [2,5], kernel [4,3] "
                               "(5 vs 4) (in net/dense)");
    cr_expect_null(ct_forward(model, ct_scalar(CT_F32, 1), CT_TRAINING));
    expect_error(CT_ERR_SHAPE, "Dense: x needs rank >= 1, got a scalar (in net/dense)");
    ct_module_free(model);
}

/* --- Convolution ------------------------------------------------------------------------------ */

typedef struct {
    int64_t size[2], out[2]; /* height, width */
    int64_t before[2];       /* padding */
    int64_t stride[2], dilation[2], kernel[2];
    int64_t inputs, filters, groups;
} conv_case;

static double conv_at(const conv_case *c, ct_tensor *x, ct_tensor *w, int64_t i, int64_t j,
                      int64_t o) {
    int64_t per_group = c->inputs / c->groups, group = o / (c->filters / c->groups);
    double sum = 0;
    for (int64_t a = 0; a < c->kernel[0]; a++) {
        for (int64_t b = 0; b < c->kernel[1]; b++) {
            int64_t row = i * c->stride[0] + a * c->dilation[0] - c->before[0];
            int64_t column = j * c->stride[1] + b * c->dilation[1] - c->before[1];
            if (row < 0 || row >= c->size[0] || column < 0 || column >= c->size[1]) continue;
            for (int64_t k = 0; k < per_group; k++) {
                int64_t pixel = (row * c->size[1] + column) * c->inputs + group * per_group + k;
                int64_t tap = ((a * c->kernel[1] + b) * per_group + k) * c->filters + o;
                sum += element(x, pixel) * element(w, tap);
            }
        }
    }
    return sum;
}

static void expect_conv(conv_case c, ct_conv2d_options options) {
    options.dtype = CT_F64;
    ct_module *conv = ct_conv2d_new(c.inputs, c.filters, options);
    MADE(conv);
    ct_tensor *x = centred(CT_F64, CT_SHAPE(1, c.size[0], c.size[1], c.inputs), 3, 1, 0);
    ct_tensor *w = read_slot(conv, "kernel");
    double wanted[256];
    int64_t n = 0;
    for (int64_t i = 0; i < c.out[0]; i++) {
        for (int64_t j = 0; j < c.out[1]; j++) {
            for (int64_t o = 0; o < c.filters; o++) wanted[n++] = conv_at(&c, x, w, i, j, o);
        }
    }
    expect_close(ct_forward(conv, x, CT_TRAINING), CT_SHAPE(1, c.out[0], c.out[1], c.filters),
                 wanted, 1e-14);
    ct_module_free(conv);
}

TEST(conv2d, default_is_3_by_3_valid) {
    expect_conv((conv_case){{5, 6}, {3, 4}, {0, 0}, {1, 1}, {1, 1}, {3, 3}, 2, 3, 1},
                (ct_conv2d_options){0});
}

TEST(conv2d, same_padding_puts_the_larger_half_after) {
    /* Height 6, stride 2: 3 outputs need 7 rows, so 0 before and 1 after; width 5: 1 and 1. */
    expect_conv((conv_case){{6, 5}, {3, 3}, {0, 1}, {2, 2}, {1, 1}, {3, 3}, 2, 3, 1},
                (ct_conv2d_options){.padding = CT_SAME, .stride = {2, 2}});
    /* Stride 1, an even kernel: 0 before and 1 after. */
    expect_conv((conv_case){{4, 4}, {4, 4}, {0, 1}, {1, 1}, {1, 1}, {2, 3}, 1, 2, 1},
                (ct_conv2d_options){.padding = CT_SAME, .kernel = {2, 3}});
    /* A dilated window is longer: 5 = (3 - 1) 2 + 1, so 2 and 2. */
    expect_conv((conv_case){{5, 5}, {5, 5}, {2, 2}, {1, 1}, {2, 2}, {3, 3}, 1, 2, 1},
                (ct_conv2d_options){.padding = CT_SAME, .dilation = {2, 2}});
    /* A stride beyond the kernel needs no padding. */
    expect_conv((conv_case){{7, 7}, {3, 3}, {0, 0}, {3, 3}, {1, 1}, {1, 1}, 1, 2, 1},
                (ct_conv2d_options){.padding = CT_SAME, .kernel = {1, 1}, .stride = {3, 3}});
}

TEST(conv2d, explicit_padding_dilation_and_groups) {
    expect_conv((conv_case){{6, 5}, {3, 4}, {1, 0}, {2, 1}, {1, 2}, {3, 2}, 4, 6, 2},
                (ct_conv2d_options){.kernel = {3, 2},
                                    .stride = {2, 1},
                                    .dilation = {1, 2},
                                    .pad = {1, 0, 0, 1},
                                    .groups = 2});
}

TEST(conv2d, says_what_does_not_fit) {
    cr_expect_null(ct_conv2d_new(3, 4, (ct_conv2d_options){.groups = 2}));
    expect_error(CT_ERR_SHAPE, "ct_conv2d_new: groups 2 must divide 3 inputs");
    cr_expect_null(ct_conv2d_new(2, 3, (ct_conv2d_options){.groups = 2}));
    expect_error(CT_ERR_SHAPE, "ct_conv2d_new: groups 2 must divide 3 filters");
    cr_expect_null(ct_conv2d_new(2, 3, (ct_conv2d_options){.kernel = {-1, 3}}));
    expect_error(CT_ERR_RANGE, "ct_conv2d_new: kernel must be >= 1, got -1");
    cr_expect_null(ct_conv2d_new(2, 3, (ct_conv2d_options){.stride = {0, -2}}));
    expect_error(CT_ERR_RANGE, "ct_conv2d_new: stride must be >= 1, got -2");
}

/* --- Pooling, Flatten ------------------------------------------------------------------------- */

static ct_tensor *forward_and_free(ct_module *module, ct_tensor *x) {
    MADE(module);
    ct_tensor *y = ct_detach(ct_forward(module, x, CT_TRAINING));
    ct_module_free(module);
    return y;
}

TEST(pooling, floors_and_same) {
    double numbers[25];
    for (int i = 0; i < 25; i++) numbers[i] = i;
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(1, 5, 5, 1), numbers);
    expect_close(forward_and_free(ct_max_pool2d_new((ct_pool2d_options){0}), x),
                 CT_SHAPE(1, 2, 2, 1), (double[]){6, 8, 16, 18}, 1e-15);
    ct_pool2d_options same = {.padding = CT_SAME};
    expect_close(forward_and_free(ct_max_pool2d_new(same), x), CT_SHAPE(1, 3, 3, 1),
                 (double[]){6, 8, 9, 16, 18, 19, 21, 23, 24}, 1e-15);
    expect_close(forward_and_free(ct_avg_pool2d_new((ct_pool2d_options){0}), x),
                 CT_SHAPE(1, 2, 2, 1), (double[]){3, 5, 13, 15}, 1e-15);
    /* The padding does not count. */
    expect_close(forward_and_free(ct_avg_pool2d_new(same), x), CT_SHAPE(1, 3, 3, 1),
                 (double[]){3, 5, 6.5, 13, 15, 16.5, 20.5, 22.5, 24}, 1e-15);
    ct_pool2d_options overlapping = {.window = {3, 1}, .stride = {1, 2}};
    expect_close(forward_and_free(ct_max_pool2d_new(overlapping), x), CT_SHAPE(1, 3, 3, 1),
                 (double[]){10, 12, 14, 15, 17, 19, 20, 22, 24}, 1e-15);
}

TEST(pooling, global_average_and_flatten) {
    double numbers[12];
    for (int i = 0; i < 12; i++) numbers[i] = i;
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(1, 2, 3, 2), numbers);
    expect_close(forward_and_free(ct_global_avg_pool2d_new(), x), CT_SHAPE(1, 2), (double[]){5, 6},
                 1e-15);
    /* Height, width, channel: the order in memory. */
    expect_close(forward_and_free(ct_flatten_new(), x), CT_SHAPE(1, 12), numbers, 1e-15);
    ct_tensor *vectors = ct_from(CT_F64, CT_SHAPE(12), numbers);
    expect_close(forward_and_free(ct_flatten_new(), vectors), CT_SHAPE(12, 1), numbers, 1e-15);
    cr_expect_null(forward_and_free(ct_flatten_new(), ct_scalar(CT_F32, 1)));
    expect_error(CT_ERR_SHAPE, "Flatten: needs [N,...], got []");
    cr_expect_null(forward_and_free(ct_global_avg_pool2d_new(), vectors));
    expect_error(CT_ERR_SHAPE, "GlobalAvgPool2D: needs [N,H,W,C], got [12]");
}

/* --- LayerNorm -------------------------------------------------------------------------------- */

TEST(layer_norm, normalizes_the_last_axis) {
    ct_layer_norm_options options = ct_layer_norm_defaults();
    options.epsilon = 0.01;
    options.dtype = CT_F64;
    ct_module *norm = ct_layer_norm_new(4, options);
    MADE(norm);
    OK(ct_slot_write(slot_at(norm, "gamma"), centred(CT_F64, CT_SHAPE(4), 1, 1, 0)));
    OK(ct_slot_write(slot_at(norm, "beta"), centred(CT_F64, CT_SHAPE(4), 2, 1, 0)));
    ct_tensor *x = centred(CT_F64, CT_SHAPE(3, 4), 3, 2, 1);
    ct_tensor *gamma = read_slot(norm, "gamma"), *beta = read_slot(norm, "beta");
    double wanted[12];
    for (int row = 0; row < 3; row++) {
        double mean = 0, variance = 0;
        for (int k = 0; k < 4; k++) mean += element(x, row * 4 + k) / 4;
        for (int k = 0; k < 4; k++) variance += pow(element(x, row * 4 + k) - mean, 2) / 4;
        for (int k = 0; k < 4; k++) {
            double normal = (element(x, row * 4 + k) - mean) / sqrt(variance + 0.01);
            wanted[row * 4 + k] = element(gamma, k) * normal + element(beta, k);
        }
    }
    expect_close(ct_forward(norm, x, CT_INFERENCE), CT_SHAPE(3, 4), wanted, 1e-14);
    ct_module_free(norm);
}

TEST(layer_norm, takes_epsilon_0_and_says_what_does_not_fit) {
    ct_layer_norm_options options = ct_layer_norm_defaults();
    options.epsilon = 0;
    options.dtype = CT_F64;
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(1, 2), (double[]){1, 3});
    expect_close(forward_and_free(ct_layer_norm_new(2, options), x), CT_SHAPE(1, 2),
                 (double[]){-1, 1}, 1e-15);
    options.epsilon = -1;
    cr_expect_null(ct_layer_norm_new(2, options));
    expect_error(CT_ERR_RANGE, "ct_layer_norm_new: epsilon must be >= 0, got -1");
    cr_expect_null(ct_layer_norm_new(2, (ct_layer_norm_options){.epsilon = 1e-5}));
    expect_error(CT_ERR_STATE, "ct_layer_norm_new: start from ct_layer_norm_defaults()");
}

TEST(group_norm, gives_beta_where_nothing_varies) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2, 3, 5, 6), 1e9 / 3);
    ct_tensor *y = forward_and_free(ct_group_norm_new(2, 6, ct_group_norm_defaults()), x);
    cr_expect_eq(ct_item(ct_max(ct_abs(y), CT_ALL)), 0);
    y = forward_and_free(ct_instance_norm_new(6, ct_group_norm_defaults()), x);
    cr_expect_eq(ct_item(ct_max(ct_abs(y), CT_ALL)), 0);
}

/* --- Shapes ----------------------------------------------------------------------------------- */

static void expect_shape(ct_module *module, ct_shape input, ct_shape output) {
    ct_tensor *y = forward_and_free(module, ct_full(CT_F32, input, 1));
    cr_expect(ct_shape_equal(ct_shape_of(y), output), "%s", ct_shape_format(ct_shape_of(y)).text);
}

TEST(layers, shapes_of_outputs) {
    ct_conv1d_options halved = {.stride = 2, .padding = CT_SAME};
    ct_conv2d_options twice = {.stride = {2, 2}, .padding = CT_SAME}, usual = {0};
    expect_shape(ct_conv1d_new(3, 4, halved), CT_SHAPE(2, 7, 3), CT_SHAPE(2, 4, 4));
    expect_shape(ct_conv2d_transpose_new(3, 4, twice), CT_SHAPE(2, 3, 5, 3), CT_SHAPE(2, 6, 10, 4));
    expect_shape(ct_conv2d_transpose_new(3, 4, usual), CT_SHAPE(2, 3, 5, 3), CT_SHAPE(2, 5, 7, 4));
    expect_shape(ct_depthwise_conv2d_new(3, 2, twice), CT_SHAPE(2, 3, 5, 3), CT_SHAPE(2, 2, 3, 6));
    expect_shape(ct_up_sampling2d_new((ct_up_sampling2d_options){0}), CT_SHAPE(1, 2, 3, 4),
                 CT_SHAPE(1, 4, 6, 4));
    expect_shape(ct_zero_padding2d_new(1, 2, 3, 4), CT_SHAPE(1, 2, 3, 4), CT_SHAPE(1, 5, 10, 4));
    expect_shape(ct_adaptive_avg_pool2d_new(1, 2), CT_SHAPE(1, 2, 3, 4), CT_SHAPE(1, 1, 2, 4));
    expect_shape(ct_reshape_new(CT_SHAPE(3, -1)), CT_SHAPE(2, 6), CT_SHAPE(2, 3, 2));
    expect_shape(ct_reshape_new(CT_SCALAR), CT_SHAPE(2, 1), CT_SHAPE(2));
    expect_shape(ct_permute_new(CT_AXES(2, 1)), CT_SHAPE(2, 3, 4), CT_SHAPE(2, 4, 3));
}

/* --- Activations and containers --------------------------------------------------------------- */

TEST(activation, functions_by_name) {
    const double x = -0.7, exponential = exp(x);
    const struct {
        const ct_activation *activation;
        double wanted;
    } rows[] = {
        {&ct_activation_relu, 0},
        {&ct_activation_sigmoid, 1 / (1 + exp(-x))},
        {&ct_activation_tanh, tanh(x)},
        {&ct_activation_softmax, 1},
        {&ct_activation_gelu, x * (1 + erf(x / sqrt(2.0))) / 2},
        {&ct_activation_elu, exponential - 1},
        {&ct_activation_silu, x / (1 + exp(-x))},
        {&ct_activation_softplus, log1p(exponential)},
        {&ct_activation_leaky_relu, 0.01 * x},
        {&ct_activation_linear, x},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ct_tensor *input = ct_from(CT_F64, CT_SHAPE(1, 1), &x);
        ct_tensor *y = forward_and_free(ct_activation_new(rows[i].activation), input);
        expect_close(y, CT_SHAPE(1, 1), &rows[i].wanted, 1e-14);
    }
    cr_expect_null(ct_activation_new(NULL));
    expect_error(CT_ERR_NULL, "ct_activation_new: 'activation' is NULL");
}

TEST(activation, logits_leave_out_a_final_squashing) {
    ct_module *inner = CT_SEQUENTIAL("inner", ct_dense_new(4, 3, (ct_dense_options){0}),
                                     ct_activation_new(&ct_activation_softmax));
    ct_module *model = CT_SEQUENTIAL("outer", ct_flatten_new(), inner);
    MADE(model);
    ct_tensor *x = centred(CT_F32, CT_SHAPE(2, 4), 1, 1, 0);
    ct_tensor *logits = ct_logits(model, x, CT_INFERENCE);
    ct_tensor *probabilities = ct_forward(model, x, CT_INFERENCE);
    ct_tensor *difference = ct_sum_all(ct_abs(ct_sub(ct_softmax(logits, -1), probabilities)));
    cr_expect_lt(ct_item(difference), 1e-6);
    EXPECT_NEAR(ct_item(ct_sum_all(probabilities)), 2, 1e-6);
    cr_expect_gt(fabs(ct_item(ct_sum_all(logits)) - 2), 1e-3);
    ct_module_free(model);
}

TEST(residual, adds_its_input_or_a_shortcut) {
    ct_module *plain = ct_residual_new(ct_activation_new(&ct_activation_relu), NULL);
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(2), (double[]){-1, 3});
    expect_close(forward_and_free(plain, x), CT_SHAPE(2), (double[]){-1, 6}, 1e-15);
    ct_module *other = ct_residual_new(ct_activation_new(&ct_activation_relu),
                                       ct_activation_new(&ct_activation_leaky_relu));
    expect_close(forward_and_free(other, x), CT_SHAPE(2), (double[]){-0.01, 6}, 1e-15);
}

static void expect_range(ct_module *none, const char *message) {
    cr_expect_null(none, "%s", message);
    expect_error(CT_ERR_RANGE, message);
}

/* Before anything is multiplied. */
TEST(layers, sizes_beyond_all_measure_are_refused) {
    int64_t most = INT64_MAX;
    ct_conv2d_options tall = {.kernel = {most, 2}}, far = {.dilation = {1, most}};
    ct_pool2d_options wide = {.window = {2, most}}, quick = {.stride = {most, 1}};
    expect_range(ct_dense_new(most, 1, (ct_dense_options){0}),
                 "ct_dense_new: inputs must be < 2^31, got 9223372036854775807");
    expect_range(ct_conv2d_new(most, 1, (ct_conv2d_options){0}),
                 "ct_conv2d_new: inputs must be < 2^31, got 9223372036854775807");
    expect_range(ct_conv2d_new(1, 1, tall),
                 "ct_conv2d_new: kernel must be < 2^31, got 9223372036854775807");
    expect_range(ct_conv2d_new(1, 1, far),
                 "ct_conv2d_new: dilation must be < 2^31, got 9223372036854775807");
    expect_range(ct_max_pool2d_new(wide),
                 "ct_max_pool2d_new: window must be < 2^31, got 9223372036854775807");
    expect_range(ct_avg_pool2d_new(quick),
                 "ct_avg_pool2d_new: stride must be < 2^31, got 9223372036854775807");
    ct_conv2d_options huge = {.kernel = {INT32_MAX, INT32_MAX}};
    cr_expect_null(ct_conv2d_new(INT32_MAX, INT32_MAX, huge));
    cr_expect_eq(ct_error(), CT_ERR_SHAPE);
    ct_error_clear();
    ct_conv2d_options same = {
        .kernel = {3, 3}, .padding = CT_SAME, .dilation = {INT32_MAX, 1}, .stride = {INT32_MAX, 1}};
    ct_module *layer = ct_conv2d_new(1, 1, same);
    ct_tensor *y = ct_forward(layer, ct_full(CT_F32, CT_SHAPE(1, 4, 4, 1), 1), CT_INFERENCE);
    cr_expect(ct_shape_equal(ct_shape_of(y), CT_SHAPE(1, 1, 4, 1)), "%s", ct_error_message());
    ct_module_free(layer);
}

/* Axes that are averaged away are not the empty one. */
TEST(layers, take_a_batch_of_nothing) {
    ct_module *layers[] = {ct_layer_norm_new(4, ct_layer_norm_defaults()),
                           ct_rms_norm_new(4, ct_rms_norm_defaults()), ct_global_avg_pool2d_new(),
                           ct_dense_new(4, 2, (ct_dense_options){0})};
    static const int64_t last[] = {4, 4, 4, 2};
    for (int i = 0; i < 4; i++) {
        ct_shape shape = i == 2 ? CT_SHAPE(0, 3, 3, 4) : CT_SHAPE(0, 4);
        ct_tensor *y = ct_forward(layers[i], ct_full(CT_F32, shape, 0), CT_INFERENCE);
        MADE(ct_data(y));
        cr_expect(ct_shape_equal(ct_shape_of(y), CT_SHAPE(0, last[i])));
        ct_module_free(layers[i]);
    }
}

/* It hands on as many inputs and outputs as its child has. */
TEST(layers, weight_norm_of_an_lstm_has_its_states) {
    ct_module *lstm = ct_lstm_new(2, 3, (ct_recurrent_options){.dtype = CT_F64});
    ct_tensor *x = centred(CT_F64, CT_SHAPE(2, 4, 2), 1, 1, 0), *plain[3], *normed[3];
    OK(ct_forward_many(lstm, &x, 1, plain, 3, CT_INFERENCE));
    ct_module *norm = ct_weight_norm_new(lstm);
    OK(ct_forward_many(norm, &x, 1, normed, 3, CT_INFERENCE));
    for (int i = 0; i < 3; i++) {
        ct_tensor *gap = ct_max(ct_abs(ct_sub(plain[i], normed[i])), CT_ALL);
        cr_expect_lt(ct_item(gap), 1e-14);
    }
    ct_module_free(norm);
}
