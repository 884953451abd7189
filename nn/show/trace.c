/* The calls of modules in one forward: what summaries and pictures of a model are made of.
 * The forward is run on inputs that have a shape and no numbers; it builds a graph, which nobody
 * evaluates. What is shown of it is others' business.
 * Invariant: an output of a call is a node of its own, so that no two calls give the same tensor,
 * and from each input one comes back to the calls that it was made of. */
#include "nn/show/trace.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/caller.h"

#include <string.h>

/* --- Recording -------------------------------------------------------------------------------- */

/* While the forward runs, calls stand in the order in which they ended, `end` is 1 more than the
 * number of calls below, and `parent` is not set. */

static ct_tensor **keep_all(cti_trace *trace, ct_tensor *const tensors[], int n) {
    ct_tensor **kept = cti_zone_alloc(&trace->zone, (size_t)n, sizeof *kept);
    for (int i = 0; i < n && kept; i++) kept[i] = ct_keep(tensors[i]);
    return kept;
}

static void drop_all(ct_tensor **tensors, int n) {
    for (int i = 0; i < n && tensors; i++) ct_drop(tensors[i]);
}

/* Reshaped and back again, because the reshape of a tensor to its own shape is that tensor. */
static ct_status copy_all(ct_tensor *out[], int n) {
    for (int i = 0; i < n; i++) {
        ct_shape shape = ct_shape_of(out[i]);
        ct_shape other = shape.rank == 1 ? CT_SHAPE(shape.dims[0], 1) : CT_SHAPE(ct_numel(out[i]));
        out[i] = ct_reshape(ct_reshape(out[i], other), shape);
        if (!out[i]) return ct_error();
    }
    return CT_OK;
}

ct_tensor *cti_copied(const ct_tensor *t) {
    ct_tensor *between = ct_is(t, &ct_op_reshape) ? ct_input(t, 0) : NULL;
    ct_tensor *given = ct_is(between, &ct_op_reshape) ? ct_input(between, 0) : NULL;
    return given && ct_shape_equal(ct_shape_of(given), ct_shape_of(t)) ? given : NULL;
}

static ct_status record(cti_observer *self, ct_module *module, ct_tensor *const in[], int n_in,
                        ct_tensor *out[], int n_out) {
    cti_trace *trace = (cti_trace *)self;
    if (copy_all(out, n_out) != CT_OK) return ct_error();
    if (!cti_grow(&trace->calls, trace->count, sizeof *trace->calls)) return CT_ERR_MEMORY;
    int64_t below = 0;
    while (below < trace->count && trace->calls[trace->count - 1 - below].level > self->depth) {
        below += trace->calls[trace->count - 1 - below].end;
    }
    cti_module_call *call = &trace->calls[trace->count++];
    *call = (cti_module_call){.module = module,
                              .level = self->depth,
                              .end = below + 1,
                              .in = keep_all(trace, in, n_in),
                              .out = keep_all(trace, out, n_out),
                              .n_in = n_in,
                              .n_out = n_out};
    return call->in && call->out ? CT_OK : CT_ERR_MEMORY;
}

/* A call comes before all below it, which are the ones directly before it in the record. */
static ct_status order_by_begin(cti_trace *trace) {
    cti_module_call *ordered = cti_alloc((size_t)trace->count, sizeof *ordered);
    if (!ordered) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < trace->count; i++) {
        cti_module_call call = trace->calls[i];
        int64_t place = i - (call.end - 1) + call.level;
        call.end += place;
        ordered[place] = call;
    }
    for (int64_t i = 0; i < trace->count; i++) {
        int64_t parent = i - 1;
        while (parent >= 0 && ordered[parent].level >= ordered[i].level) {
            parent = ordered[parent].parent;
        }
        ordered[i].parent = parent;
    }
    cti_free(trace->calls);
    trace->calls = ordered;
    return CT_OK;
}

/* --- The forward ------------------------------------------------------------------------------ */

/* The type of the inputs that a model is made for. */
static ct_status guess_dtype(ct_module *model, ct_dtype *dtype) {
    const ct_module *first = model;
    while (first->n_children > 0) first = first->children[0];
    ct_slot_list slots;
    if (ct_module_list(model, &slots) != CT_OK) return ct_error();
    bool known = first->kind->takes_ids;
    *dtype = known ? CT_I64 : CT_F32;
    for (int64_t i = 0; i < slots.count && !known; i++) {
        ct_dtype own = ct_dtype_of(ct_slot_read(slots.items[i].slot));
        known = ct_dtype_is_float(own);
        if (known) *dtype = own;
    }
    ct_slot_list_free(&slots);
    return CT_OK;
}

/* "f32 [32,28,28,1], i64 [32]"; what is too much is left out. */
static void describe(const ct_type types[], int n, char *text, size_t size) {
    size_t used = 0;
    for (int i = 0; i < n && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s %s", i ? ", " : "",
                                 ct_dtype_name(types[i].dtype),
                                 ct_shape_format(types[i].shape).text);
    }
}

/* The forward's message, which names what went wrong inside of it, after the user's own call. */
static ct_status explain(const char *function, ct_status status, const ct_type types[], int n) {
    if (status == CT_ERR_MEMORY) return status;
    char given[256], cause[1024];
    describe(types, n, given, sizeof given);
    snprintf(cause, sizeof cause, "%s", ct_error_message());
    size_t named = strlen(function);
    bool same = strncmp(cause, function, named) == 0 && strncmp(cause + named, ": ", 2) == 0;
    ct_error_clear();
    return ct_fail(status, "%s: the model, given %s: %s", function, given,
                   cause + (same ? named + 2 : 0));
}

static ct_status run(cti_trace *trace, const char *function, ct_module *model,
                     const ct_type types[], int n_in, int n_out) {
    ct_tensor **in = cti_zone_alloc(&trace->zone, (size_t)n_in, sizeof *in);
    ct_tensor **out = cti_zone_alloc(&trace->zone, (size_t)n_out, sizeof *out);
    if (!in || !out) return CT_ERR_MEMORY;
    for (int i = 0; i < n_in; i++) {
        in[i] = ct_broadcast(ct_scalar(types[i].dtype, 0), types[i].shape);
        if (!in[i]) return ct_error();
    }
    trace->batch = types[0].shape.rank > 0 ? types[0].shape.dims[0] : -1;
    ct_status before = ct_error();
    trace->observer.called = record;
    cti_observer *outer = cti_observe(&trace->observer);
    ct_status status = ct_forward_many(model, in, n_in, out, n_out, CT_INFERENCE);
    cti_observe(outer);
    if (status != CT_OK && before == CT_OK) status = explain(function, status, types, n_in);
    return status == CT_OK ? order_by_begin(trace) : status;
}

static ct_status check(const char *function, const ct_show_options *o) {
    ct_status status = cti_check_list(function, "inputs", o->inputs, "n_inputs", o->n_inputs);
    if (status == CT_OK && (o->outputs < 0 || o->depth < 0)) {
        status = ct_fail(CT_ERR_RANGE, "%s: outputs and depth must be >= 0, got %d and %d",
                         function, o->outputs, o->depth);
    }
    return status;
}

ct_status cti_trace_make(cti_trace *trace, const char *function, ct_module *model,
                         const ct_show_options *options) {
    *trace = (cti_trace){0};
    if (check(function, options) != CT_OK) return ct_error();
    ct_type one = {.shape = options->input};
    if (guess_dtype(model, &one.dtype) != CT_OK) return ct_error();
    int n = options->n_inputs;
    int64_t scope = ct_scope_open();
    ct_status status = run(trace, function, model, n ? options->inputs : &one, n ? n : 1,
                           options->outputs ? options->outputs : 1);
    ct_scope_close(scope);
    return status;
}

void cti_trace_free(cti_trace *trace) {
    for (int64_t i = 0; i < trace->count; i++) {
        drop_all(trace->calls[i].in, trace->calls[i].n_in);
        drop_all(trace->calls[i].out, trace->calls[i].n_out);
    }
    cti_free(trace->calls);
    cti_zone_free(&trace->zone);
}

/* --- Texts ------------------------------------------------------------------------------------ */

const char *cti_module_title(const ct_module *module) {
    return module->name ? module->name : module->kind->name;
}

enum { SHAPE_SIZE = CT_MAX_RANK * 22 + 8 };

static size_t put_shape(const cti_trace *trace, ct_shape shape, char *out, size_t size) {
    size_t used = (size_t)snprintf(out, size, "(");
    for (int d = 0; d < shape.rank; d++) {
        const char *before = d ? ", " : "";
        if (d == 0 && shape.dims[0] == trace->batch) {
            used += (size_t)snprintf(out + used, size - used, "%sNone", before);
        } else {
            used += (size_t)snprintf(out + used, size - used, "%s%lld", before,
                                     (long long)shape.dims[d]);
        }
    }
    return used + (size_t)snprintf(out + used, size - used, shape.rank == 1 ? ",)" : ")");
}

const char *cti_trace_shapes(cti_trace *trace, ct_tensor *const tensors[], int n) {
    char *text = cti_zone_alloc(&trace->zone, (size_t)n, SHAPE_SIZE);
    size_t size = (size_t)n * SHAPE_SIZE, used = 0;
    for (int i = 0; i < n && text; i++) {
        if (i) used += (size_t)snprintf(text + used, size - used, ", ");
        used += put_shape(trace, ct_shape_of(tensors[i]), text + used, size - used);
    }
    return text;
}

const char *cti_module_kind(const ct_module *module) {
    const ct_module_kind *kind = module->kind;
    const char *shown = kind->shown ? kind->shown(module) : NULL;
    return shown ? shown : kind->name;
}
