/* libFuzzer target for .npy files.
 * Not a unit test: it knows no expected values, only what must hold for all bytes.
 * Oracles: no crash and no leak; an error has words; memory stays under 4 times the input plus
 * 1 MiB; what is accepted comes back bit for bit after it is saved, and is then saved to the same
 * bytes again.
 *
 *     cmake --preset fuzz && cmake --build --preset fuzz && cd build-fuzz/fuzz
 *     ./fuzz_npy -max_len=65536 -timeout=5 -rss_limit_mb=512 -malloc_limit_mb=64 */
#include "tests/fuzz/memory_file.h"

#include "tensor/mem.h"
#include "tensor/npy.h"

static void require(int holds) {
    if (!holds) abort();
}

static ct_tensor *parse(const uint8_t *bytes, size_t length) {
    ct_error_clear();
    ct_mem_peak_reset();
    int64_t before = ct_mem_read().live_bytes;
    ct_tensor *t = ct_npy_parse("fuzz", bytes, length);
    require(ct_mem_read().peak_bytes - before <= 4 * (int64_t)length + (1 << 20));
    require(t ? ct_error() == CT_OK : ct_error() != CT_OK && *ct_error_message());
    return t;
}

static void expect_equal(ct_tensor *a, ct_tensor *b) {
    require(a && b && ct_dtype_of(a) == ct_dtype_of(b));
    require(ct_shape_equal(ct_shape_of(a), ct_shape_of(b)));
    size_t bytes = (size_t)ct_numel(a) * ct_dtype_size(ct_dtype_of(a));
    require(bytes == 0 || memcmp(ct_data(a), ct_data(b), bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    memory_file_install();
    ct_tensor *t = parse(bytes, length);
    if (t) {
        require(ct_npy_save("m", t) == CT_OK);
        ct_tensor *again = parse(memory_file.bytes, memory_file.length);
        expect_equal(t, again);
        size_t size = memory_file.length;
        uint8_t *first = malloc(size);
        memcpy(first, memory_file.bytes, size);
        require(ct_npy_save("m", again) == CT_OK);
        require(memory_file.length == size && memcmp(memory_file.bytes, first, size) == 0);
        free(first);
    }
    ct_scope_close(0);
    require(ct_mem_read().live_bytes == 0);
    return 0;
}
