/* Pictures as DOT, the language of Graphviz.
 * What is shown is picture.c's choice, and running the program `dot` graphviz.c's.
 * Invariant: the same picture gives the same bytes; what others wrote enters the text only through
 * cti_dot_escape, which makes it valid UTF-8 that Graphviz shows as it was written: no escape
 * sequence, entity or quote of its own has a meaning. */
#include "autograd/draw/formats.h"
#include "autograd/draw/graphviz.h"
#include "tensor/base/alloc.h"
#include "tensor/io/xml.h"

#include <string.h>

enum { LINE = 20 }; /* bytes or escapes, from which on a name is broken */

/* --- Texts of others ---------------------------------------------------------------------- */

/* What the first character of `text` becomes; *length is how many bytes it has. NULL: itself. */
static const char *replacement(const char *text, bool html, size_t *length) {
    *length = 1;
    switch (*text) {
    case '"': return html ? cti_entity(*text) : "\\\"";
    case '\\': return html ? NULL : "\\\\";
    case '\n': return html ? "<br/>" : "\\n";
    case '<':
    case '>': return html ? cti_entity(*text) : NULL;
    case '&': return cti_entity(*text);
    default: return cti_plain_character(text, length);
    }
}

static const char *in_quotes(const char *text, size_t *length) {
    return replacement(text, false, length);
}

static const char *in_html(const char *text, size_t *length) {
    return replacement(text, true, length);
}

cti_dot_text cti_dot_escape(const char *text) {
    cti_dot_text out;
    cti_replace(out.text, text, in_quotes);
    return out;
}

cti_dot_text cti_dot_escape_html(const char *text) {
    cti_dot_text out;
    cti_replace(out.text, text, in_html);
    return out;
}

static void put_escaped(cti_writer *out, const char *text) {
    cti_write_text(out, cti_dot_escape(text).text);
}

/* In lines, which end behind a mark between words when they are long enough. */
static void put_wrapped(cti_writer *out, const char *text) {
    const cti_dot_text escaped = cti_dot_escape(text);
    const char *from = escaped.text;
    int characters = 0;
    for (const char *at = from; *at; at++) {
        if (*at == '&') at += strcspn(at, ";");
        if (*at == '\\' && *++at == 'n') characters = -1;
        if (++characters < LINE || !strchr("/_ -", *at) || !at[1]) continue;
        cti_write_bytes(out, from, (size_t)(at + 1 - from));
        cti_write_text(out, "\\n");
        from = at + 1;
        characters = 0;
    }
    cti_write_text(out, from);
}

/* --- Nodes -------------------------------------------------------------------------------- */

/* By order of the derivative; each is darker than the one before, so that grey tells them too. */
static const char *const fills[4] = {"#e3f0fa", "#fbd3a6", "#a9d59c", "#c4a3dd"};
static const char *const colors[4] = {"#30597a", "#b0651d", "#4a8a3a", "#7a4f96"};
/* Of a formula's terms; they differ for the colour-blind, and circled numbers tell them in grey. */
static const char *const term_fills[CT_TERMS] = {"#bfdcf5", "#fbe3a6", "#c9e8c4",
                                                 "#f6c7cf", "#dccff0", "#e3d9c6"};
static const char *const term_marks[CT_TERMS] = {"①", "②", "③", "④", "⑤", "⑥"};
static const char slot_fill[] = "#ffd966";
/* Muted, and of one lightness, so that they stay behind the others: all arrows from one source have
 * one of them. */
enum { CARRIED = 6 };
static const char *const carried_colors[CARRIED] = {"#a9a9a9", "#8fb0c9", "#c9a58f",
                                                    "#9bb79b", "#b9a3c4", "#c2b280"};

static void put_fill(cti_writer *out, const cti_picture *p, const cti_picture_node *node) {
    const char *fill = node->slot ? slot_fill : p->timed || p->shadowed ? NULL : fills[node->order];
    if (p->formula) fill = node->term ? term_fills[node->term - 1] : "#ffffff";
    if (fill) {
        cti_write_format(out, ", fillcolor=\"%s\"", fill);
        return;
    }
    /* Hue, saturation, value: orange, on which black can be read, and which the colour-blind tell
     * from white. A share of a fifth of the time is as dark as it gets. Whole thousandths, because
     * a locale may write a comma. */
    double share = node->share * (p->shadowed ? 1 : 5);
    cti_write_format(out, ", fillcolor=\"0.080 0.%03d 1.000\"",
                     (int)(800 * (share < 1 ? share : 1)));
}

static void put_indent(cti_writer *out, int depth) {
    for (int i = 0; i < depth; i++) cti_write_text(out, "  ");
}

/* A line for each thing that is known. */
static void put_tooltip(cti_writer *out, const cti_picture_node *node) {
    char formula[CTI_WORDS];
    const struct {
        const char *before, *text;
    } lines[] = {{"", cti_picture_formula(node, out, formula)}, {"in ", node->path}};
    const char *between = ", tooltip=\"";
    for (int i = 0; i < 2; i++) {
        if (!lines[i].text) continue;
        cti_write_format(out, "%s%s", between, lines[i].before);
        put_escaped(out, lines[i].text);
        between = "\\n";
    }
    if (node->origin >= 0) {
        cti_write_format(out, "%sderived from n%lld", between, (long long)node->origin);
        between = "\\n";
    }
    if (*between != ',') cti_write_text(out, "\"");
}

/* What varies between ranks has a thick frame, whatever fills it. */
static const char rank_look[] = ", color=\"#000000\", penwidth=2.2";

static void put_node(cti_writer *out, const cti_picture *p, int64_t i, int depth) {
    static const char *const shapes[] = {
        [CTI_BOX] = "",
        [CTI_SMALL_BOX] = ", fontsize=10, height=0.2, margin=\"0.06,0.02\", color=\"#bbbbbb\"",
        [CTI_ELLIPSE] = ", shape=ellipse",
    };
    const cti_picture_node *node = &p->nodes[i];
    put_indent(out, depth);
    cti_write_format(out, "n%lld [label=\"", (long long)i);
    if (node->term) cti_write_format(out, "%s ", term_marks[node->term - 1]);
    put_wrapped(out, node->name);
    if (node->name && node->kind) cti_write_text(out, p->joint);
    put_escaped(out, node->kind);
    cti_write_format(out, "%s%s", node->operands ? node->operands : "", node->detail ? "\\n" : "");
    put_escaped(out, node->detail);
    cti_write_text(out, node->type ? "\\n" : "");
    put_escaped(out, node->type);
    cti_write_text(out, "\"");
    put_fill(out, p, node);
    cti_write_text(out, shapes[node->shape]);
    if (node->sums) cti_write_text(out, ", shape=octagon");
    if (node->varies) cti_write_text(out, rank_look);
    if (p->sides) cti_dot_node_look(out, node->side);
    if (node->root) cti_write_text(out, ", peripheries=2");
    put_tooltip(out, node);
    cti_write_text(out, "];\n");
}

/* Nodes by frame, and frames by the one around them, as lists: first_node[f + 1], then next_node;
 * -1 ends one. */
typedef struct {
    const cti_picture *p;
    int64_t *first_node, *next_node, *first_frame, *next_frame;
    int64_t *beside; /* of a node: the one on whose rank it is set, or less than 0 */
} nesting;

/* Whether it says which of its ends is higher. */
static bool pushes(const cti_picture_arrow *arrow) { return !arrow->carried && !arrow->again; }

/* What begins in a frame and has one user, there, stands beside it, not above: else the frame would
 * begin on the last rank of the one before it, and could not stand below that. */
static void set_beside(nesting *n) {
    enum { NO_USER = -1, NOT_BESIDE = -2 };
    const cti_picture *p = n->p;
    for (int64_t i = 0; i < p->n_nodes; i++) n->beside[i] = NO_USER;
    for (int64_t k = 0; k < p->n_arrows; k++) {
        if (pushes(&p->arrows[k])) n->beside[p->arrows[k].to] = NOT_BESIDE;
    }
    for (int64_t k = 0; k < p->n_arrows; k++) {
        int64_t from = p->arrows[k].from, to = p->arrows[k].to, frame = p->nodes[from].frame;
        int64_t *beside = &n->beside[from];
        if (!pushes(&p->arrows[k]) || *beside == NOT_BESIDE || *beside == to) continue;
        bool only = *beside == NO_USER && frame >= 0 && p->nodes[to].frame == frame;
        *beside = only ? to : NOT_BESIDE;
    }
}

static bool nest(nesting *n, const cti_picture *p) {
    size_t frames = (size_t)p->n_frames + 1, nodes = (size_t)p->n_nodes;
    int64_t *room = cti_alloc(3 * frames + 2 * nodes, sizeof *room);
    if (!room) return false;
    *n = (nesting){
        p, room, room + 3 * frames, room + frames, room + 2 * frames, room + 3 * frames + nodes};
    set_beside(n);
    for (size_t k = 0; k < 2 * frames; k++) room[k] = -1;
    for (int64_t i = p->n_nodes - 1; i >= 0; i--) {
        int64_t *first = &n->first_node[p->nodes[i].frame + 1];
        n->next_node[i] = *first;
        *first = i;
    }
    for (int64_t k = p->n_frames - 1; k >= 0; k--) {
        if (p->frames[k].empty) continue;
        int64_t *first = &n->first_frame[p->frames[k].parent + 1];
        n->next_frame[k] = *first;
        *first = k;
    }
    return true;
}

/* The first in the order of the layout, in which derivatives are turned; beside each other, of the
 * forward pass. -1: only frames. */
static int64_t first_in(const nesting *n, int64_t f) {
    int64_t first = -1;
    for (int64_t i = n->first_node[f + 1]; i >= 0; i = n->next_node[i]) {
        if (n->p->nodes[i].order == 0) return i;
        first = i;
    }
    return first;
}

/* A title is a box beside the first one in its frame, because arrows go around boxes. */
static void put_title(cti_writer *out, const nesting *n, int64_t f, int depth) {
    const cti_picture_frame *frame = &n->p->frames[f];
    put_indent(out, depth);
    cti_write_format(
        out,
        "t%lld [shape=plaintext, fillcolor=white, fontsize=10, margin=0, width=0, height=0, "
        "label=\"",
        (long long)f);
    put_wrapped(out, frame->name);
    if (frame->name && frame->order > 0) {
        cti_write_format(out, "\\n%s", cti_derivative_names[frame->order] + 2);
    }
    if (frame->count > 1) {
        cti_write_format(out, "%s%lld times", frame->name ? "\\n" : "", (long long)frame->count);
    }
    if (frame->pass >= 0) {
        cti_write_format(out, "pass %lld: %d %% of the time", (long long)frame->pass,
                         (int)(100 * frame->share + 0.5));
    }
    cti_write_text(out, "\"];\n");
    int64_t first = first_in(n, f);
    if (first < 0) return;
    put_indent(out, depth);
    cti_write_format(out, "{rank=same; t%lld; n%lld}\n", (long long)f, (long long)first);
}

/* Recursion is as deep as modules are within each other. */
static void put_inside(cti_writer *out, const nesting *n, int64_t f, int depth);

static void put_frame(cti_writer *out, const nesting *n, int64_t f, int depth) {
    put_indent(out, depth);
    cti_write_format(out, "subgraph cluster_%lld {\n", (long long)f);
    put_indent(out, depth + 1);
    cti_write_text(out, "label=\"\"; margin=5; "); /* or the label is the picture's */
    if (n->p->sides) cti_dot_frame_look(out, n->p->frames[f].side);
    else cti_write_format(out, "color=\"%s\";", colors[n->p->frames[f].order]);
    cti_write_text(out, "\n");
    put_title(out, n, f, depth + 1);
    put_inside(out, n, f, depth + 1);
    put_indent(out, depth);
    cti_write_text(out, "}\n");
}

/* What stands in a frame, or with -1 in none. Frames that came to hold nothing are left out. */
static void put_inside(cti_writer *out, const nesting *n, int64_t f, int depth) {
    for (int64_t i = n->first_node[f + 1]; i >= 0; i = n->next_node[i]) {
        put_node(out, n->p, i, depth);
        if (n->beside[i] < 0) continue;
        put_indent(out, depth);
        cti_write_format(out, "{rank=same; n%lld; n%lld}\n", (long long)i, (long long)n->beside[i]);
    }
    for (int64_t k = n->first_frame[f + 1]; k >= 0; k = n->next_frame[k]) {
        put_frame(out, n, k, depth);
    }
}

/* --- Arrows ------------------------------------------------------------------------------- */

/* Between derivatives arrows point against the order of the layout: what was derived stands beside
 * what it was derived from, and not below the whole forward pass. Those that carry a value over
 * must not push either. */
static bool is_turned(const cti_picture *p, const cti_picture_arrow *arrow) {
    int order = p->nodes[arrow->to].order;
    return order > 0 && p->nodes[arrow->from].order == order;
}

/* Of the operand, or of values, beside the arrow's head: a label in the middle would take a rank of
 * its own. It is white, so that no line crosses it. A count stands between the columns that its
 * arrow connects, or close to it within one, where ranks are; what is short has it above. */
static void put_number(cti_writer *out, const nesting *n, const cti_picture_arrow *arrow,
                       const char *end) {
    bool count = arrow->count > 1;
    if (!count && !arrow->operand) return;
    cti_write_format(out,
                     ", %slabel=<<table border=\"0\" cellspacing=\"0\" "
                     "cellpadding=\"0\" bgcolor=\"white\"><tr><td>%s%lld</td></tr></table>>",
                     end, count ? "x " : "",
                     count ? (long long)arrow->count : (long long)arrow->operand);
    if (n->beside[arrow->from] == arrow->to) {
        cti_write_text(out, ", labelangle=-60, labeldistance=1");
    } else if (count) {
        cti_write_text(out, arrow->carried ? ", labelangle=-20, labeldistance=2.2"
                                           : ", labelangle=-45, labeldistance=1.2");
    }
}

static void put_arrow(cti_writer *out, const nesting *n, const cti_picture_arrow *arrow) {
    const cti_picture *p = n->p;
    bool turned = is_turned(p, arrow);
    cti_write_format(
        out, "  n%lld -> n%lld [color=\"%s\"", (long long)(turned ? arrow->to : arrow->from),
        (long long)(turned ? arrow->from : arrow->to),
        arrow->carried ? carried_colors[arrow->from % CARRIED] : colors[p->nodes[arrow->to].order]);
    if (turned) cti_write_text(out, ", dir=back");
    if (arrow->staged || arrow->again) cti_write_text(out, ", style=dashed");
    if (!pushes(arrow)) cti_write_text(out, ", constraint=false");
    put_number(out, n, arrow, turned ? "tail" : "head");
    if (p->sides) cti_dot_arrow_look(out, arrow);
    cti_write_text(out, "];\n");
}

/* A derivative stands beside what it was derived from, where no frame hinders it. */
static void put_ranks(cti_writer *out, const cti_picture *p) {
    for (int64_t i = 0; i < p->n_nodes && p->modules; i++) {
        int64_t origin = p->nodes[i].origin;
        if (origin < 0 || p->nodes[i].frame >= 0 || p->nodes[origin].frame >= 0) continue;
        cti_write_format(out, "  {rank=same; n%lld; n%lld}\n", (long long)origin, (long long)i);
    }
}

/* --- The whole ---------------------------------------------------------------------------- */

/* Of what occurs: a row of the label. */
static void put_legend(cti_writer *out, const cti_picture *p) {
    static const char *const orders[] = {"forward", "first derivative", "second derivative",
                                         "higher derivatives"};
    bool order[4] = {false}, slots = false, carried = false, staged = false, again = false;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        const cti_picture_node *node = &p->nodes[i];
        *(node->slot ? &slots : &order[node->order]) = true;
    }
    for (int64_t k = 0; k < p->n_arrows; k++) {
        carried |= p->arrows[k].carried;
        staged |= p->arrows[k].staged;
        again |= p->arrows[k].again;
    }
    cti_write_text(out, "<tr>");
    if (p->timed) {
        cti_write_text(out, "<td bgcolor=\"0.08 0.8 1.0\">the darker, the larger the share of the "
                            "time</td>");
    }
    if (p->shadowed) {
        cti_write_text(out, "<td bgcolor=\"0.08 0.8 1.0\">the darker, the more digits are lost in "
                            "f32</td>");
    }
    for (int i = 0; i < 4; i++) {
        if (!order[i] || p->timed || p->shadowed) continue;
        cti_write_format(out, "<td bgcolor=\"%s\">%s</td>", fills[i], orders[i]);
    }
    if (slots) cti_write_format(out, "<td bgcolor=\"%s\">held by a slot</td>", slot_fill);
    if (carried) {
        cti_write_format(out,
                         "<td><font color=\"%s\"><b>\xe2\x86\x92</b></font> value used in a "
                         "derivative</td>",
                         carried_colors[0]);
    }
    if (staged) cti_write_text(out, "<td>\xe2\x87\xa2 staged update</td>");
    if (again) cti_write_text(out, "<td>\xe2\x87\xa2 to the next repetition</td>");
    cti_write_text(out, "</tr>");
}

/* A row on ranks, where something varies. */
static void put_rank_legend(cti_writer *out, const cti_picture *p) {
    bool varies = false, sums = false;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        varies |= p->nodes[i].varies;
        sums |= p->nodes[i].sums;
    }
    if (!varies && !sums) return;
    cti_write_text(out, "<tr><td border=\"2\" color=\"#000000\">varies between ranks: [rows here / "
                        "of all, ..]</td><td border=\"1\" color=\"#666666\">the same on all "
                        "ranks</td>");
    if (sums) cti_write_text(out, "<td>octagon: a sum over all ranks</td>");
    cti_write_text(out, "</tr>");
}

/* The textbook's derivative in one row, each part in its term's colour. */
static void put_closed(cti_writer *out, const ct_formula *formula) {
    cti_write_text(out, "<tr><td colspan=\"8\" align=\"left\"><table border=\"0\" "
                        "cellspacing=\"2\" cellpadding=\"3\"><tr>");
    for (int64_t k = formula->n_terms - 1; k >= 0; k--) {
        if (!formula->terms[k].closed) continue;
        cti_write_format(out, "<td bgcolor=\"%s\">%s ", term_fills[k], term_marks[k]);
        cti_write_text(out, cti_dot_escape_html(formula->terms[k].closed).text);
        cti_write_text(out, "</td>");
    }
    cti_write_text(out, "<td></td></tr></table></td></tr>");
}

/* A row for each term: its colour and number, how it is written, what flows back through it. */
static void put_formula(cti_writer *out, const ct_formula *formula) {
    put_closed(out, formula);
    for (int64_t k = 0; k < formula->n_terms; k++) {
        const ct_term *term = &formula->terms[k];
        cti_write_format(out, "<tr><td bgcolor=\"%s\" align=\"left\">%s ", term_fills[k],
                         term_marks[k]);
        cti_write_text(out, cti_dot_escape_html(term->forward).text);
        cti_write_format(out, "</td><td bgcolor=\"%s\" align=\"left\" colspan=\"7\">",
                         term_fills[k]);
        cti_write_text(out, cti_dot_escape_html(term->derivative).text);
        cti_write_text(out, "</td></tr>");
    }
}

/* Title and legend: the picture's own label, which no arrow crosses. */
static void put_caption(cti_writer *out, const cti_picture *p) {
    if (!p->title && !p->legend && !p->formula) return;
    cti_write_format(out, ", label=<<table border=\"0\" cellspacing=\"3\" cellpadding=\"%d\">",
                     p->formula ? 2 : 4);
    if (p->title) {
        cti_write_text(out, "<tr><td colspan=\"8\" align=\"left\">");
        cti_write_text(out, cti_dot_escape_html(p->title).text);
        cti_write_text(out, "</td></tr>");
    }
    if (p->formula) put_formula(out, p->formula);
    else if (p->legend) p->sides ? cti_dot_sides(out, p) : put_legend(out, p);
    if (p->legend) put_rank_legend(out, p);
    cti_write_text(out, "</table>>");
}

enum { CURVED = 500 }; /* nodes, up to which arrows are curves: routing them is slow */

/* Inches between neighbours, of which arrows that pass between boxes take one each: second
 * derivatives have very many. Counts stand between the columns of modules. */
static const char *spacing(const cti_picture *p) {
    bool passes = false;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        if (p->nodes[i].order > 1) return "0.05";
        passes |= p->nodes[i].passes > 0;
    }
    if (!p->modules || passes) return "0.15";
    return p->left_to_right ? "0.3" : "0.5";
}

/* The limits end a search for shorter arrows that else takes minutes and finds little. Boxes and
 * titles lie above arrows, so that none crosses what is written in them. */
static void put_head(cti_writer *out, const cti_picture *p) {
    cti_write_format(out,
                     "digraph cotan {\n  graph [rankdir=%s, ranksep=%s, nodesep=%s, "
                     "fontname=\"Helvetica\", fontsize=12, labelloc=t, labeljust=l, nslimit=1, "
                     "nslimit1=1, outputorder=edgesfirst%s",
                     p->left_to_right ? "LR" : "TB",
                     p->formula   ? "0.14"
                     : p->modules ? "0.2"
                                  : "0.3",
                     spacing(p), p->n_nodes > CURVED ? ", splines=polyline" : "");
    put_caption(out, p);
    cti_write_text(out, "];\n"
                        "  node [shape=box, style=filled, fontname=\"Helvetica\", fontsize=11, "
                        "height=0.3, margin=\"0.1,0.04\", color=\"#666666\"];\n"
                        "  edge [arrowsize=0.6, fontname=\"Helvetica\", fontsize=10, ");
    cti_write_format(out, "labeldistance=%s, fontcolor=\"#666666\"];\n",
                     p->formula ? "0.9, labelangle=-50" : "1.5"); /* of close ranks between them */
}

void cti_dot_write(const cti_picture *p, cti_writer *out) {
    nesting n;
    if (!nest(&n, p)) {
        out->status = CT_ERR_MEMORY;
        return;
    }
    put_head(out, p);
    put_inside(out, &n, -1, 1);
    put_ranks(out, p);
    for (int64_t k = 0; k < p->n_arrows; k++) put_arrow(out, &n, &p->arrows[k]);
    cti_write_text(out, "}\n");
    cti_free(n.first_node);
}
