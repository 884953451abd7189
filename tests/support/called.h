/* Calls whose message has to name the function that was called. */
#ifndef COTAN_TESTS_CALLED_H
#define COTAN_TESTS_CALLED_H

#include "tensor/mem.h"
#include "tensor/runtime.h"
#include "tests/support/test.h"

#include <string.h>

/* ANY: that of a layer or a loss too, which the user named in his turn. */
#define ANY NULL

static inline void expect_name(const char *name) {
    const char *message = ct_error_message();
    size_t length = name ? strlen(name) : strcspn(message, ": ");
    if (!name) name = message;
    cr_expect(strncmp(message, name, length) == 0 && message[length] == ':', "%s said '%s'", name,
              message);
    ct_error_clear();
}

/* A call that has to fail. */
#define WRONG_IN(name, call) \
    do {                     \
        (void)(call);        \
        expect_name(name);   \
    } while (0)
#define WRONG(function, ...) WRONG_IN(#function, function(__VA_ARGS__))

/* A call that is right, at each of its allocations in turn; `before` it there is memory. */
#define STARVED_AFTER(before, name, call)                                        \
    do {                                                                         \
        int64_t count = 1;                                                       \
        for (int64_t nth = 0; nth <= count; nth++) {                             \
            ct_cache_clear();                                                    \
            (void)(before);                                                      \
            count = nth == 0 ? -ct_mem_read().allocations : count;               \
            ct_mem_fail_at(nth, false);                                          \
            (void)(call);                                                        \
            ct_mem_fail_at(0, false);                                            \
            count += nth == 0 ? ct_mem_read().allocations : 0;                   \
            cr_expect(nth > 0 || ct_error() == CT_OK, "%s", ct_error_message()); \
            if (ct_error() != CT_OK) expect_name(name);                          \
        }                                                                        \
        cr_expect_gt(count, 0, "%s", #call);                                     \
    } while (0)
#define STARVED_IN(name, call) STARVED_AFTER(0, name, call)
#define STARVED(function, ...) STARVED_IN(#function, function(__VA_ARGS__))

#endif
