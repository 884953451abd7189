/* ct_fit against a loop written out, its history, its log, and its refusals. Why it stops is in
 * test_fit_stop.c and test_fit_diverged.c, resuming in test_checkpoint.c, how a bar is drawn in
 * test_progress.c. */
#include "tests/support/fit_support.h"

#include "tensor/group.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* --- The same as a loop ----------------------------------------------------------------------- */

typedef struct {
    double loss, accuracy;
} means;

static means one_epoch(bench *b, int64_t epoch) {
    means sums = {0, 0};
    OK(ct_source_seek(b->train, epoch, 0));
    for (;;) {
        int64_t scope = ct_scope_open();
        ct_batch batch;
        OK(ct_source_next(b->train, &batch));
        if (!batch.x) {
            ct_scope_close(scope);
            return (means){sums.loss / ITEMS, sums.accuracy / ITEMS};
        }
        ct_tensor *logits = ct_logits(b->model, batch.x, CT_TRAINING);
        ct_tensor *loss = ct_cross_entropy(logits, batch.y);
        ct_tensor *accuracy = ct_accuracy(logits, batch.y);
        OK(ct_optimizer_step(b->optimizer, loss, &accuracy, 1));
        sums.loss += ct_item(loss) * (double)ct_dim(batch.x, 0);
        sums.accuracy += ct_item(accuracy) * (double)ct_dim(batch.x, 0);
        ct_scope_close(scope);
    }
}

TEST(fit, is_the_loop_that_one_would_write) {
    bench a = open_bench(0.05), b = open_bench(0.05);
    ct_history history;
    OK(fit(&a, (ct_fit_options){.epochs = 4, .validation = a.test, .record_steps = true},
           &history));
    cr_assert_eq(history.n_epochs, 4);
    for (int64_t e = 0; e < 4; e++) {
        means wanted = one_epoch(&b, e);
        const ct_epoch *got = &history.epochs[e];
        EXPECT_NEAR(got->loss, wanted.loss, 1e-12);
        EXPECT_NEAR(got->accuracy, wanted.accuracy, 1e-12);
        double val_loss, val_accuracy;
        OK(ct_evaluate(b.model, &ct_loss_cross_entropy, b.test, &val_loss, &val_accuracy));
        cr_expect(got->val_loss == val_loss && got->val_accuracy == val_accuracy);
        cr_expect(got->steps == BATCHES && got->items == ITEMS && got->seconds >= 0);
    }
    cr_expect_eq(state_hash(a.model, a.optimizer), state_hash(b.model, b.optimizer));
    cr_expect_lt(history.epochs[3].loss, history.epochs[0].loss);
    cr_assert_eq(history.n_steps, 4 * BATCHES);
    for (int64_t i = 0; i < history.n_steps; i++) cr_expect_eq(history.steps[i].step, i + 1);
    cr_expect(history.position.epoch == 4 && history.position.batch == 0);
    cr_expect_not(history.interrupted || history.stopped_early);
    ct_history_free(&history);
    close_bench(&a);
    close_bench(&b);
}

TEST(fit, learns) {
    bench b = open_bench(0.05);
    ct_history history;
    OK(fit(&b, (ct_fit_options){.epochs = 60}, &history));
    cr_expect_eq(history.epochs[59].accuracy, 1);
    cr_expect(isnan(history.epochs[59].val_loss) && isnan(history.epochs[59].val_accuracy));
    cr_expect_eq(history.n_steps, 0);
    cr_expect_null(history.steps);
    ct_history_free(&history);
    ct_history_free(&history);
    ct_history_free(NULL);
    close_bench(&b);
}

TEST(fit, one_epoch_without_a_history_by_default) {
    bench b = open_bench(0.05);
    OK(fit(&b, (ct_fit_options){0}, NULL));
    cr_expect_eq(ct_optimizer_steps(b.optimizer), BATCHES);
    close_bench(&b);
}

/* --- One evaluation per step, equal memory per epoch ------------------------------------------ */

typedef struct {
    int64_t live[6], epochs;
} memory_record;

static bool record_memory(void *context, ct_position position, const ct_step_record *step,
                          const ct_epoch *epoch) {
    (void)position, (void)step;
    memory_record *r = context;
    if (epoch) r->live[r->epochs++] = ct_mem_read().live_bytes;
    return true;
}

TEST(fit, live_bytes_are_equal_at_every_epoch_end) {
    bench b = open_bench(0.05);
    memory_record record = {0};
    ct_history history;
    OK(fit(&b,
           (ct_fit_options){
               .epochs = 6, .validation = b.test, .callback = record_memory, .context = &record},
           &history));
    cr_assert_eq(record.epochs, 6);
    for (int e = 1; e < 6; e++) cr_expect_eq(record.live[e], record.live[0]);
    ct_history_free(&history);
    close_bench(&b);
}

TEST(fit, a_step_is_one_evaluation) {
    bench b = open_bench(0.05);
    OK(fit(&b, (ct_fit_options){0}, NULL));
    ct_stats_reset();
    OK(fit(&b, (ct_fit_options){.epochs = 5}, NULL));
    /* At the end of an epoch comes one over the parameters. */
    cr_expect_eq(ct_stats_read().evaluations, 5 * (BATCHES + 1));
    cr_expect_eq(ct_stats_read().plan_misses, 0);
    close_bench(&b);
}

/* --- Losses and metrics ----------------------------------------------------------------------- */

static ct_tensor *always_a_quarter(ct_tensor *scores, ct_tensor *labels) {
    (void)scores, (void)labels;
    return ct_scalar(CT_F32, 0.25);
}

TEST(fit, metrics) {
    bench b = open_bench(0.05);
    ct_history history;
    OK(fit(&b, (ct_fit_options){.metric = always_a_quarter, .validation = b.test}, &history));
    EXPECT_NEAR(history.epochs[0].accuracy, 0.25, 1e-12);
    EXPECT_NEAR(history.epochs[0].val_accuracy, 0.25, 1e-12);
    ct_history_free(&history);
    close_bench(&b);
}

TEST(fit, a_loss_without_a_metric_reports_none) {
    bench b = open_bench(0.05);
    ct_tensor *x = task_x(1);
    ct_source *source = ct_batches_new(x, ct_full(CT_F32, CT_SHAPE(ITEMS, 3), 0.2),
                                       (ct_batches_options){.size = SIZE});
    ct_history history;
    OK(ct_fit(b.model, b.optimizer, &ct_loss_mse, source, (ct_fit_options){.validation = source},
              &history));
    cr_expect(isfinite(history.epochs[0].loss) && isfinite(history.epochs[0].val_loss));
    cr_expect(isnan(history.epochs[0].accuracy) && isnan(history.epochs[0].val_accuracy));
    ct_history_free(&history);
    ct_source_free(source);
    close_bench(&b);
}

/* --- The log ---------------------------------------------------------------------------------- */

/* Digits as '0', runs of them as one: "epoch 0/0: 0 steps, 0.0 s". */
static void blur(char *text) {
    char *out = text;
    for (char *in = text; *in; in++) {
        bool digit = *in >= '0' && *in <= '9';
        if (digit && out > text && out[-1] == '0') continue;
        *out++ = digit ? '0' : *in;
    }
    *out = '\0';
}

static char *log_of(ct_source *validation, bench *b) {
    char *text = NULL;
    size_t length = 0;
    FILE *log = open_memstream(&text, &length);
    OK(fit(b, (ct_fit_options){.epochs = 2, .validation = validation, .log = log}, NULL));
    fclose(log);
    return text;
}

TEST(fit, logs_a_line_per_epoch) {
    bench b = open_bench(0.05);
    char *text = log_of(NULL, &b);
    cr_expect_eq(strncmp(text, "epoch 1/2: 6 steps, ", 20), 0, "%s", text);
    blur(text);
    cr_expect_str_eq(text, "epoch 0/0: 0 steps, 0.0 s, 0.0 ms/step, loss 0.0, accuracy 0.0\n"
                           "epoch 0/0: 0 steps, 0.0 s, 0.0 ms/step, loss 0.0, accuracy 0.0\n");
    free(text);
    text = log_of(b.test, &b);
    blur(text);
    const char *line = "epoch 0/0: 0 steps, 0.0 s, 0.0 ms/step, loss 0.0, accuracy 0.0, "
                       "val_loss 0.0, val_accuracy 0.0\n";
    cr_expect_eq(strncmp(text, line, strlen(line)), 0, "%s", text);
    cr_expect_str_eq(text + strlen(line), line);
    free(text);
    close_bench(&b);
}

/* Data with a name, such as a data set's, and data without one. */
TEST(fit, logs_which_data_it_trains_on) {
    bench b = open_bench(0.05);
    ct_dataset *digits = ct_dataset_digits(20, 10, 0);
    MADE(digits);
    ct_module *model = CT_SEQUENTIAL("m", ct_flatten_new(),
                                     ct_dense_new(784, 10, (ct_dense_options){0}));
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    ct_batches_options options = {.size = 8, .limit = 15, .divide_by = 255};
    ct_source *train = ct_batches_new(digits->train_images, digits->train_labels, options);
    options.limit = 0;
    ct_source *test = ct_batches_new(digits->test_images, digits->test_labels, options);
    char *text = NULL;
    size_t length = 0;
    FILE *log = open_memstream(&text, &length);
    OK(ct_fit(model, adam, &ct_loss_cross_entropy, train,
              (ct_fit_options){.validation = test, .log = log}, NULL));
    fclose(log);
    const char *wanted = "train: 15 items of built-in digits\n"
                         "validation: 10 items of built-in digits\nepoch 1/1: 2 steps, ";
    cr_expect_eq(strncmp(text, wanted, strlen(wanted)), 0, "%s", text);
    free(text);
    cr_expect_null(ct_source_describe(b.train));
    cr_expect_null(ct_source_describe(NULL));
    cr_expect_null(ct_source_describe(&(faulty_source){{&faulty_kind}, .good = 1}.base));
    ct_source_free(train);
    ct_source_free(test);
    ct_optimizer_free(adam);
    ct_module_free(model);
    ct_dataset_free(digits);
    close_bench(&b);
}

TEST(fit, draws_a_bar_on_a_terminal_and_replaces_it) {
    bench b = open_bench(0.05);
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert_geq(master, 0);
    cr_assert(grantpt(master) == 0 && unlockpt(master) == 0);
    struct winsize size = {.ws_row = 24, .ws_col = 120};
    cr_assert_eq(ioctl(master, TIOCSWINSZ, &size), 0);
    FILE *terminal = fopen(ptsname(master), "w");
    MADE(terminal);
    OK(fit(&b, (ct_fit_options){.epochs = 1, .log = terminal}, NULL));
    char text[4096];
    /* A terminal hands out what has arrived so far, so one read may not be all. */
    size_t length = 0;
    for (text[0] = '\0'; !strstr(text, "\r\n"); text[length] = '\0') {
        ssize_t part = read(master, text + length, sizeof text - 1 - length);
        cr_assert_gt(part, 0);
        length += (size_t)part;
    }
    cr_expect_eq(strncmp(text, "\repoch 1/1 [=====.........................] 1/6, ", 48), 0, "%s",
                 text);
    cr_expect_not_null(strstr(text, "\repoch 1/1: 6 steps, "), "%s", text);
    cr_expect_eq(strcmp(text + length - 2, "\r\n"), 0);
    fclose(terminal);
    close(master);
    close_bench(&b);
}

/* --- Errors ----------------------------------------------------------------------------------- */

TEST(fit, an_error_keeps_what_was_learned) {
    bench b = open_bench(0.05);
    faulty_source source = {{&faulty_kind}, .good = 3};
    ct_history history;
    cr_expect_eq(ct_fit(b.model, b.optimizer, &ct_loss_cross_entropy, &source.base,
                        (ct_fit_options){.epochs = 2, .validation = b.test}, &history),
                 CT_ERR_IO);
    expect_error(CT_ERR_IO, "faulty: the disk is gone");
    cr_expect_eq(ct_optimizer_steps(b.optimizer), 3);
    cr_assert_eq(history.n_epochs, 1);
    cr_expect(history.epochs[0].steps == 3 && isfinite(history.epochs[0].loss));
    cr_expect(isnan(history.epochs[0].val_loss));
    cr_expect(history.position.epoch == 0 && history.position.batch == 3);
    ct_history_free(&history);
    source = (faulty_source){{&faulty_kind}, .ends = true};
    cr_expect_eq(ct_fit(b.model, b.optimizer, &ct_loss_cross_entropy, &source.base,
                        (ct_fit_options){0}, &history),
                 CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_fit: the source gave no batches");
    ct_history_free(&history);
    cr_expect_eq(fit(&b, (ct_fit_options){.validation = &source.base}, NULL), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_fit: the validation gave no batches");
    close_bench(&b);
}

static void expect_refusal(bench *b, ct_fit_options options, ct_status status,
                           const char *message) {
    uint64_t before = state_hash(b->model, b->optimizer);
    ct_history history;
    cr_expect_eq(fit(b, options, &history), status);
    expect_error(status, message);
    cr_expect_eq(history.n_epochs, 0);
    ct_history_free(&history);
    cr_expect_eq(state_hash(b->model, b->optimizer), before);
}

TEST(fit, says_what_does_not_fit) {
    bench b = open_bench(0.05), none = b;
    expect_refusal(&b, (ct_fit_options){.epochs = -1}, CT_ERR_RANGE,
                   "ct_fit: epochs must be >= 0, got -1");
    expect_refusal(&b, (ct_fit_options){.start = {.batch = -2}}, CT_ERR_RANGE,
                   "ct_fit: start.batch must be >= 0, got -2");
    expect_refusal(&b, (ct_fit_options){.patience = 1}, CT_ERR_NULL,
                   "ct_fit: patience needs validation, which is NULL");
    expect_refusal(&b, (ct_fit_options){.min_delta = 1}, CT_ERR_NULL,
                   "ct_fit: min_delta needs validation, which is NULL");
    expect_refusal(&b, (ct_fit_options){.min_delta = -0.5}, CT_ERR_RANGE,
                   "ct_fit: min_delta must be in [0,inf), got -0.5");
    expect_refusal(&b, (ct_fit_options){.restore_best = true}, CT_ERR_NULL,
                   "ct_fit: restore_best needs validation, which is NULL");
    expect_refusal(&b, (ct_fit_options){.start = {.best_epoch = -3}}, CT_ERR_RANGE,
                   "ct_fit: start.best_epoch must be >= 0, got -3");
    expect_refusal(&b, (ct_fit_options){.start = {.batch = BATCHES + 1}}, CT_ERR_RANGE,
                   "ct_source_seek: batch must be 0..6, got 7");
    ct_fit_options far = {.epochs = INT64_MAX, .start = {.epoch = INT64_MAX / 2}};
    expect_refusal(&b, far, CT_ERR_RANGE,
                   "ct_fit: the steps from start.epoch 4611686018427387903, start.batch 0 have "
                   "numbers above 2^63-1, with 6 batches in an epoch");
    far.start = (ct_position){.epoch = 1, .batch = INT64_MAX};
    expect_refusal(&b, far, CT_ERR_RANGE,
                   "ct_fit: the steps from start.epoch 1, start.batch 9223372036854775807 have "
                   "numbers above 2^63-1, with 6 batches in an epoch");
    none.train = NULL;
    cr_expect_eq(fit(&none, (ct_fit_options){0}, NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_fit: 'train' is NULL");
    none.model = NULL;
    cr_expect_eq(fit(&none, (ct_fit_options){0}, NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_fit: 'model' is NULL");
    close_bench(&b);
}

/* --- Groups of ranks -------------------------------------------------------------------------- */

static bool leave(void *group, ct_position position, const ct_step_record *last,
                  const ct_epoch *epoch) {
    (void)position, (void)epoch;
    if (last->step == 2) ct_group_free(group);
    return true;
}

/* Else one rank of several would train on for himself. */
TEST(fit, who_leaves_the_group_in_a_callback_trains_no_further) {
    bench b = open_bench(0.05);
    ct_history history;
    ct_group *group = ct_group_alone();
    OK(ct_group_use(group, (ct_group_options){0}));
    ct_fit_options options = {.epochs = 2, .callback = leave, .context = group};
    cr_expect_eq(fit(&b, options, &history), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_fit: a callback has freed the current group");
    cr_expect(history.n_epochs == 1 && history.epochs[0].steps == 2);
    ct_history_free(&history);
    close_bench(&b);
}
