/* Initializers: limits and moments, the stream of seeds, fans as Keras counts them. */
#include "tests/support/nn_support.h"

typedef struct {
    double mean, std, largest;
} moments;

static moments moments_of(ct_tensor *t) {
    MADE(t);
    moments m = {0, 0, 0};
    int64_t n = ct_numel(t);
    for (int64_t i = 0; i < n; i++) m.mean += element(t, i) / (double)n;
    for (int64_t i = 0; i < n; i++) {
        m.std += pow(element(t, i) - m.mean, 2) / (double)n;
        m.largest = fmax(m.largest, fabs(element(t, i)));
    }
    m.std = sqrt(m.std);
    return m;
}

static moments make(const ct_initializer *init, ct_dtype dtype) {
    return moments_of(init->make(init, dtype, CT_SHAPE(200, 300), 200, 300));
}

/* 60 000 draws: the standard error of a mean is std / 245, of a std about .003 of it. */
static void expect_uniform(const ct_initializer *init, double limit) {
    for (ct_dtype dtype = CT_F32; dtype <= CT_F64; dtype++) {
        moments m = make(init, dtype);
        cr_expect_leq(m.largest, limit * (1 + 1e-6));
        cr_expect_gt(m.largest, 0.999 * limit);
        cr_expect_lt(fabs(m.mean), 0.01 * limit);
        EXPECT_NEAR(m.std / (limit / sqrt(3.0)), 1.0, 0.01);
    }
}

static void expect_normal(const ct_initializer *init, double std) {
    for (ct_dtype dtype = CT_F32; dtype <= CT_F64; dtype++) {
        moments m = make(init, dtype);
        cr_expect_lt(fabs(m.mean), 0.02 * std);
        EXPECT_NEAR(m.std / std, 1.0, 0.015);
        cr_expect(m.largest > 3.5 * std && m.largest < 6.5 * std);
    }
}

TEST(initializers, limits_and_moments) {
    expect_uniform(&ct_glorot_uniform, sqrt(6.0 / 500));
    expect_uniform(&ct_he_uniform, sqrt(6.0 / 200));
    expect_uniform(&ct_lecun_uniform, sqrt(3.0 / 200));
    expect_normal(&ct_glorot_normal, sqrt(2.0 / 500));
    expect_normal(&ct_he_normal, sqrt(2.0 / 200));
    expect_normal(&ct_lecun_normal, sqrt(1.0 / 200));
}

TEST(initializers, truncated_normal_has_no_tail) {
    moments m = make(&ct_truncated_normal, CT_F32);
    cr_expect_leq(m.largest, 0.1 * (1 + 1e-6));
    /* A normal distribution cut at two standard deviations has .8796 of its standard deviation. */
    EXPECT_NEAR(m.std / 0.05, 0.8796, 0.01);
    cr_expect_lt(fabs(m.mean), 0.001);
}

TEST(initializers, constants) {
    ct_initializer quarter = ct_init_constant(0.25);
    const struct {
        const ct_initializer *init;
        double value;
    } rows[] = {{&ct_init_zeros, 0}, {&ct_init_ones, 1}, {&quarter, 0.25}};
    for (int i = 0; i < 3; i++) {
        moments m = make(rows[i].init, CT_F64);
        EXPECT_NEAR(m.mean, rows[i].value, 1e-12);
        cr_expect_lt(m.std, 1e-12);
    }
}

/* The kernels of the seed model: the limits of its Glorot initialization. */
TEST(initializers, glorot_limits_of_the_seed_model) {
    static const char *const kernels[] = {"conv2d/kernel", "conv2d_1/kernel", "conv2d_2/kernel",
                                          "dense/kernel", "dense_1/kernel"};
    static const double limits[] = {0.1421, 0.0833, 0.0722, 0.0968, 0.2847};
    ct_module *model = seed_model(false, CT_F32);
    for (int i = 0; i < 5; i++) {
        ct_tensor *kernel = read_slot(model, kernels[i]);
        moments m = moments_of(kernel);
        cr_expect_leq(m.largest, limits[i] + 5e-5, "%s: %g", kernels[i], m.largest);
        cr_expect_gt(m.largest, limits[i] * (1 - 20.0 / (double)ct_numel(kernel)), "%s: %g",
                     kernels[i], m.largest);
        EXPECT_NEAR(m.std * sqrt(3.0) / limits[i], 1.0, 0.1);
    }
    EXPECT_NEAR(moments_of(read_slot(model, "conv2d/bias")).largest, 0.0, 0);
    ct_module_free(model);
}

TEST(initializers, the_seed_decides) {
    ct_seed_set(5);
    ct_module *a = seed_model(true, CT_F32), *next = seed_model(true, CT_F32);
    ct_seed_set(5);
    ct_module *b = seed_model(true, CT_F32);
    ct_seed_set(6);
    ct_module *other = seed_model(true, CT_F32);
    cr_expect_eq(state_hash(a, NULL), state_hash(b, NULL));
    cr_expect_neq(state_hash(a, NULL), state_hash(next, NULL));
    cr_expect_neq(state_hash(a, NULL), state_hash(other, NULL));
    ct_module_free(a);
    ct_module_free(b);
    ct_module_free(next);
    ct_module_free(other);
}

TEST(initializers, chosen_ones_are_used) {
    ct_dense_options options = {.kernel = ct_init_constant(0.5), .bias = ct_init_ones};
    ct_module *dense = ct_dense_new(3, 2, options);
    MADE(dense);
    EXPECT_NEAR(ct_item(ct_sum_all(read_slot(dense, "kernel"))), 3.0, 1e-6);
    EXPECT_NEAR(ct_item(ct_sum_all(read_slot(dense, "bias"))), 2.0, 1e-6);
    ct_module_free(dense);
}
