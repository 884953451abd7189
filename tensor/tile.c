/* Tile passes: streams one program over tiles, and combines the partial results of reductions.
 * It knows loads, registers and function pointers, and no op.
 * Invariant: everything a part writes is its own: stored tiles, its chunk's partial result. */
#include "tensor/plan.h"

#include <string.h>

/* --- Loads ------------------------------------------------------------------------------------ */

/* Elements [first, first + n) of a strided operand, one behind the other. */
#define GATHER(name, type)                                                                  \
    static void name(const cti_load *load, const void *base, int64_t first, int64_t n,      \
                     void *out) {                                                           \
        const type *x = (const type *)base + load->offset;                                  \
        type *y = out;                                                                      \
        int last = load->rank - 1;                                                          \
        int64_t index[CT_MAX_RANK], rest = first, at = 0;                                   \
        for (int d = last; d >= 0; d--) {                                                   \
            index[d] = rest % load->dims[d];                                                \
            rest /= load->dims[d];                                                          \
            at += index[d] * load->strides[d];                                              \
        }                                                                                   \
        int64_t inner = load->dims[last], step = load->strides[last];                       \
        while (n > 0) {                                                                     \
            int64_t run = inner - index[last] < n ? inner - index[last] : n;                \
            const type *from = x + at;                                                      \
            if (step == 1) memcpy(y, from, sizeof(type) * (size_t)run);                     \
            else                                                                            \
                for (int64_t i = 0; i < run; i++) y[i] = from[i * step];                    \
            y += run;                                                                       \
            n -= run;                                                                       \
            at += (run - inner) * step + (inner - run - index[last]) * step;                \
            index[last] = 0;                                                                \
            for (int d = last - 1; d >= 0; d--) {                                           \
                at += load->strides[d];                                                     \
                if (++index[d] < load->dims[d]) break;                                      \
                at -= load->strides[d] * load->dims[d];                                     \
                index[d] = 0;                                                               \
            }                                                                               \
        }                                                                                   \
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

/* Scratch: pointers of the slots and of one instruction's operands, registers, tiles of the loads,
 * accumulators. */
static void **slot_pointers(const cti_worker *w) { return w->scratch; }

static char *register_at(const cti_worker *w, const cti_pass *pass, int64_t reg) {
    return (char *)w->scratch + pass->pointer_bytes + (size_t)reg * pass->register_bytes;
}

static char *load_tile(const cti_worker *w, const cti_pass *pass, int64_t k) {
    return register_at(w, pass, pass->n_registers + k);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* What stays the same for all tiles of a pass: registers and expanded loads. */
static void enter_pass(cti_worker *w, const cti_pass *pass) {
    if (w->current == pass) return;
    w->current = pass;
    void **at = slot_pointers(w);
    for (int64_t s = 0; s < pass->n_slots; s++) {
        if (pass->slots[s].reg >= 0) at[s] = register_at(w, pass, pass->slots[s].reg);
    }
    for (int64_t k = 0; k < pass->n_loads; k++) {
        const cti_load *load = &pass->loads[k];
        at[k] = load_tile(w, pass, k);
        if (load->kind != CTI_PERIODIC) continue;
        gather(load, w->plan->data[load->item], 0, least(pass->tile, pass->numel), at[k]);
    }
}

/* --- One tile --------------------------------------------------------------------------------- */

/* Asks for what the next tile reads, while this one is worked on. What lies behind the end of an
 * operand is fetched in vain, and not touched. */
static void fetch(const char *from, int64_t bytes) {
    for (int64_t k = 0; k < bytes; k += 64) __builtin_prefetch(from + k, 0, 2);
}

/* Asks for the lines that will be written, while the operands are still being read. */
static void claim(const char *to, int64_t bytes) {
    for (int64_t k = 0; k < bytes; k += 64) __builtin_prefetch(to + k, 1, 3);
}

static void run_tile(cti_worker *w, const cti_pass *pass, int64_t first, int64_t n) {
    void **at = slot_pointers(w);
    for (int64_t k = 0; k < pass->n_loads; k++) {
        const cti_load *load = &pass->loads[k];
        char *base = w->plan->data[load->item];
        if (load->kind == CTI_LINEAR) {
            char *from = base + (load->offset + first) * (int64_t)load->size;
            int64_t next = pass->tile * (int64_t)load->size;
            at[k] = from;
            fetch(from + next, next);
        } else if (load->kind == CTI_GATHERED) gather(load, base, first, n, at[k]);
    }
    for (int64_t k = 0; k < pass->n_stores; k++) {
        const cti_slot *out = &pass->slots[pass->stores[k]];
        char *to = (char *)w->plan->data[out->item] + first * (int64_t)out->size;
        at[pass->stores[k]] = to;
        claim(to, n * (int64_t)out->size);
    }
    const void **x = (const void **)at + pass->n_slots;
    ct_tile tile = {.first = first};
    for (int64_t i = 0; i < pass->n_instructions; i++) {
        const cti_instruction *code = &pass->instructions[i];
        const int64_t *inputs = &pass->inputs[code->inputs];
        for (int k = 0; k < code->n_inputs; k++) x[k] = at[inputs[k]];
        tile.attr = code->attr;
        code->tile(n, at[code->out], x, &tile);
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
            char *out = (char *)w->plan->data[r->item] + b * g.inner * (int64_t)r->size;
            r->start(blocks * g.inner, out);
            if (block) r->reduce(blocks, g.count, g.inner, out, slot_pointers(w)[r->slot]);
        }
    }
}

static char *accumulator(const cti_worker *w, const cti_reduction *r) {
    return (char *)w->scratch + r->scratch;
}

static void accumulate(cti_worker *w, const cti_pass *pass, int64_t column, int64_t n) {
    int64_t width = pass->geometry.inner > CTI_TILE ? n : pass->accumulator, rest = n % width;
    for (int64_t k = 0; k < pass->n_reductions; k++) {
        const cti_reduction *r = &pass->reductions[k];
        const char *x = slot_pointers(w)[r->slot];
        char *to = accumulator(w, r) + column * (int64_t)r->size;
        r->reduce(1, n / width, width, to, x);
        if (rest) r->reduce(1, 1, rest, to, x + (n - rest) * (int64_t)r->size);
    }
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
        char *to = pass->chunks > 1 ? (char *)w->arena + r->partials
                                    : (char *)w->plan->data[r->item];
        to += (outer * pass->chunks + chunk) * g.inner * (int64_t)r->size;
        r->start(g.inner, to);
        r->reduce(1, pass->accumulator / g.inner, g.inner, to, accumulator(w, r));
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
        char *to = (char *)worker->plan->data[r->item] + part * g.inner * (int64_t)r->size;
        const char *partials = (char *)worker->arena + r->partials;
        r->start(g.inner, to);
        r->reduce(1, pass->chunks, g.inner, to,
                  partials + part * pass->chunks * g.inner * (int64_t)r->size);
    }
}
