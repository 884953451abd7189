/* Pairs of names that give a slot's whole name: the tensor is the slot's alone, laid out as the
 * slot's own layer has it, or as a part of what its parent packs, whichever has the shape. */
#include "tests/support/nn_support.h"

#include "tensor/safetensors.h"

#include <stdio.h>
#include <unistd.h>

static char folder[256];

static void open_folder(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/cotan-names-XXXXXX", base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void close_folder(void) {
    unlink("w.safetensors");
    cr_expect_eq(rmdir(folder), 0, "a file was left behind");
}

#define NAMES_TEST(name) TEST_WITH(weights_names, name, open_folder, close_folder)

enum { WIDTH = 4 };

static ct_tensor *numbers(ct_shape shape, uint32_t salt) {
    return ct_cast(centred(CT_F64, shape, salt, 1, 0), CT_F32);
}

static void save(const ct_named *tensors, int64_t n) {
    OK(ct_safetensors_save("w.safetensors", tensors, n, NULL, 0));
}

/* Loads what one pair of names says of a module that is called `name`; the file has more. */
static ct_module *loaded(ct_module *module, const char *name, const ct_weights_form *form,
                         const ct_weights_name *pair) {
    OK(ct_module_rename(module, name));
    ct_module *net = CT_SEQUENTIAL("net", module);
    MADE(net);
    ct_weights_load_options options = {.form = form, .names = pair, .n_names = 1, .partial = true};
    OK(ct_weights_load_with(net, "w.safetensors", options, NULL));
    return net;
}

static void expect_slot(ct_module *net, const char *path, ct_tensor *wanted) {
    cr_expect(same_bits(read_slot(net, path), wanted), "%s", path);
    ct_module_free(net);
}

static ct_module *attention(int64_t kv_width) {
    return ct_multi_head_attention_new(WIDTH, 2, (ct_attention_options){.kv_width = kv_width});
}

static ct_tensor *turned(ct_tensor *matrix) { return ct_permute(matrix, CT_AXES(1, 0)); }

NAMES_TEST(a_projection_of_attention_by_itself) {
    ct_tensor *w = numbers(CT_SHAPE(WIDTH, WIDTH), 1), *b = numbers(CT_SHAPE(WIDTH), 2);
    ct_tensor *narrow = numbers(CT_SHAPE(WIDTH, 3), 3);
    save((ct_named[]){{"x.q.weight", w}, {"x.q.bias", b}, {"x.k.weight", narrow}}, 3);
    static const ct_weights_name pairs[] = {{"mha/query/kernel", "x.q.weight"},
                                            {"mha/query/bias", "x.q.bias"},
                                            {"mha/key/kernel", "x.k.weight"},
                                            {"mha/output/kernel", "x.q.weight"},
                                            {"mha/value/", "x.q."}};
    const ct_weights_form *form = &ct_weights_pytorch;
    expect_slot(loaded(attention(0), "mha", form, &pairs[0]), "mha/query/kernel", turned(w));
    expect_slot(loaded(attention(0), "mha", form, &pairs[1]), "mha/query/bias", b);
    expect_slot(loaded(attention(3), "mha", form, &pairs[2]), "mha/key/kernel", turned(narrow));
    expect_slot(loaded(attention(0), "mha", form, &pairs[3]), "mha/output/kernel", turned(w));
    expect_slot(loaded(attention(0), "mha", form, &pairs[4]), "mha/value/kernel", turned(w));
}

/* Under any name, as timm's qkv. */
NAMES_TEST(a_part_of_what_is_packed) {
    ct_tensor *w = numbers(CT_SHAPE(3 * WIDTH, WIDTH), 1), *b = numbers(CT_SHAPE(3 * WIDTH), 2);
    save((ct_named[]){{"qkv.weight", w}, {"qkv.bias", b}}, 2);
    static const ct_weights_name kernel = {"mha/key/kernel", "qkv.weight"};
    static const ct_weights_name bias = {"mha/value/bias", "qkv.bias"};
    ct_tensor *second = turned(ct_slice(w, 0, WIDTH, 2 * WIDTH, 1));
    expect_slot(loaded(attention(0), "mha", &ct_weights_pytorch, &kernel), "mha/key/kernel",
                second);
    ct_tensor *third = ct_slice(b, 0, 2 * WIDTH, 3 * WIDTH, 1);
    expect_slot(loaded(attention(0), "mha", &ct_weights_pytorch, &bias), "mha/value/bias", third);
}

/* What Keras keeps in another shape, with an axis for the heads say, may be a plain matrix too. */
NAMES_TEST(of_kerass_composite_layers) {
    ct_tensor *w = numbers(CT_SHAPE(WIDTH, WIDTH), 1), *taps = numbers(CT_SHAPE(3, 3, 2, 2), 2);
    ct_tensor *heads = ct_reshape(w, CT_SHAPE(WIDTH, 2, WIDTH / 2));
    save((ct_named[]){{"q", w}, {"heads", heads}, {"taps", taps}}, 3);
    static const ct_weights_name pairs[] = {{"mha/query/kernel", "q"},
                                            {"mha/query/kernel", "heads"},
                                            {"conv/depthwise/kernel", "taps"}};
    const ct_weights_form *form = &ct_weights_keras;
    expect_slot(loaded(attention(0), "mha", form, &pairs[0]), "mha/query/kernel", w);
    expect_slot(loaded(attention(0), "mha", form, &pairs[1]), "mha/query/kernel", w);
    ct_module *conv = ct_separable_conv2d_new(2, 5, 2, (ct_conv2d_options){0});
    expect_slot(loaded(conv, "conv", form, &pairs[2]), "conv/depthwise/kernel",
                ct_reshape(taps, CT_SHAPE(3, 3, 1, 4)));
}

NAMES_TEST(of_recurrent_layers_and_directions) {
    ct_tensor *w = numbers(CT_SHAPE(3 * 2, 3), 1), *b = numbers(CT_SHAPE(4 * 2), 2);
    save((ct_named[]){{"enc.w", w}, {"enc.b", b}}, 2);
    static const ct_weights_name gates = {"gru/kernel", "enc.w"};
    static const ct_weights_name bias = {"both/backward/bias", "enc.b"};
    ct_recurrent_options usual = {0}, back = {.backward = true};
    ct_tensor *r = ct_slice(w, 0, 0, 2, 1), *z = ct_slice(w, 0, 2, 4, 1);
    ct_tensor *n = ct_slice(w, 0, 4, 6, 1);
    expect_slot(loaded(ct_gru_new(3, 2, usual), "gru", &ct_weights_pytorch, &gates), "gru/kernel",
                turned(CT_CONCAT(0, z, r, n)));
    ct_module *both = ct_bidirectional_new(ct_lstm_new(3, 2, usual), ct_lstm_new(3, 2, back));
    expect_slot(loaded(both, "both", &ct_weights_keras, &bias), "both/backward/bias", b);
}

/* A name that is given needs none that a layer knows. */
NAMES_TEST(of_slots_that_the_library_has_no_name_for) {
    ct_tensor *g = numbers(CT_SHAPE(3), 1);
    save(&(ct_named){"scale.g", g}, 1);
    static const ct_weights_name pair = {"wn/g", "scale.g"};
    ct_module *normed = ct_weight_norm_new(ct_dense_new(2, 3, (ct_dense_options){0}));
    expect_slot(loaded(normed, "wn", &ct_weights_pytorch, &pair), "wn/g", g);
}

NAMES_TEST(says_how_it_does_not_fit) {
    ct_tensor *w = numbers(CT_SHAPE(2 * WIDTH, WIDTH), 1);
    save(&(ct_named){"x.q.weight", w}, 1);
    static const ct_weights_name pair = {"mha/query/kernel", "x.q.weight"};
    ct_module *mha = attention(0);
    OK(ct_module_rename(mha, "mha"));
    ct_module *net = CT_SEQUENTIAL("net", mha);
    ct_weights_load_options options = {.form = &ct_weights_pytorch, .names = &pair, .n_names = 1};
    cr_expect_eq(ct_weights_load_with(net, "w.safetensors", options, NULL), CT_ERR_SHAPE);
    ct_status status;
    const char *message = taken_error(&status);
    cr_expect_not_null(strstr(message, "'mha/query/kernel' is [4,4] here, [4,8] in file "
                                       "('x.q.weight', stored as [8,4])"),
                       "%s", message);
    options.n_names = 0;
    cr_expect_eq(ct_weights_load_with(net, "w.safetensors", options, NULL), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_weights_load_with: 'names' is given and n_names is 0");
    ct_module_free(net);
}
