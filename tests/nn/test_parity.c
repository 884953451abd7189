/* Layers, update rules and five steps of the seed model against PyTorch in f64. The numbers come
 * from tests/reference; inputs are made here by the same formula. */
#include "tests/reference/layers.h"
#include "tests/reference/seed_model.h"
#include "tests/support/nn_support.h"

#define TOLERANCE 1e-12

/* y's value and the gradients of <y, cotangent>. */
static void expect_layer(ct_tensor *y, uint32_t salt, const double *value, ct_tensor *const x[],
                         int64_t n, const double *const gradients[]) {
    MADE(y);
    cr_expect_lt(distance(y, value), TOLERANCE);
    ct_tensor *out[4];
    OK(ct_vjp(y, centred(CT_F64, ct_shape_of(y), salt, 1, 0), x, n, out));
    for (int64_t i = 0; i < n; i++) {
        double error = distance(out[i], gradients[i]);
        cr_expect_lt(error, TOLERANCE, "input %lld: %g", (long long)i, error);
    }
}

static ct_tensor *leaf(ct_shape shape, uint32_t salt, double limit) {
    return centred(CT_F64, shape, salt, limit, 0);
}

TEST(parity, batch_norm_of_rank_4) {
    ct_tensor *x[] = {leaf(CT_SHAPE(3, 2, 4, 5), 1, 3), leaf(CT_SHAPE(5), 2, 1),
                      leaf(CT_SHAPE(5), 3, 1)};
    ct_tensor *y = ct_batch_norm(x[0], x[1], x[2], -1, 1e-3, NULL, NULL);
    expect_layer(y, 4, bn4_y, x, 3, (const double *[]){bn4_dx, bn4_dgamma, bn4_dbeta});
}

TEST(parity, batch_norm_of_rank_2) {
    ct_tensor *x[] = {leaf(CT_SHAPE(6, 3), 5, 3), leaf(CT_SHAPE(3), 6, 1), leaf(CT_SHAPE(3), 7, 1)};
    ct_tensor *y = ct_batch_norm(x[0], x[1], x[2], -1, 1e-5, NULL, NULL);
    expect_layer(y, 8, bn2_y, x, 3, (const double *[]){bn2_dx, bn2_dgamma, bn2_dbeta});
}

TEST(parity, conv2d) {
    ct_tensor *x[] = {leaf(CT_SHAPE(2, 5, 6, 3), 20, 1), leaf(CT_SHAPE(3, 3, 3, 4), 30, 1),
                      leaf(CT_SHAPE(4), 40, 1)};
    ct_tensor *y = ct_add(ct_conv2d(x[0], x[1], (ct_conv2d_spec){0}), x[2]);
    expect_layer(y, 50, conv_valid_y, x, 3,
                 (const double *[]){conv_valid_dx, conv_valid_dkernel, conv_valid_dbias});
}

TEST(parity, conv2d_with_everything) {
    ct_tensor *x[] = {leaf(CT_SHAPE(2, 7, 6, 4), 21, 1), leaf(CT_SHAPE(3, 2, 2, 6), 31, 1),
                      leaf(CT_SHAPE(6), 41, 1)};
    ct_conv2d_spec spec = {.stride = {2, 3}, .pad = {1, 0, 2, 1}, .dilation = {1, 2}, .groups = 2};
    ct_tensor *y = ct_add(ct_conv2d(x[0], x[1], spec), x[2]);
    expect_layer(y, 51, conv_strided_y, x, 3,
                 (const double *[]){conv_strided_dx, conv_strided_dkernel, conv_strided_dbias});
}

TEST(parity, pooling) {
    ct_tensor *x = leaf(CT_SHAPE(2, 5, 7, 3), 60, 1);
    expect_layer(ct_max_pool2d(x, (ct_pool2d_spec){0}), 61, max_pool_y, &x, 1,
                 (const double *[]){max_pool_dx});
    x = leaf(CT_SHAPE(2, 6, 5, 2), 62, 1);
    ct_pool2d_spec overlapping = {.window = {3, 2}, .stride = {2, 1}};
    expect_layer(ct_max_pool2d(x, overlapping), 63, max_pool_overlap_y, &x, 1,
                 (const double *[]){max_pool_overlap_dx});
    x = leaf(CT_SHAPE(2, 5, 6, 3), 64, 1);
    expect_layer(ct_avg_pool2d(x, (ct_pool2d_spec){0}), 65, avg_pool_y, &x, 1,
                 (const double *[]){avg_pool_dx});
}

/* --- Update rules ----------------------------------------------------------------------------- */

static ct_tensor *itself(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)mode;
    return ct_mul(x, ct_module_read(self, 0));
}

static const ct_module_kind vector_kind = {.name = "Vector", .forward = itself};

/* theta [7]; the gradient of sum(x theta) is x. */
static ct_module *vector_new(void) {
    ct_module *module = ct_module_new(sizeof *module, &vector_kind);
    MADE(module);
    OK(ct_module_add_slot(module, "theta", leaf(CT_SHAPE(7), 999, 1), true));
    return module;
}

/* Ten steps with given gradients. Takes over both. */
static void expect_rule(ct_module *module, ct_optimizer *optimizer, const double *wanted) {
    MADE(optimizer);
    for (uint32_t step = 0; step < 10; step++) {
        ct_tensor *loss = ct_sum_all(
            ct_forward(module, leaf(CT_SHAPE(7), 1000 + step, 1), CT_TRAINING));
        OK(ct_optimizer_step(optimizer, loss, NULL, 0));
    }
    double error = distance(read_slot(module, "theta"), wanted);
    cr_expect_lt(error, TOLERANCE, "%g", error);
    ct_optimizer_free(optimizer);
    ct_module_free(module);
}

#define RULE(wanted, make, ...)                       \
    do {                                              \
        ct_module *m = vector_new();                  \
        expect_rule(m, make(m, __VA_ARGS__), wanted); \
    } while (0)

TEST(parity, update_rules) {
    RULE(torch_sgd, ct_sgd_new, (ct_sgd_options){.rate = ct_rate(0.1)});
    RULE(torch_sgd_momentum, ct_sgd_new,
         (ct_sgd_options){.rate = ct_rate(0.1), .momentum = 0.9, .weight_decay = 0.01});
    RULE(torch_sgd_nesterov, ct_sgd_new,
         (ct_sgd_options){.rate = ct_rate(0.1), .momentum = 0.9, .nesterov = true});
    RULE(keras_adam, ct_adam_new, ct_adam_defaults(0.01));
    RULE(torch_adam, ct_adam_new, ct_adam_pytorch(0.01));
    ct_adam_options adamw = ct_adamw_pytorch(0.01);
    adamw.weight_decay = 0.1;
    RULE(torch_adamw, ct_adamw_new, adamw);
    ct_rmsprop_options rmsprop = ct_rmsprop_pytorch(0.01);
    RULE(torch_rmsprop, ct_rmsprop_new, rmsprop);
    rmsprop.momentum = 0.9;
    RULE(torch_rmsprop_momentum, ct_rmsprop_new, rmsprop);
    RULE(torch_adagrad, ct_adagrad_new, ct_adagrad_pytorch(0.1));
}

/* --- The seed model --------------------------------------------------------------------------- */

enum { BATCH = 8, STEPS = 5 };

/* The reference's weights: kernels in Glorot's limits, gamma around 1, beta and bias around 0. */
static void set_weights(ct_module *model) {
    ct_slot_list list;
    OK(ct_module_list(model, &list));
    uint32_t layer = 0;
    for (int64_t i = 0; i < list.count; i++) {
        ct_slot *slot = list.items[i].slot;
        const char *name = ct_slot_name(slot);
        ct_shape s = ct_shape_of(ct_slot_read(slot));
        ct_tensor *value = NULL;
        if (strcmp(name, "kernel") == 0) {
            double taps = s.rank == 4 ? (double)(s.dims[0] * s.dims[1]) : 1;
            double in = (double)s.dims[s.rank - 2], out = (double)s.dims[s.rank - 1];
            value = centred(CT_F64, s, 100 + layer, sqrt(6.0 / (taps * in + taps * out)), 0);
            layer++;
        }
        if (strcmp(name, "gamma") == 0) value = centred(CT_F64, s, 199 + layer, 0.25, 1);
        if (strcmp(name, "beta") == 0) value = centred(CT_F64, s, 299 + layer, 0.25, 0);
        if (strcmp(name, "bias") == 0) value = centred(CT_F64, s, 399 + layer, 0.25, 0);
        if (value) OK(ct_slot_write(slot, value));
    }
    ct_slot_list_free(&list);
}

static double train_step(ct_module *model, ct_optimizer *adam, uint32_t step) {
    int64_t labels[BATCH], scope = ct_scope_open();
    for (int64_t i = 0; i < BATCH; i++) labels[i] = (7 * i + 3 * step) % 10;
    ct_tensor *x = uniform01(CT_F64, CT_SHAPE(BATCH, 28, 28, 1), step);
    ct_tensor *y = ct_from(CT_I64, CT_SHAPE(BATCH), labels);
    ct_tensor *loss = ct_cross_entropy(ct_logits(model, x, CT_TRAINING), y);
    OK(ct_optimizer_step(adam, loss, NULL, 0));
    double value = ct_item(loss);
    ct_scope_close(scope);
    return value;
}

static void expect_slots(ct_module *model, const double *wanted, size_t n) {
    ct_slot_list list;
    OK(ct_module_list(model, &list));
    cr_assert_eq((size_t)list.count * 4, n);
    for (int64_t i = 0; i < list.count; i++) {
        ct_tensor *t = ct_slot_read(list.items[i].slot);
        int64_t size = ct_numel(t);
        double sum = 0;
        for (int64_t k = 0; k < size; k++) sum += fabs(element(t, k));
        EXPECT_NEAR(element(t, 0), wanted[4 * i], 1e-9);
        EXPECT_NEAR(element(t, size / 2), wanted[4 * i + 1], 1e-9);
        EXPECT_NEAR(element(t, size - 1), wanted[4 * i + 2], 1e-9);
        EXPECT_NEAR(sum, wanted[4 * i + 3], 1e-9);
    }
    ct_slot_list_free(&list);
}

static void expect_training(bool batch_norm, const double *losses, const double *slots, size_t n) {
    ct_module *model = seed_model(batch_norm, CT_F64);
    set_weights(model);
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.001));
    MADE(adam);
    for (uint32_t step = 0; step < STEPS; step++) {
        EXPECT_NEAR(train_step(model, adam, step), losses[step], 1e-9);
    }
    expect_slots(model, slots, n);
    ct_optimizer_free(adam);
    ct_module_free(model);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

TEST(parity, five_steps_of_the_seed_model) {
    expect_training(true, seed_batch_norm_losses, seed_batch_norm_slots,
                    COUNT(seed_batch_norm_slots));
}

TEST(parity, five_steps_without_batch_norm) {
    expect_training(false, seed_plain_losses, seed_plain_slots, COUNT(seed_plain_slots));
}
