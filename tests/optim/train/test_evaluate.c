/* ct_evaluate counts every item once; ct_predict is one forward in pieces. */
#include "tests/support/fit_support.h"
#include "tests/support/varying_support.h"

#include "tensor/varying.h"

#include <stdlib.h>
#include <string.h>

TEST(evaluate, is_the_mean_over_all_items) {
    bench b = open_bench(0.05);
    ct_tensor *x = task_x(2), *logits = ct_logits(b.model, x, CT_INFERENCE);
    double wanted_loss = ct_item(ct_cross_entropy(logits, task_labels(x)));
    double wanted_accuracy = ct_item(ct_accuracy(logits, task_labels(x)));
    uint64_t before = state_hash(b.model, b.optimizer);
    for (int64_t size = 1; size <= ITEMS; size += 7) {
        ct_source *source = ct_batches_new(x, task_labels(x), (ct_batches_options){.size = size});
        double loss, accuracy;
        OK(ct_source_seek(source, 5, 0)); /* wherever it stands */
        OK(ct_evaluate(b.model, &ct_loss_cross_entropy, source, &loss, &accuracy));
        EXPECT_NEAR(loss, wanted_loss, 1e-6);
        EXPECT_NEAR(accuracy, wanted_accuracy, 1e-6);
        OK(ct_evaluate(b.model, &ct_loss_cross_entropy, source, NULL, NULL));
        ct_source_free(source);
    }
    cr_expect_eq(state_hash(b.model, b.optimizer), before);
    close_bench(&b);
}

TEST(evaluate, uses_the_inference_mode) {
    ct_module *model = small_cnn(0.9);
    ct_tensor *x = ct_detach(centred(CT_F32, CT_SHAPE(8, 6, 6, 2), 1, 1, 0));
    ct_tensor *labels = some_labels(8, 3, 2);
    ct_source *source = ct_batches_new(x, labels, (ct_batches_options){.size = 8});
    uint64_t before = state_hash(model, NULL);
    double loss, again;
    OK(ct_evaluate(model, &ct_loss_cross_entropy, source, &loss, NULL));
    OK(ct_evaluate(model, &ct_loss_cross_entropy, source, &again, NULL));
    cr_expect_eq(loss, again);
    ct_tensor *logits = ct_logits(model, x, CT_INFERENCE);
    EXPECT_NEAR(loss, ct_item(ct_cross_entropy(logits, labels)), 1e-6);
    cr_expect_eq(state_hash(model, NULL), before);
    ct_source_free(source);
    ct_module_free(model);
}

TEST(evaluate, says_what_does_not_fit) {
    bench b = open_bench(0.05);
    double loss = 1, accuracy = 1;
    cr_expect_eq(ct_evaluate(b.model, NULL, b.test, &loss, &accuracy), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_evaluate: 'loss' is NULL");
    cr_expect(isnan(loss) && isnan(accuracy));
    faulty_source source = {{&faulty_kind}, .good = 3};
    loss = 1;
    cr_expect_eq(ct_evaluate(b.model, &ct_loss_cross_entropy, &source.base, &loss, NULL),
                 CT_ERR_IO);
    expect_error(CT_ERR_IO, "faulty: the disk is gone");
    cr_expect(isnan(loss));
    source = (faulty_source){{&faulty_kind}, .ends = true};
    cr_expect_eq(ct_evaluate(b.model, &ct_loss_cross_entropy, &source.base, &loss, NULL),
                 CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_evaluate: the source gave no batches");
    close_bench(&b);
}

/* --- Prediction ------------------------------------------------------------------------------- */

static ct_tensor *nothing(ct_tensor *prediction, ct_tensor *target) {
    (void)prediction, (void)target;
    return NULL;
}

static ct_tensor *per_row(ct_tensor *prediction, ct_tensor *target) {
    (void)target;
    return ct_sum(prediction, CT_AXES(1));
}

static void expect_refusal(const ct_loss *loss, ct_status status, const char *message) {
    bench b = open_bench(0.05);
    char text[128];
    snprintf(text, sizeof text, "ct_evaluate: %s", message);
    cr_expect_eq(ct_evaluate(b.model, loss, b.test, NULL, NULL), status);
    expect_error(status, text);
    snprintf(text, sizeof text, "ct_fit: %s", message);
    cr_expect_eq(ct_fit(b.model, b.optimizer, loss, b.train, (ct_fit_options){0}, NULL), status);
    expect_error(status, text);
    close_bench(&b);
}

TEST(evaluate, losses_and_metrics_are_one_number) {
    ct_loss loss = {.name = "mine", .value = nothing};
    expect_refusal(&loss, CT_ERR_NULL, "a loss returned NULL and no error");
    loss.value = per_row;
    expect_refusal(&loss, CT_ERR_SHAPE, "a loss must be one number, got [4]");
    loss = ct_loss_cross_entropy;
    loss.metric = per_row;
    expect_refusal(&loss, CT_ERR_SHAPE, "a metric must be one number, got [4]");
    loss.metric = nothing;
    expect_refusal(&loss, CT_ERR_NULL, "a metric returned NULL and no error");
}

TEST(predict, is_the_forward_in_pieces) {
    ct_module *model = small_cnn(0.9);
    ct_tensor *x = ct_scale(centred(CT_F32, CT_SHAPE(11, 6, 6, 2), 1, 1, 0), 2); /* no leaf */
    ct_tensor *whole = ct_forward(model, x, CT_INFERENCE);
    for (int64_t batch = 0; batch <= 12; batch += 3) {
        ct_tensor *y = ct_predict(model, x, batch);
        MADE(y);
        cr_assert(ct_shape_equal(ct_shape_of(y), CT_SHAPE(11, 3)));
        cr_expect_lt(ct_item(ct_max(ct_abs(ct_sub(y, whole)), CT_ALL)), 1e-6);
    }
    ct_module_free(model);
}

TEST(predict, takes_two_plans_and_the_memory_of_a_batch) {
    bench b = open_bench(0.05);
    ct_tensor *x = ct_detach(centred(CT_F32, CT_SHAPE(1000, 4), 1, 1, 0));
    ct_stats_reset();
    int64_t scope = ct_scope_open();
    ct_tensor *y = ct_predict(b.model, x, 32);
    MADE(y);
    cr_expect_eq(ct_dim(y, 0), 1000);
    cr_expect_leq(ct_stats_read().plan_misses, 3); /* full batch, last one, joining */
    /* One result, and nothing else, stays in the caller's scope. */
    int64_t with = ct_mem_read().live_blocks;
    ct_scope_close(scope);
    cr_expect_leq(with - ct_mem_read().live_blocks, 4);
    close_bench(&b);
}

TEST(predict, no_rows_and_what_does_not_fit) {
    bench b = open_bench(0.05);
    ct_tensor *none = ct_full(CT_F32, CT_SHAPE(0, 4), 0), *y = ct_predict(b.model, none, 0);
    MADE(y);
    cr_expect(ct_shape_equal(ct_shape_of(y), CT_SHAPE(0, 3)));
    cr_expect_null(ct_predict(b.model, NULL, 0));
    expect_error(CT_ERR_NULL, "ct_predict: 'x' is NULL");
    cr_expect_null(ct_predict(b.model, none, -1));
    expect_error(CT_ERR_RANGE, "ct_predict: batch must be >= 0, got -1");
    cr_expect_null(ct_predict(b.model, ct_scalar(CT_F32, 1), 0));
    expect_error(CT_ERR_SHAPE, "ct_predict: x needs rank >= 1, got a scalar");
    ct_tensor *wrong = ct_full(CT_F32, CT_SHAPE(600, 5), 0);
    cr_expect_null(ct_predict(b.model, wrong, 0));
    cr_expect_eq(ct_error(), CT_ERR_SHAPE);
    ct_error_clear();
    close_bench(&b);
}

/* --- Several inputs and outputs --------------------------------------------------------------- */

static double gap(ct_tensor *a, ct_tensor *b) {
    return ct_item(ct_max(ct_abs(ct_sub(a, b)), CT_ALL));
}

TEST(predict, of_two_inputs_is_the_forward_in_pieces) {
    ct_dense_options plain = {0};
    ct_module *towers = CT_BRANCHES("towers", ct_concatenate_new(-1), ct_dense_new(4, 2, plain),
                                    ct_dense_new(3, 2, plain));
    MADE(towers);
    ct_tensor *in[] = {centred(CT_F32, CT_SHAPE(11, 4), 1, 1, 0),
                       ct_scale(centred(CT_F32, CT_SHAPE(11, 3), 2, 1, 0), 2)}; /* no leaf */
    ct_tensor *whole = NULL;
    OK(ct_forward_many(towers, in, 2, &whole, 1, CT_INFERENCE));
    for (int64_t batch = 0; batch <= 12; batch += 3) {
        ct_tensor *y = NULL;
        OK(ct_predict_many(towers, in, 2, &y, 1, batch));
        cr_assert(ct_shape_equal(ct_shape_of(y), CT_SHAPE(11, 4)));
        cr_expect_lt(gap(y, whole), 1e-6);
    }
    ct_module_free(towers);
}

/* An input that is left out stays so, and states come as outputs. */
TEST(predict, of_states_and_what_is_left_out) {
    ct_module *lstm = ct_lstm_new(3, 4, (ct_recurrent_options){0});
    MADE(lstm);
    ct_tensor *in[] = {centred(CT_F32, CT_SHAPE(7, 5, 3), 1, 1, 0), NULL,
                       centred(CT_F32, CT_SHAPE(7, 4), 2, 1, 0)};
    ct_tensor *whole[3], *y[3];
    OK(ct_forward_many(lstm, in, 3, whole, 3, CT_INFERENCE));
    OK(ct_predict_many(lstm, in, 3, y, 3, 2));
    for (int i = 0; i < 3; i++) {
        cr_assert(ct_shape_equal(ct_shape_of(y[i]), ct_shape_of(whole[i])));
        cr_expect_lt(gap(y[i], whole[i]), 1e-6, "output %d", i);
    }
    /* One input and one output are those of ct_predict. */
    ct_tensor *alone = NULL;
    OK(ct_predict_many(lstm, in, 1, &alone, 1, 2));
    cr_expect(same_bits(alone, ct_predict(lstm, in[0], 2)));
    ct_module_free(lstm);
}

static void refused(ct_module *model, ct_tensor *const in[], int n_in, int n_out, int64_t batch,
                    ct_status status, const char *message) {
    ct_tensor *out[4] = {NULL}, *before = ct_scalar(CT_F32, 1);
    out[0] = before;
    cr_expect_eq(ct_predict_many(model, in, n_in, out, n_out, batch), status, "%s", message);
    cr_expect(out[0] == before && !out[1]);
    expect_error(status, message);
}

static ct_tensor *total(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)self, (void)mode;
    return ct_sum_all(x);
}

/* What has no rows is refused whether one batch is made or several. */
TEST(predict, of_something_else_than_rows_is_refused) {
    static const ct_module_kind kind = {.name = "Total", .forward = total};
    ct_module *model = ct_module_new(sizeof(ct_module), &kind);
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(6, 4), 1);
    for (int64_t batch = 0; batch <= 4; batch += 4) {
        cr_expect_null(ct_predict(model, x, batch));
        expect_error(CT_ERR_SHAPE, batch ? "ct_predict: out[0] is [], of 4 rows"
                                         : "ct_predict: out[0] is [], of 6 rows");
    }
    ct_module_free(model);
}

TEST(predict, of_several_says_what_does_not_fit) {
    ct_module *add = ct_add_new();
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(6, 4), 1), *five = ct_full(CT_F32, CT_SHAPE(5, 4), 1);
    ct_tensor *in[] = {x, five}, *none[] = {NULL, NULL}, *scalar[] = {x, ct_scalar(CT_F32, 1)};
    ct_tensor *wide[] = {x, ct_full(CT_F32, CT_SHAPE(6, 3), 1)};
    refused(NULL, in, 2, 1, 0, CT_ERR_NULL, "ct_predict_many: 'model' is NULL");
    refused(add, NULL, 2, 1, 0, CT_ERR_NULL, "ct_predict_many: 'in' is NULL");
    refused(add, in, 0, 1, 0, CT_ERR_RANGE,
            "ct_predict_many: n_in and n_out must be >= 1, got 0 and 1");
    refused(add, in, 2, 1, -3, CT_ERR_RANGE, "ct_predict_many: batch must be >= 0, got -3");
    refused(add, in, 2, 1, 0, CT_ERR_SHAPE, "ct_predict_many: in[0] has 6 rows, in[1] 5");
    refused(add, scalar, 2, 1, 0, CT_ERR_SHAPE,
            "ct_predict_many: in[1] needs rank >= 1, got a scalar");
    refused(add, none, 2, 1, 0, CT_ERR_NULL, "ct_predict_many: in[0] is NULL");
    refused(add, (ct_tensor *[]){x, x}, 2, 2, 4, CT_ERR_RANGE, "Add: has at most 1 outputs, got 2");
    for (int64_t batch = 0; batch <= 4; batch += 4) {
        ct_tensor *y = x;
        cr_expect_eq(ct_predict_many(add, wide, 2, &y, 1, batch), CT_ERR_SHAPE);
        cr_expect_eq(y, x);
        ct_error_clear();
    }
    cr_expect_eq(ct_predict_many(add, in, 2, NULL, 1, 0), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_predict_many: 'out' is NULL");
    ct_module_free(add);
}

/* Rows of all ranks are 8, of this one between none and 5. */
static void predict_rows(rank *me) {
    ct_seed_set(1);
    ct_module *model = ct_dense_new(3, 2, (ct_dense_options){.dtype = CT_F64});
    ct_tensor *x = rows_of(me, 3, 1), *y = ct_predict(model, x, 8);
    EXPECT(y && ct_dim(y, 0) == me->rows && ct_varying_axis(y) == 0, "rank %d", me->rank);
    EXPECT(ct_predict(model, x, 4) == NULL, "rank %d", me->rank);
    EXPECT(strstr(ct_error_message(), "ct_predict: the inputs vary between ranks and have 8 rows"),
           "rank %d: %s", me->rank, ct_error_message());
    ct_error_clear();
    y = ct_predict(model, ct_own_rows(x), 4);
    EXPECT(y && ct_dim(y, 0) == me->rows && ct_varying_axis(y) < 0, "rank %d", me->rank);
    ct_module_free(model);
}

TEST(predict, of_rows_that_vary_is_one_batch_of_all_ranks) {
    world *w = world_run(4, 4, (int64_t[]){5, 1, 2, 0}, CT_F64, predict_rows);
    expect_well(w);
    free(w);
}
