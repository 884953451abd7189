/* The picture of a graph as DOT text.
 * It evaluates nothing and runs no program; dot_render.c does the latter.
 * Invariant: the text is a function of the graph's structure and names, never of addresses or ids,
 * and names enter it only through cti_dot_escape. */
#include "autograd/dot.h"

#include "autograd/draw/dot_label.h"
#include "autograd/draw/dot_private.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/io/file.h"
#include "tensor/profile.h"

#include <errno.h>

/* --- What is drawn ------------------------------------------------------------------------ */

/* An unnamed number, or the same number stretched by views. */
static int64_t constant_behind(const cti_picture *p, const ct_tensor *t) {
    bool view = cti_dot_is_view(t) && t->n_inputs == 1 && !*t->name;
    if (view) return p->constant[t->inputs[0]->index];
    return !t->op && t->numel == 1 && !*t->name && !t->slot ? t->index : -1;
}

static void choose(cti_picture *p, ct_tensor *const roots[], int64_t n) {
    for (int64_t r = 0; r < n; r++) p->root[roots[r]->index] = true;
    for (int64_t i = 0; i < p->walk.count; i++) {
        const ct_tensor *t = p->walk.items[i];
        bool passing = cti_dot_is_view(t) && !p->root[i] && !*t->name && t->n_inputs == 1;
        p->constant[i] = p->options.show_constants || p->root[i] ? -1 : constant_behind(p, t);
        p->target[i] = passing && p->options.collapse_views ? p->target[t->inputs[0]->index] : i;
        bool drawn = p->constant[i] < 0 && p->target[i] == i;
        p->number[i] = drawn ? p->n_drawn++ : -1;
    }
}

/* A slot's leaf stands in the module that uses it first: its own path is that of whoever committed
 * it. */
static void choose_modules(cti_picture *p) {
    for (int64_t i = p->walk.count - 1; i >= 0; i--) {
        const ct_tensor *t = p->walk.items[i];
        if (!t->slot) p->module[i] = t->path;
        else if (!p->module[i]) p->module[i] = "";
        for (int k = 0; k < t->n_inputs; k++) {
            if (t->inputs[k]->slot) p->module[t->inputs[k]->index] = p->module[i];
        }
    }
}

static void find_passes(cti_picture *p) {
    for (int64_t i = 0; i < p->walk.count; i++) {
        p->pass[i] = -1;
        if (p->options.profile) p->pass[i] = ct_profile_pass_of(p->walk.items[i], &p->share[i]);
    }
}

static ct_status prepare(cti_picture *p, const char *function, ct_tensor *const roots[],
                         int64_t n) {
    if (cti_walk_new(&p->walk, roots, n, cti_walk_whole_graph) != CT_OK) return CT_ERR_MEMORY;
    size_t count = (size_t)p->walk.count;
    p->root = cti_alloc(count, sizeof *p->root);
    p->target = cti_alloc(count, sizeof *p->target);
    p->constant = cti_alloc(count, sizeof *p->constant);
    p->number = cti_alloc(count, sizeof *p->number);
    p->module = cti_alloc(count, sizeof *p->module);
    p->pass = cti_alloc(count, sizeof *p->pass);
    p->share = cti_alloc(count, sizeof *p->share);
    if (!p->root || !p->target || !p->constant || !p->number || !p->module || !p->pass ||
        !p->share) {
        return CT_ERR_MEMORY;
    }
    choose(p, roots, n);
    choose_modules(p);
    find_passes(p);
    int64_t most = p->options.max_nodes ? p->options.max_nodes : 5000;
    if (p->n_drawn <= most) return CT_OK;
    return ct_fail(CT_ERR_RANGE,
                   "%s: the picture would have %lld nodes, more than %lld; collapse "
                   "the views, draw a smaller part or raise max_nodes",
                   function, (long long)p->n_drawn, (long long)most);
}

/* --- Frames ------------------------------------------------------------------------------- */

static bool framed(const cti_picture *p, int64_t i) {
    return p->options.profile ? p->pass[i] >= 0 : *p->module[i] != '\0';
}

static bool same_frame(const cti_picture *p, int64_t i, int64_t k) {
    if (p->options.profile) return p->pass[i] == p->pass[k];
    bool derived = p->walk.items[i]->order > 0;
    return p->module[i] == p->module[k] && derived == (p->walk.items[k]->order > 0);
}

/* All nodes of node `first`'s frame, which begins with it. */
static void put_frame(cti_picture *p, int64_t first, int64_t number) {
    cti_dot_format(p, "  subgraph cluster_%lld {\n    label=\"", (long long)number);
    if (p->options.profile) {
        cti_dot_format(p, "pass %lld: %d %% of the time\";\n", (long long)p->pass[first],
                       (int)(100 * p->share[first] + 0.5));
    } else {
        cti_dot_put_escaped(p, p->module[first]);
        cti_dot_put(p, p->walk.items[first]->order > 0 ? ", derivative\";\n" : "\";\n");
    }
    for (int64_t i = first; i < p->walk.count; i++) {
        if (p->number[i] >= 0 && same_frame(p, first, i)) cti_dot_put_node(p, i, "    ");
    }
    cti_dot_put(p, "  }\n");
}

static ct_status put_frames(cti_picture *p) {
    /* The nodes that begin a frame; there are few frames, so each node looks through them. */
    int64_t *begins = cti_alloc((size_t)p->walk.count, sizeof *begins), n = 0;
    if (!begins) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < p->walk.count; i++) {
        if (p->number[i] < 0) continue;
        if (!framed(p, i)) {
            cti_dot_put_node(p, i, "  ");
            continue;
        }
        int64_t known = 0;
        while (known < n && !same_frame(p, begins[known], i)) known++;
        if (known == n) begins[n++] = i;
    }
    for (int64_t f = 0; f < n; f++) put_frame(p, begins[f], f);
    cti_free(begins);
    return CT_OK;
}

/* --- The whole ---------------------------------------------------------------------------- */

/* An HTML-like label, which may hold nothing but these constants. */
static void put_legend(cti_picture *p) {
    static const char *const orders[] = {"forward", "first derivative", "second derivative",
                                         "higher derivatives"};
    cti_dot_put(p, "  legend [shape=none, style=\"\", margin=0, label=<<table border=\"0\" "
                   "cellspacing=\"3\" cellpadding=\"4\"><tr>");
    if (p->options.profile) {
        cti_dot_put(p, "<td bgcolor=\"0.0 0.9 1.0\">the redder, the larger the share of the "
                       "time</td>");
    }
    for (int i = 0; i < 4; i++) {
        if (!p->shades[i] || p->options.profile) continue;
        cti_dot_format(p, "<td bgcolor=\"%s\">%s</td>", cti_dot_fills[i], orders[i]);
    }
    if (p->slots) {
        cti_dot_format(p, "<td bgcolor=\"%s\">held by a slot</td>", cti_dot_slot_fill);
    }
    if (p->carried) {
        cti_dot_format(p,
                       "<td><font color=\"%s\"><b>\xe2\x86\x92</b></font> value used in a "
                       "derivative</td>",
                       cti_dot_carried);
    }
    if (p->staged) cti_dot_put(p, "<td>\xe2\x87\xa2 staged update</td>");
    cti_dot_put(p, "</tr></table>>];\n");
}

static void put_head(cti_picture *p) {
    cti_dot_put(p, "digraph cotan {\n  graph [rankdir=");
    cti_dot_put(p, p->options.left_to_right ? "LR" : "TB");
    cti_dot_put(p, ", ranksep=0.3, nodesep=0.2, fontname=\"Helvetica\", fontsize=12, labelloc=t");
    if (p->options.title) {
        cti_dot_put(p, ", label=\"");
        cti_dot_put_escaped(p, p->options.title);
        cti_dot_put(p, "\"");
    }
    cti_dot_put(p, "];\n"
                   "  node [shape=box, style=filled, fontname=\"Helvetica\", fontsize=11, "
                   "height=0.3, margin=\"0.1,0.04\", color=\"#666666\"];\n"
                   "  edge [arrowsize=0.6, fontname=\"Helvetica\", fontsize=8, "
                   "labeldistance=1.5, fontcolor=\"#666666\"];\n");
}

static ct_status draw(cti_picture *p) {
    put_head(p);
    bool frames = p->options.clusters || p->options.profile;
    if (frames && put_frames(p) != CT_OK) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < p->walk.count && !frames; i++) {
        if (p->number[i] >= 0) cti_dot_put_node(p, i, "  ");
    }
    cti_dot_put_arrows(p);
    if (!p->options.no_legend) put_legend(p);
    cti_dot_put(p, "}\n");
    return p->out.status;
}

static ct_status text_of(cti_writer *text, const char *function, ct_tensor *const roots[],
                         int64_t n, ct_dot_options options) {
    for (int64_t r = 0; r < n || n < 1; r++) {
        if (n < 1) return ct_fail(CT_ERR_RANGE, "%s: needs at least one root", function);
        if (roots[r]) continue;
        return cti_null("%s: root %lld is NULL", function, (long long)r);
    }
    cti_picture p = {.options = options};
    ct_status status = prepare(&p, function, roots, n);
    if (status == CT_OK) status = draw(&p);
    void *blocks[] = {p.root, p.target, p.constant, p.number, p.module, p.pass, p.share};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) cti_free(blocks[i]);
    cti_walk_free(&p.walk);
    *text = p.out;
    return status;
}

ct_status ct_dot_write(FILE *out, ct_tensor *const roots[], int64_t n, ct_dot_options options) {
    CTI_CALLED;
    if (!out || !roots) {
        return ct_fail(CT_ERR_NULL, "ct_dot_write: '%s' is NULL", out ? "roots" : "out");
    }
    cti_writer text = {0};
    ct_status status = text_of(&text, "ct_dot_write", roots, n, options);
    bool written = status == CT_OK && fwrite(text.text, 1, text.used, out) == text.used &&
                   fflush(out) == 0;
    if (status == CT_OK && !written) {
        status = ct_fail(CT_ERR_IO, "ct_dot_write: %s", cti_system_error(errno));
    }
    cti_free(text.text);
    return status;
}

ct_status ct_dot_save(const char *path, ct_tensor *const roots[], int64_t n,
                      ct_dot_options options) {
    CTI_CALLED;
    if (!path || !roots) {
        return ct_fail(CT_ERR_NULL, "ct_dot_save: '%s' is NULL", path ? "roots" : "path");
    }
    cti_writer text = {0};
    ct_status status = text_of(&text, "ct_dot_save", roots, n, options);
    if (status == CT_OK) status = cti_dot_save_text("ct_dot_save", path, text.text, text.used);
    cti_free(text.text);
    return status;
}
