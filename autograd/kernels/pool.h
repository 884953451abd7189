/* Private: what max and average pooling share: attribute, shape rules, geometry, parts. */
#ifndef COTAN_POOL_H
#define COTAN_POOL_H

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

/* From shapes that have passed: the large images and the small ones. */
cti_pool cti_pool_of(const cti_pool_attr *attr, ct_shape large, ct_shape small);
static inline cti_window cti_pool_window(const cti_pool *g, int64_t i, int64_t j) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    cti_range a = cti_axis_taps(v, i), b = cti_axis_taps(h, j);
    return (cti_window){i * v->stride - v->before + a.from, j * h->stride - h->before + b.from,
                        a.to - a.from, b.to - b.from};
}

/* What such parts write and read, in elements: rows of the small images, the rows of the large ones
 * that lie under their windows, and the small rows whose windows touch a band. */
ct_span cti_pool_small_span(const cti_pool *g, cti_range rows);
ct_span cti_pool_large_span(const cti_pool *g, cti_range rows);
/* The same as a descriptor takes them: of kernels that write small images from large ones, and
 * what those write that add into large ones. */
ct_span cti_pool_row_writes(const ct_call *call, int64_t part);
ct_span cti_pool_row_reads(const ct_call *call, int stage, int i, int64_t part);
ct_span cti_pool_band_writes(const ct_call *call, int64_t part);
ct_span cti_pool_touching_span(const cti_pool *g, int64_t part);

/* Parts of a kernel that writes small images: some rows, numbered through all images. */
int64_t cti_pool_row_parts(const cti_pool *g);
cti_range cti_pool_rows(const cti_pool *g, int64_t part);
/* Parts of a kernel that adds into large images: a band of rows of one of them. */
int64_t cti_pool_band_parts(const cti_pool *g);
cti_range cti_pool_band(const cti_pool *g, int64_t part, int64_t *image);

#endif
