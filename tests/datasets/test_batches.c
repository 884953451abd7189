/* Batches: order, sizes, positions, shuffling, division, errors.
 * Not a test of training; it reads what ct_source_next gives.
 * Invariant: a batch is a function of options, epoch and batch number alone. */
#include "autograd/ops.h"
#include "datasets/datasets.h"
#include "tensor/runtime.h"
#include "tests/support/idx_files.h"

#include <math.h>

/* x [n,2] = {{0, 0.5}, {1, 1.5}, ...} and y [n] = {0, 1, ...}. */
static ct_tensor *make_x(int64_t n) {
    float values[2000] = {0};
    for (int64_t i = 0; i < n; i++) {
        values[2 * i] = (float)i;
        values[2 * i + 1] = (float)i + 0.5f;
    }
    return ct_from(CT_F32, CT_SHAPE(n, 2), values);
}

static ct_tensor *make_y(int64_t n) { return ct_arange(CT_I64, 0, (double)n, 1); }

static ct_source *make(int64_t n, ct_batches_options options) {
    int64_t scope = ct_scope_open();
    ct_source *source = ct_batches_new(make_x(n), make_y(n), options);
    ct_scope_close(scope);
    cr_assert_not_null(source);
    return source;
}

/* Reads the rest of the epoch; the items' numbers go to `items`, the sizes to `sizes`. */
static int64_t read_epoch(ct_source *source, int64_t *items, int64_t *sizes) {
    int64_t read = 0, batches = 0;
    for (;;) {
        int64_t scope = ct_scope_open();
        ct_batch batch;
        cr_assert_eq(ct_source_next(source, &batch), CT_OK);
        if (!batch.x) {
            cr_expect_null(batch.y);
            break;
        }
        int64_t n = ct_dim(batch.x, 0);
        cr_assert(ct_shape_equal(ct_shape_of(batch.x), CT_SHAPE(n, 2)));
        cr_assert(ct_shape_equal(ct_shape_of(batch.y), CT_SHAPE(n)));
        cr_assert(ct_dtype_of(batch.x) == CT_F32 && ct_dtype_of(batch.y) == CT_I64);
        const float *x = ct_data(batch.x);
        const int64_t *y = ct_data(batch.y);
        for (int64_t i = 0; i < n; i++) {
            cr_assert(x[2 * i] == (float)y[i] && x[2 * i + 1] == (float)y[i] + 0.5f);
            items[read++] = y[i];
        }
        if (sizes) sizes[batches] = n;
        batches++;
        ct_scope_close(scope);
    }
    return read;
}

TEST(batches, file_order_and_a_smaller_last_batch) {
    ct_source *source = make(10, (ct_batches_options){.size = 4});
    int64_t items[10], sizes[3];
    cr_expect_eq(ct_source_count(source), 3);
    cr_expect_eq(read_epoch(source, items, sizes), 10);
    for (int64_t i = 0; i < 10; i++) cr_expect_eq(items[i], i);
    cr_expect_arr_eq(sizes, ((int64_t[]){4, 4, 2}), sizeof sizes);
    /* The end stays the end until somebody seeks. */
    cr_expect_eq(read_epoch(source, items, sizes), 0);
    cr_expect_eq(ct_source_seek(source, 1, 0), CT_OK);
    cr_expect_eq(read_epoch(source, items, sizes), 10);
    ct_source_free(source);
}

TEST(batches, drop_last) {
    int64_t items[12], sizes[3];
    ct_source *source = make(10, (ct_batches_options){.size = 4, .drop_last = true});
    cr_expect_eq(ct_source_count(source), 2);
    cr_expect_eq(read_epoch(source, items, sizes), 8);
    ct_source_free(source);
    source = make(12, (ct_batches_options){.size = 4, .drop_last = true});
    cr_expect_eq(ct_source_count(source), 3);
    cr_expect_eq(read_epoch(source, items, sizes), 12);
    ct_source_free(source);
}

TEST(batches, default_size_and_limit) {
    int64_t items[100], sizes[4];
    ct_source *source = make(100, (ct_batches_options){0});
    cr_expect_eq(read_epoch(source, items, sizes), 100);
    cr_expect_arr_eq(sizes, ((int64_t[]){32, 32, 32, 4}), sizeof sizes);
    ct_source_free(source);
    source = make(7, (ct_batches_options){0});
    cr_expect_eq(read_epoch(source, items, sizes), 7);
    cr_expect_eq(sizes[0], 7);
    ct_source_free(source);
    source = make(100, (ct_batches_options){.limit = 40, .shuffle = true});
    cr_expect_eq(ct_source_count(source), 2);
    cr_expect_eq(read_epoch(source, items, sizes), 40);
    for (int64_t i = 0; i < 40; i++) cr_expect_lt(items[i], 40);
    ct_source_free(source);
}

TEST(batches, fewer_items_than_a_batch_are_one_batch) {
    static const ct_batches_options all[] = {
        {.size = 11},        {.size = INT64_MAX, .shuffle = true}, {.size = 11, .limit = 10},
        {.drop_last = true}, {.size = 10, .drop_last = true},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t items[10], sizes[1];
        ct_source *source = make(10, all[i]);
        cr_expect_eq(ct_source_count(source), 1);
        for (int64_t epoch = 0; epoch < 2; epoch++) {
            cr_assert_eq(ct_source_seek(source, epoch, 0), CT_OK);
            cr_expect_eq(read_epoch(source, items, sizes), 10);
            cr_expect_eq(sizes[0], 10);
        }
        cr_expect_eq(ct_source_seek(source, 0, 1), CT_OK); /* the end */
        cr_expect_eq(read_epoch(source, items, sizes), 0);
        ct_source_free(source);
    }
}

TEST(batches, says_which_data_it_is) {
    ct_tensor *x = ct_name(make_x(3), "my\033data");
    ct_source *source = ct_batches_new(x, make_y(3), (ct_batches_options){.size = 8});
    cr_expect_str_eq(ct_source_describe(source), "3 items of my\\x1bdata");
    ct_source_free(source);
    source = ct_batches_new(x, make_y(3), (ct_batches_options){.limit = 1});
    cr_expect_str_eq(ct_source_describe(source), "1 item of my\\x1bdata");
    ct_source_free(source);
    source = make(3, (ct_batches_options){0});
    cr_expect_null(ct_source_describe(source));
    ct_source_free(source);
}

TEST(batches, shuffle_takes_each_item_once_in_an_order_of_seed_and_epoch) {
    enum { N = 1000 };
    int64_t orders[3][N], again[N];
    ct_source *source = make(N, (ct_batches_options){.shuffle = true, .seed = 5});
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        cr_assert_eq(ct_source_seek(source, epoch, 0), CT_OK);
        cr_assert_eq(read_epoch(source, orders[epoch], NULL), N);
        bool seen[N] = {false};
        int64_t in_place = 0;
        for (int64_t i = 0; i < N; i++) {
            cr_assert_not(seen[orders[epoch][i]]);
            seen[orders[epoch][i]] = true;
            in_place += orders[epoch][i] == i;
        }
        cr_expect_lt(in_place, 12);
    }
    cr_expect_arr_neq(orders[0], orders[1], sizeof again);
    cr_expect_arr_neq(orders[1], orders[2], sizeof again);
    cr_assert_eq(ct_source_seek(source, 1, 0), CT_OK);
    cr_assert_eq(read_epoch(source, again, NULL), N);
    cr_expect_arr_eq(again, orders[1], sizeof again);
    ct_source_free(source);
    /* Another batch size cuts the same order differently; another seed gives another order. */
    source = make(N, (ct_batches_options){.shuffle = true, .seed = 5, .size = 7});
    cr_assert_eq(read_epoch(source, again, NULL), N);
    cr_expect_arr_eq(again, orders[0], sizeof again);
    ct_source_free(source);
    source = make(N, (ct_batches_options){.shuffle = true, .seed = 6});
    cr_assert_eq(read_epoch(source, again, NULL), N);
    cr_expect_arr_neq(again, orders[0], sizeof again);
    ct_source_free(source);
}

TEST(batches, seek_resumes_anywhere) {
    enum { N = 50 };
    int64_t whole[N], rest[N];
    ct_batches_options options = {.size = 8, .shuffle = true, .seed = 99};
    ct_source *source = make(N, options);
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        ct_source_seek(source, epoch, 0);
        cr_assert_eq(read_epoch(source, whole, NULL), N);
        for (int64_t batch = 0; batch <= ct_source_count(source); batch++) {
            ct_source *fresh = make(N, options);
            cr_assert_eq(ct_source_seek(fresh, epoch, batch), CT_OK);
            int64_t left = read_epoch(fresh, rest, NULL);
            cr_assert_eq(left, batch < 7 ? N - 8 * batch : 0);
            cr_assert(left == 0 || !memcmp(rest, whole + N - left, (size_t)left * 8));
            ct_source_free(fresh);
        }
    }
    ct_source_free(source);
}

TEST(batches, division_is_that_of_c) {
    uint8_t bytes[256];
    for (int i = 0; i < 256; i++) bytes[i] = (uint8_t)i;
    float floats[4] = {1, 2, 0.1f, 1e30f};
    double doubles[4] = {1, 2, 0.1, 1e300};
    ct_tensor *y = make_y(4);
    ct_tensor *inputs[3] = {ct_from(CT_U8, CT_SHAPE(4, 8, 8, 1), bytes),
                            ct_from(CT_F32, CT_SHAPE(4), floats),
                            ct_from(CT_F64, CT_SHAPE(4, 1), doubles)};
    for (int k = 0; k < 3; k++) {
        ct_source *source = ct_batches_new(inputs[k], y, (ct_batches_options){.divide_by = 255});
        ct_batch batch;
        cr_assert_eq(ct_source_next(source, &batch), CT_OK);
        cr_assert_eq(ct_dtype_of(batch.x), k < 2 ? CT_F32 : CT_F64);
        cr_assert(ct_shape_equal(ct_shape_of(batch.x), ct_shape_of(inputs[k])));
        for (int i = 0; i < (k == 0 ? 256 : 4); i++) {
            if (k == 0) cr_assert(((const float *)ct_data(batch.x))[i] == (float)bytes[i] / 255.0f);
            if (k == 1) cr_assert(((const float *)ct_data(batch.x))[i] == floats[i] / 255.0f);
            if (k == 2) cr_assert(((const double *)ct_data(batch.x))[i] == doubles[i] / 255.0);
        }
        ct_source_free(source);
    }
}

TEST(batches, without_division_every_dtype_stays_as_it_is) {
    int64_t whole[3] = {INT64_MIN, 0, INT64_MAX};
    uint8_t bytes[6] = {0, 1, 2, 253, 254, 255};
    ct_tensor *x = ct_from(CT_U8, CT_SHAPE(3, 2), bytes), *y = ct_from(CT_I64, CT_SHAPE(3), whole);
    ct_source *source = ct_batches_new(x, y, (ct_batches_options){.size = 2});
    ct_batch first, last;
    cr_assert_eq(ct_source_next(source, &first), CT_OK);
    cr_assert_eq(ct_source_next(source, &last), CT_OK);
    cr_expect_eq(ct_dtype_of(first.x), CT_U8);
    cr_expect_arr_eq(ct_data(first.x), bytes, 4);
    cr_expect_arr_eq(ct_data(last.x), bytes + 4, 2);
    cr_expect_arr_eq(ct_data(first.y), whole, 16);
    cr_expect_arr_eq(ct_data(last.y), whole + 2, 8);
    ct_source_free(source);
}

TEST(batches, rows_without_elements) {
    ct_tensor *x = ct_from(CT_F32, CT_SHAPE(5, 0, 3), NULL);
    ct_source *source = ct_batches_new(x, make_y(5), (ct_batches_options){.size = 2});
    ct_batch batch;
    cr_assert_eq(ct_source_next(source, &batch), CT_OK);
    cr_expect(ct_shape_equal(ct_shape_of(batch.x), CT_SHAPE(2, 0, 3)));
    ct_source_free(source);
}

/* --- Any number of tensors -------------------------------------------------------------------- */

TEST(batches, of_many_tensors) {
    ct_tensor *x = make_x(10), *all[8];
    for (int64_t k = 0; k < 8; k++) all[k] = ct_offset(ct_slice(x, 1, 0, 1, 1), (double)(100 * k));
    ct_batches_options options = {.size = 4, .shuffle = true, .seed = 5, .divide_by = 2};
    for (int64_t n = 1; n <= 8; n++) {
        ct_source *source = ct_batches_many_new(all, n, options);
        ct_source *pair = ct_batches_new(all[0], all[n > 1 ? 1 : 0], options);
        for (int b = 0; b < 3; b++) {
            ct_batch got, wanted;
            cr_assert_eq(ct_source_next(source, &got), CT_OK);
            cr_assert_eq(ct_source_next(pair, &wanted), CT_OK);
            cr_expect(same_bits(got.x, wanted.x));
            cr_expect(n > 1 ? same_bits(got.y, wanted.y) : !got.y);
            cr_expect_eq(got.n_more, n > 2 ? n - 2 : 0);
            for (int64_t k = 0; k < CT_BATCH_MORE; k++) {
                cr_expect_eq(got.more[k] != NULL, k < got.n_more);
                if (k >= got.n_more) continue;
                for (int64_t i = 0; i < ct_dim(got.x, 0); i++) {
                    cr_expect_eq(element(got.more[k], i),
                                 2 * element(got.x, i) + (double)(100 * (k + 2)));
                }
            }
        }
        ct_batch end = {.n_more = 7};
        cr_assert_eq(ct_source_next(source, &end), CT_OK);
        cr_expect(!end.x && !end.y && end.n_more == 0);
        ct_source_free(source);
        ct_source_free(pair);
    }
}

static void refuse_many(ct_tensor *const tensors[], int64_t n, ct_status status,
                        const char *message) {
    cr_expect_null(ct_batches_many_new(tensors, n, (ct_batches_options){0}));
    expect_error(status, message);
}

TEST(batches, errors_of_many) {
    ct_tensor *x = make_x(10), *y = make_y(9);
    refuse_many(NULL, 1, CT_ERR_NULL, "ct_batches_many_new: 'tensors' is NULL");
    refuse_many(&x, 0, CT_ERR_RANGE, "ct_batches_many_new: n must be 1..8, got 0");
    refuse_many(&x, 9, CT_ERR_RANGE, "ct_batches_many_new: n must be 1..8, got 9");
    refuse_many((ct_tensor *[]){x, x, NULL}, 3, CT_ERR_NULL,
                "ct_batches_many_new: argument 'tensors[2]' is NULL");
    refuse_many((ct_tensor *[]){x, x, y}, 3, CT_ERR_SHAPE,
                "ct_batches_many_new: tensors[0] has 10 items, tensors[2] 9");
    refuse_many((ct_tensor *[]){x, ct_scalar(CT_F32, 1)}, 2, CT_ERR_SHAPE,
                "ct_batches_many_new: tensors[1] needs rank >= 1, got a scalar");
    y = make_x(0);
    refuse_many(&y, 1, CT_ERR_SHAPE, "ct_batches_many_new: tensors[0] has no items");
}

/* --- Errors ----------------------------------------------------------------------------------- */

static void refuse(ct_tensor *x, ct_tensor *y, ct_batches_options options, ct_status status,
                   const char *message) {
    cr_expect_null(ct_batches_new(x, y, options));
    expect_error(status, message);
}

TEST(batches, errors_of_new) {
    ct_tensor *x = make_x(10), *y = make_y(10), *scalar = ct_scalar(CT_F32, 1);
    ct_batches_options none = {0};
    refuse(NULL, y, none, CT_ERR_NULL, "ct_batches_new: argument 'x' is NULL");
    refuse(x, NULL, none, CT_ERR_NULL, "ct_batches_new: argument 'y' is NULL");
    refuse(scalar, y, none, CT_ERR_SHAPE, "ct_batches_new: x needs rank >= 1, got a scalar");
    refuse(x, scalar, none, CT_ERR_SHAPE, "ct_batches_new: y needs rank >= 1, got a scalar");
    refuse(x, make_y(9), none, CT_ERR_SHAPE, "ct_batches_new: x has 10 items, y 9");
    refuse(make_x(0), make_y(0), none, CT_ERR_SHAPE, "ct_batches_new: x has no items");
    refuse(x, y, (ct_batches_options){.size = -1}, CT_ERR_RANGE,
           "ct_batches_new: size must be >= 0, got -1");
    refuse(x, y, (ct_batches_options){.size = 11, .drop_last = true}, CT_ERR_RANGE,
           "ct_batches_new: drop_last leaves no batch: 10 items, size 11");
    refuse(x, y, (ct_batches_options){.size = 5, .limit = 4, .drop_last = true}, CT_ERR_RANGE,
           "ct_batches_new: drop_last leaves no batch: 4 items, size 5");
    refuse(x, y, (ct_batches_options){.limit = 11}, CT_ERR_RANGE,
           "ct_batches_new: limit must be 0 (all) or 1..10 (items), got 11");
    refuse(x, y, (ct_batches_options){.limit = -1}, CT_ERR_RANGE,
           "ct_batches_new: limit must be 0 (all) or 1..10 (items), got -1");
    refuse(x, y, (ct_batches_options){.divide_by = -1}, CT_ERR_RANGE,
           "ct_batches_new: divide_by "
           "must be 0 (none) or 1.17549e-38..3.40282e+38, got -1");
    refuse(x, y, (ct_batches_options){.divide_by = 1e300}, CT_ERR_RANGE,
           "ct_batches_new: "
           "divide_by must be 0 (none) or 1.17549e-38..3.40282e+38, got 1e+300");
    refuse(x, y, (ct_batches_options){.divide_by = (double)NAN}, CT_ERR_RANGE,
           "ct_batches_new: "
           "divide_by must be 0 (none) or 1.17549e-38..3.40282e+38, got nan");
    refuse(y, y, (ct_batches_options){.divide_by = 255}, CT_ERR_DTYPE,
           "ct_batches_new: "
           "divide_by needs x of u8, f32 or f64, got i64; use ct_cast");
    /* An argument that failed before: that error stays. */
    ct_fail(CT_ERR_SHAPE, "earlier");
    refuse(NULL, y, none, CT_ERR_SHAPE, "earlier");
}

TEST(batches, errors_of_seek_and_next_do_not_move) {
    ct_source *source = make(10, (ct_batches_options){.size = 4, .shuffle = true});
    int64_t whole[10], items[10];
    cr_assert_eq(ct_source_seek(source, 3, 0), CT_OK);
    cr_assert_eq(read_epoch(source, whole, NULL), 10);
    cr_assert_eq(ct_source_seek(source, 3, 1), CT_OK);
    cr_expect_eq(ct_source_seek(source, -1, 0), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_source_seek: epoch must be >= 0, got -1");
    cr_expect_eq(ct_source_seek(source, 0, 4), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_source_seek: batch must be 0..3, got 4");
    cr_expect_eq(ct_source_seek(source, 0, -1), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_source_seek: batch must be 0..3, got -1");
    cr_expect_eq(ct_source_next(source, NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_source_next: 'out' is NULL");
    cr_assert_eq(read_epoch(source, items, NULL), 6);
    cr_expect_arr_eq(items, whole + 4, 6 * sizeof *items);
    cr_expect_eq(ct_source_count(NULL), 0);
    ct_source_free(source);
    ct_source_free(NULL);
}

/* x and y are expressions here: it is ct_batches_new that evaluates them. */
TEST(batches, out_of_memory_at_every_allocation) {
    ct_batches_options options = {.size = 4, .shuffle = true};
    for (int persistent = 0; persistent < 2; persistent++) {
        for (int nth = 1;; nth++) {
            int64_t scope = ct_scope_open();
            ct_tensor *x = ct_scale(make_x(10), 2), *y = ct_scale(make_x(10), 3);
            ct_mem_fail_at(nth, persistent);
            ct_batch batch = {0};
            ct_source *source = ct_batches_new(x, y, options);
            bool made = source && ct_source_next(source, &batch) == CT_OK;
            ct_mem_fail_at(0, false);
            cr_expect_eq(made, batch.x && batch.y);
            if (made) {
                const float *twice = ct_data(batch.x), *thrice = ct_data(batch.y);
                for (int i = 0; i < 8; i++) cr_expect_eq(twice[i] * 1.5f, thrice[i]);
            }
            ct_source_free(source);
            ct_scope_close(scope);
            ct_cache_clear();
            cr_expect_eq(ct_mem_read().live_bytes, live_before());
            if (made) break;
            cr_expect_eq(ct_error(), CT_ERR_MEMORY);
            ct_error_clear();
            cr_assert_lt(nth, 500);
        }
    }
}
