/* Modules as boxes: a picture of ops with the ops of each module merged into one.
 * It looks at no graph and knows no format.
 * Invariant: every node of the picture before stands for itself or is part of one box, and every
 * value that passes between boxes is counted in one arrow. */
#include "autograd/draw/picture.h"
#include "tensor/base/alloc.h"

#include <math.h>
#include <string.h>

/* Arrays go by the number of a node, but `merged` and `box` by that of a group: a frame, or after
 * those a node that stands for all that hang together with it outside of the frames. */
typedef struct {
    cti_picture *p;
    int depth;
    int64_t *group;  /* -1: it stands for itself */
    int64_t *box;    /* of the groups: its number in the new picture, or -1 */
    int64_t *number; /* in the new picture */
    int64_t *last;   /* of the new picture: the node before whose value is shown */
    int64_t *ops;    /* of the new picture: how many ops it has */
} merging;

/* --- Groups ------------------------------------------------------------------------------- */

/* The outermost frame around the node that is not opened; -1: it stands in none. */
static int64_t closed_frame(const merging *m, int64_t f) {
    const cti_picture_frame *frames = m->p->frames;
    int depth = 0;
    for (int64_t k = f; k >= 0; k = frames[k].parent) depth++;
    int64_t found = -1;
    for (; f >= 0; f = frames[f].parent, depth--) {
        if (!frames[f].opened || depth > m->depth) found = f;
    }
    return found;
}

static bool is_op_outside(const cti_picture_node *node) {
    return node->outside && node->shape != CTI_ELLIPSE;
}

static int64_t first_of(int64_t leader[], int64_t i) {
    while (leader[i] != i) i = leader[i] = leader[leader[i]];
    return i;
}

void cti_picture_leaders(const cti_picture *p, int64_t leader[]) {
    for (int64_t i = 0; i < p->n_nodes; i++) leader[i] = is_op_outside(&p->nodes[i]) ? i : -1;
    for (int64_t k = 0; k < p->n_arrows; k++) {
        int64_t from = p->arrows[k].from, to = p->arrows[k].to;
        if (leader[from] < 0 || leader[to] < 0) continue;
        if (p->nodes[from].order != p->nodes[to].order) continue;
        int64_t a = first_of(leader, from), b = first_of(leader, to);
        leader[a < b ? b : a] = a < b ? a : b;
    }
    for (int64_t i = 0; i < p->n_nodes; i++) {
        if (leader[i] >= 0) leader[i] = first_of(leader, i);
    }
}

static void choose_groups(merging *m) {
    const cti_picture *p = m->p;
    cti_picture_leaders(p, m->group);
    for (int64_t i = 0; i < p->n_nodes; i++) {
        m->group[i] = m->group[i] >= 0 ? p->n_frames + m->group[i]
                                       : closed_frame(m, p->nodes[i].frame);
    }
}

/* --- Boxes -------------------------------------------------------------------------------- */

static const char *text_of(merging *m, const char *first, const char *second) {
    size_t size = strlen(first) + strlen(second) + 1;
    char *text = cti_zone_alloc(&m->p->zone, size, 1);
    if (text) snprintf(text, size, "%s%s", first, second);
    return text;
}

/* A box for a node alone, or the beginning of one for its group. */
static cti_picture_node box_of(merging *m, int64_t i) {
    cti_picture_node node = m->p->nodes[i];
    int64_t g = m->group[i];
    if (g < 0) return node;
    node.shape = CTI_BOX;
    node.slot = node.root = false;
    node.operands = node.detail = NULL;
    node.value = NULL;
    node.pass = -1; /* several */
    if (g < m->p->n_frames) {
        const cti_picture_frame *frame = &m->p->frames[g];
        node.name = text_of(m, frame->name ? frame->name : "steps",
                            cti_derivative_names[frame->order]);
        if (frame->count > 1) {
            char times[40];
            snprintf(times, sizeof times, ", %lld times", (long long)frame->count);
            node.name = node.name ? text_of(m, node.name, times) : NULL;
        }
        node.kind = NULL;
        node.frame = frame->parent;
        node.order = frame->order;
    }
    return node;
}

/* What a node adds to its group: the bytes of an op, and of its pass's time what falls to it. */
static ct_status share_out(merging *m) {
    cti_picture *p = m->p;
    int64_t passes = 0;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        if (p->nodes[i].pass >= passes) passes = p->nodes[i].pass + 1;
    }
    int64_t *ops = cti_zone_alloc(&p->zone, (size_t)passes, sizeof *ops);
    if (!ops) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        if (p->nodes[i].pass >= 0) ops[p->nodes[i].pass]++;
    }
    for (int64_t i = 0; i < p->n_nodes; i++) {
        cti_picture_node *node = &p->nodes[i];
        if (m->group[i] < 0) continue;
        if (node->pass >= 0) node->share /= (double)ops[node->pass];
        if (node->shape == CTI_ELLIPSE) node->bytes = 0;
    }
    return CT_OK;
}

/* The last value of a group that another uses, or that is a root, is what it makes. */
static void number_nodes(merging *m, cti_picture_node nodes[]) {
    cti_picture *p = m->p;
    int64_t count = 0;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        int64_t g = m->group[i];
        if (g < 0 || m->box[g] < 0) {
            nodes[count] = box_of(m, i);
            m->last[count] = -1;
            if (g >= 0) m->box[g] = count;
            m->number[i] = count++;
        } else {
            m->number[i] = m->box[g];
            nodes[m->box[g]].bytes += p->nodes[i].bytes;
            double *share = &nodes[m->box[g]].share, own = p->nodes[i].share;
            *share = p->shadowed ? fmax(*share, own) : *share + own;
        }
        int64_t box = m->number[i];
        m->ops[box] += p->nodes[i].shape != CTI_ELLIPSE;
        nodes[box].side |= p->nodes[i].side;
        if (g < 0) continue;
        nodes[box].root |= p->nodes[i].root;
        if (p->nodes[i].root) m->last[box] = i;
    }
    p->n_nodes = count;
}

/* An operand's number is of no use for a box of several ops. */
static void merge_arrows(merging *m) {
    cti_picture *p = m->p;
    int64_t kept = 0;
    for (int64_t k = 0; k < p->n_arrows; k++) {
        cti_picture_arrow arrow = p->arrows[k];
        int64_t from = arrow.from, g = m->group[arrow.to];
        arrow.from = m->number[from];
        arrow.to = m->number[arrow.to];
        if (arrow.from == arrow.to) continue;
        if (m->group[from] >= 0 && m->last[arrow.from] < from) m->last[arrow.from] = from;
        if (g >= 0) arrow.operand = 0;
        p->arrows[kept++] = arrow;
    }
    p->n_arrows = kept;
    cti_picture_join_arrows(p);
}

/* --- The whole ---------------------------------------------------------------------------- */

/* What is written into the boxes, once all is known. `before`: the nodes of the old picture. */
static ct_status describe(merging *m, cti_picture_node nodes[], const cti_picture_node before[]) {
    for (int64_t i = 0; i < m->p->n_nodes; i++) {
        cti_picture_node *node = &nodes[i];
        node->origin = node->origin < 0 ? -1 : m->number[node->origin];
        if (node->origin == i) node->origin = -1;
        if (m->last[i] < 0) continue;
        const cti_picture_node *value = &before[m->last[i]];
        char ops[40] = "";
        if (m->ops[i] > 1) snprintf(ops, sizeof ops, ", %lld ops", (long long)m->ops[i]);
        node->type = text_of(m, value->type, ops);
        if (!node->type) return CT_ERR_MEMORY;
        if (node->outside && node->kind) node->name = value->name, node->kind = value->kind;
    }
    return CT_OK;
}

static ct_status merge(merging *m, int64_t *numbers, cti_picture_node nodes[]) {
    cti_picture *p = m->p;
    int64_t n = p->n_nodes, groups = n + p->n_frames;
    m->group = numbers, m->number = numbers + n, m->last = numbers + 2 * n,
    m->ops = numbers + 3 * n;
    m->box = numbers + 4 * n;
    for (int64_t g = 0; g < groups; g++) m->box[g] = -1;
    choose_groups(m);
    if (share_out(m) != CT_OK) return CT_ERR_MEMORY;
    number_nodes(m, nodes);
    merge_arrows(m);
    ct_status status = describe(m, nodes, p->nodes);
    p->nodes = nodes;
    p->modules = true;
    cti_picture_mark_empty(p);
    return status;
}

ct_status cti_picture_merge(cti_picture *p, int depth) {
    merging m = {.p = p, .depth = depth};
    size_t n = (size_t)p->n_nodes;
    cti_picture_node *nodes = cti_zone_alloc(&p->zone, n, sizeof *nodes);
    int64_t *numbers = cti_zone_alloc(&p->zone, 5 * n + (size_t)p->n_frames, sizeof *numbers);
    return nodes && numbers ? merge(&m, numbers, nodes) : CT_ERR_MEMORY;
}
