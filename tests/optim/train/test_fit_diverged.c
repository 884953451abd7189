/* Divergence: a loss or val_loss that is not finite ends training, and what is left then; or, when
 * it is allowed, training goes on. */
#include "tests/support/fit_support.h"

#include <stdio.h>
#include <string.h>

/* --- A loss that breaks ----------------------------------------------------------------------- */

/* Steps of training and passes of validation see the same loss; it breaks in its n-th call. */
static struct {
    int64_t calls, at;
    double value;
    bool for_ever;
} breaking;

static ct_tensor *breaking_value(ct_tensor *prediction, ct_tensor *labels) {
    int64_t call = ++breaking.calls;
    ct_tensor *loss = ct_cross_entropy(prediction, labels);
    bool now = breaking.for_ever ? call >= breaking.at : call == breaking.at;
    /* Its gradient breaks too. */
    return now ? ct_mul(loss, ct_scalar(CT_F32, breaking.value)) : loss;
}

static const ct_loss breaking_loss = {
    .value = breaking_value,
    .metric = ct_accuracy,
    .from_logits = true,
};

static ct_status run(bench *b, ct_fit_options options, ct_history *history) {
    breaking.calls = 0;
    return ct_fit(b->model, b->optimizer, &breaking_loss, b->train, options, history);
}

typedef struct {
    int64_t steps, epochs;
} calls;

static bool count_calls(void *context, ct_position position, const ct_step_record *step,
                        const ct_epoch *epoch) {
    calls *c = context;
    (void)position, (void)step;
    if (epoch) c->epochs++;
    else c->steps++;
    return true;
}

#define HINT "; a smaller rate or clip_norm may help, allow_nonfinite goes on"

/* The state of a bench that took so many steps. */
static uint64_t hash_after(int64_t steps) {
    bench b = open_bench(0.05);
    if (steps > 0) OK(fit(&b, (ct_fit_options){.epochs = 9, .max_steps = steps}, NULL));
    uint64_t hash = state_hash(b.model, b.optimizer);
    close_bench(&b);
    return hash;
}

static void expect_end(int64_t at, double value, const char *shown) {
    breaking.at = at;
    breaking.value = value;
    bench b = open_bench(0.05);
    ct_history history;
    calls c = {0};
    cr_expect_eq(run(&b,
                     (ct_fit_options){
                         .epochs = 9, .record_steps = true, .callback = count_calls, .context = &c},
                     &history),
                 CT_ERR_DIVERGED);
    char message[200];
    int64_t epoch = (at - 1) / BATCHES;
    snprintf(message, sizeof message, "ct_fit: loss is %s at step %lld, in epoch %lld" HINT, shown,
             (long long)at, (long long)epoch + 1);
    expect_error(CT_ERR_DIVERGED, message);
    /* Its update did not happen ... */
    cr_expect_eq(state_hash(b.model, b.optimizer), hash_after(at - 1));
    cr_expect_eq(ct_optimizer_steps(b.optimizer), at - 1);
    cr_expect(history.position.epoch == epoch && history.position.batch == (at - 1) % BATCHES);
    cr_expect(c.steps == at - 1 && c.epochs == epoch);
    /* ... but it was measured. */
    cr_assert(history.n_steps == at && history.n_epochs == epoch + 1);
    cr_expect(history.steps[at - 1].step == at && !isfinite(history.steps[at - 1].loss));
    for (int64_t i = 0; i < at - 1; i++) cr_expect(isfinite(history.steps[i].loss));
    cr_expect(!isfinite(history.epochs[epoch].loss) && isnan(history.epochs[epoch].val_loss));
    cr_expect_eq(history.epochs[epoch].steps, (at - 1) % BATCHES + 1);
    cr_expect_not(history.interrupted || history.stopped_early);
    ct_position position = history.position;
    ct_history_free(&history);
    /* Training can go on from there. */
    OK(fit(&b, (ct_fit_options){.epochs = 3, .start = position}, NULL));
    close_bench(&b);
}

TEST(fit_diverged, a_loss_that_is_not_finite_ends_training) {
    expect_end(1, (double)NAN, "nan");
    expect_end(BATCHES, (double)INFINITY, "inf");
    expect_end(BATCHES + 1, -(double)INFINITY, "-inf");
    expect_end(2 * BATCHES + 3, -(double)NAN, "nan");
}

/* What a batch brings comes first; a smaller rate would not help. */
TEST(fit_diverged, what_a_batch_holds_is_named) {
    float x[4 * 3] = {0}, y[4 * 2] = {0};
    static const char *const messages[] = {
        "ct_fit: loss is nan at step 1, in epoch 1: x of its batch is nan in row 2, element 7; "
        "allow_nonfinite goes on",
        "ct_fit: loss is inf at step 1, in epoch 1: y of its batch is infinite in row 3, element "
        "6; allow_nonfinite goes on"};
    for (int k = 0; k < 2; k++) {
        x[7] = k == 0 ? (float)NAN : 0, y[6] = k == 1 ? (float)INFINITY : 0;
        ct_module *model = ct_dense_new(3, 2, (ct_dense_options){0});
        ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.1)});
        ct_source *batches = ct_batches_new(ct_from(CT_F32, CT_SHAPE(4, 3), x),
                                            ct_from(CT_F32, CT_SHAPE(4, 2), y),
                                            (ct_batches_options){.size = 4});
        ct_history history;
        cr_expect_eq(ct_fit(model, sgd, &ct_loss_mse, batches,
                            (ct_fit_options){.epochs = 1, .anomaly = true}, &history),
                     CT_ERR_DIVERGED);
        expect_error(CT_ERR_DIVERGED, messages[k]);
        ct_history_free(&history);
        ct_source_free(batches);
        ct_optimizer_free(sgd);
        ct_module_free(model);
    }
}

/* So do weights that were there before training. */
TEST(fit_diverged, a_parameter_that_was_not_finite_before_is_named) {
    bench b = open_bench(0.05);
    ct_tensor *bias = read_slot(b.model, "dense/bias");
    OK(ct_slot_write(slot_at(b.model, "dense/bias"),
                     ct_mul(bias, ct_full(CT_F32, CT_SCALAR, (double)INFINITY))));
    cr_expect_eq(fit(&b, (ct_fit_options){.epochs = 1}, NULL), CT_ERR_DIVERGED);
    expect_error(CT_ERR_DIVERGED,
                 "ct_fit: loss is nan at step 1, in epoch 1: parameter 'dense/bias' before it is "
                 "nan in row 0, element 0; allow_nonfinite goes on");
    close_bench(&b);
}

static ct_tensor *logarithm_of_scores(ct_tensor *prediction, ct_tensor *labels) {
    int64_t call = ++breaking.calls;
    ct_tensor *loss = ct_cross_entropy(prediction, labels);
    ct_tensor *size = ct_mean_all(ct_square(prediction));
    return call < breaking.at ? loss : ct_add(loss, ct_log(ct_name(ct_neg(size), "minus_size")));
}

/* Refused all the same, and evaluated once more only for the message. */
TEST(fit_diverged, the_message_names_the_node) {
    static const ct_loss loss = {
        .value = logarithm_of_scores, .metric = ct_accuracy, .from_logits = true};
    breaking.calls = 0;
    breaking.at = 3;
    bench b = open_bench(0.05);
    ct_fit_options options = {.epochs = 9, .anomaly = true};
    cr_expect_eq(ct_fit(b.model, b.optimizer, &loss, b.train, options, NULL), CT_ERR_DIVERGED);
    const char *message = ct_error_message();
    static const char begins[] = "ct_fit: loss is nan at step 3, in epoch 1 (first NaN: log "
                                 "(forward): operand minus_size f32 [] in [-";
    cr_expect(strncmp(message, begins, strlen(begins)) == 0, "%s", message);
    cr_expect(strstr(message, "])" HINT), "%s", message);
    ct_error_clear();
    cr_expect_eq(state_hash(b.model, b.optimizer), hash_after(2));
    close_bench(&b);
}

TEST(fit_diverged, too_large_a_rate) {
    ct_source *source = ct_batches_new(task_x(1), task_x(1), (ct_batches_options){.size = SIZE});
    ct_module *linear = ct_dense_new(4, 4, (ct_dense_options){0});
    ct_optimizer *wild = ct_sgd_new(linear, (ct_sgd_options){.rate = ct_rate(1e30)});
    cr_expect_eq(ct_fit(linear, wild, &ct_loss_mse, source, (ct_fit_options){.epochs = 9}, NULL),
                 CT_ERR_DIVERGED);
    ct_error_clear();
    ct_optimizer_free(wild);
    ct_module_free(linear);
    ct_source_free(source);
}

/* Moving statistics and gradients that accumulate stay too. */
TEST(fit_diverged, a_refused_step_moves_no_slot) {
    ct_module *model = small_cnn(0);
    ct_adam_options options = ct_adam_defaults(0.01);
    options.step.accumulate = 2;
    ct_optimizer *adam = ct_adam_new(model, options);
    ct_tensor *x = centred(CT_F32, CT_SHAPE(8, 6, 6, 2), 1, 1, 0);
    ct_source *train = ct_batches_new(x, some_labels(8, 3, 2), (ct_batches_options){.size = 4});
    MADE(train);
    for (int64_t accumulated = 0; accumulated < 2; accumulated++) {
        uint64_t before = state_hash(model, adam);
        breaking.at = 1;
        breaking.value = (double)NAN;
        breaking.calls = 0;
        cr_expect_eq(ct_fit(model, adam, &breaking_loss, train, (ct_fit_options){0}, NULL),
                     CT_ERR_DIVERGED);
        ct_error_clear();
        cr_expect_eq(state_hash(model, adam), before);
        OK(ct_fit(model, adam, &ct_loss_cross_entropy, train, (ct_fit_options){.max_steps = 1},
                  NULL));
        cr_expect_neq(state_hash(model, adam), before);
    }
    ct_source_free(train);
    ct_optimizer_free(adam);
    ct_module_free(model);
}

/* --- Parameters ------------------------------------------------------------------------------- */

static ct_tensor *root_value(ct_tensor *prediction, ct_tensor *target) {
    return ct_sqrt(ct_mse(prediction, target));
}

static const ct_loss root_loss = {.name = "rmse", .value = root_value};

/* Of all zeros: the loss is 0, its gradient is not a number. */
static ct_status fit_exact(ct_fit_options options, ct_history *history) {
    ct_tensor *x = task_x(1), *zeros = ct_full(CT_F32, CT_SHAPE(ITEMS, 2), 0);
    ct_dense_options from_zero = {.kernel = ct_init_zeros};
    ct_module *model = CT_SEQUENTIAL("net", ct_dense_new(4, 2, from_zero));
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.1)});
    ct_source *source = ct_batches_new(x, zeros, (ct_batches_options){.size = ITEMS});
    ct_status status = ct_fit(model, sgd, &root_loss, source, options, history);
    cr_expect_eq(ct_optimizer_steps(sgd), 1);
    ct_source_free(source);
    ct_optimizer_free(sgd);
    ct_module_free(model);
    return status;
}

TEST(fit_diverged, a_parameter_that_is_not_finite_ends_training) {
    const char *message = "ct_fit: parameter 'dense/kernel' is nan at step 1, in epoch 1" HINT;
    ct_history history;
    calls c = {0};
    ct_fit_options options = {.callback = count_calls, .context = &c};
    cr_expect_eq(fit_exact(options, &history), CT_ERR_DIVERGED);
    expect_error(CT_ERR_DIVERGED, message);
    cr_assert_eq(history.n_epochs, 1);
    cr_expect_eq(history.epochs[0].loss, 0);
    cr_expect(history.position.epoch == 1 && history.position.batch == 0);
    cr_expect(c.steps == 1 && c.epochs == 0);
    ct_history_free(&history);
    options.max_steps = 1;
    options.epochs = 9;
    cr_expect_eq(fit_exact(options, NULL), CT_ERR_DIVERGED);
    expect_error(CT_ERR_DIVERGED, message);
    options.allow_nonfinite = true;
    OK(fit_exact(options, NULL));
}

/* What no step changes does not diverge: a bound of -inf, frozen by its group. */
TEST(fit_diverged, a_parameter_that_is_not_trained_may_be_infinite) {
    ct_tensor *x = task_x(1), *zeros = ct_full(CT_F32, CT_SHAPE(ITEMS, 2), 0);
    ct_module *model = CT_SEQUENTIAL("net", ct_dense_new(4, 2, (ct_dense_options){0}));
    OK(ct_module_add_slot(model, "floor", ct_scalar(CT_F32, -INFINITY), true));
    ct_parameter_group frozen = {.pattern = "floor", .frozen = true};
    ct_sgd_options options = {.rate = ct_rate(0.1),
                              .step = {.groups = &frozen, .n_groups = 1, .allow_unused = true}};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    MADE(sgd);
    ct_source *source = ct_batches_new(x, zeros, (ct_batches_options){.size = ITEMS});
    OK(ct_fit(model, sgd, &ct_loss_mse, source, (ct_fit_options){.epochs = 2}, NULL));
    ct_source_free(source);
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* --- Validation ------------------------------------------------------------------------------- */

/* The first batch of the second validation. */
enum { SECOND_VALIDATION = 3 * BATCHES + 1 };

TEST(fit_diverged, a_val_loss_that_is_not_finite_ends_training) {
    bench b = open_bench(0.05);
    breaking.at = SECOND_VALIDATION;
    breaking.value = (double)NAN;
    ct_history history;
    calls c = {0};
    cr_expect_eq(run(&b,
                     (ct_fit_options){
                         .epochs = 9, .validation = b.test, .callback = count_calls, .context = &c},
                     &history),
                 CT_ERR_DIVERGED);
    expect_error(CT_ERR_DIVERGED, "ct_fit: val_loss is nan at step 12, in epoch 2" HINT);
    cr_assert_eq(history.n_epochs, 2);
    cr_expect(isfinite(history.epochs[0].val_loss) && isnan(history.epochs[1].val_loss));
    cr_expect(isfinite(history.epochs[1].loss) && isfinite(history.epochs[1].val_accuracy));
    cr_expect(history.position.epoch == 2 && history.position.batch == 0);
    cr_expect(history.position.best_epoch == 1 && c.epochs == 1);
    cr_expect_eq(state_hash(b.model, b.optimizer), hash_after(2 * BATCHES));
    ct_history_free(&history);
    close_bench(&b);
}

/* --- Going on --------------------------------------------------------------------------------- */

TEST(fit_diverged, goes_on_when_that_is_allowed) {
    bench b = open_bench(0.05);
    breaking.at = 2;
    breaking.value = (double)NAN;
    ct_history history;
    OK(run(&b, (ct_fit_options){.epochs = 3, .validation = b.test, .allow_nonfinite = true},
           &history));
    cr_expect(history.n_epochs == 3 && ct_optimizer_steps(b.optimizer) == 3 * BATCHES);
    cr_expect(isnan(history.epochs[0].loss) && isnan(history.epochs[2].val_loss));
    cr_expect(history.position.best_epoch == 0 && history.position.epoch == 3);
    ct_history_free(&history);
    close_bench(&b);
}

static int64_t epochs_of(int64_t breaks_at, int64_t patience) {
    bench b = open_bench(0.05);
    breaking.at = breaks_at;
    breaking.value = (double)NAN;
    ct_history history;
    OK(run(&b,
           (ct_fit_options){
               .epochs = 20, .validation = b.test, .patience = patience, .allow_nonfinite = true},
           &history));
    cr_expect_eq(history.stopped_early, history.n_epochs < 20);
    int64_t epochs = history.n_epochs;
    ct_history_free(&history);
    close_bench(&b);
    return epochs;
}

TEST(fit_diverged, nan_is_no_better_val_loss) {
    cr_expect_eq(epochs_of(1, 2), 2);
    cr_expect_eq(epochs_of(1, 0), 20);
    breaking.for_ever = true;
    cr_expect_eq(epochs_of(SECOND_VALIDATION, 2), 3);
    cr_expect_eq(epochs_of(SECOND_VALIDATION, 1), 2);
    breaking.for_ever = false;
}

/* --- The log ---------------------------------------------------------------------------------- */

static char *log_of(int64_t breaks_at, bool allow) {
    bench b = open_bench(0.05);
    breaking.at = breaks_at;
    breaking.value = -(double)NAN;
    char *text = NULL;
    size_t length = 0;
    FILE *log = open_memstream(&text, &length);
    ct_status status = run(
        &b,
        (ct_fit_options){.epochs = 2, .validation = b.test, .log = log, .allow_nonfinite = allow},
        NULL);
    cr_expect_eq(status, allow ? CT_OK : CT_ERR_DIVERGED);
    ct_error_clear();
    fclose(log);
    close_bench(&b);
    return text;
}

static void expect_in(char *text, const char *part, bool is_there) {
    cr_expect((strstr(text, part) != NULL) == is_there, "'%s' in: %s", part, text);
}

TEST(fit_diverged, the_log_shows_it) {
    char *text = log_of(3, false);
    expect_in(text, "epoch 1/2: 3 steps, ", true);
    expect_in(text, ", loss nan, accuracy 0.", true);
    expect_in(text, "val_loss", false);
    expect_in(text, "\ndiverged\n", true);
    free(text);
    text = log_of(SECOND_VALIDATION, false);
    expect_in(text, "loss nan", true);
    expect_in(text, ", val_loss nan, val_accuracy 0.", true);
    expect_in(text, "\ndiverged\n", true);
    free(text);
    text = log_of(1, true);
    expect_in(text, ", loss nan, accuracy 0.", true);
    expect_in(text, ", val_loss nan, val_accuracy 0.", true);
    expect_in(text, "diverged", false);
    free(text);
}
