/* Private: blocks that were freed, kept for the next request of their size, by each thread for
 * itself. */
#ifndef COTAN_BLOCKS_H
#define COTAN_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

/* The size that a request is rounded up to, at most an eighth more: blocks of one size are
 * interchangeable. Needs bytes <= PTRDIFF_MAX / 2. */
size_t cti_blocks_size(size_t bytes);
/* A block of such a size, or NULL: then it has to come from the system. */
void *cti_blocks_take(size_t size);
void cti_blocks_give(void *block, size_t size);
/* Bytes that wait in the lists of this thread. */
size_t cti_blocks_bytes(void);
/* Gives the blocks of this thread back to the system. A thread's end does so too. */
void cti_blocks_clear(void);

#endif
