/* Early stopping on ranks of which one fails at the end of an epoch.
 * Invariant: which epoch was the best one, where training has come, and whether weights are given
 * back, is the same on all ranks. */
#include "tests/optim/train/rank_loop.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "autograd/ops.h"
#include "nn/loss.h"
#include "optim/fit.h"
#include "tensor/base/hash.h"
#include "tensor/mem.h"

#include <math.h>

/* A metric whose value cannot be computed the `at`-th time. */
static struct { int calls, at; } values;

static ct_tensor *squares(const ct_metric *self, ct_tensor *prediction, ct_tensor *target) {
    (void)self, (void)target;
    return ct_cast(ct_sum_all(ct_square(prediction)), CT_F64);
}

static double value(const ct_metric *self, const double *sums, int64_t n) {
    (void)self, (void)n;
    if (++values.calls != values.at) return sums[0];
    ct_fail(CT_ERR_IO, "no file for the metric's value");
    return (double)NAN;
}

static const ct_metric metric = {.name = "own", .sums = squares, .value = value};

/* Only the first epoch is better than those before, so that patience ends after the third. */
static ct_fit_options options_of(const rank_loop *t, ct_best *best) {
    return (ct_fit_options){.epochs = 8,
                            .validation = t->train,
                            .metrics = &metric,
                            .n_metrics = 1,
                            .patience = 2,
                            .min_delta = 1e9,
                            .restore_best = true,
                            .best = best};
}

static void expect_alike(ct_group *group, const rank_loop *t, const ct_history *history,
                         const ct_best *best, int64_t at) {
    uint64_t where = cti_mix_bytes(0, &history->position, sizeof history->position);
    rank_expect_alike(group, where, "position", at);
    rank_expect_alike(group, (uint64_t)ct_best_epoch(best), "best", at);
    rank_expect_alike(group, (uint64_t)history->restored, "restored", at);
    rank_expect_alike(group, rank_slots_hash(t->model, t->optimizer), "slots", at);
}

/* On rank `argument`, in turn each time that it is asked for. */
SCENARIO(stops_without_a_value) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    ct_status status = CT_ERR_IO;
    for (int at = 1; status != CT_OK; at++) {
        rank_loop t = rank_loop_begin(0);
        ct_best *best = ct_best_new();
        ct_history history;
        values.calls = 0;
        values.at = ct_group_rank(group) == argument ? at : 0;
        status = ct_fit(t.model, t.optimizer, &ct_loss_mse, t.train, options_of(&t, best),
                        &history);
        EXPECT(status == (at > 6 ? CT_OK : CT_ERR_IO), "%d: %s", at, ct_error_message());
        ct_error_clear();
        expect_alike(group, &t, &history, best, at);
        EXPECT(history.restored == (status == CT_OK) &&
               history.position.epoch == (at > 6 ? 3 : (at + 1) / 2));
        ct_history_free(&history);
        ct_best_free(best);
        rank_loop_end(&t);
    }
}

/* Where training begins at its best epoch, which nobody holds yet. */
SCENARIO(begins_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    ct_status status = CT_ERR_MEMORY;
    for (int64_t at = 1; status != CT_OK; at++) {
        rank_loop t = rank_loop_begin(0);
        ct_best *best = ct_best_new();
        ct_history history;
        ct_fit_options options = options_of(&t, best);
        options.start = (ct_position){.epoch = 1, .best_epoch = 1, .best_val_loss = 7};
        if (ct_group_rank(group) == argument) ct_mem_fail_at(at, false);
        status = ct_fit(t.model, t.optimizer, &ct_loss_mse, t.train, options, &history);
        ct_mem_fail_at(0, false);
        EXPECT(status == CT_OK || status == CT_ERR_MEMORY, "%s", ct_error_message());
        EXPECT(history.position.epoch > 0);
        ct_error_clear();
        expect_alike(group, &t, &history, best, at);
        if (status == CT_OK) EXPECT(at > 50);
        ct_history_free(&history);
        ct_best_free(best);
        rank_loop_end(&t);
    }
}

typedef struct {
    int64_t at, count;
    bool fails;
} memory;

/* From the first epoch's last step to its end. */
static bool take_memory(void *context, ct_position position, const ct_step_record *last,
                        const ct_epoch *epoch) {
    memory *m = context;
    (void)last;
    if (position.epoch != 1) return true;
    if (!epoch) m->count = ct_mem_read().allocations;
    else m->count = ct_mem_read().allocations - m->count;
    ct_mem_fail_at(!epoch && m->fails ? m->at : 0, false);
    return true;
}

/* On rank `argument`, in turn at each request, and then all go on from where they have come. */
SCENARIO(stops_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    memory m = {.count = INT64_MAX, .fails = ct_group_rank(group) == argument};
    ct_status status = CT_ERR_MEMORY;
    for (m.at = 1; status != CT_OK; m.at++) {
        rank_loop t = rank_loop_begin(0);
        ct_best *best = ct_best_new();
        ct_history history;
        ct_fit_options options = options_of(&t, best);
        options.callback = take_memory, options.context = &m;
        status = ct_fit(t.model, t.optimizer, &ct_loss_mse, t.train, options, &history);
        ct_mem_fail_at(0, false);
        EXPECT(status == CT_OK || status == CT_ERR_MEMORY, "%s", ct_error_message());
        ct_error_clear();
        expect_alike(group, &t, &history, best, m.at);
        options.start = history.position, options.callback = NULL;
        ct_history_free(&history);
        OK(ct_fit(t.model, t.optimizer, &ct_loss_mse, t.train, options, &history));
        expect_alike(group, &t, &history, best, m.at);
        ct_history_free(&history);
        ct_best_free(best);
        rank_loop_end(&t);
    }
    EXPECT(m.at > 20);
}
