/* Pictures of graphs as text: exact for a small graph, the same bytes for the same graph, and
 * names that hold anything. Running the program `dot` on them is test_dot_render.c's business,
 * except for the labels, of which `dot` itself is the judge. */
#include "tests/autograd/draw/dot_text.h"
#include "tests/support/io_support.h"

#include "autograd/compose.h"
#include "autograd/dot.h"
#include "autograd/draw/graphviz.h"
#include "autograd/grad.h"
#include "autograd/stage.h"
#include "tensor/base/context.h"

#include <locale.h>
#include <pthread.h>

#define DOT_TEST(name) FOLDER_TEST(dot, name)

/* --- What is drawn ------------------------------------------------------------------------ */

DOT_TEST(text_of_a_small_graph) {
    ct_tensor *x = vector("x"), *w = vector("");
    ct_tensor *y = ct_name(ct_sum_all(ct_sub(ct_scale(x, 0.5), w)), "loss");
    char *text = text_of(&y, 1, (ct_dot_options){.title = "a \"small\" graph"});
    cr_expect_str_eq(
        text,
        "digraph cotan {\n"
        "  graph [rankdir=TB, ranksep=0.3, nodesep=0.15, fontname=\"Helvetica\", fontsize=12, "
        "labelloc=t, labeljust=l, nslimit=1, nslimit1=1, outputorder=edgesfirst, label=<<table "
        "border=\"0\" "
        "cellspacing=\"3\" cellpadding=\"4\"><tr><td colspan=\"8\" align=\"left\">a "
        "&quot;small&quot; graph</td></tr><tr><td bgcolor=\"#e3f0fa\">forward</td></tr>"
        "</table>>];\n"
        "  node [shape=box, style=filled, fontname=\"Helvetica\", fontsize=11, height=0.3, "
        "margin=\"0.1,0.04\", color=\"#666666\"];\n"
        "  edge [arrowsize=0.6, fontname=\"Helvetica\", fontsize=10, labeldistance=1.5, "
        "fontcolor=\"#666666\"];\n"
        "  n0 [label=\"x\\n[2] f64\", fillcolor=\"#e3f0fa\", shape=ellipse];\n"
        "  n1 [label=\"mul(\xc2\xb7, 0.5)\\n[2] f64\", fillcolor=\"#e3f0fa\", "
        "tooltip=\"da = dy * b, db = dy * a\"];\n"
        "  n2 [label=\"data\\n[2] f64\", fillcolor=\"#e3f0fa\", shape=ellipse];\n"
        "  n3 [label=\"sub\\n[2] f64\", fillcolor=\"#e3f0fa\", "
        "tooltip=\"da = dy, db = neg(dy)\"];\n"
        "  n4 [label=\"loss = sum\\naxes 0\\n[] f64\", fillcolor=\"#e3f0fa\", peripheries=2, "
        "tooltip=\"dx = broadcast(reshape(dy))\"];\n"
        "  n0 -> n1 [color=\"#30597a\"];\n"
        "  n1 -> n3 [color=\"#30597a\", headlabel=<<table border=\"0\" cellspacing=\"0\" "
        "cellpadding=\"0\" bgcolor=\"white\"><tr><td>1</td></tr></table>>];\n"
        "  n2 -> n3 [color=\"#30597a\", headlabel=<<table border=\"0\" cellspacing=\"0\" "
        "cellpadding=\"0\" bgcolor=\"white\"><tr><td>2</td></tr></table>>];\n"
        "  n3 -> n4 [color=\"#30597a\"];\n"
        "}\n");
    free(text);
}

/* BatchNorm in a module, with its gradient. */
static char *batch_norm_text(ct_dot_options options) {
    int64_t scope = ct_scope_open();
    ct_path_push("bn");
    ct_tensor *x[] = {ct_full(CT_F32, CT_SHAPE(4, 2), 1), ct_full(CT_F32, CT_SHAPE(2), 1),
                      ct_full(CT_F32, CT_SHAPE(2), 1)};
    ct_tensor *y = ct_batch_norm(x[0], x[1], x[2], -1, 1e-3, NULL, NULL), *roots[4] = {y};
    ct_path_pop();
    cr_assert_eq(ct_vjp(y, ct_full(CT_F32, CT_SHAPE(4, 2), 1), x, 3, roots + 1), CT_OK);
    char *text = text_of(roots, 4, options);
    ct_scope_close(scope);
    return text;
}

DOT_TEST(the_same_graph_gives_the_same_bytes) {
    for (int clusters = 0; clusters < 2; clusters++) {
        ct_dot_options options = {.clusters = clusters};
        char *once = batch_norm_text(options);
        ct_drop(ct_keep(ct_scalar(CT_F32, 1))); /* ids and addresses move on */
        setlocale(LC_ALL, "de_DE.UTF-8");       /* a decimal comma, where it is installed */
        char *again = batch_norm_text(options);
        setlocale(LC_ALL, "C");
        cr_expect_str_eq(once, again);
        free(once);
        free(again);
    }
}

/* The picture of a graph, as text, by threads and in address layouts that differ each time. */
static void *draw_again(void *first) {
    int64_t scope = ct_scope_open();
    ct_tensor *held = ct_keep(
        ct_full(CT_F32, CT_SHAPE(1 + (int64_t)(uintptr_t)&held / 16 % 999), 1));
    char *text = batch_norm_text((ct_dot_options){.clusters = true});
    cr_expect_str_eq(text, first);
    free(text);
    ct_drop(held);
    ct_scope_close(scope);
    return NULL;
}

DOT_TEST(hundred_pictures_are_one) {
    char *first = batch_norm_text((ct_dot_options){.clusters = true});
    for (int k = 0; k < 50; k++) {
        pthread_t other;
        cr_assert_eq(pthread_create(&other, NULL, draw_again, first), 0);
        draw_again(first);
        cr_assert_eq(pthread_join(other, NULL), 0);
    }
    free(first);
}

DOT_TEST(options_choose_what_is_drawn) {
    char *all = batch_norm_text((ct_dot_options){.show_constants = true, .show_views = true});
    char *usual = batch_norm_text((ct_dot_options){.show_views = true});
    char *few = batch_norm_text((ct_dot_options){.no_legend = true, .left_to_right = true});
    char *framed = batch_norm_text((ct_dot_options){.clusters = true, .show_views = true});
    cr_expect(strstr(all, "label=\"4\\n[] f32\"") && !strstr(all, "div(\xc2\xb7, 4)"));
    cr_expect(strstr(usual, "div(\xc2\xb7, 4)") && strstr(usual, "broadcast"));
    cr_expect(!strstr(few, "\"broadcast") && !strstr(few, ", label=<") &&
              strstr(few, "rankdir=LR"));
    cr_expect(count(all, " [label=") > count(usual, " [label="));
    cr_expect(count(usual, " [label=") > count(few, " [label="));
    cr_expect_eq(count(framed, "subgraph cluster_"), 2);
    cr_expect(strstr(framed, "label=\"bn\"];") && strstr(framed, "label=\"bn\\nderivative\"];"));
    cr_expect_eq(count(framed, " -> "), count(usual, " -> "));
    free(all), free(usual), free(few), free(framed);
}

/* 1e6 + 1e-3 - 1e6: the subtraction is as dark as it gets, and says so; the rest is white. */
DOT_TEST(colours_where_digits_are_lost) {
    ct_tensor *x = ct_name(ct_from(CT_F32, CT_SHAPE(2), (float[]){1e-3F, 2e-3F}), "x");
    ct_tensor *y = ct_exp(ct_offset(ct_offset(x, 1e6), -1e6));
    ct_shadow_report report;
    cr_assert_eq(ct_shadow(&y, 1, &report), CT_OK);
    char *text = text_of(&y, 1, (ct_dot_options){.shadow = &report});
    cr_expect_eq(count(text, "0.080 0.800 1.000"), 1, "%s", text);
    cr_expect_eq(count(text, "0.080 0.000 1.000"), 3, "%s", text);
    cr_expect_eq(count(text, " digits lost, 0 left"), 1, "%s", text);
    cr_expect(strstr(text, "the more digits are lost"), "%s", text);
    free(text);
    text = text_of(&y, 1, (ct_dot_options){.shadow = &report, .format = "txt"});
    cr_expect_eq(count(text, " digits lost, 0 left"), 1, "%s", text);
    free(text);
    ct_dot_options both = {.shadow = &report, .profile = true};
    cr_expect_eq(ct_dot_write(stdout, &y, 1, both), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE,
                 "ct_dot_write: colours are of 'profile' or of 'shadow', not of both");
    ct_shadow_free(&report);
}

/* exp takes no part in what lies between x and y; the sum that takes it does, and it is a value. */
/* Rows apart, fractions as such, and nothing of what is large or not wanted. */
DOT_TEST(small_nodes_show_their_numbers) {
    double rows[] = {1, 2, -3, 0.123456789};
    ct_tensor *x = ct_name(ct_from(CT_F64, CT_SHAPE(2, 2), rows), "x");
    ct_tensor *third = ct_scale(x, 1.0 / 3), *wide = ct_broadcast(vector("v"), CT_SHAPE(7, 2));
    ct_tensor *y = ct_add(ct_sum_all(third), ct_sum_all(ct_exp(wide)));
    char *text = text_of(&y, 1, (ct_dot_options){.values = true});
    EXPECT(strstr(text, "\"x\\n1, 2; -3, 0.1235\\n[2,2] f64\""), "%s", text);
    EXPECT(strstr(text, "\\n1/3, 2/3; -1, 0.04115\\n[2,2] f64\""), "%s", text);
    EXPECT(strstr(text, "\"v\\n1, 2\\n[2] f64\"") && strstr(text, "\"exp\\n[7,2] f64\""), "%s",
           text);
    free(text);
    text = text_of(&y, 1, (ct_dot_options){0});
    EXPECT(!strstr(text, "2/3"), "%s", text);
    free(text);
}

DOT_TEST(what_lies_between_two_tensors) {
    ct_tensor *x = vector("x"), *w = vector("w");
    ct_tensor *y = ct_sum_all(ct_add(ct_tanh(x), ct_exp(ct_sin(w))));
    char *text = text_of(&y, 1, (ct_dot_options){.from = x});
    cr_expect(strstr(text, "\"tanh\\n") && strstr(text, "\"add\\n") && !strstr(text, "\"sin\\n"));
    cr_expect_not_null(
        strstr(text, "label=\"exp\\n[2] f64\", fillcolor=\"#e3f0fa\", shape=ellipse"), "%s", text);
    free(text);
    ct_tensor *other = vector("other");
    cr_expect_eq(ct_dot_write(stdout, &y, 1, (ct_dot_options){.from = other}), CT_ERR_RANGE);
    cr_expect_str_eq(ct_error_message(), "ct_dot_write: nothing in the graph depends on 'from'");
    ct_error_clear();
}

DOT_TEST(options_out_of_range_are_refused) {
    static const ct_formula none = {"none", NULL, 1};
    static const ct_term term = {NULL, NULL, NULL, NULL};
    static const ct_formula many = {"many", &term, 7}, bare = {"bare", &term, 1};
    static const struct {
        ct_dot_options options;
        const char *message;
    } wrong[] = {
        {{.depth = -1}, "ct_dot_write: depth must be >= 0, got -1"},
        {{.orders = -2}, "ct_dot_write: orders must be >= 0, got -2"},
        {{.max_nodes = -3}, "ct_dot_write: max_nodes must be >= 0, got -3"},
        {{.level = (ct_dot_level)99}, "ct_dot_write: unknown level 99"},
        {{.formula = &none}, "ct_dot_write: a formula has 1 to 6 terms, got 0"},
        {{.formula = &many}, "ct_dot_write: a formula has 1 to 6 terms, got 7"},
    };
    ct_tensor *x = vector("x");
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        cr_expect_eq(ct_dot_write(stdout, &x, 1, wrong[k].options), CT_ERR_RANGE);
        cr_expect_str_eq(ct_error_message(), wrong[k].message);
        ct_error_clear();
    }
    free(text_of(&x, 1, (ct_dot_options){.formula = &bare}));
}

/* --- Ops of users ------------------------------------------------------------------------- */

static void tile_copy(int64_t n, void *out, const void *const in[], const ct_tile *tile) {
    (void)tile;
    memcpy(out, in[0], (size_t)n * sizeof(double));
}
static ct_tensor *vjp_refused(ct_tensor *g, ct_tensor *y, int i) {
    (void)g, (void)y, (void)i;
    return ct_fail_null(CT_ERR_GRADIENT, "my_op: none");
}
static ct_tensor *vjp_careless(ct_tensor *g, ct_tensor *y, int i) {
    (void)i;
    ct_mul(y, ct_full(CT_F64, CT_SHAPE(77), 1));
    return g;
}
static ct_tensor *vjp_wide(ct_tensor *g, ct_tensor *y, int i) {
    (void)y, (void)i;
    ct_tensor *t = g, *all[100];
    for (int k = 0; k < 5; k++) {
        for (int j = 0; j < 100; j++) all[j] = t;
        t = ct_slice(ct_concat(all, 100, 0), 0, 0, 2, 1);
    }
    return t;
}
#define MY_OP(symbol, derivative, sign, words)                   \
    static const ct_op symbol = {.name = "my_op",                \
                                 .kind = CT_MAP,                 \
                                 .n_inputs = 1,                  \
                                 .infer = ct_infer_float,        \
                                 .tile = {[CT_F64] = tile_copy}, \
                                 .vjp = {derivative},            \
                                 .infix = sign,                  \
                                 .detail = words}
MY_OP(op_refused, vjp_refused, NULL, NULL);
MY_OP(op_careless, vjp_careless, "+", "-#; #-; # # #|");
MY_OP(op_wide, vjp_wide, NULL, "-#");

/* Nor does an error on record change what is drawn. */
DOT_TEST(a_derivative_that_fails_is_no_error_of_a_picture) {
    static const ct_op *const ops[] = {&op_refused, &op_careless, &op_wide};
    int64_t smallest = INT64_MIN;
    for (int k = 0; k < 3; k++) {
        ct_tensor *x = vector("x"), *y = ct_node(ops[k], &x, 1, &smallest, sizeof smallest);
        y = ct_exp(ct_node(ops[k], &y, 1, &smallest, sizeof smallest));
        char *text = text_of(&y, 1, (ct_dot_options){0});
        cr_expect_eq(ct_error(), CT_OK, "%s", ct_error_message());
        cr_expect_eq(count(text, "label=\"my_op"), 2, "%s", text);
        cr_expect_not_null(strstr(text, "tooltip=\"dx = dy * y\""), "%s", text);
        ct_fail(CT_ERR_STATE, "old");
        char *again = text_of(&y, 1, (ct_dot_options){0});
        cr_expect_str_eq(again, text);
        cr_expect_str_eq(ct_error_message(), "old");
        ct_error_clear();
        free(text), free(again);
    }
}

DOT_TEST(derivatives_are_told_apart) {
    ct_tensor *x = vector("x"), *roots[4] = {ct_sum_all(ct_exp(ct_mul(x, x)))};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ct_grad(i ? ct_sum_all(roots[i]) : roots[0], &x, 1, &roots[i + 1]), CT_OK);
    }
    char *text = text_of(roots, 4, (ct_dot_options){0});
    static const char *const legend[] = {"forward", "first derivative", "second derivative",
                                         "higher derivatives", "value used in a derivative"};
    static const char *const fills[] = {"#e3f0fa", "#fbd3a6", "#a9d59c", "#c4a3dd"};
    for (int i = 0; i < 5; i++) cr_expect_not_null(strstr(text, legend[i]), "%s", legend[i]);
    for (int i = 0; i < 4; i++) cr_expect_gt(count(text, fills[i]), 2);
    free(text);
}

/* n2 = exp(n1), n1 = mul(n0, n0); what their derivatives make says so. */
DOT_TEST(derived_nodes_say_what_from) {
    ct_tensor *x = vector("x"), *roots[2] = {ct_sum_all(ct_exp(ct_mul(x, x)))};
    cr_assert_eq(ct_grad(roots[0], &x, 1, &roots[1]), CT_OK);
    char *text = text_of(roots, 2, (ct_dot_options){0});
    cr_expect_not_null(strstr(text, "n1 [label=\"mul\\n[2] f64\", fillcolor=\"#e3f0fa\", "
                                    "tooltip=\"da = (dy * 2) * a, db = 0\"];"));
    cr_expect_not_null(strstr(text, "n2 [label=\"exp\\n[2] f64\", fillcolor=\"#e3f0fa\", "
                                    "tooltip=\"dx = dy * y\"];"));
    cr_expect_gt(count(text, "\\nderived from n1\""), 0, "%s", text);
    cr_expect_gt(count(text, "\\nderived from n2\""), 0, "%s", text);
    free(text);
}

/* What attributes say, each in its op's own words. */
DOT_TEST(attributes_are_written) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2, 6, 8, 3), 1),
              *w = ct_full(CT_F32, CT_SHAPE(3, 3, 3, 4), 1);
    ct_conv2d_spec same = {.stride = {2, 1}, .pad = {1, 1, 1, 1}};
    ct_tensor *y = ct_conv2d(x, w, same), *parts[] = {y, y};
    ct_tensor *roots[] = {
        ct_sum(y, CT_AXES(0, 1, 2)),
        ct_max_pool2d(y, (ct_pool2d_spec){.window = {2, 3}}),
        ct_concat(parts, 2, 3),
        ct_slice(x, 1, 1, CT_END, 2),
        ct_slice(x, 2, 0, 4, 1),
        ct_pad(x, 1, 2, 0, 0),
        ct_iota(10),
        ct_from(CT_I64, CT_SHAPE(3), (int64_t[]){7, 8, 9}),
        ct_from(CT_I64, CT_SHAPE(3), (int64_t[]){7, 9, 8}),
    };
    char *text = text_of(roots, sizeof roots / sizeof *roots, (ct_dot_options){0});
    static const char *const labels[] = {"conv2d\\nstride 2x1, pad 1\\n",
                                         "sum\\naxes 0..2\\n",
                                         "max_pool2d\\nwindow 2x3, stride 2x3\\n",
                                         "concat\\naxis 3\\n",
                                         "slice\\naxis 1, from 1, step 2\\n",
                                         "slice\\naxis 2, from 0\\n",
                                         "pad\\naxis 1, before 2\\n",
                                         "iota\\n0..9\\n[10] i64",
                                         "\"7..9\\n[3] i64",
                                         "\"data\\n[3] i64"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        cr_expect_not_null(strstr(text, labels[i]), "%s in %s", labels[i], text);
    }
    free(text);
}

DOT_TEST(slots_and_staged_updates_are_marked) {
    ct_slot *slot = ct_slot_new("average", vector(""));
    ct_tensor *y = ct_stage(ct_slot_read(slot), slot, 0.9, ct_exp(vector("x")));
    char *text = text_of(&y, 1, (ct_dot_options){0});
    cr_expect_not_null(strstr(text, "n0 [label=\"average\\n[2] f64\", fillcolor=\"#ffd966\", "
                                    "shape=ellipse];"));
    cr_expect_not_null(strstr(text, "n2 -> n3 [color=\"#30597a\", style=dashed];"));
    cr_expect_not_null(strstr(text, "stage\\naverage, decay 0.9\\n"));
    cr_expect(strstr(text, "held by a slot") && strstr(text, "staged update"));
    free(text);
    ct_slot_drop(slot);
}

/* x x x ... : every node is drawn, and the depth costs no stack. */
DOT_TEST(refuses_what_nobody_could_read) {
    ct_tensor *x = vector("x"), *y = x;
    for (int i = 0; i < 5000; i++) y = ct_mul(y, x);
    FILE *out = fopen("/dev/null", "w");
    cr_expect_eq(ct_dot_write(out, &y, 1, (ct_dot_options){.unfold = true}), CT_ERR_RANGE);
    cr_expect_str_eq(ct_error_message(),
                     "ct_dot_write: the picture would have 5001 nodes, more "
                     "than 5000; draw modules, a smaller part or raise max_nodes");
    ct_error_clear();
    cr_expect_eq(ct_dot_write(out, &y, 1, (ct_dot_options){.unfold = true, .max_nodes = 5001}),
                 CT_OK);
    fclose(out);
}

DOT_TEST(says_what_is_missing) {
    ct_tensor *x = vector("x"), *none = NULL;
    cr_expect_eq(ct_dot_write(stdout, NULL, 1, (ct_dot_options){0}), CT_ERR_NULL);
    cr_expect_str_eq(ct_error_message(), "ct_dot_write: 'roots' is NULL");
    /* The first error stays. */
    cr_expect_eq(ct_dot_write(stdout, &none, 1, (ct_dot_options){0}), CT_ERR_NULL);
    cr_expect_str_eq(ct_error_message(), "ct_dot_write: 'roots' is NULL (an earlier error; now "
                                         "ct_dot_write: root 0 is NULL)");
    ct_error_clear();
    cr_expect_eq(ct_dot_write(stdout, (ct_tensor *[]){x, NULL}, 2, (ct_dot_options){0}),
                 CT_ERR_NULL);
    cr_expect_str_eq(ct_error_message(), "ct_dot_write: root 1 is NULL");
    ct_error_clear();
    cr_expect_eq(ct_dot_write(NULL, &x, 1, (ct_dot_options){0}), CT_ERR_NULL);
    cr_expect_str_eq(ct_error_message(), "ct_dot_write: 'out' is NULL");
    ct_error_clear();
    cr_expect_eq(ct_dot_write(stdout, &x, 0, (ct_dot_options){0}), CT_ERR_RANGE);
    cr_expect_str_eq(ct_error_message(), "ct_dot_write: needs at least one root");
    ct_error_clear();
    FILE *full = fopen("/dev/full", "w");
    cr_expect_eq(ct_dot_write(full, &x, 1, (ct_dot_options){0}), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(), "ct_dot_write: No space left on device");
    fclose(full);
}

static ct_status draw(void) {
    FILE *out = fopen("/dev/null", "w");
    ct_tensor *x = vector("");
    ct_path_push("");
    ct_tensor *y = ct_scale(ct_exp(x), 0.5);
    ct_status status = ct_error();
    if (y) status = ct_dot_write(out, &y, 1, (ct_dot_options){.clusters = true});
    if (status == CT_OK)
        status = ct_dot_write(out, &y, 1, (ct_dot_options){.level = CT_DOT_MODULES});
    fclose(out);
    return status;
}

DOT_TEST(out_of_memory_is_an_error) { cr_expect_gt(memory_sweep(draw), 20); }

/* --- Labels ------------------------------------------------------------------------------- */

static void expect_label(const char *text, const char *escaped) {
    cr_expect_str_eq(cti_dot_escape(text).text, escaped);
}

#define UNKNOWN "\xef\xbf\xbd"

DOT_TEST(labels_are_escaped) {
    expect_label(NULL, "");
    expect_label("", "");
    expect_label("conv2d/kernel", "conv2d/kernel");
    expect_label("a\"b\\c\nd&lt;", "a\\\"b\\\\c\\nd&amp;lt;");
    expect_label("\\N \\G \\", "\\\\N \\\\G \\\\");
    expect_label("\x01\t\r\x1b\x7f", UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN);
    static const char other[] = "\xce\xb3 \xe2\x88\x82 \xf0\x9f\x99\x82";
    expect_label(other, other);
    expect_label("\xff"
                 "a\xc3"
                 "b\xe2\x82",
                 UNKNOWN "a" UNKNOWN "b" UNKNOWN UNKNOWN);
    expect_label("\xc0\xaf\xed\xa0\x80", UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN);
    expect_label("\xc2\x85|\xef\xbf\xbe|\xef\xbf\xbf", UNKNOWN "|" UNKNOWN "|" UNKNOWN);
}

DOT_TEST(names_are_wrapped) {
    ct_tensor *x = ct_name(ct_scalar(CT_F32, 1), "encoder/block_with_a_long_name/attention kernel");
    char *text = text_of(&x, 1, (ct_dot_options){.no_legend = true});
    cr_expect_not_null(
        strstr(text, "label=\"encoder/block_with_a_\\nlong_name/attention \\nkernel\\n["), "%s",
        text);
    free(text);
}

DOT_TEST(labels_are_cut) {
    char text[4 * 130 + 1] = "", whole[5 * 130 + 1] = "";
    for (int i = 0; i < 120; i++) strcat(text, "&"), strcat(whole, "&amp;");
    expect_label(text, whole);
    strcat(text, "&");
    strcpy(whole + (size_t)5 * 117, "...");
    expect_label(text, whole);
    text[0] = '\0';
    for (int i = 0; i < 130; i++) strcat(text, "\xf0\x9f\x99\x82");
    cr_expect_eq(strlen(cti_dot_escape(text).text), (size_t)4 * 117 + 3);
}

static const char *const hostile[] = {
    "\\N\\G\\T\\E\\H",
    "\"]; evil [label=\"",
    "\\",
    "\"",
    "<b>bold</b>",
    "<<b>x</b>>",
    "&lt;&#65;",
    "a -> b",
    "{a|b|<p>c}",
    "image=\"/etc/passwd\"",
    "\\\"",
    "// /* #",
    "digraph",
    "%s%n",
};
enum { HOSTILE = sizeof hostile / sizeof *hostile, LABELS = 10000 };

/* The lines of a command's output that begin so. */
static int lines_of(const char *command, const char *beginning) {
    FILE *in = popen(command, "r");
    int found = 0;
    char line[8192];
    while (fgets(line, sizeof line, in)) {
        if (strncmp(line, beginning, strlen(beginning)) == 0) found++;
    }
    cr_expect_eq(pclose(in), 0);
    return found;
}

DOT_TEST(any_bytes_can_be_a_name) {
    static ct_tensor *roots[LABELS];
    uint64_t state = 42;
    for (int i = 0; i < LABELS; i++) {
        char name[64] = "";
        if (i < HOSTILE) strcpy(name, hostile[i]);
        for (int k = 0; i >= HOSTILE && k < 1 + i % 60; k++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            name[k] = (char)(1 + (state >> 33) % 255);
        }
        roots[i] = ct_name(ct_scalar(CT_F32, 0), name);
    }
    FILE *out = fopen(in_folder("names.dot"), "w");
    ct_dot_options options = {.no_legend = true, .max_nodes = LABELS};
    cr_assert_eq(ct_dot_write(out, roots, LABELS, options), CT_OK, "%s", ct_error_message());
    fclose(out);
    char command[1200];
    snprintf(command, sizeof command, "dot -Tplain '%s' 2>'%s'", in_folder("names.dot"),
             in_folder("warnings"));
    cr_expect_eq(lines_of(command, "node n"), LABELS);
    cr_expect(file_is(in_folder("warnings"), "", 0), "dot has warned");
}
