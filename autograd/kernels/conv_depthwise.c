/* Depthwise convolution and its transposes: one loop over pixels and taps, vectors along channels.
 * It cuts no parts and zeroes nothing.
 * Invariant: the three faces walk the same triples of an input row, a kernel row and an output row,
 * in the same order, and differ only in which of them they add to. */
#include "autograd/kernels/conv_depthwise.h"

bool cti_conv_is_depthwise(const cti_conv *g) {
    return g->groups > 1 && g->groups == g->channels && g->groups == g->outputs;
}

/* Calls for each tap that is inside: x, w and y are rows of `channels` elements. */
#define DEPTHWISE(name, type, statement)                                                           \
    static CT_CLONES void name(const cti_conv *g, cti_range pixels, cti_range rows, type *images,  \
                               type *kernel, type *outputs) {                                      \
        const cti_axis *v = &g->axis[0], *h = &g->axis[1];                                         \
        int64_t channels = g->channels;                                                            \
        for (int64_t p = pixels.from; p < pixels.to; p++) {                                        \
            int64_t inside = p % g->image_pixels, i = inside / h->out, j = inside % h->out;        \
            int64_t top = i * v->stride - v->before, left = j * h->stride - h->before;             \
            type *image = images + p / g->image_pixels * v->size * h->size * channels;             \
            cti_range a = cti_window_clip(top - rows.from, v->dilation, v->extent,                 \
                                          rows.to - rows.from);                                    \
            cti_range b = cti_axis_taps(h, j);                                                     \
            int64_t columns = b.to - b.from, taps = (a.to - a.from) * columns;                     \
            for (int64_t t = 0; t < taps; t++) {                                                   \
                int64_t row = a.from + t / columns, column = b.from + t % columns;                 \
                int64_t pixel = (top + row * v->dilation) * h->size + left + column * h->dilation; \
                type *restrict x = image + pixel * channels;                                       \
                type *restrict w = kernel + (row * h->extent + column) * channels;                 \
                type *restrict y = outputs + p * channels;                                         \
                for (int64_t c = 0; c < channels; c++) statement;                                  \
            }                                                                                      \
        }                                                                                          \
    }
DEPTHWISE(depthwise_outputs_f32, float, y[c] += x[c] * w[c])
DEPTHWISE(depthwise_outputs_f64, double, y[c] += x[c] * w[c])
DEPTHWISE(depthwise_input_f32, float, x[c] += y[c] * w[c])
DEPTHWISE(depthwise_input_f64, double, x[c] += y[c] * w[c])
DEPTHWISE(depthwise_kernel_f32, float, w[c] += x[c] * y[c])
DEPTHWISE(depthwise_kernel_f64, double, w[c] += x[c] * y[c])

static cti_range all_rows(const cti_conv *g) { return (cti_range){0, g->axis[0].size}; }

/* The walk takes writable pointers, whichever of the three it writes to. */
void cti_depthwise_outputs(const cti_conv *g, cti_range pixels, const void *x, const void *w,
                           void *y) {
    if (g->dtype == CT_F32) depthwise_outputs_f32(g, pixels, all_rows(g), (void *)x, (void *)w, y);
    else depthwise_outputs_f64(g, pixels, all_rows(g), (void *)x, (void *)w, y);
}

void cti_depthwise_input(const cti_conv *g, cti_range pixels, cti_range rows, void *x,
                         const void *w, const void *y) {
    if (g->dtype == CT_F32) depthwise_input_f32(g, pixels, rows, x, (void *)w, (void *)y);
    else depthwise_input_f64(g, pixels, rows, x, (void *)w, (void *)y);
}

void cti_depthwise_kernel(const cti_conv *g, cti_range pixels, const void *x, void *w,
                          const void *y) {
    if (g->dtype == CT_F32) depthwise_kernel_f32(g, pixels, all_rows(g), (void *)x, w, (void *)y);
    else depthwise_kernel_f64(g, pixels, all_rows(g), (void *)x, w, (void *)y);
}
