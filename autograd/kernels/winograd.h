/* Private: convolution by minimal filtering (Winograd 1980; for layers Lavin and Gray 2016). Of
 * a 3 x 3 kernel, outputs come in tiles of 2 x 2, each from 4 x 4 pixels d, by
 *
 *   y = A'[ (G g G') * (B' d B) ] A,   * element by element, in each of 16 places
 *
 * so that a tile takes 16 multiplications per channel and output where the sum over taps takes 36.
 * Each place is a product of matrices. The gradients are the transposes of the same three maps:
 * of d this formula again, with the kernel turned round; of g, G'[ sum (B' d B) * (A dy A') ] G.
 *
 * Rounding: sums have fewer terms, and in the mean round no more than those over taps; but an error
 * is one of the tile, so that beside a far larger pixel small outputs lose digits, and a pixel that
 * is not finite reaches all outputs of the tiles that read it. */
#ifndef COTAN_WINOGRAD_H
#define COTAN_WINOGRAD_H

#include "autograd/kernels/conv.h"

#include <stdint.h>

#define CTI_PLACES 16     /* of a tile's transform, row by row */
#define CTI_TAPS 9        /* of a kernel */
#define CTI_TILE_PIXELS 4 /* on a side, of what is read, and of what is written: */
#define CTI_TILE_OUTPUTS 2
/* Channels and outputs come in multiples of this on every processor, so that all choose alike. */
#define CTI_WINOGRAD_LANES 32

/* n channels, a multiple of CTI_WINOGRAD_LANES, of all operands. */
typedef void cti_winograd_fn(int64_t n, const void *const from[], void *const to[]);
/* The transforms of a tile of pixels (16 to 16), of a kernel (9 to 16), of outputs (16 to 4); and
 * the transposes of the last two (16 to 9, 4 to 16). */
extern cti_winograd_fn cti_winograd_pixels_f32, cti_winograd_kernel_f32, cti_winograd_outputs_f32;
extern cti_winograd_fn cti_winograd_to_kernel_f32, cti_winograd_from_outputs_f32;

/* Images [images, height, width, channels] of f32. */
typedef struct {
    void *data;
    int64_t height, width, channels;
} cti_images;

/* The side x side pixels of a tile whose first one is at (row, column); those outside of the image
 * are at `outside`. */
void cti_tile_pixels(const cti_images *images, int64_t image, int64_t row, int64_t column, int side,
                     void *outside, void *pixels[]);

/* The places [16, tiles, row] of a tile. */
void cti_tile_places(float *block, int64_t tiles, int64_t row, int64_t tile, void *places[]);

/* Elements from one tile's channels to the next: what lies apart by powers of two would push each
 * other out of the first-level cache. */
static inline int64_t cti_tile_row(int64_t channels) { return channels + 16; }

#endif
