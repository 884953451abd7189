/* options.also and options.watch: what is asked for is evaluated with the step, costs nothing twice
 * and changes nothing.
 * Not a test of gradients; ct_grad is what they are compared with.
 * Invariant: training that is watched has the bits of training that is not. */
#include "tests/support/fit_support.h"

typedef struct {
    bench *bench;
    ct_slot *slot;
    int64_t steps, stop_at;
    int64_t evaluations, kernels; /* of the steps */
    double norms[2 * BATCHES], losses[2 * BATCHES];
} watched;

static ct_status want_norm(void *context, ct_fit_step *step) {
    watched *w = context;
    cr_expect(step->model == w->bench->model && step->optimizer == w->bench->optimizer);
    cr_expect(step->n_also == 0 && step->loss && step->outputs[0].target == step->batch->y);
    ct_tensor *parameter = ct_slot_read(w->slot), *g;
    if (ct_grad(step->loss, &parameter, 1, &g) != CT_OK) return ct_error();
    OK(ct_fit_want(step, ct_sum_all(ct_square(g))));
    OK(ct_fit_want(step, step->outputs[0].prediction));
    return CT_OK;
}

static bool read_norm(void *context, const ct_fit_step *step) {
    watched *w = context;
    int64_t n = w->steps++, before = ct_stats_read().evaluations;
    w->kernels += ct_plan_last().kernels;
    cr_expect(step->position.epoch == n / BATCHES && step->position.batch == n % BATCHES);
    cr_assert_eq(step->n_also, 2);
    w->norms[n] = ct_item(step->also[0]);
    w->losses[n] = ct_item(step->loss);
    cr_expect_eq(ct_dim(step->also[1], 0), ct_dim(step->batch->x, 0));
    MADE(ct_data(step->also[1]));
    cr_expect_eq(ct_stats_read().evaluations, before, "reading runs nothing");
    cr_expect_eq(ct_optimizer_steps(step->optimizer), n + 1);
    return w->steps != w->stop_at;
}

static bool count_kernels(void *context, const ct_fit_step *step) {
    watched *w = context;
    cr_expect_eq(step->n_also, 0);
    w->kernels += ct_plan_last().kernels;
    return true;
}

/* The gradients of an undisturbed run, step by step. */
static void expect_norms(const watched *w) {
    bench b = open_bench(0.05);
    ct_slot *slot = slot_at(b.model, "dense/kernel");
    for (int64_t n = 0; n < w->steps; n++) {
        ct_batch batch;
        OK(ct_source_seek(b.train, n / BATCHES, n % BATCHES));
        OK(ct_source_next(b.train, &batch));
        ct_tensor *loss = ct_cross_entropy(ct_logits(b.model, batch.x, CT_TRAINING), batch.y);
        ct_tensor *parameter = ct_slot_read(slot), *g;
        OK(ct_grad(loss, &parameter, 1, &g));
        g = ct_sum_all(ct_square(g));
        OK(ct_eval(&g, 1));
        OK(ct_optimizer_step(b.optimizer, loss, NULL, 0));
        EXPECT_NEAR(w->norms[n], ct_item(g), 1e-6);
        cr_expect_eq(w->losses[n], ct_item(loss));
    }
    close_bench(&b);
}

TEST(fit_watch, gradients_come_with_the_step) {
    bench plain = open_bench(0.05), b = open_bench(0.05);
    watched w = {.bench = &b, .slot = slot_at(b.model, "dense/kernel")},
            without = {.bench = &plain};
    ct_stats_reset();
    OK(fit(&plain, (ct_fit_options){.epochs = 2, .watch = count_kernels, .context = &without},
           NULL));
    int64_t evaluations = ct_stats_read().evaluations;
    ct_stats_reset();
    OK(fit(&b, (ct_fit_options){.epochs = 2, .also = want_norm, .watch = read_norm, .context = &w},
           NULL));
    cr_expect_eq(w.steps, 2 * BATCHES);
    cr_expect_eq(ct_stats_read().evaluations, evaluations);
    cr_expect(w.kernels > 0);
    cr_expect_eq(w.kernels, without.kernels, "%lld for %lld", (long long)w.kernels,
                 (long long)without.kernels);
    cr_expect_eq(state_hash(b.model, b.optimizer), state_hash(plain.model, plain.optimizer));
    expect_norms(&w);
    close_bench(&plain);
    close_bench(&b);
}

TEST(fit_watch, may_stop) {
    bench b = open_bench(0.05);
    watched w = {.bench = &b, .slot = slot_at(b.model, "dense/kernel"), .stop_at = BATCHES + 2};
    ct_history history;
    ct_fit_options options = {.epochs = 2, .also = want_norm, .watch = read_norm, .context = &w};
    OK(fit(&b, options, &history));
    cr_expect(history.stopped_early && w.steps == BATCHES + 2);
    cr_expect(history.position.epoch == 1 && history.position.batch == 2);
    ct_history_free(&history);
    close_bench(&b);
}

/* --- What lies between ------------------------------------------------------------------------ */

typedef struct {
    ct_tensor *hidden; /* of the running step */
    int64_t steps;
    double largest;
} between;

/* The layers of small_mlp, one by one. */
static ct_tensor *layer_by_layer(void *context, ct_module *model, const ct_batch *batch,
                                 ct_mode mode, ct_output outputs[]) {
    between *b = context;
    b->hidden = ct_forward(model->children[1], ct_forward(model->children[0], batch->x, mode),
                           mode);
    outputs[0].prediction = ct_forward(model->children[2], b->hidden, mode);
    return ct_cross_entropy(outputs[0].prediction, batch->y);
}

static ct_status want_hidden(void *context, ct_fit_step *step) {
    return ct_fit_want(step, ct_max(ct_abs(((between *)context)->hidden), CT_ALL));
}

static bool read_hidden(void *context, const ct_fit_step *step) {
    between *b = context;
    int64_t before = ct_stats_read().evaluations;
    b->largest = fmax(b->largest, ct_item(step->also[0]));
    b->steps++;
    cr_expect_eq(ct_stats_read().evaluations, before);
    return true;
}

TEST(fit_watch, outputs_of_layers_come_with_the_step) {
    bench plain = open_bench(0.05), b = open_bench(0.05);
    between seen = {0};
    OK(fit(&plain, (ct_fit_options){.epochs = 2}, NULL));
    ct_fit_options options = {.epochs = 2,
                              .objective = layer_by_layer,
                              .also = want_hidden,
                              .watch = read_hidden,
                              .context = &seen};
    OK(ct_fit(b.model, b.optimizer, NULL, b.train, options, NULL));
    cr_expect_eq(state_hash(b.model, b.optimizer), state_hash(plain.model, plain.optimizer));
    cr_expect(seen.steps == 2 * BATCHES && seen.largest > 0 && seen.largest < 1);
    close_bench(&plain);
    close_bench(&b);
}

/* --- Errors ----------------------------------------------------------------------------------- */

static ct_status silent(void *context, ct_fit_step *step) {
    (void)context, (void)step;
    return CT_ERR_RANGE;
}

static ct_status none(void *context, ct_fit_step *step) {
    (void)context;
    step->n_also = 1;
    return CT_OK;
}

static ct_status many(void *context, ct_fit_step *step) {
    (void)context;
    step->n_also = CT_ALSO + 1;
    return CT_OK;
}

static ct_status too_much(void *context, ct_fit_step *step) {
    (void)context;
    ct_status status = CT_OK;
    for (int i = 0; i <= CT_ALSO && status == CT_OK; i++) status = ct_fit_want(step, step->loss);
    return status;
}

/* What is on record is an error, whatever is returned. */
static ct_status forgetful(void *context, ct_fit_step *step) {
    ct_fit_want(context, step->loss);
    return CT_OK;
}

static ct_status wrong(void *context, ct_fit_step *step) {
    (void)context;
    return ct_fit_want(step, ct_add(step->loss, ct_scalar(CT_F64, 1)));
}

static bool never(void *context, const ct_fit_step *step) {
    (void)context;
    cr_expect_null(step, "a step that was refused");
    return true;
}

static void refuse(ct_fit_also *also, ct_status status, const char *message) {
    bench b = open_bench(0.05);
    uint64_t before = state_hash(b.model, b.optimizer);
    cr_expect_eq(fit(&b, (ct_fit_options){.also = also, .watch = never}, NULL), status);
    expect_error(status, message);
    cr_expect_eq(state_hash(b.model, b.optimizer), before);
    close_bench(&b);
}

TEST(fit_watch, says_what_is_wrong) {
    refuse(silent, CT_ERR_RANGE, "ct_fit: 'also' failed and recorded no error");
    refuse(none, CT_ERR_NULL, "ct_fit: also[0] is NULL");
    refuse(many, CT_ERR_RANGE, "ct_fit: n_also must be 0..256, got 257");
    refuse(too_much, CT_ERR_RANGE, "ct_fit_want: a step has at most 256 tensors");
    refuse(forgetful, CT_ERR_NULL, "ct_fit_want: 'step' is NULL");
    refuse(wrong, CT_ERR_DTYPE, "ct_add: dtypes differ: f32 and f64; use ct_cast");
}
