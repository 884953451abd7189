/* Ranks as threads, joined by socket pairs, and what one process computes beside them: a body
 * builds the same graph on each rank, of its rows of a global batch, and notes numbers.
 *
 *     static void mean(rank *me) { note(me, ct_mean_all(rows_of(me, C, 1))); }
 *     TEST(varying, mean) { same_as_one_process(mean), same_bits_for_any_ranks(mean); } */
#ifndef COTAN_TESTS_VARYING_SUPPORT_H
#define COTAN_TESTS_VARYING_SUPPORT_H

#include "autograd/ops.h"
#include "tests/support/support.h"

enum { WORLD_MOST = 8, WORLD_ROWS = 8, WORLD_RESULTS = 4096 };

/* Rows of each rank; a rank's result. */
typedef struct world world;
typedef struct {
    world *world;
    int rank;
    int64_t first, rows, n;
    double results[WORLD_RESULTS];
    ct_status status;
    char error[512];
} rank;
struct world {
    int size, grains;
    ct_dtype dtype;
    bool plain; /* one process without a group, to which nothing varies */
    int sockets[WORLD_MOST][WORLD_MOST];
    void (*body)(rank *me);
    rank ranks[WORLD_MOST];
};

/* To be freed. */
world *world_run(int size, int grains, const int64_t rows[], ct_dtype dtype,
                 void (*body)(rank *me));
void expect_well(const world *w);
/* Makes of *w one process without a group, with the whole batch; its rank, which lives as long. */
rank *world_plain(world *w, ct_dtype dtype);

/* --- What a rank computes --------------------------------------------------------------------- */

/* Its rows [rows, columns] of a global tensor whose elements differ. */
ct_tensor *rows_of(const rank *me, int64_t columns, int seed);
/* The same for all ranks. */
ct_tensor *parameter(const rank *me, ct_shape shape, int seed);
/* Notes the numbers of a replicated tensor; in p61 their residues. */
void note(rank *me, ct_tensor *t);
/* Of what varies along axis 0 the sums over the rows of t times two weights that differ in each
 * element: all that ranks hold differently comes together in replicated numbers. */
void note_varying(rank *me, ct_tensor *t);

/* --- What is expected of a body --------------------------------------------------------------- */

/* In p61, exactly, for equal and unequal rows, among them a rank with none. */
void same_as_one_process(void (*body)(rank *me));
/* In f32, for 1, 2, 3, 4 and 8 ranks with grains of one row, and 1 to 5 with grains of one or two.
 */
void same_bits_for_any_ranks(void (*body)(rank *me));
/* In f64, to rounding. */
void close_to_one_process(void (*body)(rank *me), double tolerance);
/* On two ranks of so many rows each, an error of this status whose message holds the text. */
void expect_failed(int64_t rows, void (*body)(rank *me), ct_status status, const char *text);
/* The same with CT_ERR_STATE: what cannot be meant of a tensor that varies. */
void expect_refused(int64_t rows, void (*body)(rank *me), const char *text);

#endif
