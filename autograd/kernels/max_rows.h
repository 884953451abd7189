/* Private: max pooling over output row i of one image x. */
#ifndef COTAN_MAX_ROWS_H
#define COTAN_MAX_ROWS_H

#include "autograd/kernels/pool.h"

/* row [OW,C] = the maxima of image [H,W,C]. */
void cti_max_row(const cti_pool *g, ct_dtype dtype, int64_t i, const void *image, void *row);
/* row [OW,C] = values [H,W,C] at the places of the maxima of image. */
void cti_max_gather_row(const cti_pool *g, ct_dtype dtype, int64_t i, const void *values,
                        const void *image, void *row);
/* Adds row [OW,C] into sums [H,W,C] at those places, only into the image rows of `band`. Before its
 * first row a band is cleared, as far as no window writes it. */
void cti_max_scatter_clear(const cti_pool *g, ct_dtype dtype, cti_range band, void *sums);
void cti_max_scatter_row(const cti_pool *g, ct_dtype dtype, int64_t i, cti_range band,
                         const void *row, const void *image, void *sums);

#endif
