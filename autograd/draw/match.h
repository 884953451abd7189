/* Private: which nodes of two graphs are the same. */
#ifndef COTAN_MATCH_H
#define COTAN_MATCH_H

#include "autograd/draw/picture.h"

/* What partners differ in. */
enum {
    CTI_OTHER_NAME = 1,
    CTI_OTHER_MODULE = 2,
    CTI_OTHER_TYPE = 4,
    CTI_OTHER_ATTRIBUTE = 8, /* or number in its formula, or whether a slot holds it */
    CTI_OTHER_OPERANDS = 16,
    CTI_OTHER_ROOT = 32 /* one is a root */
};

/* Of the first graph, then of the second. */
typedef struct {
    cti_picture pictures[2]; /* of all nodes, views included, with frames */
    int64_t *partner[2];     /* in the other graph, or -1 */
    int64_t *arrow[2];       /* the first that leads to a node; one more for the end */
    unsigned *changes;   /* of the first graph's nodes that have partners: in what they differ */
    int64_t *expression; /* of the second's nodes: the first one that is an equal expression */
    cti_zone zone;
} cti_match;

ct_status cti_match_new(cti_match *match, const char *function, ct_tensor *const first[],
                        int64_t n_first, ct_tensor *const second[], int64_t n_second);
void cti_match_free(cti_match *match); /* also after an error */

/* Whether a node of the second graph is to its reader what one of the first is. */
bool cti_match_same_operand(const cti_match *match, int64_t of_first, int64_t of_second);
/* A view that says no more than what it is a view of. */
bool cti_match_passes(const cti_picture_node *node);

/* One picture of both graphs, out of pictures of what is shown of each, which have to outlive it.
 * `names` are those of the graphs. Changed nodes show what they were and are. */
ct_status cti_picture_both(cti_picture *both, const cti_match *match, const cti_picture shown[2],
                           const char *const names[2]);

#endif
