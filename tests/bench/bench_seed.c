/* The seed model's training step, with and without BatchNorm: batches are fetched, Adam steps.
 * ms per step is the wall time of a training loop over its steps.
 * Invariant: both models train in turn, round by round, after ten steps that do not count. */
#include "tests/bench/bench.h"

static ct_module *block(ct_module *layer, int64_t channels, bool batch_norm, bool pool) {
    ct_module *parts[4];
    int n = 0;
    parts[n++] = layer;
    if (batch_norm) parts[n++] = ct_batch_norm_new(channels, ct_batch_norm_defaults());
    parts[n++] = ct_activation_new(&ct_activation_relu);
    if (pool) parts[n++] = ct_max_pool2d_new((ct_pool2d_options){0});
    return ct_sequential_new(NULL, parts, n);
}

ct_module *bench_seed_model(bool bn) {
    ct_conv2d_options conv = {.no_bias = bn};
    ct_dense_options dense = {.no_bias = bn};
    ct_module *head = bn ? CT_SEQUENTIAL(NULL, ct_dense_new(64, 10, dense),
                                         ct_batch_norm_new(10, ct_batch_norm_defaults()))
                         : ct_dense_new(64, 10, dense);
    return CT_SEQUENTIAL("seed", block(ct_conv2d_new(1, 32, conv), 32, bn, true),
                         block(ct_conv2d_new(32, 64, conv), 64, bn, true),
                         block(ct_conv2d_new(64, 64, conv), 64, bn, false), ct_flatten_new(),
                         block(ct_dense_new(576, 64, dense), 64, bn, false), head);
}

bench_seed_training bench_seed_new(bool bn) {
    ct_seed_set(1);
    bench_seed_training t = {.model = bench_seed_model(bn)};
    t.adam = ct_adam_new(t.model, ct_adam_defaults(1e-3));
    bench_require(t.adam != NULL);
    return t;
}

void bench_seed_free(bench_seed_training t) {
    ct_optimizer_free(t.adam);
    ct_module_free(t.model);
}

double bench_seed_steps(bench_seed_training t, ct_source *source, int steps) {
    double start = bench_now();
    for (int k = 0; k < steps; k++) {
        int64_t scope = ct_scope_open();
        ct_batch batch;
        bench_require(ct_source_next(source, &batch) == CT_OK);
        if (!batch.x) {
            bench_require(ct_source_seek(source, 0, 0) == CT_OK);
            bench_require(ct_source_next(source, &batch) == CT_OK);
        }
        ct_tensor *logits = ct_logits(t.model, batch.x, CT_TRAINING);
        ct_tensor *loss = ct_cross_entropy(logits, batch.y);
        ct_tensor *accuracy = ct_accuracy(logits, batch.y);
        bench_require(ct_optimizer_step(t.adam, loss, &accuracy, 1) == CT_OK);
        ct_scope_close(scope);
    }
    return (bench_now() - start) / steps;
}

static void profile_one(const ct_dataset *data, bool bn) {
    bench_seed_training t = bench_seed_new(bn);
    ct_source *source = ct_batches_new(data->train_images, data->train_labels,
                                       (ct_batches_options){.size = 32, .divide_by = 255});
    bench_seed_steps(t, source, 10);
    ct_profile_start();
    double step = bench_seed_steps(t, source, 200);
    ct_profile_stop();
    printf("\nSeed model %s BatchNorm on %s, %.2f ms per step, %.2f ms of it in evaluations\n",
           bn ? "with" : "without", data->name, step * 1e3, ct_profile_seconds() * 1e3 / 200);
    bench_require(ct_profile_write(stdout) == CT_OK);
    ct_profile_clear();
    ct_source_free(source);
    bench_seed_free(t);
}

/* Multiplications and additions of the convolutions and dense layers: forward, and both gradients
 * but that of the images. */
static double step_operations(double batch) {
    double conv1 = 26.0 * 26 * 9 * 32, conv2 = 11.0 * 11 * 288 * 64, conv3 = 3.0 * 3 * 576 * 64;
    double dense = 576.0 * 64 + 64 * 10;
    return 2 * batch * (2 * conv1 + 3 * (conv2 + conv3 + dense));
}

static void bench_size(json_t *results, const ct_dataset *data, int64_t batch, double peak) {
    bench_seed_training bn = bench_seed_new(true), plain = bench_seed_new(false);
    ct_source *source = ct_batches_new(data->train_images, data->train_labels,
                                       (ct_batches_options){.size = batch, .divide_by = 255});
    int steps = (int)(1280 / batch);
    double with[ROUNDS], without[ROUNDS];
    bench_seed_steps(bn, source, 10);
    bench_seed_steps(plain, source, 10);
    ct_plan_stats memory = {0};
    for (int r = 0; r < ROUNDS; r++) {
        with[r] = bench_seed_steps(bn, source, steps);
        memory = ct_plan_last();
        without[r] = bench_seed_steps(plain, source, steps);
    }
    double a = bench_median(with, ROUNDS) * 1e3, b = bench_median(without, ROUNDS) * 1e3;
    printf("batch %3lld: with BatchNorm %.2f ms/step (%.0f images/s), without %.2f ms/step, "
           "ratio %.2f\n",
           (long long)batch, a, (double)batch * 1e3 / a, b, a / b);
    double floor_ms = step_operations((double)batch) * 1e-6 / (peak * ct_threads());
    printf("           arithmetic floor %.2f ms (%.0f GFLOP/s on each of %d threads): "
           "%.2f times that, without %.2f\n",
           floor_ms, peak, ct_threads(), a / floor_ms, b / floor_ms);
    double arena = (double)memory.arena_bytes * 1e-6, needed = (double)memory.needed_bytes * 1e-6;
    printf("           memory of a step between its passes %.1f MB, "
           "%.1f MB of it in use at one time\n",
           arena, needed);
    if (batch == 32) {
        bench_put(results, "seed.arena_mb", arena);
        bench_put(results, "seed.arena_over_lower_bound", arena / needed);
        bench_put(results, "seed.floor_ms", floor_ms);
        bench_put(results, "seed.bn.ms_per_step", a);
        bench_put(results, "seed.plain.ms_per_step", b);
        bench_put(results, "seed.bn_over_plain", a / b);
    }
    ct_source_free(source);
    bench_seed_free(bn), bench_seed_free(plain);
}

void bench_seed(json_t *results) {
    ct_dataset *data = ct_dataset_digits(12800, 0, 0);
    bench_require(data != NULL);
    double peak = bench_peak();
    printf("\nSeed model, one training step (batches fetched, Adam); data: %s\n", data->name);
    json_object_set_new(results, "seed.data", json_string(data->name));
    bench_size(results, data, 32, peak);
    bench_size(results, data, 128, peak);
    ct_dataset_free(data);
}

void bench_seed_profile(void) {
    ct_dataset *data = ct_dataset_digits(3200, 0, 0);
    bench_require(data != NULL);
    profile_one(data, true);
    profile_one(data, false);
    ct_dataset_free(data);
}
