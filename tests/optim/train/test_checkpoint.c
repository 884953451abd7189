/* Checkpoints: a run resumed at any step equals the uninterrupted one bit for bit, with dropout,
 * shuffled data, schedules and accumulated gradients; damaged files change nothing. */
#include "tests/support/nn_support.h"

#include "datasets/datasets.h"
#include "tensor/safetensors.h"

#include <stdio.h>
#include <unistd.h>

static char path[256];

static void open_path(void) {
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/cotan-checkpoint-%ld.safetensors", base ? base : "/tmp",
             (long)getpid());
}

static void close_path(void) { unlink(path); }

#define CHECKPOINT_TEST(name) TEST_WITH(checkpoint, name, open_path, close_path)

enum { ITEMS = 22, SIZE = 4, BATCHES = 6, EPOCHS = 2, STEPS = BATCHES * EPOCHS };

typedef struct {
    ct_module *model;
    ct_optimizer *optimizer;
    ct_source *train;
} run;

static run open_run(uint64_t seed) {
    ct_seed_set(seed);
    run r = {.model = small_cnn(0.3)};
    ct_adam_options options = ct_adam_defaults(0.01);
    options.rate = ct_rate_warmup(ct_rate_cosine(0.01, 0.1, 10), 3);
    options.step = (ct_step_options){.accumulate = 2, .clip_norm = 1};
    r.optimizer = ct_adam_new(r.model, options);
    int64_t scope = ct_scope_open();
    ct_tensor *x = centred(CT_F32, CT_SHAPE(ITEMS, 6, 6, 2), 1, 1, 0);
    r.train = ct_batches_new(x, some_labels(ITEMS, 3, 2),
                             (ct_batches_options){.size = SIZE, .shuffle = true, .seed = 5});
    ct_scope_close(scope);
    cr_assert(r.optimizer && r.train, "%s", ct_error_message());
    return r;
}

static void close_run(run *r) {
    ct_optimizer_free(r->optimizer);
    ct_module_free(r->model);
    ct_source_free(r->train);
}

static ct_position train(run *r, ct_position start, int64_t max_steps) {
    ct_history history;
    OK(ct_fit(r->model, r->optimizer, &ct_loss_cross_entropy, r->train,
              (ct_fit_options){.epochs = EPOCHS, .start = start, .max_steps = max_steps},
              &history));
    ct_position end = history.position;
    ct_history_free(&history);
    return end;
}

static uint64_t hash_of(const run *r) { return state_hash(r->model, r->optimizer); }

CHECKPOINT_TEST(resuming_at_any_step_equals_never_stopping) {
    run whole = open_run(1);
    train(&whole, (ct_position){0}, 0);
    ct_tensor *seed_after = ct_detach(ct_seed_draw());
    for (int64_t k = 1; k <= STEPS; k++) {
        run first = open_run(1);
        ct_position reached = train(&first, (ct_position){0}, k);
        cr_expect(reached.epoch == k / BATCHES && reached.batch == k % BATCHES);
        OK(ct_checkpoint_save(path, first.model, first.optimizer, reached));
        close_run(&first);
        run second = open_run(99);
        ct_position position = {.epoch = -1};
        OK(ct_checkpoint_load(path, second.model, second.optimizer, &position));
        cr_expect(position.epoch == reached.epoch && position.batch == reached.batch);
        train(&second, position, 0);
        cr_expect_eq(hash_of(&second), hash_of(&whole), "stopped after step %lld", (long long)k);
        /* Also what is drawn later on: layers and initializers made after the resumption. */
        ct_tensor *gap = ct_sub(ct_seed_draw(), seed_after);
        cr_expect_eq(ct_item(ct_sum_all(ct_abs(gap))), 0);
        close_run(&second);
    }
    close_run(&whole);
}

/* Saved while a layer is frozen, thawed after loading: its moments were in the file. */
CHECKPOINT_TEST(frozen_layers_keep_their_moments) {
    run whole = open_run(1), first = open_run(1), second = open_run(99);
    run *all[] = {&whole, &first, &second};
    ct_position p[3] = {{0}, {0}, {0}};
    for (int i = 0; i < 2; i++) {
        p[i] = train(all[i], p[i], 3);
        ct_module_freeze(all[i]->model->children[0], true);
        p[i] = train(all[i], p[i], 3);
    }
    OK(ct_checkpoint_save(path, first.model, first.optimizer, p[1]));
    OK(ct_checkpoint_load(path, second.model, second.optimizer, &p[2]));
    ct_module_freeze(whole.model->children[0], false);
    train(&whole, p[0], 0);
    train(&second, p[2], 0);
    cr_expect_eq(hash_of(&second), hash_of(&whole));
    for (int i = 0; i < 3; i++) close_run(all[i]);
}

CHECKPOINT_TEST(the_file_is_one_safetensors_file) {
    run r = open_run(1);
    train(&r, (ct_position){0}, 3);
    OK(ct_checkpoint_save(path, r.model, r.optimizer, (ct_position){.epoch = 7, .batch = 3}));
    ct_safetensors *file = ct_safetensors_load(path);
    MADE(file);
    static const char *const names[] = {"model/conv2d/kernel",
                                        "model/batch_norm/moving_mean",
                                        "model/dropout/stream",
                                        "optimizer/adam/steps",
                                        "optimizer/adam/conv2d/kernel/m",
                                        "optimizer/adam/dense/bias/accumulated",
                                        "seed/stream"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cr_expect_geq(ct_safetensors_find(file, names[i]), 0, "%s", names[i]);
    }
    static const char *const metadata[] = {
        "format", "cotan checkpoint", "version", "1", "epoch", "7", "batch", "3"};
    for (int i = 0; i < 8; i += 2) {
        cr_expect_str_eq(ct_safetensors_metadata(file, metadata[i]), metadata[i + 1]);
    }
    ct_safetensors_free(file);
    close_run(&r);
}

/* --- Refusals --------------------------------------------------------------------------------- */

static void expect_refusal(run *r, ct_status status, const char *rest) {
    uint64_t before = hash_of(r);
    ct_position position = {.epoch = -1};
    cr_expect_eq(ct_checkpoint_load(path, r->model, r->optimizer, &position), status);
    char message[1024];
    snprintf(message, sizeof message, "ct_checkpoint_load: %s: %s", path, rest);
    expect_error(status, message);
    cr_expect_eq(hash_of(r), before);
    cr_expect_eq(position.epoch, -1);
}

CHECKPOINT_TEST(other_models_and_optimizers_are_refused) {
    run r = open_run(1);
    ct_optimizer *sgd = ct_sgd_new(r.model, (ct_sgd_options){.rate = ct_rate(0.1)});
    OK(ct_checkpoint_save(path, r.model, sgd, (ct_position){0}));
    ct_optimizer_free(sgd);
    expect_refusal(&r, CT_ERR_SHAPE,
                   "17 mismatches: 'optimizer/adam/steps' missing; "
                   "'optimizer/adam/conv2d/kernel/m' missing; "
                   "'optimizer/adam/conv2d/kernel/v' missing; "
                   "'optimizer/adam/conv2d/kernel/accumulated' missing; ...");
    close_run(&r);
}

CHECKPOINT_TEST(other_files_are_refused) {
    run r = open_run(1);
    OK(ct_weights_save(r.model, path));
    expect_refusal(&r, CT_ERR_FORMAT, "format must be 'cotan checkpoint', got ''");
    ct_named one = {"w", ct_scalar(CT_F32, 1)};
    ct_pair metadata[] = {{"format", "cotan checkpoint"}, {"version", "2"}, {"epoch", "-1"}};
    OK(ct_safetensors_save(path, &one, 1, metadata, 1));
    expect_refusal(&r, CT_ERR_FORMAT, "version must be 1, got ''");
    OK(ct_safetensors_save(path, &one, 1, metadata, 2));
    expect_refusal(&r, CT_ERR_FORMAT, "version must be 1, got '2'");
    metadata[1].value = "1";
    OK(ct_safetensors_save(path, &one, 1, metadata, 3));
    expect_refusal(&r, CT_ERR_FORMAT, "epoch must be a whole number, got '-1'");
    cr_expect_eq(ct_checkpoint_save(path, r.model, r.optimizer, (ct_position){.batch = -1}),
                 CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_checkpoint_save: the position must be >= 0, got 0, -1");
    cr_expect_eq(ct_checkpoint_save(path, r.model, NULL, (ct_position){0}), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_checkpoint_save: 'optimizer' is NULL");
    cr_expect_eq(ct_checkpoint_load(NULL, r.model, r.optimizer, NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_checkpoint_load: 'path' is NULL");
    close_run(&r);
}

/* --- Damage ----------------------------------------------------------------------------------- */

static size_t read_file(uint8_t *bytes, size_t size) {
    FILE *in = fopen(path, "rb");
    MADE(in);
    size_t length = fread(bytes, 1, size, in);
    fclose(in);
    return length;
}

static void write_file(const uint8_t *bytes, size_t length) {
    FILE *out = fopen(path, "wb");
    MADE(out);
    cr_assert_eq(fwrite(bytes, 1, length, out), length);
    fclose(out);
}

/* True when it was refused; then nothing has changed and something was said. */
static bool refused(run *r, uint64_t before) {
    ct_position position = {.epoch = -1};
    ct_status status = ct_checkpoint_load(path, r->model, r->optimizer, &position);
    if (status == CT_OK) return false;
    cr_expect_neq(*ct_error_message(), '\0');
    cr_expect_eq(position.epoch, -1);
    cr_expect_eq(hash_of(r), before);
    ct_error_clear();
    return true;
}

CHECKPOINT_TEST(damaged_files_change_nothing) {
    static uint8_t bytes[1 << 16], damaged[1 << 16];
    run saved = open_run(1), r = open_run(2);
    ct_position position = {.epoch = 4, .batch = 3, .best_epoch = 2, .best_val_loss = -0.3};
    OK(ct_checkpoint_save(path, saved.model, saved.optimizer, position));
    size_t length = read_file(bytes, sizeof bytes);
    cr_assert(length > 1000 && length < sizeof bytes);
    uint64_t before = hash_of(&r);
    for (size_t kept = 0; kept < length; kept += 1 + kept / 50) {
        write_file(bytes, kept);
        cr_expect(refused(&r, before), "cut to %zu bytes", kept);
    }
    memcpy(damaged, bytes, length);
    damaged[length] = 0;
    write_file(damaged, length + 1);
    cr_expect(refused(&r, before), "one byte more");
    for (size_t at = 0; at < length; at++) {
        memcpy(damaged, bytes, length);
        damaged[at] ^= (uint8_t)(1 << at % 8);
        write_file(damaged, length);
        cr_expect(refused(&r, before), "byte %zu", at);
    }
    write_file(bytes, length);
    cr_expect_not(refused(&r, before));
    cr_expect_eq(hash_of(&r), hash_of(&saved));
    close_run(&saved);
    close_run(&r);
}
