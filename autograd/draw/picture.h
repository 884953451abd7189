/* Private: what a picture shows, in no format: nodes, arrows between them, frames around them. */
#ifndef COTAN_PICTURE_H
#define COTAN_PICTURE_H

#include "autograd/dot.h"
#include "autograd/draw/terms.h"
#include "autograd/draw/words.h"
#include "tensor/base/zone.h"

typedef enum { CTI_BOX, CTI_SMALL_BOX, CTI_ELLIPSE } cti_picture_shape;

/* Texts are NULL where there is none. A name and a kind may hold any bytes. */
typedef struct {
    const char *name, *kind; /* "loss", "sum" */
    const char *operands;    /* of the kind: "(·, 0.5)" */
    const char *detail;      /* what its attribute says: "axes 0, 1" */
    const char *path;        /* of the modules around it, "block/conv2d"; may hold any bytes */
    const char *type;        /* "[2] f64"; of a box of several ops with their number below */
    cti_picture_shape shape;
    int order;        /* of the derivative; 3 for all above */
    int term;         /* of the picture's formula, from 1 on; 0: none */
    bool outside;     /* belongs to no module */
    bool root;        /* what was asked for */
    bool slot;        /* held by a slot */
    bool varies;      /* between ranks */
    bool sums;        /* over all ranks */
    double share;     /* of the time that its pass has, in a timed picture; in a shadowed
                               one of half of f32's digits, as they are lost in it */
    int64_t pass;     /* that computes it, in a timed picture, or -1 */
    int64_t passes;   /* of a box of passes: how many from `pass` on; else 0 */
    int64_t bytes;    /* of the value */
    int64_t origin;   /* the node that it was derived from, or -1 */
    int64_t frame;    /* that it stands in, or -1 */
    unsigned side;    /* in a comparison: see below */
    ct_tensor *value; /* that it shows, as long as the graph lives; NULL: none */
} cti_picture_node;

typedef struct {
    int64_t from, to; /* nodes */
    int64_t value;    /* `from` before boxes were merged */
    int operand;      /* its number, from 1 on, where it matters; otherwise 0 */
    bool staged;      /* not computed with `to`: a staged update */
    bool carried;     /* a value of a lower order, used in a derivative */
    bool again;       /* to the next repetition of what was folded */
    int64_t count;    /* values that it stands for */
    unsigned side;    /* in a comparison: see below */
} cti_picture_arrow;

/* In a picture of two graphs, which of them something is in; of a box, what all in it are in. */
enum { CTI_FIRST = 1, CTI_SECOND = 2, CTI_BOTH = 4, CTI_CHANGED = 8 };
/* What it looks like: as what all of it is in, or else as changed. */
typedef enum { CTI_LOOK_SAME, CTI_LOOK_FIRST, CTI_LOOK_SECOND, CTI_LOOK_CHANGED } cti_look;
cti_look cti_look_of(unsigned side);
extern const char *const cti_side_marks[4]; /* by look: "  ", "- ", "+ ", "~ " */

/* Around a module, whose derivatives have frames of their own, or around a pass. */
typedef struct {
    const char *name; /* of the module without those around it; may hold any bytes; or NULL */
    int order;        /* of the derivative, as of a node */
    int64_t pass;     /* or -1 */
    double share;     /* of the time */
    int64_t parent;   /* the frame that it stands in, or -1 */
    uint64_t key;     /* of all of the above, for searches */
    bool opened;      /* holds frames */
    bool empty;       /* neither it nor a frame in it holds a node */
    unsigned side;    /* in a comparison: of all nodes in it */
    int64_t count;    /* equal ones that were folded into it; at most 1: none */
} cti_picture_frame;

/* What comes after a name, by order: "", ", derivative", ... */
extern const char *const cti_derivative_names[4];

/* Nodes in the order of the walk, arrows in that of the nodes they lead to, frames in that of the
 * nodes they begin with. */
typedef struct {
    const char *title;         /* may hold any bytes; or NULL */
    const ct_formula *formula; /* or NULL */
    const char *joint;         /* between a node's name and its kind */
    bool left_to_right, legend;
    bool timed;               /* colours and frames tell where the time went */
    bool shadowed;            /* colours tell where digits are lost */
    bool modules;             /* boxes are modules */
    const char *const *sides; /* of a comparison: what the two graphs are called; else NULL */
    cti_picture_node *nodes;
    cti_picture_arrow *arrows;
    cti_picture_frame *frames;
    int64_t n_nodes, n_arrows, n_frames;
    cti_zone zone; /* all of the above and its texts */
} cti_picture;

/* Makes room for so many nodes and arrows, and for a frame around each node. */
ct_status cti_picture_new(cti_picture *picture, int64_t nodes, int64_t arrows);
/* The picture of everything that n roots depend on, with ops as boxes. `function` is for
 * messages; `terms` holds the nodes of the formula's terms, of other graphs too, or is NULL. */
ct_status cti_picture_of(cti_picture *picture, const char *function, ct_tensor *const roots[],
                         int64_t n, const ct_dot_options *options, cti_terms *terms);
/* The same, but a focus or `from` to which nothing belongs is no error here: the picture is empty.
 * Who cannot have that refuses it, with an error that says which modules there are. */
ct_status cti_picture_of_part(cti_picture *picture, const char *function, ct_tensor *const roots[],
                              int64_t n, const ct_dot_options *options, cti_terms *terms);
ct_status cti_picture_refuse(const char *function, ct_tensor *const roots[], int64_t n,
                             const ct_dot_options *options);
/* Puts two pictures beside each other, each in a frame of that title. The second one, which must
 * live as long, is then empty. What holds nothing is named in the other's title. */
ct_status cti_picture_beside(cti_picture *picture, const char *title, cti_picture *other,
                             const char *other_title);
/* Merges what stands in frames of no others, or deeper than `depth` frames, into one box each, and
 * the ops outside of all that hang together; arrows between the same two boxes become one. */
ct_status cti_picture_merge(cti_picture *picture, int depth);
/* What boxes of passes are called: once it is known which of them stand for several. */
ct_status cti_picture_name_passes(cti_picture *picture);
/* Ops outside of all modules that hand each other values, and have one order, hang together:
 * leader[i] is the first node of those that node i is one of, or -1 when it is no such op. */
void cti_picture_leaders(const cti_picture *picture, int64_t leader[]);
/* Draws equal modules that follow each other, and steps that repeat, once. */
ct_status cti_picture_fold(cti_picture *picture);
/* Makes one arrow of those with the same ends and meaning, and counts their values. */
void cti_picture_join_arrows(cti_picture *picture);
/* Which frames are empty, and of a comparison which graphs they hold something of. */
void cti_picture_mark_frames(cti_picture *picture);
void cti_picture_free(cti_picture *picture); /* also after an error */

/* The formula of a node's derivative, "dx = dy / x", for formats that show it: it is built when it
 * is asked for. NULL where there is none: of boxes of several ops too. An error goes to `out`. */
const char *cti_picture_formula(const cti_picture_node *node, cti_writer *out,
                                char text[CTI_WORDS]);

/* Writes the picture to `out` as DOT, or into a file in the format that its ending names. */
ct_status cti_picture_write(const cti_picture *picture, const char *function, FILE *out);
/* A picture that `dot` takes too long for is no error where `slow` is not NULL: it is set. The text
 * stands beside the picture then, as after other failures, unless it does `again`. */
ct_status cti_picture_save(const cti_picture *picture, const char *function, const char *path,
                           bool again, bool *slow);

/* Makes a picture with some options and saves it so. */
typedef ct_status cti_save(void *request, const ct_dot_options *options, bool again, bool *slow);
/* Does so with larger boxes, and a title that says it, as long as `dot` takes too long. */
ct_status cti_save_coarser(cti_save *save, void *request, ct_dot_options options);

#endif
