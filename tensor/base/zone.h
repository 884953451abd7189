/* Private: memory that is taken piece by piece and given back at once, as for all that belongs to a
 * plan. */
#ifndef COTAN_ZONE_H
#define COTAN_ZONE_H

#include <stddef.h>

/* {0} is an empty one. */
typedef struct {
    struct cti_zone_block *last; /* pieces are taken from it; it knows the one before */
    size_t left;                 /* bytes at its end that are free */
} cti_zone;

/* count * size zeroed bytes, aligned for every type, or NULL with the error recorded; what was
 * taken before stays. */
void *cti_zone_alloc(cti_zone *zone, size_t count, size_t size);
/* Gives everything back; the zone is empty then. */
void cti_zone_free(cti_zone *zone);

#endif
