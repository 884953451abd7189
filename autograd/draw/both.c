/* One picture of two graphs, out of the pictures of each and of which nodes are the same.
 * It matches nothing, and knows no format.
 * Invariant: what stands for a node of a graph is there once; nodes stand in the order of the first
 * graph, with those of the second alone after what they come after there. */
#include "autograd/draw/match.h"

#include "tensor/base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* Arrays for the first and the second graph go by the nodes that are shown. */
typedef struct {
    cti_picture *both;
    const cti_match *match;
    const cti_picture *shown; /* two */
    int64_t *whole[2];        /* the node in the match's pictures; -1: none */
    int64_t *seen[2];         /* the other way round: by the match's nodes */
    int64_t *place[2];        /* in the new picture */
    int64_t *frame;           /* of the second graph: in the new picture */
    bool failed;
} joining;

/* --- Which is which ----------------------------------------------------------------------- */

/* The nodes that are shown stand in the order of all. */
static void find_whole(joining *j, int s) {
    const cti_picture *all = &j->match->pictures[s], *shown = &j->shown[s];
    for (int64_t i = 0; i < all->n_nodes; i++) j->seen[s][i] = -1;
    for (int64_t i = 0, k = 0; i < shown->n_nodes; i++) {
        int64_t at = k;
        while (at < all->n_nodes && all->nodes[at].value != shown->nodes[i].value) at++;
        j->whole[s][i] = at < all->n_nodes ? at : -1;
        if (at == all->n_nodes) continue;
        j->seen[s][at] = i;
        k = at + 1;
    }
}

/* Of a node that is shown: its partner, when that is shown too, and -1 else. */
static int64_t partner_of(const joining *j, int s, int64_t i) {
    int64_t whole = j->whole[s][i];
    int64_t partner = whole < 0 ? -1 : j->match->partner[s][whole];
    return partner < 0 ? -1 : j->seen[1 - s][partner];
}

/* Places of the first graph's nodes, each followed by the second's that come next there and have no
 * partner. `next`: lists of those, after each of the first's and, at its beginning, before all. */
static int64_t place_nodes(joining *j, int64_t *first, int64_t *next, int64_t *last) {
    int64_t n = j->shown[0].n_nodes, after = 0, count = 0;
    for (int64_t i = 0; i <= n; i++) first[i] = last[i] = -1;
    for (int64_t k = 0; k < j->shown[1].n_nodes; k++) {
        int64_t partner = partner_of(j, 1, k);
        if (partner >= 0) {
            after = partner + 1;
            continue;
        }
        next[k] = -1;
        *(first[after] < 0 ? &first[after] : &next[last[after]]) = k;
        last[after] = k;
    }
    for (int64_t i = 0; i <= n; i++) {
        if (i > 0) j->place[0][i - 1] = count++;
        for (int64_t k = first[i]; k >= 0; k = next[k]) j->place[1][k] = count++;
    }
    for (int64_t k = 0; k < j->shown[1].n_nodes; k++) {
        int64_t partner = partner_of(j, 1, k);
        if (partner >= 0) j->place[1][k] = j->place[0][partner];
    }
    return count;
}

/* --- Frames ------------------------------------------------------------------------------- */

static bool same_frame(const cti_picture_frame *a, const cti_picture_frame *b, int64_t parent) {
    return a->parent == parent && a->order == b->order && strcmp(a->name, b->name) == 0;
}

static ct_status join_frames(joining *j) {
    const cti_picture *a = &j->shown[0], *b = &j->shown[1];
    cti_picture *both = j->both;
    both->frames = cti_alloc((size_t)(a->n_frames + b->n_frames), sizeof *both->frames);
    if (!both->frames) return CT_ERR_MEMORY;
    if (a->n_frames) memcpy(both->frames, a->frames, (size_t)a->n_frames * sizeof *a->frames);
    both->n_frames = a->n_frames;
    for (int64_t f = 0; f < b->n_frames; f++) {
        const cti_picture_frame *frame = &b->frames[f];
        int64_t parent = frame->parent < 0 ? -1 : j->frame[frame->parent], k = 0;
        while (k < a->n_frames && !same_frame(&both->frames[k], frame, parent)) k++;
        if (k == a->n_frames) {
            k = both->n_frames++;
            both->frames[k] = *frame;
            both->frames[k].parent = parent;
            if (parent >= 0) both->frames[parent].opened = true;
        }
        j->frame[f] = k;
    }
    return CT_OK;
}

/* --- Nodes -------------------------------------------------------------------------------- */

/* "was -> is", where that differs. */
static const char *both_texts(joining *j, const char *was, const char *is) {
    if (was == is || (was && is && strcmp(was, is) == 0)) return is;
    static const char arrow[] = " \xe2\x86\x92 ";
    was = was ? was : "", is = is ? is : "";
    size_t size = strlen(was) + strlen(is) + sizeof arrow;
    char *text = cti_zone_alloc(&j->both->zone, size, 1);
    if (text) snprintf(text, size, "%s%s%s", was, arrow, is);
    else j->failed = true;
    return text;
}

static unsigned side_of(const joining *j, int s, int64_t i) {
    int64_t whole = j->whole[s][i];
    if (whole < 0) return CTI_BOTH;
    if (j->match->partner[s][whole] < 0) return s ? CTI_SECOND : CTI_FIRST;
    int64_t of_first = s ? j->match->partner[s][whole] : whole;
    return j->match->changes[of_first] ? CTI_CHANGED : CTI_BOTH;
}

static cti_picture_node moved(const joining *j, int s, int64_t i) {
    cti_picture_node node = j->shown[s].nodes[i];
    node.side = side_of(j, s, i);
    if (node.origin >= 0) node.origin = j->place[s][node.origin];
    if (node.frame >= 0 && s) node.frame = j->frame[node.frame];
    return node;
}

static void join_nodes(joining *j) {
    for (int s = 1; s >= 0; s--) {
        for (int64_t i = 0; i < j->shown[s].n_nodes; i++) {
            j->both->nodes[j->place[s][i]] = moved(j, s, i);
        }
    }
    for (int64_t i = 0; i < j->shown[0].n_nodes; i++) {
        int64_t partner = partner_of(j, 0, i);
        cti_picture_node *node = &j->both->nodes[j->place[0][i]];
        if (partner < 0 || node->side == CTI_BOTH) continue;
        const cti_picture_node *is = &j->shown[1].nodes[partner];
        node->name = both_texts(j, node->name, is->name);
        node->operands = both_texts(j, node->operands, is->operands);
        node->detail = both_texts(j, node->detail, is->detail);
        node->type = both_texts(j, node->type, is->type);
        node->root |= is->root;
    }
}

/* --- Arrows ------------------------------------------------------------------------------- */

static int by_ends(const void *a, const void *b) {
    const cti_picture_arrow *x = a, *y = b;
    if (x->to != y->to) return x->to < y->to ? -1 : 1;
    int kind_x = 2 * x->staged + x->carried, kind_y = 2 * y->staged + y->carried;
    if (x->operand != y->operand) return x->operand < y->operand ? -1 : 1;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return (kind_x > kind_y) - (kind_x < kind_y);
}

/* As many arrows of each kind as are in one graph become one arrow of both. */
static void join_arrows(joining *j) {
    cti_picture *both = j->both;
    for (int s = 0; s < 2; s++) {
        for (int64_t k = 0; k < j->shown[s].n_arrows; k++) {
            cti_picture_arrow arrow = j->shown[s].arrows[k];
            arrow.from = arrow.value = j->place[s][arrow.from];
            arrow.to = j->place[s][arrow.to];
            arrow.side = s ? CTI_SECOND : CTI_FIRST;
            both->arrows[both->n_arrows++] = arrow;
        }
    }
    qsort(both->arrows, (size_t)both->n_arrows, sizeof *both->arrows, by_ends);
    int64_t kept = 0;
    for (int64_t k = 0, end; k < both->n_arrows; k = end) {
        int64_t n[2] = {0};
        cti_picture_arrow arrow = both->arrows[k];
        for (end = k; end < both->n_arrows && by_ends(&arrow, &both->arrows[end]) == 0; end++) {
            n[both->arrows[end].side == CTI_SECOND]++;
        }
        int64_t pairs = n[0] < n[1] ? n[0] : n[1];
        for (int64_t i = 0; i < n[0] + n[1] - pairs; i++) {
            arrow.side = i < pairs ? CTI_BOTH : n[0] > n[1] ? CTI_FIRST : CTI_SECOND;
            both->arrows[kept++] = arrow;
        }
    }
    both->n_arrows = kept;
}

/* --- The whole ---------------------------------------------------------------------------- */

static ct_status make_room(joining *j) {
    cti_picture *both = j->both;
    size_t n[2], whole[2], frames = (size_t)j->shown[1].n_frames;
    for (int s = 0; s < 2; s++) {
        n[s] = (size_t)j->shown[s].n_nodes;
        whole[s] = (size_t)j->match->pictures[s].n_nodes;
    }
    ct_status status = cti_picture_new(both, (int64_t)(n[0] + n[1]),
                                       j->shown[0].n_arrows + j->shown[1].n_arrows);
    size_t size = 2 * (n[0] + n[1]) + whole[0] + whole[1] + frames;
    int64_t *room = cti_zone_alloc(&both->zone, size, sizeof *room);
    if (status != CT_OK || !room) return CT_ERR_MEMORY;
    for (int s = 0; s < 2; s++) {
        j->whole[s] = room, j->place[s] = room + n[s], j->seen[s] = room + 2 * n[s];
        room += 2 * n[s] + whole[s];
    }
    j->frame = room;
    return CT_OK;
}

ct_status cti_picture_both(cti_picture *both, const cti_match *match, const cti_picture shown[2],
                           const char *const names[2]) {
    joining j = {.both = both, .match = match, .shown = shown};
    ct_status status = make_room(&j);
    if (status == CT_OK) status = join_frames(&j);
    if (status != CT_OK) return status;
    find_whole(&j, 0), find_whole(&j, 1);
    size_t n = (size_t)shown[0].n_nodes + 1;
    int64_t *lists = cti_zone_alloc(&both->zone, 2 * n + (size_t)shown[1].n_nodes, sizeof *lists);
    if (!lists) return CT_ERR_MEMORY;
    both->n_nodes = place_nodes(&j, lists, lists + 2 * n, lists + n);
    join_nodes(&j);
    join_arrows(&j);
    cti_picture_mark_frames(both);
    both->title = shown[0].title;
    both->joint = shown[0].joint;
    both->left_to_right = shown[0].left_to_right;
    both->legend = shown[0].legend;
    both->sides = names;
    return j.failed ? CT_ERR_MEMORY : CT_OK;
}
