/* BatchNorm's derivatives of orders 1 to 5 against truncated Taylor arithmetic: a power series in t
 * goes through the definition in long double, so a derivative is a coefficient times k!. Training
 * and inference, 2, 3 and 32 values per channel, channels first and last, several epsilons.
 * test_batch_norm_orders.c has one case of 60 digits; the field's proofs are in the claims.
 * Invariant: the reference shares no code with the library and derives nothing. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/ops.h"

#include <math.h>

enum { ORDERS = 6, CHANNELS = 2, MOST = 32 };

/* --- Power series ----------------------------------------------------------------------------- */

typedef struct {
    long double c[ORDERS];
} series;

static series line(double at, double slope) { return (series){{at, slope}}; }

static series plus(series a, series b, long double factor) {
    for (int k = 0; k < ORDERS; k++) a.c[k] += factor * b.c[k];
    return a;
}

static series times(series a, series b) {
    series y = {0};
    for (int k = 0; k < ORDERS; k++) {
        for (int i = 0; i <= k; i++) y.c[k] += a.c[i] * b.c[k - i];
    }
    return y;
}

/* r with r^2 a = 1: coefficient k of r^2 a is 0 and holds r[k] in 2 r[0] a[0] r[k] alone. */
static series inverse_root(series a) {
    series r = {{1 / sqrtl(a.c[0])}};
    for (int k = 1; k < ORDERS; k++) {
        r.c[k] = -times(times(r, r), a).c[k] / (2 * r.c[0] * a.c[0]);
    }
    return r;
}

/* --- Cases ------------------------------------------------------------------------------------ */

typedef struct {
    int n; /* values per channel */
    double epsilon;
    bool inference, channels_first;
} test_case;

/* What moves along t: x, gamma, beta, in inference mean and variance: [0] at 0, [1] the slope. */
typedef struct {
    double x[2][CHANNELS][MOST], gamma[2][CHANNELS], beta[2][CHANNELS], mean[2][CHANNELS],
        variance[2][CHANNELS], w[CHANNELS][MOST];
} operands;

static void draw(operands *o, uint64_t seed) {
    test_random r = {seed};
    for (int s = 0; s < 2; s++) {
        for (int c = 0; c < CHANNELS; c++) {
            for (int i = 0; i < MOST; i++) o->x[s][c][i] = random_real(&r, -1.5, 1.5);
            o->gamma[s][c] = random_real(&r, 0.5, 1.5);
            o->beta[s][c] = random_real(&r, -1, 1);
            o->mean[s][c] = random_real(&r, -0.5, 0.5);
            o->variance[s][c] = random_real(&r, 0.5, 1.0);
            for (int i = 0; i < MOST; i++) o->w[c][i] = random_real(&r, -1, 1);
        }
    }
}

static series channel_statistic(const operands *o, test_case of, int c, series *mean) {
    series variance = {0};
    *mean = (series){0};
    if (of.inference) {
        *mean = line(o->mean[0][c], o->mean[1][c]);
        return line(o->variance[0][c], o->variance[1][c]);
    }
    for (int i = 0; i < of.n; i++) {
        *mean = plus(*mean, line(o->x[0][c][i], o->x[1][c][i]), 1.0L / of.n);
    }
    for (int i = 0; i < of.n; i++) {
        series d = plus(line(o->x[0][c][i], o->x[1][c][i]), *mean, -1);
        variance = plus(variance, times(d, d), 1.0L / of.n);
    }
    return variance;
}

/* <BN, w> as a series. */
static series reference(const operands *o, test_case of) {
    series total = {0};
    for (int c = 0; c < CHANNELS; c++) {
        series mean, variance = channel_statistic(o, of, c, &mean);
        series scale = times(inverse_root(plus(variance, line(of.epsilon, 0), 1)),
                             line(o->gamma[0][c], o->gamma[1][c]));
        for (int i = 0; i < of.n; i++) {
            series d = plus(line(o->x[0][c][i], o->x[1][c][i]), mean, -1);
            series y = plus(times(d, scale), line(o->beta[0][c], o->beta[1][c]), 1);
            total = plus(total, y, o->w[c][i]);
        }
    }
    return total;
}

/* --- Derived ---------------------------------------------------------------------------------- */

static ct_tensor *vector(const double of[CHANNELS]) {
    return ct_from(CT_F64, CT_SHAPE(CHANNELS), of);
}

static ct_tensor *moving(const double of[2][CHANNELS], ct_tensor *t) {
    return ct_add(vector(of[0]), ct_mul(t, vector(of[1])));
}

static ct_tensor *matrix(const double of[CHANNELS][MOST], test_case how) {
    double values[CHANNELS * MOST];
    for (int c = 0; c < CHANNELS; c++) {
        for (int i = 0; i < how.n; i++) {
            values[how.channels_first ? c * how.n + i : i * CHANNELS + c] = of[c][i];
        }
    }
    /* Channels first: one image, its pixels behind the channel. */
    return how.channels_first ? ct_from(CT_F64, CT_SHAPE(1, CHANNELS, how.n), values)
                              : ct_from(CT_F64, CT_SHAPE(how.n, CHANNELS), values);
}

static ct_tensor *derived(const operands *o, test_case of, ct_tensor *t) {
    ct_tensor *x = ct_add(matrix(o->x[0], of), ct_mul(t, matrix(o->x[1], of)));
    ct_tensor *gamma = moving(o->gamma, t), *beta = moving(o->beta, t), *y;
    int axis = of.channels_first ? 1 : -1;
    if (of.inference) {
        y = ct_batch_norm_inference(x, gamma, beta, moving(o->mean, t), moving(o->variance, t),
                                    axis, of.epsilon);
    } else {
        y = ct_batch_norm(x, gamma, beta, axis, of.epsilon, NULL, NULL);
    }
    return ct_sum_all(ct_mul(y, matrix(o->w, of)));
}

static double check_case(test_case of, uint64_t seed) {
    operands o;
    draw(&o, seed);
    series expected = reference(&o, of);
    ct_tensor *t = ct_scalar(CT_F64, 0), *phi = derived(&o, of, t);
    double factorial = 1, worst = 0;
    for (int order = 1; order < ORDERS; order++) {
        if (!EXPECT(ct_grad(phi, &t, 1, &phi) == CT_OK, "%s", ct_error_message())) return worst;
        factorial *= order;
        double wanted = (double)(expected.c[order] * factorial), found = ct_item(phi);
        double error = fabs(found - wanted) / fmax(fabs(wanted), 1);
        worst = fmax(worst, error);
        EXPECT(error <= 1e-10, "%s, N = %d, epsilon %g, order %d: %.17g, not %.17g",
               of.inference ? "inference" : "training", of.n, of.epsilon, order, found, wanted);
    }
    return worst;
}

TEST(batch_norm_taylor, orders_1_to_5) {
    static const int sizes[] = {2, 3, 32};
    static const double epsilons[] = {1e-3, 1e-5, 0.1};
    double worst = 0;
    for (int k = 0; k < 3 * 3 * 4; k++) {
        int64_t scope = ct_scope_open();
        test_case of = {.n = sizes[k % 3],
                        .epsilon = epsilons[k / 3 % 3],
                        .inference = k / 9 % 2,
                        .channels_first = k / 18};
        worst = fmax(worst, check_case(of, 100 + (uint64_t)k));
        ct_scope_close(scope);
    }
    printf("worst of 36 cases, orders 1 to 5: %.1e\n", worst);
}
