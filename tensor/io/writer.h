/* Private: text that grows, and untrusted text made fit for messages. */
#ifndef COTAN_WRITER_H
#define COTAN_WRITER_H

#include "tensor/error.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes as one printable line, by value so that one message can hold several. Quotes, backslashes
 * and whatever is not printable ASCII become \xHH: no terminal sequence gets through. */
typedef struct {
    char text[4 * 64 + 4];
} cti_shown;
/* The first 64 bytes; "..." follows when there are more. */
cti_shown cti_show(const void *bytes, size_t length);
/* The last 200 bytes, "..." before them when there are more. */
cti_shown cti_show_path(const char *path);

/* Text that grows. {0} is empty. After a failure `status` is CT_ERR_MEMORY and appending does
 * nothing. */
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
/* A number of so many digits, with a point in any locale; "nan", "inf", "-inf". */
typedef struct {
    char text[64];
} cti_real_text;
cti_real_text cti_real_shown(double value, int digits);

#endif
