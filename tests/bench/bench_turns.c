/* Two builds side by side: a process of each, which take turns, five steps at a time, one thread.
 * It compares no results; that is what tests do.
 * Invariant: nothing but one of the two computes at any time, and who begins alternates. */
#include "tests/bench/bench.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STEPS 5

/* --- The process that computes ---------------------------------------------------------------- */

static ct_module *model;
static ct_optimizer *adam;
static ct_tensor *images, *labels, *x, *dy, *gamma_, *beta_, *weights[BENCH_TRANSFORMER];

static void train(void) {
    ct_tensor *loss = ct_cross_entropy(ct_logits(model, images, CT_TRAINING), labels);
    bench_require(ct_optimizer_step(adam, loss, NULL, 0) == CT_OK);
}

static void begin_training(ct_module *made, int64_t batch, int64_t size, int64_t channels) {
    model = made;
    adam = ct_adam_new(model, ct_adam_defaults(1e-3));
    images = bench_uniform(CT_SHAPE(batch, size, size, channels));
    int64_t digits[32];
    for (int i = 0; i < 32; i++) digits[i] = i % 10;
    labels = ct_keep(ct_from(CT_I64, CT_SHAPE(batch), digits));
    bench_require(adam && labels);
}

static void begin_with(void) { begin_training(bench_seed_model(true), 32, 28, 1); }

static void begin_without(void) { begin_training(bench_seed_model(false), 32, 28, 1); }

static void begin_resnet18(void) { begin_training(bench_resnet18(), 2, 32, 3); }

static void transform(void) { bench_transformer_pass(x, weights); }

/* 8 sequences of 64 tokens. */
static void begin_transformer(void) {
    enum { WIDTH = 128 };
    x = bench_uniform(CT_SHAPE(8, 64, WIDTH));
    bench_transformer_weights(WIDTH, weights);
}

static void normalize(void) {
    ct_tensor *out[4];
    out[3] = ct_batch_norm(x, gamma_, beta_, -1, 1e-3, NULL, NULL);
    bench_require(ct_vjp(out[3], dy, (ct_tensor *[]){x, gamma_, beta_}, 3, out) == CT_OK);
    bench_require(ct_eval(out, 4) == CT_OK);
}

static void begin_normalizing(int64_t rows, int64_t channels) {
    x = bench_uniform(CT_SHAPE(rows, channels));
    dy = bench_uniform(CT_SHAPE(rows, channels));
    gamma_ = bench_uniform(CT_SHAPE(channels));
    beta_ = bench_uniform(CT_SHAPE(channels));
}

static void begin_wide(void) { begin_normalizing(21632, 32); }

static void begin_deep(void) { begin_normalizing(3872, 64); }

static const struct {
    const char *name;
    void (*begin)(void), (*step)(void);
} works[] = {{"step with BatchNorm", begin_with, train},
             {"step without", begin_without, train},
             {"BatchNorm 21632 x 32", begin_wide, normalize},
             {"BatchNorm 3872 x 64", begin_deep, normalize},
             {"ResNet-18, 2 images", begin_resnet18, train},
             {"transformer's block", begin_transformer, transform}};
enum { WORKS = sizeof works / sizeof *works };

static double seconds_of(void (*step)(void), int steps) {
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (int k = 0; k < steps; k++) {
        int64_t scope = ct_scope_open();
        step();
        ct_scope_close(scope);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    return (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
}

int bench_serve(int64_t work) {
    bench_require(ct_threads_set(1) == CT_OK);
    if (work < 0 || work >= WORKS) return 2;
    ct_seed_set(1);
    works[work].begin();
    ct_scope_close(0);
    seconds_of(works[work].step, 2 * STEPS);
    for (char turn; read(STDIN_FILENO, &turn, 1) == 1;) {
        double seconds = seconds_of(works[work].step, STEPS);
        if (write(STDOUT_FILENO, &seconds, sizeof seconds) != sizeof seconds) return 1;
    }
    return 0;
}

/* --- The process that compares ---------------------------------------------------------------- */

typedef struct {
    pid_t pid;
    int to, from;
} server;

/* No process keeps the other's pipe open: its end is how that one is told to go. */
static server server_start(const char *program, int work) {
    int down[2], up[2];
    char number[16];
    snprintf(number, sizeof number, "%d", work);
    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0) return (server){.pid = -1};
    server s = {fork(), down[1], up[0]};
    if (s.pid == 0) {
        dup2(down[0], STDIN_FILENO);
        dup2(up[1], STDOUT_FILENO);
        execl(program, program, "--serve", number, (char *)NULL);
        perror(program);
        _exit(127);
    }
    close(down[0]), close(up[1]);
    return s;
}

/* Seconds of a turn; below 0 when the process has gone. */
static double take_turn(server s) {
    double seconds;
    bool asked = write(s.to, "t", 1) == 1;
    return asked && read(s.from, &seconds, sizeof seconds) == sizeof seconds ? seconds : -1;
}

static void server_end(server s) {
    if (s.pid < 0) return;
    close(s.to), close(s.from);
    waitpid(s.pid, NULL, 0);
}

/* The median of b / a, and in *ms that of a step of a; below 0 when a process failed. */
static double ratio_of(const char *a, const char *b, int work, int pairs, double *ms) {
    server first = server_start(a, work), second = server_start(b, work);
    double *ratios = calloc((size_t)pairs, sizeof *ratios);
    double *times = calloc((size_t)pairs, sizeof *times), result = -1;
    bool fine = ratios && times && first.pid > 0 && second.pid > 0;
    for (int k = -1; k < pairs && fine; k++) { /* the first turns do not count */
        double u = k % 2 ? take_turn(first) : 0, v = take_turn(second);
        if (k % 2 == 0) u = take_turn(first);
        fine = u > 0 && v > 0;
        if (k >= 0) ratios[k] = v / u, times[k] = u;
    }
    server_end(first), server_end(second);
    if (fine) {
        result = bench_median(ratios, pairs);
        *ms = bench_median(times, pairs) / STEPS * 1e3;
    }
    free(ratios), free(times);
    return result;
}

int bench_compare(const char *before, const char *now, int pairs) {
    printf("Medians of %d pairs of turns of %d steps, one thread, processor time\n", pairs, STEPS);
    printf("%-22s %12s %14s %14s\n", "", "before, ms", "now / before", "before / same");
    for (int work = 0; work < WORKS; work++) {
        double ms = 0, same = ratio_of(before, before, work, pairs, &ms);
        double ratio = ratio_of(before, now, work, pairs, &ms);
        if (same < 0 || ratio < 0) {
            fprintf(stderr, "bench: '%s --serve %d' gave no time\n", same < 0 ? before : now, work);
            return 1;
        }
        printf("%-22s %12.3f %14.3f %14.3f\n", works[work].name, ms, ratio, same);
        fflush(stdout);
    }
    return 0;
}
