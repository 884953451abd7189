/* Rows by index, and its transpose, which adds rows by index.
 * Indices are data: they are checked when the node is made, and nothing flows back to them.
 * Invariant: scatter_add adds in ascending order of the source, whatever the threads. */
#include "autograd/kernels/reduce.h"
#include "autograd/ops/algebra.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/node.h"

#include <stddef.h>
#include <string.h>

static ct_status check_indices(const char *function, ct_tensor *indices, int64_t rows) {
    if (!indices) return CT_OK; /* ct_node reports it */
    if (ct_dtype_of(indices) != CT_I64) {
        return ct_fail(CT_ERR_DTYPE, "%s: indices must be i64, got %s", function,
                       ct_dtype_name(ct_dtype_of(indices)));
    }
    const int64_t *index = ct_data_i64(indices);
    if (!index) return ct_error();
    for (int64_t i = 0; i < ct_numel(indices); i++) {
        if (index[i] >= 0 && index[i] < rows) continue;
        if (rows == 0) {
            return ct_fail(CT_ERR_RANGE, "%s: there are no rows, got index %lld at [%lld]",
                           function, (long long)index[i], (long long)i);
        }
        return ct_fail(CT_ERR_RANGE, "%s: index must be in 0..%lld, got %lld at [%lld]", function,
                       (long long)rows - 1, (long long)index[i], (long long)i);
    }
    return CT_OK;
}

/* --- take ------------------------------------------------------------------------------------- */

static ct_status infer_take(const ct_infer *call, ct_type *out) {
    ct_shape x = call->in[0].shape, shape = call->in[1].shape;
    if (x.rank < 1 || shape.rank + x.rank - 1 > CT_MAX_RANK) {
        return ct_fail(CT_ERR_SHAPE, "%s: cannot take rows %s of %s", call->name,
                       ct_shape_format(shape).text, ct_shape_format(x).text);
    }
    for (int i = 1; i < x.rank; i++) shape.dims[shape.rank++] = x.dims[i];
    *out = (ct_type){call->in[0].dtype, shape};
    return CT_OK;
}

static void take_run(const ct_call *call, int64_t part, void *scratch) {
    (void)part, (void)scratch;
    const ct_operand *x = &call->in[0];
    const int64_t *index = call->in[1].data;
    size_t row = ct_dtype_size(x->dtype) * (size_t)cti_shape_span(x->shape, 1, x->shape.rank);
    int64_t n = ct_shape_numel(call->in[1].shape);
    for (int64_t i = 0; i < n; i++) {
        memcpy((char *)call->out.data + (size_t)i * row,
               (const char *)x->data + (size_t)index[i] * row, row);
    }
}

static const ct_kernel take_rows = {.run = {take_run}};

static ct_tensor *vjp_take(ct_tensor *g, ct_tensor *y, int i) {
    return ct_scatter_add(g, ct_input(y, 1), ct_dim(ct_input(y, i), 0));
}

/* Either the indices vary, or the rows do along an axis behind the first. */
static int batch_take(const ct_batch_axes *call) {
    int x = call->axis[0], indices = call->axis[1];
    if (x < 0) return indices;
    return x > 0 && indices < 0 ? call->in[1].shape.rank + x - 1 : -1;
}

CTI_BATCH_OP(take, 2, CT_LINEAR, infer_take, take_rows, NULL, batch_take, vjp_take, ct_no_gradient);

ct_tensor *ct_take(ct_tensor *x, ct_tensor *indices) {
    CTI_CALLED;
    bool refused = cti_mark_of(x).axis == 0; /* whether this rank has such rows or not */
    if (x && !refused && check_indices("ct_take", indices, ct_dim(x, 0)) != CT_OK) return NULL;
    return ct_node(&ct_op_take, (ct_tensor *[]){x, indices}, 2, NULL, 0);
}

/* --- scatter_add ------------------------------------------------------------------------------ */

/* The attribute is the number of rows. */
static ct_status infer_scatter_add(const ct_infer *call, ct_type *out) {
    ct_shape x = call->in[0].shape, index = call->in[1].shape;
    ct_shape shape = {.rank = 1, .dims = {*(const int64_t *)call->attr}};
    bool fits = x.rank >= index.rank && x.rank - index.rank < CT_MAX_RANK;
    for (int i = 0; i < index.rank && fits; i++) fits = x.dims[i] == index.dims[i];
    if (!fits) {
        return ct_fail(CT_ERR_SHAPE, "%s: rows %s do not start with the shape of the indices %s",
                       call->name, ct_shape_format(x).text, ct_shape_format(index).text);
    }
    for (int i = index.rank; i < x.rank; i++) shape.dims[shape.rank++] = x.dims[i];
    *out = (ct_type){call->in[0].dtype, shape};
    return cti_dtype_check(call->name, out->dtype, CTI_NUMBER);
}

static void add_rows(const ct_operand *x, const int64_t *index, ct_span sources, int64_t row,
                     size_t bytes, void *y) {
    static cti_scatter_rows_fn *const scatter[] = CTI_NUMBERS(cti_scatter_rows);
    memset(y, 0, bytes);
    scatter[x->dtype](sources.last - sources.first, row, index + sources.first,
                      cti_at(x, sources.first * row), y);
}

static void scatter_add_run(const ct_call *call, int64_t part, void *scratch) {
    (void)part, (void)scratch;
    ct_shape y = call->out.shape;
    ct_span all = {0, ct_shape_numel(call->in[1].shape)};
    add_rows(&call->in[0], call->in[1].data, all, cti_shape_span(y, 1, y.rank),
             (size_t)ct_shape_numel(y) * ct_dtype_size(call->out.dtype), call->out.data);
}

static const ct_kernel scatter_rows = {.run = {scatter_add_run}};

static ct_tensor *vjp_scatter_add(ct_tensor *g, ct_tensor *y, int i) {
    (void)i;
    return ct_take(g, ct_input(y, 1));
}

/* What varies behind the indices stays; over indices that vary there is a sum, see below. */
static int batch_scatter_add(const ct_batch_axes *call) {
    int x = call->axis[0], rank = call->in[1].shape.rank;
    return call->axis[1] < 0 && x >= rank ? x - rank + 1 : -1;
}

CTI_BATCH_OP(scatter_add, 2, CT_LINEAR, infer_scatter_add, scatter_rows, NULL, batch_scatter_add,
             vjp_scatter_add, ct_no_gradient);

/* --- scatter_add of each grain ---------------------------------------------------------------- */

typedef struct {
    int64_t rows;
    cti_grains grains; /* along axis 0 of the indices */
} grains_attr;

static ct_status infer_grain_scatter_add(const ct_infer *call, ct_type *out) {
    const grains_attr *attr = call->attr;
    ct_status status = infer_scatter_add(call, out);
    ct_shape sum = out->shape, shape = {.rank = 1, .dims = {attr->grains.n}};
    if (status != CT_OK) return status;
    if (sum.rank == CT_MAX_RANK) {
        return ct_fail(CT_ERR_SHAPE, "%s: %s has %d axes, and of each grain there is one",
                       call->name, ct_shape_format(sum).text, CT_MAX_RANK);
    }
    for (int d = 0; d < sum.rank; d++) shape.dims[shape.rank++] = sum.dims[d];
    out->shape = shape;
    return CT_OK;
}

static void prepare_grains(const ct_call *call, ct_prepared *p) {
    p->parts[0] = ((const grains_attr *)call->attr)->grains.n;
    p->operations = (double)ct_shape_numel(call->in[0].shape);
}

static void grain_scatter_add_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    const grains_attr *attr = call->attr;
    ct_shape y = call->out.shape, index = call->in[1].shape;
    int64_t row = cti_shape_span(y, 2, y.rank), sum = cti_shape_span(y, 1, y.rank);
    int64_t apart = cti_shape_span(index, 1, index.rank);
    ct_span places = cti_grain(&attr->grains, part);
    if (sum == 0) return;
    add_rows(&call->in[0], call->in[1].data, (ct_span){places.first * apart, places.last * apart},
             row, (size_t)sum * ct_dtype_size(call->out.dtype), cti_at(&call->out, part * sum));
}

static const ct_kernel scatter_grains = {.prepare = prepare_grains, .run = {grain_scatter_add_run}};

static ct_tensor *vjp_grain_scatter_add(ct_tensor *g, ct_tensor *y, int i) {
    (void)i;
    ct_tensor *of_all = cti_of_all_grains(g);
    return of_all ? ct_take(of_all, ct_input(y, 1)) : NULL;
}

CTI_KERNEL_OP(grain_scatter_add, 2, CT_LINEAR, infer_grain_scatter_add, scatter_grains, NULL,
              vjp_grain_scatter_add, ct_no_gradient);

static ct_tensor *scatter_add_batch(ct_tensor *x, ct_tensor *indices, int64_t rows) {
    grains_attr attr = {rows, cti_row_grains(x->rows)};
    size_t size = offsetof(grains_attr, grains) + cti_grains_size(&attr.grains);
    ct_tensor *inputs[] = {cti_with_first(x, x->batch), cti_with_first(indices, indices->batch)};
    return ct_all_sum(cti_node_by_grain(&ct_op_grain_scatter_add, inputs, 2, &attr, size, x->rows));
}

ct_tensor *ct_scatter_add(ct_tensor *x, ct_tensor *indices, int64_t rows) {
    CTI_CALLED;
    if (rows < 0) {
        return ct_fail_null(CT_ERR_RANGE, "ct_scatter_add: rows must be >= 0, got %lld",
                            (long long)rows);
    }
    if (x && check_indices("ct_scatter_add", indices, rows) != CT_OK) return NULL;
    if (x && indices && indices->rows && cti_marks_equal(cti_mark_of(x), cti_mark_of(indices))) {
        return scatter_add_batch(x, indices, rows);
    }
    return ct_node(&ct_op_scatter_add, (ct_tensor *[]){x, indices}, 2, &rows, sizeof rows);
}
