/* Lists of metrics in ct_fit and ct_evaluate_with: values, sums, the log, errors.
 * What a metric is of given numbers is test_metrics.c's.
 * Invariant: with metrics, everything else has the bits that it has without. */
#include "tests/support/fit_support.h"

#include <stdio.h>
#include <string.h>

/* The confusion matrix of the model as it is. */
static void confusion_of(ct_module *model, uint32_t salt, double out[9]) {
    ct_tensor *x = task_x(salt), *labels = task_labels(x);
    ct_tensor *said = ct_argmax(ct_predict(model, x, 0), 1);
    memset(out, 0, 9 * sizeof *out);
    for (int64_t i = 0; i < ITEMS; i++) {
        out[3 * (int64_t)element(labels, i) + (int64_t)element(said, i)]++;
    }
}

TEST(fit_metrics, are_of_all_batches_and_change_nothing) {
    bench plain = open_bench(0.05), b = open_bench(0.05);
    double counts[9], wanted[9];
    ct_metric metrics[] = {ct_metric_confusion, ct_metric_macro_f1, ct_metric_accuracy,
                           ct_metric_top_k(2)};
    metrics[0].counts = counts;
    metrics[0].n_counts = 9;
    ct_history history, without;
    ct_fit_options options = {.epochs = 3, .validation = plain.test};
    OK(fit(&plain, options, &without));
    options = (ct_fit_options){
        .epochs = 3, .validation = b.test, .metrics = metrics, .n_metrics = 4};
    OK(fit(&b, options, &history));
    cr_expect_eq(state_hash(b.model, b.optimizer), state_hash(plain.model, plain.optimizer));
    for (int i = 0; i < 3; i++) {
        const ct_epoch *e = &history.epochs[i], *p = &without.epochs[i];
        cr_expect(e->loss == p->loss && e->accuracy == p->accuracy);
        cr_expect(e->val_loss == p->val_loss && e->val_accuracy == p->val_accuracy);
        EXPECT_NEAR(e->metrics[2], e->accuracy, 1e-7);
        EXPECT_NEAR(e->val_metrics[2], e->val_accuracy, 1e-7);
        cr_expect(e->metrics[0] == e->metrics[2] && e->val_metrics[0] == e->val_metrics[2]);
        cr_expect(e->metrics[3] >= e->metrics[2] && e->metrics[3] <= 1);
        cr_expect(isnan(e->metrics[4]) && isnan(e->val_metrics[4]));
        cr_expect(isnan(p->metrics[0]) && isnan(p->val_metrics[0]));
    }
    confusion_of(b.model, 2, wanted);
    cr_expect_arr_eq(counts, wanted, sizeof wanted);
    double f1 = ct_metric_macro_f1.value(&ct_metric_macro_f1, wanted, 9);
    cr_expect_eq(history.epochs[2].val_metrics[1], f1);
    ct_evaluation result;
    ct_evaluate_options measured = {.metrics = metrics, .n_metrics = 2};
    OK(ct_evaluate_with(b.model, &ct_loss_cross_entropy, b.train, measured, &result));
    confusion_of(b.model, 1, wanted);
    cr_expect_arr_eq(counts, wanted, sizeof wanted);
    cr_expect_eq(result.metrics[1], ct_metric_macro_f1.value(&ct_metric_macro_f1, wanted, 9));
    cr_expect(isnan(result.metrics[2]));
    ct_history_free(&history);
    ct_history_free(&without);
    close_bench(&plain);
    close_bench(&b);
}

/* The metric of an epoch is that of its steps, with the weights that each had. */
TEST(fit_metrics, of_training_run_with_it) {
    bench b = open_bench(0.05), again = open_bench(0.05);
    double counts[9], wanted[9] = {0};
    ct_metric metric = ct_metric_confusion;
    metric.counts = counts;
    metric.n_counts = 9;
    OK(fit(&b, (ct_fit_options){.metrics = &metric, .n_metrics = 1}, NULL));
    for (int step = 0; step < BATCHES; step++) {
        ct_batch batch;
        OK(ct_source_seek(again.train, 0, step));
        OK(ct_source_next(again.train, &batch));
        ct_tensor *logits = ct_logits(again.model, batch.x, CT_TRAINING);
        ct_tensor *said = ct_argmax(logits, 1);
        for (int64_t i = 0; i < ct_dim(batch.x, 0); i++) {
            wanted[3 * (int64_t)element(batch.y, i) + (int64_t)element(said, i)]++;
        }
        OK(ct_optimizer_step(again.optimizer, ct_cross_entropy(logits, batch.y), NULL, 0));
    }
    cr_expect_arr_eq(counts, wanted, sizeof wanted);
    close_bench(&b);
    close_bench(&again);
}

/* --- Two outputs ------------------------------------------------------------------------------ */

static ct_tensor *two_heads(void *context, ct_module *model, const ct_batch *batch, ct_mode mode,
                            ct_output outputs[]) {
    (void)context;
    ct_tensor *logits = ct_logits(model, batch->x, mode);
    outputs[0].prediction = logits;
    outputs[1] = (ct_output){ct_slice(batch->x, 1, 0, 3, 1), logits};
    return ct_add(ct_cross_entropy(logits, batch->y), ct_mse(logits, outputs[1].prediction));
}

TEST(fit_metrics, of_several_outputs) {
    bench b = open_bench(0.05);
    ct_metric metrics[] = {ct_metric_accuracy, ct_metric_mae};
    metrics[1].output = 1;
    ct_evaluate_options options = {.objective = two_heads, .metrics = metrics, .n_metrics = 2};
    ct_evaluation result;
    OK(ct_evaluate_with(b.model, NULL, b.test, options, &result));
    ct_tensor *x = task_x(2), *logits = ct_logits(b.model, x, CT_INFERENCE);
    EXPECT_NEAR(result.metrics[0], ct_item(ct_accuracy(logits, task_labels(x))), 1e-7);
    EXPECT_NEAR(result.metrics[1], ct_item(ct_mae(logits, ct_slice(x, 1, 0, 3, 1))), 1e-6);
    metrics[1].output = 2;
    cr_expect_eq(ct_evaluate_with(b.model, NULL, b.test, options, &result), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_evaluate_with: a metric needs outputs[2].prediction, which the "
                              "objective left NULL");
    close_bench(&b);
}

/* --- The log ---------------------------------------------------------------------------------- */

TEST(fit_metrics, are_in_the_log) {
    bench b = open_bench(0.05);
    ct_metric metrics[] = {ct_metric_macro_f1, ct_metric_top_k(3)};
    char *text = NULL;
    size_t length = 0;
    ct_fit_options options = {.validation = b.test,
                              .metrics = metrics,
                              .n_metrics = 2,
                              .log = open_memstream(&text, &length)};
    ct_history history;
    OK(fit(&b, options, &history));
    fclose(options.log);
    const ct_epoch *e = history.epochs;
    char wanted[256];
    snprintf(wanted, sizeof wanted,
             ", loss %.4f, accuracy %.4f, f1 %.4f, top_k 1.0000, val_loss %.4f, val_accuracy %.4f, "
             "val_f1 %.4f, val_top_k 1.0000\n",
             e->loss, e->accuracy, e->metrics[0], e->val_loss, e->val_accuracy, e->val_metrics[0]);
    cr_expect(strlen(text) > strlen(wanted) &&
                  strcmp(text + strlen(text) - strlen(wanted), wanted) == 0,
              "%s", text);
    free(text);
    ct_history_free(&history);
    close_bench(&b);
}

TEST(fit_metrics, an_accuracy_of_ones_own_takes_the_place_of_the_losss) {
    bench b = open_bench(0.05);
    char *text = NULL;
    size_t length = 0;
    ct_metric metric = ct_metric_accuracy;
    ct_fit_options options = {.validation = b.test,
                              .metrics = &metric,
                              .n_metrics = 1,
                              .log = open_memstream(&text, &length)};
    OK(fit(&b, options, NULL));
    fclose(options.log);
    const char *first = strstr(text, ", accuracy "), *val = strstr(text, ", val_accuracy ");
    cr_assert(first && val, "%s", text);
    cr_expect_null(strstr(first + 1, ", accuracy "), "%s", text);
    cr_expect_null(strstr(val + 1, ", val_accuracy "), "%s", text);
    free(text);
    close_bench(&b);
}

/* --- Errors ----------------------------------------------------------------------------------- */

static ct_tensor *nothing(const ct_metric *self, ct_tensor *prediction, ct_tensor *target) {
    (void)self, (void)prediction, (void)target;
    return NULL;
}

static ct_tensor *singles(const ct_metric *self, ct_tensor *prediction, ct_tensor *target) {
    (void)self, (void)target;
    return ct_sum(prediction, CT_AXES(0));
}

/* As many sums as there are rows. */
static ct_tensor *rows(const ct_metric *self, ct_tensor *prediction, ct_tensor *target) {
    (void)self, (void)target;
    return ct_cast(ct_sum(prediction, CT_AXES(1)), CT_F64);
}

static double fails(const ct_metric *self, const double *sums, int64_t n) {
    (void)self, (void)sums, (void)n;
    ct_fail(CT_ERR_IO, "mine: no value");
    return 0;
}

static double first(const ct_metric *self, const double *sums, int64_t n) {
    (void)self, (void)n;
    return sums[0];
}

static void refuse(const ct_metric *metrics, int64_t n, ct_status status, const char *message) {
    bench b = open_bench(0.05);
    ct_history history;
    ct_fit_options options = {.metrics = metrics, .n_metrics = n};
    cr_expect_eq(fit(&b, options, &history), status);
    expect_error(status, message);
    ct_history_free(&history);
    close_bench(&b);
}

static void refuse_one(ct_metric metric, ct_status status, const char *message) {
    refuse(&metric, 1, status, message);
}

TEST(fit_metrics, say_what_is_wrong) {
    ct_metric many[9], wrong = ct_metric_accuracy;
    for (int i = 0; i < 9; i++) many[i] = ct_metric_accuracy;
    refuse(many, 9, CT_ERR_RANGE, "ct_fit: n_metrics must be 0..8, got 9");
    refuse(NULL, 1, CT_ERR_NULL, "ct_fit: 'metrics' is NULL");
    refuse(many, 0, CT_ERR_RANGE, "ct_fit: 'metrics' is given and n_metrics is 0");
    refuse(many, 2, CT_ERR_STATE,
           "ct_fit: metrics[0] and metrics[1] are both named 'accuracy'; a copy with another name "
           "is one more metric");
    refuse_one((ct_metric){.sums = rows, .value = first}, CT_ERR_NULL,
               "ct_fit: metrics[0] has no 'name'");
    refuse_one((ct_metric){.name = "m", .value = first}, CT_ERR_NULL,
               "ct_fit: metrics[0] has no 'sums'");
    refuse_one((ct_metric){.name = "m", .sums = rows}, CT_ERR_NULL,
               "ct_fit: metrics[0] has no 'value'");
    wrong.output = 6;
    refuse_one(wrong, CT_ERR_RANGE,
               "ct_fit: the output of metric 'accuracy' must be in 0..5, got 6");
    wrong.output = 1;
    refuse_one(wrong, CT_ERR_NULL,
               "ct_fit: a metric needs outputs[1].prediction, which no loss gives");
    refuse_one((ct_metric){.name = "m", .sums = nothing, .value = first}, CT_ERR_NULL,
               "ct_fit: 'sums' of metric 'm' returned NULL and no error");
    refuse_one((ct_metric){.name = "m", .sums = singles, .value = first}, CT_ERR_SHAPE,
               "ct_fit: sums of metric 'm' must be f64 [n], got f32 [3]");
    refuse_one((ct_metric){.name = "m", .sums = rows, .value = first}, CT_ERR_SHAPE,
               "ct_fit: metric 'm' has 2 sums, before it had 4");
    refuse_one((ct_metric){.name = "m", .sums = ct_metric_mae.sums, .value = first}, CT_ERR_SHAPE,
               "ct_metric_mae: prediction is [4,3], target [4]");
    wrong = ct_metric_accuracy;
    wrong.value = fails;
    refuse_one(wrong, CT_ERR_IO, "mine: no value");
    double counts[3];
    wrong = ct_metric_accuracy;
    wrong.counts = counts;
    wrong.n_counts = 3;
    refuse_one(wrong, CT_ERR_SHAPE, "ct_fit: metric 'accuracy' has 2 sums, and counts room for 3");
}
