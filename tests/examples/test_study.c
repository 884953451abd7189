/* The study's verdicts: that on time, with the steps that it rests on, and that on a dead network.
 * Whether BatchNorm costs time is not asked here: no result depends on how fast the machine is.
 * Invariant: measuring changes no run. */
#include "tests/support/nn_support.h"
#include "tests/support/test.h"

#include "examples/bn_study.h"

static void expect_spread(study_spread s, double low, double median, double high) {
    cr_expect(near(s.low, low, 0, 1e-12) && near(s.median, median, 0, 1e-12) &&
                  near(s.high, high, 0, 1e-12),
              "%g %g %g", s.low, s.median, s.high);
}

TEST(study, spreads) {
    double five[] = {5, 1, 4, 2, 3}, outlier[] = {2, 1, 1000, 1}, two[] = {3, 1}, one[] = {7};
    expect_spread(study_spread_of(five, 5), 2, 3, 4);
    expect_spread(study_spread_of(outlier, 4), 1, 1.5, 251.5);
    expect_spread(study_spread_of(two, 2), 1.5, 2, 2.5);
    expect_spread(study_spread_of(one, 1), 7, 7, 7);
    expect_spread(study_spread_of(NULL, 0), (double)NAN, (double)NAN, (double)NAN);
}

typedef struct {
    int64_t pairs, slower, faster;
} pairs;

/* The verdict on time, of n activations. */
static study_verdict verdict_of(const pairs counts[], int n) {
    static study s;
    s = (study){.n_costs = n};
    for (int i = 0; i < n; i++) {
        s.costs[i] = (study_cost){.activation = &ct_activation_relu,
                                  .pairs = counts[i].pairs,
                                  .ms = {{2, 2, 2}, {2, 2, 2}},
                                  .ratio = {1.15, 1.19, 1.23},
                                  .slower = counts[i].slower,
                                  .faster = counts[i].faster};
    }
    study_verdict verdicts[STUDY_VERDICTS];
    study_judge(&s, verdicts);
    cr_expect_str_eq(verdicts[STUDY_VERDICTS - 1].claim, "BatchNorm costs time per step");
    return verdicts[STUDY_VERDICTS - 1];
}

TEST(study, pairs_that_do_not_agree_are_unsure) {
    static const struct {
        const char *answer;
        int n;
        pairs counts[2];
    } cases[] = {
        {"yes", 1, {{100, 98, 2}}},
        {"yes", 1, {{100, 75, 25}}},
        {"unsure", 1, {{100, 74, 26}}},
        {"no", 1, {{100, 20, 80}}},
        {"unsure", 1, {{100, 26, 74}}},
        {"unsure", 1, {{100, 50, 50}}},
        {"unsure", 1, {{100, 0, 0}}}, /* a clock that stands still */
        {"unsure", 1, {{5, 5, 0}}},
        {"unsure", 1, {{5, 0, 5}}},
        {"yes", 1, {{8, 8, 0}}},
        {"unsure", 1, {{8, 7, 1}}},
        {"unsure", 1, {{20, 15, 5}}},
        {"yes", 1, {{20, 16, 4}}},
        {"yes", 2, {{100, 90, 10}, {50, 45, 5}}},
        {"no", 2, {{100, 10, 90}, {50, 5, 45}}},
        {"partly", 2, {{100, 90, 10}, {50, 5, 45}}},
        {"unsure", 2, {{100, 90, 10}, {50, 25, 25}}},
        {"not shown by these runs", 0, {{0, 0, 0}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_str_eq(verdict_of(cases[i].counts, cases[i].n).answer, cases[i].answer, "%zu", i);
    }
    cr_expect_str_eq(verdict_of(cases[0].counts, 1).figures,
                     "relu: 2.00 ms with, 2.00 without; of 100 pairs of steps that took turns 98 "
                     "were slower with it, 1.19 times in the median, 1.15 to 1.23 in the middle "
                     "half");
}

static study_run run_of(ct_epoch *epoch) {
    return (study_run){.ran = true, .history = {.epochs = epoch, .n_epochs = 1}};
}

/* A study that ends after the plain network died: nothing says what BatchNorm would have done. */
TEST(study, a_dead_network_alone_is_no_verdict) {
    ct_epoch trained = {.accuracy = 0.97, .steps = 9}, dead = {.accuracy = 0.1, .steps = 9};
    study s = {.n_settings = 2, .steps_per_epoch = 9};
    s.settings[0] = (study_setting){&ct_activation_relu, 0.001, {run_of(&trained), {0}}};
    s.settings[0].run[WITH] = run_of(&trained);
    s.settings[1] = (study_setting){&ct_activation_relu, 0.01, {run_of(&dead), {0}}};
    study_verdict verdicts[STUDY_VERDICTS];
    study_judge(&s, verdicts);
    cr_expect_str_eq(verdicts[2].claim, "BatchNorm trains where the plain network is dead");
    cr_expect_str_eq(verdicts[2].answer, "not shown by these runs");
    cr_expect_str_eq(verdicts[2].figures,
                     "training accuracy in epoch 1; dead: below 0.2, trained: from 0.90: no plain "
                     "network was that has one with BatchNorm beside it");
    s.settings[1].run[WITH] = run_of(&trained);
    study_judge(&s, verdicts);
    cr_expect_str_eq(verdicts[2].answer, "yes");
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

TEST(study, measuring_changes_no_run) {
    study s = small_study();
    study_setting *setting = &s.settings[0];
    for (int k = 0; k < 2; k++) OK(study_train(&s, setting, k == WITH, &setting->run[k]));
    OK(study_costs_measure(&s));
    cr_expect_eq(s.n_costs, 1);
    cr_expect_geq(s.costs[0].pairs, 8);
    cr_expect_leq(s.costs[0].slower + s.costs[0].faster, s.costs[0].pairs);
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

TEST(study, only_pairs_of_runs_are_compared) {
    study s = small_study();
    s.settings[0].run[WITH].ran = s.settings[1].run[WITHOUT].ran = true;
    OK(study_costs_measure(&s));
    cr_expect_eq(s.n_costs, 0);
    small_study_free(&s);
}
