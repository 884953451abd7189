/* Text of others within XML and HTML, and characters that no text file may hold.
 * It knows no document.
 * Invariant: what is written is valid UTF-8, without control characters but for tabs and ends of
 * lines. */
#include "tensor/io/xml.h"

#include "tensor/io/json.h"

#include <string.h>

/* U+0080 to U+009F are control characters too, U+FFFE and U+FFFF no characters at all: an SVG file
 * must not hold them. */
const char *cti_plain_character(const char *text, size_t *length) {
    static const char unknown[] = "\xef\xbf\xbd";
    /* The terminating NUL ends a sequence that is cut short. */
    *length = cti_utf8_length(text, strnlen(text, 4));
    if (*length == 0) return *length = 1, unknown;
    if (*length == 1) return (unsigned char)*text < ' ' || *text == 0x7f ? unknown : NULL;
    if (*length == 2 && text[0] == '\xc2' && (unsigned char)text[1] < 0xa0) return unknown;
    if (*length == 3 && memcmp(text, "\xef\xbf\xbe", 2) == 0 && (unsigned char)text[2] >= 0xbe) {
        return unknown;
    }
    return NULL;
}

const char *cti_entity(char c) {
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    default: return NULL;
    }
}

static void write_characters(cti_writer *out, const char *text, bool escaped) {
    for (size_t length; *text; text += length) {
        const char *shown = cti_plain_character(text, &length);
        if (*text == '\t' || *text == '\n') shown = NULL;
        if (escaped && cti_entity(*text)) shown = cti_entity(*text);
        cti_write_bytes(out, shown ? shown : text, shown ? strlen(shown) : length);
    }
}

void cti_write_escaped(cti_writer *out, const char *text) { write_characters(out, text, true); }

void cti_write_plain(cti_writer *out, const char *text) { write_characters(out, text, false); }
