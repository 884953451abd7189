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

typedef struct {
    rank_loop loop;
    ct_best *best;
    ct_history history;
} trial;

static trial trial_begin(void) {
    return (trial){.loop = rank_loop_begin(0), .best = ct_best_new()};
}

static void trial_end(trial *t) {
    ct_history_free(&t->history);
    ct_best_free(t->best);
    rank_loop_end(&t->loop);
}

/* Only the first epoch is better than those before, so that patience ends after the third. */
static ct_fit_options options_of(const trial *t) {
    return (ct_fit_options){.epochs = 8,
                            .validation = t->loop.train,
                            .metrics = &metric,
                            .n_metrics = 1,
                            .patience = 2,
                            .min_delta = 1e9,
                            .restore_best = true,
                            .best = t->best};
}

static ct_status fit(trial *t, ct_fit_options options) {
    ct_history_free(&t->history);
    return ct_fit(t->loop.model, t->loop.optimizer, &ct_loss_mse, t->loop.train, options,
                  &t->history);
}

static void expect_alike(ct_group *group, const trial *t, int64_t at) {
    const ct_history *history = &t->history;
    uint64_t where = cti_mix_bytes(0, &history->position, sizeof history->position);
    rank_expect_alike(group, where, "position", at);
    rank_expect_alike(group, (uint64_t)ct_best_epoch(t->best), "best", at);
    rank_expect_alike(group, (uint64_t)history->restored, "restored", at);
    rank_expect_alike(group, rank_slots_hash(t->loop.model, t->loop.optimizer), "slots", at);
}

/* On rank `argument`, in turn each time that it is asked for. */
SCENARIO(stops_without_a_value) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    ct_status status = CT_ERR_IO;
    for (int at = 1; status != CT_OK; at++) {
        trial t = trial_begin();
        values.calls = 0;
        values.at = ct_group_rank(group) == argument ? at : 0;
        status = fit(&t, options_of(&t));
        EXPECT(status == (at > 6 ? CT_OK : CT_ERR_IO), "%d: %s", at, ct_error_message());
        ct_error_clear();
        expect_alike(group, &t, at);
        EXPECT(t.history.restored == (status == CT_OK) &&
               t.history.position.epoch == (at > 6 ? 3 : (at + 1) / 2));
        trial_end(&t);
    }
}

/* Where training begins at its best epoch, which nobody holds yet. */
SCENARIO(begins_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    ct_status status = CT_ERR_MEMORY;
    for (int64_t at = 1; status != CT_OK; at++) {
        trial t = trial_begin();
        ct_fit_options options = options_of(&t);
        options.start = (ct_position){.epoch = 1, .best_epoch = 1, .best_val_loss = 7};
        if (ct_group_rank(group) == argument) ct_mem_fail_at(at, false);
        status = fit(&t, options);
        ct_mem_fail_at(0, false);
        EXPECT(status == CT_OK || status == CT_ERR_MEMORY, "%s", ct_error_message());
        EXPECT(t.history.position.epoch > 0);
        ct_error_clear();
        expect_alike(group, &t, at);
        if (status == CT_OK) EXPECT(at > 50);
        trial_end(&t);
    }
}

typedef struct {
    int64_t at;
    bool fails;
} memory;

/* From the first epoch's last step to its end. */
static bool take_memory(void *context, ct_position position, const ct_step_record *last,
                        const ct_epoch *epoch) {
    const memory *m = context;
    (void)last;
    if (position.epoch == 1) ct_mem_fail_at(!epoch && m->fails ? m->at : 0, false);
    return true;
}

/* On rank `argument`, in turn at each request, and then all go on from where they have come. */
SCENARIO(stops_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    memory m = {.fails = ct_group_rank(group) == argument};
    ct_status status = CT_ERR_MEMORY;
    for (m.at = 1; status != CT_OK; m.at++) {
        trial t = trial_begin();
        ct_fit_options options = options_of(&t);
        options.callback = take_memory, options.context = &m;
        status = fit(&t, options);
        ct_mem_fail_at(0, false);
        EXPECT(status == CT_OK || status == CT_ERR_MEMORY, "%s", ct_error_message());
        ct_error_clear();
        expect_alike(group, &t, m.at);
        options.start = t.history.position, options.callback = NULL;
        OK(fit(&t, options));
        expect_alike(group, &t, m.at);
        trial_end(&t);
    }
    EXPECT(m.at > 20);
}
