/* .npy files: framing, data and the two file functions.
 * It holds no grammar: the header's text is npy_header.c.
 * Invariant: nothing is allocated before the lengths in the file agree with the file's length. */
#include "tensor/npy.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/base/text.h"
#include "tensor/graph/node.h"
#include "tensor/io/file.h"
#include "tensor/io/npy_header.h"

#include <string.h>

enum { MAGIC = 6, HEADER_LIMIT = 65536 };

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
    cti_npy_header header;
    int64_t numel;
    size_t data; /* where it begins in the file */
} layout;

/* Looks at the header alone; `length` is that of the whole file, which must fit. */
static ct_status read_layout(const char *name, const uint8_t *bytes, size_t length, layout *out) {
    size_t start = 0, size = 0;
    ct_status status = find_header(name, bytes, length, &start, &size);
    if (status != CT_OK) return status;
    cti_npy_header *header = &out->header;
    status = cti_npy_header_parse(name, (const char *)bytes + start, size, start, header);
    if (status == CT_OK) {
        status = cti_shape_check(name, header->shape, header->stored->dtype, &out->numel);
    }
    if (status != CT_OK) return status;
    out->data = start + size;
    size_t needed = (size_t)out->numel * header->stored->size;
    if (needed == length - out->data) return CT_OK;
    return ct_fail(CT_ERR_FORMAT, "%s: data needs %zu bytes, file has %zu", name, needed,
                   length - out->data);
}

/* n elements that lie one after another. */
static void read_elements(const cti_npy_header *header, uint8_t *to, const uint8_t *from,
                          size_t n) {
    size_t size = header->stored->size, wide = ct_dtype_size(header->stored->dtype);
    if (!header->swapped) {
        cti_stored_read(header->stored, to, from, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t turned[8];
        for (size_t k = 0; k < size; k++) turned[k] = from[i * size + size - 1 - k];
        cti_stored_read(header->stored, to + i * wide, turned, 1);
    }
}

/* Elements whose first dimension varies fastest, into row-major order. */
static void read_transposed(const cti_npy_header *header, uint8_t *to, const uint8_t *from,
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
    const cti_npy_header *header = &found.header;
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

ct_status ct_npy_save(const char *path, ct_tensor *t) {
    CTI_CALLED;
    if (!t) return cti_null("ct_npy_save: 't' is NULL");
    const void *data = ct_data(t);
    if (!data) return ct_error();
    uint8_t header[CTI_NPY_HEADER_SIZE];
    cti_npy_header_write(header, ct_dtype_of(t), ct_shape_of(t));
    cti_chunk chunks[] = {
        {header, sizeof header},
        {data, (size_t)ct_numel(t) * ct_dtype_size(ct_dtype_of(t))},
    };
    return cti_file_write("ct_npy_save", path, chunks, 2);
}
