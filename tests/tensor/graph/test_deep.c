/* Graphs a million ops deep on a stack of 256 KiB, and graphs that cannot be fused: neither
 * recursion nor quadratic planning.
 * Work is compared with that of half the graph, in counted steps, never with a clock.
 * Invariant: everything runs on a thread of its own whose stack is too small for recursion. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/stage.h"
#include "tensor/runtime.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>

#define STACK (256 * 1024)
#define DEEP 1000000
#define UNFUSABLE 100000

/* Under a sanitizer frames are larger and everything is slower. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHARE 10
#else
#define SHARE 1
#endif

static int64_t size_of(int64_t n) {
    int64_t scaled = support_scaled(n) / SHARE;
    return scaled > 100 ? scaled : 100;
}

/* Runs f on a small stack. */
static void on_small_stack(void *(*f)(void *)) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    EXPECT(pthread_attr_setstacksize(&attributes, STACK) == 0);
    if (EXPECT(pthread_create(&thread, &attributes, f, NULL) == 0)) pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

/* What a thread leaves behind is its own: its scopes and its cache. */
static void *leave(void) {
    EXPECT(ct_error() == CT_OK, "%s", ct_error_message());
    ct_scope_close(0);
    ct_cache_clear();
    return NULL;
}

/* --- A million ops ---------------------------------------------------------------------------- */

/* sin and -: |x| stays below 1 and every derivative is a product of cosines. */
static ct_tensor *chain(ct_tensor *x, int64_t n) {
    for (int64_t k = 0; k < n; k++) x = k % 2 ? ct_neg(x) : ct_sin(x);
    return x;
}

static void *deep_chain(void *unused) {
    (void)unused;
    int64_t n = size_of(DEEP);
    ct_tensor *x = ct_scalar(CT_F64, 1.25), *y = chain(x, n), *g;
    double value = 1.25, slope = 1;
    for (int64_t k = 0; k < n; k++) {
        slope *= k % 2 ? -1 : cos(value);
        value = k % 2 ? -value : sin(value);
    }
    EXPECT(near(ct_item(y), value, 1e-15, 1e-12), "%g, not %g", ct_item(y), value);
    EXPECT(ct_grad(y, &x, 1, &g) == CT_OK);
    EXPECT(near(ct_item(g), slope, 1e-300, 1e-6), "%g, not %g", ct_item(g), slope);
    EXPECT(ct_commit(&y, 1, NULL, 0) == CT_OK);
    return leave();
}

TEST(deep, a_chain_is_built_evaluated_differentiated_and_freed) { on_small_stack(deep_chain); }

/* Never evaluated before it is differentiated, and freed from its end. */
static void *deep_release(void *unused) {
    (void)unused;
    ct_tensor *x = ct_keep(ct_scalar(CT_F64, 0.5));
    int64_t scope = ct_scope_open();
    ct_tensor *y = ct_keep(chain(x, size_of(DEEP)));
    ct_scope_close(scope);
    ct_drop(y);
    ct_drop(x);
    return leave();
}

TEST(deep, the_last_owner_frees_the_whole_chain) { on_small_stack(deep_release); }

static void *deep_sum(void *unused) {
    (void)unused;
    int64_t n = size_of(UNFUSABLE);
    ct_tensor *x = ct_scalar(CT_F64, 0.5), *total = x, *g;
    for (int64_t k = 0; k < n; k++) total = ct_add(total, ct_mul(x, x));
    EXPECT(ct_grad(total, &x, 1, &g) == CT_OK);
    EXPECT(near(ct_item(total), 0.5 + 0.25 * (double)n, 0, 1e-9));
    EXPECT(near(ct_item(g), 1.0 + (double)n, 0, 1e-9));
    return leave();
}

TEST(deep, one_tensor_with_many_readers) { on_small_stack(deep_sum); }

/* --- Planning work ---------------------------------------------------------------------------- */

/* Basic blocks of tensor/ that were run: the same number on every machine. In a build without such
 * counts (see CMakeLists.txt) the graphs are evaluated all the same. */
#ifdef COTAN_COUNTED
static int64_t blocks;
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) { blocks++; }
#else
static const int64_t blocks;
#endif

/* Alternates a reduction and a broadcast: each is a pass of its own. */
static ct_tensor *sums(int64_t n) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(3), 0.25);
    ct_tensor *y = ct_scale(x, 1.0), *third = ct_scalar(CT_F32, 1.0 / 3);
    for (int64_t k = 0; k < n / 2; k++) y = ct_mul(ct_broadcast(ct_sum_all(y), CT_SHAPE(3)), third);
    return y;
}

/* Products whose operands all live until the backward pass. */
static ct_tensor *products(int64_t n) {
    ct_tensor *x = ct_eye(CT_F32, 2), *w = ct_eye(CT_F32, 2), *y = x, *g;
    for (int64_t k = 0; k < n / 3; k++) y = ct_matmul(y, w);
    return ct_grad(ct_sum_all(y), &w, 1, &g) == CT_OK ? g : NULL;
}

/* Independent ops of one shape, all wanted at the end: no chain at all. */
static ct_tensor *wide(int64_t n) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2), 0.5), *total = x;
    for (int64_t k = 0; k < n / 2; k++) total = ct_add(total, ct_exp(ct_neg(x)));
    return total;
}

/* Every node of another shape: the six digits of k in base 6, well mixed, so that both halves of
 * the graph have as many elements. */
static ct_tensor *shapes(int64_t n) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(1), 0.5), *total = ct_scalar(CT_F32, 0.0);
    for (int64_t k = 0; k < n / 3; k++) {
        int64_t m = k * 7919 % 46656;
        ct_shape shape = CT_SHAPE(1 + m % 6, 1 + m / 6 % 6, 1 + m / 36 % 6, 1 + m / 216 % 6,
                                  1 + m / 1296 % 6, 1 + m / 7776);
        ct_tensor *part = ct_exp(ct_broadcast(x, shape));
        total = ct_add(total,
                       ct_reshape(ct_slice(ct_reshape(part, CT_SHAPE(ct_numel(part))), 0, 0, 1, 1),
                                  CT_SCALAR));
    }
    return total;
}

static double work_of(ct_tensor *(*build)(int64_t n), int64_t n) {
    int64_t scope = ct_scope_open(), begin = blocks;
    ct_tensor *y = build(n);
    EXPECT(y && ct_eval(&y, 1) == CT_OK, "%s", ct_error_message());
    int64_t end = blocks;
    ct_scope_close(scope);
    ct_cache_clear();
    return (double)(end - begin);
}

static void expect_linear(const char *name, ct_tensor *(*build)(int64_t n)) {
    int64_t n = size_of(UNFUSABLE);
    double half = work_of(build, n / 2), whole = work_of(build, n);
#ifdef COTAN_COUNTED
    printf("%s: %.1f blocks per op for %lld ops, %.1f for %lld\n", name, half / (double)n * 2,
           (long long)n / 2, whole / (double)n, (long long)n);
    EXPECT(half > (double)n);
    EXPECT(n < 10000 || whole < 2.2 * half, "%s: %g blocks, half the graph %g", name, whole, half);
#else
    (void)name, (void)half, (void)whole;
#endif
}

static void *planning(void *unused) {
    (void)unused;
    ct_threads_set(1);
    expect_linear("sums and broadcasts", sums);
    expect_linear("products and their gradient", products);
    expect_linear("independent ops", wide);
    expect_linear("ops of different shapes", shapes);
    return leave();
}

TEST(deep, planning_takes_work_in_proportion) { on_small_stack(planning); }
