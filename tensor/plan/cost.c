/* What passes cost: the bytes that they move and the operations that they do.
 * It measures nothing; profile.c measures time.
 * Invariant: what stays in a tile counts no bytes, what repeats in every tile counts once. */
#include "tensor/plan/plan.h"

static double item_bytes(const cti_item *item) {
    return (double)item->numel * (double)ct_dtype_size(item->dtype);
}

static double load_bytes(const cti_load *load, int64_t numel) {
    bool repeats = load->period <= CTI_TILE;
    return (double)load->size * (double)(repeats ? load->period : numel);
}

static cti_cost tiles_cost(const cti_plan *plan, const cti_pass *pass) {
    cti_cost cost = {.operations = (double)pass->numel * (double)pass->n_members};
    for (int64_t k = 0; k < pass->n_loads; k++) {
        cost.bytes += load_bytes(&pass->loads[k], pass->numel);
    }
    for (int64_t k = 0; k < pass->n_stores; k++) {
        cost.bytes += (double)pass->slots[pass->stores[k]].size * (double)pass->numel;
    }
    for (int64_t k = 0; k < pass->n_reductions; k++) {
        cost.bytes += item_bytes(&plan->items[pass->reductions[k].item]);
    }
    return cost;
}

static cti_cost kernel_cost(const cti_plan *plan, const cti_pass *pass) {
    const cti_item *item = &plan->items[pass->kernel];
    const ct_op *op = item->op;
    cti_cost cost = {.bytes = item_bytes(item), .operations = (double)item->numel};
    if (op->operations) cost.operations = op->operations(&pass->call);
    for (int k = 0; k < item->n_inputs; k++) {
        cost.bytes += item_bytes(&plan->items[plan->edges[item->edges + k]]);
    }
    return cost;
}

cti_cost cti_pass_cost(const cti_plan *plan, const cti_pass *pass) {
    return pass->kernel >= 0 ? kernel_cost(plan, pass) : tiles_cost(plan, pass);
}
