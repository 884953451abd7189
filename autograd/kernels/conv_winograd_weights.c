/* The transpose in w of a convolution with a kernel of 3 x 3, by the formula of winograd.h: block
 * by block of tiles, pixels and outputs to places, 16 products that sum over tiles, and at the end
 * places to the kernel. The other two faces are in conv_winograd.c.
 * Invariant: parts are cut by shape alone, write disjoint elements, and partial sums are added in
 * the order of their tiles. */
#include "autograd/kernels/conv_weights.h"
#include "autograd/kernels/micro_kernel.h"
#include "autograd/kernels/reduce.h"
#include "autograd/kernels/winograd.h"

#include <string.h>

/* Ranges of lines of tiles are summed apart, for several threads, while their sums are small. */
#define RANGES 8
#define LEAST_TILES 32
#define SUM_BYTES (8 * 1024 * 1024)
/* Outputs worth transforming the pixels once more for. */
#define STRIPE 64
/* What a block's places may take of the second-level cache, and its tiles at least, so that sums
 * stay in registers for a while. */
#define BLOCK_BYTES (512 * 1024)
#define LEAST_BLOCK 32
/* Channels of the kernel of one part of the last stage. */
#define CHANNELS 16

/* --- Parts ------------------------------------------------------------------------------------ */

static int64_t tile_rows(const cti_conv *g) {
    return cti_divide_up(g->axis[0].out, CTI_TILE_OUTPUTS);
}

static int64_t tile_columns(const cti_conv *g) {
    return cti_divide_up(g->axis[1].out, CTI_TILE_OUTPUTS);
}

ct_span cti_winograd_lines(const cti_conv *g, ct_span lines) {
    int64_t rows = tile_rows(g), height = g->axis[0].out;
    return (ct_span){lines.first / rows * height + lines.first % rows * CTI_TILE_OUTPUTS,
                     lines.last / rows * height + lines.last % rows * CTI_TILE_OUTPUTS};
}

void cti_winograd_weights_prepare(cti_weights *s, ct_prepared *p) {
    const cti_conv *g = &s->g;
    int64_t columns = tile_columns(g);
    s->groups = 1;
    s->all_lines = g->images * tile_rows(g);
    s->elements = CTI_PLACES * g->channels * g->outputs;
    int64_t ranges = SUM_BYTES / (int64_t)sizeof(float) / s->elements;
    ranges = cti_least(cti_least(RANGES, ranges), s->all_lines * columns / LEAST_TILES);
    s->lines = cti_most(1, cti_divide_up(s->all_lines, cti_most(1, ranges)));
    s->ranges = cti_most(1, cti_divide_up(s->all_lines, s->lines));
    int64_t stripes = cti_least(cti_divide_up(RANGES, s->ranges), g->outputs / STRIPE);
    stripes = cti_most(1, stripes);
    s->outputs = cti_divide_up(g->outputs / CTI_WINOGRAD_LANES, stripes) * CTI_WINOGRAD_LANES;
    s->stripes = cti_divide_up(g->outputs, s->outputs);
    int64_t x_row = cti_tile_row(g->channels), y_row = cti_tile_row(s->outputs);
    int64_t most = BLOCK_BYTES / (CTI_PLACES * (int64_t)sizeof(float) * (x_row + y_row));
    s->block = cti_least(s->lines * columns, cti_most(LEAST_BLOCK, most));
    int64_t offsets = cti_micro_offsets(CT_F32, g->channels);
    p->parts[0] = s->ranges * s->stripes;
    p->parts[1] = g->channels / CHANNELS;
    p->workspace = sizeof(float) * (size_t)(s->ranges * s->elements);
    size_t sums = sizeof(float) * (size_t)(CTI_PLACES * g->outputs);
    size_t block = sizeof(float) * (size_t)((CTI_PLACES * s->block + 1) * (x_row + y_row)) +
                   2 * sizeof(int64_t) * (size_t)offsets + sizeof(cti_step) * (size_t)s->block;
    p->scratch = block > sums ? block : sums;
}

/* --- A range of tiles ------------------------------------------------------------------------- */

typedef struct {
    const cti_weights *s;
    cti_images x, y;
    int64_t first, count; /* outputs of the stripe */
    float *x_zeros, *y_zeros;
    float *pixels, *outputs; /* [16, block, channels] in rows of tiles */
    float *sums;             /* [16, channels, outputs] of the range */
    int64_t *from, *to;      /* of channels */
    cti_step *steps;         /* tiles of a block */
} work;

static work work_in(const ct_call *call, int64_t part, void *scratch) {
    const cti_weights *s = call->state;
    const cti_conv *g = &s->g;
    int64_t x_row = cti_tile_row(g->channels), y_row = cti_tile_row(s->outputs);
    work w = {.s = s, .x_zeros = scratch, .first = part % s->stripes * s->outputs};
    w.x = (cti_images){call->in[0].data, g->axis[0].size, g->axis[1].size, g->channels};
    w.y = (cti_images){(float *)call->in[1].data + w.first, g->axis[0].out, g->axis[1].out,
                       g->outputs};
    w.count = cti_least(s->outputs, g->outputs - w.first);
    w.sums = (float *)call->workspace + part / s->stripes * s->elements;
    w.y_zeros = w.x_zeros + x_row;
    w.pixels = w.y_zeros + y_row;
    w.outputs = w.pixels + CTI_PLACES * s->block * x_row;
    w.from = (int64_t *)(void *)(w.outputs + CTI_PLACES * s->block * y_row);
    w.to = w.from + cti_micro_offsets(CT_F32, g->channels);
    w.steps = (cti_step *)(void *)(w.to + cti_micro_offsets(CT_F32, g->channels));
    memset(w.x_zeros, 0, sizeof(float) * (size_t)(x_row + y_row));
    for (int64_t c = 0; c < g->channels; c++) w.from[c] = c, w.to[c] = c * g->outputs;
    for (int64_t t = 0; t < s->block; t++) w.steps[t] = (cti_step){t * x_row, t * y_row};
    return w;
}

/* A tile, numbered through all images, at place t of the block. */
static void transform(const work *w, int64_t tile, int64_t t) {
    const cti_conv *g = &w->s->g;
    int64_t rows = tile_rows(g), columns = tile_columns(g);
    int64_t image = tile / columns / rows;
    int64_t row = tile / columns % rows * CTI_TILE_OUTPUTS;
    int64_t column = tile % columns * CTI_TILE_OUTPUTS, block = w->s->block;
    void *from[CTI_PLACES], *to[CTI_PLACES];
    cti_tile_pixels(&w->x, image, row - g->axis[0].before, column - g->axis[1].before,
                    CTI_TILE_PIXELS, w->x_zeros, from);
    cti_tile_places(w->pixels, block, cti_tile_row(g->channels), t, to);
    cti_winograd_pixels_f32(g->channels, (const void *const *)from, to);
    cti_tile_pixels(&w->y, image, row, column, CTI_TILE_OUTPUTS, w->y_zeros, from);
    cti_tile_places(w->outputs, block, cti_tile_row(w->s->outputs), t, to);
    cti_winograd_from_outputs_f32(w->count, (const void *const *)from, to);
}

static void multiply(work *w, int64_t tiles, bool accumulate) {
    const cti_weights *s = w->s;
    const cti_conv *g = &s->g;
    for (int64_t p = 0; p < CTI_PLACES; p++) {
        cti_product all = {.dtype = CT_F32,
                           .steps = w->steps,
                           .n_steps = tiles,
                           .streams = w->pixels + p * s->block * cti_tile_row(g->channels),
                           .lanes = w->outputs + p * s->block * cti_tile_row(s->outputs),
                           .panel = cti_micro_lanes(CT_F32),
                           .out = w->sums + p * g->channels * g->outputs + w->first,
                           .columns = w->count,
                           .accumulate = accumulate};
        cti_micro_run(&all, g->channels, w->from, w->to);
    }
}

void cti_winograd_weights_run(const ct_call *call, int64_t part, void *scratch) {
    work w = work_in(call, part, scratch);
    const cti_weights *s = w.s;
    int64_t columns = tile_columns(&s->g);
    int64_t line = part / s->stripes * s->lines;
    int64_t begin = line * columns, end = cti_least(line + s->lines, s->all_lines) * columns;
    int64_t first = begin;
    do {
        int64_t tiles = cti_least(s->block, end - first);
        for (int64_t t = 0; t < tiles; t++) transform(&w, first + t, t);
        multiply(&w, tiles, first > begin);
        first += tiles;
    } while (first < end);
}

/* --- The sum ---------------------------------------------------------------------------------- */

void cti_winograd_weights_sum(const ct_call *call, int64_t part, void *scratch) {
    const cti_weights *s = call->state;
    const cti_conv *g = &s->g;
    float *sums = scratch, *kernel = call->out.data;
    for (int64_t c = part * CHANNELS; c < (part + 1) * CHANNELS; c++) {
        const void *from[CTI_PLACES];
        void *to[CTI_TAPS];
        for (int64_t p = 0; p < CTI_PLACES; p++) {
            float *at = (float *)call->workspace + (p * g->channels + c) * g->outputs;
            from[p] = sums + p * g->outputs;
            cti_add_rows_f32(g->outputs, s->ranges, s->elements, at, sums + p * g->outputs);
        }
        for (int64_t t = 0; t < CTI_TAPS; t++) to[t] = kernel + (t * g->channels + c) * g->outputs;
        cti_winograd_to_kernel_f32(g->outputs, from, to);
    }
}
