/* .npy files: framing, data and the two file functions.
 * It holds no grammar: the header's text is npy_header.c.
 * Invariant: nothing is allocated before the lengths in the file agree with the file's length. */
#include "tensor/npy.h"

#include "tensor/file.h"
#include "tensor/mem.h"
#include "tensor/node.h"
#include "tensor/npy_header.h"
#include "tensor/text.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the elements are copied as they are");

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
        return ct_fail(CT_ERR_FORMAT,
                       "%s: unsupported npy version %d.%d (1.0, 2.0, 3.0 known)", name, bytes[6],
                       bytes[7]);
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

/* Copies elements whose first dimension varies fastest into row-major order. */
static void copy_transposed(uint8_t *to, const uint8_t *from, ct_shape shape, int64_t numel,
                            size_t size) {
    int64_t stride[CT_MAX_RANK] = {0}, index[CT_MAX_RANK] = {0}, at = 0;
    for (int i = 0; i < shape.rank; i++) stride[i] = cti_shape_span(shape, 0, i);
    for (int64_t n = 0; n < numel; n++) {
        memcpy(to, from + (size_t)at * size, size);
        to += size;
        for (int i = shape.rank - 1; i >= 0; i--) {
            at += stride[i];
            if (++index[i] < shape.dims[i]) break;
            at -= index[i] * stride[i];
            index[i] = 0;
        }
    }
}

ct_tensor *ct_npy_parse(const char *name, const uint8_t *bytes, size_t length) {
    if (!name) return ct_fail_null(CT_ERR_NULL, "ct_npy_parse: 'name' is NULL");
    if (!bytes) return ct_fail_null(CT_ERR_NULL, "ct_npy_parse: 'bytes' is NULL");
    cti_shown shown = cti_show_path(name);
    name = shown.text;
    size_t start = 0, size = 0;
    if (find_header(name, bytes, length, &start, &size) != CT_OK) return NULL;
    cti_npy_header header;
    const char *text = (const char *)bytes + start;
    if (cti_npy_header_parse(name, text, size, start, &header) != CT_OK) return NULL;
    int64_t numel;
    if (cti_shape_check(name, header.shape, header.dtype, &numel) != CT_OK) return NULL;
    size_t element = ct_dtype_size(header.dtype), needed = (size_t)numel * element;
    const uint8_t *data = bytes + start + size;
    if (needed != length - start - size) {
        return ct_fail_null(CT_ERR_FORMAT, "%s: data needs %zu bytes, file has %zu", name, needed,
                            length - start - size);
    }
    ct_tensor *t = cti_leaf_new(name, header.dtype, header.shape);
    if (!t) return NULL;
    if (header.fortran_order) {
        copy_transposed(t->buffer->data, data, header.shape, numel, element);
    } else if (needed) {
        memcpy(t->buffer->data, data, needed);
    }
    return t;
}

ct_tensor *ct_npy_load(const char *path) {
    uint8_t *bytes;
    size_t length;
    if (cti_file_read("ct_npy_load", path, &bytes, &length) != CT_OK) return NULL;
    ct_tensor *t = ct_npy_parse(path, bytes, length);
    cti_free(bytes);
    return t;
}

/* --- Writing ------------------------------------------------------------------------------ */

ct_status ct_npy_save(const char *path, ct_tensor *t) {
    if (!t) return ct_error() ? ct_error() : ct_fail(CT_ERR_NULL, "ct_npy_save: 't' is NULL");
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
