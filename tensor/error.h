/* Errors: a status, and one thread-local record of the first thing that went wrong.
 *
 * A function that returns a tensor returns NULL when it fails, and NULL when it is given NULL, so
 * an expression needs one check at its end. The record keeps the first error until it is read
 * away with ct_error_clear; later errors are counted. Nothing here allocates.
 *
 * A message begins with the function that was called, whatever failed inside of it; in a forward,
 * with the kind of the layer ("Dense: ..."); or with the file that is read. Code of the user, such
 * as a module's forward or a loss, counts as the caller of what it calls. At the end stand the
 * module path and the op whose derivative was being formed: "(in the derivative of 'mul' in
 * net/dense)".
 *
 * An error may have nothing to do with one that is on record from before. So when a later call
 * fails, or one that returns no tensor is given NULL, the message goes on behind the first cause:
 * "... (an earlier error; now ct_optimizer_step: 'loss' is NULL)"; the latest call stands there. */
#ifndef COTAN_ERROR_H
#define COTAN_ERROR_H

#include <cotan/tensor/language.h>

CT_C_BEGIN

typedef enum {
    CT_OK = 0,
    CT_ERR_NULL,     /* an argument is NULL */
    CT_ERR_SHAPE,    /* shapes, ranks or axes do not fit */
    CT_ERR_DTYPE,    /* an element type that the function does not take */
    CT_ERR_RANGE,    /* a number outside its range */
    CT_ERR_MEMORY,   /* out of memory */
    CT_ERR_IO,       /* the operating system refused a file or a process */
    CT_ERR_FORMAT,   /* a file does not say what its format demands */
    CT_ERR_GRADIENT, /* a derivative that does not exist or cannot be formed */
    CT_ERR_STATE,    /* the right call at the wrong time */
    CT_ERR_DIVERGED, /* training came to a loss that is not finite */
} ct_status;

/* The status of the first error since the record was cleared; CT_OK when there is none. */
ct_status ct_error(void);
/* Its message, one line without a newline; "" when there is none. Valid until the next call that
 * fails, or until the next clear. */
const char *ct_error_message(void);
/* How many errors followed the first one. */
int ct_error_count(void);
void ct_error_clear(void); /* forgets the first and how many followed */
/* "CT_ERR_SHAPE" and so on. */
const char *ct_status_name(ct_status status);

/* Records an error (printf format; start with the function's name) and returns `status`. The
 * module path that is open at the time is appended. For user-defined ops and modules too, whose
 * names are kept as they are unless they begin with ct_. */
ct_status ct_fail(ct_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for functions that return a pointer: returns NULL. */
void *ct_fail_null(ct_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

CT_C_END

#endif
