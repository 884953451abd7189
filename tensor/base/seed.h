/* Private: this thread's seed, and how many keys it has drawn. */
#ifndef COTAN_SEED_H
#define COTAN_SEED_H

#include <stdint.h>

/* The next key of ct_seed_draw: the seed, and the number of its stream. */
int64_t *cti_seed(void);

#endif
