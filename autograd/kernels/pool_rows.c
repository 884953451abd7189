/* The arithmetic of pooling over one row of outputs: maximum, gather, scatter; mean and spread.
 * It cuts no parts and checks nothing; pool.c does.
 * Invariant: the first three agree on the place of a maximum: the first NaN, else the first of the
 * largest, row by row; the last two divide by the same count. */
#include "autograd/kernels/pool.h"

#include "autograd/kernels/element.h" /* f32 f64 p61 */
#include "tensor/op.h"

#include <string.h>

#define max_row TYPED(max_row)
#define gather_row TYPED(gather_row)
#define scatter_row TYPED(scatter_row)
#define average_row TYPED(average_row)
#define spread_row TYPED(spread_row)

/* Channels of one walk over a window. A constant number makes loops without remainders; it is more
 * than a compiler would unroll into single statements. */
#define LANES 32
/* Windows of more elements are followed channel by channel: comparing every element would cost
 * more than the vector saves. */
#define COMPARED 16

/* Steps within an image, in elements. */
typedef struct {
    int64_t line, pixel;
} steps;

static steps steps_of(const cti_pool *g) {
    return (steps){g->axis[1].size * g->channels, g->channels};
}

static int64_t corner_of(cti_window w, steps s) { return w.top * s.line + w.left * s.pixel; }

/* --- The maximum of one window, n channels ---------------------------------------------------- */

INLINE void maximum(cti_window w, int64_t n, steps s, const element *corner, element *restrict y) {
    element best[LANES];
    for (int64_t c = 0; c < n; c++) best[c] = corner[c];
    for (int64_t a = 0; a < w.rows; a++) {
        for (int64_t b = a == 0; b < w.columns; b++) {
            const element *x = corner + a * s.line + b * s.pixel;
            for (int64_t c = 0; c < n; c++) {
                element old = best[c], next = x[c];
                best[c] = STAYS(old, next) ? old : next;
            }
        }
    }
    for (int64_t c = 0; c < n; c++) y[c] = best[c];
}

/* Which element of the window, row by row, is the maximum. */
INLINE void search(cti_window w, int64_t n, steps s, const element *corner, place *found) {
    element best[LANES];
    place at[LANES];
    for (int64_t c = 0; c < n; c++) {
        best[c] = corner[c];
        at[c] = 0;
    }
    place t = 1;
    for (int64_t a = 0; a < w.rows; a++) {
        for (int64_t b = a == 0; b < w.columns; b++, t++) {
            const element *x = corner + a * s.line + b * s.pixel;
            for (int64_t c = 0; c < n; c++) {
                element old = best[c], next = x[c];
                place was = at[c];
                best[c] = STAYS(old, next) ? old : next;
                at[c] = STAYS(old, next) ? was : t;
            }
        }
    }
    for (int64_t c = 0; c < n; c++) found[c] = at[c];
}

/* The same walk with the value at the place carried along instead of the place. */
INLINE void gather(cti_window w, int64_t n, steps s, const element *corner, const element *h,
                   element *restrict y) {
    element best[LANES], picked[LANES];
    for (int64_t c = 0; c < n; c++) {
        best[c] = corner[c];
        picked[c] = h[c];
    }
    for (int64_t a = 0; a < w.rows; a++) {
        for (int64_t b = a == 0; b < w.columns; b++) {
            const element *x = corner + a * s.line + b * s.pixel;
            const element *from = h + a * s.line + b * s.pixel;
            for (int64_t c = 0; c < n; c++) {
                element old = best[c], next = x[c], was = picked[c], now = from[c];
                best[c] = STAYS(old, next) ? old : next;
                picked[c] = STAYS(old, next) ? was : now;
            }
        }
    }
    for (int64_t c = 0; c < n; c++) y[c] = picked[c];
}

/* Adds only into the window's rows [inside.first, inside.last); to 0 when the window has its
 * elements for itself, whatever was there. */
INLINE void scatter(cti_window w, int64_t n, steps s, const element *corner, ct_span inside,
                    bool alone, const element *restrict y, element *restrict sums) {
    place at[LANES];
    search(w, n, s, corner, at);
    for (int64_t c = 0; c < n && w.rows * w.columns > COMPARED; c++) {
        int64_t a = at[c] / w.columns, b = at[c] % w.columns;
        if (a < inside.first || a >= inside.last) continue;
        element *to = sums + a * s.line + b * s.pixel + c;
        *to = ADD(*to, y[c]);
    }
    if (w.rows * w.columns > COMPARED) return;
    for (int64_t a = inside.first; a < inside.last; a++) {
        place t = (place)(a * w.columns);
        for (int64_t b = 0; b < w.columns; b++, t++) {
            element *to = sums + a * s.line + b * s.pixel;
            for (int64_t c = 0; c < n; c++) {
                element before = alone ? ZERO : to[c];
                to[c] = ADD(before, at[c] == t ? y[c] : ZERO);
            }
        }
    }
}

/* The common window, with its size known to the compiler. */
#define IS_2X2(w) ((w).rows == 2 && (w).columns == 2)
#define AS_2X2(w) ((cti_window){(w).top, (w).left, 2, 2})

/* Whether windows lie side by side, so that no element is under two, and write all they cover. */
static bool windows_alone(const cti_pool *g) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    return v->stride == v->extent && h->stride == h->extent && v->before == 0 && h->before == 0 &&
           v->after == 0 && h->after == 0 && v->extent * h->extent <= COMPARED;
}

/* --- One row of maxima ------------------------------------------------------------------------ */

static CT_CLONES void max_row(const cti_pool *g, int64_t i, const void *values, const void *image,
                              void *row) {
    (void)values;
    steps s = steps_of(g);
    element *y = row;
    for (int64_t j = 0; j < g->axis[1].out; j++, y += s.pixel) {
        cti_window w = cti_pool_window(g, i, j);
        const element *x = (const element *)image + corner_of(w, s);
        int64_t c = 0;
        bool common = IS_2X2(w);
        for (; c + LANES <= s.pixel && common; c += LANES) {
            maximum(AS_2X2(w), LANES, s, x + c, y + c);
        }
        for (; c + LANES <= s.pixel; c += LANES) maximum(w, LANES, s, x + c, y + c);
        if (c < s.pixel) maximum(w, s.pixel - c, s, x + c, y + c);
    }
}

static CT_CLONES void gather_row(const cti_pool *g, int64_t i, const void *values,
                                 const void *image, void *row) {
    steps s = steps_of(g);
    element *y = row;
    for (int64_t j = 0; j < g->axis[1].out; j++, y += s.pixel) {
        cti_window w = cti_pool_window(g, i, j);
        const element *h = (const element *)values + corner_of(w, s);
        const element *x = (const element *)image + corner_of(w, s);
        int64_t c = 0;
        for (; c + LANES <= s.pixel; c += LANES) gather(w, LANES, s, x + c, h + c, y + c);
        if (c < s.pixel) gather(w, s.pixel - c, s, x + c, h + c, y + c);
    }
}

static void scatter_clear(const cti_pool *g, ct_span band, void *sums) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    size_t pixel = (size_t)g->channels * sizeof(element), line = (size_t)h->size * pixel;
    bool alone = windows_alone(g);
    int64_t rows = alone ? v->out * v->extent : 0, columns = alone ? h->out * h->extent : 0;
    for (int64_t r = band.first; r < band.last; r++) {
        size_t written = r < rows ? (size_t)columns * pixel : 0;
        memset((char *)sums + (size_t)r * line + written, 0, line - written);
    }
}

static CT_CLONES void scatter_row(const cti_pool *g, int64_t i, ct_span band, const void *row,
                                  const void *image, void *sums) {
    steps s = steps_of(g);
    bool alone = windows_alone(g);
    const element *y = row;
    for (int64_t j = 0; j < g->axis[1].out; j++, y += s.pixel) {
        cti_window w = cti_pool_window(g, i, j);
        ct_span in = {band.first > w.top ? band.first - w.top : 0,
                      band.last - w.top < w.rows ? band.last - w.top : w.rows};
        const element *x = (const element *)image + corner_of(w, s);
        element *sum = (element *)sums + corner_of(w, s);
        int64_t c = 0;
        bool common = alone && IS_2X2(w) && in.first == 0 && in.last == 2;
        for (; c + LANES <= s.pixel && common; c += LANES) {
            scatter(AS_2X2(w), LANES, s, x + c, (ct_span){0, 2}, true, y + c, sum + c);
        }
        for (; c + LANES <= s.pixel; c += LANES) {
            scatter(w, LANES, s, x + c, in, alone, y + c, sum + c);
        }
        if (c < s.pixel) scatter(w, s.pixel - c, s, x + c, in, alone, y + c, sum + c);
    }
}

/* --- One row of means ------------------------------------------------------------------------- */

static element elements(const cti_pool *g, cti_window w) {
    return WHOLE(g->count_pad ? g->axis[0].extent * g->axis[1].extent : w.rows * w.columns);
}

static CT_CLONES void average_row(const cti_pool *g, int64_t i, const void *values,
                                  const void *image, void *row) {
    (void)values;
    steps s = steps_of(g);
    element *restrict y = row;
    for (int64_t j = 0; j < g->axis[1].out; j++, y += s.pixel) {
        cti_window w = cti_pool_window(g, i, j);
        const element *corner = (const element *)image + corner_of(w, s);
        element count = elements(g, w);
        memcpy(y, corner, sizeof(element) * (size_t)s.pixel);
        for (int64_t a = 0; a < w.rows; a++) {
            for (int64_t b = a == 0; b < w.columns; b++) {
                const element *restrict x = corner + a * s.line + b * s.pixel;
                for (int64_t c = 0; c < s.pixel; c++) y[c] = ADD(y[c], x[c]);
            }
        }
        for (int64_t c = 0; c < s.pixel; c++) y[c] = DIV(y[c], count);
    }
}

static void spread_clear(const cti_pool *g, ct_span band, void *sums) {
    int64_t line = steps_of(g).line;
    memset((element *)sums + band.first * line, 0,
           sizeof(element) * (size_t)((band.last - band.first) * line));
}

static CT_CLONES void spread_row(const cti_pool *g, int64_t i, ct_span band, const void *row,
                                 const void *image, void *sums) {
    (void)image;
    steps s = steps_of(g);
    const element *restrict y = row;
    for (int64_t j = 0; j < g->axis[1].out; j++, y += s.pixel) {
        cti_window w = cti_pool_window(g, i, j);
        element *corner = (element *)sums + corner_of(w, s);
        element count = elements(g, w);
        for (int64_t a = 0; a < w.rows; a++) {
            if (w.top + a < band.first || w.top + a >= band.last) continue;
            for (int64_t b = 0; b < w.columns; b++) {
                element *restrict x = corner + a * s.line + b * s.pixel;
                for (int64_t c = 0; c < s.pixel; c++) x[c] = ADD(x[c], DIV(y[c], count));
            }
        }
    }
}

const cti_pool_rows TYPED(cti_pool_rows) = {max_row,    gather_row,    average_row, scatter_row,
                                            spread_row, scatter_clear, spread_clear};
