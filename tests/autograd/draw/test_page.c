/* Pages of graphs: what stands in which group and where, with graphviz and without, and the text
 * of a page: complete, escaped, the same bytes for the same graph. What a browser makes of it is
 * page.py's business.
 * Invariant of every page: each node stands in one group, none has more than 200 items, no two of
 * one group overlap, and no arrow is lost. */
#include "tests/support/io_support.h"

#include "autograd/dot.h"
#include "autograd/draw/graphviz.h"
#include "autograd/draw/page.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "nn/nn.h"
#include "tensor/base/alloc.h"
#include "tensor/base/context.h"
#include "tensor/io/json.h"

#include <ctype.h>
#include <locale.h>

static char path_before[4096];

static void page_open(void) {
    fixture_open();
    cti_dot_patience = 3600000;
    snprintf(path_before, sizeof path_before, "%s", getenv("PATH"));
}

static void page_close(void) {
    setenv("PATH", path_before, 1);
    ct_scope_close(0);
    cti_intern_clear();
    fixture_close();
}

#define PAGE_TEST(name) TEST_WITH(page, name, page_open, page_close)

static ct_tensor *vector(const char *name) {
    return ct_name(ct_full(CT_F32, CT_SHAPE(4), 1), name);
}

/* The text of a file. The caller frees it. */
static char *text_of(const char *path) {
    uint8_t *bytes;
    size_t length;
    cr_assert_eq(cti_file_read("test", path, &bytes, &length), CT_OK, "%s", ct_error_message());
    char *text = malloc(length + 1);
    memcpy(text, bytes, length);
    text[length] = '\0';
    cr_assert_eq(strlen(text), length);
    cti_free(bytes);
    return text;
}

static char *page_text(ct_tensor *const roots[], int64_t n, ct_dot_options options) {
    cr_assert_eq(ct_dot_save(in_folder("g.html"), roots, n, options), CT_OK, "%s",
                 ct_error_message());
    return text_of(in_folder("g.html"));
}

static int count(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
    return n;
}

/* Installs a shell script as `dot`, beside what a script needs. */
static void pretend(const char *script) {
    char text[1000], path[5000];
    int length = snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
    put_file(in_folder("dot"), text, (size_t)length);
    cr_assert_eq(chmod(in_folder("dot"), 0700), 0);
    snprintf(path, sizeof path, "%s:%s", folder, path_before);
    setenv("PATH", path, 1);
}

/* Blocks of two modules each, with the gradient. */
static void blocks(ct_tensor *roots[2], int n) {
    ct_tensor *x = vector("x"), *y = x;
    for (int i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "block%d", i);
        ct_path_push(name);
        ct_path_push("inner");
        y = ct_tanh(ct_mul(y, ct_exp(x)));
        ct_path_pop();
        y = ct_add(y, x);
        ct_path_pop();
    }
    roots[0] = ct_name(ct_sum_all(ct_exp(ct_neg(y))), "loss");
    cr_assert_eq(ct_grad(roots[0], &x, 1, &roots[1]), CT_OK);
    ct_name(roots[1], "dx");
}

/* n ops outside of all modules, on two values that each uses; one of them is used by all. */
static ct_tensor *chain(int n) {
    ct_tensor *x = vector("x"), *y = x;
    for (int i = 0; i < n; i++) y = ct_add(y, x);
    return y;
}

/* --- Groups and places -------------------------------------------------------------------- */

static bool overlap(const cti_page_item *a, const cti_page_item *b) {
    return 2 * abs(a->x - b->x) < a->width + b->width - 2 &&
           2 * abs(a->y - b->y) < a->height + b->height - 2;
}

/* The invariant, group by group; the number of groups with items. */
static int expect_sound(const cti_page *page) {
    const cti_picture *p = page->picture;
    int64_t nodes = 0, joined = 0, hidden = 0, all = 0;
    int groups = 0;
    for (int64_t g = 0; g < page->n_groups; g++) {
        int64_t items = 0;
        for (int64_t i = page->groups[g].first; i >= 0; i = page->items[i].next) {
            const cti_page_item *item = &page->items[i];
            items++, nodes += i < p->n_nodes;
            hidden += item->users + item->sources;
            cr_expect_eq(item->group, g);
            cr_expect(item->x >= item->width / 2 - 1 && item->y >= item->height / 2 - 1);
            cr_expect(item->x + item->width / 2 - 1 <= page->groups[g].width);
            cr_expect(item->y + item->height / 2 - 1 <= page->groups[g].height);
            for (int64_t k = page->groups[g].first; k != i; k = page->items[k].next) {
                cr_expect(!overlap(item, &page->items[k]), "%s, %s", item->label,
                          page->items[k].label);
            }
        }
        cr_expect_eq(items, page->groups[g].n_items);
        cr_expect_leq(items, 200);
        groups += items > 0;
    }
    for (int64_t k = 0; k < page->n_edges; k++) {
        const cti_page_edge *edge = &page->edges[k];
        if (edge->from >= 0 && edge->to >= 0) joined += edge->count;
    }
    for (int64_t k = 0; k < p->n_arrows; k++) all += p->arrows[k].count;
    cr_expect_eq(nodes, p->n_nodes);
    if (hidden == 0) cr_expect_eq(joined, all);
    else cr_expect_leq(joined, all - hidden);
    return groups;
}

static void lay_out(cti_page *page, cti_picture *picture, ct_tensor *const roots[], int64_t n) {
    ct_dot_options options = {.clusters = true, .unfold = true, .max_nodes = 100000};
    cr_assert_eq(cti_picture_of(picture, "test", roots, n, &options, NULL), CT_OK);
    cr_assert_eq(cti_page_of(page, picture), CT_OK);
    cr_assert_eq(cti_page_lay_out(page), CT_OK);
}

static void release(cti_page *page, cti_picture *picture) {
    cti_page_free(page);
    cti_picture_free(picture);
}

PAGE_TEST(modules_and_what_is_outside_are_groups) {
    ct_tensor *roots[2];
    cti_page page;
    cti_picture picture;
    blocks(roots, 3);
    lay_out(&page, &picture, roots, 2);
    /* All; three blocks and three within them, twice; neg, exp, sum; and the sum of
     * what comes back to x from the blocks, which is part of none of them. */
    cr_expect_eq(expect_sound(&page), 1 + 2 * 6 + 1 + 1);
    cr_expect(!page.plain);
    for (int64_t k = 0; k < page.n_edges; k++) cr_expect_gt(page.edges[k].n_points, 1);
    release(&page, &picture);
}

PAGE_TEST(many_nodes_stand_in_runs) {
    static const struct {
        int ops, groups;
    } cases[] = {{50, 1}, {199, 1}, {200, 1 + 5}, {6000, 1 + 121}, {12000, 1 + 241 + 5}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        ct_tensor *y = chain(cases[c].ops);
        cti_page page;
        cti_picture picture;
        lay_out(&page, &picture, &y, 1);
        cr_expect_eq(expect_sound(&page), cases[c].groups, "%d ops", cases[c].ops);
        release(&page, &picture);
    }
}

/* Rows hold what dot did not place: all groups, or those that came too late. */
PAGE_TEST(without_dot_there_are_rows) {
    static const struct {
        const char *script, *why; /* NULL: there is no dot */
    } cases[] = {{NULL, "'dot' not found in PATH (install graphviz)"},
                 {"exit 3", "dot failed with exit status 3, and said nothing"},
                 {"cat", "dot gave no places"},
                 {"echo 'graph 1 9 9'; echo 'node i77777 1 1'; echo 'node i-1 1 1';"
                  "echo 'edge i0 i1 99999999999 1 1'; echo 'edge'; echo; echo stop",
                  "dot gave no places"},
                 {"cat >/dev/null; printf 'graph 1 1e999 -5\\nnode i0 nan\\nstop\\n'; exec sleep 9",
                  "dot took more than 0.3 s and was stopped"}};
    ct_tensor *roots[2];
    blocks(roots, 3);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        cti_page page;
        cti_picture picture;
        if (cases[c].script) pretend(cases[c].script);
        else setenv("PATH", "/nonexistent", 1);
        cti_dot_patience = strstr(cases[c].why, "0.3 s") ? 300 : 3600000;
        lay_out(&page, &picture, roots, 2);
        cr_expect_eq(expect_sound(&page), 15, "%s", cases[c].why);
        cr_expect(page.plain);
        cr_expect_str_eq(page.why_plain, cases[c].why);
        release(&page, &picture);
    }
}

PAGE_TEST(what_dot_placed_before_it_failed_stays) {
    ct_tensor *roots[2];
    cti_page page;
    cti_picture picture;
    char script[5000];
    blocks(roots, 3);
    snprintf(script, sizeof script,
             "PATH='%s'; dot \"$@\" | awk '{ print } /^stop/ { exit }'; rm \"$0\"; exit 1",
             path_before);
    pretend(script);
    setenv("PATH", folder, 1); /* the second time there is none */
    lay_out(&page, &picture, roots, 2);
    expect_sound(&page);
    cr_expect(page.plain && page.groups[0].laid && !page.groups[1].laid);
    release(&page, &picture);
}

/* A `dot` that crashes after one graph, as 2.43 does after some dozens, is started again. */
PAGE_TEST(a_dot_that_crashes_is_started_again) {
    ct_tensor *roots[2];
    cti_page page;
    cti_picture picture;
    char script[5000];
    blocks(roots, 2);
    snprintf(script, sizeof script,
             "PATH='%s'; dot \"$@\" | awk '{ print } /^stop/ { exit }'; kill -11 $$", path_before);
    pretend(script);
    lay_out(&page, &picture, roots, 2);
    expect_sound(&page);
    cr_expect(!page.plain);
    release(&page, &picture);
}

/* x of a chain: an arrow to each of 198 ops would be all that one sees. */
PAGE_TEST(very_many_users_are_a_number) {
    ct_tensor *y = chain(199);
    cti_page page;
    cti_picture picture;
    lay_out(&page, &picture, &y, 1);
    cr_expect_eq(page.items[0].users, 199);
    cr_expect_eq(page.n_edges, 198);
    release(&page, &picture);
}

/* --- The text ----------------------------------------------------------------------------- */

PAGE_TEST(a_page_holds_everything) {
    ct_tensor *roots[2];
    blocks(roots, 2);
    char *text = page_text(roots, 2, (ct_dot_options){.title = "two blocks"});
    cr_expect_eq(strncmp(text, "<!DOCTYPE html>", 15), 0);
    cr_expect_eq(strcmp(text + strlen(text) - 8, "</html>\n"), 0);
    cr_expect(strstr(text, "\"title\":\"two blocks\"") && strstr(text, "\"name\":\"block1\""));
    cr_expect_not_null(strstr(text,
                              "\"label\":\"tanh\\u000a[4] f32\",\"kind\":\"tanh\","
                              "\"formula\":\"dx = dy - (dy * (y * "
                              "y))\",\"path\":\"block0/inner\",\"type\":\"[4] f32\",\"bytes\":16"));
    cr_expect_gt(count(text, "\"origin\":"), 5);
    cr_expect_eq(count(text, ",\"root\":1"), 2);
    cr_expect(strstr(text, "class Pane") && strstr(text, "prefers-color-scheme: dark"));
    /* Nothing is loaded; this is a name, not an address. */
    cr_expect_eq(count(text, "://"), count(text, "\"http://www.w3.org/2000/svg\""));
    cr_expect_not_null(strstr(text, "default-src 'none'"));
    free(text);
}

/* Where boxes are modules, what is in the last one is not in the group. */
PAGE_TEST(a_closed_group_shows_the_value_that_leaves_it) {
    static const char *const names[] = {"first", "second"};
    ct_tensor *x = vector("x"), *y = x;
    ct_path_push("net");
    for (int i = 0; i < 2; i++) {
        ct_path_push(names[i]);
        y = ct_exp(ct_mul(y, x));
        ct_path_pop();
    }
    ct_path_pop();
    ct_tensor *loss = ct_sum_all(y);
    char *text = page_text(&loss, 1, (ct_dot_options){.level = CT_DOT_MODULES, .depth = 1});
    cr_expect_eq(count(text, "\"label\":\"second\\u000a[4] f32, 2 ops\""), 1);
    cr_expect_eq(count(text, "\"label\":\"net\\u000a[4] f32\""), 1);
    free(text);
}

/* y = x W + b: the box of its derivative shows what it hands on, and counts the gradients. */
PAGE_TEST(derivatives_say_what_they_give) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(4, 3), 1), *roots[3];
    ct_tensor *p[] = {ct_full(CT_F32, CT_SHAPE(3, 2), 1), ct_full(CT_F32, CT_SHAPE(2), 1)};
    ct_path_push("before");
    ct_tensor *y = ct_exp(ct_mul(x, ct_full(CT_F32, CT_SHAPE(3), 2)));
    ct_path_pop(), ct_path_push("dense");
    y = ct_add(ct_matmul(y, p[0]), p[1]);
    ct_path_pop();
    roots[0] = ct_sum_all(ct_square(y));
    cr_assert_eq(ct_grad(roots[0], (ct_tensor *[]){p[0], p[1]}, 2, &roots[1]), CT_OK);
    ct_tensor *dx;
    cr_assert_eq(ct_grad(roots[0], &x, 1, &dx), CT_OK);
    char *text = page_text((ct_tensor *[]){roots[0], roots[1], roots[2], dx}, 4,
                           (ct_dot_options){0});
    const char *dense = strstr(text, "\"label\":\"dense, derivative\\u000a[4,3] f32\"");
    cr_assert_not_null(dense, "%s", strstr(text, "id=\"data\">"));
    const char *gradients = strstr(dense, "\"gradients\":2,"), *items = strstr(dense, "\"items\":");
    cr_expect(gradients && gradients < items, "%.500s", dense);
    cr_expect_eq(count(text, "\"gradients\":1,"), 1, "that of x, in 'before'");
    free(text);
}

PAGE_TEST(options_of_pages) {
    ct_tensor *y = chain(5100), *roots[2];
    char *text = page_text(&y, 1, (ct_dot_options){0}); /* more than other pictures may have */
    cr_expect_not_null(strstr(text, "\"label\":\"nodes 5051-5100\\u000a[4] f32\""));
    free(text);
    cr_expect_eq(ct_dot_save(in_folder("h.html"), &y, 1, (ct_dot_options){.max_nodes = 5000}),
                 CT_ERR_RANGE);
    ct_error_clear();
    blocks(roots, 2);
    text = page_text(roots, 2, (ct_dot_options){.level = CT_DOT_MODULES});
    cr_expect(strstr(text, "\"modules\":1") && !strstr(text, "\"name\":\"inner\""));
    free(text);
    cr_expect_eq(ct_eval(roots, 2), CT_OK);
    text = page_text(roots, 2, (ct_dot_options){.profile = true});
    cr_expect(strstr(text, "\"timed\":1") && strstr(text, "\"name\":\"inner\""));
    free(text);
    ct_shadow_report report;
    y = ct_offset(ct_offset(ct_full(CT_F32, CT_SHAPE(2), 1e-3), 1e6), -1e6);
    cr_assert_eq(ct_shadow(&y, 1, &report), CT_OK);
    text = page_text(&y, 1, (ct_dot_options){.shadow = &report});
    cr_expect(strstr(text, "\"shadowed\":1") && strstr(text, "\"lost\":1000000"));
    free(text);
    ct_shadow_free(&report);
    cr_expect_eq(entries(false), 1);
}

PAGE_TEST(the_same_graph_gives_the_same_bytes) {
    ct_tensor *roots[2];
    char *first = NULL;
    for (int i = 0; i < 4; i++) {
        int64_t scope = ct_scope_open();
        ct_drop(ct_keep(ct_scalar(CT_F32, 1))); /* ids and addresses move on */
        if (i == 2) setlocale(LC_ALL, "de_DE.UTF-8");
        blocks(roots, 4);
        char *text = page_text(roots, 2, (ct_dot_options){0});
        if (first) cr_expect_str_eq(text, first);
        if (first) free(text);
        else first = text;
        ct_scope_close(scope);
    }
    setlocale(LC_ALL, "C");
    free(first);
}

/* The data of a page: JSON in ASCII and valid UTF-8, without a byte that ends it or means
 * something in HTML. */
static void expect_inert(char *text) {
    cr_expect_eq(count(text, "<script"), 2);
    cr_expect_eq(count(text, "</script"), 2);
    char *data = strstr(text, "id=\"data\">") + strlen("id=\"data\">");
    *strstr(data, "</script>") = '\0';
    for (const char *c = data; *c;) {
        size_t length = cti_utf8_length(c, strnlen(c, 4));
        cr_assert_gt(length, 0);
        cr_assert(!strchr("<>&\x7f", *c) && ((unsigned char)*c >= ' ' || *c == '\n'));
        cr_assert(strncmp(c, "\xe2\x80\xa8", 3) != 0 && strncmp(c, "\xe2\x80\xa9", 3) != 0);
        c += length;
    }
    /* Quotes pair up on each line, and what is between them is escaped as JSON wants. */
    for (const char *c = data; *c; c++) {
        if (*c != '"') continue;
        for (c++; *c != '"'; c++) {
            cr_assert(*c && *c != '\n');
            if (*c != '\\') continue;
            cr_assert_eq(c[1], 'u');
            for (int k = 2; k < 6; k++) cr_assert(isxdigit((unsigned char)c[k]));
        }
    }
}

PAGE_TEST(any_bytes_can_be_a_name) {
    static const char *const hostile[] = {
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "]]>",
        "\"},{\"",
        "\\",
        "\\u003c",
        ("a\xe2\x80\xa8"
         "b\xe2\x80\xa9"),
        "\xff\xfe",
        "\xc3",
        "\x01\x1f\x7f\n\r\t",
        "&lt;",
        "${x}",
        "'",
    };
    enum { HOSTILE = sizeof hostile / sizeof *hostile, NAMES = 2000 };
    static ct_tensor *roots[NAMES];
    uint64_t state = 42;
    for (int i = 0; i < NAMES; i++) {
        char name[64] = "";
        if (i < HOSTILE) strcpy(name, hostile[i]);
        for (int k = 0; i >= HOSTILE && k < 1 + i % 60; k++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            name[k] = (char)(1 + (state >> 33) % 255);
        }
        char module[64];
        strcpy(module, name);
        for (char *c = module; (c = strchr(c, '/'));) *c = '|'; /* which would be two modules */
        ct_path_push(module);
        roots[i] = ct_name(ct_exp(ct_scalar(CT_F32, 0)), name);
        ct_path_pop();
    }
    char *text = page_text(roots, NAMES, (ct_dot_options){.title = hostile[0]});
    cr_expect_not_null(
        strstr(text, "\"name\":\"\\u003c/script\\u003e\\u003cscript\\u003ealert(1)"));
    cr_expect_not_null(strstr(text, "\"name\":\"a\\u2028b\\u2029\""));
    cr_expect_not_null(strstr(text, "\"name\":\"\\ufffd\\ufffd\""));
    expect_inert(text);
    free(text);
}

/* --- Several pictures --------------------------------------------------------------------- */

PAGE_TEST(training_beside_inference) {
    ct_module *model = ct_dense_new(4, 2, (ct_dense_options){0});
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(3, 4), 1);
    ct_tensor *training = ct_forward(model, x, CT_TRAINING);
    ct_tensor *inference = ct_forward(model, x, CT_INFERENCE);
    const ct_page_picture both[] = {{"as it trains", &training, 1},
                                    {"as it is used", &inference, 1}};
    cr_expect_eq(ct_page_save(in_folder("p.html"), both, 2, (ct_dot_options){.title = "both"}),
                 CT_OK);
    char *text = text_of(in_folder("p.html"));
    cr_expect(strstr(text, "\"as it trains\"") && strstr(text, "\"as it is used\""));
    cr_expect_eq(count(text, "\"arrows\":["), 2);
    expect_inert(text);
    free(text);
    ct_show_options show = {.input = CT_SHAPE(3, 4)};
    cr_expect_eq(ct_model_plot_save(in_folder("m.html"), model, show), CT_OK, "%s",
                 ct_error_message());
    ct_module_free(model);
}

static void expect_failure(ct_status status, ct_status expected, const char *message) {
    cr_expect_eq(status, expected);
    cr_expect_str_eq(ct_error_message(), message);
    ct_error_clear();
}

PAGE_TEST(says_what_is_missing) {
    ct_tensor *x = vector("x"), *none = NULL;
    const ct_dot_options o = {0};
    const ct_page_picture good = {NULL, &x, 1}, no_root[] = {good, {NULL, &none, 1}};
    const ct_page_picture no_roots[] = {good, {NULL, NULL, 1}}, empty = {NULL, &x, 0};
    const char *path = in_folder("p.html");
    put_file(path, "old", 3);
    expect_failure(ct_page_save(NULL, &good, 1, o), CT_ERR_NULL, "ct_page_save: 'path' is NULL");
    expect_failure(ct_page_save(path, NULL, 1, o), CT_ERR_NULL, "ct_page_save: 'pictures' is NULL");
    expect_failure(ct_page_save(path, &good, 0, o), CT_ERR_RANGE,
                   "ct_page_save: needs at least one picture");
    expect_failure(ct_page_save(path, no_roots, 2, o), CT_ERR_NULL,
                   "ct_page_save: the roots of picture 1 are NULL");
    expect_failure(ct_page_save(path, no_root, 2, o), CT_ERR_NULL, "ct_page_save: root 0 is NULL");
    expect_failure(ct_page_save(path, &empty, 1, o), CT_ERR_RANGE,
                   "ct_page_save: needs at least one root");
    cr_expect(file_is(path, "old", 3));
    char message[800];
    snprintf(message, sizeof message,
             "ct_page_save: %s: No such file or directory; no file was written",
             in_folder("none/p.html"));
    expect_failure(ct_page_save(in_folder("none/p.html"), &good, 1, o), CT_ERR_IO, message);
    cr_expect_eq(entries(false), 1);
}

static ct_status save_two(void) {
    ct_tensor *x = vector("x");
    ct_path_push("a");
    ct_tensor *y = ct_exp(x);
    ct_path_pop();
    ct_tensor *z = y ? ct_add(ct_neg(ct_exp(y)), x) : NULL;
    if (!z) return ct_error();
    const ct_page_picture both[] = {{"one", &y, 1}, {"two", &z, 1}};
    return ct_page_save(in_folder("oom.html"), both, 2, (ct_dot_options){0});
}

PAGE_TEST(out_of_memory_is_an_error) {
    cr_assert_eq(save_two(), CT_OK); /* names stay */
    cr_expect_gt(memory_sweep(save_two), 20);
    setenv("PATH", "/nonexistent", 1);
    cr_expect_gt(memory_sweep(save_two), 20);
}
