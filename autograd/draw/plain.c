/* Names made fit for text files.
 * It escapes nothing; what has a meaning in a format is that format's business.
 * Invariant: what is returned is valid UTF-8 without control characters. */
#include "autograd/draw/plain.h"

#include "tensor/io/xml.h"

#include <string.h>

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
