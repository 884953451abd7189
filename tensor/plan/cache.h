/* Private: plans by the graphs that they are for. One cache per thread. */
#ifndef COTAN_PLAN_CACHE_H
#define COTAN_PLAN_CACHE_H

#include "tensor/plan/plan.h"

/* The plan of what a graph simplifies to. */
typedef struct {
    cti_graph key;   /* the graph as it was built */
    bool simplified; /* or planned as it was built, for a test */
    cti_zone zone;   /* all that the entry points to */
    cti_plan *plan;
    struct cti_run *run;    /* room for runs, made by the first one; NULL before */
    int64_t *leaf_of;       /* node of the plan's graph -> the leaf of the key that it is */
    cti_buffer **constants; /* ... or its value, when a rewrite made it; else NULL */
    int64_t *image_of;      /* node of the key -> node of the plan's graph, or -1 */
} cti_planned;

/* The plan for a walk along needed inputs; from the cache, or made and remembered. The walk is the
 * current one, also afterwards. NULL with the error recorded. */
cti_planned *cti_plan_for(cti_walk *walk, ct_tensor *const roots[], int64_t n_roots, bool *hit);
/* The value of a leaf of the plan. */
static inline cti_buffer *cti_planned_leaf(const cti_planned *p, const cti_walk *walk,
                                           int64_t node) {
    return p->constants[node] ? p->constants[node] : walk->items[p->leaf_of[node]]->buffer;
}
/* Frees all plans of this thread. */
void cti_plan_cache_clear(void);

#endif
