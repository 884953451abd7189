/* A step, or an evaluation, on ranks of which one runs out of memory, at each request in turn.
 * Invariant: all ranks come to the same end, and none has changed a slot unless all have. */
#include "tests/optim/train/rank_loop.h"
#include "tests/optim/train/rank_requests.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/base/keys.h"
#include "tensor/mem.h"
#include "tensor/runtime.h"
#include "tensor/varying.h"

/* Where the next random numbers of layers and of ct_seed_draw come from. */
static void expect_same_keys(ct_group *group, const rank_loop *t, int64_t at) {
    rank_expect_alike(group, (uint64_t)cti_keys_of_thread()->seed[1], "ct_seed_draw", at);
    rank_expect_alike(group, rank_slots_hash(t->model, t->optimizer), "keys", at);
}

static ct_status take_step(void *loop) { return rank_loop_step(loop); }

/* A step whose objective draws a key, as it may. */
static ct_status draw_and_step(void *context) {
    const rank_loop *t = context;
    return ct_seed_draw() ? rank_loop_step(t) : ct_optimizer_step(t->optimizer, NULL, NULL, 0);
}

static ct_status draw_without_batch(void *context) {
    const rank_loop *t = context;
    ct_seed_draw();
    return ct_optimizer_step(t->optimizer, NULL, NULL, 0);
}

/* Rank `argument` fails in turn at each request of a step that draws keys: some before, some after
 * it has drawn. The last time it has no batch, and draws none. */
SCENARIO(draws_after_failures) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0.3);
    OK(rank_loop_step(&t));
    rank_requests r = {.group = group, .rank = argument};
    for (; r.at <= r.count + 1; r.at++) {
        bool without = ct_group_rank(group) == argument && r.at > r.count;
        rank_requests_run(&r, without ? draw_without_batch : draw_and_step, &t);
        ct_error_clear();
        expect_same_keys(group, &t, r.at);
    }
    OK(rank_loop_step(&t));
    rank_loop_end(&t);
}

/* As above, with two layers that draw, where from that request on there is no memory at all: then
 * slots are alike with the next step only, but all ranks come to that after the same exchanges. */
SCENARIO(draws_without_any_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 10}));
    rank_loop t = rank_loop_begin(0.3);
    ct_module *both[] = {t.model, ct_dropout_new(0.2)};
    t.model = ct_sequential_new("both", both, 2);
    ct_optimizer_free(t.optimizer);
    t.optimizer = ct_adam_new(t.model, ct_adam_defaults(0.01));
    OK(rank_loop_step(&t));
    rank_requests r = {.group = group, .rank = argument, .all_later = true};
    for (; r.at <= r.count; r.at++) {
        rank_requests_run(&r, take_step, &t);
        ct_error_clear();
        OK(ct_group_agree(group, CT_OK));
    }
    OK(rank_loop_step(&t));
    expect_same_keys(group, &t, r.at);
    rank_loop_end(&t);
}

/* One step more of a loop that nothing disturbs. */
static void expect_same_step(const rank_loop *t, const rank_loop *undisturbed, bool stepped,
                             int64_t at) {
    if (stepped) OK(rank_loop_step(undisturbed));
    EXPECT(rank_slots_hash(t->model, t->optimizer) ==
               rank_slots_hash(undisturbed->model, undisturbed->optimizer),
           "at request %lld", (long long)at);
}

/* Rank `argument` fails: at each request of a step whose plans are there, then of one that makes
 * them. */
SCENARIO(step_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0), undisturbed = rank_loop_begin(0);
    for (int k = 0; k < 2; k++) OK(rank_loop_step(k ? &t : &undisturbed));
    int64_t failed = 0;
    rank_requests r = {.group = group, .rank = argument};
    for (int clears = 0; clears < 2; clears++) {
        for (r.at = clears; r.at <= r.count; r.at++) {
            if (clears || r.at == 0) ct_cache_clear();
            ct_status status = rank_requests_run(&r, take_step, &t);
            EXPECT(status == ct_error(), "%s", ct_error_message());
            ct_error_clear();
            failed += status != CT_OK;
            rank_expect_alike(group, status != CT_OK, "status", r.at);
            expect_same_step(&t, &undisturbed, status == CT_OK, r.at);
        }
    }
    EXPECT(failed > r.count, "%lld of %lld requests", (long long)failed, (long long)r.count);
    rank_loop_end(&t);
    rank_loop_end(&undisturbed);
}

/* --- Evaluations that exchange nothing -------------------------------------------------------- */

/* What the bias of all rows gets: a sum over the batch that is simplified to a product. */
static ct_tensor *number_of_rows(ct_group *group) {
    ct_tensor *rows = ct_full(CT_F32, CT_SHAPE(1 + ct_group_rank(group), 2), 3);
    ct_tensor *bias = ct_full(CT_F32, CT_SHAPE(2), 1), *of_bias;
    ct_grad(ct_sum_all(ct_add(ct_varying(rows, 0), bias)), &bias, 1, &of_bias);
    return of_bias;
}

/* Twice a sum over the batch that has its value. */
static ct_tensor *twice(ct_group *group) {
    ct_tensor *rows = ct_full(CT_F32, CT_SHAPE(1 + ct_group_rank(group), 2), 3);
    ct_tensor *sum = ct_sum_all(ct_varying(rows, 0)), *result = ct_scale(sum, 2);
    EXPECT(ct_data(sum));
    return result;
}

/* Rank `argument` fails: nobody has rows that vary, and the group is as before. */
SCENARIO(varies_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    ct_tensor *rows = ct_full(CT_F32, CT_SHAPE(3, 2), 1);
    EXPECT(ct_data(rows));
    for (int64_t at = 1; at <= 4; at++) {
        if (ct_group_rank(group) == argument) ct_mem_fail_at(at, false);
        ct_varying(rows, 0);
        ct_mem_fail_at(0, false);
        ct_error_clear();
        OK(ct_group_agree(group, CT_OK));
    }
}

static double rows_of_all(const ct_group *group) {
    int size = ct_group_size(group);
    return size * (size + 1) / 2;
}

static void expect_each(ct_tensor *t, double value) {
    for (int64_t i = 0; i < ct_numel(t); i++) {
        EXPECT(element(t, i) == value, "%g, not %g", element(t, i), value);
    }
}

/* Rank `argument` fails: the others evaluate it, or fail too, and the group is as before. */
SCENARIO(evaluates_without_memory) {
    static ct_tensor *(*const graphs[])(ct_group *) = {number_of_rows, twice};
    static const double expected[] = {1, 2 * 2 * 3}; /* for each row of all ranks */
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    for (int k = 0; k < 2; k++) {
        int64_t failed = -1;
        for (int64_t at = 1, fails = 1; fails; at++) {
            int64_t scope = ct_scope_open();
            ct_tensor *t = graphs[k](group);
            ct_cache_clear();
            if (ct_group_rank(group) == argument) ct_mem_fail_at(at, false);
            bool evaluated = ct_data(t);
            ct_mem_fail_at(0, false);
            if (evaluated) expect_each(t, expected[k] * rows_of_all(group));
            ct_error_clear();
            fails = ct_group_agree(group, evaluated ? CT_OK : CT_ERR_MEMORY) != CT_OK;
            if (k == 0) rank_expect_alike(group, evaluated, "evaluated", at);
            OK(ct_group_agree(group, (ct_error_clear(), CT_OK)));
            ct_scope_close(scope);
            failed++;
        }
        EXPECT(failed > 5, "%lld requests", (long long)failed);
    }
}
