/* Draws a computation graph: a layer, or a model, with as many orders of derivatives as wanted.
 * What is drawn is in graph_dump_graphs.c; how, is ct_dot_save's business.
 * Invariant: nothing is computed unless --values asks for numbers, or --profile or --level plan
 * where the time goes. */
#include "graph_dump.h"
#include "options.h"
#include "program.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const char *graph, *level, *focus, *order, *diff, *out, *page, *explorer;
    int64_t depth;
    bool backward, formula, simplified, profile, views, unfold, values;
} wishes;

static int failed(void) {
    ct_status status = ct_error();
    fprintf(stderr, "graph_dump: %s\n", ct_error_message());
    if (status == CT_ERR_IO) return EXIT_IO;
    return status == CT_ERR_RANGE ? EXIT_USAGE : 1;
}

static ct_dot_level level_of(const char *name) {
    if (strcmp(name, "plan") == 0) return CT_DOT_PLAN;
    return strcmp(name, "modules") == 0 ? CT_DOT_MODULES : CT_DOT_OPS;
}

static ct_status measure(graph *g) {
    ct_profile_start();
    ct_status status = ct_eval(g->roots, g->n);
    ct_profile_stop();
    return status;
}

/* How many files are standard output. */
static int streams(const wishes *w) {
    const char *const files[] = {w->out, w->page, w->explorer};
    int n = 0;
    for (int k = 0; k < 3; k++) n += files[k] && strcmp(files[k], "-") == 0;
    return n;
}

/* One file that is asked for, and what format goes to standard output for "-". */
typedef struct {
    const char *path, *format;
} file;

static bool is_out(file to) { return strcmp(to.path, "-") == 0; }

static ct_status draw_model(const graph *g, const graph_kind *kind, const wishes *w, file to) {
    if (!g->model) return ct_fail(CT_ERR_RANGE, "--level model: '%s' has no modules", kind->name);
    if (to.format) {
        return ct_fail(CT_ERR_RANGE, "--level model: drawn to --out alone, to .dot, .svg, .png or "
                                     ".pdf");
    }
    ct_show_options options = {.inputs = &g->input, .n_inputs = 1, .depth = (int)w->depth};
    if (is_out(to)) return ct_model_plot(stdout, g->model, options);
    return ct_model_plot_save(to.path, g->model, options);
}

static ct_status draw(const graph *g, const graph_kind *kind, const wishes *w, file to) {
    ct_dot_options options = {.title = g->title,
                              .level = level_of(w->level),
                              .depth = (int)w->depth,
                              .focus = w->focus,
                              .clusters = kind->modules,
                              .profile = w->profile,
                              .show_views = w->views,
                              .unfold = w->unfold,
                              .values = w->values,
                              .format = to.format};
    if (strcmp(w->level, "model") == 0) return draw_model(g, kind, w, to);
    if (w->formula && !kind->formula) {
        return ct_fail(CT_ERR_RANGE, "--formula: there is none for '%s'", kind->name);
    }
    if (w->formula) options.formula = kind->formula;
    if (is_out(to)) return ct_dot_write(stdout, g->roots, g->n, options);
    if (w->formula) return ct_dot_save_both(to.path, g->roots, g->n, options);
    return ct_dot_save(to.path, g->roots, g->n, options);
}

static ct_status build(graph *g, const graph_kind *kind, const wishes *w) {
    int order = *w->order ? *w->order - '0' : w->backward;
    ct_status status = kind->build(g, order);
    bool plan = level_of(w->level) == CT_DOT_PLAN; /* is of what is evaluated */
    if (status == CT_OK && (w->simplified || plan)) status = ct_simplify(g->roots, g->n, g->roots);
    return status == CT_OK && (w->profile || plan) ? measure(g) : status;
}

/* --- Two graphs ------------------------------------------------------------------------------- */

/* What --diff compares the graph with. */
static ct_status build_other(graph *other, const graph *g, const graph_kind *kind,
                             const wishes *w) {
    if (strcmp(w->diff, "simplified") == 0) {
        other->n = g->n;
        return ct_simplify(g->roots, g->n, other->roots);
    }
    if (!g->model) return ct_fail(CT_ERR_RANGE, "--diff: '%s' has no modules", kind->name);
    other->plain = strcmp(w->diff, "batch-norm") == 0;
    other->mode = other->plain ? CT_TRAINING : CT_INFERENCE;
    return build(other, kind, w);
}

static ct_status compare(const graph *g, const graph *other, const wishes *w, file to) {
    bool evaluated = strcmp(w->diff, "simplified") == 0;
    ct_graph_diff_options options = {.first = evaluated      ? "as derived"
                                              : other->plain ? "with BatchNorm"
                                                             : "training",
                                     .second = evaluated      ? "as evaluated"
                                               : other->plain ? "without"
                                                              : "inference",
                                     .picture = {.title = g->title,
                                                 .level = level_of(w->level),
                                                 .depth = (int)w->depth,
                                                 .show_views = w->views}};
    if (to.format) return ct_fail(CT_ERR_RANGE, "--diff: written to --out alone");
    if (is_out(to)) {
        return ct_graph_diff_write(stdout, g->roots, g->n, other->roots, other->n, options);
    }
    return ct_graph_diff_save(to.path, g->roots, g->n, other->roots, other->n, options);
}

/* What contradicts each other; 0 or an exit status. */
static int check(const wishes *w) {
    const char *wrong = w->backward && strcmp(w->order, "0") == 0
                            ? "--backward asks for a derivative, --order 0 for none"
                        : streams(w) > 1 ? "one file alone may be -"
                                         : NULL;
    if (!wrong) return 0;
    fprintf(stderr, "graph_dump: %s\n", wrong);
    return EXIT_USAGE;
}

/* --- The program ------------------------------------------------------------------------------ */

/* All files that are asked for; graph.svg when none is. */
static ct_status put(const graph *g, const graph *other, const graph_kind *kind, const wishes *w) {
    bool alone = !w->out && !w->page && !w->explorer;
    const file files[] = {
        {alone ? "graph.svg" : w->out, NULL}, {w->page, "html"}, {w->explorer, "json"}};
    for (int k = 0; k < 3; k++) {
        file to = files[k];
        if (!to.path) continue;
        ct_status status = *w->diff ? compare(g, other, w, to) : draw(g, kind, w, to);
        if (status != CT_OK) return status;
        /* Standard output may be the picture. */
        if (!is_out(to)) fprintf(streams(w) ? stderr : stdout, "wrote %s\n", show(to.path).text);
    }
    return CT_OK;
}

static int run(const wishes *w) {
    const graph_kind *kind = graph_kind_of(w->graph);
    graph g = {.mode = CT_TRAINING}, other = {.mode = CT_TRAINING};
    int64_t scope = ct_scope_open();
    ct_status status = build(&g, kind, w);
    if (status == CT_OK && *w->diff) status = build_other(&other, &g, kind, w);
    if (status == CT_OK) status = put(&g, &other, kind, w);
    int code = status == CT_OK ? 0 : failed();
    ct_module_free(g.model);
    ct_module_free(other.model);
    ct_scope_close(scope);
    ct_profile_clear();
    return code;
}

int main(int argc, char *argv[]) {
    wishes w = {.graph = "bn", .level = "ops", .order = "", .diff = "", .depth = 1};
    const option list[] = {
        {"--graph", GRAPHS, "what to draw; default bn, BatchNorm", OPTION_CHOICE, &w.graph, 0, 0},
        {"--backward", NULL, "with the derived gradient: --order 1", OPTION_FLAG, &w.backward, 0,
         0},
        {"--order", "0|1|2", "derivatives up to this order", OPTION_CHOICE, &w.order, 0, 0},
        {"--level", "model|modules|ops|plan", "what a box is; default ops", OPTION_CHOICE, &w.level,
         0, 0},
        {"--depth", "N", "modules opened to frames so deep; default 1", OPTION_INTEGER, &w.depth, 0,
         100},
        {"--focus", "PATH", "one module alone, and the values that it takes", OPTION_TEXT, &w.focus,
         0, 0},
        {"--formula", NULL, "beside the textbook's, of bn, ln and softmax, derived and evaluated",
         OPTION_FLAG, &w.formula, 0, 0},
        {"--simplified", NULL, "as it is evaluated", OPTION_FLAG, &w.simplified, 0, 0},
        {"--profile", NULL, "computed once, coloured by time", OPTION_FLAG, &w.profile, 0, 0},
        {"--views", NULL, "with reshape, broadcast and the like", OPTION_FLAG, &w.views, 0, 0},
        {"--unfold", NULL, "repeated steps and equal modules one by one, and the ops of passes",
         OPTION_FLAG, &w.unfold, 0, 0},
        {"--values", NULL, "evaluated, with the numbers of small nodes", OPTION_FLAG, &w.values, 0,
         0},
        {"--diff", "batch-norm|inference|simplified",
         "what differs without BatchNorm (seed), in inference, or as it is evaluated",
         OPTION_CHOICE, &w.diff, 0, 0},
        {"--html", "FILE", "a page for a browser", OPTION_TEXT, &w.page, 0, 0},
        {"--explorer", "FILE", "JSON for Model Explorer", OPTION_TEXT, &w.explorer, 0, 0},
        {"--out", "FILE",
         ".dot, .txt, .svg, .png or .pdf, - for DOT, of --diff text; graph.svg if no file is named",
         OPTION_TEXT, &w.out, 0, 0},
    };
    int usage = options_parse("graph_dump", "Draws a computation graph with graphviz.", list,
                              (int)(sizeof list / sizeof *list), argc, argv);
    if (usage >= 0) return usage;
    if (check(&w) != 0) return EXIT_USAGE;
    program_begin();
    return program_end("graph_dump", run(&w));
}
