/* Text: untrusted bytes made printable, and text that grows.
 * It knows no format; npy and safetensors have quotes and escapes of their own.
 * Invariant: what cti_show returns is one line of printable ASCII; after a failure a growing text
 * stays as it was. */
#include "tensor/io/writer.h"

#include "tensor/base/array.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t show_byte(char *out, unsigned char byte) {
    if (byte >= ' ' && byte < 0x7f && byte != '\'' && byte != '\\') {
        out[0] = (char)byte;
        return 1;
    }
    return (size_t)snprintf(out, 5, "\\x%02x", byte);
}

cti_shown cti_show(const void *bytes, size_t length) {
    cti_shown out;
    const unsigned char *from = bytes;
    size_t used = 0, shown = length < 64 ? length : 64;
    for (size_t i = 0; i < shown; i++) used += show_byte(out.text + used, from[i]);
    memcpy(out.text + used, "...", 4);
    if (shown == length) out.text[used] = '\0';
    return out;
}

cti_shown cti_show_path(const char *path) {
    cti_shown out = {""};
    size_t used = 0, length = strlen(path);
    if (length > 200) {
        memcpy(out.text, "...", 3);
        used = 3;
        path += length - 200;
    }
    for (; *path && used + 5 < sizeof out.text; path++) {
        used += show_byte(out.text + used, (unsigned char)*path);
    }
    out.text[used] = '\0';
    return out;
}

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

cti_real_text cti_real_shown(double value, int digits) {
    cti_real_text out = {"nan"};
    if (isnan(value)) return out;
    snprintf(out.text, sizeof out.text, "%.*g", digits, value);
    const char *local = localeconv()->decimal_point;
    char *point = *local ? strstr(out.text, local) : NULL;
    if (point) {
        *point = '.';
        memmove(point + 1, point + strlen(local), strlen(point + strlen(local)) + 1);
    }
    return out;
}
