/* libFuzzer target for any format of datasets/formats/. FORMAT_HEADER and FORMAT_PARSE name the
 * header and the parser. The input is parsed as it is, and again inside a gzip stream made here.
 * Not a unit test: it knows no expected values, only what must hold for all bytes.
 * Oracles: no crash and no leak; an error has words; memory stays under 4 times the unpacked bytes
 * plus 1 MiB; a gzip stream holds what it holds unpacked; and what fuzz_NAME.c adds.
 *
 *     CC=clang cmake -G Ninja -B build-fuzz -DCOTAN_FUZZ=ON -DCOTAN_TESTS=OFF
 *     cmake --build build-fuzz && cd build-fuzz/fuzz
 *     ./fuzz_idx -max_len=65536 -timeout=5 -rss_limit_mb=512 -malloc_limit_mb=128 corpus/ */
#include "tests/fuzz/fuzz_format.h"

#include FORMAT_HEADER
#include "tensor/base/context.h"
#include "tensor/mem.h"

#include <zlib.h>

#define MOST_UNPACKED ((size_t)80 << 20)

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

ct_tensor *fuzz_parse(const uint8_t *bytes, size_t length, size_t unpacked) {
    ct_error_clear();
    ct_mem_peak_reset();
    int64_t before = ct_mem_read().live_bytes, scope = ct_scope_open();
    ct_tensor *t = ct_keep(FORMAT_PARSE("fuzz", bytes, length));
    ct_scope_close(scope);
    require(ct_mem_read().peak_bytes - before <= 4 * (int64_t)unpacked + (1 << 20));
    require(t ? ct_error() == CT_OK : ct_error() == CT_ERR_FORMAT && *ct_error_message());
    return t;
}

void fuzz_expect_equal(ct_tensor *a, ct_tensor *b) {
    require(a && b && ct_dtype_of(a) == ct_dtype_of(b));
    require(ct_shape_equal(ct_shape_of(a), ct_shape_of(b)));
    size_t bytes = (size_t)ct_numel(a) * ct_dtype_size(ct_dtype_of(a));
    require(bytes == 0 || memcmp(ct_data(a), ct_data(b), bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    bool is_gzip = length >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b, whole = true;
    block content = {(uint8_t *)bytes, length};
    if (is_gzip) content = gunzipped(bytes, length, &whole);
    ct_tensor *t = fuzz_parse(bytes, length, content.length);
    if (fuzz_opinion) fuzz_opinion(content.bytes, content.length, whole, t);

    block zip = gzipped(bytes, length);
    ct_tensor *unzipped = fuzz_parse(zip.bytes, zip.length, length);
    if (is_gzip || !t) require(!unzipped);
    else fuzz_expect_equal(t, unzipped);
    free(zip.bytes);

    ct_drop(t);
    ct_drop(unzipped);
    cti_intern_clear();
    ct_scope_close(0);
    require(ct_mem_read().live_bytes == 0);
    return 0;
}
