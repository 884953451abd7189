/* UpSampling2D and AdaptiveAvgPool2D: images of another size, by one matrix along the height and
 * one along the width.
 * The matrices are made by ops from the sizes; there is no gradient here.
 * Invariant: each row of a matrix sums to 1. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"

/* rows [OH,H] and columns [OW,W] on the axes of x [N,H,W,C]. */
static ct_tensor *resized(ct_tensor *x, ct_tensor *rows, ct_tensor *columns) {
    ct_shape s = ct_shape_of(x);
    int64_t n = s.dims[0], width = s.dims[2], c = s.dims[3];
    ct_tensor *flat = ct_reshape(x, CT_SHAPE(n, s.dims[1], width * c));
    ct_tensor *tall = ct_reshape(ct_matmul(rows, flat), CT_SHAPE(n, ct_dim(rows, 0), width, c));
    return ct_matmul(columns, tall);
}

static ct_tensor *column(int64_t n) { return ct_reshape(ct_iota(n), CT_SHAPE(n, 1)); }

/* --- UpSampling2D ----------------------------------------------------------------------------- */

typedef struct {
    ct_module base;
    ct_up_sampling2d_options options;
} up_sampling2d;

static ct_tensor *nearest(ct_tensor *x, const int64_t factor[2]) {
    ct_shape s = ct_shape_of(x);
    int64_t n = s.dims[0], h = s.dims[1], w = s.dims[2], c = s.dims[3];
    ct_tensor *apart = ct_reshape(x, CT_SHAPE(n, h, 1, w, 1, c));
    ct_tensor *copies = ct_broadcast(apart, CT_SHAPE(n, h, factor[0], w, factor[1], c));
    return ct_reshape(copies, CT_SHAPE(n, h * factor[0], w * factor[1], c));
}

/* Pixel i of the result lies at (i + 1/2) / factor - 1/2 of x, and where that is outside at the
 * edge; pixel j of x counts there with 1 less their distance, if that is positive. */
static ct_tensor *hats(int64_t size, int64_t factor, ct_dtype dtype) {
    ct_tensor *i = ct_cast(column(size * factor), CT_F64), *j = ct_cast(ct_iota(size), CT_F64);
    ct_tensor *at = ct_offset(ct_scale(ct_offset(i, 0.5), 1.0 / (double)factor), -0.5);
    ct_tensor *distance = ct_abs(ct_sub(ct_clip(at, 0.0, (double)(size - 1)), j));
    return ct_cast(ct_relu(ct_offset(ct_neg(distance), 1.0)), dtype);
}

static ct_tensor *up_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    if (cti_check_images(self, x) != CT_OK) return NULL;
    const ct_up_sampling2d_options *o = &((up_sampling2d *)self)->options;
    if (!o->bilinear) return nearest(x, o->factor);
    return resized(x, hats(ct_dim(x, 1), o->factor[0], ct_dtype_of(x)),
                   hats(ct_dim(x, 2), o->factor[1], ct_dtype_of(x)));
}

static const ct_module_kind up_kind = {.name = "UpSampling2D", .forward = up_forward};

ct_module *ct_up_sampling2d_new(ct_up_sampling2d_options options) {
    CTI_CALLED;
    cti_complete_sizes(options.factor, 2);
    if (cti_check_sizes("ct_up_sampling2d_new", "factor", options.factor) != CT_OK) return NULL;
    up_sampling2d *layer = (up_sampling2d *)ct_module_new(sizeof *layer, &up_kind);
    if (layer) layer->options = options;
    return layer ? &layer->base : NULL;
}

/* --- AdaptiveAvgPool2D ------------------------------------------------------------------------ */

typedef struct {
    ct_module base;
    int64_t size[2];
} adaptive;

/* Window i is i size / out, rounded down, to (i + 1) size / out, rounded up: pixel j is in it where
 * [j out, (j + 1) out) and [i size, (i + 1) size) have something in common. */
static ct_tensor *windows(int64_t size, int64_t out, ct_dtype dtype) {
    double sizes = (double)size, outs = (double)out;
    ct_tensor *window = ct_scale(column(out), sizes), *pixel = ct_scale(ct_iota(size), outs);
    ct_tensor *begins = ct_less(window, ct_offset(pixel, outs));
    ct_tensor *ends = ct_less(pixel, ct_offset(window, sizes));
    ct_tensor *inside = ct_cast(ct_mul(begins, ends), dtype);
    return ct_div(inside, ct_sum_keep(inside, CT_AXES(1)));
}

static ct_tensor *adaptive_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    if (cti_check_images(self, x) != CT_OK) return NULL;
    const int64_t *out = ((adaptive *)self)->size, height = ct_dim(x, 1), width = ct_dim(x, 2);
    if (height % out[0] == 0 && width % out[1] == 0) {
        return ct_avg_pool2d(x, (ct_pool2d_spec){.window = {height / out[0], width / out[1]}});
    }
    return resized(x, windows(height, out[0], ct_dtype_of(x)),
                   windows(width, out[1], ct_dtype_of(x)));
}

static const ct_module_kind adaptive_kind = {.name = "AdaptiveAvgPool2D",
                                             .forward = adaptive_forward};

ct_module *ct_adaptive_avg_pool2d_new(int64_t height, int64_t width) {
    CTI_CALLED;
    static const char function[] = "ct_adaptive_avg_pool2d_new";
    if (cti_check_size(function, "height", height) != CT_OK ||
        cti_check_size(function, "width", width) != CT_OK) {
        return NULL;
    }
    adaptive *layer = (adaptive *)ct_module_new(sizeof *layer, &adaptive_kind);
    if (!layer) return NULL;
    layer->size[0] = height;
    layer->size[1] = width;
    return &layer->base;
}
