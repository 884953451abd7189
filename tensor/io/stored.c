/* The number types of files: each is read into a dtype that holds all of its values.
 * It knows no file format; the names of types are their readers' business.
 * Invariant: no number changes: infinities, NaNs, subnormals and signed zeros come through too. */
#include "tensor/io/stored.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the elements are copied as they are");

/* IEEE 754 binary16: 1 bit of sign, 5 of exponent (bias 15), 10 of fraction. */
static float from_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31;
    uint32_t fraction = half & 1023, bits;
    float value;
    if (exponent == 0) {
        value = (float)fraction * 0x1p-24f; /* exact, and normal in f32 */
        memcpy(&bits, &value, sizeof bits);
    } else {
        /* 112: the difference of the biases. All ones mean infinity or NaN in both. */
        bits = (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13;
    }
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float from_brain(uint16_t brain) {
    uint32_t bits = (uint32_t)brain << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define WIDEN(name, stored_type, type, expression)                      \
    static void widen_##name(void *to, const uint8_t *from, size_t n) { \
        for (size_t i = 0; i < n; i++) {                                \
            stored_type x;                                              \
            memcpy(&x, from + i * sizeof x, sizeof x);                  \
            ((type *)to)[i] = (expression);                             \
        }                                                               \
    }

WIDEN(f16, uint16_t, float, from_half(x))
WIDEN(bf16, uint16_t, float, from_brain(x))
WIDEN(i8, int8_t, int64_t, x)
WIDEN(i16, int16_t, int64_t, x)
WIDEN(i32, int32_t, int64_t, x)
WIDEN(u16, uint16_t, int64_t, x)
WIDEN(u32, uint32_t, int64_t, x)
WIDEN(bool, uint8_t, uint8_t, x != 0)
WIDEN(i8_f32, int8_t, float, x)
WIDEN(i16_f32, int16_t, float, x)

const cti_stored cti_stored_f16 = {2, CT_F32, widen_f16};
const cti_stored cti_stored_bf16 = {2, CT_F32, widen_bf16};
const cti_stored cti_stored_f32 = {4, CT_F32, NULL};
const cti_stored cti_stored_f64 = {8, CT_F64, NULL};
const cti_stored cti_stored_i8 = {1, CT_I64, widen_i8};
const cti_stored cti_stored_i16 = {2, CT_I64, widen_i16};
const cti_stored cti_stored_i32 = {4, CT_I64, widen_i32};
const cti_stored cti_stored_i64 = {8, CT_I64, NULL};
const cti_stored cti_stored_u8 = {1, CT_U8, NULL};
const cti_stored cti_stored_u16 = {2, CT_I64, widen_u16};
const cti_stored cti_stored_u32 = {4, CT_I64, widen_u32};
const cti_stored cti_stored_bool = {1, CT_U8, widen_bool};
const cti_stored cti_stored_i8_f32 = {1, CT_F32, widen_i8_f32};
const cti_stored cti_stored_i16_f32 = {2, CT_F32, widen_i16_f32};

static void read_little_endian(const cti_stored *stored, void *to, const uint8_t *from, size_t n) {
    if (stored->widen) stored->widen(to, from, n);
    else if (n > 0) memcpy(to, from, n * stored->size);
}

void cti_stored_read(const cti_stored *stored, bool big_endian, void *to, const uint8_t *from,
                     size_t n) {
    size_t size = stored->size, wide = ct_dtype_size(stored->dtype);
    if (!big_endian || size == 1) {
        read_little_endian(stored, to, from, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t turned[8];
        for (size_t k = 0; k < size; k++) turned[k] = from[i * size + size - 1 - k];
        read_little_endian(stored, (uint8_t *)to + i * wide, turned, 1);
    }
}
