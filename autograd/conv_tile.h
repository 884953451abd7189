/* Private: the innermost loop of all convolutions. It multiplies elements of several streams, one
 * by one, with rows of lanes and sums the products in registers:
 *
 *   out[to[s] + l] = sum over steps k: streams[from[s] + k.stream] * lanes[k.lanes + l]
 *
 * for each stream s and each lane l < width. Streams are read where they lie in the image, so that
 * no patch is ever put together; lanes are packed into panels, as wide as two registers. The sum
 * runs in the order of the steps, whatever the instruction set. */
#ifndef COTAN_CONV_TILE_H
#define COTAN_CONV_TILE_H

#include "tensor/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t stream, lanes; /* elements behind the beginning of a stream, and of the panel */
} cti_step;

typedef struct {
    ct_dtype dtype;
    const cti_step *steps;
    int64_t n_steps;
    const void *streams;
    const void *lanes;   /* a panel                                        */
    void *out;
    int64_t width;       /* lanes that are wanted, up to those of a panel  */
    bool accumulate;     /* the sum goes on from what out holds            */
} cti_tile;

/* Lanes of a panel, for the processor at hand. */
int64_t cti_tile_lanes(ct_dtype dtype);
/* Offsets that lists for n streams must have room for. */
int64_t cti_tile_offsets(int64_t n);
/* n >= 1 streams, by their offsets. The lists are filled up with the last stream, which is then
 * computed more than once. */
void cti_tile_run(const cti_tile *tile, int64_t n, int64_t from[], int64_t to[]);

/* Panels that hold so many columns. */
int64_t cti_panels(ct_dtype dtype, int64_t columns);
/* Packs a matrix into panels [panels, distance, lanes], of which it fills the first rows; zeros
 * behind the last column. Strides are in elements. */
void cti_panels_pack(ct_dtype dtype, int64_t rows, int64_t columns, const void *matrix,
                     int64_t row_stride, int64_t column_stride, int64_t distance, void *panels);

#endif
