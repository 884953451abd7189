/* Number of threads, version, and a line that says what the engine runs on.
 * It starts no threads; the runner does.
 * Invariant: the environment is read once, and a bad value is an error, never a default. */
#include "tensor/runtime.h"

#include "tensor/base/gemm.h"
#include "tensor/base/process.h"
#include "tensor/base/text.h"
#include "tensor/group.h"

#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_THREADS 256

static _Thread_local int chosen;

ct_status ct_threads_set(int threads) {
    if (threads < 1 || threads > MOST_THREADS) {
        return ct_fail(CT_ERR_RANGE, "ct_threads_set: threads must be 1..%d, got %d", MOST_THREADS,
                       threads);
    }
    chosen = threads;
    return CT_OK;
}

/* 0 with the error recorded for a bad value. */
static int default_threads(void) {
    const char *text = secure_getenv("CT_NUM_THREADS");
    if (text) {
        int64_t threads;
        bool number = cti_whole_number(text, strlen(text), &threads);
        if (number && threads >= 1 && threads <= MOST_THREADS) return (int)threads;
        ct_fail(CT_ERR_RANGE, "CT_NUM_THREADS must be 1..%d, got '%.64s'", MOST_THREADS, text);
        return 0;
    }
    if (cti_process_forked()) return 1;
    int available = omp_get_max_threads();
    return available > MOST_THREADS ? MOST_THREADS : available;
}

int ct_threads(void) {
    if (!chosen) chosen = default_threads();
    return chosen && cti_process_forked() ? 1 : chosen;
}

#define TEXT_OF(number) #number
#define VERSION(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *ct_version(void) {
    return VERSION(CT_VERSION_MAJOR, CT_VERSION_MINOR, CT_VERSION_PATCH);
}

const char *ct_info(void) {
    static _Thread_local char line[256];
    int ranks = ct_group_size(ct_group_current());
    char more[32] = "";
    if (ranks > 1) snprintf(more, sizeof more, " on each of %d ranks", ranks);
    snprintf(line, sizeof line, "cotan %s, BLIS %s (%s kernels), %d thread%s%s", ct_version(),
             cti_gemm_version(), cti_gemm_kernels(), ct_threads(), ct_threads() == 1 ? "" : "s",
             more);
    return line;
}
