/* What the benchmarks share. Each section prints a table and adds flat entries to `results`. */
#ifndef COTAN_BENCH_H
#define COTAN_BENCH_H

#include <cotan/cotan.h>

#include <jansson.h>

#define ROUNDS 15 /* of interleaved measurements, of which the median counts */

double bench_now(void); /* seconds */
double bench_median(double *values, int n);
/* Ends the program with cotan's message unless the condition holds. */
void bench_require(bool condition);
float *bench_floats(int64_t n);           /* uniform in 0..1, aligned; the caller frees them */
ct_tensor *bench_uniform(ct_shape shape); /* f32, such numbers; the caller drops it */
void bench_put(json_t *results, const char *key, double value);
/* The best GFLOP/s of a product on one thread: what the arithmetic floor is counted in. */
double bench_peak(void);

/* The study's network, with or without BatchNorm. */
ct_module *bench_seed_model(bool batch_norm);
typedef struct {
    ct_module *model;
    ct_optimizer *adam;
} bench_seed_training;
bench_seed_training bench_seed_new(bool batch_norm);
void bench_seed_free(bench_seed_training training);
/* Seconds of a step, with its batch: the mean over `steps` of them. */
double bench_seed_steps(bench_seed_training training, ct_source *source, int steps);
ct_module *bench_resnet18(void);
/* A block with four heads, of x [batch, length, width]. w: of queries, keys, values and results, of
 * the two dense layers, gamma and beta of the two normalizations. */
#define BENCH_TRANSFORMER 10
ct_tensor *bench_transformer(ct_tensor *x, ct_tensor *const w[BENCH_TRANSFORMER]);
void bench_transformer_weights(int64_t width, ct_tensor *w[BENCH_TRANSFORMER]); /* to be dropped */
/* Computes the mean square of what it gives, and its gradients by all weights. */
void bench_transformer_pass(ct_tensor *x, ct_tensor *const w[BENCH_TRANSFORMER]);

/* Takes turns: five steps of a work whenever a byte arrives, their seconds as a double back. */
int bench_serve(int64_t work);
/* Prints how long the works of program `now` take beside those of `before`; returns the status to
 * exit with. */
int bench_compare(const char *before, const char *now, int pairs);

void bench_seed(json_t *results);
void bench_seed_profile(void);
void bench_batch_norm(json_t *results);
void bench_kernels(json_t *results);
void bench_overhead(json_t *results);
void bench_lstm(json_t *results);
void bench_training(json_t *results);
void bench_ranks(json_t *results);
/* Is one of the ranks that bench_ranks starts: "rank/ranks:socket:batch". */
int bench_rank(const char *description);

#endif
