/* Private: the plan cache, keyed by graph. One per thread. */
#ifndef COTAN_PLAN_CACHE_H
#define COTAN_PLAN_CACHE_H

#include "tensor/plan/plan.h"

/* The plan of what a graph simplifies to. */
typedef struct {
    cti_graph key;             /* the graph as it was built */
    bool simplified;           /* false: planned as built, in a test */
    const ct_rule *rule_alone; /* the same */
    cti_zone zone;             /* all that the entry points to */
    cti_plan *plan;
    struct cti_run *run;    /* made by the first run; NULL before */
    int64_t *leaf_of;       /* leaf of the plan's graph -> leaf of the key */
    cti_buffer **constants; /* ... or its value, if a rewrite made it; else NULL */
    int64_t *image_of;      /* node of the key -> node of the plan's graph, or -1 */
} cti_planned;

/* The plan for a walk along needed inputs, from the cache or made and cached. The walk is the
 * current one, before and after. NULL with the error recorded. */
cti_planned *cti_plan_for(cti_walk *walk, ct_tensor *const roots[], int64_t n_roots, bool *hit);
/* The value of a leaf of the plan. */
static inline cti_buffer *cti_planned_leaf(const cti_planned *p, const cti_walk *walk,
                                           int64_t node) {
    return p->constants[node] ? p->constants[node] : walk->items[p->leaf_of[node]]->buffer;
}
/* Frees all plans of this thread. */
void cti_plan_cache_clear(void);

#endif
