/* Private: pooling over output row i of one image x. */
#ifndef COTAN_POOL_ROWS_H
#define COTAN_POOL_ROWS_H

#include "autograd/kernels/by_dtype.h"
#include "autograd/kernels/pool.h"

/* row [OW,C] = the maxima, or the means, of image [H,W,C]. */
typedef void cti_pool_row_fn(const cti_pool *g, int64_t i, const void *image, void *row);
CTI_DECLARE_REALS(cti_pool_row_fn, cti_max_row);
CTI_DECLARE_REALS(cti_pool_row_fn, cti_average_row);
/* row [OW,C] = values [H,W,C] at the places of the maxima of image. */
typedef void cti_gather_row_fn(const cti_pool *g, int64_t i, const void *values, const void *image,
                               void *row);
CTI_DECLARE_REALS(cti_gather_row_fn, cti_gather_row);
/* Adds row [OW,C] into sums [H,W,C] at those places, only into the image rows of `band`. Before its
 * first row a band is cleared, as far as no window writes it. */
typedef void cti_scatter_row_fn(const cti_pool *g, int64_t i, cti_range band, const void *row,
                                const void *image, void *sums);
CTI_DECLARE_REALS(cti_scatter_row_fn, cti_scatter_row);
typedef void cti_scatter_clear_fn(const cti_pool *g, cti_range band, void *sums);
CTI_DECLARE_REALS(cti_scatter_clear_fn, cti_scatter_clear);
/* Adds each element of row [OW,C], divided by the elements of its window, to all of them, only in
 * the image rows of `band`. */
typedef void cti_spread_row_fn(const cti_pool *g, int64_t i, cti_range band, const void *row,
                               void *image);
CTI_DECLARE_REALS(cti_spread_row_fn, cti_spread_row);

#endif
