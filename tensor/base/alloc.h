/* Private: how the library takes memory. What users see of it is in tensor/mem.h. */
#ifndef COTAN_ALLOC_H
#define COTAN_ALLOC_H

#include "tensor/mem.h"

#define CTI_ALIGNMENT 64

/* count * size zeroed bytes, or NULL with the error recorded. A request of 0 bytes is valid. */
void *cti_alloc(size_t count, size_t size);
/* The same without zeroing. */
void *cti_alloc_raw(size_t count, size_t size);
/* One block of `before` bytes, then the elements of a shape that has passed cti_shape_check,
 * aligned; not zeroed. The message says what they are for. */
void *cti_alloc_elements(const char *function, size_t before, ct_shape shape, ct_dtype dtype,
                         void **elements);
/* Grows or shrinks; new bytes are zeroed. On failure the old block is unchanged. */
void *cti_realloc(void *block, size_t count, size_t size);
void cti_free(void *block);
/* Whether each thread keeps freed blocks in lists for its next requests of their size. Off, a
 * memory checker sees every use of a block after its end. */
void cti_free_lists_set(bool on);
/* Gives the kept blocks of this thread back to the system, as its end does. */
void cti_free_lists_clear(void);
char *cti_strdup(const char *text);

#endif
