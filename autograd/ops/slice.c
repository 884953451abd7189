/* Slices and flips: views whose transposes move elements back to where they came from.
 * Slicing with a step has padding with interior zeros as its transpose; see join.c.
 * Invariant: bounds are checked when the node is made, so a layout never leaves its base. */
#include "autograd/ops/stanza.h"
#include "tensor/base/shape_rules.h"

typedef struct {
    int64_t axis, start, step, count;
} slice_attr;

static ct_status infer_slice(const ct_infer *call, ct_type *out) {
    const slice_attr *attr = call->attr;
    *out = call->in[0];
    out->shape.dims[attr->axis] = attr->count;
    return CT_OK;
}

static bool view_slice(const void *attr, ct_shape in, const ct_layout *x, ct_shape out,
                       ct_layout *y) {
    const slice_attr *slice = attr;
    (void)in, (void)out;
    *y = *x;
    y->offset += slice->start * x->strides[slice->axis];
    y->strides[slice->axis] *= slice->step;
    return true;
}

static ct_tensor *vjp_slice(ct_tensor *g, ct_tensor *y, int i) {
    const slice_attr *attr = ct_attr(y);
    int64_t size = ct_dim(ct_input(y, i), (int)attr->axis);
    if (attr->count == 0) return cti_full_like(ct_input(y, i), 0.0);
    int64_t covered = attr->start + (attr->count - 1) * attr->step + 1;
    return ct_pad(g, (int)attr->axis, attr->start, size - covered, attr->step - 1);
}

CT_OP_PUBLIC(ct_op_slice) = {
    .name = "slice",
    .kind = CT_VIEW,
    .n_inputs = 1,
    .infer = infer_slice,
    .view = view_slice,
    .vjp = {vjp_slice},
};

static int64_t from_end(int64_t index, int64_t size) {
    if (index == CT_END) return size;
    return index < 0 ? index + size : index;
}

ct_tensor *ct_slice(ct_tensor *x, int axis, int64_t start, int64_t stop, int64_t step) {
    if (!x) return ct_node(&ct_op_slice, &x, 1, NULL, 0);
    int at;
    if (cti_shape_axis("ct_slice", ct_shape_of(x), axis, &at) != CT_OK) return NULL;
    int64_t size = ct_dim(x, at), first = from_end(start, size), last = from_end(stop, size);
    if (step < 1) {
        return ct_fail_null(CT_ERR_RANGE, "ct_slice: step must be >= 1 on dim %d, got %lld", at,
                            (long long)step);
    }
    if (first < 0 || last > size || first > last) {
        return ct_fail_null(CT_ERR_RANGE, "ct_slice: %lld..%lld is not within 0..%lld on dim %d",
                            (long long)start, (long long)stop, (long long)size, at);
    }
    int64_t count = last > first ? (last - first - 1) / step + 1 : 0;
    /* A step beyond the end is as good as any; kept small, strides cannot overflow. */
    slice_attr attr = {at, first, count > 1 ? step : 1, count};
    return ct_node(&ct_op_slice, &x, 1, &attr, sizeof attr);
}

/* --- flip ------------------------------------------------------------------------------------- */

typedef struct {
    int64_t flipped[CT_MAX_RANK];
} flip_attr;

static bool view_flip(const void *attr, ct_shape in, const ct_layout *x, ct_shape out,
                      ct_layout *y) {
    (void)out;
    *y = *x;
    if (ct_shape_numel(in) == 0) return true;
    for (int i = 0; i < in.rank; i++) {
        if (!((const flip_attr *)attr)->flipped[i]) continue;
        y->offset += (in.dims[i] - 1) * x->strides[i];
        y->strides[i] = -x->strides[i];
    }
    return true;
}

static ct_tensor *vjp_flip(ct_tensor *g, ct_tensor *y, int i) {
    (void)i;
    return ct_node(&ct_op_flip, &g, 1, ct_attr(y), sizeof(flip_attr));
}

CT_OP_PUBLIC(ct_op_flip) = {
    .name = "flip",
    .kind = CT_VIEW,
    .n_inputs = 1,
    .infer = ct_infer_same,
    .view = view_flip,
    .vjp = {vjp_flip},
};

ct_tensor *ct_flip(ct_tensor *x, ct_axes axes) {
    if (!x) return ct_node(&ct_op_flip, &x, 1, NULL, 0);
    ct_axes whole;
    if (cti_axes("ct_flip", ct_shape_of(x), axes, &whole) != CT_OK) return NULL;
    flip_attr attr = {0};
    for (int i = 0; i < whole.count; i++) attr.flipped[whole.axis[i]] = 1;
    return ct_node(&ct_op_flip, &x, 1, &attr, sizeof attr);
}
