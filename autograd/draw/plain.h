/* Private: names made fit for text files: whatever bytes they hold, what is written is UTF-8
 * without control characters. What else a format gives a meaning to, it escapes itself. */
#ifndef COTAN_PLAIN_H
#define COTAN_PLAIN_H

#include <stddef.h>

#define CTI_PLAIN_CHARACTERS 120

typedef const char *cti_replacement_of(const char *text, size_t *length);
/* A text with its characters replaced, cut above 120 characters with "..." at the end; NULL is "".
 * `out` has room for as many times the longest replacement, and the end. */
void cti_replace(char *out, const char *text, cti_replacement_of *replacement);

/* By value, so that one line can hold several. */
typedef struct {
    char text[CTI_PLAIN_CHARACTERS * 4 + 1];
} cti_plain_text;
/* The same with ", " for newlines. */
cti_plain_text cti_plain(const char *text);

#endif
