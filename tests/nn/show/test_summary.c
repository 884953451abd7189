/* The summary and the picture of models: exact texts, no evaluation, the seed model's 19 boxes. */
#include "tests/support/nn_support.h"

#include <stdio.h>
#include <unistd.h>

/* What `write` puts into a file. The caller frees it. */
static char *summary_of(ct_module *model, ct_shape input) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    OK(ct_summary(out, model, input));
    fclose(out);
    return text;
}

static char *plot_of(ct_module *model) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    OK(ct_model_plot(out, model));
    fclose(out);
    return text;
}

static int count(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
    return n;
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
              "activation (Activation)      (None, 26, 26, 32)        0\n"
              "max_pool2d (MaxPool2D)       (None, 13, 13, 32)        0\n"
              "conv2d_1 (Conv2D)            (None, 11, 11, 64)        18,432\n"
              "batch_norm_1 (BatchNorm)     (None, 11, 11, 64)        256\n"
              "activation_1 (Activation)    (None, 11, 11, 64)        0\n"
              "max_pool2d_1 (MaxPool2D)     (None, 5, 5, 64)          0\n"
              "conv2d_2 (Conv2D)            (None, 3, 3, 64)          36,864\n"
              "batch_norm_2 (BatchNorm)     (None, 3, 3, 64)          256\n"
              "activation_2 (Activation)    (None, 3, 3, 64)          0\n"
              "flatten (Flatten)            (None, 576)               0\n"
              "dense (Dense)                (None, 64)                36,864\n"
              "batch_norm_3 (BatchNorm)     (None, 64)                256\n"
              "activation_3 (Activation)    (None, 64)                0\n"
              "dense_1 (Dense)              (None, 10)                640\n"
              "batch_norm_4 (BatchNorm)     (None, 10)                40\n"
              "activation_4 (Activation)    (None, 10)                0\n" DOUBLE
              "Total params: 94,024\nTrainable params: 93,556\nNon-trainable params: 468\n" LINE);
    free(text);
    cr_expect_eq(ct_stats_read().evaluations, 0);
    cr_expect_eq(state_hash(model, NULL), before);
    ct_module_free(model);
}

TEST(summary, of_the_seed_model_without_batch_norm) {
    ct_module *model = seed_model(false, CT_F64); /* f64 models take f64 inputs */
    char *text = summary_of(model, CT_SHAPE(32, 28, 28, 1));
    cr_expect_not_null(strstr(text, "\nconv2d (Conv2D)              (None, 26, 26, 32)        "
                                    "320\n"));
    cr_expect_not_null(strstr(text, DOUBLE "Total params: 93,322\nTrainable params: 93,322\n"
                                           "Non-trainable params: 0\n" LINE));
    free(text);
    ct_module_free(model);
}

/* A model of nested chains, a residual block, a frozen layer and dropout. */
static ct_module *nested(void) {
    ct_module *frozen = ct_dense_new(6, 6, (ct_dense_options){0});
    ct_module *block = CT_SEQUENTIAL("block", frozen, ct_dropout_new(0.5));
    ct_module *skip = ct_residual_new(ct_dense_new(6, 6, (ct_dense_options){.no_bias = true}),
                                      NULL);
    ct_module *outer = CT_SEQUENTIAL("a_name_that_is_longer_than_the_column", block, skip);
    ct_module *model = CT_SEQUENTIAL("model", outer, ct_global_avg_pool2d_new());
    MADE(model);
    ct_module_freeze(frozen, true);
    return model;
}

TEST(summary, of_nested_chains) {
    ct_module *model = nested();
    char *text = summary_of(model, CT_SHAPE(2, 3, 3, 6));
    const char *rows =
        "a_name_that_is_longer_than_the_column/block/dense (Dense)      (None, 3, 3, 6)           "
        "42\n"
        "a_name_that_is_longer_than_the_column/block/dropout (Dropout)  (None, 3, 3, 6)           "
        "0\n"
        "a_name_that_is_longer_than_the_column/residual (Residual)      (None, 3, 3, 6)           "
        "36\n"
        "global_avg_pool2d (GlobalAvgPool2D)                            (None, 6)                 "
        "0\n";
    cr_expect_not_null(strstr(text, rows), "%s", text);
    cr_expect_not_null(strstr(text, "Total params: 78\nTrainable params: 36\n"
                                    "Non-trainable params: 42\n"));
    free(text);
    /* Nothing of the path stays, and messages have all of it. */
    cr_expect_str_eq(ct_path_of(ct_scalar(CT_F32, 1)), "");
    cr_expect_eq(ct_summary(stdout, model, CT_SHAPE(2, 3, 3, 5)), CT_ERR_SHAPE);
    cr_expect_not_null(
        strstr(ct_error_message(), "(in a_name_that_is_longer_than_the_column/block/dense)"), "%s",
        ct_error_message());
    ct_error_clear();
    cr_expect_str_eq(ct_path_of(ct_scalar(CT_F32, 1)), "");
    ct_module_free(model);
}

TEST(summary, of_a_single_layer) {
    ct_module *dense = ct_dense_new(4, 1000, (ct_dense_options){0});
    char *text = summary_of(dense, CT_SHAPE(4));
    cr_expect_not_null(strstr(text, "Model: \"Dense\"\n"));
    cr_expect_not_null(strstr(text, "\nDense (Dense)                (1000,)                   "
                                    "5,000\n"),
                       "%s", text);
    free(text);
    ct_module_free(dense);
}

TEST(summary, of_a_model_that_begins_with_ids) {
    ct_module *model = CT_SEQUENTIAL("text", ct_embedding_new(100, 8, (ct_embedding_options){0}),
                                     ct_weight_norm_new(ct_dense_new(8, 4, (ct_dense_options){0})));
    char *text = summary_of(model, CT_SHAPE(32, 12));
    cr_expect_not_null(strstr(text, "\nembedding (Embedding)        (None, 12, 8)             "
                                    "800\n"),
                       "%s", text);
    cr_expect_not_null(strstr(text, "\nweight_norm (WeightNorm)     (None, 12, 4)             "
                                    "40\n"),
                       "%s", text);
    free(text);
    ct_module_free(model);
}

TEST(summary, says_what_does_not_fit_and_writes_nothing) {
    ct_module *model = seed_model(true, CT_F32);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    cr_expect_eq(ct_summary(out, model, CT_SHAPE(32, 10, 10, 1)), CT_ERR_SHAPE);
    cr_expect_not_null(strstr(ct_error_message(), "(in conv2d_2)"), "%s", ct_error_message());
    ct_error_clear();
    cr_expect_eq(ct_summary(out, model, CT_SHAPE(32, -1)), CT_ERR_SHAPE);
    ct_error_clear();
    cr_expect_eq(ct_summary(out, NULL, CT_SHAPE(1)), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_summary: 'model' is NULL");
    fclose(out);
    cr_expect_eq(length, 0);
    free(text);
    cr_expect_str_eq(ct_path_of(ct_scalar(CT_F32, 1)), "");
    ct_module_free(model);
}

/* --- Pictures --------------------------------------------------------------------------------- */

TEST(plot, of_the_seed_model_has_19_boxes) {
    ct_module *model = seed_model(true, CT_F32);
    char *text = plot_of(model);
    cr_expect_eq(count(text, "[label="), 19);
    cr_expect_eq(count(text, " -> "), 18);
    static const char *const labels[] = {"input: Input",
                                         "conv2d: Conv2D",
                                         "batch_norm: BatchNorm",
                                         "activation: Activation",
                                         "max_pool2d: MaxPool2D",
                                         "conv2d_1: Conv2D",
                                         "batch_norm_1: BatchNorm",
                                         "activation_1: Activation",
                                         "max_pool2d_1: MaxPool2D",
                                         "conv2d_2: Conv2D",
                                         "batch_norm_2: BatchNorm",
                                         "activation_2: Activation",
                                         "flatten: Flatten",
                                         "dense: Dense",
                                         "batch_norm_3: BatchNorm",
                                         "activation_3: Activation",
                                         "dense_1: Dense",
                                         "batch_norm_4: BatchNorm",
                                         "activation_4: Activation"};
    for (int i = 0; i < 19; i++) {
        char box[128], arrow[64];
        snprintf(box, sizeof box, "  n%d [label=\"%s\", fillcolor=\"#dcebf7\"];\n", i, labels[i]);
        snprintf(arrow, sizeof arrow, "  n%d -> n%d [color=\"#30597a\"];\n", i, i + 1);
        cr_expect_eq(count(text, box), 1, "%s", box);
        cr_expect_eq(count(text, arrow), i < 18);
    }
    char *again = plot_of(model);
    cr_expect_str_eq(text, again);
    free(again);
    free(text);
    ct_module_free(model);
}

TEST(plot, lays_nested_chains_out_flat_and_escapes) {
    ct_module *layer = ct_flatten_new();
    OK(ct_module_rename(layer, "a\"b\\"));
    ct_module *model = CT_SEQUENTIAL("outer", nested(), layer);
    char *text = plot_of(model);
    cr_expect_eq(count(text, "[label="), 6);
    cr_expect_eq(count(text, "/residual: Residual\""), 1);
    cr_expect_eq(count(text, "[label=\"a\\\"b\\\\: Flatten\""), 1, "%s", text);
    free(text);
    ct_module_free(model);
}

TEST(plot, into_files) {
    char path[256];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/cotan-plot-%ld.dot", base ? base : "/tmp", (long)getpid());
    ct_module *model = seed_model(true, CT_F32);
    OK(ct_model_plot_save(path, model));
    char *text = plot_of(model), found[8192];
    FILE *in = fopen(path, "r");
    MADE(in);
    found[fread(found, 1, sizeof found - 1, in)] = '\0';
    fclose(in);
    unlink(path);
    cr_expect_str_eq(found, text);
    free(text);
    cr_expect_eq(ct_model_plot_save("model.jpg", model), CT_ERR_RANGE);
    static const char refused[] = "ct_model_plot_save: 'model.jpg' must end in .dot, .svg, ";
    EXPECT(strncmp(ct_error_message(), refused, sizeof refused - 1) == 0, "%s", ct_error_message());
    ct_error_clear();
    cr_expect_eq(ct_model_plot_save(path, NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_model_plot_save: 'model' is NULL");
    cr_expect_eq(ct_model_plot(NULL, model), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_model_plot: 'out' is NULL");
    ct_module_free(model);
}
