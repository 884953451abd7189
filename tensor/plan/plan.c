/* A plan from beginning to end, and its release.
 * What each stage does is in the file of its name.
 * Invariant: a plan owns all that it points to, holds no tensor, and does not change once made. */
#include "tensor/plan/plan.h"

#include "tensor/base/alloc.h"
#include "tensor/plan/planning.h"

static ct_status make(cti_planning *p, const cti_walk *walk, ct_tensor *const roots[], int64_t n) {
    ct_status status = cti_graph_from(&p->plan->graph, walk, roots, n); /* sign */
    if (status == CT_OK) status = cti_plan_lower(p);
    if (status == CT_OK) status = cti_plan_group(p);
    if (status == CT_OK) status = cti_plan_store(p);
    if (status == CT_OK) status = cti_plan_emit(p);
    if (status == CT_OK) status = cti_plan_program(p);
    if (status == CT_OK) status = cti_plan_cut(p);
    if (status == CT_OK) status = cti_plan_schedule(p);
    if (status == CT_OK) status = cti_plan_place(p);
    return status;
}

cti_plan *cti_plan_new(const cti_walk *walk, ct_tensor *const roots[], int64_t n_roots) {
    cti_planning planning = {.plan = cti_alloc(1, sizeof *planning.plan)};
    if (!planning.plan) return NULL;
    ct_status status = make(&planning, walk, roots, n_roots);
    cti_zone_free(&planning.work);
    if (status == CT_OK) {
        planning.plan->cost = cti_plan_cost(planning.plan);
        return planning.plan;
    }
    cti_plan_free(planning.plan);
    return NULL;
}

void cti_plan_free(cti_plan *plan) {
    if (!plan) return;
    cti_zone_free(&plan->zone);
    cti_graph_free(&plan->graph);
    cti_free(plan);
}
