/* For tests of safetensors files: parsing with its promises checked, files made of a header, and
 * the tensors of the golden file. */
#ifndef COTAN_TESTS_SAFETENSORS_SUPPORT_H
#define COTAN_TESTS_SAFETENSORS_SUPPORT_H

#include "tensor/io/json.h"
#include "tensor/safetensors.h"
#include "tests/support/golden_safetensors.h"
#include "tests/support/io_support.h"

enum { MIB = 1 << 20 };

/* Parsing keeps its memory bound, and says something exactly when it fails. */
ct_safetensors *parse_safetensors(const uint8_t *bytes, size_t length);

/* A file with this header and `data` bytes after it. */
size_t build_safetensors(uint8_t *out, const char *header, size_t data);

#define ENTRY(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{" ENTRY("w", dtype, shape, offsets) "}"
#define SMILE "\xc3\xbc\xf0\x9f\x98\x80"
ct_status save_golden(const char *path);

#endif
