/* Matrix products over equal batch axes, by BLIS or, when they are small, on the micro-kernel. Both
 * take any strides >= 0, so a transposed operand is a view and there are no transpose flags.
 * Vectors and broadcast batches are the constructor's business.
 * Invariant: a part is one block of one product, or of a sum of products of grains; blocks are cut
 * by shape alone, and the bits do not depend on the operands' layouts. */
#include "autograd/kernels/small_product.h"
#include "autograd/ops/algebra.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/caller.h"
#include "tensor/base/gemm.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/node.h"
#include "tensor/ranks/add.h"

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

/* The attribute where rows of a or columns of b vary between ranks: how many there are on all. It
 * decides whether the product is small, so that a row has the same bits on any number of ranks. */
typedef struct {
    int64_t m, n;
} on_all;

/* y [m,n] is a [m,k] times b [k,n], for each batch. */
typedef struct {
    int64_t m, n, k;
    int64_t rows, columns; /* of a block */
    int64_t down, across;  /* blocks of one product */
    bool small;            /* all of one: its parts are all computed in one way */
} state;

static cti_gemm_fn *const gemm[CT_DTYPES] = CTI_FLOATS(cti_gemm);

static bool is_small(ct_dtype dtype, int64_t m, int64_t n, int64_t k) {
    return !gemm[dtype] || cti_product_is_small(dtype, m, n, k);
}

static void prepare(const ct_call *call, ct_prepared *p) {
    ct_shape a = call->in[0].shape, y = call->out.shape;
    state *s = p->state;
    *s = (state){.m = y.dims[y.rank - 2],
                 .n = y.dims[y.rank - 1],
                 .k = a.dims[a.rank - 1],
                 .rows = BLOCK,
                 .columns = BLOCK};
    int64_t batch = cti_shape_span(y, 0, y.rank - 2), *longer = NULL;
    do {
        if (longer) *longer /= 2;
        s->down = cti_divide_up(s->m, s->rows);
        s->across = cti_divide_up(s->n, s->columns);
        p->parts[0] = batch * s->down * s->across;
        longer = cti_least(s->m, s->rows) >= cti_least(s->n, s->columns) ? &s->rows : &s->columns;
    } while (p->parts[0] < PARTS && *longer / 2 >= SMALLEST);
    on_all all = call->attr ? *(const on_all *)call->attr : (on_all){s->m, s->n};
    s->small = is_small(call->out.dtype, all.m, all.n, s->k);
    p->operations = 2.0 * (double)ct_shape_numel(y) * (double)s->k;
    if (!s->small) return;
    p->scratch = cti_small_product_scratch(call->out.dtype, cti_least(s->rows, s->m),
                                           cti_least(s->columns, s->n), s->k);
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

static void run(const ct_call *call, int64_t part, void *scratch) {
    const state *s = call->state;
    const ct_operand *a = &call->in[0], *b = &call->in[1], *y = &call->out;
    int64_t batch = part / (s->down * s->across), block = part % (s->down * s->across);
    int64_t i = block / s->across * s->rows, j = block % s->across * s->columns;
    int64_t m = cti_least(s->rows, s->m - i), n = cti_least(s->columns, s->n - j);
    cti_matrix to = matrix_at(y, batch, i, j);
    cti_matrix from_a = matrix_at(a, batch, i, 0), from_b = matrix_at(b, batch, 0, j);
    if (s->small) cti_small_product(y->dtype, m, n, s->k, from_a, from_b, to, scratch);
    else gemm[y->dtype](m, n, s->k, from_a, from_b, to);
}

static const ct_kernel blocks = {
    .strided_inputs = true, .state = sizeof(state), .prepare = prepare, .run = {run}};

static ct_tensor *product_node(ct_tensor *a, ct_tensor *b) {
    ct_tensor *inputs[] = {a, b};
    if (!a || !b) return ct_node(&ct_op_matmul, inputs, 2, NULL, 0);
    int row = a->shape.rank - 2, column = b->shape.rank - 1;
    bool varies = (a->rows && a->batch == row) || (b->rows && b->batch == column);
    const on_all all = {cti_global_dim(a, row), cti_global_dim(b, column)};
    return ct_node(&ct_op_matmul, inputs, 2, varies ? &all : NULL, varies ? sizeof all : 0);
}

static ct_tensor *vjp_matmul(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *other = ct_transpose(ct_input(y, 1 - i));
    return i == 0 ? ct_matmul(g, other) : ct_matmul(other, g);
}

/* Rows of a, columns of b, and batches of both may vary. */
static int batch_matmul(const ct_batch_axes *call) {
    int rank = call->out.shape.rank, a = call->axis[0], b = call->axis[1];
    if (a == b && a < rank - 2) return a;
    if (b < 0 && a == rank - 2) return a;
    return a < 0 && b == rank - 1 ? b : -1;
}

CTI_BATCH_OP(matmul, 2, CT_PRODUCT, infer_matmul, blocks, NULL, batch_matmul, vjp_matmul,
             vjp_matmul);

/* --- Grains ----------------------------------------------------------------------------------- */

/* Where all grains are this rank's, the sum of their products [grains,m,n] is made some rows at a
 * time, in the second-level cache: as a whole they are written and read for each grain. */
#define GRAINS_BYTES (128 * 1024)
/* Of a tile of rows: wider products would leave that cache. */
#define TILE_BYTES (1024 * 1024)
/* Rows of a grain up to which that is worth reading all of b for each of these parts. */
#define GRAIN_ROWS 48

/* y [m,n] is the sum along the tree of a [grains,m,k] times b [grains,k,n]. */
typedef struct {
    int64_t grains, m, n, k;
    int64_t rows;    /* of a part */
    size_t products; /* bytes of scratch for one, which has to be aligned; partials lie behind */
} grains_state;

static ct_status infer_grain_matmul(const ct_infer *call, ct_type *out) {
    ct_shape a = call->in[0].shape, b = call->in[1].shape;
    *out = (ct_type){call->in[0].dtype, CT_SHAPE(a.dims[1], b.dims[2])};
    return CT_OK;
}

static void prepare_grains(const ct_call *call, ct_prepared *p) {
    ct_shape a = call->in[0].shape, y = call->out.shape;
    ct_dtype dtype = call->out.dtype;
    grains_state *s = p->state;
    *s = (grains_state){.grains = a.dims[0], .m = y.dims[0], .n = y.dims[1], .k = a.dims[2]};
    int64_t tile = cti_small_product_tile(dtype);
    size_t row = (size_t)(s->grains * cti_most(s->n, 1)) * ct_dtype_size(dtype);
    s->rows = cti_most((int64_t)(GRAINS_BYTES / row) / tile, 1) * tile;
    s->rows = cti_least(s->rows, cti_most(s->m, 1));
    s->products = cti_small_product_scratch(dtype, s->rows, s->n, s->k);
    p->parts[0] = cti_divide_up(s->m, s->rows);
    p->operations = 2.0 * (double)ct_shape_numel(a) * (double)s->n;
    p->scratch = s->products + (size_t)s->rows * row;
}

static void run_grains(const ct_call *call, int64_t part, void *scratch) {
    const grains_state *s = call->state;
    const ct_operand *y = &call->out;
    int64_t i = part * s->rows, m = cti_least(s->rows, s->m - i);
    char *sums = (char *)scratch + s->products;
    size_t partial = (size_t)(m * s->n) * ct_dtype_size(y->dtype);
    for (int64_t g = 0; g < s->grains; g++) {
        cti_matrix to = {sums + (size_t)g * partial, s->n, 1};
        cti_small_product(y->dtype, m, s->n, s->k, matrix_at(&call->in[0], g, i, 0),
                          matrix_at(&call->in[1], g, 0, 0), to, scratch);
    }
    const cti_range all = {0, (int)s->grains};
    const cti_partials partials = {y->dtype, sums, all, m * s->n};
    cti_node_sum(&partials, all, 0, m * s->n, cti_at(y, i * s->n));
}

static const ct_kernel by_rows = {.strided_inputs = true,
                                  .state = sizeof(grains_state),
                                  .prepare = prepare_grains,
                                  .run = {run_grains}};

/* Of the sum, then of the product. */
static ct_tensor *vjp_grain_matmul(ct_tensor *g, ct_tensor *y, int i) {
    return vjp_matmul(ct_op_all_sum.vjp[0](g, y, 0), y, i);
}

CTI_KERNEL_OP(grain_matmul, 2, CT_PRODUCT, infer_grain_matmul, by_rows, NULL, vjp_grain_matmul,
              vjp_grain_matmul);

ct_tensor *cti_grain_matmul(ct_tensor *a, ct_tensor *b) {
    return cti_node_marked(&ct_op_grain_matmul, (ct_tensor *[]){a, b}, 2, NULL, 0, CTI_REPLICATED);
}

/* With parts for several threads, each of which has room for a tile of rows. */
static bool is_better_by_rows(const ct_tensor *products, int64_t k) {
    ct_dtype dtype = products->dtype;
    int64_t m = products->shape.dims[1], n = products->shape.dims[2];
    int64_t tile = cti_small_product_tile(dtype);
    int64_t most = TILE_BYTES / (tile * products->shape.dims[0] * (int64_t)ct_dtype_size(dtype));
    return n <= most && m >= PARTS * tile && k <= GRAIN_ROWS && is_small(dtype, m, n, k);
}

ct_tensor *cti_sum_of_products(ct_tensor *y) {
    ct_tensor *x = ct_input(y, 0);
    if (cti_sums_elsewhere(y) || !ct_is(x, &ct_op_matmul) || x->shape.rank != 3) return NULL;
    ct_tensor *a = ct_input(x, 0), *b = ct_input(x, 1);
    return is_better_by_rows(x, ct_dim(a, 2)) ? cti_grain_matmul(a, b) : NULL;
}

/* --- The constructor -------------------------------------------------------------------------- */

static ct_tensor *with_batch(ct_tensor *x, ct_shape batch, cti_mark mark) {
    ct_shape in = ct_shape_of(x), shape = batch;
    shape.dims[shape.rank++] = in.dims[in.rank - 2];
    shape.dims[shape.rank++] = in.dims[in.rank - 1];
    if (ct_shape_equal(in, shape) && (!mark.rows || x->rows)) return x;
    return cti_broadcast_along(x, shape, mark);
}

/* Which of the batch axes of both operands varies. */
static cti_mark batch_mark(ct_tensor *const in[2], int batch_rank) {
    for (int k = 0; k < 2; k++) {
        cti_mark mark = cti_mark_of(in[k]);
        int own = ct_shape_of(in[k]).rank - 2;
        if (mark.rows && mark.axis < own)
            return (cti_mark){mark.rows, mark.axis + batch_rank - own};
    }
    return CTI_REPLICATED;
}

/* x with its batch axis cut into grains, each with the places of the largest one; an axis for these
 * comes in front. */
static ct_tensor *by_grain(ct_tensor *x) {
    ct_axes back = {.count = x->shape.rank + 1};
    int axis = x->batch;
    for (int d = 0; d < x->shape.rank; d++) {
        back.axis[d + 1] = d == axis ? 1 : d + 1 + (d < axis);
    }
    ct_tensor *apart = cti_grains_apart(cti_with_first(x, axis));
    return apart ? ct_permute(apart, back) : NULL;
}

/* a [..,m,N] times b [..,N,r] where N is the batch of all ranks. */
static bool contracts_batch(const ct_tensor *a, const ct_tensor *b) {
    return a && b && a->rows && b->rows && a->batch == a->shape.rank - 1 &&
           b->batch == b->shape.rank - 2 &&
           cti_marks_equal((cti_mark){a->rows, 0}, (cti_mark){b->rows, 0});
}

/* A product for each grain, and their sum. */
static ct_tensor *contraction(ct_tensor *a, ct_tensor *b) {
    ct_tensor *inputs[] = {by_grain(a), by_grain(b)};
    return ct_all_sum(ct_node(&ct_op_matmul, inputs, 2, NULL, 0));
}

/* All rows of a [..,m,k] times b [k,r] as one product. */
static ct_tensor *rows_product(ct_tensor *a, ct_tensor *b) {
    ct_shape shape = ct_shape_of(a);
    int last = shape.rank - 1;
    ct_tensor *flat = ct_reshape(a, CT_SHAPE(cti_shape_span(shape, 0, last), shape.dims[last]));
    ct_tensor *y = product_node(flat, b);
    shape.dims[last] = ct_dim(b, 1);
    if (!y || !y->rows) return ct_reshape(y, shape);
    return cti_reshape_marked(y, shape, a->rows ? cti_mark_of(a) : (cti_mark){y->rows, last});
}

/* Both of rank >= 2. Equal batches go straight in; a single right matrix takes all rows of the
 * left as one product, unless rows vary along an axis of their own. */
static ct_tensor *product(ct_tensor *a, ct_tensor *b) {
    if (!a || !b) return NULL; /* out of memory, which is on record */
    ct_shape sa = ct_shape_of(a), sb = ct_shape_of(b), batch;
    if (sb.rank == 2 && sa.rank > 2 && (!a->rows || a->batch == 0)) return rows_product(a, b);
    sa.rank -= 2;
    sb.rank -= 2;
    if (cti_shape_broadcast("ct_matmul", sa, sb, &batch) != CT_OK) return NULL;
    cti_mark mark = batch_mark((ct_tensor *[]){a, b}, batch.rank);
    ct_tensor *inputs[] = {with_batch(a, batch, mark), with_batch(b, batch, mark)};
    if (contracts_batch(inputs[0], inputs[1])) return contraction(inputs[0], inputs[1]);
    return product_node(inputs[0], inputs[1]);
}

/* A vector as a row. */
static ct_tensor *as_row(ct_tensor *x) {
    cti_mark mark = cti_mark_of(x);
    mark.axis += x->rows != NULL;
    return cti_reshape_marked(x, CT_SHAPE(1, x->numel), mark);
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
    ct_tensor *row = sa.rank == 1 ? as_row(a) : a, *column = sb.rank == 1 ? cti_column(b) : b;
    ct_tensor *y = product(row, column);
    if (!y) return NULL;
    bool added[CT_MAX_RANK] = {0};
    added[y->shape.rank - 2] = sa.rank == 1;
    added[y->shape.rank - 1] = sb.rank == 1;
    return cti_without(y, added);
}
