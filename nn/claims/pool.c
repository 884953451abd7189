/* Claims on pooling of images: the largest and the mean of windows.
 * A closed form is sums over shifted slices and comparisons, and not the library's own transposes.
 * Invariant: among equal elements the first of a window has the gradient. */
#include "nn/claims/claims_private.h"

/* Windows over one image that is padded already. */
typedef struct {
    int64_t window[2], stride, size[2], count[2]; /* size of the image, count of windows */
} windows;

/* Element (a,b) of all windows: [1,count,count,C]; and back to its places, zeros elsewhere. */
static ct_tensor *seen(const windows *w, ct_tensor *x, int64_t a, int64_t b) {
    int64_t rows = (w->count[0] - 1) * w->stride + 1, columns = (w->count[1] - 1) * w->stride + 1;
    return ct_slice(ct_slice(x, 1, a, a + rows, w->stride), 2, b, b + columns, w->stride);
}
static ct_tensor *put(const windows *w, ct_tensor *t, int64_t a, int64_t b) {
    int64_t rows = (w->count[0] - 1) * w->stride + 1, columns = (w->count[1] - 1) * w->stride + 1;
    t = ct_pad(t, 1, a, w->size[0] - a - rows, w->stride - 1);
    return ct_pad(t, 2, b, w->size[1] - b - columns, w->stride - 1);
}

/* The sum over all places of what part makes of them. */
typedef ct_tensor *part_function(const windows *w, ct_tensor *x, ct_tensor *dy, ct_tensor **state,
                                 int64_t a, int64_t b);
static ct_tensor *over_places(const windows *w, ct_tensor *x, ct_tensor *dy, part_function *part,
                              ct_tensor *state) {
    ct_tensor *sum = ct_scale(x, 0);
    for (int64_t a = 0; a < w->window[0]; a++) {
        for (int64_t b = 0; b < w->window[1]; b++) {
            sum = ct_add(sum, put(w, part(w, x, dy, &state, a, b), a, b));
        }
    }
    return sum;
}

static ct_tensor *one_less(ct_tensor *t) { return ct_sub(ct_scalar(ct_dtype_of(t), 1), t); }

/* --- The largest ------------------------------------------------------------------------------ */

static ct_tensor *largest(const windows *w, ct_tensor *x) {
    ct_tensor *most = seen(w, x, 0, 0);
    for (int64_t a = 0; a < w->window[0]; a++) {
        for (int64_t b = 0; b < w->window[1]; b++) most = ct_maximum(most, seen(w, x, a, b));
    }
    return most;
}

/* The state: 1 where the window's maximum was met already. */
static ct_tensor *first_winner(const windows *w, ct_tensor *x, ct_tensor *dy, ct_tensor **met,
                               int64_t a, int64_t b) {
    ct_tensor *equal = ct_equal(seen(w, x, a, b), largest(w, x));
    ct_tensor *wins = *met ? ct_mul(equal, one_less(*met)) : equal;
    *met = *met ? ct_add(*met, wins) : wins;
    return ct_mul(wins, dy);
}
static ct_tensor *every_winner(const windows *w, ct_tensor *x, ct_tensor *dy, ct_tensor **state,
                               int64_t a, int64_t b) {
    (void)state;
    return ct_mul(ct_equal(seen(w, x, a, b), largest(w, x)), dy);
}
static ct_tensor *everyone(const windows *w, ct_tensor *x, ct_tensor *dy, ct_tensor **state,
                           int64_t a, int64_t b) {
    (void)w, (void)x, (void)state, (void)a, (void)b;
    return dy;
}
static ct_tensor *smallest_wins(const windows *w, ct_tensor *x, ct_tensor *dy, ct_tensor **state,
                                int64_t a, int64_t b) {
    return every_winner(w, ct_neg(x), dy, state, a, b);
}
/* The place is looked up in the wrong row of the window. */
static ct_tensor *place_transposed(const windows *w, ct_tensor *x, ct_tensor *dy, ct_tensor **state,
                                   int64_t a, int64_t b) {
    return every_winner(w, x, dy, state, b, a);
}
/* The cotangent times the value. */
static ct_tensor *value_times(const windows *w, ct_tensor *x, ct_tensor *dy, ct_tensor **state,
                              int64_t a, int64_t b) {
    return ct_mul(first_winner(w, x, dy, state, a, b), largest(w, x));
}

static const windows apart = {{2, 2}, 2, {4, 4}, {2, 2}}, overlapping = {{2, 2}, 1, {3, 3}, {2, 2}};

#define OF_WINDOWS(name, dx)        \
    CTI_CLOSED(name) {              \
        (void)n;                    \
        const windows *w = context; \
        ct_tensor *x = in[0];       \
        out[0] = dx;                \
        return ct_error();          \
    }
OF_WINDOWS(max_closed, over_places(w, x, dy, first_winner, NULL))
OF_WINDOWS(max_everyone, over_places(w, x, dy, everyone, NULL))
OF_WINDOWS(max_of_mean, ct_scale(over_places(w, x, dy, everyone, NULL), 0.25))
OF_WINDOWS(max_smallest, over_places(w, x, dy, smallest_wins, NULL))
OF_WINDOWS(max_transposed, over_places(w, x, dy, place_transposed, NULL))
OF_WINDOWS(max_value_times, over_places(w, x, dy, value_times, NULL))
OF_WINDOWS(max_divided, ct_scale(over_places(w, x, dy, first_winner, NULL), 0.25))
/* Where several windows have one maximum the last one's cotangent is written, and not added. */
OF_WINDOWS(max_mean_of_windows,
           ct_div(over_places(w, x, dy, first_winner, NULL),
                  ct_maximum(over_places(w, x, ct_offset(ct_scale(dy, 0), 1), first_winner, NULL),
                             ct_scalar(ct_dtype_of(x), 1))))

static ct_tensor *max_pool(void *context, ct_tensor *const in[], int64_t n) {
    const windows *w = context;
    (void)n;
    return ct_max_pool2d(in[0], (ct_pool2d_spec){.stride = {w->stride, w->stride}});
}

/* Each element of x [1,2,2,2] stands twice in its window. */
static ct_tensor *doubled(ct_tensor *x) { return CT_CONCAT(2, x, x); }
static const windows twice = {{2, 4}, 1, {2, 4}, {1, 1}};
CTI_FUNCTION(max_of_twice, ct_max_pool2d(doubled(in[0]), (ct_pool2d_spec){.window = {2, 4}}))
static ct_tensor *added(ct_tensor *d) {
    return ct_add(ct_slice(d, 2, 0, 2, 1), ct_slice(d, 2, 2, 4, 1));
}
OF_WINDOWS(ties_closed, added(over_places(w, doubled(x), dy, first_winner, NULL)))
OF_WINDOWS(ties_all, added(over_places(w, doubled(x), dy, every_winner, NULL)))
OF_WINDOWS(ties_none, ct_scale(added(over_places(w, doubled(x), dy, every_winner, NULL)), 0))

static const ct_claim_input image_4[] = {{.name = "x", .shape = CTI_CLAIM_SHAPE(1, 4, 4, 2)}};
static const ct_claim_input image_3[] = {{.name = "x", .shape = CTI_CLAIM_SHAPE(1, 3, 3, 2)}};
static const ct_claim_input image_2[] = {{.name = "x", .shape = CTI_CLAIM_SHAPE(1, 2, 2, 2)}};

static const ct_claim_mutant max_mutants[] = {
    {"all of a window have the gradient", NULL, max_everyone, 1, "elements should have nothing"},
    {"the derivative of the mean", NULL, max_of_mean, 1, "elements should have nothing"},
    {"the smallest has the gradient", NULL, max_smallest, 1, "elements should have nothing"},
    {"rows and columns of the place are swapped", NULL, max_transposed, 1,
     "elements should have nothing"},
    {"the cotangent times the maximum", NULL, max_value_times, 1,
     "has the factor x once too often"},
    {"divided by the window's size", NULL, max_divided, 1, "has the factor 1/4"},
};
static const ct_claim_mutant overlapping_mutants[] = {
    {"windows of one maximum are not added up", NULL, max_mean_of_windows, 1,
     "the other order of its operands in place of sub(1, equal(.., ..))"},
};
static const ct_claim_mutant ties_mutants[] = {
    {"all that are equal have the gradient", NULL, ties_all, 1, "has the factor 2"},
    {"none of equal ones has the gradient", NULL, ties_none, 1, "is missing"},
};

/* --- The mean --------------------------------------------------------------------------------- */

/* x [1,4,4,2] with a frame of zeros, in windows of 2 x 2 apart from each other: [1,3,3,2]. */
static const windows framed = {{2, 2}, 2, {6, 6}, {3, 3}};
static ct_tensor *frame(ct_tensor *x) { return ct_pad(ct_pad(x, 1, 1, 1, 0), 2, 1, 1, 0); }
static ct_tensor *unframe(ct_tensor *x) { return ct_slice(ct_slice(x, 1, 1, 5, 1), 2, 1, 5, 1); }
/* How many elements of each window lie in the image. */
static ct_tensor *counts(const windows *w, ct_tensor *x) {
    ct_tensor *ones = frame(ct_offset(ct_scale(x, 0), 1)), *sum = NULL;
    for (int64_t i = 0; i < 4; i++) {
        ct_tensor *part = seen(w, ones, i / 2, i % 2);
        sum = sum ? ct_add(sum, part) : part;
    }
    return sum;
}
#define SPREAD(t) unframe(over_places(w, frame(x), t, everyone, NULL))
OF_WINDOWS(mean_closed, SPREAD(ct_div(dy, counts(w, x))))
OF_WINDOWS(mean_with_padding, SPREAD(ct_scale(dy, 0.25)))
OF_WINDOWS(mean_not_divided, SPREAD(dy))
OF_WINDOWS(mean_by_side, SPREAD(ct_scale(dy, 0.5)))
OF_WINDOWS(mean_first_alone, unframe(put(w, ct_div(dy, counts(w, x)), 1, 1)))
OF_WINDOWS(padded_mean_closed, SPREAD(ct_scale(dy, 0.25)))
OF_WINDOWS(padded_mean_inside, SPREAD(ct_div(dy, counts(w, x))))

#define FRAMED \
    {          \
        .stride = {2, 2}, .pad = { 1, 1, 1, 1 }
CTI_FUNCTION(mean_pool, ct_avg_pool2d(in[0], (ct_pool2d_spec)FRAMED
}))
CTI_FUNCTION(padded_mean_pool, ct_avg_pool2d(in[0], (ct_pool2d_spec)FRAMED, .count_pad = true
}))
#undef FRAMED

static const ct_claim_mutant mean_mutants[] = {
    {"padding is counted in the derivative", NULL, mean_with_padding, 1, "own, from 0.25 to 1"},
    {"not divided", NULL, mean_not_divided, 1, "own, from 1 to 4"},
    {"divided by the window's side", NULL, mean_by_side, 1, "own, from 0.5 to 2"},
    {"one element of a window alone", NULL, mean_first_alone, 1, "have nothing, and should"},
    {"padding is counted in the value", padded_mean_pool, NULL, 1, "own, from 1 to 4"},
};
static const ct_claim_mutant padded_mean_mutants[] = {
    {"padding is not counted in the derivative", NULL, padded_mean_inside, 1, "own, from 1 to 4"},
};

static const ct_claim claims[] = {
    {"max_pool", max_pool, max_closed, CTI_CONTEXT(apart), CTI_INPUTS(image_4),
     CTI_MUTANTS(max_mutants), .conventions = "2 x 2, stride 2"},
    {"max_pool_overlapping", max_pool, max_closed, CTI_CONTEXT(overlapping), CTI_INPUTS(image_3),
     CTI_MUTANTS(overlapping_mutants), .conventions = "2 x 2, stride 1"},
    {"max_pool_ties", max_of_twice, ties_closed, CTI_CONTEXT(twice), CTI_INPUTS(image_2),
     CTI_MUTANTS(ties_mutants), .conventions = "each element twice: the first has the gradient"},
    {"average_pool", mean_pool, mean_closed, CTI_CONTEXT(framed), CTI_INPUTS(image_4),
     CTI_MUTANTS(mean_mutants), .conventions = "2 x 2, stride 2, padding 1, which is not counted"},
    {"average_pool_padded", padded_mean_pool, padded_mean_closed, CTI_CONTEXT(framed),
     CTI_INPUTS(image_4), CTI_MUTANTS(padded_mean_mutants),
     .conventions = "2 x 2, stride 2, padding 1, counted as zeros"},
};
const cti_claim_family cti_pool_claims = {claims, CTI_ITEMS(claims)};
