/* A plan from beginning to end: lower, fuse, schedule, place in memory; and its release.
 * The work is in plan_lower.c, plan_fuse.c, plan_program.c, plan_schedule.c and
 * plan_memory.c.
 * Invariant: a plan owns all it points to and holds no tensor. */
#include "tensor/plan/plan.h"

#include "tensor/base/alloc.h"

/* The stages, in their order. */
static ct_status make(cti_plan *plan) {
    ct_status status = cti_plan_lower(plan);
    if (status == CT_OK) status = cti_plan_fuse(plan);
    if (status == CT_OK) status = cti_plan_schedule(plan);
    if (status == CT_OK) status = cti_plan_memory(plan);
    return status;
}

cti_plan *cti_plan_new(const cti_walk *walk, ct_tensor *const roots[], int64_t n_roots) {
    cti_plan *plan = cti_alloc(1, sizeof *plan);
    if (!plan) return NULL;
    cti_zone work = {0};
    plan->work = &work;
    ct_status status = cti_graph_from(&plan->graph, walk, roots, n_roots);
    if (status == CT_OK) status = make(plan);
    plan->work = NULL;
    cti_zone_free(&work);
    if (status == CT_OK) return plan;
    cti_plan_free(plan);
    return NULL;
}

void cti_plan_free(cti_plan *plan) {
    if (!plan) return;
    cti_zone_free(&plan->zone);
    cti_graph_free(&plan->graph);
    cti_free(plan);
}
