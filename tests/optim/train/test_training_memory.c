/* Out of memory at every allocation of a training step of a small CNN, alone and with all later
 * ones: a clean error, no leak, every slot bit-equal to before, and the step that follows bit-equal
 * to one that was never disturbed. The same for saving and loading a checkpoint. */
#include "tests/support/nn_support.h"

#include "datasets/datasets.h"
#include "optim/train/train.h"

#include <stdio.h>
#include <unistd.h>

typedef struct {
    ct_module *model;
    ct_optimizer *optimizer;
    ct_tensor *x, *labels;
    uint64_t before, after; /* hashes of all slots */
    ct_slot_list lists[2];  /* of the model, of the optimizer */
    ct_tensor **values;     /* of the slots before the step */
} training;

static ct_status train(void *state) {
    training *t = state;
    int64_t scope = ct_scope_open();
    ct_tensor *logits = ct_logits(t->model, t->x, CT_TRAINING);
    ct_tensor *loss = ct_cross_entropy(logits, t->labels);
    ct_tensor *accuracy = ct_accuracy(logits, t->labels);
    ct_status status = ct_optimizer_step(t->optimizer, loss, &accuracy, 1);
    ct_scope_close(scope);
    return status;
}

static int64_t slots_in(const training *t) { return t->lists[0].count + t->lists[1].count; }

static ct_slot *slot_number(const training *t, int64_t i) {
    int64_t first = t->lists[0].count;
    return i < first ? t->lists[0].items[i].slot : t->lists[1].items[i - first].slot;
}

static void restore(training *t) {
    int64_t scope = ct_scope_open();
    for (int64_t i = 0; i < slots_in(t); i++) OK(ct_slot_write(slot_number(t, i), t->values[i]));
    ct_scope_close(scope);
    cr_assert_eq(state_hash(t->model, t->optimizer), t->before);
}

/* What the action makes of the state now, and back to it. */
static void begin(training *t, ct_status (*action)(void *)) {
    for (int64_t i = 0; i < slots_in(t); i++) {
        ct_set(&t->values[i], ct_slot_read(slot_number(t, i)));
    }
    t->before = state_hash(t->model, t->optimizer);
    OK(action(t));
    t->after = state_hash(t->model, t->optimizer);
    cr_assert_neq(t->before, t->after);
    restore(t);
    ct_scope_close(0);
}

static void open_with(training *t, ct_step_options step) {
    ct_adam_options options = ct_adam_defaults(0.01);
    options.rate = ct_rate_cosine(0.01, 0.1, 100);
    options.step = step;
    options.step.clip_norm = 1;
    t->model = CT_SEQUENTIAL("model", small_cnn(0), ct_dense_new(3, 3, (ct_dense_options){0}));
    MADE(t->model);
    t->optimizer = ct_adam_new(t->model, options);
    MADE(t->optimizer);
    t->x = ct_keep(ct_detach(centred(CT_F32, CT_SHAPE(4, 6, 6, 2), 1, 1, 0)));
    t->labels = ct_keep(some_labels(4, 3, 2));
    OK(ct_module_list(t->model, &t->lists[0]));
    OK(ct_optimizer_list(t->optimizer, &t->lists[1]));
    t->values = calloc((size_t)slots_in(t), sizeof *t->values);
}

static void open_training(training *t) {
    open_with(t, (ct_step_options){0});
    begin(t, train);
}

static void close_training(training *t) {
    for (int64_t i = 0; i < slots_in(t); i++) ct_drop(t->values[i]);
    free(t->values);
    for (int i = 0; i < 2; i++) ct_slot_list_free(&t->lists[i]);
    ct_drop(t->x);
    ct_drop(t->labels);
    ct_optimizer_free(t->optimizer);
    ct_module_free(t->model);
}

/* Interned names stay for the life of the process, so they are there before the first count. */
static int64_t live(void) {
    ct_scope_close(0);
    ct_cache_clear();
    return ct_mem_read().live_bytes;
}

/* Returns the number of failing allocations of one kind. A success, where the failing one could be
 * done without, must be a whole success. */
static int64_t sweep(training *t, ct_status (*action)(void *), bool persistent) {
    int64_t bytes = live(), failed = 0;
    for (int64_t nth = 1, idle = 0; idle < 2; nth++) {
        int64_t before = ct_mem_read().allocations;
        ct_mem_fail_at(nth, persistent);
        ct_status status = action(t);
        ct_mem_fail_at(0, false);
        idle = ct_mem_read().allocations - before < nth ? idle + 1 : 0;
        uint64_t hash = state_hash(t->model, t->optimizer);
        if (status == CT_OK) {
            cr_expect_eq(hash, t->after, "allocation %lld", (long long)nth);
            restore(t);
        } else {
            failed++;
            cr_expect_eq(status, CT_ERR_MEMORY, "allocation %lld", (long long)nth);
            cr_expect_eq(ct_error(), CT_ERR_MEMORY, "%s", ct_error_message());
            cr_expect_neq(*ct_error_message(), '\0');
            cr_expect_eq(hash, t->before, "allocation %lld changed a slot", (long long)nth);
        }
        ct_error_clear();
        cr_assert_eq(live(), bytes, "allocation %lld leaks", (long long)nth);
    }
    OK(action(t));
    cr_expect_eq(state_hash(t->model, t->optimizer), t->after);
    restore(t);
    return failed;
}

static int64_t sweep_both(training *t, ct_status (*action)(void *)) {
    live();
    int64_t once = sweep(t, action, false), lasting = sweep(t, action, true);
    cr_expect_eq(once, lasting, "%lld, %lld", (long long)once, (long long)lasting);
    return once;
}

TEST(training_memory, a_step_happens_wholly_or_not_at_all) {
    training t;
    open_training(&t);
    int64_t failed = sweep_both(&t, train);
    printf("training step: %lld allocations, each made to fail\n", (long long)failed);
    cr_expect_gt(failed, 300);
    close_training(&t);
}

/* --- Parts of a step -------------------------------------------------------------------------- */

static const ct_step_options everything = {.accumulate = 2,
                                           .allow_unused = true,
                                           .skip_nonfinite = true,
                                           .average = 0.9,
                                           .plateau = {.factor = 0.5},
                                           .groups = &ct_group_no_decay,
                                           .n_groups = 1};

/* A message begins with the function that was called. */
static ct_status named(ct_status status, const char *function) {
    if (status != CT_OK) {
        size_t length = strlen(function);
        cr_expect(strncmp(ct_error_message(), function, length) == 0 &&
                      ct_error_message()[length] == ':',
                  "%s said '%s'", function, ct_error_message());
    }
    return status;
}

static ct_status train_in_halves(void *state) {
    training *t = state;
    ct_tensor *g[16];
    ct_slot_list list;
    int64_t scope = ct_scope_open();
    ct_tensor *loss = ct_cross_entropy(ct_logits(t->model, t->x, CT_TRAINING), t->labels);
    ct_status status = loss ? ct_optimizer_parameters(t->optimizer, &list) : ct_error();
    int64_t n = status == CT_OK ? list.count : 0;
    if (status == CT_OK) {
        status = named(ct_optimizer_gradients(t->optimizer, loss, g, n), "ct_optimizer_gradients");
    }
    for (int64_t i = 0; i < n && status == CT_OK; i++) g[i] = ct_scale(g[i], 0.5);
    if (status == CT_OK) status = ct_optimizer_apply(t->optimizer, loss, g, n, NULL, 0);
    if (n > 0) ct_slot_list_free(&list);
    ct_scope_close(scope);
    return status;
}

static ct_status flush(void *state) {
    return named(ct_optimizer_flush(((training *)state)->optimizer), "ct_optimizer_flush");
}

static ct_status measure(void *state) {
    return named(ct_optimizer_measured(((training *)state)->optimizer, 1), "ct_optimizer_measured");
}

/* And back, with enough memory. */
static ct_status swap(void *state) {
    training *t = state;
    ct_status status = named(ct_optimizer_swap_averages(t->optimizer),
                             "ct_optimizer_swap_averages");
    if (status != CT_OK) return status;
    ct_mem_fail_at(0, false);
    OK(ct_optimizer_swap_averages(t->optimizer));
    return CT_OK;
}

static ct_status make(void *state) {
    training *t = state;
    ct_adam_options options = ct_adam_defaults(0.01);
    options.step = everything;
    ct_optimizer *optimizer = ct_adam_new(t->model, options);
    ct_optimizer_free(optimizer);
    return optimizer ? CT_OK : named(ct_error(), "ct_adam_new");
}

TEST(training_memory, parts_of_a_step_happen_wholly_or_not_at_all) {
    training t;
    open_with(&t, everything);
    begin(&t, train_in_halves);
    cr_expect_gt(sweep_both(&t, train_in_halves), 300);
    OK(train(&t));
    begin(&t, train_in_halves);
    cr_expect_gt(sweep_both(&t, train_in_halves), 300);
    begin(&t, flush);
    cr_expect_gt(sweep_both(&t, flush), 200);
    begin(&t, measure);
    cr_expect_gt(sweep_both(&t, measure), 3);
    t.after = t.before;
    cr_expect_gt(sweep_both(&t, swap), 5);
    cr_expect_gt(sweep_both(&t, make), 50);
    close_training(&t);
}

static ct_status hold(void *state) {
    training *t = state;
    cti_best best = {0};
    ct_status first = cti_best_make(&best, t->model, 1, NULL), second = first;
    /* What is held stays when the next cannot be. */
    if (first == CT_OK) second = cti_best_make(&best, t->model, 2, NULL);
    if (first == CT_OK) cr_expect_eq(best.epoch, second == CT_OK ? 2 : 1);
    cti_best_restore(&best);
    cti_best_free(&best);
    return second;
}

TEST(training_memory, the_best_weights_are_held_wholly_or_not_at_all) {
    training t;
    open_training(&t);
    t.after = t.before;
    cr_expect_gt(sweep_both(&t, hold), 20);
    close_training(&t);
}

static char path[256];

static ct_status save(void *state) {
    training *t = state;
    return ct_checkpoint_save(path, t->model, t->optimizer, (ct_position){.epoch = 1, .batch = 2});
}

static ct_status load(void *state) {
    training *t = state;
    ct_position position = {.epoch = -1};
    ct_status status = ct_checkpoint_load(path, t->model, t->optimizer, &position);
    cr_expect_eq(position.epoch, status == CT_OK ? 1 : -1);
    return status;
}

TEST(training_memory, checkpoints_are_loaded_wholly_or_not_at_all) {
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/cotan-memory-%ld.safetensors", base ? base : "/tmp",
             (long)getpid());
    training t;
    open_training(&t);
    OK(train(&t));
    OK(save(&t));
    restore(&t);
    cr_expect_gt(sweep_both(&t, load), 100);
    /* Saving changes no slot, whatever happens. */
    t.after = t.before;
    cr_expect_gt(sweep_both(&t, save), 50);
    unlink(path);
    close_training(&t);
}

static ct_best *the_best; /* holds nothing when nothing runs */
static const ct_position with_best = {.epoch = 1, .best_epoch = 1, .best_val_loss = 0.5};

static ct_status save_best(void *state) {
    training *t = state;
    ct_status status = cti_best_make(the_best, t->model, 1, NULL);
    if (status == CT_OK) {
        status = ct_checkpoint_save_best(path, t->model, t->optimizer, with_best, the_best);
    }
    cti_best_free(the_best);
    return status;
}

static ct_status load_best(void *state) {
    training *t = state;
    ct_position position = {.epoch = -1};
    ct_status status = ct_checkpoint_load_best(path, t->model, t->optimizer, &position, the_best);
    cr_expect_eq(position.epoch, status == CT_OK ? 1 : -1);
    cr_expect_eq(ct_best_epoch(the_best), status == CT_OK ? 1 : 0);
    cti_best_free(the_best);
    return status;
}

TEST(training_memory, checkpoints_with_the_best_weights_too) {
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/cotan-memory-%ld.safetensors", base ? base : "/tmp",
             (long)getpid());
    training t;
    open_training(&t);
    the_best = ct_best_new();
    MADE(the_best);
    OK(train(&t));
    OK(save_best(&t));
    restore(&t);
    cr_expect_gt(sweep_both(&t, load_best), 100);
    t.after = t.before;
    cr_expect_gt(sweep_both(&t, save_best), 50);
    ct_best_free(the_best);
    unlink(path);
    close_training(&t);
}

/* --- A step of ct_fit with metrics ------------------------------------------------------------ */

static ct_source *the_data;

static ct_status fit_with_metrics(void *state) {
    training *t = state;
    ct_metric metrics[] = {ct_metric_macro_f1, ct_metric_perplexity};
    ct_fit_options options = {.metrics = metrics, .n_metrics = 2, .no_signals = true};
    return ct_fit(t->model, t->optimizer, &ct_loss_cross_entropy, the_data, options, NULL);
}

/* One step, so that it is all or nothing; only a value of a metric may fail after it. */
TEST(training_memory, metrics_are_measured_wholly_or_not_at_all) {
    training t;
    open_training(&t);
    the_data = ct_batches_new(t.x, t.labels, (ct_batches_options){.size = 4});
    MADE(the_data);
    int64_t bytes = live();
    for (int64_t nth = 1, idle = 0; idle < 2; nth++) {
        int64_t before = ct_mem_read().allocations;
        ct_mem_fail_at(nth, true);
        ct_status status = fit_with_metrics(&t);
        ct_mem_fail_at(0, false);
        idle = ct_mem_read().allocations - before < nth ? idle + 1 : 0;
        cr_expect_eq(ct_error(), status, "allocation %lld", (long long)nth);
        cr_expect(status == CT_OK || status == CT_ERR_MEMORY);
        uint64_t hash = state_hash(t.model, t.optimizer);
        cr_expect(hash == t.before || hash == t.after, "allocation %lld", (long long)nth);
        if (hash == t.after) restore(&t);
        ct_error_clear();
        cr_assert_eq(live(), bytes, "allocation %lld leaks", (long long)nth);
    }
    ct_source_free(the_data);
    close_training(&t);
}
