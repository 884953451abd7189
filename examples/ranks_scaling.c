/* The scaling table of `ranks --scaling`: what an exchange and a step of the study's network take
 * in this group, and a model of both for 8 to 4096 ranks; docs/ranks_scaling.md says what it means.
 *
 *     exchange of n bytes on P ranks = o + (4 log2 P - 2) L + 2 (P - 1) / P n b
 *     step                           = compute + one such exchange after another
 *
 * L is the latency of a message, of which a step of the tree has two, there and back; b are the
 * seconds of a byte, o what the engine takes between two exchanges.
 * Invariant: what was measured and what is assumed stand apart. */
#include "ranks_scaling.h"

#include <cotan/cotan.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TIMES = 41, STEPS = 12, SMALL = 1, MIDDLE = 1 << 18, LARGE = 1 << 20 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double times[], int n) {
    qsort(times, (size_t)n, sizeof *times, ascending);
    return times[n / 2];
}

/* --- Exchanges -------------------------------------------------------------------------------- */

/* The last partner on the way up is the first on the way back. */
static double tree_steps(double ranks) { return 2 * log2(ranks) - 1; }

/* Heads alone: a message for each step, one after the other. */
static double time_of_agreement(ct_group *ranks) {
    double times[TIMES];
    for (int i = 0; i < TIMES; i++) {
        double from = now();
        ct_group_agree(ranks, CT_OK);
        times[i] = now() - from;
    }
    return median(times, TIMES);
}

/* Of the sum over all grains of n floats, as the engine does it. */
static double time_of_sum(ct_group *ranks, int64_t n) {
    double times[TIMES];
    for (int i = 0; i < TIMES; i++) {
        int64_t scope = ct_scope_open();
        ct_tensor *row = ct_full(CT_F32, CT_SHAPE(n), 1.0 + i); /* another one each time */
        ct_tensor *partials = ct_mul(ct_replicate(ct_detach(row)), ct_scalar(CT_F32, 2));
        partials = ct_detach(partials);
        ct_tensor *sum = ct_all_sum(partials);
        ct_group_agree(ranks, CT_OK);
        double from = now();
        ct_eval(&sum, 1);
        times[i] = now() - from;
        ct_scope_close(scope);
    }
    return median(times, TIMES);
}

typedef struct {
    double latency, byte; /* seconds of a message, and of a byte */
    const char *name;
} network;

/* --- Steps ------------------------------------------------------------------------------------ */

typedef struct {
    double seconds, exchanges, bytes; /* of a step: bytes of the arrays that are summed */
} step_cost;

static ct_status step(ct_module *model, ct_optimizer *adam, ct_tensor *x, ct_tensor *labels) {
    int64_t scope = ct_scope_open();
    ct_tensor *loss = ct_cross_entropy(ct_logits(model, x, CT_TRAINING), labels);
    ct_status status = ct_optimizer_step(adam, loss, NULL, 0);
    ct_scope_close(scope);
    return status;
}

/* The median step of the study's network on random images in the current group, after one that
 * plans. */
static ct_status measure_step(ct_group *ranks, int64_t rows, bool no_batch_norm, step_cost *cost) {
    ct_seed_set(1);
    int64_t scope = ct_scope_open();
    ct_module *model = ct_digits_cnn_new((ct_digits_cnn_options){.no_batch_norm = no_batch_norm});
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.001));
    ct_tensor *x = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(rows, 28, 28, 1));
    x = ct_varying(x, 0); /* the same ones on each rank */
    ct_tensor *labels = ct_varying(ct_full(CT_I64, CT_SHAPE(rows), 3), 0);
    double times[STEPS];
    ct_status status = step(model, adam, x, labels);
    const ct_group_stats before = ct_group_stats_read(ranks);
    for (int i = 0; i < STEPS && status == CT_OK; i++) {
        double from = now();
        status = step(model, adam, x, labels);
        times[i] = now() - from;
    }
    const ct_group_stats after = ct_group_stats_read(ranks);
    double size = ct_group_size(ranks), share = 2 * (size - 1) / size;
    *cost = (step_cost){.exchanges = (double)(after.exchanges - before.exchanges) / STEPS};
    if (size > 1) cost->bytes = (double)(after.payload - before.payload) / STEPS / share;
    if (status == CT_OK) cost->seconds = median(times, STEPS);
    ct_optimizer_free(adam), ct_module_free(model);
    ct_scope_close(scope);
    return status;
}

/* --- The model -------------------------------------------------------------------------------- */

static double seconds_of(const network *net, double engine, double ranks, const step_cost *cost) {
    return cost->exchanges * (engine + 2 * net->latency * tree_steps(ranks)) +
           2 * (ranks - 1) / ranks * cost->bytes * net->byte;
}

typedef struct {
    network net;
    double engine, ranks, row; /* seconds of a row's computation */
    const step_cost *with, *without;
} model;

/* As it is; with the gradients sent behind the backward pass, which is two thirds of the
 * computation; and where no layer waits for other ranks, so that the gradients are all there is. */
typedef enum { AS_IT_IS, OVERLAPPED, PER_GRAIN } way;

static double efficiency(const model *m, double rows, way how) {
    double compute = m->row * rows, hidden = 0;
    double all = seconds_of(&m->net, m->engine, m->ranks, m->with);
    double gradients = 2 * (m->ranks - 1) / m->ranks * m->without->bytes * m->net.byte;
    if (how == PER_GRAIN) all = gradients = seconds_of(&m->net, m->engine, m->ranks, m->without);
    if (how != AS_IT_IS) hidden = fmin(gradients, compute * 2 / 3);
    return compute / (compute + all - hidden);
}

/* Rows of a rank from which on 90 % of the time is computation. */
static int rows_needed(const model *m, way how) {
    int rows = 1;
    while (rows < 1000000 && efficiency(m, rows, how) < 0.9) rows++;
    return rows;
}

static void print_model(model m, double rows) {
    static const int sizes[] = {8, 64, 512, 4096};
    printf("\n%s: %.3g us, %.3g GB/s\n", m.net.name, 1e6 * m.net.latency, 1e-9 / m.net.byte);
    printf(
        "  ranks   exchanges   efficiency   rows for 90 %%: as it is   overlapped   per grain\n");
    for (int k = 0; k < 4; k++) {
        m.ranks = sizes[k];
        printf("  %5d  %7.2f ms        %3.0f %%                 %8d     %8d    %8d\n", sizes[k],
               1e3 * seconds_of(&m.net, m.engine, m.ranks, m.with),
               100 * efficiency(&m, rows, AS_IT_IS), rows_needed(&m, AS_IT_IS),
               rows_needed(&m, OVERLAPPED), rows_needed(&m, PER_GRAIN));
    }
}

typedef struct {
    double agreement, sums[3];
    step_cost alone, with, without; /* without BatchNorm */
} measured;

static void print_all(ct_group *ranks, int64_t rows, const measured *m) {
    const step_cost *with = &m->with, *without = &m->without;
    const double *sums = m->sums;
    double p = ct_group_size(ranks), steps = tree_steps(p), share = 2 * (p - 1) / p;
    network here = {.latency = m->agreement / steps, .name = "measured here, on one machine"};
    here.byte = (sums[2] - sums[1]) / (4.0 * (LARGE - MIDDLE)) / share;
    double engine = fmax(0, sums[0] - 2 * here.latency * steps);
    printf("measured on %d ranks, medians\n", (int)p);
    printf("  message             %9.2f us\n", 1e6 * here.latency);
    printf("  sum of 1 float      %9.2f us, of it the engine's %.2f us\n", 1e6 * sums[0],
           1e6 * engine);
    printf("  sum of %d floats %7.2f ms\n", MIDDLE, 1e3 * sums[1]);
    printf("  sum of %d floats %6.2f ms: %.2f GB/s\n", LARGE, 1e3 * sums[2], 1e-9 / here.byte);
    printf("a step of the study's network, %lld rows on each rank\n", (long long)rows);
    double compute = m->alone.seconds, modelled = compute + seconds_of(&here, engine, p, with);
    printf("  each by itself    %7.2f ms\n", 1e3 * compute);
    printf(
        "  together          %7.2f ms, %2.0f exchanges of %.1f kB in all; the model says %.2f ms\n",
        1e3 * with->seconds, with->exchanges, 1e-3 * with->bytes, 1e3 * modelled);
    printf("  without BatchNorm %7.2f ms, %2.0f exchanges of %.1f kB in all\n",
           1e3 * without->seconds, without->exchanges, 1e-3 * without->bytes);
    const network nets[] = {here,
                            {25e-6, 1 / 1.1e9, "assumed: TCP over 10 Gbit/s"},
                            {2e-6, 1 / 11e9, "assumed: RDMA over 100 Gbit/s"}};
    printf("\nmodel of more ranks, with %lld rows each\n", (long long)rows);
    for (int k = 0; k < 3; k++) {
        print_model((model){nets[k], engine, p, compute / (double)rows, with, without},
                    (double)rows);
    }
}

/* The step of each rank by itself, at the same time: a group of one follows the same tree. */
static ct_status measure_alone(ct_group *ranks, int64_t rows, step_cost *cost) {
    ct_group *alone = ct_group_alone();
    ct_status status = ct_group_use(alone, (ct_group_options){0});
    if (status == CT_OK) status = measure_step(alone, rows, false, cost);
    ct_group_free(alone);
    ct_status together = ct_group_use(ranks, (ct_group_options){0});
    return status == CT_OK ? together : status;
}

ct_status scaling_print(ct_group *ranks, int64_t rows) {
    int p = ct_group_size(ranks);
    if (p < 2 || (p & (p - 1)) != 0) {
        return ct_fail(CT_ERR_RANGE, "ranks: --scaling needs 2, 4, 8 .. ranks, there are %d", p);
    }
    measured m = {.agreement = time_of_agreement(ranks)};
    static const int64_t floats[] = {SMALL, MIDDLE, LARGE};
    for (int k = 0; k < 3; k++) m.sums[k] = time_of_sum(ranks, floats[k]);
    ct_status status = measure_alone(ranks, rows, &m.alone);
    if (status == CT_OK) status = measure_step(ranks, rows, false, &m.with);
    if (status == CT_OK) status = measure_step(ranks, rows, true, &m.without);
    if (status == CT_OK && ct_group_rank(ranks) == 0) print_all(ranks, rows, &m);
    return status == CT_OK ? ct_error() : status;
}
