/* Private: a bump allocator, for what is freed together, such as a plan. */
#ifndef COTAN_ZONE_H
#define COTAN_ZONE_H

#include <stddef.h>

/* {0} is an empty one. */
typedef struct {
    struct cti_zone_block *last; /* allocations come from this block */
    size_t left;                 /* free bytes at its end */
} cti_zone;

/* count * size zeroed bytes, aligned for every type, or NULL with the error recorded. */
void *cti_zone_alloc(cti_zone *zone, size_t count, size_t size);
/* Frees all allocations; the zone is empty then. */
void cti_zone_free(cti_zone *zone);

#endif
