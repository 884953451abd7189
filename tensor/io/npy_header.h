/* Private: the header of a .npy file, which is the text of a Python dict. */
#ifndef COTAN_NPY_HEADER_H
#define COTAN_NPY_HEADER_H

#include "tensor/io/stored.h"

#include <stdbool.h>

typedef struct {
    const cti_stored *stored;
    bool swapped; /* the elements are big-endian */
    bool fortran_order;
    ct_shape shape; /* not yet checked for the size of its product */
} cti_npy_header;

/* Reads the dict in text[0..length), which begins at byte `start` of the file called `name`. */
ct_status cti_npy_header_parse(const char *name, const char *text, size_t length, size_t start,
                               cti_npy_header *out);

enum { CTI_NPY_HEADER_SIZE = 128 };
/* All bytes before the data, version 1.0. The shape has been checked. */
void cti_npy_header_write(uint8_t out[CTI_NPY_HEADER_SIZE], ct_dtype dtype, ct_shape shape);

#endif
