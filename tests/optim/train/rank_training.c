/* Training on one rank of several, as a user would write it.
 * Invariant: but for its file, a scenario prints what is the same on all ranks and for any number
 * of them. */
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "datasets/datasets.h"
#include "nn/models.h"
#include "optim/fit.h"
#include "tensor/mem.h"
#include "tensor/runtime.h"
#include "tensor/varying.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ITEMS = 45, BATCH = 20, TESTED = 21 }; /* last batches have 5 rows, for 8 ranks */

typedef struct {
    ct_dataset *digits;
    ct_source *train, *test;
    ct_module *model;
    ct_optimizer *optimizer;
} training;

/* A net with what the study's has not: random numbers, "same" windows, a bias. */
static ct_module *small_net(ct_dtype dtype) {
    ct_conv2d_options conv = {.padding = CT_SAME, .dtype = dtype};
    ct_batch_norm_options norm = ct_batch_norm_defaults();
    norm.dtype = dtype;
    return CT_SEQUENTIAL("small", ct_conv2d_new(1, 4, conv), ct_batch_norm_new(4, norm),
                         ct_activation_new(&ct_activation_relu),
                         ct_max_pool2d_new((ct_pool2d_options){.window = {4, 4}}),
                         ct_spatial_dropout2d_new(0.2), ct_gaussian_noise_new(0.1),
                         ct_depthwise_conv2d_new(4, 1, (ct_conv2d_options){.dtype = dtype}),
                         ct_avg_pool2d_new((ct_pool2d_options){0}), ct_flatten_new(),
                         ct_dropout_new(0.3),
                         ct_dense_new(16, 10, (ct_dense_options){.dtype = dtype}),
                         ct_activation_new(&ct_activation_softmax));
}

static training begin(ct_dtype dtype, bool study) {
    ct_seed_set(3);
    training t = {.digits = ct_dataset_digits(ITEMS, TESTED, 1)};
    const ct_dataset *d = t.digits;
    ct_batches_options options = {.size = BATCH, .shuffle = true, .divide_by = 255};
    ct_batches_options tested = {.size = 16, .divide_by = 255};
    t.train = ct_batches_new(ct_cast(d->train_images, dtype), d->train_labels, options);
    t.test = ct_batches_new(ct_cast(d->test_images, dtype), d->test_labels, tested);
    t.model = study ? ct_digits_cnn_new((ct_digits_cnn_options){.dtype = dtype}) : small_net(dtype);
    t.optimizer = ct_adam_new(t.model, ct_adam_defaults(0.003));
    if (!getenv("CT_NUM_THREADS")) ct_threads_set(1);
    return t;
}

static void end(training *t) {
    ct_optimizer_free(t->optimizer);
    ct_module_free(t->model);
    ct_source_free(t->train);
    ct_source_free(t->test);
    ct_dataset_free(t->digits);
}

static ct_history fit(training *t, ct_fit_options options) {
    ct_metric metrics[] = {ct_metric_macro_f1, ct_metric_top_k(2)};
    ct_history history;
    options.validation = t->test;
    options.metrics = metrics;
    options.n_metrics = 2;
    options.record_steps = true;
    ct_fit(t->model, t->optimizer, &ct_loss_cross_entropy, t->train, options, &history);
    return history;
}

/* All numbers of a training to the last bit, but for the time. */
static void print(const training *t, const ct_history *history) {
    for (int64_t i = 0; i < history->n_steps; i++) {
        printf("step %a %a\n", history->steps[i].loss, history->steps[i].accuracy);
    }
    for (int64_t i = 0; i < history->n_epochs; i++) {
        const ct_epoch *e = &history->epochs[i];
        printf("epoch %lld items %a %a %a %a %a %a\n", (long long)e->items, e->loss, e->accuracy,
               e->metrics[0], e->metrics[1], e->val_loss, e->val_metrics[0]);
    }
    printf("slots %016llx\n", (unsigned long long)rank_slots_hash(t->model, t->optimizer));
}

/* Bit 0: the study's network. */
SCENARIO(trains) {
    OK(ct_group_use(group, (ct_group_options){0}));
    training t = begin(CT_F32, argument & 1);
    ct_history history = fit(&t, (ct_fit_options){.epochs = 2});
    print(&t, &history);
    ct_history_free(&history);
    end(&t);
}

/* The study's network, `argument` steps. */
SCENARIO(digest) {
    OK(ct_group_use(group, (ct_group_options){0}));
    training t = begin(CT_F32, true);
    OK(ct_fit(t.model, t.optimizer, &ct_loss_cross_entropy, t.train,
              (ct_fit_options){.max_steps = argument}, NULL));
    rank_slots_print_sha256(t.model, t.optimizer);
    end(&t);
}

/* Bytes of payload that a step of the study's network sends: those of longer trainings less those
 * of shorter ones. */
SCENARIO(sends) {
    int64_t sent[2];
    OK(ct_group_use(group, (ct_group_options){0}));
    for (int k = 0; k < 2; k++) {
        training t = begin(CT_F32, true);
        int64_t before = ct_group_stats_read(group).payload;
        OK(ct_fit(t.model, t.optimizer, &ct_loss_cross_entropy, t.train,
                  (ct_fit_options){.max_steps = 1 + k}, NULL));
        sent[k] = ct_group_stats_read(group).payload - before;
        end(&t);
    }
    printf("%lld", (long long)(sent[1] - sent[0]));
}

/* --- Beside one process ----------------------------------------------------------------------- */

static void expect_close(ct_module *a, ct_module *b) {
    ct_slot_list of_a, of_b;
    OK(ct_module_list(a, &of_a));
    OK(ct_module_list(b, &of_b));
    REQUIRE(of_a.count == of_b.count);
    for (int64_t i = 0; i < of_a.count; i++) {
        ct_tensor *x = ct_slot_read(of_a.items[i].slot), *y = ct_slot_read(of_b.items[i].slot);
        const double *p = ct_dtype_of(x) == CT_F64 ? ct_data(x) : NULL, *q = ct_data(y);
        for (int64_t k = 0; p && k < ct_numel(x); k++) {
            EXPECT(fabs(p[k] - q[k]) <= 1e-12 * (1 + fabs(q[k])), "%s[%lld]: %.17g, not %.17g",
                   of_a.items[i].path, (long long)k, p[k], q[k]);
        }
    }
    ct_slot_list_free(&of_a);
    ct_slot_list_free(&of_b);
}

/* In f64, with gradient descent: Adam divides by what may be the root of a rounding error. */
static training begin_f64(bool study) {
    training t = begin(CT_F64, study);
    ct_optimizer_free(t.optimizer);
    t.optimizer = ct_sgd_new(t.model, (ct_sgd_options){.rate = ct_rate(0.05)});
    return t;
}

SCENARIO(trains_as_one) {
    OK(ct_group_use(group, (ct_group_options){0}));
    training many = begin_f64(argument & 1);
    ct_history of_many = fit(&many, (ct_fit_options){.epochs = 2});
    ct_group_use_none();
    training one = begin_f64(argument & 1);
    ct_history of_one = fit(&one, (ct_fit_options){.epochs = 2});
    expect_close(many.model, one.model);
    for (int e = 0; e < 2; e++) {
        const ct_epoch *p = &of_many.epochs[e], *q = &of_one.epochs[e];
        EXPECT(fabs(p->loss - q->loss) < 1e-12 && fabs(p->val_loss - q->val_loss) < 1e-12);
        EXPECT(p->items == q->items && p->metrics[0] == q->metrics[0]);
        EXPECT(p->accuracy == q->accuracy && p->val_metrics[1] == q->val_metrics[1]);
    }
    ct_history_free(&of_many);
    ct_history_free(&of_one);
    end(&many);
    end(&one);
}

/* --- Files ------------------------------------------------------------------------------------ */

/* The parent's, so that the ranks of several groups find it. */
static const char *checkpoint_path(void) {
    static char path[256];
    snprintf(path, sizeof path, "/tmp/cotan-ranks-%ld.safetensors", (long)getppid());
    return path;
}

/* Four steps: the checkpoint lies within the second epoch. */
SCENARIO(saves) {
    OK(ct_group_use(group, (ct_group_options){0}));
    training t = begin(CT_F32, argument & 1);
    ct_history history = fit(&t, (ct_fit_options){.max_steps = 4});
    OK(ct_checkpoint_save(checkpoint_path(), t.model, t.optimizer, history.position));
    ct_history_free(&history);
    end(&t);
}

SCENARIO(resumes) {
    OK(ct_group_use(group, (ct_group_options){0}));
    training t = begin(CT_F32, argument & 1);
    ct_position position;
    OK(ct_checkpoint_load(checkpoint_path(), t.model, t.optimizer, &position));
    ct_history history = fit(&t, (ct_fit_options){.epochs = 2, .start = position});
    printf("slots %016llx\n", (unsigned long long)rank_slots_hash(t.model, t.optimizer));
    ct_history_free(&history);
    end(&t);
}

/* Rank 1 has lost the file. */
SCENARIO(loads_on_some) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    training t = begin(CT_F32, false);
    uint64_t before = rank_slots_hash(t.model, t.optimizer);
    bool lost = ct_group_rank(group) == 1;
    ct_position position;
    ct_checkpoint_load(lost ? "/nowhere" : checkpoint_path(), t.model, t.optimizer, &position);
    printf("%s, %s\n", ct_status_name(ct_error()),
           rank_slots_hash(t.model, t.optimizer) == before ? "unchanged" : "changed");
    ct_error_clear();
    ct_weights_load(t.model, lost ? checkpoint_path() : "/nowhere");
    printf("%s\n", ct_error() == CT_OK ? "loaded" : "refused");
    ct_error_clear();
    end(&t);
}

/* The log. */
SCENARIO(logs) {
    OK(ct_group_use(group, (ct_group_options){0}));
    training t = begin(CT_F32, false);
    ct_history history = fit(&t, (ct_fit_options){.epochs = 1, .log = stdout});
    ct_history_free(&history);
    end(&t);
}

/* --- What stops one rank ---------------------------------------------------------------------- */

static bool stop_on_rank_1(void *context, ct_position position, const ct_step_record *last,
                           const ct_epoch *epoch) {
    (void)last, (void)epoch;
    return !(ct_group_rank(context) == 1 && position.batch == 2);
}

SCENARIO(stops_early) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    training t = begin(CT_F32, false);
    ct_history history = fit(
        &t, (ct_fit_options){.epochs = 2, .callback = stop_on_rank_1, .context = group});
    printf("%lld steps, early %d\n", (long long)history.n_steps, history.stopped_early);
    ct_history_free(&history);
    end(&t);
}

static ct_status fail_on_rank_1(void *context, int64_t epoch, int64_t number, ct_batch *batch) {
    (void)epoch;
    if (ct_group_rank(context) != 1 || number != 1) return batch->x ? CT_OK : ct_error();
    return ct_fail(CT_ERR_IO, "rank 1 found no file");
}

static void say(uint64_t before, const training *t) {
    printf("%s: %s, slots %s\n", ct_status_name(ct_error()), ct_error_message(),
           rank_slots_hash(t->model, t->optimizer) == before ? "unchanged" : "changed");
    ct_error_clear();
}

/* The source fails on one rank at the second step. */
SCENARIO(loses_data) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    training t = begin(CT_F32, false);
    t.train = ct_source_map_new(t.train, fail_on_rank_1, group); /* owns it */
    ct_history history = fit(&t, (ct_fit_options){.epochs = 1});
    printf("%lld steps ", (long long)history.n_steps);
    say(rank_slots_hash(t.model, t.optimizer), &t);
    ct_history_free(&history);
    OK(ct_group_agree(group, CT_OK)); /* the group is as before */
    end(&t);
}

/* Reads a sum over all ranks before it is done. */
static ct_tensor *looking(void *context, ct_module *model, const ct_batch *batch, ct_mode mode,
                          ct_output outputs[]) {
    (void)context;
    outputs[0].prediction = ct_logits(model, batch->x, mode);
    ct_tensor *loss = ct_cross_entropy(outputs[0].prediction, batch->y);
    return isfinite(ct_item(loss)) ? loss : NULL;
}

/* The source fails on one rank, where the objective of the others evaluates. */
SCENARIO(loses_data_before_an_evaluation) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    training t = begin(CT_F32, false);
    t.train = ct_source_map_new(t.train, fail_on_rank_1, group); /* owns it */
    ct_history history;
    ct_fit(t.model, t.optimizer, NULL, t.train, (ct_fit_options){.epochs = 1, .objective = looking},
           &history);
    printf("%lld steps ", (long long)history.n_steps);
    say(rank_slots_hash(t.model, t.optimizer), &t);
    ct_history_free(&history);
    OK(ct_group_agree(group, CT_OK)); /* the group is as before */
    end(&t);
}

/* On rank 1 each request for memory fails in turn, in as short a training as there is. All come to
 * the same, and go on alike. */
SCENARIO(fits_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    training t = begin(CT_F32, false);
    int64_t requests = INT64_MAX, failed = 0;
    for (int64_t at = 0; at <= requests; at += 1 + at / 40) {
        int64_t before = ct_mem_read().allocations;
        if (ct_group_rank(group) == 1 && at > 0) ct_mem_fail_at(at, false);
        ct_history history = fit(&t, (ct_fit_options){.epochs = 1});
        ct_mem_fail_at(0, false);
        if (at == 0) requests = ct_mem_read().allocations - before;
        uint64_t mine[] = {(uint64_t)(ct_error() == CT_OK), (uint64_t)history.n_steps,
                           rank_slots_hash(t.model, t.optimizer), (uint64_t)requests};
        uint64_t first[4];
        memcpy(first, mine, sizeof first);
        failed += ct_error() != CT_OK;
        ct_error_clear();
        OK(ct_group_broadcast(group, first, sizeof first));
        EXPECT(memcmp(mine, first, 3 * sizeof *mine) == 0, "at request %lld", (long long)at);
        requests = (int64_t)first[3];
        ct_history_free(&history);
    }
    EXPECT(failed > 50, "%lld of %lld requests", (long long)failed, (long long)requests);
    end(&t);
}

/* Another seed on rank 1. */
SCENARIO(begins_otherwise) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    training t = begin(CT_F32, false);
    if (ct_group_rank(group) == 1) {
        ct_module_free(t.model);
        t.model = small_net(CT_F32);
        ct_optimizer_free(t.optimizer);
        t.optimizer = ct_adam_new(t.model, ct_adam_defaults(0.003));
    }
    uint64_t before = rank_slots_hash(t.model, t.optimizer);
    ct_history history = fit(&t, (ct_fit_options){.epochs = 1});
    say(before, &t);
    ct_history_free(&history);
    end(&t);
}

/* A loss that was not built, in a loop of the user's own. */
SCENARIO(steps_without_loss) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    training t = begin(CT_F32, false);
    ct_batch batch;
    OK(ct_source_next(t.train, &batch));
    uint64_t before = rank_slots_hash(t.model, t.optimizer);
    ct_tensor *logits = ct_logits(t.model, batch.x, CT_INFERENCE);
    ct_tensor *loss = ct_group_rank(group) == 1 ? NULL : ct_cross_entropy(logits, batch.y);
    ct_optimizer_step(t.optimizer, loss, NULL, 0);
    say(before, &t);
    end(&t);
}
