/* The innermost loop of convolutions and small products, for each instruction set; packing of its
 * second operand. It knows neither images nor matrices.
 * Invariant: every sum is one chain of additions in the order of its steps, fused with the products
 * on x86-64 processors that can; the size of a tile does not change it. */
#include "autograd/kernels/micro_kernel.h"

#include "autograd/kernels/window.h"

#include <string.h>
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
#define FEW 4
#define MOST_STREAMS 12
/* Rows of a panel that stay in the first-level cache while streams pass by. */
#define PANEL_ROWS 320
#define MOST_LANES 32

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

#define MICRO_KERNEL(name, target, type, bytes, n, fma)                                  \
    target static void name(const cti_product *sum, int64_t tiles, const int64_t from[], \
                            const int64_t to[]) {                                        \
        typedef type element;                                                            \
        typedef type vector __attribute__((vector_size(bytes)));                         \
        typedef type unaligned                                                           \
            __attribute__((vector_size(bytes), aligned(sizeof(type)), may_alias));       \
        const int64_t half = bytes / sizeof(type);                                       \
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

#define MULTIPLY_ADD(x, v, a) ((x) * (v) + (a))
MICRO_KERNEL(micro_kernel_f32, , float, 16, 4, MULTIPLY_ADD)
MICRO_KERNEL(micro_kernel_f64, , double, 16, 4, MULTIPLY_ADD)
#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
MICRO_KERNEL(micro_kernel_f32_avx2, AVX2, float, 32, 6, _mm256_fmadd_ps)
MICRO_KERNEL(micro_kernel_f64_avx2, AVX2, double, 32, 6, _mm256_fmadd_pd)
MICRO_KERNEL(micro_kernel_f32_avx2_few, AVX2, float, 32, 4, _mm256_fmadd_ps)
MICRO_KERNEL(micro_kernel_f64_avx2_few, AVX2, double, 32, 4, _mm256_fmadd_pd)
#define AVX512 __attribute__((target("avx512f")))
MICRO_KERNEL(micro_kernel_f32_avx512, AVX512, float, 64, 12, _mm512_fmadd_ps)
MICRO_KERNEL(micro_kernel_f64_avx512, AVX512, double, 64, 12, _mm512_fmadd_pd)
MICRO_KERNEL(micro_kernel_f32_avx512_few, AVX512, float, 64, 4, _mm512_fmadd_ps)
MICRO_KERNEL(micro_kernel_f64_avx512_few, AVX512, double, 64, 4, _mm512_fmadd_pd)
#endif

typedef void kernel_fn(const cti_product *sum, int64_t tiles, const int64_t from[],
                       const int64_t to[]);

typedef struct {
    int64_t many, bytes; /* streams at a time; of the lanes */
    kernel_fn *run_many[CT_DTYPES], *run_few[CT_DTYPES];
} instruction_set;

static const instruction_set *instructions(void) {
    static const instruction_set plain = {
        4,
        32,
        {[CT_F32] = micro_kernel_f32, [CT_F64] = micro_kernel_f64},
        {[CT_F32] = micro_kernel_f32, [CT_F64] = micro_kernel_f64}};
#if defined(__x86_64__)
    static const instruction_set avx2 = {
        6,
        64,
        {[CT_F32] = micro_kernel_f32_avx2, [CT_F64] = micro_kernel_f64_avx2},
        {[CT_F32] = micro_kernel_f32_avx2_few, [CT_F64] = micro_kernel_f64_avx2_few}};
    static const instruction_set avx512 = {
        12,
        128,
        {[CT_F32] = micro_kernel_f32_avx512, [CT_F64] = micro_kernel_f64_avx512},
        {[CT_F32] = micro_kernel_f32_avx512_few, [CT_F64] = micro_kernel_f64_avx512_few}};
    if (__builtin_cpu_supports("avx512f")) return &avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &avx2;
#endif
    return &plain;
}

int64_t cti_micro_lanes(ct_dtype dtype) {
    return instructions()->bytes / (int64_t)ct_dtype_size(dtype);
}

int64_t cti_micro_offsets(int64_t n) {
    int64_t many = instructions()->many;
    return cti_divide_up(n, many) * many;
}

/* One panel, and steps whose rows of it stay in the first-level cache. Lanes that are not wanted
 * have no place in out: whole rows, of one tile at a time. */
static void run_narrow(const cti_product *sum, kernel_fn *run, int64_t streams,
                       const int64_t from[], const int64_t to[]) {
    double rows[MOST_STREAMS * MOST_LANES] = {0};
    size_t element = ct_dtype_size(sum->dtype), bytes = element * (size_t)sum->columns;
    int64_t to_rows[MOST_STREAMS];
    cti_product narrow = *sum;
    narrow.out = rows;
    for (int64_t s = 0; s < streams; s++) {
        to_rows[s] = s * cti_micro_lanes(sum->dtype);
        if (!sum->accumulate) continue;
        memcpy((char *)rows + (size_t)to_rows[s] * element,
               (const char *)sum->out + (size_t)to[s] * element, bytes);
    }
    run(&narrow, 1, from, to_rows);
    for (int64_t s = 0; s < streams; s++) {
        memcpy((char *)sum->out + (size_t)to[s] * element,
               (const char *)rows + (size_t)to_rows[s] * element, bytes);
    }
}

static void run_tiles(const cti_product *sum, kernel_fn *run, int64_t streams, int64_t tiles,
                      const int64_t from[], const int64_t to[]) {
    if (sum->columns == cti_micro_lanes(sum->dtype)) {
        run(sum, tiles, from, to);
        return;
    }
    for (int64_t t = 0; t < tiles; t++) {
        run_narrow(sum, run, streams, from + t * streams, to + t * streams);
    }
}

/* Tiles of few streams at the end, so that as little as possible is computed twice: 8 are 4 + 4
 * rather than 6 + 6. */
static int64_t tiles_of_few(int64_t n, int64_t many) {
    int64_t best = 0, fewest = INT64_MAX;
    for (int64_t few = 0; few < 3; few++) {
        int64_t rest = n - few * FEW, streams = few * FEW;
        if (rest > 0) streams += cti_divide_up(rest, many) * many;
        if (streams >= fewest) continue;
        fewest = streams;
        best = few;
    }
    return best;
}

void cti_micro_run(const cti_product *all, int64_t n, int64_t from[], int64_t to[]) {
    const instruction_set *set = instructions();
    /* A stream of which nothing is read may lie outside of an image, which may be empty. */
    if (all->n_steps == 0) memset(from, 0, (size_t)n * sizeof *from);
    int64_t few = tiles_of_few(n, set->many), rest = n - few * FEW;
    int64_t many = rest > 0 ? cti_divide_up(rest, set->many) : 0, split = many * set->many;
    for (int64_t s = n; s < split + few * FEW; s++) {
        from[s] = from[n - 1];
        to[s] = to[n - 1];
    }
    int64_t element = (int64_t)ct_dtype_size(all->dtype), lanes = cti_micro_lanes(all->dtype);
    int64_t chunks = cti_most(1, cti_divide_up(all->n_steps, PANEL_ROWS)), first = 0;
    int64_t chunk = cti_divide_up(all->n_steps, chunks);
    do {
        for (int64_t column = 0; column < all->columns; column += lanes) {
            cti_product sum = *all;
            sum.steps += first;
            sum.n_steps = cti_least(chunk, all->n_steps - first);
            sum.lanes = (const char *)all->lanes + column / lanes * all->panel * element;
            sum.out = (char *)all->out + column * element;
            sum.columns = cti_least(lanes, all->columns - column);
            sum.accumulate |= first > 0;
            run_tiles(&sum, set->run_many[all->dtype], set->many, many, from, to);
            run_tiles(&sum, set->run_few[all->dtype], FEW, few, from + split, to + split);
        }
        first += chunk;
    } while (first < all->n_steps);
}

/* --- Panels ----------------------------------------------------------------------------------- */

int64_t cti_panels(ct_dtype dtype, int64_t columns) {
    int64_t lanes = cti_micro_lanes(dtype);
    return cti_divide_up(columns, lanes);
}

#define PACK(name, type)                                                               \
    static void name(int64_t rows, int64_t columns, int64_t lanes, const void *matrix, \
                     int64_t row_stride, int64_t column_stride, void *panel) {         \
        const type *from = matrix;                                                     \
        type *to = panel;                                                              \
        for (int64_t r = 0; r < rows; r++, from += row_stride, to += lanes) {          \
            for (int64_t c = 0; c < columns; c++) to[c] = from[c * column_stride];     \
            for (int64_t c = columns; c < lanes; c++) to[c] = 0;                       \
        }                                                                              \
    }
PACK(panel_pack_f32, float)
PACK(panel_pack_f64, double)

/* Full rows of a row-major matrix, in pieces of a size that the compiler sees. */
#define PIECE 32
static void copy_rows(int64_t rows, size_t row_bytes, const char *from, size_t distance, char *to) {
    for (int64_t r = 0; r < rows; r++, from += distance, to += row_bytes) {
        for (size_t at = 0; at < row_bytes; at += PIECE) memcpy(to + at, from + at, PIECE);
    }
}

void cti_panels_pack(ct_dtype dtype, int64_t rows, int64_t columns, const void *matrix,
                     int64_t row_stride, int64_t column_stride, int64_t distance, void *panels) {
    int64_t lanes = cti_micro_lanes(dtype);
    size_t element = ct_dtype_size(dtype);
    for (int64_t column = 0; column < columns; column += lanes) {
        int64_t wanted = columns - column < lanes ? columns - column : lanes;
        const char *from = (const char *)matrix + (size_t)(column * column_stride) * element;
        char *to = (char *)panels + (size_t)(column * distance) * element;
        if (wanted == lanes && column_stride == 1) {
            copy_rows(rows, element * (size_t)lanes, from, element * (size_t)row_stride, to);
        } else {
            (dtype == CT_F32 ? panel_pack_f32 : panel_pack_f64)(rows, wanted, lanes, from,
                                                                row_stride, column_stride, to);
        }
    }
}

cti_panels_at cti_panels_of(ct_dtype dtype, int64_t rows, int64_t columns, const void *matrix,
                            int64_t row_stride, int64_t column_stride, void *room) {
    int64_t lanes = cti_micro_lanes(dtype);
    if (column_stride == 1 && columns % lanes == 0) {
        return (cti_panels_at){matrix, row_stride, lanes};
    }
    cti_panels_pack(dtype, rows, columns, matrix, row_stride, column_stride, rows, room);
    return (cti_panels_at){room, lanes, rows * lanes};
}
