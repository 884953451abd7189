/* The header of a .npy file: a parser for the one Python dict that the format allows.
 * It is no Python: three keys, strings without escapes, True, False and a tuple of plain numbers,
 * which Python 2 writes as 3L.
 * Invariant: the cursor only moves forward and never past the end of the text. */
#include "tensor/io/npy_header.h"

#include "tensor/base/text.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name; /* of the file */
    const char *text;
    size_t length, at;
    size_t start; /* where the text begins in the file */
} cursor;

typedef struct {
    const char *bytes;
    size_t length;
} slice;

static bool slice_is(slice s, const char *text) {
    return s.length == strlen(text) && memcmp(s.bytes, text, s.length) == 0;
}

/* The next word, or one separator; "" at the end. */
static slice next_word(const cursor *c) {
    slice s = {c->text + c->at, 0};
    while (c->at + s.length < c->length) {
        bool separator = memchr(" \t\n,:(){}[]", s.bytes[s.length], 11) != NULL;
        if (separator && s.length > 0) break;
        s.length++;
        if (separator) break;
    }
    return s;
}

static ct_status expected(const cursor *c, const char *what) {
    if (c->at == c->length) {
        return ct_fail(CT_ERR_FORMAT, "%s: header: expected %s, got the end at byte %zu", c->name,
                       what, c->start + c->at);
    }
    slice got = next_word(c);
    return ct_fail(CT_ERR_FORMAT, "%s: header: expected %s, got '%s' at byte %zu", c->name, what,
                   cti_show(got.bytes, got.length).text, c->start + c->at);
}

static void skip_space(cursor *c) {
    while (c->at < c->length && memchr(" \t\n", c->text[c->at], 3)) c->at++;
}

static bool accept(cursor *c, char wanted) {
    skip_space(c);
    if (c->at == c->length || c->text[c->at] != wanted) return false;
    c->at++;
    return true;
}

static bool accept_word(cursor *c, const char *word) {
    size_t length = strlen(word);
    skip_space(c);
    if (c->length - c->at < length || memcmp(c->text + c->at, word, length) != 0) return false;
    c->at += length;
    return true;
}

static ct_status parse_string(cursor *c, const char *what, slice *out) {
    /* u'f4' is Python too. */
    if (accept_word(c, "u'") || accept_word(c, "u\"")) c->at--;
    char quote = c->at < c->length ? c->text[c->at] : '\0';
    if (quote != '\'' && quote != '"') return expected(c, what);
    size_t end = c->at + 1;
    while (end < c->length && c->text[end] != quote && c->text[end] != '\\') end++;
    if (end == c->length || c->text[end] == '\\') {
        return ct_fail(CT_ERR_FORMAT, "%s: header: %s at byte %zu %s", c->name, what,
                       c->start + c->at, end == c->length ? "is not closed" : "has an escape");
    }
    *out = (slice){c->text + c->at + 1, end - c->at - 1};
    c->at = end + 1;
    return CT_OK;
}

/* --- The three values --------------------------------------------------------------------- */

/* numpy.dtype's words: codes, which may have a byte order in front, and names, which may not. The
 * integers of 8 and 16 bits that are missing would take more than 4 times their file as i64. */
static const struct {
    const char *codes, *names;
    const cti_stored *stored;
} dtypes[] = {
    {"f2 e", "float16 half", &cti_stored_f16},
    {"f4 f", "float32 single", &cti_stored_f32},
    {"f8 d", "float64 double float", &cti_stored_f64},
    {"i4 i", "int32", &cti_stored_i32},
    {"i8 l q", "int64 int", &cti_stored_i64},
    {"u1 B", "uint8", &cti_stored_u8},
    {"u4 I", "uint32", &cti_stored_u32},
    {"b1 ?", "bool", &cti_stored_bool},
};

static bool is_one_of(slice word, const char *words) {
    while (word.length > 0 && *words) {
        size_t length = strcspn(words, " ");
        if (length == word.length && memcmp(words, word.bytes, length) == 0) return true;
        words += length + (words[length] == ' ');
    }
    return false;
}

static ct_status refused_dtype(const cursor *c, slice descr, char kind) {
    const char *why = kind == 'O' ? "holds Python objects (pickle); refused"
                                  : "is not supported (f2, f4, f8, i4, i8, u1, u4 and b1 are)";
    return ct_fail(CT_ERR_DTYPE, "%s: dtype '%s' %s", c->name,
                   cti_show(descr.bytes, descr.length).text, why);
}

static ct_status parse_dtype(cursor *c, cti_npy_header *out) {
    skip_space(c);
    if (c->at < c->length && c->text[c->at] == '[') {
        return ct_fail(CT_ERR_DTYPE, "%s: dtype '%s' is structured; refused", c->name,
                       cti_show(c->text + c->at, c->length - c->at).text);
    }
    slice descr = {0};
    ct_status status = parse_string(c, "a dtype string", &descr);
    if (status != CT_OK) return status;
    size_t order = descr.length > 0 && memchr("<>=|", descr.bytes[0], 4) ? 1 : 0;
    slice code = {descr.bytes + order, descr.length - order};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (!is_one_of(code, dtypes[i].codes) && !is_one_of(descr, dtypes[i].names)) continue;
        out->stored = dtypes[i].stored;
        out->swapped = order && descr.bytes[0] == '>' && out->stored->size > 1;
        return CT_OK;
    }
    return refused_dtype(c, descr, code.length > 0 ? code.bytes[0] : '\0');
}

static ct_status parse_order(cursor *c, bool *out) {
    *out = accept_word(c, "True");
    return *out || accept_word(c, "False") ? CT_OK : expected(c, "True or False");
}

static ct_status parse_shape(cursor *c, ct_shape *out) {
    if (!accept(c, '(')) return expected(c, "a tuple");
    bool comma = true;
    int rank = 0;
    while (!accept(c, ')')) {
        if (!comma) return expected(c, "',' or ')'");
        slice number = next_word(c);
        bool is_long = number.length > 1 && number.bytes[number.length - 1] == 'L';
        int64_t dim;
        if (!cti_whole_number(number.bytes, number.length - is_long, &dim)) {
            if (number.length == 0) return expected(c, "')'");
            return ct_fail(CT_ERR_SHAPE,
                           "%s: shape[%d] must be an integer in 0..2^63-1, got '%s' "
                           "at byte %zu",
                           c->name, rank, cti_show(number.bytes, number.length).text,
                           c->start + c->at);
        }
        if (rank < CT_MAX_RANK) out->dims[rank] = dim;
        rank++;
        c->at += number.length;
        comma = accept(c, ',');
    }
    if (rank > CT_MAX_RANK) {
        return ct_fail(CT_ERR_SHAPE, "%s: rank must be 0..%d, got %d", c->name, CT_MAX_RANK, rank);
    }
    /* In Python (3) is a number, (3,) a tuple. */
    if (rank == 1 && !comma) return expected(c, "',' after the one number of shape");
    out->rank = rank;
    return CT_OK;
}

/* --- The dict ----------------------------------------------------------------------------- */

static const char *const keys[] = {"descr", "fortran_order", "shape"};
enum { KEYS = 3 };

static ct_status parse_member(cursor *c, bool seen[KEYS], cti_npy_header *out) {
    slice key = {0};
    ct_status status = parse_string(c, "a key", &key);
    if (status != CT_OK) return status;
    int i = 0;
    while (i < KEYS && !slice_is(key, keys[i])) i++;
    if (i == KEYS || seen[i]) {
        return ct_fail(CT_ERR_FORMAT, "%s: header key '%s' %s", c->name,
                       cti_show(key.bytes, key.length).text,
                       i == KEYS ? "is unknown" : "is given twice");
    }
    seen[i] = true;
    if (!accept(c, ':')) return expected(c, "':'");
    if (i == 0) return parse_dtype(c, out);
    return i == 1 ? parse_order(c, &out->fortran_order) : parse_shape(c, &out->shape);
}

ct_status cti_npy_header_parse(const char *name, const char *text, size_t length, size_t start,
                               cti_npy_header *out) {
    cursor c = {.name = name, .text = text, .length = length, .start = start};
    bool seen[KEYS] = {false}, comma = true;
    *out = (cti_npy_header){0};
    if (!accept(&c, '{')) return expected(&c, "'{'");
    while (!accept(&c, '}')) {
        if (!comma) return expected(&c, "',' or '}'");
        ct_status status = parse_member(&c, seen, out);
        if (status != CT_OK) return status;
        comma = accept(&c, ',');
    }
    for (int i = 0; i < KEYS; i++) {
        if (!seen[i]) return ct_fail(CT_ERR_FORMAT, "%s: header key '%s' missing", name, keys[i]);
    }
    skip_space(&c);
    return c.at == c.length ? CT_OK : expected(&c, "nothing after the dict");
}

/* --- Writing ------------------------------------------------------------------------------ */

/* numpy pads the header with spaces, 21 characters kept for the first dimension, so that the data
 * begins at a multiple of 64. A checked shape has at most 25 digits in its other dimensions: then
 * that is always byte 128. */
void cti_npy_header_write(uint8_t out[CTI_NPY_HEADER_SIZE], ct_dtype dtype, ct_shape shape) {
    static const char *const descr[CT_DTYPES] = {
        [CT_F32] = "<f4", [CT_F64] = "<f8", [CT_I64] = "<i8", [CT_U8] = "|u1"};
    enum { PREFIX = 10 };
    char text[CTI_NPY_HEADER_SIZE - PREFIX];
    size_t used = (size_t)snprintf(
        text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr[dtype]);
    for (int i = 0; i < shape.rank; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, i ? ", %lld" : "%lld",
                                 (long long)shape.dims[i]);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "%s), }", shape.rank == 1 ? "," : "");
    memset(text + used, ' ', sizeof text - used);
    text[sizeof text - 1] = '\n';
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = sizeof text;
    out[9] = 0;
    memcpy(out + PREFIX, text, sizeof text);
}
