/* BatchNorm as a layer: the two modes, the staged moving statistics, the presets, freezing. Its
 * gradient is checked against a reference in test_parity.c, its function in autograd's suites. */
#include "tests/support/nn_support.h"

static ct_batch_norm_options with_momentum(double momentum) {
    ct_batch_norm_options options = ct_batch_norm_defaults();
    options.momentum = momentum;
    return options;
}

static ct_module *batch_norm(int64_t channels, ct_batch_norm_options options) {
    options.dtype = CT_F64;
    ct_module *bn = ct_batch_norm_new(channels, options);
    cr_assert_not_null(bn, "%s", ct_error_message());
    return bn;
}

/* Mean and biased variance of a channel, the last axis, by plain loops. */
static void statistics(ct_tensor *x, int64_t channels, int64_t c, double *mean, double *variance) {
    int64_t n = ct_numel(x) / channels;
    *mean = *variance = 0;
    for (int64_t i = 0; i < n; i++) *mean += element(x, i * channels + c) / (double)n;
    for (int64_t i = 0; i < n; i++) {
        *variance += pow(element(x, i * channels + c) - *mean, 2) / (double)n;
    }
}

static ct_tensor *data(uint32_t salt) { return centred(CT_F64, CT_SHAPE(5, 2, 3, 2), salt, 2, 1); }

/* Commits the staged statistics behind y. */
static void commit(ct_tensor *y) {
    MADE(y);
    OK(ct_commit(&y, 1, NULL, 0));
}

static ct_tensor *train(ct_module *bn, ct_tensor *x) { return ct_forward(bn, x, CT_TRAINING); }

TEST(batch_norm, training_uses_batch_statistics) {
    ct_module *bn = batch_norm(2, ct_batch_norm_defaults());
    OK(ct_slot_write(slot_at(bn, "gamma"), ct_from(CT_F64, CT_SHAPE(2), (double[]){2, 0.5})));
    OK(ct_slot_write(slot_at(bn, "beta"), ct_from(CT_F64, CT_SHAPE(2), (double[]){-1, 3})));
    ct_tensor *x = data(1), *y = train(bn, x);
    for (int c = 0; c < 2; c++) {
        double mean, variance, gamma = c ? 0.5 : 2, beta = c ? 3 : -1;
        statistics(x, 2, c, &mean, &variance);
        for (int64_t i = c; i < ct_numel(x); i += 2) {
            double wanted = gamma * (element(x, i) - mean) / sqrt(variance + 1e-3) + beta;
            EXPECT_NEAR(element(y, i), wanted, 1e-14);
        }
    }
    ct_module_free(bn);
}

TEST(batch_norm, inference_uses_moving_statistics) {
    ct_batch_norm_options options = ct_batch_norm_defaults();
    options.epsilon = 0.01;
    ct_module *bn = batch_norm(2, options);
    OK(ct_slot_write(slot_at(bn, "moving_mean"), ct_from(CT_F64, CT_SHAPE(2), (double[]){1, 2})));
    OK(ct_slot_write(slot_at(bn, "moving_variance"),
                     ct_from(CT_F64, CT_SHAPE(2), (double[]){4, 0.25})));
    ct_tensor *x = data(1), *y = ct_forward(bn, x, CT_INFERENCE);
    for (int64_t i = 0; i < ct_numel(x); i++) {
        double mean = i % 2 ? 2 : 1, variance = i % 2 ? 0.25 : 4;
        EXPECT_NEAR(element(y, i), (element(x, i) - mean) / sqrt(variance + 0.01), 1e-14);
    }
    ct_module_free(bn);
}

/* The closed recursion: moving = momentum moving + (1 - momentum) batch, n times. */
static void expect_recursion(ct_batch_norm_options options, double correction) {
    ct_module *bn = batch_norm(2, options);
    double momentum = options.momentum;
    double means[2] = {0, 0}, variances[2] = {1, 1};
    for (uint32_t step = 0; step < 7; step++) {
        ct_tensor *x = data(10 + step);
        commit(train(bn, x));
        for (int c = 0; c < 2; c++) {
            double mean, variance;
            statistics(x, 2, c, &mean, &variance);
            means[c] = momentum * means[c] + (1 - momentum) * mean;
            variances[c] = momentum * variances[c] + (1 - momentum) * correction * variance;
        }
    }
    cr_expect_lt(distance(read_slot(bn, "moving_mean"), means), 1e-14);
    cr_expect_lt(distance(read_slot(bn, "moving_variance"), variances), 1e-14);
    ct_module_free(bn);
}

TEST(batch_norm, moving_statistics_follow_the_recursion) {
    const double bessel = 30.0 / 29.0;
    expect_recursion(ct_batch_norm_defaults(), 1);
    expect_recursion(with_momentum(0.6), 1);
    expect_recursion(with_momentum(0), 1); /* the last batch's */
    expect_recursion(with_momentum(1), 1); /* the initial ones */
    expect_recursion(ct_batch_norm_keras(), 1);
    expect_recursion(ct_batch_norm_pytorch(), bessel);
    expect_recursion(ct_batch_norm_tf1_fused(), bessel);
}

TEST(batch_norm, presets) {
    ct_batch_norm_options keras = ct_batch_norm_keras(), tf1 = ct_batch_norm_tf1_fused(),
                          pytorch = ct_batch_norm_pytorch();
    cr_expect(keras.momentum == 0.99 && keras.epsilon == 1e-3);
    cr_expect(tf1.momentum == 0.99 && tf1.epsilon == 1e-3);
    cr_expect(pytorch.momentum == 0.9 && pytorch.epsilon == 1e-5);
    /* TensorFlow 1 corrected the variance for convolutions only. */
    ct_module *bn = batch_norm(2, tf1);
    ct_tensor *x = centred(CT_F64, CT_SHAPE(30, 2), 3, 2, 1);
    double mean, variance;
    statistics(x, 2, 0, &mean, &variance);
    commit(train(bn, x));
    EXPECT_NEAR(element(read_slot(bn, "moving_variance"), 0), 0.99 + 0.01 * variance, 1e-14);
    ct_module_free(bn);
}

TEST(batch_norm, a_forward_without_a_commit_changes_nothing) {
    ct_module *bn = batch_norm(2, ct_batch_norm_defaults());
    uint64_t before = state_hash(bn, NULL);
    ct_tensor *x = data(1), *y = train(bn, x), *gradient, *loss = ct_sum_all(ct_square(y));
    OK(ct_grad(loss, &x, 1, &gradient));
    MADE(ct_data(gradient));
    MADE(ct_data(y));
    cr_expect_eq(state_hash(bn, NULL), before);
    ct_module_free(bn);
}

TEST(batch_norm, two_forwards_in_one_step_compose) {
    ct_module *once = batch_norm(2, with_momentum(0.6));
    ct_module *twice = batch_norm(2, with_momentum(0.6));
    commit(train(once, data(1)));
    commit(train(once, data(2)));
    ct_tensor *first = train(twice, data(1));
    commit(ct_add(first, train(twice, data(2))));
    cr_expect_eq(state_hash(once, NULL), state_hash(twice, NULL));
    ct_module_free(once);
    ct_module_free(twice);
}

/* One forward, two optimizers over disjoint parts: as in a GAN. */
TEST(batch_norm, two_optimizers_on_one_forward_move_statistics_once) {
    ct_batch_norm_options options = with_momentum(0.8);
    options.dtype = CT_F64;
    ct_dense_options plain = {.dtype = CT_F64};
    ct_module *front = CT_SEQUENTIAL("front", ct_batch_norm_new(1, options));
    ct_module *back = CT_SEQUENTIAL("back", ct_dense_new(1, 1, plain));
    ct_optimizer *first = ct_sgd_new(back, (ct_sgd_options){.rate = ct_rate(0.1)});
    ct_optimizer *second = ct_adam_new(front, ct_adam_defaults(0.1));
    cr_assert(first && second, "%s", ct_error_message());
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(2, 1), (double[]){0, 2});
    ct_tensor *y = ct_forward(back, ct_forward(front, x, CT_TRAINING), CT_TRAINING);
    ct_tensor *loss = ct_sum_all(ct_square(y)), *other = ct_sum_all(ct_square(ct_offset(y, -1)));
    OK(ct_optimizer_step(first, loss, NULL, 0));
    OK(ct_optimizer_step(second, other, &loss, 1));
    EXPECT_NEAR(ct_item(read_slot(front, "batch_norm/moving_mean")), 0.2, 1e-15);
    OK(ct_commit(&loss, 1, NULL, 0));
    EXPECT_NEAR(ct_item(read_slot(front, "batch_norm/moving_mean")), 0.2, 1e-15);
    /* A later forward counts, also together with one that is done. */
    ct_tensor *both[] = {loss, ct_forward(front, x, CT_TRAINING)};
    OK(ct_commit(both, 2, NULL, 0));
    EXPECT_NEAR(ct_item(read_slot(front, "batch_norm/moving_mean")), 0.36, 1e-15);
    ct_optimizer_free(first);
    ct_optimizer_free(second);
    ct_module_free(front);
    ct_module_free(back);
}

TEST(batch_norm, a_commit_that_failed_leaves_statistics_to_the_next) {
    ct_module *bn = batch_norm(2, with_momentum(0.6)), *once = batch_norm(2, with_momentum(0.6));
    uint64_t before = state_hash(bn, NULL);
    ct_tensor *y = train(bn, data(1));
    ct_update wrong = {slot_at(bn, "gamma"), ct_scalar(CT_F64, 1)};
    cr_expect_eq(ct_commit(&y, 1, &wrong, 1), CT_ERR_SHAPE);
    ct_error_clear();
    cr_expect_eq(state_hash(bn, NULL), before);
    commit(y);
    commit(y);
    commit(train(once, data(1)));
    cr_expect_eq(state_hash(bn, NULL), state_hash(once, NULL));
    ct_module_free(bn);
    ct_module_free(once);
}

TEST(batch_norm, frozen_means_inference) {
    ct_module *bn = batch_norm(2, ct_batch_norm_defaults());
    commit(train(bn, data(1)));
    uint64_t before = state_hash(bn, NULL);
    ct_module_freeze(bn, true);
    ct_tensor *x = data(2), *y = train(bn, x), *z = ct_forward(bn, x, CT_INFERENCE);
    cr_expect_eq(ct_item(ct_max(ct_abs(ct_sub(y, z)), CT_ALL)), 0);
    commit(y);
    cr_expect_eq(state_hash(bn, NULL), before);
    ct_module_freeze(bn, false);
    commit(train(bn, data(3)));
    cr_expect_neq(state_hash(bn, NULL), before);
    ct_module_free(bn);
}

/* gamma / sqrt(moving variance + epsilon) and nothing of the batch: entry i of the gradient of
 * entry j is 0 for i != j. */
TEST(batch_norm, inference_gradient_touches_no_batch_statistic) {
    ct_module *bn = batch_norm(2, ct_batch_norm_defaults());
    OK(ct_slot_write(slot_at(bn, "gamma"), ct_from(CT_F64, CT_SHAPE(2), (double[]){2, 0.5})));
    commit(train(bn, data(1)));
    ct_tensor *x = data(2), *y = ct_forward(bn, x, CT_INFERENCE), *gradient;
    ct_tensor *one = ct_slice(ct_reshape(y, CT_SHAPE(60)), 0, 7, 8, 1);
    OK(ct_grad(ct_sum_all(one), &x, 1, &gradient));
    double wanted = 0.5 / sqrt(element(read_slot(bn, "moving_variance"), 1) + 1e-3);
    for (int64_t i = 0; i < 60; i++) {
        EXPECT_NEAR(element(gradient, i), i == 7 ? wanted : 0.0, 1e-15);
    }
    ct_module_free(bn);
}

TEST(batch_norm, any_axis_and_no_scale_or_center) {
    ct_batch_norm_options options = ct_batch_norm_defaults();
    options.axis = 1;
    options.no_scale = options.no_center = true;
    ct_module *bn = batch_norm(2, options);
    ct_slot_list list;
    OK(ct_module_list(bn, &list));
    cr_expect_eq(list.count, 2);
    cr_expect_not(list.items[0].trainable || list.items[1].trainable);
    ct_slot_list_free(&list);
    ct_tensor *x = centred(CT_F64, CT_SHAPE(4, 2, 3), 1, 2, 1);
    ct_tensor *y = ct_permute(train(bn, x), CT_AXES(0, 2, 1));
    ct_tensor *last = ct_batch_norm(ct_permute(x, CT_AXES(0, 2, 1)), ct_scalar(CT_F64, 1),
                                    ct_scalar(CT_F64, 0), -1, 1e-3, NULL, NULL);
    cr_expect_lt(ct_item(ct_max(ct_abs(ct_sub(y, last)), CT_ALL)), 1e-14);
    ct_module_free(bn);
}

/* Channels first, as in PyTorch without the batch: axis 0 is an axis like any other. */
TEST(batch_norm, axis_0_and_epsilon_0) {
    ct_batch_norm_options options = ct_batch_norm_defaults();
    options.axis = 0;
    options.epsilon = 0;
    ct_module *bn = batch_norm(2, options);
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(2, 2), (double[]){1, 3, 10, 30});
    cr_expect_lt(distance(train(bn, x), (double[]){-1, 1, -1, 1}), 1e-15);
    ct_module_free(bn);
}

/* After 10 steps .99^10 of the initial statistics is left, so a model must evaluate badly. */
TEST(batch_norm, moving_statistics_need_steps) {
    ct_module *bn = batch_norm(1, ct_batch_norm_defaults());
    ct_tensor *x = ct_offset(ct_full(CT_F64, CT_SHAPE(4, 1), 0), 5);
    for (int step = 0; step < 10; step++) commit(train(bn, x));
    EXPECT_NEAR(ct_item(read_slot(bn, "moving_mean")), 5 * (1 - pow(0.99, 10)), 1e-13);
    EXPECT_NEAR(ct_item(read_slot(bn, "moving_variance")), pow(0.99, 10), 1e-13);
    ct_module_free(bn);
}

TEST(batch_norm, says_what_does_not_fit) {
    ct_module *model = CT_SEQUENTIAL("net", ct_batch_norm_new(2, ct_batch_norm_defaults()));
    MADE(model);
    cr_expect_null(train(model, centred(CT_F32, CT_SHAPE(4, 3), 1, 1, 0)));
    expect_error(CT_ERR_SHAPE, "BatchNorm: made for 2 channels, x is [4,3] (in net/batch_norm)");
    cr_expect_null(train(model, centred(CT_F32, CT_SHAPE(1, 2), 1, 1, 0)));
    expect_error(CT_ERR_SHAPE,
                 "BatchNorm: training needs > 1 value per channel, got 1 (x is [1,2]); drop_last "
                 "of ct_batches_options leaves out a last batch of one row (in net/batch_norm)");
    cr_expect_null(train(model, centred(CT_F32, CT_SHAPE(0, 2), 1, 1, 0)));
    expect_error(CT_ERR_SHAPE, "BatchNorm: training needs > 1 value per channel, got 0 (x is "
                               "[0,2]) (in net/batch_norm)");
    MADE(ct_forward(model, centred(CT_F32, CT_SHAPE(1, 2), 1, 1, 0), CT_INFERENCE));
    cr_expect_null(ct_batch_norm_new(2, with_momentum(1.5)));
    expect_error(CT_ERR_RANGE, "ct_batch_norm_new: momentum must be in [0,1] and epsilon >= 0, got "
                               "1.5 and 0.001");
    cr_expect_null(ct_batch_norm_new(2, (ct_batch_norm_options){0}));
    expect_error(CT_ERR_STATE, "ct_batch_norm_new: start from ct_batch_norm_defaults()");
    ct_module_free(model);
}
