/* Private: blocks that were freed, kept for the next request of their size. One pool per thread. */
#ifndef COTAN_POOL_H
#define COTAN_POOL_H

#include <stdbool.h>
#include <stddef.h>

/* The size that a request is rounded up to, at most an eighth more: blocks of one size are
 * interchangeable. Needs bytes <= PTRDIFF_MAX / 2. */
size_t cti_pool_size(size_t bytes);
/* A block of such a size, or NULL: then it has to come from the system. */
void *cti_pool_take(size_t size);
void cti_pool_give(void *block, size_t size);
/* Bytes that wait in this thread's pool. */
size_t cti_pool_bytes(void);
/* Gives the blocks of this thread back to the system. A thread's end does so too. */
void cti_pool_clear(void);

#endif
