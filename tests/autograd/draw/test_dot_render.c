/* Pictures as files: graphviz runs and succeeds, is missing, fails, hangs or misbehaves. A stand-in
 * for the program `dot`, found first in PATH, plays the bad cases.
 * Invariant: whatever happens, a picture that was there is whole, old or new, the text is there
 * when no picture could be made, and nothing else is left: no file, no process, no descriptor. */
#include "tests/support/io_support.h"

#include "autograd/dot.h"
#include "autograd/draw/formats.h"
#include "autograd/draw/graphviz.h"
#include "autograd/graph_diff.h"
#include "autograd/ops.h"
#include "nn/nn.h"
#include "tensor/base/alloc.h"
#include "tensor/base/context.h"

#include <signal.h>
#include <sys/wait.h>

static char stand_in[400], path_before[4096];

/* A slow machine gets an hour for a picture; a stand-in that never ends is waited for less. */
static void render_open(void) {
    fixture_open();
    cti_dot_patience = 3600000;
    snprintf(path_before, sizeof path_before, "%s", getenv("PATH"));
    snprintf(stand_in, sizeof stand_in, "%s.bin", folder);
    cr_assert_eq(mkdir(stand_in, 0700), 0);
    strcat(stand_in, "/dot");
}

static void render_close(void) {
    setenv("PATH", path_before, 1);
    unlink(stand_in);
    *strrchr(stand_in, '/') = '\0';
    rmdir(stand_in);
    ct_scope_close(0);
    cti_intern_clear();
    /* No child is left. */
    cr_expect(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    fixture_close();
}

#define RENDER_TEST(name) TEST_WITH(dot_render, name, render_open, render_close)

/* Installs a shell script as `dot`. */
static void pretend(const char *script) {
    char path[5000], text[1000];
    int length = snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
    put_file(stand_in, text, (size_t)length);
    cr_assert_eq(chmod(stand_in, 0700), 0);
    snprintf(path, sizeof path, "%.*s:%s", (int)(strlen(stand_in) - strlen("/dot")), stand_in,
             path_before);
    setenv("PATH", path, 1);
}

static ct_tensor *graph(void) {
    return ct_sum_all(ct_exp(ct_name(ct_full(CT_F32, CT_SHAPE(3), 1), "x")));
}

static ct_status save(const char *path) {
    ct_tensor *y = graph();
    return y ? ct_dot_save(path, &y, 1, (ct_dot_options){0}) : ct_error();
}

static bool begins_with(const char *path, const char *bytes, size_t length) {
    char found[16] = "";
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    bool same = fread(found, 1, length, f) == length && memcmp(found, bytes, length) == 0;
    fclose(f);
    return same;
}

static void expect_failure(ct_status status, ct_status expected, const char *message) {
    cr_expect_eq(status, expected);
    cr_expect_eq(ct_error(), expected);
    cr_expect_str_eq(ct_error_message(), message);
    ct_error_clear();
}

/* --- When all is well --------------------------------------------------------------------- */

RENDER_TEST(saves_every_format) {
    static const char *const begins[] = {"<?xml", "\x89PNG", "%PDF-", "digraph", "\x89PNG"};
    static const char *const names[] = {"a.svg", "a.png", "a.pdf", "a.dot", "b.PNG"};
    int descriptors = open_descriptors();
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(save(in_folder(names[i])), CT_OK, "%s", ct_error_message());
        cr_expect(begins_with(in_folder(names[i]), begins[i], strlen(begins[i])), "%s", names[i]);
    }
    cr_expect_eq(entries(false), 5);
    cr_expect_eq(open_descriptors(), descriptors);
}

RENDER_TEST(renders_a_file_over_an_old_picture) {
    cr_assert_eq(save(in_folder("g.dot")), CT_OK);
    put_file(in_folder("g.svg"), "old", 3);
    cr_expect_eq(ct_dot_render(in_folder("g.dot"), in_folder("g.svg")), CT_OK);
    cr_expect(begins_with(in_folder("g.svg"), "<?xml", 5));
}

/* To the command line of dot they would be options. */
RENDER_TEST(names_may_begin_with_a_dash) {
    cr_assert_eq(chdir(folder), 0);
    cr_expect_eq(save("-x.dot"), CT_OK);
    cr_expect_eq(ct_dot_render("-x.dot", "-Tpng.svg"), CT_OK, "%s", ct_error_message());
    cr_expect(begins_with(in_folder("-Tpng.svg"), "<?xml", 5));
    cr_expect_eq(chdir("/"), 0);
}

/* A picture of some size: the text does not fit into a pipe, and neither does the picture. */
RENDER_TEST(large_pictures_pass) {
    ct_tensor *roots[300];
    char name[121];
    memset(name, 'n', 120);
    name[120] = '\0';
    for (int i = 0; i < 300; i++) {
        roots[i] = ct_name(ct_full(CT_F32, CT_SHAPE(2), 1), name);
    }
    ct_dot_options options = {.left_to_right = true};
    cr_expect_eq(ct_dot_save(in_folder("large.svg"), roots, 300, options), CT_OK);
    cr_expect(begins_with(in_folder("large.svg"), "<?xml", 5));
    pretend("cat");
    cr_expect_eq(ct_dot_save(in_folder("cat.svg"), roots, 300, options), CT_OK);
    cr_expect_eq(ct_dot_save(in_folder("cat.dot"), roots, 300, options), CT_OK);
    cr_expect_eq(system("cd \"$(dirname \"$(command -v dot)\")\" && cd \"${PWD%.bin}\" && "
                        "cmp cat.svg cat.dot"),
                 0);
}

/* Names come through escaped: what an SVG viewer shows is what was written. */
RENDER_TEST(names_are_shown_as_they_are) {
    ct_tensor *x = ct_name(ct_scalar(CT_F32, 1), "\\N \"q\" <b> &lt; \\");
    cr_assert_eq(ct_dot_save(in_folder("n.svg"), &x, 1, (ct_dot_options){.no_legend = true}),
                 CT_OK);
    char *text;
    size_t length;
    cr_assert_eq(cti_file_read("test", in_folder("n.svg"), (uint8_t **)&text, &length), CT_OK);
    text[length - 1] = '\0';
    cr_expect_not_null(strstr(text, ">\\N &quot;q&quot; &lt;b&gt; &amp;lt; \\</text>"), "%s", text);
    cti_free(text);
}

/* A picture goes to a stream as well: all of it, or nothing. */
RENDER_TEST(pictures_to_a_stream) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    ct_tensor *y = graph();
    cr_expect_eq(ct_dot_write(out, &y, 1, (ct_dot_options){.format = "SVG"}), CT_OK);
    cr_expect(length > 5 && memcmp(text, "<?xml", 5) == 0);
    size_t before = length;
    pretend("echo half; exit 3");
    expect_failure(ct_dot_write(out, &y, 1, (ct_dot_options){.format = "png"}), CT_ERR_IO,
                   "ct_dot_write: dot failed with exit status 3, and said nothing");
    fclose(out);
    cr_expect_eq(length, before);
    cr_expect_eq(entries(false), 0);
    free(text);
}

/* --- What is refused ---------------------------------------------------------------------- */

/* "ct_dot_save: 'PATH' must end in .dot, .svg, .png or .pdf", with whatever formats there are. */
static void expect_refused(const char *name) {
    enum { FORMATS = sizeof cti_formats / sizeof *cti_formats };
    char message[200];
    int used = snprintf(message, sizeof message, "ct_dot_save: '%s' must end in ", name);
    for (int i = 0; i < FORMATS; i++) {
        used += snprintf(message + used, sizeof message - (size_t)used, "%s.%s",
                         i == 0             ? ""
                         : i == FORMATS - 1 ? " or "
                                            : ", ",
                         cti_formats[i].ending);
    }
    expect_failure(save(name), CT_ERR_RANGE, message);
}

RENDER_TEST(other_endings_are_refused) {
    cr_assert_eq(save(in_folder("g.dot")), CT_OK);
    expect_refused("g.gif");
    expect_refused("graph");
    expect_failure(ct_dot_render(in_folder("g.dot"), "a.dot"), CT_ERR_RANGE,
                   "ct_dot_render: 'a.dot' must end in .svg, .png or .pdf");
    expect_failure(ct_dot_render(in_folder("g.dot"), "x.svg\x1b[2J"), CT_ERR_RANGE,
                   "ct_dot_render: 'x.svg\\x1b[2J' must end in .svg, .png or .pdf");
    expect_failure(ct_dot_render(NULL, "a.svg"), CT_ERR_NULL, "ct_dot_render: 'dot_path' is NULL");
    expect_failure(ct_dot_render("a.dot", NULL), CT_ERR_NULL,
                   "ct_dot_render: 'picture_path' is NULL");
    expect_failure(save(NULL), CT_ERR_NULL, "ct_dot_save: 'path' is NULL");
}

RENDER_TEST(files_that_cannot_be_used) {
    char message[800];
    snprintf(message, sizeof message, "ct_dot_render: %s: No such file or directory",
             in_folder("none.dot"));
    expect_failure(ct_dot_render(in_folder("none.dot"), in_folder("a.svg")), CT_ERR_IO, message);
    snprintf(message, sizeof message,
             "ct_dot_save: %s: No such file or directory; no file was "
             "written",
             in_folder("none/a.svg"));
    expect_failure(save(in_folder("none/a.svg")), CT_ERR_IO, message);
    cr_expect_eq(entries(false), 0);
}

RENDER_TEST(text_that_is_no_graph) {
    put_file(in_folder("bad.dot"), "graph { a -> ", 13);
    put_file(in_folder("bad.svg"), "old", 3);
    cr_expect_eq(ct_dot_render(in_folder("bad.dot"), in_folder("bad.svg")), CT_ERR_IO);
    static const char beginning[] = "ct_dot_render: dot failed with exit status 1: ";
    cr_expect_eq(strncmp(ct_error_message(), beginning, sizeof beginning - 1), 0, "%s",
                 ct_error_message());
    cr_expect_not_null(strstr(ct_error_message(), "syntax error"), "%s", ct_error_message());
    char end[600];
    snprintf(end, sizeof end, "; the text is in %s", in_folder("bad.dot"));
    cr_expect_not_null(strstr(ct_error_message(), end), "%s", ct_error_message());
    cr_expect(file_is(in_folder("bad.svg"), "old", 3));
    cr_expect_eq(entries(false), 2);
}

/* --- When dot is missing or misbehaves ---------------------------------------------------- */

RENDER_TEST(without_dot_the_text_is_written) {
    char message[800];
    setenv("PATH", "/nonexistent", 1);
    put_file(in_folder("g.svg"), "old", 3);
    snprintf(message, sizeof message,
             "ct_dot_save: 'dot' not found in PATH; wrote %s (install "
             "graphviz)",
             in_folder("g.dot"));
    expect_failure(save(in_folder("g.svg")), CT_ERR_IO, message);
    cr_expect(begins_with(in_folder("g.dot"), "digraph", 7));
    snprintf(message, sizeof message,
             "ct_dot_render: 'dot' not found in PATH; the text is in %s "
             "(install graphviz)",
             in_folder("g.dot"));
    expect_failure(ct_dot_render(in_folder("g.dot"), in_folder("g.svg")), CT_ERR_IO, message);
    cr_expect(file_is(in_folder("g.svg"), "old", 3));
    cr_expect_eq(entries(false), 2);
}

RENDER_TEST(exit_status_127_is_no_dot) {
    char message[800];
    pretend("exit 127");
    snprintf(message, sizeof message,
             "ct_dot_save: 'dot' not found in PATH; wrote %s (install "
             "graphviz)",
             in_folder("g.dot"));
    expect_failure(save(in_folder("g.svg")), CT_ERR_IO, message);
    cr_expect(begins_with(in_folder("g.dot"), "digraph", 7));
}

/* Every way to ask for a picture as `path` in the folder. */
static ct_status save_graph(const char *path) { return save(path); }

static ct_status save_model(const char *path) {
    ct_module *model = ct_dense_new(2, 3, (ct_dense_options){0});
    ct_status status = ct_model_plot_save(path, model, (ct_show_options){.input = CT_SHAPE(1, 2)});
    ct_module_free(model);
    return status;
}

static ct_status render_text(const char *path) { return ct_dot_render(in_folder("t.dot"), path); }

static const struct {
    ct_status (*run)(const char *path);
    const char *name, *where, *text; /* what the message says, and where the text then is */
} ways[] = {{save_graph, "ct_dot_save", "wrote", "g.dot"},
            {save_model, "ct_model_plot_save", "wrote", "g.dot"},
            {render_text, "ct_dot_render", "the text is in", "t.dot"}};

/* Runs a script as `dot` over an old picture, which must stay, and so must the text. */
static void expect_bad(const char *script, const char *reason) {
    static const char *const names[] = {"g.svg", "g.PNG", "g.pdf"};
    int descriptors = open_descriptors();
    cr_assert_eq(save(in_folder("t.dot")), CT_OK);
    pretend(script);
    for (int k = 0; k < 9; k++) {
        const char *picture = in_folder(names[k % 3]), *text = in_folder(ways[k / 3].text);
        char message[800];
        snprintf(message, sizeof message, "%s: %s; %s %s", ways[k / 3].name, reason,
                 ways[k / 3].where, text);
        put_file(picture, "old", 3);
        expect_failure(ways[k / 3].run(picture), CT_ERR_IO, message);
        cr_expect(file_is(picture, "old", 3));
        cr_expect(begins_with(text, "digraph", 7));
        cr_expect_eq(entries(false), k / 3 < 2 ? 3 : 2);
        unlink(picture);
        unlink(in_folder("g.dot"));
    }
    cr_expect_eq(open_descriptors(), descriptors);
}

RENDER_TEST(a_dot_that_fails) {
    expect_bad("cat >/dev/null; echo half; printf 'out of \\033[2Jideas\\nmore' >&2; exit 3",
               "dot failed with exit status 3: out of ?[2Jideas");
    expect_bad("exit 0", "dot made no picture, and said nothing");
    expect_bad("echo half; kill -9 $$", "dot was ended by signal 9");
    /* It closes its input at once: no SIGPIPE may reach this process. */
    expect_bad("exec <&-; sleep 0.05; echo nonsense; exit 1",
               "dot failed with exit status 1, and said nothing");
}

RENDER_TEST(a_dot_that_never_ends) {
    cti_dot_patience = 100;
    expect_bad("exec sleep 1000", "dot took more than 0.1 s and was stopped");
    expect_bad("echo half; exec >&- 2>&-; exec sleep 1000",
               "dot took more than 0.1 s and was stopped");
}

/* A script that takes its time for one picture and draws another. */
RENDER_TEST(too_many_ops_are_drawn_as_modules) {
    cti_dot_patience = 1500;
    pretend("cat >in; if grep -q 'exp' in; then exec sleep 1000; fi; cat in");
    cr_assert_eq(chdir(folder), 0);
    ct_path_push("layer");
    ct_tensor *y = ct_sum_all(ct_exp(ct_name(ct_full(CT_F32, CT_SHAPE(3), 1), "x")));
    ct_path_pop();
    cr_expect_eq(ct_dot_save("g.svg", &y, 1, (ct_dot_options){.title = "a graph"}), CT_OK, "%s",
                 ct_error_message());
    cr_expect_eq(system("grep -q 'a graph (modules: dot took too long for the ops)' g.svg && "
                        "grep -q 'layer' g.svg && grep -q 'exp' g.dot && ! grep -q modules g.dot"),
                 0);
    cr_expect_eq(ct_dot_save("g.svg", &y, 1, (ct_dot_options){.level = CT_DOT_PLAN}), CT_OK);
    cr_expect_eq(system("grep -q '(modules: dot took too long for the plan)' g.svg"), 0);
    cr_expect_eq(ct_dot_save_both("b.svg", &y, 1, (ct_dot_options){0}), CT_OK);
    cr_expect_eq(ct_graph_diff_save("d.svg", &y, 1, &y, 1, (ct_graph_diff_options){0}), CT_OK);
    cr_expect_eq(system("grep -q 'took too long for the ops' b.svg && grep -q exp b.dot && "
                        "grep -q 'took too long for the ops' d.svg && grep -q exp d.dot"),
                 0);
    cr_expect_eq(chdir("/"), 0);
}

RENDER_TEST(a_dot_that_cannot_start) {
    pretend("exit 0");
    cr_assert_eq(chmod(stand_in, 0600), 0);
    setenv("PATH", stand_in, 1); /* a file where a folder should be */
    cr_expect_eq(save(in_folder("g.svg")), CT_ERR_IO);
    cr_expect(begins_with(in_folder("g.dot"), "digraph", 7));
    cr_expect_not_null(strstr(ct_error_message(), in_folder("g.dot")), "%s", ct_error_message());
    ct_error_clear();
}

/* The message must not name a file that is not there. */
RENDER_TEST(no_place_for_the_text_either) {
    pretend("exit 1");
    char message[800];
    snprintf(message, sizeof message,
             "ct_dot_save: %s: No such file or directory; no file was "
             "written",
             in_folder("none/a.dot"));
    expect_failure(save(in_folder("none/a.svg")), CT_ERR_IO, message);
    cr_expect_eq(entries(false), 0);
}

RENDER_TEST(a_dot_that_talks_too_much) {
    pretend("head -c 1000000 /dev/zero | tr '\\0' w >&2; cat");
    cr_expect_eq(save(in_folder("g.svg")), CT_OK, "%s", ct_error_message());
    cr_expect(begins_with(in_folder("g.svg"), "digraph", 7));
}

/* It is started without a shell and sees one argument, no matter what the file is called, and no
 * descriptor beyond the standard three. */
RENDER_TEST(what_dot_sees) {
    int extra = open("/dev/null", O_RDONLY);
    pretend("cat >/dev/null; echo \"$# $1\"; ls /proc/self/fd | tr '\\n' ' '");
    cr_expect_eq(save(in_folder("$(touch x) `y`.svg")), CT_OK, "%s", ct_error_message());
    close(extra);
    char *text;
    size_t length;
    const char *path = in_folder("$(touch x) `y`.svg");
    cr_assert_eq(cti_file_read("test", path, (uint8_t **)&text, &length), CT_OK);
    /* The fourth is ls looking at the directory. */
    cr_expect_eq(strncmp(text, "1 -Tsvg\n0 1 2 3 ", length), 0, "%.*s", (int)length, text);
    cti_free(text);
    cr_expect_eq(entries(false), 1);
}

/* Its pixels are bounded, so that it shows what SVG does. */
RENDER_TEST(png_has_a_largest_size) {
    pretend("cat >/dev/null; echo \"$*\"");
    cr_assert_eq(save(in_folder("a.png")), CT_OK, "%s", ct_error_message());
    cr_expect(file_is(in_folder("a.png"), "-Tpng -Gsize=84,84\n", 19));
}

/* --- Faults ------------------------------------------------------------------------------- */

/* Without names, which would stay in memory. */
static ct_status save_unnamed(void) {
    ct_tensor *y = ct_exp(ct_full(CT_F32, CT_SHAPE(3), 1));
    return y ? ct_dot_save(in_folder("m.svg"), &y, 1, (ct_dot_options){0}) : ct_error();
}

RENDER_TEST(out_of_memory_is_an_error) {
    pretend("cat");
    cr_expect_gt(memory_sweep(save_unnamed), 20);
}

RENDER_TEST(without_standard_streams) {
    pid_t child = fork();
    if (child == 0) {
        for (int fd = 0; fd < 3; fd++) close(fd);
        _exit(save(in_folder("d.svg")) == CT_OK ? 0 : 1);
    }
    int how;
    cr_expect_eq(waitpid(child, &how, 0), child);
    cr_expect(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    cr_expect(begins_with(in_folder("d.svg"), "<?xml", 5));
}
