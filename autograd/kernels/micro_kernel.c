/* Sums of products on the tiles of micro_tile.c: which tiles, in which order, from which panels.
 * It knows neither images nor matrices.
 * Invariant: the size of a tile changes no sum. */
#include "autograd/kernels/micro_kernel.h"

#include "tensor/base/shape_rules.h"

#include <string.h>

#define FEW 4
#define MOST_STREAMS 12
/* Rows of a panel that stay in the first-level cache while streams pass by. */
#define PANEL_ROWS 320
#define MOST_LANES 32

CTI_DECLARE_REALS(cti_tiles_fn, cti_tiles);

static const cti_tiles *tiles_of(ct_dtype dtype) {
    static cti_tiles_fn *const of[CT_DTYPES] = CTI_REALS(cti_tiles);
    return of[dtype]();
}

int64_t cti_micro_lanes(ct_dtype dtype) { return tiles_of(dtype)->lanes; }

double cti_micro_most(ct_dtype dtype) { return tiles_of(dtype)->most; }

int64_t cti_micro_offsets(ct_dtype dtype, int64_t n) {
    int64_t many = tiles_of(dtype)->many;
    return cti_divide_up(n, many) * many;
}

/* One panel, and steps whose rows of it stay in the first-level cache. Lanes that are not wanted
 * have no place in out: whole rows, of one tile at a time. */
static void run_narrow(const cti_product *sum, cti_tile_fn *run, int64_t streams,
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

static void run_tiles(const cti_product *sum, cti_tile_fn *run, int64_t streams, int64_t tiles,
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
    const cti_tiles *tiles = tiles_of(all->dtype);
    /* A stream of which nothing is read may lie outside of an image, which may be empty. */
    if (all->n_steps == 0) memset(from, 0, (size_t)n * sizeof *from);
    int64_t few = tiles_of_few(n, tiles->many), rest = n - few * FEW;
    int64_t many = rest > 0 ? cti_divide_up(rest, tiles->many) : 0, split = many * tiles->many;
    for (int64_t s = n; s < split + few * FEW; s++) {
        from[s] = from[n - 1];
        to[s] = to[n - 1];
    }
    int64_t element = (int64_t)ct_dtype_size(all->dtype), lanes = tiles->lanes;
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
            run_tiles(&sum, tiles->run_many, tiles->many, many, from, to);
            run_tiles(&sum, tiles->run_few, FEW, few, from + split, to + split);
        }
        first += chunk;
    } while (first < all->n_steps);
}

/* --- Panels ----------------------------------------------------------------------------------- */

size_t cti_panels_bytes(ct_dtype dtype, int64_t rows, int64_t columns) {
    int64_t lanes = cti_micro_lanes(dtype);
    return (size_t)(cti_divide_up(columns, lanes) * lanes * rows) * ct_dtype_size(dtype);
}

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
            tiles_of(dtype)->pack(rows, wanted, lanes, from, row_stride, column_stride, to);
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
