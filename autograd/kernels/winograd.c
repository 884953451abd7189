/* The five transforms of winograd.h, over channels. It knows neither images nor products.
 * Invariant: additions and halves alone, in one order, so that every processor gives the same bits;
 * what is the transpose of a map here is so in its formula. */
#include "autograd/kernels/winograd.h"

#include "autograd/kernels/element.h" /* f32 */

#define SIDE 4
typedef element vector VECTOR;
#define LANES ((int64_t)(sizeof(vector) / sizeof(element)))

/* --- In one dimension, of vectors `step` apart ------------------------------------------------ */

/* B' */
INLINE void pixels_line(const vector *x, int step, vector *y, int to) {
    y[0] = x[0] - x[2 * step];
    y[to] = x[step] + x[2 * step];
    y[2 * to] = x[2 * step] - x[step];
    y[3 * to] = x[step] - x[3 * step];
}

/* G */
INLINE void kernel_line(const vector *x, int step, vector *y, int to) {
    vector ends = x[0] + x[2 * step];
    y[0] = x[0];
    y[to] = (ends + x[step]) * (element)0.5;
    y[2 * to] = (ends - x[step]) * (element)0.5;
    y[3 * to] = x[2 * step];
}

/* G' */
INLINE void to_kernel_line(const vector *x, int step, vector *y, int to) {
    vector half_sum = (x[step] + x[2 * step]) * (element)0.5;
    y[0] = x[0] + half_sum;
    y[to] = (x[step] - x[2 * step]) * (element)0.5;
    y[2 * to] = half_sum + x[3 * step];
}

/* A' */
INLINE void outputs_line(const vector *x, int step, vector *y, int to) {
    y[0] = x[0] + x[step] + x[2 * step];
    y[to] = x[step] - x[2 * step] - x[3 * step];
}

/* A */
INLINE void from_outputs_line(const vector *x, int step, vector *y, int to) {
    y[0] = x[0];
    y[to] = x[0] + x[step];
    y[2 * to] = x[0] - x[step];
    y[3 * to] = -x[step];
}

/* --- In two ----------------------------------------------------------------------------------- */

/* From n x n vectors to m x m: down the columns, then along the rows. */
#define TRANSFORM(name, line, n, m)                                                       \
    CT_CLONES static void TYPED(name##_loop)(int64_t count, const void *const from[],     \
                                             void *const to[]) {                          \
        for (int64_t c = 0; c < count; c += LANES) {                                      \
            vector x[SIDE * SIDE], middle[SIDE * SIDE], y[SIDE * SIDE];                   \
            for (int k = 0; k < (n) * (n); k++)                                           \
                x[k] = *(const vector *)((const element *)from[k] + c);                   \
            for (int k = 0; k < (n); k++) line(x + k, n, middle + k, n);                  \
            for (int k = 0; k < (m); k++) line(middle + k * (n), 1, y + k * (m), 1);      \
            for (int k = 0; k < (m) * (m); k++) *(vector *)((element *)to[k] + c) = y[k]; \
        }                                                                                 \
    }                                                                                     \
    void TYPED(name)(int64_t count, const void *const from[], void *const to[]) {         \
        TYPED(name##_loop)(count, from, to);                                              \
    }

TRANSFORM(cti_winograd_pixels, pixels_line, 4, 4)
TRANSFORM(cti_winograd_kernel, kernel_line, 3, 4)
TRANSFORM(cti_winograd_to_kernel, to_kernel_line, 4, 3)
TRANSFORM(cti_winograd_outputs, outputs_line, 4, 2)
TRANSFORM(cti_winograd_from_outputs, from_outputs_line, 2, 4)
