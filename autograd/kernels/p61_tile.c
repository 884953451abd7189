/* The innermost loop of convolutions and products for p61, as micro_tile.c has it for vectors.
 * It knows neither images nor matrices.
 * Invariant: every sum is one chain of additions in the order of its steps. */
#include "autograd/kernels/element.h" /* p61 */
#include "autograd/kernels/micro_kernel.h"

enum { STREAMS = 4, LANES = 4 };

/* A stream may stand in a tile twice, so what is there is read before anything is written. */
static void run_one(const cti_product *sum, const int64_t from[], const int64_t to[]) {
    element total[STREAMS * LANES];
    for (int64_t at = 0; at < STREAMS * LANES; at++) {
        const element *x = (const element *)sum->streams + from[at / LANES];
        const element *lane = (const element *)sum->lanes + at % LANES;
        element *out = (element *)sum->out + to[at / LANES] + at % LANES;
        total[at] = sum->accumulate ? *out : ZERO;
        for (const cti_step *k = sum->steps; k < sum->steps + sum->n_steps; k++) {
            total[at] = ADD(total[at], MUL(x[k->stream], lane[k->lanes]));
        }
    }
    for (int64_t at = 0; at < STREAMS * LANES; at++) {
        ((element *)sum->out)[to[at / LANES] + at % LANES] = total[at];
    }
}

static void run(const cti_product *sum, int64_t tiles, const int64_t from[], const int64_t to[]) {
    for (int64_t t = 0; t < tiles; t++) run_one(sum, from + t * STREAMS, to + t * STREAMS);
}

static void pack(int64_t rows, int64_t columns, int64_t lanes, const void *matrix,
                 int64_t row_stride, int64_t column_stride, void *panel) {
    const element *from = matrix;
    element *to = panel;
    for (int64_t r = 0; r < rows; r++, from += row_stride, to += lanes) {
        for (int64_t c = 0; c < lanes; c++) to[c] = c < columns ? from[c * column_stride] : ZERO;
    }
}

const cti_tiles *TYPED(cti_tiles)(void) {
    static const cti_tiles plain = {STREAMS, LANES, run, run, pack, 0};
    return &plain;
}
