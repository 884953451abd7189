/* Functions of the user's that ct_fit and ct_evaluate call, each of which in turn goes astray on
 * rank 1 while that of the other ranks evaluates.
 * Invariant: all ranks come to the same end after the same exchanges, in the same group. */
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "datasets/datasets.h"
#include "nn/layers.h"
#include "nn/loss.h"
#include "optim/fit.h"
#include "tensor/varying.h"

#include <math.h>

enum { ITEMS = 24, BATCH = 8, INPUTS = 3 };
enum { SEEK, NEXT, OBJECTIVE, SUMS, VALUE, OF_EVALUATIONS, COUNT = OF_EVALUATIONS, RATE, ALSO };
enum { WATCH = ALSO + 1, CALLBACK, FUNCTIONS };
/* What the function of rank 1 does ... */
enum { FAILS, CHOOSES_NONE, CHOOSES_NONE_AND_FAILS, JOINS_NOTHING, WAYS };
/* ... and that of the others. */
enum { LOOKS_AT_NOTHING, LOOKS_TWICE, EVALUATES, EVALUATES_AND_LOOKS, AGREES, LOOKS };

static struct {
    ct_group *group;
    ct_module *model;
    ct_source *data;
    int function, way, looks; /* which goes astray, and how */
    bool done;
} now;

static void look(void) {
    ct_item(ct_sum_all(ct_varying(ct_full(CT_F32, CT_SHAPE(2, INPUTS), 1), 0)));
}

static void evaluate(void) { ct_evaluate(now.model, &ct_loss_mse, now.data, NULL, NULL); }

static void look_so(int looks) {
    if (looks == LOOKS_TWICE) look();
    if (looks == LOOKS_TWICE) look();
    if (looks == EVALUATES || looks == EVALUATES_AND_LOOKS) evaluate();
    if (looks == EVALUATES_AND_LOOKS) look();
    for (int i = 0; looks == AGREES && i < 3; i++) ct_group_agree(now.group, CT_OK);
}

/* False where the function is to fail. */
static bool goes_on(int function) {
    if (now.done || function != now.function) return true;
    now.done = true;
    if (ct_group_rank(now.group) != 1) {
        look_so(now.looks);
        return true;
    }
    if (now.way != FAILS) ct_group_use_none();
    if (now.way == JOINS_NOTHING) EXPECT(ct_group_use(NULL, (ct_group_options){0}) == CT_ERR_NULL);
    return now.way != FAILS && now.way != CHOOSES_NONE_AND_FAILS;
}

static ct_status fares(int function) {
    return goes_on(function) ? CT_OK : ct_fail(CT_ERR_IO, "rank 1 found no file");
}

static int64_t count(const ct_source *source) {
    (void)source;
    return fares(COUNT) == CT_OK ? ct_source_count(now.data) : -1;
}

static ct_status seek(ct_source *source, int64_t epoch, int64_t batch) {
    (void)source;
    return fares(SEEK) == CT_OK ? ct_source_seek(now.data, epoch, batch) : ct_error();
}

static ct_status next(ct_source *source, ct_batch *out) {
    (void)source;
    return fares(NEXT) == CT_OK ? ct_source_next(now.data, out) : ct_error();
}

static const ct_source_kind kind = {.name = "own", .count = count, .seek = seek, .next = next};

static ct_tensor *objective(void *context, ct_module *model, const ct_batch *batch, ct_mode mode,
                            ct_output outputs[]) {
    (void)context;
    if (fares(OBJECTIVE) != CT_OK) return NULL;
    outputs[0].prediction = ct_forward(model, batch->x, mode);
    return ct_mse(outputs[0].prediction, batch->y);
}

static ct_tensor *sums_of(const ct_metric *self, ct_tensor *prediction, ct_tensor *target) {
    (void)self, (void)target;
    return fares(SUMS) == CT_OK ? ct_cast(ct_sum_all(prediction), CT_F64) : NULL;
}

static double value_of(const ct_metric *self, const double *sums, int64_t n) {
    (void)self, (void)n;
    return fares(VALUE) == CT_OK ? sums[0] : (double)NAN;
}

static const ct_metric metric = {.name = "own", .sums = sums_of, .value = value_of};

static ct_tensor *rate(const ct_schedule *self, ct_tensor *step) {
    return fares(RATE) == CT_OK ? ct_offset(ct_scale(step, 0), self->initial) : NULL;
}

static ct_status also(void *context, ct_fit_step *step) {
    (void)context, (void)step;
    return fares(ALSO);
}

static bool watch(void *context, const ct_fit_step *step) {
    (void)context, (void)step;
    return goes_on(WATCH);
}

static bool callback(void *context, ct_position position, const ct_step_record *last,
                     const ct_epoch *epoch) {
    (void)context, (void)position, (void)last, (void)epoch;
    return goes_on(CALLBACK);
}

static ct_status run(ct_optimizer *optimizer, bool fits) {
    ct_source own = {&kind};
    if (fits) {
        ct_fit_options options = {.objective = objective,
                                  .metrics = &metric,
                                  .n_metrics = 1,
                                  .also = also,
                                  .watch = watch,
                                  .callback = callback};
        return ct_fit(now.model, optimizer, NULL, &own, options, NULL);
    }
    ct_evaluation result;
    ct_evaluate_options options = {.objective = objective, .metrics = &metric, .n_metrics = 1};
    ct_status status = ct_evaluate_with(now.model, NULL, &own, options, &result);
    EXPECT(status == CT_OK || (isnan(result.loss) && isnan(result.metrics[0])));
    return status;
}

static void go_astray(bool fits) {
    int64_t at = (now.function * WAYS + now.way) * LOOKS + now.looks;
    ct_adam_options adam = ct_adam_defaults(0.01);
    adam.rate.rate = rate;
    now.model = ct_dense_new(INPUTS, 1, (ct_dense_options){0});
    ct_optimizer *optimizer = ct_adam_new(now.model, adam);
    now.done = false;
    ct_status status = run(optimizer, fits);
    bool stops = now.function >= WATCH && now.way == FAILS && now.looks == LOOKS_AT_NOTHING;
    EXPECT(now.done && (status != CT_OK) == !stops, "%lld: %s", (long long)at, ct_error_message());
    EXPECT(ct_group_current() == now.group, "%lld", (long long)at);
    ct_error_clear();
    rank_expect_alike(now.group, rank_slots_hash(now.model, optimizer), "slots", at);
    evaluate(); /* on all ranks, as before */
    EXPECT(ct_error() == CT_OK, "%lld: %s", (long long)at, ct_error_message());
    ct_error_clear();
    ct_optimizer_free(optimizer);
    ct_module_free(now.model);
}

/* In a training, or for 1 in an evaluation. */
SCENARIO(functions_go_astray) {
    now.group = group;
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    ct_seed_set(3);
    ct_tensor *x = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(ITEMS, INPUTS));
    ct_tensor *y = ct_sum_keep(x, CT_AXES(1));
    now.data = ct_batches_new(x, y, (ct_batches_options){.size = BATCH});
    int functions = argument == 0 ? FUNCTIONS : OF_EVALUATIONS;
    for (now.function = 0; now.function < functions; now.function++) {
        for (now.way = 0; now.way < WAYS; now.way++) {
            for (now.looks = 0; now.looks < LOOKS; now.looks++) go_astray(argument == 0);
        }
    }
    ct_source_free(now.data);
}

static bool agree_in_vain(void *context, ct_position position, const ct_step_record *last,
                          const ct_epoch *epoch) {
    (void)context, (void)position, (void)last, (void)epoch;
    bool mine = ct_group_rank(now.group) == 1;
    EXPECT(ct_group_agree(now.group, mine ? CT_ERR_IO : CT_OK) == CT_ERR_IO);
    ct_error_clear();
    return true;
}

/* All ranks come to a failure by the same call, and take no notice, as one process may. */
SCENARIO(callback_takes_no_notice) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    now.group = group;
    ct_seed_set(3);
    ct_tensor *x = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(ITEMS, INPUTS));
    ct_source *data = ct_batches_new(x, x, (ct_batches_options){.size = BATCH});
    ct_module *model = ct_dense_new(INPUTS, INPUTS, (ct_dense_options){0});
    ct_optimizer *optimizer = ct_adam_new(model, ct_adam_defaults(0.01));
    ct_fit_options options = {.callback = agree_in_vain};
    OK(ct_fit(model, optimizer, &ct_loss_mse, data, options, NULL));
    EXPECT(ct_optimizer_steps(optimizer) == ITEMS / BATCH);
    ct_optimizer_free(optimizer);
    ct_module_free(model);
    ct_source_free(data);
}
