/* Averages of weights: what a step makes of them, a model that holds them or is evaluated by them,
 * checkpoints. PyTorch's figures are in test_steps_reference.c. */
#include "tests/support/nn_support.h"

#include <stdio.h>
#include <unistd.h>

static ct_module *cnn(void) {
    ct_seed_set(3);
    return small_cnn(0);
}

static ct_tensor *images(uint32_t salt) {
    return centred(CT_F32, CT_SHAPE(4, 6, 6, 2), salt, 1, 0);
}

static ct_tensor *loss_of(ct_module *model, uint32_t salt) {
    return ct_cross_entropy(ct_logits(model, images(salt), CT_TRAINING), some_labels(4, 3, 2));
}

static ct_optimizer *averaging(ct_module *model, ct_step_options step) {
    ct_adam_options options = ct_adam_defaults(0.01);
    options.step = step;
    ct_optimizer *adam = ct_adam_new(model, options);
    MADE(adam);
    return adam;
}

/* The average of one number theta against a plain loop, also while it is frozen. */
static void expect_averages(bool warmup) {
    ct_module *model = ct_dense_new(1, 1, (ct_dense_options){.dtype = CT_F64});
    MADE(model);
    ct_step_options step = {.average = 0.8, .average_warmup = warmup, .allow_unused = true};
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.1), .step = step});
    MADE(sgd);
    ct_slot *bias = slot_at(model, "bias"), *kernel = slot_at(model, "kernel");
    OK(ct_slot_write(bias, ct_full(CT_F64, CT_SHAPE(1), 3))); /* as weights that are loaded */
    double average = NAN;
    for (int t = 1; t <= 8; t++) {
        ct_tensor *x = ct_full(CT_F64, CT_SHAPE(1, 1), t);
        ct_tensor *y = t == 5 ? ct_mul(x, ct_slot_read(kernel)) : ct_forward(model, x, CT_TRAINING);
        OK(ct_optimizer_step(sgd, ct_sum_all(ct_square(y)), NULL, 0));
        double theta = ct_item(ct_slot_read(bias)), d = 0.8;
        if (warmup && (1.0 + t) / (10 + t) < d) d = (1.0 + t) / (10 + t);
        average = t == 1 ? theta : d * average + (1 - d) * theta;
        EXPECT_NEAR(ct_item(ct_optimizer_average(sgd, bias)), average, 1e-14);
    }
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

TEST(averages, are_those_of_a_plain_loop) {
    expect_averages(false);
    expect_averages(true);
}

TEST(averages, change_nothing_else_and_move_with_applied_steps) {
    ct_module *plain = cnn(), *model = cnn();
    ct_optimizer *one = averaging(plain, (ct_step_options){.accumulate = 2});
    ct_optimizer *two = averaging(
        model, (ct_step_options){.accumulate = 2, .average = 0.9, .skip_nonfinite = true});
    ct_slot *kernel = slot_at(model, "dense/kernel");
    for (uint32_t k = 0; k < 6; k++) {
        ct_tensor *before = ct_optimizer_average(two, kernel);
        OK(ct_optimizer_step(one, loss_of(plain, k), NULL, 0));
        OK(ct_optimizer_step(two, loss_of(model, k), NULL, 0));
        OK(ct_optimizer_step(two, ct_mul(loss_of(model, k), ct_scalar(CT_F32, INFINITY)), NULL, 0));
        ct_tensor *after = ct_optimizer_average(two, kernel);
        cr_expect_eq(after == before, k % 2 == 0, "step %u", k);
    }
    cr_expect_eq(state_hash(plain, NULL), state_hash(model, NULL));
    ct_optimizer_free(one), ct_optimizer_free(two);
    ct_module_free(plain), ct_module_free(model);
}

/* --- A model by its averages ------------------------------------------------------------------ */

/* A functional call sees the averages, and the model keeps its weights. */
TEST(averages, evaluate_a_model_that_is_not_touched) {
    ct_module *model = cnn();
    ct_optimizer *adam = averaging(model, (ct_step_options){.average = 0.9});
    for (uint32_t k = 0; k < 4; k++) OK(ct_optimizer_step(adam, loss_of(model, k), NULL, 0));
    ct_slot_list p;
    ct_tensor *w[8];
    OK(ct_module_parameters(model, &p));
    cr_assert_leq(p.count, 8);
    for (int64_t i = 0; i < p.count; i++) {
        w[i] = ct_optimizer_average(adam, p.items[i].slot);
        cr_expect_not(ct_slot_holds(p.items[i].slot, w[i]));
    }
    ct_functional_options plain = {0};
    uint64_t before = state_hash(model, adam);
    ct_tensor *y = ct_functional_call(model, images(7), CT_INFERENCE, &p, w, plain);
    MADE(ct_data(y));
    cr_expect_eq(state_hash(model, adam), before);
    ct_tensor *own = ct_forward(model, images(7), CT_INFERENCE);
    OK(ct_optimizer_swap_averages(adam));
    ct_tensor *swapped = ct_forward(model, images(7), CT_INFERENCE);
    cr_expect_eq(ct_item(ct_sum_all(ct_abs(ct_sub(y, swapped)))), 0);
    cr_expect_gt(ct_item(ct_sum_all(ct_abs(ct_sub(y, own)))), 0);
    /* What the model holds is what is asked for then. */
    for (int64_t i = 0; i < p.count; i++) {
        ct_tensor *gap = ct_sub(ct_optimizer_average(adam, p.items[i].slot), w[i]);
        cr_expect_eq(ct_item(ct_sum_all(ct_abs(gap))), 0);
    }
    OK(ct_optimizer_swap_averages(adam));
    cr_expect_eq(state_hash(model, adam), before);
    OK(ct_optimizer_step(adam, loss_of(model, 9), NULL, 0));
    ct_slot_list_free(&p);
    ct_optimizer_free(adam);
    ct_module_free(model);
}

/* Weights that are loaded into the model count, not those that the optimizer was made with. */
TEST(averages, before_the_first_step_are_the_weights) {
    ct_module *model = cnn();
    ct_optimizer *adam = averaging(model, (ct_step_options){.average = 0.9});
    ct_slot_list p;
    OK(ct_module_parameters(model, &p));
    ct_slot *slot = p.items[0].slot;
    ct_tensor *loaded = ct_full(CT_F32, ct_shape_of(ct_slot_read(slot)), 7);
    OK(ct_slot_write(slot, loaded));
    cr_expect_eq(ct_item(ct_max(ct_optimizer_average(adam, slot), CT_ALL)), 7);
    uint64_t before = state_hash(model, NULL);
    OK(ct_optimizer_swap_averages(adam));
    cr_expect_eq(state_hash(model, NULL), before);
    OK(ct_optimizer_swap_averages(adam));
    cr_expect_eq(state_hash(model, NULL), before);
    ct_slot_list_free(&p);
    ct_optimizer_free(adam);
    ct_module_free(model);
}

TEST(averages, no_step_and_no_checkpoint_while_the_model_holds_them) {
    static const char rest[] = "the model holds its averages; ct_optimizer_swap_averages gives it "
                               "its weights back";
    ct_module *model = cnn();
    ct_optimizer *adam = averaging(model, (ct_step_options){.average = 0.9});
    OK(ct_optimizer_step(adam, loss_of(model, 1), NULL, 0));
    OK(ct_optimizer_swap_averages(adam));
    uint64_t before = state_hash(model, NULL);
    char message[256];
    cr_expect_eq(ct_optimizer_step(adam, loss_of(model, 2), NULL, 0), CT_ERR_STATE);
    snprintf(message, sizeof message, "ct_optimizer_step: %s", rest);
    expect_error(CT_ERR_STATE, message);
    cr_expect_eq(ct_checkpoint_save("/nowhere", model, adam, (ct_position){0}), CT_ERR_STATE);
    snprintf(message, sizeof message, "ct_checkpoint_save: %s", rest);
    expect_error(CT_ERR_STATE, message);
    cr_expect_eq(state_hash(model, NULL), before);
    ct_optimizer_free(adam);
    ct_optimizer *none = averaging(model, (ct_step_options){0});
    cr_expect_eq(ct_optimizer_swap_averages(none), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_optimizer_swap_averages: the optimizer keeps no averages; "
                               "step.average does");
    cr_expect_null(ct_optimizer_average(none, slot_at(model, "dense/bias")));
    expect_error(CT_ERR_STATE, "ct_optimizer_average: the optimizer keeps no averages; "
                               "step.average does");
    cr_expect_null(ct_optimizer_average(none, NULL));
    expect_error(CT_ERR_NULL, "ct_optimizer_average: 'slot' is NULL");
    ct_adam_options options = ct_adam_defaults(0.01);
    options.step.average = 1;
    cr_expect_null(ct_adam_new(model, options));
    expect_error(CT_ERR_RANGE, "ct_adam_new: average must be in [0,1), got 1");
    options.step = (ct_step_options){.average_warmup = true};
    cr_expect_null(ct_adam_new(model, options));
    expect_error(CT_ERR_RANGE, "ct_adam_new: average_warmup needs average, which is 0");
    ct_optimizer_free(none);
    ct_module_free(model);
}

/* --- Checkpoints ------------------------------------------------------------------------------ */

TEST(averages, go_on_from_a_checkpoint) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/cotan-averages-%ld.safetensors", (long)getpid());
    ct_step_options step = {.average = 0.9,
                            .average_warmup = true,
                            .accumulate = 2,
                            .allow_unused = true,
                            .plateau = {.factor = 0.5}};
    ct_module *model = cnn(), *other = small_cnn(0);
    ct_optimizer *one = averaging(model, step), *two = averaging(other, step);
    for (uint32_t k = 0; k < 5; k++) {
        OK(ct_optimizer_step(one, loss_of(model, k), NULL, 0));
        OK(ct_optimizer_measured(one, k));
    }
    OK(ct_checkpoint_save(path, model, one, (ct_position){0}));
    OK(ct_checkpoint_load(path, other, two, NULL));
    cr_expect_eq(ct_optimizer_rate(two), ct_optimizer_rate(one));
    cr_expect_eq(ct_optimizer_rate(two), 0.01 / 16);
    for (uint32_t k = 0; k < 5; k++) {
        OK(ct_optimizer_step(one, loss_of(model, k), NULL, 0));
        OK(ct_optimizer_step(two, loss_of(other, k), NULL, 0));
        OK(ct_optimizer_measured(one, 2)), OK(ct_optimizer_measured(two, 2));
    }
    cr_expect_eq(state_hash(model, one), state_hash(other, two));
    unlink(path);
    ct_optimizer_free(one), ct_optimizer_free(two);
    ct_module_free(model), ct_module_free(other);
}
