/* Layers, losses and metrics of a batch that varies between ranks are those of the global batch.
 * Ranks are threads, of unequal rows, one of which has none.
 * Invariant: a module is made from the same seed on each rank. */
#include "autograd/compose.h"
#include "autograd/grad.h"
#include "nn/attention.h"
#include "nn/layers.h"
#include "nn/loss.h"
#include "nn/metrics.h"
#include "nn/recurrent.h"
#include "tensor/varying.h"
#include "tests/support/nn_support.h"
#include "tests/support/varying_support.h"

/* --- Layers ----------------------------------------------------------------------------------- */

enum { MOST_SLOTS = 16 };

/* The mean square of what the module makes of x, and its gradients. */
static void note_module(rank *me, ct_module *model, ct_tensor *x) {
    ct_slot_list list = {0};
    ct_tensor *in[MOST_SLOTS], *g[MOST_SLOTS];
    int n = 0;
    if (!model || ct_module_list(model, &list) != CT_OK) return;
    if (ct_dtype_is_float(ct_dtype_of(x))) in[n++] = x;
    for (int64_t i = 0; i < list.count; i++) {
        if (list.items[i].trainable) in[n++] = ct_slot_read(list.items[i].slot);
    }
    ct_tensor *y = ct_forward(model, x, CT_TRAINING);
    EXPECT(!y || me->world->plain || ct_varying_axis(y) == 0, "rank %d: axis %d", me->rank,
           ct_varying_axis(y));
    ct_tensor *loss = ct_mean_all(ct_square(ct_offset(y, 0.5)));
    note(me, loss);
    if (n > 0 && ct_grad(loss, in, n, g) == CT_OK) {
        for (int k = 0; k < n; k++) note(me, ct_sum_all(ct_square(g[k])));
    }
    ct_slot_list_free(&list);
    ct_module_free(model);
}

/* Images [N,4,4,4]. */
static ct_tensor *images(rank *me) {
    return ct_reshape(rows_of(me, 64, 1), CT_SHAPE(me->rows, 4, 4, 4));
}

/* Sequences [N,4,6]. */
static ct_tensor *sequences(rank *me) {
    return ct_reshape(rows_of(me, 24, 1), CT_SHAPE(me->rows, 4, 6));
}

/* Options for f64 out of the usual ones. */
#define F64(type) ((type){.dtype = CT_F64})
#define WITH_F64(name, type, defaults) \
    static type name(void) {           \
        type options = defaults();     \
        options.dtype = CT_F64;        \
        return options;                \
    }
WITH_F64(batch_norm_f64, ct_batch_norm_options, ct_batch_norm_pytorch)
WITH_F64(layer_norm_f64, ct_layer_norm_options, ct_layer_norm_defaults)
WITH_F64(group_norm_f64, ct_group_norm_options, ct_group_norm_defaults)
WITH_F64(rms_norm_f64, ct_rms_norm_options, ct_rms_norm_defaults)

#define OF(name, input, ...)             \
    static void name(rank *me) {         \
        ct_seed_set(5);                  \
        ct_tensor *x = input(me);        \
        note_module(me, __VA_ARGS__, x); \
    }                                    \
    TEST(varying_layers, name) { close_to_one_process(name, 1e-10); }

OF(dense, sequences, ct_dense_new(6, 3, F64(ct_dense_options)))
OF(layer_norm, sequences, ct_layer_norm_new(6, layer_norm_f64()))
OF(rms_norm, sequences, ct_rms_norm_new(6, rms_norm_f64()))
OF(group_norm, images, ct_group_norm_new(2, 4, group_norm_f64()))
OF(instance_norm, images, ct_instance_norm_new(4, group_norm_f64()))
OF(residual, images, ct_residual_new(ct_batch_norm_new(4, batch_norm_f64()), NULL))
OF(separable, images, ct_separable_conv2d_new(4, 3, 2, F64(ct_conv2d_options)))
OF(transposed, images, ct_conv2d_transpose_new(4, 3, F64(ct_conv2d_options)))
OF(weight_norm, images, ct_weight_norm_new(ct_conv2d_new(4, 3, F64(ct_conv2d_options))))
OF(conv1d, sequences, ct_conv1d_new(6, 3, F64(ct_conv1d_options)))
OF(prelu, images, ct_prelu_new(4, F64(ct_prelu_options)))
OF(global_max, images, ct_global_max_pool2d_new())
OF(adaptive, images, ct_adaptive_avg_pool2d_new(3, 2))
OF(nearest, images, ct_up_sampling2d_new((ct_up_sampling2d_options){0}))
OF(bilinear, images, ct_up_sampling2d_new((ct_up_sampling2d_options){.bilinear = true}))
OF(zero_padding, images, ct_zero_padding2d_new(1, 0, 2, 1))
OF(reshaped, images, ct_reshape_new(CT_SHAPE(8, 8)))
OF(spatial, images, ct_spatial_dropout2d_new(0.5))
OF(attention, sequences,
   ct_multi_head_attention_new(6, 2, (ct_attention_options){.causal = true, .dtype = CT_F64}))
OF(positions, sequences, ct_positions_new(4, 6, F64(ct_positions_options)))
OF(lstm, sequences, ct_lstm_new(6, 3, F64(ct_recurrent_options)))
OF(gru, sequences, ct_gru_new(6, 3, (ct_recurrent_options){.last_only = true, .dtype = CT_F64}))
OF(two_directions, sequences,
   ct_bidirectional_new(
       ct_simple_rnn_new(6, 2, F64(ct_recurrent_options)),
       ct_simple_rnn_new(6, 2, (ct_recurrent_options){.backward = true, .dtype = CT_F64})))

OF(flattened, images, ct_flatten_new())
OF(pooled, images, ct_max_pool2d_new((ct_pool2d_options){.window = {4, 4}}))

/* Refused also where there are no rows. */
static void groups_of_one_value(rank *me) {
    ct_module *model = ct_group_norm_new(3, 3, group_norm_f64());
    EXPECT(ct_forward(model, rows_of(me, 3, 1), CT_TRAINING) == NULL, "rank %d", me->rank);
    EXPECT(ct_error() == CT_ERR_SHAPE, "rank %d: %s", me->rank, ct_error_message());
    ct_error_clear();
    ct_module_free(model);
}

TEST(varying_layers, groups_of_one_value_are_refused_on_all_ranks) {
    world *w = world_run(4, 4, (int64_t[]){5, 1, 2, 0}, CT_F64, groups_of_one_value);
    expect_well(w);
    free(w);
}

/* --- Moving statistics ------------------------------------------------------------------------ */

enum { CHANNELS = 4 };

/* What a step leaves in a slot, against before + 0.1 (statistic - before). */
static void expect_moved(const rank *me, ct_module *module, const char *slot, double before,
                         const double statistic[CHANNELS]) {
    const double *found = ct_data_f64(read_slot(module, slot));
    for (int c = 0; c < CHANNELS && EXPECT(found, "%s", slot); c++) {
        double wanted = before + 0.1 * (statistic[c] - before);
        EXPECT(is_near(found[c], wanted, 1e-12), "%s %d on rank %d of %d: %.17g, not %.17g", slot,
               c, me->rank, me->world->size, found[c], wanted);
    }
}

/* Of n values of each channel, those of all ranks, by plain arithmetic. */
static void expect_statistics(const rank *me, ct_module *module, const double *x, int64_t n,
                              bool unbiased) {
    double mean[CHANNELS] = {0}, variance[CHANNELS] = {0}, terms = (double)(unbiased ? n - 1 : n);
    for (int64_t i = 0; i < n * CHANNELS; i++) mean[i % CHANNELS] += x[i] / (double)n;
    for (int64_t i = 0; i < n * CHANNELS; i++) {
        double deviation = x[i] - mean[i % CHANNELS];
        variance[i % CHANNELS] += deviation * deviation / terms;
    }
    expect_moved(me, module, "moving_mean", 0, mean);
    expect_moved(me, module, "moving_variance", 1, variance);
}

static ct_tensor *of_features(rank *me) { return rows_of(me, CHANNELS, 2); }

/* A training step of each convention, of [N,4] and of [N,4,4,4]. */
static void moving_statistics(rank *me) {
    ct_tensor *(*const inputs[])(rank *) = {of_features, images};
    for (int k = 0; k < 6; k++) {
        world one;
        rank *all = world_plain(&one, CT_F64);
        ct_tensor *whole = inputs[k % 2](all);
        ct_batch_norm_options options = batch_norm_f64();
        options.moving_variance = (ct_moving_variance[]){CT_VARIANCE_BIASED, CT_VARIANCE_UNBIASED,
                                                         CT_VARIANCE_UNBIASED_CONV}[k / 2];
        ct_module *module = ct_batch_norm_new(CHANNELS, options);
        ct_tensor *loss = ct_mean_all(ct_forward(module, inputs[k % 2](me), CT_TRAINING));
        EXPECT(ct_commit(&loss, 1, NULL, 0) == CT_OK, "rank %d: %s", me->rank, ct_error_message());
        bool unbiased = k / 2 == 1 || (k / 2 == 2 && k % 2 == 1);
        expect_statistics(me, module, ct_data_f64(whole), ct_numel(whole) / CHANNELS, unbiased);
        ct_module_free(module);
    }
}

/* The rows of all ranks count: not those of one, which may be one or none. */
TEST(varying_layers, moving_statistics_are_those_of_the_global_batch) {
    static const int64_t rows[][WORLD_MOST] = {{8}, {4, 4}, {5, 1, 2, 0}, {1, 7}, {0, 8, 0}};
    static const int sizes[] = {1, 2, 4, 2, 3};
    for (int k = 0; k < 5; k++) {
        world *w = world_run(sizes[k], 4, rows[k], CT_F64, moving_statistics);
        expect_well(w);
        free(w);
    }
}

/* --- Ids and masks ---------------------------------------------------------------------------- */

enum { STEPS = 4, IDS = 5 };

/* [N,4]; 0 is padding, and each sequence has some. */
static ct_tensor *ids(rank *me) {
    int64_t id[WORLD_ROWS * STEPS];
    for (int64_t i = 0; i < me->rows * STEPS; i++) id[i] = (me->first * STEPS + i) * 3 % IDS;
    ct_tensor *t = ct_from(CT_I64, CT_SHAPE(me->rows, STEPS), id);
    return me->world->plain ? t : ct_varying(t, 0);
}

OF(embedding, ids, ct_embedding_new(IDS, 3, (ct_embedding_options){.pads = true, .dtype = CT_F64}))

/* What a module makes of sequences and a mask of this shape, which varies as they do. */
static void note_masked(rank *me, ct_module *model, int n_states, ct_shape shape) {
    ct_tensor *x = sequences(me), *g, *in[4] = {x}, *out[1] = {NULL};
    ct_tensor *there = ct_cast(ct_not_equal(ids(me), ct_full(CT_I64, CT_SCALAR, 0)), CT_F64);
    in[n_states] = ct_reshape(there, shape);
    ct_forward_many(model, in, n_states + 1, out, 1, CT_TRAINING);
    ct_tensor *loss = out[0] ? ct_sum_all(ct_square(out[0])) : NULL;
    note(me, loss);
    if (loss && ct_grad(loss, &x, 1, &g) == CT_OK) note(me, ct_sum(ct_square(g), CT_AXES(0)));
    ct_module_free(model);
}

static void masked_attention(rank *me) {
    ct_seed_set(5);
    ct_attention_options options = {.causal = true, .dtype = CT_F64};
    note_masked(me, ct_multi_head_attention_new(6, 2, options), 3, CT_SHAPE(me->rows, 1, 1, STEPS));
}

static void masked_lstm(rank *me) {
    ct_seed_set(5);
    note_masked(me, ct_lstm_new(6, 3, F64(ct_recurrent_options)), 3, CT_SHAPE(me->rows, STEPS));
}

TEST(varying_layers, masks_are_of_rows) {
    close_to_one_process(masked_attention, 1e-10);
    close_to_one_process(masked_lstm, 1e-10);
}

/* One time step, as rows of one character have. */
static ct_tensor *short_sequences(rank *me) {
    return ct_reshape(rows_of(me, 6, 1), CT_SHAPE(me->rows, 1, 6));
}

OF(lstm_of_one_step, short_sequences, ct_lstm_new(6, 3, F64(ct_recurrent_options)))
OF(attention_of_one_step, short_sequences,
   ct_multi_head_attention_new(6, 2, (ct_attention_options){.causal = true, .dtype = CT_F64}))

/* --- Losses and metrics ----------------------------------------------------------------------- */

static ct_tensor *labels_of(const rank *me, int64_t classes) {
    int64_t label[WORLD_ROWS];
    for (int64_t i = 0; i < me->rows; i++) label[i] = (me->first + i) * 5 % classes;
    ct_tensor *t = ct_from(CT_I64, CT_SHAPE(me->rows), label);
    return me->world->plain ? t : ct_varying(t, 0);
}

static void losses(rank *me) {
    ct_tensor *scores = rows_of(me, 3, 1), *labels = labels_of(me, 3), *target = rows_of(me, 3, 2);
    ct_tensor *truth = ct_cast(ct_greater(target, ct_scalar(CT_F64, 0)), CT_F64);
    ct_cross_entropy_options options = {.ignore = true, .ignore_index = 2, .smoothing = 0.1};
    note(me, ct_cross_entropy(scores, labels));
    note(me, ct_cross_entropy_with(scores, labels, options));
    note(me, ct_binary_cross_entropy(scores, truth));
    note(me, ct_mse(scores, target));
    note(me, ct_mae(scores, target));
    note(me, ct_huber(scores, target, 1.0));
    note(me, ct_cast(ct_accuracy(scores, labels), CT_F64));
    note(me, ct_cast(ct_binary_accuracy(scores, truth), CT_F64));
}

/* Of sequences, whose labels are those of time steps, some ignored; and of one step in front. */
static void losses_of_steps(rank *me) {
    ct_tensor *scores = ct_reshape(rows_of(me, STEPS * IDS, 1), CT_SHAPE(me->rows, STEPS, IDS));
    ct_cross_entropy_options options = {.ignore = true};
    note(me, ct_cross_entropy_with(scores, ids(me), options));
    ct_tensor *first = ct_slice(ct_permute(scores, CT_AXES(1, 0, 2)), 0, 0, 1, 1);
    ct_tensor *labels = ct_slice(ct_transpose(ids(me)), 0, 0, 1, 1); /* [1,N] */
    note(me, ct_cross_entropy(first, labels));
    note(me, ct_cross_entropy_with(first, labels, options));
    note(me, ct_cast(ct_accuracy(first, labels), CT_F64));
}

TEST(varying_layers, losses_of_time_steps_are_those_of_the_global_batch) {
    close_to_one_process(losses_of_steps, 1e-12);
}

static void note_metric(rank *me, ct_metric metric, ct_tensor *prediction, ct_tensor *target) {
    note(me, metric.sums(&metric, prediction, target));
}

static void metrics(rank *me) {
    ct_tensor *scores = rows_of(me, 3, 1), *labels = labels_of(me, 3), *target = rows_of(me, 3, 2);
    ct_tensor *truth = ct_cast(ct_greater(target, ct_scalar(CT_F64, 0)), CT_F64);
    ct_metric ignores = ct_metric_accuracy;
    ignores.ignore = true;
    ignores.ignore_index = 1;
    ct_metric of_classes[] = {ct_metric_accuracy, ignores, ct_metric_top_k(2), ct_metric_confusion,
                              ct_metric_perplexity};
    ct_metric of_two[] = {ct_metric_binary_accuracy, ct_metric_auc};
    ct_metric of_numbers[] = {ct_metric_mae, ct_metric_mse, ct_metric_r2, ct_metric_mean};
    for (int i = 0; i < 5; i++) note_metric(me, of_classes[i], scores, labels);
    for (int i = 0; i < 2; i++) note_metric(me, of_two[i], scores, truth);
    for (int i = 0; i < 4; i++) note_metric(me, of_numbers[i], scores, target);
}

TEST(varying_layers, losses_are_those_of_the_global_batch) { close_to_one_process(losses, 1e-12); }
TEST(varying_layers, sums_of_metrics_are_those_of_the_global_batch) {
    close_to_one_process(metrics, 1e-12);
}
