/* Evaluations, and objectives and callbacks that evaluate, on ranks of which one fails or stops
 * where the others wait in a sum.
 * Invariant: all ranks come to the same end after the same exchanges: the group goes on. */
#include "tests/optim/train/rank_notes.h"
#include "tests/optim/train/rank_requests.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "datasets/datasets.h"
#include "nn/layers.h"
#include "nn/loss.h"
#include "optim/fit.h"
#include "tensor/runtime.h"

#include <math.h>
#include <signal.h>

enum { ITEMS = 24, BATCH = 8, INPUTS = 3 };

typedef struct {
    ct_source *train, *test; /* of one batch, of three */
    ct_module *model;
    ct_optimizer *optimizer;
} training;

/* Reads a sum over all ranks before it is done. */
static ct_tensor *looking(void *context, ct_module *model, const ct_batch *batch, ct_mode mode,
                          ct_output outputs[]) {
    (void)context;
    return rank_look(&ct_loss_mse, model, batch, mode, outputs);
}

/* The same twice, and takes no notice of what it is. */
static ct_tensor *glancing(void *context, ct_module *model, const ct_batch *batch, ct_mode mode,
                           ct_output outputs[]) {
    looking(context, model, batch, mode, outputs);
    ct_tensor *loss = ct_mse(outputs[0].prediction, batch->y);
    ct_item(ct_sum_all(outputs[0].prediction));
    return loss;
}

/* What happens to batch `number` of the data on rank 1. */
typedef struct {
    int64_t number;
    bool stops; /* by Ctrl-C; else it is lost */
    ct_group *group;
    bool looks; /* the others' data evaluate, too */
} mishap;

static ct_status befall(void *context, int64_t epoch, int64_t number, ct_batch *batch) {
    const mishap *m = context;
    (void)epoch;
    if (ct_group_rank(m->group) == 1 && number == m->number) {
        if (m->stops) return raise(SIGINT) == 0 ? CT_OK : CT_ERR_IO;
        return ct_fail(CT_ERR_IO, "rank 1 found no file");
    }
    if (m->looks) ct_item(ct_sum_all(batch->x)); /* and takes no notice */
    return batch->x ? CT_OK : ct_error();
}

static training begin(ct_group *group, mishap *of_test) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 10}));
    ct_seed_set(3);
    ct_threads_set(1);
    ct_tensor *x = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(ITEMS, INPUTS));
    ct_tensor *y = ct_sum_keep(x, CT_AXES(1));
    training t = {.train = ct_batches_new(x, y, (ct_batches_options){.size = ITEMS})};
    ct_source *tested = ct_batches_new(x, y, (ct_batches_options){.size = BATCH});
    t.test = ct_source_map_new(tested, befall, of_test); /* owns it */
    t.model = ct_dense_new(INPUTS, 1, (ct_dense_options){0});
    ct_adam_options adam = ct_adam_defaults(0.01);
    adam.step.plateau = (ct_plateau){.factor = 0.5};
    t.optimizer = ct_adam_new(t.model, adam);
    return t;
}

static void end(training *t) {
    ct_optimizer_free(t->optimizer);
    ct_module_free(t->model);
    ct_source_free(t->train);
    ct_source_free(t->test);
}

static void say(const char *what) {
    printf("%s %s: %s\n", what, ct_status_name(ct_error()), ct_error_message());
    ct_error_clear();
}

/* The group is as before: an evaluation of all ranks comes to the same. */
static void expect_in_step(ct_group *group, training *t) {
    double loss, first;
    OK(ct_evaluate(t->model, &ct_loss_mse, t->train, &loss, NULL));
    first = loss;
    OK(ct_group_broadcast(group, &first, sizeof first));
    EXPECT(loss == first, "%g, not %g", loss, first);
}

/* The data of one rank fails at batch `argument`, or 3 less where the objective takes no notice. */
SCENARIO(evaluates_without_data) {
    mishap lost = {argument % 3, false, group, false};
    training t = begin(group, &lost);
    ct_objective *objective = argument < 3 ? looking : glancing;
    ct_evaluation result;
    ct_evaluate_with(t.model, NULL, t.test, (ct_evaluate_options){.objective = objective}, &result);
    say("evaluated");
    expect_in_step(group, &t);
    ct_fit(t.model, t.optimizer, NULL, t.train,
           (ct_fit_options){.epochs = 1, .objective = objective, .validation = t.test}, NULL);
    say("validated");
    expect_in_step(group, &t);
    ct_fit(t.model, t.optimizer, NULL, t.test,
           (ct_fit_options){.epochs = 1, .objective = objective}, NULL);
    say("fitted");
    expect_in_step(group, &t);
    end(&t);
}

/* As a training's data does, which evaluates on the other ranks. */
SCENARIO(fits_without_data) {
    mishap lost = {argument, false, group, true};
    training t = begin(group, &lost);
    ct_fit(t.model, t.optimizer, &ct_loss_mse, t.test, (ct_fit_options){.epochs = 1}, NULL);
    say("fitted");
    expect_in_step(group, &t);
    ct_evaluate(t.model, &ct_loss_mse, t.test, NULL, NULL);
    say("evaluated");
    expect_in_step(group, &t);
    end(&t);
}

/* Rank 1 has left: what is returned is the error on record. */
SCENARIO(fits_without_a_rank) {
    mishap none = {-1, false, group, false};
    training t = begin(group, &none);
    if (ct_group_rank(group) != 1) {
        ct_status status = ct_fit(t.model, t.optimizer, &ct_loss_mse, t.test,
                                  (ct_fit_options){.epochs = 1}, NULL);
        EXPECT(status == ct_error(), "%s", ct_status_name(status));
        say("fitted");
        ct_evaluate(t.model, &ct_loss_mse, t.test, NULL, NULL);
        say("evaluated");
    }
    end(&t);
}

/* One rank has no model, or no place for the result. */
SCENARIO(evaluates_without_model) {
    mishap none = {-1, false, group, false};
    training t = begin(group, &none);
    bool mine = ct_group_rank(group) == 1;
    ct_evaluate(mine ? NULL : t.model, &ct_loss_mse, t.test, NULL, NULL);
    say("evaluated");
    expect_in_step(group, &t);
    ct_evaluation result;
    ct_evaluate_with(t.model, &ct_loss_mse, t.test, (ct_evaluate_options){0},
                     mine ? NULL : &result);
    say("evaluated");
    expect_in_step(group, &t);
    end(&t);
}

/* Ctrl-C reaches one rank, within the validation. */
SCENARIO(stops_in_a_validation) {
    mishap stop = {argument, true, group, false};
    training t = begin(group, &stop);
    ct_history history;
    ct_fit(t.model, t.optimizer, NULL, t.train,
           (ct_fit_options){.epochs = 2, .objective = looking, .validation = t.test}, &history);
    printf("%lld epochs, interrupted %d ", (long long)history.n_epochs, history.interrupted);
    say("fitted");
    expect_in_step(group, &t);
    ct_history_free(&history);
    end(&t);
}

/* --- Without memory --------------------------------------------------------------------------- */

static bool evaluate_again(void *context, ct_position position, const ct_step_record *last,
                           const ct_epoch *epoch) {
    training *t = context;
    (void)position, (void)last;
    if (epoch) ct_evaluate(t->model, &ct_loss_mse, t->test, NULL, NULL);
    return true;
}

static ct_fit_options evaluating(training *t) {
    return (ct_fit_options){.epochs = 1,
                            .objective = looking,
                            .validation = t->test,
                            .restore_best = true,
                            .callback = evaluate_again,
                            .context = t};
}

/* What is learned in a training of one step: before it, after it, and after its validation. */
static rank_notes note_training(ct_group *group, mishap *none) {
    training t = begin(group, none);
    rank_notes notes = {.model = t.model, .optimizer = t.optimizer};
    rank_note(&notes);
    ct_fit_options options = evaluating(&t);
    options.callback = rank_note_step;
    options.context = &notes;
    OK(ct_fit(t.model, t.optimizer, NULL, t.train, options, NULL));
    rank_note(&notes);
    EXPECT(notes.count == 3);
    end(&t);
    return notes;
}

/* From 2 on there is no memory from that request on. */
static rank_requests requests_of(ct_group *group, int64_t argument) {
    return (rank_requests){.group = group, .rank = argument % 2, .all_later = argument >= 2};
}

static bool check_slots(ct_group *group, const rank_notes *undisturbed, const training *t,
                        int64_t at) {
    bool failed = ct_error() != CT_OK;
    ct_error_clear();
    uint64_t learned = rank_learned_hash(t->model, t->optimizer);
    const uint64_t *values = undisturbed->values;
    int64_t steps = ct_optimizer_steps(t->optimizer);
    bool well = failed && steps == 1 ? learned == values[1] || learned == values[2]
                                     : learned == values[failed ? 0 : 2];
    EXPECT(well, "at request %lld: %lld steps", (long long)at, (long long)steps);
    rank_expect_alike(group, failed, "status", at);
    rank_expect_alike(group, rank_slots_hash(t->model, t->optimizer), "slots", at);
    return failed;
}

typedef struct {
    training training;
    ct_history history;
} fitting;

static ct_status fit(void *context) {
    fitting *f = context;
    training *t = &f->training;
    return ct_fit(t->model, t->optimizer, NULL, t->train, evaluating(t), &f->history);
}

/* On rank `argument` each request for memory fails in turn, in a training whose objective and
 * callback evaluate. All come to the same, and go on alike. */
SCENARIO(evaluates_all_over_without_memory) {
    mishap none = {-1, false, group, false};
    rank_notes undisturbed = note_training(group, &none);
    int64_t failed = 0;
    rank_requests r = requests_of(group, argument);
    for (; r.at <= r.count; r.at++) {
        fitting f = {.training = begin(group, &none)};
        if (r.at == 0) ct_cache_clear();
        rank_requests_run(&r, fit, &f);
        failed += check_slots(group, &undisturbed, &f.training, r.at);
        rank_expect_alike(group, (uint64_t)f.history.n_epochs, "epochs", r.at);
        ct_history_free(&f.history);
        end(&f.training);
    }
    EXPECT(failed > 50, "%lld of %lld requests", (long long)failed, (long long)r.count);
}

static training begin_to_skip(ct_group *group, mishap *none) {
    training t = begin(group, none);
    ct_adam_options options = ct_adam_defaults(0.01);
    options.step.skip_nonfinite = true;
    ct_optimizer_free(t.optimizer);
    t.optimizer = ct_adam_new(t.model, options);
    return t;
}

/* Its gradients are infinite. */
static ct_tensor *infinite_loss(const training *t) {
    ct_batch batch = {0};
    OK(ct_source_seek(t->train, 0, 0));
    OK(ct_source_next(t->train, &batch));
    return ct_scale(ct_mse(ct_forward(t->model, batch.x, CT_TRAINING), batch.y), INFINITY);
}

typedef struct {
    ct_optimizer *optimizer;
    ct_tensor *loss;
} stepping;

static ct_status take_step(void *context) {
    const stepping *s = context;
    return ct_optimizer_step(s->optimizer, s->loss, NULL, 0);
}

/* Steps that are skipped, where rank `argument` fails in turn at each request: all ranks have
 * counted a step and changed nothing else, as one that nothing disturbs, or have not. */
SCENARIO(skips_without_memory) {
    mishap none = {-1, false, group, false};
    training t = begin_to_skip(group, &none), other = begin_to_skip(group, &none);
    int64_t skipped = 0;
    rank_requests r = requests_of(group, argument);
    for (; r.at <= r.count; r.at++) {
        int64_t scope = ct_scope_open();
        stepping s = {t.optimizer, infinite_loss(&t)};
        ct_status status = rank_requests_run(&r, take_step, &s);
        ct_error_clear();
        skipped += status == CT_OK;
        if (status == CT_OK) OK(ct_optimizer_step(other.optimizer, infinite_loss(&other), NULL, 0));
        ct_scope_close(scope);
        rank_expect_alike(group, status == CT_OK, "status", r.at);
        EXPECT(ct_optimizer_skipped(t.optimizer) == skipped);
        EXPECT(rank_slots_hash(t.model, t.optimizer) ==
                   rank_slots_hash(other.model, other.optimizer),
               "at request %lld", (long long)r.at);
    }
    EXPECT(skipped > 0 && skipped <= r.count);
    end(&t);
    end(&other);
}
