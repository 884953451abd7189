/* ct_fit by an objective: the same bits as by a loss, several inputs, no labels, checkpoints.
 * Not a test of what a step does; test_fit and test_optimizer are.
 * Invariant: an objective that computes what a loss computes leaves nothing different. */
#include "tests/support/fit_support.h"

#include "tensor/random.h"

#include <stdio.h>
#include <unistd.h>

static ct_tensor *as_cross_entropy(void *context, ct_module *model, const ct_batch *batch,
                                   ct_mode mode, ct_output outputs[]) {
    cr_expect(!outputs[0].prediction && outputs[0].target == batch->y);
    cr_expect(!outputs[CT_OUTPUTS - 1].prediction && !outputs[CT_OUTPUTS - 1].target);
    if (context) ++*(int *)context;
    outputs[0].prediction = ct_logits(model, batch->x, mode);
    return ct_cross_entropy(outputs[0].prediction, batch->y);
}

TEST(objective, gives_the_bits_of_the_loss_that_it_computes) {
    bench by_loss = open_bench(0.05), by_objective = open_bench(0.05);
    ct_history wanted, got;
    int calls = 0;
    ct_fit_options options = {.epochs = 3, .validation = by_loss.test, .record_steps = true};
    OK(fit(&by_loss, options, &wanted));
    options.objective = as_cross_entropy;
    options.metric = ct_accuracy;
    options.context = &calls;
    options.validation = by_objective.test;
    OK(ct_fit(by_objective.model, by_objective.optimizer, NULL, by_objective.train, options, &got));
    cr_expect_eq(calls, 6 * BATCHES);
    cr_expect_eq(state_hash(by_objective.model, by_objective.optimizer),
                 state_hash(by_loss.model, by_loss.optimizer));
    cr_assert(got.n_epochs == 3 && got.n_steps == wanted.n_steps);
    cr_expect_arr_eq(got.steps, wanted.steps, sizeof *got.steps * (size_t)got.n_steps);
    for (int i = 0; i < 3; i++) {
        const ct_epoch *a = &got.epochs[i], *b = &wanted.epochs[i];
        cr_expect(a->loss == b->loss && a->accuracy == b->accuracy);
        cr_expect(a->val_loss == b->val_loss && a->val_accuracy == b->val_accuracy);
    }
    ct_evaluation result;
    OK(ct_evaluate_with(by_objective.model, NULL, by_objective.test,
                        (ct_evaluate_options){.objective = as_cross_entropy}, &result));
    cr_expect(result.loss == wanted.epochs[2].val_loss && isnan(result.accuracy));
    cr_expect_eq(result.items, ITEMS);
    OK(ct_evaluate_with(by_objective.model, &ct_loss_cross_entropy, by_objective.test,
                        (ct_evaluate_options){0}, &result));
    cr_expect_eq(result.accuracy, wanted.epochs[2].val_accuracy);
    ct_history_free(&wanted);
    ct_history_free(&got);
    close_bench(&by_loss);
    close_bench(&by_objective);
}

/* --- Several inputs, no labels, noise: all of it again after a restart ------------------------ */

static ct_tensor *noisy_distance(void *context, ct_module *model, const ct_batch *batch,
                                 ct_mode mode, ct_output outputs[]) {
    (void)context, (void)outputs;
    cr_expect(batch->n_more == 1 && ct_dim(batch->more[0], 0) == ct_dim(batch->x, 0));
    ct_tensor *a = ct_forward(model, batch->x, mode), *b = ct_forward(model, batch->y, mode);
    ct_tensor *noise = ct_random_normal(ct_seed_draw(), CT_F32, ct_shape_of(a));
    ct_tensor *gap = ct_add(ct_sub(a, b), ct_scale(noise, 0.01));
    return ct_mean_all(ct_mul(ct_square(gap), batch->more[0]));
}

static ct_status shifted(void *context, int64_t epoch, int64_t number, ct_batch *batch) {
    (void)context;
    ct_tensor *key = ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){epoch, number});
    ct_tensor *u = ct_random_uniform(key, CT_F32, CT_SHAPE(ct_dim(batch->x, 0), 1));
    batch->x = ct_add(batch->x, u);
    return batch->x ? CT_OK : ct_error();
}

static bench open_pairs(uint64_t seed) {
    bench b = open_bench(0.05);
    ct_source_free(b.train);
    ct_tensor *all[] = {task_x(1), task_x(2), uniform01(CT_F32, CT_SHAPE(ITEMS, 1), 3)};
    ct_batches_options options = {.size = SIZE, .shuffle = true, .seed = 9};
    b.train = ct_source_map_new(ct_batches_many_new(all, 3, options), shifted, NULL);
    MADE(b.train);
    ct_seed_set(seed);
    return b;
}

static ct_status fit_pairs(bench *b, ct_position start, int64_t max_steps, ct_history *history) {
    ct_fit_options options = {
        .epochs = 2, .objective = noisy_distance, .start = start, .max_steps = max_steps};
    return ct_fit(b->model, b->optimizer, NULL, b->train, options, history);
}

/* A model of two inputs: it finds the sum of both, which neither has. */
static ct_tensor *gap_to_sum(void *context, ct_module *model, const ct_batch *batch, ct_mode mode,
                             ct_output outputs[]) {
    (void)context, (void)outputs;
    ct_tensor *in[] = {batch->x, batch->y}, *y = NULL;
    ct_forward_many(model, in, 2, &y, 1, mode);
    return ct_mse(y, ct_sum_keep(ct_add(batch->x, batch->y), CT_AXES(1)));
}

TEST(objective, of_a_model_of_several_inputs) {
    ct_seed_set(2);
    ct_dense_options plain = {0};
    ct_module *join = CT_BRANCHES("join", ct_concatenate_new(-1), ct_dense_new(4, 3, plain),
                                  ct_dense_new(4, 3, plain));
    ct_module *model = CT_SEQUENTIAL("two", join, ct_dense_new(6, 1, plain));
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.02));
    ct_tensor *all[] = {task_x(1), task_x(2)};
    ct_batches_options options = {.size = SIZE, .shuffle = true, .seed = 9};
    ct_source *train = ct_batches_many_new(all, 2, options);
    ct_history history;
    OK(ct_fit(model, adam, NULL, train, (ct_fit_options){.epochs = 60, .objective = gap_to_sum},
              &history));
    double first = history.epochs[0].loss, last = history.epochs[history.n_epochs - 1].loss;
    cr_expect_lt(last, 0.01 * first, "%g, then %g", first, last);
    ct_history_free(&history);
    ct_source_free(train);
    ct_optimizer_free(adam);
    ct_module_free(model);
}

TEST(objective, goes_on_from_a_checkpoint_bit_for_bit) {
    char path[256];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/cotan-objective-%ld.st", base ? base : "/tmp", (long)getpid());
    bench whole = open_pairs(4);
    OK(fit_pairs(&whole, (ct_position){0}, 0, NULL));
    for (int64_t k = 1; k < 2 * BATCHES; k += 2) {
        bench first = open_pairs(4);
        ct_history history;
        ct_position position;
        OK(fit_pairs(&first, (ct_position){0}, k, &history));
        OK(ct_checkpoint_save(path, first.model, first.optimizer, history.position));
        ct_history_free(&history);
        bench second = open_pairs(99);
        OK(ct_checkpoint_load(path, second.model, second.optimizer, &position));
        OK(fit_pairs(&second, position, 0, NULL));
        cr_expect_eq(state_hash(second.model, second.optimizer),
                     state_hash(whole.model, whole.optimizer), "after %lld", (long long)k);
        close_bench(&first);
        close_bench(&second);
    }
    close_bench(&whole);
    unlink(path);
}

/* --- Losses with options ---------------------------------------------------------------------- */

TEST(objective, a_loss_may_have_options) {
    double delta = 0.4;
    ct_loss wide = ct_loss_huber_with(&delta);
    ct_tensor *a = centred(CT_F64, CT_SHAPE(5, 2), 1, 1, 0);
    ct_tensor *b = centred(CT_F64, CT_SHAPE(5, 2), 2, 1, 0);
    cr_expect_eq(ct_item(ct_loss_of(&wide, a, b)), ct_item(ct_huber(a, b, 0.4)));
    cr_expect_eq(ct_item(ct_loss_of(&ct_loss_huber, a, b)), ct_item(ct_huber(a, b, 1)));
    cr_expect_null(ct_loss_of(NULL, a, b));
    expect_error(CT_ERR_NULL, "ct_loss_of: 'loss' is NULL");
    cr_expect_null(ct_loss_of(&(ct_loss){.name = "mine"}, a, b));
    expect_error(CT_ERR_NULL, "ct_loss_of: the loss 'mine' has no 'value'");
    wide.options = NULL;
    cr_expect_null(ct_loss_of(&wide, a, b));
    expect_error(CT_ERR_NULL, "ct_huber: 'delta' is NULL");
    bench other = open_bench(0.05);
    ct_tensor *x = task_x(1), *y = centred(CT_F32, CT_SHAPE(ITEMS, 3), 4, 1, 0);
    ct_source *source = ct_batches_new(x, y, (ct_batches_options){.size = ITEMS});
    double mean;
    wide = ct_loss_huber_with(&delta);
    OK(ct_evaluate(other.model, &wide, source, &mean, NULL));
    cr_expect_eq(mean, ct_item(ct_huber(ct_predict(other.model, x, 0), y, delta)));
    ct_source_free(source);
    close_bench(&other);
}

/* --- Errors ----------------------------------------------------------------------------------- */

static ct_tensor *nothing(void *context, ct_module *model, const ct_batch *batch, ct_mode mode,
                          ct_output outputs[]) {
    (void)context, (void)model, (void)batch, (void)mode, (void)outputs;
    return NULL;
}

static ct_tensor *rows(void *context, ct_module *model, const ct_batch *batch, ct_mode mode,
                       ct_output outputs[]) {
    (void)context, (void)outputs;
    return ct_forward(model, batch->x, mode);
}

static ct_tensor *silent(void *context, ct_module *model, const ct_batch *batch, ct_mode mode,
                         ct_output outputs[]) {
    (void)outputs;
    ct_output none[CT_OUTPUTS] = {[0].target = batch->y};
    return as_cross_entropy(context, model, batch, mode, none);
}

static void refuse(bench *b, const ct_loss *loss, ct_fit_options options, ct_status status,
                   const char *message) {
    uint64_t before = state_hash(b->model, b->optimizer);
    cr_expect_eq(ct_fit(b->model, b->optimizer, loss, b->train, options, NULL), status);
    expect_error(status, message);
    cr_expect_eq(state_hash(b->model, b->optimizer), before);
}

TEST(objective, says_what_is_wrong) {
    bench b = open_bench(0.05);
    refuse(&b, NULL, (ct_fit_options){0}, CT_ERR_NULL, "ct_fit: 'loss' is NULL");
    refuse(&b, &ct_loss_mse, (ct_fit_options){.objective = nothing}, CT_ERR_STATE,
           "ct_fit: with an objective the loss must be NULL");
    refuse(&b, NULL, (ct_fit_options){.objective = nothing}, CT_ERR_NULL,
           "ct_fit: an objective returned NULL and no error");
    refuse(&b, NULL, (ct_fit_options){.objective = rows}, CT_ERR_SHAPE,
           "ct_fit: an objective must be one number, got [4,3]");
    refuse(&b, NULL, (ct_fit_options){.objective = silent, .metric = ct_accuracy}, CT_ERR_NULL,
           "ct_fit: a metric needs outputs[0].prediction, which the objective left NULL");
    ct_evaluation result = {.loss = 1};
    ct_evaluate_options options = {.objective = nothing};
    cr_expect_eq(ct_evaluate_with(b.model, NULL, b.test, options, NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_evaluate_with: 'result' is NULL");
    cr_expect_eq(ct_evaluate_with(b.model, &ct_loss_mse, b.test, options, &result), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_evaluate_with: with an objective the loss must be NULL");
    cr_expect(isnan(result.loss));
    cr_expect_eq(ct_evaluate_with(b.model, NULL, b.test, (ct_evaluate_options){0}, &result),
                 CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_evaluate_with: 'loss' is NULL");
    cr_expect_eq(ct_evaluate_with(b.model, NULL, b.test, options, &result), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_evaluate_with: an objective returned NULL and no error");
    close_bench(&b);
}
