/* The IDX parser: golden files of each type, plain and packed, every refusal with its words, and
 * what damage and lies can make it do.
 * Not a test of MNIST's content; that is test_dataset.c.
 * Invariant: whatever the bytes, the parser returns, says why, and takes no memory for a lie. */
#include "datasets/idx.h"
#include "tests/support/idx_files.h"

#include <math.h>

static ct_tensor *parse(file_bytes file) { return ct_idx_parse("t.idx", file.bytes, file.length); }

/* Parses the file plain and packed, and frees it. */
static void expect_tensor(file_bytes file, ct_dtype dtype, ct_shape shape, const void *elements) {
    file_bytes zipped = packed(file);
    for (int i = 0; i < 2; i++) {
        ct_tensor *t = parse(i ? zipped : file);
        cr_assert_not_null(t, "%s", ct_error_message());
        cr_expect_eq(ct_dtype_of(t), dtype);
        cr_expect(ct_shape_equal(ct_shape_of(t), shape));
        size_t bytes = (size_t)ct_numel(t) * ct_dtype_size(dtype);
        cr_expect(bytes == 0 || !memcmp(ct_data(t), elements, bytes));
    }
    free(file.bytes);
    free(zipped.bytes);
}

TEST(idx, golden_bytes) {
    const uint8_t u8[] = {0, 1, 127, 128, 254, 255};
    expect_tensor(idx_file(0x08, COUNTS(6), u8, 6), CT_U8, CT_SHAPE(6), u8);
    expect_tensor(idx_file(0x08, COUNTS(1, 2, 3), u8, 6), CT_U8, CT_SHAPE(1, 2, 3), u8);
    expect_tensor(idx_file(0x08, COUNTS(1, 1, 1, 6, 1, 1, 1, 1), u8, 6), CT_U8,
                  CT_SHAPE(1, 1, 1, 6, 1, 1, 1, 1), u8);
    expect_tensor(idx_file(0x09, COUNTS(4), u8 + 2, 4), CT_F32, CT_SHAPE(4),
                  (float[]){127, -128, -2, -1});
}

TEST(idx, golden_wider_numbers) {
    const uint8_t i16[] = {0x00, 0x01, 0x7f, 0xff, 0x80, 0x00, 0xff, 0xff};
    expect_tensor(idx_file(0x0B, COUNTS(2, 2), i16, 8), CT_F32, CT_SHAPE(2, 2),
                  (float[]){1, 32767, -32768, -1});
    const uint8_t i32[] = {0x01, 0x02, 0x03, 0x04, 0x80, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff};
    expect_tensor(idx_file(0x0C, COUNTS(3), i32, 12), CT_I64, CT_SHAPE(3),
                  (int64_t[]){0x01020304, INT32_MIN, -1});
    const uint8_t f32[] = {0x3f, 0x80, 0x00, 0x00, 0xc0, 0x49, 0x0f, 0xdb, 0x7f, 0x80, 0x00, 0x00};
    expect_tensor(idx_file(0x0D, COUNTS(3), f32, 12), CT_F32, CT_SHAPE(3),
                  (float[]){1, -0x1.921fb6p+1f, INFINITY});
    const uint8_t f64[] = {0x3f, 0xf0, 0,    0,    0,    0,    0,    0,
                           0xc0, 0x09, 0x21, 0xfb, 0x54, 0x44, 0x2d, 0x18};
    expect_tensor(idx_file(0x0E, COUNTS(2, 1), f64, 16), CT_F64, CT_SHAPE(2, 1),
                  (double[]){1, -0x1.921fb54442d18p+1});
}

TEST(idx, nothing_is_something_too) {
    expect_tensor(idx_file(0x08, COUNTS(0), NULL, 0), CT_U8, CT_SHAPE(0), NULL);
    expect_tensor(idx_file(0x0E, COUNTS(0, 28, 28), NULL, 0), CT_F64, CT_SHAPE(0, 28, 28), NULL);
    expect_tensor(idx_file(0x0C, COUNTS(7, 0), NULL, 0), CT_I64, CT_SHAPE(7, 0), NULL);
}

/* Longer than the pieces in which the parser works. */
TEST(idx, many_elements) {
    enum { N = 100003 };
    uint8_t *bytes = malloc(4 * N);
    int64_t *expected = malloc(N * sizeof *expected);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t value = i * 2654435761u;
        for (int k = 0; k < 4; k++) bytes[4 * i + (uint32_t)k] = (uint8_t)(value >> (24 - 8 * k));
        expected[i] = (int32_t)value;
    }
    expect_tensor(idx_file(0x0C, COUNTS(N), bytes, 4 * N), CT_I64, CT_SHAPE(N), expected);
    expect_tensor(idx_file(0x08, COUNTS(N, 2), bytes, 2 * N), CT_U8, CT_SHAPE(N, 2), bytes);
    free(bytes);
    free(expected);
}

/* --- Refusals ----------------------------------------------------------------------------- */

static void refuse(file_bytes file, const char *message) {
    cr_expect_null(parse(file), "%s", message);
    expect_error(CT_ERR_FORMAT, message);
    free(file.bytes);
}

/* The same words whether the file is plain or packed. */
static void refuse_both(file_bytes file, const char *message) {
    refuse(packed(file), message);
    refuse(file, message);
}

TEST(idx, headers_that_are_refused) {
    refuse(idx_file(0, 0, NULL, NULL, 0), "t.idx: unknown element type 0x00 at byte 2");
    refuse_both(idx_file(0x07, COUNTS(1), NULL, 1), "t.idx: unknown element type 0x07 at byte 2");
    refuse_both(idx_file(0x0A, COUNTS(1), NULL, 1), "t.idx: unknown element type 0x0a at byte 2");
    refuse_both(idx_file(0x08, 0, NULL, NULL, 1), "t.idx: rank must be 1..8, got 0 at byte 3");
    refuse_both(idx_file(0x08, COUNTS(1, 1, 1, 1, 1, 1, 1, 1, 1), NULL, 1),
                "t.idx: rank must be 1..8, got 9 at byte 3");
    file_bytes file = idx_file(0x08, COUNTS(1), NULL, 1);
    file.bytes[1] = 1;
    refuse_both(file, "t.idx: expected idx magic 00 00, got 00 01 at byte 0");
    file = idx_file(0x08, COUNTS(1), NULL, 1);
    file_bytes once = packed(file);
    free(file.bytes);
    refuse(packed(once), "t.idx: expected idx magic 00 00, got 1f 8b (gzip) at byte 0; run gunzip");
    free(once.bytes);
}

TEST(idx, headers_that_are_cut_off) {
    for (size_t length = 0; length < 8; length++) {
        char message[64];
        file_bytes file = idx_file(0x08, COUNTS(3), NULL, 3);
        file.length = length;
        snprintf(message, sizeof message, "t.idx: idx header needs %d bytes, file has %d",
                 length < 4 ? 4 : 8, (int)length);
        refuse_both(file, message);
    }
}

TEST(idx, lengths_that_do_not_fit) {
    refuse_both(idx_file(0x08, COUNTS(60000, 28, 28), NULL, 31000),
                "t.idx: header promises 47040000 bytes, file has 31000 at byte 16");
    refuse_both(idx_file(0x08, COUNTS(UINT32_MAX, 28, 28), NULL, 1000),
                "t.idx: header promises "
                "3367254359280 bytes (4294967295x28x28), file has 1000 after the header");
    refuse_both(idx_file(0x0E, COUNTS(2), NULL, 15),
                "t.idx: header promises 16 bytes, file has 15 at byte 8");
    refuse_both(idx_file(0x08, COUNTS(UINT32_MAX, UINT32_MAX, 2), NULL, 5),
                "t.idx: header "
                "promises more than 2^63-1 bytes of u8 (4294967295x4294967295x2)");
    refuse_both(idx_file(0x0E, COUNTS(0, UINT32_MAX, UINT32_MAX), NULL, 0),
                "t.idx: header "
                "promises more than 2^63-1 bytes of f64 (0x4294967295x4294967295)");
    refuse_both(idx_file(0x09, COUNTS(UINT32_MAX, UINT32_MAX / 2), NULL, 0),
                "t.idx: header "
                "promises more than 2^63-1 bytes of f32 (4294967295x2147483647)");
    refuse(idx_file(0x08, COUNTS(2, 3), NULL, 18), "t.idx: 12 extra bytes at 18");
    refuse(idx_file(0x08, COUNTS(2, 3), NULL, 7), "t.idx: 1 extra byte at 18");
    refuse(idx_file(0x08, COUNTS(0), NULL, 1), "t.idx: 1 extra byte at 8");
    file_bytes longer = idx_file(0x08, COUNTS(2, 3), NULL, 7);
    refuse(packed(longer), "t.idx: extra bytes at 18");
    free(longer.bytes);
}

static file_bytes small_gzip(void) {
    file_bytes plain = idx_file(0x08, COUNTS(6), (const uint8_t *)"abcdef", 6);
    file_bytes file = packed(plain);
    free(plain.bytes);
    return file;
}

TEST(idx, damaged_gzip) {
    file_bytes file = small_gzip();
    size_t length = file.length;
    refuse(followed(file, "x", 1), "t.idx: gzip: 1 byte after the end of the stream at byte 34");
    refuse(followed(file, "\0\0x", 3),
           "t.idx: gzip: 3 bytes after the end of the stream at byte 34");
    refuse(followed(file, "\x1f", 1), "t.idx: gzip: 1 byte after the end of the stream at byte 34");
    refuse(followed(file, (const char *)file.bytes, length), "t.idx: extra bytes at 14");
    refuse(followed(file, (const char *)file.bytes, length - 9), "t.idx: extra bytes at 14");
    refuse(followed(file, (const char *)file.bytes, 10),
           "t.idx: gzip: the stream is cut off at byte 44");
    refuse(followed(file, "\x1f\x8b\x07\0", 4),
           "t.idx: gzip: unknown compression method at byte 38");
    cr_assert_eq(length, 34);
    file.bytes[length - 8] ^= 1;
    refuse(file, "t.idx: gzip: incorrect data check at byte 30");
    file = small_gzip();
    file.bytes[length - 1] ^= 1;
    refuse(file, "t.idx: gzip: incorrect length check at byte 34");
    file = small_gzip();
    file.bytes[2] = 7;
    refuse(file, "t.idx: gzip: unknown compression method at byte 4");
    file = small_gzip();
    file.bytes[10] = 7;
    refuse(file, "t.idx: gzip: invalid block type at byte 11");
    file = small_gzip();
    file.length = 33;
    refuse(file, "t.idx: gzip: the stream is cut off at byte 33");
    file = small_gzip();
    file.length = 2;
    refuse(file, "t.idx: gzip: the stream is cut off at byte 2");
}

TEST(idx, names_in_messages_are_printable) {
    cr_expect_null(ct_idx_parse("a\n\x1b[2J%s.idx", (const uint8_t *)"", 0));
    expect_error(CT_ERR_FORMAT, "a\\x0a\\x1b[2J%s.idx: idx header needs 4 bytes, file has 0");
    cr_expect_null(ct_idx_parse(NULL, (const uint8_t *)"", 0));
    expect_error(CT_ERR_FORMAT, "idx: idx header needs 4 bytes, file has 0");
    cr_expect_null(ct_idx_parse("t", NULL, 1));
    expect_error(CT_ERR_NULL, "ct_idx_parse: 'bytes' is NULL");
}

/* --- Several members ---------------------------------------------------------------------- */

/* What bgzip, pigz --independent and `cat a.gz b.gz` make: the pieces between the cuts, each a gzip
 * stream of its own, with so many zeros behind it. */
static file_bytes members(file_bytes plain, const size_t *cuts, int n, size_t zeros) {
    file_bytes out = {calloc(1, 1), 0};
    for (int i = 0; i <= n; i++) {
        size_t from = i ? cuts[i - 1] : 0, to = i < n ? cuts[i] : plain.length;
        file_bytes one = packed((file_bytes){plain.bytes + from, to - from});
        out.bytes = realloc(out.bytes, out.length + one.length + zeros + 1);
        memcpy(out.bytes + out.length, one.bytes, one.length);
        memset(out.bytes + out.length + one.length, 0, zeros);
        out.length += one.length + zeros;
        free(one.bytes);
    }
    return out;
}

TEST(idx, gzip_of_several_members) {
    uint8_t elements[1000];
    for (size_t i = 0; i < sizeof elements; i++) elements[i] = (uint8_t)(i * 37 + i / 256);
    static const size_t cuts[][4] = {
        {500, 500, 500, 500}, {0, 1, 3, 8}, {8, 9, 1000, 1008}, {300, 600, 601, 900}};
    file_bytes plain = idx_file(0x08, COUNTS(1000), elements, sizeof elements);
    for (int i = 0; i < 4; i++) {
        for (size_t zeros = 0; zeros < 4; zeros++) {
            file_bytes file = members(plain, cuts[i], 4, zeros);
            ct_tensor *t = parse(file);
            cr_assert_not_null(t, "%s", ct_error_message());
            cr_expect(ct_shape_equal(ct_shape_of(t), CT_SHAPE(1000)));
            cr_expect_arr_eq(ct_data(t), elements, sizeof elements);
            /* A member that lies about its content is found, whichever it is. */
            file.bytes[file.length - zeros - 8] ^= 1;
            cr_expect_null(parse(file));
            cr_expect(strstr(ct_error_message(), "incorrect data check"));
            ct_error_clear();
            free(file.bytes);
        }
    }
    free(plain.bytes);
}

/* As gzip 1.12 makes them: printf '\0\0\10\1\0\0\0\6ab' | gzip -n; printf cdef | gzip -n */
TEST(idx, gzip_itself_puts_members_together) {
    static const uint8_t golden[] = {
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x63, 0x60, 0xe0, 0x60,
        0x64, 0x60, 0x60, 0x60, 0x4b, 0x4c, 0x02, 0x00, 0x57, 0x5e, 0xcf, 0x4d, 0x0a, 0x00,
        0x00, 0x00, 0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x4b, 0x4e,
        0x49, 0x4d, 0x03, 0x00, 0x82, 0xbf, 0x52, 0xfb, 0x04, 0x00, 0x00, 0x00,
    };
    ct_tensor *t = ct_idx_parse("t.idx", golden, sizeof golden);
    cr_assert_not_null(t, "%s", ct_error_message());
    cr_expect_eq(ct_numel(t), 6);
    cr_expect_arr_eq(ct_data(t), "abcdef", 6);
}

/* --- Damage ------------------------------------------------------------------------------- */

/* Whatever the bytes: a tensor, or an error with words; and no memory for a lie. `unpacked` is
 * the size of what they really hold. */
static void survive(file_bytes file, size_t unpacked, bool refused) {
    int64_t scope = ct_scope_open();
    ct_mem_peak_reset();
    int64_t before = ct_mem_read().live_bytes;
    ct_tensor *t = parse(file);
    cr_assert(t || (ct_error() == CT_ERR_FORMAT && *ct_error_message()));
    cr_assert(!refused || !t);
    cr_assert_leq(ct_mem_read().peak_bytes - before, 4 * (int64_t)unpacked + (1 << 20));
    ct_error_clear();
    ct_scope_close(scope);
    cr_assert_eq(ct_mem_read().live_bytes, before);
}

TEST(idx, cut_off_anywhere_and_damaged_anywhere) {
    uint8_t elements[3 * 5 * 4];
    for (size_t i = 0; i < sizeof elements; i++) elements[i] = (uint8_t)(i * 37);
    file_bytes plain = idx_file(0x0C, COUNTS(3, 5), elements, sizeof elements);
    file_bytes files[2] = {plain, packed(plain)};
    for (int k = 0; k < 2; k++) {
        for (size_t length = 0; length < files[k].length; length++) {
            /* In a block of its own, so that reading on is noticed. */
            file_bytes cut = {malloc(length ? length : 1), length};
            memcpy(cut.bytes, files[k].bytes, length);
            survive(cut, plain.length, true);
            free(cut.bytes);
        }
        for (size_t i = 0; i < files[k].length; i++) {
            uint8_t old = files[k].bytes[i];
            for (int value = 0; value < 256; value++) {
                files[k].bytes[i] = (uint8_t)value;
                survive(files[k], plain.length, false);
            }
            files[k].bytes[i] = old;
        }
        free(files[k].bytes);
    }
}

TEST(idx, lies_get_no_memory) {
    enum { REAL = 1 << 20 };
    static const uint32_t lies[] = {2, 1000, 1 << 26, UINT32_MAX};
    uint8_t *zeros = calloc(REAL, 1);
    for (size_t i = 0; i < 4; i++) {
        file_bytes plain = idx_file(0x09, COUNTS(lies[i], REAL), zeros, REAL);
        file_bytes bomb = packed(plain);
        cr_assert_lt(bomb.length, REAL / 500);
        /* Neither is a tenth of what is promised; the limit for the small file is the small one. */
        survive(plain, 1000, true);
        survive(bomb, 1000, true);
        free(plain.bytes);
        free(bomb.bytes);
    }
    /* The other way round: more than is promised is not unpacked. */
    file_bytes plain = idx_file(0x08, COUNTS(16), zeros, REAL);
    file_bytes bomb = packed(plain);
    survive(bomb, 16, true);
    free(plain.bytes);
    free(bomb.bytes);
    free(zeros);
}

TEST(idx, out_of_memory_at_every_allocation) {
    file_bytes plain = idx_file(0x0B, COUNTS(6), (const uint8_t *)"abcdefghijkl", 12);
    file_bytes file = packed(plain);
    free(plain.bytes);
    for (int persistent = 0; persistent < 2; persistent++) {
        int nth = 0;
        ct_tensor *t = NULL;
        while (!t) {
            ct_scope_close(0);
            ct_mem_fail_at(++nth, persistent);
            t = parse(file);
            ct_mem_fail_at(0, false);
            if (t) break;
            cr_expect_eq(ct_error(), CT_ERR_MEMORY, "%s", ct_error_message());
            ct_error_clear();
            ct_scope_close(0);
            cr_expect_eq(ct_mem_read().live_bytes, live_before());
            cr_assert_lt(nth, 50);
        }
        cr_expect_gt(nth, 6);
    }
    free(file.bytes);
}

/* --- Files -------------------------------------------------------------------------------- */

TEST(idx, from_a_file) {
    folder f = folder_new();
    const uint8_t elements[] = {5, 0, 4, 1, 9};
    file_bytes plain = idx_file(0x08, COUNTS(5), elements, 5);
    folder_write(f, "labels.gz", packed(plain));
    folder_write(f, "labels", plain);
    for (int i = 0; i < 2; i++) {
        ct_tensor *t = ct_idx_load(folder_path(f, i ? "labels.gz" : "labels").text);
        cr_assert_not_null(t, "%s", ct_error_message());
        cr_expect_arr_eq(ct_data(t), elements, 5);
    }
    folder_write(f, "short", (file_bytes){calloc(3, 1), 3});
    char message[512];
    snprintf(message, sizeof message, "%s/short: idx header needs 4 bytes, file has 3", f.path);
    cr_expect_null(ct_idx_load(folder_path(f, "short").text));
    expect_error(CT_ERR_FORMAT, message);
    cr_expect_null(ct_idx_load(f.path));
    snprintf(message, sizeof message, "ct_idx_load: %s: is a directory, expected a regular file",
             f.path);
    expect_error(CT_ERR_IO, message);
    cr_expect_null(ct_idx_load(NULL));
    expect_error(CT_ERR_NULL, "ct_idx_load: 'path' is NULL");
    folder_free(f);
}

/* --- The first bytes ---------------------------------------------------------------------- */

/* A file of 3 GB that takes no room on the disk. False when the file system cannot have it. */
static bool write_sparse(file_path path, const void *start, size_t n) {
    FILE *out = fopen(path.text, "wb");
    cr_assert_not_null(out);
    cr_assert_eq(fwrite(start, 1, n, out), n);
    cr_assert_eq(fclose(out), 0);
    return truncate(path.text, INT64_C(3) << 30) == 0;
}

static void refuse_sparse(folder f, const void *start, size_t n, const char *message) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s/big: %s", f.path, message);
    if (!write_sparse(folder_path(f, "big"), start, n)) return;
    ct_mem_peak_reset();
    int64_t before = ct_mem_read().live_bytes;
    cr_expect_null(ct_idx_load(folder_path(f, "big").text));
    expect_error(CT_ERR_FORMAT, whole);
    cr_expect_leq(ct_mem_read().peak_bytes - before, 1 << 16);
}

TEST(idx, a_large_file_is_judged_by_its_first_bytes) {
    folder f = folder_new();
    refuse_sparse(f, "no idx", 6, "expected idx magic 00 00, got 6e 6f at byte 0");
    refuse_sparse(f, "", 0, "unknown element type 0x00 at byte 2");
    file_bytes header = idx_file(0x08, COUNTS(60000, 28, 28), NULL, 0);
    refuse_sparse(f, header.bytes, header.length, "3174185456 extra bytes at 47040016");
    free(header.bytes);
    header = idx_file(0x08, COUNTS(1 << 16, 1 << 16), NULL, 0);
    refuse_sparse(f, header.bytes, header.length,
                  "header promises 4294967296 bytes "
                  "(65536x65536), file has 3221225460 after the header");
    free(header.bytes);
    file_bytes text = {(uint8_t *)"no idx in here", 14};
    file_bytes zip = packed(text);
    refuse_sparse(f, zip.bytes, zip.length, "expected idx magic 00 00, got 6e 6f at byte 0");
    zip.bytes[10] = 7;
    refuse_sparse(f, zip.bytes, zip.length, "gzip: invalid block type at byte 11");
    free(zip.bytes);
    folder_free(f);
}

/* The first bytes of a packed file end anywhere; the rest may then be anything. */
TEST(idx, a_large_packed_file_is_read) {
    enum { N = 100000 };
    folder f = folder_new();
    uint8_t *noise = malloc(N);
    uint32_t state = 1;
    for (int i = 0; i < N; i++) {
        state = state * 1664525u + 1013904223u;
        noise[i] = (uint8_t)(state >> 24);
    }
    file_bytes plain = idx_file(0x08, COUNTS(N), noise, N);
    for (size_t cut = 4000; cut < 4200; cut += 20) {
        folder_write(f, "big", members(plain, &cut, 1, 0));
        ct_tensor *t = ct_idx_load(folder_path(f, "big").text);
        cr_assert_not_null(t, "%s", ct_error_message());
        cr_expect(memcmp(ct_data(t), noise, N) == 0);
        ct_scope_close(0);
    }
    free(plain.bytes);
    free(noise);
    folder_free(f);
}
