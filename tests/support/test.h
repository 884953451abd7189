/* How a test is written:
 *
 *     TEST(suite, name) { EXPECT(ct_numel(ct_full(CT_F32, CT_SHAPE(2), 1)) == 2); }
 *
 * It has to end without an error on record and with the live bytes that it began with. TEST_WITH
 * calls `open` before and `close` after it, within what is counted. The same source is a Criterion
 * suite, in which each test is a process of its own, and a part of the plain program `selftest`,
 * which valgrind and the thread sanitizer can follow; a suite that needs the processes says
 * `#define COTAN_PROCESSES` in its first lines. */
#ifndef COTAN_TESTS_TEST_H
#define COTAN_TESTS_TEST_H

#include "tests/support/support.h"

#ifdef COTAN_SELFTEST

#include "tests/support/plain.h"

#define SUPPORT_RUN_BY(suite, name)                          \
    static const support_test *const suite##_##name##_listed \
        __attribute__((section("selftest_cases"), used)) = &suite##_##name##_test;

#else

#include <criterion/criterion.h>

#define SUPPORT_RUN_BY(suite, name) \
    Test(suite, name) { cr_assert(support_run(&suite##_##name##_test)); }

#endif

#define TEST(suite, name) TEST_WITH(suite, name, NULL, NULL)
#define TEST_WITH(suite, name, open, close)                                                 \
    static void suite##_##name(void);                                                       \
    static const support_test suite##_##name##_test = {#suite, #name, open, suite##_##name, \
                                                       close};                              \
    SUPPORT_RUN_BY(suite, name)                                                             \
    static void suite##_##name(void)

#endif
