/* Models of other sizes than the study's: a step of ResNet-18 and of a network of dense layers, and
 * loss and gradients of a transformer's block.
 * What they are is in bench_models.c; PyTorch's beside them in pytorch.py.
 * Invariant: graphs are built anew in each step, as in training. */
#include "tests/bench/bench.h"

enum { BATCH = 32, TOKENS = 64, WIDTH = 128, HIDDEN = 512, CLASSES = 10 };

/* One of them, and what it works on. */
typedef struct {
    ct_module *model;
    ct_optimizer *adam;
    ct_tensor *x, *labels, *weights[BENCH_TRANSFORMER];
} work;

/* --- Steps ------------------------------------------------------------------------------------ */

static void train(work *w) {
    ct_tensor *loss = ct_cross_entropy(ct_logits(w->model, w->x, CT_TRAINING), w->labels);
    bench_require(ct_optimizer_step(w->adam, loss, NULL, 0) == CT_OK);
}

static void transform(work *w) { bench_transformer_pass(w->x, w->weights); }

/* --- Works ------------------------------------------------------------------------------------ */

static void begin_training(work *w, ct_module *model, ct_shape images) {
    int64_t digits[BATCH];
    for (int i = 0; i < BATCH; i++) digits[i] = i % CLASSES;
    w->model = model;
    w->adam = ct_adam_new(model, ct_adam_defaults(1e-3));
    w->x = bench_uniform(images);
    w->labels = ct_keep(ct_from(CT_I64, CT_SHAPE(BATCH), digits));
    bench_require(w->adam && w->labels);
}

static void begin_resnet18(work *w) {
    begin_training(w, bench_resnet18(), CT_SHAPE(BATCH, 32, 32, 3));
}

static void begin_dense(work *w) {
    ct_module *layers[11];
    int64_t n = 0;
    for (int i = 0; i < 3; i++) {
        layers[n++] = ct_dense_new(i ? HIDDEN : 784, HIDDEN, (ct_dense_options){.no_bias = true});
        layers[n++] = ct_batch_norm_new(HIDDEN, ct_batch_norm_defaults());
        layers[n++] = ct_activation_new(&ct_activation_relu);
    }
    layers[n++] = ct_dense_new(HIDDEN, CLASSES, (ct_dense_options){0});
    begin_training(w, ct_sequential_new("dense", layers, n), CT_SHAPE(BATCH, 784));
}

static void begin_transformer(work *w) {
    w->x = bench_uniform(CT_SHAPE(BATCH, TOKENS, WIDTH));
    bench_transformer_weights(WIDTH, w->weights);
}

static void end(work *w) {
    ct_optimizer_free(w->adam);
    ct_module_free(w->model);
    ct_drop(w->x), ct_drop(w->labels);
    for (int k = 0; k < BENCH_TRANSFORMER; k++) ct_drop(w->weights[k]);
    ct_cache_clear();
}

/* --- Measuring -------------------------------------------------------------------------------- */

static const struct {
    const char *name, *about;
    void (*begin)(work *w), (*step)(work *w);
    int rounds;
} works[] = {
    {"resnet18", "ResNet-18, 32 images of 32 x 32: a step", begin_resnet18, train, 5},
    {"transformer", "transformer's block, 32 x 64 tokens of width 128: loss and gradients",
     begin_transformer, transform, ROUNDS},
    {"dense", "784-512-512-512-10 with BatchNorm, batch 32: a step", begin_dense, train, ROUNDS},
};

static double milliseconds(work *w, void (*step)(work *w)) {
    int64_t scope = ct_scope_open();
    double start = bench_now();
    step(w);
    double seconds = bench_now() - start;
    ct_scope_close(scope);
    return seconds * 1e3;
}

void bench_training(json_t *results) {
    printf("\nModels, %d threads: ms\n", ct_threads());
    for (size_t k = 0; k < sizeof works / sizeof *works; k++) {
        work w = {0};
        double times[ROUNDS];
        ct_seed_set(1);
        works[k].begin(&w);
        for (int i = 0; i < 2; i++) milliseconds(&w, works[k].step);
        for (int i = 0; i < works[k].rounds; i++) times[i] = milliseconds(&w, works[k].step);
        double median = bench_median(times, works[k].rounds);
        printf("%10.2f  %s\n", median, works[k].about);
        char key[64];
        snprintf(key, sizeof key, "training.%s.ms", works[k].name);
        bench_put(results, key, median);
        end(&w);
    }
}
