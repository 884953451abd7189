/* BatchNorm, in training and in inference by statistics that are inputs too, equals its closed form
 * in the field at orders 1 to 3: of 2, 3 and 32 values, channels last and first, every epsilon that
 * libraries have. Against truncated Taylor arithmetic it is in
 * tests/autograd/compose/test_batch_norm_taylor.c. */
#include "autograd/compose.h"
#include "tests/support/verify_support.h"

#define CHANNELS 2

typedef struct {
    int axis;
    double epsilon;
} convention;

static ct_axes all_but(ct_tensor *x, int axis) {
    ct_axes axes = {0};
    for (int i = 0; i < ct_shape_of(x).rank; i++) {
        if (i != axis) axes.axis[axes.count++] = i;
    }
    return axes;
}

static ct_tensor *along(ct_tensor *t, ct_tensor *x, int axis) {
    ct_shape shape = {.rank = ct_shape_of(x).rank};
    for (int i = 0; i < shape.rank; i++) shape.dims[i] = i == axis ? CHANNELS : 1;
    return ct_reshape(t, shape);
}

static ct_tensor *training(void *context, ct_tensor *const in[], int64_t n) {
    const convention *k = context;
    (void)n;
    return ct_batch_norm(in[0], in[1], in[2], k->axis, k->epsilon, NULL, NULL);
}
static ct_status training_closed(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                                 ct_tensor *out[]) {
    const convention *k = context;
    (void)n;
    ct_axes rows = all_but(in[0], k->axis);
    ct_tensor *c = ct_sub(in[0], ct_mean_keep(in[0], rows));
    ct_tensor *r = ct_rsqrt(ct_offset(ct_mean_keep(ct_square(c), rows), k->epsilon));
    ct_tensor *h = ct_mul(c, r), *b = ct_mul(h, ct_mean_keep(ct_mul(dy, h), rows));
    ct_tensor *inner = ct_sub(ct_sub(dy, ct_mean_keep(dy, rows)), b);
    out[0] = ct_mul(ct_mul(along(in[1], in[0], k->axis), r), inner);
    out[1] = ct_sum(ct_mul(dy, h), rows);
    out[2] = ct_sum(dy, rows);
    return ct_error();
}

static ct_tensor *inference(void *context, ct_tensor *const in[], int64_t n) {
    const convention *k = context;
    (void)n;
    return ct_batch_norm_inference(in[0], in[1], in[2], in[3], in[4], k->axis, k->epsilon);
}
static ct_status inference_closed(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                                  ct_tensor *out[]) {
    const convention *k = context;
    (void)n;
    ct_axes rows = all_but(in[0], k->axis);
    ct_tensor *c = ct_sub(in[0], along(in[3], in[0], k->axis));
    ct_tensor *r = ct_rsqrt(ct_offset(along(in[4], in[0], k->axis), k->epsilon));
    ct_tensor *g = ct_mul(dy, along(in[1], in[0], k->axis)), *cube = ct_mul(r, ct_square(r));
    out[0] = ct_mul(g, r);
    out[1] = ct_sum(ct_mul(dy, ct_mul(c, r)), rows);
    out[2] = ct_sum(dy, rows);
    out[3] = ct_neg(ct_sum(ct_mul(g, r), rows));
    out[4] = ct_scale(ct_sum(ct_mul(ct_mul(g, c), cube), rows), -0.5);
    return ct_error();
}

static void expect_exact(ct_claim claim, ct_shape shape, convention k) {
    const ct_claim_input inputs[] = {
        {.name = "x", .shape = shape, .near = true},
        {.name = "gamma", .shape = CT_SHAPE(CHANNELS)},
        {.name = "beta", .shape = CT_SHAPE(CHANNELS)},
        {.name = "moving_mean", .shape = CT_SHAPE(CHANNELS)},
        {.name = "moving_variance", .shape = CT_SHAPE(CHANNELS), .positive = true},
    };
    claim.context = &k, claim.inputs = inputs;
    ct_verify_report r = verified(&claim, (ct_verify_options){.orders = 3, .no_mutants = true});
    EXPECT(r.passed && r.n_rows == 3 * claim.n_inputs + 2, "%s of %s, epsilon %g: %s", claim.name,
           ct_shape_format(shape).text, k.epsilon, r.n_notes ? r.notes[0].text : "");
    for (int64_t i = 0; i < r.n_rows; i++) {
        const ct_verify_row *row = &r.rows[i];
        EXPECT(row->tried && row->exact && row->error_f64 <= 1e-10,
               "%s of %s, epsilon %g, order %d of %s: %g", claim.name, ct_shape_format(shape).text,
               k.epsilon, row->order, row->input, row->error_f64);
    }
    ct_verify_free(&r);
}

static void expect_conventions(ct_claim claim, const double epsilons[], int n) {
    static const int64_t rows[] = {2, 3, 32};
    for (int i = 0; i < 3; i++) {
        for (int e = 0; e < n; e++) {
            expect_exact(claim, CT_SHAPE(rows[i], CHANNELS), (convention){1, epsilons[e]});
            expect_exact(claim, CT_SHAPE(rows[i], CHANNELS, 1), (convention){1, epsilons[e]});
            expect_exact(claim, CT_SHAPE(CHANNELS, rows[i]), (convention){0, epsilons[e]});
        }
    }
}

TEST(batch_norm_verified, in_training) {
    const ct_claim claim = {
        .name = "training", .f = training, .closed = training_closed, .n_inputs = 3};
    expect_conventions(claim, (const double[]){0.1, 1e-3}, 2);
}

TEST(batch_norm_verified, in_inference) {
    const ct_claim claim = {
        .name = "inference", .f = inference, .closed = inference_closed, .n_inputs = 5};
    expect_conventions(claim, (const double[]){0.1, 1e-3, 1e-5}, 3);
}

/* Of two values all but epsilon / (variance + epsilon) cancels, so 1e-5 leaves f64 fewer digits. */
TEST(batch_norm_verified, in_training_with_a_small_epsilon) {
    const ct_claim claim = {
        .name = "training", .f = training, .closed = training_closed, .n_inputs = 3};
    expect_exact(claim, CT_SHAPE(3, CHANNELS), (convention){1, 1e-5});
    expect_exact(claim, CT_SHAPE(32, CHANNELS), (convention){1, 1e-5});
}
