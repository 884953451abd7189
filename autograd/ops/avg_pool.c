/* Average pooling and its transpose, which spreads each output evenly over its window.
 * What a window holds is in pool.c.
 * Invariant: both faces divide by the same count, so they are exact transposes of each other. */
#include "autograd/kernels/pool.h"

#include <string.h>

static int64_t elements(const cti_pool *g, cti_window w) {
    return g->count_pad ? g->axis[0].extent * g->axis[1].extent : w.rows * w.columns;
}

#define AVERAGE_ROW(name, type)                                                              \
    static CT_CLONES void name(const cti_pool *g, int64_t i, const void *image, void *row) { \
        int64_t channels = g->channels, width = g->axis[1].size;                             \
        type *restrict y = row;                                                              \
        for (int64_t j = 0; j < g->axis[1].out; j++, y += channels) {                        \
            cti_window w = cti_pool_window(g, i, j);                                         \
            const type *corner = (const type *)image + (w.top * width + w.left) * channels;  \
            type count = (type)elements(g, w);                                               \
            memcpy(y, corner, sizeof(type) * (size_t)channels);                              \
            for (int64_t a = 0; a < w.rows; a++) {                                           \
                for (int64_t b = a == 0; b < w.columns; b++) {                               \
                    const type *restrict x = corner + (a * width + b) * channels;            \
                    for (int64_t c = 0; c < channels; c++) y[c] += x[c];                     \
                }                                                                            \
            }                                                                                \
            for (int64_t c = 0; c < channels; c++) y[c] /= count;                            \
        }                                                                                    \
    }
AVERAGE_ROW(average_row_f32, float)
AVERAGE_ROW(average_row_f64, double)

/* Adds only into the image rows of `band`. */
#define SPREAD_ROW(name, type)                                                                \
    static CT_CLONES void name(const cti_pool *g, int64_t i, cti_range band, const void *row, \
                               void *image) {                                                 \
        int64_t channels = g->channels, width = g->axis[1].size;                              \
        const type *restrict y = row;                                                         \
        for (int64_t j = 0; j < g->axis[1].out; j++, y += channels) {                         \
            cti_window w = cti_pool_window(g, i, j);                                          \
            type *corner = (type *)image + (w.top * width + w.left) * channels;               \
            type count = (type)elements(g, w);                                                \
            for (int64_t a = 0; a < w.rows; a++) {                                            \
                if (w.top + a < band.from || w.top + a >= band.to) continue;                  \
                for (int64_t b = 0; b < w.columns; b++) {                                     \
                    type *restrict x = corner + (a * width + b) * channels;                   \
                    for (int64_t c = 0; c < channels; c++) x[c] += y[c] / count;              \
                }                                                                             \
            }                                                                                 \
        }                                                                                     \
    }
SPREAD_ROW(spread_row_f32, float)
SPREAD_ROW(spread_row_f64, double)

/* --- Kernels ---------------------------------------------------------------------------------- */

static void *at(const ct_operand *t, int64_t index) {
    return (char *)t->data + (size_t)index * ct_dtype_size(t->dtype);
}

static cti_pool pooling(const ct_call *call) {
    return cti_pool_of(call->attr, call->in[0].shape, call->out.shape);
}

static cti_pool spreading(const ct_call *call) {
    return cti_pool_of(call->attr, call->out.shape, call->in[0].shape);
}

static int64_t average_parts(const ct_call *call) {
    cti_pool g = pooling(call);
    return cti_pool_row_parts(&g);
}

static void average_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    cti_pool g = pooling(call);
    cti_range rows = cti_pool_rows(&g, part);
    int64_t height = g.axis[0].out, image = g.axis[0].size * g.axis[1].size * g.channels;
    for (int64_t r = rows.from; r < rows.to; r++) {
        (call->out.dtype == CT_F32 ? average_row_f32 : average_row_f64)(
            &g, r % height, at(&call->in[0], r / height * image),
            at(&call->out, r * g.axis[1].out * g.channels));
    }
}

static int64_t spread_parts(const ct_call *call) {
    cti_pool g = spreading(call);
    return cti_pool_band_parts(&g);
}

static void spread_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    cti_pool g = spreading(call);
    int64_t image;
    cti_range band = cti_pool_band(&g, part, &image);
    cti_range outputs = cti_axis_touching(&g.axis[0], band);
    int64_t line = g.axis[1].size * g.channels, first = image * g.axis[0].size * line;
    memset(at(&call->out, first + band.from * line), 0,
           (size_t)((band.to - band.from) * line) * ct_dtype_size(call->out.dtype));
    for (int64_t i = outputs.from; i < outputs.to; i++) {
        int64_t row = (image * g.axis[0].out + i) * g.axis[1].out * g.channels;
        (call->out.dtype == CT_F32 ? spread_row_f32 : spread_row_f64)(
            &g, i, band, at(&call->in[0], row), at(&call->out, first));
    }
}

static ct_span spread_reads(const ct_call *call, int stage, int i, int64_t part) {
    (void)stage, (void)i;
    cti_pool g = spreading(call);
    return cti_pool_touching_span(&g, part);
}

/* --- Descriptors ------------------------------------------------------------------------------ */

static ct_tensor *vjp_average(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *x = ct_input(y, i);
    return ct_avg_pool2d_spread(g, ct_dim(x, 1), ct_dim(x, 2), cti_pool_spec_of(ct_attr(y)));
}

static ct_tensor *vjp_spread(ct_tensor *g, ct_tensor *x, int i) {
    (void)i;
    return ct_avg_pool2d(g, cti_pool_spec_of(ct_attr(x)));
}

CT_OP(op_avg_pool2d) = {
    .name = "avg_pool2d",
    .kind = CT_KERNEL,
    .n_inputs = 1,
    .infer = cti_pool_infer,
    .stages = {{average_parts, average_run}},
    .writes = cti_pool_row_writes,
    .reads = cti_pool_row_reads,
    .vjp = {vjp_average},
};

CT_OP(op_avg_pool2d_spread) = {
    .name = "avg_pool2d_spread",
    .kind = CT_KERNEL,
    .n_inputs = 1,
    .infer = cti_pool_spread_infer,
    .stages = {{spread_parts, spread_run}},
    .writes = cti_pool_band_writes,
    .reads = spread_reads,
    .vjp = {vjp_spread},
};

ct_tensor *ct_avg_pool2d(ct_tensor *x, ct_pool2d_spec spec) {
    cti_pool_attr attr = cti_pool_attr_of(spec, 0, 0);
    return ct_node(&op_avg_pool2d, &x, 1, &attr, sizeof attr);
}

ct_tensor *ct_avg_pool2d_spread(ct_tensor *y, int64_t height, int64_t width, ct_pool2d_spec spec) {
    cti_pool_attr attr = cti_pool_attr_of(spec, height, width);
    return ct_node(&op_avg_pool2d_spread, &y, 1, &attr, sizeof attr);
}
