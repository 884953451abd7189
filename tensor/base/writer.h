/* Private: text that grows. */
#ifndef COTAN_WRITER_H
#define COTAN_WRITER_H

#include "tensor/error.h"

#include <stddef.h>
#include <stdint.h>

/* {0} is empty. After a failure `status` is CT_ERR_MEMORY and appending does nothing. */
typedef struct {
    char *text; /* of cti_alloc; the owner frees it */
    size_t used;
    int64_t capacity;
    ct_status status;
} cti_writer;

void cti_write_bytes(cti_writer *out, const void *bytes, size_t length);
void cti_write_text(cti_writer *out, const char *text);
/* printf; what is formatted has at most 511 bytes. */
void cti_write_format(cti_writer *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
