/* Private: random numbers by key and index. */
#ifndef COTAN_RANDOM_NUMBERS_H
#define COTAN_RANDOM_NUMBERS_H

#include "autograd/kernels/by_dtype.h"

/* Elements first..end) of the stream of `key`, of which y[0] is the first. */
typedef void cti_random_fn(const int64_t key[2], int64_t first, int64_t end, void *y);
cti_random_fn cti_uniform_f32, cti_uniform_f64; /* in [0, 1) */
cti_random_fn cti_normal_f32, cti_normal_f64;   /* mean 0, standard deviation 1 */

#endif
