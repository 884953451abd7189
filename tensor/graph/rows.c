/* Marks of varying tensors: records of rows, and how a mark goes through an op.
 * It sums nothing and names no op: what an op does to the axis is in its descriptor.
 * Invariant: the marks of a node's inputs go together, or there is no node. */
#include "tensor/graph/rows.h"

#include "tensor/base/alloc.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/node.h"

#include <stddef.h>
#include <string.h>

static cti_rows *rows_keep(cti_rows *rows) {
    if (rows) atomic_fetch_add_explicit(&rows->refs, 1, memory_order_relaxed);
    return rows;
}

void cti_rows_drop(cti_rows *rows) {
    if (!rows || atomic_fetch_sub(&rows->refs, 1) != 1) return;
    cti_rows_drop(atomic_load(&rows->grains));
    cti_free(rows);
}

/* With the grains of the current group, and no rows yet. */
static cti_rows *rows_new(void) {
    cti_rows *rows = cti_alloc(1, sizeof *rows);
    if (!rows) return NULL;
    int last;
    ct_group_grains(ct_group_current(), &rows->first, &last, &rows->all);
    rows->refs = rows->unit = 1;
    rows->n = last - rows->first;
    return rows;
}

void cti_rows_cut(cti_rows *rows, int64_t n) {
    rows->total = n;
    rows->most = cti_divide_up(n, rows->all);
    rows->before = cti_divide_up(n * rows->first, rows->all);
    for (int64_t k = 0; k < rows->n; k++) {
        rows->ends[k] = cti_divide_up(n * (rows->first + k + 1), rows->all) - rows->before;
    }
}

cti_rows *cti_rows_even(int64_t n) {
    cti_rows *rows = rows_new();
    if (rows) cti_rows_cut(rows, n);
    return rows;
}

static cti_rows *new_of_grains(const cti_rows *like) {
    cti_rows *rows = rows_new();
    if (rows && like) {
        rows->first = like->first;
        rows->n = like->n;
        rows->all = like->all;
    }
    if (rows) cti_rows_cut(rows, rows->all);
    return rows;
}

/* Whether the rows are grains already, so that partial sums of them lie alike. */
static bool are_grains(const cti_rows *rows) {
    return rows->total == rows->all && rows->unit == 1 && !rows->uneven && !rows->number;
}

/* A graph has partial sums at each layer, and its tensors are marked by a few records only. */
cti_rows *cti_rows_of_grains(cti_rows *like) {
    if (!like) return new_of_grains(NULL);
    if (are_grains(like)) return rows_keep(like);
    cti_rows *rows = atomic_load(&like->grains);
    if (rows) return rows_keep(rows);
    cti_rows *made = new_of_grains(like);
    if (!made || atomic_compare_exchange_strong(&like->grains, &rows, made)) return rows_keep(made);
    cti_rows_drop(made);
    return rows_keep(rows);
}

cti_rows *cti_rows_in_units(const cti_rows *rows, int64_t unit) {
    cti_rows *other = cti_alloc(1, sizeof *other);
    if (!other) return NULL;
    /* Not what other threads may change meanwhile. */
    const size_t fixed = offsetof(cti_rows, total);
    memcpy((char *)other + fixed, (const char *)rows + fixed, sizeof *other - fixed);
    other->refs = 1;
    other->unit *= unit;
    return other;
}

static bool rows_equal(const cti_rows *a, const cti_rows *b) {
    return a == b ||
           (a && b && a->total == b->total && a->before == b->before && a->most == b->most &&
            a->uneven == b->uneven && a->unit == b->unit && a->first == b->first && a->n == b->n &&
            a->all == b->all && memcmp(a->ends, b->ends, sizeof *a->ends * (size_t)a->n) == 0);
}

bool cti_marks_equal(cti_mark a, cti_mark b) {
    return a.axis == b.axis && rows_equal(a.rows, b.rows);
}

cti_mark cti_mark_of(const ct_tensor *t) {
    return t && t->rows ? (cti_mark){t->rows, t->batch} : CTI_REPLICATED;
}

ct_tensor *cti_marked(ct_tensor *t, cti_mark mark) {
    if (!t) return NULL;
    cti_rows *old = t->rows;
    t->rows = rows_keep(mark.rows);
    t->batch = (signed char)mark.axis;
    cti_rows_drop(old);
    return t;
}

bool cti_sums_elsewhere(const ct_tensor *t) {
    const cti_rows *grains = t->op && t->op->sums_grains ? t->inputs[0]->rows : NULL;
    return grains && grains->n < grains->all;
}

int64_t cti_global_dim(const ct_tensor *t, int axis) {
    bool varies = t->rows && t->batch == axis;
    return varies ? t->rows->total * t->rows->unit : t->shape.dims[axis];
}

int64_t cti_global_numel(const ct_tensor *t) {
    int64_t n = 1;
    for (int d = 0; d < t->shape.rank; d++) n *= cti_global_dim(t, d);
    return n;
}

cti_grains cti_row_grains(const cti_rows *rows) {
    cti_grains grains = {.all = rows->all, .most = rows->most * rows->unit, .n = rows->n};
    for (int k = 0; k < rows->n; k++) grains.ends[k] = rows->ends[k] * rows->unit;
    return grains;
}

size_t cti_grains_size(const cti_grains *grains) {
    return offsetof(cti_grains, ends) + sizeof *grains->ends * (size_t)grains->n;
}

int ct_varying_axis(const ct_tensor *t) { return cti_mark_of(t).axis; }

ct_status cti_check_replicated(const char *function, const char *name, const ct_tensor *t,
                               const char *instead) {
    if (!t->rows || t->rows->n == t->rows->all) return CT_OK;
    return ct_fail(CT_ERR_STATE, "%s: %s %s varies between ranks along axis %d: %s", function, name,
                   ct_shape_format(t->shape).text, t->batch, instead);
}

ct_status cti_check_for_file(const char *function, const char *name, const ct_tensor *t) {
    return cti_check_replicated(
        function, name, t,
        "each has its own rows; ct_own_rows gives them, for a file of this rank's");
}

/* --- Through an op ---------------------------------------------------------------------------- */

static ct_status refused(const ct_op *op, const char *name, const ct_tensor *x, int i) {
    if (op->kind == CT_KERNEL && !op->batch) {
        return ct_fail(CT_ERR_STATE,
                       "%s: operand %d %s varies between ranks along axis %d, and the op does not "
                       "say what it means of rows (ct_op.batch)",
                       name, i + 1, ct_shape_format(x->shape).text, x->batch);
    }
    return ct_fail(CT_ERR_STATE,
                   "%s: operand %d %s varies between ranks along axis %d, which this op cannot "
                   "take, split or lose: no rank has the rows of the others; sums and means over "
                   "all of them are shared (ct_sum, ct_mean)",
                   name, i + 1, ct_shape_format(x->shape).text, x->batch);
}

/* Two operands that do not go together: both varying in different ways, or one of them. */
static ct_status apart(const char *name, ct_tensor *const inputs[], int i, int k) {
    const ct_tensor *a = inputs[i], *b = inputs[k];
    if (a->rows && b->rows) {
        return ct_fail(CT_ERR_STATE,
                       "%s: operand %d %s varies between ranks along axis %d, operand %d %s along "
                       "axis %d in other rows",
                       name, i + 1, ct_shape_format(a->shape).text, a->batch, k + 1,
                       ct_shape_format(b->shape).text, b->batch);
    }
    if (b->rows) return apart(name, inputs, k, i);
    return ct_fail(
        CT_ERR_STATE,
        "%s: operand %d %s varies between ranks along axis %d, operand %d %s is the "
        "same on all; make it this rank's rows by ct_varying, or draw it by "
        "ct_random_normal_like or ct_random_uniform_like, or give it size 1 where the op "
        "stretches it",
        name, i + 1, ct_shape_format(a->shape).text, a->batch, k + 1,
        ct_shape_format(b->shape).text);
}

/* An operand that is the same on all ranks and has as many places as inputs[v] rows; -1: none. */
static int replicated_beside(ct_tensor *const inputs[], int n, int v) {
    for (int k = 0; k < n; k++) {
        const ct_tensor *t = inputs[k];
        int axis = inputs[v]->batch;
        if (t->rows || t->shape.rank <= axis) continue;
        if (t->shape.dims[axis] == inputs[v]->shape.dims[axis]) return k;
    }
    return -1;
}

ct_status cti_mark_infer(const ct_op *op, const char *name, ct_tensor *const inputs[], int n,
                         const void *attr, const ct_type *out, cti_mark *mark) {
    int v = 0;
    *mark = CTI_REPLICATED;
    while (v < n && !inputs[v]->rows) v++;
    if (v == n) return CT_OK;
    *mark = cti_mark_of(inputs[v]);
    bool alike = op->kind == CT_MAP || op->n_inputs < 0;
    for (int k = 0; k < n && alike; k++) {
        if (!cti_marks_equal(cti_mark_of(inputs[k]), *mark)) return apart(name, inputs, v, k);
    }
    if (op->kind == CT_MAP) return CT_OK;
    for (int k = v + 1; k < n; k++) {
        if (inputs[k]->rows && !rows_equal(inputs[k]->rows, mark->rows)) {
            return apart(name, inputs, v, k);
        }
    }
    if (!op->batch) return refused(op, name, inputs[v], v);
    if (n > CT_OP_INPUTS) n = CT_OP_INPUTS; /* of an op of any number, which are alike */
    ct_type types[CT_OP_INPUTS];
    int axes[CT_OP_INPUTS];
    for (int k = 0; k < n; k++) {
        types[k] = (ct_type){inputs[k]->dtype, inputs[k]->shape};
        axes[k] = cti_mark_of(inputs[k]).axis;
    }
    mark->axis = op->batch(&(ct_batch_axes){attr, n, types, axes, *out});
    if (mark->axis >= 0) return CT_OK;
    int beside = replicated_beside(inputs, n, v);
    return beside >= 0 ? apart(name, inputs, v, beside) : refused(op, name, inputs[v], v);
}
