/* JSON out: text that grows, and strings with their escapes.
 * It knows no document; the caller writes the punctuation.
 * Invariant: used <= capacity, and after a failure the text stays as it was. */
#include "tensor/io/json.h"

#include "tensor/base/alloc.h"

#include <stdio.h>
#include <string.h>

/* Sizes are sums of sizes of texts in memory, so doubling them does not overflow. */
static bool reserve(cti_writer *out, size_t more) {
    if (out->status != CT_OK) return false;
    size_t needed = out->used + more;
    if (needed <= out->capacity) return true;
    char *text = cti_realloc(out->text, 2 * needed, 1);
    if (!text) {
        out->status = CT_ERR_MEMORY;
        return false;
    }
    out->text = text;
    out->capacity = 2 * needed;
    return true;
}

void cti_write_bytes(cti_writer *out, const void *bytes, size_t length) {
    if (length == 0 || !reserve(out, length)) return;
    memcpy(out->text + out->used, bytes, length);
    out->used += length;
}

void cti_write_text(cti_writer *out, const char *text) { cti_write_bytes(out, text, strlen(text)); }

static void write_escape(cti_writer *out, char c) {
    static const char special[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *known = strchr(special, c);
    char escape[8];
    if (known) snprintf(escape, sizeof escape, "\\%c", letters[known - special]);
    else snprintf(escape, sizeof escape, "\\u%04x", (unsigned)c & 0x1f);
    cti_write_text(out, escape);
}

void cti_write_json_string(cti_writer *out, const char *text) {
    cti_write_bytes(out, "\"", 1);
    for (size_t plain; *text; text += plain) {
        plain = 0;
        while ((unsigned char)text[plain] >= ' ' && text[plain] != '"' && text[plain] != '\\') {
            plain++;
        }
        cti_write_bytes(out, text, plain);
        if (text[plain]) write_escape(out, text[plain++]);
    }
    cti_write_bytes(out, "\"", 1);
}
