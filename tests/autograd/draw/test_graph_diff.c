/* What differs between two graphs: exact for small ones, and what is to be expected of the study's
 * network with and without BatchNorm, in training and in inference. */
#include "tests/autograd/draw/dot_text.h"
#include "tests/support/io_support.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/graph_diff.h"
#include "nn/nn.h"
#include "tensor/base/alloc.h"
#include "tensor/simplify.h"

#define DIFF_TEST(name) FOLDER_TEST(graph_diff, name)

typedef struct {
    ct_tensor *roots[40];
    int64_t n;
} graph;

/* The text of a difference. The caller frees it. */
static char *report_of(const graph *a, const graph *b, ct_graph_diff_options options) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    ct_status status = ct_graph_diff_write(out, a->roots, a->n, b->roots, b->n, options);
    cr_assert_eq(status, CT_OK, "%s", ct_error_message());
    fclose(out);
    return text;
}

static void expect_counts(const graph *a, const graph *b, int64_t only_first, int64_t only_second,
                          int64_t changed) {
    ct_graph_difference d;
    cr_assert_eq(ct_graph_diff(a->roots, a->n, b->roots, b->n, &d), CT_OK, "%s",
                 ct_error_message());
    char *text = report_of(a, b, (ct_graph_diff_options){.picture.show_views = true});
    cr_expect_eq(d.only_first, only_first, "%s", text);
    cr_expect_eq(d.only_second, only_second, "%s", text);
    cr_expect_eq(d.changed, changed, "%s", text);
    free(text);
}

/* Equal, both ways round. */
static void expect_equal(const graph *a, const graph *b) {
    for (int turn = 0; turn < 2; turn++) {
        expect_counts(turn ? b : a, turn ? a : b, 0, 0, 0);
        char *text = report_of(turn ? b : a, turn ? a : b, (ct_graph_diff_options){0});
        cr_expect_eq(strncmp(text, "equal: ", 7), 0, "%s", text);
        cr_expect_null(strchr(text, '~'));
        free(text);
    }
}

/* --- Small graphs ------------------------------------------------------------------------- */

/* y = sum(exp(x) w), in a module but for the sum; with `more`, exp(x) + w once more before. */
static graph small(bool more) {
    ct_tensor *x = vector("x"), *w = vector("w");
    ct_path_push("net"), ct_path_push("part");
    ct_tensor *y = ct_exp(x);
    if (more) y = ct_add(y, w);
    y = ct_mul(y, w);
    ct_path_pop(), ct_path_pop();
    return (graph){{ct_name(ct_sum_all(y), "loss")}, 1};
}

DIFF_TEST(the_same_graph_is_equal) {
    graph a = small(false), b = small(false);
    expect_equal(&a, &a);
    expect_equal(&a, &b);
    char *text = report_of(&a, &b, (ct_graph_diff_options){.picture.title = "t"});
    cr_expect_str_eq(text, "t\nequal: 5 nodes\n");
    free(text);
}

DIFF_TEST(text_of_a_node_more) {
    graph a = small(false), b = small(true);
    char *text = report_of(&a, &b, (ct_graph_diff_options){.first = "old", .second = "new"});
    cr_expect_str_eq(text, "net/part: 1 only in 'new', 1 changed, 1 unchanged\n"
                           "  + add                                     [2] f64\n"
                           "  ~ mul                                     [2] f64\n"
                           "      operand 1: exp -> add\n"
                           "\n"
                           "1 only in 'new', 1 changed, 4 unchanged\n");
    free(text);
    ct_graph_diff_options modules = {.picture.level = CT_DOT_MODULES};
    text = report_of(&b, &a, modules);
    cr_expect_str_eq(text, "net/part: 1 only in 'first', 1 changed, 1 unchanged\n"
                           "\n"
                           "1 only in 'first', 1 changed, 4 unchanged\n");
    free(text);
}

DIFF_TEST(the_order_of_construction_does_not_matter) {
    ct_tensor *x = vector("x"), *w = vector("w");
    graph a = {{ct_add(ct_exp(x), ct_scale(ct_sin(w), 2))}, 1};
    ct_tensor *v = vector("w"), *late = ct_mul(ct_full(CT_F64, CT_SHAPE(), 1), v);
    (void)late;
    ct_tensor *u = vector("x"), *second = ct_mul(ct_sin(v), ct_full(CT_F64, CT_SHAPE(), 3));
    (void)second;
    ct_tensor *sine = ct_scale(ct_sin(v), 2);
    graph b = {{ct_add(sine, ct_exp(u))}, 1};
    expect_equal(&a, &b);
    /* It does where operands have places. */
    graph c = {{ct_sub(ct_exp(x), ct_sin(w))}, 1}, d = {{ct_sub(ct_sin(w), ct_exp(x))}, 1};
    expect_counts(&c, &d, 0, 0, 1);
}

/* Equal expressions are, but leaves that look alike are not. */
DIFF_TEST(which_operand_matters) {
    ct_tensor *p = vector(""), *q = vector(""), *product = ct_mul(p, q);
    graph a = {{ct_add(ct_sub(p, q), product)}, 1}, b = {{ct_add(ct_sub(p, p), product)}, 1};
    expect_counts(&a, &b, 0, 0, 1);
    ct_tensor *x = vector("x"), *y[2] = {ct_exp(x), ct_exp(x)}, *z[2] = {ct_exp(x), ct_exp(x)};
    graph c = {{ct_add(ct_sin(y[0]), ct_cos(y[1]))}, 1};
    graph d = {{ct_add(ct_cos(z[1]), ct_sin(z[0]))}, 1};
    expect_equal(&c, &d);
}

DIFF_TEST(one_attribute_is_one_change) {
    ct_tensor *x = ct_name(ct_full(CT_F32, CT_SHAPE(3, 3), 1), "x");
    graph a = {{ct_sum_all(ct_exp(ct_sum(x, CT_AXES(0))))}, 1};
    graph b = {{ct_sum_all(ct_exp(ct_sum(x, CT_AXES(1))))}, 1};
    expect_counts(&a, &b, 0, 0, 1);
    char *text = report_of(&a, &b, (ct_graph_diff_options){0});
    cr_expect_not_null(strstr(text, "~ sum"), "%s", text);
    cr_expect_not_null(strstr(text, "; attributes"), "%s", text);
    free(text);
    /* A number of a formula. */
    graph c = {{ct_exp(ct_scale(x, 0.5))}, 1}, d = {{ct_exp(ct_scale(x, 0.25))}, 1};
    expect_counts(&c, &d, 0, 0, 1);
    text = report_of(&c, &d, (ct_graph_diff_options){0});
    cr_expect_not_null(strstr(text, "; numbers (\xc2\xb7, 0.5) -> (\xc2\xb7, 0.25)"), "%s", text);
    free(text);
}

DIFF_TEST(other_types_names_modules_and_roots) {
    ct_tensor *x[2];
    graph g[2];
    for (int i = 0; i < 2; i++) {
        ct_path_push(i ? "new" : "old");
        x[i] = ct_name(ct_full(CT_F32, CT_SHAPE(3), 1), i ? "b" : "a");
        g[i] = (graph){{ct_sin(ct_exp(x[i]))}, 1};
        ct_path_pop();
    }
    char *text = report_of(&g[0], &g[1], (ct_graph_diff_options){0});
    cr_expect_not_null(strstr(text, "; module old -> new"), "%s", text);
    free(text);
    ct_tensor *wide = ct_name(ct_full(CT_F32, CT_SHAPE(4), 1), "a");
    ct_path_push("old");
    graph w = {{ct_sin(ct_exp(wide))}, 1};
    ct_path_pop();
    ct_tensor *y = ct_input(w.roots[0], 0);
    graph more = {{w.roots[0], y}, 2};
    text = report_of(&w, &more, (ct_graph_diff_options){0});
    cr_expect_not_null(strstr(text, "; a root only in 'second'"), "%s", text);
    free(text);
    expect_counts(&w, &more, 0, 0, 1);
    graph few = {{ct_exp(ct_name(ct_full(CT_F32, CT_SHAPE(3), 1), "a"))}, 1};
    graph many = {{ct_exp(ct_name(ct_full(CT_F32, CT_SHAPE(4), 1), "a"))}, 1};
    text = report_of(&few, &many, (ct_graph_diff_options){0});
    cr_expect_not_null(strstr(text, "; type [3] f32 -> [4] f32"), "%s", text);
    free(text);
}

/* Between a product and its operand a view more: its reader says so; views are not listed. */
DIFF_TEST(views_are_told_by_what_reads_them) {
    ct_tensor *x = ct_name(ct_full(CT_F64, CT_SHAPE(2, 2), 1), "x");
    graph a = {{ct_matmul(x, ct_exp(x))}, 1}, b = {{ct_matmul(x, ct_transpose(ct_exp(x)))}, 1};
    char *text = report_of(&a, &b, (ct_graph_diff_options){0});
    cr_expect_not_null(strstr(text, "operand 2: exp -> permute"), "%s", text);
    cr_expect_null(strstr(text, "+ permute"), "%s", text);
    cr_expect_not_null(strstr(text, "and 1 view\n"), "%s", text);
    free(text);
    text = report_of(&a, &b, (ct_graph_diff_options){.picture.show_views = true});
    cr_expect_not_null(strstr(text, "+ permute"), "%s", text);
    free(text);
}

/* --- Random graphs ------------------------------------------------------------------------ */

enum { STEPS = 40 };

/* A formula: what each step does to which of the values before. */
typedef struct {
    int what[STEPS], a[STEPS], b[STEPS];
} formula;

static ct_tensor *built(const formula *f, int i, ct_tensor *const v[]) {
    ct_tensor *a = v[f->a[i]], *b = v[f->b[i]];
    switch (f->what[i]) {
    case 0: return ct_sin(a);
    case 1: return ct_mul(a, b);
    case 2: return ct_sub(a, b);
    case 3: return ct_scale(a, 0.5);
    case 4: return ct_transpose(a);
    case 5: return ct_slice(ct_concat((ct_tensor *[]){a, b}, 2, 0), 0, 1, 4, 1);
    case 6: return ct_slice(ct_concat((ct_tensor *[]){a, b}, 2, 0), 0, 2, 5, 1);
    default: return ct_cos(a);
    }
}

/* All that a formula makes; every value is part of the sum, so that each step counts. Steps that do
 * not need each other may be built in any order: here each as late as possible, or at once. */
static graph of_formula(const formula *f, bool late) {
    ct_tensor *v[STEPS + 1] = {ct_name(ct_full(CT_F64, CT_SHAPE(3, 3), 1), "x")}, *sum = v[0];
    for (int i = STEPS; late && i > 0; i--) ct_neg(v[0]);
    for (int i = 0; i < STEPS; i++) v[i + 1] = built(f, i, v);
    for (int i = 0; i <= STEPS; i++) sum = late ? ct_add(v[i], sum) : ct_add(sum, v[i]);
    return (graph){{sum}, 1};
}

/* Equal when built in another way, and never when a step is another one. */
DIFF_TEST(random_graphs) {
    test_random r = {support_seed(11)};
    for (int64_t sample = 0; sample < support_scaled(200); sample++) {
        int64_t scope = ct_scope_open();
        formula f, g;
        for (int i = 0; i < STEPS; i++) {
            f.what[i] = (int)random_below(&r, 8);
            f.a[i] = (int)random_below(&r, i + 1), f.b[i] = (int)random_below(&r, i + 1);
        }
        graph a = of_formula(&f, false), b = of_formula(&f, true);
        expect_equal(&a, &b);
        g = f;
        int step = (int)random_below(&r, STEPS);
        g.what[step] = (g.what[step] + (int)random_between(&r, 1, 7)) % 8;
        graph c = of_formula(&g, false);
        ct_graph_difference d;
        OK(ct_graph_diff(a.roots, 1, c.roots, 1, &d));
        cr_expect(d.changed + d.only_first + d.only_second > 0);
        cr_expect_lt(d.only_first + d.only_second, 6);
        ct_scope_close(scope);
    }
}

/* --- The study's network ------------------------------------------------------------------ */

static graph network(ct_module *model, ct_mode mode, bool backward) {
    ct_tensor *images = ct_name(ct_full(CT_F32, CT_SHAPE(2, 28, 28, 1), 1), "images");
    ct_tensor *labels = ct_name(ct_full(CT_I64, CT_SHAPE(2), 0), "labels"), *parameters[40];
    graph g = {{ct_cross_entropy(ct_logits(model, images, mode), labels)}, 1};
    ct_slot_list slots;
    OK(ct_module_list(model, &slots));
    int64_t n = 0;
    for (int64_t i = 0; i < slots.count; i++) {
        if (slots.items[i].trainable) parameters[n++] = ct_slot_read(slots.items[i].slot);
    }
    if (backward) OK(ct_grad(g.roots[0], parameters, n, g.roots + 1));
    if (backward) g.n += n;
    ct_slot_list_free(&slots);
    return g;
}

/* Whether a part of a line stands in each line that holds `with`. */
static bool all_lines(const char *text, const char *with, const char *part, const char *other) {
    for (const char *at = text; *at;) {
        char line[300];
        size_t length = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, at);
        bool holds = strstr(line, part) || (other && strstr(line, other));
        if (length && strchr(line, ':') && strstr(line, with) && !holds) return false;
        at += length + (at[length] == '\n');
    }
    return true;
}

/* BatchNorm's nodes are in one only, and nothing of another module is; without it convolutions and
 * dense layers have biases, which the other has not. */
DIFF_TEST(batch_norm_is_what_differs) {
    ct_module *with = ct_digits_cnn_new((ct_digits_cnn_options){0});
    ct_module *without = ct_digits_cnn_new((ct_digits_cnn_options){.no_batch_norm = true});
    for (int backward = 0; backward < 2; backward++) {
        graph a = network(with, CT_TRAINING, backward), b = network(without, CT_TRAINING, backward);
        ct_graph_diff_options options = {
            .first = "bn", .second = "plain", .picture.level = CT_DOT_MODULES};
        char *text = report_of(&a, &b, options);
        cr_expect(all_lines(text, "only in 'bn'", "batch_norm_", NULL), "%s", text);
        cr_expect(all_lines(text, "only in 'plain'", "conv_", "dense_"), "%s", text);
        cr_expect(all_lines(text, "batch_norm_", "only in 'bn'", NULL), "%s", text);
        cr_expect_eq(count(text, "batch_norm_"), backward ? 10 : 5, "%s", text);
        cr_expect_eq(count(text, "\ncnn/pool"), 0, "%s", text);
        free(text);
        text = report_of(&a, &b, (ct_graph_diff_options){.first = "bn", .second = "plain"});
        cr_expect_eq(count(text, "  + bias (slot) "), 5, "%s", text);
        cr_expect_eq(count(text, "  - gamma (slot) "), 5, "%s", text);
        free(text);
        graph again = network(with, CT_TRAINING, backward);
        expect_equal(&a, &again);
    }
    ct_module_free(with), ct_module_free(without);
}

DIFF_TEST(inference_reads_the_moving_averages) {
    ct_module *model = ct_digits_cnn_new((ct_digits_cnn_options){0});
    graph a = network(model, CT_TRAINING, false), b = network(model, CT_INFERENCE, false);
    char *text = report_of(&a, &b, (ct_graph_diff_options){.first = "training", .second = "use"});
    cr_expect_eq(count(text, "  + "), 10, "%s", text);
    cr_expect_eq(count(text, "  + moving_"), 10, "%s", text);
    cr_expect_eq(count(text, " -> moving_variance\n"), 5, "%s", text);
    cr_expect_eq(count(text, "\ncnn/conv"), 0, "%s", text);
    free(text);
    ct_module_free(model);
}

/* Staged updates go, and what is left computes the same by less. */
DIFF_TEST(what_simplification_does) {
    ct_module *model = ct_digits_cnn_new((ct_digits_cnn_options){0});
    graph a = network(model, CT_TRAINING, false), b = {.n = a.n};
    OK(ct_simplify(a.roots, a.n, b.roots));
    char *text = report_of(&a, &b, (ct_graph_diff_options){0});
    cr_expect_eq(count(text, "  - stage "), 10, "%s", text);
    cr_expect_eq(count(text, "\ncnn/conv"), 0, "%s", text);
    graph c = {.n = a.n};
    OK(ct_simplify(a.roots, a.n, c.roots));
    expect_equal(&b, &c);
    free(text);
    ct_module_free(model);
}

/* 10^4 nodes, deep and with thousands that are alike. */
DIFF_TEST(large_graphs) {
    graph g[2];
    for (int i = 0; i < 2; i++) {
        ct_tensor *x = vector("x"), *y = x, *z = x;
        for (int k = 0; k < 5000; k++) {
            y = ct_mul(y, x);
            z = ct_add(i && k == 2500 ? ct_exp(z) : z, y);
        }
        g[i] = (graph){{z}, 1};
    }
    expect_equal(&g[0], &g[0]);
    expect_counts(&g[0], &g[1], 0, 1, 1);
}

/* --- Pictures ----------------------------------------------------------------------------- */

static char *picture_of(const char *name, const graph *a, const graph *b,
                        ct_graph_diff_options options) {
    ct_status status = ct_graph_diff_save(in_folder(name), a->roots, a->n, b->roots, b->n, options);
    cr_assert_eq(status, CT_OK, "%s", ct_error_message());
    return file_text(name);
}

DIFF_TEST(boxes_of_modules_count_the_ops_of_each_graph) {
    graph a = small(false), b = small(true);
    ct_graph_diff_options modules = {.picture.level = CT_DOT_MODULES, .picture.depth = 1};
    char *changed = picture_of("m.dot", &a, &b, modules),
         *same = picture_of("s.dot", &b, &b, modules);
    cr_expect_not_null(strstr(changed, "label=\"part\\n[2] f64, 2 \xe2\x86\x92 3 ops\""), "%s",
                       changed);
    cr_expect_not_null(strstr(same, "label=\"part\\n[2] f64, 3 ops\""), "%s", same);
    cr_expect_not_null(strstr(changed, "margin=5; color=\"#808080\";"), "%s", changed);
    cr_expect_not_null(strstr(same, "margin=5; color=\"#c8c8c8\";"), "%s", same);
    free(changed), free(same);
}

/* A dense layer after another module, and the same with a bias, which is a gradient more. */
static graph dense(bool biased) {
    ct_tensor *p[] = {ct_full(CT_F32, CT_SHAPE(3, 2), 1), ct_full(CT_F32, CT_SHAPE(2), 1)};
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(4, 3), 1), *y;
    ct_path_push("dense");
    y = ct_matmul(x, p[0]);
    if (biased) y = ct_add(y, p[1]);
    ct_path_pop();
    graph g = {{ct_sum_all(ct_square(y))}, 2 + biased};
    cr_assert_eq(ct_grad(g.roots[0], p, 1 + biased, g.roots + 1), CT_OK);
    return g;
}

DIFF_TEST(boxes_of_modules_count_the_gradients_of_each_graph) {
    graph a = dense(false), b = dense(true);
    ct_graph_diff_options modules = {.picture.level = CT_DOT_MODULES};
    char *changed = picture_of("m.dot", &a, &b, modules);
    cr_expect_not_null(strstr(changed, "derivative\\n1 \xe2\x86\x92 2 gradients"), "%s", changed);
    free(changed);
}

DIFF_TEST(a_tree_of_equal_graphs_says_so) {
    graph a = small(false), b = small(false), more = small(true);
    char *same = picture_of("same.txt", &a, &b, (ct_graph_diff_options){0});
    char *other = picture_of("other.txt", &a, &more, (ct_graph_diff_options){0});
    const char *last = strstr(same, "\nno difference\n");
    cr_expect(last && !strcmp(last, "\nno difference\n"), "%s", same);
    cr_expect_null(strstr(other, "no difference"), "%s", other);
    free(same), free(other);
}

DIFF_TEST(pictures_tell_the_graphs_apart) {
    graph a = small(false), b = small(true);
    ct_graph_diff_options options = {.first = "o\"ld", .second = "new"};
    char *dot = picture_of("d.dot", &a, &b, options), *txt = picture_of("d.txt", &a, &b, options);
    char *json = picture_of("d.json", &a, &b, options);
    /* x, w, exp and loss are in both, add in one, and mul changed; the first has nothing alone but
     * an arrow. */
    cr_expect_eq(count(dot, "color=\"#f4f4f4\""), 4 + 1, "%s", dot);
    cr_expect_eq(count(dot, "color=\"#ffe3c8\""), 1 + 1, "%s", dot);
    cr_expect_eq(count(dot, "color=\"#ffffff\""), 1 + 1, "%s", dot);
    cr_expect_eq(count(dot, "color=\"#cfe5f5\""), 0 + 1, "%s", dot);
    cr_expect_eq(count(dot, "style=dashed, penwidth=1.3"), 1, "%s", dot);
    cr_expect_eq(count(dot, "style=solid, penwidth=2"), 3, "%s", dot);
    cr_expect_not_null(strstr(dot, ">only in 'o&quot;ld'</td>"), "%s", dot);
    cr_expect_not_null(strstr(txt, "\n+ | | 2 add "), "%s", txt);
    cr_expect_not_null(strstr(txt, "\n~ | | 3 mul "), "%s", txt);
    cr_expect_not_null(strstr(txt, "\n  3* loss = sum "), "%s", txt);
    cr_expect_eq(count(json, "{\"key\":\"in\",\"value\":\"new\"}"), 1, "%s", json);
    cr_expect_eq(count(json, "{\"key\":\"in\",\"value\":\"both, but changed\"}"), 1, "%s", json);
    free(dot), free(txt), free(json);
}

DIFF_TEST(modules_of_both_are_one_picture) {
    ct_module *with = ct_digits_cnn_new((ct_digits_cnn_options){0});
    ct_module *without = ct_digits_cnn_new((ct_digits_cnn_options){.no_batch_norm = true});
    graph a = network(with, CT_TRAINING, false), b = network(without, CT_TRAINING, false);
    ct_graph_diff_options options = {.picture = {.level = CT_DOT_MODULES, .depth = 1}};
    char *dot = picture_of("m.dot", &a, &b, options), *again = picture_of("n.dot", &a, &b, options);
    cr_expect_str_eq(dot, again);
    /* And one in the legend. */
    cr_expect_eq(count(dot, "color=\"#cfe5f5\""), 5 + 1, "%s", dot);
    cr_expect_eq(count(dot, "label=\"batch_norm_"), 5, "%s", dot);
    cr_expect_eq(count(dot, "label=\"pool_"), 2, "%s", dot);
    free(dot), free(again);
    ct_module_free(with), ct_module_free(without);
}

/* --- Errors ------------------------------------------------------------------------------- */

DIFF_TEST(says_what_is_missing) {
    graph a = small(false);
    ct_tensor *none[] = {a.roots[0], NULL};
    ct_graph_difference d = {.changed = 7};
    expect_error(ct_graph_diff(a.roots, 1, a.roots, 1, NULL), "ct_graph_diff: 'out' is NULL");
    expect_error(ct_graph_diff(NULL, 1, a.roots, 1, &d), "ct_graph_diff: 'first' is NULL");
    expect_error(ct_graph_diff(a.roots, 1, NULL, 1, &d), "ct_graph_diff: 'second' is NULL");
    expect_error(ct_graph_diff(a.roots, 0, a.roots, 1, &d),
                 "ct_graph_diff: the first graph has no root");
    expect_error(ct_graph_diff(a.roots, 1, none, 2, &d),
                 "ct_graph_diff: root 1 of the second graph is NULL");
    expect_error(ct_graph_diff_write(NULL, a.roots, 1, a.roots, 1, (ct_graph_diff_options){0}),
                 "ct_graph_diff_write: 'out' is NULL");
    expect_error(ct_graph_diff_save(NULL, a.roots, 1, a.roots, 1, (ct_graph_diff_options){0}),
                 "ct_graph_diff_save: 'path' is NULL");
    cr_expect_eq(d.changed, 7);
    FILE *full = fopen("/dev/full", "w");
    expect_error(ct_graph_diff_write(full, a.roots, 1, a.roots, 1, (ct_graph_diff_options){0}),
                 "ct_graph_diff_write: No space left on device");
    fclose(full);
    cr_expect_eq(
        ct_graph_diff_save(in_folder("d.gif"), a.roots, 1, a.roots, 1, (ct_graph_diff_options){0}),
        CT_ERR_RANGE);
    ct_error_clear();
}

static ct_status draw(void) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2), 1), *a, *b;
    ct_path_push("");
    a = ct_scale(ct_exp(x), 0.5), b = ct_scale(ct_sin(x), 0.25);
    ct_path_pop();
    ct_status status = a && b ? CT_OK : ct_error();
    FILE *out = fopen("/dev/null", "w");
    ct_graph_diff_options options = {.picture.level = CT_DOT_MODULES};
    if (status == CT_OK) status = ct_graph_diff_write(out, &a, 1, &b, 1, options);
    if (status == CT_OK) status = ct_graph_diff_save(in_folder("m.dot"), &a, 1, &b, 1, options);
    fclose(out);
    return status;
}

DIFF_TEST(out_of_memory_is_an_error) { cr_expect_gt(memory_sweep(draw), 20); }
