/* Private: the function that the user called, which is the one that a message names.
 *
 * Public functions call each other, and a user who called ct_mean does not know of the ct_div in
 * it. So a function that calls other public ones begins with CTI_CALLED: errors until it returns
 * are reported under its name. With several such calls open, the outermost counts. CTI_CALLS_USER
 * before a call of user code (a module's forward, a loss) starts over. */
#ifndef COTAN_CALLER_H
#define COTAN_CALLER_H

#include "tensor/error.h"

#include <stdint.h>

typedef struct {
    const char *name; /* of the outermost function that said CTI_CALLED, or NULL */
    int64_t errors;   /* recorded before it was called */
    int depth;        /* 1 in that function itself, 2 in what it calls, .. */
} cti_call;

/* In effect until the end of the block, however it is left. */
#define CTI_CALLED CTI_CALLED_AS(__func__)
#define CTI_CALLS_USER CTI_CALLED_AS(NULL)
#define CTI_CALLED_AS(function)   \
    const cti_call cti_outer_call \
        __attribute__((unused, cleanup(cti_call_end))) = cti_call_begin(function)

cti_call cti_call_begin(const char *name);
void cti_call_end(const cti_call *outer);
/* The function that the user called, name NULL: none, and how deep inside of it this is. */
cti_call cti_caller(void);
/* How many errors this thread has recorded, also those that were cleared. */
int64_t cti_errors_so_far(void);

/* Calls a function whose errors are nobody's: the record is then what it was before. */
ct_status cti_try(ct_status (*function)(void *context), void *context);

/* A function that returns no pointer was given NULL (printf format; start with the function's
 * name). Without an error on record this is one. Otherwise it is taken for a consequence of that
 * error, which stays; if it was recorded before the call, this message is appended. Returns the
 * status on record. */
ct_status cti_null(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* NULL in, NULL out: a function that returns a pointer was given NULL. An error if none is on
 * record; otherwise its consequence, which is not recorded. Returns NULL. */
void *cti_null_in(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Checks the arguments called `name` and `count`, an array and its number of elements: the count is
 * >= 0, and the array is NULL only if it is 0. */
ct_status cti_check_array(const char *function, const char *name, const void *array,
                          const char *count, int64_t n);

#endif
