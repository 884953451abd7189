/* Safetensors files: every refusal of the reader with its exact text.
 * It knows no values; those are in test_safetensors.c.
 * Invariant: a row is a header, a length of data, a status and the message's words. */
#include "tests/support/safetensors_support.h"

/* --- Headers --------------------------------------------------------------- */

static const struct {
    const char *header;
    size_t data;
    ct_status status;
    const char *message; /* after "m.st: " */
} refusals[] = {
    /* JSON */
    {"", 0, CT_ERR_FORMAT, "JSON: expected '{', got the end at byte 8"},
    {" {}", 0, CT_ERR_FORMAT, "JSON: expected '{', got ' ' at byte 8"},
    {"[]", 0, CT_ERR_FORMAT, "JSON: expected '{', got '[' at byte 8"},
    {"{", 0, CT_ERR_FORMAT, "JSON: expected a string, got the end at byte 9"},
    {"{\"w\"}", 0, CT_ERR_FORMAT, "JSON: expected ':', got '}' at byte 12"},
    {"{\"w\":1}", 0, CT_ERR_FORMAT, "JSON: expected '{', got '1' at byte 13"},
    {"{w:1}", 0, CT_ERR_FORMAT, "JSON: expected a string, got 'w' at byte 9"},
    {"{} x", 0, CT_ERR_FORMAT, "JSON: expected only spaces, got 'x' at byte 11"},
    {"{}\n", 0, CT_ERR_FORMAT, "JSON: expected only spaces, got '\\x0a' at byte 10"},
    {"{\"w", 0, CT_ERR_FORMAT, "JSON: the string at byte 9 is not closed"},
    {"{\"w\\", 0, CT_ERR_FORMAT, "JSON: bad escape '\\x5c' in a string at byte 11"},
    {"{\"w\\q\":1}", 0, CT_ERR_FORMAT, "JSON: bad escape '\\x5cq\":1}' in a string at byte 11"},
    {"{\"w\\u12g4\":1}", 0, CT_ERR_FORMAT, "JSON: bad escape '\\x5cu12g4' in a string at byte 11"},
    {"{\"\\u0000\":1}", 0, CT_ERR_FORMAT, "JSON: bad escape '\\x5cu0000' in a string at byte 10"},
    {"{\"\\ud800\":1}", 0, CT_ERR_FORMAT, "JSON: bad escape '\\x5cud800' in a string at byte 10"},
    {"{\"\\udc00\\ud800\":1}", 0, CT_ERR_FORMAT,
     "JSON: bad escape '\\x5cudc00' in a string at byte 10"},
    {"{\"\\ud800\\u0041\":1}", 0, CT_ERR_FORMAT,
     "JSON: bad escape '\\x5cud800' in a string at byte 10"},
    {"{\"\\ud800\\ue000\":1}", 0, CT_ERR_FORMAT,
     "JSON: bad escape '\\x5cud800' in a string at byte 10"},
    {"{\"\n\":1}", 0, CT_ERR_FORMAT, "JSON: control character '\\x0a' in a string at byte 10"},
    {"{\"\xff\":1}", 0, CT_ERR_FORMAT, "JSON: invalid UTF-8 '\\xff' in a string at byte 10"},
    {"{\"\xc0\x80\":1}", 0, CT_ERR_FORMAT, "JSON: invalid UTF-8 '\\xc0' in a string at byte 10"},
    {"{\"\xe0\x9f\xbf\":1}", 0, CT_ERR_FORMAT,
     "JSON: invalid UTF-8 '\\xe0' in a string at byte 10"},
    {"{\"\xf0\x8f\xbf\xbf\":1}", 0, CT_ERR_FORMAT,
     "JSON: invalid UTF-8 '\\xf0' in a string at byte 10"},
    {"{\"\xed\xa0\x80\":1}", 0, CT_ERR_FORMAT,
     "JSON: invalid UTF-8 '\\xed' in a string at byte 10"},
    {"{\"\xf4\x90\x80\x80\":1}", 0, CT_ERR_FORMAT,
     "JSON: invalid UTF-8 '\\xf4' in a string at byte 10"},
    {"{\"\xe2\x82\":1}", 0, CT_ERR_FORMAT, "JSON: invalid UTF-8 '\\xe2' in a string at byte 10"},
    {"{\xc3\xbc:1}", 0, CT_ERR_FORMAT, "JSON: expected a string, got '\\xc3\\xbc' at byte 9"},
    {ONE("U8", "[]", "[0,1]") ",", 1, CT_ERR_FORMAT,
     "JSON: expected only spaces, got ',' at byte 60"},
    {"{" ENTRY("w", "U8", "[]", "[0,1]") ",}", 1, CT_ERR_FORMAT,
     "JSON: expected a string, got '}' at byte 60"},
    {"{" ENTRY("w", "U8", "[1,]", "[0,1]") "}", 1, CT_ERR_FORMAT,
     "'w'.shape[1] must be a plain non-negative integer, got ']'"},
    {"{" ENTRY("w", "U8", "[1", "[0,1]") "}", 1, CT_ERR_FORMAT,
     "'w'.shape[1] must be a plain non-negative integer, got '\"data_offsets\"'"},
    {"{\"w\":{\"shape\":[1", 1, CT_ERR_FORMAT, "JSON: expected ',' or ']', got the end at byte 24"},
    {"{\"w\":{\"shape\":[1,", 1, CT_ERR_FORMAT, "JSON: expected a number, got the end at byte 25"},
    {"{\"w\":{\"shape\":[1 2]}}", 1, CT_ERR_FORMAT,
     "JSON: expected ',' or ']', got '2' at byte 25"},
    {"{\"w\":{\"shape\":2}}", 1, CT_ERR_FORMAT, "JSON: expected '[', got '2' at byte 22"},
    {"{\"w\":{\"dtype\":4}}", 1, CT_ERR_FORMAT, "JSON: expected a string, got '4' at byte 22"},
    /* nesting and keys */
    {"{\"w\":{\"a\":{\"b\":{\"c\":{\"d\":{}}}}}}", 0, CT_ERR_FORMAT, "'w': key 'a' is unknown"},
    {"{\"w\":{\"shape\":[[[[[1]]]]]}}", 0, CT_ERR_FORMAT,
     "'w'.shape[0] must be a plain non-negative integer, got '['"},
    {"{" ENTRY("w", "U8", "[]", "[0,1]") "," ENTRY("a", "U8", "[]", "[1,2]") "," ENTRY(
         "\\u0077", "U8", "[]", "[2,3]") "}",
     3, CT_ERR_FORMAT, "duplicate tensor name 'w' at byte 111"},
    {"{\"w\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", 0, CT_ERR_FORMAT,
     "'w': key 'dtype' is given twice"},
    {"{\"w\":{\"shape\":[],\"shape\":[]}}", 0, CT_ERR_FORMAT, "'w': key 'shape' is given twice"},
    {"{\"w\":{\"data_offsets\":[0,0],\"data_offsets\":1}}", 0, CT_ERR_FORMAT,
     "'w': key 'data_offsets' is given twice"},
    {"{\"w\":{}}", 0, CT_ERR_FORMAT, "'w': key 'dtype' missing"},
    {"{\"w\":{\"dtype\":\"U8\"}}", 0, CT_ERR_FORMAT, "'w': key 'shape' missing"},
    {"{\"w\":{\"dtype\":\"U8\",\"shape\":[]}}", 0, CT_ERR_FORMAT,
     "'w': key 'data_offsets' missing"},
    /* metadata */
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, CT_ERR_FORMAT,
     "'__metadata__' is given twice"},
    {"{\"__metadata__\":{\"a\":\"1\",\"\\u0061\":\"2\"}}", 0, CT_ERR_FORMAT,
     "metadata key 'a' is given twice"},
    {"{\"__metadata__\":{\"a\":1}}", 0, CT_ERR_FORMAT,
     "JSON: expected a string, got '1' at byte 29"},
    {"{\"__metadata__\":[]}", 0, CT_ERR_FORMAT, "JSON: expected '{', got '[' at byte 24"},
    {"{\"__metadata__\":{\"a\":\"b\"", 0, CT_ERR_FORMAT,
     "JSON: expected '}', got the end at byte 32"},
    /* shapes */
    {ONE("F32", "[1e3]", "[0,4000]"), 4000, CT_ERR_FORMAT,
     "'w'.shape[0] must be a plain non-negative integer, got '1e3'"},
    {ONE("F32", "[2,-1]", "[0,4]"), 4, CT_ERR_FORMAT,
     "'w'.shape[1] must be a plain non-negative integer, got '-1'"},
    {ONE("F32", "[-0]", "[0,0]"), 0, CT_ERR_FORMAT,
     "'w'.shape[0] must be a plain non-negative integer, got '-0'"},
    {ONE("F32", "[1.0]", "[0,4]"), 4, CT_ERR_FORMAT,
     "'w'.shape[0] must be a plain non-negative integer, got '1.0'"},
    {ONE("F32", "[\"2\"]", "[0,8]"), 8, CT_ERR_FORMAT,
     "'w'.shape[0] must be a plain non-negative integer, got '\"2\"'"},
    {ONE("F32", "[01]", "[0,4]"), 4, CT_ERR_FORMAT,
     "'w'.shape[0] must be a plain non-negative integer, got '01'"},
    {ONE("F32", "[null]", "[0,4]"), 4, CT_ERR_FORMAT,
     "'w'.shape[0] must be a plain non-negative integer, got 'null'"},
    {ONE("F32", "[9223372036854775808]", "[0,4]"), 4, CT_ERR_FORMAT,
     "'w'.shape[0] must be a plain non-negative integer, got '9223372036854775808'"},
    {ONE("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, CT_ERR_SHAPE, "'w': rank must be 0..8, got 9"},
    {ONE("F32", "[65536,65536,65536,65536]", "[0,0]"), 0, CT_ERR_SHAPE,
     "'w': shape [65536,65536,65536,65536] has more than 2^63-1 elements (zero dims not "
     "counted)"},
    {ONE("F32", "[4194305,4194305,211106198978564]", "[0,16]"), 16, CT_ERR_SHAPE,
     "'w': shape [4194305,4194305,211106198978564] has more than 2^63-1 elements (zero dims not "
     "counted)"},
    {ONE("F64", "[4611686018427387904]", "[0,0]"), 0, CT_ERR_MEMORY,
     "'w': out of memory: [4611686018427387904] of f64 has more than 2^63-1 bytes"},
    /* dtypes */
    {ONE("F9", "[]", "[0,4]"), 4, CT_ERR_DTYPE, "'w': unknown dtype 'F9'"},
    {ONE("f32", "[]", "[0,4]"), 4, CT_ERR_DTYPE, "'w': unknown dtype 'f32'"},
    {ONE("BF1", "[]", "[0,2]"), 2, CT_ERR_DTYPE, "'w': unknown dtype 'BF1'"},
    {ONE("BF16", "[2]", "[0,2]"), 2, CT_ERR_FORMAT,
     "'w': [2] BF16 needs 4 bytes, data_offsets span 2"},
    {ONE("BOOL", "[2]", "[0,8]"), 8, CT_ERR_FORMAT,
     "'w': [2] BOOL needs 2 bytes, data_offsets span 8"},
    {ONE("F8_E4M3", "[3,2]", "[0,7]"), 7, CT_ERR_FORMAT,
     "'w': [3,2] F8_E4M3 needs 6 bytes, data_offsets span 7"},
    {ONE("F4", "[3]", "[0,2]"), 2, CT_ERR_FORMAT,
     "'w': [3] F4 is no whole number of bytes below 2^63"},
    {ONE("C64", "[1152921504606846976]", "[0,0]"), 0, CT_ERR_FORMAT,
     "'w': [1152921504606846976] C64 is no whole number of bytes below 2^63"},
    {ONE("F16", "[4611686018427387903]", "[0,0]"), 0, CT_ERR_MEMORY,
     "'w': out of memory: [4611686018427387903] of f32 has more than 2^63-1 bytes"},
    /* data */
    {ONE("F32", "[2,3]", "[0,16]"), 16, CT_ERR_FORMAT,
     "'w': [2,3] F32 needs 24 bytes, data_offsets span 16"},
    {ONE("F32", "[2,3]", "[24,0]"), 24, CT_ERR_FORMAT,
     "'w': data_offsets run backwards, from 24 to 0"},
    {ONE("F32", "[]", "[0]"), 4, CT_ERR_FORMAT, "'w': data_offsets must be 2 numbers, got 1"},
    {ONE("F32", "[]", "[0,4,8]"), 4, CT_ERR_FORMAT, "'w': data_offsets must be 2 numbers, got 3"},
    {ONE("F32", "[]", "[0,-4]"), 4, CT_ERR_FORMAT,
     "'w'.data_offsets[1] must be a plain non-negative integer, got '-4'"},
    {ONE("F32", "[]", "[4,8]"), 8, CT_ERR_FORMAT, "'w' begins at 4, expected 0 (overlap or gap)"},
    {"{" ENTRY("a", "F32", "[6]", "[0,24]") "," ENTRY("b", "F32", "[2]", "[16,24]") "}", 24,
     CT_ERR_FORMAT, "'b' begins at 16, expected 24 (overlap or gap)"},
    {"{" ENTRY("b", "F32", "[1]", "[8,12]") "," ENTRY("a", "F32", "[1]", "[0,4]") "}", 12,
     CT_ERR_FORMAT, "'b' begins at 8, expected 4 (overlap or gap)"},
    {ONE("F32", "[2]", "[0,8]"), 7, CT_ERR_FORMAT, "'w' ends at 8, the data has 7 bytes"},
    {ONE("F32", "[2]", "[0,8]"), 9, CT_ERR_FORMAT, "the data has 9 bytes, the tensors take 8"},
    {"{}", 1, CT_ERR_FORMAT, "the data has 1 bytes, the tensors take 0"},
    {ONE("U8", "[9223372036854775807]", "[0,9223372036854775807]"), 1, CT_ERR_FORMAT,
     "'w' ends at 9223372036854775807, the data has 1 bytes"},
};

FOLDER_TEST(safetensors_refusals, refuses_with_a_reason) {
    uint8_t bytes[8000];
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        size_t length = build_safetensors(bytes, refusals[i].header, refusals[i].data);
        cr_expect_null(parse_safetensors(bytes, length), "%s", refusals[i].header);
        cr_expect_eq(ct_error(), refusals[i].status, "%s", ct_error_message());
        cr_expect_str_eq(ct_error_message() + 6, refusals[i].message);
    }
}

FOLDER_TEST(safetensors_refusals, refuses_other_files) {
    static const struct {
        const char *bytes;
        size_t length;
        const char *message;
    } rows[] = {
        {"", 0, "m.st: header length needs 8 bytes, file has 0"},
        {"1234567", 7, "m.st: header length needs 8 bytes, file has 7"},
        {"\xff\xe7\x76\x48\x17\0\0\0{}", 10,
         "m.st: not a safetensors file: header length 99999999999 exceeds limit 100000000"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10,
         "m.st: not a safetensors file: header length 18446744073709551615 exceeds limit "
         "100000000"},
        {"\x03\0\0\0\0\0\0\0{}", 10, "m.st: header length 3 exceeds the 2 bytes that follow"},
        {"\x01\xe1\xf5\x05\0\0\0\0{}", 10,
         "m.st: not a safetensors file: header length 100000001 exceeds limit 100000000"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_null(parse_safetensors((const uint8_t *)rows[i].bytes, rows[i].length));
        cr_expect_eq(ct_error(), CT_ERR_FORMAT);
        cr_expect_str_eq(ct_error_message(), rows[i].message);
    }
}

FOLDER_TEST(safetensors_refusals, refuses_long_names) {
    uint8_t bytes[3000];
    char header[2500], name[1100];
    memset(name, 'n', 1025);
    name[1025] = '\0';
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", name);
    cr_expect_null(parse_safetensors(bytes, build_safetensors(bytes, header, 1)));
    name[64] = '\0';
    char expected[1200];
    snprintf(expected, sizeof expected,
             "m.st: a tensor's name must have <= 1024 bytes, got 1025: '%s...'", name);
    cr_expect_str_eq(ct_error_message(), expected);
}
