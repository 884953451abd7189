/* fork() beside evaluations: the child computes, with one thread, the bits of its parent.
 * A plain program: a harness that forks, or threads of another test, would be part of the test.
 * Usage: forking [emulated]: qemu-user cannot start a thread in a child.
 * Invariant: the exit status is 0 only if every child ended well; a child that hangs is killed. */
#include "datasets/datasets.h"
#include "nn/nn.h"
#include "optim/optim.h"
#include "tensor/base/gemm.h"
#include "tensor/runtime.h"
#include "tests/support/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds until a child counts as hanging. */
#define PATIENCE 300

static int failures;

static void expect(bool holds, const char *what) {
    printf("%s %s\n", holds ? "ok  " : "FAIL", what);
    if (!holds) printf("     record: %s\n", ct_error_message());
    failures += !holds;
}

/* Whether the child function returned true. */
static bool in_child(bool (*child)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(PATIENCE);
        _exit(child() ? 0 : 1);
    }
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* --- The work --------------------------------------------------------------------------------- */

enum { SIDE = 300 };
static float expected[SIDE];

static bool same(const float *a, const float *b) { return memcmp(a, b, sizeof expected) == 0; }

/* Row sums of e^(a b / SIDE): products large enough for BLIS and for several threads. */
static bool compute(float out[SIDE]) {
    static float elements[SIDE * SIDE];
    int64_t scope = ct_scope_open();
    for (int i = 0; i < SIDE * SIDE; i++) elements[i] = (float)(i * 7919 % 1009) / 1009.0f;
    ct_tensor *a = ct_from(CT_F32, CT_SHAPE(SIDE, SIDE), elements);
    ct_tensor *y = ct_sum(ct_exp(ct_scale(ct_matmul(a, ct_transpose(a)), 1.0 / SIDE)), CT_AXES(1));
    const float *sums = ct_data_f32(y);
    if (sums) memcpy(out, sums, sizeof expected);
    ct_scope_close(scope);
    return sums != NULL;
}

static bool as_expected(void) {
    float out[SIDE];
    return compute(out) && same(out, expected);
}

static bool digits_as_ever(void) {
    ct_dataset *digits = ct_dataset_digits(600, 10, 0);
    ct_tensor *images = digits ? digits->train_images : NULL;
    bool good = images && ct_item(ct_sum_all(ct_cast(images, CT_F64))) > 0;
    ct_dataset_free(digits);
    return good;
}

static bool trains(void) {
    ct_seed_set(1);
    ct_module *model = CT_SEQUENTIAL("net", ct_dense_new(SIDE, SIDE, (ct_dense_options){0}),
                                     ct_activation_new(&ct_activation_tanh),
                                     ct_dense_new(SIDE, 1, (ct_dense_options){0}));
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.01)});
    double loss[10] = {0};
    for (int k = 0; k < 10; k++) {
        int64_t scope = ct_scope_open();
        ct_tensor *x = ct_full(CT_F32, CT_SHAPE(64, SIDE), 0.5);
        ct_tensor *y = ct_forward(model, x, CT_TRAINING);
        ct_tensor *error = ct_mse(y, ct_full(CT_F32, CT_SHAPE(64, 1), 2));
        if (ct_optimizer_step(sgd, error, NULL, 0) == CT_OK) loss[k] = ct_item(error);
        ct_scope_close(scope);
    }
    ct_optimizer_free(sgd);
    ct_module_free(model);
    return loss[9] > 0 && loss[9] < loss[0];
}

/* --- Children --------------------------------------------------------------------------------- */

static bool child(void) {
    return ct_threads() == 1 && as_expected() && trains() && digits_as_ever() &&
           ct_threads_set(4) == CT_OK && ct_threads() == 1 && as_expected();
}

static bool child_that_forks(void) { return child() && in_child(child) && as_expected(); }

static bool child_without_use(void) { return in_child(child); }

/* A thread of its own is what a user's program may start in the child. */
static void *thread_of_child(void *good) {
    *(bool *)good = as_expected();
    return NULL;
}

static bool child_with_thread(void) {
    pthread_t thread;
    bool good = false;
    return pthread_create(&thread, NULL, thread_of_child, &good) == 0 &&
           pthread_join(thread, NULL) == 0 && good && as_expected();
}

/* --- Beside threads that work ----------------------------------------------------------------- */

static atomic_bool done;
static atomic_int busy;

static bool small_product(void) {
    float a[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, b[16], c[16];
    for (int i = 0; i < 16; i++) b[i] = (float)i;
    cti_gemm_f32(4, 4, 4, (cti_matrix){a, 4, 1}, (cti_matrix){b, 4, 1}, (cti_matrix){c, 4, 1});
    return memcmp(b, c, sizeof b) == 0;
}

static bool names(void) {
    int64_t scope = ct_scope_open();
    ct_tensor *named = ct_scalar(CT_F32, 1);
    bool good = true;
    for (int k = 0; k < 1000; k++) {
        char name[32];
        snprintf(name, sizeof name, "name %d", k);
        good &= ct_name(named, name) != NULL;
    }
    ct_scope_close(scope);
    return good;
}

/* What the threads of the parent do: locks are held nearly all of the time. */
static bool (*const work[])(void) = {as_expected, small_product, names};
enum { WORKERS = sizeof work / sizeof *work };

static void *worker(void *number) {
    int me = *(int *)number;
    bool good = true;
    ct_threads_set(2);
    busy++;
    while (!done) good &= work[me]();
    ct_cache_clear();
    return good ? number : NULL;
}

static bool child_of_busy_parent(void) { return names() && small_product() && as_expected(); }

static void fork_beside_work(void) {
    pthread_t threads[WORKERS];
    int numbers[WORKERS], good = 0;
    int64_t ended = 0, children = support_scaled(200);
    for (int k = 0; k < WORKERS; k++) {
        numbers[k] = k;
        if (pthread_create(&threads[k], NULL, worker, &numbers[k]) != 0) exit(1);
    }
    while (busy < WORKERS) usleep(1000);
    for (int64_t k = 0; k < children && ended == k; k++) ended += in_child(child_of_busy_parent);
    done = true;
    for (int k = 0; k < WORKERS; k++) {
        void *result;
        good += pthread_join(threads[k], &result) == 0 && result;
    }
    expect(ended == children, "children of a parent whose other threads work");
    expect(good == WORKERS, "these threads go on");
}

int main(int argc, char *argv[]) {
    bool emulated = argc == 2 && strcmp(argv[1], "emulated") == 0;
    expect(in_child(digits_as_ever), "a child of a parent that has evaluated nothing");
    ct_threads_set(2);
    expect(compute(expected), "the parent evaluates");
    expect(in_child(child), "a child");
    if (!emulated) expect(in_child(child_with_thread), "a child with a thread");
    expect(in_child(child_that_forks), "a child that evaluates and forks");
    expect(in_child(child_without_use), "a child that forks before it evaluates");
    expect(ct_threads() == 2 && as_expected() && trains(), "the parent goes on");
    fork_beside_work();
    ct_scope_close(0);
    return failures > 0;
}
