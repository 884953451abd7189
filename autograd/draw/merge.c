/* Modules as boxes: a picture of ops with the ops of each module merged into one.
 * It looks at no graph and knows no format.
 * Invariant: every node of the picture before stands for itself or is part of one box, and every
 * value that passes between boxes is counted in one arrow. */
#include "autograd/draw/picture.h"
#include "tensor/base/alloc.h"

#include <math.h>
#include <string.h>

/* Of the new picture's boxes. */
typedef struct {
    int64_t ops[2];       /* of a comparison's graphs; else twice the same */
    int64_t sums[2];      /* over ranks */
    int64_t gradients[2]; /* of a derivative: what leaves it for no other derivative */
    bool repeated;        /* it stands for several, with so many ops each */
} box_count;

/* Where a node's value goes: nowhere, into a higher derivative, out as a root or to what has no
 * derivative as gradients do, or on to another box of its derivative. */
enum { STAYS, CARRIED, LEAVES, PASSED_ON };

/* Arrays go by the number of a node, but `merged` and `box` by that of a group: a frame, or after
 * those a node that stands for all that hang together with it outside of the frames. */
typedef struct {
    cti_picture *p;
    const cti_picture_node *before; /* the nodes that are merged */
    int depth;
    int64_t *group;  /* -1: it stands for itself */
    int64_t *box;    /* of the groups: its number in the new picture, or -1 */
    int64_t *number; /* in the new picture */
    int64_t *last;   /* of the new picture: the node before whose value is shown */
    box_count *count;
    bool gathered[4]; /* by order: what is outside is one box */
    char *goes;       /* of the nodes before: see above */
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

enum { MOST_OUTSIDE = 8 };

/* Derivatives outside of all modules that fall into more parts than that are one: as of the sum of
 * squares of all gradients, which has a part for each. */
static void gather(merging *m) {
    const cti_picture *p = m->p;
    int64_t parts[4] = {0}, first[4] = {-1, -1, -1, -1};
    for (int64_t i = 0; i < p->n_nodes; i++) {
        int order = p->nodes[i].order;
        parts[order] += m->group[i] == i;
        if (first[order] < 0) first[order] = m->group[i];
    }
    for (int64_t i = 0; i < p->n_nodes; i++) {
        int order = p->nodes[i].order;
        m->gathered[order] = order > 0 && parts[order] > MOST_OUTSIDE;
        if (m->group[i] >= 0 && m->gathered[order]) m->group[i] = first[order];
    }
}

static void choose_groups(merging *m) {
    const cti_picture *p = m->p;
    cti_picture_leaders(p, m->group);
    gather(m);
    for (int64_t i = 0; i < p->n_nodes; i++) {
        int64_t frame = p->nodes[i].frame;
        bool in_pass = frame >= 0 && p->frames[frame].pass >= 0;
        bool led = m->group[i] >= 0 && !in_pass;
        m->group[i] = led ? p->n_frames + m->group[i] : closed_frame(m, frame);
    }
}

/* --- Boxes -------------------------------------------------------------------------------- */

static const char *text_of(cti_picture *p, const char *first, const char *second) {
    size_t size = strlen(first) + strlen(second) + 1;
    char *text = cti_zone_alloc(&p->zone, size, 1);
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
        node.name = frame->pass >= 0 ? NULL
                                     : text_of(m->p, frame->name ? frame->name : "steps",
                                               cti_derivative_names[frame->order]);
        node.pass = frame->pass, node.passes = frame->pass >= 0;
        if (frame->count > 1) {
            char times[40];
            snprintf(times, sizeof times, "\n%lld times", (long long)frame->count);
            m->count[m->box[g]].repeated = true;
            node.name = node.name ? text_of(m->p, node.name, times) : NULL;
        }
        node.kind = NULL;
        node.frame = frame->parent;
        if (frame->pass < 0) node.order = frame->order; /* else that of its first op */
    } else if (m->gathered[node.order]) {
        node.frame = -1;
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

/* How often a node stands in its group, where steps were folded. */
static int64_t times_in_group(const merging *m, int64_t i) {
    const cti_picture_frame *frames = m->p->frames;
    int64_t times = 1;
    for (int64_t f = m->p->nodes[i].frame; f >= 0 && f != m->group[i]; f = frames[f].parent) {
        if (frames[f].count > 1) times *= frames[f].count;
    }
    return times;
}

/* In the graphs that a node is in. */
static void count_node(const cti_picture_node *node, int64_t times, int64_t count[2]) {
    if (node->side != CTI_SECOND) count[0] += times;
    if (node->side != CTI_FIRST) count[1] += times;
}

static void count_op(const merging *m, int64_t i, box_count *count) {
    const cti_picture_node *node = &m->p->nodes[i];
    if (node->shape == CTI_ELLIPSE || m->group[i] < 0) return;
    count_node(node, times_in_group(m, i), count->ops);
    if (node->sums) count_node(node, times_in_group(m, i), count->sums);
}

/* The last value of a group that another uses, or that is a root, is what it makes. */
static void number_nodes(merging *m, cti_picture_node nodes[]) {
    cti_picture *p = m->p;
    int64_t count = 0;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        int64_t g = m->group[i];
        if (g < 0 || m->box[g] < 0) {
            if (g >= 0) m->box[g] = count;
            nodes[count] = box_of(m, i);
            m->last[count] = -1;
            m->number[i] = count++;
        } else {
            m->number[i] = m->box[g];
            nodes[m->box[g]].bytes += p->nodes[i].bytes;
            double *share = &nodes[m->box[g]].share, own = p->nodes[i].share;
            *share = p->shadowed ? fmax(*share, own) : *share + own;
        }
        int64_t box = m->number[i];
        count_op(m, i, &m->count[box]);
        nodes[box].side |= p->nodes[i].side;
        if (g < 0) continue;
        nodes[box].root |= p->nodes[i].root;
        if (p->nodes[i].root) m->goes[i] = LEAVES;
    }
    p->n_nodes = count;
}

/* An operand's number is of no use for a box of several ops. */
static void merge_arrows(merging *m) {
    cti_picture *p = m->p;
    int64_t kept = 0;
    for (int64_t k = 0; k < p->n_arrows; k++) {
        cti_picture_arrow arrow = p->arrows[k];
        int64_t from = arrow.from, to = arrow.to;
        arrow.from = m->number[from];
        arrow.to = m->number[to];
        if (arrow.from == arrow.to) continue;
        char goes = arrow.carried                                  ? CARRIED
                    : m->before[from].order == m->before[to].order ? PASSED_ON
                                                                   : LEAVES;
        if (m->goes[from] < goes) m->goes[from] = goes;
        if (m->group[to] >= 0) arrow.operand = 0;
        p->arrows[kept++] = arrow;
    }
    p->n_arrows = kept;
    cti_picture_join_arrows(p);
}

/* --- Words -------------------------------------------------------------------------------- */

/* A box shows the last value that leaves it; of a derivative, the last that goes farthest: what
 * the module before it takes up, and beside it how many gradients there are. */
static void choose_values(merging *m, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int64_t box = m->number[i], shown = m->last[box];
        if (m->group[i] < 0 || m->goes[i] == STAYS) continue;
        bool derived = m->before[i].order > 0;
        if (derived && m->goes[i] == LEAVES) count_node(&m->before[i], 1, m->count[box].gradients);
        if (shown < 0 || !derived || m->goes[i] >= m->goes[shown]) m->last[box] = i;
    }
}

/* "14", or of a comparison "14 → 15": in each graph, where both have some. */
typedef struct {
    char text[64];
    int64_t most;
} count_text;

static count_text show_count(const int64_t count[2]) {
    long long first = count[0], second = count[1];
    count_text shown = {.most = count[0] > count[1] ? count[0] : count[1]};
    if (first != second && first > 0 && second > 0) {
        snprintf(shown.text, sizeof shown.text, "%lld \xe2\x86\x92 %lld", first, second);
    } else {
        snprintf(shown.text, sizeof shown.text, "%lld", (long long)shown.most);
    }
    return shown;
}

/* "[32,13,13,32] f32, 2 gradients, 14 ops, 2 sums over ranks": the value, what leaves besides, and
 * ops of one of its repetitions. */
static const char *type_of(merging *m, int64_t box, const char *value) {
    const box_count *count = &m->count[box];
    count_text gradients = show_count(count->gradients), ops = show_count(count->ops);
    count_text sums = show_count(count->sums);
    bool alone = m->goes[m->last[box]] == LEAVES;
    bool first = alone && gradients.most > 1; /* its number stands for the value too */
    char text[192] = "";
    size_t used = 0;
    if (gradients.most > alone) {
        used = (size_t)snprintf(text, sizeof text, "%s%s gradient%s", first ? "" : ", ",
                                gradients.text, gradients.most == 1 ? "" : "s");
    }
    if (ops.most > 1) {
        used += (size_t)snprintf(text + used, sizeof text - used, ", %s ops%s", ops.text,
                                 count->repeated ? " each" : "");
    }
    if (sums.most > 0) {
        snprintf(text + used, sizeof text - used, ", %s sum%s over ranks", sums.text,
                 sums.most == 1 ? "" : "s");
    }
    return text_of(m->p, first ? "" : value, text);
}

/* What is written into the boxes, once all is known. */
static ct_status describe(merging *m, cti_picture_node nodes[]) {
    for (int64_t i = 0; i < m->p->n_nodes; i++) {
        cti_picture_node *node = &nodes[i];
        node->origin = node->origin < 0 ? -1 : m->number[node->origin];
        if (node->origin == i) node->origin = -1;
        if (m->last[i] < 0) continue;
        const cti_picture_node *value = &m->before[m->last[i]];
        node->type = type_of(m, i, value->type);
        if (!node->type) return CT_ERR_MEMORY;
        node->varies = value->varies;
        node->sums = false;
        if (node->outside && node->kind) node->name = value->name, node->kind = value->kind;
        int64_t g = m->group[m->last[i]];
        bool is_pass = g < m->p->n_frames && m->p->frames[g].pass >= 0;
        if (is_pass) node->detail = value->name ? value->name : value->kind;
    }
    return CT_OK;
}

/* --- The whole ---------------------------------------------------------------------------- */

static ct_status merge(merging *m, int64_t *numbers, cti_picture_node nodes[]) {
    cti_picture *p = m->p;
    int64_t n = p->n_nodes, groups = n + p->n_frames;
    m->group = numbers, m->number = numbers + n, m->last = numbers + 2 * n;
    m->box = numbers + 3 * n;
    for (int64_t g = 0; g < groups; g++) m->box[g] = -1;
    choose_groups(m);
    if (share_out(m) != CT_OK) return CT_ERR_MEMORY;
    number_nodes(m, nodes);
    merge_arrows(m);
    choose_values(m, n);
    ct_status status = describe(m, nodes);
    p->nodes = nodes;
    p->modules = true;
    cti_picture_mark_frames(p);
    return status;
}

ct_status cti_picture_merge(cti_picture *p, int depth) {
    merging m = {.p = p, .before = p->nodes, .depth = depth};
    size_t n = (size_t)p->n_nodes;
    m.count = cti_zone_alloc(&p->zone, n, sizeof *m.count);
    m.goes = cti_zone_alloc(&p->zone, n, 1);
    cti_picture_node *nodes = cti_zone_alloc(&p->zone, n, sizeof *nodes);
    int64_t *numbers = cti_zone_alloc(&p->zone, 4 * n + (size_t)p->n_frames, sizeof *numbers);
    return nodes && numbers && m.count && m.goes ? merge(&m, numbers, nodes) : CT_ERR_MEMORY;
}

ct_status cti_picture_name_passes(cti_picture *p) {
    for (int64_t i = 0; i < p->n_nodes; i++) {
        cti_picture_node *node = &p->nodes[i];
        if (node->passes == 0) continue;
        char name[96], share[32];
        snprintf(share, sizeof share, ", %d %%", (int)(100 * node->share + 0.5));
        if (node->passes == 1) snprintf(name, sizeof name, "pass %lld", (long long)node->pass);
        else
            snprintf(name, sizeof name, "%lld passes from %lld on", (long long)node->passes,
                     (long long)node->pass);
        node->name = text_of(p, name, share);
        if (!node->name) return CT_ERR_MEMORY;
    }
    return CT_OK;
}
