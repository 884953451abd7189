/* How a tile pass is cut into parts and tiles, and how its operands are loaded for a tile.
 * It does not choose what is in a pass, and knows no instruction.
 * Invariant: the way a reduction is cut follows from its geometry alone, so that its bits depend
 * neither on its companions nor on the number of threads. */
#include "tensor/plan/plan.h"

#include <unistd.h>

#define CHUNK (32 * CTI_TILE) /* elements of a part, at most */
#define SMALL (8 * CTI_TILE)  /* of a map that one thread does alone */
#define PARTS 4               /* of larger maps, at least */
#define BLOCKS_OF_ROWS 64     /* at most so many chunks per reduction */
#define ACCUMULATOR 64        /* elements that a reduction works on together, at least */

/* Where tiles would fill more of the first-level cache than this, in bytes, smaller ones are
 * quicker; but reductions add up tile by tile, and keep theirs. */
static int64_t room_for_tiles(void) {
    long cache = 0;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    cache = sysconf(_SC_LEVEL1_DCACHE_SIZE);
#endif
    return (cache > 0 ? cache : 32 * 1024) / 8 * 5;
}

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t at_least(int64_t low, int64_t value) { return value > low ? value : low; }

/* --- Loads ------------------------------------------------------------------------------------ */

/* Merges dimensions that are walked through as one. */
static void set_dims(cti_load *load, ct_shape shape, const ct_layout *layout) {
    load->rank = 0;
    for (int i = 0; i < shape.rank; i++) {
        int64_t dim = shape.dims[i], stride = layout->strides[i];
        if (dim == 1) continue;
        int last = load->rank - 1;
        if (last >= 0 && load->strides[last] == stride * dim) {
            load->dims[last] *= dim;
            load->strides[last] = stride;
        } else {
            load->dims[load->rank] = dim;
            load->strides[load->rank++] = stride;
        }
    }
}

static void classify(cti_load *load) {
    int r = load->rank;
    load->period = INT64_MAX;
    if (r == 1 && load->strides[0] == 0) load->period = 1;
    if (r == 2 && load->strides[0] == 0 && load->strides[1] == 1) load->period = load->dims[1];
    if (r == 0 || (r == 1 && load->strides[0] == 1)) load->kind = CTI_LINEAR;
    else load->kind = load->period <= CTI_TILE ? CTI_PERIODIC : CTI_GATHERED;
}

cti_load cti_load_of(const cti_item *in) {
    cti_load load = {
        .item = in->base, .offset = in->layout.offset, .size = ct_dtype_size(in->dtype)};
    set_dims(&load, in->shape, &in->layout);
    classify(&load);
    return load;
}

/* A periodic tile is the same for all tiles only if they all begin at a multiple of the period. */
static bool tiles_align(const cti_pass *pass, int64_t period) {
    if (pass->tile % period) return false;
    if (!pass->n_reductions || pass->chunks == 0) return true;
    ct_reduction g = pass->geometry;
    return g.inner <= CTI_TILE && (g.outer == 1 || g.count * g.inner % period == 0);
}

static void settle_loads(cti_pass *pass) {
    for (int64_t k = 0; k < pass->n_loads; k++) {
        cti_load *load = &pass->loads[k];
        if (load->kind == CTI_PERIODIC && !tiles_align(pass, load->period)) {
            load->kind = CTI_GATHERED;
        }
    }
}

/* --- Parts ------------------------------------------------------------------------------------ */

/* A block is the [count, inner] elements that become one row of `inner` results. Wide blocks are
 * cut into chunks of rows, each with its own partial result; several narrow ones share a tile. */
static void partition_reduction(cti_pass *pass) {
    ct_reduction g = pass->geometry;
    int64_t block = g.count * g.inner;
    pass->tile = CTI_TILE;
    pass->chunks = 1;
    pass->chunk_rows = g.count;
    if (block < CTI_TILE) {
        int64_t blocks_per_tile = at_least(1, CTI_TILE / at_least(1, block));
        pass->tile = blocks_per_tile * block;
        pass->chunks = 0; /* narrow */
        pass->parts[0] = ceil_div(g.outer, CTI_NARROW_TILES * blocks_per_tile);
        return;
    }
    pass->accumulator = g.inner;
    if (g.inner <= CTI_TILE) {
        pass->accumulator = least(CTI_TILE / g.inner, ceil_div(ACCUMULATOR, g.inner)) * g.inner;
        pass->tile = CTI_TILE / pass->accumulator * pass->accumulator;
    }
    int64_t rows_per_tile = at_least(1, pass->tile / g.inner);
    int64_t chunks = at_least(1, block / CHUNK);
    int64_t most = at_least(1, BLOCKS_OF_ROWS / at_least(1, g.outer));
    if (chunks > most) chunks = most;
    pass->chunk_rows = ceil_div(ceil_div(g.count, chunks), rows_per_tile) * rows_per_tile;
    pass->chunks = ceil_div(g.count, pass->chunk_rows);
    pass->parts[0] = g.outer * pass->chunks;
    pass->parts[1] = pass->chunks > 1 ? g.outer : 0;
}

static void partition_map(cti_pass *pass) {
    /* Tiles begin at multiples of the periods, as far as they fit. */
    int64_t period = 1;
    for (int64_t k = 0; k < pass->n_loads; k++) {
        int64_t p = pass->loads[k].period;
        if (p <= CTI_TILE && p > period && p % period == 0) period = p;
    }
    int64_t most = CTI_TILE, alive = pass->n_loads + pass->n_registers;
    bool crowded = alive * CTI_TILE * (int64_t)sizeof(float) > room_for_tiles();
    if (crowded && period <= CTI_TILE / 2) most /= 2;
    pass->tile = most / period * period;
    int64_t parts = at_least(ceil_div(pass->numel, CHUNK), least(PARTS, pass->numel / SMALL));
    int64_t tiles = ceil_div(pass->numel, pass->tile);
    pass->chunk_rows = at_least(1, ceil_div(tiles, at_least(1, parts))) * pass->tile;
    pass->parts[0] = ceil_div(pass->numel, pass->chunk_rows);
}

void cti_pass_partition(cti_pass *pass) {
    if (pass->n_reductions) partition_reduction(pass);
    else partition_map(pass);
    settle_loads(pass);
    if (!pass->n_reductions) pass->geometry = (ct_reduction){0};
    if (pass->numel == 0 && !pass->n_reductions) pass->parts[0] = 0;
}
