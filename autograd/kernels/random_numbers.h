/* Private: random numbers by key and index. */
#ifndef COTAN_RANDOM_NUMBERS_H
#define COTAN_RANDOM_NUMBERS_H

#include "autograd/kernels/by_dtype.h"

/* y[first..end) of the stream of `key`, for a `first` that is a multiple of 4. */
typedef void cti_random_fn(const int64_t key[2], int64_t first, int64_t end, void *y);
CTI_DECLARE_REALS(cti_random_fn, cti_uniform); /* in [0, 1) */
CTI_DECLARE_REALS(cti_random_fn, cti_normal);  /* mean 0, standard deviation 1 */

#endif
