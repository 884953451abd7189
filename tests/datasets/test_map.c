/* A source that maps another one: values, positions, ownership, errors.
 * Not a test of batches; the inner source is one of ct_batches_new.
 * Invariant: a batch is a function of the inner one, epoch and batch number alone. */
#include "autograd/ops.h"
#include "datasets/datasets.h"
#include "tensor/random.h"
#include "tensor/runtime.h"
#include "tests/support/idx_files.h"

enum { ITEMS = 10, SIZE = 4, BATCHES = 3 };

static ct_source *inner(void) {
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_name(ct_arange(CT_F32, 0, ITEMS, 1), "numbers");
    ct_source *source = ct_batches_new(x, ct_arange(CT_I64, 0, ITEMS, 1),
                                       (ct_batches_options){.size = SIZE, .shuffle = true});
    ct_scope_close(scope);
    MADE(source);
    return source;
}

/* Adds noise that belongs to the batch, and the item numbers as a third tensor. */
static ct_status noisy(void *context, int64_t epoch, int64_t number, ct_batch *batch) {
    const int64_t *seed = context, key[2] = {*seed + epoch, number};
    ct_shape shape = ct_shape_of(batch->x);
    ct_tensor *u = ct_random_uniform(ct_from(CT_I64, CT_SHAPE(2), key), CT_F32, shape);
    batch->more[batch->n_more++] = batch->x;
    batch->x = ct_add(batch->x, u);
    return batch->x ? CT_OK : ct_error();
}

static void expect_batch(ct_source *source, ct_source *plain, int64_t seed, int64_t epoch,
                         int64_t number) {
    int64_t scope = ct_scope_open();
    ct_batch got, wanted;
    OK(ct_source_next(source, &got));
    OK(ct_source_seek(plain, epoch, number));
    OK(ct_source_next(plain, &wanted));
    cr_expect(same_bits(got.y, wanted.y) && got.n_more == 1 && same_bits(got.more[0], wanted.x));
    OK(noisy(&seed, epoch, number, &wanted));
    cr_expect(same_bits(got.x, wanted.x));
    ct_scope_close(scope);
}

TEST(map, gives_what_the_function_makes) {
    int64_t seed = 7;
    ct_source *source = ct_source_map_new(inner(), noisy, &seed), *plain = inner();
    MADE(source);
    cr_expect_eq(ct_source_count(source), BATCHES);
    cr_expect_str_eq(ct_source_describe(source), "10 items of numbers");
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        OK(ct_source_seek(source, epoch, 0));
        for (int64_t k = 0; k < BATCHES; k++) expect_batch(source, plain, seed, epoch, k);
        ct_batch end = {.x = ct_scalar(CT_F32, 1)};
        OK(ct_source_next(source, &end));
        cr_expect(!end.x && !end.y && end.n_more == 0);
    }
    /* In the middle, as a checkpoint does. */
    OK(ct_source_seek(source, 1, 2));
    expect_batch(source, plain, seed, 1, 2);
    ct_source_free(source);
    ct_source_free(plain);
}

TEST(map, begins_at_the_beginning_and_nests) {
    int64_t seed = 7;
    ct_source *first = inner(), *plain = inner();
    ct_batch batch;
    OK(ct_source_next(first, &batch));
    ct_source *source = ct_source_map_new(first, noisy, &seed);
    expect_batch(source, plain, seed, 0, 0);
    source = ct_source_map_new(source, noisy, &seed);
    OK(ct_source_next(source, &batch));
    cr_expect_eq(batch.n_more, 2);
    ct_source_free(source);
    ct_source_free(plain);
}

/* --- Errors ----------------------------------------------------------------------------------- */

enum { FINE, SILENT, SAYS, NO_X, NO_Y, NO_MORE, TOO_MANY };

static ct_status faulty(void *context, int64_t epoch, int64_t number, ct_batch *batch) {
    (void)epoch, (void)number;
    switch (*(const int *)context) {
    case SILENT: return CT_ERR_RANGE;
    case SAYS: return ct_fail(CT_ERR_IO, "mine: no noise left");
    case NO_X: batch->x = NULL; break;
    case NO_Y: batch->y = NULL; break;
    case NO_MORE: batch->n_more = 2; break;
    case TOO_MANY: batch->n_more = 7; break;
    default: break;
    }
    return CT_OK;
}

TEST(map, errors_of_next_do_not_move) {
    static const struct {
        int fault;
        ct_status status;
        const char *message;
    } rows[] = {
        {SILENT, CT_ERR_RANGE,
         "ct_source_next: the function of a map failed and recorded no error"},
        {SAYS, CT_ERR_IO, "mine: no noise left"},
        {NO_X, CT_ERR_NULL, "ct_source_next: the function of a map made NULL of x"},
        {NO_Y, CT_ERR_NULL, "ct_source_next: the function of a map made NULL of y"},
        {NO_MORE, CT_ERR_NULL, "ct_source_next: the function of a map made NULL of more[0]"},
        {TOO_MANY, CT_ERR_RANGE,
         "ct_source_next: the function of a map says n_more 7; it must be 0..6"},
    };
    int fault = FINE;
    ct_source *source = ct_source_map_new(inner(), faulty, &fault), *plain = inner();
    OK(ct_source_seek(source, 2, 1));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ct_batch batch;
        fault = rows[i].fault;
        cr_expect_eq(ct_source_next(source, &batch), rows[i].status);
        expect_error(rows[i].status, rows[i].message);
        cr_expect(!batch.x && !batch.y);
    }
    fault = FINE;
    ct_batch got, wanted;
    OK(ct_source_next(source, &got));
    OK(ct_source_seek(plain, 2, 1));
    OK(ct_source_next(plain, &wanted));
    cr_expect(same_bits(got.x, wanted.x));
    cr_expect_eq(ct_source_seek(source, 0, 4), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_source_seek: batch must be 0..3, got 4");
    ct_source_free(source);
    ct_source_free(plain);
}

TEST(map, owns_the_source_also_when_it_fails) {
    cr_expect_null(ct_source_map_new(inner(), NULL, NULL));
    expect_error(CT_ERR_NULL, "ct_source_map_new: 'function' is NULL");
    cr_expect_null(ct_source_map_new(NULL, noisy, NULL));
    expect_error(CT_ERR_NULL, "ct_source_map_new: 'source' is NULL");
    ct_source *source = inner();
    ct_mem_fail_at(1, false);
    cr_expect_null(ct_source_map_new(source, noisy, NULL));
    ct_mem_fail_at(0, false);
    cr_expect_eq(ct_error(), CT_ERR_MEMORY);
    ct_error_clear();
}
