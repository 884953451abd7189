/* Private: the innermost loop of all convolutions and of small products. It multiplies elements of
 * several streams, one by one, with rows of lanes and sums the products in registers:
 *
 *   out[to[s] + l] = sum over steps k: streams[from[s] + k.stream] * lanes[k.lanes + l]
 *
 * for each stream s and each lane l of a panel. Streams are read where they lie, so that no patch
 * is ever put together and no matrix transposed; a panel is as wide as two registers, and is read
 * where it lies too or packed before. The sum runs in the order of the steps, whatever the
 * instruction set. */
#ifndef COTAN_MICRO_KERNEL_H
#define COTAN_MICRO_KERNEL_H

#include "autograd/kernels/by_dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t stream, lanes; /* elements behind the beginning of a stream, and of a panel */
} cti_step;

typedef struct {
    ct_dtype dtype;
    const cti_step *steps;
    int64_t n_steps;
    const void *streams;
    const void *lanes; /* the first panel */
    int64_t panel;     /* elements from one panel to the next */
    void *out;
    int64_t columns; /* of out: lanes of all panels, the last one perhaps narrower */
    bool accumulate; /* the sum goes on from what out holds */
} cti_product;

/* Whole tiles, each of as many streams as a loop takes: `tiles` times so many offsets. */
typedef void cti_tile_fn(const cti_product *sum, int64_t tiles, const int64_t from[],
                         const int64_t to[]);
/* The loops of one instruction set. */
typedef struct {
    int64_t many, lanes;             /* streams of a tile, lanes of a panel */
    cti_tile_fn *run_many, *run_few; /* tiles of `many` streams, and of four */
    /* One panel from a matrix of any strides; zeros behind the last column. */
    void (*pack)(int64_t rows, int64_t columns, int64_t lanes, const void *matrix,
                 int64_t row_stride, int64_t column_stride, void *panel);
    double most; /* multiplications of a product for which they are faster than BLIS */
} cti_tiles;
typedef const cti_tiles *cti_tiles_fn(void);

/* Lanes of a panel, for the processor at hand. */
int64_t cti_micro_lanes(ct_dtype dtype);
/* Multiplications up to which a product is faster here than in BLIS, as measured. */
double cti_micro_most(ct_dtype dtype);
/* Offsets that lists for n streams must have room for. */
int64_t cti_micro_offsets(ct_dtype dtype, int64_t n);
/* n >= 1 streams, by their offsets. The lists are filled up with the last stream, which is then
 * computed more than once. */
void cti_micro_run(const cti_product *all, int64_t n, int64_t from[], int64_t to[]);

/* Bytes of the panels of a matrix. */
size_t cti_panels_bytes(ct_dtype dtype, int64_t rows, int64_t columns);
/* The first panel, and the elements from one row, and from one panel, to the next. */
typedef struct {
    const void *data;
    int64_t row, panel;
} cti_panels_at;

/* The panels of a matrix: where they lie, if its columns lie side by side in whole panels; else
 * packed into `room`, of cti_panels_bytes. */
cti_panels_at cti_panels_of(ct_dtype dtype, int64_t rows, int64_t columns, const void *matrix,
                            int64_t row_stride, int64_t column_stride, void *room);
/* Packs a matrix into panels [panels, distance, lanes], of which it fills the first rows; zeros
 * behind the last column. Strides are in elements. */
void cti_panels_pack(ct_dtype dtype, int64_t rows, int64_t columns, const void *matrix,
                     int64_t row_stride, int64_t column_stride, int64_t distance, void *panels);

#endif
