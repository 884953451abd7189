/* Safetensors files in: framing, the cover of the data, and the reading functions.
 * It holds no grammar: the header's text is safetensors_header.c.
 * Invariant: a file that was handed out has been checked whole, so that reading a value from it
 * can only fail for lack of memory, or because its type is none of cotan's. */
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/text.h"
#include "tensor/graph/node.h"
#include "tensor/io/file.h"
#include "tensor/io/safetensors_file.h"

#include <string.h>

/* --- Checks of the whole ------------------------------------------------------------------ */

static bool name_before(const void *context, uint32_t a, uint32_t b) {
    const cti_safetensors_entry *entries = context;
    int order = strcmp(entries[a].name, entries[b].name);
    return order != 0 ? order < 0 : a < b;
}

/* Entries without elements come before the one that begins at the same place. */
static bool data_before(const void *context, uint32_t a, uint32_t b) {
    const cti_safetensors_entry *x = (const cti_safetensors_entry *)context + a;
    const cti_safetensors_entry *y = (const cti_safetensors_entry *)context + b;
    if (x->begin != y->begin) return x->begin < y->begin;
    return x->end != y->end ? x->end < y->end : a < b;
}

static void sort_entries(const ct_safetensors *file, cti_before *before) {
    for (int64_t i = 0; i < file->count; i++) file->by_name[i] = (uint32_t)i;
    cti_sort(file->by_name, file->count, before, file->entries);
}

/* The entries, in the order of their data, must cover it without hole or overlap. */
static ct_status check_cover(const ct_safetensors *file, const char *name) {
    sort_entries(file, data_before);
    int64_t covered = 0;
    for (int64_t i = 0; i < file->count; i++) {
        const cti_safetensors_entry *entry = &file->entries[file->by_name[i]];
        cti_shown shown = cti_show(entry->name, strlen(entry->name));
        if (entry->begin != covered) {
            return ct_fail(CT_ERR_FORMAT, "%s: '%s' begins at %lld, expected %lld (overlap or gap)",
                           name, shown.text, (long long)entry->begin, (long long)covered);
        }
        if (entry->end > file->data_length) {
            return ct_fail(CT_ERR_FORMAT, "%s: '%s' ends at %lld, the data has %lld bytes", name,
                           shown.text, (long long)entry->end, (long long)file->data_length);
        }
        covered = entry->end;
    }
    if (covered == file->data_length) return CT_OK;
    return ct_fail(CT_ERR_FORMAT, "%s: the data has %lld bytes, the tensors take %lld", name,
                   (long long)file->data_length, (long long)covered);
}

static ct_status check_names(const ct_safetensors *file, const char *name) {
    sort_entries(file, name_before);
    for (int64_t i = 1; i < file->count; i++) {
        const char *later = file->entries[file->by_name[i]].name;
        if (strcmp(file->entries[file->by_name[i - 1]].name, later) != 0) continue;
        return ct_fail(CT_ERR_FORMAT, "%s: duplicate tensor name '%s' at byte %zu", name,
                       cti_show(later, strlen(later)).text,
                       (size_t)(later - (const char *)file->bytes));
    }
    return CT_OK;
}

/* --- Framing ------------------------------------------------------------------------------ */

/* Looks at the first 8 bytes only; `length` is the file's. */
static ct_status find_header(const char *name, const uint8_t *bytes, size_t length,
                             cti_json *header) {
    enum { START = 8 };
    if (length < START) {
        return ct_fail(CT_ERR_FORMAT, "%s: header length needs 8 bytes, file has %zu", name,
                       length);
    }
    uint64_t size = 0;
    for (int i = START; i-- > 0;) size = size << 8 | bytes[i];
    if (size > CTI_SAFETENSORS_HEADER) {
        return ct_fail(CT_ERR_FORMAT,
                       "%s: not a safetensors file: header length %llu exceeds "
                       "limit %d",
                       name, (unsigned long long)size, CTI_SAFETENSORS_HEADER);
    }
    if (size > length - START) {
        return ct_fail(CT_ERR_FORMAT, "%s: header length %llu exceeds the %zu bytes that follow",
                       name, (unsigned long long)size, length - START);
    }
    *header = (cti_json){
        .name = name, .text = (char *)bytes + START, .length = (size_t)size, .start = START};
    return CT_OK;
}

/* A header begins with a brace: other files rarely survive both this and the length. */
static ct_status check_start(const char *name, const uint8_t *start, size_t n, size_t length) {
    cti_json header = {0};
    ct_status status = find_header(name, start, length, &header);
    if (header.length > n - header.start) header.length = n - header.start;
    bool begins = header.length > 0 && *header.text == '{';
    return status == CT_OK && !begins ? cti_json_expected(&header, "'{'") : status;
}

static ct_status parse(ct_safetensors *file, const char *name, size_t length) {
    cti_json header = {0};
    ct_status status = find_header(name, file->bytes, length, &header);
    if (status != CT_OK) return status;
    file->data = file->bytes + header.start + header.length;
    file->data_length = (int64_t)(length - header.start - header.length);
    status = cti_safetensors_header(file, &header);
    if (status != CT_OK) return status;
    file->by_name = cti_alloc_raw((size_t)file->count, sizeof *file->by_name);
    if (!file->by_name) return CT_ERR_MEMORY;
    /* The cover first: it sorts in the same place. */
    status = check_cover(file, name);
    return status == CT_OK ? check_names(file, name) : status;
}

/* Takes over `bytes`. */
static ct_safetensors *adopt(const char *name, uint8_t *bytes, size_t length) {
    ct_safetensors *file = cti_alloc(1, sizeof *file);
    if (!file) {
        cti_free(bytes);
        return NULL;
    }
    file->bytes = bytes;
    if (parse(file, cti_show_path(name).text, length) == CT_OK) return file;
    ct_safetensors_free(file);
    return NULL;
}

ct_safetensors *ct_safetensors_parse(const char *name, const uint8_t *bytes, size_t length) {
    CTI_CALLED;
    if (!name) return ct_fail_null(CT_ERR_NULL, "ct_safetensors_parse: 'name' is NULL");
    if (!bytes) return ct_fail_null(CT_ERR_NULL, "ct_safetensors_parse: 'bytes' is NULL");
    uint8_t *copy = cti_alloc_raw(length, 1);
    if (!copy) return NULL;
    if (length) memcpy(copy, bytes, length);
    return adopt(name, copy, length);
}

ct_safetensors *ct_safetensors_load(const char *path) {
    CTI_CALLED;
    uint8_t *bytes;
    size_t length;
    if (cti_file_read_checked("ct_safetensors_load", path, check_start, &bytes, &length) != CT_OK) {
        return NULL;
    }
    return adopt(path, bytes, length);
}

void ct_safetensors_free(ct_safetensors *file) {
    if (!file) return;
    cti_free(file->keys);
    cti_free(file->by_name);
    cti_free(file->entries);
    cti_free(file->bytes);
    cti_free(file);
}

/* --- Reading ------------------------------------------------------------------------------ */

static const cti_safetensors_entry *entry_at(const char *function, const ct_safetensors *file,
                                             int64_t i) {
    if (!file) {
        cti_null("%s: 'file' is NULL", function);
        return NULL;
    }
    if (i < 0 || i >= file->count) {
        return ct_fail_null(CT_ERR_RANGE, "%s: the file has %lld tensors, there is no number %lld",
                            function, (long long)file->count, (long long)i);
    }
    return &file->entries[i];
}

int64_t ct_safetensors_count(const ct_safetensors *file) { return file ? file->count : 0; }

const char *ct_safetensors_name(const ct_safetensors *file, int64_t i) {
    const cti_safetensors_entry *entry = entry_at("ct_safetensors_name", file, i);
    return entry ? entry->name : NULL;
}

ct_tensor *ct_safetensors_value(const ct_safetensors *file, int64_t i) {
    CTI_CALLED;
    static const char function[] = "ct_safetensors_value";
    const cti_safetensors_entry *entry = entry_at(function, file, i);
    if (!entry) return NULL;
    const cti_stored *stored = entry->type->stored;
    if (!stored) {
        return ct_fail_null(CT_ERR_DTYPE,
                            "%s: '%s' has elements of type %s, which cotan cannot "
                            "hold",
                            function, cti_show(entry->name, strlen(entry->name)).text,
                            entry->type->name);
    }
    ct_tensor *t = cti_leaf_new(function, stored->dtype, entry->shape);
    if (!t) return NULL;
    cti_stored_read(stored, t->buffer->data, file->data + entry->begin, (size_t)t->numel);
    return t;
}

int64_t ct_safetensors_find(const ct_safetensors *file, const char *name) {
    int64_t low = 0, high = file && name ? file->count : 0;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, file->entries[file->by_name[middle]].name);
        if (order == 0) return file->by_name[middle];
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return -1;
}

const char *ct_safetensors_metadata(const ct_safetensors *file, const char *key) {
    int64_t low = 0, high = file && key ? file->n_keys : 0;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        const char *found = file->texts + file->keys[middle];
        int order = strcmp(key, found);
        if (order == 0) return found + strlen(found) + 1;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}
