/* Safetensors files of tests.
 * What they hold is the suites' business.
 * Invariant: parsing keeps its promises, whatever the bytes. */
#include "tests/support/safetensors_support.h"

ct_safetensors *parse_safetensors(const uint8_t *bytes, size_t length) {
    ct_error_clear();
    ct_mem_peak_reset();
    int64_t before = ct_mem_read().live_bytes;
    ct_safetensors *file = ct_safetensors_parse("m.st", bytes, length);
    cr_expect_leq(ct_mem_read().peak_bytes - before, 4 * (int64_t)length + MIB);
    cr_expect_eq(file != NULL, ct_error() == CT_OK);
    cr_expect_eq(file == NULL, strncmp(ct_error_message(), "m.st: ", 6) == 0);
    if (!file) cr_expect_eq(ct_mem_read().live_bytes, before);
    return file;
}

size_t build_safetensors(uint8_t *out, const char *header, size_t data) {
    size_t length = strlen(header);
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)(length >> 8 * i & 255);
    memcpy(out + 8, header, length);
    memset(out + 8 + length, 1, data);
    return 8 + length + data;
}

ct_status save_golden(const char *path) {
    const ct_named entries_given[] = {
        {"labels", ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){-1, INT64_C(1) << 62})},
        {"fc 1.\"b\"\n", ct_from(CT_F64, CT_SCALAR, (double[]){0.1})},
        {"w", ct_from(CT_F32, CT_SHAPE(2, 3), (float[]){1.5f, -2, 3, 4, 5, 6})},
        {"empty", ct_from(CT_U8, CT_SHAPE(3, 0), NULL)},
        {SMILE, ct_from(CT_U8, CT_SHAPE(1), "\x07")},
    };
    return ct_safetensors_save(path, entries_given, 5, &(ct_pair){"format", "pt"}, 1);
}
