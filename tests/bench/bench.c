/* Benchmarks: what is measured is in a file per section; this is the program around them.
 * It is no test: it has no bound and cannot fail. Ratios are of medians of interleaved runs.
 * usage: bench [--json FILE] [--threads N] [--only SECTION] [--profile] */
#include "tests/bench/bench.h"

#include "tensor/gemm.h"

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
} sections[] = {{"seed", bench_seed},
                {"batch_norm", bench_batch_norm},
                {"kernels", bench_kernels},
                {"overhead", bench_overhead}};
#define SECTIONS (sizeof sections / sizeof *sections)

static int usage(void) {
    fprintf(stderr, "usage: bench [--json FILE] [--threads N] [--profile] [--only ");
    for (size_t k = 0; k < SECTIONS; k++) fprintf(stderr, "%s%s", k ? "|" : "", sections[k].name);
    fprintf(stderr, "]\n");
    return 2;
}

int main(int argc, char **argv) {
    const char *json = NULL, *only = NULL;
    bool profile = false, known = false;
    for (int i = 1; i < argc; i++) {
        bool value = i + 1 < argc;
        if (strcmp(argv[i], "--profile") == 0) profile = true;
        else if (value && strcmp(argv[i], "--json") == 0) json = argv[++i];
        else if (value && strcmp(argv[i], "--only") == 0) only = argv[++i];
        else if (value && strcmp(argv[i], "--threads") == 0) {
            bench_require(ct_threads_set(atoi(argv[++i])) == CT_OK);
        } else return usage();
    }
    for (size_t k = 0; k < SECTIONS && only; k++) known |= strcmp(only, sections[k].name) == 0;
    if (only && !known) return usage();
    printf("%s\n", ct_info());
    if (profile) bench_seed_profile();
    json_t *results = json_object();
    json_object_set_new(results, "info", json_string(ct_info()));
    for (size_t k = 0; k < SECTIONS && !profile; k++) {
        if (!only || strcmp(only, sections[k].name) == 0) sections[k].run(results);
    }
    bool written = !json || json_dump_file(results, json, JSON_INDENT(2) | JSON_SORT_KEYS) == 0;
    json_decref(results);
    if (!written) fprintf(stderr, "bench: cannot write %s\n", json);
    return written ? 0 : 4;
}
