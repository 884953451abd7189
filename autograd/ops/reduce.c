/* Reductions: sum and max over one run of neighbouring axes; argmax, and the places it counts.
 * Other sets of axes are cut into runs by the constructors, the last run first.
 * Invariant: the order of combination follows from the geometry [outer, count, inner] alone. */
#include "autograd/kernels/reduce.h"
#include "autograd/ops/algebra.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/node.h"

ct_status cti_axes(const char *function, ct_shape shape, ct_axes axes, ct_axes *out) {
    *out = (ct_axes){0};
    bool chosen[CT_MAX_RANK] = {0};
    if (axes.count > CT_MAX_RANK) {
        return ct_fail(CT_ERR_SHAPE, "%s: at most %d axes can be given, got %d", function,
                       CT_MAX_RANK, axes.count);
    }
    for (int i = 0; i < shape.rank && axes.count < 0; i++) chosen[i] = true;
    for (int i = 0; i < axes.count; i++) {
        int axis;
        if (cti_shape_axis(function, shape, axes.axis[i], &axis) != CT_OK) return CT_ERR_SHAPE;
        if (chosen[axis]) {
            return ct_fail(CT_ERR_SHAPE, "%s: axis %d given twice", function, axes.axis[i]);
        }
        chosen[axis] = true;
    }
    for (int i = 0; i < shape.rank; i++) {
        if (chosen[i]) out->axis[out->count++] = i;
    }
    return CT_OK;
}

typedef struct {
    int64_t first, last; /* the axes first .. last - 1 go */
} reduce_attr;

static ct_reduction geometry(const void *attr, ct_shape x) {
    int first = (int)((const reduce_attr *)attr)->first,
        last = (int)((const reduce_attr *)attr)->last;
    return (ct_reduction){cti_shape_span(x, 0, first), cti_shape_span(x, first, last),
                          cti_shape_span(x, last, x.rank)};
}

static ct_status infer_reduce(const ct_infer *call, ct_type *out) {
    const reduce_attr *attr = call->attr;
    ct_shape in = call->in[0].shape, shape = {0};
    for (int i = 0; i < in.rank; i++) {
        if (i < attr->first || i >= attr->last) shape.dims[shape.rank++] = in.dims[i];
    }
    *out = (ct_type){call->in[0].dtype, shape};
    return cti_dtype_check(call->name, out->dtype, CTI_NUMBER);
}

/* The batch axis stays where it is not among those that go. */
static int batch_reduce(const ct_batch_axes *call) {
    const reduce_attr *attr = call->attr;
    int axis = call->axis[0];
    if (axis < attr->first) return axis;
    return axis < attr->last ? -1 : axis - (int)(attr->last - attr->first);
}

#define DEFINE_REDUCE(verb, rewrite, joint_list)  \
    CT_OP_PUBLIC(ct_op_##verb) = {                \
        .name = #verb,                            \
        .kind = CT_REDUCE,                        \
        .algebra = CT_LINEAR,                     \
        .n_inputs = 1,                            \
        .infer = infer_reduce,                    \
        .geometry = geometry,                     \
        .reduce = CTI_NUMBERS(cti_##verb),        \
        .start = CTI_NUMBERS(cti_##verb##_start), \
        .joint = joint_list,                      \
        .batch = batch_reduce,                    \
        .vjp = {vjp_##verb},                      \
        .simplify = rewrite,                      \
        .detail = "axes #..#-",                   \
    };

static ct_tensor *reduce_run(const ct_op *op, ct_tensor *x, int64_t first, int64_t last) {
    reduce_attr attr = {first, last};
    return ct_node(op, &x, 1, &attr, sizeof attr);
}

/* x with its first axis at place `to`. */
static ct_tensor *with_first_at(ct_tensor *x, int to) {
    ct_axes axes = {.count = ct_shape_of(x).rank};
    for (int d = 0; d < axes.count; d++) axes.axis[d] = d == to ? 0 : d + (d < to);
    return ct_permute(x, axes);
}

/* The sum over a run with axes in front of that of the rows, which comes to the front: how a
 * reduction is cut follows from what is behind it, and must not from how many rows a rank has. */
static ct_tensor *sum_in_front(ct_tensor *x, int64_t first, int64_t last) {
    int axis = x->batch;
    ct_tensor *rows = cti_with_first(x, axis);
    if (!rows) return NULL;
    if (axis >= last) {
        return with_first_at(reduce_run(&ct_op_sum, rows, first + 1, last + 1),
                             axis - (int)(last - first));
    }
    if (first == 0) return cti_sum_batch(rows, last);
    rows = reduce_run(&ct_op_sum, rows, first + 1, last);
    return rows ? cti_sum_batch(rows, 1) : NULL;
}

/* The sum over one run of axes; over the batch it is that of all ranks. */
static ct_tensor *sum_run(ct_tensor *x, int64_t first, int64_t last) {
    int64_t axis = x->rows ? x->batch : -1;
    if (axis > first) return sum_in_front(x, first, last);
    return axis == first ? cti_sum_batch(x, last) : reduce_run(&ct_op_sum, x, first, last);
}

/* g with the axes that the reduction y took away, as size 1, then stretched over x. */
static ct_tensor *vjp_sum(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *x = ct_input(y, i);
    const reduce_attr *attr = ct_attr(y);
    ct_shape kept = ct_shape_of(x);
    for (int64_t d = attr->first; d < attr->last; d++) kept.dims[d] = 1;
    return cti_broadcast_like(cti_reshape_marked(g, kept, cti_mark_of(x)), x);
}

/* --- Rules for sums, also over the rows of all ranks ------------------------------------------ */

/* The node that says over which axes of its input t sums: t, or the one below; NULL: t is no sum.
 */
static const ct_tensor *summing(const ct_tensor *t) {
    return ct_is(t, &ct_op_sum) ? t : cti_summed_by_grain(t);
}

void cti_sum_axes(const ct_tensor *sum, int *first, int *last) {
    const reduce_attr *attr = ct_attr(sum);
    *first = (int)attr->first;
    *last = (int)attr->last;
}

ct_tensor *cti_sum_operand(const ct_tensor *t, int *first, int *last) {
    const ct_tensor *sum = summing(t);
    *first = *last = 0;
    if (!sum) return NULL;
    cti_sum_axes(sum, first, last);
    return ct_input(sum, 0);
}

/* What y sums, unless it is none, of whole numbers, or nothing; what follows from it is the same on
 * ranks that have no rows. */
static ct_tensor *operand(const ct_tensor *y, int *first, int *last) {
    ct_tensor *x = cti_sum_operand(y, first, last);
    bool fits = x && ct_dtype_is_float(ct_dtype_of(x)) && cti_global_numel(x) > 0;
    return fits ? x : NULL;
}

static int64_t terms_of(const ct_tensor *x, int first, int last) {
    int64_t terms = 1;
    for (int d = first; d < last; d++) terms *= cti_global_dim(x, d);
    return terms;
}

static ct_tensor *sum_of_one(ct_tensor *y) {
    int first, last;
    ct_tensor *x = cti_sum_operand(y, &first, &last);
    if (cti_global_numel(x) == 0 || terms_of(x, first, last) != 1) return NULL;
    return cti_reshape_marked(x, ct_shape_of(y), cti_mark_of(y));
}

ct_tensor *cti_sum_of_neg(ct_tensor *y) {
    int first, last;
    ct_tensor *x = operand(y, &first, &last);
    return ct_is(x, &ct_op_neg) ? ct_neg(sum_run(ct_input(x, 0), first, last)) : NULL;
}

ct_tensor *cti_sum_of_stretched(ct_tensor *y) {
    int first, last;
    ct_tensor *x = operand(y, &first, &last);
    bool away[CT_MAX_RANK] = {0};
    if (!x) return NULL;
    for (int d = first; d < last; d++) away[d] = true;
    ct_tensor *same = cti_unstretched(x, away);
    return same ? ct_scale(same, (double)terms_of(x, first, last)) : NULL;
}

CTI_RULES(sum, {"a sum of one element is a view", sum_of_one}, {"sum -x = -sum x", cti_sum_of_neg},
          {"a sum of what is stretched is a product", cti_sum_of_stretched},
          {"what is centred sums to 0", cti_sum_without_centred});
DEFINE_REDUCE(sum, simplify_sum, cti_joint_sum)

/* The cotangent goes to the lowest index of the maximum. */
static ct_tensor *vjp_max(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *x = ct_input(y, i);
    const reduce_attr *attr = ct_attr(y);
    ct_shape kept = ct_shape_of(x), run = {0};
    for (int d = (int)attr->first; d < kept.rank; d++) {
        bool away = d < attr->last;
        run.dims[run.rank++] = away ? kept.dims[d] : 1;
        if (away) kept.dims[d] = 1;
    }
    ct_tensor *winner = reduce_run(&ct_op_argmax, x, attr->first, attr->last);
    ct_tensor *place = ct_reshape(ct_iota(ct_shape_numel(run)), run);
    ct_tensor *won = ct_equal(cti_reshape_marked(winner, kept, cti_mark_of(x)), place);
    return ct_where(ct_cast(won, ct_dtype_of(x)), vjp_sum(g, y, i), cti_full_like(x, 0.0));
}

DEFINE_REDUCE(max, NULL, NULL)

/* --- iota ------------------------------------------------------------------------------------- */

static ct_status infer_iota(const ct_infer *call, ct_type *out) {
    *out = (ct_type){CT_I64, CT_SHAPE(*(const int64_t *)call->attr)};
    return CT_OK;
}

static void iota_i64(int64_t n, void *out, const void *const in[], const ct_tile *tile) {
    (void)in;
    int64_t *y = out;
    for (int64_t i = 0; i < n; i++) y[i] = tile->first + i;
}

CT_OP_PUBLIC(ct_op_iota) = {
    .name = "iota",
    .detail = "0..#-",
    .kind = CT_MAP,
    .algebra = CT_DECISION,
    .infer = infer_iota,
    .tile = {[CT_I64] = iota_i64},
};

ct_tensor *ct_iota(int64_t n) {
    CTI_CALLED;
    return ct_node(&ct_op_iota, NULL, 0, &n, sizeof n);
}

/* --- argmax ----------------------------------------------------------------------------------- */

static ct_status infer_argmax(const ct_infer *call, ct_type *out) {
    ct_status status = infer_reduce(call, out);
    out->dtype = CT_I64;
    return status;
}

static void prepare_argmax(const ct_call *call, ct_prepared *p) {
    ct_reduction *r = p->state;
    *r = geometry(call->attr, call->in[0].shape);
    p->parts[0] = r->outer;
}

static void run_argmax(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    static cti_argmax_fn *const argmax[] = CTI_NUMBERS(cti_argmax);
    const ct_reduction *r = call->state;
    argmax[call->in[0].dtype](r->count, r->inner, cti_at(&call->in[0], part * r->count * r->inner),
                              cti_at(&call->out, part * r->inner));
}

static const ct_kernel argmax_rows = {
    .state = sizeof(ct_reduction), .prepare = prepare_argmax, .run = {run_argmax}};

CTI_BATCH_OP(argmax, 1, CT_DECISION, infer_argmax, argmax_rows, "axes #..#-", batch_reduce,
             ct_no_gradient);

/* --- Constructors ----------------------------------------------------------------------------- */

static ct_tensor *reduce(const ct_op *op, ct_tensor *x, ct_axes axes) {
    if (!x) return ct_node(op, &x, 1, NULL, 0);
    char name[CTI_TITLE];
    cti_op_title(op, name);
    ct_axes sorted;
    if (cti_axes(name, ct_shape_of(x), axes, &sorted) != CT_OK) return NULL;
    if (sorted.count == 0) return ct_scope_add(x);
    for (int end = sorted.count, begin; end > 0 && x; end = begin) {
        begin = end - 1;
        while (begin > 0 && sorted.axis[begin - 1] == sorted.axis[begin] - 1) begin--;
        int64_t first = sorted.axis[begin], last = sorted.axis[end - 1] + 1;
        x = op == &ct_op_sum ? sum_run(x, first, last) : reduce_run(op, x, first, last);
    }
    return x;
}

static ct_tensor *keep_axes(ct_tensor *y, ct_tensor *x, ct_axes axes) {
    if (!y || !x) return NULL;
    ct_axes sorted;
    ct_shape shape = ct_shape_of(x);
    if (cti_axes("ct_sum", shape, axes, &sorted) != CT_OK) return NULL;
    for (int i = 0; i < sorted.count; i++) shape.dims[sorted.axis[i]] = 1;
    return cti_reshape_marked(y, shape, cti_mark_of(y->rows ? x : NULL));
}

ct_tensor *ct_sum(ct_tensor *x, ct_axes axes) { return reduce(&ct_op_sum, x, axes); }

ct_tensor *ct_sum_keep(ct_tensor *x, ct_axes axes) {
    CTI_CALLED;
    return keep_axes(ct_sum(x, axes), x, axes);
}

ct_tensor *ct_sum_all(ct_tensor *x) {
    CTI_CALLED;
    return ct_sum(x, CT_ALL);
}

/* Of all ranks, where these are rows. */
static bool has_elements(const ct_tensor *x, int axis) { return cti_global_dim(x, axis) > 0; }

ct_tensor *ct_max(ct_tensor *x, ct_axes axes) {
    CTI_CALLED;
    ct_axes sorted;
    if (!x || cti_axes("ct_max", ct_shape_of(x), axes, &sorted) != CT_OK) {
        return reduce(&ct_op_max, x, axes);
    }
    for (int i = 0; i < sorted.count; i++) {
        if (has_elements(x, sorted.axis[i])) continue;
        return ct_fail_null(CT_ERR_SHAPE, "ct_max: axis %d has size 0 and max has no identity",
                            sorted.axis[i]);
    }
    return reduce(&ct_op_max, x, axes);
}

ct_tensor *ct_max_keep(ct_tensor *x, ct_axes axes) {
    CTI_CALLED;
    return keep_axes(ct_max(x, axes), x, axes);
}

ct_tensor *ct_argmax(ct_tensor *x, int axis) {
    CTI_CALLED;
    if (!x) return ct_node(&ct_op_argmax, &x, 1, NULL, 0);
    int at;
    if (cti_shape_axis("ct_argmax", ct_shape_of(x), axis, &at) != CT_OK) return NULL;
    if (!has_elements(x, at)) {
        return ct_fail_null(CT_ERR_SHAPE, "ct_argmax: axis %d has size 0 and max has no identity",
                            at);
    }
    return reduce_run(&ct_op_argmax, x, at, at + 1);
}

ct_tensor *cti_sum_to(ct_tensor *x, ct_shape shape, int batch) {
    if (!x) return ct_sum(x, CT_ALL);
    ct_shape in = ct_shape_of(x);
    int shift = in.rank - shape.rank;
    ct_axes axes = {0};
    for (int i = 0; i < in.rank; i++) {
        bool same = i >= shift && shift >= 0 && shape.dims[i - shift] == in.dims[i];
        if (same && i != batch) continue;
        if (shift < 0 || (i >= shift && shape.dims[i - shift] != 1)) {
            return ct_fail_null(CT_ERR_SHAPE, "ct_sum_to: %s does not stretch to %s",
                                ct_shape_format(shape).text, ct_shape_format(in).text);
        }
        axes.axis[axes.count++] = i;
    }
    ct_tensor *y = axes.count ? ct_sum(x, axes) : x;
    if (!y || !y->rows) return ct_reshape(y, shape);
    return cti_reshape_marked(y, shape, (cti_mark){x->rows, x->batch - shift});
}

/* A size of 1 along the batch axis is that of what is the same on all ranks, also where this rank
 * has one row: so there is no keeping the rows. */
ct_tensor *ct_sum_to(ct_tensor *x, ct_shape shape) {
    CTI_CALLED;
    if (!x || !x->rows) return cti_sum_to(x, shape, -1);
    int axis = x->batch - (x->shape.rank - shape.rank);
    if (axis < 0 || axis >= shape.rank || shape.dims[axis] == 1) {
        return cti_sum_to(x, shape, x->batch);
    }
    return ct_fail_null(CT_ERR_STATE,
                        "ct_sum_to: x %s varies between ranks along axis %d, which %s has to lack, "
                        "or to have with size 1, as a rank of one row could not tell that from its "
                        "row; ct_sum_keep sums over other axes",
                        ct_shape_format(x->shape).text, x->batch, ct_shape_format(shape).text);
}
