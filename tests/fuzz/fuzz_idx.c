/* libFuzzer target for the IDX parser. The input is parsed as it is, and again inside a gzip
 * stream made here.
 * Not a unit test: it knows no expected values, only what must hold for all bytes.
 * Oracles: no crash and no leak; an error has words; a second, simpler parser agrees on what is
 * IDX; memory stays under 4 times the unpacked bytes plus 1 MiB; what is accepted comes back bit
 * for bit after it is written as IDX again.
 *
 *     CC=clang cmake -G Ninja -B build-fuzz -DCOTAN_FUZZ=ON -DCOTAN_TESTS=OFF
 *     cmake --build build-fuzz && cd build-fuzz/fuzz
 *     ./fuzz_idx -max_len=65536 -timeout=5 -rss_limit_mb=512 -malloc_limit_mb=128 corpus/ */
#include "datasets/idx.h"
#include "tensor/base/context.h"
#include "tensor/mem.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MOST_UNPACKED ((size_t)80 << 20)

static void require(int holds) {
    if (!holds) abort();
}

typedef struct {
    uint8_t *bytes;
    size_t length;
} block;

/* The compressor and the large buffer live as long as the process: making them costs more than
 * the parser does. */
static block gzipped(const uint8_t *bytes, size_t length) {
    static z_stream z;
    if (!z.state) require(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, 0) == Z_OK);
    require(deflateReset(&z) == Z_OK);
    size_t room = deflateBound(&z, length);
    block out = {malloc(room), 0};
    z.next_in = (Bytef *)bytes;
    z.avail_in = (uInt)length;
    z.next_out = out.bytes;
    z.avail_out = (uInt)room;
    require(deflate(&z, Z_FINISH) == Z_STREAM_END);
    out.length = z.total_out;
    return out;
}

/* What a gzip stream holds, member after member with zeros behind them; *whole says that it is
 * nothing else, to its end. */
static block gunzipped(const uint8_t *bytes, size_t length, bool *whole) {
    static uint8_t unpacked[MOST_UNPACKED];
    static z_stream z;
    if (!z.state) require(inflateInit2(&z, 15 + 16) == Z_OK);
    require(inflateReset(&z) == Z_OK);
    z.next_in = (Bytef *)bytes;
    z.avail_in = (uInt)length;
    z.next_out = unpacked;
    z.avail_out = (uInt)sizeof unpacked;
    size_t total = 0;
    do {
        *whole = inflate(&z, Z_FINISH) == Z_STREAM_END;
        total += z.total_out;
        while (*whole && z.avail_in && !*z.next_in) z.next_in++, z.avail_in--;
        if (*whole && z.avail_in && inflateReset(&z) != Z_OK) abort();
    } while (*whole && z.avail_in);
    return (block){unpacked, total};
}

static int is_idx(const uint8_t *b, size_t length) {
    static const size_t sizes[256] = {[8] = 1, [9] = 1, [11] = 2, [12] = 4, [13] = 4, [14] = 8};
    if (length < 4 || b[0] || b[1] || !sizes[b[2]] || b[3] < 1 || b[3] > 8) return 0;
    size_t header = 4 + 4 * (size_t)b[3];
    if (length < header) return 0;
    unsigned __int128 bytes = sizes[b[2]], nonzero = b[2] == 9 || b[2] == 11 ? 4 : 8;
    if (b[2] == 8) nonzero = 1;
    if (b[2] == 13) nonzero = 4;
    for (size_t i = 4; i < header; i += 4) {
        uint32_t count = (uint32_t)b[i] << 24 | (uint32_t)b[i + 1] << 16 | (uint32_t)b[i + 2] << 8 |
                         b[i + 3];
        bytes *= count;
        if (count) nonzero *= count;
        if (nonzero >> 63) return 0;
    }
    return bytes == length - header;
}

/* Parses within a scope of its own. The tensor is kept for the caller. */
static ct_tensor *parse(const uint8_t *bytes, size_t length, size_t unpacked) {
    ct_error_clear();
    ct_mem_peak_reset();
    int64_t before = ct_mem_read().live_bytes, scope = ct_scope_open();
    ct_tensor *t = ct_keep(ct_idx_parse("fuzz", bytes, length));
    ct_scope_close(scope);
    require(ct_mem_read().peak_bytes - before <= 4 * (int64_t)unpacked + (1 << 20));
    require(t ? ct_error() == CT_OK : ct_error() == CT_ERR_FORMAT && *ct_error_message());
    return t;
}

static void expect_equal(ct_tensor *a, ct_tensor *b) {
    require(a && b && ct_dtype_of(a) == ct_dtype_of(b));
    require(ct_shape_equal(ct_shape_of(a), ct_shape_of(b)));
    size_t bytes = (size_t)ct_numel(a) * ct_dtype_size(ct_dtype_of(a));
    require(bytes == 0 || memcmp(ct_data(a), ct_data(b), bytes) == 0);
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
    ct_tensor *again = parse(file, length, length);
    expect_equal(t, again);
    ct_drop(again);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    bool is_gzip = length >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
    bool whole = true;
    block content = {(uint8_t *)bytes, length};
    if (is_gzip) content = gunzipped(bytes, length, &whole);
    int valid = whole && is_idx(content.bytes, content.length);
    ct_tensor *t = parse(bytes, length, content.length);
    require(valid == (t != NULL));
    if (t) write_again(t);

    block zip = gzipped(bytes, length);
    ct_tensor *unzipped = parse(zip.bytes, zip.length, length);
    if (is_gzip || !t) require(!unzipped);
    else expect_equal(t, unzipped);
    free(zip.bytes);

    ct_drop(t);
    ct_drop(unzipped);
    cti_intern_clear();
    ct_scope_close(0);
    require(ct_mem_read().live_bytes == 0);
    return 0;
}
