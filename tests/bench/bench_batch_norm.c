/* BatchNorm forward and backward: the derived gradient against the closed form by hand.
 * Derived includes building the graph, deriving it and looking its plan up: what a user pays.
 * Invariant: both run in turn, round by round. */
#include "tests/bench/bench.h"
#include "tests/bench/closed_form.h"

#include <math.h>
#include <stdlib.h>

/* Builds the graph, derives it and evaluates everything: what a user pays. */
static double derived_seconds(ct_tensor *x, ct_tensor *dy, ct_tensor *gamma, ct_tensor *beta) {
    int64_t scope = ct_scope_open();
    double start = bench_now();
    ct_tensor *out[4];
    out[3] = ct_batch_norm(x, gamma, beta, -1, 1e-3, NULL, NULL);
    bench_require(ct_vjp(out[3], dy, (ct_tensor *[]){x, gamma, beta}, 3, out) == CT_OK);
    bench_require(ct_eval(out, 4) == CT_OK);
    double seconds = bench_now() - start;
    ct_scope_close(scope);
    return seconds;
}

static double bench_shape(json_t *results, int64_t rows, int64_t channels) {
    int64_t n = rows * channels, scope = ct_scope_open();
    closed_form f = {.rows = rows,
                     .channels = channels,
                     .x = bench_floats(n),
                     .dy = bench_floats(n),
                     .gamma = bench_floats(channels),
                     .beta = bench_floats(channels),
                     .y = bench_floats(n),
                     .dx = bench_floats(n),
                     .dgamma = bench_floats(channels),
                     .dbeta = bench_floats(channels),
                     .epsilon = 1e-3f};
    ct_shape shape = CT_SHAPE(rows, channels), row = CT_SHAPE(channels);
    ct_tensor *x = ct_from(CT_F32, shape, f.x), *dy = ct_from(CT_F32, shape, f.dy);
    ct_tensor *gamma = ct_from(CT_F32, row, f.gamma), *beta = ct_from(CT_F32, row, f.beta);
    int repeats = (int)(2e7 / (double)n) + 1;
    double derived[ROUNDS], closed[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        double start = bench_now();
        for (int k = 0; k < repeats; k++) closed_form_run(&f, ct_threads());
        closed[r] = (bench_now() - start) / repeats;
        derived[r] = 0;
        for (int k = 0; k < repeats; k++) derived[r] += derived_seconds(x, dy, gamma, beta);
        derived[r] /= repeats;
    }
    double a = bench_median(derived, ROUNDS), b = bench_median(closed, ROUNDS);
    printf("%8lld x %-4lld derived %9.0f us   closed form %9.0f us   ratio %.2f   passes %lld\n",
           (long long)rows, (long long)channels, a * 1e6, b * 1e6, a / b,
           (long long)ct_plan_last().passes);
    char key[64];
    snprintf(key, sizeof key, "bn.%lldx%lld.derived_us", (long long)rows, (long long)channels);
    bench_put(results, key, a * 1e6);
    free((void *)f.x), free((void *)f.dy), free((void *)f.gamma), free((void *)f.beta);
    free(f.y), free(f.dx), free(f.dgamma), free(f.dbeta);
    ct_scope_close(scope);
    return a / b;
}

void bench_batch_norm(json_t *results) {
    static const int64_t shapes[][2] = {
        {32 * 676, 32}, {32 * 121, 64}, {64 * 56 * 56, 64}, {32 * 784, 256}, {8192, 64}};
    int n = (int)(sizeof shapes / sizeof *shapes);
    double product = 1, worst = 0;
    printf("\nBatchNorm forward + backward (rows x channels, graph building included)\n");
    for (int i = 0; i < n; i++) {
        double ratio = bench_shape(results, shapes[i][0], shapes[i][1]);
        product *= ratio;
        if (ratio > worst) worst = ratio;
    }
    double mean = pow(product, 1.0 / n);
    printf("derived / closed form: geometric mean %.2f, worst %.2f\n", mean, worst);
    bench_put(results, "bn.derived_over_closed_form.geomean", mean);
    bench_put(results, "bn.derived_over_closed_form.max", worst);
}
