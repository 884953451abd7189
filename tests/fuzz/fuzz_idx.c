/* What fuzz_format.c does not know of IDX: a second, simpler parser agrees on what is IDX, and what
 * is accepted comes back bit for bit after it is written as IDX again. */
#include "tests/fuzz/fuzz_format.h"

static bool is_idx(const uint8_t *b, size_t length) {
    static const size_t sizes[256] = {[8] = 1, [9] = 1, [11] = 2, [12] = 4, [13] = 4, [14] = 8};
    if (length < 4 || b[0] || b[1] || !sizes[b[2]] || b[3] < 1 || b[3] > 8) return false;
    size_t header = 4 + 4 * (size_t)b[3];
    if (length < header) return false;
    unsigned __int128 bytes = sizes[b[2]], nonzero = b[2] == 9 || b[2] == 11 ? 4 : 8;
    if (b[2] == 8) nonzero = 1;
    if (b[2] == 13) nonzero = 4;
    for (size_t i = 4; i < header; i += 4) {
        uint32_t count = (uint32_t)b[i] << 24 | (uint32_t)b[i + 1] << 16 | (uint32_t)b[i + 2] << 8 |
                         b[i + 3];
        bytes *= count;
        if (count) nonzero *= count;
        if (nonzero >> 63) return false;
    }
    return bytes == length - header;
}

static void write_again(ct_tensor *t) {
    static const uint8_t codes[CT_DTYPES] = {
        [CT_F32] = 13, [CT_F64] = 14, [CT_I64] = 12, [CT_U8] = 8};
    ct_shape shape = ct_shape_of(t);
    size_t wide = ct_dtype_size(ct_dtype_of(t)), size = ct_dtype_of(t) == CT_I64 ? 4 : wide;
    size_t n = (size_t)ct_numel(t), at = 4 + 4 * (size_t)shape.rank, length = at + n * size;
    uint8_t *file = calloc(length, 1);
    file[2] = codes[ct_dtype_of(t)];
    file[3] = (uint8_t)shape.rank;
    for (int i = 0; i < shape.rank; i++) {
        for (int k = 0; k < 4; k++) {
            file[4 + 4 * i + k] = (uint8_t)((uint64_t)shape.dims[i] >> (24 - 8 * k) & 255);
        }
    }
    const uint8_t *elements = ct_data(t); /* little-endian */
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < size; k++) {
            file[at + i * size + k] = elements[i * wide + size - 1 - k];
        }
    }
    ct_tensor *again = fuzz_parse(file, length, length);
    fuzz_expect_equal(t, again);
    ct_drop(again);
    free(file);
}

void fuzz_opinion(const uint8_t *bytes, size_t length, bool whole, ct_tensor *t) {
    require((whole && is_idx(bytes, length)) == (t != NULL));
    if (t) write_again(t);
}
