/* Ranks of one row, of none and of several build the same graphs. In shapes of one row sizes are
 * equal that elsewhere are not, so what a dimension of 1 or 0 decides must not differ: a table of
 * small graphs, of which each gives all ranks the same results, or an error.
 * Invariant: values and gradients of orders 1 and 2 are those of one process. */
#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/group.h"
#include "tensor/varying.h"
#include "tests/support/test.h"
#include "tests/support/varying_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { C = 6 };

/* What a graph is made of: x [N,C], this rank's rows, and w [1,C], the same for all. */
typedef struct {
    int64_t n;
    ct_tensor *x, *w;
    bool plain;
} given;

typedef struct {
    const char *name;
    ct_tensor *(*build)(const given *of);
    int axis;        /* along which it varies; -1: it is replicated */
    int64_t columns; /* elements for each row of x */
    const char *refused;
} graph;

static const graph *now; /* of all ranks */

static given given_of(const rank *me) {
    return (given){me->rows, rows_of(me, C, 1), parameter(me, CT_SHAPE(1, C), 2), me->world->plain};
}

/* --- What is expected ------------------------------------------------------------------------- */

static void note_any(rank *me, ct_tensor *t, int axis, int64_t columns) {
    t = ct_cast(t, me->world->dtype);
    if (axis < 0) {
        note(me, t);
        return;
    }
    ct_axes axes = {.count = ct_shape_of(t).rank};
    for (int d = 0; d < axes.count; d++) axes.axis[d] = d == 0 ? axis : d - (d <= axis);
    note_varying(me, ct_reshape(ct_permute(t, axes), CT_SHAPE(me->rows, columns)));
}

static ct_tensor *loss_of(ct_tensor *y) {
    return ct_add(ct_sum_all(ct_square(y)), ct_sum_all(ct_scale(y, 0.5)));
}

static void results(rank *me) {
    given of = given_of(me);
    ct_tensor *y = now->build(&of), *in[] = {of.x, of.w}, *g[2], *second[2];
    int axis = of.plain ? now->axis : ct_varying_axis(y);
    EXPECT(axis == now->axis, "%s: axis %d of %s on rank %d", now->name, axis,
           ct_shape_format(ct_shape_of(y)).text, me->rank);
    if (y) note_any(me, y, now->axis, now->columns);
    if (!y || !ct_dtype_is_float(ct_dtype_of(y))) return;
    ct_grad(loss_of(y), in, 2, g);
    note_any(me, g[0], 0, C);
    note(me, g[1]);
    ct_grad(ct_add(loss_of(g[0]), loss_of(g[1])), in, 2, second);
    note_any(me, second[0], 0, C);
    note(me, second[1]);
}

/* A rank of one row may not see it; it learns of it when ranks meet. */
static void refusal(rank *me) {
    given of = given_of(me);
    ct_tensor *y = now->build(&of);
    bool seen = !y && strstr(ct_error_message(), now->refused);
    EXPECT(seen || me->rows == 1, "%s: rank %d of %lld rows says \"%s\"", now->name, me->rank,
           (long long)me->rows, ct_error_message());
    EXPECT(ct_group_agree(ct_group_current(), y ? CT_OK : ct_error()) != CT_OK, "%s", now->name);
}

static void expect_refusal(int size, const int64_t rows[]) {
    world *w = world_run(size, 4, rows, CT_F64, refusal);
    for (int r = 0; r < size; r++) {
        EXPECT(w->ranks[r].status == w->ranks[0].status, "%s: %s on rank %d, %s on rank 0",
               now->name, ct_status_name(w->ranks[r].status), r,
               ct_status_name(w->ranks[0].status));
    }
    free(w);
}

static void expect_alike(const graph *graphs, size_t n) {
    for (now = graphs; now < graphs + n; now++) {
        if (now->refused) {
            expect_refusal(4, (int64_t[]){5, 1, 2, 0});
            expect_refusal(2, (int64_t[]){3, 3});
        } else {
            close_to_one_process(results, 1e-8);
            same_bits_for_any_ranks(results);
        }
    }
}

#define EXPECT_ALIKE(graphs) expect_alike(graphs, sizeof(graphs) / sizeof *(graphs))

/* As an expression of the given. */
#define GRAPH(name, ...)                      \
    static ct_tensor *name(const given *of) { \
        ct_tensor *x = of->x, *w = of->w;     \
        int64_t n = of->n;                    \
        (void)x, (void)w, (void)n;            \
        return __VA_ARGS__;                   \
    }
#define GIVES(name, axis, columns) \
    { #name, name, axis, columns, NULL }
#define REFUSES(name, text) \
    { #name, name, 0, 0, text }

static ct_tensor *weighed(const given *of) { return ct_mul(of->x, of->w); }
static ct_tensor *column(const given *of) { return ct_sum_keep(weighed(of), CT_AXES(1)); }
static ct_tensor *across(const given *of) { return ct_transpose(column(of)); } /* [1,N] */
static ct_tensor *block(const given *of) {                                     /* [N,2,3] */
    return ct_reshape(weighed(of), CT_SHAPE(of->n, 2, 3));
}
static ct_tensor *middle(const given *of) { /* [2,N,3] */
    return ct_permute(block(of), CT_AXES(1, 0, 2));
}
static ct_tensor *behind(const given *of) { /* [2,3,N] */
    return ct_permute(block(of), CT_AXES(1, 2, 0));
}
static ct_tensor *one_in_front(const given *of) { /* [1,N,C] */
    return ct_permute(ct_reshape(weighed(of), CT_SHAPE(of->n, 1, C)), CT_AXES(1, 0, 2));
}

/* --- Shapes ----------------------------------------------------------------------------------- */

GRAPH(row_as_column, ct_reshape(across(of), CT_SHAPE(n, 1)))
GRAPH(row_as_vector, ct_reshape(across(of), CT_SHAPE(n)))
GRAPH(row_as_itself, ct_reshape(across(of), CT_SHAPE(1, n)))
GRAPH(row_with_columns, ct_reshape(one_in_front(of), CT_SHAPE(n, 1, C)))
GRAPH(row_without_one, ct_reshape(one_in_front(of), CT_SHAPE(n, C)))
GRAPH(column_as_vector, ct_reshape(column(of), CT_SHAPE(n)))
GRAPH(column_as_row, ct_reshape(column(of), CT_SHAPE(1, n)))
GRAPH(one_behind, ct_reshape(weighed(of), CT_SHAPE(n, C, 1)))
GRAPH(one_between, ct_reshape(weighed(of), CT_SHAPE(n, 1, C)))
GRAPH(middle_joined, ct_reshape(middle(of), CT_SHAPE(2, n * 3)))
GRAPH(rest_inferred, ct_reshape(block(of), CT_SHAPE(n, -1)))
GRAPH(rest_inferred_between, ct_reshape(weighed(of), CT_SHAPE(n, -1, 2)))
GRAPH(rows_inferred, ct_reshape(block(of), CT_SHAPE(-1, C)))
GRAPH(more_rows_inferred, ct_reshape(block(of), CT_SHAPE(-1, 3)))
GRAPH(front_inferred, ct_reshape(behind(of), CT_SHAPE(-1, n)))
GRAPH(all_inferred, ct_reshape(block(of), CT_SHAPE(-1)))
GRAPH(rest_of_more_rows, ct_reshape(block(of), CT_SHAPE(2 * n, -1)))
GRAPH(rest_of_fewer_rows, ct_reshape(ct_reshape(block(of), CT_SHAPE(2 * n, 3)), CT_SHAPE(n, -1)))
GRAPH(back_from_more_rows, ct_reshape(ct_reshape(block(of), CT_SHAPE(2 * n, 3)), CT_SHAPE(-1, C)))

static const graph shapes[] = {
    REFUSES(row_as_column, "ct_reshape: [1,"),
    GIVES(row_as_vector, 0, 1),
    GIVES(row_as_itself, 1, 1),
    REFUSES(row_with_columns, "ct_permute"),
    GIVES(row_without_one, 0, C),
    GIVES(column_as_vector, 0, 1),
    REFUSES(column_as_row, "ct_reshape: ["),
    GIVES(one_behind, 0, C),
    GIVES(one_between, 0, C),
    GIVES(middle_joined, 1, C),
    GIVES(rest_inferred, 0, C),
    GIVES(rest_inferred_between, 0, C),
    GIVES(rows_inferred, 0, C),
    GIVES(more_rows_inferred, 0, C),
    GIVES(front_inferred, 1, C),
    GIVES(all_inferred, 0, C),
    GIVES(back_from_more_rows, 0, C),
};

TEST(varying_few_rows, shapes) { EXPECT_ALIKE(shapes); }

/* Nobody can refuse it where each rank has one row: then it is the shape that it was, for all. */
static void row_of_one(rank *me) {
    given of = given_of(me);
    EXPECT(ct_varying_axis(row_as_column(&of)) == 1, "rank %d", me->rank);
}

TEST(varying_few_rows, a_row_stays_one_where_each_rank_has_one) {
    world *w = world_run(4, 4, (int64_t[]){1, 1, 1, 1}, CT_F64, row_of_one);
    expect_well(w);
    free(w);
}

/* -1 behind rows that the reshape cuts: a rank without rows could not tell what it is. */
static void inferred_behind_other_rows(rank *me) {
    given of = given_of(me);
    EXPECT(!rest_of_more_rows(&of) && strstr(ct_error_message(), "-1 for axis 0"), "%s",
           ct_error_message());
    ct_error_clear();
    EXPECT(!rest_of_fewer_rows(&of) && strstr(ct_error_message(), "-1 for axis 0"), "%s",
           ct_error_message());
    ct_error_clear();
}

TEST(varying_few_rows, what_an_empty_rank_cannot_infer_is_refused) {
    world *w = world_run(3, 4, (int64_t[]){5, 1, 2}, CT_F64, inferred_behind_other_rows);
    expect_well(w);
    free(w);
}

/* --- Sums and what is stretched --------------------------------------------------------------- */

GRAPH(to_one_row, ct_sum_to(weighed(of), CT_SHAPE(1, C)))
GRAPH(to_a_vector, ct_sum_to(weighed(of), CT_SHAPE(C)))
GRAPH(to_one_number, ct_sum_to(weighed(of), CT_SHAPE(1, 1)))
GRAPH(to_a_scalar, ct_sum_to(weighed(of), CT_SCALAR))
GRAPH(to_one_column, ct_sum_to(ct_transpose(weighed(of)), CT_SHAPE(C, 1)))
GRAPH(to_middle, ct_sum_to(middle(of), CT_SHAPE(2, 1, 1)))
GRAPH(to_rows, ct_sum_to(weighed(of), CT_SHAPE(n, 1)))
GRAPH(to_itself, ct_sum_to(weighed(of), CT_SHAPE(n, C)))
GRAPH(stretched, ct_broadcast(column(of), CT_SHAPE(n, C)))
GRAPH(stretched_in_front, ct_broadcast(column(of), CT_SHAPE(2, n, 1)))
GRAPH(outer, ct_mul(column(of), w))
GRAPH(outer_in_front, ct_mul(across(of), ct_reshape(w, CT_SHAPE(C, 1))))
GRAPH(scalar, ct_mul(ct_sum_keep(w, CT_AXES(0, 1)), x))
GRAPH(vector, ct_add(ct_square(x), ct_reshape(w, CT_SHAPE(C))))
GRAPH(rank_3, ct_mul(ct_reshape(w, CT_SHAPE(1, 2, 3)), block(of)))
GRAPH(larger, ct_maximum(ct_scale(w, 0.3), x))
GRAPH(mean_taken_away, ct_sub(x, ct_mean_keep(weighed(of), CT_AXES(0))))
GRAPH(one_row_of_all, ct_add(ct_sum_to(weighed(of), CT_SHAPE(1, C)), weighed(of)))
GRAPH(chosen, ct_where(ct_greater(column(of), ct_scalar(ct_dtype_of(x), 0)), ct_square(w), x))
GRAPH(chosen_for_all, ct_where(ct_greater(w, ct_scalar(ct_dtype_of(x), 0)), ct_square(x), w))
GRAPH(pairs, ct_sub(column(of), across(of)))
GRAPH(rows_of_all, ct_mul(x, ct_full(ct_dtype_of(x), CT_SHAPE(n, C), 2)))

static const graph sums[] = {
    GIVES(to_one_row, -1, 0),
    GIVES(to_a_vector, -1, 0),
    GIVES(to_one_number, -1, 0),
    GIVES(to_a_scalar, -1, 0),
    GIVES(to_one_column, -1, 0),
    GIVES(to_middle, -1, 0),
    REFUSES(to_rows, "ct_sum_to: x ["),
    REFUSES(to_itself, "ct_sum_to: x ["),
    GIVES(stretched, 0, C),
    GIVES(stretched_in_front, 1, 2),
    GIVES(outer, 0, C),
    GIVES(outer_in_front, 1, C),
    GIVES(scalar, 0, C),
    GIVES(vector, 0, C),
    GIVES(rank_3, 0, C),
    GIVES(larger, 0, C),
    GIVES(mean_taken_away, 0, C),
    GIVES(one_row_of_all, 0, C),
    GIVES(chosen, 0, C),
    GIVES(chosen_for_all, 0, C),
    REFUSES(pairs, "ct_sub: operand 1"),
    REFUSES(rows_of_all, "ct_mul: an operand"),
};

TEST(varying_few_rows, sums_and_what_is_stretched) { EXPECT_ALIKE(sums); }

/* --- The largest, and what is made of it ------------------------------------------------------ */

GRAPH(largest_in_front, ct_max(middle(of), CT_AXES(0)))
GRAPH(largest_behind, ct_max(middle(of), CT_AXES(2)))
GRAPH(largest_of_both, ct_max(behind(of), CT_AXES(0, 1)))
GRAPH(largest_apart, ct_max(middle(of), CT_AXES(0, 2)))
GRAPH(largest_kept, ct_max_keep(behind(of), CT_AXES(1)))
GRAPH(smallest, ct_min(behind(of), CT_AXES(1)))
GRAPH(place_in_front, ct_argmax(middle(of), 0))
GRAPH(share_in_front, ct_softmax(middle(of), 0))
GRAPH(log_share, ct_log_softmax(behind(of), 1))
GRAPH(log_sum, ct_logsumexp(one_in_front(of), 2))
GRAPH(log_sum_in_front, ct_logsumexp(middle(of), 0))
GRAPH(spread, ct_var(one_in_front(of), CT_AXES(2)))
GRAPH(spread_of_all, ct_var(ct_permute(one_in_front(of), CT_AXES(0, 2, 1)), CT_AXES(2)))
GRAPH(spread_of_columns, ct_var(middle(of), CT_AXES(0, 2)))
GRAPH(deviation, ct_std(one_in_front(of), CT_AXES(2)))
GRAPH(largest_row, ct_max(x, CT_AXES(0)))
GRAPH(place_of_row, ct_argmax(x, 0))
GRAPH(length, ct_norm(x))

static const graph extremes[] = {
    GIVES(largest_in_front, 0, 3),
    GIVES(largest_behind, 1, 2),
    GIVES(largest_of_both, 0, 1),
    GIVES(largest_apart, 0, 1),
    GIVES(largest_kept, 2, 2),
    GIVES(smallest, 1, 2),
    GIVES(place_in_front, 0, 3),
    GIVES(share_in_front, 1, C),
    GIVES(log_share, 2, C),
    GIVES(log_sum, 1, 1),
    GIVES(log_sum_in_front, 0, 3),
    GIVES(spread, 1, 1),
    GIVES(spread_of_all, -1, 0),
    GIVES(spread_of_columns, 0, 1),
    GIVES(deviation, 1, 1),
    REFUSES(largest_row, "ct_max: operand 1"),
    REFUSES(place_of_row, "ct_argmax: operand 1"),
    REFUSES(length, "ct_norm: operand 1"),
};

TEST(varying_few_rows, the_largest_and_what_is_made_of_it) { EXPECT_ALIKE(extremes); }

/* --- Elements in other places, products ------------------------------------------------------- */

static ct_tensor *labels_of(const given *of) { /* [N], 0 .. 4, by the data */
    ct_tensor *some = ct_floor(ct_abs(ct_slice(of->x, 1, 0, 1, 1)));
    return ct_reshape(ct_cast(some, CT_I64), CT_SHAPE(of->n));
}

static ct_tensor *stacked(const given *of) {
    ct_tensor *one = ct_reshape(of->x, CT_SHAPE(of->n, 1, C));
    return CT_CONCAT(1, one, ct_square(one), ct_reshape(weighed(of), CT_SHAPE(of->n, 1, C)));
}

static ct_tensor *masked_mean(const given *of) {
    ct_tensor *mask = ct_cast(ct_greater(of->x, ct_scalar(ct_dtype_of(of->x), 0)),
                              ct_dtype_of(of->x));
    return ct_div(ct_sum_all(ct_mul(mask, weighed(of))), ct_sum_all(mask));
}

/* Of images [N,1,2,3] and [N,2,3,1] that are pooled to [N,1,1,3]. */
static ct_tensor *pooled(const given *of) {
    ct_tensor *image = ct_reshape(weighed(of), CT_SHAPE(of->n, 1, 2, 3));
    ct_pool2d_spec spec = {.window = {1, 2}};
    ct_tensor *y = ct_add(ct_max_pool2d(image, spec), ct_square(ct_avg_pool2d(image, spec)));
    return ct_reshape(y, CT_SHAPE(of->n, -1));
}

GRAPH(halves, ct_mul(ct_slice(x, 1, 0, 3, 1), ct_slice(weighed(of), 1, 3, CT_END, 1)))
GRAPH(padded, ct_pad(middle(of), 0, 1, 0, 1))
GRAPH(turned, ct_flip(behind(of), CT_AXES(1)))
GRAPH(columns_taken,
      ct_take(ct_transpose(weighed(of)), ct_from(CT_I64, CT_SHAPE(3), (int64_t[]){5, 0, 5})))
GRAPH(one_hot, ct_mul(ct_one_hot(labels_of(of), C, ct_dtype_of(x)), weighed(of)))
GRAPH(one_hot_across,
      ct_mul(ct_one_hot(ct_transpose(ct_reshape(labels_of(of), CT_SHAPE(n, 1))), C, ct_dtype_of(x)),
             one_in_front(of)))
GRAPH(added_by_index, ct_scatter_add(weighed(of), labels_of(of), 5))
GRAPH(rows_by_index, ct_mul(ct_take(ct_reshape(w, CT_SHAPE(C, 1)), labels_of(of)), x))
GRAPH(by_matrix, ct_matmul(x, ct_mul(w, ct_reshape(w, CT_SHAPE(C, 1)))))
GRAPH(by_vector, ct_matmul(x, ct_reshape(w, CT_SHAPE(C))))
GRAPH(vector_by, ct_matmul(ct_reshape(w, CT_SHAPE(C)), ct_transpose(x)))
GRAPH(by_column, ct_matmul(ct_transpose(ct_reshape(w, CT_SHAPE(C, 1))), ct_transpose(x)))
GRAPH(each_by_each, ct_matmul(ct_reshape(x, CT_SHAPE(n, 1, C)), ct_reshape(x, CT_SHAPE(n, C, 1))))
GRAPH(each_by_one, ct_matmul(block(of), ct_reshape(w, CT_SHAPE(1, 3, 2))))
GRAPH(contracted, ct_matmul(ct_transpose(x), weighed(of)))
GRAPH(all_by_all, ct_matmul(x, ct_transpose(x)))
GRAPH(first_row, ct_slice(x, 0, 0, 1, 1))
GRAPH(third_row, ct_take(x, ct_full(CT_I64, CT_SHAPE(1), 2)))
GRAPH(rows_turned, ct_flip(x, CT_AXES(0)))
GRAPH(rows_joined, CT_CONCAT(0, x, x))
GRAPH(rows_padded, ct_pad(x, 0, 0, 1, 0))

static const graph places[] = {
    GIVES(stacked, 0, 3 * C),
    GIVES(halves, 0, 3),
    GIVES(padded, 1, 12),
    GIVES(turned, 2, C),
    GIVES(columns_taken, 1, 3),
    GIVES(one_hot, 0, C),
    GIVES(one_hot_across, 1, C),
    GIVES(added_by_index, -1, 0),
    GIVES(rows_by_index, 0, C),
    GIVES(masked_mean, -1, 0),
    GIVES(pooled, 0, 3),
    REFUSES(first_row, "ct_slice: operand 1"),
    REFUSES(third_row, "ct_take: operand 1"),
    REFUSES(rows_turned, "ct_flip: operand 1"),
    REFUSES(rows_joined, "ct_concat: operand 1"),
    REFUSES(rows_padded, "ct_pad: operand 1"),
};

static const graph products[] = {
    GIVES(by_matrix, 0, C),    GIVES(by_vector, 0, 1),
    GIVES(vector_by, 0, 1),    GIVES(by_column, 1, 1),
    GIVES(each_by_each, 0, 1), GIVES(each_by_one, 0, 4),
    GIVES(contracted, -1, 0),  REFUSES(all_by_all, "ct_matmul: operand 1"),
};

TEST(varying_few_rows, elements_in_other_places) { EXPECT_ALIKE(places); }

TEST(varying_few_rows, products_of_rows) { EXPECT_ALIKE(products); }

/* --- What reads one number -------------------------------------------------------------------- */

static ct_tensor *number(const given *of) {
    double value = ct_item(ct_reshape(column(of), CT_SHAPE(of->n)));
    return isnan(value) ? NULL : ct_scalar(CT_F64, value);
}

static ct_tensor *derived(const given *of) {
    ct_tensor *y = column(of), *g = NULL;
    return ct_grad(y, &y, 1, &g) == CT_OK ? g : NULL;
}

static const graph numbers[] = {
    REFUSES(number, "ct_item: the tensor varies between ranks along axis 0"),
    REFUSES(derived, "ct_grad: y varies between ranks along axis 0"),
};

TEST(varying_few_rows, one_number_is_none_of_this_rank) { EXPECT_ALIKE(numbers); }
