/* Text that grows.
 * It knows no format: quotes and escapes are the caller's.
 * Invariant: used <= capacity, and after a failure the text stays as it was. */
#include "tensor/base/writer.h"

#include "tensor/base/array.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void cti_write_bytes(cti_writer *out, const void *bytes, size_t length) {
    if (length == 0 || out->status != CT_OK) return;
    if (!cti_reserve(&out->text, &out->capacity, (int64_t)(out->used + length), 1)) {
        out->status = CT_ERR_MEMORY;
        return;
    }
    memcpy(out->text + out->used, bytes, length);
    out->used += length;
}

void cti_write_text(cti_writer *out, const char *text) { cti_write_bytes(out, text, strlen(text)); }

void cti_write_format(cti_writer *out, const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    cti_write_text(out, line);
}
