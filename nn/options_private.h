/* Private: checks of what users give to constructors of modules and optimizers. */
#ifndef COTAN_OPTIONS_PRIVATE_H
#define COTAN_OPTIONS_PRIVATE_H

#include "tensor/error.h"

#include <stdint.h>

/* Checks that a size is in 1..2^31-1, so that products of two sizes stay below 2^62. */
ct_status cti_check_size(const char *function, const char *name, int64_t size);
/* Height and width of an option: of one number alone it is both, of none `usual`. */
void cti_complete_sizes(int64_t sizes[2], int64_t usual);
ct_status cti_check_sizes(const char *function, const char *name, const int64_t sizes[2]);
/* Checks that a number lies in [low, high). */
ct_status cti_check_number(const char *function, const char *name, double value, double low,
                           double high);
/* Checks a list in options and its length: both are given, or neither. A list whose length was
 * forgotten would go unnoticed. */
ct_status cti_check_list(const char *function, const char *name, const void *list,
                         const char *count, int64_t n);
/* Checks that options come from the function `maker`, whose mark in them is the address of its
 * name: where 0 is legal but not the default, zeroed options would go unnoticed. */
ct_status cti_check_made_by(const char *function, const char *made_by, const char *maker);

#endif
