/* What differs between two graphs: of a model with and without BatchNorm, in training and in
 * inference, before and after ct_simplify, of two versions of a model.
 *
 *     ct_tensor *y = ct_forward(model, x, CT_TRAINING), *z = ct_forward(model, x, CT_INFERENCE);
 *     ct_graph_diff_options names = {.first = "training", .second = "inference"};
 *     ct_graph_diff_write(stdout, &y, 1, &z, 1, names);
 *     ct_graph_diff_save("diff.svg", &y, 1, &z, 1, names);
 *
 * Nodes of the two graphs are partners when they agree in module, op, order of the derivative,
 * attributes, type, name and all that they are computed from, or all that is computed from them;
 * then, of those that are left, when they agree in themselves and their neighbours, in themselves
 * alone, and at last in all but one of name, type, attributes and module. Of several that agree,
 * the first of one graph is the partner of the first of the other, in post-order. Partners that
 * differ in anything, be it in an operand alone, are changed. Graphs in which each node has a
 * partner and none is changed are equal: the same up to the data of leaves, the order of operands
 * where it does not matter, which of several equal expressions is an operand, and the order of
 * construction. Numbers of formulas count as equal when the six digits are that are shown.
 *
 * It takes O(n log n) for n nodes, and no recursion. Nothing is evaluated. */
#ifndef COTAN_GRAPH_DIFF_H
#define COTAN_GRAPH_DIFF_H

#include <cotan/autograd/dot.h>

CT_C_BEGIN

/* Nodes, views included: without a partner, and pairs of partners. */
typedef struct {
    int64_t only_first, only_second;
    int64_t changed, unchanged;
} ct_graph_difference;

/* Zero is the default everywhere. */
typedef struct {
    const char *first, *second; /* what the graphs are called; NULL: "first", "second" */
    ct_dot_options picture; /* title and level for both: of CT_DOT_MODULES the text has a line */
                            /*   for each module; show_views: in the text too. The others are  */
                            /*   for the picture, but for profile, format and clusters, which  */
                            /*   are always there                                              */
} ct_graph_diff_options;

/* How much differs between all that n_first >= 1 roots depend on and all that n_second do. Errors:
 * CT_ERR_NULL, CT_ERR_RANGE, CT_ERR_MEMORY; then *out is not touched. */
ct_status ct_graph_diff(ct_tensor *const first[], int64_t n_first, ct_tensor *const second[],
                        int64_t n_second, ct_graph_difference *out);
/* The same as text, for each module and its derivatives: a line "- op type" for what only the first
 * graph has, "+" for the second, and "~" for what changed, with what it was and is. Views are
 * counted, but not listed; what reads them is. The last line is the sum, or says that the graphs
 * are equal. The same graphs give the same bytes. Errors besides: CT_ERR_IO. */
ct_status ct_graph_diff_write(FILE *out, ct_tensor *const first[], int64_t n_first,
                              ct_tensor *const second[], int64_t n_second,
                              ct_graph_diff_options options);
/* One picture of both, in the formats of ct_dot_save and with its errors: what both have is grey,
 * what only the first has blue and dashed, what only the second has orange and bold, and what
 * changed black on white; as .txt and .json it says so in words. The legend names the graphs. Of
 * modules, a box that holds something of all is one that changed. */
ct_status ct_graph_diff_save(const char *path, ct_tensor *const first[], int64_t n_first,
                             ct_tensor *const second[], int64_t n_second,
                             ct_graph_diff_options options);

CT_C_END

#endif
