/* Pictures and prints of what varies between ranks: which axis does, how many rows of how many are
 * here, where ranks are summed over. Ranks are threads here, of 5, 1, 2 and no rows, and each looks
 * at its own picture.
 * Invariant: a graph without ranks looks as it did. */
#include "autograd/compose.h"
#include "autograd/dot.h"
#include "autograd/grad.h"
#include "nn/layers.h"
#include "tensor/varying.h"
#include "tests/support/test.h"
#include "tests/support/varying_support.h"

#include <stdlib.h>
#include <string.h>

enum { C = 3 };

static char *drawn(ct_tensor *const roots[], int64_t n, ct_dot_options options) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    OK(ct_dot_write(out, roots, n, options));
    fclose(out);
    return text;
}

static void has(const rank *me, const char *text, const char *part) {
    const char *in = text ? text : "";
    EXPECT(strstr(in, part), "rank %d: no %s in %s", me->rank, part, in);
}

/* A part in which %lld is how many rows are here. */
static void has_rows(const rank *me, const char *text, const char *before, const char *after) {
    char part[120];
    snprintf(part, sizeof part, "%s%lld%s", before, (long long)me->rows, after);
    has(me, text, part);
}

/* A weight, a sum over ranks, and what follows from it on each of them. */
static ct_tensor *loss_of(rank *me, ct_tensor **x) {
    *x = ct_name(rows_of(me, C, 1), "x");
    ct_tensor *y = ct_mul(*x, ct_name(parameter(me, CT_SHAPE(C), 1), "w"));
    return ct_name(ct_sum_all(ct_exp(ct_sub(y, ct_mean(y, CT_AXES(0))))), "loss");
}

static void draw(rank *me) {
    ct_tensor *x, *loss = loss_of(me, &x);
    char *text = drawn(&loss, 1, (ct_dot_options){0});
    has_rows(me, text, "n0 [label=\"x\\n[",
             "/8,3] f64\", fillcolor=\"#e3f0fa\", shape=ellipse, "
             "color=\"#000000\", penwidth=2.2");
    has(me, text, "[label=\"w\\n[3] f64\", fillcolor=\"#e3f0fa\", shape=ellipse];");
    has(me, text, "[label=\"all_sum\\n[3] f64\", fillcolor=\"#e3f0fa\", shape=octagon, tooltip");
    has(me, text, "varies between ranks: [rows here / of all, ..]</td>");
    has(me, text, "the same on all ranks</td><td>octagon: a sum over all ranks</td>");
    has(me, text, "[label=\"ragged_grain_sum\\naxes 0\\n[1/4,3] f64\"");
    free(text);
    text = drawn(&loss, 1, (ct_dot_options){.no_legend = true});
    EXPECT(!strstr(text, "the same on all ranks"));
    free(text);
}

static void draw_other_formats(rank *me) {
    ct_tensor *x, *loss = loss_of(me, &x);
    char *text = drawn(&loss, 1, (ct_dot_options){.format = "txt"});
    has_rows(me, text, "[", "/8,3] f64");
    free(text);
    text = drawn(&loss, 1, (ct_dot_options){.format = "html"});
    has_rows(me, text, "\"type\":\"[", "/8,3] f64\"");
    has(me, text, "\"varies\":1");
    has(me, text, "\"sums\":1");
    free(text);
    text = drawn(&loss, 1, (ct_dot_options){.format = "json"});
    has(me, text, "varies between ranks");
    has(me, text, "sums over all ranks");
    free(text);
}

/* Where boxes are modules, they say how many sums are in them. */
static void draw_modules(rank *me) {
    ct_batch_norm_options options = ct_batch_norm_defaults();
    options.dtype = CT_F64;
    ct_module *module = ct_batch_norm_new(C, options);
    ct_tensor *y = ct_forward(module, rows_of(me, C, 1), CT_TRAINING);
    char *text = drawn(&y, 1, (ct_dot_options){.level = CT_DOT_MODULES});
    has_rows(me, text, "[", "/8,3] f64, ");
    has(me, text, " ops, 2 sums over ranks\"");
    free(text);
    ct_module_free(module);
}

static void print(rank *me) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    ct_tensor *x = rows_of(me, C, 1);
    OK(ct_print(out, x));
    OK(ct_print(out, ct_transpose(x)));
    OK(ct_print(out, ct_sum_all(x)));
    fclose(out);
    has_rows(me, text, "]\nvaries between ranks along axis 0: ", " rows here, of 8\n[");
    has_rows(me, text, "]\nvaries between ranks along axis 1: ", " rows here, of 8\n");
    EXPECT(strcmp(text + strlen(text) - 5, "of 8\n") != 0);
    free(text);
}

static void on_ranks(void (*body)(rank *me)) {
    world *w = world_run(4, 4, (int64_t[]){5, 1, 2, 0}, CT_F64, body);
    expect_well(w);
    free(w);
}

TEST(dot_ranks, what_varies_has_a_thick_frame_and_its_rows) { on_ranks(draw); }
TEST(dot_ranks, other_formats_say_it) { on_ranks(draw_other_formats); }
TEST(dot_ranks, modules_count_their_sums) { on_ranks(draw_modules); }
TEST(dot_ranks, prints_say_which_rows) { on_ranks(print); }

TEST(dot_ranks, nothing_is_said_without_ranks) {
    world one;
    ct_tensor *x, *loss = loss_of(world_plain(&one, CT_F64), &x);
    char *text = drawn(&loss, 1, (ct_dot_options){0});
    EXPECT(!strstr(text, "all ranks") && !strstr(text, "penwidth") && strstr(text, "[8,3] f64"));
    free(text);
}
