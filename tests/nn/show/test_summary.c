/* The summary of models: exact texts, no evaluation, and what it says of wrong inputs. */
#include "tests/support/nn_support.h"
#include "tests/support/show_support.h"

#include <stdio.h>

/* The caller frees it. */
static char *summary_with(ct_module *model, ct_show_options options) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    OK(ct_summary(out, model, options));
    fclose(out);
    return text;
}

static char *summary_of(ct_module *model, ct_shape input) {
    return summary_with(model, (ct_show_options){.input = input});
}

static void expect_summary(ct_module *model, ct_show_options options, const char *expected) {
    MADE(model);
    char *text = summary_with(model, options);
    cr_expect_str_eq(text, expected);
    free(text);
    ct_module_free(model);
}

static void expect_part(const char *text, const char *part) {
    cr_expect_not_null(strstr(text, part), "%s in\n%s", part, text);
}

#define LINE "_________________________________________________________________\n"
#define DOUBLE "=================================================================\n"
#define HEAD "Layer (type)                 Output Shape              Param #\n"

TEST(summary, of_the_seed_model) {
    ct_module *model = seed_model(true, CT_F32);
    ct_stats_reset();
    uint64_t before = state_hash(model, NULL);
    char *text = summary_of(model, CT_SHAPE(32, 28, 28, 1));
    cr_expect_str_eq(
        text, "Model: \"seed\"\n" LINE HEAD DOUBLE
              "conv2d (Conv2D)              (None, 26, 26, 32)        288\n"
              "batch_norm (BatchNorm)       (None, 26, 26, 32)        128\n"
              "activation (relu)            (None, 26, 26, 32)        0\n"
              "max_pool2d (MaxPool2D)       (None, 13, 13, 32)        0\n"
              "conv2d_1 (Conv2D)            (None, 11, 11, 64)        18,432\n"
              "batch_norm_1 (BatchNorm)     (None, 11, 11, 64)        256\n"
              "activation_1 (relu)          (None, 11, 11, 64)        0\n"
              "max_pool2d_1 (MaxPool2D)     (None, 5, 5, 64)          0\n"
              "conv2d_2 (Conv2D)            (None, 3, 3, 64)          36,864\n"
              "batch_norm_2 (BatchNorm)     (None, 3, 3, 64)          256\n"
              "activation_2 (relu)          (None, 3, 3, 64)          0\n"
              "flatten (Flatten)            (None, 576)               0\n"
              "dense (Dense)                (None, 64)                36,864\n"
              "batch_norm_3 (BatchNorm)     (None, 64)                256\n"
              "activation_3 (relu)          (None, 64)                0\n"
              "dense_1 (Dense)              (None, 10)                640\n"
              "batch_norm_4 (BatchNorm)     (None, 10)                40\n"
              "activation_4 (softmax)       (None, 10)                0\n" DOUBLE
              "Total params: 94,024\nTrainable params: 93,556\nNon-trainable params: 468\n" LINE);
    free(text);
    cr_expect_eq(ct_stats_read().evaluations, 0);
    cr_expect_eq(state_hash(model, NULL), before);
    ct_module_free(model);
}

TEST(summary, of_the_seed_model_without_batch_norm) {
    ct_module *model = seed_model(false, CT_F64); /* f64 models take f64 inputs */
    char *text = summary_of(model, CT_SHAPE(32, 28, 28, 1));
    expect_part(text, "\nconv2d (Conv2D)              (None, 26, 26, 32)        320\n");
    expect_part(text, DOUBLE "Total params: 93,322\nTrainable params: 93,322\n"
                             "Non-trainable params: 0\n" LINE);
    free(text);
    ct_module_free(model);
}

/* --- Nesting ---------------------------------------------------------------------------------- */

#define NAME "a_name_that_is_longer_than_the_column_of_all_names_may_be"

TEST(summary, of_nested_modules) {
    const char *rows =
        "a_name_that_is_longe..._of_all_names_may_be (Sequential)  (None, 3, 3, 6)           78\n"
        "  block (Sequential)                                      (None, 3, 3, 6)           42\n"
        "    dense (Dense)                                         (None, 3, 3, 6)           42\n"
        "    dropout (Dropout)                                     (None, 3, 3, 6)           0\n"
        "  residual (Residual)                                     (None, 3, 3, 6)           36\n"
        "    dense (Dense)                                         (None, 3, 3, 6)           36\n"
        "global_avg_pool2d (GlobalAvgPool2D)                       (None, 6)                 0\n";
    ct_module *model = nested_model(NAME);
    char *text = summary_of(model, CT_SHAPE(2, 3, 3, 6));
    expect_part(text, rows);
    expect_part(text, "Total params: 78\nTrainable params: 36\nNon-trainable params: 42\n");
    free(text);
    /* Nothing of the path stays, and messages have all of it. */
    cr_expect_str_eq(ct_path_of(ct_scalar(CT_F32, 1)), "");
    ct_show_options wrong = {.input = CT_SHAPE(2, 3, 3, 5)};
    cr_expect_eq(ct_summary(stdout, model, wrong), CT_ERR_SHAPE);
    expect_part(ct_error_message(), "(in model/" NAME "/block/dense)");
    ct_error_clear();
    cr_expect_str_eq(ct_path_of(ct_scalar(CT_F32, 1)), "");
    ct_module_free(model);
}

TEST(summary, to_a_depth) {
    ct_module *model = nested_model("outer");
    ct_show_options options = {.input = CT_SHAPE(2, 3, 3, 6), .depth = 1};
    char *text = summary_with(model, options);
    expect_part(text, DOUBLE "outer (Sequential)                   (None, 3, 3, 6)           78\n"
                             "global_avg_pool2d (GlobalAvgPool2D)  (None, 6)                 0\n");
    free(text);
    options.depth = 2;
    text = summary_with(model, options);
    expect_part(text, "  block (Sequential)                 (None, 3, 3, 6)           42\n"
                      "  residual (Residual)                (None, 3, 3, 6)           36\n"
                      "global_avg_pool2d");
    free(text);
    options.depth = 3;
    text = summary_with(model, options);
    char *all = summary_of(model, options.input);
    cr_expect_str_eq(text, all);
    free(text), free(all);
    ct_module_free(model);
}

TEST(summary, of_a_residual_with_a_shortcut) {
    ct_module *residual = ct_residual_new(
        CT_SEQUENTIAL("body", ct_dense_new(4, 8, (ct_dense_options){0}),
                      ct_batch_norm_new(8, ct_batch_norm_defaults())),
        ct_dense_new(4, 8, (ct_dense_options){.no_bias = true}));
    expect_summary(residual, (ct_show_options){.input = CT_SHAPE(5, 4)},
                   "Model: \"Residual\"\n" LINE HEAD DOUBLE
                   "body (Sequential)            (None, 8)                 72\n"
                   "  dense (Dense)              (None, 8)                 40\n"
                   "  batch_norm (BatchNorm)     (None, 8)                 32\n"
                   "dense (Dense)                (None, 8)                 32\n" DOUBLE
                   "Total params: 104\nTrainable params: 88\nNon-trainable params: 16\n" LINE);
}

/* The first outputs of a module called several times; a module that is called by its parent's
 * parent. */
TEST(summary, of_modules_called_in_other_ways) {
    ct_module *inner = CT_SEQUENTIAL("inner", ct_dense_new(3, 3, (ct_dense_options){0}));
    ct_module *model = steps_new(inner);
    char *text = summary_of(model, CT_SHAPE(7, 2, 3));
    expect_part(text, DOUBLE "inner (Sequential)           not used                  12\n"
                             "  dense (Dense)              (None, 3)                 12\n" DOUBLE);
    free(text);
    ct_module_free(model);
}

TEST(summary, of_a_single_layer) {
    ct_module *dense = ct_dense_new(4, 1000, (ct_dense_options){0});
    char *text = summary_of(dense, CT_SHAPE(4));
    expect_part(text, "Model: \"Dense\"\n");
    expect_part(text, "\nDense (Dense)                (1000,)                   5,000\n");
    free(text);
    ct_module_free(dense);
}

/* --- Inputs ----------------------------------------------------------------------------------- */

/* An activation has its own word where it has one. */
TEST(summary, of_activations) {
    static const ct_activation nameless = {.apply = ct_tanh}, odd = {"two\nlines", ct_tanh, false};
    ct_module *model = CT_SEQUENTIAL("m", ct_activation_new(&ct_activation_gelu),
                                     ct_activation_new(&nameless), ct_activation_new(&odd));
    char *text = summary_of(model, CT_SHAPE(2, 3));
    expect_part(text, "activation (gelu)            (None, 3)                 0\n"
                      "activation_1 (Activation)    (None, 3)                 0\n"
                      "activation_2 (two\\x0alines)  (None, 3)                 0\n");
    free(text);
    ct_module_free(model);
}

TEST(summary, of_a_model_that_begins_with_ids) {
    ct_module *model = CT_SEQUENTIAL("text", ct_embedding_new(100, 8, (ct_embedding_options){0}),
                                     ct_weight_norm_new(ct_dense_new(8, 4, (ct_dense_options){0})));
    char *text = summary_of(model, CT_SHAPE(32, 12));
    expect_part(text, "\nembedding (Embedding)        (None, 12, 8)             800\n"
                      "weight_norm (WeightNorm)     (None, 12, 4)             40\n"
                      "  dense (Dense)              (None, 12, 4)             36\n");
    free(text);
    ct_module_free(model);
}

TEST(summary, of_a_gpt) {
    ct_gpt_options options = {
        .vocabulary = 5, .length = 6, .width = 4, .layers = 1, .heads = 2, .dropout = 0.1};
    ct_module *gpt = ct_gpt_new(options);
    MADE(gpt);
    char *text = summary_of(gpt, CT_SHAPE(3, 6));
    const char *attention =
        "      multi_head_attention (MultiHeadAttention)  (None, 6, 4)              80\n"
        "        query (Dense)                            (None, 6, 4)              20\n"
        "        key (Dense)                              (None, 6, 4)              20\n"
        "        value (Dense)                            (None, 6, 4)              20\n"
        "        output (Dense)                           (None, 6, 4)              20\n"
        "        dropout (Dropout)                        (None, 2, 6, 6)           0\n";
    expect_part(text, attention);
    free(text);
    ct_module_free(gpt);
}

TEST(summary, of_a_model_of_bytes) {
    ct_module *flatten = ct_flatten_new();
    ct_type bytes = {CT_U8, CT_SHAPE(2, 3, 4)};
    char *text = summary_with(flatten, (ct_show_options){.inputs = &bytes, .n_inputs = 1});
    expect_part(text, "\nFlatten (Flatten)            (None, 12)                0\n");
    free(text);
    ct_module_free(flatten);
}

TEST(summary, of_a_module_of_two_inputs_and_outputs) {
    ct_type inputs[2];
    ct_show_options options = two_inputs(inputs);
    options.outputs = 2;
    expect_summary(text_and_facts_new(), options,
                   "Model: \"TextAndFacts\"\n" LINE HEAD DOUBLE
                   "TextAndFacts (TextAndFacts)  (None, 5), (None, 4)      201\n"
                   "  embedding (Embedding)      (None, 7, 3)              30\n"
                   "  lstm (LSTM)                (None, 4)                 128\n"
                   "  facts (Dense)              (None, 4)                 8\n"
                   "  dense (Dense)              (None, 5)                 25\n"
                   "  spare (Dense)              not used                  6\n" DOUBLE
                   "Total params: 201\nTrainable params: 201\nNon-trainable params: 0\n" LINE);
}

TEST(summary, says_what_does_not_fit_and_writes_nothing) {
    ct_module *model = seed_model(true, CT_F32), *two = text_and_facts_new();
    ct_type inputs[2];
    ct_show_options both = two_inputs(inputs);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    cr_expect_eq(ct_summary(out, model, (ct_show_options){.input = CT_SHAPE(32, 10, 10, 1)}),
                 CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_summary: the model, given f32 [32,10,10,1]: Conv2D: kernel 3 "
                               "exceeds padded input 1 on dim 0 (in seed/conv2d_2)");
    cr_expect_eq(ct_summary(out, model, both), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_summary: the model, given i64 [3,7], f32 [3,1]: "
                               "ct_forward_many: Conv2D has 1 input and 1 output, got 2 and 1 (in "
                               "seed)");
    both.n_inputs = 1;
    cr_expect_eq(ct_summary(out, two, both), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_summary: the model, given i64 [3,7]: TextAndFacts: 2 inputs and "
                               "at most 2 outputs, got 1 and 1");
    both.n_inputs = 2, inputs[0].dtype = CT_F32;
    cr_expect_eq(ct_summary(out, two, both), CT_ERR_DTYPE);
    expect_error(CT_ERR_DTYPE, "ct_summary: the model, given f32 [3,7], f32 [3,1]: Embedding: "
                               "indices must be i64, got f32 (in embedding)");
    cr_expect_eq(ct_summary(out, model, (ct_show_options){.input = CT_SHAPE(32, -1)}),
                 CT_ERR_SHAPE);
    EXPECT(strncmp(ct_error_message(), "ct_summary: ", 12) == 0, "%s", ct_error_message());
    ct_error_clear();
    fclose(out);
    cr_expect_eq(length, 0);
    free(text);
    cr_expect_str_eq(ct_path_of(ct_scalar(CT_F32, 1)), "");
    ct_module_free(model), ct_module_free(two);
}

TEST(summary, refuses_options_that_make_no_sense) {
    ct_module *model = ct_flatten_new();
    cr_expect_eq(ct_summary(stdout, NULL, (ct_show_options){0}), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_summary: 'model' is NULL");
    cr_expect_eq(ct_summary(NULL, model, (ct_show_options){0}), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_summary: 'out' is NULL");
    cr_expect_eq(ct_summary(stdout, model, (ct_show_options){.n_inputs = -1}), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_summary: n_inputs must be >= 0, got -1");
    cr_expect_eq(ct_summary(stdout, model, (ct_show_options){.n_inputs = 2}), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_summary: 'inputs' is NULL");
    ct_type type = {CT_F32, CT_SHAPE(1, 2)};
    cr_expect_eq(ct_summary(stdout, model, (ct_show_options){.inputs = &type}), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_summary: 'inputs' is given and n_inputs is 0");
    cr_expect_eq(ct_summary(stdout, model, (ct_show_options){.depth = -1}), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_summary: outputs and depth must be >= 0, got 0 and -1");
    ct_module_free(model);
}

/* An error from before stays what it was. */
TEST(summary, keeps_an_earlier_error) {
    ct_module *model = ct_dense_new(2, 3, (ct_dense_options){0});
    ct_fail(CT_ERR_IO, "first");
    cr_expect_neq(ct_summary(stdout, model, (ct_show_options){.input = CT_SHAPE(1, 4)}), CT_OK);
    EXPECT(strncmp(ct_error_message(), "first", 5) == 0, "%s", ct_error_message());
    cr_expect_eq(ct_error(), CT_ERR_IO);
    ct_error_clear();
    ct_module_free(model);
}
