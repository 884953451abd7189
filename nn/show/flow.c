/* How values flow between the calls of modules that are shown: boxes and arrows, in no format.
 * What opened modules compute between the calls of their children has no box of its own; arrows go
 * through it. Only what makes an opened module's output is one, a join, which knows the ops in it.
 * Invariant: boxes and arrows depend on what the forward did, never on addresses. */
#include "nn/show/flow.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/graph/walk.h"

/* An input of the model, or an output of a call. Arrows begin at these. */
typedef struct {
    int64_t call; /* -1: an input */
    int number;
} value;

typedef struct {
    cti_flow *flow;
    cti_walk walk; /* everything that calls took and gave */
    value *values; /* inputs of the model, then the outputs of calls */
    int64_t n_values;
    int64_t *join_of;  /* by value: its box, or -1 */
    int64_t *box_of;   /* by call, or -1 */
    int64_t *value_of; /* by place in the walk: the value that is this node, or -1 */
    int64_t *seen;     /* by place in the walk: 1 + the last box whose sources met this node */
    ct_tensor **stack; /* of a search for sources */
} search;

bool cti_flow_opens(const cti_flow *flow, int64_t call) {
    return cti_has_calls(flow->trace, call) && flow->trace->calls[call].level < flow->depth;
}

/* --- Boxes ------------------------------------------------------------------------------------ */

static int64_t add_box(cti_flow *flow, cti_flow_box box) {
    if (!cti_grow(&flow->boxes, flow->n_boxes, sizeof *flow->boxes)) return -1;
    flow->boxes[flow->n_boxes] = box;
    return flow->n_boxes++;
}

static ct_status add_boxes(search *s) {
    const cti_trace *trace = s->flow->trace;
    for (int i = 0; i < trace->calls[0].n_in; i++) {
        if (add_box(s->flow, (cti_flow_box){.kind = CTI_FLOW_INPUT, .call = -1, .number = i}) < 0)
            return CT_ERR_MEMORY;
    }
    for (int64_t c = 0; c < trace->count; c++) {
        s->box_of[c] = -1;
        if (trace->calls[c].level > s->flow->depth || cti_flow_opens(s->flow, c)) continue;
        s->box_of[c] = add_box(s->flow, (cti_flow_box){.kind = CTI_FLOW_CALL, .call = c});
        if (s->box_of[c] < 0) return CT_ERR_MEMORY;
    }
    return CT_OK;
}

/* The box that gives a value, which may be a new join; -1 when out of memory. */
static int64_t box_of(search *s, int64_t v) {
    const cti_trace *trace = s->flow->trace;
    for (;;) {
        int64_t call = s->values[v].call;
        if (call < 0) return s->values[v].number;
        while (trace->calls[call].level > s->flow->depth) call = trace->calls[call].parent;
        if (!cti_flow_opens(s->flow, call)) return s->box_of[call];
        int number = s->values[v].number;
        int64_t given = s->value_of[cti_copied(trace->calls[call].out[number])->index];
        if (given >= 0) {
            v = given;
            continue;
        }
        if (s->join_of[v] < 0) {
            s->join_of[v] = add_box(
                s->flow, (cti_flow_box){.kind = CTI_FLOW_JOIN, .call = call, .number = number});
        }
        return s->join_of[v];
    }
}

/* --- Arrows ----------------------------------------------------------------------------------- */

static ct_status add_arrow(cti_flow *flow, int64_t from, int64_t to) {
    if (from < 0) return CT_ERR_MEMORY;
    for (int64_t i = flow->n_arrows - 1; i >= 0 && flow->arrows[i][1] == to; i--) {
        if (flow->arrows[i][0] == from) return CT_OK;
    }
    if (!cti_grow(&flow->arrows, flow->n_arrows, sizeof *flow->arrows)) return CT_ERR_MEMORY;
    flow->arrows[flow->n_arrows][0] = from;
    flow->arrows[flow->n_arrows++][1] = to;
    return CT_OK;
}

/* Arrows to a box from all values that a tensor is computed from. */
static ct_status add_sources(search *s, ct_tensor *t, int64_t to) {
    int64_t height = 0;
    if (s->seen[t->index] != to + 1) s->stack[height++] = t;
    s->seen[t->index] = to + 1;
    while (height > 0) {
        t = s->stack[--height];
        int64_t v = s->value_of[t->index];
        if (v >= 0 && add_arrow(s->flow, box_of(s, v), to) != CT_OK) return CT_ERR_MEMORY;
        for (int k = t->n_inputs - 1; k >= 0 && v < 0; k--) {
            ct_tensor *in = t->inputs[k];
            if (s->seen[in->index] == to + 1) continue;
            s->seen[in->index] = to + 1;
            s->stack[height++] = in;
        }
    }
    return CT_OK;
}

/* What a call computes itself on the way from the sources of a join, whose search has just met it.
 * Views compute nothing. */
static ct_status add_ops(search *s, int64_t join) {
    cti_flow *flow = s->flow;
    cti_flow_box *box = &flow->boxes[join];
    const char *path = cti_copied(flow->trace->calls[box->call].out[box->number])->path;
    box->first = flow->n_ops;
    for (int64_t i = 0; i < s->walk.count; i++) {
        const ct_tensor *t = s->walk.items[i];
        if (s->seen[i] != join + 1 || s->value_of[i] >= 0 || t->path != path) continue;
        if (!t->op || t->op->kind == CT_VIEW || t->n_inputs == 0) continue;
        if (!cti_grow(&flow->ops, flow->n_ops, sizeof *flow->ops)) return CT_ERR_MEMORY;
        flow->ops[flow->n_ops++] = t;
    }
    box->end = flow->n_ops;
    return CT_OK;
}

/* Boxes that come into being on the way are the last ones. */
static ct_status add_arrows(search *s) {
    const cti_flow *flow = s->flow;
    const cti_module_call *calls = flow->trace->calls;
    for (int64_t b = 0; b < flow->n_boxes; b++) {
        cti_flow_box box = flow->boxes[b];
        ct_status status = CT_OK;
        if (box.kind == CTI_FLOW_JOIN) {
            status = add_sources(s, cti_copied(calls[box.call].out[box.number]), b);
            if (status == CT_OK) status = add_ops(s, b);
        }
        for (int k = 0; box.kind == CTI_FLOW_CALL && k < calls[box.call].n_in; k++) {
            ct_tensor *in = calls[box.call].in[k];
            if (in && status == CT_OK) status = add_sources(s, in, b);
        }
        if (status != CT_OK) return status;
    }
    return CT_OK;
}

/* --- The whole -------------------------------------------------------------------------------- */

/* Walks all that calls took and gave. */
static ct_status walk(search *s) {
    const cti_trace *trace = s->flow->trace;
    int64_t n = 0;
    for (int64_t c = 0; c < trace->count; c++) n += trace->calls[c].n_in + trace->calls[c].n_out;
    ct_tensor **roots = cti_alloc((size_t)n, sizeof *roots);
    if (!roots) return CT_ERR_MEMORY;
    n = 0;
    for (int64_t c = 0; c < trace->count; c++) {
        const cti_module_call *call = &trace->calls[c];
        for (int k = 0; k < call->n_in; k++) {
            if (call->in[k]) roots[n++] = call->in[k];
        }
        for (int k = 0; k < call->n_out; k++) roots[n++] = call->out[k];
    }
    ct_status status = cti_walk_new(&s->walk, roots, n, cti_walk_whole_graph);
    cti_free(roots);
    return status;
}

static void add_value(search *s, const ct_tensor *t, int64_t call, int number) {
    if (s->value_of[t->index] < 0) s->value_of[t->index] = s->n_values;
    s->join_of[s->n_values] = -1;
    s->values[s->n_values++] = (value){call, number};
}

static ct_status prepare(search *s) {
    const cti_trace *trace = s->flow->trace;
    size_t nodes = (size_t)s->walk.count, values = (size_t)trace->calls[0].n_in;
    for (int64_t c = 0; c < trace->count; c++) values += (size_t)trace->calls[c].n_out;
    s->values = cti_alloc(values, sizeof *s->values);
    s->join_of = cti_alloc(values, sizeof *s->join_of);
    s->box_of = cti_alloc((size_t)trace->count, sizeof *s->box_of);
    s->value_of = cti_alloc(nodes, sizeof *s->value_of);
    s->seen = cti_alloc(nodes, sizeof *s->seen);
    s->stack = cti_alloc(nodes, sizeof *s->stack);
    if (!s->values || !s->join_of || !s->box_of || !s->value_of || !s->seen || !s->stack) {
        return CT_ERR_MEMORY;
    }
    for (size_t i = 0; i < nodes; i++) s->value_of[i] = -1;
    for (int k = 0; k < trace->calls[0].n_in; k++) add_value(s, trace->calls[0].in[k], -1, k);
    for (int64_t c = 0; c < trace->count; c++) {
        const cti_module_call *call = &trace->calls[c];
        for (int k = 0; k < call->n_out; k++) add_value(s, call->out[k], c, k);
    }
    return CT_OK;
}

static void free_search(search *s) {
    cti_walk_free(&s->walk);
    cti_free(s->values);
    cti_free(s->join_of);
    cti_free(s->box_of);
    cti_free(s->value_of);
    cti_free(s->seen);
    cti_free(s->stack);
}

ct_status cti_flow_make(cti_flow *flow, const cti_trace *trace, const ct_show_options *options) {
    *flow = (cti_flow){.trace = trace, .depth = options->depth ? options->depth : INT32_MAX};
    search s = {.flow = flow};
    ct_status status = walk(&s);
    if (status == CT_OK) status = prepare(&s);
    if (status == CT_OK) status = add_boxes(&s);
    /* The outputs' joins lead to no box. */
    for (int64_t v = 0; v < s.n_values && status == CT_OK; v++) {
        if (s.values[v].call == 0 && box_of(&s, v) < 0) status = CT_ERR_MEMORY;
    }
    if (status == CT_OK) status = add_arrows(&s);
    free_search(&s);
    return status;
}

void cti_flow_free(cti_flow *flow) {
    cti_free(flow->boxes);
    cti_free(flow->arrows);
    cti_free(flow->ops);
}
