/* The arena of a plan: ranges of bytes in a list ordered by offset, gaps binned by size.
 * It does not know what the ranges are for.
 * Invariant: adjacent gaps are merged and the list never ends with a gap; a placement looks at a
 * bounded number of gaps, however many values are alive. */
#include "tensor/plan/arena.h"

#include <stdbool.h>

#define ALIGNMENT 64
#define LOOKS 16 /* gaps of the request's own bin that are compared */

struct cti_range {
    int64_t begin, end;
    bool gap;
    cti_range *before, *after;  /* in order of offsets */
    cti_range *previous, *next; /* in its bin; if in use: of its last phase */
};

ct_status cti_arena_new(cti_arena *arena, cti_zone *zone, int64_t places, int64_t phases) {
    *arena = (cti_arena){.ranges = cti_zone_alloc(zone, (size_t)places, sizeof *arena->ranges),
                         .ending = cti_zone_alloc(zone, (size_t)phases + 1, sizeof *arena->ending)};
    if (!arena->ranges || !arena->ending) return CT_ERR_MEMORY;
    for (int64_t k = 0; k < places; k++) {
        arena->ranges[k].next = arena->spare;
        arena->spare = &arena->ranges[k];
    }
    return CT_OK;
}

/* --- Bins ------------------------------------------------------------------------------------- */

/* Monotonic in the size: its power of two, then the next two bits. */
static int bin_of(int64_t bytes) {
    uint64_t units = (uint64_t)bytes / ALIGNMENT;
    if (units < 4) return (int)units;
    int power = 63 - __builtin_clzll(units);
    return (power - 1) * 4 + (int)(units >> (power - 2) & 3);
}

static int64_t size_of(const cti_range *s) { return s->end - s->begin; }

static void file_gap(cti_arena *arena, cti_range *s) {
    cti_range **bin = &arena->bins[bin_of(size_of(s))];
    s->gap = true;
    s->previous = NULL;
    s->next = *bin;
    if (*bin) (*bin)->previous = s;
    *bin = s;
}

static void unfile_gap(cti_arena *arena, cti_range *s) {
    if (s->previous) s->previous->next = s->next;
    else arena->bins[bin_of(size_of(s))] = s->next;
    if (s->next) s->next->previous = s->previous;
    s->gap = false;
}

/* Best fit among the first gaps of the bin, else any gap of the next bin that has one. */
static cti_range *find_gap(const cti_arena *arena, int64_t bytes) {
    int bin = bin_of(bytes), looks = 0;
    cti_range *best = NULL;
    for (cti_range *s = arena->bins[bin]; s && looks < LOOKS; s = s->next, looks++) {
        if (size_of(s) >= bytes && (!best || size_of(s) < size_of(best))) best = s;
    }
    while (!best && ++bin < CTI_ARENA_BINS) best = arena->bins[bin];
    return best;
}

/* --- The list --------------------------------------------------------------------------------- */

static cti_range *insert_after(cti_arena *arena, cti_range *before, int64_t begin, int64_t end) {
    cti_range *s = arena->spare;
    arena->spare = s->next;
    *s = (cti_range){.begin = begin, .end = end, .before = before};
    if (before) {
        s->after = before->after;
        before->after = s;
    }
    if (s->after) s->after->before = s;
    else arena->last = s;
    return s;
}

static void remove_range(cti_arena *arena, cti_range *s) {
    if (s->before) s->before->after = s->after;
    if (s->after) s->after->before = s->before;
    else arena->last = s->before;
    s->next = arena->spare;
    arena->spare = s;
}

/* The beginning of a gap; without one, new bytes at the end. */
static cti_range *take(cti_arena *arena, int64_t bytes) {
    cti_range *s = find_gap(arena, bytes);
    if (!s) {
        int64_t begin = arena->last ? arena->last->end : 0;
        return insert_after(arena, arena->last, begin, begin + bytes);
    }
    unfile_gap(arena, s);
    if (size_of(s) > bytes) {
        file_gap(arena, insert_after(arena, s, s->begin + bytes, s->end));
        s->end = s->begin + bytes;
    }
    return s;
}

static void absorb(cti_arena *arena, cti_range *s, cti_range *neighbour) {
    if (!neighbour || !neighbour->gap) return;
    unfile_gap(arena, neighbour);
    if (neighbour->begin < s->begin) s->begin = neighbour->begin;
    else s->end = neighbour->end;
    remove_range(arena, neighbour);
}

int64_t cti_arena_place(cti_arena *arena, int64_t bytes, int64_t last_phase) {
    if (bytes == 0) return 0;
    cti_range *s = take(arena, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    arena->in_use += size_of(s);
    if (arena->in_use > arena->most_in_use) arena->most_in_use = arena->in_use;
    s->next = arena->ending[last_phase];
    arena->ending[last_phase] = s;
    if (s->end > arena->most) arena->most = s->end;
    return s->begin;
}

void cti_arena_end_phase(cti_arena *arena, int64_t phase) {
    for (cti_range *s = arena->ending[phase], *next; s; s = next) {
        next = s->next;
        arena->in_use -= size_of(s);
        absorb(arena, s, s->before);
        absorb(arena, s, s->after);
        if (s->after) file_gap(arena, s);
        else remove_range(arena, s);
    }
    arena->ending[phase] = NULL;
}
