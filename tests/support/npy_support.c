/* .npy files of tests.
 * What they hold is the suites' business.
 * Invariant: parsing keeps its promises, whatever the bytes. */
#include "tests/support/npy_support.h"

ct_tensor *parse_npy(const uint8_t *bytes, size_t length) {
    ct_error_clear();
    ct_mem_peak_reset();
    int64_t before = ct_mem_read().live_bytes;
    ct_tensor *t = ct_npy_parse("a.npy", bytes, length);
    cr_expect_leq(ct_mem_read().peak_bytes - before, 4 * (int64_t)length + MIB);
    cr_expect_eq(t != NULL, ct_error() == CT_OK);
    cr_expect_eq(t == NULL, strncmp(ct_error_message(), "a.npy: ", 7) == 0);
    return t;
}

size_t build_npy(uint8_t *out, const char *header, size_t data) {
    size_t length = strlen(header);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (uint8_t)(length & 255);
    out[9] = (uint8_t)(length >> 8);
    memcpy(out + 10, header, length);
    memset(out + 10 + length, 1, data);
    return 10 + length + data;
}
