/* A plan from beginning to end: lower, fuse, schedule, place in memory; and its release.
 * The work is in plan_lower.c, plan_fuse.c, plan_program.c, plan_schedule.c and
 * plan_memory.c.
 * Invariant: a plan owns all it points to and holds no tensor. */
#include "tensor/plan/plan.h"

#include "tensor/base/alloc.h"

cti_plan *cti_plan_new(const cti_walk *walk, ct_tensor *const roots[], int64_t n_roots) {
    cti_plan *plan = cti_alloc(1, sizeof *plan);
    if (!plan) return NULL;
    if (cti_graph_from(&plan->graph, walk, roots, n_roots) == CT_OK &&
        cti_plan_lower(plan) == CT_OK && cti_plan_fuse(plan) == CT_OK &&
        cti_plan_schedule(plan) == CT_OK && cti_plan_memory(plan) == CT_OK) {
        plan->data = cti_alloc((size_t)plan->n_items, sizeof *plan->data);
        if (plan->data) return plan;
    }
    cti_plan_free(plan);
    return NULL;
}

void cti_plan_free(cti_plan *plan) {
    if (!plan) return;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        cti_pass *pass = &plan->passes[p];
        cti_free((void *)pass->call.in);
        cti_free(pass->loads);
        cti_free(pass->instructions);
        cti_free(pass->inputs);
        cti_free(pass->slots);
        cti_free(pass->stores);
        cti_free(pass->pointers);
    cti_free(pass->moving);
        cti_free(pass->reductions);
    }
    cti_free(plan->passes);
    cti_free(plan->tasks);
    cti_free(plan->phases);
    cti_free(plan->task_of_part);
    cti_free(plan->turns);
    cti_free(plan->successor_end);
    cti_free(plan->successors);
    cti_free(plan->waits);
    cti_free(plan->left);
    cti_free(plan->ready);
    cti_free(plan->items);
    cti_free(plan->edges);
    cti_free(plan->roots);
    cti_free(plan->data);
    cti_graph_free(&plan->graph);
    cti_free(plan);
}
