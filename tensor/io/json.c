/* JSON for headers of files: a cursor that is asked for what must come next.
 * It is no general parser: no tree, no fractions, no true, false or null.
 * Invariant: the cursor only moves forward and never past the end; a decoded string is never
 * longer than its source, so writing stays behind reading. */
#include "tensor/io/json.h"

#include "tensor/base/text.h"
#include "tensor/io/writer.h"

#include <string.h>

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static void skip_space(cti_json *json) {
    while (json->at < json->length && is_space(json->text[json->at])) json->at++;
}

/* Length of what stands at the cursor, up to a separator; at least 1 unless the text has ended. */
static size_t word_length(const cti_json *json) {
    size_t end = json->at;
    while (end < json->length && !is_space(json->text[end]) &&
           !memchr(",:[]{}", json->text[end], 6)) {
        end++;
    }
    return end == json->at && end < json->length ? 1 : end - json->at;
}

ct_status cti_json_expected(const cti_json *json, const char *what) {
    if (json->at == json->length) {
        return ct_fail(CT_ERR_FORMAT, "%s: JSON: expected %s, got the end at byte %zu", json->name,
                       what, json->start + json->at);
    }
    return ct_fail(CT_ERR_FORMAT, "%s: JSON: expected %s, got '%s' at byte %zu", json->name, what,
                   cti_show(json->text + json->at, word_length(json)).text, json->start + json->at);
}

bool cti_json_accept(cti_json *json, char wanted) {
    skip_space(json);
    if (json->at == json->length || json->text[json->at] != wanted) return false;
    json->at++;
    return true;
}

ct_status cti_json_expect(cti_json *json, char wanted) {
    if (cti_json_accept(json, wanted)) return CT_OK;
    return cti_json_expected(json, (char[]){'\'', wanted, '\'', '\0'});
}

/* --- Strings ------------------------------------------------------------------------------ */

size_t cti_utf8_length(const char *text, size_t left) {
    const unsigned char *byte = (const unsigned char *)text;
    if (byte[0] < 0x80) return 1;
    size_t length = byte[0] >= 0xf0 ? 4 : byte[0] >= 0xe0 ? 3 : 2;
    if (byte[0] < 0xc2 || byte[0] > 0xf4 || left < length) return 0;
    /* The second byte's range rules out overlong forms, surrogates and what is too large. */
    unsigned low = byte[0] == 0xe0 ? 0xa0 : byte[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = byte[0] == 0xed ? 0x9f : byte[0] == 0xf4 ? 0x8f : 0xbf;
    if (byte[1] < low || byte[1] > high) return 0;
    for (size_t i = 2; i < length; i++) {
        if (byte[i] < 0x80 || byte[i] > 0xbf) return 0;
    }
    return length;
}

static size_t utf8_encode(uint32_t code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[length] | code);
    return length;
}

/* Four hexadecimal digits after "\u" at text[at..); false when they are not there. */
static bool read_unit(const cti_json *json, size_t at, uint32_t *unit) {
    if (json->length - at < 6 || memcmp(json->text + at, "\\u", 2) != 0) return false;
    *unit = 0;
    for (size_t i = at + 2; i < at + 6; i++) {
        char c = json->text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return false;
        *unit = *unit << 4 | (uint32_t)digit;
    }
    return true;
}

/* Decodes the escape at the cursor; a NUL, half a surrogate pair or an unknown letter is none. */
static bool decode_escape(cti_json *json, char *out, size_t *used) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (json->length - json->at < 2) return false;
    const char *letter = memchr(letters, json->text[json->at + 1], sizeof letters - 1);
    if (letter) {
        out[(*used)++] = meanings[letter - letters];
        json->at += 2;
        return true;
    }
    uint32_t code, low;
    if (!read_unit(json, json->at, &code) || code == 0) return false;
    size_t taken = 6;
    if (code >= 0xd800 && code < 0xe000) {
        if (code >= 0xdc00 || !read_unit(json, json->at + 6, &low)) return false;
        if (low < 0xdc00 || low >= 0xe000) return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        taken = 12;
    }
    json->at += taken;
    *used += utf8_encode(code, out + *used);
    return true;
}

static ct_status bad_string(const cti_json *json, const char *what, size_t shown) {
    size_t left = json->length - json->at;
    return ct_fail(CT_ERR_FORMAT, "%s: JSON: %s '%s' in a string at byte %zu", json->name, what,
                   cti_show(json->text + json->at, shown < left ? shown : left).text,
                   json->start + json->at);
}

ct_status cti_json_string(cti_json *json, char **out, size_t *length) {
    if (!cti_json_accept(json, '"')) return cti_json_expected(json, "a string");
    size_t opening = json->at - 1, used = 0;
    char *to = json->text + opening;
    while (json->at < json->length && json->text[json->at] != '"') {
        const char *from = json->text + json->at;
        if (*from == '\\') {
            if (!decode_escape(json, to, &used)) return bad_string(json, "bad escape", 6);
            continue;
        }
        if ((unsigned char)*from < ' ') return bad_string(json, "control character", 1);
        size_t sequence = cti_utf8_length(from, json->length - json->at);
        if (sequence == 0) return bad_string(json, "invalid UTF-8", 1);
        memmove(to + used, from, sequence);
        used += sequence;
        json->at += sequence;
    }
    if (json->at == json->length) {
        return ct_fail(CT_ERR_FORMAT, "%s: JSON: the string at byte %zu is not closed", json->name,
                       json->start + opening);
    }
    json->at++;
    to[used] = '\0';
    *out = to;
    *length = used;
    return CT_OK;
}

/* --- Objects and numbers -------------------------------------------------------------------- */

ct_status cti_json_object(cti_json *json, cti_json_member *member, void *context) {
    ct_status status = cti_json_expect(json, '{');
    if (status != CT_OK || cti_json_accept(json, '}')) return status;
    do {
        char *key;
        size_t length;
        status = cti_json_string(json, &key, &length);
        if (status == CT_OK) status = cti_json_expect(json, ':');
        if (status == CT_OK) status = member(json, key, length, context);
        if (status != CT_OK) return status;
    } while (cti_json_accept(json, ','));
    return cti_json_expect(json, '}');
}

ct_status cti_json_numbers(cti_json *json, const char *what, int64_t *out, int64_t capacity,
                           int64_t *n) {
    *n = 0;
    ct_status status = cti_json_expect(json, '[');
    if (status != CT_OK || cti_json_accept(json, ']')) return status;
    do {
        skip_space(json);
        size_t word = word_length(json);
        int64_t number;
        if (word == 0) return cti_json_expected(json, "a number");
        if (!cti_whole_number(json->text + json->at, word, &number)) {
            return ct_fail(CT_ERR_FORMAT,
                           "%s: %s[%lld] must be a plain non-negative integer, got "
                           "'%s'",
                           json->name, what, (long long)*n,
                           cti_show(json->text + json->at, word).text);
        }
        json->at += word;
        if (*n < capacity) out[*n] = number;
        ++*n;
    } while (cti_json_accept(json, ','));
    return cti_json_accept(json, ']') ? CT_OK : cti_json_expected(json, "',' or ']'");
}

/* --- Writing ------------------------------------------------------------------------------ */

static void write_escape(cti_writer *out, char c) {
    static const char special[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *known = strchr(special, c);
    if (known) cti_write_format(out, "\\%c", letters[known - special]);
    else cti_write_format(out, "\\u%04x", (unsigned)c & 0x1f);
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
