/* A physics-informed network (Raissi et al., 2019): it learns the solution of a differential
 * equation from the equation. Burgers', u_t + u u_x = NU u_xx for x in -1..1 and t in 0..1, has the
 * wave SPEED - HEIGHT tanh(HEIGHT (x - SPEED t) / (2 NU)) as a solution, so the error is known. */
#include "twin.h"

#include <stdio.h>

enum { POINTS = 256, EDGE = 64, STEPS = 1500, WIDTH = 16 };
#define NU 0.1
#define SPEED 0.5
#define HEIGHT 0.5

static ct_tensor *column(ct_tensor *x, int64_t i) { return ct_slice(x, 1, i, i + 1, 1); }

/* The wave at points [N,2] of (x, t). */
static ct_tensor *solution(ct_tensor *points) {
    ct_tensor *moved = ct_sub(column(points, 0), ct_scale(column(points, 1), SPEED));
    return ct_offset(ct_scale(ct_tanh(ct_scale(moved, HEIGHT / (2 * NU))), -HEIGHT), SPEED);
}

/* --- Where the network is looked at ----------------------------------------------------------- */

static ct_tensor *uniform(int64_t rows, double low, double high) {
    ct_tensor *u = ct_random_uniform(ct_seed_draw(), CT_F32, CT_SHAPE(rows, 1));
    return ct_offset(ct_scale(u, high - low), low);
}

static ct_tensor *constant(double value) { return ct_full(CT_F32, CT_SHAPE(EDGE, 1), value); }

static ct_tensor *points_inside(void) {
    return CT_CONCAT(1, uniform(POINTS, -1, 1), uniform(POINTS, 0, 1));
}

/* At the first instant, and at both ends: there the network is told what the solution is. */
static ct_tensor *points_at_the_edge(void) {
    ct_tensor *first = CT_CONCAT(1, uniform(EDGE, -1, 1), constant(0));
    ct_tensor *left = CT_CONCAT(1, constant(-1), uniform(EDGE, 0, 1));
    ct_tensor *right = CT_CONCAT(1, constant(1), uniform(EDGE, 0, 1));
    return CT_CONCAT(0, first, left, right);
}

/* --- The loss --------------------------------------------------------------------------------- */

/* By how much the equation is missed at each point. Row i of the network's output depends on row i
 * of its input alone, so the gradient of the sum holds the derivative at every point. */
static ct_tensor *residual(ct_module *model, ct_tensor *points) {
    ct_tensor *u = ct_forward(model, points, CT_TRAINING), *du, *ddu;
    if (ct_grad(ct_sum_all(u), &points, 1, &du) != CT_OK) return NULL;
    ct_tensor *u_x = column(du, 0), *u_t = column(du, 1);
    if (ct_grad(ct_sum_all(u_x), &points, 1, &ddu) != CT_OK) return NULL;
    ct_tensor *u_xx = column(ddu, 0);
    return ct_sub(ct_add(u_t, ct_mul(u, u_x)), ct_scale(u_xx, NU));
}

static ct_tensor *loss_of(ct_module *model, ct_tensor *inside, ct_tensor *edge) {
    ct_tensor *equation = ct_mean_all(ct_square(residual(model, inside)));
    return ct_add(equation, ct_mse(ct_forward(model, edge, CT_TRAINING), solution(edge)));
}

static ct_module *model_new(ct_dtype dtype) {
    ct_dense_options dense = {.dtype = dtype};
    return CT_SEQUENTIAL("wave", ct_dense_new(2, WIDTH, dense),
                         ct_activation_new(&ct_activation_tanh), ct_dense_new(WIDTH, WIDTH, dense),
                         ct_activation_new(&ct_activation_tanh), ct_dense_new(WIDTH, WIDTH, dense),
                         ct_activation_new(&ct_activation_tanh), ct_dense_new(WIDTH, 1, dense));
}

static ct_status report(ct_module *model) {
    ct_tensor *points = points_inside(), *wanted = solution(points);
    ct_tensor *error = ct_sub(ct_forward(model, points, CT_INFERENCE), wanted);
    double relative = ct_item(ct_div(ct_norm(error), ct_norm(wanted)));
    if (ct_error() != CT_OK) return ct_error();
    printf("at %d other points the error is %.2g of the solution\n", POINTS, relative);
    return CT_OK;
}

static ct_status train(const char *twin, int64_t steps) {
    ct_tensor *inside = twin ? twin_tensor(twin, "inside") : points_inside();
    ct_tensor *edge = twin ? twin_tensor(twin, "edge") : points_at_the_edge();
    if (steps == 0) steps = STEPS;
    ct_module *model = model_new(twin ? CT_F64 : CT_F32);
    ct_adam_options options = ct_adam_pytorch(0.01);
    options.rate = ct_rate_cosine(0.01, 0, STEPS);
    ct_optimizer *adam = ct_adam_new(model, options);
    ct_status status = twin_weights(twin, "model", model);
    for (int64_t i = 0; i < steps && status == CT_OK; i++) {
        int64_t scope = ct_scope_open(); /* what a step makes is gone at its end */
        ct_tensor *loss = loss_of(model, inside, edge);
        /* The step derives the second derivative once more, by all weights. */
        status = ct_optimizer_step(adam, loss, NULL, 0);
        if (twin) twin_loss(ct_item(loss));
        else if (i % 250 == 0) printf("step %lld: loss %.2e\n", (long long)i, ct_item(loss));
        ct_scope_close(scope);
    }
    if (status == CT_OK && !twin) status = report(model);
    ct_optimizer_free(adam), ct_module_free(model);
    return status;
}

int main(int argc, char *argv[]) {
    return twin_main("pinn", "Solves Burgers' equation by a network.", train, NULL, argc, argv);
}
