/* Pictures of what consists of modules and of steps: as boxes, in frames, drawn once, one alone. */
#include "tests/autograd/draw/dot_text.h"
#include "tests/support/io_support.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/graph_diff.h"
#include "tensor/base/context.h"
#include "tensor/profile.h"
#include "tensor/simplify.h"
#include "tensor/slot.h"

#define DOT_TEST(name) FOLDER_TEST(dot_modules, name)

/* --- Boxes -------------------------------------------------------------------------------- */

/* A module within another, each with an op, and one op outside of both. */
static char *nested_text(ct_dot_options options) {
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(4), 1), *y[2];
    ct_path_push("outer"), ct_path_push("inner");
    ct_tensor *middle = ct_tanh(ct_exp(x));
    ct_path_pop();
    middle = ct_mul(ct_square(middle), ct_sin(middle));
    ct_path_pop();
    y[0] = ct_name(ct_sum_all(ct_square(middle)), "loss");
    cr_assert_eq(ct_grad(y[0], &x, 1, &y[1]), CT_OK);
    char *text = text_of(y, 2, options);
    ct_scope_close(scope);
    return text;
}

DOT_TEST(modules_are_boxes_as_deep_as_wanted) {
    char *closed = nested_text((ct_dot_options){.level = CT_DOT_MODULES});
    char *opened = nested_text((ct_dot_options){.level = CT_DOT_MODULES, .depth = 1});
    cr_expect_not_null(strstr(closed, "label=\"outer\\n[4] f32, 5 ops\""), "%s", closed);
    cr_expect_not_null(strstr(closed, "label=\"outer, derivative\\n"), "%s", closed);
    cr_expect_not_null(strstr(closed, "label=\"loss = sum\\n[] f32, 2 ops\""), "%s", closed);
    cr_expect_eq(count(closed, "subgraph"), 0);
    char *across = nested_text((ct_dot_options){.level = CT_DOT_MODULES, .left_to_right = true});
    cr_expect(strstr(closed, "nodesep=0.5,") && strstr(across, "nodesep=0.3,"));
    free(across);
    cr_expect_not_null(strstr(opened, "label=\"outer\"];"), "%s", opened);
    cr_expect_not_null(strstr(opened, "label=\"inner\\n[4] f32, 2 ops\""), "%s", opened);
    cr_expect_eq(count(opened, "subgraph"), 2);
    /* So many values of the module are used in its derivative. */
    cr_expect_not_null(strstr(closed, "<td>x 4</td>"), "%s", closed);
    free(closed), free(opened);
}

/* y = x W + b, z = y + tanh(y W'), in modules: a derivative's box shows what it hands on, and how
 * many gradients it gives besides; what comes back to x in two ways is summed where they part. */
DOT_TEST(derivatives_of_modules_say_what_they_give) {
    ct_tensor *x = ct_name(ct_full(CT_F32, CT_SHAPE(4, 3), 1), "x"), *roots[4];
    ct_tensor *p[] = {ct_full(CT_F32, CT_SHAPE(3, 3), 1), ct_full(CT_F32, CT_SHAPE(3), 1),
                      ct_full(CT_F32, CT_SHAPE(3, 3), 2)};
    ct_path_push("net"), ct_path_push("first");
    ct_tensor *y = ct_add(ct_matmul(x, p[0]), p[1]);
    ct_path_pop(), ct_path_push("residual"), ct_path_push("branch");
    ct_tensor *z = ct_tanh(ct_matmul(y, p[2]));
    ct_path_pop();
    z = ct_add(y, z);
    ct_path_pop(), ct_path_pop();
    roots[0] = ct_sum_all(ct_square(z));
    cr_assert_eq(ct_grad(roots[0], p, 3, roots + 1), CT_OK);
    char *text = text_of(roots, 4, (ct_dot_options){.level = CT_DOT_MODULES, .depth = 2});
    cr_expect_not_null(strstr(text, "label=\"first, derivative\\n2 gradients, 2 ops\""), "%s",
                       text);
    cr_expect_not_null(strstr(text, "label=\"branch, derivative\\n[4,3] f32, 1 gradient, "), "%s",
                       text);
    /* The sum is beside the branch, not in it. */
    const char *sum = strstr(text, "label=\"add\\n[4,3] f32\", fillcolor=\"#fbd3a6\"");
    cr_expect_not_null(sum, "%s", text);
    free(text);
}

/* The sum of squares of ten gradients has ten parts outside of the module, which are one box. */
DOT_TEST(many_parts_outside_are_one_box) {
    ct_tensor *p[10], *dp[10], *ddp[10], *y = vector("x"), *sum = NULL;
    ct_path_push("net");
    for (int i = 0; i < 10; i++) {
        p[i] = vector("p");
        y = ct_tanh(ct_mul(y, p[i]));
    }
    ct_path_pop();
    cr_assert_eq(ct_grad(ct_sum_all(y), p, 10, dp), CT_OK);
    for (int i = 0; i < 10; i++) {
        ct_tensor *square = ct_sum_all(ct_square(dp[i]));
        sum = sum ? ct_add(sum, square) : square;
    }
    cr_assert_eq(ct_grad(sum, p, 10, ddp), CT_OK);
    char *text = text_of(ddp, 10, (ct_dot_options){.level = CT_DOT_MODULES});
    cr_expect_eq(count(text, "fillcolor=\"#a9d59c\""), 2, "%s", text);
    cr_expect_not_null(strstr(text, "nodesep=0.05"), "its many arrows would make it wide");
    free(text);
}

/* Of a box that stands for three: of each; of a box around them: all. */
DOT_TEST(folded_ops_are_counted) {
    ct_tensor *y = ct_full(CT_F32, CT_SHAPE(4), 1);
    ct_path_push("net");
    for (int k = 0; k < 3; k++) {
        ct_path_push(k == 0 ? "a" : k == 1 ? "b" : "c");
        for (int i = 0; i < 4; i++) y = ct_tanh(ct_exp(ct_sin(y)));
        ct_path_pop();
    }
    ct_path_pop();
    y = ct_neg(y);
    char *opened = text_of(&y, 1, (ct_dot_options){.level = CT_DOT_MODULES, .depth = 1});
    char *closed = text_of(&y, 1, (ct_dot_options){.level = CT_DOT_MODULES});
    cr_expect_not_null(strstr(opened, "label=\"a\\n3 times\\n[4] f32, 12 ops each\""), "%s",
                       opened);
    cr_expect_not_null(strstr(closed, "label=\"net\\n[4] f32, 36 ops\""), "%s", closed);
    free(opened), free(closed);
}

/* A step that begins with another number than those after it stands outside of the frame, whole:
 * what repeats begins where a step does, and nothing of one is left over. */
DOT_TEST(frames_hold_whole_steps) {
    ct_tensor *h = vector("h");
    for (int i = 0; i < 6; i++) {
        ct_tensor *gates = ct_concat((ct_tensor *[]){h, h}, 2, 0);
        gates = i ? ct_exp(gates) : ct_sin(gates);
        h = ct_tanh(ct_mul(ct_slice(gates, 0, 0, 2, 1), ct_slice(gates, 0, 2, 4, 1)));
    }
    ct_tensor *y = ct_neg(h);
    char *text = text_of(&y, 1, (ct_dot_options){0});
    const char *frame = strstr(text, "label=\"5 times\"];");
    cr_assert_not_null(frame, "%s", text);
    const char *first = strstr(frame, " [label=");
    cr_expect_eq(strncmp(first, " [label=\"concat", 15), 0, "%s", text);
    cr_expect_eq(count(text, "label=\"tanh"), 2, "%s", text);
    free(text);
}

/* --- Steps -------------------------------------------------------------------------------- */

/* h = tanh(a (h + x)), six times, and its derivative: a step is drawn once for each of them. */
DOT_TEST(steps_that_repeat_are_drawn_once) {
    ct_tensor *x = vector("x"), *a = vector("a"), *h = vector("h"), *roots[2];
    for (int i = 0; i < 6; i++) h = ct_tanh(ct_mul(ct_add(h, x), a));
    roots[0] = ct_name(ct_sum_all(h), "loss");
    cr_assert_eq(ct_grad(roots[0], &x, 1, &roots[1]), CT_OK);
    char *folded = text_of(roots, 2, (ct_dot_options){0});
    char *whole = text_of(roots, 2, (ct_dot_options){.unfold = true});
    cr_expect_eq(count(folded, "label=\"tanh\\n"), 1, "%s", folded);
    cr_expect_eq(count(whole, "label=\"tanh\\n"), 6);
    cr_expect_not_null(strstr(folded, "label=\"6 times\"];"), "%s", folded);
    cr_expect_gt(count(folded, "style=dashed"), 0);
    cr_expect_eq(count(folded, "to the next repetition</td>"), 1, "the legend");
    cr_expect_gt(count(folded, "subgraph"), 1);
    cr_expect_eq(count(whole, "subgraph"), 0);
    cr_expect_lt(3 * count(folded, " [label="), 2 * count(whole, " [label="));
    free(folded), free(whole);
}

/* --- One of them ---------------------------------------------------------------------------- */

DOT_TEST(one_module_and_some_orders) {
    char *inner = nested_text((ct_dot_options){.focus = "outer/inner"});
    char *forward = nested_text((ct_dot_options){.orders = 1});
    char *both = nested_text((ct_dot_options){.orders = 1, .focus = "outer"});
    cr_expect(strstr(inner, "\"tanh\\n") && !strstr(inner, "\"sin\\n") && !strstr(inner, "loss"));
    /* The value that the module takes is an ellipse. */
    cr_expect_not_null(strstr(inner, "shape=ellipse"), "%s", inner);
    cr_expect(strstr(forward, "loss") && !strstr(forward, "#fbd3a6"), "%s", forward);
    cr_expect(strstr(both, "\"sin\\n") && !strstr(both, "loss") && !strstr(both, "#fbd3a6"));
    free(inner), free(forward), free(both);
    free(nested_text((ct_dot_options){.focus = "outer/inner/"}));
}

/* The nearest first, be it to the last name alone; at most a dozen. */
DOT_TEST(a_focus_on_no_module_says_which_there_are) {
    ct_tensor *x = vector("x");
    cr_expect_eq(ct_dot_write(stdout, &x, 1, (ct_dot_options){.focus = "head"}), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE,
                 "ct_dot_write: nothing in the graph belongs to module 'head'; it has "
                 "no modules");
    ct_path_push("net");
    for (int k = 0; k < 14; k++) {
        char name[32];
        snprintf(name, sizeof name, "layer_%d", k);
        ct_path_push(name);
        x = ct_exp(x);
        ct_path_pop();
    }
    ct_path_pop();
    cr_expect_eq(ct_dot_write(stdout, &x, 1, (ct_dot_options){.focus = "layer_12/x"}),
                 CT_ERR_RANGE);
    static const char begins[] =
        "ct_dot_write: nothing in the graph belongs to module 'layer_12/x'; "
        "there are 'net/layer_12', 'net/layer_";
    cr_expect_eq(strncmp(ct_error_message(), begins, sizeof begins - 1), 0, "%s",
                 ct_error_message());
    cr_expect_eq(count(ct_error_message(), "'net/layer_"), 12);
    cr_expect_not_null(strstr(ct_error_message(), " and others"));
    ct_error_clear();
}

/* A plan of many ops has passes as boxes, unless it is unfolded. */
DOT_TEST(passes_of_many_ops_are_boxes) {
    ct_tensor *y = vector("x");
    for (int i = 0; i < 130; i++) y = ct_exp(ct_scale(y, -0.5 - 0.001 * i));
    ct_profile_start();
    cr_assert_eq(ct_eval(&y, 1), CT_OK);
    ct_profile_stop();
    char *passes = text_of(&y, 1, (ct_dot_options){.level = CT_DOT_PLAN});
    char *ops = text_of(&y, 1, (ct_dot_options){.level = CT_DOT_PLAN, .unfold = true});
    cr_expect_eq(count(passes, "label=\"pass 0, "), 1, "%s", passes);
    cr_expect_eq(count(passes, "subgraph"), 0, "%s", passes);
    cr_expect_eq(count(ops, "label=\"exp"), 130, "%s", ops);
    cr_expect_eq(count(ops, "label=\"pass 0: "), 1, "%s", ops);
    free(passes), free(ops);
    ct_profile_clear();
}

/* A recurrent net: its passes repeat where its steps do, and are one box with the time of all; each
 * step's scale is a parameter of its own, drawn once too. The title says what a box is. */
DOT_TEST(passes_that_repeat_are_drawn_once) {
    ct_tensor *w = ct_full(CT_F32, CT_SHAPE(4, 4), 0.1), *h = ct_full(CT_F32, CT_SHAPE(4, 4), 1);
    ct_slot *gains[40];
    for (int i = 0; i < 40; i++) {
        gains[i] = ct_slot_new("gamma", ct_full(CT_F32, CT_SHAPE(4, 4), 1));
        h = ct_matmul(h, w);
        for (int k = 0; k < 3; k++) h = ct_exp(ct_scale(h, -0.5));
        h = ct_mul(h, ct_slot_read(gains[i]));
    }
    ct_profile_start();
    cr_assert_eq(ct_eval(&h, 1), CT_OK);
    ct_profile_stop();
    ct_dot_options options = {.level = CT_DOT_PLAN, .title = "net"};
    char *text = text_of(&h, 1, options);
    options.title = NULL;
    char *untitled = text_of(&h, 1, options);
    cr_expect_not_null(strstr(text, "passes from "), "%s", text);
    cr_expect_not_null(strstr(text, "times\"];"), "%s", text);
    cr_expect_lt(count(text, " [label="), 20, "%s", text);
    cr_expect_leq(count(text, "label=\"gamma"), 2, "%s", text);
    cr_expect_not_null(strstr(text, ">net (passes: more than 120 ops)<"), "%s", text);
    cr_expect_not_null(strstr(untitled, ">(passes: more than 120 ops)<"), "%s", untitled);
    free(text), free(untitled);
    for (int i = 0; i < 40; i++) ct_slot_drop(gains[i]);
    ct_profile_clear();
}

/* On its rank, or the frame would reach up beside the one before it. */
DOT_TEST(what_begins_in_a_frame_stands_beside_its_user) {
    ct_tensor *x = vector("x"), *roots[2];
    ct_path_push("net");
    ct_tensor *scale = ct_name(ct_full(CT_F64, CT_SHAPE(2), 3), "scale");
    ct_tensor *y = ct_mul(ct_exp(x), scale);
    ct_path_pop();
    roots[0] = ct_sum_all(y);
    cr_assert_eq(ct_grad(roots[0], &x, 1, &roots[1]), CT_OK);
    char *text = text_of(roots, 2, (ct_dot_options){.clusters = true});
    const char *frame = strstr(text, "subgraph"), *node = strstr(text, "[label=\"scale");
    cr_assert(frame && node > frame, "%s", text);
    const char *same = strstr(node, "{rank=same; n");
    cr_assert_not_null(same, "%s", text);
    int from, to;
    cr_assert_eq(sscanf(same, "{rank=same; n%d; n%d}", &from, &to), 2, "%s", same);
    char begins[64];
    snprintf(begins, sizeof begins, "n%d [label=\"mul\\n", to);
    cr_expect_not_null(strstr(text, begins), "%s", text);
    free(text);
}

/* Twice neg is nothing. */
DOT_TEST(a_module_that_simplification_removes) {
    ct_tensor *x = vector("x"), *evaluated;
    ct_path_push("idle");
    ct_tensor *y = ct_neg(ct_neg(x));
    ct_path_pop();
    y = ct_exp(y);
    cr_assert_eq(ct_simplify(&y, 1, &evaluated), CT_OK);
    ct_dot_options options = {.focus = "idle"};
    cr_assert_eq(ct_dot_save_both(in_folder("both.dot"), &y, 1, options), CT_OK, "%s",
                 ct_error_message());
    char *both = file_text("both.dot");
    cr_expect_not_null(strstr(both, "nothing of this"), "%s", both);
    free(both);
    ct_graph_diff_options diff = {.picture = options};
    cr_assert_eq(ct_graph_diff_save(in_folder("diff.dot"), &y, 1, &evaluated, 1, diff), CT_OK, "%s",
                 ct_error_message());
    options.focus = "head";
    cr_expect_eq(ct_dot_save_both(in_folder("both.dot"), &y, 1, options), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_dot_save_both: nothing in the graph belongs to module 'head'; "
                               "there are 'idle'");
}
