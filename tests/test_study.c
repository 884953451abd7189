/* The study's verdict on time, and the steps that it rests on.
 * Whether BatchNorm costs time is not asked here: no result depends on how fast the machine is.
 * Invariant: measuring changes no run. */
#include "nn_support.h"
#include "support.h"

#include "examples/bn_study.h"

static void expect_spread(study_spread s, double low, double median, double high) {
    cr_expect(near(s.low, low, 0, 1e-12) && near(s.median, median, 0, 1e-12) &&
              near(s.high, high, 0, 1e-12), "%g %g %g", s.low, s.median, s.high);
}

NN_TEST(study, spreads) {
    double five[] = {5, 1, 4, 2, 3}, outlier[] = {2, 1, 1000, 1}, two[] = {3, 1}, one[] = {7};
    expect_spread(study_spread_of(five, 5), 2, 3, 4);
    expect_spread(study_spread_of(outlier, 4), 1, 1.5, 251.5);
    expect_spread(study_spread_of(two, 2), 1.5, 2, 2.5);
    expect_spread(study_spread_of(one, 1), 7, 7, 7);
    expect_spread(study_spread_of(NULL, 0), (double)NAN, (double)NAN, (double)NAN);
}

/* The verdict on time, of costs whose ratios have these quartiles. */
static study_verdict verdict_of(const double low[], const double high[], int n) {
    static study s;
    s = (study){.n_costs = n};
    for (int i = 0; i < n; i++) {
        s.costs[i] = (study_cost){.activation = &ct_activation_relu, .pairs = 100,
                                  .ms = {{2, 2, 2}, {2, 2, 2}},
                                  .ratio = {low[i], (low[i] + high[i]) / 2, high[i]}};
    }
    study_verdict verdicts[STUDY_VERDICTS];
    study_judge(&s, verdicts);
    cr_expect_str_eq(verdicts[STUDY_VERDICTS - 1].claim, "BatchNorm costs time per step");
    return verdicts[STUDY_VERDICTS - 1];
}

#define ANSWER(n, ...) verdict_of((double[]){__VA_ARGS__}, (double[]){__VA_ARGS__} + n, n).answer

NN_TEST(study, a_spread_that_covers_the_difference_is_unsure) {
    cr_expect_str_eq(ANSWER(1, 1.15, 1.23), "yes");
    cr_expect_str_eq(ANSWER(1, 0.84, 0.97), "no");
    cr_expect_str_eq(ANSWER(1, 0.7, 1.1), "unsure");
    cr_expect_str_eq(ANSWER(1, 0.9, 2), "unsure");
    cr_expect_str_eq(ANSWER(1, 1, 1), "unsure");
    cr_expect_str_eq(ANSWER(2, 1.1, 1.2, 1.3, 1.4), "yes");
    cr_expect_str_eq(ANSWER(2, 1.1, 0.8, 1.3, 0.9), "partly");
    cr_expect_str_eq(ANSWER(2, 1.1, 0.9, 1.3, 1.4), "unsure");
    cr_expect_str_eq(ANSWER(0, 0), "not shown by these runs");
    cr_expect_not_null(strstr(verdict_of((double[]){1.15}, (double[]){1.23}, 1).figures,
                              "relu: 2.00 ms with, 2.00 without; 1.19 times in the median of 100 "
                              "pairs of steps that took turns, 1.15 to 1.23"));
}

/* --- Measuring -------------------------------------------------------------------------------- */

static study small_study(void) {
    study s = {.options = {.epochs = 1, .batch = 8, .seed = 1, .quiet = true}};
    s.data = ct_dataset_digits(16, 16, 0);
    cr_assert_not_null(s.data);
    ct_batches_options options = {.size = 8, .divide_by = 255};
    s.train = ct_batches_new(s.data->train_images, s.data->train_labels, options);
    s.test = ct_batches_new(s.data->test_images, s.data->test_labels, options);
    s.part = ct_batches_new(s.data->test_images, s.data->test_labels, options);
    cr_assert(s.train && s.test && s.part, "%s", ct_error_message());
    s.steps_per_epoch = ct_source_count(s.train);
    s.settings[0] = (study_setting){&ct_activation_relu, 0.001, {{0}, {0}}};
    s.settings[1] = (study_setting){&ct_activation_relu, 0.01, {{0}, {0}}};
    s.n_settings = 2;
    return s;
}

static void free_run(study_run *run) {
    ct_history_free(&run->history);
    free(run->seconds);
    free(run->points);
}

static void small_study_free(study *s) {
    for (int k = 0; k < 4; k++) free_run(&s->settings[k / 2].run[k % 2]);
    ct_source_free(s->train);
    ct_source_free(s->test);
    ct_source_free(s->part);
    ct_dataset_free(s->data);
}

NN_TEST(study, measuring_changes_no_run) {
    study s = small_study();
    study_setting *setting = &s.settings[0];
    for (int k = 0; k < 2; k++) OK(study_train(&s, setting, k == WITH, &setting->run[k]));
    OK(study_costs_measure(&s));
    cr_expect_eq(s.n_costs, 1);
    cr_expect_geq(s.costs[0].pairs, 5);
    study_spread all[] = {s.costs[0].ms[0], s.costs[0].ms[1], s.costs[0].ratio};
    for (int i = 0; i < 3; i++) {
        cr_expect(all[i].low > 0 && all[i].low <= all[i].median && all[i].median <= all[i].high);
    }
    for (int k = 0; k < 2; k++) {
        study_run again;
        OK(study_train(&s, setting, k == WITH, &again));
        const ct_history *a = &again.history, *b = &setting->run[k].history;
        cr_assert_eq(a->n_steps, 2);
        for (int i = 0; i < 2; i++) cr_expect_eq(a->steps[i].loss, b->steps[i].loss);
        cr_expect_eq(a->epochs[0].val_loss, b->epochs[0].val_loss);
        free_run(&again);
    }
    small_study_free(&s);
}

NN_TEST(study, only_pairs_of_runs_are_compared) {
    study s = small_study();
    s.settings[0].run[WITH].ran = s.settings[1].run[WITHOUT].ran = true;
    OK(study_costs_measure(&s));
    cr_expect_eq(s.n_costs, 0);
    small_study_free(&s);
}
