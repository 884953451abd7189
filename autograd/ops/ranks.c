/* Sums over the batch of all ranks: partial sums of this rank's grains, their sum over the ranks,
 * and its transpose; and grains side by side, for products that contract the batch.
 * Nothing is sent here: ct_all_sum is the node whose value the engine gets from the group.
 * Invariant: a grain's partial sum follows from its own rows alone. */
#include "autograd/kernels/reduce.h"
#include "autograd/ops/algebra.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/node.h"
#include "tensor/ranks/add.h"

#include <stddef.h>
#include <string.h>

#define CHUNK 64    /* rows whose sum is rounded by itself */
#define SUMMED 4096 /* elements of a part of a sum along the tree */

/* Which places of which axis are whose grain's. */
typedef struct {
    int64_t axis, last;              /* what is summed: axes axis .. last - 1 */
    int64_t rank, dims[CT_MAX_RANK]; /* of what has the rows */
    cti_grains grains;
} grains_attr;

static size_t size_of(const grains_attr *attr) {
    return offsetof(grains_attr, grains) + cti_grains_size(&attr->grains);
}

static grains_attr grains_of(const ct_tensor *x, int64_t axis, int64_t last) {
    grains_attr attr = {
        .axis = axis, .last = last, .rank = x->shape.rank, .grains = cti_row_grains(x->rows)};
    for (int d = 0; d < x->shape.rank; d++) attr.dims[d] = x->shape.dims[d];
    return attr;
}

static ct_shape whole_shape(const grains_attr *attr) {
    ct_shape shape = {.rank = (int)attr->rank};
    for (int d = 0; d < shape.rank; d++) shape.dims[d] = attr->dims[d];
    return shape;
}

ct_tensor *cti_node_by_grain(const ct_op *op, ct_tensor *const inputs[], int n, const void *attr,
                             size_t size, cti_rows *rows) {
    cti_rows *grains = cti_rows_of_grains(rows);
    if (!grains) return NULL;
    ct_tensor *y = cti_node_marked(op, inputs, n, attr, size, (cti_mark){grains, 0});
    cti_rows_drop(grains);
    return y;
}

static ct_tensor *node_by_grain(const ct_op *op, ct_tensor *x, const grains_attr *attr) {
    return cti_node_by_grain(op, &x, 1, attr, size_of(attr), x->rows);
}

/* --- all_sum, replicate ----------------------------------------------------------------------- */

/* This rank's grains: from `first` on, n of `all`. */
typedef struct {
    int64_t first, n, all;
} all_sum_attr;

static ct_status infer_all_sum(const ct_infer *call, ct_type *out) {
    ct_shape in = call->in[0].shape;
    *out = (ct_type){call->in[0].dtype, {.rank = in.rank - 1}};
    for (int d = 1; d < in.rank; d++) out->shape.dims[d - 1] = in.dims[d];
    return cti_dtype_check(call->name, out->dtype, CTI_NUMBER);
}

static ct_tensor *vjp_all_sum(ct_tensor *g, ct_tensor *y, int i);

static void prepare_all_sum(const ct_call *call, ct_prepared *p) {
    p->parts[0] = cti_divide_up(ct_shape_numel(call->out.shape), SUMMED);
    p->operations = (double)ct_shape_numel(call->in[0].shape);
}

/* Where all grains are this rank's; else the engine exchanges. */
static void run_all_sum(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    const all_sum_attr *attr = call->attr;
    cti_range all = {0, (int)attr->all};
    int64_t n = ct_shape_numel(call->out.shape), from = part * SUMMED;
    const cti_partials partials = {call->out.dtype, cti_at(&call->in[0], 0), all, n};
    cti_node_sum(&partials, all, from, cti_least(n, from + SUMMED), cti_at(&call->out, from));
}

static const ct_kernel along_the_tree = {.prepare = prepare_all_sum, .run = {run_all_sum}};

CTI_RULES(all_sum, {"sum -x = -sum x", cti_sum_of_neg},
          {"a sum of what is stretched is a product", cti_sum_of_stretched},
          {"what is centred sums to 0", cti_sum_without_centred},
          {"a sum of products is made some rows at a time", cti_sum_of_products});

CT_OP_PUBLIC(ct_op_all_sum) = {
    .name = "all_sum",
    .kind = CT_KERNEL,
    .n_inputs = 1,
    .infer = infer_all_sum,
    .kernel = &along_the_tree,
    .sums_grains = true,
    .algebra = CT_LINEAR,
    .vjp = {vjp_all_sum},
    .simplify = simplify_all_sum,
};

static bool has_a_row_for_each_grain(const ct_tensor *x) {
    if (!x->rows || x->batch != 0 || x->shape.dims[0] != x->rows->n) return false;
    for (int k = 0; k < x->rows->n; k++) {
        if (x->rows->ends[k] * x->rows->unit != k + 1) return false;
    }
    return x->rows->most * x->rows->unit == 1;
}

ct_tensor *ct_all_sum(ct_tensor *x) {
    CTI_CALLED;
    if (!x) return ct_node(&ct_op_all_sum, &x, 1, NULL, 0);
    if (!has_a_row_for_each_grain(x)) {
        return ct_fail_null(CT_ERR_STATE,
                            "ct_all_sum: x %s has not one row for each grain of this rank along "
                            "axis 0, as ct_replicate gives; the sum over rows is ct_sum",
                            ct_shape_format(x->shape).text);
    }
    all_sum_attr attr = {x->rows->first, x->rows->n, x->rows->all};
    return cti_node_marked(&ct_op_all_sum, &x, 1, &attr, sizeof attr, CTI_REPLICATED);
}

static ct_status infer_replicate(const ct_infer *call, ct_type *out) {
    ct_shape in = call->in[0].shape;
    if (in.rank == CT_MAX_RANK) {
        return ct_fail(CT_ERR_SHAPE, "%s: %s has %d axes already", call->name,
                       ct_shape_format(in).text, CT_MAX_RANK);
    }
    *out = (ct_type){call->in[0].dtype, {.rank = in.rank + 1}};
    out->shape.dims[0] = *(const int64_t *)call->attr;
    for (int d = 0; d < in.rank; d++) out->shape.dims[d + 1] = in.dims[d];
    return CT_OK;
}

static bool view_replicate(const void *attr, ct_shape in, const ct_layout *x, ct_shape out,
                           ct_layout *y) {
    (void)attr, (void)out;
    y->offset = x->offset;
    y->strides[0] = 0;
    for (int d = 0; d < in.rank; d++) y->strides[d + 1] = x->strides[d];
    return true;
}

static ct_tensor *vjp_replicate(ct_tensor *g, ct_tensor *y, int i) {
    (void)y, (void)i;
    return ct_all_sum(g);
}

CTI_VIEW_OP(replicate, infer_replicate, view_replicate, vjp_replicate, .algebra = CT_LINEAR,
            .detail = "# grains");

/* With the grains of a varying tensor, or of the current group for NULL. */
static ct_tensor *replicate(ct_tensor *x, cti_rows *like) {
    if (!x) return ct_node(&ct_op_replicate, &x, 1, NULL, 0);
    if (x->rows) {
        return ct_fail_null(CT_ERR_STATE, "ct_replicate: x %s varies along axis %d already",
                            ct_shape_format(x->shape).text, x->batch);
    }
    cti_rows *grains = cti_rows_of_grains(like);
    if (!grains) return NULL;
    int64_t n = grains->n;
    ct_tensor *y = cti_node_marked(&ct_op_replicate, &x, 1, &n, sizeof n, (cti_mark){grains, 0});
    cti_rows_drop(grains);
    return y;
}

ct_tensor *ct_replicate(ct_tensor *x) { return replicate(x, NULL); }

static ct_tensor *vjp_all_sum(ct_tensor *g, ct_tensor *y, int i) {
    return replicate(g, ct_input(y, i)->rows);
}

/* --- Partial sums ----------------------------------------------------------------------------- */

/* Of grains of equally many rows, which are the first axis: a reduction, which joins the passes of
 * whatever it sums. The axes first .. last - 1 go, and one of n grains comes in front. */
typedef struct {
    int64_t first, last, n;
} grain_sum_attr;

static ct_status infer_grain_sum(const ct_infer *call, ct_type *out) {
    const grain_sum_attr *attr = call->attr;
    ct_shape in = call->in[0].shape, shape = {.rank = 1, .dims = {attr->n}};
    for (int d = (int)attr->last; d < in.rank; d++) shape.dims[shape.rank++] = in.dims[d];
    *out = (ct_type){call->in[0].dtype, shape};
    return cti_dtype_check(call->name, out->dtype, CTI_NUMBER);
}

static ct_reduction geometry_of_grains(const void *attr, ct_shape x) {
    const grain_sum_attr *a = attr;
    return (ct_reduction){a->n, cti_shape_span(x, 0, (int)a->last) / a->n,
                          cti_shape_span(x, (int)a->last, x.rank)};
}

ct_tensor *cti_of_all_grains(ct_tensor *g) {
    if (!g) return NULL;
    if (ct_op_of(g) == &ct_op_replicate) return ct_input(g, 0);
    return ct_fail_null(CT_ERR_GRADIENT, "ct_grad: partial sums are read by ct_all_sum alone");
}

static ct_tensor *spread_over(ct_tensor *g, ct_tensor *x, int first, int last);

/* Stretched over the rows: the same for all grains, where their sum is what was read, or each
 * grain's over its own. */
static ct_tensor *vjp_grain_sum(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *x = ct_input(y, i);
    int first, last;
    cti_sum_axes(y, &first, &last);
    if (g && ct_op_of(g) != &ct_op_replicate) return spread_over(g, x, first, last);
    ct_tensor *of_all = cti_of_all_grains(g);
    ct_shape kept = x->shape;
    for (int d = first; d < last; d++) kept.dims[d] = 1;
    return of_all ? cti_broadcast_like(ct_reshape(of_all, kept), x) : NULL;
}

CT_OP_PUBLIC(ct_op_grain_sum) = {
    .name = "grain_sum",
    .kind = CT_REDUCE,
    .algebra = CT_LINEAR,
    .n_inputs = 1,
    .infer = infer_grain_sum,
    .geometry = geometry_of_grains,
    .reduce = CTI_NUMBERS(cti_sum),
    .start = CTI_NUMBERS(cti_sum_start),
    .joint = cti_joint_sum,
    .vjp = {vjp_grain_sum},
    .detail = "axes #..#-; # grains",
};

/* --- Where grains differ by a row, or rows are not the first axis -------------------------- */

static ct_status infer_ragged_sum(const ct_infer *call, ct_type *out) {
    const grains_attr *attr = call->attr;
    ct_shape shape = {.rank = 1, .dims = {attr->grains.n}};
    for (int d = 0; d < attr->rank; d++) {
        if (d < attr->axis || d >= attr->last) shape.dims[shape.rank++] = attr->dims[d];
    }
    *out = (ct_type){call->in[0].dtype, shape};
    return cti_dtype_check(call->name, out->dtype, CTI_NUMBER);
}

/* Elements of x: [outer, places, inner], where a place of the axis has `tail` of them. */
typedef struct {
    int64_t outer, places, tail, inner;
} geometry;

static geometry geometry_of(const grains_attr *attr) {
    ct_shape x = whole_shape(attr);
    geometry g = {.outer = cti_shape_span(x, 0, (int)attr->axis),
                  .tail = cti_shape_span(x, (int)attr->axis + 1, (int)attr->last),
                  .inner = cti_shape_span(x, (int)attr->last, x.rank)};
    g.places = x.dims[attr->axis] * g.tail;
    return g;
}

static void prepare_ragged_sum(const ct_call *call, ct_prepared *p) {
    const grains_attr *attr = call->attr;
    geometry g = geometry_of(attr);
    int64_t chunks = cti_divide_up(attr->grains.most * g.tail, CHUNK);
    p->parts[0] = attr->grains.n * g.outer;
    p->scratch = (size_t)(chunks * g.inner) * ct_dtype_size(call->out.dtype);
    p->operations = (double)ct_shape_numel(call->in[0].shape);
}

static void run_ragged_sum(const ct_call *call, int64_t part, void *scratch) {
    static cti_add_rows_fn *const add_rows[] = CTI_NUMBERS(cti_add_rows);
    static ct_start_fn *const start[] = CTI_NUMBERS(cti_sum_start);
    const grains_attr *attr = call->attr;
    geometry g = geometry_of(attr);
    int64_t grain = part / g.outer, o = part % g.outer, n = 0;
    ct_span places = cti_grain(&attr->grains, grain);
    int64_t row = places.first * g.tail, end = places.last * g.tail;
    ct_dtype dtype = call->out.dtype;
    char *sums = scratch, *y = cti_at(&call->out, part * g.inner);
    size_t bytes = (size_t)g.inner * ct_dtype_size(dtype);
    if (bytes == 0) return;
    for (; row < end; row += CHUNK) {
        const void *x = cti_at(&call->in[0], (o * g.places + row) * g.inner);
        add_rows[dtype](g.inner, cti_least(CHUNK, end - row), g.inner, x,
                        sums + (size_t)n++ * bytes);
    }
    if (n) add_rows[dtype](g.inner, n, g.inner, sums, y);
    else start[dtype](g.inner, y);
}

static const ct_kernel ragged_sums = {.prepare = prepare_ragged_sum, .run = {run_ragged_sum}};

CTI_KERNEL_OP(ragged_grain_sum, 1, CT_LINEAR, infer_ragged_sum, ragged_sums, "axes #..#-",
              vjp_grain_sum);

/* Whether all grains, of all ranks, have equally many rows: so a grain's sum is rounded in the same
 * way on whichever rank. */
static bool are_even(const cti_rows *rows) { return rows->total == rows->most * rows->all; }

/* Over the axes from that of the rows to last - 1. */
static ct_tensor *partial_sums(ct_tensor *x, int64_t last) {
    if (x->batch == 0 && are_even(x->rows)) {
        grain_sum_attr even = {0, last, x->rows->n};
        return cti_node_by_grain(&ct_op_grain_sum, &x, 1, &even, sizeof even, x->rows);
    }
    grains_attr attr = grains_of(x, x->batch, last);
    return node_by_grain(&ct_op_ragged_grain_sum, x, &attr);
}

ct_tensor *cti_sum_batch(ct_tensor *x, int64_t last) { return ct_all_sum(partial_sums(x, last)); }

ct_tensor *cti_grain_sum(ct_tensor *x) { return x ? partial_sums(x, x->batch + 1) : NULL; }

const ct_tensor *cti_summed_by_grain(const ct_tensor *t) {
    if (!ct_is(t, &ct_op_all_sum)) return NULL;
    const ct_tensor *sums = ct_input(t, 0);
    bool by_grain = ct_is(sums, &ct_op_grain_sum) || ct_is(sums, &ct_op_ragged_grain_sum);
    return by_grain ? sums : NULL;
}

/* --- Each grain's over its rows --------------------------------------------------------------- */

static ct_status infer_grain_spread(const ct_infer *call, ct_type *out) {
    *out = (ct_type){call->in[0].dtype, whole_shape(call->attr)};
    return cti_dtype_check(call->name, out->dtype, CTI_NUMBER);
}

static void prepare_grain_spread(const ct_call *call, ct_prepared *p) {
    const grains_attr *attr = call->attr;
    p->parts[0] = attr->grains.n * geometry_of(attr).outer;
}

static void run_grain_spread(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    const grains_attr *attr = call->attr;
    geometry g = geometry_of(attr);
    ct_span places = cti_grain(&attr->grains, part / g.outer);
    int64_t first = part % g.outer * g.places;
    size_t bytes = (size_t)g.inner * ct_dtype_size(call->out.dtype);
    for (int64_t k = places.first * g.tail; k < places.last * g.tail && bytes; k++) {
        memcpy(cti_at(&call->out, (first + k) * g.inner), cti_at(&call->in[0], part * g.inner),
               bytes);
    }
}

static const ct_kernel grain_spreads = {.prepare = prepare_grain_spread, .run = {run_grain_spread}};

static ct_tensor *vjp_grain_spread(ct_tensor *g, ct_tensor *y, int i) {
    (void)i;
    return g ? partial_sums(g, ((const grains_attr *)ct_attr(y))->last) : NULL;
}

CTI_KERNEL_OP(grain_spread, 1, CT_LINEAR, infer_grain_spread, grain_spreads, "axes #..#-",
              vjp_grain_spread);

/* As x, of whose axes those that are summed have size 1 but for the rows, and then stretched. */
static ct_tensor *spread_over(ct_tensor *g, ct_tensor *x, int first, int last) {
    grains_attr rows = grains_of(x, first, first + 1);
    for (int d = first + 1; d < last; d++) rows.dims[d] = 1;
    ct_tensor *y = cti_node_marked(&ct_op_grain_spread, &g, 1, &rows, size_of(&rows),
                                   cti_mark_of(x));
    return y ? cti_broadcast_like(y, x) : NULL;
}

ct_tensor *cti_grain_spread(ct_tensor *x, const ct_tensor *like) {
    if (!x || !like) return NULL;
    grains_attr attr = grains_of(like, like->batch, like->batch + 1);
    for (int d = 0, k = 1; d < like->shape.rank; d++) {
        if (d != like->batch) attr.dims[d] = x->shape.dims[k++];
    }
    return cti_node_marked(&ct_op_grain_spread, &x, 1, &attr, size_of(&attr), cti_mark_of(like));
}

/* --- Grains side by side ---------------------------------------------------------------------- */

/* [places, rest] as [grains, places of the largest grain, rest], with zeros where one is smaller.
 */
static ct_status infer_grain_pad(const ct_infer *call, ct_type *out) {
    const grains_attr *attr = call->attr;
    ct_shape x = whole_shape(attr),
             shape = {.rank = 2, .dims = {attr->grains.n, attr->grains.most}};
    for (int d = 1; d < x.rank; d++) shape.dims[shape.rank++] = x.dims[d];
    *out = (ct_type){call->in[0].dtype, shape};
    return CT_OK;
}

static ct_status infer_grain_unpad(const ct_infer *call, ct_type *out) {
    *out = (ct_type){call->in[0].dtype, whole_shape(call->attr)};
    return CT_OK;
}

static void prepare_by_grain(const ct_call *call, ct_prepared *p) {
    const grains_attr *attr = call->attr;
    p->parts[0] = attr->grains.n;
}

/* Where a grain lies in either layout, in bytes. */
typedef struct {
    size_t apart, together, own, padded;
} extent;

static extent extent_of(const grains_attr *attr, int64_t grain, ct_dtype dtype) {
    ct_shape x = whole_shape(attr);
    size_t place = (size_t)cti_shape_span(x, 1, x.rank) * ct_dtype_size(dtype);
    ct_span places = cti_grain(&attr->grains, grain);
    return (extent){.apart = (size_t)(grain * attr->grains.most) * place,
                    .together = (size_t)places.first * place,
                    .own = (size_t)(places.last - places.first) * place,
                    .padded = (size_t)attr->grains.most * place};
}

static void run_grain_pad(const ct_call *call, int64_t grain, void *scratch) {
    (void)scratch;
    extent e = extent_of(call->attr, grain, call->out.dtype);
    if (e.padded == 0) return;
    char *y = (char *)call->out.data + e.apart;
    if (e.own) memcpy(y, (const char *)cti_at(&call->in[0], 0) + e.together, e.own);
    memset(y + e.own, 0, e.padded - e.own);
}

static void run_grain_unpad(const ct_call *call, int64_t grain, void *scratch) {
    (void)scratch;
    extent e = extent_of(call->attr, grain, call->out.dtype);
    if (e.own == 0) return;
    memcpy((char *)call->out.data + e.together, (const char *)cti_at(&call->in[0], 0) + e.apart,
           e.own);
}

static const ct_kernel padding = {.prepare = prepare_by_grain, .run = {run_grain_pad}};
static const ct_kernel unpadding = {.prepare = prepare_by_grain, .run = {run_grain_unpad}};

static ct_tensor *vjp_grain_pad(ct_tensor *g, ct_tensor *y, int i);
static ct_tensor *vjp_grain_unpad(ct_tensor *g, ct_tensor *y, int i);

CTI_KERNEL_OP(grain_pad, 1, CT_LINEAR, infer_grain_pad, padding, NULL, vjp_grain_pad);
CTI_KERNEL_OP(grain_unpad, 1, CT_LINEAR, infer_grain_unpad, unpadding, NULL, vjp_grain_unpad);

static ct_tensor *vjp_grain_pad(ct_tensor *g, ct_tensor *y, int i) {
    const grains_attr *attr = ct_attr(y);
    return cti_node_marked(&ct_op_grain_unpad, &g, 1, attr, size_of(attr),
                           cti_mark_of(ct_input(y, i)));
}

static ct_tensor *vjp_grain_unpad(ct_tensor *g, ct_tensor *y, int i) {
    (void)i;
    return g ? node_by_grain(&ct_op_grain_pad, g, ct_attr(y)) : NULL;
}

/* [places, rest] as [grains, places of one, rest]. */
static ct_tensor *as_grains(ct_tensor *x) {
    ct_shape shape = {.rank = 2, .dims = {x->rows->n, x->shape.dims[0] / x->rows->n}};
    for (int d = 1; d < x->shape.rank; d++) shape.dims[shape.rank++] = x->shape.dims[d];
    cti_rows *grains = cti_rows_of_grains(x->rows);
    ct_tensor *y = grains ? cti_reshape_marked(x, shape, (cti_mark){grains, 0}) : NULL;
    cti_rows_drop(grains);
    return y;
}

ct_tensor *cti_grains_apart(ct_tensor *x) {
    if (!x) return NULL;
    if (are_even(x->rows)) return as_grains(x);
    grains_attr attr = grains_of(x, 0, 1);
    return node_by_grain(&ct_op_grain_pad, x, &attr);
}
