/* This thread's seed, which keys are drawn from in nn/ and ranks keep alike.
 * Invariant: threads have seeds of their own. */
#include "tensor/base/seed.h"

int64_t *cti_seed(void) {
    static _Thread_local int64_t seed[2];
    return seed;
}
