/* Private: places in one block of memory, handed out and taken back phase by phase. It counts
 * bytes and touches none. */
#ifndef COTAN_ARENA_H
#define COTAN_ARENA_H

#include "tensor/base/zone.h"
#include "tensor/error.h"

#include <stdint.h>

typedef struct cti_range cti_range;

/* Gaps are filed by size: four bins for each power of two. */
#define CTI_ARENA_BINS 256

typedef struct {
    cti_range *ranges; /* memory of the list's nodes */
    cti_range *spare;  /* those not in use */
    cti_range *last;   /* of the list in order of offsets */
    cti_range *bins[CTI_ARENA_BINS];
    cti_range **ending;          /* phase -> ranges that it is the last of */
    int64_t most;                /* bytes ever in use, gaps included */
    int64_t in_use, most_in_use; /* gaps left out: no arrangement needs less */
} cti_arena;

/* For at most `places` calls of cti_arena_place and phases 0..phases; it lies in the zone. */
ct_status cti_arena_new(cti_arena *arena, cti_zone *zone, int64_t places, int64_t phases);
/* The offset of `bytes` bytes that stay in use until last_phase has ended. */
int64_t cti_arena_place(cti_arena *arena, int64_t bytes, int64_t last_phase);
/* Takes back what was in use until the end of this phase. */
void cti_arena_end_phase(cti_arena *arena, int64_t phase);

#endif
