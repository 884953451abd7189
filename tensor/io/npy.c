/* .npy files: the header, which is the text of a Python dict, and the data.
 * It is no Python: three keys, strings without escapes, True, False and a tuple of plain numbers,
 * which Python 2 writes as 3L.
 * Invariant: the cursor only moves forward and never past the end of the text, and nothing is
 * allocated before the lengths in the file agree with the file's length. */
#include "tensor/npy.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/base/text.h"
#include "tensor/graph/node.h"
#include "tensor/io/file.h"
#include "tensor/io/stored.h"
#include "tensor/io/writer.h"

#include <stdio.h>
#include <string.h>

enum { MAGIC = 6, HEADER_LIMIT = 65536, HEADER_SIZE = 128 /* as written */ };

typedef struct {
    const cti_stored *stored;
    bool big_endian, fortran_order;
    ct_shape shape; /* not yet checked for the size of its product */
} npy_header;

/* --- The header's text -------------------------------------------------------------------- */

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

/* --- Its three values --------------------------------------------------------------------- */

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

static ct_status parse_dtype(cursor *c, npy_header *out) {
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
        out->big_endian = order && descr.bytes[0] == '>';
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

static ct_status parse_member(cursor *c, bool seen[KEYS], npy_header *out) {
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

static ct_status parse_header(const char *name, const char *text, size_t length, size_t start,
                              npy_header *out) {
    cursor c = {.name = name, .text = text, .length = length, .start = start};
    bool seen[KEYS] = {false}, comma = true;
    *out = (npy_header){0};
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

/* --- Reading ------------------------------------------------------------------------------ */

static ct_status check_magic(const char *name, const uint8_t *bytes, size_t length) {
    static const uint8_t magic[MAGIC] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    size_t known = length < MAGIC ? length : MAGIC;
    if (memcmp(bytes, magic, known) != 0) {
        const char *hint = "";
        if (length > 1 && memcmp(bytes, "PK", 2) == 0) hint = " (a zip or npz archive; unpack it)";
        if (length > 1 && memcmp(bytes, "\x1f\x8b", 2) == 0) hint = " (gzip; run gunzip)";
        return ct_fail(CT_ERR_FORMAT, "%s: expected npy magic '\\x93NUMPY', got '%s' at byte 0%s",
                       name, cti_show(bytes, known).text, hint);
    }
    if (length < MAGIC + 2) {
        return ct_fail(CT_ERR_FORMAT, "%s: npy header needs 10 bytes, file has %zu", name, length);
    }
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0) {
        return ct_fail(CT_ERR_FORMAT, "%s: unsupported npy version %d.%d (1.0, 2.0, 3.0 known)",
                       name, bytes[6], bytes[7]);
    }
    return CT_OK;
}

/* Finds the header's text: *start bytes into the file, *size long. */
static ct_status find_header(const char *name, const uint8_t *bytes, size_t length, size_t *start,
                             size_t *size) {
    ct_status status = check_magic(name, bytes, length);
    if (status != CT_OK) return status;
    *start = bytes[6] == 1 ? 10 : 12;
    if (length < *start) {
        return ct_fail(CT_ERR_FORMAT, "%s: npy header needs %zu bytes, file has %zu", name, *start,
                       length);
    }
    *size = 0;
    for (size_t i = *start; i-- > MAGIC + 2;) *size = *size << 8 | bytes[i];
    if (*size > HEADER_LIMIT) {
        return ct_fail(CT_ERR_FORMAT, "%s: header length must be <= %d, got %zu", name,
                       HEADER_LIMIT, *size);
    }
    if (*size > length - *start) {
        return ct_fail(CT_ERR_FORMAT, "%s: header needs %zu bytes at byte %zu, file has %zu", name,
                       *size, *start, length - *start);
    }
    return CT_OK;
}

typedef struct {
    npy_header header;
    int64_t numel;
    size_t data; /* where it begins in the file */
} layout;

/* Looks at the header alone; `length` is that of the whole file, which must fit. */
static ct_status read_layout(const char *name, const uint8_t *bytes, size_t length, layout *out) {
    size_t start = 0, size = 0;
    ct_status status = find_header(name, bytes, length, &start, &size);
    if (status != CT_OK) return status;
    npy_header *header = &out->header;
    status = parse_header(name, (const char *)bytes + start, size, start, header);
    if (status == CT_OK) status = cti_shape_check(name, header->shape, header->stored->dtype);
    if (status != CT_OK) return status;
    out->numel = ct_shape_numel(header->shape);
    out->data = start + size;
    size_t needed = (size_t)out->numel * header->stored->size;
    if (needed == length - out->data) return CT_OK;
    return ct_fail(CT_ERR_FORMAT, "%s: data needs %zu bytes, file has %zu", name, needed,
                   length - out->data);
}

static void read_elements(const npy_header *header, uint8_t *to, const uint8_t *from, size_t n) {
    cti_stored_read(header->stored, header->big_endian, to, from, n);
}

/* Elements whose first dimension varies fastest, into row-major order. */
static void read_transposed(const npy_header *header, uint8_t *to, const uint8_t *from,
                            int64_t numel) {
    ct_shape shape = header->shape;
    size_t size = header->stored->size, wide = ct_dtype_size(header->stored->dtype);
    int64_t stride[CT_MAX_RANK] = {0}, index[CT_MAX_RANK] = {0}, at = 0;
    for (int i = 0; i < shape.rank; i++) stride[i] = cti_shape_span(shape, 0, i);
    for (int64_t n = 0; n < numel; n++) {
        read_elements(header, to, from + (size_t)at * size, 1);
        to += wide;
        for (int i = shape.rank - 1; i >= 0; i--) {
            at += stride[i];
            if (++index[i] < shape.dims[i]) break;
            at -= index[i] * stride[i];
            index[i] = 0;
        }
    }
}

ct_tensor *ct_npy_parse(const char *name, const uint8_t *bytes, size_t length) {
    CTI_CALLED;
    if (!name) return ct_fail_null(CT_ERR_NULL, "ct_npy_parse: 'name' is NULL");
    if (!bytes) return ct_fail_null(CT_ERR_NULL, "ct_npy_parse: 'bytes' is NULL");
    cti_shown shown = cti_show_path(name);
    layout found;
    if (read_layout(shown.text, bytes, length, &found) != CT_OK) return NULL;
    const npy_header *header = &found.header;
    ct_tensor *t = cti_leaf_new(shown.text, header->stored->dtype, header->shape);
    if (!t) return NULL;
    if (header->fortran_order) {
        read_transposed(header, t->buffer->data, bytes + found.data, found.numel);
    } else {
        read_elements(header, t->buffer->data, bytes + found.data, (size_t)found.numel);
    }
    return t;
}

/* Everything that the header says, where all of it is there. */
static ct_status check_start(const char *name, const uint8_t *start, size_t n, size_t length) {
    size_t at = 0, size = 0;
    layout found;
    ct_status status = find_header(name, start, length, &at, &size);
    return status == CT_OK && at + size <= n ? read_layout(name, start, length, &found) : status;
}

ct_tensor *ct_npy_load(const char *path) {
    CTI_CALLED;
    uint8_t *bytes;
    size_t length;
    if (cti_file_read_checked("ct_npy_load", path, check_start, &bytes, &length) != CT_OK) {
        return NULL;
    }
    ct_tensor *t = ct_npy_parse(path, bytes, length);
    cti_free(bytes);
    return t;
}

/* --- Writing ------------------------------------------------------------------------------ */

/* numpy pads the header with spaces, 21 characters kept for the first dimension, so that the data
 * begins at a multiple of 64. A checked shape has at most 25 digits in its other dimensions: then
 * that is always byte 128. */
static void write_header(uint8_t out[HEADER_SIZE], ct_dtype dtype, ct_shape shape) {
    static const char *const descr[] = {/* of CTI_STORED */
                                        [CT_F32] = "<f4",
                                        [CT_F64] = "<f8",
                                        [CT_I64] = "<i8",
                                        [CT_U8] = "|u1"};
    enum { PREFIX = 10 };
    char text[HEADER_SIZE - PREFIX];
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

ct_status ct_npy_save(const char *path, ct_tensor *t) {
    CTI_CALLED;
    if (!t) return cti_null("ct_npy_save: 't' is NULL");
    ct_status status = cti_dtype_check("ct_npy_save", ct_dtype_of(t), CTI_STORED);
    if (status == CT_OK) status = cti_check_for_file("ct_npy_save", "t", t);
    if (status != CT_OK) return status;
    const void *data = ct_data(t);
    if (!data) return ct_error();
    uint8_t header[HEADER_SIZE];
    write_header(header, ct_dtype_of(t), ct_shape_of(t));
    cti_chunk chunks[] = {
        {header, sizeof header},
        {data, (size_t)ct_numel(t) * ct_dtype_size(ct_dtype_of(t))},
    };
    return cti_file_write("ct_npy_save", path, chunks, 2);
}
