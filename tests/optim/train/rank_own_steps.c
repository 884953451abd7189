/* Steps in a loop of one's own, of which one rank makes something else: another call, more random
 * numbers, or a failure in its own rule.
 * Invariant: whatever it makes, the error is one on all ranks, no slot changes, and they go on
 * together. */
#include "tests/optim/train/rank_loop.h"
#include "tests/optim/train/rank_requests.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/stage.h"
#include "datasets/datasets.h"
#include "nn/layers.h"
#include "nn/loss.h"
#include "nn/weights.h"
#include "optim/fit.h"
#include "tensor/mem.h"
#include "tensor/runtime.h"

#include <string.h>
#include <unistd.h>

static void expect_in_step(ct_group *group) {
    for (int64_t k = 0; k < 3; k++) {
        int64_t numbers[2] = {-1, -1};
        if (ct_group_rank(group) == 0) numbers[0] = numbers[1] = k;
        OK(ct_group_broadcast(group, numbers, sizeof numbers));
        EXPECT(numbers[0] == k && numbers[1] == k);
    }
}

static void expect_same_learned(const rank_loop *t, uint64_t before) {
    EXPECT(rank_learned_hash(t->model, t->optimizer) == before);
}

static void expect_next_step(ct_group *group, const rank_loop *t) {
    OK(rank_loop_step(t));
    rank_expect_alike(group, rank_slots_hash(t->model, t->optimizer), "slots", 0);
}

static ct_status agree_without_data(ct_group *group, const rank_loop *t) {
    (void)t;
    return ct_group_agree(group, ct_fail(CT_ERR_IO, "rank 1 found no file"));
}

static ct_status agree(ct_group *group, const rank_loop *t) {
    (void)t;
    return ct_group_agree(group, CT_OK);
}

static ct_status broadcast(ct_group *group, const rank_loop *t) {
    int64_t numbers[2] = {7, 7};
    (void)t;
    return ct_group_broadcast(group, numbers, sizeof numbers);
}

static ct_status commit(ct_group *group, const rank_loop *t) {
    (void)group, (void)t;
    return ct_commit(NULL, 0, NULL, 0);
}

static ct_status flush(ct_group *group, const rank_loop *t) {
    (void)group;
    return ct_optimizer_flush(t->optimizer);
}

static ct_status evaluate(ct_group *group, const rank_loop *t) {
    (void)group;
    return ct_evaluate(t->model, &ct_loss_mse, t->train, NULL, NULL);
}

static ct_status fit(ct_group *group, const rank_loop *t) {
    (void)group;
    return ct_fit(t->model, t->optimizer, &ct_loss_mse, t->train, (ct_fit_options){.epochs = 1},
                  NULL);
}

static ct_status load_nothing(ct_group *group, const rank_loop *t) {
    (void)group;
    return ct_weights_load(t->model, "/nowhere/weights.safetensors");
}

/* Rank `argument` makes each of these calls in place of a step of the others. */
SCENARIO(calls_something_else) {
    ct_status (*const calls[])(ct_group *, const rank_loop *) = {
        agree_without_data, agree, broadcast, commit, flush, evaluate, fit, load_nothing};
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0.3);
    OK(rank_loop_step(&t));
    for (size_t k = 0; k < sizeof calls / sizeof *calls; k++) {
        uint64_t before = rank_learned_hash(t.model, t.optimizer);
        bool other = ct_group_rank(group) == argument;
        EXPECT((other ? calls[k](group, &t) : rank_loop_step(&t)) != CT_OK, "call %zu", k);
        ct_error_clear();
        expect_in_step(group);
        expect_same_learned(&t, before);
        expect_next_step(group, &t);
    }
    rank_loop_end(&t);
}

/* Rank `argument` alone calls the model in training. */
SCENARIO(draws_alone) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0.3);
    OK(rank_loop_step(&t));
    int64_t scope = ct_scope_open();
    if (ct_group_rank(group) == argument) {
        EXPECT(ct_forward(t.model, ct_full(CT_F32, CT_SHAPE(2, 6), 1), CT_TRAINING));
    }
    ct_scope_close(scope);
    uint64_t before = rank_learned_hash(t.model, t.optimizer);
    EXPECT(rank_loop_step(&t) == CT_ERR_STATE);
    EXPECT((strstr(ct_error_message(), " a leaf i64 [2] = [") &&
            strstr(ct_error_message(), "] in net/dropout")) ||
               ct_group_rank(group) == argument,
           "%s", ct_error_message());
    ct_error_clear();
    expect_same_learned(&t, before);
    expect_next_step(group, &t);
    expect_in_step(group);
    rank_loop_end(&t);
}

/* Each rank has rows of its own that do not vary, and commits what it makes of them by each call.
 */
static ct_status commit_own(const rank_loop *t, ct_tensor *loss, int call) {
    ct_slot *slot = t->model->children[0]->slots[0].slot;
    ct_tensor *kernel = ct_slot_read(slot), *gradients[6];
    if (call == 0) return ct_optimizer_step(t->optimizer, loss, NULL, 0);
    if (call == 1) {
        OK(ct_optimizer_gradients(t->optimizer, loss, gradients, 6));
        return ct_optimizer_apply(t->optimizer, loss, gradients, 6, NULL, 0);
    }
    OK(ct_grad(loss, &kernel, 1, gradients));
    ct_update update = {slot, ct_sub(kernel, gradients[0])};
    return ct_commit(NULL, 0, &update, 1);
}

SCENARIO(trains_on_own_rows) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0);
    for (int call = 0; call < 3; call++) {
        uint64_t before = rank_learned_hash(t.model, t.optimizer);
        int64_t scope = ct_scope_open();
        ct_tensor *x = ct_full(CT_F32, CT_SHAPE(4, 6), 1 + ct_group_rank(group));
        ct_module *trained = call < 2 ? t.model : t.model->children[0];
        ct_tensor *loss = ct_mean_all(ct_square(ct_forward(trained, x, CT_TRAINING)));
        ct_status status = commit_own(&t, loss, call);
        EXPECT(status == (ct_group_size(group) > 1 ? CT_ERR_STATE : CT_OK), "%s",
               ct_error_message());
        EXPECT(status == CT_OK || strstr(ct_error_message(), "have to vary (ct_varying"), "%s",
               ct_error_message());
        ct_error_clear();
        ct_scope_close(scope);
        if (ct_group_size(group) > 1) expect_same_learned(&t, before);
        expect_next_step(group, &t);
    }
    rank_loop_end(&t);
}

/* A critic's step on samples of a generator that its optimizer does not know; neither the noise nor
 * what drops out stands in the loss's graph. */
static ct_status step_on_samples(const rank_loop *critic, ct_module *generator) {
    ct_batch batch;
    OK(ct_source_seek(critic->train, 0, 0));
    OK(ct_source_next(critic->train, &batch));
    ct_tensor *noise = ct_random_normal_like(ct_seed_draw(), batch.x);
    ct_tensor *samples = ct_detach(ct_forward(generator, noise, CT_TRAINING));
    ct_tensor *loss = ct_mse(ct_forward(critic->model, samples, CT_TRAINING), batch.y);
    return ct_optimizer_step(critic->optimizer, loss, NULL, 0);
}

/* Rank `argument` has no data for the second step, and draws nothing: all numbers are those of one
 * rank without it. */
SCENARIO(draws_for_samples) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0);
    ct_module *generator = CT_SEQUENTIAL("generator", ct_dense_new(6, 6, (ct_dense_options){0}),
                                         ct_dropout_new(0.3));
    for (int step = 0; step < 5; step++) {
        int64_t scope = ct_scope_open();
        bool absent = step == 1 && ct_group_rank(group) == argument;
        ct_status status = absent ? agree_without_data(group, &t) : step_on_samples(&t, generator);
        EXPECT(status == (step == 1 ? CT_ERR_IO : CT_OK), "%s", ct_error_message());
        ct_error_clear();
        ct_scope_close(scope);
    }
    printf("slots %016llx %016llx\n", (unsigned long long)rank_slots_hash(t.model, t.optimizer),
           (unsigned long long)rank_slots_hash(generator, t.optimizer));
    ct_module_free(generator);
    rank_loop_end(&t);
}

typedef struct {
    rank_loop *other;
    bool fails;
} inner;

static ct_status step_of_nothing(const inner *c, int64_t how) {
    const rank_loop *t = c->other;
    return ct_optimizer_step(how == 0 ? t->optimizer : NULL, NULL, NULL, 0);
}

/* Steps of another model, of which the second and third fail on one rank and by that on all. The
 * callback takes no notice. */
static bool step_other(void *context, ct_position position, const ct_step_record *last,
                       const ct_epoch *epoch) {
    const inner *c = context;
    (void)position;
    if (epoch) return true;
    bool now = last->step == 2 || last->step == 3;
    ct_status status = now && c->fails ? step_of_nothing(c, last->step - 2)
                                       : rank_loop_step(c->other);
    EXPECT((status != CT_OK) == now, "step %lld: %s", (long long)last->step, ct_error_message());
    ct_error_clear();
    return true;
}

SCENARIO(steps_in_a_callback) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0.3), other = rank_loop_begin(0.2);
    inner c = {&other, ct_group_rank(group) == argument};
    OK(ct_fit(t.model, t.optimizer, &ct_loss_mse, t.train,
              (ct_fit_options){.epochs = 5, .callback = step_other, .context = &c}, NULL));
    EXPECT(ct_optimizer_steps(t.optimizer) == 5 && ct_optimizer_steps(other.optimizer) == 3);
    rank_expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", 0);
    rank_expect_alike(group, rank_slots_hash(other.model, other.optimizer), "others", 0);
    expect_in_step(group);
    rank_loop_end(&t);
    rank_loop_end(&other);
}

/* Rank `argument` has no memory for the second batch, so its source stands there still. */
SCENARIO(loses_a_batch) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0);
    ct_tensor *x = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(40, 6));
    ct_source *source = ct_batches_new(x, ct_sum_keep(x, CT_AXES(1)),
                                       (ct_batches_options){.size = 8});
    for (int k = 0; k < 5; k++) {
        int64_t scope = ct_scope_open();
        ct_batch batch = {0};
        if (k == 3) OK(ct_source_seek(source, 0, 3));
        ct_mem_fail_at(k == 1 && ct_group_rank(group) == argument, true);
        ct_status status = ct_source_next(source, &batch);
        ct_mem_fail_at(0, false);
        ct_tensor *loss = status == CT_OK
                              ? ct_mse(ct_forward(t.model, batch.x, CT_TRAINING), batch.y)
                              : NULL;
        status = ct_optimizer_step(t.optimizer, loss, NULL, 0);
        EXPECT(status == (k == 1   ? CT_ERR_MEMORY
                          : k == 2 ? CT_ERR_STATE
                                   : CT_OK),
               "%d: %s", k, ct_error_message());
        EXPECT(k != 2 || strstr(ct_error_message(), "a batch of 8 rows, number 1 of epoch 0"), "%s",
               ct_error_message());
        ct_error_clear();
        ct_scope_close(scope);
    }
    expect_next_step(group, &t);
    ct_source_free(source);
    rank_loop_end(&t);
}

static ct_status measured(void *context) {
    const rank_loop *t = context;
    return ct_optimizer_measured(t->optimizer, 1);
}

/* A rate that is told what was measured. */
SCENARIO(measures_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0);
    ct_optimizer_free(t.optimizer);
    ct_adam_options options = ct_adam_defaults(0.01);
    options.step.plateau = (ct_plateau){.factor = 0.5, .own = true};
    t.optimizer = ct_adam_new(t.model, options);
    rank_requests r = {.group = group, .rank = argument};
    for (; r.at <= r.count; r.at++) {
        ct_status status = rank_requests_run(&r, measured, &t);
        EXPECT(status == (r.at > 0 ? CT_ERR_MEMORY : CT_OK), "%s", ct_error_message());
        ct_error_clear();
        rank_expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", r.at);
    }
    EXPECT(r.count >= 3);
    expect_next_step(group, &t);
    rank_loop_end(&t);
}

/* --- Flushes ---------------------------------------------------------------------------------- */

/* So many steps are a round. */
static rank_loop loop_of_rounds(int64_t steps) {
    rank_loop t = rank_loop_begin(0);
    ct_optimizer_free(t.optimizer);
    ct_adam_options options = ct_adam_defaults(0.01);
    options.step.accumulate = steps;
    t.optimizer = ct_adam_new(t.model, options);
    return t;
}

static ct_status flush_of(void *loop) {
    return ct_optimizer_flush(((const rank_loop *)loop)->optimizer);
}

/* Rank `argument` fails in turn at each request of a flush: a round is applied on all or none. */
SCENARIO(flushes_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = loop_of_rounds(1000);
    rank_requests r = {.group = group, .rank = argument};
    for (; r.at <= r.count; r.at++) {
        OK(rank_loop_step(&t));
        int64_t before = ct_optimizer_steps(t.optimizer);
        ct_status status = rank_requests_run(&r, flush_of, &t);
        EXPECT(status == CT_OK || status == CT_ERR_MEMORY);
        EXPECT(ct_optimizer_steps(t.optimizer) == before + (status == CT_OK));
        EXPECT(status == CT_OK || ct_group_rank(group) == argument ||
                   strstr(ct_error_message(), "failed with CT_ERR_MEMORY"),
               "%s", ct_error_message());
        ct_error_clear();
        expect_in_step(group);
        rank_expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", r.at);
    }
    EXPECT(r.count > 5);
    rank_loop_end(&t);
}

static ct_status step_of(void *loop) { return rank_loop_step(loop); }

/* The last step of a round, likewise. */
SCENARIO(rounds_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = loop_of_rounds(2);
    rank_requests r = {.group = group, .rank = argument};
    for (; r.at <= r.count; r.at++) {
        OK(rank_loop_step(&t));
        int64_t before = ct_optimizer_steps(t.optimizer);
        ct_status status = rank_requests_run(&r, step_of, &t);
        EXPECT(status == CT_OK || status == CT_ERR_MEMORY, "%s", ct_error_message());
        EXPECT(status == ct_error(), "%s", ct_error_message());
        EXPECT(ct_optimizer_steps(t.optimizer) == before + (status == CT_OK));
        ct_error_clear();
        rank_expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", r.at);
        if (status != CT_OK) OK(rank_loop_step(&t));
    }
    EXPECT(r.count > 100);
    rank_loop_end(&t);
}

/* One rank has no optimizer; with rounds of one step there is nothing to apply on the others. */
SCENARIO(flushes_nothing) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = loop_of_rounds(argument);
    OK(rank_loop_step(&t));
    EXPECT(ct_optimizer_flush(ct_group_rank(group) == 1 ? NULL : t.optimizer) == CT_ERR_NULL);
    ct_error_clear();
    expect_in_step(group);
    OK(ct_optimizer_flush(t.optimizer));
    OK(ct_optimizer_flush(t.optimizer));
    rank_expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", 0);
    rank_loop_end(&t);
}

/* --- A rule of one's own ---------------------------------------------------------------------- */

static struct {
    bool loads;
    ct_module *model;
    char path[256];
} astray;

/* Once, it loads weights: its agreement with other ranks is not theirs on the step. */
static ct_tensor *update(const void *options, const ct_step *step, ct_tensor *parameter,
                         ct_tensor *gradient, ct_tensor *const state[], ct_tensor *next[]) {
    (void)options, (void)step, (void)state, (void)next;
    if (astray.loads) {
        astray.loads = false;
        if (ct_weights_load(astray.model, astray.path) != CT_OK) return NULL;
    }
    return ct_sub(parameter, ct_scale(gradient, 0.1));
}

static void save_other_weights(void) {
    rank_loop other = rank_loop_begin(0);
    snprintf(astray.path, sizeof astray.path, "/tmp/cotan-rule-%ld.safetensors", (long)getpid());
    OK(rank_loop_step(&other));
    OK(ct_weights_save(other.model, astray.path));
    rank_loop_end(&other);
}

SCENARIO(rule_loads_weights) {
    static const ct_optimizer_kind kind = {.name = "own", .update = update};
    save_other_weights(); /* before there is a group */
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0);
    ct_optimizer_free(t.optimizer);
    t.optimizer = ct_optimizer_new(&kind, t.model, ct_rate(0.1), (ct_step_options){0}, "", 1);
    astray.loads = ct_group_rank(group) == argument;
    astray.model = t.model;
    uint64_t before = rank_learned_hash(t.model, t.optimizer);
    EXPECT(rank_loop_step(&t) == CT_ERR_STATE, "%s", ct_error_message());
    ct_error_clear();
    expect_same_learned(&t, before);
    expect_in_step(group);
    OK(rank_loop_step(&t));
    rank_expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", 0);
    rank_loop_end(&t);
    unlink(astray.path);
}
