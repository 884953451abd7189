/* .npy files: every refusal with its exact text, and what is not refused.
 * It knows no values; those are in test_npy.c.
 * Invariant: a row is a header, a length of data, a status and the message's words. */
#include "tests/support/npy_support.h"

/* --- Headers ----------------------------------------------------------------------------- */

#define HEADER(dtype, shape) \
    "{'descr': '" dtype "', 'fortran_order': False, 'shape': " shape ", }\n"
#define SUPPORTED "is not supported (f2, f4, f8, i4, i8, u1, u4 and b1 are)"

static const struct {
    const char *header;
    size_t data;
    ct_status status;
    const char *message; /* after "a.npy: " */
} refusals[] = {
    /* not a dict, or not this dict */
    {"", 0, CT_ERR_FORMAT, "header: expected '{', got the end at byte 10"},
    {"[1, 2]", 0, CT_ERR_FORMAT, "header: expected '{', got '[' at byte 10"},
    {"{", 0, CT_ERR_FORMAT, "header: expected a key, got the end at byte 11"},
    {"{}", 0, CT_ERR_FORMAT, "header key 'descr' missing"},
    {"{'descr': '<f4', 'fortran_order': False}", 0, CT_ERR_FORMAT, "header key 'shape' missing"},
    {"{'descr': '<f4', 'shape': ()}", 0, CT_ERR_FORMAT, "header key 'fortran_order' missing"},
    {"{'descr': '<f4', 'descr': '<f4'}", 0, CT_ERR_FORMAT, "header key 'descr' is given twice"},
    {"{'descr': '<f4', 'more': 1}", 0, CT_ERR_FORMAT, "header key 'more' is unknown"},
    {"{'\x1b[31m': 1}", 0, CT_ERR_FORMAT, "header key '\\x1b[31m' is unknown"},
    {"{descr: '<f4'}", 0, CT_ERR_FORMAT, "header: expected a key, got 'descr' at byte 11"},
    {"{'descr' '<f4'}", 0, CT_ERR_FORMAT, "header: expected ':', got '\\x27<f4\\x27' at byte 19"},
    {"{'descr': '<f4' 'shape': ()}", 0, CT_ERR_FORMAT,
     "header: expected ',' or '}', got '\\x27shape\\x27' at byte 26"},
    {"{'descr': '<f4", 0, CT_ERR_FORMAT, "header: a dtype string at byte 20 is not closed"},
    {"{'descr", 0, CT_ERR_FORMAT, "header: a key at byte 11 is not closed"},
    {"{'descr': '<\\x664'}", 0, CT_ERR_FORMAT, "header: a dtype string at byte 20 has an escape"},
    {"{'fortran_order': 0}", 0, CT_ERR_FORMAT,
     "header: expected True or False, got '0' at byte 28"},
    {HEADER("<f4", "()") "x", 0, CT_ERR_FORMAT,
     "header: expected nothing after the dict, got 'x' at byte 66"},
    {"{'descr': '<f4', 'fortran_order': Falsey, 'shape': ()}", 4, CT_ERR_FORMAT,
     "header: expected ',' or '}', got 'y' at byte 49"},
    /* dtypes */
    {HEADER("|O", "()"), 8, CT_ERR_DTYPE, "dtype '|O' holds Python objects (pickle); refused"},
    {HEADER("O", "()"), 8, CT_ERR_DTYPE, "dtype 'O' holds Python objects (pickle); refused"},
    {HEADER(">c8", "()"), 8, CT_ERR_DTYPE, "dtype '>c8' " SUPPORTED},
    {HEADER("<i2", "()"), 2, CT_ERR_DTYPE, "dtype '<i2' " SUPPORTED},
    {HEADER("|i1", "()"), 1, CT_ERR_DTYPE, "dtype '|i1' " SUPPORTED},
    {HEADER("<u8", "()"), 8, CT_ERR_DTYPE, "dtype '<u8' " SUPPORTED},
    {HEADER("<U4", "()"), 16, CT_ERR_DTYPE, "dtype '<U4' " SUPPORTED},
    {HEADER("<M8[s]", "()"), 8, CT_ERR_DTYPE, "dtype '<M8[s]' " SUPPORTED},
    {HEADER("", "()"), 1, CT_ERR_DTYPE, "dtype '' " SUPPORTED},
    {HEADER("<", "()"), 1, CT_ERR_DTYPE, "dtype '<' " SUPPORTED},
    {HEADER(" ", "()"), 1, CT_ERR_DTYPE, "dtype ' ' " SUPPORTED},
    {HEADER("f4 f", "()"), 1, CT_ERR_DTYPE, "dtype 'f4 f' " SUPPORTED},
    {HEADER("<f44", "()"), 1, CT_ERR_DTYPE, "dtype '<f44' " SUPPORTED},
    {HEADER("<<f4", "()"), 4, CT_ERR_DTYPE, "dtype '<<f4' " SUPPORTED},
    {HEADER("<float32", "()"), 4, CT_ERR_DTYPE, "dtype '<float32' " SUPPORTED},
    {"{'descr': [('a', '<f4')]}", 4, CT_ERR_DTYPE,
     "dtype '[(\\x27a\\x27, \\x27<f4\\x27)]}' is structured; refused"},
    {"{'descr': 5}", 4, CT_ERR_FORMAT, "header: expected a dtype string, got '5' at byte 20"},
    /* shapes */
    {HEADER("<f4", "(-1,)"), 4, CT_ERR_SHAPE,
     "shape[0] must be an integer in 0..2^63-1, got '-1' at byte 61"},
    {HEADER("<f4", "(2.0,)"), 8, CT_ERR_SHAPE,
     "shape[0] must be an integer in 0..2^63-1, got '2.0' at byte 61"},
    {HEADER("<f4", "(1, 2**70)"), 8, CT_ERR_SHAPE,
     "shape[1] must be an integer in 0..2^63-1, got '2**70' at byte 64"},
    {HEADER("<f4", "(9223372036854775808,)"), 8, CT_ERR_SHAPE,
     "shape[0] must be an integer in 0..2^63-1, got '9223372036854775808' at byte 61"},
    {HEADER("<f4", "(007,)"), 8, CT_ERR_SHAPE,
     "shape[0] must be an integer in 0..2^63-1, got '007' at byte 61"},
    {HEADER("<f4", "(L,)"), 8, CT_ERR_SHAPE,
     "shape[0] must be an integer in 0..2^63-1, got 'L' at byte 61"},
    {HEADER("<f4", "(3LL,)"), 12, CT_ERR_SHAPE,
     "shape[0] must be an integer in 0..2^63-1, got '3LL' at byte 61"},
    {HEADER("<f4", "(2L, -3L)"), 12, CT_ERR_SHAPE,
     "shape[1] must be an integer in 0..2^63-1, got '-3L' at byte 65"},
    {HEADER("<f4", "(3L)"), 12, CT_ERR_FORMAT,
     "header: expected ',' after the one number of shape, got ',' at byte 64"},
    {HEADER("<f4", "(,)"), 8, CT_ERR_SHAPE,
     "shape[0] must be an integer in 0..2^63-1, got ',' at byte 61"},
    {HEADER("<f4", "((((1,),),),)"), 8, CT_ERR_SHAPE,
     "shape[0] must be an integer in 0..2^63-1, got '(' at byte 61"},
    {HEADER("<f4", "(3)"), 12, CT_ERR_FORMAT,
     "header: expected ',' after the one number of shape, got ',' at byte 63"},
    {HEADER("<f4", "3"), 12, CT_ERR_FORMAT, "header: expected a tuple, got '3' at byte 60"},
    {HEADER("<f4", "(1 2)"), 12, CT_ERR_FORMAT, "header: expected ',' or ')', got '2' at byte 63"},
    {"{'shape': (1,", 12, CT_ERR_FORMAT, "header: expected ')', got the end at byte 23"},
    {HEADER("<f4", "(1,1,1,1,1,1,1,1,1)"), 4, CT_ERR_SHAPE, "rank must be 0..8, got 9"},
    {HEADER("<f4", "(4294967296, 4294967296)"), 0, CT_ERR_SHAPE,
     "shape [4294967296,4294967296] has more than 2^63-1 elements (zero dims not counted)"},
    {HEADER("<f4", "(0, 4611686018427387904, 8)"), 0, CT_ERR_SHAPE,
     "shape [0,4611686018427387904,8] has more than 2^63-1 elements (zero dims not counted)"},
    {HEADER("<f8", "(4611686018427387904,)"), 0, CT_ERR_MEMORY,
     "out of memory: [4611686018427387904] of f64 has more than 2^63-1 bytes"},
    /* data */
    {HEADER("<f4", "(10, 12)"), 476, CT_ERR_FORMAT, "data needs 480 bytes, file has 476"},
    {HEADER("<f2", "(10, 12)"), 480, CT_ERR_FORMAT, "data needs 240 bytes, file has 480"},
    {HEADER(">i4", "(2L, 12L)"), 95, CT_ERR_FORMAT, "data needs 96 bytes, file has 95"},
    {HEADER("?", "(3,)"), 2, CT_ERR_FORMAT, "data needs 3 bytes, file has 2"},
    {HEADER("<f4", "(10, 12)"), 484, CT_ERR_FORMAT, "data needs 480 bytes, file has 484"},
    {HEADER("<i4", "(2305843009213693951,)"), 0, CT_ERR_MEMORY,
     "out of memory: [2305843009213693951] of i64 has more than 2^63-1 bytes"},
    {HEADER("|u1", "(1000000000000,)"), 0, CT_ERR_FORMAT,
     "data needs 1000000000000 bytes, file has 0"},
};

FOLDER_TEST(npy_refusals, refuses_with_a_reason) {
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        size_t length = build_npy(bytes, refusals[i].header, refusals[i].data);
        cr_expect_null(parse_npy(bytes, length), "%s", refusals[i].header);
        cr_expect_eq(ct_error(), refusals[i].status, "%s", ct_error_message());
        cr_expect_str_eq(ct_error_message() + 7, refusals[i].message);
    }
}

static const struct {
    const char *bytes;
    size_t length;
    const char *message;
} framing[] = {
    {"", 0, "npy header needs 10 bytes, file has 0"},
    {"\x93NUM", 4, "npy header needs 10 bytes, file has 4"},
    {"\x93NUMPY\x01", 7, "npy header needs 10 bytes, file has 7"},
    {"\x93NUMPY\x01\x00\x01", 9, "npy header needs 10 bytes, file has 9"},
    {"\x93NUMPY\x02\x00\x01\x00\x00", 11, "npy header needs 12 bytes, file has 11"},
    {"x", 1, "expected npy magic '\\x93NUMPY', got 'x' at byte 0"},
    {"text", 4, "expected npy magic '\\x93NUMPY', got 'text' at byte 0"},
    {"PK\x03\x04xyz", 7,
     "expected npy magic '\\x93NUMPY', got 'PK\\x03\\x04xy' at byte 0 (a zip or npz archive; "
     "unpack it)"},
    {"\x1f\x8b\x08\x00\x00\x00", 6,
     "expected npy magic '\\x93NUMPY', got '\\x1f\\x8b\\x08\\x00\\x00\\x00' at byte 0 (gzip; run "
     "gunzip)"},
    {"\x93NUMPY\x09\x00\x00\x00", 10, "unsupported npy version 9.0 (1.0, 2.0, 3.0 known)"},
    {"\x93NUMPY\x00\x00\x00\x00", 10, "unsupported npy version 0.0 (1.0, 2.0, 3.0 known)"},
    {"\x93NUMPY\x01\x01\x00\x00", 10, "unsupported npy version 1.1 (1.0, 2.0, 3.0 known)"},
    {"\x93NUMPY\x02\x00\xff\xff\xff\xff", 12, "header length must be <= 65536, got 4294967295"},
    {"\x93NUMPY\x03\x00\x01\x00\x01\x00", 12, "header length must be <= 65536, got 65537"},
    {"\x93NUMPY\x01\x00\x76\x00{", 11, "header needs 118 bytes at byte 10, file has 1"},
};

FOLDER_TEST(npy_refusals, refuses_other_files) {
    for (size_t i = 0; i < sizeof framing / sizeof *framing; i++) {
        cr_expect_null(parse_npy((const uint8_t *)framing[i].bytes, framing[i].length));
        cr_expect_eq(ct_error(), CT_ERR_FORMAT);
        cr_expect_str_eq(ct_error_message() + 7, framing[i].message);
    }
}

FOLDER_TEST(npy_refusals, accepts_what_python_would) {
    static const char *const headers[] = {
        "{'descr':'<f4','fortran_order':False,'shape':(1,)}",
        "{\"shape\": (1,), \"fortran_order\": False, \"descr\": \"<f4\"}",
        " \t\n{ 'descr' : '<f4' , 'fortran_order' : True , 'shape' : ( 1 , ) , } \n\n",
        "{'descr': '=f4', 'fortran_order': False, 'shape': (1, 1)}",
        "{'descr': '=f4', 'fortran_order': True, 'shape': ()}",
        "{u'descr': u\"<f4\", 'fortran_order': False, 'shape': (1L,)}",
        "{'descr': 'f4', 'fortran_order': False, 'shape': (1L, 1, 1L)}",
    };
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        ct_tensor *t = parse_npy(bytes, build_npy(bytes, headers[i], 4));
        cr_assert_not_null(t, "%s", ct_error_message());
        cr_expect_eq(ct_dtype_of(t), CT_F32);
        cr_expect_eq(ct_numel(t), 1);
    }
}

/* Each word that numpy.dtype takes for a type, its size in the file, and ours. */
FOLDER_TEST(npy_refusals, accepts_the_words_of_numpy) {
    static const struct {
        const char *words;
        size_t size;
        ct_dtype dtype;
    } rows[] = {
        {"f2 <f2 >f2 =f2 |f2 e <e >e float16 half", 2, CT_F32},
        {"f4 <f4 >f4 =f4 |f4 f <f >f float32 single", 4, CT_F32},
        {"f8 <f8 >f8 =f8 |f8 d <d >d float64 double float", 8, CT_F64},
        {"i4 <i4 >i4 =i4 |i4 i <i >i int32", 4, CT_I64},
        {"u4 <u4 >u4 =u4 |u4 I <I >I uint32", 4, CT_I64},
        {"i8 <i8 >i8 =i8 |i8 l q <q >q int64 int", 8, CT_I64},
        {"u1 <u1 >u1 =u1 |u1 B <B >B uint8", 1, CT_U8},
        {"b1 <b1 >b1 =b1 |b1 ? |? >? bool", 1, CT_U8},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char words[100], header[100];
        uint8_t bytes[200];
        strcpy(words, rows[i].words);
        for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
            snprintf(header, sizeof header,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (3,)}", word);
            ct_tensor *t = parse_npy(bytes, build_npy(bytes, header, 3 * rows[i].size));
            cr_assert_not_null(t, "%s: %s", word, ct_error_message());
            cr_expect_eq(ct_dtype_of(t), rows[i].dtype, "%s", word);
        }
    }
}

FOLDER_TEST(npy_refusals, takes_no_null) {
    ct_error_clear();
    cr_expect_null(ct_npy_parse(NULL, (const uint8_t *)"text", 4));
    cr_expect_str_eq(ct_error_message(), "ct_npy_parse: 'name' is NULL");
    ct_error_clear();
    cr_expect_null(ct_npy_parse("a.npy", NULL, 5));
    cr_expect_str_eq(ct_error_message(), "ct_npy_parse: 'bytes' is NULL");
    ct_error_clear();
    cr_expect_eq(ct_npy_save("a.npy", NULL), CT_ERR_NULL);
    cr_expect_str_eq(ct_error_message(), "ct_npy_save: 't' is NULL");
    ct_error_clear();
    cr_expect_null(ct_npy_load(NULL));
    cr_expect_str_eq(ct_error_message(), "ct_npy_load: 'path' is NULL");
    /* The first cause stays. */
    cr_expect_eq(ct_npy_save("a.npy", NULL), CT_ERR_NULL);
    cr_expect_str_eq(ct_error_message(), "ct_npy_load: 'path' is NULL (an earlier error; now "
                                         "ct_npy_save: 't' is NULL)");
}
