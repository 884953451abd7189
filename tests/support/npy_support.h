/* For tests of .npy files: parsing with its promises checked, and files made of a header. */
#ifndef COTAN_TESTS_NPY_SUPPORT_H
#define COTAN_TESTS_NPY_SUPPORT_H

#include "tensor/npy.h"
#include "tests/support/io_support.h"

enum { MIB = 1 << 20 };

/* Parsing keeps its memory bound, and says something exactly when it fails. */
ct_tensor *parse_npy(const uint8_t *bytes, size_t length);

/* A file of version 1.0 with this header and so many bytes of data. */
size_t build_npy(uint8_t *out, const char *header, size_t data);

#endif
