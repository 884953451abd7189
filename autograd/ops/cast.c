/* Conversions between element types: one op per target type.
 * They are not views: the elements change size.
 * Invariant: a float outside of an integer type's range saturates and NaN becomes 0, where C
 * itself leaves the conversion undefined. */
#include "autograd/ops/stanza.h"

#include "tensor/base/caller.h"

#define CAST_TILE(from, type_from, element, to, type_to, expression)                   \
    static CT_CLONES void from##_to_##to(int64_t n, void *out, const void *const in[], \
                                         const ct_tile *tile) {                        \
        (void)tile;                                                                    \
        const type_from *restrict pa = in[0];                                          \
        type_to *restrict py = out;                                                    \
        for (int64_t i = 0; i < n; i++) {                                              \
            __typeof__(element) a = element;                                           \
            py[i] = expression;                                                        \
        }                                                                              \
    }

#define SATURATE_I64(a)                         \
    ((a) != (a)                     ? 0         \
     : (a) >= (__typeof__(a))0x1p63 ? INT64_MAX \
     : (a) < (__typeof__(a))-0x1p63 ? INT64_MIN \
                                    : (int64_t)(a))
#define SATURATE_U8(a) ((a) != (a) ? 0 : (a) >= 255 ? 255 : (a) <= 0 ? 0 : (uint8_t)(a))

static ct_tensor *vjp_cast(ct_tensor *g, ct_tensor *y, int i) {
    return ct_cast(g, ct_dtype_of(ct_input(y, i)));
}

#define CAST(to, type, dtype_to, from_float, from_int)                \
    CAST_TILE(f32, float, pa[i], to, type, from_float)                \
    CAST_TILE(f64, double, pa[i], to, type, from_float)               \
    CAST_TILE(i64, int64_t, pa[i], to, type, from_int)                \
    CAST_TILE(u8, uint8_t, pa[i], to, type, from_int)                 \
    CAST_TILE(p61, ct_p61, pa[i].shadow, to, type, from_float)        \
    static ct_status infer_##to(const ct_infer *call, ct_type *out) { \
        *out = (ct_type){dtype_to, call->in[0].shape};                \
        return CT_OK;                                                 \
    }                                                                 \
    CT_OP_PUBLIC(ct_op_cast_##to) = {                                 \
        .name = "cast_" #to,                                          \
        .kind = CT_MAP,                                               \
        .algebra = CT_LINEAR,                                         \
        .n_inputs = 1,                                                \
        .infer = infer_##to,                                          \
        .tile = {[CT_F32] = f32_to_##to,                              \
                 [CT_F64] = f64_to_##to,                              \
                 [CT_I64] = i64_to_##to,                              \
                 [CT_U8] = u8_to_##to,                                \
                 [CT_P61] = p61_to_##to},                             \
        .vjp = {vjp_cast},                                            \
    };

CAST(f32, float, CT_F32, (float)a, (float)a)
CAST(f64, double, CT_F64, a, (double)a)
CAST(i64, int64_t, CT_I64, SATURATE_I64(a), a)
CAST(u8, uint8_t, CT_U8, SATURATE_U8(a), SATURATE_U8(a))
/* What a double stands for; of p61 itself, where nothing asks for it, only the shadow. */
CAST(p61, ct_p61, CT_P61, ct_p61_from(a), ct_p61_whole(a))

ct_tensor *ct_cast(ct_tensor *x, ct_dtype dtype) {
    CTI_CALLED;
    static const ct_op *const ops[CT_DTYPES] = {
        [CT_F32] = &ct_op_cast_f32, [CT_F64] = &ct_op_cast_f64, [CT_I64] = &ct_op_cast_i64,
        [CT_U8] = &ct_op_cast_u8,   [CT_P61] = &ct_op_cast_p61,
    };
    if ((unsigned)dtype >= CT_DTYPES) {
        return ct_fail_null(CT_ERR_DTYPE, "ct_cast: unknown dtype %d", (int)dtype);
    }
    if (x && ct_dtype_of(x) == dtype) return ct_scope_add(x);
    return ct_node(ops[dtype], &x, 1, NULL, 0);
}
