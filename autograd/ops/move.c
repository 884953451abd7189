/* Elements in other places: slices and flips, which are views; padding and concatenation, which
 * copy them back, because an element may come from nowhere or from one of many inputs.
 * Invariant: bounds are checked when the node is made, so a layout never leaves its base; a part of
 * a copy writes its row whole. */
#include "autograd/ops/algebra.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"

#include <string.h>

/* --- slice ------------------------------------------------------------------------------------ */

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

CTI_VIEW_OP(slice, infer_slice, view_slice, vjp_slice, .algebra = CT_LINEAR,
            .batch = cti_batch_beside, .detail = "axis #; from #; step #|1");

static int64_t from_end(int64_t index, int64_t size) {
    if (index == CT_END) return size;
    return index < 0 ? index + size : index;
}

ct_tensor *ct_slice(ct_tensor *x, int axis, int64_t start, int64_t stop, int64_t step) {
    if (!x) return ct_node(&ct_op_slice, &x, 1, NULL, 0);
    int at;
    if (cti_shape_axis("ct_slice", ct_shape_of(x), axis, &at) != CT_OK) return NULL;
    if (cti_mark_of(x).axis == at) { /* refused, whether this rank has such rows or not */
        slice_attr none = {at, 0, 1, 0};
        return ct_node(&ct_op_slice, &x, 1, &none, sizeof none);
    }
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

/* The attribute says of each axis whether it is reversed. */
typedef int64_t flip_attr[CT_MAX_RANK];

static bool view_flip(const void *attr, ct_shape in, const ct_layout *x, ct_shape out,
                      ct_layout *y) {
    (void)out;
    *y = *x;
    if (ct_shape_numel(in) == 0) return true;
    for (int i = 0; i < in.rank; i++) {
        if (!((const int64_t *)attr)[i]) continue;
        y->offset += (in.dims[i] - 1) * x->strides[i];
        y->strides[i] = -x->strides[i];
    }
    return true;
}

static ct_tensor *vjp_flip(ct_tensor *g, ct_tensor *y, int i) {
    (void)i;
    return ct_node(&ct_op_flip, &g, 1, ct_attr(y), sizeof(flip_attr));
}

static int batch_flip(const ct_batch_axes *call) {
    return ((const int64_t *)call->attr)[call->axis[0]] ? -1 : call->axis[0];
}

CTI_VIEW_OP(flip, ct_infer_same, view_flip, vjp_flip, .algebra = CT_LINEAR, .batch = batch_flip);

ct_tensor *ct_flip(ct_tensor *x, ct_axes axes) {
    if (!x) return ct_node(&ct_op_flip, &x, 1, NULL, 0);
    ct_axes whole;
    if (cti_axes("ct_flip", ct_shape_of(x), axes, &whole) != CT_OK) return NULL;
    flip_attr attr = {0};
    for (int i = 0; i < whole.count; i++) attr[whole.axis[i]] = 1;
    return ct_node(&ct_op_flip, &x, 1, attr, sizeof attr);
}

/* --- pad -------------------------------------------------------------------------------------- */

typedef struct {
    int64_t axis, before, after, interior;
} pad_attr;

/* A part is one row of the axis's outer dimensions. Both attributes begin with the axis. */
static void prepare_rows(const ct_call *call, ct_prepared *p) {
    p->parts[0] = cti_shape_span(call->out.shape, 0, (int)*(const int64_t *)call->attr);
}

static ct_status infer_pad(const ct_infer *call, ct_type *out) {
    const pad_attr *p = call->attr;
    *out = call->in[0];
    int64_t *dim = &out->shape.dims[p->axis], gaps = *dim > 0 ? *dim - 1 : 0, spread;
    if (__builtin_mul_overflow(gaps, p->interior, &spread) ||
        __builtin_add_overflow(*dim, spread, dim) || __builtin_add_overflow(*dim, p->before, dim) ||
        __builtin_add_overflow(*dim, p->after, dim)) {
        return ct_fail(CT_ERR_SHAPE, "%s: dim %lld grows beyond 2^63-1", call->name,
                       (long long)p->axis);
    }
    return CT_OK;
}

static void pad_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    const pad_attr *p = call->attr;
    const ct_operand *in = &call->in[0];
    int axis = (int)p->axis;
    size_t element = ct_dtype_size(in->dtype) *
                     (size_t)cti_shape_span(in->shape, axis + 1, in->shape.rank);
    size_t n_in = (size_t)in->shape.dims[axis], n_out = (size_t)call->out.shape.dims[axis];
    const char *x = (const char *)in->data + (size_t)part * n_in * element;
    char *y = (char *)call->out.data + (size_t)part * n_out * element;
    memset(y, 0, n_out * element);
    y += (size_t)p->before * element;
    for (size_t i = 0; i < n_in; i++) {
        memcpy(y + i * (size_t)(p->interior + 1) * element, x + i * element, element);
    }
}

static const ct_kernel pad_rows = {.prepare = prepare_rows, .run = {pad_run}};

static ct_tensor *vjp_pad(ct_tensor *g, ct_tensor *y, int i) {
    const pad_attr *p = ct_attr(y);
    int64_t n = ct_dim(ct_input(y, i), (int)p->axis);
    int64_t stop = n ? p->before + (n - 1) * (p->interior + 1) + 1 : p->before;
    return ct_slice(g, (int)p->axis, p->before, stop, p->interior + 1);
}

CTI_BATCH_OP(pad, 1, CT_LINEAR, infer_pad, pad_rows, "axis #; before #|0; after #|0; between #|0",
             cti_batch_beside, vjp_pad);

ct_tensor *ct_pad(ct_tensor *x, int axis, int64_t before, int64_t after, int64_t interior) {
    if (!x) return ct_node(&ct_op_pad, &x, 1, NULL, 0);
    int at;
    if (cti_shape_axis("ct_pad", ct_shape_of(x), axis, &at) != CT_OK) return NULL;
    if (before < 0 || after < 0 || interior < 0) {
        return ct_fail_null(CT_ERR_RANGE, "ct_pad: padding must be >= 0, got %lld, %lld, %lld",
                            (long long)before, (long long)after, (long long)interior);
    }
    pad_attr attr = {at, before, after, interior};
    return ct_node(&ct_op_pad, &x, 1, &attr, sizeof attr);
}

/* --- concat ----------------------------------------------------------------------------------- */

/* The attribute is the axis. */
static ct_status infer_concat(const ct_infer *call, ct_type *out) {
    int axis = (int)*(const int64_t *)call->attr;
    *out = call->in[0];
    for (int i = 1; i < call->n_inputs; i++) {
        ct_type in = call->in[i];
        ct_shape expected = out->shape;
        if (in.shape.rank == expected.rank) expected.dims[axis] = in.shape.dims[axis];
        if (in.dtype != out->dtype || !ct_shape_equal(in.shape, expected)) {
            return ct_fail(CT_ERR_SHAPE,
                           "%s: part %d is %s %s, part 0 is %s %s; only dim %d may "
                           "differ",
                           call->name, i, ct_dtype_name(in.dtype), ct_shape_format(in.shape).text,
                           ct_dtype_name(call->in[0].dtype),
                           ct_shape_format(call->in[0].shape).text, axis);
        }
        if (__builtin_add_overflow(out->shape.dims[axis], in.shape.dims[axis],
                                   &out->shape.dims[axis])) {
            return ct_fail(CT_ERR_SHAPE, "%s: dim %d grows beyond 2^63-1", call->name, axis);
        }
    }
    return CT_OK;
}

static void concat_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    int axis = (int)*(const int64_t *)call->attr, rank = call->out.shape.rank;
    size_t size = ct_dtype_size(call->out.dtype);
    size_t row = (size_t)cti_shape_span(call->out.shape, axis, rank) * size;
    char *y = (char *)call->out.data + (size_t)part * row;
    for (int i = 0; i < call->n_inputs; i++) {
        size_t bytes = (size_t)cti_shape_span(call->in[i].shape, axis, rank) * size;
        if (bytes) memcpy(y, (const char *)call->in[i].data + (size_t)part * bytes, bytes);
        y += bytes;
    }
}

static const ct_kernel concat_rows = {.prepare = prepare_rows, .run = {concat_run}};

static ct_tensor *vjp_concat(ct_tensor *g, ct_tensor *y, int i) {
    int axis = (int)*(const int64_t *)ct_attr(y);
    int64_t start = 0;
    for (int k = 0; k < i; k++) start += ct_dim(ct_input(y, k), axis);
    return ct_slice(g, axis, start, start + ct_dim(ct_input(y, i), axis), 1);
}

CT_OP_PUBLIC(ct_op_concat) = {
    .name = "concat",
    .kind = CT_KERNEL,
    .algebra = CT_LINEAR,
    .n_inputs = -1,
    .infer = infer_concat,
    .kernel = &concat_rows,
    .batch = cti_batch_beside,
    .vjp_any = vjp_concat,
    .detail = "axis #",
};

ct_tensor *ct_concat(ct_tensor *const parts[], int64_t n, int axis) {
    int at = 0;
    if (n < 1 || n > INT32_MAX) {
        return ct_fail_null(CT_ERR_RANGE, "ct_concat: needs at least one tensor, got %lld",
                            (long long)n);
    }
    if (cti_check_array("ct_concat", "parts", parts, "n", n) != CT_OK) return NULL;
    if (parts[0] && cti_shape_axis("ct_concat", ct_shape_of(parts[0]), axis, &at) != CT_OK) {
        return NULL;
    }
    int64_t attr = at;
    return ct_node(&ct_op_concat, parts, (int)n, &attr, sizeof attr);
}

/* --- Padded pieces ---------------------------------------------------------------------------- */

static void append_parts(ct_tensor *t, int64_t axis, ct_tensor *parts[], int *n) {
    bool joined = ct_is(t, &ct_op_concat) && *(const int64_t *)ct_attr(t) == axis;
    for (int i = 0; i < (joined ? t->n_inputs : 1); i++) {
        parts[(*n)++] = joined ? t->inputs[i] : t;
    }
}

/* Both in one copy, if y begins where x ends. */
static ct_tensor *join_neighbours(ct_tensor *x, ct_tensor *y) {
    const pad_attr *p = ct_attr(x), *q = ct_attr(y);
    ct_tensor *first = ct_input(x, 0), *second = ct_input(y, 0);
    if (p->axis != q->axis || p->interior || q->interior) return NULL;
    if (p->before + ct_dim(first, (int)p->axis) != q->before) return NULL;
    size_t most = (size_t)first->n_inputs + (size_t)second->n_inputs + 2;
    ct_tensor **parts = cti_alloc(most, sizeof *parts);
    if (!parts) return NULL;
    int n = 0;
    append_parts(first, p->axis, parts, &n);
    append_parts(second, p->axis, parts, &n);
    ct_tensor *joined = ct_concat(parts, n, (int)p->axis);
    cti_free(parts);
    return p->before || q->after ? ct_pad(joined, (int)p->axis, p->before, q->after, 0) : joined;
}

#define MOST_SUMS 8 /* so deep is a neighbour looked for */

ct_tensor *cti_join_pads(ct_tensor *sum, ct_tensor *piece, int depth) {
    if (!ct_is(piece, &ct_op_pad) || depth > MOST_SUMS) return NULL;
    if (ct_is(sum, &ct_op_pad)) {
        ct_tensor *joined = join_neighbours(sum, piece);
        return joined ? joined : join_neighbours(piece, sum);
    }
    for (int i = 0; i < 2 && ct_is(sum, &ct_op_add); i++) {
        ct_tensor *joined = cti_join_pads(ct_input(sum, i), piece, depth + 1);
        if (joined) return ct_add(joined, ct_input(sum, 1 - i));
    }
    return NULL;
}
