/* Depthwise convolution and its transposes: one loop over pixels and taps, vectors along channels.
 * It cuts no parts and zeroes nothing.
 * Invariant: the three faces walk the same triples of an input row, a kernel row and an output row,
 * in the same order, and differ only in which of them they add to. */
#include "autograd/kernels/conv.h"

#include "autograd/kernels/element.h" /* f32 f64 p61 */

#define outputs_face TYPED(outputs_face)
#define input_face TYPED(input_face)
#define kernel_face TYPED(kernel_face)

/* Which of the three is added to: a constant wherever the walk is used. */
typedef enum { OUTPUTS, INPUT, KERNEL } face;

/* n channels of one tap of one pixel. */
INLINE void add_products(face to, int64_t n, element *restrict x, element *restrict w,
                         element *restrict y) {
    for (int64_t c = 0; c < n && to == OUTPUTS; c++) y[c] = ADD(y[c], MUL(x[c], w[c]));
    for (int64_t c = 0; c < n && to == INPUT; c++) x[c] = ADD(x[c], MUL(y[c], w[c]));
    for (int64_t c = 0; c < n && to == KERNEL; c++) w[c] = ADD(w[c], MUL(x[c], y[c]));
}

INLINE void walk(face to, const cti_conv *g, ct_span pixels, ct_span rows, element *images,
                 element *kernel, element *outputs) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    int64_t channels = g->channels;
    for (int64_t p = pixels.first; p < pixels.last; p++) {
        int64_t inside = p % g->image_pixels, i = inside / h->out, j = inside % h->out;
        int64_t top = i * v->stride - v->before, left = j * h->stride - h->before;
        element *image = images + p / g->image_pixels * v->size * h->size * channels;
        ct_span a = cti_window_clip(top - rows.first, v->dilation, v->extent,
                                    rows.last - rows.first);
        ct_span b = cti_axis_taps(h, j);
        int64_t columns = b.last - b.first, taps = (a.last - a.first) * columns;
        for (int64_t t = 0; t < taps; t++) {
            int64_t row = a.first + t / columns, column = b.first + t % columns;
            int64_t pixel = (top + row * v->dilation) * h->size + left + column * h->dilation;
            add_products(to, channels, image + pixel * channels,
                         kernel + (row * h->extent + column) * channels, outputs + p * channels);
        }
    }
}

static ct_span all_rows(const cti_conv *g) { return (ct_span){0, g->axis[0].size}; }

/* The walk takes writable pointers, whichever of the three it writes to. */
static CT_CLONES void outputs_face(const cti_conv *g, ct_span pixels, const void *x, const void *w,
                                   void *y) {
    walk(OUTPUTS, g, pixels, all_rows(g), (element *)x, (element *)w, y);
}

static CT_CLONES void input_face(const cti_conv *g, ct_span pixels, ct_span rows, void *x,
                                 const void *w, const void *y) {
    walk(INPUT, g, pixels, rows, x, (element *)w, (element *)y);
}

static CT_CLONES void kernel_face(const cti_conv *g, ct_span pixels, const void *x, void *w,
                                  const void *y) {
    walk(KERNEL, g, pixels, all_rows(g), (element *)x, w, (element *)y);
}

const cti_depthwise TYPED(cti_depthwise) = {outputs_face, input_face, kernel_face};
