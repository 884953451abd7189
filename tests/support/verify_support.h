/* Claims in tests: functions of one input as expressions, and what a report says. */
#ifndef COTAN_VERIFY_SUPPORT_H
#define COTAN_VERIFY_SUPPORT_H

#include "autograd/ops.h"
#include "autograd/verify.h"
#include "tests/support/test.h"

#include <string.h>

/* One ct_function of x, and one ct_closed_form of x and dy. */
#define FUNCTION(name, expression)                                            \
    static ct_tensor *name(void *context, ct_tensor *const in[], int64_t n) { \
        (void)context, (void)n;                                               \
        ct_tensor *x = in[0];                                                 \
        return expression;                                                    \
    }
#define CLOSED_OF(name, expression)                                                       \
    static ct_status name(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy, \
                          ct_tensor *out[]) {                                             \
        (void)context, (void)n;                                                           \
        ct_tensor *x = in[0];                                                             \
        (void)x;                                                                          \
        out[0] = expression;                                                              \
        return ct_error();                                                                \
    }

static inline ct_verify_report verified(const ct_claim *of, ct_verify_options options) {
    ct_verify_report report;
    EXPECT(ct_verify(of, options, &report) == CT_OK, "%s", ct_error_message());
    return report;
}

static inline bool has_note(const ct_verify_report *r, const char *part) {
    for (int64_t k = 0; k < r->n_notes; k++) {
        if (strstr(r->notes[k].text, part)) return true;
    }
    return false;
}

#endif
