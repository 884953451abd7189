/* Safetensors files out.
 * It gathers no copy of the data: the file is the header and the tensors' own memory in turn.
 * Invariant: what is written passes every check of the reader. */
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/text.h"
#include "tensor/io/file.h"
#include "tensor/io/safetensors_file.h"

#include <stdio.h>
#include <string.h>

static const char function[] = "ct_safetensors_save";

static bool text_before(const void *texts, uint32_t a, uint32_t b) {
    int order = strcmp(((const char *const *)texts)[a], ((const char *const *)texts)[b]);
    return order != 0 ? order < 0 : a < b;
}

static ct_status check_text(const char *what, int64_t i, const char *text) {
    if (!text) {
        return ct_fail(CT_ERR_NULL, "%s: %s %lld is NULL", function, what, (long long)i);
    }
    size_t length = strlen(text), at = 0, sequence = 1;
    while (at < length && sequence) at += sequence = cti_utf8_length(text + at, length - at);
    if (sequence) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: %s '%s' is not UTF-8 at byte %zu", function, what,
                   cti_show(text, length).text, at);
}

static ct_status check_different(const char *what, const char *const texts[], int64_t n) {
    uint32_t *order = cti_alloc_raw((size_t)n, sizeof *order);
    if (!order) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    cti_sort(order, n, text_before, texts);
    ct_status status = CT_OK;
    for (int64_t i = 1; i < n && status == CT_OK; i++) {
        const char *text = texts[order[i]];
        if (strcmp(text, texts[order[i - 1]]) != 0) continue;
        status = ct_fail(CT_ERR_RANGE, "%s: %s '%s' is given twice", function, what,
                         cti_show(text, strlen(text)).text);
    }
    cti_free(order);
    return status;
}

static ct_status check_name(int64_t i, const char *name) {
    ct_status status = check_text("tensor name", i, name);
    if (status != CT_OK) return status;
    if (strlen(name) > CTI_SAFETENSORS_NAME) {
        return ct_fail(CT_ERR_RANGE, "%s: tensor name %lld must have <= %d bytes, got %zu",
                       function, (long long)i, CTI_SAFETENSORS_NAME, strlen(name));
    }
    if (strcmp(name, "__metadata__") != 0) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: '__metadata__' cannot name a tensor", function);
}

static ct_status check_entries(const ct_named *entries, int64_t n) {
    if (n < 0 || n > CTI_SAFETENSORS_TENSORS) {
        return ct_fail(CT_ERR_RANGE, "%s: n must be 0..%d, got %lld", function,
                       CTI_SAFETENSORS_TENSORS, (long long)n);
    }
    if (n > 0 && !entries) return ct_fail(CT_ERR_NULL, "%s: 'entries' is NULL", function);
    for (int64_t i = 0; i < n; i++) {
        if (entries[i].value) continue;
        return cti_null("%s: value %lld is NULL", function, (long long)i);
    }
    const char **texts = cti_alloc((size_t)n, sizeof *texts);
    ct_status status = texts ? CT_OK : CT_ERR_MEMORY;
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        status = check_name(i, texts[i] = entries[i].name);
    }
    if (status == CT_OK) status = check_different("tensor name", texts, n);
    cti_free(texts);
    return status;
}

static ct_status check_metadata(const ct_pair *metadata, int64_t n) {
    if (n < 0 || n > CTI_SAFETENSORS_HEADER) {
        return ct_fail(CT_ERR_RANGE, "%s: n_metadata must be 0..%d, got %lld", function,
                       CTI_SAFETENSORS_HEADER, (long long)n);
    }
    if (n > 0 && !metadata) return ct_fail(CT_ERR_NULL, "%s: 'metadata' is NULL", function);
    const char **texts = cti_alloc((size_t)n, sizeof *texts);
    ct_status status = texts ? CT_OK : CT_ERR_MEMORY;
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        status = check_text("metadata key", i, texts[i] = metadata[i].key);
        if (status == CT_OK) status = check_text("metadata value", i, metadata[i].value);
    }
    if (status == CT_OK) status = check_different("metadata key", texts, n);
    cti_free(texts);
    return status;
}

/* --- The header --------------------------------------------------------------------------- */

static void write_metadata(cti_writer *out, const ct_pair *metadata, int64_t n) {
    cti_write_text(out, "\"__metadata__\":{");
    for (int64_t i = 0; i < n; i++) {
        if (i > 0) cti_write_text(out, ",");
        cti_write_json_string(out, metadata[i].key);
        cti_write_text(out, ":");
        cti_write_json_string(out, metadata[i].value);
    }
    cti_write_text(out, "}");
}

static void write_entry(cti_writer *out, const ct_named *entry, int64_t begin, int64_t end) {
    char rest[sizeof(ct_shape_text) + 128];
    /* A shape's text is also how JSON writes it. */
    snprintf(rest, sizeof rest, ":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%lld,%lld]}",
             cti_safetensors_dtype(ct_dtype_of(entry->value)),
             ct_shape_format(ct_shape_of(entry->value)).text, (long long)begin, (long long)end);
    cti_write_json_string(out, entry->name);
    cti_write_text(out, rest);
}

static int64_t bytes_of(const ct_tensor *t) {
    return ct_numel(t) * (int64_t)ct_dtype_size(ct_dtype_of(t));
}

static ct_status write_header(cti_writer *out, const ct_named *entries, int64_t n,
                              const ct_pair *metadata, int64_t n_metadata) {
    enum { PREFIX = 8 };
    cti_write_bytes(out, (uint8_t[PREFIX]){0}, PREFIX);
    cti_write_text(out, "{");
    if (n_metadata > 0) write_metadata(out, metadata, n_metadata);
    int64_t begin = 0, end = 0;
    for (int64_t i = 0; i < n; i++, begin = end) {
        if (__builtin_add_overflow(begin, bytes_of(entries[i].value), &end)) {
            return ct_fail(CT_ERR_RANGE, "%s: the data has more than 2^63-1 bytes", function);
        }
        if (i > 0 || n_metadata > 0) cti_write_text(out, ",");
        write_entry(out, &entries[i], begin, end);
    }
    cti_write_text(out, "}");
    if (out->used % 8) cti_write_bytes(out, "        ", 8 - out->used % 8);
    if (out->status != CT_OK) return out->status;
    size_t length = out->used - PREFIX;
    if (length > CTI_SAFETENSORS_HEADER) {
        return ct_fail(CT_ERR_RANGE, "%s: the header has %zu bytes, the format's limit is %d",
                       function, length, CTI_SAFETENSORS_HEADER);
    }
    for (int i = 0; i < PREFIX; i++) out->text[i] = (char)(length >> 8 * i & 0xff);
    return CT_OK;
}

/* --- The file ----------------------------------------------------------------------------- */

static ct_status write_file(const char *path, cti_writer header, const ct_named *entries,
                            int64_t n) {
    cti_chunk *chunks = cti_alloc((size_t)n + 1, sizeof *chunks);
    if (!chunks) return CT_ERR_MEMORY;
    ct_status status = CT_OK;
    chunks[0] = (cti_chunk){header.text, header.used};
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        chunks[i + 1].data = ct_data(entries[i].value);
        chunks[i + 1].length = (size_t)bytes_of(entries[i].value);
        if (!chunks[i + 1].data) status = ct_error();
    }
    if (status == CT_OK) status = cti_file_write(function, path, chunks, n + 1);
    cti_free(chunks);
    return status;
}

ct_status ct_safetensors_save(const char *path, const ct_named *entries, int64_t n,
                              const ct_pair *metadata, int64_t n_metadata) {
    CTI_CALLED;
    ct_status status = check_entries(entries, n);
    if (status == CT_OK) status = check_metadata(metadata, n_metadata);
    cti_writer header = {0};
    if (status == CT_OK) status = write_header(&header, entries, n, metadata, n_metadata);
    if (status == CT_OK) status = write_file(path, header, entries, n);
    cti_free(header.text);
    return status;
}
