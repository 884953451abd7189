/* Private: the number parser of file formats and of the environment. */
#ifndef COTAN_TEXT_H
#define COTAN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A whole number in 0..2^63-1: digits only, no sign, no leading zero, in any locale. False for
 * anything else. */
bool cti_whole_number(const char *text, size_t length, int64_t *value);

#endif
