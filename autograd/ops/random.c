/* Random numbers as ops: pure functions of a key and of an element's index.
 * There is no hidden state; the generator that hands out keys is in tensor/graph/random.c.
 * Invariant: parts are cut by shape alone, at whole blocks of the stream. */
#include "autograd/kernels/random_numbers.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/shape_rules.h"

typedef struct {
    int64_t dtype, rank, dims[CT_MAX_RANK];
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

#define RANDOM(verb)                                                                      \
    static void verb##_run(const ct_call *call, int64_t part, void *scratch) {            \
        (void)scratch;                                                                    \
        static cti_random_fn *const fill[] = CTI_FLOATS(cti_##verb);                      \
        int64_t first = part * CHUNK, end = ct_shape_numel(call->out.shape);              \
        if (end > first + CHUNK) end = first + CHUNK;                                     \
        fill[call->out.dtype](call->in[0].data, first, end, call->out.data);              \
    }                                                                                     \
    static const ct_kernel verb##_kernel = {.prepare = prepare, .run = {verb##_run}};     \
    CTI_KERNEL_OP(random_##verb, 1, CT_DECISION, infer_random, verb##_kernel, NULL,       \
                  ct_no_gradient);                                                        \
    ct_tensor *ct_random_##verb(ct_tensor *key, ct_dtype dtype, ct_shape shape) {         \
        if (cti_shape_check("ct_random_" #verb, shape, dtype) != CT_OK) return NULL;      \
        if (dtype == CT_P61) return ct_cast(ct_random_##verb(key, CT_F64, shape), dtype); \
        random_attr attr = {.dtype = dtype, .rank = shape.rank};                          \
        for (int i = 0; i < shape.rank; i++) attr.dims[i] = shape.dims[i];                \
        return ct_node(&ct_op_random_##verb, &key, 1, &attr, sizeof attr);                \
    }

RANDOM(uniform)
RANDOM(normal)
