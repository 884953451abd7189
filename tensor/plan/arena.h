/* Private: offsets in one block of memory, assigned by best fit and freed phase by phase. It
 * touches no memory of the block. */
#ifndef COTAN_ARENA_H
#define COTAN_ARENA_H

#include "tensor/base/zone.h"
#include "tensor/error.h"

#include <stdint.h>

typedef struct cti_range cti_range;

/* Free ranges (gaps) are binned by size: four bins for each power of two. */
#define CTI_ARENA_BINS 256

typedef struct {
    cti_range *ranges; /* memory of the list's nodes */
    cti_range *spare;  /* nodes not in the list */
    cti_range *last;   /* the list, ordered by offset, from its end */
    cti_range *bins[CTI_ARENA_BINS];
    cti_range **ending;          /* phase -> ranges whose last phase it is */
    int64_t most;                /* size of the block so far, gaps included */
    int64_t in_use, most_in_use; /* without gaps: a lower bound */
} cti_arena;

/* For at most `places` calls of cti_arena_place and phases 0..phases; it lies in the zone. */
ct_status cti_arena_new(cti_arena *arena, cti_zone *zone, int64_t places, int64_t phases);
/* The offset of `bytes` bytes that stay in use until last_phase has ended. */
int64_t cti_arena_place(cti_arena *arena, int64_t bytes, int64_t last_phase);
/* Frees the ranges whose last phase this is. */
void cti_arena_end_phase(cti_arena *arena, int64_t phase);

#endif
