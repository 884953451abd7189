/* Random numbers as ops: pure functions of a key and of an element's index.
 * There is no hidden state; the generator that hands out keys is in tensor/graph/random.c.
 * Invariant: an element depends on its place in the whole tensor, of which a rank may have some
 * rows; parts are cut by shape alone. */
#include "autograd/kernels/random_numbers.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/node.h"

/* Along `axis` these are the places from `before` on, of `all`. */
typedef struct {
    int64_t dtype, rank, dims[CT_MAX_RANK];
    int64_t axis, before, all;
} random_attr;

#define CHUNK 4096 /* elements of a part, a multiple of 4 */

static ct_status infer_random(const ct_infer *call, ct_type *out) {
    const random_attr *attr = call->attr;
    if (call->in[0].dtype != CT_I64 || !ct_shape_equal(call->in[0].shape, CT_SHAPE(2))) {
        return ct_fail(CT_ERR_SHAPE, "%s: the key must be i64 [2], got %s %s", call->name,
                       ct_dtype_name(call->in[0].dtype), ct_shape_format(call->in[0].shape).text);
    }
    *out = (ct_type){.dtype = (ct_dtype)attr->dtype, .shape.rank = (int)attr->rank};
    for (int i = 0; i < CT_MAX_RANK; i++) out->shape.dims[i] = attr->dims[i];
    return cti_dtype_check(call->name, out->dtype, CTI_REAL);
}

static void prepare(const ct_call *call, ct_prepared *p) {
    p->parts[0] = cti_divide_up(ct_shape_numel(call->out.shape), CHUNK);
}

/* Elements first .. end - 1 of the output, each with the number that it has in the whole. */
static void fill(cti_random_fn *numbers, const ct_call *call, int64_t first, int64_t end) {
    const random_attr *attr = call->attr;
    ct_shape shape = call->out.shape;
    int64_t place = cti_shape_span(shape, (int)attr->axis + 1, shape.rank);
    int64_t own = place * (shape.rank ? shape.dims[attr->axis] : 1);
    for (int64_t stop; first < end; first = stop) {
        int64_t outer = first / own,
                shift = outer * (attr->all * place - own) + attr->before * place;
        stop = cti_least(end, (outer + 1) * own);
        numbers(call->in[0].data, first + shift, stop + shift, cti_at(&call->out, first));
    }
}

static ct_tensor *random_of(const ct_op *op, ct_tensor *key, ct_dtype dtype, ct_shape shape,
                            cti_mark mark) {
    if (cti_shape_check(op->name, shape, dtype) != CT_OK) return NULL;
    if (dtype == CT_P61) return ct_cast(random_of(op, key, CT_F64, shape, mark), dtype);
    random_attr attr = {.dtype = dtype, .rank = shape.rank, .all = 1};
    for (int i = 0; i < shape.rank; i++) attr.dims[i] = shape.dims[i];
    if (shape.rank) attr.all = shape.dims[0];
    if (!mark.rows) return ct_node(op, &key, 1, &attr, sizeof attr);
    attr.axis = mark.axis;
    attr.before = mark.rows->before * mark.rows->unit;
    attr.all = mark.rows->total * mark.rows->unit;
    return cti_node_marked(op, &key, 1, &attr, sizeof attr, mark);
}

#define RANDOM(verb)                                                                     \
    static void verb##_run(const ct_call *call, int64_t part, void *scratch) {           \
        (void)scratch;                                                                   \
        static cti_random_fn *const numbers[] = CTI_FLOATS(cti_##verb);                  \
        int64_t first = part * CHUNK, end = ct_shape_numel(call->out.shape);             \
        fill(numbers[call->out.dtype], call, first, cti_least(end, first + CHUNK));      \
    }                                                                                    \
    static const ct_kernel verb##_kernel = {.prepare = prepare, .run = {verb##_run}};    \
    CTI_KERNEL_OP(random_##verb, 1, CT_DECISION, infer_random, verb##_kernel, NULL,      \
                  ct_no_gradient);                                                       \
    ct_tensor *ct_random_##verb(ct_tensor *key, ct_dtype dtype, ct_shape shape) {        \
        CTI_CALLED;                                                                      \
        return random_of(&ct_op_random_##verb, key, dtype, shape, CTI_REPLICATED);       \
    }                                                                                    \
    ct_tensor *ct_random_##verb##_like(ct_tensor *key, ct_tensor *x) {                   \
        CTI_CALLED;                                                                      \
        if (!x) return cti_null_in("ct_random_" #verb "_like: 'x' is NULL");             \
        return random_of(&ct_op_random_##verb, key, x->dtype, x->shape, cti_mark_of(x)); \
    }

RANDOM(uniform)
RANDOM(normal)
