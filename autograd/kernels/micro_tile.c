/* The innermost loop of convolutions and small products, for each instruction set; packing of its
 * second operand. It knows neither images nor matrices; how a sum is cut into tiles is in
 * micro_kernel.c.
 * Invariant: every sum is one chain of additions in the order of its steps, fused with the products
 * on x86-64 processors that can; the size of a tile does not change it. */
#include "autograd/kernels/element.h" /* f32 f64 */
#include "autograd/kernels/micro_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Two registers of lanes, and as many streams as fit beside them. Four are the fewest that keep two
 * multipliers busy. Two steps at a time: the counting would take a tenth of the issue slots. */
#define STREAMS_4(each, fma) each(0, fma) each(1, fma) each(2, fma) each(3, fma)
#define STREAMS_6(each, fma) STREAMS_4(each, fma) each(4, fma) each(5, fma)
#define STREAMS_12(each, fma) \
    STREAMS_6(each, fma)      \
    each(6, fma) each(7, fma) each(8, fma) each(9, fma) each(10, fma) each(11, fma)

#define BEGIN(s, fma)                                    \
    const element *x##s = streams + from[s];             \
    vector a##s = {0}, b##s = {0};                       \
    if (sum->accumulate) {                               \
        a##s = *(const unaligned *)(out + to[s]);        \
        b##s = *(const unaligned *)(out + to[s] + half); \
    }
#define STEP(s, fma)                       \
    {                                      \
        vector x = x##s[at] - (vector){0}; \
        a##s = fma(x, v, a##s);            \
        b##s = fma(x, w, b##s);            \
    }
#define ONE_STEP(k, n, fma)                                                       \
    {                                                                             \
        int64_t at = (k).stream;                                                  \
        const element *row = lanes + (k).lanes;                                   \
        vector v = *(const unaligned *)row, w = *(const unaligned *)(row + half); \
        STREAMS_##n(STEP, fma)                                                    \
    }
#define END(s, fma)                     \
    *(unaligned *)(out + to[s]) = a##s; \
    *(unaligned *)(out + to[s] + half) = b##s;

#define MICRO_KERNEL(name, target, bytes, n, fma)                                        \
    target static void name(const cti_product *sum, int64_t tiles, const int64_t from[], \
                            const int64_t to[]) {                                        \
        typedef element vector __attribute__((vector_size(bytes)));                      \
        typedef element unaligned                                                        \
            __attribute__((vector_size(bytes), aligned(sizeof(element)), may_alias));    \
        const int64_t half = bytes / sizeof(element);                                    \
        const element *streams = sum->streams, *lanes = sum->lanes;                      \
        element *out = sum->out;                                                         \
        const cti_step *end = sum->steps + sum->n_steps;                                 \
        for (; tiles > 0; tiles--, from += n, to += n) {                                 \
            STREAMS_##n(BEGIN, fma) const cti_step *k = sum->steps;                      \
            for (; end - k > 1; k += 2) {                                                \
                ONE_STEP(k[0], n, fma)                                                   \
                ONE_STEP(k[1], n, fma)                                                   \
            }                                                                            \
            if (k < end) ONE_STEP(*k, n, fma)                                            \
            STREAMS_##n(END, fma)                                                        \
        }                                                                                \
    }

#define MULTIPLY_ADD(x, v, a) ADD(MUL(x, v), a)
MICRO_KERNEL(plain, , 16, 4, MULTIPLY_ADD)
#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
MICRO_KERNEL(avx2, AVX2, 32, 6, FMA_256)
MICRO_KERNEL(avx2_few, AVX2, 32, 4, FMA_256)
#define AVX512 __attribute__((target("avx512f")))
MICRO_KERNEL(avx512, AVX512, 64, 12, FMA_512)
MICRO_KERNEL(avx512_few, AVX512, 64, 4, FMA_512)
#endif

/* Full rows of a transposed matrix, whose columns lie each in one piece: in squares of registers.
 * Element by element the cache would be asked for each line sixteen times. */
#define SQUARE 4
#if __has_builtin(__builtin_shufflevector)
#define PICK __builtin_shufflevector
typedef element four
    __attribute__((vector_size(SQUARE * sizeof(element)), aligned(sizeof(element)), may_alias));

static int64_t pack_squares(int64_t rows, int64_t lanes, const element *from, int64_t column_stride,
                            element *to) {
    int64_t r = 0;
    for (; r + SQUARE <= rows; r += SQUARE) {
        for (int64_t c = 0; c < lanes; c += SQUARE) {
            const element *x = from + c * column_stride + r;
            element *y = to + r * lanes + c;
            four x0 = *(const four *)x, x1 = *(const four *)(x + column_stride);
            four x2 = *(const four *)(x + 2 * column_stride);
            four x3 = *(const four *)(x + 3 * column_stride);
            four low0 = PICK(x0, x1, 0, 4, 1, 5), low1 = PICK(x2, x3, 0, 4, 1, 5);
            four high0 = PICK(x0, x1, 2, 6, 3, 7), high1 = PICK(x2, x3, 2, 6, 3, 7);
            *(four *)y = PICK(low0, low1, 0, 1, 4, 5);
            *(four *)(y + lanes) = PICK(low0, low1, 2, 3, 6, 7);
            *(four *)(y + 2 * lanes) = PICK(high0, high1, 0, 1, 4, 5);
            *(four *)(y + 3 * lanes) = PICK(high0, high1, 2, 3, 6, 7);
        }
    }
    return r;
}
#else
static int64_t pack_squares(int64_t rows, int64_t lanes, const element *from, int64_t column_stride,
                            element *to) {
    (void)rows, (void)lanes, (void)from, (void)column_stride, (void)to;
    return 0;
}
#endif

static void pack(int64_t rows, int64_t columns, int64_t lanes, const void *matrix,
                 int64_t row_stride, int64_t column_stride, void *panel) {
    const element *from = matrix;
    element *to = panel;
    if (row_stride == 1 && columns == lanes) {
        int64_t done = pack_squares(rows, lanes, from, column_stride, to);
        from += done, to += done * lanes, rows -= done;
    }
    for (int64_t r = 0; r < rows; r++, from += row_stride, to += lanes) {
        for (int64_t c = 0; c < columns; c++) to[c] = from[c * column_stride];
        for (int64_t c = columns; c < lanes; c++) to[c] = 0;
    }
}

/* Multiplications of a product: BLIS packs both operands, which shows in those of few rows, columns
 * or steps. Of 32 registers with 16 lanes it won none up to [2048,2048] x [2048,2048]. */
#define SMALL 8e6
#define LARGE 1e10
#define WIDE (sizeof(element) == sizeof(float))

const cti_tiles *TYPED(cti_tiles)(void) {
    static const cti_tiles sse = {4, 32 / sizeof(element), plain, plain, pack, SMALL};
#if defined(__x86_64__)
    static const cti_tiles ymm = {6, 64 / sizeof(element), avx2, avx2_few, pack, SMALL};
    static const cti_tiles zmm = {12,   128 / sizeof(element), avx512, avx512_few,
                                  pack, WIDE ? LARGE : SMALL};
    if (__builtin_cpu_supports("avx512f")) return &zmm;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &ymm;
#endif
    return &sse;
}
