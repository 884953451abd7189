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

/* The network of imports.py, of what is cut into parts or has several layers there. */
typedef struct {
    ct_module base;
} gates;

static ct_tensor *gates_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_module *const *layer = self->children;
    ct_tensor *narrow = ct_forward(layer[0], x, mode);
    ct_tensor *y = ct_forward(layer[2], ct_forward(layer[1], narrow, mode), mode);
    ct_tensor *in[] = {ct_forward(layer[3], y, mode), narrow}, *out = NULL;
    ct_forward_many(layer[4], in, 2, &out, 1, mode);
    return ct_forward(layer[5], out, mode);
}

static const ct_module_kind gates_kind = {.name = "Gates", .forward = gates_forward};

static ct_module *both_ways(int64_t inputs, const char *name, ct_dtype dtype) {
    ct_recurrent_options o = {.dtype = dtype}, back = {.dtype = dtype, .backward = true};
    ct_module *there = named(ct_lstm_new(inputs, 3, o), "forward");
    return named(ct_bidirectional_new(there, named(ct_lstm_new(inputs, 3, back), "backward")),
                 name);
}

static ct_module *attention(int64_t heads, int64_t kv_width, const char *name, ct_dtype dtype) {
    ct_attention_options options = {.kv_width = kv_width, .dtype = dtype};
    return named(ct_multi_head_attention_new(6, heads, options), name);
}

static ct_module *gates_net(ct_dtype dtype) {
    ct_dense_options of_type = {.dtype = dtype};
    ct_module *head = CT_SEQUENTIAL("head", ct_dense_new(6, 5, of_type),
                                    ct_activation_new(&ct_activation_tanh),
                                    ct_dense_new(5, 2, of_type));
    OK(ct_module_number(head));
    ct_module *children[] = {ct_gru_new(3, 4, (ct_recurrent_options){.dtype = dtype}),
                             both_ways(4, "first", dtype),
                             both_ways(6, "second", dtype),
                             attention(2, 0, "attention", dtype),
                             attention(3, 4, "cross", dtype),
                             head};
    ct_module *net = ct_module_new(sizeof(gates), &gates_kind);
    MADE(net);
    OK(ct_module_add_children(net, children, 6));
    return net;
}

static const ct_weights_name layers_of_lstm[] = {{"first/forward/", "lstm."},
                                                 {"first/backward/", "lstm.*_l0_reverse"},
                                                 {"second/forward/", "lstm.*_l1"},
                                                 {"second/backward/", "lstm.*_l1_reverse"}};
static const char gates_file[] = REFERENCE_FILES "gates.safetensors";

TEST(weights_forms, pytorchs_gates_layers_and_directions) {
    ct_weights_load_options options = {
        .form = &ct_weights_pytorch, .names = layers_of_lstm, .n_names = 4};
    for (ct_dtype dtype = CT_F32; dtype <= CT_F64; dtype++) {
        ct_module *net = gates_net(dtype);
        options.convert = dtype == CT_F64;
        OK(ct_weights_load_with(net, gates_file, options, NULL));
        ct_tensor *x = centred(CT_F64, CT_SHAPE(2, 5, 3), 1, 1, 0);
        expect_values(run(net, ct_cast(x, dtype)), gates_y, 2 * 5 * 2);
        ct_module_free(net);
    }
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

TEST(weights_forms, kerass_layers_of_sequences_and_channels) {
    ct_recurrent_options ahead = {0}, back = {.backward = true};
    ct_module *both = ct_bidirectional_new(ct_lstm_new(6, 3, ahead), ct_lstm_new(6, 3, back));
    ct_module *net = CT_SEQUENTIAL(
        "net", ct_embedding_new(7, 6, (ct_embedding_options){0}), both,
        ct_multi_head_attention_new(6, 2, (ct_attention_options){0}), ct_gru_new(6, 4, ahead),
        ct_simple_rnn_new(4, 3, ahead), ct_reshape_new(CT_SHAPE(5, 3, 1)),
        ct_depthwise_conv2d_new(1, 2, (ct_conv2d_options){.kernel = {2}}),
        ct_separable_conv2d_new(2, 3, 1, (ct_conv2d_options){.kernel = {2}}),
        ct_prelu_new(3, (ct_prelu_options){0}));
    MADE(net);
    const ct_weights_name names[] = {{"prelu/", "layers/p_re_lu"}};
    ct_weights_load_options options = {.form = &ct_weights_keras, .names = names, .n_names = 1};
    OK(ct_weights_load_with(net, REFERENCE_FILES "keras_gates.safetensors", options, NULL));
    int64_t ids[10];
    for (int i = 0; i < 10; i++) ids[i] = i % 7;
    ct_tensor *y = run(net, ct_from(CT_I64, CT_SHAPE(2, 5), ids));
    expect_values(y, keras_gates_y, sizeof keras_gates_y / sizeof(double));
    ct_module_free(net);
}

/* --- What does not fit ------------------------------------------------------------------------ */

static void expect_refused_of(const char *file, ct_module *net, ct_weights_load_options options,
                              ct_status status, const char *text) {
    cr_expect_eq(ct_weights_load_with(net, file, options, NULL), status);
    ct_status recorded;
    const char *message = taken_error(&recorded);
    cr_expect_eq(recorded, status);
    cr_expect_not_null(strstr(message, text), "%s", message);
    ct_module_free(net);
}

static void expect_refused(ct_module *net, ct_weights_load_options options, ct_status status,
                           const char *text) {
    expect_refused_of(pytorch_file, net, options, status, text);
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
    ct_module *normed = ct_weight_norm_new(dense(2, 2));
    ct_weights_load_options plain = {.form = &ct_weights_pytorch};
    expect_refused(CT_SEQUENTIAL("net", normed), plain, CT_ERR_STATE,
                   "ct_weights_load_with: a file of that form has no name for 'weight_norm/g', a "
                   "slot of WeightNorm");
}

TEST(weights_forms, parts_that_differ) {
    ct_weights_load_options options = {.form = &ct_weights_pytorch, .partial = false};
    ct_module *gru = ct_gru_new(2, 4, (ct_recurrent_options){0});
    expect_refused_of(gates_file, CT_SEQUENTIAL("net", gru), options, CT_ERR_SHAPE,
                      "'gru/kernel' is [2,12] here, [3,12] in file ('gru.weight_ih_l0', stored "
                      "as [12,3])");
    ct_module *attention = named(ct_multi_head_attention_new(8, 2, (ct_attention_options){0}),
                                 "attention");
    expect_refused_of(gates_file, CT_SEQUENTIAL("net", attention), options, CT_ERR_SHAPE,
                      "'attention/query/kernel' is [8,8] here, [6,6] in file "
                      "('attention.in_proj_weight', stored as [18,6])");
    expect_refused_of(gates_file, gates_net(CT_F64), options, CT_ERR_SHAPE,
                      "'gru/kernel' is f64 here, f32 in file");
    static const ct_weights_name whole = {"lstm/bias", "lstm.bias_ih_l0"};
    options.names = &whole;
    options.n_names = 1;
    ct_module *lstm = ct_lstm_new(4, 3, (ct_recurrent_options){0});
    expect_refused_of(gates_file, CT_SEQUENTIAL("net", lstm), options, CT_ERR_STATE,
                      "a file of that form has no name for 'lstm/bias', a slot of LSTM");
}

TEST(weights_forms, what_lies_outside_of_the_model_s_part_is_not_counted) {
    static const ct_weights_name part = {"", "fc2."};
    ct_module *net = CT_SEQUENTIAL("net", named(dense(5, 3), "x"));
    ct_weights_load_options options = {.form = &ct_weights_pytorch, .names = &part, .n_names = 1};
    expect_refused(net, options, CT_ERR_SHAPE,
                   "4 mismatches: 'x/kernel' missing, called 'fc2.x.weight' in file; 'x/bias' "
                   "missing, called 'fc2.x.bias' in file; 'fc2.bias' only in file; 'fc2.weight' "
                   "only in file");
    net = dense(5, 3);
    OK(ct_weights_load_with(net, pytorch_file, options, NULL));
    ct_module_free(net);
}

/* A form of the user's own. */
static ct_weights_layout layout;
static bool own_place(const ct_named_slot *slot, const char *file, const char *path, int attempt,
                      ct_weights_place *out) {
    (void)file, (void)path;
    bool kernel = strcmp(ct_slot_name(slot->slot), "kernel") == 0;
    strcpy(out->name, kernel ? "fc2.weight" : "fc2.bias");
    if (kernel) out->layout = layout;
    return attempt == 0;
}

/* It does not look at `attempt`. */
static bool stubborn_place(const ct_named_slot *slot, const char *file, const char *path,
                           int attempt, ct_weights_place *out) {
    (void)slot, (void)file, (void)path, (void)attempt;
    strcpy(out->name, "nowhere");
    return true;
}

TEST(weights_forms, a_form_that_never_says_no_is_not_asked_for_ever) {
    static const ct_weights_form stubborn = {.place = stubborn_place};
    static const ct_weights_name part = {"", "none."};
    ct_weights_load_options options = {.form = &stubborn, .names = &part, .n_names = 1};
    expect_refused(dense(5, 3), options, CT_ERR_SHAPE,
                   "2 mismatches: 'kernel' missing, called 'nowhere' in file; 'bias' missing");
}

TEST(weights_forms, layouts_that_make_no_sense) {
    static const ct_weights_form own = {.place = own_place}, none = {.ignored = "x"};
    static const ct_weights_name part = {"", "fc2."};
    ct_weights_load_options options = {.form = &own, .names = &part, .n_names = 1};
    layout = (ct_weights_layout){.axes = {2, {-1, 0}}};
    ct_module *fits = dense(5, 3);
    OK(ct_weights_load_with(fits, pytorch_file, options, NULL));
    ct_module_free(fits);
    static const ct_weights_layout wrong[] = {{.axes = {2, {-3, 0}}},  {.axes = {2, {1, 1}}},
                                              {.axes = {-1, {1, 0}}},  {.axes = {1, {0}}},
                                              {.blocks = {3, 1, {3}}}, {.blocks = {-1, 1, {0}}},
                                              {.blocks = {3, 9, {0}}}, {.blocks = {2, 1, {0}}}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        layout = wrong[i];
        expect_refused(dense(5, 3), options, CT_ERR_SHAPE,
                       "1 mismatch: 'kernel' is [5,3] here, [3,5] in file ('fc2.weight', of which "
                       "the form's layout cannot be made)");
    }
    options.form = &none;
    expect_refused(dense(5, 3), options, CT_ERR_NULL,
                   "ct_weights_load_with: the form has no 'place'");
}

TEST(weights_forms, options_that_make_no_sense) {
    ct_weights_load_options options = {.form = &ct_weights_pytorch, .n_flattened = 1};
    expect_refused(pytorch_net(3), options, CT_ERR_NULL,
                   "ct_weights_load_with: 'flattened' is NULL");
    static const ct_weights_flattened nameless = {NULL, 1, 1, 1}, empty = {"fc1/kernel", 0, 1, 1};
    options.flattened = &nameless;
    expect_refused(pytorch_net(3), options, CT_ERR_NULL,
                   "ct_weights_load_with: 'kernel' of flattened[0] is NULL");
    static const ct_weights_flattened unknown = {"fc/kernel", 4, 3, 2};
    options.flattened = &unknown;
    expect_refused(pytorch_net(3), options, CT_ERR_RANGE,
                   "ct_weights_load_with: flattened[0]: no slot is called 'fc/kernel'");
    options.flattened = &empty;
    expect_refused(pytorch_net(3), options, CT_ERR_RANGE,
                   "ct_weights_load_with: channels must be >= 1, got 0");
}
