/* The task of the suites of training.
 * It trains nothing by itself.
 * Invariant: the same salt gives the same task. */
#include "tests/support/fit_support.h"

ct_tensor *task_x(uint32_t salt) {
    return ct_detach(centred(CT_F32, CT_SHAPE(ITEMS, 4), salt, 1, 0));
}

ct_tensor *task_labels(ct_tensor *x) { return ct_detach(ct_argmax(ct_slice(x, 1, 0, 3, 1), 1)); }

ct_source *task(uint32_t salt, bool shuffle) {
    ct_tensor *x = task_x(salt);
    ct_source *source = ct_batches_new(
        x, task_labels(x), (ct_batches_options){.size = SIZE, .shuffle = shuffle, .seed = 3});
    cr_assert_not_null(source, "%s", ct_error_message());
    return source;
}

bench open_bench(double rate) {
    ct_seed_set(1);
    bench b = {.model = small_mlp(), .train = task(1, false), .test = task(2, false)};
    b.optimizer = ct_adam_new(b.model, ct_adam_defaults(rate));
    cr_assert_not_null(b.optimizer, "%s", ct_error_message());
    return b;
}

void close_bench(bench *b) {
    ct_optimizer_free(b->optimizer);
    ct_module_free(b->model);
    ct_source_free(b->train);
    ct_source_free(b->test);
}

ct_status fit(bench *b, ct_fit_options options, ct_history *history) {
    return ct_fit(b->model, b->optimizer, &ct_loss_cross_entropy, b->train, options, history);
}

static int64_t faulty_count(const ct_source *source) {
    (void)source;
    return BATCHES;
}

static ct_status faulty_seek(ct_source *source, int64_t epoch, int64_t batch) {
    (void)epoch, (void)batch;
    ((faulty_source *)source)->given = 0;
    return CT_OK;
}

static ct_status faulty_next(ct_source *source, ct_batch *out) {
    faulty_source *s = (faulty_source *)source;
    *out = (ct_batch){0};
    if (s->given == s->good) {
        return s->ends ? CT_OK : ct_fail(CT_ERR_IO, "faulty: the disk is gone");
    }
    s->given++;
    out->x = task_x(1);
    out->y = task_labels(out->x);
    return CT_OK;
}

static void faulty_free(ct_source *source) { (void)source; }

const ct_source_kind faulty_kind = {
    .name = "faulty",
    .count = faulty_count,
    .seek = faulty_seek,
    .next = faulty_next,
    .free = faulty_free,
};
