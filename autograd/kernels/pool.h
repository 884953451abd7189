/* Private: pooling: attribute, shape rules and kernels. */
#ifndef COTAN_POOL_H
#define COTAN_POOL_H

#include "autograd/kernels/by_dtype.h"
#include "autograd/kernels/window.h"
#include "autograd/ops.h"
#include "tensor/op.h"

/* int64_t only, so that equal attributes have equal bytes. */
typedef struct {
    int64_t window[2], stride[2], pad[4]; /* with the defaults filled in */
    int64_t count_pad;                    /* 0 or 1 */
    int64_t size[2];                      /* of x, where it cannot be seen */
} cti_pool_attr;

typedef struct {
    cti_axis axis[2]; /* height and width */
    int64_t images, channels;
    bool count_pad;
} cti_pool;

/* A window: its pixels inside of the image, `rows` times `columns`. */
typedef struct {
    int64_t top, left; /* in the image */
    int64_t rows, columns;
} cti_window;

cti_pool_attr cti_pool_attr_of(ct_pool2d_spec spec, int64_t height, int64_t width);
ct_pool2d_spec cti_pool_spec_of(const cti_pool_attr *attr);

/* Shape rules: x [N,H,W,C] -> [N,OH,OW,C]; ([N,OH,OW,C], x) -> like x; (like x, x) -> [N,OH,OW,C];
 * [N,OH,OW,C] -> [N,size,size,C]. */
ct_status cti_pool_infer(const ct_infer *call, ct_type *out);
ct_status cti_pool_scatter_infer(const ct_infer *call, ct_type *out);
ct_status cti_pool_gather_infer(const ct_infer *call, ct_type *out);
ct_status cti_pool_spread_infer(const ct_infer *call, ct_type *out);

/* The kernels: of y [N,OH,OW,C] from x, or from h and x; and of x from y, or from y and x. */
extern const ct_kernel cti_pool_max, cti_pool_gather, cti_pool_average, cti_pool_scatter,
    cti_pool_spread;

/* --- One row of outputs, of one image --------------------------------------------------------- */

static inline cti_window cti_pool_window(const cti_pool *g, int64_t i, int64_t j) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    ct_span a = cti_axis_taps(v, i), b = cti_axis_taps(h, j);
    return (cti_window){i * v->stride - v->before + a.first, j * h->stride - h->before + b.first,
                        a.last - a.first, b.last - b.first};
}

/* Row i [OW,C] from image [H,W,C], or from `values` [H,W,C] as well. */
typedef void cti_pool_row_fn(const cti_pool *g, int64_t i, const void *values, const void *image,
                             void *row);
/* Adds row i [OW,C] into sums [H,W,C], only in the rows of `band`. */
typedef void cti_pool_add_fn(const cti_pool *g, int64_t i, ct_span band, const void *row,
                             const void *image, void *sums);
typedef void cti_pool_clear_fn(const cti_pool *g, ct_span band, void *sums);
typedef struct {
    /* The maxima; what `values` has at their places; the means. */
    cti_pool_row_fn *max, *gather, *average;
    /* At the places of the maxima of image; divided by the elements of each window, to all. */
    cti_pool_add_fn *scatter, *spread;
    /* Before the first row of a band, as far as no window writes it. */
    cti_pool_clear_fn *scatter_clear, *spread_clear;
} cti_pool_rows;
CTI_DECLARE_REALS(extern const cti_pool_rows, cti_pool_rows);

#endif
