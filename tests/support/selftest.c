/* The suites as a plain program, for tools that cannot follow Criterion's processes.
 * Usage: selftest [--scale PERCENT] [--no-pool] [--list] [suite or suite/test ...]
 * Invariant: the exit status is 0 only if every test that was asked for ran and passed. */
#include "tensor/base/alloc.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const support_test *const __start_selftest_cases[], *const __stop_selftest_cases[];

static bool asked_for(const support_test *test, char *const names[], int n) {
    char name[128];
    snprintf(name, sizeof name, "%s/%s", test->suite, test->name);
    for (int i = 0; i < n; i++) {
        if (strcmp(names[i], test->suite) == 0 || strcmp(names[i], name) == 0) return true;
    }
    return n == 0;
}

int main(int argc, char *argv[]) {
    int first = 1, ran = 0, failed = 0;
    bool list = false;
    support_scale_set(4);
    for (; first < argc && argv[first][0] == '-'; first++) {
        if (strcmp(argv[first], "--list") == 0) list = true;
        else if (strcmp(argv[first], "--no-pool") == 0) cti_free_lists_set(false);
        else if (strcmp(argv[first], "--scale") == 0 && first + 1 < argc) {
            support_scale_set(strtoll(argv[++first], NULL, 10));
        } else {
            fprintf(stderr, "selftest: unknown option '%s'\n", argv[first]);
            return 2;
        }
    }
    for (const support_test *const *test = __start_selftest_cases; test < __stop_selftest_cases;
         test++) {
        if (!asked_for(*test, argv + first, argc - first)) continue;
        printf("%s/%s\n", (*test)->suite, (*test)->name);
        fflush(stdout);
        ran++;
        if (!list && !support_run(*test)) {
            failed++;
            printf("  FAILED\n");
        }
    }
    printf("%d tests, %d failed\n", ran, failed);
    return failed > 0 || ran == 0;
}
