/* Private: arrays that grow. */
#ifndef COTAN_ARRAY_H
#define COTAN_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `array` points to the pointer to the first element: NULL, or a block of cti_alloc that the owner
 * frees. New elements are zeroed. False with the error recorded when there is no memory: then the
 * array is what it was. */

/* Makes room for `needed` elements of `size` bytes where there is room for *capacity, which it
 * keeps up to date. The room at least doubles. */
bool cti_reserve(void *array, int64_t *capacity, int64_t needed, size_t size);
/* Makes room for one element more in an array that was filled one by one through this function and
 * keeps no capacity: its room is the next power of two. */
bool cti_grow(void *array, int64_t count, size_t size);

#endif
