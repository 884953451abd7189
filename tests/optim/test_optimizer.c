/* The optimizer's step: one plan, nothing to compute afterwards, gradient accumulation, lists,
 * refusals. What a failing allocation leaves behind is in test_training_memory.c. */
#include "tests/support/nn_support.h"

static ct_tensor *images(int64_t n, uint32_t salt) {
    return centred(CT_F32, CT_SHAPE(n, 6, 6, 2), salt, 1, 0);
}

/* --- One evaluation --------------------------------------------------------------------------- */

TEST(optimizer, reading_after_a_step_runs_nothing) {
    ct_module *model = small_cnn(0.5);
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    ct_tensor *x = images(8, 1), *labels = some_labels(8, 3, 2);
    MADE(ct_data(x));
    for (int step = 0; step < 3; step++) {
        ct_tensor *logits = ct_logits(model, x, CT_TRAINING);
        ct_tensor *loss = ct_cross_entropy(logits, labels), *accuracy = ct_accuracy(logits, labels);
        int64_t before = ct_stats_read().evaluations;
        OK(ct_optimizer_step(adam, loss, &accuracy, 1));
        cr_expect_eq(ct_stats_read().evaluations, before + 1);
        cr_expect(isfinite(ct_item(loss)) && ct_item(accuracy) <= 1);
        cr_expect_eq(ct_stats_read().evaluations, before + 1);
    }
    ct_optimizer_free(adam);
    ct_module_free(model);
}

/* Looking at gradients beside a step costs no second backward pass. */
TEST(optimizer, gradients_that_are_looked_at_are_those_of_the_step) {
    ct_module *model = seed_model(true, CT_F32);
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.001));
    ct_tensor *x = centred(CT_F32, CT_SHAPE(2, 28, 28, 1), 1, 1, 0);
    ct_tensor *labels = some_labels(2, 10, 2);
    int64_t kernels[2];
    for (int look = 0; look < 2; look++) {
        ct_tensor *loss = ct_cross_entropy(ct_logits(model, x, CT_TRAINING), labels);
        ct_tensor *also[] = {loss, NULL, NULL};
        ct_slot_list list;
        OK(ct_module_list(model, &list));
        for (int k = 0; k < 2 && look; k++) {
            ct_tensor *parameter = ct_slot_read(list.items[5 * k].slot), *gradient;
            OK(ct_grad(loss, &parameter, 1, &gradient));
            MADE(also[1 + k] = ct_norm(gradient));
        }
        ct_slot_list_free(&list);
        OK(ct_optimizer_step(adam, loss, also, look ? 3 : 1));
        kernels[look] = ct_plan_last().kernels;
    }
    cr_expect_eq(kernels[1], kernels[0], "%lld kernels, %lld without looking",
                 (long long)kernels[1], (long long)kernels[0]);
    ct_optimizer_free(adam);
    ct_module_free(model);
}

TEST(optimizer, a_thousand_steps_under_a_schedule_are_one_plan) {
    ct_module *model = small_mlp();
    ct_adam_options options = ct_adam_defaults(0.01);
    options.rate = ct_rate_warmup(ct_rate_cosine(0.01, 0.1, 900), 50);
    ct_optimizer *adam = ct_adam_new(model, options);
    ct_tensor *x = centred(CT_F32, CT_SHAPE(5, 4), 1, 1, 0), *labels = some_labels(5, 3, 2);
    MADE(ct_data(x));
    ct_stats_reset();
    for (int step = 0; step < 1000; step++) {
        int64_t scope = ct_scope_open();
        ct_tensor *loss = ct_cross_entropy(ct_logits(model, x, CT_TRAINING), labels);
        OK(ct_optimizer_step(adam, loss, NULL, 0));
        ct_scope_close(scope);
    }
    cr_expect_eq(ct_stats_read().plan_misses, 1);
    cr_expect_eq(ct_stats_read().evaluations, 1000);
    cr_expect_eq(ct_optimizer_steps(adam), 1000);
    ct_optimizer_free(adam);
    ct_module_free(model);
}

/* --- Accumulation ----------------------------------------------------------------------------- */

static ct_module *linear(void) {
    ct_seed_set(3);
    ct_module *model = ct_dense_new(4, 2, (ct_dense_options){.dtype = CT_F64});
    cr_assert_not_null(model, "%s", ct_error_message());
    return model;
}

static void step_on(ct_module *model, ct_optimizer *optimizer, ct_tensor *x, ct_tensor *y) {
    OK(ct_optimizer_step(optimizer, ct_mse(ct_forward(model, x, CT_TRAINING), y), NULL, 0));
}

TEST(optimizer, accumulated_batches_equal_one_big_batch) {
    enum { PARTS = 4, ROWS = 3 };
    ct_module *whole = linear(), *parts = linear();
    ct_adam_options options = ct_adam_defaults(0.05);
    ct_optimizer *one = ct_adam_new(whole, options);
    options.step.accumulate = PARTS;
    ct_optimizer *many = ct_adam_new(parts, options);
    for (uint32_t round = 0; round < 5; round++) {
        ct_tensor *x = centred(CT_F64, CT_SHAPE(PARTS * ROWS, 4), round, 1, 0);
        ct_tensor *y = centred(CT_F64, CT_SHAPE(PARTS * ROWS, 2), 50 + round, 1, 0);
        step_on(whole, one, x, y);
        uint64_t before = state_hash(parts, NULL);
        for (int64_t k = 0; k < PARTS; k++) {
            cr_expect_eq(state_hash(parts, NULL), before, "changed after %lld parts", (long long)k);
            step_on(parts, many, ct_slice(x, 0, k * ROWS, (k + 1) * ROWS, 1),
                    ct_slice(y, 0, k * ROWS, (k + 1) * ROWS, 1));
            cr_expect_eq(ct_optimizer_steps(many), round + (k + 1 == PARTS));
        }
        ct_tensor *gap = ct_sub(read_slot(whole, "kernel"), read_slot(parts, "kernel"));
        cr_expect_lt(ct_item(ct_max(ct_abs(gap), CT_ALL)), 1e-14);
    }
    ct_optimizer_free(one);
    ct_optimizer_free(many);
    ct_module_free(whole);
    ct_module_free(parts);
}

/* Moving statistics move with every batch, also while gradients only accumulate. */
TEST(optimizer, accumulation_commits_staged_statistics) {
    ct_module *model = small_cnn(0);
    ct_optimizer *sgd = ct_sgd_new(
        model, (ct_sgd_options){.rate = ct_rate(0.1), .step = {.accumulate = 3}});
    ct_tensor *kernel = read_slot(model, "dense/kernel");
    ct_tensor *mean = read_slot(model, "batch_norm/moving_mean");
    ct_tensor *logits = ct_logits(model, images(4, 1), CT_TRAINING);
    OK(ct_optimizer_step(sgd, ct_cross_entropy(logits, some_labels(4, 3, 2)), NULL, 0));
    cr_expect(ct_slot_holds(slot_at(model, "dense/kernel"), kernel));
    cr_expect_not(ct_slot_holds(slot_at(model, "batch_norm/moving_mean"), mean));
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* --- Lists and ownership ---------------------------------------------------------------------- */

TEST(optimizer, lists_its_slots_by_path) {
    static const char *const wanted[] = {
        "adam/steps",
        "adam/net/kernel/m",
        "adam/net/kernel/v",
        "adam/net/kernel/accumulated",
        "adam/net/bias/m",
        "adam/net/bias/v",
        "adam/net/bias/accumulated",
    };
    ct_module *dense = ct_dense_new(4, 2, (ct_dense_options){0});
    OK(ct_module_rename(dense, "net"));
    ct_module *model = CT_SEQUENTIAL("outer", dense);
    ct_adam_options options = ct_adam_defaults(0.1);
    options.step.accumulate = 2;
    ct_optimizer *adam = ct_adam_new(model, options);
    ct_slot_list list;
    OK(ct_optimizer_list(adam, &list));
    cr_assert_eq(list.count, 7);
    for (int i = 0; i < 7; i++) cr_expect_str_eq(list.items[i].path, wanted[i]);
    ct_slot_list_free(&list);
    /* It keeps the slots, not the model. */
    ct_module_free(model);
    OK(ct_optimizer_list(adam, &list));
    ct_slot_list_free(&list);
    ct_optimizer_free(adam);
    ct_optimizer_free(NULL);
}

/* --- Refusals --------------------------------------------------------------------------------- */

static ct_tensor *loss_of(ct_module *model) {
    ct_tensor *logits = ct_logits(model, centred(CT_F32, CT_SHAPE(5, 4), 1, 1, 0), CT_TRAINING);
    return ct_cross_entropy(logits, some_labels(5, 3, 2));
}

TEST(optimizer, refuses_a_stale_loss) {
    ct_module *model = small_mlp();
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    ct_tensor *first = loss_of(model), *second = loss_of(model);
    OK(ct_optimizer_step(adam, first, NULL, 0));
    uint64_t before = state_hash(model, adam);
    cr_expect_eq(ct_optimizer_step(adam, second, NULL, 0), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_optimizer_step: 'dense/kernel' was changed after the loss was "
                               "built; build the loss again");
    cr_expect_eq(state_hash(model, adam), before);
    OK(ct_optimizer_step(adam, loss_of(model), NULL, 0));
    ct_optimizer_free(adam);
    ct_module_free(model);
}

#define REACHES_NONE                                                                              \
    "ct_optimizer_step: the loss reaches no parameter, 'dense/kernel' for one; it is of another " \
    "model, or of values (ct_detach, ct_stop_gradient, ct_from, ct_own_rows)"

TEST(optimizer, refuses_a_parameter_that_the_loss_does_not_reach) {
    ct_module *model = small_mlp(), *other = small_mlp();
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    uint64_t before = state_hash(model, adam);
    cr_expect_eq(ct_optimizer_step(adam, loss_of(other), NULL, 0), CT_ERR_GRADIENT);
    expect_error(CT_ERR_GRADIENT, REACHES_NONE);
    ct_tensor *scale = ct_sum_all(read_slot(model, "dense/bias"));
    cr_expect_eq(ct_optimizer_step(adam, scale, NULL, 0), CT_ERR_GRADIENT);
    expect_error(CT_ERR_GRADIENT, "ct_optimizer_step: 'dense/kernel' has no gradient (not reached "
                                  "from the loss); step.allow_unused leaves such parameters "
                                  "alone");
    cr_expect_eq(state_hash(model, adam), before);
    ct_optimizer_free(adam);
    ct_module_free(model);
    ct_module_free(other);
}

TEST(optimizer, says_what_does_not_fit) {
    ct_module *model = small_mlp();
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    cr_expect_eq(ct_optimizer_step(adam, NULL, NULL, 0), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_step: 'loss' is NULL");
    cr_expect_eq(ct_optimizer_step(NULL, loss_of(model), NULL, 0), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_step: 'optimizer' is NULL");
    uint64_t before = state_hash(model, adam);
    ct_tensor *logits = ct_logits(model, centred(CT_F32, CT_SHAPE(5, 4), 1, 1, 0), CT_TRAINING);
    cr_expect_eq(ct_optimizer_step(adam, logits, NULL, 0), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE,
                 "ct_optimizer_step: the loss must be one number of f32, f64 or p61, got "
                 "f32 [5,3]");
    cr_expect_eq(ct_optimizer_step(adam, ct_sum_all(ct_argmax(logits, 1)), NULL, 0), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE,
                 "ct_optimizer_step: the loss must be one number of f32, f64 or p61, got "
                 "i64 []");
    ct_tensor *nothing = NULL;
    cr_expect_eq(ct_optimizer_step(adam, loss_of(model), &nothing, 1), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_step: also[0] is NULL");
    cr_expect_eq(state_hash(model, adam), before);
    cr_expect_null(ct_adam_new(NULL, ct_adam_defaults(0.01)));
    expect_error(CT_ERR_NULL, "ct_adam_new: 'model' is NULL");
    cr_expect_null(ct_adam_new(model, ct_adam_defaults((double)NAN)));
    expect_error(CT_ERR_RANGE, "ct_adam_new: rate must be finite and >= 0, got nan");
    ct_sgd_options options = {.rate = ct_rate(0.1), .step = {.clip_norm = -1}};
    cr_expect_null(ct_sgd_new(model, options));
    expect_error(CT_ERR_RANGE, "ct_sgd_new: clip_norm must be in [0,1e+300), got -1");
    options.step = (ct_step_options){.accumulate = -2};
    cr_expect_null(ct_sgd_new(model, options));
    expect_error(CT_ERR_RANGE, "ct_sgd_new: accumulate must be >= 0, got -2");
    cr_expect_null(ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.1), .momentum = -1}));
    expect_error(CT_ERR_RANGE, "ct_sgd_new: momentum must be in [0,1), got -1");
    ct_optimizer_free(adam);
    ct_module_free(model);
}

TEST(optimizer, frozen_parameters_are_not_touched) {
    ct_module *model = small_mlp();
    ct_module_freeze(model->children[0], true);
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.1)});
    ct_tensor *frozen = read_slot(model, "dense/kernel");
    ct_tensor *free_one = read_slot(model, "dense_1/kernel");
    OK(ct_optimizer_step(sgd, loss_of(model), NULL, 0));
    cr_expect(ct_slot_holds(slot_at(model, "dense/kernel"), frozen));
    cr_expect_not(ct_slot_holds(slot_at(model, "dense_1/kernel"), free_one));
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* --- Freezing at any time --------------------------------------------------------------------- */

static void train_on(ct_module *model, ct_optimizer *optimizer, uint32_t salt) {
    ct_tensor *logits = ct_logits(model, images(4, salt), CT_TRAINING);
    OK(ct_optimizer_step(optimizer, ct_cross_entropy(logits, some_labels(4, 3, 2)), NULL, 0));
}

static ct_slot *moment(ct_optimizer *optimizer, const char *path) {
    ct_slot_list list;
    OK(ct_optimizer_list(optimizer, &list));
    ct_slot *found = NULL;
    for (int64_t i = 0; i < list.count; i++) {
        if (strcmp(list.items[i].path, path) == 0) found = list.items[i].slot;
    }
    ct_slot_list_free(&list);
    cr_assert_not_null(found, "no slot '%s'", path);
    return found;
}

/* A convolution that was frozen for a while goes on with the moments that it had. */
TEST(optimizer, freezing_and_thawing_take_effect_at_the_next_step) {
    ct_module *model = small_cnn(0), *conv = model->children[0];
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    train_on(model, adam, 1);
    ct_slot *kernel = slot_at(model, "conv2d/kernel"), *m = moment(adam, "adam/conv2d/kernel/m");
    ct_tensor *kernel_then = ct_slot_read(kernel), *m_then = ct_slot_read(m);
    ct_module_freeze(conv, true);
    ct_tensor *head = read_slot(model, "dense/kernel");
    for (uint32_t step = 2; step < 5; step++) train_on(model, adam, step);
    cr_expect(ct_slot_holds(kernel, kernel_then) && ct_slot_holds(m, m_then));
    cr_expect_not(ct_slot_holds(slot_at(model, "dense/kernel"), head));
    ct_module_freeze(conv, false);
    ct_tensor *logits = ct_logits(model, images(4, 5), CT_TRAINING), *g;
    ct_tensor *loss = ct_cross_entropy(logits, some_labels(4, 3, 2));
    OK(ct_grad(loss, &kernel_then, 1, &g));
    OK(ct_optimizer_step(adam, loss, &g, 1));
    cr_expect_not(ct_slot_holds(kernel, kernel_then));
    ct_tensor *wanted = ct_add(ct_scale(m_then, 0.9), ct_scale(g, 0.1));
    ct_tensor *gap = ct_sub(ct_slot_read(m), wanted);
    cr_expect_lt(ct_item(ct_max(ct_abs(gap), CT_ALL)), 1e-7);
    ct_optimizer_free(adam);
    ct_module_free(model);
}

TEST(optimizer, what_was_frozen_when_it_was_made_trains_when_thawed) {
    ct_module *model = small_cnn(0);
    ct_module_freeze(model, true);
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    MADE(adam);
    uint64_t before = state_hash(model, adam);
    ct_tensor *logits = ct_logits(model, images(4, 1), CT_TRAINING);
    ct_tensor *loss = ct_cross_entropy(logits, some_labels(4, 3, 2));
    cr_expect_eq(ct_optimizer_step(adam, loss, NULL, 0), CT_ERR_STATE);
    expect_error(CT_ERR_STATE,
                 "ct_optimizer_step: nothing is left to train: all 5 parameters of the optimizer "
                 "are frozen, 'conv2d/kernel' first; ct_module_freeze thaws");
    cr_expect_eq(state_hash(model, adam), before);
    ct_module_freeze(model, false);
    ct_tensor *kernel = read_slot(model, "conv2d/kernel");
    train_on(model, adam, 1);
    cr_expect_not(ct_slot_holds(slot_at(model, "conv2d/kernel"), kernel));
    ct_optimizer_free(adam);
    ct_module_free(model);
}

TEST(optimizer, a_batch_norm_that_is_frozen_late_stays_what_it_is) {
    ct_module *model = small_cnn(0), *bn = model->children[1];
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    train_on(model, adam, 1);
    ct_module_freeze(bn, true);
    uint64_t before = state_hash(bn, NULL);
    train_on(model, adam, 2);
    cr_expect_eq(state_hash(bn, NULL), before);
    /* Also when the loss was built before. */
    ct_module_freeze(bn, false);
    ct_tensor *logits = ct_logits(model, images(4, 3), CT_TRAINING);
    ct_tensor *loss = ct_cross_entropy(logits, some_labels(4, 3, 2));
    ct_module_freeze(bn, true);
    OK(ct_optimizer_step(adam, loss, NULL, 0));
    cr_expect_eq(state_hash(bn, NULL), before);
    ct_module_freeze(bn, false);
    train_on(model, adam, 4);
    cr_expect_neq(state_hash(bn, NULL), before);
    ct_optimizer_free(adam);
    ct_module_free(model);
}

/* Half a round of a parameter that was frozen in between does not come up in a later one. */
TEST(optimizer, accumulated_gradients_of_frozen_parameters_are_forgotten) {
    ct_module *model = small_cnn(0), *head = model->children[6];
    ct_sgd_options options = {.rate = ct_rate(1), .step = {.accumulate = 2}};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    ct_slot *kernel = slot_at(model, "dense/kernel");
    ct_slot *sum = moment(sgd, "sgd/dense/kernel/accumulated");
    ct_tensor *before = ct_slot_read(kernel);
    train_on(model, sgd, 1);
    cr_expect_gt(ct_item(ct_sum_all(ct_abs(ct_slot_read(sum)))), 0);
    ct_module_freeze(head, true);
    train_on(model, sgd, 2);
    cr_expect_eq(ct_item(ct_sum_all(ct_abs(ct_slot_read(sum)))), 0);
    cr_expect(ct_slot_holds(kernel, before));
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

TEST(optimizer, frozen_gradients_do_not_count_for_the_clipped_norm) {
    ct_module *model = small_mlp();
    ct_sgd_options options = {.rate = ct_rate(1), .step = {.clip_norm = 1e-3}};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    ct_module_freeze(model->children[0], true);
    ct_tensor *kernel = read_slot(model, "dense_1/kernel");
    ct_tensor *bias = read_slot(model, "dense_1/bias");
    OK(ct_optimizer_step(sgd, loss_of(model), NULL, 0));
    ct_tensor *moved = ct_add(
        ct_sum_all(ct_square(ct_sub(read_slot(model, "dense_1/kernel"), kernel))),
        ct_sum_all(ct_square(ct_sub(read_slot(model, "dense_1/bias"), bias))));
    EXPECT_NEAR(sqrt(ct_item(moved)) / 1e-3, 1, 1e-3);
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* Zeros would let weight decay and moments move it. */
TEST(optimizer, refuses_a_parameter_behind_stop_gradient) {
    ct_module *model = small_mlp();
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    ct_tensor *x = centred(CT_F32, CT_SHAPE(5, 4), 1, 1, 0);
    ct_tensor *hidden = ct_stop_gradient(ct_forward(model->children[0], x, CT_TRAINING));
    ct_tensor *loss = ct_cross_entropy(ct_forward(model->children[2], hidden, CT_TRAINING),
                                       some_labels(5, 3, 2));
    cr_expect_eq(ct_optimizer_step(adam, loss, NULL, 0), CT_ERR_GRADIENT);
    cr_expect_not_null(strstr(ct_error_message(), "'dense/kernel' has no gradient"));
    ct_error_clear();
    ct_module_freeze(model->children[0], true);
    OK(ct_optimizer_step(adam, loss, NULL, 0));
    ct_optimizer_free(adam);
    ct_module_free(model);
}

/* --- Parameters without a use ----------------------------------------------------------------- */

/* A body with two heads, of which a loss takes one. */
static ct_module *two_heads(void) {
    ct_module *model = CT_SEQUENTIAL("m", ct_dense_new(4, 3, (ct_dense_options){0}),
                                     ct_dense_new(3, 2, (ct_dense_options){0}),
                                     ct_dense_new(3, 2, (ct_dense_options){0}));
    MADE(model);
    return model;
}

static ct_tensor *head_loss(ct_module *model, int head) {
    ct_tensor *x = centred(CT_F32, CT_SHAPE(5, 4), 1, 1, 0);
    ct_tensor *body = ct_forward(model->children[0], x, CT_TRAINING);
    return ct_sum_all(ct_square(ct_forward(model->children[head], body, CT_TRAINING)));
}

TEST(optimizer, an_unused_head_stays_on_request) {
    ct_module *model = two_heads();
    ct_adam_options options = ct_adamw_defaults(0.01);
    options.step.allow_unused = true;
    ct_optimizer *adam = ct_adamw_new(model, options);
    MADE(adam);
    OK(ct_optimizer_step(adam, ct_add(head_loss(model, 1), head_loss(model, 2)), NULL, 0));
    ct_slot *const still[] = {slot_at(model, "dense_2/kernel"), slot_at(model, "dense_2/bias"),
                              moment(adam, "adam/dense_2/kernel/m"),
                              moment(adam, "adam/dense_2/kernel/v")};
    ct_tensor *before[4], *used = read_slot(model, "dense_1/kernel");
    for (int i = 0; i < 4; i++) before[i] = ct_slot_read(still[i]);
    OK(ct_optimizer_step(adam, head_loss(model, 1), NULL, 0));
    for (int i = 0; i < 4; i++) cr_expect(ct_slot_holds(still[i], before[i]), "slot %d", i);
    cr_expect_not(ct_slot_holds(slot_at(model, "dense_1/kernel"), used));
    OK(ct_optimizer_step(adam, head_loss(model, 2), NULL, 0));
    for (int i = 0; i < 4; i++) cr_expect_not(ct_slot_holds(still[i], before[i]), "slot %d", i);
    ct_optimizer_free(adam);
    ct_module_free(model);
}

TEST(optimizer, unused_is_not_stale_and_not_everything) {
    ct_module *model = two_heads(), *other = two_heads();
    ct_sgd_options options = {.rate = ct_rate(0.1), .step = {.allow_unused = true}};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    ct_tensor *stale = head_loss(model, 1);
    cr_expect_eq(ct_optimizer_step(sgd, head_loss(other, 1), NULL, 0), CT_ERR_GRADIENT);
    expect_error(CT_ERR_GRADIENT, REACHES_NONE);
    OK(ct_optimizer_step(sgd, head_loss(model, 2), NULL, 0));
    cr_expect_eq(ct_optimizer_step(sgd, stale, NULL, 0), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_optimizer_step: 'dense/kernel' was changed after the loss was "
                               "built; build the loss again");
    ct_optimizer_free(sgd);
    ct_module_free(model);
    ct_module_free(other);
}

/* A head that one batch of a round uses moves by the mean, one that none uses stays. */
TEST(optimizer, unused_under_accumulation) {
    ct_module *model = two_heads();
    ct_sgd_options options = {
        .rate = ct_rate(0.1), .weight_decay = 0.5, .step = {.accumulate = 2, .allow_unused = true}};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    MADE(sgd);
    ct_slot *one = slot_at(model, "dense_1/kernel"), *two = slot_at(model, "dense_2/kernel");
    ct_tensor *one_then = ct_slot_read(one), *two_then = ct_slot_read(two), *g;
    ct_tensor *loss = head_loss(model, 1);
    OK(ct_grad(loss, &one_then, 1, &g));
    OK(ct_optimizer_step(sgd, loss, &g, 1));
    ct_tensor *x = centred(CT_F32, CT_SHAPE(5, 4), 1, 1, 0);
    ct_tensor *body = ct_sum_all(ct_forward(model->children[0], x, CT_TRAINING));
    OK(ct_optimizer_step(sgd, body, NULL, 0));
    cr_expect_eq(ct_optimizer_steps(sgd), 1);
    cr_expect(ct_slot_holds(two, two_then));
    ct_tensor *step = ct_add(ct_scale(g, 0.5), ct_scale(one_then, 0.5));
    ct_tensor *gap = ct_sub(ct_slot_read(one), ct_sub(one_then, ct_scale(step, 0.1)));
    cr_expect_lt(ct_item(ct_max(ct_abs(gap), CT_ALL)), 1e-7);
    /* The next round begins with nothing. */
    one_then = ct_slot_read(one);
    for (int k = 0; k < 2; k++) OK(ct_optimizer_step(sgd, head_loss(model, 2), NULL, 0));
    cr_expect(ct_slot_holds(one, one_then));
    cr_expect_not(ct_slot_holds(two, two_then));
    ct_optimizer_free(sgd);
    ct_module_free(model);
}
