/* BatchNorm by hand: what the derived gradient is measured against. */
#ifndef COTAN_BENCH_CLOSED_FORM_H
#define COTAN_BENCH_CLOSED_FORM_H

#include <stdint.h>

typedef struct {
    int64_t rows, channels; /* channels <= 512 */
    const float *x, *gamma, *beta, *dy;
    float *y, *dx, *dgamma, *dbeta;
    float epsilon;
} closed_form;

/* Forward (two-pass variance), then backward by the closed form, on `threads` threads. */
void closed_form_run(const closed_form *f, int threads);

#endif
