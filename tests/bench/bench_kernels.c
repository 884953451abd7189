/* Products and convolutions of the seed model and of ResNet-18 on 32x32 images, as a share of the
 * best that BLIS reaches in this run.
 * Invariant: a time is that of one evaluation: its plan is looked up, its output is new. */
#include "tests/bench/bench.h"

#include <stdlib.h>

typedef struct {
    const char *name;
    int64_t size, in, out, extent, stride; /* of images, channels, kernel; "same" if pad > 0 */
    int64_t pad;
} conv_shape;

static const conv_shape convs[] = {
    {"seed 1", 28, 1, 32, 3, 1, 0},         {"seed 2", 13, 32, 64, 3, 1, 0},
    {"seed 3", 5, 64, 64, 3, 1, 0},         {"resnet stem", 32, 3, 64, 3, 1, 1},
    {"resnet 64", 32, 64, 64, 3, 1, 1},     {"resnet 64-128/2", 32, 64, 128, 3, 2, 1},
    {"resnet 1x1/2", 32, 64, 128, 1, 2, 0}, {"resnet 128", 16, 128, 128, 3, 1, 1},
    {"resnet 256", 8, 256, 256, 3, 1, 1},   {"resnet 512", 4, 512, 512, 3, 1, 1}};

static const struct {
    int64_t m, k, n;
} products[] = {{32, 576, 64},  {576, 32, 64}, {32, 64, 10},
                {128, 576, 64}, {64, 512, 10}, {512, 512, 512}};

enum { CONVS = sizeof convs / sizeof *convs, PRODUCTS = sizeof products / sizeof *products };

static ct_tensor *random_leaf(ct_shape shape) {
    float *data = bench_floats(ct_shape_numel(shape));
    ct_tensor *t = ct_from(CT_F32, shape, data);
    free(data);
    bench_require(t != NULL);
    return t;
}

/* One of the faces of a convolution, or the product of two operands. */
typedef ct_tensor *build_fn(ct_tensor *const in[], const conv_shape *shape);

static ct_conv2d_spec spec_of(const conv_shape *s) {
    return (ct_conv2d_spec){.stride = {s->stride, s->stride},
                            .pad = {s->pad, s->pad, s->pad, s->pad}};
}

static ct_tensor *forward(ct_tensor *const in[], const conv_shape *s) {
    return ct_conv2d(in[0], in[1], spec_of(s));
}

static ct_tensor *to_input(ct_tensor *const in[], const conv_shape *s) {
    return ct_conv2d_input(in[2], in[1], s->size, s->size, spec_of(s));
}

static ct_tensor *to_kernel(ct_tensor *const in[], const conv_shape *s) {
    return ct_conv2d_kernel(in[0], in[2], s->extent, s->extent, spec_of(s));
}

static ct_tensor *product(ct_tensor *const in[], const conv_shape *s) {
    (void)s;
    return ct_matmul(in[0], in[1]);
}

static double seconds_of(build_fn *build, ct_tensor *const in[], const conv_shape *shape) {
    double times[ROUNDS];
    for (int r = -1; r < ROUNDS; r++) {
        int64_t scope = ct_scope_open();
        double start = bench_now();
        bench_require(ct_data(build(in, shape)) != NULL);
        if (r >= 0) times[r] = bench_now() - start;
        ct_scope_close(scope);
    }
    return bench_median(times, ROUNDS);
}

static void put_speed(double operations, double seconds, double best) {
    double speed = operations / seconds * 1e-9;
    printf("  %7.1f (%3.0f %%)", speed, 100 * speed / best);
}

static void bench_conv(json_t *results, const conv_shape *s, double best) {
    int64_t scope = ct_scope_open();
    ct_tensor *x = random_leaf(CT_SHAPE(32, s->size, s->size, s->in));
    ct_tensor *w = random_leaf(CT_SHAPE(s->extent, s->extent, s->in, s->out));
    ct_tensor *y = ct_conv2d(x, w, spec_of(s));
    ct_tensor *in[] = {x, w, random_leaf(ct_shape_of(y))};
    double operations = 2.0 * (double)ct_numel(y) * (double)(s->extent * s->extent * s->in);
    build_fn *const faces[] = {forward, to_input, to_kernel};
    static const char *const names[] = {"forward", "input", "kernel"};
    printf("%-16s %8.1f", s->name, operations * 1e-6);
    for (int f = 0; f < 3; f++) {
        double seconds = seconds_of(faces[f], in, s);
        char key[64];
        put_speed(operations, seconds, best);
        snprintf(key, sizeof key, "conv.%s.%s_share", s->name, names[f]);
        bench_put(results, key, operations / seconds * 1e-9 / best);
    }
    printf("\n");
    ct_scope_close(scope);
}

void bench_kernels(json_t *results) {
    double best = bench_peak() * ct_threads();
    printf("\nConvolutions, 32 images: GFLOP/s "
           "(share of %.0f, the best of a product on %d threads)\n"
           "%-16s %8s  %15s  %15s  %15s\n",
           best, ct_threads(), "", "MFLOP", "forward", "to the input", "to the kernel");
    for (int k = 0; k < CONVS; k++) bench_conv(results, &convs[k], best);
    printf("\nProducts [m,k] x [k,n]: GFLOP/s\n");
    for (int k = 0; k < PRODUCTS; k++) {
        int64_t m = products[k].m, n = products[k].n, inner = products[k].k;
        int64_t scope = ct_scope_open();
        ct_tensor *in[] = {random_leaf(CT_SHAPE(m, inner)), random_leaf(CT_SHAPE(inner, n)), NULL};
        double operations = 2.0 * (double)(m * n * inner);
        printf("%5lld %5lld %5lld", (long long)m, (long long)inner, (long long)n);
        put_speed(operations, seconds_of(product, in, NULL), best);
        printf("\n");
        ct_scope_close(scope);
    }
}
