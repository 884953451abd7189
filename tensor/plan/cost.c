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

static cti_cost tiles_cost(const cti_plan *plan, const cti_tiles *t) {
    cti_cost cost = {.operations = (double)t->numel * (double)t->n_members};
    for (int64_t k = 0; k < t->n_loads; k++) cost.bytes += load_bytes(&t->loads[k], t->numel);
    for (int64_t k = 0; k < t->n_stores; k++) {
        cost.bytes += (double)t->operands[t->stores[k]].size * (double)t->numel;
    }
    for (int64_t k = 0; k < t->n_reductions; k++) {
        cost.bytes += item_bytes(&plan->items[t->reductions[k].item]);
    }
    return cost;
}

static double bytes_around(const cti_plan *plan, const cti_item *item) {
    double bytes = item_bytes(item);
    for (int k = 0; k < item->n_inputs; k++) {
        bytes += item_bytes(&plan->items[plan->edges[item->edges + k]]);
    }
    return bytes;
}

static cti_cost kernel_cost(const cti_plan *plan, const cti_kernel *kernel) {
    const cti_item *item = &plan->items[kernel->item];
    double operations = kernel->prepared.operations;
    return (cti_cost){.bytes = bytes_around(plan, item),
                      .operations = operations > 0 ? operations : (double)item->numel};
}

/* On this rank. */
static cti_cost exchange_cost(const cti_plan *plan, const cti_exchanged *exchange) {
    cti_cost cost = {0};
    for (int64_t k = 0; k < exchange->n; k++) {
        const cti_item *item = &plan->items[exchange->items[k]];
        cost.bytes += bytes_around(plan, item);
        cost.operations += (double)plan->items[plan->edges[item->edges]].numel;
    }
    return cost;
}

cti_cost cti_pass_cost(const cti_plan *plan, const cti_pass *pass) {
    if (cti_has_tiles(pass)) return tiles_cost(plan, &pass->tiles);
    return pass->kind == CTI_KERNEL ? kernel_cost(plan, &pass->kernel)
                                    : exchange_cost(plan, &pass->exchange);
}

cti_cost cti_plan_cost(const cti_plan *plan) {
    cti_cost sum = {0};
    for (int64_t p = 0; p < plan->n_passes; p++) {
        cti_cost cost = cti_pass_cost(plan, &plan->passes[p]);
        sum.bytes += cost.bytes;
        sum.operations += cost.operations;
    }
    return sum;
}
