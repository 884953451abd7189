/* Matrix products over equal batch axes, by BLIS or, when they are small, on the micro-kernel. Both
 * take any strides >= 0, so a transposed operand is a view and there are no transpose flags.
 * Vectors and broadcast batches are the constructor's business.
 * Invariant: a part is one block of one product; blocks are cut by shape alone, and the bits do
 * not depend on the operands' layouts. */
#include "autograd/kernels/small_product.h"
#include "autograd/kernels/window.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/caller.h"
#include "tensor/base/gemm.h"
#include "tensor/base/shape_rules.h"

#include <string.h>

/* Rows and columns of a block: large enough for BLIS to reach its speed, unless that leaves
 * threads without any. */
#define BLOCK 256
#define SMALLEST 32
#define PARTS 4

static ct_status infer_matmul(const ct_infer *call, ct_type *out) {
    ct_shape a = call->in[0].shape, b = call->in[1].shape;
    ct_status status = cti_dtype_check(call->name, call->in[0].dtype, CTI_REAL);
    if (status == CT_OK) {
        status = cti_dtypes_equal(call->name, call->in[0].dtype, call->in[1].dtype);
    }
    if (status != CT_OK) return status;
    *out = (ct_type){call->in[0].dtype, a};
    out->shape.dims[a.rank - 1] = b.dims[b.rank - 1];
    return CT_OK;
}

typedef struct {
    int64_t batch;         /* products */
    int64_t rows, columns; /* of a block */
    int64_t down, across;  /* blocks of one product */
} cut;

static cut cut_of(const ct_call *call) {
    ct_shape y = call->out.shape;
    int64_t m = y.dims[y.rank - 2], n = y.dims[y.rank - 1];
    cut c = {.batch = cti_shape_span(y, 0, y.rank - 2), .rows = BLOCK, .columns = BLOCK};
    for (;;) {
        c.down = cti_divide_up(m, c.rows);
        c.across = cti_divide_up(n, c.columns);
        int64_t *longer = cti_least(m, c.rows) >= cti_least(n, c.columns) ? &c.rows : &c.columns;
        if (c.batch * c.down * c.across >= PARTS || *longer / 2 < SMALLEST) return c;
        *longer /= 2;
    }
}

static int64_t matmul_parts(const ct_call *call) {
    cut c = cut_of(call);
    return c.batch * c.down * c.across;
}

/* The element at row i, column j of product `batch` of an operand. */
static cti_matrix matrix_at(const ct_operand *x, int64_t batch, int64_t i, int64_t j) {
    int rank = x->shape.rank;
    int64_t at = x->layout.offset;
    for (int d = rank - 3; d >= 0; d--) {
        at += batch % x->shape.dims[d] * x->layout.strides[d];
        batch /= x->shape.dims[d];
    }
    int64_t row = x->layout.strides[rank - 2], column = x->layout.strides[rank - 1];
    at += i * row + j * column;
    return (cti_matrix){(char *)x->data + at * (int64_t)ct_dtype_size(x->dtype), row, column};
}

static int64_t inner_of(const ct_call *call) {
    ct_shape a = call->in[0].shape;
    return a.dims[a.rank - 1];
}

static double matmul_operations(const ct_call *call) {
    return 2.0 * (double)ct_shape_numel(call->out.shape) * (double)inner_of(call);
}

/* By the whole product, so that the parts of one are all computed in one way. */
static bool is_small(const ct_call *call) {
    ct_shape y = call->out.shape;
    return cti_product_is_small(y.dims[y.rank - 2], y.dims[y.rank - 1], inner_of(call));
}

static size_t matmul_scratch(const ct_call *call) {
    ct_shape y = call->out.shape;
    if (!is_small(call)) return 0;
    cut c = cut_of(call);
    int64_t m = cti_least(c.rows, y.dims[y.rank - 2]), n = cti_least(c.columns, y.dims[y.rank - 1]);
    return cti_small_product_scratch(call->out.dtype, m, n, inner_of(call));
}

static void matmul_run(const ct_call *call, int64_t part, void *scratch) {
    static cti_gemm_fn *const gemm[] = CTI_REALS(cti_gemm);
    const ct_operand *a = &call->in[0], *b = &call->in[1], *y = &call->out;
    int64_t m = y->shape.dims[y->shape.rank - 2], n = y->shape.dims[y->shape.rank - 1];
    int64_t k = inner_of(call);
    cut c = cut_of(call);
    int64_t batch = part / (c.down * c.across), block = part % (c.down * c.across);
    int64_t i = block / c.across * c.rows, j = block % c.across * c.columns;
    m = cti_least(c.rows, m - i);
    n = cti_least(c.columns, n - j);
    cti_matrix to = matrix_at(y, batch, i, j);
    cti_matrix from_a = matrix_at(a, batch, i, 0), from_b = matrix_at(b, batch, 0, j);
    if (is_small(call)) cti_small_product(y->dtype, m, n, k, from_a, from_b, to, scratch);
    else gemm[y->dtype](m, n, k, from_a, from_b, to);
}

static ct_tensor *vjp_matmul(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *other = ct_transpose(ct_input(y, 1 - i));
    return i == 0 ? ct_matmul(g, other) : ct_matmul(other, g);
}

CT_OP_PUBLIC(ct_op_matmul) = {
    .name = "matmul",
    .kind = CT_KERNEL,
    .n_inputs = 2,
    .strided_inputs = true,
    .infer = infer_matmul,
    .scratch = matmul_scratch,
    .stages = {{matmul_parts, matmul_run}},
    .operations = matmul_operations,
    .vjp = {vjp_matmul, vjp_matmul},
};

static ct_tensor *with_batch(ct_tensor *x, ct_shape batch) {
    ct_shape in = ct_shape_of(x), shape = batch;
    shape.dims[shape.rank++] = in.dims[in.rank - 2];
    shape.dims[shape.rank++] = in.dims[in.rank - 1];
    return ct_shape_equal(in, shape) ? x : ct_broadcast(x, shape);
}

/* Both of rank >= 2. Equal batches go straight in; a single right matrix takes all rows of the
 * left as one product. */
static ct_tensor *product(ct_tensor *a, ct_tensor *b) {
    if (!a || !b) return NULL; /* out of memory, which is on record */
    ct_shape sa = ct_shape_of(a), sb = ct_shape_of(b), batch;
    if (sb.rank == 2 && sa.rank > 2) {
        ct_tensor *flat = ct_reshape(
            a, CT_SHAPE(cti_shape_span(sa, 0, sa.rank - 1), sa.dims[sa.rank - 1]));
        ct_tensor *y = ct_node(&ct_op_matmul, (ct_tensor *[]){flat, b}, 2, NULL, 0);
        sa.dims[sa.rank - 1] = sb.dims[1];
        return y ? ct_reshape(y, sa) : NULL;
    }
    sa.rank -= 2;
    sb.rank -= 2;
    if (cti_shape_broadcast("ct_matmul", sa, sb, &batch) != CT_OK) return NULL;
    ct_tensor *inputs[] = {with_batch(a, batch), with_batch(b, batch)};
    return ct_node(&ct_op_matmul, inputs, 2, NULL, 0);
}

ct_tensor *ct_matmul(ct_tensor *a, ct_tensor *b) {
    CTI_CALLED;
    if (!a || !b) return ct_node(&ct_op_matmul, (ct_tensor *[]){a, b}, 2, NULL, 0);
    ct_shape sa = ct_shape_of(a), sb = ct_shape_of(b);
    if (sa.rank == 0 || sb.rank == 0) {
        return ct_fail_null(CT_ERR_SHAPE, "ct_matmul: argument '%s' needs rank >= 1, got a scalar",
                            sa.rank == 0 ? "a" : "b");
    }
    int64_t inner = sa.dims[sa.rank - 1], other = sb.dims[sb.rank > 1 ? sb.rank - 2 : 0];
    if (inner != other) {
        return ct_fail_null(
            CT_ERR_SHAPE, "ct_matmul: inner dims must match, got a %s and b %s (%lld vs %lld)",
            ct_shape_format(sa).text, ct_shape_format(sb).text, (long long)inner, (long long)other);
    }
    if (sa.rank > 1 && sb.rank > 1) return product(a, b);
    ct_tensor *row = sa.rank == 1 ? ct_reshape(a, CT_SHAPE(1, inner)) : a;
    ct_tensor *column = sb.rank == 1 ? ct_reshape(b, CT_SHAPE(inner, 1)) : b;
    ct_tensor *y = product(row, column);
    if (!y) return NULL;
    ct_shape in = ct_shape_of(y), shape = {0};
    for (int d = 0; d < in.rank; d++) {
        bool added = (d == in.rank - 2 && sa.rank == 1) || (d == in.rank - 1 && sb.rank == 1);
        if (!added) shape.dims[shape.rank++] = in.dims[d];
    }
    return ct_reshape(y, shape);
}
