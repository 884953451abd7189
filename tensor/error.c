/* The error record: one fixed buffer per thread.
 * It is not a log: only the first error is kept in full, because the later ones follow from it.
 * Invariant: recording an error allocates nothing. */
#include "tensor/error.h"

#include "tensor/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
    ct_status status;
    int later;
    char message[1024];
} record;

ct_status ct_error(void) { return record.status; }

const char *ct_error_message(void) { return record.message; }

int ct_error_count(void) { return record.later; }

void ct_error_clear(void) {
    record.status = CT_OK;
    record.later = 0;
    record.message[0] = '\0';
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

static void record_message(ct_status status, const char *format, va_list arguments) {
    if (record.status != CT_OK) {
        record.later++;
        return;
    }
    record.status = status;
    vsnprintf(record.message, sizeof record.message, format, arguments);
    const char *path = cti_context()->path;
    if (*path) {
        size_t used = strlen(record.message);
        snprintf(record.message + used, sizeof record.message - used, " (in %s)", path);
    }
}

ct_status ct_fail(ct_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    record_message(status, format, arguments);
    va_end(arguments);
    return status;
}

void *ct_fail_null(ct_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    record_message(status, format, arguments);
    va_end(arguments);
    return NULL;
}
