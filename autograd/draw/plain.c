/* Names made fit for text files.
 * It escapes nothing; what has a meaning in a format is that format's business.
 * Invariant: what is returned is valid UTF-8 without control characters. */
#include "autograd/draw/plain.h"

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

void cti_replace(char *out, const char *text, cti_replacement_of *replacement) {
    size_t used = 0, shortened = 0;
    for (int count = 0; text && *text; count++) {
        if (count == CTI_PLAIN_CHARACTERS - 3) shortened = used;
        if (count == CTI_PLAIN_CHARACTERS) {
            memcpy(out + shortened, "...", 3);
            used = shortened + 3;
            break;
        }
        size_t taken;
        const char *shown = replacement(text, &taken);
        size_t length = shown ? strlen(shown) : taken;
        memcpy(out + used, shown ? shown : text, length);
        used += length;
        text += taken;
    }
    out[used] = '\0';
}

static const char *on_one_line(const char *text, size_t *length) {
    if (*text != '\n') return cti_plain_character(text, length);
    *length = 1;
    return ", ";
}

cti_plain_text cti_plain(const char *text) {
    cti_plain_text out;
    cti_replace(out.text, text, on_one_line);
    return out;
}
