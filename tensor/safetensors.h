/* Safetensors files: tensors by name, with texts about them, in one file.
 *
 * The format is that of https://github.com/huggingface/safetensors: 8 bytes of header length, a
 * JSON header, the data. Written are F32, F64, I64 and U8. Read are
 *
 *     F32 F16 BF16   F64   I64 I32 I16 I8 U32 U16   U8 BOOL
 *     f32            f64   i64                      u8       every number exactly; BOOL: 0 or 1
 *
 * A tensor of one of the format's other types (U64, C64 and those of 8 bits and less: F8, F6, F4)
 * may be in a file; only the attempt to read its value is an error.
 *
 * A file may come from anywhere: whatever its bytes, it gives its tensors or an error that says
 * what is wrong, "<name>: ...", and reading it takes at most 4 times its size + 1 MiB of memory
 * (the tensors that ct_safetensors_value makes come on top, each once its own size). Refused are
 * headers above 100,000,000 bytes, more than 1,000,000 tensors, names above 1024 bytes, names
 * given twice, types that the format does not have, and data that does not cover the rest of the
 * file exactly once. What cannot be such a file by its first bytes is not read on. Names and texts
 * are data: nothing here uses them as a path, a format or an identifier. */
#ifndef COTAN_SAFETENSORS_H
#define COTAN_SAFETENSORS_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

typedef struct {
    const char *name;
    ct_tensor *value;
} ct_named;

typedef struct {
    const char *key, *value;
} ct_pair;

/* --- Writing ------------------------------------------------------------------------------ */

/* Evaluates the tensors and replaces the file at `path`: wholly, or not at all after an error.
 * Tensors keep the given order, the header is padded with spaces to a multiple of 8 bytes, and
 * equal arguments give equal bytes. Names and keys must be different UTF-8 texts; "__metadata__"
 * is no name for a tensor. Without metadata (n_metadata 0) the header has no such entry.
 * CT_ERR_STATE for a tensor that varies between ranks (tensor/varying.h). */
ct_status ct_safetensors_save(const char *path, const ct_named *entries, int64_t n,
                              const ct_pair *metadata, int64_t n_metadata);

/* --- Reading ------------------------------------------------------------------------------ */

/* A checked file in memory. What the functions below return as text lives as long as it. */
typedef struct ct_safetensors ct_safetensors;

/* NULL on error: CT_ERR_IO when the file cannot be read, CT_ERR_FORMAT, CT_ERR_DTYPE or
 * CT_ERR_SHAPE when it is not as said above. The caller frees it. */
ct_safetensors *ct_safetensors_load(const char *path);
/* The same from memory, which is copied; `name` stands for the file in messages. */
ct_safetensors *ct_safetensors_parse(const char *name, const uint8_t *bytes, size_t length);
void ct_safetensors_free(ct_safetensors *file); /* takes NULL */

int64_t ct_safetensors_count(const ct_safetensors *file); /* 0 for NULL */
/* Name number i, in the order of the header; NULL with CT_ERR_RANGE when there is no such. */
const char *ct_safetensors_name(const ct_safetensors *file, int64_t i);
/* Tensor number i as a new leaf, a temporary of the open scope; it outlives the file. NULL with
 * CT_ERR_DTYPE when cotan has no dtype for its elements. */
ct_tensor *ct_safetensors_value(const ct_safetensors *file, int64_t i);
/* The number of the tensor with this name, -1 when there is none (no error is recorded). */
int64_t ct_safetensors_find(const ct_safetensors *file, const char *name);
/* The text under `key` in the metadata, NULL when there is none (no error is recorded). */
const char *ct_safetensors_metadata(const ct_safetensors *file, const char *key);

CT_C_END

#endif
