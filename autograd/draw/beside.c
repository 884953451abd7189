/* Two pictures as one, each in a frame of its own.
 * It looks at no graph and knows no format.
 * Invariant: nodes, arrows and frames of the second come after those of the first. */
#include "autograd/draw/picture.h"

#include "tensor/base/alloc.h"

#include <stdio.h>
#include <string.h>

/* "as derived: 35 ops, 20512 bytes", and where the other holds nothing "; as evaluated: nothing" */
static const char *title_of(cti_picture *p, const char *title, const char *none) {
    long long ops = 0, bytes = 0;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        if (p->nodes[i].shape != CTI_BOX) continue;
        ops++;
        bytes += p->nodes[i].bytes;
    }
    size_t room = strlen(title) + (none ? strlen(none) : 0) + 100;
    char *text = cti_zone_alloc(&p->zone, room, 1);
    if (text) {
        snprintf(text, room, "%s: %lld ops, %lld bytes%s%s%s", title, ops, bytes, none ? "; " : "",
                 none ? none : "", none ? ": nothing of this" : "");
    }
    return text;
}

/* Moves a picture's numbers, and gives it a frame around everything, which is to be `outer`. */
static void shift(cti_picture *p, int64_t nodes, int64_t frames, int64_t outer) {
    for (int64_t i = 0; i < p->n_nodes; i++) {
        cti_picture_node *node = &p->nodes[i];
        node->frame = node->frame < 0 ? outer : node->frame + frames;
        if (node->origin >= 0) node->origin += nodes;
    }
    for (int64_t k = 0; k < p->n_arrows; k++) {
        p->arrows[k].from += nodes;
        p->arrows[k].to += nodes;
    }
    for (int64_t f = 0; f < p->n_frames; f++) {
        p->frames[f].parent = p->frames[f].parent < 0 ? outer : p->frames[f].parent + frames;
    }
}

/* The items of a, then those of b, then room for `more`. */
static void *joined(cti_zone *zone, const void *a, int64_t n_a, const void *b, int64_t n_b,
                    int64_t more, size_t size) {
    char *all = cti_zone_alloc(zone, (size_t)(n_a + n_b + more), size);
    if (!all) return NULL;
    if (n_a > 0) memcpy(all, a, (size_t)n_a * size);
    if (n_b > 0) memcpy(all + (size_t)n_a * size, b, (size_t)n_b * size);
    return all;
}

ct_status cti_picture_beside(cti_picture *p, const char *title, cti_picture *other,
                             const char *other_title) {
    int64_t frames = p->n_frames + other->n_frames;
    const char *none = other->n_nodes ? NULL : other_title;
    cti_picture_frame first = {.name = title_of(p, title, none), .pass = -1, .parent = -1},
                      second = {
                          .name = title_of(other, other_title, NULL), .pass = -1, .parent = -1};
    shift(other, p->n_nodes, p->n_frames, frames + 1);
    shift(p, 0, 0, frames);
    cti_picture_node *nodes = joined(&p->zone, p->nodes, p->n_nodes, other->nodes, other->n_nodes,
                                     0, sizeof *nodes);
    cti_picture_arrow *arrows = joined(&p->zone, p->arrows, p->n_arrows, other->arrows,
                                       other->n_arrows, 0, sizeof *arrows);
    cti_picture_frame *all = cti_alloc((size_t)frames + 2, sizeof *all);
    if (!nodes || !arrows || !all || !first.name || !second.name) {
        cti_free(all);
        return CT_ERR_MEMORY;
    }
    for (int64_t f = 0; f < p->n_frames; f++) all[f] = p->frames[f];
    for (int64_t f = 0; f < other->n_frames; f++) all[p->n_frames + f] = other->frames[f];
    all[frames] = first, all[frames + 1] = second;
    cti_free(p->frames);
    p->nodes = nodes, p->arrows = arrows, p->frames = all;
    p->n_nodes += other->n_nodes;
    p->n_arrows += other->n_arrows;
    p->n_frames = frames + 2;
    other->n_nodes = other->n_arrows = 0;
    cti_picture_mark_frames(p);
    return CT_OK;
}
