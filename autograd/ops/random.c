/* Random numbers as ops: pure functions of a key and of an element's index.
 * There is no hidden state; the generator that hands out keys is in tensor/graph/random.c.
 * Invariant: element i depends on (key, i) alone: Philox block i / 4 of the key's stream. */
#include "tensor/random.h"
#include "autograd/kernels/math32.h"
#include "autograd/ops/stanza.h"
#include "tensor/base/shape_rules.h"

#include <math.h>

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
    if (attr->dtype != CT_F32 && attr->dtype != CT_F64) {
        return ct_fail(CT_ERR_DTYPE, "%s: dtype must be f32 or f64", call->name);
    }
    *out = (ct_type){.dtype = (ct_dtype)attr->dtype, .shape.rank = (int)attr->rank};
    for (int i = 0; i < CT_MAX_RANK; i++) out->shape.dims[i] = attr->dims[i];
    return CT_OK;
}

static int64_t random_parts(const ct_call *call) {
    return (ct_shape_numel(call->out.shape) + CHUNK - 1) / CHUNK;
}

/* Four numbers in (0, 1): 24 or 32 bits and a half, so that neither end is reached. */
static void uniform_block_f32(const uint32_t bits[4], float y[4]) {
    for (int i = 0; i < 4; i++) y[i] = (float)(bits[i] >> 8) * 0x1p-24f;
}

static void uniform_block_f64(const uint32_t bits[4], double y[4]) {
    for (int i = 0; i < 4; i++) y[i] = (double)bits[i] * 0x1p-32;
}

/* Box and Muller, 1958: two uniform numbers make two normal ones. 1 - u is in (0, 1]. */
static void normal_block_f32(const uint32_t bits[4], float y[4]) {
    float u[4];
    uniform_block_f32(bits, u);
    for (int i = 0; i < 4; i += 2) {
        float radius = sqrtf(-2.0f * cti_logf(1.0f - u[i])), angle = 6.2831853f * u[i + 1];
        y[i] = radius * cti_cosf(angle);
        y[i + 1] = radius * cti_sinf(angle);
    }
}

static void normal_block_f64(const uint32_t bits[4], double y[4]) {
    double u[4];
    uniform_block_f64(bits, u);
    for (int i = 0; i < 4; i += 2) {
        double radius = sqrt(-2.0 * log(1.0 - u[i])), angle = 6.283185307179586 * u[i + 1];
        y[i] = radius * cos(angle);
        y[i + 1] = radius * sin(angle);
    }
}

#define RUN(verb, suffix, type)                                                   \
    static void verb##_run_##suffix(const ct_call *call, int64_t part) {          \
        const int64_t *key = call->in[0].data;                                    \
        int64_t end = ct_shape_numel(call->out.shape), first = part * CHUNK;      \
        if (end > first + CHUNK) end = first + CHUNK;                             \
        type *y = call->out.data;                                                 \
        for (int64_t i = first; i < end; i += 4) {                                \
            uint32_t bits[4];                                                     \
            type block[4];                                                        \
            ct_philox(bits, (uint64_t)i / 4, (uint64_t)key[1], (uint64_t)key[0]); \
            verb##_block_##suffix(bits, block);                                   \
            for (int64_t k = 0; k < 4 && i + k < end; k++) y[i + k] = block[k];   \
        }                                                                         \
    }

#define RANDOM(verb)                                                                       \
    RUN(verb, f32, float)                                                                  \
    RUN(verb, f64, double)                                                                 \
    static void verb##_run(const ct_call *call, int64_t part, void *scratch) {             \
        (void)scratch;                                                                     \
        if (call->out.dtype == CT_F32) verb##_run_f32(call, part);                         \
        else verb##_run_f64(call, part);                                                   \
    }                                                                                      \
    CT_OP(op_random_##verb) = {                                                            \
        .name = "random_" #verb,                                                           \
        .kind = CT_KERNEL,                                                                 \
        .n_inputs = 1,                                                                     \
        .infer = infer_random,                                                             \
        .stages = {{random_parts, verb##_run}},                                            \
        .vjp = {ct_no_gradient},                                                           \
    };                                                                                     \
    ct_tensor *ct_random_##verb(ct_tensor *key, ct_dtype dtype, ct_shape shape) {          \
        if (cti_shape_check("ct_random_" #verb, shape, dtype, NULL) != CT_OK) return NULL; \
        random_attr attr = {.dtype = dtype, .rank = shape.rank};                           \
        for (int i = 0; i < shape.rank; i++) attr.dims[i] = shape.dims[i];                 \
        return ct_node(&op_random_##verb, &key, 1, &attr, sizeof attr);                    \
    }

RANDOM(uniform)
RANDOM(normal)
