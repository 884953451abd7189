/* BatchNorm forward and backward fused by hand: the closed form that derivation has to match.
 * It is a yardstick and no part of the library, so it may be compiled for this one processor.
 * Invariant: each thread owns a range of rows; sums meet at barriers. */
#include "tests/bench/closed_form.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define MOST_CHANNELS 512
#define MOST_THREADS 64

static float partial[MOST_THREADS][4][MOST_CHANNELS];

typedef struct {
    float mean[MOST_CHANNELS], inverse[MOST_CHANNELS];
} statistics;

/* The sum over threads of one partial row, divided by the number of rows. */
static void mean_of(int which, int threads, int64_t channels, float count, float *out) {
    for (int64_t c = 0; c < channels; c++) out[c] = 0;
    for (int t = 0; t < threads; t++)
        for (int64_t c = 0; c < channels; c++) out[c] += partial[t][which][c];
    for (int64_t c = 0; c < channels; c++) out[c] /= count;
}

static void forward(const closed_form *f, int thread, int threads, int64_t first, int64_t last,
                    statistics *s) {
    int64_t n = f->channels;
    float *sum = partial[thread][0], *square = partial[thread][1];
    memset(sum, 0, sizeof(float) * (size_t)n);
    memset(square, 0, sizeof(float) * (size_t)n);
    for (int64_t r = first; r < last; r++) {
        const float *x = f->x + r * n;
#pragma omp simd
        for (int64_t c = 0; c < n; c++) sum[c] += x[c];
    }
#pragma omp barrier
    mean_of(0, threads, n, (float)f->rows, s->mean);
    for (int64_t r = first; r < last; r++) {
        const float *x = f->x + r * n;
#pragma omp simd
        for (int64_t c = 0; c < n; c++) {
            float d = x[c] - s->mean[c];
            square[c] += d * d;
        }
    }
#pragma omp barrier
    mean_of(1, threads, n, (float)f->rows, s->inverse);
    float scale[MOST_CHANNELS], shift[MOST_CHANNELS];
    for (int64_t c = 0; c < n; c++) {
        s->inverse[c] = 1.0f / sqrtf(s->inverse[c] + f->epsilon);
        scale[c] = f->gamma[c] * s->inverse[c];
        shift[c] = f->beta[c] - s->mean[c] * scale[c];
    }
    for (int64_t r = first; r < last; r++) {
        const float *x = f->x + r * n;
        float *y = f->y + r * n;
#pragma omp simd
        for (int64_t c = 0; c < n; c++) y[c] = x[c] * scale[c] + shift[c];
    }
}

static void backward(const closed_form *f, int thread, int threads, int64_t first, int64_t last,
                     const statistics *s) {
    int64_t n = f->channels;
    float *sum = partial[thread][2], *dot = partial[thread][3];
    memset(sum, 0, sizeof(float) * (size_t)n);
    memset(dot, 0, sizeof(float) * (size_t)n);
    for (int64_t r = first; r < last; r++) {
        const float *x = f->x + r * n, *dy = f->dy + r * n;
#pragma omp simd
        for (int64_t c = 0; c < n; c++) {
            sum[c] += dy[c];
            dot[c] += dy[c] * (x[c] - s->mean[c]) * s->inverse[c];
        }
    }
#pragma omp barrier
    float mean_dy[MOST_CHANNELS], slope[MOST_CHANNELS], scale[MOST_CHANNELS];
    mean_of(2, threads, n, (float)f->rows, mean_dy);
    mean_of(3, threads, n, (float)f->rows, slope);
    for (int64_t c = 0; c < n; c++) {
        if (thread == 0) {
            f->dbeta[c] = mean_dy[c] * (float)f->rows;
            f->dgamma[c] = slope[c] * (float)f->rows;
        }
        slope[c] *= s->inverse[c];
        scale[c] = f->gamma[c] * s->inverse[c];
    }
    for (int64_t r = first; r < last; r++) {
        const float *x = f->x + r * n, *dy = f->dy + r * n;
        float *dx = f->dx + r * n;
#pragma omp simd
        for (int64_t c = 0; c < n; c++) {
            dx[c] = scale[c] * (dy[c] - mean_dy[c] - (x[c] - s->mean[c]) * slope[c]);
        }
    }
}

void closed_form_run(const closed_form *f, int threads) {
#pragma omp parallel num_threads(threads)
    {
        statistics s;
        int thread = omp_get_thread_num();
        int64_t first = f->rows * thread / threads, last = f->rows * (thread + 1) / threads;
        forward(f, thread, threads, first, last, &s);
        backward(f, thread, threads, first, last, &s);
    }
}
