/* Arrays that grow by doubling.
 * It knows no elements, only their size.
 * Invariant: appending n elements copies each of them at most twice on average. */
#include "tensor/base/array.h"

#include "tensor/base/alloc.h"

#include <string.h>

enum { FIRST = 16 };

/* memcpy, because an int ** must not be read through a void **. */
static bool resize(void *array, int64_t capacity, size_t size) {
    void *block;
    memcpy(&block, array, sizeof block);
    void *grown = cti_realloc(block, (size_t)capacity, size);
    if (grown) memcpy(array, &grown, sizeof grown);
    return grown != NULL;
}

bool cti_reserve(void *array, int64_t *capacity, int64_t needed, size_t size) {
    if (needed <= *capacity) return true;
    int64_t most = 2 * *capacity;
    if (most < needed) most = needed;
    if (most < FIRST) most = FIRST;
    if (!resize(array, most, size)) return false;
    *capacity = most;
    return true;
}

bool cti_grow(void *array, int64_t count, size_t size) {
    if (count > 0 && count < FIRST) return true;
    bool full = (count & (count - 1)) == 0; /* also of none */
    return !full || resize(array, count ? 2 * count : FIRST, size);
}
