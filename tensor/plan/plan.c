/* Planning: its stages in their order.
 * What a stage does is in the file of its name.
 * Invariant: a plan and all that it points to lie in one zone; it holds no tensor, and is constant
 * once it is made. */
#include "tensor/plan/plan.h"

#include "tensor/plan/planning.h"

static ct_status make(cti_planning *p, const cti_walk *walk, ct_tensor *const roots[], int64_t n) {
    ct_status status = cti_graph_from(&p->plan->graph, p->plan->zone, walk, roots, n); /* sign */
    if (status == CT_OK) status = cti_plan_lower(p);
    if (status == CT_OK) status = cti_plan_order(p);
    if (status == CT_OK) status = cti_plan_group(p);
    if (status == CT_OK) status = cti_plan_store(p);
    if (status == CT_OK) status = cti_plan_emit(p);
    if (status == CT_OK) status = cti_plan_program(p);
    if (status == CT_OK) status = cti_plan_cut(p);
    if (status == CT_OK) status = cti_plan_schedule(p);
    if (status == CT_OK) status = cti_plan_place(p);
    return status;
}

cti_plan *cti_plan_new(cti_zone *zone, const cti_walk *walk, ct_tensor *const roots[],
                       int64_t n_roots) {
    cti_planning planning = {.plan = cti_zone_alloc(zone, 1, sizeof *planning.plan)};
    if (!planning.plan) return NULL;
    planning.plan->zone = zone;
    ct_status status = make(&planning, walk, roots, n_roots);
    cti_zone_free(&planning.work);
    if (status != CT_OK) return NULL;
    planning.plan->cost = cti_plan_cost(planning.plan);
    return planning.plan;
}
