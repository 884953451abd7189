/* Foreign text in DOT: names may hold any bytes.
 * It writes no graph; the quotes around a label are the caller's or cti_dot_label's.
 * Invariant: what comes out is valid UTF-8 that Graphviz shows as it was written: no escape
 * sequence, entity or quote of the text's own has a meaning. */
#include "autograd/draw/dot_label.h"

#include "tensor/io/json.h"

#include <stdbool.h>
#include <string.h>

static bool has_prefix(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What the first character of `text` becomes; *length is how many bytes it has. NULL: itself.
 * U+0080 to U+009F are control characters too, U+FFFE and U+FFFF no characters at all: an SVG file
 * must not hold them. */
static const char *replacement(const char *text, size_t *length) {
    static const char unknown[] = "\xef\xbf\xbd";
    /* The terminating NUL ends a sequence that is cut short. */
    *length = cti_utf8_length(text, strnlen(text, 4));
    if (*length == 0) {
        *length = 1;
        return unknown;
    }
    if (*length == 2 && has_prefix(text, "\xc2") && (unsigned char)text[1] < 0xa0) return unknown;
    if (has_prefix(text, "\xef\xbf\xbe") || has_prefix(text, "\xef\xbf\xbf")) return unknown;
    switch (*text) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '&': return "&amp;";
    default: return *length == 1 && ((unsigned char)*text < ' ' || *text == 0x7f) ? unknown : NULL;
    }
}

cti_dot_text cti_dot_escape(const char *text) {
    cti_dot_text out;
    size_t used = 0, shortened = 0;
    for (int count = 0; text && *text; count++) {
        if (count == CTI_DOT_CHARACTERS - 3) shortened = used;
        if (count == CTI_DOT_CHARACTERS) {
            memcpy(out.text + shortened, "...", 3);
            used = shortened + 3;
            break;
        }
        size_t taken;
        const char *shown = replacement(text, &taken);
        size_t length = shown ? strlen(shown) : taken;
        memcpy(out.text + used, shown ? shown : text, length);
        used += length;
        text += taken;
    }
    out.text[used] = '\0';
    return out;
}

void cti_dot_label(FILE *out, const char *text) {
    cti_dot_text escaped = cti_dot_escape(text);
    fprintf(out, "\"%s\"", escaped.text);
}
