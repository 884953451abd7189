/* Rows by index, and its transpose, which adds rows by index.
 * Indices are data: they are checked when the node is made, and nothing flows back to them.
 * Invariant: scatter_add adds in ascending order of the source, whatever the threads. */
#include "autograd/kernels/reduce.h"
#include "autograd/ops/stanza.h"

#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"

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

CTI_KERNEL_OP(take, 2, CT_LINEAR, infer_take, take_rows, NULL, vjp_take, ct_no_gradient);

ct_tensor *ct_take(ct_tensor *x, ct_tensor *indices) {
    CTI_CALLED;
    if (x && check_indices("ct_take", indices, ct_dim(x, 0)) != CT_OK) return NULL;
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

static void scatter_add_run(const ct_call *call, int64_t part, void *scratch) {
    (void)part, (void)scratch;
    const ct_operand *x = &call->in[0];
    const int64_t *index = call->in[1].data;
    int64_t row = cti_shape_span(call->out.shape, 1, call->out.shape.rank);
    int64_t n = ct_shape_numel(call->in[1].shape);
    void *y = call->out.data;
    memset(y, 0, (size_t)ct_shape_numel(call->out.shape) * ct_dtype_size(x->dtype));
    static cti_scatter_rows_fn *const scatter[] = CTI_NUMBERS(cti_scatter_rows);
    scatter[x->dtype](n, row, index, x->data, y);
}

static const ct_kernel scatter_rows = {.run = {scatter_add_run}};

static ct_tensor *vjp_scatter_add(ct_tensor *g, ct_tensor *y, int i) {
    (void)i;
    return ct_take(g, ct_input(y, 1));
}

CTI_KERNEL_OP(scatter_add, 2, CT_LINEAR, infer_scatter_add, scatter_rows, NULL, vjp_scatter_add,
              ct_no_gradient);

ct_tensor *ct_scatter_add(ct_tensor *x, ct_tensor *indices, int64_t rows) {
    CTI_CALLED;
    if (rows < 0) {
        return ct_fail_null(CT_ERR_RANGE, "ct_scatter_add: rows must be >= 0, got %lld",
                            (long long)rows);
    }
    if (x && check_indices("ct_scatter_add", indices, rows) != CT_OK) return NULL;
    return ct_node(&ct_op_scatter_add, (ct_tensor *[]){x, indices}, 2, &rows, sizeof rows);
}
