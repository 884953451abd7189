/* ct_fit where what decides which weights it leaves is another on one rank than on the others.
 * Invariant: it is an error on all ranks, and all have the same weights. */
#include "tests/optim/train/rank_loop.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "datasets/datasets.h"
#include "nn/loss.h"
#include "optim/fit.h"
#include "tensor/random.h"
#include "tensor/runtime.h"

#include <string.h>

/* Refused on all, by the odd one or, where that is rank 0, by the others; these say `words`. */
static void expect_refused(const rank_loop *loop, ct_group *group, ct_fit_options options,
                           const char *words) {
    ct_status status = ct_fit(loop->model, loop->optimizer, &ct_loss_mse, loop->train, options,
                              NULL);
    EXPECT(status == CT_ERR_STATE, "%s", ct_error_message());
    EXPECT(strstr(ct_error_message(), words) || strstr(ct_error_message(), "failed with"), "%s",
           ct_error_message());
    ct_error_clear();
    rank_expect_alike(group, rank_slots_hash(loop->model, loop->optimizer), words, 0);
}

/* In turn each rule is that of rank `argument` alone. */
SCENARIO(fits_by_other_rules) {
    enum { RULES = 8 };
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop loop = rank_loop_begin(0);
    for (int rule = 0; rule < RULES; rule++) {
        bool is_odd = ct_group_rank(group) == argument;
        ct_fit_options options = {.epochs = 3, .validation = loop.train, .restore_best = true};
        if (is_odd && rule == 0) options.epochs = 2;
        if (is_odd && rule == 1) options.patience = 1;
        if (is_odd && rule == 2) options.min_delta = 1e-3;
        if (is_odd && rule == 3) options.restore_best = false;
        if (is_odd && rule == 4) options.start.epoch = 1;
        if (is_odd && rule == 5) options.start.best_val_loss = 0.5;
        if (rule == 7) options.restore_best = false;
        if (rule == 7 && is_odd) options.validation = NULL;
        if (rule == 6) options.epochs = 0, options.max_steps = is_odd ? 2 : 3;
        expect_refused(&loop, group, options, "begins at another position");
    }
    rank_loop_end(&loop);
}

/* Rank `argument` has twice as many batches. Nobody asks for the end of an epoch that none sees. */
SCENARIO(fits_by_other_batches) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop loop = rank_loop_begin(0);
    ct_source *whole = loop.train;
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(64, 6), 1), *y = ct_full(CT_F32, CT_SHAPE(64, 1), 1);
    int64_t items = ct_group_rank(group) == argument ? 64 : 32;
    loop.train = ct_batches_new(x, y, (ct_batches_options){.size = 8, .limit = items});
    expect_refused(&loop, group, (ct_fit_options){.epochs = 1}, "batches in an epoch, rank 0 ");
    expect_refused(&loop, group, (ct_fit_options){.max_steps = 4, .epochs = 1},
                   "batches in an epoch, rank 0 ");
    expect_refused(&loop, group, (ct_fit_options){.max_steps = 5}, "batches in an epoch, rank 0 ");
    OK(ct_fit(loop.model, loop.optimizer, &ct_loss_mse, loop.train,
              (ct_fit_options){.epochs = 1, .max_steps = 3}, NULL));
    rank_expect_alike(group, rank_slots_hash(loop.model, loop.optimizer), "slots", 0);
    ct_source_free(loop.train);
    loop.train = whole;
    rank_loop_end(&loop);
}

/* Only rank `argument` holds the weights of the best epoch, from a run before. It may be the only
 * one where nobody is to have them back, or where they are those that training begins with. */
SCENARIO(holds_the_best_alone) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop loop = rank_loop_begin(0);
    ct_best *best = ct_group_rank(group) == argument ? ct_best_new() : NULL;
    ct_slot *weights = loop.model->children[0]->slots[0].slot;
    ct_fit_options options = {
        .epochs = 2, .validation = loop.train, .min_delta = 1e9, .best = best};
    ct_history history;
    for (int run = 0; run < 3; run++) {
        OK(ct_fit(loop.model, loop.optimizer, &ct_loss_mse, loop.train, options, &history));
        EXPECT(history.position.best_epoch == 1 && (!best || ct_best_epoch(best) == 1));
        options.start = history.position, options.epochs++;
        ct_history_free(&history);
        rank_expect_alike(group, rank_slots_hash(loop.model, loop.optimizer), "slots", run);
    }
    options.restore_best = true;
    expect_refused(&loop, group, options, "other weights of the best epoch");
    options.start = (ct_position){.epoch = 4, .best_epoch = 4, .best_val_loss = -1};
    OK(ct_fit(loop.model, loop.optimizer, &ct_loss_mse, loop.train, options, &history));
    EXPECT(history.restored);
    rank_expect_alike(group, rank_slots_hash(loop.model, loop.optimizer), "restored", 0);
    ct_history_free(&history);
    OK(ct_slot_write(weights, ct_scale(ct_slot_read(weights), 0.5))); /* no longer those held */
    expect_refused(&loop, group, options, "other weights of the best epoch");
    ct_best_free(best);
    rank_loop_end(&loop);
}

/* --- Data of a rank's own that do not vary ---------------------------------------------------- */

typedef struct {
    ct_source base;
    ct_tensor *x, *y;
    bool is_given;
} shard;

static int64_t count(const ct_source *source) {
    (void)source;
    return 1;
}

static ct_status seek(ct_source *source, int64_t epoch, int64_t batch) {
    (void)epoch;
    ((shard *)source)->is_given = batch > 0;
    return CT_OK;
}

static ct_status next(ct_source *source, ct_batch *out) {
    shard *s = (shard *)source;
    if (!s->is_given) *out = (ct_batch){.x = s->x, .y = s->y};
    s->is_given = true;
    return CT_OK;
}

static const ct_source_kind kind = {.name = "shard", .count = count, .seek = seek, .next = next};

/* Whether the training or the validation data is a shard. */
SCENARIO(measures_shards) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    for (int validates = 0; validates < 2; validates++) {
        rank_loop loop = rank_loop_begin(0);
        ct_source *whole = loop.train;
        ct_seed_set(ct_group_rank(group) == argument ? 8 : 9);
        shard own = {.base = {&kind},
                     .x = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(4, 6)),
                     .y = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(4, 1))};
        OK(ct_eval((ct_tensor *[]){own.x, own.y}, 2));
        ct_fit_options options = {.epochs = 3, .restore_best = validates == 1};
        if (validates) options.validation = &own.base;
        else loop.train = &own.base;
        ct_status status = ct_fit(loop.model, loop.optimizer, &ct_loss_mse, loop.train, options,
                                  NULL);
        EXPECT(status == CT_ERR_STATE, "%s", ct_error_message());
        EXPECT(strstr(ct_error_message(), "ct_varying") ||
                   strstr(ct_error_message(), "failed with"),
               "%s", ct_error_message());
        ct_error_clear();
        if (validates) {
            rank_expect_alike(group, rank_slots_hash(loop.model, loop.optimizer), "slots", 0);
        }
        loop.train = whole;
        rank_loop_end(&loop);
    }
}
