/* Views: other layouts of the same elements. Nothing is computed, nothing copied.
 * Padding and concatenation are not views; see move.c.
 * Invariant: a view's layout is a function of its input's layout and of its attribute, so that
 * chains of views fold into one layout when a plan is made. */
#include "autograd/ops/algebra.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/node.h"

/* A shape is an attribute without what lies between and behind its dimensions. */
static void copy_shape(void *to, const void *attr) {
    const ct_shape *from = attr;
    ((ct_shape *)to)->rank = from->rank;
    for (int i = 0; i < from->rank; i++) ((ct_shape *)to)->dims[i] = from->dims[i];
}

/* --- reshape ---------------------------------------------------------------------------------- */

static ct_status infer_reshape(const ct_infer *call, ct_type *out) {
    *out = (ct_type){call->in[0].dtype, *(const ct_shape *)call->attr};
    return CT_OK;
}

/* Walks both shapes from the left in groups of equal element counts. A group can be re-cut if its
 * input dimensions lie one behind the other. */
static bool view_reshape(const void *attr, ct_shape in, const ct_layout *x, ct_shape out,
                         ct_layout *y) {
    (void)attr;
    cti_shape_strides(out, y->strides);
    y->offset = x->offset;
    if (ct_shape_numel(out) == 0) return true;
    int i = 0, o = 0;
    while (o < out.rank) {
        int i_end = i, o_end = o + 1;
        int64_t have = 1, want = out.dims[o];
        while (have != want) {
            if (have < want) have *= in.dims[i_end++];
            else want *= out.dims[o_end++];
        }
        int64_t stride = 1, expected = 0;
        bool first = true;
        for (int d = i_end - 1; d >= i; d--) {
            if (in.dims[d] == 1) continue;
            if (first) stride = x->strides[d];
            else if (x->strides[d] != expected) return false;
            expected = x->strides[d] * in.dims[d];
            first = false;
        }
        for (int d = o_end - 1; d >= o; d--) {
            y->strides[d] = stride;
            stride *= out.dims[d];
        }
        i = i_end;
        o = o_end;
    }
    return true;
}

ct_tensor *cti_reshape_marked(ct_tensor *x, ct_shape shape, cti_mark mark) {
    if (!x) return NULL;
    ct_shape as_attribute = {0};
    copy_shape(&as_attribute, &shape);
    if (ct_shape_equal(shape, ct_shape_of(x)) && cti_marks_equal(cti_mark_of(x), mark)) {
        return ct_scope_add(x);
    }
    return cti_node_marked(&ct_op_reshape, &x, 1, &as_attribute, sizeof as_attribute, mark);
}

ct_tensor *cti_without(ct_tensor *x, const bool away[]) {
    if (!x) return NULL;
    ct_shape shape = {0};
    cti_mark mark = cti_mark_of(x);
    for (int d = 0; d < x->shape.rank; d++) {
        if (!away[d]) shape.dims[shape.rank++] = x->shape.dims[d];
        else mark.axis -= x->rows && d < x->batch;
    }
    return cti_reshape_marked(x, shape, mark);
}

ct_tensor *cti_column(ct_tensor *x) {
    if (!x) return NULL;
    ct_shape shape = x->shape;
    shape.dims[shape.rank++] = 1;
    return cti_reshape_marked(x, shape, cti_mark_of(x));
}

static ct_tensor *vjp_reshape(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *x = ct_input(y, i);
    return cti_reshape_marked(g, ct_shape_of(x), cti_mark_of(x));
}

static ct_tensor *reshaped_twice(ct_tensor *y) {
    ct_tensor *x = ct_input(y, 0);
    if (!ct_is(x, &ct_op_reshape)) return NULL;
    return cti_reshape_marked(ct_input(x, 0), ct_shape_of(y), cti_mark_of(y));
}

CTI_RULES(reshape, {"a reshape of a reshape is one", reshaped_twice});

CTI_VIEW_OP(reshape, infer_reshape, view_reshape, vjp_reshape, .algebra = CT_LINEAR,
            .simplify = simplify_reshape, .copy = copy_shape);

/* Of x, which varies, the elements of a row behind the axes in front of the batch axis. */
static int64_t places_of_a_row(const ct_tensor *x) {
    return x->rows->unit * cti_shape_span(x->shape, x->batch + 1, x->shape.rank);
}

/* Replaces a -1, at *open, by what is left. A rank without rows computes as with one, so that it
 * comes to what the others do. */
static ct_status complete_shape(ct_tensor *x, ct_shape *shape, int *open) {
    int64_t known = 1, have = ct_numel(x);
    bool without = x->rows && cti_rows_count(x->rows) == 0;
    for (int i = 0; i < shape->rank && i < CT_MAX_RANK; i++) {
        int64_t size = shape->dims[i];
        if (size == 0 && without) {
            size = x->rows->unit;
            have = places_of_a_row(x) * cti_shape_span(x->shape, 0, x->batch);
            without = false;
        }
        if (size == -1 && *open >= 0) {
            return ct_fail(CT_ERR_SHAPE, "ct_reshape: only one dim may be -1, got 2");
        }
        if (size == -1) *open = i;
        else if (size < 0 || __builtin_mul_overflow(known, size, &known)) break;
    }
    if (*open < 0) return CT_OK;
    if (known == 0) {
        return ct_fail(CT_ERR_SHAPE, "ct_reshape: -1 is ambiguous for 0 elements");
    }
    shape->dims[*open] = have / known;
    return CT_OK;
}

/* Whether two shapes are one where a rank has one row, along these axes. */
static bool alike_of_one_row(ct_shape a, int axis_a, ct_shape b, int axis_b, int64_t unit) {
    a.dims[axis_a] = b.dims[axis_b] = unit;
    return ct_shape_equal(a, b);
}

/* What ranks of one row, or of none, could not tell apart is refused on those that can. */
static ct_status check_rows_axis(ct_tensor *x, ct_shape to, int axis, int64_t unit, int open) {
    bool cut = unit != x->rows->unit;
    if (cut && open >= 0 && open != axis) {
        return ct_fail(CT_ERR_STATE,
                       "ct_reshape: %s varies between ranks along axis %d, of whose rows %s makes "
                       "others; a rank without rows could not tell what -1 is behind them: give -1 "
                       "for axis %d, and a size for axis %d",
                       ct_shape_format(x->shape).text, x->batch, ct_shape_format(to).text, axis,
                       open);
    }
    if (cut || axis == x->batch || !alike_of_one_row(x->shape, x->batch, to, axis, unit)) {
        return CT_OK;
    }
    return ct_fail(CT_ERR_STATE,
                   "ct_reshape: %s varies between ranks along axis %d, and %s would along axis %d; "
                   "a rank of one row could not tell them apart (ct_permute moves axes of size 1)",
                   ct_shape_format(x->shape).text, x->batch, ct_shape_format(to).text, axis);
}

/* The first axis that begins where the batch axis of x begins; it may take in what follows. Where a
 * rank has one row, an axis of size 1 in front of it could not be told from it: so none is allowed,
 * on ranks of any rows. */
static ct_tensor *reshape_varying(ct_tensor *x, ct_shape to, int open) {
    cti_mark mark = cti_mark_of(x);
    ct_shape from = ct_shape_of(x);
    int64_t before = cti_shape_span(from, 0, mark.axis), behind = 1;
    int64_t places = places_of_a_row(x);
    int d = 0;
    while (d < to.rank && cti_shape_span(to, 0, d) != before) d++;
    for (int k = d + 1; k < to.rank; k++) behind *= to.dims[k];
    bool there = d < to.rank && behind > 0 && places % behind == 0 &&
                 to.dims[d] == cti_rows_count(mark.rows) * (places / behind);
    if (!there) {
        return ct_fail_null(
            CT_ERR_STATE,
            "ct_reshape: %s varies between ranks along axis %d, which %s has not; an "
            "axis of size 1 may stand behind it, not in front (ct_permute)",
            ct_shape_format(from).text, mark.axis, ct_shape_format(to).text);
    }
    int64_t unit = places / behind;
    if (check_rows_axis(x, to, d, unit, open) != CT_OK) return NULL;
    if (unit == mark.rows->unit) return cti_reshape_marked(x, to, (cti_mark){mark.rows, d});
    cti_rows *units = cti_rows_in_units(mark.rows, 1);
    if (!units) return NULL;
    units->unit = unit;
    ct_tensor *y = cti_reshape_marked(x, to, (cti_mark){units, d});
    cti_rows_drop(units);
    return y;
}

ct_tensor *ct_reshape(ct_tensor *x, ct_shape shape) {
    CTI_CALLED;
    if (!x) return ct_node(&ct_op_reshape, &x, 1, NULL, 0);
    ct_shape whole = shape;
    int open = -1;
    if (complete_shape(x, &whole, &open) != CT_OK ||
        cti_shape_check("ct_reshape", whole, ct_dtype_of(x)) != CT_OK) {
        return NULL;
    }
    int64_t numel = ct_shape_numel(whole);
    if (numel != ct_numel(x)) {
        return ct_fail_null(CT_ERR_SHAPE, "ct_reshape: %s has %lld elements, %s needs %lld",
                            ct_shape_format(ct_shape_of(x)).text, (long long)ct_numel(x),
                            ct_shape_format(shape).text, (long long)numel);
    }
    if (ct_shape_equal(whole, ct_shape_of(x))) return ct_scope_add(x);
    if (x->rows) return reshape_varying(x, whole, open);
    return ct_node(&ct_op_reshape, &x, 1, &whole, sizeof whole);
}

/* --- permute ---------------------------------------------------------------------------------- */

/* The attribute is for each axis of the output that of the input. */
typedef int64_t permute_attr[CT_MAX_RANK];

static ct_status infer_permute(const ct_infer *call, ct_type *out) {
    const int64_t *axes = call->attr;
    *out = call->in[0];
    for (int i = 0; i < out->shape.rank; i++) out->shape.dims[i] = call->in[0].shape.dims[axes[i]];
    return CT_OK;
}

static bool view_permute(const void *attr, ct_shape in, const ct_layout *x, ct_shape out,
                         ct_layout *y) {
    (void)in;
    y->offset = x->offset;
    for (int i = 0; i < out.rank; i++) y->strides[i] = x->strides[((const int64_t *)attr)[i]];
    return true;
}

static ct_tensor *vjp_permute(ct_tensor *g, ct_tensor *y, int i) {
    (void)i;
    const int64_t *axes = ct_attr(y);
    ct_axes inverse = {.count = ct_shape_of(y).rank};
    for (int k = 0; k < inverse.count; k++) inverse.axis[axes[k]] = k;
    return ct_permute(g, inverse);
}

static ct_tensor *permuted(ct_tensor *y) {
    ct_tensor *x = ct_input(y, 0);
    const int64_t *outer = ct_attr(y), *inner = ct_attr(x);
    ct_axes axes = {.count = ct_shape_of(y).rank};
    bool moves = false, twice = ct_is(x, &ct_op_permute);
    for (int i = 0; i < axes.count; i++) {
        axes.axis[i] = (int)(twice ? inner[outer[i]] : outer[i]);
        moves |= axes.axis[i] != i;
    }
    if (!moves) return twice ? ct_input(x, 0) : x;
    return twice ? ct_permute(ct_input(x, 0), axes) : NULL;
}

CTI_RULES(permute, {"two permutations are one, one that moves nothing is none", permuted});

static int batch_permute(const ct_batch_axes *call) {
    int axis = 0;
    while (((const int64_t *)call->attr)[axis] != call->axis[0]) axis++;
    return axis;
}

CTI_VIEW_OP(permute, infer_permute, view_permute, vjp_permute, .algebra = CT_LINEAR,
            .simplify = simplify_permute, .batch = batch_permute);

ct_tensor *ct_permute(ct_tensor *x, ct_axes axes) {
    if (!x) return ct_node(&ct_op_permute, &x, 1, NULL, 0);
    ct_shape shape = ct_shape_of(x), given = {.rank = axes.count};
    permute_attr attr = {0};
    bool seen[CT_MAX_RANK] = {0}, valid = axes.count == shape.rank;
    for (int i = 0; i < axes.count && i < CT_MAX_RANK; i++) {
        int axis = axes.axis[i] < 0 ? axes.axis[i] + shape.rank : axes.axis[i];
        given.dims[i] = axes.axis[i];
        valid = valid && axis >= 0 && axis < shape.rank && !seen[axis];
        if (!valid) continue;
        seen[axis] = true;
        attr[i] = axis;
    }
    if (!valid) {
        return ct_fail_null(CT_ERR_SHAPE, "ct_permute: %s is not a permutation of 0..%d",
                            ct_shape_format(given).text, shape.rank - 1);
    }
    return ct_node(&ct_op_permute, &x, 1, attr, sizeof attr);
}

ct_tensor *cti_with_first(ct_tensor *x, int axis) {
    ct_axes axes = {.count = ct_shape_of(x).rank};
    for (int d = 0; d < axes.count; d++) axes.axis[d] = d == 0 ? axis : d - (d <= axis);
    return ct_permute(x, axes);
}

ct_tensor *ct_transpose(ct_tensor *x) {
    CTI_CALLED;
    int rank = ct_shape_of(x).rank;
    if (x && rank < 2) {
        return ct_fail_null(CT_ERR_SHAPE, "ct_transpose: needs rank >= 2, got %s",
                            ct_shape_format(ct_shape_of(x)).text);
    }
    ct_axes axes = {.count = rank};
    for (int i = 0; i < rank; i++) axes.axis[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    return ct_permute(x, axes);
}

/* --- broadcast -------------------------------------------------------------------------------- */

static ct_status infer_broadcast(const ct_infer *call, ct_type *out) {
    ct_shape in = call->in[0].shape, target = *(const ct_shape *)call->attr, both;
    *out = (ct_type){call->in[0].dtype, target};
    if (cti_shape_broadcast(call->name, in, target, &both) != CT_OK) return CT_ERR_SHAPE;
    if (!ct_shape_equal(both, target)) {
        return ct_fail(CT_ERR_SHAPE, "%s: %s does not stretch to %s", call->name,
                       ct_shape_format(in).text, ct_shape_format(target).text);
    }
    return CT_OK;
}

static bool view_broadcast(const void *attr, ct_shape in, const ct_layout *x, ct_shape out,
                           ct_layout *y) {
    (void)attr;
    int shift = out.rank - in.rank;
    y->offset = x->offset;
    for (int i = 0; i < out.rank; i++) {
        bool stretched = i < shift || in.dims[i - shift] != out.dims[i];
        y->strides[i] = stretched ? 0 : x->strides[i - shift];
    }
    return true;
}

/* What was stretched over the rows of all ranks is summed over them. */
static ct_tensor *vjp_broadcast(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *x = ct_input(y, i);
    return cti_sum_to(g, ct_shape_of(x), y->rows && !x->rows ? y->batch : -1);
}

static ct_tensor *not_stretched(ct_tensor *y) {
    ct_tensor *x = ct_input(y, 0);
    bool same = ct_shape_equal(ct_shape_of(x), ct_shape_of(y)) &&
                cti_marks_equal(cti_mark_of(x), cti_mark_of(y));
    return same ? x : NULL;
}

static ct_tensor *stretched_twice(ct_tensor *y) {
    ct_tensor *x = ct_input(y, 0);
    return ct_is(x, &ct_op_broadcast) ? cti_broadcast_like(ct_input(x, 0), y) : NULL;
}

CTI_RULES(broadcast, {"a broadcast to its own shape is none", not_stretched},
          {"a broadcast of a broadcast is one", stretched_twice});

/* An axis that varies is not stretched: it has the rows that it has. */
static int batch_broadcast(const ct_batch_axes *call) {
    int axis = call->axis[0], to = axis + call->out.shape.rank - call->in[0].shape.rank;
    return call->in[0].shape.dims[axis] == call->out.shape.dims[to] ? to : -1;
}

CTI_VIEW_OP(broadcast, infer_broadcast, view_broadcast, vjp_broadcast, .algebra = CT_LINEAR,
            .simplify = simplify_broadcast, .copy = copy_shape, .batch = batch_broadcast);

ct_tensor *ct_broadcast(ct_tensor *x, ct_shape shape) {
    CTI_CALLED;
    if (cti_shape_check("ct_broadcast", shape, ct_dtype_of(x)) != CT_OK) return NULL;
    return ct_node(&ct_op_broadcast, &x, 1, &shape, sizeof shape);
}

ct_tensor *cti_broadcast_along(ct_tensor *x, ct_shape shape, cti_mark mark) {
    if (!x || !mark.rows || x->rows) return ct_broadcast(x, shape);
    int own = mark.axis - (shape.rank - x->shape.rank);
    if (own >= 0 && x->shape.dims[own] != 1) {
        return ct_fail_null(
            CT_ERR_STATE,
            "ct_broadcast: an operand %s is the same on all ranks, the other one "
            "varies along axis %d; make it this rank's rows by ct_varying, or draw it by "
            "ct_random_normal_like or ct_random_uniform_like, or give it size 1 there",
            ct_shape_format(x->shape).text, mark.axis);
    }
    ct_shape attr = {0};
    copy_shape(&attr, &shape);
    return cti_node_marked(&ct_op_broadcast, &x, 1, &attr, sizeof attr, mark);
}

ct_tensor *cti_broadcast_like(ct_tensor *x, ct_tensor *like) {
    return like ? cti_broadcast_along(x, ct_shape_of(like), cti_mark_of(like)) : NULL;
}

/* --- stop_gradient ---------------------------------------------------------------------------- */

bool cti_view_identity(const void *attr, ct_shape in, const ct_layout *x, ct_shape out,
                       ct_layout *y) {
    (void)attr, (void)in, (void)out;
    *y = *x;
    return true;
}

static int batch_identity(const ct_batch_axes *call) { return call->axis[0]; }

static int common_axis(const ct_batch_axes *call) {
    for (int k = 1; k < call->n_inputs; k++) {
        if (call->axis[k] != call->axis[0]) return -1;
    }
    return call->axis[0];
}

int cti_batch_beside(const ct_batch_axes *call) {
    int axis = common_axis(call);
    return axis == *(const int64_t *)call->attr ? -1 : axis;
}

int cti_batch_images(const ct_batch_axes *call) {
    int axis = common_axis(call);
    return axis == 0 || axis == 3 ? axis : -1;
}

CTI_VIEW_OP(stop_gradient, ct_infer_same, cti_view_identity, ct_no_gradient, .algebra = CT_LINEAR,
            .batch = batch_identity);

ct_tensor *ct_stop_gradient(ct_tensor *x) { return ct_node(&ct_op_stop_gradient, &x, 1, NULL, 0); }
