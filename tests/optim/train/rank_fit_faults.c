/* Training on ranks of which one stops, fails, or has no memory.
 * Invariant: all ranks come to the same, and what they hold is that of whole steps. */
#include "tests/optim/train/rank_digits.h"
#include "tests/optim/train/rank_notes.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "autograd/stage.h"
#include "nn/layers.h"
#include "nn/loss.h"
#include "tensor/mem.h"
#include "tensor/runtime.h"
#include "tensor/varying.h"

#include <math.h>
#include <signal.h>
#include <unistd.h>

static void say(bool whole) {
    printf("%s: %s, slots of %s\n", ct_status_name(ct_error()), ct_error_message(),
           whole ? "whole steps" : "none");
    ct_error_clear();
}

static bool stop_on_rank_1(void *context, ct_position position, const ct_step_record *last,
                           const ct_epoch *epoch) {
    (void)last, (void)epoch;
    return !(ct_group_rank(context) == 1 && position.batch == 2);
}

/* Where training has stopped, and whether what was learned is that of so many whole steps. */
static void say_where(const ct_history *history, bool whole) {
    printf("%lld steps, at %lld/%lld, interrupted %d, early %d, ", (long long)history->n_steps,
           (long long)history->position.epoch, (long long)history->position.batch,
           history->interrupted, history->stopped_early);
    say(whole);
}

SCENARIO(stops_early) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    uint64_t after_two_steps = rank_digits_hash_after(2, NULL);
    rank_digits t = rank_digits_begin(CT_F32, false);
    ct_history history = rank_digits_fit(
        &t, (ct_fit_options){.epochs = 2, .callback = stop_on_rank_1, .context = group});
    say_where(&history, rank_learned_hash(t.model, t.optimizer) == after_two_steps);
    ct_history_free(&history);
    rank_digits_end(&t);
}

typedef struct {
    bool sends;
    pid_t to;
    int signal;
} sender;

/* In the second step, where the others wait for this rank's gradients. */
static ct_status send_signal(void *context, ct_fit_step *step) {
    const sender *s = context;
    bool now = s->sends && step->position.epoch == 0 && step->position.batch == 1;
    return !now || kill(s->to, s->signal) == 0 ? CT_OK : CT_ERR_IO;
}

/* SIGINT, or SIGTERM for odd arguments, reaches one rank: 0, 1 and 2 in turn within its step, and
 * rank 0 once more while it waits for rank 1. Then training goes on to where it would have come. */
SCENARIO(is_interrupted) {
    enum { WHILE_WAITING = 3 };
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    uint64_t after_two_steps = rank_digits_hash_after(2, NULL);
    uint64_t after_six_steps = rank_digits_hash_after(6, NULL);
    int by = argument / 2 == WHILE_WAITING ? 1 : (int)(argument / 2);
    sender s = {ct_group_rank(group) == by, getpid(), argument % 2 ? SIGTERM : SIGINT};
    if (argument / 2 == WHILE_WAITING) OK(ct_group_broadcast(group, &s.to, sizeof s.to));
    rank_digits t = rank_digits_begin(CT_F32, false);
    ct_history history = rank_digits_fit(
        &t, (ct_fit_options){.epochs = 2, .also = send_signal, .context = &s});
    say_where(&history, rank_learned_hash(t.model, t.optimizer) == after_two_steps);
    rank_expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", 0);
    s.sends = false;
    ct_position position = history.position;
    ct_history_free(&history);
    history = rank_digits_fit(&t, (ct_fit_options){.epochs = 2, .start = position});
    EXPECT(history.n_steps == 4 && !history.interrupted);
    EXPECT(rank_learned_hash(t.model, t.optimizer) == after_six_steps);
    ct_history_free(&history);
    rank_digits_end(&t);
}

static ct_status fail_on_rank_1(void *context, int64_t epoch, int64_t number, ct_batch *batch) {
    (void)epoch;
    if (ct_group_rank(context) != 1 || number != 1) return batch->x ? CT_OK : ct_error();
    return ct_fail(CT_ERR_IO, "rank 1 found no file");
}

/* The source fails on one rank at the second step: what is left is what one step has made. */
static void lose_data(ct_group *group, ct_objective *objective) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    uint64_t after_a_step = rank_digits_hash_after(1, objective);
    rank_digits t = rank_digits_begin(CT_F32, false);
    t.train = ct_source_map_new(t.train, fail_on_rank_1, group); /* owns it */
    ct_history history = rank_digits_fit(&t, (ct_fit_options){.epochs = 1, .objective = objective});
    printf("%lld steps ", (long long)history.n_steps);
    say(rank_learned_hash(t.model, t.optimizer) == after_a_step);
    rank_expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", 0);
    EXPECT(history.position.epoch == 0 && history.position.batch == 1);
    EXPECT(ct_optimizer_steps(t.optimizer) == 1);
    ct_history_free(&history);
    OK(ct_group_agree(group, CT_OK)); /* the group is as before */
    rank_digits_end(&t);
}

SCENARIO(loses_data) { lose_data(group, NULL); }

/* Reads a sum over all ranks before it is done. */
static ct_tensor *looking(void *context, ct_module *model, const ct_batch *batch, ct_mode mode,
                          ct_output outputs[]) {
    (void)context;
    return rank_look(&ct_loss_cross_entropy, model, batch, mode, outputs);
}

/* As above, where the objective of the others evaluates. */
SCENARIO(loses_data_before_an_evaluation) { lose_data(group, looking); }

enum { STEPS = 3 };

/* What all values but keys have been before an undisturbed training, and after each step. */
static rank_notes note_training(void) {
    rank_digits t = rank_digits_begin_few();
    rank_notes notes = {.model = t.model, .optimizer = t.optimizer};
    rank_note(&notes);
    ct_history history = rank_digits_fit(
        &t, (ct_fit_options){.epochs = 1, .callback = rank_note_step, .context = &notes});
    OK(ct_error());
    EXPECT(history.n_steps == STEPS && notes.count == STEPS + 1);
    ct_history_free(&history);
    rank_digits_end(&t);
    return notes;
}

/* What is left, and that all ranks have it. Whether there was an error. */
static bool check_whole_steps(ct_group *group, const rank_notes *undisturbed, const rank_digits *t,
                              int64_t at) {
    bool failed = ct_error() != CT_OK;
    EXPECT(!failed || ct_error() == CT_ERR_MEMORY, "%s", ct_error_message());
    ct_error_clear();
    int64_t steps = ct_optimizer_steps(t->optimizer);
    REQUIRE(steps >= 0 && steps <= STEPS && (failed || steps == STEPS), "%lld", (long long)steps);
    EXPECT(rank_learned_hash(t->model, t->optimizer) == undisturbed->values[steps],
           "at request %lld", (long long)at);
    rank_expect_alike(group, failed, "status", at);
    rank_expect_alike(group, rank_slots_hash(t->model, t->optimizer), "slots", at);
    return failed;
}

/* A training whose plans are to be made. False when it needs fewer requests. */
static bool fit_without_memory(ct_group *group, const rank_notes *undisturbed, bool mine,
                               int64_t at) {
    rank_digits t = rank_digits_begin_few();
    ct_cache_clear();
    int64_t before = ct_mem_read().allocations;
    if (mine) ct_mem_fail_at(at, false);
    ct_history history = rank_digits_fit(&t, (ct_fit_options){.epochs = 1});
    ct_mem_fail_at(0, false);
    bool reached = !mine || ct_mem_read().allocations - before >= at;
    bool failed = check_whole_steps(group, undisturbed, &t, at);
    EXPECT(history.n_steps == ct_optimizer_steps(t.optimizer));
    EXPECT(failed || history.n_epochs == 1);
    ct_history_free(&history);
    rank_digits_end(&t);
    bool any = ct_group_agree(group, reached ? CT_OK : CT_ERR_RANGE) == CT_OK;
    ct_error_clear();
    EXPECT(any || !failed);
    return any;
}

/* On rank `argument` each request for memory fails in turn, in as short a training as there is: it
 * is an error on all ranks after the same whole steps, or on none. */
SCENARIO(fits_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_notes undisturbed = note_training();
    int64_t at = 1, stride = support_stride();
    while (fit_without_memory(group, &undisturbed, ct_group_rank(group) == argument, at))
        at += stride;
    EXPECT(at > 500, "%lld requests", (long long)at);
}

/* Another seed on rank 1. */
SCENARIO(begins_otherwise) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    rank_digits t = rank_digits_begin(CT_F32, false);
    if (ct_group_rank(group) == 1) {
        ct_module_free(t.model);
        t.model = rank_digits_net(CT_F32);
        ct_optimizer_free(t.optimizer);
        t.optimizer = ct_adam_new(t.model, ct_adam_defaults(0.003));
    }
    uint64_t before = rank_slots_hash(t.model, t.optimizer);
    ct_history history = rank_digits_fit(&t, (ct_fit_options){.epochs = 1});
    say(rank_slots_hash(t.model, t.optimizer) == before);
    ct_history_free(&history);
    rank_digits_end(&t);
}

/* A loss that was not built, in a loop of the user's own. */
SCENARIO(steps_without_loss) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    rank_digits t = rank_digits_begin(CT_F32, false);
    ct_batch batch;
    OK(ct_source_next(t.train, &batch));
    uint64_t before = rank_slots_hash(t.model, t.optimizer);
    ct_tensor *logits = ct_logits(t.model, batch.x, CT_INFERENCE);
    ct_tensor *loss = ct_group_rank(group) == 1 ? NULL : ct_cross_entropy(logits, batch.y);
    ct_optimizer_step(t.optimizer, loss, NULL, 0);
    say(rank_slots_hash(t.model, t.optimizer) == before);
    rank_digits_end(&t);
}

/* Rank 1 has forgotten that its rows are a part of all, so its step, or its commit for 1, sums
 * nothing over the ranks. */
SCENARIO(sums_nothing) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_digits t = rank_digits_begin(CT_F32, false);
    ct_batch batch;
    OK(ct_source_next(t.train, &batch));
    uint64_t before = rank_learned_hash(t.model, t.optimizer);
    bool forgets = ct_group_rank(group) == 1;
    ct_tensor *x = forgets ? ct_own_rows(batch.x) : batch.x;
    ct_tensor *y = forgets ? ct_own_rows(batch.y) : batch.y;
    ct_tensor *loss = ct_cross_entropy(ct_logits(t.model, x, CT_TRAINING), y);
    ct_status status = argument ? ct_commit(&loss, 1, NULL, 0)
                                : ct_optimizer_step(t.optimizer, loss, NULL, 0);
    EXPECT(status == CT_ERR_STATE, "%s", ct_error_message());
    ct_error_clear();
    OK(ct_group_agree(group, CT_OK)); /* the group is as before */
    EXPECT(rank_learned_hash(t.model, t.optimizer) == before);
    if (!argument) rank_expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", 0);
    rank_digits_end(&t);
}

/* --- Functions that change the current group -------------------------------------------------- */

/* What one of rank 1 does at the second step. */
enum { CHOOSES_NONE, CHOOSES_ANOTHER, LEAVES, LEAVES_FOR_ANOTHER };
typedef struct {
    ct_group *group, *another;
    int does;
    bool done;
} wanderer;

static void wander(wanderer *w) {
    if (w->done || ct_group_rank(w->group) != 1) return;
    w->done = true;
    if (w->does == CHOOSES_NONE) ct_group_use_none();
    if (w->does >= LEAVES) {
        ct_group_free(w->group);
        rank_has_left = true;
    }
    if (w->does == LEAVES_FOR_ANOTHER) w->another = ct_group_alone(); /* where the first one was */
    if (w->another) OK(ct_group_use(w->another, (ct_group_options){0}));
}

static bool wander_after_a_step(void *context, ct_position position, const ct_step_record *last,
                                const ct_epoch *epoch) {
    (void)position, (void)epoch;
    if (last->step == 2) wander(context);
    return true;
}

static ct_status wander_with_data(void *context, int64_t epoch, int64_t number, ct_batch *batch) {
    (void)epoch;
    if (number == 2) wander(context);
    return batch->x ? CT_OK : ct_error();
}

static ct_status wander_in_a_step(void *context, ct_fit_step *step) {
    if (step->position.batch == 2) wander(context);
    return CT_OK;
}

/* In the callback, the data, and `also`, of a training; then in the data of an evaluation. */
static ct_status fit_wandering(int where, rank_digits *t, wanderer *w, ct_history *history) {
    ct_fit_options options = {.epochs = 2, .context = w, .record_steps = true};
    if (where == 0) options.callback = wander_after_a_step;
    if (where == 1) t->train = ct_source_map_new(t->train, wander_with_data, w);
    if (where == 2) options.also = wander_in_a_step;
    return ct_fit(t->model, t->optimizer, &ct_loss_cross_entropy, t->train, options, history);
}

/* `argument`: 4 x where + what. Rank 1 is told, and the others do not wait for it. */
SCENARIO(changes_the_group) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    uint64_t after_two_steps = rank_digits_hash_after(2, NULL);
    rank_digits t = rank_digits_begin(CT_F32, false);
    wanderer w = {.group = group, .does = (int)(argument % 4)};
    if (w.does == CHOOSES_ANOTHER && ct_group_rank(group) == 1) w.another = ct_group_alone();
    ct_history history = {0};
    EXPECT(fit_wandering((int)(argument / 4), &t, &w, &history) == ct_error());
    printf("%lld steps ", (long long)history.n_steps);
    say(rank_learned_hash(t.model, t.optimizer) == after_two_steps);
    ct_history_free(&history);
    if (w.does < LEAVES) { /* the group is as before */
        EXPECT(ct_group_current() == group);
        OK(ct_group_agree(group, CT_OK));
    }
    rank_digits_end(&t);
    ct_group_free(w.another);
}

/* The data of an evaluation, which is none of a training. */
SCENARIO(changes_the_group_in_an_evaluation) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_digits t = rank_digits_begin(CT_F32, false);
    wanderer w = {.group = group, .does = (int)argument};
    if (w.does == CHOOSES_ANOTHER && ct_group_rank(group) == 1) w.another = ct_group_alone();
    t.train = ct_source_map_new(t.train, wander_with_data, &w);
    double loss;
    EXPECT(ct_evaluate(t.model, &ct_loss_cross_entropy, t.train, &loss, NULL) == ct_error());
    printf("%s: %s\n", ct_status_name(ct_error()), ct_error_message());
    ct_error_clear();
    if (w.does < LEAVES) OK(ct_evaluate(t.model, &ct_loss_cross_entropy, t.train, &loss, NULL));
    rank_digits_end(&t);
    ct_group_free(w.another);
}

/* --- What is not finite ----------------------------------------------------------------------- */

static ct_status diverge_on_rank_1(void *context, ct_fit_step *step) {
    if (ct_group_rank(context) != 1 || step->position.batch != 1) return CT_OK;
    return ct_fail(CT_ERR_DIVERGED, "rank 1 has had enough");
}

/* It says so before the second step is evaluated, which no rank has in its history then. */
SCENARIO(says_diverged) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    uint64_t after_a_step = rank_digits_hash_after(1, NULL);
    rank_digits t = rank_digits_begin(CT_F32, false);
    ct_history history = rank_digits_fit(
        &t, (ct_fit_options){.epochs = 1, .also = diverge_on_rank_1, .context = group});
    EXPECT(history.n_epochs == 1 && history.epochs[0].steps == 1);
    EXPECT(isfinite(history.epochs[0].loss) && history.epochs[0].loss == history.steps[0].loss);
    printf("%lld steps ", (long long)history.n_steps);
    say(rank_learned_hash(t.model, t.optimizer) == after_a_step);
    ct_history_free(&history);
    OK(ct_group_agree(group, CT_OK));
    rank_digits_end(&t);
}

/* A sum over the batch, which all ranks evaluate, or none. */
static ct_status center(void *context, int64_t epoch, int64_t number, ct_batch *batch) {
    (void)context, (void)epoch, (void)number;
    batch->y = ct_sub(batch->y, ct_mean(batch->y, CT_AXES(0)));
    return batch->y ? CT_OK : ct_error();
}

/* The row of 7 whose number is the argument has it, in the second of its two elements. */
SCENARIO(has_no_number) {
    enum { ROWS = 7 };
    float x[2 * ROWS] = {0};
    x[2 * argument + 1] = NAN;
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    ct_module *net = CT_SEQUENTIAL("net", ct_dense_new(2, 1, (ct_dense_options){0}));
    ct_optimizer *sgd = ct_sgd_new(net, (ct_sgd_options){.rate = ct_rate(0.1)});
    ct_source *data = ct_batches_new(ct_from(CT_F32, CT_SHAPE(ROWS, 2), x),
                                     ct_full(CT_F32, CT_SHAPE(ROWS, 1), 1),
                                     (ct_batches_options){.size = ROWS});
    data = ct_source_map_new(data, center, NULL); /* owns it */
    EXPECT(ct_fit(net, sgd, &ct_loss_mse, data, (ct_fit_options){.epochs = 1}, NULL) ==
           CT_ERR_DIVERGED);
    printf("%s\n", ct_error_message());
    ct_error_clear();
    OK(ct_group_agree(group, CT_OK));
    ct_source_free(data);
    ct_optimizer_free(sgd);
    ct_module_free(net);
}
