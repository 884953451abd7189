/* IDX: the header, its checks, and the elements as a tensor.
 * It does not know what the numbers mean; labels and images are dataset.c's words.
 * Invariant: the stream is walked to its end before anything of the promised size is allocated. */
#include "datasets/idx.h"

#include "datasets/formats/stream.h"
#include "tensor/base/alloc.h"
#include "tensor/graph/node.h"
#include "tensor/io/file.h"
#include "tensor/io/stored.h"
#include "tensor/io/writer.h"

#include <stdio.h>
#include <string.h>

#define PIECE 8192 /* bytes; whole elements */

/* A promise of this many bytes and more says that the header is wrong, rather than the end cut. */
#define INCREDIBLE ((size_t)1 << 32)

typedef struct {
    uint8_t code; /* in the file */
    const cti_stored *stored;
} element_type;

static const element_type element_types[] = {
    {0x08, &cti_stored_u8},  {0x09, &cti_stored_i8_f32}, {0x0B, &cti_stored_i16_f32},
    {0x0C, &cti_stored_i32}, {0x0D, &cti_stored_f32},    {0x0E, &cti_stored_f64},
};

typedef struct {
    const cti_stored *stored;
    ct_shape shape;
    size_t header, payload; /* bytes */
} idx_layout;

static uint32_t big_endian_32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static ct_status check_start(const char *name, const uint8_t start[4], idx_layout *out) {
    if (start[0] || start[1]) {
        bool gzip = start[0] == 0x1f && start[1] == 0x8b;
        return ct_fail(CT_ERR_FORMAT, "%s: expected idx magic 00 00, got %02x %02x%s at byte 0%s",
                       name, start[0], start[1], gzip ? " (gzip)" : "", gzip ? "; run gunzip" : "");
    }
    size_t kinds = sizeof element_types / sizeof *element_types, i = 0;
    while (i < kinds && element_types[i].code != start[2]) i++;
    if (i == kinds) {
        return ct_fail(CT_ERR_FORMAT, "%s: unknown element type 0x%02x at byte 2", name, start[2]);
    }
    if (start[3] < 1 || start[3] > CT_MAX_RANK) {
        return ct_fail(CT_ERR_FORMAT, "%s: rank must be 1..%d, got %d at byte 3", name, CT_MAX_RANK,
                       start[3]);
    }
    *out = (idx_layout){.stored = element_types[i].stored, .shape.rank = start[3]};
    return CT_OK;
}

static ct_status header_bytes(cti_stream *stream, uint8_t *header, size_t from, size_t to) {
    size_t got;
    ct_status status = cti_stream_read(stream, header + from, to - from, &got);
    if (status == CT_OK && got < to - from) {
        status = ct_fail(CT_ERR_FORMAT, "%s: idx header needs %zu bytes, file has %zu",
                         stream->name, to, from + got);
    }
    return status;
}

/* The counts as text, "60000x28x28". */
typedef struct {
    char text[CT_MAX_RANK * 11 + 1];
} counts_text;

static counts_text show_counts(ct_shape shape) {
    counts_text out = {""};
    size_t used = 0;
    for (int i = 0; i < shape.rank; i++) {
        used += (size_t)snprintf(out.text + used, sizeof out.text - used, "%s%lld", i ? "x" : "",
                                 (long long)shape.dims[i]);
    }
    return out;
}

/* Bytes are counted as in memory, where no element is narrower than in the file, and zeros are
 * left out, as everywhere: then the tensor's shape is valid, and the payload's product too. */
static ct_status check_counts(const char *name, const idx_layout *layout) {
    int64_t bytes = (int64_t)ct_dtype_size(layout->stored->dtype);
    for (int i = 0; i < layout->shape.rank; i++) {
        int64_t count = layout->shape.dims[i];
        if (count && __builtin_mul_overflow(bytes, count, &bytes)) {
            return ct_fail(CT_ERR_FORMAT, "%s: header promises more than 2^63-1 bytes of %s (%s)",
                           name, ct_dtype_name(layout->stored->dtype),
                           show_counts(layout->shape).text);
        }
    }
    return CT_OK;
}

static ct_status read_header(cti_stream *stream, idx_layout *out) {
    uint8_t header[4 + 4 * CT_MAX_RANK];
    ct_status status = header_bytes(stream, header, 0, 4);
    if (status == CT_OK) status = check_start(stream->name, header, out);
    if (status != CT_OK) return status;
    ct_shape *shape = &out->shape;
    out->header = 4 + 4 * (size_t)shape->rank;
    status = header_bytes(stream, header, 4, out->header);
    if (status != CT_OK) return status;
    for (int i = 0; i < shape->rank; i++) shape->dims[i] = big_endian_32(header + 4 + 4 * i);
    status = check_counts(stream->name, out);
    if (status == CT_OK) out->payload = (size_t)ct_shape_numel(*shape) * out->stored->size;
    return status;
}

static ct_status too_short(const char *name, const idx_layout *layout, size_t got) {
    if (layout->payload < INCREDIBLE) {
        return ct_fail(CT_ERR_FORMAT, "%s: header promises %zu bytes, file has %zu at byte %zu",
                       name, layout->payload, got, layout->header);
    }
    return ct_fail(CT_ERR_FORMAT,
                   "%s: header promises %zu bytes (%s), file has %zu after the header", name,
                   layout->payload, show_counts(layout->shape).text, got);
}

/* Walks the whole stream: header, exactly the promised elements, the end. */
static ct_status check(cti_stream *stream, idx_layout *out) {
    size_t got;
    ct_status status = read_header(stream, out);
    if (status == CT_OK) status = cti_stream_read(stream, NULL, out->payload, &got);
    if (status != CT_OK) return status;
    if (got < out->payload) return too_short(stream->name, out, got);
    return cti_stream_finish(stream, out->header + out->payload);
}

/* The stream has been walked once: only memory can run out now. */
static ct_status read_elements(cti_stream *stream, const idx_layout *layout, void *to) {
    size_t got;
    ct_status status = cti_stream_read(stream, NULL, layout->header, &got);
    if (status != CT_OK) return status;
    const cti_stored *stored = layout->stored;
    if (stored == &cti_stored_u8) return cti_stream_read(stream, to, layout->payload, &got);
    uint8_t piece[PIECE], *at = to;
    for (size_t done = 0; done < layout->payload; done += got) {
        size_t rest = layout->payload - done;
        status = cti_stream_read(stream, piece, rest < PIECE ? rest : PIECE, &got);
        if (status != CT_OK) return status;
        cti_stored_read(stored, true, at, piece, got / stored->size);
        at += got / stored->size * ct_dtype_size(stored->dtype);
    }
    return CT_OK;
}

ct_tensor *ct_idx_parse(const char *name, const uint8_t *bytes, size_t length) {
    if (!bytes && length) return ct_fail_null(CT_ERR_NULL, "ct_idx_parse: 'bytes' is NULL");
    cti_shown shown = cti_show_path(name ? name : "idx");
    cti_stream stream;
    idx_layout layout = {0};
    ct_status status = cti_stream_open(&stream, shown.text, bytes, length);
    if (status == CT_OK) status = check(&stream, &layout);
    cti_stream_close(&stream);
    if (status != CT_OK) return NULL;
    ct_tensor *t = cti_leaf_new(shown.text, layout.stored->dtype, layout.shape);
    if (!t) return NULL;
    status = cti_stream_open(&stream, shown.text, bytes, length);
    if (status == CT_OK) status = read_elements(&stream, &layout, t->buffer->data);
    cti_stream_close(&stream);
    return status == CT_OK ? t : NULL;
}

/* A plain file's header tells its length; of a packed one as much is looked at as the first bytes
 * unpack to. */
static ct_status check_first_bytes(const char *name, const uint8_t *start, size_t n,
                                   size_t length) {
    cti_stream stream;
    idx_layout layout;
    uint8_t magic[4];
    size_t got = 0;
    ct_status status = cti_stream_open(&stream, name, start, n);
    if (!stream.packed) {
        stream.length = length; /* skipped, not looked at, behind the header */
        return check(&stream, &layout);
    }
    stream.cut = n < length;
    if (status == CT_OK) status = cti_stream_read(&stream, magic, sizeof magic, &got);
    if (status == CT_OK && got == sizeof magic) status = check_start(name, magic, &layout);
    cti_stream_close(&stream);
    return status;
}

ct_tensor *ct_idx_load(const char *path) {
    uint8_t *bytes;
    size_t length;
    if (cti_file_read_checked("ct_idx_load", path, check_first_bytes, &bytes, &length) != CT_OK) {
        return NULL;
    }
    ct_tensor *t = ct_idx_parse(path, bytes, length);
    cti_free(bytes);
    return t;
}
