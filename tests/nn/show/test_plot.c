/* The pictures of models: boxes, frames and arrows that follow what the forward did. */
#include "tests/support/nn_support.h"
#include "tests/support/show_support.h"

#include <stdio.h>
#include <unistd.h>

static char *plot_with(ct_module *model, ct_show_options options) {
    char *text = NULL;
    size_t length = 0;
    MADE(model);
    FILE *out = open_memstream(&text, &length);
    OK(ct_model_plot(out, model, options));
    fclose(out);
    return text;
}

static char *plot_of(ct_module *model, ct_shape input) {
    return plot_with(model, (ct_show_options){.input = input});
}

static int count(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
    return n;
}

/* The n of the box nN whose label begins so, the one number `nth` of them; -1: there is none. */
static int box(const char *text, const char *label, int nth) {
    char begin[256];
    snprintf(begin, sizeof begin, " [label=\"%s", label);
    const char *at = strstr(text, begin);
    for (; at && nth > 0; nth--) at = strstr(at + 1, begin);
    if (!at) return -1;
    while (at > text && at[-1] != 'n') at--;
    return atoi(at);
}

/* How many braces are open where a text stands. */
static int nesting(const char *text, const char *part) {
    int open = 0;
    for (const char *at = text; *at && strncmp(at, part, strlen(part)) != 0; at++) {
        open += (*at == '{') - (*at == '}');
    }
    return open;
}

/* Expects these arrows, pairs of labels, and no others. */
#define EXPECT_ARROWS(text, ...)                     \
    expect_arrows(                                   \
        text, (const char *const[][2]){__VA_ARGS__}, \
        (int)(sizeof((const char *const[][2]){__VA_ARGS__}) / sizeof(const char *const[2])))

static void expect_arrows(const char *text, const char *const arrows[][2], int n) {
    cr_expect_eq(count(text, " -> "), n, "%d arrows in\n%s", n, text);
    for (int i = 0; i < n; i++) {
        char arrow[64];
        snprintf(arrow, sizeof arrow, "  n%d -> n%d ", box(text, arrows[i][0], 0),
                 box(text, arrows[i][1], 0));
        cr_expect_eq(count(text, arrow), 1, "from %s to %s in\n%s", arrows[i][0], arrows[i][1],
                     text);
    }
}

#define DOT " \xc2\xb7 "

TEST(plot, of_the_seed_model_has_19_boxes) {
    ct_module *model = seed_model(true, CT_F32);
    char *text = plot_of(model, CT_SHAPE(32, 28, 28, 1));
    cr_expect_eq(count(text, "[label="), 19);
    cr_expect_eq(count(text, " -> "), 18);
    static const char *const labels[] = {
        "input: Input\\n(None, 28, 28, 1) f32",
        "conv2d: Conv2D\\n(None, 26, 26, 32)" DOT "288 params",
        "batch_norm: BatchNorm\\n(None, 26, 26, 32)" DOT "128 params",
        "activation: relu\\n(None, 26, 26, 32)",
        "max_pool2d: MaxPool2D\\n(None, 13, 13, 32)",
        "conv2d_1: Conv2D\\n(None, 11, 11, 64)" DOT "18,432 params",
        "batch_norm_1: BatchNorm\\n(None, 11, 11, 64)" DOT "256 params",
        "activation_1: relu\\n(None, 11, 11, 64)",
        "max_pool2d_1: MaxPool2D\\n(None, 5, 5, 64)",
        "conv2d_2: Conv2D\\n(None, 3, 3, 64)" DOT "36,864 params",
        "batch_norm_2: BatchNorm\\n(None, 3, 3, 64)" DOT "256 params",
        "activation_2: relu\\n(None, 3, 3, 64)",
        "flatten: Flatten\\n(None, 576)",
        "dense: Dense\\n(None, 64)" DOT "36,864 params",
        "batch_norm_3: BatchNorm\\n(None, 64)" DOT "256 params",
        "activation_3: relu\\n(None, 64)",
        "dense_1: Dense\\n(None, 10)" DOT "640 params",
        "batch_norm_4: BatchNorm\\n(None, 10)" DOT "40 params",
        "activation_4: softmax\\n(None, 10)"};
    for (int i = 0; i < 19; i++) {
        char label[128], arrow[64];
        snprintf(label, sizeof label, "%s\"", labels[i]);
        snprintf(arrow, sizeof arrow, "  n%d -> n%d ", i, i + 1);
        cr_expect_eq(box(text, label, 0), i, "%s in\n%s", labels[i], text);
        cr_expect_eq(count(text, arrow), i < 18);
    }
    char *again = plot_of(model, CT_SHAPE(32, 28, 28, 1));
    cr_expect_str_eq(text, again);
    free(again), free(text);
    ct_module_free(model);
}

TEST(plot, opens_nested_modules_and_escapes) {
    ct_module *layer = ct_flatten_new();
    OK(ct_module_rename(layer, "a\"b\\"));
    ct_module *model = CT_SEQUENTIAL("whole", nested_model("outer"), layer);
    char *text = plot_of(model, CT_SHAPE(2, 3, 3, 6));
    static const char *const frames[] = {"model", "outer", "block", "residual: Residual"};
    static const int nested[] = {2, 3, 4, 4}; /* the whole is in braces too */
    for (int i = 0; i < 4; i++) {
        char label[128];
        snprintf(label, sizeof label, "label=\"%s\"", frames[i]);
        cr_expect_eq(count(text, label), 1, "%s in\n%s", frames[i], text);
        cr_expect_eq(nesting(text, label), nested[i], "%s in\n%s", frames[i], text);
    }
    EXPECT_ARROWS(text, {"input", "dense: Dense\\n(None, 3, 3, 6)" DOT "42"},
                  {"dense: Dense\\n(None, 3, 3, 6)" DOT "42", "dropout"},
                  {"dropout", "dense: Dense\\n(None, 3, 3, 6)" DOT "36"}, {"dropout", "+"},
                  {"dense: Dense\\n(None, 3, 3, 6)" DOT "36", "+"}, {"+", "global_avg_pool2d"},
                  {"global_avg_pool2d", "a\\\"b\\\\: Flatten"});
    free(text);
    ct_module_free(model);
}

TEST(plot, to_a_depth) {
    ct_module *model = nested_model("outer");
    ct_show_options options = {.input = CT_SHAPE(2, 3, 3, 6), .depth = 1};
    char *text = plot_with(model, options);
    EXPECT_ARROWS(text, {"input", "outer: Sequential\\n(None, 3, 3, 6)" DOT "78 params"},
                  {"outer", "global_avg_pool2d"});
    cr_expect_eq(count(text, "subgraph"), 0);
    free(text);
    options.depth = 2;
    text = plot_with(model, options);
    EXPECT_ARROWS(text, {"input", "block: Sequential\\n(None, 3, 3, 6)" DOT "42 params"},
                  {"block", "residual"}, {"residual", "global_avg_pool2d"});
    free(text);
    ct_module_free(model);
}

TEST(plot, of_a_residual_with_a_shortcut) {
    ct_module *residual = ct_residual_new(
        CT_SEQUENTIAL("body", ct_dense_new(4, 8, (ct_dense_options){0}), ct_dropout_new(0.5)),
        ct_dense_new(4, 8, (ct_dense_options){.no_bias = true}));
    char *text = plot_of(residual, CT_SHAPE(5, 4));
    EXPECT_ARROWS(text, {"input", "dense: Dense\\n(None, 8)" DOT "40"},
                  {"dense: Dense\\n(None, 8)" DOT "40", "dropout"}, {"dropout", "+\""},
                  {"input", "dense: Dense\\n(None, 8)" DOT "32"},
                  {"dense: Dense\\n(None, 8)" DOT "32", "+"});
    free(text);
    ct_module_free(residual);
}

TEST(plot, of_attention_and_both_directions) {
    ct_module *model = CT_SEQUENTIAL(
        "model", ct_multi_head_attention_new(4, 2, (ct_attention_options){0}),
        ct_bidirectional_new(ct_gru_new(4, 3, (ct_recurrent_options){0}),
                             ct_gru_new(4, 3, (ct_recurrent_options){.backward = true})));
    char *text = plot_of(model, CT_SHAPE(2, 6, 4));
    EXPECT_ARROWS(text, {"input", "query"}, {"input", "key"}, {"input", "value"},
                  {"query", "output"}, {"key", "output"}, {"value", "output"},
                  {"output", "forward"}, {"output", "backward"}, {"forward", "concat"},
                  {"backward", "concat\\n(None, 6, 6)"});
    free(text);
    ct_module_free(model);
}

TEST(plot, of_a_module_of_two_inputs_and_outputs) {
    ct_type inputs[2];
    ct_module *model = text_and_facts_new();
    ct_show_options options = two_inputs(inputs);
    options.outputs = 2;
    char *text = plot_with(model, options);
    EXPECT_ARROWS(text, {"input 0: Input\\n(None, 7) i64", "embedding"}, {"embedding", "lstm"},
                  {"input 1: Input\\n(None, 1) f32", "facts: Dense"}, {"lstm", "dense: Dense"},
                  {"facts: Dense", "dense: Dense"}, {"facts: Dense", "mul, sigmoid\\n(None, 4)"});
    cr_expect_eq(box(text, "spare", 0), -1, "%s", text);
    free(text);
    ct_module_free(model);
}

/* x + sigmoid(h) tanh(h scale) */
static ct_tensor *gate(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_tensor *h = ct_forward(self->children[0], x, mode);
    ct_tensor *scaled = ct_mul(h, ct_module_read(self, 0));
    return ct_add(x, ct_mul(ct_sigmoid(h), ct_tanh(scaled)));
}

/* More ops than a box has room for. */
static ct_tensor *many(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_tensor *h = ct_forward(self->children[0], x, mode);
    h = ct_sqrt(ct_exp(ct_tanh(ct_sin(ct_cos(ct_neg(ct_abs(h)))))));
    return ct_mul(h, h);
}

static ct_module *around_dense(const ct_module_kind *kind) {
    ct_module *module = ct_module_new(sizeof *module, kind), *dense;
    dense = ct_dense_new(3, 3, (ct_dense_options){0});
    OK(ct_module_add_slot(module, "scale", ct_full(CT_F32, CT_SHAPE(3), 1), true));
    OK(ct_module_add_children(module, &dense, 1));
    return module;
}

TEST(plot, of_ops_between_modules) {
    static const ct_module_kind gated = {.name = "Gated", .forward = gate},
                                long_one = {.name = "Long", .forward = many};
    ct_module *model = around_dense(&gated), *other = around_dense(&long_one);
    char *text = plot_of(model, CT_SHAPE(2, 3));
    EXPECT_ARROWS(text, {"input", "dense"}, {"input", "sigmoid, mul, tanh, +\\n(None, 3)\""},
                  {"dense", "sigmoid, mul"});
    free(text);
    text = plot_of(other, CT_SHAPE(2, 3));
    EXPECT_ARROWS(text, {"input", "dense"},
                  {"dense", "abs, neg, cos, sin, tanh, exp, .., mul\\n(None, 3)\""});
    free(text);
    ct_module_free(model), ct_module_free(other);
}

/* A box for each call, of which the first has the parameters. */
TEST(plot, of_a_module_called_at_each_step) {
    ct_module *model = steps_new(CT_SEQUENTIAL("inner", ct_dense_new(3, 3, (ct_dense_options){0})));
    char *text = plot_of(model, CT_SHAPE(7, 3, 3));
    cr_expect_eq(count(text, "[label=\"dense: Dense\\n(None, 3)" DOT "12 params\""), 1);
    cr_expect_eq(count(text, "[label=\"dense: Dense\\n(None, 3)" DOT "shared params\""), 2);
    cr_expect_eq(count(text, " -> "), 5, "%s", text);
    free(text);
    ct_module_free(model);
}

TEST(plot, into_files) {
    char path[256];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/cotan-plot-%ld.dot", base ? base : "/tmp", (long)getpid());
    ct_module *model = seed_model(true, CT_F32);
    ct_show_options image = {.input = CT_SHAPE(32, 28, 28, 1)};
    OK(ct_model_plot_save(path, model, image));
    char *text = plot_with(model, image), found[8192];
    FILE *in = fopen(path, "r");
    MADE(in);
    found[fread(found, 1, sizeof found - 1, in)] = '\0';
    fclose(in);
    unlink(path);
    cr_expect_str_eq(found, text);
    free(text);
    cr_expect_eq(ct_model_plot_save("model.jpg", model, image), CT_ERR_RANGE);
    static const char refused[] = "ct_model_plot_save: 'model.jpg' must end in .dot, ";
    EXPECT(strncmp(ct_error_message(), refused, sizeof refused - 1) == 0, "%s", ct_error_message());
    ct_error_clear();
    ct_module_free(model);
}

TEST(plot, says_what_does_not_fit) {
    ct_module *model = seed_model(true, CT_F32);
    ct_show_options image = {.input = CT_SHAPE(1, 28, 28, 3)}, deep = {.depth = -1};
    cr_expect_eq(ct_model_plot(stdout, model, image), CT_ERR_SHAPE);
    EXPECT(strstr(ct_error_message(), "ct_model_plot: the model, given f32 [1,28,28,3]: Conv2D"),
           "%s", ct_error_message());
    ct_error_clear();
    cr_expect_eq(ct_model_plot_save("/nowhere/m.dot", model, image), CT_ERR_SHAPE);
    EXPECT(strstr(ct_error_message(), "ct_model_plot_save: the model, given f32 [1,28,28,3]"), "%s",
           ct_error_message());
    ct_error_clear();
    cr_expect_eq(ct_model_plot(stdout, model, deep), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_model_plot: outputs and depth must be >= 0, got 0 and -1");
    cr_expect_eq(ct_model_plot_save("m.dot", NULL, image), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_model_plot_save: 'model' is NULL");
    cr_expect_eq(
        ct_model_plot_save(NULL, model, (ct_show_options){.input = CT_SHAPE(1, 28, 28, 1)}),
        CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_model_plot_save: 'path' is NULL");
    cr_expect_eq(ct_model_plot(NULL, model, image), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_model_plot: 'out' is NULL");
    ct_module_free(model);
}
