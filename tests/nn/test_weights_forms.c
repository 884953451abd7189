/* Weights that PyTorch and Keras wrote: predictions are theirs, and what does not fit is said.
 * The files are in tests/reference/files, made by imports.py. */
#include "tests/support/nn_support.h"

#include "tests/reference/imports.h"

static const char pytorch_file[] = REFERENCE_FILES "pytorch.safetensors";
static const char keras_file[] = REFERENCE_FILES "keras.safetensors";

static ct_module *named(ct_module *module, const char *name) {
    OK(ct_module_rename(module, name));
    return module;
}

static ct_module *dense(int64_t inputs, int64_t units) {
    return ct_dense_new(inputs, units, (ct_dense_options){0});
}

static ct_module *normalized(double epsilon) {
    ct_layer_norm_options options = ct_layer_norm_defaults();
    options.epsilon = epsilon;
    return ct_layer_norm_new(5, options);
}

/* The network of imports.py, with the names that PyTorch's has. */
static ct_module *pytorch_net(int64_t units) {
    ct_module *features = CT_SEQUENTIAL(
        "features", named(ct_conv2d_new(2, 4, (ct_conv2d_options){.padding = CT_SAME}), "0"),
        named(ct_batch_norm_new(4, ct_batch_norm_pytorch()), "1"),
        ct_activation_new(&ct_activation_relu), ct_max_pool2d_new((ct_pool2d_options){0}));
    ct_module *net = CT_SEQUENTIAL("net", features, ct_flatten_new(), named(dense(24, 5), "fc1"),
                                   named(normalized(1e-5), "norm"),
                                   ct_activation_new(&ct_activation_relu), ct_dropout_new(0.5),
                                   named(dense(5, units), "fc2"));
    MADE(net);
    return net;
}

static const ct_weights_flattened image = {"fc1/kernel", 4, 3, 2};
static const ct_weights_load_options from_pytorch = {
    .form = &ct_weights_pytorch, .flattened = &image, .n_flattened = 1};

static double gap_to(ct_module *net, const double wanted[9]) {
    ct_tensor *x = ct_cast(centred(CT_F64, CT_SHAPE(3, 6, 4, 2), 1, 1, 0), CT_F32);
    ct_tensor *y = ct_cast(ct_forward(net, x, CT_INFERENCE), CT_F64);
    ct_tensor *gap = ct_sub(y, ct_from(CT_F64, CT_SHAPE(3, 3), wanted));
    return ct_item(ct_max(ct_abs(gap), CT_ALL));
}

TEST(weights_forms, pytorchs_weights_predict_what_pytorch_does) {
    ct_module *net = pytorch_net(3);
    ct_weights_report report;
    OK(ct_weights_load_with(net, pytorch_file, from_pytorch, &report));
    cr_expect(report.loaded == 12 && report.count == 0);
    double gap = gap_to(net, pytorch_y);
    cr_expect(gap < 1e-6, "%g", gap);
    ct_weights_report_free(&report);
    ct_module_free(net);
}

static ct_tensor *run(ct_module *module, ct_tensor *x) {
    return ct_forward(module, x, CT_INFERENCE);
}

static void expect_values(ct_tensor *y, const double *wanted, int64_t n) {
    cr_assert_eq(ct_numel(y), n, "%s", ct_error_message());
    ct_tensor *flat = ct_cast(ct_reshape(y, CT_SHAPE(-1)), CT_F64);
    ct_tensor *gap = ct_sub(flat, ct_from(CT_F64, CT_SHAPE(n), wanted));
    cr_expect(ct_item(ct_max(ct_abs(gap), CT_ALL)) < 1e-6);
}

TEST(weights_forms, pytorchs_layers_of_sequences) {
    ct_recurrent_options plain = {0};
    ct_group_norm_options pytorchs = ct_group_norm_defaults();
    pytorchs.epsilon = 1e-5;
    ct_module *layers[] = {ct_embedding_new(7, 3, (ct_embedding_options){0}),
                           ct_lstm_new(3, 4, plain),
                           named(ct_simple_rnn_new(4, 3, plain), "rnn"),
                           named(ct_conv1d_new(3, 4, (ct_conv1d_options){0}), "conv"),
                           named(ct_group_norm_new(2, 4, pytorchs), "norm"),
                           ct_prelu_new(4, (ct_prelu_options){0}),
                           named(ct_conv2d_transpose_new(
                                     2, 3, (ct_conv2d_options){.kernel = {2, 2}, .stride = {2, 2}}),
                                 "up")};
    ct_module *all = ct_sequential_new("all", layers, 7);
    ct_weights_load_options options = {.form = &ct_weights_pytorch};
    OK(ct_weights_load_with(all, REFERENCE_FILES "sequences.safetensors", options, NULL));
    int64_t ids[12];
    for (int i = 0; i < 12; i++) ids[i] = i % 7;
    ct_tensor *y = ct_from(CT_I64, CT_SHAPE(2, 6), ids);
    for (int i = 0; i < 6; i++) y = run(layers[i], y);
    expect_values(y, sequences_y, 2 * 4 * 4);
    ct_tensor *x = ct_cast(centred(CT_F64, CT_SHAPE(1, 2, 3, 2), 2, 1, 0), CT_F32);
    expect_values(run(layers[6], ct_reshape(x, CT_SHAPE(1, 2, 3, 2))), sequences_up, 4 * 6 * 3);
    ct_module_free(all);
}

/* The flattened image is what the rows of fc1 are about: without it, the values are others. */
TEST(weights_forms, an_image_that_is_not_said_to_be_flattened) {
    ct_module *net = pytorch_net(3);
    OK(ct_weights_load_with(net, pytorch_file,
                            (ct_weights_load_options){.form = &ct_weights_pytorch}, NULL));
    cr_expect(gap_to(net, pytorch_y) > 1e-3);
    ct_module_free(net);
}

TEST(weights_forms, other_names_for_folders_and_slots) {
    ct_module *net = pytorch_net(3);
    OK(ct_module_rename(net->children[0], "backbone"));
    OK(ct_module_rename(net->children[6], "head"));
    const ct_weights_name names[] = {
        {"backbone/", "features."}, {"head/kernel", "fc2.weight"}, {"head/", "fc2."}};
    ct_weights_load_options options = from_pytorch;
    options.names = names;
    options.n_names = 3;
    OK(ct_weights_load_with(net, pytorch_file, options, NULL));
    cr_expect(gap_to(net, pytorch_y) < 1e-6);
    ct_module_free(net);
}

TEST(weights_forms, kerass_weights_predict_what_keras_does) {
    ct_module *net = CT_SEQUENTIAL(
        "net", ct_conv2d_new(2, 4, (ct_conv2d_options){.padding = CT_SAME}),
        ct_batch_norm_new(4, ct_batch_norm_keras()), ct_activation_new(&ct_activation_relu),
        ct_max_pool2d_new((ct_pool2d_options){0}), ct_flatten_new(), dense(24, 5), normalized(1e-3),
        ct_activation_new(&ct_activation_relu), dense(5, 3));
    MADE(net);
    const ct_weights_name names[] = {{"batch_norm/", "layers/batch_normalization"},
                                     {"layer_norm/", "layers/layer_normalization"}};
    ct_weights_load_options options = {.form = &ct_weights_keras, .names = names, .n_names = 2};
    OK(ct_weights_load_with(net, keras_file, options, NULL));
    double gap = gap_to(net, keras_y);
    cr_expect(gap < 1e-6, "%g", gap);
    ct_module_free(net);
}

/* --- What does not fit ------------------------------------------------------------------------ */

static void expect_refused(ct_module *net, ct_weights_load_options options, ct_status status,
                           const char *text) {
    cr_expect_eq(ct_weights_load_with(net, pytorch_file, options, NULL), status);
    ct_status recorded;
    const char *message = taken_error(&recorded);
    cr_expect_eq(recorded, status);
    cr_expect_not_null(strstr(message, text), "%s", message);
    ct_module_free(net);
}

TEST(weights_forms, shapes_that_differ) {
    expect_refused(
        pytorch_net(4), from_pytorch, CT_ERR_SHAPE,
        "2 mismatches: 'fc2/kernel' is [5,4] here, [5,3] in file ('fc2.weight', stored as "
        "[3,5]); 'fc2/bias' is [4] here, [3] in file ('fc2.bias')");
    static const ct_weights_flattened wrong = {"fc1/kernel", 4, 3, 3};
    ct_weights_load_options options = from_pytorch;
    options.flattened = &wrong;
    expect_refused(pytorch_net(3), options, CT_ERR_SHAPE,
                   "1 mismatch: 'fc1/kernel' is [24,5] here, the flattened image 4x3x3");
}

TEST(weights_forms, names_that_are_not_there) {
    ct_module *net = pytorch_net(3);
    OK(ct_module_rename(net->children[6], "head"));
    expect_refused(net, from_pytorch, CT_ERR_SHAPE,
                   "4 mismatches: 'head/kernel' missing, called 'head.weight' in file; "
                   "'head/bias' missing, called 'head.bias' in file; 'fc2.bias' only in file");
    ct_module *gru = ct_gru_new(2, 2, (ct_recurrent_options){0});
    expect_refused(CT_SEQUENTIAL("net", gru), from_pytorch, CT_ERR_STATE,
                   "ct_weights_load_with: a file of that form has no name for 'gru/kernel', a slot "
                   "of GRU");
}

TEST(weights_forms, options_that_make_no_sense) {
    ct_weights_load_options options = {.form = &ct_weights_pytorch, .n_flattened = 1};
    expect_refused(pytorch_net(3), options, CT_ERR_NULL,
                   "ct_weights_load_with: 'flattened' is NULL");
    static const ct_weights_flattened nameless = {NULL, 1, 1, 1}, empty = {"fc1/kernel", 0, 1, 1};
    options.flattened = &nameless;
    expect_refused(pytorch_net(3), options, CT_ERR_NULL,
                   "ct_weights_load_with: 'kernel' of flattened[0] is NULL");
    options.flattened = &empty;
    expect_refused(pytorch_net(3), options, CT_ERR_RANGE,
                   "ct_weights_load_with: channels must be >= 1, got 0");
}
