/* The arithmetic of max pooling over one row of outputs: maximum, gather, scatter.
 * It cuts no parts and checks nothing; op_max_pool.c does.
 * Invariant: all three agree on the place of a maximum: the first NaN, else the first of the
 * largest, row by row. */
#include "autograd/kernels/max_rows.h"

#include <string.h>

/* Channels of one walk over a window. A constant number makes loops without remainders; it is more
 * than a compiler would unroll into single statements. */
#define LANES 32
/* Windows of more elements are followed channel by channel: comparing every element would cost
 * more than the vector saves. */
#define COMPARED 16

/* Whether a running maximum stays; an earlier NaN does, and a later one replaces a number. */
#define STAYS(best, value) (((best) >= (value)) | ((best) != (best)))

#define INLINE static inline __attribute__((always_inline))

/* Steps within an image, in elements. */
typedef struct {
    int64_t line, pixel;
} steps;

static steps steps_of(const cti_pool *g) {
    return (steps){g->axis[1].size * g->channels, g->channels};
}

static int64_t corner_of(cti_window w, steps s) { return w.top * s.line + w.left * s.pixel; }

/* --- One window, n channels ------------------------------------------------------------------- */

#define MAXIMUM(name, type)                                                                    \
    INLINE void name(cti_window w, int64_t n, steps s, const type *corner, type *restrict y) { \
        type best[LANES];                                                                      \
        for (int64_t c = 0; c < n; c++) best[c] = corner[c];                                   \
        for (int64_t a = 0; a < w.rows; a++) {                                                 \
            for (int64_t b = a == 0; b < w.columns; b++) {                                     \
                const type *x = corner + a * s.line + b * s.pixel;                             \
                for (int64_t c = 0; c < n; c++) {                                              \
                    type old = best[c], value = x[c];                                          \
                    best[c] = STAYS(old, value) ? old : value;                                 \
                }                                                                              \
            }                                                                                  \
        }                                                                                      \
        for (int64_t c = 0; c < n; c++) y[c] = best[c];                                        \
    }
MAXIMUM(maximum_f32, float)
MAXIMUM(maximum_f64, double)

/* Which element of the window, row by row, is the maximum. `index` is as wide as the element, so
 * that both fill the same vectors. */
#define SEARCH(name, type, index)                                                          \
    INLINE void name(cti_window w, int64_t n, steps s, const type *corner, index *place) { \
        type best[LANES];                                                                  \
        index at[LANES];                                                                   \
        for (int64_t c = 0; c < n; c++) {                                                  \
            best[c] = corner[c];                                                           \
            at[c] = 0;                                                                     \
        }                                                                                  \
        index t = 1;                                                                       \
        for (int64_t a = 0; a < w.rows; a++) {                                             \
            for (int64_t b = a == 0; b < w.columns; b++, t++) {                            \
                const type *x = corner + a * s.line + b * s.pixel;                         \
                for (int64_t c = 0; c < n; c++) {                                          \
                    type old = best[c], value = x[c];                                      \
                    index was = at[c];                                                     \
                    best[c] = STAYS(old, value) ? old : value;                             \
                    at[c] = STAYS(old, value) ? was : t;                                   \
                }                                                                          \
            }                                                                              \
        }                                                                                  \
        for (int64_t c = 0; c < n; c++) place[c] = at[c];                                  \
    }
SEARCH(search_f32, float, int32_t)
SEARCH(search_f64, double, int64_t)

/* The same walk with the value at the place carried along instead of the place. */
#define GATHER(name, type)                                                                \
    INLINE void name(cti_window w, int64_t n, steps s, const type *corner, const type *h, \
                     type *restrict y) {                                                  \
        type best[LANES], picked[LANES];                                                  \
        for (int64_t c = 0; c < n; c++) {                                                 \
            best[c] = corner[c];                                                          \
            picked[c] = h[c];                                                             \
        }                                                                                 \
        for (int64_t a = 0; a < w.rows; a++) {                                            \
            for (int64_t b = a == 0; b < w.columns; b++) {                                \
                const type *x = corner + a * s.line + b * s.pixel;                        \
                const type *from = h + a * s.line + b * s.pixel;                          \
                for (int64_t c = 0; c < n; c++) {                                         \
                    type old = best[c], value = x[c], was = picked[c], now = from[c];     \
                    best[c] = STAYS(old, value) ? old : value;                            \
                    picked[c] = STAYS(old, value) ? was : now;                            \
                }                                                                         \
            }                                                                             \
        }                                                                                 \
        for (int64_t c = 0; c < n; c++) y[c] = picked[c];                                 \
    }
GATHER(gather_f32, float)
GATHER(gather_f64, double)

/* Adds only into the window's rows [inside.from, inside.to); to 0 when the window has its elements
 * for itself, whatever was there. */
#define SCATTER(name, type, index, search)                                                   \
    INLINE void name(cti_window w, int64_t n, steps s, const type *corner, cti_range inside, \
                     bool alone, const type *restrict y, type *restrict sums) {              \
        index at[LANES];                                                                     \
        search(w, n, s, corner, at);                                                         \
        for (int64_t c = 0; c < n && w.rows * w.columns > COMPARED; c++) {                   \
            int64_t a = at[c] / w.columns, b = at[c] % w.columns;                            \
            if (a < inside.from || a >= inside.to) continue;                                 \
            sums[a * s.line + b * s.pixel + c] += y[c];                                      \
        }                                                                                    \
        if (w.rows * w.columns > COMPARED) return;                                           \
        for (int64_t a = inside.from; a < inside.to; a++) {                                  \
            index t = (index)(a * w.columns);                                                \
            for (int64_t b = 0; b < w.columns; b++, t++) {                                   \
                type *to = sums + a * s.line + b * s.pixel;                                  \
                for (int64_t c = 0; c < n; c++) {                                            \
                    type before = alone ? (type)0 : to[c];                                   \
                    to[c] = before + (at[c] == t ? y[c] : (type)0);                          \
                }                                                                            \
            }                                                                                \
        }                                                                                    \
    }
SCATTER(scatter_f32, float, int32_t, search_f32)
SCATTER(scatter_f64, double, int64_t, search_f64)

/* The common window, with its size known to the compiler. */
#define IS_2X2(w) ((w).rows == 2 && (w).columns == 2)
#define AS_2X2(w) ((cti_window){(w).top, (w).left, 2, 2})

/* Whether windows lie side by side, so that no element is under two, and write all they cover. */
static bool windows_alone(const cti_pool *g) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    return v->stride == v->extent && h->stride == h->extent && v->before == 0 && h->before == 0 &&
           v->after == 0 && h->after == 0 && v->extent * h->extent <= COMPARED;
}

/* --- One row of outputs ----------------------------------------------------------------------- */

#define MAX_ROW(name, type, maximum)                                                         \
    static CT_CLONES void name(const cti_pool *g, int64_t i, const void *image, void *row) { \
        steps s = steps_of(g);                                                               \
        type *y = row;                                                                       \
        for (int64_t j = 0; j < g->axis[1].out; j++, y += s.pixel) {                         \
            cti_window w = cti_pool_window(g, i, j);                                         \
            const type *x = (const type *)image + corner_of(w, s);                           \
            int64_t c = 0;                                                                   \
            for (; c + LANES <= s.pixel && IS_2X2(w); c += LANES)                            \
                maximum(AS_2X2(w), LANES, s, x + c, y + c);                                  \
            for (; c + LANES <= s.pixel; c += LANES) maximum(w, LANES, s, x + c, y + c);     \
            if (c < s.pixel) maximum(w, s.pixel - c, s, x + c, y + c);                       \
        }                                                                                    \
    }
MAX_ROW(max_row_f32, float, maximum_f32)
MAX_ROW(max_row_f64, double, maximum_f64)

#define GATHER_ROW(name, type, gather)                                                         \
    static CT_CLONES void name(const cti_pool *g, int64_t i, const void *values,               \
                               const void *image, void *row) {                                 \
        steps s = steps_of(g);                                                                 \
        type *y = row;                                                                         \
        for (int64_t j = 0; j < g->axis[1].out; j++, y += s.pixel) {                           \
            cti_window w = cti_pool_window(g, i, j);                                           \
            const type *h = (const type *)values + corner_of(w, s);                            \
            const type *x = (const type *)image + corner_of(w, s);                             \
            int64_t c = 0;                                                                     \
            for (; c + LANES <= s.pixel; c += LANES) gather(w, LANES, s, x + c, h + c, y + c); \
            if (c < s.pixel) gather(w, s.pixel - c, s, x + c, h + c, y + c);                   \
        }                                                                                      \
    }
GATHER_ROW(max_gather_row_f32, float, gather_f32)
GATHER_ROW(max_gather_row_f64, double, gather_f64)

#define SCATTER_ROW(name, type, scatter)                                                      \
    static CT_CLONES void name(const cti_pool *g, int64_t i, cti_range band, const void *row, \
                               const void *image, void *sums) {                               \
        steps s = steps_of(g);                                                                \
        bool alone = windows_alone(g);                                                        \
        const type *y = row;                                                                  \
        for (int64_t j = 0; j < g->axis[1].out; j++, y += s.pixel) {                          \
            cti_window w = cti_pool_window(g, i, j);                                          \
            cti_range in = {band.from > w.top ? band.from - w.top : 0,                        \
                            band.to - w.top < w.rows ? band.to - w.top : w.rows};             \
            const type *x = (const type *)image + corner_of(w, s);                            \
            type *sum = (type *)sums + corner_of(w, s);                                       \
            int64_t c = 0;                                                                    \
            bool common = alone && IS_2X2(w) && in.from == 0 && in.to == 2;                   \
            for (; c + LANES <= s.pixel && common; c += LANES) {                              \
                scatter(AS_2X2(w), LANES, s, x + c, (cti_range){0, 2}, true, y + c, sum + c); \
            }                                                                                 \
            for (; c + LANES <= s.pixel; c += LANES) {                                        \
                scatter(w, LANES, s, x + c, in, alone, y + c, sum + c);                       \
            }                                                                                 \
            if (c < s.pixel) scatter(w, s.pixel - c, s, x + c, in, alone, y + c, sum + c);    \
        }                                                                                     \
    }
SCATTER_ROW(max_scatter_row_f32, float, scatter_f32)
SCATTER_ROW(max_scatter_row_f64, double, scatter_f64)

/* --- By dtype --------------------------------------------------------------------------------- */

void cti_max_row(const cti_pool *g, ct_dtype dtype, int64_t i, const void *image, void *row) {
    (dtype == CT_F32 ? max_row_f32 : max_row_f64)(g, i, image, row);
}

void cti_max_gather_row(const cti_pool *g, ct_dtype dtype, int64_t i, const void *values,
                        const void *image, void *row) {
    (dtype == CT_F32 ? max_gather_row_f32 : max_gather_row_f64)(g, i, values, image, row);
}

void cti_max_scatter_clear(const cti_pool *g, ct_dtype dtype, cti_range band, void *sums) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    size_t pixel = (size_t)g->channels * ct_dtype_size(dtype), line = (size_t)h->size * pixel;
    bool alone = windows_alone(g);
    int64_t rows = alone ? v->out * v->extent : 0, columns = alone ? h->out * h->extent : 0;
    for (int64_t r = band.from; r < band.to; r++) {
        size_t written = r < rows ? (size_t)columns * pixel : 0;
        memset((char *)sums + (size_t)r * line + written, 0, line - written);
    }
}

void cti_max_scatter_row(const cti_pool *g, ct_dtype dtype, int64_t i, cti_range band,
                         const void *row, const void *image, void *sums) {
    (dtype == CT_F32 ? max_scatter_row_f32 : max_scatter_row_f64)(g, i, band, row, image, sums);
}
