/* Sums and maxima along an axis, of elements, of their products or of their differences.
 * It knows a geometry [outer, count, inner] and no tensors.
 * Invariant: every path combines the rows of a block in ascending order, and the result with y. */
#include "autograd/kernels/reduce.h"

#include "autograd/kernels/element.h" /* f32 f64 i64 p61 */

#define sum_start TYPED(cti_sum_start)
#define max_start TYPED(cti_max_start)
#define argmax TYPED(cti_argmax)
#define add_rows TYPED(add_rows)
#define scatter_rows TYPED(cti_scatter_rows)

/* inner == 1: so many chains that additions need not wait for each other */
#define LANES 8
/* inner > 1: so many columns are combined before the next ones */
#define COLUMNS 64
/* The same for sums: so many vectors that all stay in registers */
#define VECTORS 8

typedef element vector VECTOR;
enum { WIDTH = sizeof(vector) / sizeof(element) };

/* What is combined, and how: constants wherever these functions are used. */
typedef enum { ELEMENT, PRODUCT, DIFFERENCE } operand;
typedef enum { SUM, MAX } combination;

INLINE element read(operand of, const element *a, const element *b, int64_t at) {
    return of == PRODUCT ? MUL(a[at], b[at]) : of == DIFFERENCE ? SUB(a[at], b[at]) : a[at];
}

/* By address: how a vector is returned depends on the instruction set. */
INLINE void read_vector(operand of, const element *a, const element *b, int64_t at, vector *x) {
    *x = *(const vector *)(a + at);
    if (of == PRODUCT) *x = MUL(*x, *(const vector *)(b + at));
    if (of == DIFFERENCE) *x = SUB(*x, *(const vector *)(b + at));
}

INLINE element combine(combination by, element a, element b) {
    return by == SUM ? ADD(a, b) : STAYS(a, b) ? a : b;
}

/* inner == 1 */
INLINE element row(combination by, operand of, int64_t count, const element *a, const element *b,
                   element y) {
    element lane[LANES];
    for (int l = 0; l < LANES; l++) lane[l] = by == SUM ? ZERO : LOWEST;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) lane[l] = combine(by, lane[l], read(of, a, b, i + l));
    }
    for (; i < count; i++) lane[i % LANES] = combine(by, lane[i % LANES], read(of, a, b, i));
    for (int l = 0; l < LANES; l++) y = combine(by, y, lane[l]);
    return y;
}

/* n <= COLUMNS columns */
INLINE void columns(combination by, operand of, int64_t n, int64_t count, int64_t inner,
                    element *restrict y, const element *a, const element *b) {
    element total[COLUMNS];
    for (int64_t i = 0; i < n; i++) total[i] = read(of, a, b, i);
    for (int64_t at = inner; at < count * inner; at += inner) {
        for (int64_t i = 0; i < n; i++) total[i] = combine(by, total[i], read(of, a, b, at + i));
    }
    for (int64_t i = 0; i < n; i++) y[i] = combine(by, y[i], total[i]);
}

/* A sum of VECTORS * WIDTH columns */
INLINE void vectors(operand of, int64_t count, int64_t inner, element *restrict y, const element *a,
                    const element *b) {
    vector total[VECTORS];
    for (int k = 0; k < VECTORS; k++) read_vector(of, a, b, k * WIDTH, &total[k]);
    for (int64_t at = inner; at < count * inner; at += inner) {
        for (int k = 0; k < VECTORS; k++) {
            vector x;
            read_vector(of, a, b, at + k * WIDTH, &x);
            total[k] = ADD(total[k], x);
        }
    }
    vector *to = (vector *)y;
    for (int k = 0; k < VECTORS; k++) to[k] = ADD(to[k], total[k]);
}

INLINE void reduce(combination by, operand of, int64_t outer, int64_t count, int64_t inner,
                   element *restrict y, const element *a, const element *b) {
    if (count == 0) return;
    for (int64_t o = 0; o < outer && inner == 1; o++, a += count, b += count) {
        y[o] = row(by, of, count, a, b, y[o]);
    }
    for (int64_t o = 0; o < outer && inner > 1; o++) {
        int64_t i = 0, width = by == SUM ? VECTORS * WIDTH : COLUMNS;
        for (; i + width <= inner; i += width) {
            if (by == SUM) vectors(of, count, inner, y + i, a + i, b + i);
            else columns(by, of, COLUMNS, count, inner, y + i, a + i, b + i);
        }
        for (; i < inner; i += COLUMNS) {
            int64_t n = inner - i < COLUMNS ? inner - i : COLUMNS;
            columns(by, of, n, count, inner, y + i, a + i, b + i);
        }
        y += inner, a += count * inner, b += count * inner;
    }
}

#define REDUCTION(name, by, of, second)                                                     \
    static CT_CLONES void TYPED(name)(int64_t outer, int64_t count, int64_t inner, void *y, \
                                      const void *const x[]) {                              \
        reduce(by, of, outer, count, inner, y, x[0], x[second]);                            \
    }                                                                                       \
    void TYPED(cti_##name)(int64_t outer, int64_t count, int64_t inner, void *y,            \
                           const void *const x[]) {                                         \
        TYPED(name)(outer, count, inner, y, x);                                             \
    }
REDUCTION(sum, SUM, ELEMENT, 0)
REDUCTION(sum_products, SUM, PRODUCT, 1)
REDUCTION(sum_differences, SUM, DIFFERENCE, 1)
REDUCTION(max, MAX, ELEMENT, 0)

void sum_start(int64_t n, void *y) {
    for (int64_t i = 0; i < n; i++) ((element *)y)[i] = ZERO;
}

void max_start(int64_t n, void *y) {
    for (int64_t i = 0; i < n; i++) ((element *)y)[i] = LOWEST;
}

/* --- Other ways to combine rows --------------------------------------------------------------- */

void argmax(int64_t count, int64_t inner, const void *in, int64_t *y) {
    const element *x = in;
    for (int64_t i = 0; i < inner; i++) {
        int64_t best = 0;
        for (int64_t c = 1; c < count; c++) {
            if (!STAYS(x[best * inner + i], x[c * inner + i])) best = c;
        }
        y[i] = best;
    }
}

static CT_CLONES void add_rows(int64_t n, int64_t count, int64_t distance, const void *in,
                               void *out) {
    element *restrict y = out;
    for (int64_t i = 0; i < n; i++) y[i] = ((const element *)in)[i];
    for (int64_t k = 1; k < count; k++) {
        const element *restrict x = (const element *)in + k * distance;
        for (int64_t i = 0; i < n; i++) y[i] = ADD(y[i], x[i]);
    }
}

void TYPED(cti_add_rows)(int64_t n, int64_t count, int64_t distance, const void *x, void *y) {
    add_rows(n, count, distance, x, y);
}

void scatter_rows(int64_t n, int64_t row, const int64_t *index, const void *in, void *out) {
    const element *x = in;
    for (int64_t i = 0; i < n; i++, x += row) {
        element *y = (element *)out + index[i] * row;
        for (int64_t k = 0; k < row; k++) y[k] = ADD(y[k], x[k]);
    }
}
