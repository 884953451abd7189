/* Steps whose gradients are infinite or NaN, skipped on request: nothing changes but their count,
 * which checkpoints hold. */
#include "datasets/datasets.h"
#include "tests/support/nn_support.h"

#include <stdio.h>
#include <unistd.h>

/* The gradient is that of a batch times `scale`, which is what goes wrong. */
static ct_tensor *loss_of(ct_module *model, uint32_t salt, double scale) {
    ct_tensor *x = centred(CT_F32, CT_SHAPE(4, 6, 6, 2), salt, 1, 0);
    ct_tensor *loss = ct_cross_entropy(ct_logits(model, x, CT_TRAINING), some_labels(4, 3, 2));
    return ct_mul(loss, ct_scalar(CT_F32, scale));
}

static ct_module *cnn(void) {
    ct_seed_set(3);
    return small_cnn(0);
}

static ct_adam_options skipping(int64_t accumulate) {
    ct_adam_options options = ct_adam_defaults(0.01);
    options.rate = ct_rate_cosine(0.01, 0.1, 10);
    options.step = (ct_step_options){
        .clip_value = 0.5, .clip_norm = 1, .accumulate = accumulate, .skip_nonfinite = true};
    return options;
}

/* Bad steps in between leave every bit as if they had not been there, in a round as between. */
static void expect_skipped(int64_t accumulate) {
    static const double bad[] = {INFINITY, (double)NAN, 1e30};
    ct_module *smooth = cnn(), *rough = cnn();
    ct_optimizer *one = ct_adam_new(smooth, skipping(accumulate));
    ct_optimizer *two = ct_adam_new(rough, skipping(accumulate));
    for (uint32_t k = 0; k < 6; k++) {
        OK(ct_optimizer_step(one, loss_of(smooth, k, 1), NULL, 0));
        OK(ct_optimizer_step(two, loss_of(rough, k, 1), NULL, 0));
        uint64_t model = state_hash(rough, NULL);
        ct_tensor *loss = loss_of(rough, 90 + k, bad[k % 2]);
        OK(ct_optimizer_step(two, loss, NULL, 0));
        cr_expect_eq(ct_error(), CT_OK, "%s", ct_error_message());
        cr_expect_eq(state_hash(rough, NULL), model, "step %u", k);
        cr_expect_not(isfinite(ct_item(loss)));
        cr_expect_eq(ct_optimizer_skipped(two), k + 1);
    }
    /* Squares above f32 alone are no reason. */
    OK(ct_optimizer_step(one, loss_of(smooth, 7, bad[2]), NULL, 0));
    OK(ct_optimizer_step(two, loss_of(rough, 7, bad[2]), NULL, 0));
    cr_expect_eq(ct_optimizer_skipped(two), 6);
    cr_expect_eq(ct_optimizer_skipped(one), 0);
    cr_expect_eq(state_hash(smooth, NULL), state_hash(rough, NULL));
    cr_expect_eq(ct_optimizer_steps(two), ct_optimizer_steps(one));
    ct_optimizer_free(one), ct_optimizer_free(two);
    ct_module_free(smooth), ct_module_free(rough);
}

TEST(skip_nonfinite, bad_steps_leave_no_trace) {
    expect_skipped(1);
    expect_skipped(3);
}

/* A loss may be finite where its derivative is not. */
TEST(skip_nonfinite, the_gradients_count_not_the_loss) {
    ct_module *model = ct_dense_new(1, 1, (ct_dense_options){.dtype = CT_F64});
    ct_sgd_options options = {.rate = ct_rate(1), .step = {.skip_nonfinite = true}};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    uint64_t before = state_hash(model, NULL);
    ct_tensor *x = ct_full(CT_F64, CT_SHAPE(1, 1), 0);
    ct_tensor *loss = ct_sum_all(ct_sqrt(ct_abs(ct_forward(model, x, CT_TRAINING))));
    OK(ct_optimizer_step(sgd, loss, NULL, 0));
    cr_expect_eq(ct_item(loss), 0);
    cr_expect_eq(state_hash(model, NULL), before);
    cr_expect_eq(ct_optimizer_skipped(sgd), 1);
    ct_tensor *g[2];
    ct_tensor *fine = ct_sum_all(ct_forward(model, x, CT_TRAINING));
    OK(ct_optimizer_gradients(sgd, fine, g, 2));
    g[1] = ct_full(CT_F64, CT_SHAPE(1), INFINITY);
    OK(ct_optimizer_apply(sgd, fine, g, 2, NULL, 0));
    cr_expect_eq(ct_optimizer_skipped(sgd), 2);
    cr_expect_eq(ct_optimizer_steps(sgd), 0);
    cr_expect_eq(state_hash(model, NULL), before);
    cr_expect_eq(ct_optimizer_skipped(NULL), 0);
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* One batch of each epoch holds a NaN: the others are learned from, none is an error. */
TEST(skip_nonfinite, ct_fit_goes_on) {
    float x[12 * 4];
    for (int i = 0; i < 12 * 4; i++) x[i] = i == 21 ? NAN : (float)number(i, 1);
    ct_source *train = ct_batches_new(ct_from(CT_F32, CT_SHAPE(12, 4), x), some_labels(12, 3, 2),
                                      (ct_batches_options){.size = 4});
    MADE(train);
    ct_module *model = small_mlp();
    ct_sgd_options options = {.rate = ct_rate(0.1), .step = {.skip_nonfinite = true}};
    ct_optimizer *sgd = ct_sgd_new(model, options);
    ct_history history;
    OK(ct_fit(model, sgd, &ct_loss_cross_entropy, train, (ct_fit_options){.epochs = 2}, &history));
    cr_expect_eq(ct_optimizer_steps(sgd), 4);
    cr_expect_eq(ct_optimizer_skipped(sgd), 2);
    cr_expect(isnan(history.epochs[0].loss) && history.epochs[1].steps == 3);
    cr_expect(isfinite(ct_item(ct_sum_all(read_slot(model, "dense/kernel")))));
    ct_history_free(&history);
    ct_optimizer_free(sgd);
    ct_module_free(model);
    ct_source_free(train);
}

TEST(skip_nonfinite, the_count_is_in_checkpoints) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/cotan-skipped-%ld.safetensors", (long)getpid());
    ct_module *model = cnn(), *other = cnn();
    ct_optimizer *one = ct_adam_new(model, skipping(2)), *two = ct_adam_new(other, skipping(2));
    for (int k = 0; k < 3; k++) {
        OK(ct_optimizer_step(one, loss_of(model, 1, k ? INFINITY : 1), NULL, 0));
    }
    ct_slot_list list;
    OK(ct_optimizer_list(one, &list));
    cr_expect_str_eq(list.items[1].path, "adam/skipped");
    ct_slot_list_free(&list);
    OK(ct_checkpoint_save(path, model, one, (ct_position){0}));
    OK(ct_checkpoint_load(path, other, two, NULL));
    cr_expect_eq(ct_optimizer_skipped(two), 2);
    OK(ct_optimizer_step(one, loss_of(model, 2, 1), NULL, 0));
    OK(ct_optimizer_step(two, loss_of(other, 2, 1), NULL, 0));
    cr_expect_eq(state_hash(model, one), state_hash(other, two));
    unlink(path);
    ct_optimizer_free(one), ct_optimizer_free(two);
    ct_module_free(model), ct_module_free(other);
}
