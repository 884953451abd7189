/* A generative adversarial network in the plane: WGAN-GP (Gulrajani et al., 2017). A generator
 * makes points of noise, which a critic shall not tell from those of eight Gaussians. The norm of
 * the critic's gradient by its input is part of its loss: a derivative of a gradient. */
#include "twin.h"

#include <stdio.h>

enum { BATCH = 128, NOISE = 2, STEPS = 3000, SAMPLES = 1000 };
enum { EACH = 3 };  /* steps of the critic for one of the generator */
#define PENALTY 1.0 /* 10 in the paper, whose subject is images */

/* --- Data: points around eight centres on a circle of radius 2 -------------------------------- */

static ct_tensor *normal(int64_t rows, int64_t columns) {
    return ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(rows, columns));
}

static ct_tensor *uniform(int64_t rows) {
    return ct_random_uniform(ct_seed_draw(), CT_F32, CT_SHAPE(rows, 1));
}

static ct_tensor *centres(ct_tensor *numbers) { /* [N,1] of 0..7 -> [N,2] */
    ct_tensor *angle = ct_scale(numbers, 3.14159265358979 / 4);
    return ct_scale(CT_CONCAT(1, ct_cos(angle), ct_sin(angle)), 2);
}

static ct_tensor *eight_gaussians(int64_t n) {
    ct_tensor *which = ct_floor(ct_scale(uniform(n), 8));
    return ct_add(centres(which), ct_scale(normal(n, 2), 0.1));
}

/* What step i draws: real points, noise, and how the penalty mixes real and false points. The file
 * of a twin has those of all steps, [steps, batch, columns]. */
static ct_tensor *drawn(const char *twin, const char *name, int64_t i) {
    ct_tensor *all = twin_tensor(twin, name);
    return ct_reshape(ct_slice(all, 0, i, i + 1, 1), CT_SHAPE(ct_dim(all, 1), ct_dim(all, 2)));
}

static ct_module *network(int64_t inputs, int64_t width, int64_t outputs, ct_dtype dtype) {
    ct_dense_options dense = {.dtype = dtype};
    return CT_SEQUENTIAL("network", ct_dense_new(inputs, width, dense),
                         ct_activation_new(&ct_activation_relu), ct_dense_new(width, width, dense),
                         ct_activation_new(&ct_activation_relu),
                         ct_dense_new(width, outputs, dense));
}

/* The mean of (|gradient| - 1)^2 at points between real and false ones. Nothing keeps the graph or
 * asks for gradients: each tensor is a function, and ct_grad gives another one. */
static ct_tensor *penalty(ct_module *critic, ct_tensor *real, ct_tensor *fake, ct_tensor *mix) {
    ct_tensor *x = ct_add(real, ct_mul(mix, ct_sub(fake, real))), *slope;
    ct_tensor *score = ct_sum_all(ct_forward(critic, x, CT_TRAINING));
    if (ct_grad(score, &x, 1, &slope) != CT_OK) return NULL;
    ct_tensor *norm = ct_sqrt(ct_sum(ct_square(slope), CT_AXES(1)));
    return ct_mean_all(ct_square(ct_offset(norm, -1)));
}

static ct_tensor *mean_score(ct_module *critic, ct_tensor *x) {
    return ct_mean_all(ct_forward(critic, x, CT_TRAINING));
}

/* --- Training --------------------------------------------------------------------------------- */

typedef struct {
    ct_module *generator, *critic;
    ct_optimizer *of_generator, *of_critic; /* each changes the parameters of its own network */
} game;

static ct_status play(game g, const char *twin, int64_t i) {
    ct_tensor *real = twin ? drawn(twin, "real", i) : eight_gaussians(BATCH);
    ct_tensor *noise = twin ? drawn(twin, "noise", i) : normal(BATCH, NOISE);
    ct_tensor *mix = twin ? drawn(twin, "mix", i) : uniform(BATCH);
    ct_tensor *fake = ct_forward(g.generator, noise, CT_TRAINING);
    ct_tensor *loss = ct_sub(mean_score(g.critic, fake), mean_score(g.critic, real));
    loss = ct_add(loss, ct_scale(penalty(g.critic, real, fake, mix), PENALTY));
    ct_status status = ct_optimizer_step(g.of_critic, loss, NULL, 0);
    if (twin) twin_loss(ct_item(loss));
    else if (i % 500 == 0) printf("step %lld: critic's loss %.3f\n", (long long)i, ct_item(loss));
    if (status != CT_OK || i % EACH != EACH - 1) return status;
    fake = ct_forward(g.generator, noise, CT_TRAINING);
    return ct_optimizer_step(g.of_generator, ct_neg(mean_score(g.critic, fake)), NULL, 0);
}

/* How many of the centres the generator has found, and how often it is near one. */
static ct_status report(ct_module *generator) {
    ct_tensor *points = ct_forward(generator, normal(SAMPLES, NOISE), CT_INFERENCE);
    ct_tensor *all = centres(ct_reshape(ct_arange(CT_F32, 0, 8, 1), CT_SHAPE(8, 1)));
    ct_tensor *away = ct_sub(ct_reshape(points, CT_SHAPE(SAMPLES, 1, 2)), all); /* [N,8,2] */
    ct_tensor *squared = ct_sum(ct_square(away), CT_AXES(2));
    ct_tensor *near = ct_less(squared, ct_scalar(CT_F32, 0.5 * 0.5));
    ct_tensor *shares = ct_mean(near, CT_AXES(0));
    ct_tensor *found = ct_sum_all(ct_greater(shares, ct_scalar(CT_F32, 0.03)));
    double near_one = ct_item(ct_sum_all(shares));
    printf("%.0f of 8 centres found, %.2f of the points near one\n", ct_item(found), near_one);
    return ct_error();
}

static ct_status train(const char *twin, int64_t steps) {
    ct_dtype dtype = twin ? CT_F64 : CT_F32;
    int64_t width = twin ? 16 : 64;
    ct_adam_options options = ct_adam_pytorch(0.001);
    options.beta1 = 0, options.beta2 = 0.9;
    game g = {.generator = network(NOISE, width, 2, dtype), .critic = network(2, width, 1, dtype)};
    g.of_generator = ct_adam_new(g.generator, options);
    g.of_critic = ct_adam_new(g.critic, options);
    ct_status status = twin_weights(twin, "generator", g.generator);
    if (status == CT_OK) status = twin_weights(twin, "critic", g.critic);
    for (int64_t i = 0; i < (steps ? steps : STEPS) && status == CT_OK; i++) {
        int64_t scope = ct_scope_open();
        status = play(g, twin, i);
        ct_scope_close(scope);
    }
    if (status == CT_OK && !twin) status = report(g.generator);
    ct_optimizer_free(g.of_generator), ct_optimizer_free(g.of_critic);
    ct_module_free(g.generator), ct_module_free(g.critic);
    return status;
}

int main(int argc, char *argv[]) {
    return twin_main("wgan_gp", "Learns to draw from eight Gaussians.", train, NULL, argc, argv);
}
