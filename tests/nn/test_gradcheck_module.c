/* Gradient checks of whole modules: right ones pass at both orders in either mode and whatever they
 * are made in, a wrong derivative inside of one is found, and nothing changes. */
#include "tests/support/nn_support.h"

#include "tensor/op.h"

static ct_gradcheck_report checked(ct_module *module, ct_tensor *x, ct_mode mode, int order) {
    ct_gradcheck_report report = {0};
    ct_gradcheck_options options = {.order = order, .full_limit = 512};
    uint64_t before = state_hash(module, NULL);
    OK(ct_gradcheck_module(module, x, mode, options, &report));
    cr_expect_eq(state_hash(module, NULL), before);
    return report;
}

static void expect_right(ct_module *module, ct_tensor *x) {
    MADE(module);
    for (int mode = CT_INFERENCE; mode <= CT_TRAINING; mode++) {
        ct_gradcheck_report report = checked(module, x, (ct_mode)mode, 2);
        cr_expect(report.passed, "mode %d, order %d, input %lld: %g for %g", mode,
                  report.worst.order, (long long)report.worst.input, report.worst.analytic,
                  report.worst.numeric);
    }
    ct_module_free(module);
}

static ct_tensor *rows(ct_dtype dtype) { return centred(dtype, CT_SHAPE(4, 3), 1, 1, 0); }

TEST(gradcheck_module, right_layers_in_f32) {
    ct_dense_options usual = {0};
    expect_right(CT_SEQUENTIAL("mlp", ct_dense_new(3, 4, usual),
                               ct_layer_norm_new(4, ct_layer_norm_defaults()),
                               ct_activation_new(&ct_activation_gelu), ct_dropout_new(0.3),
                               ct_dense_new(4, 2, usual)),
                 rows(CT_F32));
    expect_right(CT_SEQUENTIAL("norm", ct_dense_new(3, 4, usual),
                               ct_batch_norm_new(4, ct_batch_norm_defaults()),
                               ct_activation_new(&ct_activation_tanh)),
                 rows(CT_F64));
    ct_module *d = ct_dense_new(3, 3, usual);
    expect_right(CT_SEQUENTIAL("twice", d, ct_residual_new(d, NULL)), rows(CT_F32));
    ct_conv2d_options conv = {.padding = CT_SAME};
    ct_module *pool = ct_avg_pool2d_new((ct_pool2d_options){0});
    expect_right(CT_SEQUENTIAL("cnn", ct_conv2d_new(2, 3, conv),
                               ct_activation_new(&ct_activation_softplus), pool,
                               ct_global_avg_pool2d_new()),
                 centred(CT_F32, CT_SHAPE(2, 4, 4, 2), 2, 1, 0));
}

static ct_tensor *pixels(int64_t channels) {
    return centred(CT_F32, CT_SHAPE(2, 3, 3, channels), 2, 1, 0);
}

TEST(gradcheck_module, convolutions_of_other_kinds) {
    ct_conv2d_options usual = {0}, wide = {.stride = {2, 2}, .padding = CT_SAME};
    expect_right(ct_conv1d_new(3, 2, (ct_conv1d_options){.padding = CT_SAME}),
                 centred(CT_F32, CT_SHAPE(2, 4, 3), 1, 1, 0));
    expect_right(ct_depthwise_conv2d_new(2, 2, usual), pixels(2));
    expect_right(ct_separable_conv2d_new(2, 3, 1, usual), pixels(2));
    expect_right(ct_conv2d_transpose_new(2, 2, wide), pixels(2));
}

TEST(gradcheck_module, normalizations_of_other_kinds) {
    expect_right(ct_group_norm_new(2, 4, ct_group_norm_defaults()), pixels(4));
    expect_right(ct_instance_norm_new(2, ct_group_norm_defaults()), pixels(2));
    expect_right(ct_rms_norm_new(3, ct_rms_norm_defaults()), rows(CT_F32));
    ct_dense_options usual = {0};
    expect_right(ct_weight_norm_new(ct_dense_new(3, 2, usual)), rows(CT_F32));
    expect_right(CT_SEQUENTIAL("two", ct_weight_norm_new(ct_dense_new(3, 3, usual)),
                               ct_weight_norm_new(ct_conv1d_new(3, 2, (ct_conv1d_options){0}))),
                 centred(CT_F32, CT_SHAPE(2, 3, 3), 1, 1, 0));
}

TEST(gradcheck_module, layers_without_arithmetic_or_with_little) {
    ct_up_sampling2d_options nearest = {0}, bilinear = {.bilinear = true};
    expect_right(ct_up_sampling2d_new(nearest), pixels(1));
    expect_right(ct_up_sampling2d_new(bilinear), pixels(1));
    expect_right(ct_zero_padding2d_new(1, 0, 0, 1), pixels(1));
    expect_right(ct_adaptive_avg_pool2d_new(2, 2), pixels(2));
    expect_right(ct_global_max_pool2d_new(), pixels(2));
    expect_right(ct_reshape_new(CT_SHAPE(9)), pixels(1));
    expect_right(ct_permute_new(CT_AXES(2, 3, 1)), pixels(2));
    expect_right(ct_leaky_relu_new(0.2), rows(CT_F32));
    expect_right(ct_prelu_new(3, (ct_prelu_options){0}), rows(CT_F32));
    expect_right(ct_spatial_dropout2d_new(0.4), pixels(4));
    expect_right(ct_gaussian_noise_new(0.5), rows(CT_F32));
}

TEST(gradcheck_module, an_embedding) {
    ct_module *plain = ct_embedding_new(5, 2, (ct_embedding_options){0});
    ct_gradcheck_report report = checked(plain, some_labels(6, 5, 1), CT_TRAINING, 2);
    cr_expect(report.passed && report.full);
    ct_module_free(plain);
}

TEST(gradcheck_module, right_layers_in_f64_and_frozen_ones) {
    ct_module *model = ct_dense_new(3, 2, (ct_dense_options){.dtype = CT_F64});
    ct_module_freeze(model, true);
    ct_gradcheck_report report = checked(model, rows(CT_F64), CT_TRAINING, 1);
    cr_expect(report.passed && report.full && !report.degenerate);
    cr_expect_eq(report.compared, (6 + 2 + 12) * (8 + 1)); /* each output, and a dense cotangent */
    ct_module_free(model);
}

/* --- A wrong derivative ----------------------------------------------------------------------- */

static ct_status infer_cube(const ct_infer *call, ct_type *y) { return ct_infer_float(call, y); }

static void tile_cube(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)tile;
    double *to = y;
    const double *from = x[0];
    for (int64_t i = 0; i < n; i++) to[i] = from[i] * from[i] * from[i];
}

/* 2.9 x^2 where it is 3 x^2. */
static ct_tensor *vjp_cube(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *x = ct_input(y, i);
    return ct_mul(g, ct_scale(ct_mul(x, x), 2.9));
}

static const ct_op op_cube = {.name = "cube",
                              .n_inputs = 1,
                              .infer = infer_cube,
                              .tile = {[CT_F64] = tile_cube},
                              .vjp = {vjp_cube}};

static ct_tensor *cube(ct_tensor *x) { return ct_node(&op_cube, &x, 1, NULL, 0); }

TEST(gradcheck_module, a_wrong_derivative_inside_is_found) {
    static const ct_activation wrong = {.name = "cube", .apply = cube};
    ct_module *model = CT_SEQUENTIAL("m", ct_dense_new(3, 4, (ct_dense_options){0}),
                                     ct_activation_new(&wrong),
                                     ct_dense_new(4, 2, (ct_dense_options){0}));
    ct_gradcheck_report report = checked(model, rows(CT_F32), CT_TRAINING, 1);
    cr_expect_not(report.passed);
    cr_expect(report.worst.input == 0 || report.worst.input == 1 || report.worst.input == 4,
              "input %lld", (long long)report.worst.input); /* what lies before the activation */
    ct_module_free(model);
}

/* One that only the second use of a parameter has. */
static ct_tensor *half_stopped(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)mode;
    ct_tensor *w = ct_module_read(self, 0);
    return ct_add(ct_matmul(x, w), ct_matmul(x, ct_stop_gradient(w)));
}

TEST(gradcheck_module, a_derivative_that_is_stopped_is_found) {
    static const ct_module_kind kind = {.name = "Half", .forward = half_stopped};
    ct_module *half = ct_module_new(sizeof *half, &kind);
    OK(ct_module_add_slot(half, "w", centred(CT_F32, CT_SHAPE(3, 2), 1, 1, 0), true));
    ct_gradcheck_report report = checked(half, rows(CT_F32), CT_TRAINING, 1);
    cr_expect(!report.passed && report.worst.input == 0);
    cr_expect_eq(report.missed, 6 * (8 + 1) - 6 * 4, "%lld", (long long)report.missed);
    ct_module_free(half);
}

/* --- Errors ----------------------------------------------------------------------------------- */

static ct_tensor *fixed(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)self, (void)mode;
    return ct_mul(x, ct_scalar(CT_F32, 2));
}

static ct_tensor *narrow(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)self, (void)mode;
    return ct_cast(x, CT_F32);
}

static void refused(ct_module *module, ct_tensor *x, ct_gradcheck_options options, ct_status status,
                    const char *message) {
    ct_gradcheck_report report;
    cr_expect_eq(ct_gradcheck_module(module, x, CT_TRAINING, options, &report), status);
    expect_error(status, message);
}

TEST(gradcheck_module, errors) {
    static const ct_module_kind of_f32 = {.name = "Fixed", .forward = fixed};
    static const ct_module_kind to_f32 = {.name = "Narrow", .forward = narrow};
    ct_module *a = ct_module_new(sizeof *a, &of_f32), *b = ct_module_new(sizeof *b, &to_f32);
    ct_gradcheck_options usual = {0};
    refused(NULL, rows(CT_F32), usual, CT_ERR_NULL, "ct_gradcheck_module: 'module' is NULL");
    refused(a, NULL, usual, CT_ERR_NULL, "ct_gradcheck_module: 'x' is NULL");
    refused(a, rows(CT_F32), (ct_gradcheck_options){.order = 3}, CT_ERR_RANGE,
            "ct_gradcheck_module: order must be 1 or 2, got 3");
#define IN_F64                                                                             \
    "ct_gradcheck_module: in f64, in which the module is checked, its forward failed; it " \
    "should make numbers in the type of its input, as ct_scale does "
    refused(a, rows(CT_F32), usual, CT_ERR_DTYPE,
            IN_F64 "(ct_mul: dtypes differ: f64 and f32; use ct_cast)");
    refused(b, rows(CT_F32), usual, CT_ERR_DTYPE,
            IN_F64 "(ct_gradcheck_module: f must return f64, got f32)");
    refused(a, some_labels(3, 2, 1), usual, CT_ERR_RANGE,
            "ct_gradcheck_module: needs at least one input");
    /* What fails as it is has nothing to do with f64. */
    ct_module *dense = ct_dense_new(3, 2, (ct_dense_options){0});
    refused(dense, ct_cast(rows(CT_F32), CT_I64), usual, CT_ERR_DTYPE,
            "Dense: dtype must be f32, f64 or p61, got i64; use ct_cast");
    ct_fail(CT_ERR_DTYPE, "mine: first");
    ct_gradcheck_report report;
    cr_expect_eq(ct_gradcheck_module(a, NULL, CT_TRAINING, usual, &report), CT_ERR_DTYPE);
    expect_error(CT_ERR_DTYPE,
                 "mine: first (an earlier error; now ct_gradcheck_module: 'x' is NULL)");
    ct_module_free(dense);
    ct_module_free(a);
    ct_module_free(b);
}

/* --- Several inputs and outputs --------------------------------------------------------------- */

TEST(gradcheck_module, inputs_of_an_attention) {
    ct_module *attention = ct_multi_head_attention_new(4, 2, (ct_attention_options){0});
    ct_tensor *q = centred(CT_F32, CT_SHAPE(1, 2, 4), 1, 1, 0);
    ct_tensor *kv = centred(CT_F32, CT_SHAPE(1, 3, 4), 2, 1, 0);
    ct_tensor *mask = ct_from(CT_I64, CT_SHAPE(1, 1, 1, 3), (int64_t[]){1, 0, 1});
    ct_tensor *in[] = {q, kv, NULL, mask};
    ct_gradcheck_report report;
    OK(ct_gradcheck_module_many(attention, in, 4, 1, CT_TRAINING,
                                (ct_gradcheck_options){.order = 2}, &report));
    cr_expect(report.passed, "%g for %g", report.worst.analytic, report.worst.numeric);
    ct_module_free(attention);
}

/* x y, and x + sin(y) whose derivative by y stops. */
static ct_status two_of_two(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
                            int n_out, ct_mode mode) {
    (void)self, (void)mode;
    cr_assert(n_in == 2 && n_out == 2);
    out[0] = ct_mul(in[0], in[1]);
    out[1] = ct_add(in[0], ct_stop_gradient(ct_sin(in[1])));
    return out[1] ? CT_OK : ct_error();
}

TEST(gradcheck_module, a_stopped_derivative_of_one_output_by_one_input) {
    static const ct_module_kind kind = {.name = "Two", .forward_many = two_of_two};
    ct_module *two = ct_module_new(sizeof *two, &kind);
    ct_tensor *in[] = {rows(CT_F32), centred(CT_F64, CT_SHAPE(4, 3), 3, 1, 0)};
    ct_gradcheck_report report;
    OK(ct_gradcheck_module_many(two, in, 2, 2, CT_TRAINING, (ct_gradcheck_options){0}, &report));
    cr_expect(!report.passed && report.worst.input == 1, "%lld", (long long)report.worst.input);
    cr_expect_eq(report.missed, 12 + 12); /* by itself, and under a dense cotangent */
    ct_module_free(two);
}

TEST(gradcheck_module, errors_of_several) {
    ct_module *model = ct_add_new();
    ct_tensor *x = rows(CT_F32), *in[] = {x, x};
    ct_gradcheck_report report;
    ct_gradcheck_options usual = {0};
    cr_expect(ct_gradcheck_module_many(NULL, in, 2, 1, CT_TRAINING, usual, &report) != CT_OK);
    expect_error(CT_ERR_NULL, "ct_gradcheck_module_many: 'module' is NULL");
    cr_expect(ct_gradcheck_module_many(model, NULL, 2, 1, CT_TRAINING, usual, &report) != CT_OK);
    expect_error(CT_ERR_NULL, "ct_gradcheck_module_many: 'in' is NULL");
    cr_expect(ct_gradcheck_module_many(model, in, 2, 0, CT_TRAINING, usual, &report) != CT_OK);
    expect_error(CT_ERR_RANGE, "ct_gradcheck_module_many: n_out must be >= 1, got 0");
    OK(ct_gradcheck_module_many(model, in, 2, 1, CT_TRAINING, usual, &report));
    cr_expect(report.passed);
    ct_module_free(model);
}
