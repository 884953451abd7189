/* Nets and data for scenarios of training.
 * Invariant: a training begins alike each time, whatever came before it. */
#include "tests/optim/train/rank_digits.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "nn/models.h"
#include "tensor/runtime.h"

#include <stdlib.h>

enum { BATCH = 20, FEW = 4 }; /* last batches have 5 rows, for 8 ranks, or one */

ct_module *rank_digits_net(ct_dtype dtype) {
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

static rank_digits begin(ct_dtype dtype, bool study, int64_t batch) {
    ct_seed_set(3);
    rank_digits t = {.digits = ct_dataset_digits(2 * batch + batch / 4, batch + 1, 1)};
    const ct_dataset *d = t.digits;
    ct_batches_options options = {.size = batch, .shuffle = true, .divide_by = 255};
    ct_batches_options tested = {.size = 16, .divide_by = 255};
    t.train = ct_batches_new(ct_cast(d->train_images, dtype), d->train_labels, options);
    t.test = ct_batches_new(ct_cast(d->test_images, dtype), d->test_labels, tested);
    t.model = study ? ct_digits_cnn_new((ct_digits_cnn_options){.dtype = dtype})
                    : rank_digits_net(dtype);
    t.optimizer = ct_adam_new(t.model, ct_adam_defaults(0.003));
    if (!getenv("CT_NUM_THREADS")) ct_threads_set(1);
    return t;
}

rank_digits rank_digits_begin(ct_dtype dtype, bool study) { return begin(dtype, study, BATCH); }

rank_digits rank_digits_begin_few(void) { return begin(CT_F32, false, FEW); }

void rank_digits_end(rank_digits *t) {
    ct_optimizer_free(t->optimizer);
    ct_module_free(t->model);
    ct_source_free(t->train);
    ct_source_free(t->test);
    ct_dataset_free(t->digits);
}

ct_history rank_digits_fit(rank_digits *t, ct_fit_options options) {
    ct_metric metrics[] = {ct_metric_macro_f1, ct_metric_top_k(2)};
    ct_history history;
    options.validation = t->test;
    options.metrics = metrics;
    options.n_metrics = 2;
    options.record_steps = true;
    const ct_loss *loss = options.objective ? NULL : &ct_loss_cross_entropy;
    ct_status status = ct_fit(t->model, t->optimizer, loss, t->train, options, &history);
    EXPECT(status == ct_error(), "%s: %s", ct_status_name(status), ct_error_message());
    return history;
}

uint64_t rank_digits_hash_after(int64_t steps, ct_objective *objective) {
    rank_digits t = rank_digits_begin(CT_F32, false);
    if (steps > 0) {
        ct_history history = rank_digits_fit(
            &t, (ct_fit_options){.max_steps = steps, .objective = objective});
        EXPECT(history.n_steps == steps);
        ct_history_free(&history);
    }
    uint64_t hash = rank_learned_hash(t.model, t.optimizer);
    rank_digits_end(&t);
    return hash;
}
