/* Benchmarks: what is measured is in a file per section; this is the program around them.
 * It is no test: it has no bound and cannot fail. Ratios are of medians of interleaved runs.
 * Invariant: what a section measured is in the JSON file before the next one begins. */
#include "tests/bench/bench.h"

#include "examples/options.h"
#include "examples/program.h"
#include "tensor/base/gemm.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, by_value);
    return values[n / 2];
}

void bench_require(bool condition) {
    if (condition) return;
    fprintf(stderr, "bench: %s\n", ct_error() ? ct_error_message() : "out of memory");
    exit(1);
}

float *bench_floats(int64_t n) {
    size_t line = 64, bytes = (sizeof(float) * (size_t)n + line - 1) / line * line;
    float *data = aligned_alloc(line, bytes);
    bench_require(data != NULL);
    for (int64_t i = 0; i < n; i++) data[i] = (float)drand48();
    return data;
}

void bench_put(json_t *results, const char *key, double value) {
    json_object_set_new(results, key, json_real(value));
}

double bench_peak(void) {
    enum { SIZE = 768 };
    float *a = bench_floats(SIZE * SIZE), *b = bench_floats(SIZE * SIZE);
    float *c = bench_floats(SIZE * SIZE);
    double best = 0;
    for (int k = 0; k < 10; k++) {
        double start = bench_now();
        cti_gemm_f32(SIZE, SIZE, SIZE, (cti_matrix){a, SIZE, 1}, (cti_matrix){b, SIZE, 1},
                     (cti_matrix){c, SIZE, 1});
        double speed = 2e-9 * SIZE * SIZE * SIZE / (bench_now() - start);
        if (speed > best) best = speed;
    }
    free(a), free(b), free(c);
    return best;
}

static const struct {
    const char *name;
    void (*run)(json_t *results);
} sections[] = {{"seed", bench_seed},       {"batch_norm", bench_batch_norm},
                {"kernels", bench_kernels}, {"overhead", bench_overhead},
                {"lstm", bench_lstm},       {"training", bench_training},
                {"ranks", bench_ranks}};
#define SECTIONS (sizeof sections / sizeof *sections)

typedef struct {
    const char *json, *only, *against, *rank;
    int64_t threads, serve, pairs;
    bool profile;
} bench_options;

static int run(const bench_options *o, const char *program) {
    if (o->rank) return bench_rank(o->rank);
    if (o->serve >= 0) return bench_serve(o->serve);
    if (o->against) return bench_compare(o->against, program, (int)o->pairs);
    if (o->threads) bench_require(ct_threads_set((int)o->threads) == CT_OK);
    printf("%s\n", ct_info());
    if (o->profile) bench_seed_profile();
    json_t *results = json_object();
    json_object_set_new(results, "info", json_string(ct_info()));
    const size_t format = JSON_INDENT(2) | JSON_SORT_KEYS;
    bool written = true;
    for (size_t k = 0; k < SECTIONS && !o->profile; k++) {
        if (o->only && strcmp(o->only, sections[k].name) != 0) continue;
        sections[k].run(results);
        fflush(stdout);
        if (o->json) written = json_dump_file(results, o->json, format) == 0;
    }
    json_decref(results);
    if (!written) fprintf(stderr, "bench: cannot write %s\n", show(o->json).text);
    return written ? 0 : EXIT_IO;
}

int main(int argc, char **argv) {
    bench_options o = {.serve = -1, .pairs = 200};
    const option list[] = {
        {"--json", "FILE", "write the figures there, too", OPTION_TEXT, &o.json, 0, 0},
        {"--threads", "N", "default: the number of processors", OPTION_INTEGER, &o.threads, 1, 256},
        {"--only", "seed|batch_norm|kernels|overhead|lstm|training|ranks", "one section",
         OPTION_CHOICE, &o.only, 0, 0},
        {"--profile", NULL, "where a training step's time goes, pass by pass", OPTION_FLAG,
         &o.profile, 0, 0},
        {"--against", "PROGRAM", "compare with the benchmarks of another build", OPTION_TEXT,
         &o.against, 0, 0},
        {"--pairs", "N", "turns of each with --against, default 200", OPTION_INTEGER, &o.pairs, 1,
         1 << 20},
        {"--serve", "WORK", "be one of the two processes that --against starts", OPTION_INTEGER,
         &o.serve, 0, 100},
        {"--rank", "WHICH", "be one of the ranks that the section of that name starts", OPTION_TEXT,
         &o.rank, 0, 0},
    };
    int usage = options_parse("bench", "Measures cotan; tests/bench/README.md says what.", list,
                              (int)(sizeof list / sizeof *list), argc, argv);
    if (usage >= 0) return usage;
    program_begin();
    return program_end("bench", run(&o, argv[0]));
}
