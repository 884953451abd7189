/* Tile passes: runs a program over the tiles of a part, and combines partial results of reductions.
 * It knows loads, registers and function pointers, but no op.
 * Invariant: parts write disjoint memory: stored tiles, or the partial result of a chunk. */
#include "tensor/base/shape_rules.h"
#include "tensor/run/run.h"

#include <string.h>

/* --- Loads ------------------------------------------------------------------------------------ */

/* Copies elements [first, first + n) of a strided operand into contiguous memory. */
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
        int64_t inner = load->dims[last], stride = load->strides[last];                \
        while (n > 0) {                                                                \
            int64_t run = inner - index[last] < n ? inner - index[last] : n;           \
            const type *from = x + at;                                                 \
            if (stride == 1) memcpy(y, from, sizeof(type) * (size_t)run);              \
            else if (stride == 0)                                                      \
                for (int64_t i = 0; i < run; i++) y[i] = *from;                        \
            else                                                                       \
                for (int64_t i = 0; i < run; i++) y[i] = from[i * stride];             \
            y += run;                                                                  \
            n -= run;                                                                  \
            at -= index[last] * stride;                                                \
            index[last] = 0;                                                           \
            for (int d = last - 1; d >= 0; d--) {                                      \
                at += load->strides[d];                                                \
                if (++index[d] < load->dims[d]) break;                                 \
                at -= load->strides[d] * load->dims[d];                                \
                index[d] = 0;                                                          \
            }                                                                          \
        }                                                                              \
    }
GATHER(gather_16, ct_p61)
GATHER(gather_8, uint64_t)
GATHER(gather_4, uint32_t)
GATHER(gather_1, uint8_t)

static void gather(const cti_load *load, const void *base, int64_t first, int64_t n, void *out) {
    if (n == 0) return; /* then a dimension may be 0, and nothing divides by it */
    if (load->size == 8) gather_8(load, base, first, n, out);
    else if (load->size == 4) gather_4(load, base, first, n, out);
    else if (load->size == 16) gather_16(load, base, first, n, out);
    else gather_1(load, base, first, n, out);
}

/* --- Pointers --------------------------------------------------------------------------------- */

/* The scratch begins with two arrays: the pointers of the pass at element 0, and those at the
 * current tile. */
static char **pointers(const cti_worker *w, const cti_tiles *t) {
    return (char **)w->scratch + t->n_operands + t->n_inputs;
}

static const void *const *inputs_at(const cti_worker *w, const cti_tiles *t, int64_t first) {
    return (const void *const *)(pointers(w, t) + t->n_operands + first);
}

/* Sets up what is the same for all tiles of a pass: initial pointers, and expanded loads. */
static void enter_pass(cti_worker *w, const cti_tiles *t) {
    if (w->current == t) return;
    w->current = t;
    char **origin = w->scratch, **at = pointers(w, t);
    for (int64_t k = 0; k < t->n_operands + t->n_inputs; k++) {
        const cti_pointer *p = &t->pointers[k];
        origin[k] = (char *)(p->item < 0 ? w->scratch : w->run->data[p->item]) + p->offset;
        at[k] = origin[k];
    }
    for (int64_t k = 0; k < t->n_loads; k++) {
        const cti_load *load = &t->loads[k];
        if (load->kind != CTI_PERIODIC) continue;
        gather(load, w->run->data[load->item], 0, cti_least(t->tile, t->numel),
               (char *)w->scratch + cti_load_tile(t, k));
    }
}

static void move_pointers(cti_worker *w, const cti_tiles *t, int64_t first) {
    char **origin = w->scratch, **at = pointers(w, t);
    for (int64_t m = 0; m < t->n_moving; m++) {
        int64_t k = t->moving[m];
        at[k] = origin[k] + first * (int64_t)t->pointers[k].size;
    }
}

/* --- One tile --------------------------------------------------------------------------------- */

static void gather_loads(cti_worker *w, const cti_tiles *t, int64_t first, int64_t n) {
    for (int64_t k = 0; k < t->n_loads; k++) {
        const cti_load *load = &t->loads[k];
        if (load->kind != CTI_GATHERED) continue;
        gather(load, w->run->data[load->item], first, n, pointers(w, t)[k]);
    }
}

/* Inlined by force: gcc drops calls of a function that only prefetches as without effect. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE void fetch_lines(const char *from, const char *end, bool to_write) {
    for (; from < end; from += CTI_LINE) {
        if (to_write) __builtin_prefetch(from, 1, 3);
        else __builtin_prefetch(from, 0, 3);
    }
}

/* Before each instruction, prefetches a share of what the next tile reads and writes: all of it at
 * once would fill the queue that this tile's own loads need. Prefetching past the end of an operand
 * is harmless. */
static ALWAYS_INLINE void fetch(cti_worker *w, const cti_tiles *t, int64_t instruction) {
    char **at = pointers(w, t);
    int64_t first = t->tile + cti_least(instruction * t->fetched, t->tile);
    int64_t last = t->tile + cti_least((instruction + 1) * t->fetched, t->tile);
    for (int64_t k = 0; k < t->n_loads; k++) {
        if (t->loads[k].kind != CTI_LINEAR) continue;
        int64_t size = (int64_t)t->loads[k].size;
        fetch_lines(at[k] + first * size, at[k] + last * size, false);
    }
    for (int64_t k = 0; k < t->n_stores; k++) {
        int64_t operand = t->stores[k], size = (int64_t)t->operands[operand].size;
        fetch_lines(at[operand] + first * size, at[operand] + last * size, true);
    }
}

static void run_tile(cti_worker *w, const cti_tiles *t, int64_t first, int64_t n) {
    move_pointers(w, t, first);
    if (t->gathers) gather_loads(w, t, first, n);
    ct_tile tile = {.first = first};
    for (int64_t i = 0; i < t->n_instructions; i++) {
        const cti_instruction *code = &t->instructions[i];
        tile.attr = code->attr;
        if (t->fetched) fetch(w, t, i);
        code->tile(n, pointers(w, t)[code->out], inputs_at(w, t, code->inputs), &tile);
    }
}

/* --- Parts ------------------------------------------------------------------------------------ */

static void run_map(cti_worker *w, const cti_tiles *t, int64_t part) {
    ct_span span = cti_part_elements(t, part);
    for (int64_t first = span.first; first < span.last; first += t->tile) {
        run_tile(w, t, first, cti_least(t->tile, span.last - first));
    }
}

/* A tile holds several blocks, each reduced on its own. Empty blocks give the neutral element. */
static void run_narrow(cti_worker *w, const cti_tiles *t, int64_t part) {
    ct_reduction g = t->geometry;
    ct_span blocks = cti_part_units(t, part);
    int64_t per_tile = t->unit ? t->tile / t->unit : CTI_TILE;
    for (int64_t b = blocks.first; b < blocks.last; b += per_tile) {
        int64_t n = cti_least(per_tile, blocks.last - b);
        if (t->unit) run_tile(w, t, b * t->unit, n * t->unit);
        for (int64_t k = 0; k < t->n_reductions; k++) {
            const cti_reduction *r = &t->reductions[k];
            char *out = (char *)w->run->data[r->item] + b * g.inner * (int64_t)r->size;
            r->start(n * g.inner, out);
            if (t->unit) r->reduce(n, g.count, g.inner, out, inputs_at(w, t, r->inputs));
        }
    }
}

static char *accumulator(const cti_worker *w, const cti_reduction *r) {
    return (char *)w->scratch + r->scratch;
}

static void accumulate(cti_worker *w, const cti_tiles *t, int64_t column, int64_t n) {
    int64_t width = t->geometry.inner > CTI_TILE ? n : t->accumulator;
    int64_t rows = n / width, done = rows * width;
    for (int64_t k = 0; k < t->n_reductions; k++) {
        const cti_reduction *r = &t->reductions[k];
        const void *const *x = inputs_at(w, t, r->inputs);
        char *to = accumulator(w, r) + column * (int64_t)r->size;
        if (t->fetched) fetch(w, t, t->n_instructions + k);
        r->reduce(1, rows, width, to, x);
        if (done == n) continue;
        const void *rest[CT_OP_INPUTS];
        for (int i = 0; i < r->n_inputs; i++) {
            rest[i] = (const char *)x[i] + done * (int64_t)r->size;
        }
        r->reduce(1, 1, n - done, to, rest);
    }
}

/* Reduces `rows` rows of partial results into row `at` of `to`. */
static void fold(const cti_reduction *r, int64_t rows, int64_t inner, void *to, int64_t at,
                 const void *from) {
    char *row = (char *)to + at * inner * (int64_t)r->size;
    r->start(inner, row);
    r->fold(1, rows, inner, row, &from);
}

/* One chunk of a block. For short rows the accumulator holds several of them, so that consecutive
 * additions are independent; it is folded to one row at the end. */
static void run_wide(cti_worker *w, const cti_tiles *t, int64_t part) {
    int64_t inner = t->geometry.inner;
    ct_span span = cti_part_elements(t, part);
    for (int64_t k = 0; k < t->n_reductions; k++) {
        t->reductions[k].start(t->accumulator, accumulator(w, &t->reductions[k]));
    }
    for (int64_t at = span.first, n; at < span.last; at += n) {
        int64_t column = inner > CTI_TILE ? (at - span.first) % inner : 0;
        n = inner > CTI_TILE ? cti_least(t->tile, inner - column)
                             : cti_least(t->tile, span.last - at);
        run_tile(w, t, at, n);
        accumulate(w, t, column, n);
    }
    for (int64_t k = 0; k < t->n_reductions; k++) {
        const cti_reduction *r = &t->reductions[k];
        void *to = t->chunks > 1 ? (char *)w->run->arena + r->partials : w->run->data[r->item];
        fold(r, t->accumulator / inner, inner, to, part, accumulator(w, r));
    }
}

void cti_tile_part(cti_worker *worker, const cti_pass *pass, int64_t part) {
    enter_pass(worker, &pass->tiles);
    if (pass->kind == CTI_MAP) run_map(worker, &pass->tiles, part);
    else if (pass->kind == CTI_NARROW) run_narrow(worker, &pass->tiles, part);
    else run_wide(worker, &pass->tiles, part);
}

void cti_tile_combine(cti_worker *worker, const cti_tiles *t, int64_t part) {
    int64_t inner = t->geometry.inner;
    for (int64_t k = 0; k < t->n_reductions; k++) {
        const cti_reduction *r = &t->reductions[k];
        const char *partials = (char *)worker->run->arena + r->partials;
        fold(r, t->chunks, inner, worker->run->data[r->item], part,
             partials + part * t->chunks * inner * (int64_t)r->size);
    }
}
