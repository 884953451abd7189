/* What rates depend on besides the step: measured values, the size of a source; and rounds of
 * accumulation that end early. */
#include "tests/support/fit_support.h"
#include "tests/support/nn_support.h"

static ct_module *linear(void) {
    ct_seed_set(3);
    ct_module *model = ct_dense_new(4, 2, (ct_dense_options){.dtype = CT_F64});
    MADE(model);
    return model;
}

static ct_tensor *part(uint32_t salt) { return centred(CT_F64, CT_SHAPE(3, 4), salt, 1, 0); }

static void step_on(ct_module *model, ct_optimizer *optimizer, ct_tensor *x) {
    ct_tensor *y = ct_full(CT_F64, CT_SHAPE(ct_dim(x, 0), 2), 0.5);
    OK(ct_optimizer_step(optimizer, ct_mse(ct_forward(model, x, CT_TRAINING), y), NULL, 0));
}

/* --- Plateaus --------------------------------------------------------------------------------- */

/* The scale is data, so there is one plan; it multiplies whatever the schedule says. */
TEST(rates, a_plateau_scales_the_schedule) {
    ct_module *model = linear();
    ct_sgd_options options = {.rate = ct_rate_exponential(0.5, 0.5, 1),
                              .step = {.plateau = {.factor = 0.5, .patience = 1}}};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    MADE(sgd);
    ct_tensor *x = part(1);
    step_on(model, sgd, x);
    ct_stats_reset();
    double scale = 1, rate = 0.25;
    for (int k = 0; k < 6; k++, rate /= 2) {
        OK(ct_optimizer_measured(sgd, 1));
        if (k > 0 && k % 2 == 0) scale /= 2;
        EXPECT_NEAR(ct_optimizer_rate(sgd), rate * scale, 1e-14);
        step_on(model, sgd, x);
    }
    cr_expect_leq(ct_stats_read().plan_misses, 1); /* that of the rate alone */
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* A loss that does not get better halves the rate after each epoch, unless the user tells it. */
TEST(rates, of_a_plateau_follow_what_fit_measures) {
    for (int own = 0; own < 2; own++) {
        ct_module *model = ct_dense_new(2, 1, (ct_dense_options){.kernel = ct_init_zeros});
        ct_plateau plateau = {.factor = 0.5, .own = own};
        ct_optimizer *sgd = ct_sgd_new(
            model, (ct_sgd_options){.rate = ct_rate(0.1), .step = {.plateau = plateau}});
        MADE(sgd);
        ct_tensor *x = ct_full(CT_F32, CT_SHAPE(4, 2), 0), *y = ct_full(CT_F32, CT_SHAPE(4, 1), 0);
        ct_source *train = ct_batches_new(x, y, (ct_batches_options){.size = 2});
        OK(ct_fit(model, sgd, &ct_loss_mse, train, (ct_fit_options){.epochs = 3}, NULL));
        EXPECT_NEAR(ct_optimizer_rate(sgd), own ? 0.1 : 0.025, 1e-15);
        OK(ct_fit(model, sgd, &ct_loss_mse, train,
                  (ct_fit_options){.epochs = 1, .validation = train}, NULL));
        EXPECT_NEAR(ct_optimizer_rate(sgd), own ? 0.1 : 0.0125, 1e-15);
        ct_source_free(train);
        ct_optimizer_free(sgd);
        ct_module_free(model);
    }
}

TEST(rates, plateaus_that_cannot_be_meant_are_refused) {
    static const struct {
        ct_plateau plateau;
        const char *message;
    } wrong[] = {
        {{.factor = 1}, "ct_sgd_new: plateau.factor must be in [0,1), got 1"},
        {{.factor = 0.5, .threshold = -1},
         "ct_sgd_new: plateau.threshold must be in [0,1e+300), got -1"},
        {{.factor = 0.5, .min_scale = 2}, "ct_sgd_new: plateau.min_scale must be in [0,1), got 2"},
        {{.factor = 0.5, .patience = -1}, "ct_sgd_new: plateau.patience must be >= 0, got -1"},
        {{.factor = 0.5, .cooldown = -2}, "ct_sgd_new: plateau.cooldown must be >= 0, got -2"},
        {{.patience = 3}, "ct_sgd_new: plateau.factor is 0, which is no plateau; PyTorch's is 0.1"},
    };
    ct_module *model = linear();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ct_sgd_options options = {.rate = ct_rate(0.1), .step = {.plateau = wrong[i].plateau}};
        cr_expect_null(ct_sgd_new(model, options));
        expect_error(CT_ERR_RANGE, wrong[i].message);
    }
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.1)});
    cr_expect_eq(ct_optimizer_measured(sgd, 1), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_optimizer_measured: the optimizer has no plateau; step.plateau "
                               "makes one");
    cr_expect_eq(ct_optimizer_measured(NULL, 1), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_measured: 'optimizer' is NULL");
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* --- Cycles and epochs ------------------------------------------------------------------------ */

static void expect_refused(ct_schedule rate, const char *message) {
    ct_module *model = linear();
    cr_expect_null(ct_sgd_new(model, (ct_sgd_options){.rate = rate}));
    expect_error(CT_ERR_RANGE, message);
    ct_module_free(model);
}

TEST(rates, cycles_that_cannot_be_meant_are_refused) {
    expect_refused(ct_rate_one_cycle(0.1, 0, (ct_one_cycle_options){0}),
                   "ct_sgd_new: the rate's period must be >= 1, got 0");
    expect_refused(ct_rate_one_cycle(0.1, 9, (ct_one_cycle_options){.rise = 1}),
                   "ct_sgd_new: the rate's rise must be in [0,1), got 1");
    expect_refused(ct_rate_one_cycle(0.1, 9, (ct_one_cycle_options){.divisor = -1}),
                   "ct_sgd_new: the rate's divisor must be finite and > 0, got -1");
    expect_refused(ct_rate_one_cycle(0.1, 9, (ct_one_cycle_options){.final_divisor = INFINITY}),
                   "ct_sgd_new: the rate's final_divisor must be finite and > 0, got inf");
}

TEST(rates, periods_in_epochs) {
    ct_tensor *x = centred(CT_F32, CT_SHAPE(22, 2), 1, 1, 0);
    ct_source *train = ct_batches_new(x, some_labels(22, 3, 2), (ct_batches_options){.size = 4});
    MADE(train); /* 6 batches */
    cr_expect_eq(ct_epoch_steps(train, 3, 0), 18);
    cr_expect_eq(ct_epoch_steps(train, 0.25, 1), 2);
    cr_expect_eq(ct_epoch_steps(train, 2, 4), 3);
    cr_expect_eq(ct_epoch_steps(NULL, 1, 0), -1);
    expect_error(CT_ERR_NULL, "ct_epoch_steps: 'source' is NULL");
    cr_expect_eq(ct_epoch_steps(train, -1, 0), -1);
    expect_error(CT_ERR_RANGE, "ct_epoch_steps: epochs must be in [0,1e+09), got -1");
    cr_expect_eq(ct_epoch_steps(train, 1, -1), -1);
    expect_error(CT_ERR_RANGE, "ct_epoch_steps: accumulate must be >= 0, got -1");
    ct_source_free(train);
}

/* --- Rounds that end early -------------------------------------------------------------------- */

/* Two of four batches, flushed, are a step on both together; the next round is a whole one. */
TEST(rates, a_flushed_round_is_the_mean_of_what_there_is) {
    ct_module *whole = linear(), *parts = linear();
    ct_adam_options options = ct_adam_defaults(0.05);
    ct_optimizer *one = ct_adam_new(whole, options);
    options.step.accumulate = 4;
    options.step.average = 0.5;
    ct_optimizer *many = ct_adam_new(parts, options);
    OK(ct_optimizer_flush(many));
    OK(ct_optimizer_flush(one));
    cr_expect_eq(ct_optimizer_steps(many), 0);
    static const int sizes[] = {2, 4, 1, 3};
    for (uint32_t round = 0; round < 4; round++) {
        ct_tensor *x[4];
        for (int k = 0; k < sizes[round]; k++) {
            x[k] = part(10 * round + (uint32_t)k);
            step_on(parts, many, x[k]);
        }
        OK(ct_optimizer_flush(many));
        step_on(whole, one, ct_concat(x, sizes[round], 0));
        cr_expect_eq(ct_optimizer_steps(many), round + 1);
        ct_tensor *gap = ct_sub(read_slot(whole, "kernel"), read_slot(parts, "kernel"));
        cr_expect_lt(ct_item(ct_max(ct_abs(gap), CT_ALL)), 1e-13, "round %u", round);
    }
    cr_expect_eq(ct_optimizer_flush(NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_flush: 'optimizer' is NULL");
    ct_optimizer_free(one), ct_optimizer_free(many);
    ct_module_free(whole), ct_module_free(parts);
}

/* What no step of the round has reached stays, and what was frozen since is forgotten. */
TEST(rates, a_flush_leaves_what_was_not_reached) {
    ct_module *model = CT_SEQUENTIAL("m", ct_dense_new(4, 2, (ct_dense_options){.no_bias = true}),
                                     ct_dense_new(4, 2, (ct_dense_options){.no_bias = true}));
    ct_sgd_options options = {
        .rate = ct_rate(0.1), .weight_decay = 0.5, .step = {.accumulate = 3, .allow_unused = true}};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    MADE(sgd);
    ct_tensor *x = centred(CT_F32, CT_SHAPE(3, 4), 1, 1, 0);
    ct_slot *slots[] = {slot_at(model, "dense/kernel"), slot_at(model, "dense_1/kernel")};
    for (int k = 0; k < 2; k++) {
        ct_tensor *before[] = {ct_slot_read(slots[0]), ct_slot_read(slots[1])};
        ct_tensor *y = ct_forward(model->children[0], x, CT_TRAINING);
        OK(ct_optimizer_step(sgd, ct_sum_all(ct_square(y)), NULL, 0));
        ct_module_freeze(model->children[0], k == 1);
        cr_expect_eq(ct_optimizer_flush(sgd), k ? CT_ERR_GRADIENT : CT_OK);
        cr_expect_eq(ct_slot_holds(slots[0], before[0]), k == 1);
        cr_expect(ct_slot_holds(slots[1], before[1]));
    }
    expect_error(CT_ERR_GRADIENT, "ct_optimizer_flush: the round reaches no parameter that is "
                                  "trained now");
    ct_optimizer_free(sgd);
    ct_module_free(model);
}
