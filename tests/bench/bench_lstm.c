/* An LSTM unrolled over time: loss and gradients of its weights, batch 32, 64 inputs, 128 units.
 * It takes no steps; an optimizer's are measured elsewhere.
 * Invariant: one thread, so that what is beside it (pytorch.py) can be held to the same. */
#include "tests/bench/bench.h"

#include <stdlib.h>

#if __has_include("nn/recurrent.h") /* or else an older commit, beside which this one is measured */

enum { BATCH = 32, INPUTS = 64, UNITS = 128, WEIGHTS = 3 };

static const int64_t lengths[] = {16, 64, 256};
#define LENGTHS (int)(sizeof lengths / sizeof *lengths)

static ct_tensor *sequences(int64_t length) {
    float *values = bench_floats(BATCH * length * INPUTS);
    ct_tensor *x = ct_keep(ct_from(CT_F32, CT_SHAPE(BATCH, length, INPUTS), values));
    bench_require(x != NULL);
    free(values);
    return x;
}

/* Seconds of one forward and backward, graph included. */
static double pass(ct_module *lstm, ct_tensor *x) {
    int64_t scope = ct_scope_open();
    double start = bench_now();
    ct_tensor *weights[WEIGHTS], *out[WEIGHTS + 1];
    for (int i = 0; i < WEIGHTS; i++) weights[i] = ct_module_read(lstm, i);
    out[WEIGHTS] = ct_sum_all(ct_square(ct_forward(lstm, x, CT_TRAINING)));
    bench_require(ct_grad(out[WEIGHTS], weights, WEIGHTS, out) == CT_OK);
    bench_require(ct_eval(out, WEIGHTS + 1) == CT_OK);
    double seconds = bench_now() - start;
    ct_scope_close(scope);
    return seconds;
}

static double median_of(ct_module *lstm, ct_tensor *x) {
    double times[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) times[i] = pass(lstm, x);
    return bench_median(times, ROUNDS);
}

void bench_lstm(json_t *results) {
    int before = ct_threads();
    ct_seed_set(1);
    ct_module *lstm = ct_lstm_new(INPUTS, UNITS, (ct_recurrent_options){0});
    bench_require(lstm && ct_threads_set(1) == CT_OK);
    printf("\nLSTM of %d units, %d inputs, batch %d, forward and backward, one thread: ms\n", UNITS,
           INPUTS, BATCH);
    printf("%8s %10s %10s\n", "length", "planned", "the first");
    for (int i = 0; i < LENGTHS; i++) {
        ct_tensor *x = sequences(lengths[i]);
        double first = pass(lstm, x) * 1e3, later = median_of(lstm, x) * 1e3;
        printf("%8lld %10.2f %10.2f\n", (long long)lengths[i], later, first);
        char key[64];
        snprintf(key, sizeof key, "lstm.%lld.ms", (long long)lengths[i]);
        bench_put(results, key, later);
        snprintf(key, sizeof key, "lstm.%lld.first_ms", (long long)lengths[i]);
        bench_put(results, key, first);
        ct_drop(x);
    }
    ct_module_free(lstm);
    bench_require(ct_threads_set(before) == CT_OK);
}

#else
void bench_lstm(json_t *results) { (void)results; }
#endif
