/* Emission: passes in their order, each tagged with its kind and with the items that it computes.
 * It decides nothing but what a pass has to recompute, which follows from what is not stored.
 * Invariant: a pass computes every stored member of its group once, and reads the rest. */
#include "tensor/base/shape_rules.h"
#include "tensor/plan/planning.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    cti_plan *plan;
    const cti_groups *g;
    int64_t *list; /* of items */
    int64_t n_list;
    bool *listed;
} emission;

static void pull(emission *e, int64_t i) {
    if (e->listed[i]) return;
    e->listed[i] = true;
    e->list[e->n_list++] = i;
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The items that a group's pass computes: its reductions and stored members, and behind them
 * whatever is not stored, also from other groups: that is the recomputation. */
static void collect(emission *e, const cti_group *group) {
    const cti_plan *plan = e->plan;
    e->n_list = 0;
    for (int64_t i = group->first; i >= 0; i = e->g->next_member[i]) {
        if (plan->items[i].stored) pull(e, i);
    }
    for (int64_t done = 0; done < e->n_list; done++) {
        const cti_item *item = &plan->items[e->list[done]];
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t input = cti_streamed_input(plan, item, k);
            if (input >= 0 && !plan->items[input].stored) pull(e, input);
        }
    }
    for (int64_t k = 0; k < e->n_list; k++) e->listed[e->list[k]] = false;
    qsort(e->list, (size_t)e->n_list, sizeof *e->list, ascending);
}

/* A reduction may have left its group for a later one. */
static cti_pass_kind kind_of(const emission *e, ct_reduction geometry) {
    const cti_item *items = e->plan->items;
    bool reduces = false;
    for (int64_t k = 0; k < e->n_list; k++) reduces |= items[e->list[k]].op->kind == CT_REDUCE;
    if (!reduces) return CTI_MAP;
    return geometry.count * geometry.inner < CTI_TILE ? CTI_NARROW : CTI_WIDE;
}

static ct_status emit_group(emission *e, const cti_group *group) {
    cti_plan *plan = e->plan;
    collect(e, group);
    if (e->n_list == 0) return CT_OK;
    int64_t *members = cti_zone_alloc(plan->zone, (size_t)e->n_list, sizeof *members);
    if (!members) return CT_ERR_MEMORY;
    for (int64_t k = 0; k < e->n_list; k++) members[k] = e->list[k];
    cti_pass_kind kind = kind_of(e, group->geometry);
    cti_tiles tiles = {.numel = group->space, .members = members, .n_members = e->n_list};
    if (kind != CTI_MAP) tiles.geometry = group->geometry;
    plan->passes[plan->n_passes++] = (cti_pass){.kind = kind, .tiles = tiles};
    return CT_OK;
}

/* That every element of the result has a part that may write it, and sizes are sizes. */
static ct_status check_prepared(const ct_op *op, const ct_prepared *p) {
    bool any = false;
    for (int s = 0; s < CT_KERNEL_STAGES; s++) {
        any |= p->parts[s] > 0;
        if (p->parts[s] == 0 || (p->parts[s] > 0 && op->kernel->run[s])) continue;
        return ct_fail(CT_ERR_RANGE, "%s: prepare gave stage %d %lld parts%s", op->name, s,
                       (long long)p->parts[s], p->parts[s] > 0 ? ", which nothing runs" : "");
    }
    if (!any) return ct_fail(CT_ERR_RANGE, "%s: prepare gave no parts", op->name);
    if (p->scratch <= PTRDIFF_MAX / 4 && p->workspace <= PTRDIFF_MAX / 4) return CT_OK;
    return ct_fail(CT_ERR_MEMORY, "%s: prepare asks for %zu and %zu bytes", op->name, p->scratch,
                   p->workspace);
}

/* What a kernel says of its call, once for the plan. */
static ct_status prepare(cti_plan *plan, cti_pass *pass) {
    const ct_op *op = plan->items[pass->kernel.item].op;
    const ct_kernel *kernel = op->kernel;
    ct_call *call = &pass->kernel.call;
    ct_prepared *p = &pass->kernel.prepared;
    if (ct_shape_numel(call->out.shape) == 0) return CT_OK;
    call->state = p->state = cti_zone_alloc(plan->zone, kernel->state, 1);
    if (!p->state) return CT_ERR_MEMORY;
    for (int s = 0; s < CT_KERNEL_STAGES; s++) p->parts[s] = kernel->run[s] != NULL;
    if (kernel->prepare) kernel->prepare(call, p);
    if (check_prepared(op, p) != CT_OK) return ct_error();
    for (int s = 0; s < CT_KERNEL_STAGES; s++) pass->parts[s] = p->parts[s];
    pass->scratch_bytes = p->scratch;
    return CT_OK;
}

static ct_status emit_kernel(cti_plan *plan, int64_t i) {
    const cti_item *item = &plan->items[i];
    cti_pass *pass = &plan->passes[plan->n_passes++];
    ct_operand *in = cti_zone_alloc(plan->zone, (size_t)item->n_inputs + 1, sizeof *in);
    if (!in) return CT_ERR_MEMORY;
    for (int k = 0; k < item->n_inputs; k++) {
        const cti_item *source = &plan->items[plan->edges[item->edges + k]];
        in[k] = (ct_operand){source->dtype, source->shape, source->layout, NULL};
    }
    *pass = (cti_pass){.kind = CTI_KERNEL, .kernel = {.item = i}};
    pass->kernel.call = (ct_call){.attr = item->attr,
                                  .n_inputs = item->n_inputs,
                                  .in = in,
                                  .out = {item->dtype, item->shape, item->layout, NULL}};
    return prepare(plan, pass);
}

/* The sums of one type among the kernels of a level, which follow each other from `first` on. */
static ct_status emit_exchange(emission *e, int64_t first, ct_dtype dtype) {
    cti_plan *plan = e->plan;
    cti_exchanged exchange = {.dtype = dtype};
    e->n_list = 0;
    for (int64_t k = first; k >= 0; k = e->g->next_member[k]) {
        const cti_item *item = &plan->items[k];
        if (item->elsewhere && item->dtype == dtype) e->list[e->n_list++] = k;
    }
    if (e->n_list == 0) return CT_OK;
    exchange.items = cti_zone_alloc(plan->zone, (size_t)e->n_list, sizeof *exchange.items);
    if (!exchange.items) return CT_ERR_MEMORY;
    exchange.n = e->n_list;
    memcpy(exchange.items, e->list, sizeof *e->list * (size_t)e->n_list);
    plan->passes[plan->n_passes++] = (cti_pass){
        .kind = CTI_EXCHANGE, .parts = {1}, .exchange = exchange};
    plan->n_exchanges++;
    plan->most_exchanged = cti_most(plan->most_exchanged, exchange.n);
    return CT_OK;
}

/* The passes of a level are independent of each other. */
static ct_status emit_level(emission *e, int64_t level) {
    const cti_groups *g = e->g;
    ct_status status = CT_OK;
    for (int64_t k = g->level_kernels[level]; k >= 0 && status == CT_OK; k = g->next_member[k]) {
        if (!e->plan->items[k].elsewhere) status = emit_kernel(e->plan, k);
    }
    for (int dtype = 0; dtype < CT_DTYPES && status == CT_OK; dtype++) {
        status = emit_exchange(e, g->level_kernels[level], (ct_dtype)dtype);
    }
    for (int64_t k = g->level_groups[level]; k >= 0 && status == CT_OK; k = g->groups[k].next) {
        status = emit_group(e, &g->groups[k]);
    }
    return status;
}

ct_status cti_plan_emit(cti_planning *p) {
    cti_plan *plan = p->plan;
    size_t n = (size_t)plan->n_items, passes = (size_t)(p->groups.n_groups + p->groups.n_kernels);
    plan->passes = cti_zone_alloc(plan->zone, passes, sizeof *plan->passes);
    emission e = {.plan = plan,
                  .g = &p->groups,
                  .list = cti_zone_alloc(&p->work, n, sizeof *e.list),
                  .listed = cti_zone_alloc(&p->work, n, sizeof *e.listed)};
    if (!plan->passes || !e.list || !e.listed) return CT_ERR_MEMORY;
    ct_status status = CT_OK;
    for (int64_t level = 1; level <= p->groups.levels && status == CT_OK; level++) {
        status = emit_level(&e, level);
    }
    return status;
}
