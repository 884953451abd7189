/* .npy files: numpy's own bytes in both directions, damaged files, bounded memory, failing calls.
 * Not a fuzzer: that is tests/fuzz/fuzz_npy.c. The refusals are in test_npy_refusals.c.
 * Invariant: any bytes give an array or a message that begins with the name of the file. */
#include "tests/support/golden_npy.h"
#include "tests/support/npy_support.h"

#include <math.h>

/* --- numpy's bytes ------------------------------------------------------------------------ */

static void expect_golden(const uint8_t *bytes, size_t length, ct_dtype dtype, ct_shape shape,
                          const void *elements) {
    expect_value(parse_npy(bytes, length), dtype, shape, elements);
    ct_tensor *t = ct_from(dtype, shape, elements);
    cr_assert_eq(ct_npy_save(in_folder("a.npy"), t), CT_OK, "%s", ct_error_message());
    cr_expect(file_is(in_folder("a.npy"), bytes, length));
    expect_value(ct_npy_load(in_folder("a.npy")), dtype, shape, elements);
}

FOLDER_TEST(npy, is_what_numpy_writes) {
    expect_golden(golden_f32, sizeof golden_f32, CT_F32, CT_SHAPE(3),
                  (float[]){1.5f, -2, 3.14159265f});
    expect_golden(golden_f64, sizeof golden_f64, CT_F64, CT_SHAPE(2, 3),
                  (double[]){0.1, -0.0, HUGE_VAL, 1e300, 5e-324, -7});
    expect_golden(golden_i64, sizeof golden_i64, CT_I64, CT_SCALAR, (int64_t[]){INT64_MIN});
    expect_golden(golden_u8, sizeof golden_u8, CT_U8, CT_SHAPE(2, 0, 3), "");
}

FOLDER_TEST(npy, reads_fortran_order_and_later_versions) {
    float counted[12];
    for (int i = 0; i < 12; i++) counted[i] = (float)i;
    expect_value(parse_npy(golden_fortran, sizeof golden_fortran), CT_F32, CT_SHAPE(2, 3, 2),
                 counted);
    expect_value(parse_npy(golden_v2, sizeof golden_v2), CT_U8, CT_SHAPE(3), "\x01\x02\xff");
    expect_value(parse_npy(golden_v3, sizeof golden_v3), CT_U8, CT_SHAPE(3), "\x01\x02\xff");
}

/* What cotan reads and does not write: narrower numbers, truth values, the other byte order. */
FOLDER_TEST(npy, reads_numpys_other_types) {
    expect_value(parse_npy(golden_f16, sizeof golden_f16), CT_F32, CT_SHAPE(12),
                 (float[]){0.0f, -0.0f, 1.5f, -2, 65504, 0x1p-14f, 0x1p-24f, -0x1.d8p-19f, INFINITY,
                           -INFINITY, NAN, 0x1.554p-2f});
    expect_value(parse_npy(golden_i32, sizeof golden_i32), CT_I64, CT_SHAPE(3, 2),
                 (int64_t[]){0, 1, -1, INT32_MAX, INT32_MIN, 7});
    expect_value(parse_npy(golden_u32, sizeof golden_u32), CT_I64, CT_SHAPE(3),
                 (int64_t[]){0, INT64_C(1) << 31, UINT32_MAX});
    expect_value(parse_npy(golden_bool, sizeof golden_bool), CT_U8, CT_SHAPE(3), "\1\0\1");
    expect_value(parse_npy(golden_big_f64, sizeof golden_big_f64), CT_F64, CT_SHAPE(2, 3),
                 (double[]){0.1, -0.0, HUGE_VAL, 1e300, 5e-324, -7});
    expect_value(parse_npy(golden_big_f16_fortran, sizeof golden_big_f16_fortran), CT_F32,
                 CT_SHAPE(2, 3), (float[]){1, 2, 3, 4, 5, 6});
    expect_value(parse_npy(golden_i32_fortran, sizeof golden_i32_fortran), CT_I64, CT_SHAPE(2, 3),
                 (int64_t[]){1, 2, 3, 4, 5, -6});
}

FOLDER_TEST(npy, round_trips) {
    static const ct_shape shapes[] = {{0},
                                      {1, {0}},
                                      {1, {1}},
                                      {1, {1000}},
                                      {2, {3, 5}},
                                      {3, {4, 0, 2}},
                                      {8, {2, 1, 3, 1, 2, 1, 1, 2}},
                                      {8, {0, 1, 2, 3, 4, 5, 6, 7}}};
    uint8_t bytes[8000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37 + i / 256);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int d = 0; d < CT_P61; d++) {
            ct_tensor *t = ct_from((ct_dtype)d, shapes[s], bytes);
            cr_assert_eq(ct_npy_save(in_folder("r.npy"), t), CT_OK, "%s", ct_error_message());
            expect_value(ct_npy_load(in_folder("r.npy")), (ct_dtype)d, shapes[s], bytes);
        }
    }
    cr_expect_eq(entries(false), 1);
}

/* The longest headers there are: the dimensions' product is bounded, zeros left out. numpy's data
 * begin at byte 128 there too. */
FOLDER_TEST(npy, writes_the_longest_header) {
    static const ct_shape shapes[] = {
        {8, {0, 100000000, 100000000, 100, 1, 1, 1, 1}},
        {8, {9, 0, 1000000000000000000, 1, 1, 1, 1, 1}},
        {8, {1000000000000000000, 0, 9, 1, 1, 1, 1, 1}},
        {1, {0}},
    };
    for (int i = 0; i < 4; i++) {
        ct_tensor *t = ct_from(CT_U8, shapes[i], NULL);
        cr_assert_eq(ct_npy_save(in_folder("l.npy"), t), CT_OK, "%s", ct_error_message());
        struct stat found;
        stat(in_folder("l.npy"), &found);
        cr_expect_eq(found.st_size, 128);
        expect_value(ct_npy_load(in_folder("l.npy")), CT_U8, shapes[i], "");
    }
}

/* --- Damage ------------------------------------------------------------------------------- */

FOLDER_TEST(npy, refuses_every_truncation) {
    for (size_t length = 0; length < sizeof golden_f64; length++) {
        uint8_t *exact = malloc(length ? length : 1); /* for the address sanitizer */
        memcpy(exact, golden_f64, length);
        cr_expect_null(parse_npy(exact, length), "%zu bytes", length);
        free(exact);
    }
}

FOLDER_TEST(npy, withstands_every_changed_byte) {
    uint8_t bytes[sizeof golden_fortran];
    memcpy(bytes, golden_fortran, sizeof bytes);
    int valid = 0;
    for (size_t at = 0; at < sizeof bytes; at++) {
        for (int value = 0; value < 256; value++) {
            bytes[at] = (uint8_t)value;
            int64_t scope = ct_scope_open();
            ct_tensor *t = parse_npy(bytes, sizeof bytes);
            if (t) valid++;
            ct_scope_close(scope);
        }
        bytes[at] = golden_fortran[at];
    }
    /* The 48 bytes of data may be anything. */
    cr_expect_geq(valid, 48 * 256);
    cr_expect_lt(valid, 48 * 256 + 2000);
}

/* --- Memory, files and faults ------------------------------------------------------------- */

FOLDER_TEST(npy, a_file_costs_at_most_twice_its_size) {
    size_t size = 3 * MIB;
    uint8_t *data = calloc(size, 1);
    ct_npy_save(in_folder("big.npy"), ct_from(CT_U8, CT_SHAPE((int64_t)size), data));
    free(data);
    ct_scope_close(0);
    ct_mem_peak_reset();
    int64_t before = ct_mem_read().live_bytes;
    cr_assert_not_null(ct_npy_load(in_folder("big.npy")));
    cr_expect_leq(ct_mem_read().peak_bytes - before, 2 * (int64_t)size + 10000);
}

/* 3 GB that take no room on the disk: refused by what stands at their beginning. */
FOLDER_TEST(npy, a_large_file_is_judged_by_its_first_bytes) {
    static const struct {
        const char *start;
        size_t n;
        const char *message;
    } rows[] = {
        {"text", 4, "expected npy magic '\\x93NUMPY', got 'text\\x00\\x00' at byte 0"},
        {"\x93NUMPY\x07", 7, "unsupported npy version 7.0 (1.0, 2.0, 3.0 known)"},
        {"\x93NUMPY\x01\0\x10\0{'descr':'<c16'}", 26,
         "dtype '<c16' is not supported (f2, f4, "
         "f8, i4, i8, u1, u4 and b1 are)"},
        {"\x93NUMPY\x01\0\x36\0{'descr':'<f4','fortran_order':False,'shape':(2L,3L)}\n", 64,
         "data needs 24 bytes, file has 3221225408"},
    };
    for (int i = 0; i < 4; i++) {
        put_file(in_folder("big.npy"), rows[i].start, rows[i].n);
        if (truncate(in_folder("big.npy"), INT64_C(3) << 30) != 0) return; /* not here */
        ct_error_clear();
        ct_mem_peak_reset();
        int64_t before = ct_mem_read().live_bytes;
        cr_expect_null(ct_npy_load(in_folder("big.npy")));
        cr_expect_str_eq(strstr(ct_error_message(), ".npy: ") + 6, rows[i].message);
        cr_expect_eq(ct_mem_read().peak_bytes, before);
    }
}

/* A header that ends behind the first bytes is judged with the rest. */
FOLDER_TEST(npy, reads_a_header_longer_than_the_first_bytes) {
    static const char dict[] = "{'descr': '<i4', 'fortran_order': False, 'shape': (2,)}";
    enum { HEADER = 5000 };
    uint8_t *bytes = malloc(10 + HEADER + 8);
    char *header = malloc(HEADER + 1);
    memset(header, ' ', HEADER);
    memcpy(header, dict, sizeof dict - 1);
    header[HEADER] = '\0';
    size_t length = build_npy(bytes, header, 8);
    put_file(in_folder("a.npy"), bytes, length);
    expect_value(ct_npy_load(in_folder("a.npy")), CT_I64, CT_SHAPE(2),
                 (int64_t[]){0x01010101, 0x01010101});
    put_file(in_folder("a.npy"), bytes, length - 1);
    cr_expect_null(ct_npy_load(in_folder("a.npy")));
    cr_expect(strstr(ct_error_message(), ": data needs 8 bytes, file has 7"));
    free(header);
    free(bytes);
}

static ct_tensor *saved;
static const char *target;

static ct_status save_to(const char *path) { return ct_npy_save(path, saved); }
static ct_status save_again(void) { return ct_npy_save(target, saved); }
static ct_status load_again(void) { return ct_npy_load(target) ? CT_OK : ct_error(); }

FOLDER_TEST(npy, saving_survives_every_fault) {
    saved = ct_from(CT_F32, CT_SHAPE(3), (float[]){1.5f, -2, 3.14159265f});
    cr_expect_gt(fault_sweep(save_to, in_folder("a.npy"), golden_f32, sizeof golden_f32), 150);
}

FOLDER_TEST(npy, loading_survives_every_fault) {
    put_file(in_folder("a.npy"), golden_f32, sizeof golden_f32);
    for (int c = 0; c < FAULT_CODES; c++) {
        for (int64_t at = 1, calls = 1; calls >= at - 1; at++) {
            int descriptors = open_descriptors();
            ct_error_clear();
            arm(at, fault_codes[c], false);
            ct_tensor *t = ct_npy_load(in_folder("a.npy"));
            calls = disarm();
            cr_expect_eq(open_descriptors(), descriptors);
            cr_expect_eq(t == NULL, strncmp(ct_error_message(), "ct_npy_load: /", 14) == 0);
        }
    }
}

FOLDER_TEST(npy, a_value_that_cannot_be_computed_is_an_error) {
    ct_error_clear();
    cr_expect_eq(ct_npy_save(in_folder("a.npy"), enormous()), CT_ERR_MEMORY);
    cr_expect_not_null(strstr(ct_error_message(), "out of memory"));
    cr_expect_eq(entries(false), 0);
}

FOLDER_TEST(npy, out_of_memory_is_an_error) {
    static char path[512];
    target = strcpy(path, in_folder("a.npy"));
    saved = ct_from(CT_F32, CT_SHAPE(3), (float[]){1, 2, 3});
    cr_expect_eq(memory_sweep(save_again), 2); /* saving a leaf allocates nothing */
    cr_expect_gt(memory_sweep(load_again), 6);
}

FOLDER_TEST(npy, refuses_what_is_no_regular_file) {
    ct_tensor *t = ct_scalar(CT_F32, 1);
    ct_error_clear();
    cr_expect_eq(ct_npy_save("/dev/full", t), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(), "ct_npy_save: /dev/full: is a character device, expected "
                                         "a regular file or none");
    ct_error_clear();
    cr_expect_null(ct_npy_load("/"));
    cr_expect_str_eq(ct_error_message(), "ct_npy_load: /: is a directory, expected a regular file");
    ct_error_clear();
    put_file(in_folder("bad.npy"), "text", 4);
    cr_expect_null(ct_npy_load(in_folder("bad.npy")));
    cr_expect_not_null(strstr(ct_error_message(), "/bad.npy: expected npy magic"));
}
