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

/* --- Orthogonal matrices ---------------------------------------------------------------------- */

static ct_tensor *orthogonal(ct_dtype dtype, ct_shape shape, double value) {
    ct_initializer init = ct_orthogonal;
    init.value = value;
    ct_tensor *t = init.make(&init, dtype, shape, 1, 1);
    MADE(t);
    cr_assert(ct_dtype_of(t) == dtype && ct_shape_equal(ct_shape_of(t), shape));
    return t;
}

/* The fewer of rows and columns are orthogonal, and of the given length. */
static void expect_orthogonal(ct_dtype dtype, ct_shape shape, double value, double tolerance) {
    int64_t last = shape.dims[shape.rank - 1], rest = ct_shape_numel(shape) / last;
    ct_tensor *t = ct_cast(orthogonal(dtype, shape, value), CT_F64);
    ct_tensor *m = ct_reshape(t, CT_SHAPE(rest, last));
    if (rest >= last) m = ct_transpose(m);
    ct_tensor *unit = ct_scale(ct_eye(CT_F64, ct_dim(m, 0)), value * value);
    ct_tensor *gap = ct_sub(ct_matmul(m, ct_transpose(m)), unit);
    double largest = ct_item(ct_max(ct_abs(gap), CT_ALL));
    cr_expect_lt(largest, tolerance, "%s: %g", ct_shape_format(shape).text, largest);
}

TEST(initializers, orthogonal_matrices) {
    const ct_shape shapes[] = {CT_SHAPE(1, 1),    CT_SHAPE(5, 5),      CT_SHAPE(7, 3),
                               CT_SHAPE(3, 7),    CT_SHAPE(1, 6),      CT_SHAPE(6, 1),
                               CT_SHAPE(40, 160), CT_SHAPE(3, 3, 4, 8)};
    ct_seed_set(3);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        expect_orthogonal(CT_F64, shapes[i], 1, 1e-14);
        expect_orthogonal(CT_F32, shapes[i], sqrt(2.0), 1e-6);
    }
}

/* Of uniform ones in n dimensions: elements have mean 0, variance 1/n and fourth moment 3 / (n (n +
 * 2)), the trace has mean 0 and variance 1. Five standard errors of 400 draws. */
TEST(initializers, orthogonal_matrices_are_uniform) {
    enum { DRAWS = 400, SIZE = 3 };
    double first[SIZE * SIZE] = {0}, second[SIZE * SIZE] = {0}, fourth = 0, trace[2] = {0};
    ct_seed_set(4);
    for (int draw = 0; draw < DRAWS; draw++) {
        int64_t scope = ct_scope_open();
        ct_tensor *q = orthogonal(CT_F64, CT_SHAPE(SIZE, SIZE), 1);
        double sum = element(q, 0) + element(q, 4) + element(q, 8);
        trace[0] += sum / DRAWS, trace[1] += sum * sum / DRAWS;
        for (int i = 0; i < SIZE * SIZE; i++) {
            double e = element(q, i);
            first[i] += e / DRAWS, second[i] += e * e / DRAWS;
            fourth += pow(e, 4) / (DRAWS * SIZE * SIZE);
        }
        ct_scope_close(scope);
    }
    for (int i = 0; i < SIZE * SIZE; i++) {
        EXPECT_NEAR(first[i], 0, 5 * sqrt(1.0 / 3 / DRAWS));
        EXPECT_NEAR(second[i], 1.0 / 3, 5 * sqrt((0.2 - 1.0 / 9) / DRAWS));
    }
    EXPECT_NEAR(fourth, 0.2, 0.02);
    EXPECT_NEAR(trace[0], 0, 5.0 / sqrt(DRAWS));
    EXPECT_NEAR(trace[1], 1, 0.5);
}

TEST(initializers, orthogonal_kernels_of_layers) {
    ct_seed_set(5);
    ct_recurrent_options options = {.recurrent = ct_orthogonal};
    ct_module *lstm = ct_lstm_new(3, 4, options), *again;
    MADE(lstm);
    ct_seed_set(5);
    again = ct_lstm_new(3, 4, options);
    cr_expect(same_bits(read_slot(lstm, "recurrent_kernel"), read_slot(again, "recurrent_kernel")));
    ct_module_free(lstm), ct_module_free(again);
    ct_dense_options dense = {.bias = ct_orthogonal};
    cr_expect_null(ct_dense_new(3, 2, dense));
    expect_error(CT_ERR_SHAPE, "ct_dense_new: needs rank >= 2, got [2]");
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
