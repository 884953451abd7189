/* Private: which nodes compute which term of a formula. */
#ifndef COTAN_TERMS_H
#define COTAN_TERMS_H

#include "autograd/formulas.h"
#include "tensor/graph/walk.h"

typedef struct {
    uint64_t id;
    int term;
} cti_term_node;

/* What is known of the nodes that were seen; another graph may have been derived from them. */
typedef struct {
    const ct_formula *formula;
    cti_term_node *nodes; /* by id */
    int64_t n;
} cti_terms;

/* term[i] of the walk's nodes, -1 for none: of forward nodes by name, of others by what they were
 * derived from. Error: CT_ERR_MEMORY. */
ct_status cti_terms_find(cti_terms *terms, const cti_walk *walk, int term[]);
void cti_terms_free(cti_terms *terms);

#endif
