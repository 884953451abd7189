/* BatchNorm's derivatives to order 5 against a reference of 60 digits: d^k/dt^k of
 * <BN(x + t v, gamma + t a, beta + t b), w> at t = 0. And why nothing less will do: the usual
 * shortcut, a variance around a detached mean, is right at order 1 and wrong from order 2 on. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/gradcheck.h"
#include "tests/reference/batch_norm_orders.h"

#include <math.h>

enum { ROWS = 6, CHANNELS = 3, ORDERS = 6 };

typedef ct_tensor *normalization(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta);

static ct_tensor *derived(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta) {
    return ct_batch_norm(x, gamma, beta, -1, 1e-3, NULL, NULL);
}

/* The shortcut: one pass over x less in the gradient. */
static ct_tensor *detached_mean(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta) {
    ct_tensor *mean = ct_mean_keep(x, CT_AXES(0));
    ct_tensor *around = ct_sub(x, ct_stop_gradient(mean));
    ct_tensor *variance = ct_mean_keep(ct_square(around), CT_AXES(0));
    ct_tensor *scale = ct_rsqrt(ct_offset(variance, 1e-3));
    return ct_add(ct_mul(ct_mul(ct_sub(x, mean), scale), gamma), beta);
}

static ct_tensor *matrix(const double *values) {
    return ct_from(CT_F64, CT_SHAPE(ROWS, CHANNELS), values);
}

static ct_tensor *vector(const double *values) {
    return ct_from(CT_F64, CT_SHAPE(CHANNELS), values);
}

/* start + t direction */
static ct_tensor *moved(ct_tensor *start, ct_tensor *t, ct_tensor *direction) {
    return ct_add(start, ct_mul(t, direction));
}

/* The derivatives 0 to 5 in t, by deriving again and again. */
static void derivatives(normalization *f, bool all_move, double out[ORDERS]) {
    static const double still[CHANNELS];
    ct_tensor *t = ct_scalar(CT_F64, 0), *dt;
    ct_tensor *x = moved(matrix(orders_x), t, matrix(orders_v));
    ct_tensor *gamma = moved(vector(orders_gamma), t, vector(all_move ? orders_a : still));
    ct_tensor *beta = moved(vector(orders_beta), t, vector(all_move ? orders_b : still));
    ct_tensor *phi = ct_sum_all(ct_mul(f(x, gamma, beta), matrix(orders_w)));
    for (int order = 0; order < ORDERS; order++) {
        out[order] = ct_item(phi);
        EXPECT(ct_grad(phi, &t, 1, &dt) == CT_OK, "%s", ct_error_message());
        EXPECT(ct_order_of(phi) == order);
        phi = dt;
    }
}

TEST(batch_norm_orders, derived_is_right_to_order_5) {
    for (int all = 0; all < 2; all++) {
        const double *expected = all ? orders_all_move : orders_x_moves;
        double found[ORDERS];
        derivatives(derived, all, found);
        for (int order = 0; order < ORDERS; order++) {
            EXPECT(near(found[order], expected[order], 0, 1e-12), "order %d: %.17g, not %.17g",
                   order, found[order], expected[order]);
        }
    }
}

TEST(batch_norm_orders, a_detached_mean_is_wrong_from_order_2) {
    double found[ORDERS];
    derivatives(detached_mean, false, found);
    EXPECT(near(found[0], orders_x_moves[0], 0, 1e-13));
    EXPECT(near(found[1], orders_x_moves[1], 0, 1e-13), "%.17g", found[1]);
    for (int order = 2; order < ORDERS; order++) {
        EXPECT(!near(found[order], orders_x_moves[order], 0, 0.01), "order %d: %.17g", order,
               found[order]);
    }
}

static ct_tensor *check(void *context, ct_tensor *const x[], int64_t n) {
    (void)n;
    return (*(normalization **)context)(x[0], x[1], x[2]);
}

/* The checker finds it too, at order 2 and not before. */
TEST(batch_norm_orders, the_checker_tells_them_apart) {
    ct_tensor *x[] = {matrix(orders_x), vector(orders_gamma), vector(orders_beta)};
    normalization *const functions[] = {derived, detached_mean};
    for (int f = 0; f < 2; f++) {
        for (int order = 1; order <= 2; order++) {
            normalization *function = functions[f];
            ct_gradcheck_report report;
            ct_gradcheck_options options = {.order = order};
            EXPECT(ct_gradcheck(check, &function, x, 3, options, &report) == CT_OK);
            EXPECT(report.passed == (f == 0 || order == 1), "function %d, order %d", f, order);
        }
    }
}
