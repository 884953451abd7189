/* Private: arrays that grow. */
#ifndef COTAN_ARRAY_H
#define COTAN_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `array` is the address of the pointer to the first element: NULL, or a block of cti_alloc that
 * the owner frees. New elements are zeroed. False with the error recorded when out of memory; the
 * array is unchanged then. */

/* Grows the capacity to at least `needed` elements of `size` bytes, and at least to twice of what
 * it was; *capacity is updated. */
bool cti_reserve(void *array, int64_t *capacity, int64_t needed, size_t size);
/* Makes room for one more element in an array that only grows, one by one, through this function:
 * its capacity is the next power of two above the count, and need not be stored. */
bool cti_grow(void *array, int64_t count, size_t size);

#endif
