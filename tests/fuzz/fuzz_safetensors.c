/* libFuzzer target for safetensors files.
 * Not a unit test: it knows no expected values, only what must hold for all bytes.
 * Oracles: no crash and no leak; an error has words; memory stays under 4 times the input plus
 * 1 MiB, and a value takes its own size on top; jansson, a JSON parser of other hands, takes every
 * accepted header and sees the same names, types, shapes, offsets and texts in it; values of all
 * types that cotan has come back bit for bit after they are saved.
 *
 *     cmake --preset fuzz && cmake --build --preset fuzz && cd build-fuzz/fuzz
 *     ./fuzz_safetensors -max_len=65536 -timeout=5 -rss_limit_mb=512 -malloc_limit_mb=64 */
#include "tests/fuzz/memory_file.h"

#include "tensor/io/safetensors_file.h"
#include "tensor/mem.h"

#include <jansson.h>

static void require(int holds) {
    if (!holds) abort();
}

static ct_safetensors *parse(const uint8_t *bytes, size_t length) {
    ct_error_clear();
    ct_mem_peak_reset();
    int64_t before = ct_mem_read().live_bytes;
    ct_safetensors *file = ct_safetensors_parse("fuzz", bytes, length);
    require(ct_mem_read().peak_bytes - before <= 4 * (int64_t)length + (1 << 20));
    require(file ? ct_error() == CT_OK : ct_error() != CT_OK && *ct_error_message());
    return file;
}

/* --- The second opinion ------------------------------------------------------------------- */

static void expect_entry(const cti_safetensors_entry *entry, json_t *seen) {
    require(json_is_object(seen) && json_object_size(seen) == 3);
    const char *dtype = json_string_value(json_object_get(seen, "dtype"));
    require(dtype && strcmp(dtype, entry->type->name) == 0);
    json_t *shape = json_object_get(seen, "shape");
    require(json_array_size(shape) == (size_t)entry->shape.rank);
    for (int i = 0; i < entry->shape.rank; i++) {
        json_t *dim = json_array_get(shape, (size_t)i);
        require(json_is_integer(dim) && json_integer_value(dim) == entry->shape.dims[i]);
    }
    json_t *offsets = json_object_get(seen, "data_offsets");
    require(json_array_size(offsets) == 2);
    require(json_integer_value(json_array_get(offsets, 0)) == entry->begin);
    require(json_integer_value(json_array_get(offsets, 1)) == entry->end);
}

static void second_opinion(const ct_safetensors *file, const uint8_t *bytes) {
    size_t length = (size_t)(file->data - file->bytes) - 8;
    json_t *root = json_loadb((const char *)bytes + 8, length, JSON_REJECT_DUPLICATES, NULL);
    require(json_is_object(root));
    json_t *metadata = json_object_get(root, "__metadata__");
    require(json_object_size(root) == (size_t)file->count + (metadata != NULL));
    require(json_object_size(metadata) == (size_t)file->n_keys);
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        const char *text = ct_safetensors_metadata(file, key);
        require(text && strcmp(text, json_string_value(value)) == 0);
    }
    for (int64_t i = 0; i < file->count; i++) {
        require(ct_safetensors_find(file, file->entries[i].name) == i);
        expect_entry(&file->entries[i], json_object_get(root, file->entries[i].name));
    }
    json_decref(root);
}

/* --- Saving and reading again ------------------------------------------------------------- */

/* A value costs its own size, and only types that cotan does not have are refused. */
static ct_tensor *value_of(const ct_safetensors *file, int64_t i) {
    ct_mem_peak_reset();
    int64_t before = ct_mem_read().live_bytes;
    ct_tensor *t = ct_safetensors_value(file, i);
    require(t ? ct_error() == CT_OK : !file->entries[i].type->stored && ct_error() == CT_ERR_DTYPE);
    ct_error_clear();
    int64_t size = t ? ct_numel(t) * (int64_t)ct_dtype_size(ct_dtype_of(t)) : 0;
    require(ct_mem_read().peak_bytes - before <= size + (1 << 16));
    return t;
}

/* Saves what could be read. */
static ct_status save(const ct_safetensors *file) {
    size_t n = 0, n_pairs = (size_t)file->n_keys;
    ct_named *entries = calloc((size_t)file->count + 1, sizeof *entries);
    ct_pair *pairs = calloc(n_pairs + 1, sizeof *pairs);
    for (int64_t i = 0; i < file->count; i++) {
        entries[n].name = ct_safetensors_name(file, i);
        entries[n].value = value_of(file, i);
        n += entries[n].value != NULL;
    }
    for (size_t i = 0; i < n_pairs; i++) {
        pairs[i].key = file->texts + file->keys[i];
        pairs[i].value = ct_safetensors_metadata(file, pairs[i].key);
    }
    ct_status status = ct_safetensors_save("m", entries, (int64_t)n, pairs, file->n_keys);
    free(entries);
    free(pairs);
    return status;
}

static void expect_same_value(const ct_safetensors *a, int64_t i, const ct_safetensors *b,
                              int64_t k) {
    int64_t scope = ct_scope_open();
    ct_tensor *x = value_of(a, i), *y = value_of(b, k);
    require(x && y && strcmp(ct_safetensors_name(a, i), ct_safetensors_name(b, k)) == 0);
    require(ct_dtype_of(x) == ct_dtype_of(y) && ct_shape_equal(ct_shape_of(x), ct_shape_of(y)));
    size_t size = (size_t)ct_numel(x) * ct_dtype_size(ct_dtype_of(x));
    require(size == 0 || memcmp(ct_data(x), ct_data(y), size) == 0);
    ct_scope_close(scope);
}

static void expect_equal(const ct_safetensors *a, const ct_safetensors *b) {
    require(b && a->n_keys == b->n_keys);
    int64_t k = 0;
    for (int64_t i = 0; i < a->count; i++) {
        if (a->entries[i].type->stored) expect_same_value(a, i, b, k++);
    }
    require(k == b->count);
    for (int64_t i = 0; i < a->n_keys; i++) {
        const char *key = a->texts + a->keys[i];
        const char *text = ct_safetensors_metadata(b, key);
        require(text && strcmp(text, ct_safetensors_metadata(a, key)) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    memory_file_install();
    ct_safetensors *file = parse(bytes, length);
    if (file) {
        second_opinion(file, bytes);
        require(save(file) == CT_OK);
        ct_safetensors *again = parse(memory_file.bytes, memory_file.length);
        expect_equal(file, again);
        ct_safetensors_free(again);
        ct_safetensors_free(file);
    }
    ct_scope_close(0);
    require(ct_mem_read().live_bytes == 0);
    return 0;
}
