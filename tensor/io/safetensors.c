/* Safetensors files: the header's grammar, the checks of the whole, reading and writing.
 * It is no general JSON: the grammar is fixed, and json.c is asked for what must come next.
 * Invariant: a file that was handed out has been checked whole, so reading a value can only fail
 * for lack of memory or of a dtype. Memory is bounded by the file's length, since a written entry
 * has a least size. What is written passes every check of the reader. */
#include "tensor/io/safetensors_file.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/node.h"
#include "tensor/io/file.h"
#include "tensor/io/json.h"
#include "tensor/io/writer.h"

#include <stdlib.h>
#include <string.h>

enum { LENGTH = 8 }; /* bytes of the header's length */

/* --- Texts in order ------------------------------------------------------------------------ */

/* Texts that are known by number: the first member of structs of so many bytes, or packed ones by
 * where they begin. */
typedef struct {
    const void *of;
    size_t stride; /* 1: packed */
} texts;

static const char *text_at(const texts *t, uint32_t number) {
    const void *at = (const char *)t->of + number * t->stride;
    return t->stride == 1 ? at : *(const char *const *)at;
}

static int by_text(const void *a, const void *b, void *context) {
    const texts *t = context;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = strcmp(text_at(t, x), text_at(t, y));
    return order ? order : (x > y) - (x < y);
}

/* Sorts n numbers by their texts. One that is there twice, or NULL when all differ. */
static const char *sort_texts(texts t, uint32_t *numbers, int64_t n) {
    if (n > 1) qsort_r(numbers, (size_t)n, sizeof *numbers, by_text, &t);
    for (int64_t i = 1; i < n; i++) {
        const char *later = text_at(&t, numbers[i]);
        if (strcmp(text_at(&t, numbers[i - 1]), later) == 0) return later;
    }
    return NULL;
}

/* The number of a text among n sorted ones; -1 when it is not there. */
static int64_t find_text(texts t, const uint32_t *numbers, int64_t n, const char *wanted) {
    for (int64_t low = 0, high = n; low < high;) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(wanted, text_at(&t, numbers[middle]));
        if (order == 0) return numbers[middle];
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return -1;
}

/* --- An entry: {"dtype":"F32","shape":[2,3],"data_offsets":[0,24]} ---------------------------- */

static const cti_safetensors_type types[] = {
    /* first CTI_STORED, in the order of ct_dtype */
    {"F32", &cti_stored_f32, 32},
    {"F64", &cti_stored_f64, 64},
    {"I64", &cti_stored_i64, 64},
    {"U8", &cti_stored_u8, 8},
    {"F16", &cti_stored_f16, 16},
    {"BF16", &cti_stored_bf16, 16},
    {"I8", &cti_stored_i8, 8},
    {"I16", &cti_stored_i16, 16},
    {"I32", &cti_stored_i32, 32},
    {"U16", &cti_stored_u16, 16},
    {"U32", &cti_stored_u32, 32},
    {"BOOL", &cti_stored_bool, 8},
    {"U64", NULL, 64},
    {"C64", NULL, 64},
    {"F8_E5M2", NULL, 8},
    {"F8_E4M3", NULL, 8},
    {"F8_E8M0", NULL, 8},
    {"F8_E4M3FNUZ", NULL, 8},
    {"F8_E5M2FNUZ", NULL, 8},
    {"F6_E2M3", NULL, 6},
    {"F6_E3M2", NULL, 6},
    {"F4", NULL, 4},
};

static const char *const keys[] = {"dtype", "shape", "data_offsets"};
enum { KEYS = 3 };

/* The entry that is being read. */
typedef struct {
    cti_json *json;
    cti_safetensors_entry *out;
    bool seen[KEYS];                       /* of its keys */
    cti_shown name;                        /* for messages: 'w' ... */
    char where[2 * sizeof(cti_shown) + 8]; /* ... and "m.safetensors: 'w'" */
} entry_reading;

static ct_status parse_dtype(const entry_reading *p) {
    char *text;
    size_t length;
    ct_status status = cti_json_string(p->json, &text, &length);
    if (status != CT_OK) return status;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(text, types[i].name) != 0) continue;
        p->out->type = &types[i];
        return CT_OK;
    }
    return ct_fail(CT_ERR_DTYPE, "%s: unknown dtype '%s'", p->where, cti_show(text, length).text);
}

static ct_status parse_shape(const entry_reading *p) {
    char what[sizeof(cti_shown) + 16];
    int64_t rank;
    snprintf(what, sizeof what, "'%s'.shape", p->name.text);
    ct_status status = cti_json_numbers(p->json, what, p->out->shape.dims, CT_MAX_RANK, &rank);
    p->out->shape.rank = (int)rank; /* below 2^27; parse_entry checks it with the shape */
    return status;
}

static ct_status parse_offsets(const entry_reading *p) {
    char what[sizeof(cti_shown) + 16];
    int64_t offsets[2], n;
    snprintf(what, sizeof what, "'%s'.data_offsets", p->name.text);
    ct_status status = cti_json_numbers(p->json, what, offsets, 2, &n);
    if (status != CT_OK) return status;
    if (n != 2) {
        return ct_fail(CT_ERR_FORMAT, "%s: data_offsets must be 2 numbers, got %lld", p->where,
                       (long long)n);
    }
    if (offsets[1] < offsets[0]) {
        return ct_fail(CT_ERR_FORMAT, "%s: data_offsets run backwards, from %lld to %lld", p->where,
                       (long long)offsets[0], (long long)offsets[1]);
    }
    p->out->begin = offsets[0];
    p->out->end = offsets[1];
    return CT_OK;
}

static ct_status parse_member(cti_json *json, char *key, size_t length, void *context) {
    (void)json;
    entry_reading *p = context;
    int i = 0;
    while (i < KEYS && strcmp(key, keys[i]) != 0) i++;
    if (i == KEYS || p->seen[i]) {
        return ct_fail(CT_ERR_FORMAT, "%s: key '%s' is %s", p->where, cti_show(key, length).text,
                       i == KEYS ? "unknown" : "given twice");
    }
    p->seen[i] = true;
    if (i == 0) return parse_dtype(p);
    return i == 1 ? parse_shape(p) : parse_offsets(p);
}

/* The bytes of so many elements; false when they are no whole number of bytes below 2^63. */
static bool bytes_of(int64_t numel, int64_t bits, int64_t *bytes) {
    int64_t rest = numel % 8 * bits;
    return rest % 8 == 0 && !__builtin_mul_overflow(numel / 8, bits, bytes) &&
           !__builtin_add_overflow(*bytes, rest / 8, bytes);
}

static ct_status check_size(const entry_reading *p) {
    const cti_safetensors_entry *entry = p->out;
    const cti_safetensors_type *type = entry->type;
    int64_t needed;
    ct_dtype dtype = type->stored ? type->stored->dtype : CT_U8;
    ct_status status = cti_shape_check(p->where, entry->shape, dtype);
    if (status != CT_OK) return status;
    if (!bytes_of(ct_shape_numel(entry->shape), type->bits, &needed)) {
        return ct_fail(CT_ERR_FORMAT, "%s: %s %s is no whole number of bytes below 2^63", p->where,
                       ct_shape_format(entry->shape).text, type->name);
    }
    if (needed == entry->end - entry->begin) return CT_OK;
    return ct_fail(CT_ERR_FORMAT, "%s: %s %s needs %lld bytes, data_offsets span %lld", p->where,
                   ct_shape_format(entry->shape).text, type->name, (long long)needed,
                   (long long)(entry->end - entry->begin));
}

static ct_status parse_entry(cti_json *json, cti_safetensors_entry *out) {
    entry_reading p = {.json = json, .out = out, .name = cti_show(out->name, strlen(out->name))};
    snprintf(p.where, sizeof p.where, "%s: '%s'", json->name, p.name.text);
    ct_status status = cti_json_object(json, parse_member, &p);
    for (int i = 0; i < KEYS && status == CT_OK; i++) {
        if (!p.seen[i]) status = ct_fail(CT_ERR_FORMAT, "%s: key '%s' missing", p.where, keys[i]);
    }
    return status == CT_OK ? check_size(&p) : status;
}

/* --- The metadata: {"key":"text", ...} ---------------------------------------------------- */

/* Packs the texts where they stood: each takes less room decoded than in quotes. */
typedef struct {
    char *end;
    int64_t pairs;
} packing;

static ct_status pack_pair(cti_json *json, char *key, size_t length, void *context) {
    packing *p = context;
    char *value;
    size_t value_length;
    ct_status status = cti_json_string(json, &value, &value_length);
    if (status != CT_OK) return status;
    memmove(p->end, key, length + 1);
    memmove(p->end + length + 1, value, value_length + 1);
    p->end += length + value_length + 2;
    p->pairs++;
    return CT_OK;
}

static ct_status parse_metadata(cti_json *json, ct_safetensors *file) {
    packing p = {.end = json->text + json->at};
    file->texts = p.end;
    ct_status status = cti_json_object(json, pack_pair, &p);
    if (status != CT_OK) return status;
    file->keys = cti_alloc_raw((size_t)p.pairs, sizeof *file->keys);
    if (!file->keys) return CT_ERR_MEMORY;
    const char *key = file->texts;
    for (; file->n_keys < p.pairs; file->n_keys++) {
        file->keys[file->n_keys] = (uint32_t)(key - file->texts);
        for (int i = 0; i < 2; i++) key += strlen(key) + 1;
    }
    const char *twice = sort_texts((texts){file->texts, 1}, file->keys, p.pairs);
    if (!twice) return CT_OK;
    return ct_fail(CT_ERR_FORMAT, "%s: metadata key '%s' is given twice", json->name,
                   cti_show(twice, strlen(twice)).text);
}

/* --- The header --------------------------------------------------------------------------- */

static ct_status parse_named(cti_json *json, char *name, size_t length, void *context) {
    ct_safetensors *file = context;
    if (strcmp(name, "__metadata__") == 0) {
        if (!file->texts) return parse_metadata(json, file);
        return ct_fail(CT_ERR_FORMAT, "%s: '__metadata__' is given twice", json->name);
    }
    if (length > CTI_SAFETENSORS_NAME) {
        return ct_fail(CT_ERR_FORMAT, "%s: a tensor's name must have <= %d bytes, got %zu: '%s'",
                       json->name, CTI_SAFETENSORS_NAME, length, cti_show(name, length).text);
    }
    if (file->count == CTI_SAFETENSORS_TENSORS) {
        return ct_fail(CT_ERR_FORMAT, "%s: more than %d tensors", json->name,
                       CTI_SAFETENSORS_TENSORS);
    }
    cti_safetensors_entry *entry = &file->entries[file->count];
    *entry = (cti_safetensors_entry){.name = name};
    ct_status status = parse_entry(json, entry);
    if (status == CT_OK) file->count++;
    return status;
}

/* Fills entries, count, texts, keys and n_keys. */
static ct_status parse_header(ct_safetensors *file, cti_json *json) {
    static const char least[] = "\"\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,0]}";
    /* A header of this length holds no more whole entries, and one that is not whole. */
    size_t capacity = json->length / (sizeof least - 1) + 1;
    if (capacity > CTI_SAFETENSORS_TENSORS) capacity = CTI_SAFETENSORS_TENSORS;
    file->entries = cti_alloc_raw(capacity, sizeof *file->entries);
    if (!file->entries) return CT_ERR_MEMORY;
    if (json->length == 0 || json->text[0] != '{') return cti_json_expected(json, "'{'");
    ct_status status = cti_json_object(json, parse_named, file);
    if (status != CT_OK) return status;
    while (json->at < json->length && json->text[json->at] == ' ') json->at++;
    return json->at == json->length ? CT_OK : cti_json_expected(json, "only spaces");
}

/* --- Checks of the whole ------------------------------------------------------------------ */

/* Entries without elements come before the one that begins at the same place. */
static int by_data(const void *a, const void *b, void *entries) {
    uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
    const cti_safetensors_entry *x = (cti_safetensors_entry *)entries + i;
    const cti_safetensors_entry *y = (cti_safetensors_entry *)entries + k;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end != y->end ? (x->end < y->end ? -1 : 1) : (i > k) - (i < k);
}

/* The entries, in the order of their data, must cover it without hole or overlap. */
static ct_status check_cover(const ct_safetensors *file, const char *name) {
    size_t n = (size_t)file->count;
    if (n > 1) qsort_r(file->by_name, n, sizeof *file->by_name, by_data, file->entries);
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
    const char *twice = sort_texts((texts){file->entries, sizeof *file->entries}, file->by_name,
                                   file->count);
    if (!twice) return CT_OK;
    return ct_fail(CT_ERR_FORMAT, "%s: duplicate tensor name '%s' at byte %zu", name,
                   cti_show(twice, strlen(twice)).text,
                   (size_t)(twice - (const char *)file->bytes));
}

/* --- Framing ------------------------------------------------------------------------------ */

/* Looks at the first 8 bytes only; `length` is the file's. */
static ct_status find_header(const char *name, const uint8_t *bytes, size_t length,
                             cti_json *header) {
    if (length < LENGTH) {
        return ct_fail(CT_ERR_FORMAT, "%s: header length needs 8 bytes, file has %zu", name,
                       length);
    }
    uint64_t size = 0;
    for (int i = LENGTH; i-- > 0;) size = size << 8 | bytes[i];
    if (size > CTI_SAFETENSORS_HEADER) {
        return ct_fail(CT_ERR_FORMAT,
                       "%s: not a safetensors file: header length %llu exceeds "
                       "limit %d",
                       name, (unsigned long long)size, CTI_SAFETENSORS_HEADER);
    }
    if (size > length - LENGTH) {
        return ct_fail(CT_ERR_FORMAT, "%s: header length %llu exceeds the %zu bytes that follow",
                       name, (unsigned long long)size, length - LENGTH);
    }
    *header = (cti_json){
        .name = name, .text = (char *)bytes + LENGTH, .length = (size_t)size, .start = LENGTH};
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
    status = parse_header(file, &header);
    if (status != CT_OK) return status;
    file->by_name = cti_alloc_raw((size_t)file->count, sizeof *file->by_name);
    if (!file->by_name) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < file->count; i++) file->by_name[i] = (uint32_t)i;
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

/* --- The values -------------------------------------------------------------------------- */

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
    cti_stored_read(stored, false, t->buffer->data, file->data + entry->begin, (size_t)t->numel);
    return t;
}

int64_t ct_safetensors_find(const ct_safetensors *file, const char *name) {
    if (!file || !name) return -1;
    return find_text((texts){file->entries, sizeof *file->entries}, file->by_name, file->count,
                     name);
}

const char *ct_safetensors_metadata(const ct_safetensors *file, const char *key) {
    if (!file || !key) return NULL;
    int64_t at = find_text((texts){file->texts, 1}, file->keys, file->n_keys, key);
    return at < 0 ? NULL : file->texts + at + strlen(key) + 1;
}

/* --- Writing ------------------------------------------------------------------------------ */

static const char saving[] = "ct_safetensors_save";

static ct_status check_text(const char *what, int64_t i, const char *text) {
    if (!text) return ct_fail(CT_ERR_NULL, "%s: %s %lld is NULL", saving, what, (long long)i);
    size_t length = strlen(text), at = 0, sequence = 1;
    while (at < length && sequence) at += sequence = cti_utf8_length(text + at, length - at);
    if (sequence) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: %s '%s' is not UTF-8 at byte %zu", saving, what,
                   cti_show(text, length).text, at);
}

static ct_status check_different(const char *what, texts t, int64_t n) {
    uint32_t *order = cti_alloc_raw((size_t)n, sizeof *order);
    if (!order) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    const char *twice = sort_texts(t, order, n);
    cti_free(order);
    if (!twice) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: %s '%s' is given twice", saving, what,
                   cti_show(twice, strlen(twice)).text);
}

static ct_status check_entry(int64_t i, const ct_named *e) {
    ct_status status = check_text("tensor name", i, e->name);
    if (status != CT_OK) return status;
    if (strlen(e->name) > CTI_SAFETENSORS_NAME) {
        return ct_fail(CT_ERR_RANGE, "%s: tensor name %lld must have <= %d bytes, got %zu", saving,
                       (long long)i, CTI_SAFETENSORS_NAME, strlen(e->name));
    }
    if (strcmp(e->name, "__metadata__") != 0) return cti_check_for_file(saving, e->name, e->value);
    return ct_fail(CT_ERR_RANGE, "%s: '__metadata__' cannot name a tensor", saving);
}

static ct_status check_entries(const ct_named *entries, int64_t n) {
    if (n < 0 || n > CTI_SAFETENSORS_TENSORS) {
        return ct_fail(CT_ERR_RANGE, "%s: n must be 0..%d, got %lld", saving,
                       CTI_SAFETENSORS_TENSORS, (long long)n);
    }
    if (n > 0 && !entries) return ct_fail(CT_ERR_NULL, "%s: 'entries' is NULL", saving);
    for (int64_t i = 0; i < n; i++) {
        ct_tensor *value = entries[i].value;
        if (!value) return cti_null("%s: value %lld is NULL", saving, (long long)i);
        if (cti_dtype_check(saving, ct_dtype_of(value), CTI_STORED) != CT_OK) return CT_ERR_DTYPE;
    }
    for (int64_t i = 0; i < n; i++) {
        if (check_entry(i, &entries[i]) != CT_OK) return ct_error();
    }
    return check_different("tensor name", (texts){entries, sizeof *entries}, n);
}

static ct_status check_metadata(const ct_pair *metadata, int64_t n) {
    if (n < 0 || n > CTI_SAFETENSORS_HEADER) {
        return ct_fail(CT_ERR_RANGE, "%s: n_metadata must be 0..%d, got %lld", saving,
                       CTI_SAFETENSORS_HEADER, (long long)n);
    }
    if (n > 0 && !metadata) return ct_fail(CT_ERR_NULL, "%s: 'metadata' is NULL", saving);
    for (int64_t i = 0; i < n; i++) {
        ct_status status = check_text("metadata key", i, metadata[i].key);
        if (status == CT_OK) status = check_text("metadata value", i, metadata[i].value);
        if (status != CT_OK) return status;
    }
    return check_different("metadata key", (texts){metadata, sizeof *metadata}, n);
}

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

/* A shape's text is also how JSON writes it. */
static void write_entry(cti_writer *out, const ct_named *entry, int64_t begin, int64_t end) {
    cti_write_json_string(out, entry->name);
    cti_write_format(out, ":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%lld,%lld]}",
                     types[ct_dtype_of(entry->value)].name,
                     ct_shape_format(ct_shape_of(entry->value)).text, (long long)begin,
                     (long long)end);
}

static int64_t data_size(const ct_tensor *t) {
    return ct_numel(t) * (int64_t)ct_dtype_size(ct_dtype_of(t));
}

static ct_status write_header(cti_writer *out, const ct_named *entries, int64_t n,
                              const ct_pair *metadata, int64_t n_metadata) {
    cti_write_bytes(out, (uint8_t[LENGTH]){0}, LENGTH);
    cti_write_text(out, "{");
    if (n_metadata > 0) write_metadata(out, metadata, n_metadata);
    int64_t begin = 0, end = 0;
    for (int64_t i = 0; i < n; i++, begin = end) {
        if (__builtin_add_overflow(begin, data_size(entries[i].value), &end)) {
            return ct_fail(CT_ERR_RANGE, "%s: the data has more than 2^63-1 bytes", saving);
        }
        if (i > 0 || n_metadata > 0) cti_write_text(out, ",");
        write_entry(out, &entries[i], begin, end);
    }
    cti_write_text(out, "}");
    if (out->used % 8) cti_write_bytes(out, "        ", 8 - out->used % 8);
    if (out->status != CT_OK) return out->status;
    size_t length = out->used - LENGTH;
    if (length > CTI_SAFETENSORS_HEADER) {
        return ct_fail(CT_ERR_RANGE, "%s: the header has %zu bytes, the format's limit is %d",
                       saving, length, CTI_SAFETENSORS_HEADER);
    }
    for (int i = 0; i < LENGTH; i++) out->text[i] = (char)(length >> 8 * i & 0xff);
    return CT_OK;
}

static ct_status write_file(const char *path, cti_writer header, const ct_named *entries,
                            int64_t n) {
    cti_chunk *chunks = cti_alloc((size_t)n + 1, sizeof *chunks);
    if (!chunks) return CT_ERR_MEMORY;
    ct_status status = CT_OK;
    *chunks = (cti_chunk){header.text, header.used};
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        ct_tensor *value = entries[i].value;
        chunks[i + 1] = (cti_chunk){ct_data(value), (size_t)data_size(value)};
        if (!chunks[i + 1].data) status = ct_error();
    }
    if (status == CT_OK) status = cti_file_write(saving, path, chunks, n + 1);
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
