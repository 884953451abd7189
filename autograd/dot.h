/* Pictures of graphs: any graph, forward or derived, as DOT, the language of Graphviz, or as text.
 *
 *     ct_tensor *roots[] = {loss, gradient};
 *     ct_dot_save("graph.svg", roots, 2, (ct_dot_options){.title = "loss and its gradient"});
 *
 * Arrows point from operands to results. Boxes are ops: name, shape, type; ellipses are leaves;
 * golden ones are held by slots (parameters, running statistics). The fill tells what the user
 * built from first, second and higher derivatives; a legend says so. Grey arrows carry a value
 * into the derivative of something else, dashed ones lead to staged updates, and a double frame
 * marks a root. A derived node says in its tooltip which node it was derived from. Nothing is
 * evaluated, unless the picture has `values`.
 *
 * Where data varies between ranks (tensor/varying.h), what varies has a thick frame and says how
 * many rows of all are here, as [4/8,3], octagons are sums over all ranks, and all else is the same
 * on every rank. The graphs of two ranks differ in these numbers alone. */
#ifndef COTAN_DOT_H
#define COTAN_DOT_H

#include <cotan/autograd/formulas.h>
#include <cotan/autograd/shadow.h>
#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* What a box is. */
typedef enum {
    CT_DOT_OPS,     /* an op */
    CT_DOT_MODULES, /* a module, or its derivative beside it; of what belongs to no module, all that
                       hangs together                                                         */
    CT_DOT_PLAN,    /* an op, in frames of the passes that computed it in the last evaluation that
                       was measured, see profile.h; what was not computed stands in none. Of more
                       than 120 nodes a box is a pass, or several that repeat, and the title says
                       so, unless `unfold`                                                       */
} ct_dot_level;

/* Zero is the default everywhere. */
typedef struct {
    const char *title; /* above the picture; any text */
    ct_dot_level level;
    int depth;         /* of CT_DOT_MODULES: modules that hold others are opened to frames this */
                       /*   deep; 0: none                                                       */
    const char *focus; /* a module's path: draw what is in it, and the values that it takes; */
                       /*   NULL: everything                                                 */
    const ct_tensor
        *from;           /* draw what depends on it alone, and the other values that this takes: */
                         /*   with one root, what lies between two tensors; NULL: everything   */
    int orders;          /* draw so many orders: 1 the forward pass alone, 2 the first derivative */
                         /*   too, ...; 0: all                                                    */
    bool left_to_right;  /* otherwise from top to bottom */
    bool show_constants; /* draw unnamed numbers; otherwise they stand in their op's label */
    bool show_views; /* draw reshape, broadcast and the like, small; otherwise only slices are */
    bool unfold;     /* draw repeated steps and equal modules one by one; otherwise once, in a */
                     /*   frame that says how often                                          */
    bool clusters;   /* frames around modules, within each other as they are, and others */
                     /*   around their derivatives                                       */
    bool profile;    /* colour ops by their pass's share of the time, as CT_DOT_PLAN has it, in */
                     /*   whose frames they stand unless `clusters`; nodes that were not        */
                     /*   computed stay white                                                   */
    const ct_shadow_report *shadow; /* of this graph: colour ops by the digits that are lost in  */
                                    /*   them, and say how many; nothing is folded; not with     */
                                    /*   `profile`. Half of f32's digits are as dark as it gets  */
    bool values;                    /* the numbers of nodes of at most 12 elements, rows apart by */
                                    /*   ";", thirds and the like as fractions. All is evaluated  */
                                    /*   for it, and nothing is folded                            */
    const ct_formula *formula;      /* fill by its terms, which stand above; NULL: by order */
    bool no_legend;
    const char *format; /* that ct_dot_write writes, by the endings of ct_dot_save: "txt"; NULL: */
                        /*   "dot"                                                             */
    int64_t max_nodes;  /* more is an error, as nobody could read it; 0: 5000, of a page 100000, */
                        /*   and no limit for .txt and .json                                     */
} ct_dot_options;

/* Writes everything that n >= 1 roots depend on. Nodes are called n0, n1, ... in post-order from
 * the first root on; the text depends on the graph alone, so the same graph gives the same bytes.
 * Names are shown escaped and cut to 120 characters. Errors: CT_ERR_NULL, CT_ERR_RANGE (too many
 * nodes, no such format), CT_ERR_IO, CT_ERR_MEMORY; then nothing is written, short of CT_ERR_IO. */
ct_status ct_dot_write(FILE *out, ct_tensor *const roots[], int64_t n, ct_dot_options options);
/* The same into a file, in the format that its ending names:
 *     .dot            DOT
 *     .svg .png .pdf  a picture, through the program `dot`
 *     .txt            a tree of modules and their derivatives with a line for each node: name, op,
 *                     type, operands; for terminals of 100 columns and for `diff`: what changes in
 *                     a module leaves the lines of the others as they are
 *     .json           for Google's Model Explorer (pip install ai-edge-model-explorer); modules and
 *                     their derivatives are its layers
 *     .html           a page for a browser, see below
 *     .svg .png .pdf  a picture, through the program `dot`
 * A present file is replaced when the new one is complete. Where `dot` takes more than 10 seconds,
 * modules are drawn instead of ops, and then larger ones, and the title says so; the text of what
 * was wanted stands beside the picture, with the ending .dot. It stands there too, and the error
 * names it, when `dot` is not installed, fails, or takes 30 seconds for the largest modules. Errors
 * besides: CT_ERR_RANGE for another ending. */
ct_status ct_dot_save(const char *path, ct_tensor *const roots[], int64_t n,
                      ct_dot_options options);
/* As ct_dot_save, of two graphs beside each other: as it was derived and as it is evaluated, by
 * ct_simplify, with their numbers of ops. For formulas, of which it shows what becomes of terms. A
 * focus of which nothing is left as it is evaluated is drawn as derived, and the title says so. */
ct_status ct_dot_save_both(const char *path, ct_tensor *const roots[], int64_t n,
                           ct_dot_options options);
/* Makes a picture, .svg .png or .pdf by its ending, of a file in DOT. No shell is involved and no
 * name reaches the command line. Errors: CT_ERR_RANGE for another ending; CT_ERR_IO when a file
 * cannot be read or written, or `dot` is missing, fails or takes more than 30 seconds: then
 * picture_path is what it was, and the error names the file with the text. */
ct_status ct_dot_render(const char *dot_path, const char *picture_path);

/* --- Pages -------------------------------------------------------------------------------- */

/* A page is one HTML file for a browser that loads nothing else. Modules and their derivatives are
 * boxes that open by a click; what belongs to no module and hangs together is a box too, and where
 * more than 200 would stand in one, runs of 50 are boxes. An arrow between boxes stands for all
 * between what is in them; a box with more than 16 neighbours has a number in place of arrows. The
 * page zooms, finds names, shows what is known of a node, leads to what it was derived from, and
 * colours by order of derivative, bytes, or with `profile` time. `clusters` and `no_legend` make no
 * difference, and CT_DOT_MODULES leaves the ops out. The program `dot` lays the boxes out; where it
 * is missing, fails or takes more than 30 seconds, they stand in plain rows, and the page says so.
 * Names of any bytes are text there, and nothing else. */

/* A picture of a page: what n >= 1 roots depend on. */
typedef struct {
    const char *title; /* any text, or NULL */
    ct_tensor *const *roots;
    int64_t n;
} ct_page_picture;

/* Writes a page with n >= 1 pictures side by side, such as a model's forward for training and for
 * inference: a group that is opened in one is opened in the others where they have it, and
 * options.title is the page's. ct_dot_save writes pages of one picture. A present file is replaced
 * when the new one is complete. Errors: those of ct_dot_write; nothing is written then. */
ct_status ct_page_save(const char *path, const ct_page_picture pictures[], int64_t n,
                       ct_dot_options options);

CT_C_END

#endif
