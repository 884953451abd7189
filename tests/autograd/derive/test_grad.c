/* ct_grad, ct_vjp, ct_jvp and ct_hvp: their contracts. The derivatives of single ops are the
 * business of test_primitives.c. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "tensor/graph/node.h"
#include "tensor/simplify.h"

#include <math.h>
#include <string.h>

static ct_tensor *vector(double a, double b, double c) {
    return ct_from(CT_F64, CT_SHAPE(3), (double[]){a, b, c});
}

TEST(grad, of_a_polynomial_at_every_order) {
    ct_tensor *x = ct_scalar(CT_F64, 1.5), *y = ct_mul(ct_mul(x, x), ct_mul(x, x));
    const double expected[] = {4 * 1.5 * 1.5 * 1.5, 12 * 1.5 * 1.5, 24 * 1.5, 24, 0, 0};
    for (int order = 0; order < 6; order++) {
        ct_tensor *dx;
        EXPECT(ct_grad(y, &x, 1, &dx) == CT_OK && fabs(ct_item(dx) - expected[order]) < 1e-12);
        y = dx;
    }
}

TEST(grad, of_what_does_not_depend_is_zero) {
    ct_tensor *x = vector(1, 2, 3), *z = vector(4, 5, 6), *y = ct_sum_all(ct_exp(x)), *g[2];
    EXPECT(ct_grad(y, (ct_tensor *[]){x, z}, 2, g) == CT_OK);
    EXPECT(ct_shape_equal(ct_shape_of(g[1]), CT_SHAPE(3)) && element(g[1], 2) == 0);
    EXPECT(near(element(g[0], 1), exp(2), 0, 1e-15));
}

TEST(grad, with_respect_to_a_node_inside) {
    ct_tensor *x = ct_scalar(CT_F64, 2), *h = ct_mul(x, x), *y = ct_mul(h, h), *g[2];
    EXPECT(ct_grad(y, (ct_tensor *[]){h, x}, 2, g) == CT_OK);
    EXPECT(ct_item(g[0]) == 8 && ct_item(g[1]) == 32);
}

TEST(grad, of_y_itself_is_one) {
    ct_tensor *x = ct_scalar(CT_F64, 2), *g;
    EXPECT(ct_grad(x, &x, 1, &g) == CT_OK && ct_item(g) == 1);
}

TEST(grad, sums_over_all_paths) {
    ct_tensor *x = ct_scalar(CT_F64, 3), *y = ct_scalar(CT_F64, 0), *g;
    for (int i = 0; i < 10; i++) y = ct_add(y, ct_mul(x, x));
    EXPECT(ct_grad(y, &x, 1, &g) == CT_OK && ct_item(g) == 60);
}

TEST(grad, stops_where_told) {
    ct_tensor *x = ct_scalar(CT_F64, 3), *g;
    EXPECT(ct_grad(ct_mul(ct_stop_gradient(x), x), &x, 1, &g) == CT_OK && ct_item(g) == 3);
    EXPECT(ct_grad(ct_mul(ct_detach(x), x), &x, 1, &g) == CT_OK && ct_item(g) == 3);
}

TEST(grad, after_evaluation_still_has_history) {
    ct_tensor *x = ct_scalar(CT_F64, 3), *y = ct_mul(x, x), *g;
    EXPECT(ct_item(y) == 9);
    EXPECT(ct_grad(y, &x, 1, &g) == CT_OK && ct_item(g) == 6);
}

TEST(grad, marks_order_and_module) {
    ct_path_push("layer");
    ct_tensor *x = ct_scalar(CT_F64, 3), *y = ct_exp(x), *g, *h;
    ct_path_pop();
    EXPECT(ct_grad(y, &x, 1, &g) == CT_OK && ct_grad(g, &x, 1, &h) == CT_OK);
    EXPECT(ct_order_of(y) == 0 && ct_order_of(g) == 1 && ct_order_of(h) == 2);
    EXPECT(strcmp(ct_path_of(g), "layer") == 0 && strcmp(ct_path_of(h), "layer") == 0);
    EXPECT(ct_order_of(ct_neg(x)) == 0);
}

TEST(vjp, wants_a_cotangent) {
    ct_tensor *x = vector(1, 2, 3), *g = x;
    EXPECT(ct_vjp(ct_exp(x), NULL, &x, 1, &g) == CT_ERR_NULL && g == x);
    EXPECT(strcmp(taken_error(NULL), "ct_vjp: 'cotangent' is NULL") == 0);
    EXPECT(ct_grad(ct_exp(x), &x, 1, &g) == CT_ERR_SHAPE && g == x);
    EXPECT(strcmp(taken_error(NULL), "ct_grad: y must have one element, got [3]; ct_vjp takes a "
                                     "cotangent of that shape") == 0);
}

TEST(vjp, refuses_integers) {
    ct_tensor *i = ct_arange(CT_I64, 0, 3, 1), *g = NULL;
    EXPECT(ct_grad(ct_sum_all(ct_cast(i, CT_F64)), &i, 1, &g) == CT_ERR_DTYPE);
    EXPECT(strcmp(taken_error(NULL), "ct_grad: x[0] is i64; only f32 and f64 have derivatives") ==
           0);
}

/* f(x) = (sum x^3, x0 x1): J = [[3x0^2, 3x1^2, 3x2^2], [x1, x0, 0]] */
TEST(jvp, is_jacobian_times_vector) {
    ct_tensor *x = vector(1, 2, 3), *v = vector(0.5, -1, 2);
    ct_tensor *cubes = ct_reshape(ct_sum_all(ct_mul(x, ct_mul(x, x))), CT_SHAPE(1));
    ct_tensor *product = ct_mul(ct_slice(x, 0, 0, 1, 1), ct_slice(x, 0, 1, 2, 1));
    ct_tensor *t = ct_jvp(CT_CONCAT(0, cubes, product), &x, &v, 1);
    EXPECT(near(element(t, 0), 3 * 0.5 - 12 + 27 * 2, 0, 1e-14));
    EXPECT(near(element(t, 1), 2 * 0.5 - 1, 0, 1e-14));
}

/* y = sum x_i^2 x_{i+1} around the circle; H from the formula. */
TEST(hvp, is_hessian_times_vector) {
    double a = 1, b = 2, c = 3, u[] = {0.5, -1, 2};
    ct_tensor *x = vector(a, b, c), *v = vector(u[0], u[1], u[2]), *h;
    ct_tensor *next = CT_CONCAT(0, ct_slice(x, 0, 1, CT_END, 1), ct_slice(x, 0, 0, 1, 1));
    ct_tensor *y = ct_sum_all(ct_mul(ct_square(x), next));
    EXPECT(ct_hvp(y, &x, &v, 1, &h) == CT_OK);
    double hessian[3][3] = {{2 * b, 2 * a, 2 * c}, {2 * a, 2 * c, 2 * b}, {2 * c, 2 * b, 2 * a}};
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        for (int k = 0; k < 3; k++) sum += hessian[i][k] * u[k];
        EXPECT(near(element(h, i), sum, 0, 1e-13));
    }
}

TEST(compose, activations_are_stable_and_smooth_where_they_should_be) {
    ct_tensor *x = vector(-1000, 0, 1000), *g;
    ct_tensor *s = ct_sigmoid(x), *p = ct_softplus(x);
    EXPECT(element(s, 0) == 0 && element(s, 1) == 0.5 && element(s, 2) == 1);
    EXPECT(element(p, 0) == 0 && near(element(p, 1), log(2), 0, 1e-15) && element(p, 2) == 1000);
    EXPECT(ct_grad(ct_sum_all(p), &x, 1, &g) == CT_OK && element(g, 1) == 0.5);
    EXPECT(ct_grad(ct_sum_all(ct_relu(x)), &x, 1, &g) == CT_OK && element(g, 1) == 0);
    EXPECT(ct_grad(ct_sum_all(ct_elu(x, 1)), &x, 1, &g) == CT_OK && element(g, 1) == 1);
    EXPECT(element(g, 2) == 1 && element(g, 0) == 0);
    EXPECT(ct_grad(ct_norm(ct_full(CT_F64, CT_SHAPE(3), 0)), &x, 1, &g) == CT_OK);
}

TEST(compose, norm_has_a_gradient_at_zero) {
    ct_tensor *zero = vector(0, 0, 0), *x = vector(3, 0, 4), *g;
    EXPECT(ct_grad(ct_norm(zero), &zero, 1, &g) == CT_OK && element(g, 0) == 0);
    EXPECT(ct_grad(ct_norm(x), &x, 1, &g) == CT_OK && near(element(g, 0), 0.6, 0, 1e-15));
}

TEST(compose, softmax_of_large_numbers) {
    ct_tensor *x = vector(1000, 1000, -1000);
    EXPECT(element(ct_softmax(x, 0), 0) == 0.5 && element(ct_softmax(x, -1), 2) == 0);
    EXPECT(near(ct_item(ct_logsumexp(x, 0)), 1000 + log(2), 0, 1e-15));
    EXPECT(near(element(ct_log_softmax(x, 0), 1), -log(2), 0, 1e-13));
}

/* The 1 that a derivative begins with belongs to all formulas of the thread; what is handed out is
 * one's own. */
TEST(grad, a_gradient_that_is_1_is_nobody_elses_number) {
    ct_tensor *a = leaf_from(CT_F64, CT_SCALAR, (double[]){3}), *b = ct_detach(a);
    ct_tensor *x[] = {a, b}, *g[2], *d, *s;
    EXPECT(ct_grad(ct_add(a, b), x, 2, g) == CT_OK);
    EXPECT(ct_grad(ct_offset(ct_mul(g[0], a), 1.0), &g[0], 1, &d) == CT_OK);
    EXPECT(ct_item(d) == 3);
    EXPECT(ct_grad(ct_offset(ct_mul(a, a), 1.0), &g[0], 1, &d) == CT_OK);
    EXPECT(ct_item(d) == 0);
    EXPECT(ct_order_of(g[0]) == 1 && ct_item(g[0]) == 1);
    ct_tensor *one = ct_scale(ct_full(CT_F64, CT_SCALAR, 1), 1.0);
    EXPECT(ct_simplify(&one, 1, &s) == CT_OK);
    ct_name(g[0], "first"), ct_name(g[1], "second"), ct_name(s, "third");
    EXPECT(strcmp(ct_name_of(g[0]), "first") == 0 && strcmp(ct_name_of(g[1]), "second") == 0);
    EXPECT(!ct_name_of(ct_offset(a, 1.0)->inputs[1]) || !*ct_name_of(ct_offset(a, 1.0)->inputs[1]));
}
