/* The header of a safetensors file: JSON in, entries and metadata out.
 * It does not look at the data; safetensors_read.c checks that the entries cover it.
 * Invariant: memory is bounded by the header's length, since a written entry has a least size. */
#include "tensor/io/safetensors_file.h"

#include "tensor/base/alloc.h"
#include "tensor/base/shape_rules.h"
#include "tensor/base/text.h"

#include <stdio.h>
#include <string.h>

/* --- Sorting ------------------------------------------------------------------------------ */

static void sift_down(uint32_t *heap, int64_t at, int64_t n, cti_before *before,
                      const void *context) {
    uint32_t sinking = heap[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(context, heap[child], heap[child + 1])) child++;
        if (!before(context, sinking, heap[child])) break;
        heap[at] = heap[child];
    }
    heap[at] = sinking;
}

void cti_sort(uint32_t *numbers, int64_t n, cti_before *before, const void *context) {
    for (int64_t i = n / 2; i-- > 0;) sift_down(numbers, i, n, before, context);
    for (int64_t last = n - 1; last > 0; last--) {
        uint32_t largest = numbers[0];
        numbers[0] = numbers[last];
        numbers[last] = largest;
        sift_down(numbers, 0, last, before, context);
    }
}

/* --- An entry: {"dtype":"F32","shape":[2,3],"data_offsets":[0,24]} ---------------------------- */

/* First those that are written, in the order of ct_dtype. */
static const cti_safetensors_type types[] = {
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

const char *cti_safetensors_dtype(ct_dtype dtype) { return types[dtype].name; }

/* What is being read, for messages: "m.safetensors: 'w'" and the same with ".shape". */
typedef struct {
    cti_json *json;
    cti_shown name;
    char where[2 * sizeof(cti_shown) + 8];
} place;

static ct_status parse_dtype(const place *p, cti_safetensors_entry *out) {
    char *text;
    size_t length;
    ct_status status = cti_json_string(p->json, &text, &length);
    if (status != CT_OK) return status;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(text, types[i].name) != 0) continue;
        out->type = &types[i];
        return CT_OK;
    }
    return ct_fail(CT_ERR_DTYPE, "%s: unknown dtype '%s'", p->where, cti_show(text, length).text);
}

static ct_status parse_shape(const place *p, cti_safetensors_entry *out) {
    char what[sizeof(cti_shown) + 16];
    int64_t rank;
    snprintf(what, sizeof what, "'%s'.shape", p->name.text);
    ct_status status = cti_json_numbers(p->json, what, out->shape.dims, CT_MAX_RANK, &rank);
    out->shape.rank = (int)rank; /* below 2^27; parse_entry checks it with the shape */
    return status;
}

static ct_status parse_offsets(const place *p, cti_safetensors_entry *out) {
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
    out->begin = offsets[0];
    out->end = offsets[1];
    return CT_OK;
}

static ct_status parse_member(const place *p, bool seen[3], cti_safetensors_entry *out) {
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    char *key;
    size_t length;
    ct_status status = cti_json_string(p->json, &key, &length);
    if (status == CT_OK) status = cti_json_expect(p->json, ':');
    if (status != CT_OK) return status;
    for (int i = 0; i < 3; i++) {
        if (strcmp(key, keys[i]) != 0 || seen[i]) continue;
        seen[i] = true;
        if (i == 0) return parse_dtype(p, out);
        return i == 1 ? parse_shape(p, out) : parse_offsets(p, out);
    }
    bool known = !strcmp(key, keys[0]) || !strcmp(key, keys[1]) || !strcmp(key, keys[2]);
    return ct_fail(CT_ERR_FORMAT, "%s: key '%s' is %s", p->where, cti_show(key, length).text,
                   known ? "given twice" : "unknown");
}

/* The bytes of so many elements; false when they are no whole number of bytes below 2^63. */
static bool bytes_of(int64_t numel, int64_t bits, int64_t *bytes) {
    int64_t rest = numel % 8 * bits;
    return rest % 8 == 0 && !__builtin_mul_overflow(numel / 8, bits, bytes) &&
           !__builtin_add_overflow(*bytes, rest / 8, bytes);
}

static ct_status check_size(const place *p, const cti_safetensors_entry *entry) {
    const cti_safetensors_type *type = entry->type;
    int64_t numel, needed;
    ct_dtype dtype = type->stored ? type->stored->dtype : CT_U8;
    ct_status status = cti_shape_check(p->where, entry->shape, dtype, &numel);
    if (status != CT_OK) return status;
    if (!bytes_of(numel, type->bits, &needed)) {
        return ct_fail(CT_ERR_FORMAT, "%s: %s %s is no whole number of bytes below 2^63", p->where,
                       ct_shape_format(entry->shape).text, type->name);
    }
    if (needed == entry->end - entry->begin) return CT_OK;
    return ct_fail(CT_ERR_FORMAT, "%s: %s %s needs %lld bytes, data_offsets span %lld", p->where,
                   ct_shape_format(entry->shape).text, type->name, (long long)needed,
                   (long long)(entry->end - entry->begin));
}

static ct_status parse_entry(cti_json *json, cti_safetensors_entry *out) {
    place p = {.json = json, .name = cti_show(out->name, strlen(out->name))};
    snprintf(p.where, sizeof p.where, "%s: '%s'", json->name, p.name.text);
    bool seen[3] = {false};
    ct_status status = cti_json_expect(json, '{');
    if (status != CT_OK) return status;
    if (!cti_json_accept(json, '}')) {
        do status = parse_member(&p, seen, out);
        while (status == CT_OK && cti_json_accept(json, ','));
        if (status == CT_OK) status = cti_json_expect(json, '}');
        if (status != CT_OK) return status;
    }
    if (!seen[0] || !seen[1] || !seen[2]) {
        return ct_fail(CT_ERR_FORMAT, "%s: key '%s' missing", p.where,
                       !seen[0]   ? "dtype"
                       : !seen[1] ? "shape"
                                  : "data_offsets");
    }
    return check_size(&p, out);
}

/* --- The metadata: {"key":"text", ...} ---------------------------------------------------- */

static bool key_before(const void *texts, uint32_t a, uint32_t b) {
    int order = strcmp((const char *)texts + a, (const char *)texts + b);
    return order != 0 ? order < 0 : a < b;
}

/* Sorts the keys' places; the texts lie packed, n pairs of them. */
static ct_status index_metadata(ct_safetensors *file, const cti_json *json, int64_t n) {
    file->keys = cti_alloc_raw((size_t)n, sizeof *file->keys);
    if (!file->keys) return CT_ERR_MEMORY;
    file->n_keys = n;
    uint32_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        file->keys[i] = at;
        at += (uint32_t)strlen(file->texts + at) + 1;
        at += (uint32_t)strlen(file->texts + at) + 1;
    }
    cti_sort(file->keys, n, key_before, file->texts);
    for (int64_t i = 1; i < n; i++) {
        const char *key = file->texts + file->keys[i];
        if (strcmp(key, file->texts + file->keys[i - 1]) == 0) {
            return ct_fail(CT_ERR_FORMAT, "%s: metadata key '%s' is given twice", json->name,
                           cti_show(key, strlen(key)).text);
        }
    }
    return CT_OK;
}

/* Packs the texts where they stood: each takes less room decoded than in quotes. */
static ct_status parse_metadata(cti_json *json, ct_safetensors *file) {
    ct_status status = cti_json_expect(json, '{');
    if (status != CT_OK) return status;
    char *packed = json->text + json->at;
    int64_t pairs = 0;
    file->texts = packed;
    if (cti_json_accept(json, '}')) return CT_OK;
    do {
        for (int i = 0; i < 2; i++) {
            char *text;
            size_t length;
            status = i ? cti_json_expect(json, ':') : CT_OK;
            if (status == CT_OK) status = cti_json_string(json, &text, &length);
            if (status != CT_OK) return status;
            memmove(packed, text, length + 1);
            packed += length + 1;
        }
        pairs++;
    } while (cti_json_accept(json, ','));
    status = cti_json_expect(json, '}');
    return status == CT_OK ? index_metadata(file, json, pairs) : status;
}

/* --- The whole ---------------------------------------------------------------------------- */

static ct_status parse_named(cti_json *json, ct_safetensors *file) {
    char *name;
    size_t length;
    ct_status status = cti_json_string(json, &name, &length);
    if (status == CT_OK) status = cti_json_expect(json, ':');
    if (status != CT_OK) return status;
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
    status = parse_entry(json, entry);
    if (status == CT_OK) file->count++;
    return status;
}

ct_status cti_safetensors_header(ct_safetensors *file, cti_json *json) {
    static const char least[] = "\"\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,0]}";
    /* A header of this length holds no more whole entries, and one that is not whole. */
    size_t capacity = json->length / (sizeof least - 1) + 1;
    if (capacity > CTI_SAFETENSORS_TENSORS) capacity = CTI_SAFETENSORS_TENSORS;
    file->entries = cti_alloc_raw(capacity, sizeof *file->entries);
    if (!file->entries) return CT_ERR_MEMORY;
    if (json->length == 0 || json->text[0] != '{') return cti_json_expected(json, "'{'");
    json->at = 1;
    if (!cti_json_accept(json, '}')) {
        ct_status status;
        do status = parse_named(json, file);
        while (status == CT_OK && cti_json_accept(json, ','));
        if (status == CT_OK) status = cti_json_expect(json, '}');
        if (status != CT_OK) return status;
    }
    while (json->at < json->length && json->text[json->at] == ' ') json->at++;
    return json->at == json->length ? CT_OK : cti_json_expected(json, "only spaces");
}
