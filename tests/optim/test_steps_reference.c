/* Training steps in f64 against PyTorch: parameter groups, averages of weights, one cycle, rates
 * that shrink on a plateau. Results are in tests/reference/steps.h. */
#include "tests/reference/steps.h"
#include "tests/support/nn_support.h"

#include "optim/optimizer_private.h"

enum { STEPS = 6 };

static void weights(ct_module *model, const char *path, ct_shape shape, uint32_t salt) {
    OK(ct_slot_write(slot_at(model, path), centred(CT_F64, shape, salt, 1, 0)));
}

static ct_module *two_layers(void) {
    ct_dense_options f64 = {.dtype = CT_F64};
    ct_module *model = CT_SEQUENTIAL("two", ct_dense_new(4, 5, f64),
                                     ct_activation_new(&ct_activation_tanh),
                                     ct_dense_new(5, 3, f64));
    MADE(model);
    weights(model, "dense/kernel", CT_SHAPE(4, 5), 1);
    weights(model, "dense/bias", CT_SHAPE(5), 2);
    weights(model, "dense_1/kernel", CT_SHAPE(5, 3), 3);
    weights(model, "dense_1/bias", CT_SHAPE(3), 4);
    return model;
}

static void train(ct_module *model, ct_optimizer *optimizer) {
    MADE(optimizer);
    for (uint32_t step = 0; step < STEPS; step++) {
        ct_tensor *x = centred(CT_F64, CT_SHAPE(6, 4), 100 + step, 1, 0);
        ct_tensor *y = centred(CT_F64, CT_SHAPE(6, 3), 200 + step, 1, 0);
        ct_tensor *loss = ct_mse(ct_forward(model, x, CT_TRAINING), y);
        OK(ct_optimizer_step(optimizer, loss, NULL, 0));
    }
}

#define EXPECT_MODEL(model, name)                                                     \
    do {                                                                              \
        cr_expect_lt(distance(read_slot(model, "dense/kernel"), name##_k1), 1e-12);   \
        cr_expect_lt(distance(read_slot(model, "dense/bias"), name##_b1), 1e-12);     \
        cr_expect_lt(distance(read_slot(model, "dense_1/kernel"), name##_k2), 1e-12); \
        cr_expect_lt(distance(read_slot(model, "dense_1/bias"), name##_b2), 1e-12);   \
    } while (0)

TEST(steps_reference, parameter_groups) {
    const ct_parameter_group groups[] = {
        {.holds = ct_holds_vectors, .no_decay = true},
        {.pattern = "dense_1/*", .rate_factor = 4, .decay_factor = 0.5}};
    ct_adam_options adamw = ct_adamw_pytorch(0.05);
    adamw.weight_decay = 0.1;
    adamw.step.groups = groups, adamw.step.n_groups = 2;
    ct_module *model = two_layers();
    ct_optimizer *optimizer = ct_adamw_new(model, adamw);
    train(model, optimizer);
    EXPECT_MODEL(model, groups_adamw);
    ct_optimizer_free(optimizer);
    ct_module_free(model);
    ct_sgd_options sgd = {.rate = ct_rate(0.05),
                          .weight_decay = 0.1,
                          .momentum = 0.9,
                          .nesterov = true,
                          .step = adamw.step};
    model = two_layers();
    optimizer = ct_sgd_new(model, sgd);
    train(model, optimizer);
    EXPECT_MODEL(model, groups_sgd);
    ct_optimizer_free(optimizer);
    ct_module_free(model);
}

TEST(steps_reference, averages) {
    ct_module *model = two_layers();
    ct_sgd_options options = {.rate = ct_rate(0.3), .step = {.average = 0.7}};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    train(model, sgd);
    OK(ct_optimizer_swap_averages(sgd));
    EXPECT_MODEL(model, average);
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

static void expect_rates(ct_schedule rate, const double *wanted, int n) {
    for (int t = 0; t < n; t++) {
        double got = ct_item(cti_schedule_rate(&rate, ct_scalar(CT_F64, t)));
        cr_expect_lt(fabs(got - wanted[t]), 1e-12 * 0.5, "step %d: %.17g for %.17g", t, got,
                     wanted[t]);
    }
}

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

TEST(steps_reference, one_cycle) {
    ct_one_cycle_options usual = {0};
    expect_rates(ct_rate_one_cycle(0.5, 20, usual), one_cycle_20, COUNT(one_cycle_20));
    expect_rates(ct_rate_one_cycle(0.5, 3, usual), one_cycle_3, COUNT(one_cycle_3));
    ct_one_cycle_options own = {.rise = 0.45, .divisor = 4, .final_divisor = 50};
    expect_rates(ct_rate_one_cycle(0.5, 11, own), one_cycle_options, COUNT(one_cycle_options));
    /* The end stays, where PyTorch's ends with an error. */
    double end[] = {0.5 / 25 / 1e4, 0.5 / 25 / 1e4};
    ct_schedule rate = ct_rate_one_cycle(0.5, 20, usual);
    for (int t = 0; t < 2; t++) {
        double got = ct_item(cti_schedule_rate(&rate, ct_scalar(CT_F64, 19 + 50 * t)));
        EXPECT_NEAR(got, end[t], 1e-12);
    }
}

static void expect_plateau(ct_plateau plateau, uint32_t salt, const double *wanted, int n) {
    ct_module *model = ct_dense_new(1, 1, (ct_dense_options){0});
    ct_sgd_options options = {.rate = ct_rate(0.5), .step = {.plateau = plateau}};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    MADE(sgd);
    ct_tensor *values = centred(CT_F64, CT_SHAPE(n), salt, 1, 2);
    for (int k = 0; k < n; k++) {
        OK(ct_optimizer_measured(sgd, element(values, k)));
        double rate = ct_optimizer_rate(sgd);
        cr_expect_lt(fabs(rate / wanted[k] - 1), 1e-12, "value %d: %.17g for %.17g", k, rate,
                     wanted[k]);
    }
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

TEST(steps_reference, plateau) {
    ct_plateau plain = {.factor = 0.1, .patience = 1, .threshold = 1e-4};
    expect_plateau(plain, 300, plateau_plain, COUNT(plateau_plain));
    ct_plateau own = {
        .factor = 0.5, .threshold = 0.1, .cooldown = 2, .min_scale = 0.04, .maximize = true};
    expect_plateau(own, 301, plateau_options, COUNT(plateau_options));
}
