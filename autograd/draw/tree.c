/* Pictures as text: an indented tree of groups, one line for each node, made for terminals of 100
 * columns and for `diff`.
 * What is shown is picture.c's choice.
 * Invariant: nodes are counted within their group, and columns stand where they stand whatever is
 * in them, so what changes in one group leaves the lines of the others as they are. */
#include "autograd/draw/formats.h"
#include "autograd/draw/plain.h"
#include "tensor/base/alloc.h"

#include <string.h>

enum { TYPE_COLUMN = 42, OPERANDS_COLUMN = 64, WIDTH = 100 };

/* Entries are the nodes, after them the frames, and one that holds all the others. */
typedef struct {
    const cti_picture *p;
    cti_writer *out;
    cti_zone zone;
    int64_t all;           /* the entry that holds the others */
    int64_t *first, *last; /* what an entry holds, in order of what comes first; or -1 */
    int64_t *next;         /* after it in what it stands in, or -1 */
    int64_t *number;       /* of a node in its group, by order of derivatives */
    int64_t *arrow;        /* the first that leads to a node; one more for the end */
    int64_t *counts;       /* ops, then leaves, of what an entry holds */
    int64_t *depth;        /* of a frame */
    cti_writer word;       /* an operand, before it is known whether it fits */
    size_t line;           /* where the line begins in out->text */
    int64_t level;         /* how deep the line stands */
} tree;

static int64_t holder_of(const tree *t, int64_t entry) {
    const cti_picture *p = t->p;
    int64_t f = entry < p->n_nodes ? p->nodes[entry].frame : p->frames[entry - p->n_nodes].parent;
    return f < 0 ? t->all : p->n_nodes + f;
}

/* --- The tree ----------------------------------------------------------------------------- */

static bool is_leaf(const cti_picture_node *node) { return node->shape == CTI_ELLIPSE; }

/* A node, and the frames around it that hold nothing yet. */
static void add(tree *t, int64_t entry) {
    for (;;) {
        int64_t holder = holder_of(t, entry), before = t->last[holder];
        *(before < 0 ? &t->first[holder] : &t->next[before]) = entry;
        t->last[holder] = entry;
        if (before >= 0 || holder == t->all) return;
        entry = holder;
    }
}

static void count(tree *t, int64_t i, int64_t numbers[]) {
    const cti_picture_node *node = &t->p->nodes[i];
    t->number[i] = ++numbers[4 * (node->frame + 1) + node->order];
    for (int64_t e = i; e != t->all;) {
        e = holder_of(t, e);
        t->counts[2 * e + is_leaf(node)]++;
    }
}

static ct_status build(tree *t) {
    const cti_picture *p = t->p;
    size_t entries = (size_t)(p->n_nodes + p->n_frames + 1), nodes = (size_t)p->n_nodes;
    size_t frames = (size_t)p->n_frames;
    int64_t *room = cti_zone_alloc(&t->zone, 5 * entries + 2 * nodes + 1 + 5 * frames + 4,
                                   sizeof *room);
    if (!room) return CT_ERR_MEMORY;
    t->all = p->n_nodes + p->n_frames;
    t->first = room, t->last = room + entries, t->next = room + 2 * entries;
    t->counts = room + 3 * entries;
    t->number = room + 5 * entries, t->arrow = t->number + nodes;
    t->depth = t->arrow + nodes + 1;
    int64_t *numbers = t->depth + frames;
    for (size_t e = 0; e < 3 * entries; e++) room[e] = -1;
    for (int64_t f = 0; f < p->n_frames; f++) {
        for (int64_t k = f; k >= 0; k = p->frames[k].parent) t->depth[f]++;
    }
    for (int64_t i = 0, k = 0; i < p->n_nodes; i++) {
        add(t, i);
        count(t, i, numbers);
        while (k < p->n_arrows && p->arrows[k].to == i) k++;
        t->arrow[i + 1] = k;
    }
    return CT_OK;
}

/* --- Lines -------------------------------------------------------------------------------- */

static int64_t width(const cti_writer *text, size_t from) {
    int64_t characters = 0;
    for (size_t at = from; at < text->used; at++) characters += (text->text[at] & 0xc0) != 0x80;
    return characters;
}

static void begin_line(tree *t, const char *mark) {
    t->line = t->out->used;
    cti_write_text(t->out, mark);
    for (int64_t d = 0; d < t->level; d++) cti_write_text(t->out, "| ");
}

/* At least one space. */
static void pad(tree *t, int64_t column) {
    int64_t at = width(t->out, t->line);
    do cti_write_text(t->out, " ");
    while (++at < column);
}

static void put(cti_writer *out, const char *text) { cti_write_text(out, cti_plain(text).text); }

static const char *mark_of(const tree *t, unsigned side) {
    return t->p->sides ? cti_side_marks[cti_look_of(side)] : "";
}

static void put_counts(tree *t, int64_t entry) {
    const int64_t *counts = t->counts + 2 * entry;
    static const char *const one[] = {"op", "leaf"}, *const many[] = {"ops", "leaves"};
    for (int i = 0; i < 2; i++) {
        if (counts[i] == 0) continue;
        cti_write_format(t->out, "%s%lld %s", i && counts[0] ? ", " : "", (long long)counts[i],
                         (counts[i] == 1 ? one : many)[i]);
    }
    cti_write_text(t->out, "\n");
}

static void put_name(cti_writer *out, const cti_picture_frame *frame) {
    put(out, frame->name);
    if (frame->pass >= 0) cti_write_format(out, "pass %lld", (long long)frame->pass);
}

static void put_frame(tree *t, int64_t f) {
    const cti_picture_frame *frame = &t->p->frames[f];
    begin_line(t, mark_of(t, CTI_BOTH));
    put_name(t->out, frame);
    cti_write_text(t->out, cti_derivative_names[frame->order]);
    if (frame->pass >= 0) {
        cti_write_format(t->out, ", %d %% of the time", (int)(100 * frame->share + 0.5));
    }
    cti_write_text(t->out, ": ");
    put_counts(t, t->p->n_nodes + f);
}

static void put_number(const tree *t, cti_writer *out, int64_t i) {
    static const char *const primes[] = {"", "'", "''", "'''"};
    cti_write_format(out, "%lld%s", (long long)t->number[i], primes[t->p->nodes[i].order]);
}

/* --- Operands ----------------------------------------------------------------------------- */

/* The frame around f at this depth. */
static int64_t around(const tree *t, int64_t f, int64_t depth) {
    while (f >= 0 && t->depth[f] > depth) f = t->p->frames[f].parent;
    return f;
}

static bool same_module(const tree *t, int64_t a, int64_t b) {
    const char *x = t->p->frames[a].name, *y = t->p->frames[b].name;
    return a == b || (x && y && strcmp(x, y) == 0);
}

/* The way from one frame's module to another's, as of files: "../pool_1", "/cnn/pool_1". A module
 * and its derivatives are one place, as the primes of their numbers differ. */
static void put_way(const tree *t, cti_writer *out, int64_t from, int64_t to) {
    if (from == to) return;
    int64_t own = from < 0 ? 0 : t->depth[from], depth = to < 0 ? 0 : t->depth[to], common = 0;
    while (common < own && common < depth &&
           same_module(t, around(t, from, common + 1), around(t, to, common + 1))) {
        common++;
    }
    if (common == own && common == depth) return;
    if (common == 0) cti_write_text(out, "/");
    for (int64_t up = common; common > 0 && up < own; up++) cti_write_text(out, "../");
    for (int64_t down = common + 1; down <= depth; down++) {
        put_name(out, &t->p->frames[around(t, to, down)]);
        if (down < depth) cti_write_text(out, "/");
    }
}

static void put_operand(tree *t, const cti_picture_arrow *arrow) {
    const cti_picture *p = t->p;
    cti_writer *word = &t->word;
    word->used = 0;
    if (p->sides && arrow->side != CTI_BOTH) cti_write_bytes(word, mark_of(t, arrow->side), 1);
    if (arrow->staged) cti_write_text(word, "staged ");
    put_way(t, word, p->nodes[arrow->to].frame, p->nodes[arrow->from].frame);
    cti_write_text(word, "#");
    put_number(t, word, arrow->from);
    if (arrow->count > 1) cti_write_format(word, " x %lld", (long long)arrow->count);
    int64_t at = width(t->out, t->line);
    if (at > OPERANDS_COLUMN && at + 1 + width(word, 0) > WIDTH) {
        cti_write_text(t->out, "\n");
        begin_line(t, mark_of(t, CTI_BOTH));
    }
    pad(t, OPERANDS_COLUMN);
    cti_write_bytes(t->out, word->text, word->used);
}

/* --- Nodes -------------------------------------------------------------------------------- */

/* 3* loss = sum(axes 0, 1) */
static void put_label(tree *t, int64_t i) {
    const cti_picture_node *node = &t->p->nodes[i];
    put_number(t, t->out, i);
    cti_write_text(t->out, node->root ? "* " : " ");
    put(t->out, node->name);
    if (node->name && node->kind) cti_write_text(t->out, t->p->joint);
    put(t->out, node->kind);
    put(t->out, node->operands);
    if (node->detail) cti_write_text(t->out, " "), put(t->out, node->detail);
    if (node->slot) cti_write_text(t->out, " (slot)");
}

static void put_node(tree *t, int64_t i) {
    const cti_picture_node *node = &t->p->nodes[i];
    begin_line(t, mark_of(t, node->side));
    put_label(t, i);
    if (node->type) pad(t, TYPE_COLUMN), put(t->out, node->type);
    for (int64_t k = t->arrow[i]; k < t->arrow[i + 1]; k++) put_operand(t, &t->p->arrows[k]);
    cti_write_text(t->out, "\n");
}

/* --- The whole ---------------------------------------------------------------------------- */

static void put_head(tree *t) {
    const cti_picture *p = t->p;
    if (p->title) put(t->out, p->title), cti_write_text(t->out, "\n");
    put_counts(t, t->all);
    cti_write_text(t->out, "#2 is line 2 of the same group, ../a#2 of group a beside it, /a#2 of "
                           "group a, /#2 of none;\n' marks a derivative, * a root\n");
    if (p->sides) {
        cti_write_text(t->out, "- only in '"), put(t->out, p->sides[0]);
        cti_write_text(t->out, "', + only in '"), put(t->out, p->sides[1]);
        cti_write_text(t->out, "', ~ in both, but changed\n");
    }
    cti_write_text(t->out, "\n");
}

/* Down into what an entry holds, else on to the next, else up. */
static void put_entries(tree *t) {
    int64_t entry = t->first[t->all];
    while (entry != t->all) {
        if (entry < t->p->n_nodes) put_node(t, entry);
        else put_frame(t, entry - t->p->n_nodes);
        if (t->first[entry] >= 0) {
            entry = t->first[entry];
            t->level++;
            continue;
        }
        while (entry != t->all && t->next[entry] < 0) {
            entry = holder_of(t, entry);
            t->level--;
        }
        if (entry != t->all) entry = t->next[entry];
    }
}

/* The last line of a comparison in which nothing has a mark. */
static void put_equality(tree *t) {
    bool same = t->p->sides != NULL;
    for (int64_t i = 0; i < t->p->n_nodes && same; i++) {
        same = cti_look_of(t->p->nodes[i].side) == CTI_LOOK_SAME;
    }
    for (int64_t k = 0; k < t->p->n_arrows && same; k++) {
        same = cti_look_of(t->p->arrows[k].side) == CTI_LOOK_SAME;
    }
    if (same) cti_write_text(t->out, "\nno difference\n");
}

void cti_tree_write(const cti_picture *p, cti_writer *out) {
    tree t = {.p = p, .out = out};
    if (build(&t) != CT_OK) out->status = CT_ERR_MEMORY;
    if (out->status == CT_OK) put_head(&t), put_entries(&t), put_equality(&t);
    if (out->status == CT_OK) out->status = t.word.status;
    cti_free(t.word.text);
    cti_zone_free(&t.zone);
}
