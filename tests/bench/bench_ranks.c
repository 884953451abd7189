/* What ranks cost: the study's training step of a group of one beside no group, in one process; and
 * of two ranks of one thread, processes joined by a socket pair, beside one rank of two threads.
 * That the bits are the same is what tests see.
 * Invariant: but one of the two that are compared, all sleep, and who begins alternates. */
#include "tests/bench/bench.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of a turn of processes, and how many pairs of turns: a short turn measures how long a process
 * takes to wake up. Within a process turns are short and many, as the machine's speed changes. */
enum { STEPS = 40, PAIRS = 24, OWN_STEPS = 10, OWN_PAIRS = 96 };

typedef struct {
    ct_source *source;
    bench_seed_training training;
} work;

static work work_new(int64_t batch) {
    ct_dataset *data = ct_dataset_digits(10 * batch, 0, 0);
    bench_require(data != NULL);
    work w = {.source = ct_batches_new(data->train_images, data->train_labels,
                                       (ct_batches_options){.size = batch, .divide_by = 255}),
              .training = bench_seed_new(true)};
    bench_require(w.source != NULL);
    ct_dataset_free(data);
    return w;
}

static void work_free(work w) {
    ct_source_free(w.source);
    bench_seed_free(w.training);
}

/* --- A group of one --------------------------------------------------------------------------- */

static double turn(ct_group *group, work w) {
    if (group) bench_require(ct_group_use(group, (ct_group_options){0}) == CT_OK);
    else ct_group_use_none();
    return bench_seed_steps(w.training, w.source, OWN_STEPS);
}

static void bench_one(json_t *results, int64_t batch) {
    ct_group *group = ct_group_alone();
    work of_one = work_new(batch), of_none = work_new(batch);
    double *ratios = calloc(OWN_PAIRS, sizeof *ratios);
    double *times = calloc(OWN_PAIRS, sizeof *times);
    bench_require(group && ratios && times);
    for (int k = -2; k < OWN_PAIRS; k++) { /* the first turns do not count */
        double one = k % 2 ? turn(group, of_one) : 0, none = turn(NULL, of_none);
        if (k % 2 == 0) one = turn(group, of_one);
        if (k >= 0) ratios[k] = one / none, times[k] = none;
    }
    ct_group_use_none();
    double ratio = bench_median(ratios, OWN_PAIRS), ms = 1e3 * bench_median(times, OWN_PAIRS);
    printf("batch %3lld: no group %6.2f ms/step, a group of one / no group         %.3f\n",
           (long long)batch, ms, ratio);
    if (batch == 32) bench_put(results, "ranks.one_over_none", ratio);
    work_free(of_one), work_free(of_none);
    ct_group_free(group);
    free(ratios), free(times);
}

/* --- Processes that are ranks ----------------------------------------------------------------- */

int bench_rank(const char *description) {
    int rank, size, socket, batch;
    if (sscanf(description, "%d/%d:%d:%d", &rank, &size, &socket, &batch) != 4) return 2;
    bench_require(ct_threads_set(3 - size) == CT_OK);
    ct_group *group = size == 1 ? ct_group_alone()
                                : ct_group_sockets(rank, size, (int[]){socket, socket});
    bench_require(ct_group_use(group, (ct_group_options){0}) == CT_OK);
    work w = work_new(batch);
    for (char turn; read(STDIN_FILENO, &turn, 1) == 1;) {
        bench_seed_steps(w.training, w.source, STEPS);
        if (write(STDOUT_FILENO, &turn, 1) != 1) return 1;
    }
    work_free(w);
    ct_group_free(group);
    return 0;
}

typedef struct {
    pid_t pid;
    int to, from;
} process;

/* The socket is inherited; no process keeps another's pipe open. */
static process process_start(int rank, int size, int socket, int64_t batch) {
    int down[2], up[2];
    char text[64];
    snprintf(text, sizeof text, "%d/%d:%d:%lld", rank, size, socket, (long long)batch);
    bench_require(pipe2(down, O_CLOEXEC) == 0 && pipe2(up, O_CLOEXEC) == 0);
    process p = {fork(), down[1], up[0]};
    if (p.pid == 0) {
        dup2(down[0], STDIN_FILENO);
        dup2(up[1], STDOUT_FILENO);
        if (size > 1) fcntl(socket, F_SETFD, 0);
        execl("/proc/self/exe", "bench", "--rank", text, (char *)NULL);
        _exit(127);
    }
    close(down[0]), close(up[1]);
    return p;
}

/* All hear that it is over before one is waited for, as ranks leave together. */
static void processes_end(const process p[], int n) {
    for (int i = 0; i < n; i++) close(p[i].to), close(p[i].from);
    for (int i = 0; i < n; i++) waitpid(p[i].pid, NULL, 0);
}

/* Seconds until all of them have made their steps. */
static double take_turn(const process processes[], int n) {
    char byte = 't';
    double start = bench_now();
    for (int i = 0; i < n; i++) bench_require(write(processes[i].to, &byte, 1) == 1);
    for (int i = 0; i < n; i++) bench_require(read(processes[i].from, &byte, 1) == 1);
    return (bench_now() - start) / STEPS;
}

static void bench_two(json_t *results, int64_t batch) {
    int pair[2];
    bench_require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    process one = process_start(0, 1, -1, batch);
    process two[] = {process_start(0, 2, pair[0], batch), process_start(1, 2, pair[1], batch)};
    close(pair[0]), close(pair[1]);
    double *ratios = calloc(PAIRS, sizeof *ratios);
    double *times = calloc(PAIRS, sizeof *times);
    bench_require(ratios && times);
    for (int k = -2; k < PAIRS; k++) {
        double a = k % 2 ? take_turn(&one, 1) : 0, b = take_turn(two, 2);
        if (k % 2 == 0) a = take_turn(&one, 1);
        if (k >= 0) ratios[k] = b / a, times[k] = a;
    }
    double ratio = bench_median(ratios, PAIRS), ms = 1e3 * bench_median(times, PAIRS);
    printf("batch %3lld: one rank %6.2f ms/step, two of one thread / one of two    %.3f\n",
           (long long)batch, ms, ratio);
    if (batch == 32) bench_put(results, "ranks.two_over_threads", ratio);
    processes_end(&one, 1), processes_end(two, 2);
    free(ratios), free(times);
}

void bench_ranks(json_t *results) {
    printf("\nRanks: the study's step with BatchNorm, medians of pairs of turns: %d of %d steps,\n"
           "of processes %d of %d\n",
           OWN_PAIRS, OWN_STEPS, PAIRS, STEPS);
    for (int64_t batch = 32; batch <= 128; batch *= 4) bench_one(results, batch);
    for (int64_t batch = 32; batch <= 128; batch *= 4) bench_two(results, batch);
}
