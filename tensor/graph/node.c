/* Nodes: construction and release.
 * It does not evaluate anything; values come from eval.c.
 * Invariant: a node owns its inputs, so what is reachable is alive; release is a work list, not a
 * recursion, so deep graphs need no stack. */
#include "tensor/graph/node.h"
#include "tensor/base/process.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/base/shape_rules.h"

#include <string.h>

cti_buffer *cti_buffer_new(const char *function, ct_shape shape, ct_dtype dtype) {
    void *elements;
    cti_buffer *buffer = cti_alloc_elements(function, sizeof(cti_buffer), shape, dtype, &elements);
    if (buffer) *buffer = (cti_buffer){.refs = 1, .data = elements};
    return buffer;
}

cti_buffer *cti_buffer_keep(cti_buffer *buffer) {
    if (buffer) atomic_fetch_add_explicit(&buffer->refs, 1, memory_order_relaxed);
    return buffer;
}

void cti_buffer_drop(cti_buffer *buffer) {
    if (buffer && atomic_fetch_sub(&buffer->refs, 1) == 1) cti_free(buffer);
}

static inline ct_tensor *new_node(const ct_type *type, ct_tensor *const inputs[], int n,
                                  size_t attr_size) {
    /* The attribute starts on a 16-byte boundary, whatever its type is. */
    size_t attr_at = (sizeof(ct_tensor) + sizeof(ct_tensor *) * (size_t)n + 15) / 16 * 16;
    ct_tensor *t = cti_alloc(1, attr_at + attr_size);
    if (!t) return NULL;
    const cti_node_context *context = cti_context();
    t->refs = 1;
    t->id = cti_next_id();
    t->path = context->path;
    t->order = context->order;
    t->origin = context->origin;
    t->name = "";
    t->dtype = type->dtype;
    t->shape = type->shape;
    t->numel = ct_shape_numel(type->shape);
    t->attr = attr_size ? (char *)t + attr_at : NULL;
    t->attr_size = attr_size;
    t->n_inputs = n;
    for (int i = 0; i < n; i++) {
        t->inputs[i] = ct_keep(inputs[i]);
        if (inputs[i]->order > t->order) t->order = inputs[i]->order;
        if (inputs[i]->level > t->level) t->level = inputs[i]->level;
        t->sums |= inputs[i]->sums && !cti_has_value(inputs[i]);
    }
    return t;
}

/* Hands the construction's own reference to the scope. */
static ct_tensor *registered(ct_tensor *t) {
    ct_tensor *added = ct_scope_add(t);
    ct_drop(t);
    return added;
}

ct_tensor *cti_leaf_over(cti_buffer *buffer, ct_dtype dtype, ct_shape shape) {
    ct_tensor *t = buffer ? new_node(&(ct_type){dtype, shape}, NULL, 0, 0) : NULL;
    if (!t) return NULL;
    t->buffer = cti_buffer_keep(buffer);
    return registered(t);
}

ct_tensor *cti_leaf_new(const char *function, ct_dtype dtype, ct_shape shape) {
    CTI_CALLED_AS(function);
    if (cti_shape_check(function, shape, dtype) != CT_OK) return NULL;
    cti_buffer *buffer = cti_buffer_new(function, shape, dtype);
    ct_tensor *t = cti_leaf_over(buffer, dtype, shape);
    cti_buffer_drop(buffer);
    return t;
}

void cti_op_title(const ct_op *op, char title[CTI_TITLE]) {
    size_t length = strnlen(op->name, CTI_TITLE - 4);
    memcpy(title, "ct_", 3);
    memcpy(title + 3, op->name, length);
    title[3 + length] = '\0';
}

static ct_status infer(const ct_op *op, const char *name, ct_tensor *const inputs[], int n,
                       const void *attr, ct_type *out) {
    ct_type few[CT_OP_INPUTS], *types = few;
    if (n > CT_OP_INPUTS && !(types = cti_alloc((size_t)n, sizeof *types))) return CT_ERR_MEMORY;
    for (int i = 0; i < n; i++) types[i] = (ct_type){inputs[i]->dtype, inputs[i]->shape};
    ct_status status = op->infer(
        &(ct_infer){.name = name, .attr = attr, .n_inputs = n, .in = types}, out);
    if (status == CT_OK) status = cti_shape_check(name, out->shape, out->dtype);
    if (types != few) cti_free(types);
    if (status == CT_OK || ct_error() != CT_OK) return status;
    return ct_fail(CT_ERR_SHAPE, "%s: 'infer' failed and recorded no error", op->name);
}

static ct_status check_reduction(const ct_op *op, const ct_tensor *x, const void *attr,
                                 const ct_type *out) {
    if (out->dtype != x->dtype) {
        return ct_fail(CT_ERR_DTYPE, "%s: a reduction of %s gives no %s", op->name,
                       ct_dtype_name(x->dtype), ct_dtype_name(out->dtype));
    }
    ct_reduction g = op->geometry(attr, x->shape);
    uint64_t blocks = (uint64_t)g.outer * (uint64_t)g.inner; /* of user code: it may wrap */
    if (blocks * (uint64_t)g.count == (uint64_t)x->numel &&
        blocks == (uint64_t)ct_shape_numel(out->shape)) {
        return CT_OK;
    }
    return ct_fail(CT_ERR_SHAPE, "%s: %s to %s is no reduction over the middle of [%lld,%lld,%lld]",
                   op->name, ct_shape_format(x->shape).text, ct_shape_format(out->shape).text,
                   (long long)g.outer, (long long)g.count, (long long)g.inner);
}

/* What tile and reduce functions rely on. Only the author of a user's op can get this wrong, so the
 * message names the op as its descriptor does. */
static ct_status check_streaming(const ct_op *op, ct_tensor *const inputs[], int n,
                                 const void *attr, const ct_type *out) {
    static const char *const spelled[CT_DTYPES] = {[CT_F32] = "CT_F32",
                                                   [CT_F64] = "CT_F64",
                                                   [CT_I64] = "CT_I64",
                                                   [CT_U8] = "CT_U8",
                                                   [CT_P61] = "CT_P61"};
    if (op->kind != CT_MAP && op->kind != CT_REDUCE) return CT_OK;
    ct_dtype by = n > 0 ? inputs[0]->dtype : out->dtype;
    const char *missing = op->kind == CT_MAP ? (op->tile[by] ? NULL : "tile")
                          : !op->reduce[by]  ? "reduce"
                          : !op->start[by]   ? "start"
                                             : NULL;
    if (missing) {
        return ct_fail(CT_ERR_DTYPE, "%s: not defined for %s; give it .%s[%s] or use ct_cast",
                       op->name, ct_dtype_name(by), missing, spelled[by]);
    }
    for (int i = 0; i < n && op->kind == CT_MAP; i++) {
        if (ct_shape_equal(inputs[i]->shape, out->shape)) continue;
        return ct_fail(CT_ERR_SHAPE, "%s: operand %d is %s, the result %s", op->name, i + 1,
                       ct_shape_format(inputs[i]->shape).text, ct_shape_format(out->shape).text);
    }
    return op->kind == CT_REDUCE ? check_reduction(op, inputs[0], attr, out) : CT_OK;
}

/* Fields that the author of a descriptor may have forgotten. */
static ct_status check_descriptor(const ct_op *op) {
    if (op->n_inputs == 0 && (op->kind == CT_VIEW || op->kind == CT_REDUCE)) {
        return ct_fail(CT_ERR_RANGE, "%s: a view or a reduction needs an input", op->name);
    }
    if (op->n_inputs != 1 && op->kind == CT_REDUCE) {
        return ct_fail(CT_ERR_RANGE, "%s: a reduction takes 1 input, not %d", op->name,
                       op->n_inputs);
    }
    const char *missing = op->infer ? NULL : "infer";
    if (op->kind == CT_VIEW && !op->view) missing = "view";
    if (op->kind == CT_REDUCE && !op->geometry) missing = "geometry";
    if (op->kind == CT_KERNEL && !op->kernel) missing = "kernel";
    if (op->kind == CT_KERNEL && op->kernel && !op->kernel->run[0]) missing = "kernel->run[0]";
    if (missing) {
        return ct_fail(CT_ERR_NULL, "%s: the descriptor has no '%s'", op->name, missing);
    }
    if (op->commutative && op->n_inputs != 2) {
        return ct_fail(CT_ERR_RANGE, "%s: a commutative op takes 2 inputs, not %d", op->name,
                       op->n_inputs);
    }
    return CT_OK;
}

static ct_status check_call(const ct_op *op, int n, const void *attr, size_t attr_size) {
    if (n != op->n_inputs && !(op->n_inputs < 0 && n > 0)) {
        return ct_fail(CT_ERR_RANGE, "%s: takes %d inputs, got %d", op->name, op->n_inputs, n);
    }
    if (attr_size == 0 || attr) return CT_OK;
    return ct_fail(CT_ERR_NULL, "%s: 'attr' is NULL, its size %zu", op->name, attr_size);
}

/* With this mark, or the one that follows from the inputs. */
static ct_tensor *make(const ct_op *op, ct_tensor *const inputs[], int n, const void *attr,
                       size_t attr_size, const cti_mark *given) {
    if (!op || !op->name) {
        return ct_fail_null(CT_ERR_NULL, "ct_node: '%s' is NULL", op ? "op->name" : "op");
    }
    char name[CTI_TITLE];
    cti_op_title(op, name);
    CTI_CALLED_AS(name);
    for (int i = 0; i < n; i++) {
        if (inputs && inputs[i]) continue;
        return cti_null_in("%s: argument %d is NULL", name, i + 1);
    }
    if (check_call(op, n, attr, attr_size) != CT_OK || check_descriptor(op) != CT_OK) return NULL;
    ct_type out = {0};
    if (infer(op, name, inputs, n, attr, &out) != CT_OK) return NULL;
    if (check_streaming(op, inputs, n, attr, &out) != CT_OK) return NULL;
    cti_mark mark = given ? *given : CTI_REPLICATED;
    if (!given && cti_mark_infer(op, name, inputs, n, attr, &out, &mark) != CT_OK) return NULL;
    ct_tensor *t = cti_marked(new_node(&out, inputs, n, attr_size), mark);
    if (!t) return NULL;
    t->level += op->kind == CT_REDUCE || op->kind == CT_KERNEL;
    if (op->copy) op->copy(t->attr, attr);
    else if (attr_size) memcpy(t->attr, attr, attr_size);
    ct_tensor *added = ct_scope_add(t);
    /* The op is set last: on failure, what the attribute owns stays the caller's. */
    if (added) {
        t->op = op;
        t->sums |= cti_sums_elsewhere(t);
    }
    ct_drop(t);
    return added;
}

ct_tensor *ct_node(const ct_op *op, ct_tensor *const inputs[], int n, const void *attr,
                   size_t attr_size) {
    return make(op, inputs, n, attr, attr_size, NULL);
}

ct_tensor *cti_node_marked(const ct_op *op, ct_tensor *const inputs[], int n, const void *attr,
                           size_t attr_size, cti_mark mark) {
    return make(op, inputs, n, attr, attr_size, &mark);
}

ct_tensor *cti_node_like(const ct_tensor *t) {
    const ct_type type = {t->dtype, t->shape};
    ct_tensor *copy = cti_marked(new_node(&type, t->inputs, t->n_inputs, t->attr_size),
                                 cti_mark_of(t));
    if (!copy) return NULL;
    copy->op = t->op;
    copy->sums |= t->sums;
    copy->order = t->order;
    copy->name = t->name;
    copy->path = t->path;
    copy->origin = t->origin;
    if (t->attr_size) memcpy(copy->attr, t->attr, t->attr_size);
    return registered(copy);
}

ct_tensor *ct_keep(ct_tensor *t) {
    if (t) t->refs++;
    return t;
}

void ct_drop(ct_tensor *t) {
    if (!t || --t->refs > 0) return;
    ct_tensor *dead = t;
    t->link = NULL;
    while (dead) {
        ct_tensor *node = dead;
        dead = node->link;
        for (int i = 0; i < node->n_inputs; i++) {
            ct_tensor *input = node->inputs[i];
            if (--input->refs > 0) continue;
            input->link = dead;
            dead = input;
        }
        if (node->op && node->op->release) node->op->release(node->attr);
        if (node->literal) cti_literal_forget(node);
        cti_buffer_drop(node->buffer);
        cti_rows_drop(node->rows);
        cti_free(node);
    }
}

void ct_set(ct_tensor **slot, ct_tensor *t) {
    if (!slot) return;
    ct_tensor *old = *slot;
    *slot = ct_keep(t);
    ct_drop(old);
}

/* --- What a node says of itself ----------------------------------------------------------- */

ct_dtype ct_dtype_of(const ct_tensor *t) { return t ? t->dtype : CT_F32; }

ct_shape ct_shape_of(const ct_tensor *t) { return t ? t->shape : CT_SCALAR; }

int64_t ct_numel(const ct_tensor *t) { return t ? t->numel : 0; }

int64_t ct_dim(const ct_tensor *t, int axis) {
    if (!t) return 0;
    if (axis < 0) axis += t->shape.rank;
    return axis >= 0 && axis < t->shape.rank ? t->shape.dims[axis] : 0;
}

const ct_op *ct_op_of(const ct_tensor *t) { return t ? t->op : NULL; }

int ct_input_count(const ct_tensor *t) { return t ? t->n_inputs : 0; }

ct_tensor *ct_input(const ct_tensor *t, int i) {
    return t && i >= 0 && i < t->n_inputs ? t->inputs[i] : NULL;
}

const void *ct_attr(const ct_tensor *t) { return t ? t->attr : NULL; }

ct_tensor *ct_name(ct_tensor *t, const char *name) {
    const char *interned = t ? cti_intern(name) : NULL;
    if (!interned) return NULL;
    t->name = interned;
    return t;
}

bool ct_is(const ct_tensor *t, const ct_op *op) { return t && !cti_has_value(t) && t->op == op; }

const char *ct_name_of(const ct_tensor *t) { return t ? t->name : ""; }

const char *ct_path_of(const ct_tensor *t) { return t ? t->path : ""; }

int ct_order_of(const ct_tensor *t) { return t ? t->order : 0; }

/* --- Shared shape rules ------------------------------------------------------------------- */

ct_status ct_infer_same(const ct_infer *call, ct_type *out) {
    *out = call->in[0];
    for (int i = 1; i < call->n_inputs; i++) {
        ct_type in = call->in[i];
        ct_status status = cti_dtypes_equal(call->name, out->dtype, in.dtype);
        if (status != CT_OK) return status;
        if (!ct_shape_equal(in.shape, out->shape)) {
            return ct_fail(CT_ERR_SHAPE, "%s: shapes differ: %s and %s", call->name,
                           ct_shape_format(out->shape).text, ct_shape_format(in.shape).text);
        }
    }
    return CT_OK;
}

ct_status ct_infer_float(const ct_infer *call, ct_type *out) {
    ct_status status = cti_dtype_check(call->name, call->in[0].dtype, CTI_REAL);
    return status == CT_OK ? ct_infer_same(call, out) : status;
}

ct_tensor *ct_no_gradient(ct_tensor *g, ct_tensor *y, int i) {
    (void)g, (void)y, (void)i;
    return NULL;
}
