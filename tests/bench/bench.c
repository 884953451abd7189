/* Benchmarks: the seed model's training step with and without BatchNorm, and BatchNorm's derived
 * gradient against the closed form by hand. Ratios are of medians of interleaved runs.
 * It is no test: it has no bound and cannot fail.
 * usage: bench [--json FILE] [--threads N] [--profile] */
#include "tests/bench/closed_form.h"

#include <cotan/cotan.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 15

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, by_value);
    return values[n / 2];
}

static void require(bool condition) {
    if (condition) return;
    fprintf(stderr, "bench: %s\n", ct_error() ? ct_error_message() : "out of memory");
    exit(1);
}

/* --- BatchNorm -------------------------------------------------------------------------------- */

static float *random_floats(int64_t n) {
    float *data = malloc(sizeof(float) * (size_t)n);
    require(data != NULL);
    for (int64_t i = 0; i < n; i++) data[i] = (float)drand48();
    return data;
}

/* Builds the graph, derives it and evaluates everything: what a user pays. */
static double derived_seconds(ct_tensor *x, ct_tensor *dy, ct_tensor *gamma, ct_tensor *beta) {
    int64_t scope = ct_scope_open();
    double start = now();
    ct_tensor *out[4];
    out[3] = ct_batch_norm(x, gamma, beta, -1, 1e-3, NULL, NULL);
    require(ct_vjp(out[3], dy, (ct_tensor *[]){x, gamma, beta}, 3, out) == CT_OK);
    require(ct_eval(out, 4) == CT_OK);
    double seconds = now() - start;
    ct_scope_close(scope);
    return seconds;
}

static double bench_shape(int64_t rows, int64_t channels, int threads) {
    int64_t n = rows * channels, scope = ct_scope_open();
    closed_form f = {.rows = rows, .channels = channels, .x = random_floats(n),
                     .dy = random_floats(n), .gamma = random_floats(channels),
                     .beta = random_floats(channels), .y = random_floats(n),
                     .dx = random_floats(n), .dgamma = random_floats(channels),
                     .dbeta = random_floats(channels), .epsilon = 1e-3f};
    ct_shape shape = CT_SHAPE(rows, channels), row = CT_SHAPE(channels);
    ct_tensor *x = ct_from(CT_F32, shape, f.x), *dy = ct_from(CT_F32, shape, f.dy);
    ct_tensor *gamma = ct_from(CT_F32, row, f.gamma), *beta = ct_from(CT_F32, row, f.beta);
    int repeats = (int)(2e7 / (double)n) + 1;
    double derived[ROUNDS], closed[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        double start = now();
        for (int k = 0; k < repeats; k++) closed_form_run(&f, threads);
        closed[r] = (now() - start) / repeats;
        derived[r] = 0;
        for (int k = 0; k < repeats; k++) derived[r] += derived_seconds(x, dy, gamma, beta);
        derived[r] /= repeats;
    }
    double a = median(derived, ROUNDS), b = median(closed, ROUNDS);
    printf("%8lld x %-4lld derived %9.0f us   closed form %9.0f us   ratio %.2f   passes %lld\n",
           (long long)rows, (long long)channels, a * 1e6, b * 1e6, a / b,
           (long long)ct_plan_last().passes);
    free((void *)f.x), free((void *)f.dy), free((void *)f.gamma), free((void *)f.beta);
    free(f.y), free(f.dx), free(f.dgamma), free(f.dbeta);
    ct_scope_close(scope);
    return a / b;
}

static void bench_batch_norm(json_t *results, int threads) {
    static const int64_t shapes[][2] = {
        {32 * 676, 32}, {32 * 121, 64}, {64 * 56 * 56, 64}, {32 * 784, 256}, {8192, 64}};
    int n = (int)(sizeof shapes / sizeof *shapes);
    double product = 1, worst = 0;
    printf("\nBatchNorm forward + backward (rows x channels, graph building included)\n");
    for (int i = 0; i < n; i++) {
        double ratio = bench_shape(shapes[i][0], shapes[i][1], threads);
        product *= ratio;
        if (ratio > worst) worst = ratio;
    }
    double mean = pow(product, 1.0 / n);
    printf("derived / closed form: geometric mean %.2f, worst %.2f\n", mean, worst);
    json_object_set_new(results, "bn.derived_over_closed_form.geomean", json_real(mean));
    json_object_set_new(results, "bn.derived_over_closed_form.max", json_real(worst));
}

/* --- The seed model --------------------------------------------------------------------------- */

static ct_module *block(ct_module *layer, int64_t channels, bool batch_norm, bool pool) {
    ct_module *parts[4];
    int n = 0;
    parts[n++] = layer;
    if (batch_norm) parts[n++] = ct_batch_norm_new(channels, (ct_batch_norm_options){0});
    parts[n++] = ct_activation_new(&ct_activation_relu);
    if (pool) parts[n++] = ct_max_pool2d_new((ct_pool2d_options){0});
    return ct_sequential_new(NULL, parts, n);
}

static ct_module *seed_model(bool bn) {
    ct_conv2d_options conv = {.no_bias = bn};
    ct_dense_options dense = {.no_bias = bn};
    ct_module *head = bn ? CT_SEQUENTIAL(NULL, ct_dense_new(64, 10, dense),
                                         ct_batch_norm_new(10, (ct_batch_norm_options){0}))
                         : ct_dense_new(64, 10, dense);
    return CT_SEQUENTIAL("seed", block(ct_conv2d_new(1, 32, conv), 32, bn, true),
                         block(ct_conv2d_new(32, 64, conv), 64, bn, true),
                         block(ct_conv2d_new(64, 64, conv), 64, bn, false), ct_flatten_new(),
                         block(ct_dense_new(576, 64, dense), 64, bn, false), head);
}

typedef struct {
    ct_module *model;
    ct_optimizer *adam;
} training;

static training training_new(bool bn) {
    ct_seed_set(1);
    training t = {.model = seed_model(bn)};
    t.adam = ct_adam_new(t.model, (ct_adam_options){.rate = ct_rate(1e-3)});
    require(t.adam != NULL);
    return t;
}

static double seconds_of_steps(training t, ct_source *source, int steps) {
    double start = now();
    for (int k = 0; k < steps; k++) {
        int64_t scope = ct_scope_open();
        ct_batch batch;
        require(ct_source_next(source, &batch) == CT_OK);
        if (!batch.x) {
            require(ct_source_seek(source, 0, 0) == CT_OK);
            require(ct_source_next(source, &batch) == CT_OK);
        }
        ct_tensor *logits = ct_logits(t.model, batch.x, CT_TRAINING);
        ct_tensor *loss = ct_cross_entropy(logits, batch.y);
        ct_tensor *accuracy = ct_accuracy(logits, batch.y);
        require(ct_optimizer_step(t.adam, loss, &accuracy, 1) == CT_OK);
        ct_scope_close(scope);
    }
    return (now() - start) / steps;
}

static void profile_seed(const ct_dataset *data, bool bn) {
    training t = training_new(bn);
    ct_source *source = ct_batches_new(data->train_images, data->train_labels,
                                       (ct_batches_options){.size = 32, .divide_by = 255});
    seconds_of_steps(t, source, 10);
    ct_profile_start();
    double step = seconds_of_steps(t, source, 200);
    ct_profile_stop();
    printf("\nSeed model %s BatchNorm, %.2f ms per step, %.2f ms of it in evaluations\n",
           bn ? "with" : "without", step * 1e3, ct_profile_seconds() * 1e3 / 200);
    require(ct_profile_write(stdout) == CT_OK);
    ct_profile_clear();
    ct_source_free(source);
    ct_optimizer_free(t.adam);
    ct_module_free(t.model);
}

static void bench_seed(json_t *results, const ct_dataset *data, int64_t batch) {
    training bn = training_new(true), plain = training_new(false);
    ct_source *source = ct_batches_new(data->train_images, data->train_labels,
                                       (ct_batches_options){.size = batch, .divide_by = 255});
    int steps = (int)(1280 / batch);
    double with[ROUNDS], without[ROUNDS];
    seconds_of_steps(bn, source, 10);
    seconds_of_steps(plain, source, 10);
    for (int r = 0; r < ROUNDS; r++) {
        with[r] = seconds_of_steps(bn, source, steps);
        without[r] = seconds_of_steps(plain, source, steps);
    }
    double a = median(with, ROUNDS) * 1e3, b = median(without, ROUNDS) * 1e3;
    printf("batch %3lld: with BatchNorm %.2f ms/step (%.0f images/s), without %.2f ms/step, "
           "ratio %.2f\n", (long long)batch, a, (double)batch * 1e3 / a, b, a / b);
    if (batch == 32) {
        json_object_set_new(results, "seed.bn.ms_per_step", json_real(a));
        json_object_set_new(results, "seed.plain.ms_per_step", json_real(b));
        json_object_set_new(results, "seed.bn_over_plain", json_real(a / b));
    }
    ct_source_free(source);
    ct_optimizer_free(bn.adam), ct_optimizer_free(plain.adam);
    ct_module_free(bn.model), ct_module_free(plain.model);
}

int main(int argc, char **argv) {
    const char *json = NULL;
    bool profile = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0 && i + 1 < argc) json = argv[++i];
        else if (strcmp(argv[i], "--profile") == 0) profile = true;
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
            require(ct_threads_set(atoi(argv[++i])) == CT_OK);
        } else {
            fprintf(stderr, "usage: bench [--json FILE] [--threads N] [--profile]\n");
            return 2;
        }
    }
    json_t *results = json_object();
    printf("%s\n\nSeed model, one training step (batches fetched, Adam)\n", ct_info());
    ct_dataset *data = ct_dataset_digits(12800, 0, 0);
    require(data != NULL);
    if (profile) {
        profile_seed(data, true);
        profile_seed(data, false);
        return 0;
    }
    bench_seed(results, data, 32);
    bench_seed(results, data, 128);
    ct_dataset_free(data);
    bench_batch_norm(results, ct_threads());
    bool written = !json || json_dump_file(results, json, JSON_INDENT(2)) == 0;
    json_decref(results);
    if (!written) fprintf(stderr, "bench: cannot write %s\n", json);
    return written ? 0 : 4;
}
