/* Convolution with a kernel of 3 x 3, and its transpose in x, by the formula of winograd.h: the
 * kernel in 16 matrices of panels, then block by block of tiles pixels to places, 16 products, and
 * places to outputs. The transpose in w is in conv_winograd_weights.c; how the work is cut, in
 * conv_pixels.c.
 * Invariant: what a tile gives depends on its pixels alone, not on the tiles beside it. */
#include "autograd/kernels/conv_pixels.h"
#include "autograd/kernels/micro_kernel.h"
#include "autograd/kernels/winograd.h"

#include <string.h>

/* What a block's places may take of the second-level cache, and its tiles at least, so that they
 * share what is read of the kernel. */
#define BLOCK_BYTES (384 * 1024)
#define LEAST_TILES 24
#define SQUARE CTI_WINOGRAD_LANES

void cti_tile_pixels(const cti_images *images, int64_t image, int64_t row, int64_t column, int side,
                     void *outside, void *pixels[]) {
    int64_t line = images->width * images->channels;
    float *first = (float *)images->data + image * images->height * line;
    for (int64_t i = row; i < row + side; i++) {
        bool inside = i >= 0 && i < images->height;
        for (int64_t j = column; j < column + side; j++) {
            bool there = inside && j >= 0 && j < images->width;
            *pixels++ = there ? first + i * line + j * images->channels : outside;
        }
    }
}

void cti_tile_places(float *block, int64_t tiles, int64_t row, int64_t tile, void *places[]) {
    for (int64_t p = 0; p < CTI_PLACES; p++) places[p] = block + (p * tiles + tile) * row;
}

/* --- The kernel ------------------------------------------------------------------------------- */

static int64_t place_elements(const cti_face *f) { return f->from.channels * f->to.channels; }

/* A square of channels and outputs: to 16 squares side by side, then each to the panels, whose rows
 * are what is read. The transpose has the taps turned round. */
void cti_winograd_pack(const ct_call *call, int64_t part, void *scratch) {
    const cti_face *f = call->state;
    const cti_conv *g = &f->g;
    int64_t across = g->outputs / SQUARE, c = part / across * SQUARE, o = part % across * SQUARE;
    const float *kernel = call->in[1].data;
    float *squares = scratch, *panels = call->workspace;
    for (int64_t k = 0; k < SQUARE; k++) {
        const void *from[CTI_TAPS];
        void *to[CTI_PLACES];
        for (int64_t t = 0; t < CTI_TAPS; t++) {
            int64_t tap = f->transposed ? CTI_TAPS - 1 - t : t;
            from[t] = kernel + (tap * g->channels + c + k) * g->outputs + o;
        }
        for (int64_t p = 0; p < CTI_PLACES; p++) to[p] = squares + (p * SQUARE + k) * SQUARE;
        cti_winograd_kernel_f32(SQUARE, from, to);
    }
    int64_t row = f->transposed ? o : c, column = f->transposed ? c : o, rows = f->from.channels;
    float *to = panels + column * rows + row * cti_micro_lanes(CT_F32);
    for (int64_t p = 0; p < CTI_PLACES; p++) {
        cti_panels_pack(CT_F32, SQUARE, SQUARE, squares + p * SQUARE * SQUARE,
                        f->transposed ? 1 : SQUARE, f->transposed ? SQUARE : 1, rows,
                        to + p * place_elements(f));
    }
}

/* --- A block of tiles ------------------------------------------------------------------------- */

typedef struct {
    const cti_face *f;
    cti_region region;
    int64_t tile_rows, tile_columns; /* of each image */
    float *pixels, *outputs;         /* [16, block, channels] in rows of tiles */
    float *zeros, *nowhere;          /* the channels of a pixel outside */
    int64_t *from, *to;              /* of the tiles of a block */
    cti_step *steps;
} work;

static int64_t padded_offsets(const cti_face *f) { return cti_micro_offsets(CT_F32, f->block); }

static int64_t scratch_elements(const cti_face *f) {
    int64_t from = cti_tile_row(f->from.channels), to = cti_tile_row(f->to.channels);
    return (CTI_PLACES * f->block + 1) * (from + to);
}

void cti_winograd_prepare(cti_face *f, ct_prepared *p) {
    int64_t tile_bytes = CTI_PLACES * (int64_t)sizeof(float) * (f->from.channels + f->to.channels);
    int64_t tiles = f->images * cti_divide_up(f->rows, CTI_TILE_OUTPUTS) *
                    cti_divide_up(f->to.width, CTI_TILE_OUTPUTS);
    f->block = cti_least(tiles, cti_most(LEAST_TILES, BLOCK_BYTES / tile_bytes));
    p->parts[0] = f->g.channels / SQUARE * (f->g.outputs / SQUARE);
    p->workspace = sizeof(float) * (size_t)(CTI_PLACES * place_elements(f));
    size_t squares = sizeof(float) * CTI_PLACES * SQUARE * SQUARE;
    size_t block = sizeof(float) * (size_t)scratch_elements(f) +
                   2 * sizeof(int64_t) * (size_t)padded_offsets(f) +
                   sizeof(cti_step) * (size_t)f->from.channels;
    p->scratch = block > squares ? block : squares;
}

static work work_in(const ct_call *call, cti_region r, void *scratch) {
    const cti_face *f = call->state;
    int64_t from = cti_tile_row(f->from.channels), to = cti_tile_row(f->to.channels);
    work w = {.f = f, .region = r, .pixels = scratch};
    w.outputs = w.pixels + CTI_PLACES * f->block * from;
    w.zeros = w.outputs + CTI_PLACES * f->block * to;
    w.nowhere = w.zeros + from;
    w.from = (int64_t *)(void *)(w.nowhere + to);
    w.to = w.from + padded_offsets(f);
    w.steps = (cti_step *)(void *)(w.to + padded_offsets(f));
    w.tile_rows = cti_divide_up(r.rows.last - r.rows.first, CTI_TILE_OUTPUTS);
    w.tile_columns = cti_divide_up(f->to.width, CTI_TILE_OUTPUTS);
    memset(w.zeros, 0, sizeof(float) * (size_t)from);
    int64_t lanes = cti_micro_lanes(CT_F32);
    for (int64_t c = 0; c < f->from.channels; c++) w.steps[c] = (cti_step){c, c * lanes};
    return w;
}

/* The pixels of the tile on one side, whose first one is `before` its first output. */
static void find(const work *w, const cti_side *s, void *data, int64_t tile, const int64_t before[],
                 int side, float *outside, void *pixels[]) {
    int64_t column = tile % w->tile_columns, row = tile / w->tile_columns;
    cti_images images = {data, s->height, s->width, s->channels};
    cti_tile_pixels(&images, w->region.first + row / w->tile_rows,
                    w->region.rows.first + row % w->tile_rows * CTI_TILE_OUTPUTS - before[0],
                    column * CTI_TILE_OUTPUTS - before[1], side, outside, pixels);
}

static void multiply(work *w, const float *panels, int64_t tiles) {
    const cti_face *f = w->f;
    int64_t from = cti_tile_row(f->from.channels), to = cti_tile_row(f->to.channels);
    for (int64_t t = 0; t < tiles; t++) w->from[t] = t * from, w->to[t] = t * to;
    for (int64_t p = 0; p < CTI_PLACES; p++) {
        cti_product all = {.dtype = CT_F32,
                           .steps = w->steps,
                           .n_steps = f->from.channels,
                           .streams = w->pixels + p * f->block * from,
                           .lanes = panels + p * place_elements(f),
                           .panel = f->from.channels * cti_micro_lanes(CT_F32),
                           .out = w->outputs + p * f->block * to,
                           .columns = f->to.channels};
        cti_micro_run(&all, tiles, w->from, w->to);
    }
}

void cti_winograd_run(const ct_call *call, cti_region r, void *scratch) {
    work w = work_in(call, r, scratch);
    const cti_face *f = w.f;
    int64_t from = cti_tile_row(f->from.channels), to = cti_tile_row(f->to.channels), before[2];
    for (int d = 0; d < 2; d++) {
        int64_t pad = f->g.axis[d].before;
        before[d] = f->transposed ? f->g.axis[d].extent - 1 - pad : pad;
    }
    void *pixels[CTI_PLACES], *places[CTI_PLACES];
    int64_t all = r.images * w.tile_rows * w.tile_columns;
    for (int64_t first = 0; first < all; first += f->block) {
        int64_t tiles = cti_least(f->block, all - first);
        for (int64_t t = 0; t < tiles; t++) {
            find(&w, &f->from, call->in[0].data, first + t, before, CTI_TILE_PIXELS, w.zeros,
                 pixels);
            cti_tile_places(w.pixels, f->block, from, t, places);
            cti_winograd_pixels_f32(f->from.channels, (const void *const *)pixels, places);
        }
        multiply(&w, call->workspace, tiles);
        for (int64_t t = 0; t < tiles; t++) {
            find(&w, &f->to, call->out.data, first + t, (const int64_t[]){0, 0}, CTI_TILE_OUTPUTS,
                 w.nowhere, pixels);
            cti_tile_places(w.outputs, f->block, to, t, places);
            cti_winograd_outputs_f32(f->to.channels, (const void *const *)places, pixels);
        }
    }
}
