/* Private: how the library takes memory. What users see of it is in tensor/mem.h. */
#ifndef COTAN_ALLOC_H
#define COTAN_ALLOC_H

#include "tensor/mem.h"

#define CTI_ALIGNMENT 64

/* count * size zeroed bytes, or NULL with the error recorded. A request of 0 bytes is valid. */
void *cti_alloc(size_t count, size_t size);
/* The same without zeroing: for memory that is written whole before it is read. */
void *cti_alloc_raw(size_t count, size_t size);
/* `before` bytes, and behind them the elements of a shape that has passed cti_shape_check; not
 * zeroed. The message says what for. */
void *cti_alloc_elements(const char *function, size_t before, ct_shape shape, ct_dtype dtype,
                         void **elements);
/* Grows or shrinks; on failure the old block stays as it is. New bytes are zeroed. */
void *cti_realloc(void *block, size_t count, size_t size);
void cti_free(void *block);
/* Gives a block that waited in a pool back to the system: blocks.c's only. */
void cti_system_free(void *block);
/* Whether freed blocks wait for their next use. Off, a memory checker sees every use of a block
 * after its end. */
void cti_pooling_set(bool on);
char *cti_strdup(const char *text);

#endif
