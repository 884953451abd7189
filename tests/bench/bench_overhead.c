/* What is paid besides arithmetic: nodes, plans found again, small models, growing graphs.
 * Invariant: sizes double from line to line, so that what is not linear shows as a growing figure.
 */
#include "tests/bench/bench.h"

static double best_of(double (*measure)(int64_t n), int64_t n) {
    double best = measure(n);
    for (int r = 0; r < 4; r++) {
        double again = measure(n);
        if (again < best) best = again;
    }
    return best;
}

/* Builds and releases n nodes. */
static double build_nodes(int64_t n) {
    int64_t scope = ct_scope_open();
    ct_tensor *t = ct_full(CT_F32, CT_SHAPE(4), 1);
    double start = bench_now();
    int64_t nodes = ct_scope_open();
    for (int64_t k = 0; k < n; k++) t = ct_neg(t);
    bench_require(t != NULL);
    ct_scope_close(nodes);
    double seconds = bench_now() - start;
    ct_scope_close(scope);
    return seconds;
}

/* Evaluates a graph of one node n times: its plan is found in the cache. */
static double find_plans(int64_t n) {
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(4), 1);
    double start = bench_now();
    for (int64_t k = 0; k < n; k++) {
        int64_t step = ct_scope_open();
        bench_require(ct_data(ct_exp(x)) != NULL);
        ct_scope_close(step);
    }
    double seconds = bench_now() - start;
    ct_scope_close(scope);
    return seconds;
}

/* Builds, plans and runs a chain that does not fuse. */
static double run_chain(int64_t n) {
    ct_cache_clear();
    int64_t scope = ct_scope_open();
    ct_tensor *t = ct_full(CT_F32, CT_SHAPE(3), 0.25), *third = ct_scalar(CT_F32, 1.0 / 3);
    double start = bench_now();
    for (int64_t k = 0; k < n / 3; k++) {
        t = ct_mul(ct_broadcast(ct_sum_all(t), CT_SHAPE(3)), third);
    }
    bench_require(ct_data(t) != NULL);
    double seconds = bench_now() - start;
    ct_scope_close(scope);
    return seconds;
}

static ct_module *mlp(void) {
    ct_seed_set(1);
    ct_module *model = CT_SEQUENTIAL("mlp", ct_dense_new(784, 64, (ct_dense_options){0}),
                                     ct_activation_new(&ct_activation_relu),
                                     ct_dense_new(64, 10, (ct_dense_options){0}));
    bench_require(model != NULL);
    return model;
}

/* n training steps on batches of that many rows. */
static double train(int64_t n, int64_t rows, int64_t *live) {
    ct_module *model = mlp();
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.01)});
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(rows, 784), 0.5);
    ct_tensor *labels = ct_full(CT_I64, CT_SHAPE(rows), 3);
    double start = 0;
    for (int64_t k = -10; k < n; k++) {
        if (k == 0) start = bench_now();
        int64_t step = ct_scope_open();
        ct_tensor *loss = ct_cross_entropy(ct_logits(model, x, CT_TRAINING), labels);
        bench_require(ct_optimizer_step(sgd, loss, NULL, 0) == CT_OK);
        ct_scope_close(step);
    }
    double seconds = bench_now() - start;
    *live = ct_mem_read().live_bytes;
    ct_scope_close(scope);
    ct_optimizer_free(sgd);
    ct_module_free(model);
    ct_cache_clear();
    return seconds / (double)n;
}

void bench_overhead(json_t *results) {
    enum { NODES = 100000, PLANS = 20000, STEPS = 300 };
    ct_cache_clear();
    double node = best_of(build_nodes, NODES) / NODES * 1e9;
    double hit = best_of(find_plans, PLANS) / PLANS * 1e6;
    int64_t live;
    double step = train(STEPS, 1, &live) * 1e6;
    printf("\nOverhead\n%8.0f ns to build and release a node\n"
           "%8.2f us to build, find the plan of and run a graph of one op\n"
           "%8.1f us for a training step of an MLP 784-64-10 on one row\n",
           node, hit, step);
    bench_put(results, "overhead.node_ns", node);
    bench_put(results, "overhead.plan_hit_us", hit);
    bench_put(results, "overhead.mlp_step_us", step);
    printf("\n%8s  build, plan and run a chain: ns per op\n", "ops");
    for (int64_t n = 6250; n <= 100000; n *= 2) {
        printf("%8lld %8.0f\n", (long long)n, best_of(run_chain, n) / (double)n * 1e9);
    }
    ct_cache_clear();
    printf("\n%8s  MLP step: us per row, live KiB\n", "rows");
    for (int64_t rows = 64; rows <= 1024; rows *= 2) {
        double seconds = train(50, rows, &live);
        printf("%8lld %8.2f %10lld\n", (long long)rows, seconds / (double)rows * 1e6,
               (long long)live / 1024);
    }
}
