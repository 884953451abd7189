/* Private: text of others within XML and HTML. */
#ifndef COTAN_XML_H
#define COTAN_XML_H

#include "tensor/io/writer.h"

#include <stdbool.h>

/* What is shown in place of the first character of `text`, which is not empty; *length is how many
 * bytes it has. NULL: itself. */
const char *cti_plain_character(const char *text, size_t *length);
/* "&lt;" for '<'; NULL for what means nothing in XML. */
const char *cti_entity(char c);
/* With entities; bytes that are no UTF-8, and control characters other than tabs and ends of lines,
 * become U+FFFD. */
void cti_write_escaped(cti_writer *out, const char *text);
/* The same without entities. */
void cti_write_plain(cti_writer *out, const char *text);

#endif
