/* Graphs as a text tree and as JSON for Model Explorer: exact for a small graph, and what `diff`,
 * terminals and readers rely on. That Model Explorer reads the JSON is tried by
 * tests/reference/explorer.py. */
#include "tests/support/io_support.h"

#include "autograd/compose.h"
#include "autograd/dot.h"
#include "autograd/grad.h"
#include "autograd/stage.h"
#include "nn/nn.h"
#include "tensor/io/json.h"

#include <locale.h>

#define TREE_TEST(name) FOLDER_TEST(tree, name)

/* The text in a format. The caller frees it. */
__attribute__((noinline)) static char *text_in(const char *format, ct_tensor *const roots[],
                                               int64_t n, ct_dot_options options) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    options.format = format;
    ct_status status = ct_dot_write(out, roots, n, options);
    cr_assert_eq(status, CT_OK, "%s", ct_error_message());
    fclose(out);
    return text;
}

static ct_tensor *vector(const char *name) {
    return ct_name(ct_from(CT_F64, CT_SHAPE(2), (double[]){1, 2}), name);
}

/* A module within another, an op outside of both, and its derivative. */
static int64_t nested(ct_tensor *roots[2], bool more) {
    ct_tensor *x = vector("x");
    ct_path_push("outer"), ct_path_push("inner");
    ct_tensor *y = ct_exp(ct_scale(x, 0.5));
    if (more) y = ct_sin(y);
    ct_path_pop();
    y = ct_sub(y, x);
    ct_path_pop();
    roots[0] = ct_name(ct_sum_all(y), "loss");
    cr_assert_eq(ct_grad(roots[0], &x, 1, &roots[1]), CT_OK);
    return 2;
}

/* --- The tree ----------------------------------------------------------------------------- */

static const char nested_tree[] =
    "small\n"
    "4 ops, 1 leaf\n"
    "#2 is line 2 of the same group, ../a#2 of group a beside it, /a#2 of group a, /#2 of none;\n"
    "' marks a derivative, * a root\n"
    "\n"
    "1 x                                       [2] f64\n"
    "outer: 3 ops\n"
    "| inner: 2 ops\n"
    "| | 1 mul(\xc2\xb7, 0.5)                         [2] f64               /#1\n"
    "| | 2 exp                                 [2] f64               #1\n"
    "| 1 sub                                   [2] f64               inner#2 /#1\n"
    "2* loss = sum axes 0                      [] f64                /outer#1\n";

TREE_TEST(text_of_a_small_graph) {
    ct_tensor *roots[2];
    nested(roots, false);
    char *text = text_in("txt", roots, 1, (ct_dot_options){.title = "small"});
    cr_expect_str_eq(text, nested_tree);
    free(text);
}

/* The lines of `text` that do not hold ": " and do not stand in `other`, up to `room`. */
static int new_lines(const char *text, const char *other, const char *lines[], int room) {
    int found = 0;
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, "\n");
        char line[300];
        snprintf(line, sizeof line, "\n%.*s\n", (int)length, at);
        if (!strstr(line, ": ") && !strstr(other, line) && found < room) lines[found++] = at;
        at += length + (at[length] == '\n');
    }
    return found;
}

/* One op more in a module: its line is new, and the lines of its group that use or follow it. */
TREE_TEST(what_changes_in_a_group_leaves_the_others) {
    ct_tensor *before[2], *after[2];
    nested(before, false), nested(after, true);
    char *one = text_in("txt", before, 1, (ct_dot_options){0});
    char *two = text_in("txt", after, 1, (ct_dot_options){0});
    const char *lines[9];
    /* The header's count, the op, and the op outside of the group that reads it. */
    cr_expect_eq(new_lines(two, one, lines, 9), 3, "%s", two);
    cr_expect_eq(strncmp(lines[1], "| | 3 sin ", 10), 0, "%s", two);
    cr_expect_not_null(strstr(lines[2], " inner#3 /#1\n"), "%s", two);
    free(one), free(two);
}

TREE_TEST(derivatives_come_after_what_they_are_of) {
    ct_tensor *roots[2];
    int64_t n = nested(roots, false);
    char *text = text_in("txt", roots, n, (ct_dot_options){0});
    char *backward = strstr(text, "\nouter, derivative: ");
    cr_assert_not_null(backward, "%s", text);
    *backward = '\0';
    cr_expect_not_null(strstr(text, "\nouter: "), "%s", text);
    *backward = '\n';
    cr_expect_not_null(strstr(text, "| inner, derivative: "), "%s", text);
    /* exp's derivative multiplies by exp itself, which is line 2 of the same module. */
    cr_expect_not_null(strstr(text, "| | 1' mul(1, "), "%s", text);
    cr_expect_not_null(strstr(text, " #2\n"), "%s", text);
    free(text);
}

/* A step of the study's network: wide lines are broken, columns stay, and modules are lines. */
static ct_tensor *seed_loss(ct_module **model) {
    *model = ct_digits_cnn_new((ct_digits_cnn_options){0});
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2, 28, 28, 1), 1);
    return ct_cross_entropy(ct_logits(*model, x, CT_TRAINING), ct_full(CT_I64, CT_SHAPE(2), 0));
}

static int64_t widest(const char *text) {
    int64_t most = 0, at = 0;
    for (; *text; text++) {
        at = *text == '\n' ? 0 : at + ((*text & 0xc0) != 0x80);
        if (at > most) most = at;
    }
    return most;
}

TREE_TEST(fits_a_terminal) {
    ct_module *model;
    ct_tensor *loss = seed_loss(&model), *parts[30], *w = vector("w"), *joined;
    char *text = text_in("txt", &loss, 1, (ct_dot_options){0});
    cr_expect_leq(widest(text), 100, "%s", text);
    cr_expect_not_null(strstr(text, "\n| batch_norm_1: 22 ops, 2 leaves\n"), "%s", text);
    cr_expect_not_null(strstr(text, "#20 staged #21\n"), "%s", text);
    cr_expect_not_null(strstr(text, " gamma (slot) "), "%s", text);
    free(text);
    text = text_in("txt", &loss, 1, (ct_dot_options){.level = CT_DOT_MODULES, .depth = 1});
    cr_expect_not_null(strstr(text, "| 2 batch_norm_1 "), "%s", text);
    free(text);
    for (int i = 0; i < 30; i++) parts[i] = ct_exp(w);
    joined = ct_concat(parts, 30, 0);
    text = text_in("txt", &joined, 1, (ct_dot_options){0});
    cr_expect_leq(widest(text), 100, "%s", text);
    cr_expect_not_null(strstr(text, " #31\n"), "%s", text);
    free(text);
    ct_module_free(model);
}

/* A convolution without bias is one op and a kernel: its box has the type of what the op makes. */
TREE_TEST(a_box_has_the_type_of_its_result) {
    ct_module *conv = ct_conv2d_new(1, 4, (ct_conv2d_options){.no_bias = true});
    ct_tensor *x = ct_name(ct_full(CT_F32, CT_SHAPE(1, 8, 8, 1), 1), "x");
    ct_path_push("conv");
    ct_tensor *y = ct_forward(conv, x, CT_TRAINING);
    ct_path_pop();
    ct_tensor *z = ct_exp(y);
    char *text = text_in("txt", &z, 1, (ct_dot_options){.level = CT_DOT_MODULES});
    cr_expect_not_null(strstr(text, "\n2 conv                                    [1,6,6,4] f32"),
                       "%s", text);
    free(text);
    ct_module_free(conv);
}

/* As deep as modules may be, and 10^4 nodes: no stack is used up. */
TREE_TEST(deep_and_large_graphs) {
    ct_tensor *x = vector("x"), *y = x;
    for (int i = 0; i < 300; i++) ct_path_push("m");
    y = ct_exp(y);
    for (int i = 0; i < 300; i++) ct_path_pop();
    for (int i = 0; i < 10000; i++) y = ct_mul(y, x);
    char *text = text_in("txt", &y, 1, (ct_dot_options){0});
    cr_expect_not_null(strstr(text, "\n10001* mul ") ? text : strstr(text, "* mul "));
    free(text);
    text = text_in("json", &y, 1, (ct_dot_options){0});
    cr_expect_not_null(strstr(text, "\"id\":\"n10001\""));
    free(text);
}

/* --- Both --------------------------------------------------------------------------------- */

static const char *const formats[] = {"txt", "json"};

TREE_TEST(the_same_graph_gives_the_same_bytes) {
    for (int f = 0; f < 2; f++) {
        ct_tensor *once[2], *again[2];
        nested(once, false);
        char *one = text_in(formats[f], once, 2, (ct_dot_options){0});
        ct_drop(ct_keep(ct_scalar(CT_F32, 1))); /* ids and addresses move on */
        setlocale(LC_ALL, "de_DE.UTF-8");
        nested(again, false);
        char *two = text_in(formats[f], again, 2, (ct_dot_options){0});
        setlocale(LC_ALL, "C");
        cr_expect_str_eq(one, two);
        free(one), free(two);
    }
}

TREE_TEST(any_bytes_can_be_a_name) {
    ct_tensor *y = vector("x");
    uint64_t state = 7;
    for (int i = 0; i < 500; i++) {
        char name[40] = "";
        for (int k = 0; k < 1 + i % 39; k++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            name[k] = (char)(1 + (state >> 33) % 255);
        }
        char module[40];
        strcpy(module, name);
        for (char *c = module; (c = strchr(c, '/'));) *c = '|'; /* which would be two modules */
        cr_assert_eq(ct_path_push(module), CT_OK, "%s", ct_error_message());
        y = ct_name(ct_exp(y), name);
        ct_path_pop();
    }
    for (int f = 0; f < 2; f++) {
        char *text = text_in(formats[f], &y, 1, (ct_dot_options){.title = "\xff\x1b[2J\""});
        for (size_t at = 0, left = strlen(text), taken; left > 0; at += taken, left -= taken) {
            taken = cti_utf8_length(text + at, left);
            cr_assert(taken > 0 && ((unsigned char)text[at] >= ' ' || text[at] == '\n'));
            cr_assert_neq(text[at], 0x7f);
        }
        free(text);
    }
}

TREE_TEST(a_file_is_named_by_its_format) {
    ct_tensor *roots[2];
    nested(roots, false);
    cr_expect_eq(ct_dot_save(in_folder("g.txt"), roots, 1, (ct_dot_options){.title = "small"}),
                 CT_OK);
    cr_expect(file_is(in_folder("g.txt"), nested_tree, strlen(nested_tree)));
    ct_module *model = ct_dense_new(2, 3, (ct_dense_options){0});
    ct_show_options show = {.input = CT_SHAPE(4, 2)};
    cr_expect_eq(ct_model_plot_save(in_folder("m.txt"), model, show), CT_OK);
    cr_expect_eq(ct_model_plot_save(in_folder("m.json"), model, show), CT_OK);
    ct_module_free(model);
    ct_status status = ct_dot_write(stdout, roots, 1, (ct_dot_options){.format = "g\x1b"});
    cr_expect_eq(status, CT_ERR_RANGE);
    cr_expect_eq(strncmp(ct_error_message(), "ct_dot_write: the format 'g\\x1b' must be dot, ", 45),
                 0, "%s", ct_error_message());
    ct_error_clear();
}

static ct_status write_both(void) {
    FILE *out = fopen("/dev/null", "w");
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2), 1);
    ct_path_push("");
    ct_tensor *y = ct_scale(ct_exp(x), 0.5);
    ct_path_pop();
    ct_status status = y ? CT_OK : ct_error();
    for (int f = 0; f < 2 && status == CT_OK; f++) {
        status = ct_dot_write(out, &y, 1, (ct_dot_options){.format = formats[f]});
    }
    fclose(out);
    return status;
}

TREE_TEST(out_of_memory_is_an_error) { cr_expect_gt(memory_sweep(write_both), 20); }

/* --- Model Explorer ----------------------------------------------------------------------- */

TREE_TEST(json_of_a_small_graph) {
    ct_path_push("a"), ct_path_push("b");
    ct_tensor *x = vector("x"), *y = ct_exp(ct_scale(x, 0.5)), *dx;
    ct_path_pop(), ct_path_pop();
    cr_assert_eq(ct_vjp(y, y, &x, 1, &dx), CT_OK);
    char *text = text_in("json", &dx, 1, (ct_dot_options){.title = "g"});
    static const char beginning[] =
        "{\"label\":\"g\",\"graphs\":[{\"id\":\"g\",\"nodes\":[\n"
        "{\"id\":\"n0\",\"label\":\"x\",\"namespace\":\"a/b\",\"attrs\":[";
    cr_expect_eq(strncmp(text, beginning, strlen(beginning)), 0, "%s", text);
    static const char *const parts[] = {
        "{\"key\":\"type\",\"value\":\"[2] f64\"}",
        "{\"key\":\"bytes\",\"value\":\"16\"}",
        "\"label\":\"mul(., 0.5)\",\"namespace\":\"a/b\"",
        "\"outputsMetadata\":[{\"id\":\"0\",\"attrs\":[{\"key\":\"shape\",\"value\":\"[2] "
        "f64\"}]}]",
        "\"incomingEdges\":[{\"sourceNodeId\":\"n0\",\"sourceNodeOutputId\":\"0\","
        "\"targetNodeInputId\":\"0\"}]",
        "\"namespace\":\"a, derivative/b, derivative\"",
        "{\"key\":\"derived from\",\"value\":{\"type\":\"node_ids\",\"nodeIds\":[\"n2\"]}}",
        "{\"key\":\"value used in a derivative\",\"value\":\"yes\"}",
        "{\"key\":\"root\",\"value\":\"yes\"}",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        cr_expect_not_null(strstr(text, parts[i]), "%s\nin %s", parts[i], text);
    }
    free(text);
}
