/* Lowering: the nodes of a graph become items; views are folded into layouts.
 * It decides nothing about order or memory.
 * Invariant: a kernel gets row-major inputs unless its op takes strides, and every root is whole:
 * where a layout does not allow it, a copy item is inserted; so is one of a transposed operand that
 * many kernels read. */
#include "tensor/base/shape_rules.h"
#include "tensor/plan/planning.h"

#include <string.h>

/* The only op of the engine itself. */
#define COPY_TILE(name, type)                                                          \
    static void name(int64_t n, void *y, const void *const x[], const ct_tile *tile) { \
        (void)tile;                                                                    \
        memcpy(y, x[0], sizeof(type) * (size_t)n);                                     \
    }
COPY_TILE(copy_16, ct_p61)
COPY_TILE(copy_8, int64_t)
COPY_TILE(copy_4, float)
COPY_TILE(copy_1, uint8_t)

static const ct_op op_copy = {
    .name = "copy",
    .kind = CT_MAP,
    .n_inputs = 1,
    .infer = ct_infer_same,
    .tile = {[CT_F32] = copy_4,
             [CT_F64] = copy_8,
             [CT_I64] = copy_8,
             [CT_U8] = copy_1,
             [CT_P61] = copy_16},
};

typedef struct {
    cti_plan *plan;
    int64_t *item_of; /* graph node -> item */
    int64_t *copy_of; /* item -> its copy, or -1 */
    int64_t *readers; /* graph node -> operands of kernels that it is */
} lowering;

static bool row_major(ct_shape shape, const ct_layout *layout) {
    int64_t expected = 1;
    for (int i = shape.rank - 1; i >= 0; i--) {
        if (shape.dims[i] != 1 && layout->strides[i] != expected) return false;
        expected *= shape.dims[i];
    }
    return true;
}

static int64_t add_item(lowering *low, cti_item item) {
    cti_plan *plan = low->plan;
    int64_t i = plan->n_items++;
    low->copy_of[i] = -1;
    if (item.base < 0) {
        item.base = i;
        item.whole = true;
        cti_shape_strides(item.shape, item.layout.strides);
    }
    plan->items[i] = item;
    return i;
}

/* The row-major copy of an item; made once. */
static int64_t copy_item(lowering *low, int64_t source) {
    cti_plan *plan = low->plan;
    if (low->copy_of[source] >= 0) return low->copy_of[source];
    const cti_item *from = &plan->items[source];
    int64_t copy = add_item(low, (cti_item){.node = -1,
                                            .op = &op_copy,
                                            .dtype = from->dtype,
                                            .shape = from->shape,
                                            .numel = from->numel,
                                            .n_inputs = 1,
                                            .edges = plan->n_edges,
                                            .base = -1});
    plan->edges[plan->n_edges++] = source;
    low->copy_of[source] = copy;
    return copy;
}

static int64_t lower_view(lowering *low, const cti_graph_node *node) {
    cti_plan *plan = low->plan;
    int64_t source = low->item_of[plan->graph.edges[node->edges]];
    const cti_item *in = &plan->items[source];
    cti_item view = {.dtype = node->dtype, .shape = node->shape, .numel = node->numel};
    if (!node->op->view(node->attr, in->shape, &in->layout, node->shape, &view.layout)) {
        source = copy_item(low, source);
        in = &plan->items[source];
        node->op->view(node->attr, in->shape, &in->layout, node->shape, &view.layout);
    }
    view.base = in->base;
    view.whole = view.layout.offset == 0 && row_major(view.shape, &view.layout) &&
                 view.numel == plan->items[in->base].numel;
    return add_item(low, view);
}

/* A kernel takes row-major elements from offset 0 on; one with strided inputs takes all layouts
 * without negative strides (BLIS would read -1 as 1). */
static bool kernel_takes(const ct_op *op, const cti_item *in) {
    if (!op->kernel->strided_inputs)
        return in->layout.offset == 0 && row_major(in->shape, &in->layout);
    for (int d = 0; d < in->shape.rank; d++) {
        if (in->shape.dims[d] > 1 && in->layout.strides[d] < 0) return false;
    }
    return true;
}

/* Each kernel would put a transposed operand in order by itself: an unrolled network's weights in
 * every step. One copy pays where there are several. */
#define MANY_READERS 4
static bool worth_a_copy(const lowering *low, int64_t node, const cti_item *in) {
    int last = in->shape.rank - 1;
    return low->readers[node] >= MANY_READERS && last >= 1 && in->shape.dims[last] > 1 &&
           in->layout.strides[last] > 1;
}

static int64_t lower_node(lowering *low, int64_t i) {
    cti_plan *plan = low->plan;
    const cti_graph_node *node = &plan->graph.nodes[i];
    if (node->op && node->op->kind == CT_VIEW) return lower_view(low, node);
    cti_item item = {.op = node->op,
                     .attr = node->attr,
                     .dtype = node->dtype,
                     .shape = node->shape,
                     .numel = node->numel,
                     .n_inputs = node->n_inputs,
                     .base = -1,
                     .elsewhere = node->elsewhere};
    const int64_t *inputs = &plan->graph.edges[node->edges];
    bool kernel = node->op && node->op->kind == CT_KERNEL;
    item.edges = plan->n_edges;
    plan->n_edges += node->n_inputs;
    for (int k = 0; k < node->n_inputs; k++) {
        int64_t source = low->item_of[inputs[k]];
        const cti_item *in = &plan->items[source];
        if (kernel && (!kernel_takes(node->op, in) || worth_a_copy(low, inputs[k], in))) {
            source = copy_item(low, source);
        }
        plan->edges[item.edges + k] = source;
    }
    if (!node->op) {
        item.place = CTI_LEAF;
        item.where = i;
        item.stored = true;
    }
    return add_item(low, item);
}

static void count_readers(lowering *low) {
    const cti_graph *graph = &low->plan->graph;
    memset(low->readers, 0, sizeof *low->readers * (size_t)graph->n_nodes);
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        const cti_graph_node *node = &graph->nodes[i];
        if (!node->op || node->op->kind != CT_KERNEL) continue;
        for (int k = 0; k < node->n_inputs; k++) low->readers[graph->edges[node->edges + k]]++;
    }
}

static void lower_all(lowering *low) {
    cti_plan *plan = low->plan;
    count_readers(low);
    for (int64_t i = 0; i < plan->graph.n_nodes; i++) {
        low->item_of[i] = lower_node(low, i);
        plan->items[low->item_of[i]].node = i;
    }
    for (int64_t r = 0; r < plan->graph.n_roots; r++) {
        int64_t item = low->item_of[plan->graph.roots[r]];
        plan->roots[r] = plan->items[item].whole ? item : copy_item(low, item);
    }
}

/* An upper bound: every view, every kernel input and every root needs a copy. */
static int64_t most_copies(const cti_graph *graph) {
    int64_t copies = graph->n_roots;
    for (int64_t i = 0; i < graph->n_nodes; i++) {
        const cti_graph_node *node = &graph->nodes[i];
        if (!node->op) continue;
        if (node->op->kind == CT_VIEW) copies++;
        if (node->op->kind == CT_KERNEL) copies += node->n_inputs;
    }
    return copies;
}

ct_status cti_plan_lower(cti_planning *p) {
    cti_plan *plan = p->plan;
    size_t nodes = (size_t)plan->graph.n_nodes, roots = (size_t)plan->graph.n_roots;
    size_t copies = (size_t)most_copies(&plan->graph); /* a copy has one edge */
    size_t items = nodes + copies, edges = (size_t)plan->graph.n_edges + copies;
    plan->items = cti_zone_alloc(plan->zone, items, sizeof *plan->items);
    plan->edges = cti_zone_alloc(plan->zone, edges, sizeof *plan->edges);
    plan->roots = cti_zone_alloc(plan->zone, roots, sizeof *plan->roots);
    lowering low = {.plan = plan,
                    .item_of = cti_zone_alloc(&p->work, nodes, sizeof *low.item_of),
                    .copy_of = cti_zone_alloc(&p->work, items, sizeof *low.copy_of),
                    .readers = cti_zone_alloc(&p->work, nodes, sizeof *low.readers)};
    if (!plan->items || !plan->edges || !plan->roots || !low.item_of || !low.copy_of ||
        !low.readers) {
        return CT_ERR_MEMORY;
    }
    lower_all(&low);
    return CT_OK;
}
