/* Private: a picture of a graph in the making. dot.c chooses what is drawn, dot_node.c draws it. */
#ifndef COTAN_DOT_PRIVATE_H
#define COTAN_DOT_PRIVATE_H

#include "autograd/dot.h"
#include "tensor/graph/walk.h"
#include "tensor/io/json.h"

typedef struct {
    ct_dot_options options;
    cti_walk walk;
    /* By place in the walk: */
    bool *root;
    int64_t *target;     /* the node that is drawn in its place; itself unless a collapsed view */
    int64_t *constant;   /* the unnamed number that it is a view of, or -1 */
    int64_t *number;     /* n0, n1, ...; -1 when it is not drawn */
    const char **module; /* the path of its frame; "" outside of all */
    int64_t *pass;       /* the pass that computed it, or -1; with options.profile */
    double *share;       /* of that pass */
    int64_t n_drawn;
    /* What occurs, for the legend: */
    bool shades[4], slots, carried, staged;
    cti_writer out;
} cti_picture;

/* The fills of derivative orders 0, 1, 2 and above, and of what slots hold. */
extern const char *const cti_dot_fills[4];
extern const char cti_dot_slot_fill[];
extern const char cti_dot_carried[]; /* the colour of arrows from a lower order */

static inline bool cti_dot_is_view(const ct_tensor *t) { return t->op && t->op->kind == CT_VIEW; }

void cti_dot_put(cti_picture *p, const char *text);
/* At most 255 bytes. */
void cti_dot_format(cti_picture *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cti_dot_put_escaped(cti_picture *p, const char *text);
/* Item i of the walk, which is drawn; and the arrows of all items. */
void cti_dot_put_node(cti_picture *p, int64_t i, const char *indent);
void cti_dot_put_arrows(cti_picture *p);

#endif
