/* Zones: bump allocation from blocks that double in size. Single allocations are neither grown nor
 * freed. Invariant: the last block has `left` free bytes at its end; the number of blocks is
 * logarithmic in the bytes allocated. */
#include "tensor/base/zone.h"

#include "tensor/base/alloc.h"

#include <stdalign.h>
#include <string.h>

#define FIRST_BLOCK ((size_t)4096)

typedef struct cti_zone_block {
    struct cti_zone_block *before;
    size_t size; /* bytes of `bytes` */
    alignas(max_align_t) char bytes[];
} block;

static bool add_block(cti_zone *zone, size_t needed) {
    size_t size = zone->last ? 2 * zone->last->size : FIRST_BLOCK;
    while (size < needed) size *= 2;
    block *added = cti_alloc_raw(1, sizeof *added + size);
    if (!added) return false;
    *added = (block){.before = zone->last, .size = size};
    zone->last = added;
    zone->left = size;
    return true;
}

void *cti_zone_alloc(cti_zone *zone, size_t count, size_t size) {
    size_t bytes, most = SIZE_MAX / 4, unit = alignof(max_align_t);
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > most) {
        return cti_alloc(count, size); /* which says that there is no such memory */
    }
    bytes = (bytes + unit - 1) / unit * unit;
    bool full = !zone->last || bytes > zone->left;
    if (full && !add_block(zone, bytes)) return NULL;
    char *piece = zone->last->bytes + (zone->last->size - zone->left);
    zone->left -= bytes;
    return memset(piece, 0, bytes);
}

void cti_zone_free(cti_zone *zone) {
    for (block *b = zone->last, *before; b; b = before) {
        before = b->before;
        cti_free(b);
    }
    *zone = (cti_zone){0};
}
