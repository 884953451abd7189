/* Private: the part of JSON (RFC 8259) that headers of files need; read strictly and in place.
 *
 * There is no tree and no recursion: the caller's grammar is fixed, so it asks for what must come
 * next. Reading takes no memory, a string is decoded where it stands. Messages are
 * "<name>: JSON: expected ':', got '}' at byte 41". */
#ifndef COTAN_JSON_H
#define COTAN_JSON_H

#include "tensor/io/writer.h"

#include <stdbool.h>

typedef struct {
    const char *name; /* of the file */
    char *text;       /* used up before `at`: strings have been decoded there */
    size_t length, at;
    size_t start; /* where the text begins in the file */
} cti_json;

/* Skips white space, then takes `wanted` if it is next. */
bool cti_json_accept(cti_json *json, char wanted);
/* The same, but anything else is an error. */
ct_status cti_json_expect(cti_json *json, char wanted);
/* Records that `what` was expected at the cursor. */
ct_status cti_json_expected(const cti_json *json, const char *what);
/* A string: valid UTF-8, no NUL, no lone surrogate. *out is decoded, ends with a NUL, lives in
 * the text and begins where the opening quote was. */
ct_status cti_json_string(cti_json *json, char **out, size_t *length);
/* An object: `member` is given each key, which lives as long as the text, and reads its value. */
typedef ct_status cti_json_member(cti_json *json, char *key, size_t length, void *context);
ct_status cti_json_object(cti_json *json, cti_json_member *member, void *context);
/* An array of plain whole numbers in 0..2^63-1: no sign, fraction, exponent or leading zero. The
 * first `capacity` are stored, *n counts them all. `what` names the array in messages. */
ct_status cti_json_numbers(cti_json *json, const char *what, int64_t *out, int64_t capacity,
                           int64_t *n);

/* The length in bytes of the UTF-8 sequence at text[0..left), left > 0; 0 when it is not
 * valid: overlong, a surrogate, above U+10FFFF or cut short. */
size_t cti_utf8_length(const char *text, size_t left);

/* `text` in quotes, escaped; the caller has checked that it is UTF-8. */
void cti_write_json_string(cti_writer *out, const char *text);

#endif
