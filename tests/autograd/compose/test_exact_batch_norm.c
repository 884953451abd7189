/* The gradient of ct_batch_norm against the closed form without a tolerance, in CT_P61: of the
 * first and of the second order, and wrong formulas, which differ. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "tensor/runtime.h"

enum { X, GAMMA, BETA, DY, DD, INPUTS };
enum { DRAWS = 200, GRADIENTS = 3 };

#define EPSILON 1e-3

typedef struct {
    ct_tensor *in[INPUTS], *y;
} example;

static ct_tensor *drawn(test_random *r, ct_shape shape) {
    int64_t n = ct_shape_numel(shape);
    ct_p61 elements[64];
    for (int64_t i = 0; i < n; i++) {
        int64_t k = random_between(r, -((int64_t)1 << 41), (int64_t)1 << 41);
        elements[i] = ct_p61_from((double)k * 0x1p-40);
    }
    return ct_from(CT_P61, shape, elements);
}

static bool has_values(ct_tensor *t) {
    const ct_p61 *elements = ct_data_p61(t);
    bool all = elements != NULL;
    for (int64_t i = 0; all && i < ct_numel(t); i++) all = ct_p61_has_value(elements[i]);
    return all;
}

/* Draws until every channel's variance has a root. */
static example example_new(test_random *r, ct_shape shape) {
    ct_shape channels = CT_SHAPE(shape.dims[shape.rank - 1]);
    example e;
    for (int tries = 0; tries < 1000; tries++) {
        for (int i = 0; i < INPUTS; i++) {
            e.in[i] = drawn(r, i == GAMMA || i == BETA ? channels : shape);
        }
        e.y = ct_batch_norm(e.in[X], e.in[GAMMA], e.in[BETA], -1, EPSILON, NULL, NULL);
        if (has_values(e.y)) return e;
    }
    REQUIRE(false, "no roots");
    return e;
}

/* The closed form, as ops: gamma r (dy - mean dy - n mean(dy n)) for the normalized n. */
typedef enum { RIGHT, NO_MEAN, NO_VARIANCE, ONE_LESS, R_SQUARED, NO_GAMMA, MUTANTS } formula;

static void closed_form(const example *e, formula f, ct_tensor *out[GRADIENTS]) {
    ct_tensor *x = e->in[X], *dy = e->in[DY];
    ct_axes rows = {.count = ct_shape_of(x).rank - 1, .axis = {0, 1, 2}};
    int64_t n = ct_numel(x) / ct_numel(e->in[GAMMA]);
    ct_tensor *centred = ct_sub(x, ct_mean_keep(x, rows));
    ct_tensor *variance = ct_mean_keep(ct_square(centred), rows);
    ct_tensor *root = ct_rsqrt(ct_offset(variance, EPSILON)), *normal = ct_mul(centred, root);
    double share = 1.0 / (double)(f == ONE_LESS ? n - 1 : n);
    ct_tensor *mean = ct_scale(ct_sum_keep(dy, rows), f == NO_MEAN ? 0 : share);
    ct_tensor *slope = ct_scale(ct_sum_keep(ct_mul(dy, normal), rows),
                                f == NO_VARIANCE ? 0 : share);
    ct_tensor *dx = ct_sub(ct_sub(dy, mean), ct_mul(normal, slope));
    dx = ct_mul(dx, f == R_SQUARED ? ct_square(root) : root);
    out[0] = f == NO_GAMMA ? dx : ct_mul(dx, e->in[GAMMA]);
    out[1] = ct_sum(ct_mul(dy, normal), rows);
    out[2] = ct_sum(dy, rows);
}

static bool equal(ct_tensor *a, ct_tensor *b) {
    const ct_p61 *p = ct_data_p61(a), *q = ct_data_p61(b);
    bool same = p && q && ct_shape_equal(ct_shape_of(a), ct_shape_of(b));
    for (int64_t i = 0; same && i < ct_numel(a); i++) {
        same = p[i].field == q[i].field && ct_p61_has_value(p[i]);
    }
    return same;
}

static bool all_equal(ct_tensor *const a[], ct_tensor *const b[], int n) {
    bool same = true;
    for (int i = 0; i < n; i++) same &= equal(a[i], b[i]);
    return same;
}

static void expect_exact(ct_shape shape) {
    test_random r = {support_seed(21)};
    for (int64_t k = 0; k < support_scaled(DRAWS); k++) {
        int64_t scope = ct_scope_open();
        example e = example_new(&r, shape);
        ct_tensor *derived[GRADIENTS], *closed[GRADIENTS];
        OK(ct_vjp(e.y, e.in[DY], e.in, GRADIENTS, derived));
        closed_form(&e, RIGHT, closed);
        EXPECT(all_equal(derived, closed, GRADIENTS), "draw %lld", (long long)k);
        for (int f = RIGHT + 1; f < MUTANTS; f++) {
            closed_form(&e, (formula)f, closed);
            EXPECT(!equal(derived[0], closed[0]), "draw %lld, formula %d", (long long)k, f);
        }
        ct_scope_close(scope);
    }
}

TEST(exact_batch_norm, is_the_closed_form) {
    expect_exact(CT_SHAPE(3, 2));
    expect_exact(CT_SHAPE(2, 3, 2, 2));
}

/* Of <dx, dd> by x, gamma and dy. */
static void second(const example *e, ct_tensor *dx, ct_tensor *out[3]) {
    ct_tensor *by[] = {e->in[X], e->in[GAMMA], e->in[DY]};
    OK(ct_vjp(dx, e->in[DD], by, 3, out));
}

TEST(exact_batch_norm, second_derivative_is_that_of_the_closed_form) {
    test_random r = {support_seed(22)};
    for (int64_t k = 0; k < support_scaled(DRAWS / 4); k++) {
        int64_t scope = ct_scope_open();
        example e = example_new(&r, CT_SHAPE(3, 2));
        ct_tensor *derived[GRADIENTS], *closed[GRADIENTS], *a[3], *b[3];
        OK(ct_vjp(e.y, e.in[DY], e.in, GRADIENTS, derived));
        closed_form(&e, RIGHT, closed);
        second(&e, derived[0], a);
        second(&e, closed[0], b);
        EXPECT(all_equal(a, b, 3), "draw %lld", (long long)k);
        closed_form(&e, NO_MEAN, closed);
        second(&e, closed[0], b);
        EXPECT(!equal(a[0], b[0]), "draw %lld", (long long)k);
        ct_scope_close(scope);
    }
}

/* A mean that is not differentiated through gives the right first derivative, as the sum of what is
 * centred is 0, and a wrong second one. */
TEST(exact_batch_norm, a_detached_mean_is_found_by_the_second_derivative) {
    test_random r = {support_seed(23)};
    for (int64_t k = 0; k < support_scaled(DRAWS / 4); k++) {
        int64_t scope = ct_scope_open();
        example e = example_new(&r, CT_SHAPE(3, 2));
        ct_axes rows = CT_AXES(0);
        ct_tensor *mean = ct_mean_keep(e.in[X], rows);
        ct_tensor *apart = ct_sub(e.in[X], ct_stop_gradient(mean));
        ct_tensor *variance = ct_mean_keep(ct_square(apart), rows);
        ct_tensor *y = ct_mul(ct_sub(e.in[X], mean), ct_rsqrt(ct_offset(variance, EPSILON)));
        y = ct_add(ct_mul(y, e.in[GAMMA]), e.in[BETA]);
        ct_tensor *right[GRADIENTS], *detached[GRADIENTS], *a[3], *b[3];
        OK(ct_vjp(e.y, e.in[DY], e.in, GRADIENTS, right));
        OK(ct_vjp(y, e.in[DY], e.in, GRADIENTS, detached));
        EXPECT(all_equal(right, detached, GRADIENTS), "draw %lld", (long long)k);
        second(&e, right[0], a);
        second(&e, detached[0], b);
        EXPECT(!equal(a[0], b[0]), "draw %lld", (long long)k);
        ct_scope_close(scope);
    }
}
