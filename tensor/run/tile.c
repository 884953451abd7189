/* Tile passes: streams one program over tiles, and combines the partial results of reductions.
 * It knows loads, registers and function pointers, and no op.
 * Invariant: everything a part writes is its own: stored tiles, its chunk's partial result. */
#include "tensor/run/run.h"

#include <string.h>

/* --- Loads ------------------------------------------------------------------------------------ */

/* Elements [first, first + n) of a strided operand, one behind the other. */
#define GATHER(name, type)                                                             \
    static void name(const cti_load *load, const void *base, int64_t first, int64_t n, \
                     void *out) {                                                      \
        const type *x = (const type *)base + load->offset;                             \
        type *y = out;                                                                 \
        int last = load->rank - 1;                                                     \
        int64_t index[CT_MAX_RANK], rest = first, at = 0;                              \
        for (int d = last; d >= 0; d--) {                                              \
            index[d] = rest % load->dims[d];                                           \
            rest /= load->dims[d];                                                     \
            at += index[d] * load->strides[d];                                         \
        }                                                                              \
        int64_t inner = load->dims[last], step = load->strides[last];                  \
        while (n > 0) {                                                                \
            int64_t run = inner - index[last] < n ? inner - index[last] : n;           \
            const type *from = x + at;                                                 \
            if (step == 1) memcpy(y, from, sizeof(type) * (size_t)run);                \
            else if (step == 0)                                                        \
                for (int64_t i = 0; i < run; i++) y[i] = *from;                        \
            else                                                                       \
                for (int64_t i = 0; i < run; i++) y[i] = from[i * step];               \
            y += run;                                                                  \
            n -= run;                                                                  \
            at -= index[last] * step;                                                  \
            index[last] = 0;                                                           \
            for (int d = last - 1; d >= 0; d--) {                                      \
                at += load->strides[d];                                                \
                if (++index[d] < load->dims[d]) break;                                 \
                at -= load->strides[d] * load->dims[d];                                \
                index[d] = 0;                                                          \
            }                                                                          \
        }                                                                              \
    }
GATHER(gather_8, uint64_t)
GATHER(gather_4, uint32_t)
GATHER(gather_1, uint8_t)

static void gather(const cti_load *load, const void *base, int64_t first, int64_t n, void *out) {
    if (n == 0) return; /* then a dimension may be 0, and nothing divides by it */
    if (load->size == 8) gather_8(load, base, first, n, out);
    else if (load->size == 4) gather_4(load, base, first, n, out);
    else gather_1(load, base, first, n, out);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* --- Pointers --------------------------------------------------------------------------------- */

/* The scratch begins with two lists: where each pointer of the pass is for element 0, and where it
 * is for the current tile. */
static char **pointers(const cti_worker *w, const cti_pass *pass) {
    return (char **)w->scratch + pass->n_slots + pass->n_inputs;
}

static const void *const *inputs_at(const cti_worker *w, const cti_pass *pass, int64_t first) {
    return (const void *const *)(pointers(w, pass) + pass->n_slots + first);
}

/* What stays the same for all tiles of a pass: where pointers begin, and expanded loads. */
static void enter_pass(cti_worker *w, const cti_pass *pass) {
    if (w->current == pass) return;
    w->current = pass;
    char **origin = w->scratch, **at = pointers(w, pass);
    for (int64_t k = 0; k < pass->n_slots + pass->n_inputs; k++) {
        const cti_pointer *p = &pass->pointers[k];
        origin[k] = (char *)(p->item < 0 ? w->scratch : w->run->data[p->item]) + p->offset;
        at[k] = origin[k];
    }
    for (int64_t k = 0; k < pass->n_loads; k++) {
        const cti_load *load = &pass->loads[k];
        if (load->kind != CTI_PERIODIC) continue;
        gather(load, w->run->data[load->item], 0, least(pass->tile, pass->numel),
               (char *)w->scratch + cti_load_tile(pass, k));
    }
}

static void move_pointers(cti_worker *w, const cti_pass *pass, int64_t first) {
    char **origin = w->scratch, **at = pointers(w, pass);
    for (int64_t m = 0; m < pass->n_moving; m++) {
        int64_t k = pass->moving[m];
        at[k] = origin[k] + first * (int64_t)pass->pointers[k].size;
    }
}

/* --- One tile --------------------------------------------------------------------------------- */

static void gather_loads(cti_worker *w, const cti_pass *pass, int64_t first, int64_t n) {
    for (int64_t k = 0; k < pass->n_loads; k++) {
        const cti_load *load = &pass->loads[k];
        if (load->kind != CTI_GATHERED) continue;
        gather(load, w->run->data[load->item], first, n, pointers(w, pass)[k]);
    }
}

/* Always inline: gcc takes a function that only prefetches for one without effect. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE void fetch_lines(const char *from, const char *end, bool to_write) {
    for (; from < end; from += CTI_LINE) {
        if (to_write) __builtin_prefetch(from, 1, 3);
        else __builtin_prefetch(from, 0, 3);
    }
}

/* Before each step of a tile, asks for a share of what the next tile reads and writes: all at once
 * would fill the queue that this tile's own loads go through. What lies behind the end of an
 * operand is fetched in vain, and not touched. */
static ALWAYS_INLINE void fetch(cti_worker *w, const cti_pass *pass, int64_t step) {
    char **at = pointers(w, pass);
    int64_t first = pass->tile + least(step * pass->fetched, pass->tile);
    int64_t last = pass->tile + least((step + 1) * pass->fetched, pass->tile);
    for (int64_t k = 0; k < pass->n_loads; k++) {
        if (pass->loads[k].kind != CTI_LINEAR) continue;
        int64_t size = (int64_t)pass->loads[k].size;
        fetch_lines(at[k] + first * size, at[k] + last * size, false);
    }
    for (int64_t k = 0; k < pass->n_stores; k++) {
        int64_t slot = pass->stores[k], size = (int64_t)pass->slots[slot].size;
        fetch_lines(at[slot] + first * size, at[slot] + last * size, true);
    }
}

static void run_tile(cti_worker *w, const cti_pass *pass, int64_t first, int64_t n) {
    move_pointers(w, pass, first);
    if (pass->gathers) gather_loads(w, pass, first, n);
    ct_tile tile = {.first = first};
    for (int64_t i = 0; i < pass->n_instructions; i++) {
        const cti_instruction *code = &pass->instructions[i];
        tile.attr = code->attr;
        if (pass->fetched) fetch(w, pass, i);
        code->tile(n, pointers(w, pass)[code->out], inputs_at(w, pass, code->inputs), &tile);
    }
}

/* --- Parts ------------------------------------------------------------------------------------ */

static void run_map(cti_worker *w, const cti_pass *pass, int64_t part) {
    int64_t end = least(pass->numel, (part + 1) * pass->chunk_rows);
    for (int64_t first = part * pass->chunk_rows; first < end; first += pass->tile) {
        run_tile(w, pass, first, least(pass->tile, end - first));
    }
}

/* Narrow blocks: a tile holds several, each reduced on its own. */
static void run_narrow(cti_worker *w, const cti_pass *pass, int64_t part) {
    ct_reduction g = pass->geometry;
    int64_t block = g.count * g.inner, per_tile = block ? pass->tile / block : CTI_TILE;
    int64_t end = least(g.outer, (part + 1) * CTI_NARROW_TILES * per_tile);
    for (int64_t b = part * CTI_NARROW_TILES * per_tile; b < end; b += per_tile) {
        int64_t blocks = least(per_tile, end - b);
        if (block) run_tile(w, pass, b * block, blocks * block);
        for (int64_t k = 0; k < pass->n_reductions; k++) {
            const cti_reduction *r = &pass->reductions[k];
            char *out = (char *)w->run->data[r->item] + b * g.inner * (int64_t)r->size;
            r->start(blocks * g.inner, out);
            if (block) r->reduce(blocks, g.count, g.inner, out, inputs_at(w, pass, r->inputs));
        }
    }
}

static char *accumulator(const cti_worker *w, const cti_reduction *r) {
    return (char *)w->scratch + r->scratch;
}

static void accumulate(cti_worker *w, const cti_pass *pass, int64_t column, int64_t n) {
    int64_t width = pass->geometry.inner > CTI_TILE ? n : pass->accumulator;
    int64_t rows = n / width, done = rows * width;
    for (int64_t k = 0; k < pass->n_reductions; k++) {
        const cti_reduction *r = &pass->reductions[k];
        const void *const *x = inputs_at(w, pass, r->inputs);
        char *to = accumulator(w, r) + column * (int64_t)r->size;
        if (pass->fetched) fetch(w, pass, pass->n_instructions + k);
        r->reduce(1, rows, width, to, x);
        if (done == n) continue;
        const void *rest[CT_OP_INPUTS];
        for (int i = 0; i < r->n_inputs; i++) {
            rest[i] = (const char *)x[i] + done * (int64_t)r->size;
        }
        r->reduce(1, 1, n - done, to, rest);
    }
}

static void fold(const cti_reduction *r, int64_t rows, int64_t inner, void *to, const void *from) {
    r->start(inner, to);
    r->fold(1, rows, inner, to, &from);
}

/* One chunk of a wide block. The accumulator holds several rows when they are short, so that
 * neighbouring ones do not wait for each other; it is folded to one row at the end. */
static void run_wide(cti_worker *w, const cti_pass *pass, int64_t part) {
    ct_reduction g = pass->geometry;
    int64_t outer = part / pass->chunks, chunk = part % pass->chunks;
    int64_t row = chunk * pass->chunk_rows, end = least(g.count, row + pass->chunk_rows);
    int64_t first = (outer * g.count + row) * g.inner;
    int64_t last = (outer * g.count + end) * g.inner;
    for (int64_t k = 0; k < pass->n_reductions; k++) {
        pass->reductions[k].start(pass->accumulator, accumulator(w, &pass->reductions[k]));
    }
    for (int64_t at = first, n; at < last; at += n) {
        int64_t column = g.inner > CTI_TILE ? (at - first) % g.inner : 0;
        n = g.inner > CTI_TILE ? least(pass->tile, g.inner - column) : least(pass->tile, last - at);
        run_tile(w, pass, at, n);
        accumulate(w, pass, column, n);
    }
    for (int64_t k = 0; k < pass->n_reductions; k++) {
        const cti_reduction *r = &pass->reductions[k];
        char *to = pass->chunks > 1 ? (char *)w->run->arena + r->partials
                                    : (char *)w->run->data[r->item];
        to += (outer * pass->chunks + chunk) * g.inner * (int64_t)r->size;
        fold(r, pass->accumulator / g.inner, g.inner, to, accumulator(w, r));
    }
}

void cti_tile_part(cti_worker *worker, const cti_pass *pass, int64_t part) {
    enter_pass(worker, pass);
    if (!pass->n_reductions) run_map(worker, pass, part);
    else if (pass->chunks == 0) run_narrow(worker, pass, part);
    else run_wide(worker, pass, part);
}

void cti_tile_combine(cti_worker *worker, const cti_pass *pass, int64_t part) {
    ct_reduction g = pass->geometry;
    for (int64_t k = 0; k < pass->n_reductions; k++) {
        const cti_reduction *r = &pass->reductions[k];
        char *to = (char *)worker->run->data[r->item] + part * g.inner * (int64_t)r->size;
        const char *partials = (char *)worker->run->arena + r->partials;
        fold(r, pass->chunks, g.inner, to,
             partials + part * pass->chunks * g.inner * (int64_t)r->size);
    }
}
