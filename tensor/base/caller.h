/* Private: the function that the user called, which is the one that a message names.
 *
 * Functions of the library are made of each other, and whoever called ct_mean has never heard of
 * the ct_div inside of it. So a function that calls other public ones says CTI_CALLED; first: what
 * fails until it returns is reported under its name. The outermost one counts. Where the library
 * calls code of the user (a module's forward, a loss), CTI_CALLS_USER; makes a new beginning. */
#ifndef COTAN_CALLER_H
#define COTAN_CALLER_H

#include "tensor/error.h"

#include <stdint.h>

typedef struct {
    const char *name; /* of the outermost function, NULL: none says its name */
    int errors;       /* recorded before it was called */
} cti_call;

/* Both end with the block that they stand in, however it is left. */
#define CTI_CALLED CTI_CALLED_AS(__func__)
#define CTI_CALLS_USER CTI_CALLED_AS(NULL)
#define CTI_CALLED_AS(function)   \
    const cti_call cti_outer_call \
        __attribute__((unused, cleanup(cti_call_end))) = cti_call_begin(function)

cti_call cti_call_begin(const char *name);
void cti_call_end(const cti_call *outer);

/* A function that returns no tensor was given NULL (printf format; start with the function's
 * name): an error of its own, or the consequence of the one on record. That one stays, but when it
 * was there before the call, its message says from now on that it is the earlier one. Returns the
 * status on record. */
ct_status cti_null(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* NULL in, NULL out: a function that returns a pointer was given NULL. An error of its own when
 * none is on record; otherwise its consequence, of which nothing is said. Returns NULL. */
void *cti_null_in(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same as cti_null for an array of `n` elements, in the arguments that are called `name` and
 * `count`: one of none may be NULL, and a count is not negative. CT_OK when it is right. */
ct_status cti_check_array(const char *function, const char *name, const void *array,
                          const char *count, int64_t n);

/* Checks that a size is in 1..2^31-1, so that products of two sizes stay below 2^62. */
ct_status cti_check_size(const char *function, const char *name, int64_t size);
ct_status cti_check_sizes(const char *function, const char *name, const int64_t sizes[2]);
/* Checks that a number lies in [low, high). */
ct_status cti_check_number(const char *function, const char *name, double value, double low,
                           double high);
/* Checks that options are those of `maker`, whose mark is the address of its name. Where zero is a
 * legal number and not the default, zeroed options would be numbers that nobody chose. */
ct_status cti_check_made_by(const char *function, const char *made_by, const char *maker);

#endif
