/* Cutting: tile passes into parts and tiles.
 * It does not choose what is in a pass, and knows no instruction. Kernels cut themselves.
 * Invariant: how a block of a reduction is cut follows from the block alone, so its bits depend on
 * neither the other members of the pass, nor the number of threads, nor how many blocks there are:
 * a row of a batch is summed in the same way by a rank that has few of them. */
#include "tensor/base/shape_rules.h"
#include "tensor/plan/planning.h"

#include <unistd.h>

#define PART_ELEMENTS (32 * CTI_TILE) /* most elements of a part */
#define SMALL (8 * CTI_TILE)          /* elements of a map for which one thread is enough */
#define MIN_PARTS 4                   /* fewest parts of a larger map */
#define NARROW_TILES 16               /* tiles of a part of a narrow reduction */
#define MOST_CHUNKS 64                /* of a block of a wide reduction */
#define ACCUMULATOR 64 /* fewest elements that a reduction accumulates side by side */
#define FAR 1e6        /* bytes; what is smaller is in the L2 cache, which needs no prefetch */

/* Bytes of the L1 cache that tiles may fill. Maps whose tiles would not fit take smaller ones;
 * reductions do not, because the size of the tiles decides the order of their additions. */
static int64_t room_for_tiles(void) {
    long cache = 0;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    cache = sysconf(_SC_LEVEL1_DCACHE_SIZE);
#endif
    return (cache > 0 ? cache : 32 * 1024) / 8 * 5;
}

/* --- One function per kind -------------------------------------------------------------------- */

static void cut_map(cti_pass *pass, int64_t room) {
    cti_tiles *t = &pass->tiles;
    /* Tiles begin at multiples of the longest period that fits into one. */
    int64_t period = 1;
    for (int64_t k = 0; k < t->n_loads; k++) {
        int64_t p = t->loads[k].period;
        if (p <= CTI_TILE && p > period && p % period == 0) period = p;
    }
    int64_t most = CTI_TILE, alive = t->n_loads + t->n_registers;
    bool crowded = alive * CTI_TILE * (int64_t)sizeof(float) > room;
    if (crowded && period <= CTI_TILE / 2) most /= 2;
    t->tile = most / period * period;
    int64_t parts = cti_most(cti_divide_up(t->numel, PART_ELEMENTS),
                             cti_least(MIN_PARTS, t->numel / SMALL));
    int64_t tiles = cti_divide_up(t->numel, t->tile);
    t->unit = 1;
    t->units = t->numel;
    t->per_part = cti_most(1, cti_divide_up(tiles, cti_most(1, parts))) * t->tile;
    t->chunks = pass->parts[0] = cti_divide_up(t->numel, t->per_part);
}

static void cut_narrow(cti_pass *pass) {
    cti_tiles *t = &pass->tiles;
    int64_t block = t->geometry.count * t->geometry.inner;
    int64_t blocks_per_tile = CTI_TILE / cti_most(1, block);
    t->tile = blocks_per_tile * block;
    t->unit = block;
    t->units = t->geometry.outer;
    t->per_part = NARROW_TILES * blocks_per_tile;
    t->chunks = pass->parts[0] = cti_divide_up(t->units, t->per_part);
}

/* A chunk is a range of a block's rows, with a partial result of its own. */
static void cut_wide(cti_pass *pass) {
    cti_tiles *t = &pass->tiles;
    ct_reduction g = t->geometry;
    t->tile = CTI_TILE;
    t->accumulator = g.inner;
    if (g.inner <= CTI_TILE) {
        t->accumulator = cti_least(CTI_TILE / g.inner, cti_divide_up(ACCUMULATOR, g.inner)) *
                         g.inner;
        t->tile = CTI_TILE / t->accumulator * t->accumulator;
    }
    int64_t rows_per_tile = cti_most(1, t->tile / g.inner);
    int64_t chunks = cti_most(1, g.count * g.inner / PART_ELEMENTS);
    chunks = cti_least(chunks, MOST_CHUNKS);
    t->unit = g.inner;
    t->units = g.count;
    t->per_part = cti_divide_up(cti_divide_up(g.count, chunks), rows_per_tile) * rows_per_tile;
    t->chunks = cti_divide_up(g.count, t->per_part);
    pass->parts[0] = g.outer * t->chunks;
    pass->parts[1] = t->chunks > 1 ? g.outer : 0;
}

/* --- Loads ------------------------------------------------------------------------------------ */

/* A periodic load is expanded once only if all tiles begin at multiples of its period. */
static bool tiles_align(const cti_pass *pass, int64_t period) {
    const cti_tiles *t = &pass->tiles;
    if (t->tile % period) return false;
    if (pass->kind != CTI_WIDE) return true;
    ct_reduction g = t->geometry;
    return g.inner <= CTI_TILE && (g.outer == 1 || g.count * g.inner % period == 0);
}

static void settle_loads(cti_pass *pass) {
    cti_tiles *t = &pass->tiles;
    for (int64_t k = 0; k < t->n_loads; k++) {
        cti_load *load = &t->loads[k];
        if (load->kind == CTI_PERIODIC && !tiles_align(pass, load->period)) {
            load->kind = CTI_GATHERED;
        }
        t->gathers |= load->kind == CTI_GATHERED;
    }
}

static void fetch_ahead(const cti_plan *plan, cti_pass *pass) {
    cti_tiles *t = &pass->tiles;
    if (cti_pass_cost(plan, pass).bytes <= FAR) return;
    int64_t line = CTI_LINE / (int64_t)sizeof(float);
    t->fetched = (t->tile / (t->n_instructions + t->n_reductions) / line + 1) * line;
}

ct_status cti_plan_cut(cti_planning *p) {
    int64_t room = room_for_tiles();
    for (int64_t k = 0; k < p->plan->n_passes; k++) {
        cti_pass *pass = &p->plan->passes[k];
        if (!cti_has_tiles(pass)) continue;
        if (pass->kind == CTI_MAP) cut_map(pass, room);
        if (pass->kind == CTI_NARROW) cut_narrow(pass);
        if (pass->kind == CTI_WIDE) cut_wide(pass);
        settle_loads(pass);
        fetch_ahead(p->plan, pass);
    }
    return CT_OK;
}
