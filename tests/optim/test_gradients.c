/* A step in two halves: gradients that are looked at and changed before they are applied; the rate
 * of a step. */
#include "tests/support/nn_support.h"

static ct_tensor *loss_of(ct_module *model, uint32_t salt) {
    ct_tensor *x = centred(CT_F32, CT_SHAPE(4, 6, 6, 2), salt, 1, 0);
    return ct_cross_entropy(ct_logits(model, x, CT_TRAINING), some_labels(4, 3, 2));
}

enum { MOST = 8 };

static int64_t trained(ct_optimizer *optimizer) {
    ct_slot_list list;
    OK(ct_optimizer_parameters(optimizer, &list));
    int64_t n = list.count;
    cr_assert_leq(n, MOST);
    ct_slot_list_free(&list);
    return n;
}

static ct_adam_options careful(void) {
    ct_adam_options options = ct_adam_defaults(0.01);
    options.rate = ct_rate_cosine(0.01, 0.1, 10);
    options.step = (ct_step_options){.clip_norm = 0.1, .accumulate = 2};
    return options;
}

TEST(gradients, two_halves_are_a_step_bit_for_bit) {
    ct_seed_set(3);
    ct_module *whole = small_cnn(0);
    ct_seed_set(3);
    ct_module *halves = small_cnn(0);
    ct_optimizer *one = ct_adam_new(whole, careful()), *two = ct_adam_new(halves, careful());
    for (uint32_t k = 0; k < 5; k++) {
        OK(ct_optimizer_step(one, loss_of(whole, k), NULL, 0));
        ct_tensor *loss = loss_of(halves, k), *g[MOST];
        int64_t n = trained(two), before = ct_stats_read().evaluations;
        OK(ct_optimizer_gradients(two, loss, g, n));
        cr_expect_eq(ct_stats_read().evaluations, before);
        OK(ct_optimizer_apply(two, loss, g, n, NULL, 0));
        cr_expect_eq(ct_stats_read().evaluations, before + 1);
        cr_expect(isfinite(ct_item(loss)));
        for (int64_t i = 0; i < n; i++) MADE(ct_data(g[i]));
        cr_expect_eq(ct_stats_read().evaluations, before + 1);
        cr_expect_eq(state_hash(halves, two), state_hash(whole, one), "step %u", k);
    }
    cr_expect_eq(ct_optimizer_steps(two), 2);
    ct_optimizer_free(one), ct_optimizer_free(two);
    ct_module_free(whole), ct_module_free(halves);
}

/* The list has the order of the gradients and the paths of the model. */
TEST(gradients, are_in_the_order_of_the_list) {
    ct_module *model = small_mlp();
    ct_module_freeze(model->children[0], true);
    ct_sgd_options options = {.rate = ct_rate(0.5)};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    ct_slot_list list;
    OK(ct_optimizer_parameters(sgd, &list));
    cr_assert_eq(list.count, 2);
    cr_expect_str_eq(list.items[0].path, "dense_1/kernel");
    cr_expect_str_eq(list.items[1].path, "dense_1/bias");
    ct_tensor *x = centred(CT_F32, CT_SHAPE(5, 4), 1, 1, 0), *g[2], *before[2], *changed[2];
    ct_tensor *loss = ct_cross_entropy(ct_logits(model, x, CT_TRAINING), some_labels(5, 3, 2));
    OK(ct_optimizer_gradients(sgd, loss, g, 2));
    for (int i = 0; i < 2; i++) {
        before[i] = ct_slot_read(list.items[i].slot);
        changed[i] = ct_scale(g[i], i ? 3 : 0.25);
    }
    OK(ct_optimizer_apply(sgd, loss, changed, 2, g, 2));
    for (int i = 0; i < 2; i++) {
        ct_tensor *wanted = ct_sub(before[i], ct_scale(changed[i], 0.5));
        ct_tensor *gap = ct_sub(ct_slot_read(list.items[i].slot), wanted);
        cr_expect_lt(ct_item(ct_max(ct_abs(gap), CT_ALL)), 1e-7, "%d", i);
    }
    ct_slot_list_free(&list);
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* --- Parameters without a gradient ------------------------------------------------------------ */

static ct_module *two_heads(void) {
    ct_module *model = CT_SEQUENTIAL("m", ct_dense_new(4, 2, (ct_dense_options){.no_bias = true}),
                                     ct_dense_new(4, 2, (ct_dense_options){.no_bias = true}));
    MADE(model);
    return model;
}

static ct_tensor *head_loss(ct_module *model, int head) {
    ct_tensor *x = centred(CT_F32, CT_SHAPE(5, 4), 1, 1, 0);
    return ct_sum_all(ct_square(ct_forward(model->children[head], x, CT_TRAINING)));
}

TEST(gradients, of_an_unused_head_are_absent) {
    ct_module *model = two_heads();
    ct_adam_options options = ct_adamw_defaults(0.01);
    ct_optimizer *strict = ct_adamw_new(model, options);
    options.step.allow_unused = true;
    ct_optimizer *adam = ct_adamw_new(model, options);
    ct_tensor *loss = head_loss(model, 1), *g[2] = {NULL, NULL};
    cr_expect_eq(ct_optimizer_gradients(strict, loss, g, 2), CT_ERR_GRADIENT);
    expect_error(CT_ERR_GRADIENT, "ct_optimizer_gradients: 'dense/kernel' has no gradient (not "
                                  "reached from the loss); step.allow_unused leaves such "
                                  "parameters alone");
    cr_expect(!g[0] && !g[1]);
    OK(ct_optimizer_gradients(adam, loss, g, 2));
    cr_expect_null(g[0]);
    ct_tensor *unused = read_slot(model, "dense/kernel"),
              *used = read_slot(model, "dense_1/kernel");
    /* What failed on the way is not taken for absent. */
    uint64_t before = state_hash(model, adam);
    ct_tensor *lost = ct_add(ct_scalar(CT_F32, 1), ct_scalar(CT_F64, 1));
    cr_expect_null(lost);
    cr_expect_neq(ct_optimizer_apply(adam, loss, (ct_tensor *[]){lost, g[1]}, 2, NULL, 0), CT_OK);
    cr_expect_eq(state_hash(model, adam), before);
    ct_error_clear();
    OK(ct_optimizer_apply(adam, loss, g, 2, NULL, 0));
    cr_expect(ct_slot_holds(slot_at(model, "dense/kernel"), unused));
    cr_expect_not(ct_slot_holds(slot_at(model, "dense_1/kernel"), used));
    ct_optimizer_free(strict), ct_optimizer_free(adam);
    ct_module_free(model);
}

/* --- Refusals --------------------------------------------------------------------------------- */

TEST(gradients, that_do_not_fit_are_refused) {
    ct_module *model = two_heads();
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.1)});
    ct_tensor *loss = ct_add(head_loss(model, 0), head_loss(model, 1)), *g[3];
    uint64_t before = state_hash(model, sgd);
    cr_expect_eq(ct_optimizer_gradients(sgd, loss, g, 3), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_optimizer_gradients: n is 3, the optimizer trains 2 parameters "
                               "now (see ct_optimizer_parameters)");
    cr_expect_eq(ct_optimizer_gradients(sgd, loss, NULL, 2), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_gradients: 'out' is NULL");
    cr_expect_eq(ct_optimizer_gradients(NULL, loss, g, 2), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_gradients: 'optimizer' is NULL");
    OK(ct_optimizer_gradients(sgd, loss, g, 2));
    cr_expect_eq(ct_optimizer_apply(sgd, loss, g, 1, NULL, 0), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_optimizer_apply: n is 1, the optimizer trains 2 parameters now "
                               "(see ct_optimizer_parameters)");
    cr_expect_eq(ct_optimizer_apply(sgd, NULL, g, 2, NULL, 0), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_apply: 'loss' is NULL");
    cr_expect_eq(ct_optimizer_apply(sgd, loss, NULL, 2, NULL, 0), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_apply: 'gradients' is NULL");
    ct_tensor *wrong[] = {g[0], ct_sum(g[1], CT_AXES(0)), NULL};
    cr_expect_eq(ct_optimizer_apply(sgd, loss, wrong, 2, NULL, 0), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_optimizer_apply: 'dense_1/kernel' is f32 [4,2], its gradient "
                               "f32 [2]");
    wrong[1] = NULL;
    cr_expect_eq(ct_optimizer_apply(sgd, loss, wrong, 2, NULL, 0), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_apply: the gradient of 'dense_1/kernel' is NULL");
    cr_expect_eq(ct_optimizer_apply(sgd, loss, g, 2, &wrong[1], 1), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_apply: also[0] is NULL");
    cr_expect_eq(ct_optimizer_parameters(sgd, NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_parameters: 'list' is NULL");
    cr_expect_eq(state_hash(model, sgd), before);
    OK(ct_optimizer_apply(sgd, loss, g, 2, NULL, 0));
    cr_expect_eq(ct_optimizer_gradients(sgd, loss, g, 2), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_optimizer_gradients: 'dense/kernel' was changed after the loss "
                               "was built; build the loss again");
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* --- The rate --------------------------------------------------------------------------------- */

TEST(gradients, the_rate_is_that_of_the_next_step) {
    ct_module *model = two_heads();
    ct_sgd_options options = {.rate = ct_rate_step(0.5, 0.5, 2)};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    for (int step = 0; step < 5; step++) {
        EXPECT_NEAR(ct_optimizer_rate(sgd), 0.5 * pow(0.5, step / 2), 1e-15);
        ct_tensor *loss = ct_add(head_loss(model, 0), head_loss(model, 1));
        OK(ct_optimizer_step(sgd, loss, NULL, 0));
    }
    cr_expect(isnan(ct_optimizer_rate(NULL)));
    expect_error(CT_ERR_NULL, "ct_optimizer_rate: 'optimizer' is NULL");
    ct_optimizer_free(sgd);
    ct_module_free(model);
}
