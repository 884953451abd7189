/* Emission: the passes of a level, from the groups that fusion has decided on.
 * It decides nothing but what a pass has to recompute, which follows from what is not stored.
 * Invariant: a pass computes every stored member of its group once, and reads the rest. */
#include "tensor/plan/fuse.h"

static void pull(cti_fusion *f, int64_t i, int64_t *count) {
    if (f->marked[i]) return;
    f->marked[i] = true;
    f->scratch[(*count)++] = i;
}

static void sort_items(int64_t items[], int64_t n) {
    /* Shell sort: the list is nearly sorted, and nothing is allocated. */
    for (int64_t gap = n / 2; gap > 0; gap /= 2) {
        for (int64_t i = gap; i < n; i++) {
            int64_t value = items[i], k = i;
            for (; k >= gap && items[k - gap] > value; k -= gap) items[k] = items[k - gap];
            items[k] = value;
        }
    }
}

/* The items that a group's pass computes: its reductions and stored members, and behind them
 * whatever is not stored, also from other groups: that is the recomputation. */
static ct_status emit_group(cti_fusion *f, const cti_group *g) {
    cti_plan *plan = f->plan;
    int64_t count = 0;
    for (int64_t i = g->first; i >= 0; i = f->next_member[i]) {
        if (plan->items[i].stored) pull(f, i, &count);
    }
    for (int64_t done = 0; done < count; done++) {
        const cti_item *item = &plan->items[f->scratch[done]];
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t input = cti_streamed_input(plan, item, k);
            if (input >= 0 && !plan->items[input].stored) pull(f, input, &count);
        }
    }
    for (int64_t k = 0; k < count; k++) f->marked[f->scratch[k]] = false;
    if (count == 0) return CT_OK;
    sort_items(f->scratch, count);
    cti_pass *pass = &plan->passes[plan->n_passes];
    pass->kernel = -1;
    pass->numel = g->space;
    pass->geometry = g->geometry;
    ct_status status = cti_plan_program(plan, pass, f->scratch, count);
    plan->n_passes++;
    return status;
}

static ct_status emit_kernel(cti_plan *plan, int64_t i) {
    const cti_item *item = &plan->items[i];
    cti_pass *pass = &plan->passes[plan->n_passes++];
    pass->kernel = i;
    ct_operand *in = cti_zone_alloc(&plan->zone, (size_t)item->n_inputs + 1, sizeof *in);
    if (!in) return CT_ERR_MEMORY;
    for (int k = 0; k < item->n_inputs; k++) {
        const cti_item *source = &plan->items[plan->edges[item->edges + k]];
        in[k] = (ct_operand){source->dtype, source->shape, source->layout, NULL};
    }
    pass->call = (ct_call){.attr = item->attr,
                           .n_inputs = item->n_inputs,
                           .in = in,
                           .out = {item->dtype, item->shape, item->layout, NULL}};
    if (item->op->scratch) pass->scratch_bytes = item->op->scratch(&pass->call);
    for (int s = 0; s < CT_KERNEL_STAGES && item->op->stages[s].run; s++) {
        pass->parts[s] = item->numel ? item->op->stages[s].parts(&pass->call) : 0;
    }
    return CT_OK;
}

ct_status cti_emit_level(cti_fusion *f, int64_t level) {
    cti_plan *plan = f->plan;
    ct_status status = CT_OK;
    for (int64_t k = f->level_kernels[level]; k >= 0 && status == CT_OK; k = f->next_member[k]) {
        status = emit_kernel(plan, k);
    }
    for (int64_t g = f->level_head[level]; g >= 0 && status == CT_OK; g = f->groups[g].next) {
        status = emit_group(f, &f->groups[g]);
    }
    return status;
}
