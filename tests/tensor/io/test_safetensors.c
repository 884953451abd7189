/* Safetensors files: the reference implementation's bytes in both directions, round trips, what
 * the writer refuses, misuse.
 * Not a fuzzer: that is tests/fuzz/fuzz_safetensors.c. Foreign and damaged files are in
 * test_safetensors_refusals.c and test_safetensors_damage.c.
 * Invariant: what was saved is read back bit for bit, in the same order. */
#include "tests/support/safetensors_support.h"

#include <math.h>

/* --- The reference implementation's bytes --------------------------------------------------- */

static void expect_golden(const ct_safetensors *file) {
    cr_assert_not_null(file, "%s", ct_error_message());
    cr_assert_eq(ct_safetensors_count(file), 5);
    static const char *const names[] = {"labels", "fc 1.\"b\"\n", "w", "empty", SMILE};
    for (int i = 0; i < 5; i++) {
        cr_expect_str_eq(ct_safetensors_name(file, i), names[i]);
        cr_expect_eq(ct_safetensors_find(file, names[i]), i);
    }
    expect_value(ct_safetensors_value(file, 0), CT_I64, CT_SHAPE(2),
                 (int64_t[]){-1, INT64_C(1) << 62});
    expect_value(ct_safetensors_value(file, 1), CT_F64, CT_SCALAR, (double[]){0.1});
    expect_value(ct_safetensors_value(file, 2), CT_F32, CT_SHAPE(2, 3),
                 (float[]){1.5f, -2, 3, 4, 5, 6});
    expect_value(ct_safetensors_value(file, 3), CT_U8, CT_SHAPE(3, 0), "");
    expect_value(ct_safetensors_value(file, 4), CT_U8, CT_SHAPE(1), "\x07");
    cr_expect_str_eq(ct_safetensors_metadata(file, "format"), "pt");
    cr_expect_null(ct_safetensors_metadata(file, "forma"));
    cr_expect_null(ct_safetensors_metadata(file, "formats"));
    cr_expect_eq(ct_safetensors_find(file, "W"), -1);
    cr_expect_eq(ct_safetensors_find(file, "x"), -1);
    cr_expect_eq(ct_error(), CT_OK);
}

FOLDER_TEST(safetensors, is_what_the_reference_writes) {
    ct_safetensors *file = parse_safetensors(golden_safetensors, sizeof golden_safetensors);
    expect_golden(file);
    ct_safetensors_free(file);
    cr_assert_eq(save_golden(in_folder("a.st")), CT_OK, "%s", ct_error_message());
    cr_expect(file_is(in_folder("a.st"), golden_safetensors, sizeof golden_safetensors));
    file = ct_safetensors_load(in_folder("a.st"));
    expect_golden(file);
    ct_safetensors_free(file);
}

static ct_tensor *named(const ct_safetensors *file, const char *name) {
    int64_t i = ct_safetensors_find(file, name);
    cr_assert_geq(i, 0, "%s", name);
    return ct_safetensors_value(file, i);
}

FOLDER_TEST(safetensors, reads_the_other_types_of_the_format) {
    ct_safetensors *file = parse_safetensors(golden_types, sizeof golden_types);
    cr_assert_not_null(file, "%s", ct_error_message());
    expect_value(named(file, "f16"), CT_F32, CT_SHAPE(2, 3),
                 (float[]){0.0f, -0.0f, 1.5f, 65504, 0x1p-24f, -INFINITY});
    expect_value(named(file, "bf16"), CT_F32, CT_SHAPE(4),
                 (float[]){1, -3.140625f, 0x1.fep+127f, 0x1p-133f});
    expect_value(named(file, "i32"), CT_I64, CT_SHAPE(2), (int64_t[]){INT32_MIN, INT32_MAX});
    expect_value(named(file, "i16"), CT_I64, CT_SHAPE(2), (int64_t[]){INT16_MIN, INT16_MAX});
    expect_value(named(file, "i8"), CT_I64, CT_SHAPE(2), (int64_t[]){INT8_MIN, INT8_MAX});
    expect_value(named(file, "u16"), CT_I64, CT_SHAPE(1), (int64_t[]){UINT16_MAX});
    expect_value(named(file, "u32"), CT_I64, CT_SHAPE(1), (int64_t[]){UINT32_MAX});
    expect_value(named(file, "bool"), CT_U8, CT_SHAPE(3), "\1\0\1");
    expect_value(named(file, "w"), CT_F32, CT_SHAPE(1), (float[]){7});
    ct_safetensors_free(file);
}

/* Only what is asked for is refused: one tensor of another type does not make the others
 * unreadable. */
FOLDER_TEST(safetensors, other_types_are_refused_when_they_are_asked_for) {
    ct_safetensors *file = parse_safetensors(golden_types, sizeof golden_types);
    static const char *const rows[][2] = {{"u64", "U64"}, {"c64", "C64"}, {"f8", "F8_E4M3"}};
    for (int i = 0; i < 3; i++) {
        char message[100];
        cr_expect_null(named(file, rows[i][0]));
        cr_expect_eq(ct_error(), CT_ERR_DTYPE);
        snprintf(message, sizeof message,
                 "ct_safetensors_value: '%s' has elements of type %s, "
                 "which cotan cannot hold",
                 rows[i][0], rows[i][1]);
        cr_expect_str_eq(ct_error_message(), message);
        ct_error_clear();
    }
    ct_safetensors_free(file);
    /* Elements of less than a byte are counted in bits. */
    uint8_t bytes[1000];
    static const char header[] = "{" ENTRY("a", "F4", "[2,3]", "[0,3]") "," ENTRY(
        "b", "F6_E2M3", "[4]",
        "[3,6]") "," ENTRY("c", "F6_E3M2", "[0,5]",
                           "[6,6]") "," ENTRY("d", "F8_E8M0", "[]",
                                              "[6,7]") "," ENTRY("w", "U8", "[]", "[7,8]") "}";
    file = parse_safetensors(bytes, build_safetensors(bytes, header, 8));
    cr_assert_not_null(file, "%s", ct_error_message());
    expect_value(named(file, "w"), CT_U8, CT_SCALAR, "\1");
    ct_safetensors_free(file);
}

FOLDER_TEST(safetensors, values_outlive_the_file) {
    ct_safetensors *file = parse_safetensors(golden_safetensors, sizeof golden_safetensors);
    ct_tensor *t = ct_safetensors_value(file, ct_safetensors_find(file, "labels"));
    ct_safetensors_free(file);
    expect_value(t, CT_I64, CT_SHAPE(2), (int64_t[]){-1, INT64_C(1) << 62});
}

FOLDER_TEST(safetensors, round_trips) {
    static const ct_shape shapes[] = {{0},         {1, {0}},       {1, {1000}},
                                      {2, {3, 5}}, {3, {4, 0, 2}}, {8, {2, 1, 3, 1, 2, 1, 1, 2}}};
    enum { SHAPES = sizeof shapes / sizeof *shapes, STORED = CT_P61, N = SHAPES * STORED };
    uint8_t bytes[8000];
    char names[N][16];
    ct_named given[N];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37 + i / 256);
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "t%d", (i * 7) % N);
        given[i] = (ct_named){names[i], ct_from((ct_dtype)(i % STORED), shapes[i / STORED], bytes)};
    }
    cr_assert_eq(ct_safetensors_save(in_folder("r.st"), given, N, NULL, 0), CT_OK);
    ct_safetensors *file = ct_safetensors_load(in_folder("r.st"));
    cr_assert_eq(ct_safetensors_count(file), N);
    for (int i = 0; i < N; i++) {
        cr_expect_str_eq(ct_safetensors_name(file, i), names[i]);
        expect_value(ct_safetensors_value(file, i), (ct_dtype)(i % STORED), shapes[i / STORED],
                     bytes);
    }
    cr_expect_null(ct_safetensors_metadata(file, "any"));
    ct_safetensors_free(file);
}

FOLDER_TEST(safetensors, writes_every_text) {
    char all[128], long_name[1025];
    for (int i = 1; i < 128; i++) all[i - 1] = (char)i;
    all[127] = '\0';
    memset(long_name, 'n', 1024);
    long_name[1024] = '\0';
    ct_tensor *t = ct_scalar(CT_F32, 1);
    const ct_named given[] = {{all, t}, {"", t}, {long_name, t}};
    const ct_pair pairs[] = {
        {"z", all}, {all, ""}, {"", "\xf4\x8f\xbf\xbf"}, {"__metadata__", "m"}};
    cr_assert_eq(ct_safetensors_save(in_folder("a.st"), given, 3, pairs, 4), CT_OK, "%s",
                 ct_error_message());
    ct_safetensors *file = ct_safetensors_load(in_folder("a.st"));
    cr_assert_not_null(file, "%s", ct_error_message());
    cr_expect_str_eq(ct_safetensors_name(file, 0), all);
    cr_expect_eq(ct_safetensors_find(file, ""), 1);
    cr_expect_eq(ct_safetensors_find(file, long_name), 2);
    for (int i = 0; i < 4; i++) {
        cr_expect_str_eq(ct_safetensors_metadata(file, pairs[i].key), pairs[i].value);
    }
    ct_safetensors_free(file);
    /* Nothing at all is a file too: what the reference writes for an empty dict. */
    cr_assert_eq(ct_safetensors_save(in_folder("a.st"), NULL, 0, NULL, 0), CT_OK);
    cr_expect(file_is(in_folder("a.st"), "\x08\0\0\0\0\0\0\0{}      ", 16));
    file = ct_safetensors_load(in_folder("a.st"));
    cr_expect_eq(ct_safetensors_count(file), 0);
    cr_expect_eq(ct_safetensors_find(file, ""), -1);
    ct_safetensors_free(file);
}

FOLDER_TEST(safetensors, accepts_every_spelling) {
    static const struct {
        const char *header, *name;
    } rows[] = {
        {"{ \"w\" :\t{\n\"data_offsets\":[ 0 , 4 ],\r\"shape\":[ ] , \"dtype\" : \"F32\" } }  ",
         "w"},
        {"{\"\\u0077\":{\"\\u0064type\":\"F\\u00332\",\"sh\\u0061pe\":[1,1,1,1,1,1,1,1],"
         "\"data_offsets\":[0,4]}}",
         "w"},
        {"{\"\\\"\\\\\\/\\b\\f\\n\\r\\t\":"
         "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         "\"\\/\b\f\n\r\t"},
        {"{\"\\u00e4\\u20AC\\ue000\\ud83D\\uDe00\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[0,4]}}",
         "\xc3\xa4\xe2\x82\xac\xee\x80\x80\xf0\x9f\x98\x80"},
        {"{\"__metadata__\":{},"
         "\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         "w"},
    };
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ct_safetensors *file = parse_safetensors(bytes,
                                                 build_safetensors(bytes, rows[i].header, 4));
        cr_assert_not_null(file, "%s", ct_error_message());
        cr_expect_str_eq(ct_safetensors_name(file, 0), rows[i].name);
        cr_expect_eq(ct_numel(ct_safetensors_value(file, 0)), 1);
        ct_safetensors_free(file);
    }
}

FOLDER_TEST(safetensors, header_and_data_may_differ_in_order) {
    uint8_t bytes[1000];
    static const char header[] = "{" ENTRY("c", "U8", "[2]", "[1,3]") "," ENTRY(
        "e", "U8", "[0]", "[1,1]") "," ENTRY("a", "U8", "[1]",
                                             "[0,1]") "," ENTRY("d", "F32", "[7,0]", "[3,3]") "}";
    size_t length = build_safetensors(bytes, header, 3);
    memcpy(bytes + length - 3, "xyz", 3);
    ct_safetensors *file = parse_safetensors(bytes, length);
    cr_assert_eq(ct_safetensors_count(file), 4);
    expect_value(ct_safetensors_value(file, 0), CT_U8, CT_SHAPE(2), "yz");
    expect_value(ct_safetensors_value(file, 1), CT_U8, CT_SHAPE(0), "");
    expect_value(ct_safetensors_value(file, ct_safetensors_find(file, "a")), CT_U8, CT_SHAPE(1),
                 "x");
    expect_value(ct_safetensors_value(file, 3), CT_F32, CT_SHAPE(7, 0), "");
    ct_safetensors_free(file);
}

/* --- Refusals of the writer, and misuse ----------------------------------------------------- */

static void expect_not_saved(const ct_named *given, int64_t n, const ct_pair *pairs,
                             int64_t n_pairs, ct_status status, const char *message) {
    ct_error_clear();
    cr_expect_eq(ct_safetensors_save(in_folder("a.st"), given, n, pairs, n_pairs), status);
    cr_expect_str_eq(ct_error_message(), message);
    cr_expect_eq(entries(false), 0);
}

FOLDER_TEST(safetensors, saves_valid_files_only) {
    ct_tensor *t = ct_scalar(CT_F32, 1);
    char long_name[1026];
    memset(long_name, 'n', 1025);
    long_name[1025] = '\0';
    const ct_named twice[] = {{"a", t}, {"b", t}, {"a", t}}, null_value[] = {{"a", t}, {"b", NULL}};
    const ct_pair pairs[] = {{"k", "v"}, {"k", "w"}}, good = {"k", "v"};
    expect_not_saved(twice, 3, NULL, 0, CT_ERR_RANGE,
                     "ct_safetensors_save: tensor name 'a' is given twice");
    expect_not_saved(null_value, 2, NULL, 0, CT_ERR_NULL, "ct_safetensors_save: value 1 is NULL");
    expect_not_saved(NULL, 2, NULL, 0, CT_ERR_NULL, "ct_safetensors_save: 'entries' is NULL");
    expect_not_saved(twice, -1, NULL, 0, CT_ERR_RANGE,
                     "ct_safetensors_save: n must be 0..1000000, got -1");
    expect_not_saved(twice, 1000001, NULL, 0, CT_ERR_RANGE,
                     "ct_safetensors_save: n must be 0..1000000, got 1000001");
    expect_not_saved(twice, 1, &good, 100000001, CT_ERR_RANGE,
                     "ct_safetensors_save: n_metadata must be 0..100000000, got 100000001");
    expect_not_saved(&(ct_named){NULL, t}, 1, NULL, 0, CT_ERR_NULL,
                     "ct_safetensors_save: tensor name 0 is NULL");
    expect_not_saved(&(ct_named){"a\xff", t}, 1, NULL, 0, CT_ERR_RANGE,
                     "ct_safetensors_save: tensor name 'a\\xff' is not UTF-8 at byte 1");
    expect_not_saved(&(ct_named){long_name, t}, 1, NULL, 0, CT_ERR_RANGE,
                     "ct_safetensors_save: tensor name 0 must have <= 1024 bytes, got 1025");
    expect_not_saved(&(ct_named){"__metadata__", t}, 1, NULL, 0, CT_ERR_RANGE,
                     "ct_safetensors_save: '__metadata__' cannot name a tensor");
    expect_not_saved(twice, 1, pairs, 2, CT_ERR_RANGE,
                     "ct_safetensors_save: metadata key 'k' is given twice");
    expect_not_saved(twice, 1, NULL, 2, CT_ERR_NULL, "ct_safetensors_save: 'metadata' is NULL");
    expect_not_saved(twice, 1, &good, -2, CT_ERR_RANGE,
                     "ct_safetensors_save: n_metadata must be 0..100000000, got -2");
    expect_not_saved(twice, 1, &(ct_pair){NULL, "v"}, 1, CT_ERR_NULL,
                     "ct_safetensors_save: metadata key 0 is NULL");
    expect_not_saved(twice, 1, &(ct_pair){"k", NULL}, 1, CT_ERR_NULL,
                     "ct_safetensors_save: metadata value 0 is NULL");
    expect_not_saved(twice, 1, &(ct_pair){"k", "\xed\xa0\x80"}, 1, CT_ERR_RANGE,
                     "ct_safetensors_save: metadata value '\\xed\\xa0\\x80' is not UTF-8 at byte "
                     "0");
    /* An error that came before is the cause that stays. */
    ct_error_clear();
    ct_fail(CT_ERR_SHAPE, "earlier");
    cr_expect_eq(ct_safetensors_save(in_folder("a.st"), null_value, 2, NULL, 0), CT_ERR_SHAPE);
    cr_expect_str_eq(ct_error_message(), "earlier (an earlier error; now ct_safetensors_save: "
                                         "value 1 is NULL)");
}

FOLDER_TEST(safetensors, a_value_that_cannot_be_computed_is_an_error) {
    const ct_named given[] = {{"b", enormous()}, {"a", ct_scalar(CT_F32, 1)}, {"c", enormous()}};
    ct_error_clear();
    cr_expect_eq(ct_safetensors_save(in_folder("a.st"), given, 2, NULL, 0), CT_ERR_MEMORY);
    cr_expect_not_null(strstr(ct_error_message(), "out of memory"));
    expect_not_saved(given, 3, NULL, 0, CT_ERR_RANGE,
                     "ct_safetensors_save: the data has more than 2^63-1 bytes");
}

FOLDER_TEST(safetensors, refuses_headers_above_the_limit) {
    size_t length = 100000000;
    char *text = malloc(length + 1);
    memset(text, 'x', length);
    text[length] = '\0';
    expect_not_saved(NULL, 0, &(ct_pair){"k", text}, 1, CT_ERR_RANGE,
                     "ct_safetensors_save: the header has 100000032 bytes, the format's limit is "
                     "100000000");
    free(text);
}

FOLDER_TEST(safetensors, misuse_is_an_error) {
    cr_expect_null(ct_safetensors_parse(NULL, golden_safetensors, 8));
    cr_expect_str_eq(ct_error_message(), "ct_safetensors_parse: 'name' is NULL");
    ct_error_clear();
    cr_expect_null(ct_safetensors_parse("m.st", NULL, 8));
    cr_expect_str_eq(ct_error_message(), "ct_safetensors_parse: 'bytes' is NULL");
    ct_error_clear();
    cr_expect_null(ct_safetensors_value(NULL, 0));
    cr_expect_str_eq(ct_error_message(), "ct_safetensors_value: 'file' is NULL");
    cr_expect_null(ct_safetensors_name(NULL, 0));
    cr_expect_str_eq(ct_error_message(), "ct_safetensors_value: 'file' is NULL (an earlier error; "
                                         "now ct_safetensors_name: 'file' is NULL)");
    ct_error_clear();
    ct_safetensors *file = parse_safetensors(golden_safetensors, sizeof golden_safetensors);
    cr_expect_null(ct_safetensors_value(file, -1));
    cr_expect_str_eq(ct_error_message(), "ct_safetensors_value: the file has 5 tensors, there is "
                                         "no number -1");
    ct_error_clear();
    cr_expect_null(ct_safetensors_name(file, 5));
    cr_expect_str_eq(ct_error_message(), "ct_safetensors_name: the file has 5 tensors, there is "
                                         "no number 5");
    cr_expect_eq(ct_error(), CT_ERR_RANGE);
    cr_expect_eq(ct_safetensors_find(file, NULL), -1);
    cr_expect_null(ct_safetensors_metadata(file, NULL));
    ct_safetensors_free(file);
    cr_expect_eq(ct_safetensors_count(NULL), 0);
    cr_expect_eq(ct_safetensors_find(NULL, "w"), -1);
    cr_expect_null(ct_safetensors_metadata(NULL, "w"));
    ct_safetensors_free(NULL);
}
