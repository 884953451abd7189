/* The nodes of a formula's terms.
 * It knows no formula; names in the graph and origins of derived nodes are all it goes by.
 * Invariant: a node belongs to the first term that it is computed for. */
#include "autograd/draw/terms.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"

#include <stdlib.h>
#include <string.h>

enum { NONE = -1, ASKED = -2 };

static int by_id(const void *a, const void *b) {
    const cti_term_node *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int term_of(const cti_terms *terms, uint64_t id) {
    cti_term_node wanted = {.id = id}, *found = NULL;
    if (terms->n > 0)
        found = bsearch(&wanted, terms->nodes, (size_t)terms->n, sizeof wanted, by_id);
    return found ? found->term : NONE;
}

/* What tensors of this name are computed from, behind no other term. */
static void find_term(const cti_walk *walk, int number, const char *name, int term[]) {
    for (int64_t i = walk->count - 1; i >= 0; i--) {
        const ct_tensor *t = walk->items[i];
        bool wanted = term[i] == ASKED ||
                      (term[i] == NONE && !t->order && (!name || strcmp(t->name, name) == 0));
        if (!t->op || !wanted) continue;
        term[i] = number;
        for (int k = 0; k < t->n_inputs; k++) {
            int *in = &term[t->inputs[k]->index];
            if (*in == NONE) *in = ASKED;
        }
    }
    for (int64_t i = 0; i < walk->count; i++) {
        if (term[i] == ASKED) term[i] = NONE;
    }
}

static ct_status keep(cti_terms *terms, const cti_walk *walk, const int term[]) {
    for (int64_t i = 0; i < walk->count; i++) {
        if (term[i] == NONE) continue;
        if (!cti_grow(&terms->nodes, terms->n, sizeof *terms->nodes)) return CT_ERR_MEMORY;
        terms->nodes[terms->n++] = (cti_term_node){walk->items[i]->id, term[i]};
    }
    if (terms->n > 0) qsort(terms->nodes, (size_t)terms->n, sizeof *terms->nodes, by_id);
    return CT_OK;
}

ct_status cti_terms_find(cti_terms *terms, const cti_walk *walk, int term[]) {
    for (int64_t i = 0; i < walk->count; i++) term[i] = NONE;
    for (int64_t k = 0; k < terms->formula->n_terms; k++) {
        find_term(walk, (int)k, terms->formula->terms[k].node, term);
    }
    ct_status status = keep(terms, walk, term);
    for (int64_t i = 0; i < walk->count; i++) {
        const ct_tensor *t = walk->items[i];
        if (t->op && t->order > 0) term[i] = term_of(terms, t->origin);
    }
    return status;
}

void cti_terms_free(cti_terms *terms) { cti_free(terms->nodes); }
