/* The number types of files: every half and every bfloat16, and the ends of the integers.
 * What numpy and safetensors write is in test_npy.c and test_safetensors.c.
 * Invariant: the expected number is computed in f64 from the type's definition. */
#include "tensor/io/stored.h"
#include "tests/support/test.h"

#include <math.h>
#include <string.h>

/* A binary floating-point number of 16 bits; the exponent's bias is half its range. */
static double defined(uint16_t word, int exponent_bits) {
    int fraction_bits = 15 - exponent_bits, most = (1 << exponent_bits) - 1, bias = most / 2;
    int exponent = word >> fraction_bits & most, fraction = word & ((1 << fraction_bits) - 1);
    double sign = word >> 15 ? -1.0 : 1.0;
    if (exponent == most) return fraction ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0) return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

static void expect_every_word(const cti_stored *stored, int exponent_bits) {
    cr_assert_eq(stored->size, 2);
    cr_assert_eq(stored->dtype, CT_F32);
    for (uint32_t word = 0; word < 1 << 16; word++) {
        uint8_t bytes[3] = {0, (uint8_t)word, (uint8_t)(word >> 8)}; /* no alignment */
        float got;
        cti_stored_read(stored, false, &got, bytes + 1, 1);
        double wanted = defined((uint16_t)word, exponent_bits);
        if (isnan(wanted)) cr_expect(isnan(got), "%04x", word);
        else cr_expect((double)got == wanted, "%04x: %a for %a", word, (double)got, wanted);
        cr_expect_eq(signbit(got) != 0, word >> 15, "%04x", word);
    }
}

TEST(stored, every_half) { expect_every_word(&cti_stored_f16, 5); }
TEST(stored, every_brain_float) { expect_every_word(&cti_stored_bf16, 8); }

/* Bytes 00 7f 80 ff in each byte of the number, as two's complement says. */
static void expect_integers(const cti_stored *stored, bool is_signed) {
    static const uint8_t values[] = {0, 0x7f, 0x80, 0xff};
    cr_assert_eq(stored->dtype, CT_I64);
    for (int i = 0; i < 256; i++) {
        uint8_t bytes[4];
        uint64_t word = 0;
        for (size_t k = 0; k < stored->size; k++) {
            bytes[k] = values[i >> 2 * k & 3];
            word |= (uint64_t)bytes[k] << 8 * k;
        }
        int64_t wanted = (int64_t)word, got;
        if (is_signed && bytes[stored->size - 1] & 0x80) {
            wanted -= INT64_C(1) << 8 * stored->size;
        }
        cti_stored_read(stored, false, &got, bytes, 1);
        cr_expect_eq(got, wanted);
    }
}

TEST(stored, integers) {
    expect_integers(&cti_stored_i8, true);
    expect_integers(&cti_stored_i16, true);
    expect_integers(&cti_stored_i32, true);
    expect_integers(&cti_stored_u16, false);
    expect_integers(&cti_stored_u32, false);
}

TEST(stored, truth_values) {
    uint8_t bytes[256], got[256];
    for (int i = 0; i < 256; i++) bytes[i] = (uint8_t)i;
    cti_stored_read(&cti_stored_bool, false, got, bytes, 256);
    for (int i = 0; i < 256; i++) cr_expect_eq(got[i], i != 0);
}

TEST(stored, others_stay_as_they_are) {
    static const cti_stored *const same[] = {&cti_stored_f32, &cti_stored_f64, &cti_stored_i64,
                                             &cti_stored_u8};
    uint8_t bytes[24], got[24];
    for (int i = 0; i < 24; i++) bytes[i] = (uint8_t)(i * 37);
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(same[i]->size, ct_dtype_size(same[i]->dtype));
        cti_stored_read(same[i], false, got, bytes, 24 / same[i]->size);
        cr_expect_arr_eq(got, bytes, 24);
        cti_stored_read(same[i], false, NULL, NULL, 0);
    }
}

TEST(stored, small_integers_as_floats) {
    float got[2];
    cti_stored_read(&cti_stored_i8_f32, false, got, (uint8_t[]){0x80, 0x7f}, 2);
    cr_expect(got[0] == -128 && got[1] == 127);
    cti_stored_read(&cti_stored_i16_f32, false, got, (uint8_t[]){0x00, 0x80, 0xff, 0x7f}, 2);
    cr_expect(got[0] == -32768 && got[1] == 32767);
}

TEST(stored, either_byte_order) {
    static const cti_stored *const all[] = {
        &cti_stored_f16, &cti_stored_bf16, &cti_stored_f32, &cti_stored_f64,
        &cti_stored_i8,  &cti_stored_i16,  &cti_stored_i32, &cti_stored_i64,
        &cti_stored_u8,  &cti_stored_u16,  &cti_stored_u32, &cti_stored_bool,
    };
    uint8_t little[24], big[24];
    for (int i = 0; i < 24; i++) little[i] = (uint8_t)(i * 37);
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        size_t size = all[k]->size, n = 24 / size;
        int64_t from_little[24] = {0}, from_big[24] = {0};
        for (size_t i = 0; i < 24; i++) big[i / size * size + size - 1 - i % size] = little[i];
        cti_stored_read(all[k], false, from_little, little, n);
        cti_stored_read(all[k], true, from_big, big, n);
        cr_expect_arr_eq(from_big, from_little, sizeof from_big, "type %zu", k);
    }
}
