/* Formulas of textbooks, term by term, and which nodes of a graph compute each: what a picture
 * colours, and what tells a wrong term by its name. A term is linked to the graph by a name alone:
 * it is what a tensor of that name is computed from, as far as no term before it is. What was
 * derived from those nodes is the term's derivative.
 *
 *     static const ct_term terms[] = {
 *         {"energy", "E = sum x^2", "dx = 2 x dE", "* x"},
 *         {NULL, "y = a E", "dE = a dy", "dx = 2 a dy"}, // all that is left
 *     };
 *     static const ct_formula formula = {"energy", terms, 2};
 *     ct_tensor *x = ct_full(CT_F32, CT_SHAPE(3), 2);
 *     ct_tensor *energy = ct_name(ct_sum_all(ct_mul(x, x)), "energy");
 */
#ifndef COTAN_FORMULAS_H
#define COTAN_FORMULAS_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

#define CT_TERMS 6 /* at most so many in a formula */

typedef struct {
    const char *node;       /* the name of the tensor that it ends in; NULL: the rest */
    const char *forward;    /* as it is written; UTF-8 */
    const char *derivative; /* what its nodes' derivatives compute */
    const char
        *closed; /* its part of the textbook's derivative, in what other terms' derivatives */
                 /*   give, the last term's first; or NULL                              */
} ct_term;

typedef struct {
    const char *name;
    const ct_term *terms;
    int64_t n_terms;
} ct_formula;

/* y = ct_batch_norm or ct_layer_norm (Ioffe and Szegedy, 2015, arXiv:1502.03167; Ba et al., 2016,
 * arXiv:1607.06450), m values each. */
extern const ct_formula ct_formula_batch_norm, ct_formula_layer_norm;
/* ct_cross_entropy of N rows of scores. */
extern const ct_formula ct_formula_cross_entropy;

CT_C_END

#endif
