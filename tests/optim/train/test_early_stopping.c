/* Early stopping over checkpoints: training that is resumed stops at the epoch at which it would
 * have stopped without, and the best weights come back. */
#include "tests/support/fit_support.h"

#include "tensor/safetensors.h"

#include <stdio.h>
#include <unistd.h>

static char path[256];

static void open_path(void) {
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/cotan-stopping-%ld.safetensors", base ? base : "/tmp",
             (long)getpid());
}

static void close_path(void) { unlink(path); }

#define STOPPING_TEST(name) TEST_WITH(early_stopping, name, open_path, close_path)

/* --- A validation that says what it is told --------------------------------------------------- */

/* val_loss after epochs 1, 2 and so on. The best one is the second, so a patience of 3 ends
 * training after epoch 5. */
static const double script[] = {3, 2, 2.5, 2.2, 2.1, 2.3, 2.4, 1, 2, 3, 4, 5};
enum { BEST = 2, PATIENCE = 3, STOP = 5, SCRIPTED = sizeof script / sizeof *script };

typedef struct {
    ct_source base;
    const ct_optimizer *optimizer; /* tells the epoch by its steps */
    bool given;
} scripted_source;

static int64_t scripted_count(const ct_source *source) {
    (void)source;
    return 1;
}

static ct_status scripted_seek(ct_source *source, int64_t epoch, int64_t batch) {
    (void)epoch, (void)batch;
    ((scripted_source *)source)->given = false;
    return CT_OK;
}

static ct_status scripted_next(ct_source *source, ct_batch *out) {
    scripted_source *s = (scripted_source *)source;
    *out = (ct_batch){0};
    if (s->given) return CT_OK;
    s->given = true;
    int64_t steps = ct_optimizer_steps(s->optimizer);
    /* In the middle of an epoch the best of all: it must not count. */
    double value = steps % BATCHES ? -100 : script[steps / BATCHES - 1];
    *out = (ct_batch){.x = task_x(1), .y = ct_scalar(CT_F64, value)};
    return CT_OK;
}

static void scripted_free(ct_source *source) { (void)source; }

static const ct_source_kind scripted_kind = {
    .name = "scripted",
    .count = scripted_count,
    .seek = scripted_seek,
    .next = scripted_next,
    .free = scripted_free,
};

static ct_tensor *scripted_value(ct_tensor *prediction, ct_tensor *y) {
    return ct_dtype_of(y) == CT_F64 ? y : ct_cross_entropy(prediction, y);
}

static const ct_loss scripted_loss = {.value = scripted_value, .from_logits = true};

/* --- Runs ------------------------------------------------------------------------------------- */

typedef struct {
    bench bench;
    scripted_source validation;
    uint64_t hashes[SCRIPTED + 1]; /* of the model after each epoch */
} run;

static run open_run(uint64_t seed) {
    run r = {.bench = open_bench(0.05)};
    ct_seed_set(seed);
    return r;
}

static bool note_hash(void *context, ct_position position, const ct_step_record *step,
                      const ct_epoch *epoch) {
    run *r = context;
    (void)step;
    if (epoch && position.batch == 0) r->hashes[position.epoch] = state_hash(r->bench.model, NULL);
    return true;
}

static ct_history train(run *r, ct_fit_options options) {
    ct_history history;
    r->validation = (scripted_source){{&scripted_kind}, r->bench.optimizer, false};
    options.validation = &r->validation.base;
    options.callback = note_hash;
    options.context = r;
    OK(ct_fit(r->bench.model, r->bench.optimizer, &scripted_loss, r->bench.train, options,
              &history));
    return history;
}

static void expect_position(ct_position p, int64_t epoch, int64_t best_epoch) {
    cr_expect(p.epoch == epoch && p.batch == 0, "%lld, %lld", (long long)p.epoch,
              (long long)p.batch);
    cr_expect(p.best_epoch == best_epoch && p.best_val_loss == script[best_epoch - 1]);
}

/* --- Stopping at the same epoch --------------------------------------------------------------- */

static uint64_t hash_of_whole(void) {
    run r = open_run(1);
    ct_history history = train(&r, (ct_fit_options){.epochs = SCRIPTED, .patience = PATIENCE});
    cr_expect(history.stopped_early && history.n_epochs == STOP && !history.restored);
    expect_position(history.position, STOP, BEST);
    ct_history_free(&history);
    uint64_t hash = state_hash(r.bench.model, r.bench.optimizer);
    close_bench(&r.bench);
    return hash;
}

/* Every call in a new model and a new optimizer, from the file of the one before. */
static void expect_same_stop(ct_fit_options options, uint64_t wanted) {
    int64_t every = options.epochs;
    ct_position position = {0};
    bool stopped = false;
    uint64_t hash = 0;
    for (int calls = 0; calls < 40 && !stopped; calls++) {
        run r = open_run(7 + (uint64_t)calls);
        if (calls > 0) {
            position = (ct_position){0};
            OK(ct_checkpoint_load(path, r.bench.model, r.bench.optimizer, &position));
        }
        options.start = position;
        options.patience = PATIENCE;
        if (every < SCRIPTED) options.epochs = position.epoch + every;
        ct_history history = train(&r, options);
        position = history.position;
        stopped = history.stopped_early;
        OK(ct_checkpoint_save(path, r.bench.model, r.bench.optimizer, position));
        hash = state_hash(r.bench.model, r.bench.optimizer);
        ct_history_free(&history);
        close_bench(&r.bench);
    }
    cr_expect(stopped);
    expect_position(position, STOP, BEST);
    cr_expect_eq(hash, wanted);
}

STOPPING_TEST(resumed_training_stops_where_the_whole_would) {
    uint64_t whole = hash_of_whole();
    for (int64_t every = 1; every < STOP + 1; every++) {
        expect_same_stop((ct_fit_options){.epochs = every}, whole);
    }
    for (int64_t steps = 1; steps < 2 * BATCHES; steps++) {
        expect_same_stop((ct_fit_options){.epochs = SCRIPTED, .max_steps = steps}, whole);
    }
}

/* From the checkpoint of its end nothing is trained; unless the best epoch is forgotten, or there
 * is more patience. */
STOPPING_TEST(what_has_stopped_stays_stopped) {
    run r = open_run(1);
    ct_fit_options options = {.epochs = SCRIPTED, .patience = PATIENCE};
    ct_history history = train(&r, options);
    options.start = history.position;
    ct_history_free(&history);
    history = train(&r, options);
    cr_expect(history.stopped_early && history.n_epochs == 0);
    expect_position(history.position, STOP, BEST);
    ct_history_free(&history);
    options.patience = PATIENCE + 1;
    history = train(&r, options);
    cr_expect(history.stopped_early && history.n_epochs == 1);
    options.start = history.position;
    ct_history_free(&history);
    options.start.best_epoch = 0;
    history = train(&r, options);
    cr_expect(history.n_epochs == SCRIPTED - STOP - 1 && history.stopped_early);
    expect_position(history.position, SCRIPTED, 8);
    ct_history_free(&history);
    close_bench(&r.bench);
}

/* A gain of exactly min_delta is none; smaller ones add up. */
STOPPING_TEST(what_is_better_by_too_little_is_not_better) {
    const struct {
        double min_delta;
        int64_t best, stop;
    } rows[] = {{0.99, BEST, STOP}, {1, 1, 4}, {1e300, 1, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        run r = open_run(1);
        ct_fit_options options = {.epochs = SCRIPTED,
                                  .patience = PATIENCE,
                                  .min_delta = rows[i].min_delta,
                                  .restore_best = true};
        ct_history history = train(&r, options);
        cr_expect(history.stopped_early && history.restored);
        expect_position(history.position, rows[i].stop, rows[i].best);
        cr_expect_eq(state_hash(r.bench.model, NULL), r.hashes[rows[i].best]);
        ct_history_free(&history);
        close_bench(&r.bench);
    }
    /* With the patience to see all of it: epoch 8 is better than epoch 1 by 2, epoch 2 by 1. */
    run r = open_run(1);
    ct_history history = train(&r, (ct_fit_options){.epochs = SCRIPTED, .min_delta = 1.5});
    expect_position(history.position, SCRIPTED, 8);
    ct_history_free(&history);
    close_bench(&r.bench);
}

STOPPING_TEST(too_little_is_too_little_over_a_restart) {
    run r = open_run(1);
    ct_fit_options options = {.epochs = 2, .patience = PATIENCE, .min_delta = 1};
    ct_history history = train(&r, options);
    expect_position(history.position, 2, 1);
    options.start = history.position;
    options.epochs = SCRIPTED;
    ct_history_free(&history);
    history = train(&r, options);
    cr_expect(history.stopped_early && history.n_epochs == 2);
    expect_position(history.position, 4, 1);
    ct_history_free(&history);
    close_bench(&r.bench);
}

/* --- The best weights ------------------------------------------------------------------------- */

static uint64_t model_hash(const run *r) { return state_hash(r->bench.model, NULL); }

STOPPING_TEST(the_best_weights_come_back) {
    run r = open_run(1);
    ct_fit_options options = {.epochs = SCRIPTED, .patience = PATIENCE, .restore_best = true};
    ct_history history = train(&r, options);
    cr_expect(history.restored && history.stopped_early);
    expect_position(history.position, STOP, BEST);
    cr_expect_eq(model_hash(&r), r.hashes[BEST]);
    cr_expect_neq(r.hashes[BEST], r.hashes[STOP]);
    cr_expect_eq(ct_optimizer_steps(r.bench.optimizer), STOP * BATCHES);
    ct_history_free(&history);
    close_bench(&r.bench);
    /* After the last epoch too, without patience. */
    r = open_run(1);
    history = train(&r, (ct_fit_options){.epochs = 4, .restore_best = true});
    cr_expect(history.restored && !history.stopped_early && history.n_epochs == 4);
    cr_expect_eq(model_hash(&r), r.hashes[BEST]);
    ct_history_free(&history);
    close_bench(&r.bench);
}

STOPPING_TEST(what_is_to_go_on_is_not_restored) {
    run r = open_run(1);
    ct_history history = train(
        &r, (ct_fit_options){.epochs = SCRIPTED, .max_steps = 4 * BATCHES, .restore_best = true});
    cr_expect_not(history.restored);
    cr_expect_eq(model_hash(&r), r.hashes[4]);
    ct_history_free(&history);
    close_bench(&r.bench);
}

static char *resume_at(int64_t epoch, bool restored) {
    run r = open_run(1);
    ct_fit_options options = {.epochs = epoch, .patience = PATIENCE};
    ct_history history = train(&r, options);
    char *text = NULL;
    size_t length = 0;
    options = (ct_fit_options){.epochs = SCRIPTED,
                               .patience = PATIENCE,
                               .restore_best = true,
                               .start = history.position,
                               .log = open_memstream(&text, &length)};
    ct_history_free(&history);
    history = train(&r, options);
    fclose(options.log);
    expect_position(history.position, STOP, BEST);
    cr_expect_eq(history.restored, restored);
    cr_expect_eq(model_hash(&r), r.hashes[restored ? BEST : STOP]);
    ct_history_free(&history);
    close_bench(&r.bench);
    return text;
}

static void expect_last_line(char *text, const char *wanted) {
    size_t length = strlen(text), n = strlen(wanted);
    cr_expect(length > n && strcmp(text + length - n, wanted) == 0, "%s", text);
    free(text);
}

/* Checkpoints do not hold the best weights; the ones that training starts with may be the best. */
STOPPING_TEST(resumed_training_restores_what_it_has_seen) {
    expect_last_line(resume_at(1, true), "\nrestored the weights of epoch 2\n");
    expect_last_line(resume_at(2, true), "\nrestored the weights of epoch 2\n");
    expect_last_line(resume_at(3, false), "\nthe best epoch, 2, came before the start: its weights "
                                          "are not restored\n");
}

/* --- The best weights over restarts ----------------------------------------------------------- */

static uint64_t hash_of_best(void) {
    run r = open_run(1);
    ct_history history = train(
        &r, (ct_fit_options){.epochs = SCRIPTED, .patience = PATIENCE, .restore_best = true});
    cr_expect(history.restored);
    ct_history_free(&history);
    uint64_t hash = state_hash(r.bench.model, r.bench.optimizer);
    close_bench(&r.bench);
    return hash;
}

/* Every call in a new model, from the file of the one before. */
static void expect_same_best(int64_t max_steps, uint64_t wanted) {
    bool stopped = false;
    uint64_t hash = 0;
    for (int calls = 0; calls < 40 && !stopped; calls++) {
        run r = open_run(7 + (uint64_t)calls);
        if (calls == 0) ct_seed_set(1);
        ct_best *best = ct_best_new();
        MADE(best);
        ct_fit_options options = {.epochs = SCRIPTED,
                                  .max_steps = max_steps,
                                  .patience = PATIENCE,
                                  .restore_best = true,
                                  .best = best};
        if (calls > 0) {
            OK(ct_checkpoint_load_best(path, r.bench.model, r.bench.optimizer, &options.start,
                                       best));
            cr_expect_eq(ct_best_epoch(best), options.start.best_epoch);
        }
        ct_history history = train(&r, options);
        stopped = history.stopped_early;
        cr_expect_eq(history.restored, stopped);
        cr_expect_eq(ct_best_epoch(best), history.position.best_epoch);
        OK(ct_checkpoint_save_best(path, r.bench.model, r.bench.optimizer, history.position, best));
        hash = state_hash(r.bench.model, r.bench.optimizer);
        ct_history_free(&history);
        close_bench(&r.bench);
        ct_best_free(best);
    }
    cr_expect(stopped);
    cr_expect_eq(hash, wanted);
}

STOPPING_TEST(the_best_weights_survive_restarts) {
    uint64_t wanted = hash_of_best();
    for (int64_t steps = 1; steps <= 3 * BATCHES; steps += 2) expect_same_best(steps, wanted);
}

/* A file of a run after its third epoch, whose best was the second. */
static run open_third(ct_best *best, ct_position *position, bool with_best) {
    run r = open_run(1);
    ct_fit_options options = {.epochs = 3, .best = best};
    ct_history history = train(&r, options);
    *position = history.position;
    expect_position(*position, 3, BEST);
    cr_expect_eq(ct_best_epoch(best), BEST);
    cr_expect_eq(model_hash(&r), r.hashes[3]);
    OK(ct_checkpoint_save_best(path, r.bench.model, r.bench.optimizer, *position,
                               with_best ? best : NULL));
    ct_history_free(&history);
    return r;
}

STOPPING_TEST(files_are_read_with_and_without_the_best) {
    ct_best *best = ct_best_new(), *none = ct_best_new();
    ct_position position, found;
    run r = open_third(best, &position, true);
    OK(ct_checkpoint_load(path, r.bench.model, r.bench.optimizer, &found));
    expect_position(found, 3, BEST);
    cr_expect_eq(model_hash(&r), r.hashes[3]);
    OK(ct_checkpoint_load_best(path, r.bench.model, r.bench.optimizer, &found, none));
    cr_expect_eq(ct_best_epoch(none), BEST);
    OK(ct_checkpoint_save(path, r.bench.model, r.bench.optimizer, position));
    OK(ct_checkpoint_load_best(path, r.bench.model, r.bench.optimizer, &found, none));
    cr_expect_eq(ct_best_epoch(none), 0);
    OK(ct_checkpoint_save_best(path, r.bench.model, r.bench.optimizer, position, none));
    OK(ct_checkpoint_load_best(path, r.bench.model, r.bench.optimizer, &found, best));
    cr_expect_eq(ct_best_epoch(best), 0);
    cr_expect_eq(ct_best_epoch(NULL), 0);
    ct_best_free(none);
    ct_best_free(best);
    ct_best_free(NULL);
    close_bench(&r.bench);
}

/* What is of other epochs is forgotten; of the model, not of where it was trained. */
STOPPING_TEST(best_weights_of_another_epoch_are_forgotten) {
    ct_best *best = ct_best_new();
    ct_position position;
    run r = open_third(best, &position, true);
    ct_fit_options options = {.epochs = 3, .best = best};
    ct_history history = train(&r, options); /* the script goes on, at 2.2, 2.1, 2.3 */
    cr_expect(history.position.best_epoch == 2 && ct_best_epoch(best) == 2);
    ct_history_free(&history);
    options.start = (ct_position){.epoch = 2, .best_epoch = 1, .best_val_loss = -200};
    history = train(&r, options);
    cr_expect(history.position.best_epoch == 1 && ct_best_epoch(best) == 0);
    ct_history_free(&history);
    close_bench(&r.bench);
    ct_best_free(best); /* after the model */
}

STOPPING_TEST(best_weights_say_what_does_not_fit) {
    ct_best *best = ct_best_new();
    ct_position position;
    run r = open_third(best, &position, true), other = open_run(2);
    ct_position wrong = position;
    wrong.best_epoch = 3;
    cr_expect_eq(ct_checkpoint_save_best(path, r.bench.model, r.bench.optimizer, wrong, best),
                 CT_ERR_STATE);
    expect_error(CT_ERR_STATE,
                 "ct_checkpoint_save_best: 'best' holds epoch 2, the position says 3");
    cr_expect_eq(
        ct_checkpoint_save_best(path, other.bench.model, other.bench.optimizer, position, best),
        CT_ERR_STATE);
    expect_error(CT_ERR_STATE,
                 "ct_checkpoint_save_best: 'best' holds the weights of another model");
    uint64_t third = model_hash(&r);
    ct_fit_options options = {.epochs = 5, .best = best, .start = position};
    cr_expect_eq(fit(&other.bench, options, NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_fit: best needs validation, which is NULL");
    options.validation = other.bench.test;
    cr_expect_eq(fit(&other.bench, options, NULL), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_fit: 'best' holds the weights of another model");
    options.patience = 1; /* which has run out, so the best ones would come back */
    options.restore_best = true;
    cr_expect_eq(fit(&other.bench, options, NULL), CT_ERR_STATE);
    ct_error_clear();
    cr_expect_eq(model_hash(&r), third);
    cr_expect_eq(ct_best_epoch(best), BEST);
    ct_best_free(best);
    close_bench(&other.bench);
    close_bench(&r.bench);
}

/* Every bit of the file counts, and what is refused leaves `best` alone too. */
STOPPING_TEST(damaged_files_leave_the_best_alone) {
    static unsigned char bytes[1 << 16];
    ct_best *best = ct_best_new(), *loaded = ct_best_new();
    ct_position position;
    run r = open_third(best, &position, true);
    FILE *in = fopen(path, "rb");
    MADE(in);
    size_t length = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    cr_assert(length > 1000 && length < sizeof bytes);
    uint64_t before = state_hash(r.bench.model, r.bench.optimizer);
    for (size_t at = 0; at < length; at += 3) {
        bytes[at] ^= (unsigned char)(1 << at % 8);
        FILE *out = fopen(path, "wb");
        MADE(out);
        cr_assert_eq(fwrite(bytes, 1, length, out), length);
        fclose(out);
        bytes[at] ^= (unsigned char)(1 << at % 8);
        ct_position found = {.epoch = -1};
        ct_status status = ct_checkpoint_load_best(path, r.bench.model, r.bench.optimizer, &found,
                                                   loaded);
        cr_expect(status != CT_OK && found.epoch == -1, "byte %zu", at);
        ct_error_clear();
        cr_expect_eq(ct_best_epoch(loaded), 0);
    }
    cr_expect_eq(state_hash(r.bench.model, r.bench.optimizer), before);
    ct_best_free(best);
    ct_best_free(loaded);
    close_bench(&r.bench);
}

/* Also when training ends by divergence; every slot, also those that are not trained. */
static int64_t steps_left;

static ct_tensor *breaking_value(ct_tensor *prediction, ct_tensor *y) {
    if (ct_dtype_of(y) == CT_F64) return y;
    ct_tensor *loss = ct_cross_entropy(prediction, y);
    return steps_left-- > 0 ? loss : ct_mul(loss, ct_scalar(CT_F32, (double)NAN));
}

STOPPING_TEST(divergence_gives_the_best_weights_back) {
    static const ct_loss breaking_loss = {.value = breaking_value, .from_logits = true};
    ct_module *model = small_cnn(0.3);
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    ct_tensor *x = centred(CT_F32, CT_SHAPE(ITEMS, 6, 6, 2), 1, 1, 0);
    ct_source *train = ct_batches_new(x, some_labels(ITEMS, 3, 2),
                                      (ct_batches_options){.size = SIZE});
    ct_source *test = ct_batches_new(x, ct_full(CT_F64, CT_SHAPE(ITEMS, 1), 2),
                                     (ct_batches_options){.size = 1});
    MADE(train);
    MADE(test);
    steps_left = BATCHES;
    OK(ct_fit(model, adam, &breaking_loss, train, (ct_fit_options){0}, NULL));
    uint64_t first = state_hash(model, NULL);
    steps_left = BATCHES + 2;
    ct_history history;
    ct_fit_options options = {.epochs = 4,
                              .validation = test,
                              .restore_best = true,
                              .start = {.epoch = 1, .best_epoch = 1, .best_val_loss = 1.5}};
    cr_expect_eq(ct_fit(model, adam, &breaking_loss, train, options, &history), CT_ERR_DIVERGED);
    ct_error_clear();
    cr_expect(history.restored && history.n_epochs == 2);
    cr_expect_eq(state_hash(model, NULL), first);
    ct_history_free(&history);
    ct_source_free(train);
    ct_source_free(test);
    ct_optimizer_free(adam);
    ct_module_free(model);
}

/* --- The file --------------------------------------------------------------------------------- */

STOPPING_TEST(the_file_keeps_every_bit) {
    static const double losses[] = {0, -0.0, 0.1, -1.0 / 3, 5e-324, 1.7e308, -(double)INFINITY};
    bench b = open_bench(0.05);
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        ct_position saved = {.epoch = 4, .batch = 1, .best_epoch = 3, .best_val_loss = losses[i]};
        ct_position loaded = {0};
        OK(ct_checkpoint_save(path, b.model, b.optimizer, saved));
        OK(ct_checkpoint_load(path, b.model, b.optimizer, &loaded));
        cr_expect(loaded.epoch == 4 && loaded.batch == 1 && loaded.best_epoch == 3);
        cr_expect_eq(memcmp(&loaded.best_val_loss, &losses[i], sizeof losses[i]), 0);
    }
    /* Files without a best epoch say nothing of it, as those made before there was one. */
    ct_position loaded = {.best_epoch = 9};
    OK(ct_checkpoint_save(path, b.model, b.optimizer, (ct_position){.epoch = 4}));
    ct_safetensors *file = ct_safetensors_load(path);
    MADE(file);
    cr_expect_null(ct_safetensors_metadata(file, "best_epoch"));
    cr_expect_null(ct_safetensors_metadata(file, "best_val_loss"));
    ct_safetensors_free(file);
    OK(ct_checkpoint_load(path, b.model, b.optimizer, &loaded));
    cr_expect(loaded.epoch == 4 && loaded.best_epoch == 0 && loaded.best_val_loss == 0);
    close_bench(&b);
}

static void expect_refusal(bench *b, const char *best_epoch, const char *best_val_loss,
                           const char *rest) {
    ct_named one = {"w", ct_scalar(CT_F32, 1)};
    ct_pair metadata[] = {{"format", "cotan checkpoint"},
                          {"version", "1"},
                          {"epoch", "4"},
                          {"batch", "0"},
                          {"best_epoch", best_epoch},
                          {"best_val_loss", best_val_loss}};
    OK(ct_safetensors_save(path, &one, 1, metadata, best_val_loss ? 6 : 5));
    ct_position position = {.epoch = -1};
    cr_expect_eq(ct_checkpoint_load(path, b->model, b->optimizer, &position), CT_ERR_FORMAT);
    char message[1024];
    snprintf(message, sizeof message, "ct_checkpoint_load: %s: %s", path, rest);
    expect_error(CT_ERR_FORMAT, message);
    cr_expect_eq(position.epoch, -1);
}

STOPPING_TEST(says_what_does_not_fit) {
    bench b = open_bench(0.05);
    static const char bits[] = "best_val_loss must be 16 hexadecimal digits, got ";
    static const char *const bad[] = {"0.5",
                                      "",
                                      "3fe000000000000",
                                      " 3fe000000000000",
                                      "3FE0000000000000",
                                      "3fe00000000000000",
                                      "0x3fe00000000000"};
    expect_refusal(&b, "-1", "3fe0000000000000", "best_epoch must be a whole number, got '-1'");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char rest[128];
        snprintf(rest, sizeof rest, "%s'%s'", bits, bad[i]);
        expect_refusal(&b, "2", bad[i], rest);
    }
    expect_refusal(&b, "2", NULL, "best_val_loss must be 16 hexadecimal digits, got ''");
    cr_expect_eq(ct_checkpoint_save(path, b.model, b.optimizer, (ct_position){.best_epoch = -2}),
                 CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_checkpoint_save: best_epoch must be >= 0, got -2");
    close_bench(&b);
}
