/* Private: traversal of a graph. */
#ifndef COTAN_WALK_H
#define COTAN_WALK_H

#include "tensor/graph/node.h"

/* Nodes in post-order: every node after its inputs. The walk that began last is the current one:
 * for it alone, cti_walk_has tells whether a node is part of it, and items[t->index] == t. */
typedef struct {
    ct_tensor **items; /* borrowed */
    int64_t count, capacity;
    uint64_t ticket;
} cti_walk;

/* How many inputs of a node to follow. */
typedef int cti_walk_inputs(const ct_tensor *t);
int cti_walk_whole_graph(const ct_tensor *t); /* all inputs: pictures, derivatives */
int cti_walk_needed(const ct_tensor *t);      /* what the node's value needs: evaluation */

/* That there are n roots and none is NULL; `count` is what the function calls n. */
ct_status cti_check_roots(const char *function, ct_tensor *const roots[], const char *count,
                          int64_t n);
ct_status cti_walk_new(cti_walk *walk, ct_tensor *const roots[], int64_t n,
                       cti_walk_inputs *inputs);
/* Whether one of the nodes that a walk would have is wanted. Takes no memory, so that it can be
 * asked where there is none, and becomes the current walk. */
bool cti_walk_meets(ct_tensor *const roots[], int64_t n, cti_walk_inputs *inputs,
                    bool (*wanted)(const ct_tensor *));
/* A new ticket, for a traversal of another kind, which becomes the current one. */
uint64_t cti_walk_ticket(void);
/* Makes this walk the current one again. */
void cti_walk_resume(cti_walk *walk);
void cti_walk_free(cti_walk *walk);
static inline bool cti_walk_has(const cti_walk *walk, const ct_tensor *t) {
    return t->ticket == walk->ticket;
}

#endif
