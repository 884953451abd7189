/* Untrusted text: made printable, and read as numbers.
 * It parses no format; npy and safetensors have grammars of their own.
 * Invariant: what cti_show returns is one line of printable ASCII. */
#include "tensor/base/text.h"

#include <string.h>

static size_t show_byte(char *out, unsigned char byte) {
    static const char digits[] = "0123456789abcdef";
    if (byte >= ' ' && byte < 0x7f && byte != '\'' && byte != '\\') {
        out[0] = (char)byte;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return 4;
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

bool cti_whole_number(const char *text, size_t length, int64_t *value) {
    if (length == 0 || (length > 1 && text[0] == '0')) return false;
    int64_t number = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, text[i] - '0', &number)) {
            return false;
        }
    }
    *value = number;
    return true;
}
