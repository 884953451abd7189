/* Private: foreign text in DOT, and DOT into files. Both pictures use it, that of a graph and that
 * of a model. */
#ifndef COTAN_DOT_LABEL_H
#define COTAN_DOT_LABEL_H

#include "tensor/error.h"

#include <stddef.h>
#include <stdio.h>

#define CTI_DOT_CHARACTERS 120

/* Text that stands for itself between quotes, by value so that one line can hold several. */
typedef struct {
    char text[CTI_DOT_CHARACTERS * 5 + 1];
} cti_dot_text;
/* Escapes quotes, backslashes, ampersands and newlines; control characters and what is not UTF-8
 * become U+FFFD; above 120 characters it is cut, with "..." at the end. NULL is "". */
cti_dot_text cti_dot_escape(const char *text);
/* Writes `text` escaped and in quotes: one attribute value. */
void cti_dot_label(FILE *out, const char *text);

/* Puts DOT text into a file: .dot as it is, .svg .png .pdf rendered. See ct_dot_save. */
ct_status cti_dot_save_text(const char *function, const char *path, const char *text,
                            size_t length);

/* Milliseconds that the program `dot` may take: 30000. Tests shorten it. */
extern int cti_dot_patience;

#endif
