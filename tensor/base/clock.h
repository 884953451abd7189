/* Private: a monotonic clock. */
#ifndef COTAN_CLOCK_H
#define COTAN_CLOCK_H

#include <time.h>

/* Seconds since an arbitrary moment. */
static inline double cti_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
