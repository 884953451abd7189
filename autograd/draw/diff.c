/* What differs between two graphs, as counts, as text and as a picture.
 * Which nodes are the same is match.c's business, and the picture both.c's.
 * Invariant: the text is a function of the two graphs and the options. */
#include "autograd/graph_diff.h"

#include "autograd/draw/match.h"
#include "autograd/draw/plain.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/io/file.h"
#include "tensor/io/writer.h"

#include <errno.h>
#include <string.h>

/* --- Counts ------------------------------------------------------------------------------- */

static ct_graph_difference count(const cti_match *m) {
    ct_graph_difference d = {0};
    for (int64_t i = 0; i < m->pictures[0].n_nodes; i++) {
        bool alone = m->partner[0][i] < 0;
        ++*(alone ? &d.only_first : m->changes[i] ? &d.changed : &d.unchanged);
    }
    for (int64_t i = 0; i < m->pictures[1].n_nodes; i++) d.only_second += m->partner[1][i] < 0;
    return d;
}

/* --- Text --------------------------------------------------------------------------------- */

/* All of a module's nodes of one order of derivatives, or all that belong to none. */
typedef struct {
    int64_t first, last; /* nodes, linked by `next` */
    int64_t counts[4];   /* by look */
    int64_t hidden;      /* views that are not shown */
} group;

typedef struct {
    cti_writer *out;
    const cti_match *match;
    const ct_graph_diff_options *options;
    const cti_picture *both; /* of all nodes */
    const char *const *names;
    group *groups;
    int64_t *order, n_groups; /* in order of their first nodes */
    int64_t *next;
    int64_t *first; /* the first graph's node of one of `both`; -1: not there */
} report;

static void put(report *r, const char *text) { cti_write_text(r->out, cti_plain(text).text); }

static void put_graph(report *r, int side) {
    cti_write_text(r->out, "'");
    put(r, r->names[side]);
    cti_write_text(r->out, "'");
}

static void pad(report *r, size_t line, int64_t column) {
    int64_t at = 0;
    for (size_t i = line; i < r->out->used; i++) at += (r->out->text[i] & 0xc0) != 0x80;
    do cti_write_text(r->out, " ");
    while (++at < column);
}

/* "loss = sum(·, 0.5) axes 0" */
static void put_label(report *r, const cti_picture_node *node) {
    put(r, node->name);
    if (node->name && node->kind) cti_write_text(r->out, " = ");
    put(r, node->kind);
    put(r, node->operands);
    if (node->detail) cti_write_text(r->out, " "), put(r, node->detail);
}

static void put_module(report *r, const cti_picture_node *node) {
    put(r, node->path ? node->path : "no module");
    cti_write_text(r->out, cti_derivative_names[node->order]);
}

/* What a view is of, where views are left out. */
static int64_t source_of(const report *r, int side, int64_t i) {
    const cti_match *m = r->match;
    const cti_picture *p = &m->pictures[side];
    while (cti_match_passes(&p->nodes[i]) && !r->options->picture.show_views) {
        i = p->arrows[m->arrow[side][i]].from;
    }
    return i;
}

/* "conv2d", and of another module "cnn/conv_1: conv2d". `views`: "broadcast of reshape of sum". */
static void put_operand(report *r, int side, int64_t i, const cti_picture_node *reader,
                        bool views) {
    if (i < 0) {
        cti_write_text(r->out, "none");
        return;
    }
    const cti_match *m = r->match;
    const cti_picture *p = &m->pictures[side];
    int64_t source = source_of(r, side, i);
    for (; i != source; i = p->arrows[m->arrow[side][i]].from) {
        if (views) put_label(r, &p->nodes[i]), cti_write_text(r->out, " of ");
    }
    const cti_picture_node *node = &p->nodes[source];
    const char *path = node->path ? node->path : "", *own = reader->path ? reader->path : "";
    if (strcmp(path, own) != 0 || node->order != reader->order) {
        put_module(r, node);
        cti_write_text(r->out, ": ");
    }
    put_label(r, node);
}

static void put_texts(report *r, const char *what, const char *was, const char *is) {
    cti_write_format(r->out, "; %s ", what);
    put(r, was ? was : "none");
    cti_write_text(r->out, " -> ");
    put(r, is ? is : "none");
}

/* The operands that are not the same, by their numbers. */
static void put_operands(report *r, int64_t i, int64_t k) {
    const cti_match *m = r->match;
    const cti_picture *a = &m->pictures[0], *b = &m->pictures[1];
    int64_t n = m->arrow[0][i + 1] - m->arrow[0][i], others = m->arrow[1][k + 1] - m->arrow[1][k];
    for (int64_t at = 0; at < n || at < others; at++) {
        int64_t was = at < n ? a->arrows[m->arrow[0][i] + at].from : -1;
        int64_t is = at < others ? b->arrows[m->arrow[1][k] + at].from : -1;
        if (was >= 0 && is >= 0 && cti_match_same_operand(m, was, is)) continue;
        bool views = was >= 0 && is >= 0 &&
                     m->partner[0][source_of(r, 0, was)] == source_of(r, 1, is);
        cti_write_format(r->out, "\n      operand %lld: ", (long long)at + 1);
        put_operand(r, 0, was, &a->nodes[i], views);
        cti_write_text(r->out, " -> ");
        put_operand(r, 1, is, &b->nodes[k], views);
    }
}

static void put_changes(report *r, int64_t i, int64_t k) {
    const cti_picture_node *a = &r->match->pictures[0].nodes[i];
    const cti_picture_node *b = &r->match->pictures[1].nodes[k];
    unsigned changes = r->match->changes[i];
    if (changes & CTI_OTHER_NAME) put_texts(r, "name", a->name, b->name);
    if (changes & CTI_OTHER_MODULE) put_texts(r, "module", a->path, b->path);
    if (changes & CTI_OTHER_TYPE) put_texts(r, "type", a->type, b->type);
    if (changes & CTI_OTHER_ATTRIBUTE) {
        if (a->operands || b->operands) put_texts(r, "numbers", a->operands, b->operands);
        if (a->detail || b->detail) put_texts(r, "attributes", a->detail, b->detail);
        else if (!a->operands && !b->operands) cti_write_text(r->out, "; attributes");
    }
    if (changes & CTI_OTHER_ROOT) {
        cti_write_text(r->out, "; a root only in ");
        put_graph(r, b->root);
    }
    if (changes & CTI_OTHER_OPERANDS) put_operands(r, i, k);
}

static void put_node(report *r, int64_t u) {
    const cti_picture_node *node = &r->both->nodes[u];
    int64_t i = r->first[u];
    const cti_picture_node *shown = i < 0 ? node : &r->match->pictures[0].nodes[i];
    size_t line = r->out->used;
    cti_write_format(r->out, "  %s", cti_side_marks[cti_look_of(node->side)]);
    put_label(r, shown);
    if (shown->slot) cti_write_text(r->out, " (slot)");
    pad(r, line, 44);
    put(r, shown->type);
    if (node->side == CTI_CHANGED) put_changes(r, i, r->match->partner[0][i]);
    cti_write_text(r->out, "\n");
}

/* Views are left out unless they changed themselves; what reads them says where they are. */
static bool is_hidden(const report *r, int64_t u) {
    const cti_picture_node *node = &r->both->nodes[u];
    if (r->options->picture.show_views || !cti_match_passes(node)) return false;
    return node->side != CTI_CHANGED || r->match->changes[r->first[u]] == CTI_OTHER_OPERANDS;
}

static void put_counts(report *r, const int64_t counts[4], const char *const words[4]) {
    const char *between = "";
    static const int looks[] = {CTI_LOOK_FIRST, CTI_LOOK_SECOND, CTI_LOOK_CHANGED, CTI_LOOK_SAME};
    for (int at = 0; at < 4; at++) {
        int look = looks[at];
        if (counts[look] == 0) continue;
        cti_write_format(r->out, "%s%lld %s", between, (long long)counts[look], words[look]);
        if (look == CTI_LOOK_FIRST || look == CTI_LOOK_SECOND) put_graph(r, look - 1);
        between = ", ";
    }
    cti_write_text(r->out, "\n");
}

static const char *const words[4] = {
    [CTI_LOOK_SAME] = "unchanged",
    [CTI_LOOK_FIRST] = "only in ",
    [CTI_LOOK_SECOND] = "only in ",
    [CTI_LOOK_CHANGED] = "changed",
};

static void put_group(report *r, const group *g) {
    const int64_t *n = g->counts;
    if (n[CTI_LOOK_FIRST] + n[CTI_LOOK_SECOND] + n[CTI_LOOK_CHANGED] == 0) return;
    put_module(r, &r->both->nodes[g->first]);
    cti_write_text(r->out, ": ");
    put_counts(r, n, words);
    if (r->options->picture.level == CT_DOT_MODULES) return;
    for (int64_t u = g->first; u >= 0; u = r->next[u]) {
        if (r->both->nodes[u].side != CTI_BOTH && !is_hidden(r, u)) put_node(r, u);
    }
    if (g->hidden)
        cti_write_format(r->out, "    and %lld view%s\n", (long long)g->hidden,
                         g->hidden == 1 ? "" : "s");
}

static void group_nodes(report *r) {
    for (int64_t u = 0; u < r->both->n_nodes; u++) {
        const cti_picture_node *node = &r->both->nodes[u];
        int64_t at = 4 * (node->frame + 1) + node->order;
        group *g = &r->groups[at];
        cti_look look = cti_look_of(node->side);
        bool empty = g->counts[0] + g->counts[1] + g->counts[2] + g->counts[3] == 0;
        if (empty) r->order[r->n_groups++] = at;
        *(empty ? &g->first : &r->next[g->last]) = u;
        g->last = u;
        g->counts[look]++;
        g->hidden += look != CTI_LOOK_SAME && is_hidden(r, u);
        r->next[u] = -1;
    }
}

static void put_sum(report *r) {
    ct_graph_difference d = count(r->match);
    if (d.only_first + d.only_second + d.changed == 0) {
        cti_write_format(r->out, "equal: %lld nodes\n", (long long)d.unchanged);
        return;
    }
    int64_t counts[4] = {d.unchanged, d.only_first, d.only_second, d.changed};
    cti_write_text(r->out, "\n");
    put_counts(r, counts, words);
}

static ct_status make_room(report *r, cti_zone *zone) {
    size_t n = (size_t)r->both->n_nodes, groups = 4 * (size_t)(r->both->n_frames + 1);
    int64_t *room = cti_zone_alloc(zone, 2 * n + groups, sizeof *room);
    r->groups = cti_zone_alloc(zone, groups, sizeof *r->groups);
    if (!room || !r->groups) return CT_ERR_MEMORY;
    r->next = room, r->first = room + n, r->order = room + 2 * n;
    return CT_OK;
}

/* The first graph's nodes stand in `both` in their own order. */
static ct_status put_report(report *r) {
    cti_picture both;
    cti_zone zone = {0};
    ct_status status = cti_picture_both(&both, r->match, r->match->pictures, r->names);
    r->both = &both;
    if (status == CT_OK) status = make_room(r, &zone);
    for (int64_t u = 0, i = 0; u < both.n_nodes && status == CT_OK; u++) {
        r->first[u] = both.nodes[u].side == CTI_SECOND ? -1 : i++;
    }
    if (status == CT_OK) {
        group_nodes(r);
        if (r->options->picture.title) {
            put(r, r->options->picture.title);
            cti_write_text(r->out, "\n");
        }
        for (int64_t g = 0; g < r->n_groups; g++) put_group(r, &r->groups[r->order[g]]);
        put_sum(r);
        status = r->out->status;
    }
    cti_zone_free(&zone);
    cti_picture_free(&both);
    r->both = NULL;
    return status;
}

/* --- The whole ---------------------------------------------------------------------------- */

static ct_status check(const char *function, const char *side, const char *array,
                       ct_tensor *const roots[], int64_t n) {
    if (!roots) return ct_fail(CT_ERR_NULL, "%s: '%s' is NULL", function, array);
    if (n < 1) return ct_fail(CT_ERR_RANGE, "%s: the %s graph has no root", function, side);
    for (int64_t r = 0; r < n; r++) {
        if (!roots[r]) {
            return cti_null("%s: root %lld of the %s graph is NULL", function, (long long)r, side);
        }
    }
    return CT_OK;
}

static ct_status match(cti_match *m, const char *function, ct_tensor *const first[],
                       int64_t n_first, ct_tensor *const second[], int64_t n_second) {
    *m = (cti_match){0};
    ct_status status = check(function, "first", "first", first, n_first);
    if (status == CT_OK) status = check(function, "second", "second", second, n_second);
    if (status != CT_OK) return status;
    return cti_match_new(m, function, first, n_first, second, n_second);
}

static const char *or_else(const char *name, const char *standard) {
    return name ? name : standard;
}

ct_status ct_graph_diff(ct_tensor *const first[], int64_t n_first, ct_tensor *const second[],
                        int64_t n_second, ct_graph_difference *out) {
    CTI_CALLED;
    if (!out) return ct_fail(CT_ERR_NULL, "ct_graph_diff: 'out' is NULL");
    cti_match m;
    ct_status status = match(&m, "ct_graph_diff", first, n_first, second, n_second);
    if (status == CT_OK) *out = count(&m);
    cti_match_free(&m);
    return status;
}

ct_status ct_graph_diff_write(FILE *out, ct_tensor *const first[], int64_t n_first,
                              ct_tensor *const second[], int64_t n_second,
                              ct_graph_diff_options options) {
    CTI_CALLED;
    static const char function[] = "ct_graph_diff_write";
    if (!out) return ct_fail(CT_ERR_NULL, "%s: 'out' is NULL", function);
    const char *names[] = {or_else(options.first, "first"), or_else(options.second, "second")};
    cti_match m;
    cti_writer text = {0};
    report r = {.out = &text, .match = &m, .options = &options, .names = names};
    ct_status status = match(&m, function, first, n_first, second, n_second);
    if (status == CT_OK) status = put_report(&r);
    if (status == CT_OK && (fwrite(text.text, 1, text.used, out) != text.used || fflush(out))) {
        status = ct_fail(CT_ERR_IO, "%s: %s", function, cti_system_error(errno));
    }
    cti_free(text.text);
    cti_match_free(&m);
    return status;
}

/* What ct_graph_diff_save was called with. */
typedef struct {
    const char *path;
    ct_tensor *const *roots[2];
    int64_t n[2];
    const char *names[2];
    cti_match match;
} call;

static const char saves[] = "ct_graph_diff_save";

/* What is shown of each graph: ops in frames, which are merged afterwards. */
static ct_status show(cti_picture shown[2], const call *r, ct_dot_options options) {
    if (options.level == CT_DOT_MODULES) options.max_nodes = INT64_MAX;
    options.level = CT_DOT_OPS;
    options.clusters = options.unfold = true;
    options.profile = false;
    options.shadow = NULL;
    for (int s = 0; s < 2; s++) {
        ct_status status = cti_picture_of_part(&shown[s], saves, r->roots[s], r->n[s], &options,
                                               NULL);
        if (status != CT_OK) return status;
    }
    if (shown[0].n_nodes + shown[1].n_nodes > 0) return CT_OK;
    return cti_picture_refuse(saves, r->roots[0], r->n[0], &options);
}

static ct_status save(void *context, const ct_dot_options *options, bool again, bool *slow) {
    call *r = context;
    cti_picture shown[2] = {{0}}, both = {0};
    ct_status status = show(shown, r, *options);
    if (status == CT_OK) status = cti_picture_both(&both, &r->match, shown, r->names);
    if (status == CT_OK && options->level == CT_DOT_MODULES) {
        status = cti_picture_merge(&both, options->depth);
    }
    if (status == CT_OK) status = cti_picture_save(&both, saves, r->path, again, slow);
    for (int s = 0; s < 2; s++) cti_picture_free(&shown[s]);
    cti_picture_free(&both);
    return status;
}

ct_status ct_graph_diff_save(const char *path, ct_tensor *const first[], int64_t n_first,
                             ct_tensor *const second[], int64_t n_second,
                             ct_graph_diff_options options) {
    CTI_CALLED;
    if (!path) return ct_fail(CT_ERR_NULL, "%s: 'path' is NULL", saves);
    call r = {.path = path,
              .roots = {first, second},
              .n = {n_first, n_second},
              .names = {or_else(options.first, "first"), or_else(options.second, "second")}};
    ct_status status = match(&r.match, saves, first, n_first, second, n_second);
    if (status == CT_OK) status = cti_save_coarser(save, &r, options.picture);
    cti_match_free(&r.match);
    return status;
}
