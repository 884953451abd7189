/* Repeated structure drawn once: equal modules that follow each other, and unrolled steps.
 * It looks at no graph and knows no format; what counts as equal is what a box shows.
 * Invariant: a node that goes has a node that stays with the same op, type and order in its place,
 * and every value that is still shown is counted in one arrow. */
#include "autograd/draw/picture.h"

#include "tensor/base/array.h"
#include "tensor/base/hash.h"

#include <string.h>

/* What is worth a frame: equal modules of so many nodes; runs of steps of three ops or more that
 * repeat three times, and of fewer that repeat eight times. */
enum { MODULE_NODES = 8, STEP_OPS = 3, STEP_TURNS = 3, SHORT_STEP_TURNS = 8, LONGEST_STEP = 512 };

/* What stands in a frame and in those in it: nodes from .. to - 1, and perhaps others between. */
typedef struct {
    uint64_t hash;
    int64_t nodes, from, to;
} contents;

typedef struct {
    cti_picture *p;
    uint64_t *signature; /* of a node: what it shows but for its name */
    int64_t *into;       /* the node in whose place it is drawn */
    int64_t *run;        /* what it was folded with, or -1; numbered from 0 on */
    int64_t *turn;       /* the repetition that it is part of */
    int64_t *list;       /* some nodes, in order */
    int64_t *place;      /* in the list, or -1 */
    int64_t *last_use;   /* of what is listed */
    contents *inside;    /* of the frames */
    int64_t runs;
} folding;

/* --- What is equal ---------------------------------------------------------------------------- */

static void sign_nodes(folding *f) {
    for (int64_t i = 0; i < f->p->n_nodes; i++) {
        const cti_picture_node *node = &f->p->nodes[i];
        const char *kind = node->passes ? node->detail : node->kind;
        uint64_t hash = cti_mix_text(cti_mix_text(cti_mix_text(0, kind), node->type),
                                     node->operands);
        hash = cti_mix(cti_mix(hash, (uint64_t)node->shape), (uint64_t)node->order);
        f->signature[i] = cti_mix(cti_mix(hash, node->slot), node->root);
        f->into[i] = i;
        f->run[i] = -1;
    }
}

static void sum_up(folding *f) {
    for (int64_t i = 0; i < f->p->n_nodes; i++) {
        for (int64_t k = f->p->nodes[i].frame; k >= 0; k = f->p->frames[k].parent) {
            contents *c = &f->inside[k];
            if (c->nodes++ == 0) c->from = i;
            c->to = i + 1;
            c->hash = cti_mix(c->hash, f->signature[i]);
        }
    }
}

/* --- Modules ---------------------------------------------------------------------------------- */

static bool is_inside(const cti_picture *p, int64_t frame, int64_t outer) {
    while (frame >= 0 && frame != outer) frame = p->frames[frame].parent;
    return frame == outer;
}

/* The nodes in a frame and those in it, that are still there, into f->list; their number. */
static int64_t list_inside(folding *f, int64_t frame) {
    int64_t n = 0;
    for (int64_t i = f->inside[frame].from; i < f->inside[frame].to; i++) {
        bool here = f->into[i] == i && is_inside(f->p, f->p->nodes[i].frame, frame);
        if (here) f->list[n++] = i;
    }
    return n;
}

/* The next frame beside this one, of the same order; -1: none. */
static int64_t next_sibling(const cti_picture *p, int64_t frame) {
    for (int64_t k = frame + 1; k < p->n_frames; k++) {
        const cti_picture_frame *a = &p->frames[frame], *b = &p->frames[k];
        if (a->parent == b->parent && a->order == b->order && a->pass == b->pass) return k;
    }
    return -1;
}

/* What is not the same each time is not said; the time of passes is that of all. */
static void take_in(folding *f, int64_t kept, int64_t folded) {
    cti_picture_node *node = &f->p->nodes[kept];
    const cti_picture_node *other = &f->p->nodes[folded];
    if (kept == folded) return;
    if (node->detail && (!other->detail || strcmp(node->detail, other->detail) != 0)) {
        node->detail = NULL;
    }
    if (node->passes) node->passes += other->passes, node->share += other->share;
}

/* Folds the n nodes that are listed into others. */
static void fold_list(folding *f, int64_t n, const int64_t onto[], int64_t turn) {
    for (int64_t k = 0; k < n; k++) {
        f->into[f->list[k]] = onto[k];
        f->run[f->list[k]] = f->run[onto[k]] = f->runs;
        f->turn[f->list[k]] = turn;
        take_in(f, onto[k], f->list[k]);
    }
}

static bool same_contents(const contents *a, const contents *b) {
    return a->nodes == b->nodes && a->hash == b->hash;
}

/* Of a frame that was folded itself, or in which something was, nothing is left to be folded. */
static void fold_siblings(folding *f, int64_t first, int64_t kept[]) {
    cti_picture *p = f->p;
    const contents *c = &f->inside[first];
    if (c->nodes < MODULE_NODES) return;
    int64_t turn = 1, k = next_sibling(p, first);
    if (k < 0 || !same_contents(c, &f->inside[k]) || list_inside(f, first) != c->nodes) return;
    memcpy(kept, f->list, (size_t)c->nodes * sizeof *kept);
    for (; k >= 0 && same_contents(c, &f->inside[k]); k = next_sibling(p, k), turn++) {
        if (list_inside(f, k) != c->nodes) break;
        fold_list(f, c->nodes, kept, turn);
    }
    p->frames[first].count = turn;
    if (turn > 1) f->runs++;
}

/* Frames come after those around them. */
static void fold_modules(folding *f, int64_t kept[]) {
    for (int64_t k = 0; k < f->p->n_frames; k++) {
        if (f->p->frames[k].pass < 0) fold_siblings(f, k, kept);
    }
}

/* --- Steps ------------------------------------------------------------------------------------ */

static int64_t list_beside(folding *f, int64_t frame, int order) {
    int64_t n = 0, from = frame < 0 ? 0 : f->inside[frame].from;
    int64_t to = frame < 0 ? f->p->n_nodes : f->inside[frame].to;
    for (int64_t i = from; i < to; i++) {
        const cti_picture_node *node = &f->p->nodes[i];
        bool wanted = node->frame == frame && node->order == order && f->into[i] == i;
        if (wanted && node->shape != CTI_ELLIPSE) f->list[n++] = i;
    }
    return n;
}

/* How often the step of so many listed nodes from `at` on follows itself. */
static int64_t turns_of(const folding *f, int64_t at, int64_t n, int64_t step) {
    int64_t equal = 0;
    while (at + step + equal < n &&
           f->signature[f->list[at + equal]] == f->signature[f->list[at + step + equal]]) {
        equal++;
    }
    return equal / step + 1;
}

/* The step that covers most from `at` on; of several the shortest. 0: none is worth it. */
static int64_t best_step(const folding *f, int64_t at, int64_t n, int64_t *turns) {
    int64_t best = 0, covered = 0;
    for (int64_t step = 1; step <= LONGEST_STEP && at + STEP_TURNS * step <= n; step++) {
        int64_t count = turns_of(f, at, n, step);
        if (count < (step < STEP_OPS ? SHORT_STEP_TURNS : STEP_TURNS)) continue;
        if (count * step <= covered) continue;
        best = step, covered = count * step, *turns = count;
    }
    return best;
}

/* Where each listed node is used last, by place in the list; its own place where it is not. */
static void find_last_uses(folding *f, int64_t n) {
    const cti_picture *p = f->p;
    for (int64_t i = 0; i < p->n_nodes; i++) f->place[i] = -1;
    for (int64_t k = 0; k < n; k++) f->place[f->list[k]] = f->last_use[k] = k;
    for (int64_t k = 0; k < p->n_arrows; k++) {
        int64_t from = f->place[p->arrows[k].from], to = f->place[p->arrows[k].to];
        if (from >= 0 && f->last_use[from] < to) f->last_use[from] = to;
    }
}

/* How many nodes further the run is to begin, so that few bytes pass from one turn to the next:
 * where the first turn is not like the others, what repeats begins in the middle of one. No turn
 * is lost. */
static int64_t shift_of(folding *f, int64_t at, int64_t n, int64_t step, int64_t turns) {
    int64_t best = 0, fewest = INT64_MAX;
    find_last_uses(f, n);
    for (int64_t shift = 0; shift < step; shift++) {
        int64_t cut = at + shift + step, passed = 0;
        if (turns_of(f, at + shift, n, step) < turns) break;
        for (int64_t k = at; k < cut; k++) {
            if (f->last_use[k] >= cut) passed += f->p->nodes[f->list[k]].bytes;
        }
        if (passed > fewest) continue;
        best = shift, fewest = passed;
    }
    return best;
}

/* The nodes of the first turn move into a frame of their own. */
static ct_status fold_run(folding *f, int64_t at, int64_t step, int64_t turns) {
    cti_picture *p = f->p;
    const cti_picture_node *node = &p->nodes[f->list[at]];
    if (!cti_grow(&p->frames, p->n_frames, sizeof *p->frames)) return CT_ERR_MEMORY;
    p->frames[p->n_frames] = (cti_picture_frame){
        .order = node->order, .pass = -1, .parent = node->frame, .count = turns};
    for (int64_t k = 0; k < step * turns; k++) {
        int64_t i = f->list[at + k];
        f->into[i] = f->list[at + k % step];
        f->run[i] = f->runs;
        f->turn[i] = k / step;
        take_in(f, f->into[i], i);
        if (k < step) p->nodes[i].frame = p->n_frames;
    }
    p->n_frames++;
    f->runs++;
    return CT_OK;
}

static ct_status fold_steps(folding *f, int64_t frame, int order) {
    int64_t n = list_beside(f, frame, order), turns;
    ct_status status = CT_OK;
    for (int64_t at = 0; at < n && status == CT_OK;) {
        int64_t step = best_step(f, at, n, &turns);
        if (step == 0) {
            at++;
            continue;
        }
        at += shift_of(f, at, n, step, turns);
        status = fold_run(f, at, step, turns);
        at += step * turns;
    }
    return status;
}

/* Frames hold one order each; beside them all orders stand together. */
static ct_status fold_all_steps(folding *f) {
    int64_t frames = f->p->n_frames;
    ct_status status = CT_OK;
    for (int order = 0; order < 4 && status == CT_OK; order++) {
        for (int64_t k = -1; k < frames && status == CT_OK; k++) {
            bool whole = k < 0 || f->p->frames[k].pass >= 0 || f->p->frames[k].order == order;
            if (whole) status = fold_steps(f, k, order);
        }
    }
    return status;
}

/* --- Parameters ------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

/* The next arrow into `to` from k on that comes from a parameter; -1: none. They stand together. */
static int64_t next_parameter(const cti_picture *p, int64_t k, int64_t to) {
    for (; k >= 0 && k < p->n_arrows && p->arrows[k].to == to; k++) {
        if (p->nodes[p->arrows[k].from].slot) return k;
    }
    return -1;
}

/* Each step has parameters of its own: those of the others go with their steps, where nothing else
 * uses them. The arrays are room for each node. */
static void fold_parameters(folding *f, int64_t into_node[], int64_t elsewhere[]) {
    const cti_picture *p = f->p;
    for (int64_t i = 0; i < p->n_nodes; i++) into_node[i] = -1, elsewhere[i] = 0;
    for (int64_t k = p->n_arrows - 1; k >= 0; k--) {
        into_node[p->arrows[k].to] = k;
        elsewhere[p->arrows[k].from] |= f->run[p->arrows[k].to] < 0;
    }
    for (int64_t i = 0; i < p->n_nodes; i++) {
        if (f->into[i] == i) continue;
        int64_t first = f->into[i];
        int64_t own = next_parameter(p, into_node[i], i);
        int64_t its = next_parameter(p, into_node[first], first);
        while (own >= 0 && its >= 0) {
            int64_t gone = p->arrows[own].from, stays = p->arrows[its].from;
            bool equal = f->signature[gone] == f->signature[stays] &&
                         same_text(p->nodes[gone].name, p->nodes[stays].name);
            if (equal && !elsewhere[gone] && stays < gone) f->into[gone] = stays;
            own = next_parameter(p, own + 1, i);
            its = next_parameter(p, its + 1, first);
        }
    }
}

/* --- What is left ----------------------------------------------------------------------------- */

static void leave_out(folding *f, int64_t number[]) {
    cti_picture *p = f->p;
    int64_t kept = 0;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        if (f->into[i] != i) continue;
        p->nodes[kept] = p->nodes[i];
        number[i] = kept++;
    }
    for (int64_t i = 0; i < p->n_nodes; i++) {
        int64_t at = i;
        while (f->into[at] != at) at = f->into[at]; /* a step within a module that was folded */
        number[i] = number[at];
    }
    p->n_nodes = kept;
    for (int64_t i = 0; i < kept; i++) {
        int64_t origin = p->nodes[i].origin;
        p->nodes[i].origin = origin < 0 ? -1 : number[origin];
    }
}

static void join_arrows(folding *f, const int64_t number[]) {
    cti_picture *p = f->p;
    int64_t kept = 0;
    for (int64_t k = 0; k < p->n_arrows; k++) {
        cti_picture_arrow arrow = p->arrows[k];
        int64_t from = arrow.from, to = arrow.to;
        arrow.again |= f->run[from] >= 0 && f->run[from] == f->run[to] &&
                       f->turn[from] != f->turn[to];
        arrow.from = arrow.value = number[from];
        arrow.to = number[to];
        /* Between two that were folded apart; boxes of passes may stand so before. */
        arrow.again |= from < to && arrow.from > arrow.to;
        if (arrow.from != arrow.to) p->arrows[kept++] = arrow;
    }
    p->n_arrows = kept;
    cti_picture_join_arrows(p);
}

ct_status cti_picture_fold(cti_picture *p) {
    size_t n = (size_t)p->n_nodes;
    int64_t *room = cti_zone_alloc(&p->zone, 8 * n, sizeof *room);
    uint64_t *signature = cti_zone_alloc(&p->zone, n, sizeof *signature);
    contents *inside = cti_zone_alloc(&p->zone, (size_t)p->n_frames, sizeof *inside);
    if (!room || !signature || !inside) return CT_ERR_MEMORY;
    folding f = {.p = p,
                 .signature = signature,
                 .into = room,
                 .run = room + n,
                 .turn = room + 2 * n,
                 .list = room + 3 * n,
                 .place = room + 6 * n,
                 .last_use = room + 7 * n,
                 .inside = inside};
    sign_nodes(&f);
    sum_up(&f);
    fold_modules(&f, room + 4 * n);
    ct_status status = fold_all_steps(&f);
    if (status != CT_OK || f.runs == 0) return status;
    fold_parameters(&f, room + 5 * n, room + 6 * n);
    leave_out(&f, room + 5 * n);
    join_arrows(&f, room + 5 * n);
    cti_picture_mark_frames(p);
    return CT_OK;
}
