/* What fuzz_format.c asks of a format, and hands to what a format adds. */
#ifndef COTAN_TESTS_FUZZ_FORMAT_H
#define COTAN_TESTS_FUZZ_FORMAT_H

#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline void require(bool holds) {
    if (!holds) abort();
}

/* The tensor that the format's parser makes of the bytes, which unpack to so many; for the caller
 * to drop. NULL when they are refused. */
ct_tensor *fuzz_parse(const uint8_t *bytes, size_t length, size_t unpacked);
void fuzz_expect_equal(ct_tensor *a, ct_tensor *b);

/* What else must hold, in a file fuzz_NAME.c if a format has one: `whole` says that the input was
 * no broken gzip stream, `bytes` are what it unpacks to, and t is what came of it, or NULL. */
void fuzz_opinion(const uint8_t *bytes, size_t length, bool whole, ct_tensor *t)
    __attribute__((weak));

#endif
