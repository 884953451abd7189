/* The error record: one fixed buffer per thread.
 * It is not a log: only the first error is kept in full, because the later ones follow from it.
 * Invariant: recording an error allocates nothing. */
#include "tensor/error.h"

#include "tensor/base/caller.h"
#include "tensor/base/context.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
    ct_status status;
    int later;
    int64_t recorded; /* errors, also those that are cleared */
    cti_call call;
    size_t length; /* of the message without the appendix about a later call */
    size_t cause;  /* of the message without the place either */
    char message[1024];
} record;

int64_t cti_errors_so_far(void) { return record.recorded; }

cti_call cti_call_begin(const char *name) {
    cti_call outer = record.call;
    if (!name || !outer.name) record.call = (cti_call){name, cti_errors_so_far(), 0};
    record.call.depth++;
    return outer;
}

void cti_call_end(const cti_call *outer) { record.call = *outer; }

cti_call cti_caller(void) { return record.call; }

ct_status ct_error(void) { return record.status; }

const char *ct_error_message(void) { return record.message; }

int ct_error_count(void) { return record.later; }

void ct_error_clear(void) {
    record.status = CT_OK;
    record.later = 0;
    record.message[0] = '\0';
}

ct_status cti_try(ct_status (*function)(void *context), void *context) {
    const __typeof__(record) before = record;
    ct_error_clear();
    ct_status status = function(context);
    if (status == CT_OK) status = record.status;
    record = before;
    return status;
}

const char *ct_status_name(ct_status status) {
    static const char *const names[] = {
        [CT_OK] = "CT_OK",
        [CT_ERR_NULL] = "CT_ERR_NULL",
        [CT_ERR_SHAPE] = "CT_ERR_SHAPE",
        [CT_ERR_DTYPE] = "CT_ERR_DTYPE",
        [CT_ERR_RANGE] = "CT_ERR_RANGE",
        [CT_ERR_MEMORY] = "CT_ERR_MEMORY",
        [CT_ERR_IO] = "CT_ERR_IO",
        [CT_ERR_FORMAT] = "CT_ERR_FORMAT",
        [CT_ERR_GRADIENT] = "CT_ERR_GRADIENT",
        [CT_ERR_STATE] = "CT_ERR_STATE",
        [CT_ERR_DIVERGED] = "CT_ERR_DIVERGED",
    };
    size_t i = (size_t)status;
    return i < sizeof names / sizeof *names ? names[i] : "unknown status";
}

/* --- Messages --------------------------------------------------------------------------------- */

/* The length of "ct_reshape" in "ct_reshape: what is wrong"; 0 when no function comes first. */
static size_t function_length(const char *message) {
    size_t length = strspn(message, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return strncmp(message, "ct_", 3) == 0 && message[length] == ':' ? length : 0;
}

/* Appends a message, with the name of the function that the user called in place of the one that it
 * begins with. "Out of memory" gets that name too; other beginnings, such as a file, are kept. */
static void append_message(const char *format, va_list arguments) {
    char *end = record.message + strlen(record.message);
    size_t room = sizeof record.message - (size_t)(end - record.message);
    vsnprintf(end, room, format, arguments);
    size_t given = function_length(end);
    bool nameless = strncmp(end, "out of memory", strlen("out of memory")) == 0;
    if (!record.call.name || (given == 0 && !nameless)) return;
    char text[sizeof record.message];
    snprintf(text, sizeof text, "%s%s", given ? "" : ": ", end + given);
    snprintf(end, room, "%s%s", record.call.name, text);
}

static void append(const char *format, ...) {
    size_t length = strlen(record.message);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(record.message + length, sizeof record.message - length, format, arguments);
    va_end(arguments);
}

static void append_place(const cti_node_context *context) {
    const char *derived = context->derived, *path = context->path;
    if (derived && *path) append(" (in the derivative of '%s' in %s)", derived, path);
    else if (derived) append(" (in the derivative of '%s')", derived);
    else if (*path) append(" (in %s)", path);
}

/* Names and paths are the user's, and a message is one line. */
static void keep_one_line(void) {
    for (char *c = record.message; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
    }
}

/* An error in the same call follows from the one on record. One in a later call may not: its
 * message is appended to the first cause, in place of an earlier appendix, unless it is the same
 * again, as in a loop that goes on; of one call the first counts. */
static void append_later(const char *format, va_list arguments) {
    if (record.call.name && record.recorded > record.call.errors) return;
    record.message[record.length] = '\0';
    append(" (an earlier error; now ");
    const char *now = record.message + strlen(record.message);
    append_message(format, arguments);
    keep_one_line();
    bool again = strlen(now) == record.cause && memcmp(now, record.message, record.cause) == 0;
    if (again) record.message[record.length] = '\0';
    else append(")");
}

static void record_message(ct_status status, const char *format, va_list arguments) {
    if (record.status != CT_OK) {
        append_later(format, arguments);
        record.later++;
        record.recorded++;
        return;
    }
    record.recorded++;
    record.status = status;
    append_message(format, arguments);
    record.cause = strlen(record.message);
    append_place(cti_context());
    keep_one_line();
    record.length = strlen(record.message);
}

/* record_message with the arguments of the function it stands in. */
#define RECORD(status, format)                         \
    do {                                               \
        va_list arguments;                             \
        va_start(arguments, format);                   \
        record_message((status), (format), arguments); \
        va_end(arguments);                             \
    } while (0)

ct_status cti_null(const char *format, ...) {
    RECORD(CT_ERR_NULL, format);
    return record.status;
}

void *cti_null_in(const char *format, ...) {
    if (record.status == CT_OK) RECORD(CT_ERR_NULL, format);
    return NULL;
}

ct_status cti_check_array(const char *function, const char *name, const void *array,
                          const char *count, int64_t n) {
    if (n < 0) {
        return ct_fail(CT_ERR_RANGE, "%s: %s must be >= 0, got %lld", function, count,
                       (long long)n);
    }
    return n == 0 || array ? CT_OK : cti_null("%s: '%s' is NULL", function, name);
}

ct_status ct_fail(ct_status status, const char *format, ...) {
    RECORD(status, format);
    return status;
}

void *ct_fail_null(ct_status status, const char *format, ...) {
    RECORD(status, format);
    return NULL;
}
