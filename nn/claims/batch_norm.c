/* Claims on batch normalization: in training by the batch's own statistics, in inference by given
 * ones.
 * The closed forms are Ioffe and Szegedy's (2015, arXiv:1502.03167), section 3, collected by x; no
 * derivative is derived here.
 * Invariant: mutants are what libraries have shipped or a person would write. */
#include "nn/claims/claims_private.h"

/* What a claim is about; a mutant's functions see that of its claim. */
typedef struct {
    int axis;
    double epsilon;
} convention;

/* As far as (x, gamma, beta) reach: a claim without the last two has gamma = 1. */
typedef struct {
    cti_normal s;
    ct_tensor *x, *gamma, *beta, *dy;
    ct_axes axes; /* all but the channels' */
    double n, epsilon;
} batch;

/* [C] along the channels' axis of x; NULL: a number. */
static ct_tensor *along(ct_tensor *t, ct_tensor *x, int axis, double otherwise) {
    ct_shape shape = {.rank = ct_shape_of(x).rank};
    for (int i = 0; i < shape.rank; i++) shape.dims[i] = i == axis ? ct_dim(x, axis) : 1;
    return t ? ct_reshape(t, shape) : ct_scalar(ct_dtype_of(x), otherwise);
}

static batch batch_of(const void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy) {
    const convention *k = context;
    batch b = {.x = in[0], .dy = dy, .epsilon = k->epsilon};
    int rank = ct_shape_of(b.x).rank, axis = k->axis < 0 ? k->axis + rank : k->axis;
    for (int i = 0; i < rank; i++) {
        if (i != axis) b.axes.axis[b.axes.count++] = i;
    }
    b.gamma = along(n > 1 ? in[1] : NULL, b.x, axis, 1.0);
    b.beta = along(n > 2 ? in[2] : NULL, b.x, axis, 0.0);
    int64_t values = ct_numel(b.x) / ct_dim(b.x, axis);
    b.n = (double)values;
    b.s = cti_normal_of(b.x, b.axes, b.epsilon);
    return b;
}

static ct_tensor *mean(const batch *b, ct_tensor *t) { return ct_mean_keep(t, b->axes); }

/* dx = gamma r (dy - mean(dy) - xhat mean(dy xhat)): all but the parenthesis. */
static ct_tensor *outside(const batch *b, ct_tensor *inner) {
    return ct_mul(ct_mul(b->gamma, b->s.inverse), inner);
}
static ct_tensor *mean_term(const batch *b) { return ct_name(mean(b, b->dy), "mean term"); }
static ct_tensor *variance_term(const batch *b) {
    return ct_name(ct_mul(b->s.normal, mean(b, ct_mul(b->dy, b->s.normal))), "variance term");
}
static ct_tensor *textbook(const batch *b) {
    return outside(b, ct_sub(ct_sub(b->dy, mean_term(b)), variance_term(b)));
}
static ct_tensor *dgamma_of(const batch *b) { return ct_sum(ct_mul(b->dy, b->s.normal), b->axes); }
static ct_tensor *dbeta_of(const batch *b) { return ct_sum(b->dy, b->axes); }

/* A closed form: what of the batch b are the cotangents of x, gamma and beta. */
#define BATCH(name, dx, dgamma, dbeta)                   \
    CTI_CLOSED(name) {                                   \
        batch batch_here = batch_of(context, in, n, dy); \
        batch *b = &batch_here;                          \
        out[0] = dx;                                     \
        if (n > 1) out[1] = dgamma;                      \
        if (n > 2) out[2] = dbeta;                       \
        return ct_error();                               \
    }
/* One that is the textbook's for gamma and beta. */
#define BATCH_X(name, dx) BATCH(name, dx, dgamma_of(b), dbeta_of(b))

BATCH_X(closed, textbook(b))

/* --- Terms that are wrong --------------------------------------------------------------------- */

BATCH_X(no_mean_term, outside(b, ct_sub(b->dy, variance_term(b))))
BATCH_X(no_variance_term, outside(b, ct_sub(b->dy, mean_term(b))))
BATCH_X(no_terms, outside(b, b->dy))
BATCH_X(mean_term_added, outside(b, ct_sub(ct_add(b->dy, mean_term(b)), variance_term(b))))
BATCH_X(variance_term_added, outside(b, ct_add(ct_sub(b->dy, mean_term(b)), variance_term(b))))
BATCH_X(variance_term_twice,
        outside(b, ct_sub(ct_sub(b->dy, mean_term(b)), ct_scale(variance_term(b), 2.0))))
BATCH_X(variance_term_halved, /* (x^2)' = x */
        outside(b, ct_sub(ct_sub(b->dy, mean_term(b)), ct_scale(variance_term(b), 0.5))))
BATCH_X(both_by_n_minus_1, outside(b, ct_sub(b->dy, ct_scale(ct_add(mean_term(b), variance_term(b)),
                                                             b->n / (b->n - 1.0)))))
BATCH_X(variance_term_by_n_minus_1,
        outside(b, ct_sub(ct_sub(b->dy, mean_term(b)),
                          ct_scale(variance_term(b), b->n / (b->n - 1.0)))))
BATCH_X(sums_for_means,
        outside(b, ct_sub(b->dy, ct_scale(ct_add(mean_term(b), variance_term(b)), b->n))))
BATCH_X(centred_for_normal,
        outside(b, ct_sub(ct_sub(b->dy, mean_term(b)),
                          ct_mul(b->s.centred, mean(b, ct_mul(b->dy, b->s.normal))))))
BATCH_X(x_for_normal, outside(b, ct_sub(ct_sub(b->dy, mean_term(b)),
                                        ct_mul(b->x, mean(b, ct_mul(b->dy, b->s.normal))))))
BATCH_X(inverse_squared, ct_mul(textbook(b), b->s.inverse))
BATCH_X(variance_for_inverse, ct_mul(ct_div(textbook(b), b->s.inverse),
                                     ct_reciprocal(ct_offset(b->s.variance, b->epsilon))))
BATCH_X(no_gamma, ct_div(textbook(b), b->gamma))
BATCH_X(epsilon_forgotten, ct_mul(ct_div(textbook(b), b->s.inverse), ct_rsqrt(b->s.variance)))

BATCH(dgamma_from_x, textbook(b), ct_sum(ct_mul(b->dy, b->x), b->axes), dbeta_of(b))
BATCH(dgamma_from_centred, textbook(b), ct_sum(ct_mul(b->dy, b->s.centred), b->axes), dbeta_of(b))
BATCH(dgamma_with_gamma, textbook(b), ct_mul(dgamma_of(b), in[1]), dbeta_of(b))
BATCH(dgamma_as_mean, textbook(b), ct_mean(ct_mul(b->dy, b->s.normal), b->axes), dbeta_of(b))
BATCH(dbeta_as_mean, textbook(b), dgamma_of(b), ct_mean(b->dy, b->axes))

/* --- Right at order 1, and wrong further on --------------------------------------------------- */

/* What the forward has saved is a number to whoever derives the backward once more. */
static batch saved(batch b, bool inverse, bool normal) {
    if (inverse) b.s.inverse = ct_stop_gradient(b.s.inverse);
    b.s.normal = ct_mul(b.s.centred, b.s.inverse);
    if (normal) b.s.normal = ct_stop_gradient(b.s.normal);
    return b;
}
CTI_CLOSED(saved_inverse) {
    batch b = saved(batch_of(context, in, n, dy), true, false);
    out[0] = textbook(&b), out[1] = dgamma_of(&b), out[2] = dbeta_of(&b);
    return ct_error();
}
CTI_CLOSED(saved_normal) {
    batch b = saved(batch_of(context, in, n, dy), false, true);
    out[0] = textbook(&b), out[1] = dgamma_of(&b), out[2] = dbeta_of(&b);
    return ct_error();
}
CTI_CLOSED(saved_mean) {
    batch b = batch_of(context, in, n, dy);
    b.s.centred = ct_sub(b.x, ct_stop_gradient(b.s.mean));
    b = saved(b, false, false);
    out[0] = textbook(&b), out[1] = dgamma_of(&b), out[2] = dbeta_of(&b);
    return ct_error();
}
/* A second derivative that was written by hand, with the saved r in it: r' = -r^3 / 2 holds, but
 * that r^3 is a number to the third. So PyTorch's double backward. */
CTI_CLOSED(saved_in_second) {
    batch b = batch_of(context, in, n, dy);
    ct_tensor *r = ct_stop_gradient(b.s.inverse), *cube = ct_mul(r, ct_square(r));
    ct_tensor *moved = ct_sub(b.s.variance, ct_stop_gradient(b.s.variance));
    b.s.inverse = ct_sub(r, ct_scale(ct_mul(cube, moved), 0.5));
    b = saved(b, false, false);
    out[0] = textbook(&b), out[1] = dgamma_of(&b), out[2] = dbeta_of(&b);
    return ct_error();
}

/* --- Other functions -------------------------------------------------------------------------- */

static ct_tensor *affine(const batch *b, ct_tensor *normal) {
    return ct_add(ct_mul(normal, b->gamma), b->beta);
}
static ct_tensor *divided(const batch *b, ct_tensor *variance) {
    return ct_mul(b->s.centred, ct_rsqrt(ct_offset(variance, b->epsilon)));
}
static ct_tensor *unbiased(const batch *b) {
    return ct_scale(ct_sum_keep(ct_square(b->s.centred), b->axes), 1.0 / (b->n - 1.0));
}

CTI_FUNCTION(trained, ct_batch_norm(in[0], n > 1 ? in[1] : ct_scalar(ct_dtype_of(in[0]), 1.0),
                                    n > 2 ? in[2] : ct_scalar(ct_dtype_of(in[0]), 0.0),
                                    ((const convention *)context)->axis,
                                    ((const convention *)context)->epsilon, NULL, NULL))

static ct_tensor *one_pass(void *context, ct_tensor *const in[], int64_t n) {
    batch b = batch_of(context, in, n, NULL);
    ct_tensor *variance = ct_sub(mean(&b, ct_square(b.x)), ct_square(b.s.mean));
    return affine(&b, divided(&b, variance));
}
static ct_tensor *detached_mean(void *context, ct_tensor *const in[], int64_t n) {
    batch b = batch_of(context, in, n, NULL);
    ct_tensor *fixed = ct_sub(b.x, ct_stop_gradient(b.s.mean));
    return affine(&b, divided(&b, mean(&b, ct_square(fixed))));
}
static ct_tensor *detached_statistics(void *context, ct_tensor *const in[], int64_t n) {
    batch b = batch_of(context, in, n, NULL);
    ct_tensor *centred = ct_sub(b.x, ct_stop_gradient(b.s.mean));
    return affine(&b, ct_mul(centred, ct_stop_gradient(b.s.inverse)));
}
static ct_tensor *by_n_minus_1(void *context, ct_tensor *const in[], int64_t n) {
    batch b = batch_of(context, in, n, NULL);
    return affine(&b, divided(&b, unbiased(&b)));
}
static ct_tensor *epsilon_outside(void *context, ct_tensor *const in[], int64_t n) {
    batch b = batch_of(context, in, n, NULL);
    return affine(&b, ct_div(b.s.centred, ct_offset(ct_sqrt(b.s.variance), b.epsilon)));
}

/* tiny-dnn: the variance is by M - 1, and the backward divides by M. */
CTI_CLOSED(backward_by_n) {
    batch b = batch_of(context, in, n, dy);
    b.s.inverse = ct_rsqrt(ct_offset(unbiased(&b), b.epsilon));
    b = saved(b, false, false);
    out[0] = textbook(&b), out[1] = dgamma_of(&b), out[2] = dbeta_of(&b);
    return ct_error();
}

/* darknet: forward (x - mean) / (sqrt(variance) + 1e-6), the variance by N - 1; backward with 1e-5
 * inside of the root, and by N. */
static ct_tensor *darknet(void *context, ct_tensor *const in[], int64_t n) {
    batch b = batch_of(context, in, n, NULL);
    return affine(&b, ct_div(b.s.centred, ct_offset(ct_sqrt(unbiased(&b)), 1e-6)));
}
CTI_CLOSED(darknet_closed) {
    batch b = batch_of(context, in, n, dy);
    b.epsilon = 1e-5;
    ct_tensor *r = ct_rsqrt(ct_offset(unbiased(&b), b.epsilon)), *g = ct_mul(dy, b.gamma);
    ct_tensor *dmean = ct_neg(ct_mul(ct_sum_keep(g, b.axes), r));
    ct_tensor *dvariance = ct_mul(ct_sum_keep(ct_mul(g, b.s.centred), b.axes),
                                  ct_scale(ct_mul(r, ct_square(r)), -0.5));
    ct_tensor *by_variance = ct_scale(ct_mul(dvariance, b.s.centred), 2.0 / b.n);
    out[0] = ct_add(ct_add(ct_mul(g, r), by_variance), ct_scale(dmean, 1.0 / b.n));
    ct_tensor *normal = ct_div(b.s.centred, ct_offset(ct_sqrt(unbiased(&b)), 1e-6));
    out[1] = ct_sum(ct_mul(dy, normal), b.axes);
    out[2] = dbeta_of(&b);
    return ct_error();
}

/* AIfES, of a batch that comes one sample at a time: the forward has moving statistics, which the
 * sample has moved a tenth of the way (from 0 and 1 here); the backward takes them for its own. */
static batch moved(batch b) {
    b.s.mean = ct_scale(b.s.mean, 0.1);
    b.s.centred = ct_sub(b.x, b.s.mean);
    ct_tensor *own = mean(&b, ct_square(b.s.centred));
    b.s.variance = ct_offset(ct_scale(own, 0.1), 0.9);
    b.s.inverse = ct_rsqrt(ct_offset(b.s.variance, b.epsilon));
    return saved(b, false, false);
}
static ct_tensor *aifes(void *context, ct_tensor *const in[], int64_t n) {
    batch b = moved(batch_of(context, in, n, NULL));
    return affine(&b, b.s.normal);
}
CTI_CLOSED(aifes_closed) {
    batch b = moved(batch_of(context, in, n, dy));
    ct_tensor *r = b.s.inverse, *g = ct_mul(dy, b.gamma);
    ct_tensor *dvariance = ct_mul(ct_sum_keep(ct_mul(g, b.s.centred), b.axes),
                                  ct_scale(ct_mul(r, ct_square(r)), -0.5));
    ct_tensor *slope = ct_scale(ct_mul(dvariance, b.s.centred), 2.0);
    ct_tensor *dmean = ct_neg(ct_add(ct_mul(ct_sum_keep(g, b.axes), r), mean(&b, slope)));
    out[0] = ct_add(ct_mul(g, r), ct_scale(ct_add(slope, dmean), 1.0 / b.n));
    out[1] = dgamma_of(&b), out[2] = dbeta_of(&b);
    return ct_error();
}

/* The forward is of the batch, the backward of each sample's own pixels. */
CTI_CLOSED(each_sample) {
    batch b = batch_of(context, in, n, dy);
    ct_axes pixels = CT_AXES(1, 2);
    ct_tensor *by_mean = ct_mean_keep(dy, pixels);
    ct_tensor *by_variance = ct_mean_keep(ct_mul(dy, b.s.normal), pixels);
    ct_tensor *inner = ct_sub(ct_sub(dy, by_mean), ct_mul(b.s.normal, by_variance));
    out[0] = outside(&b, inner), out[1] = dgamma_of(&b), out[2] = dbeta_of(&b);
    return ct_error();
}
/* The batch is N rows, and pixels are forgotten. */
static ct_tensor *by_rows(const batch *b) {
    double share = b->n / (double)ct_dim(b->x, 0);
    return outside(b, ct_sub(b->dy, ct_scale(ct_add(mean_term(b), variance_term(b)), share)));
}
BATCH_X(by_rows_alone, by_rows(b))

/* --- Claims in training ----------------------------------------------------------------------- */

static const ct_claim_mutant mutants[] = {
    {"the mean term is missing", NULL, no_mean_term, 1, "'mean' is missing"},
    {"the variance term is missing", NULL, no_variance_term, 1, "'variance' is missing"},
    {"the formula of inference", NULL, no_terms, 1, "'mean' is missing"},
    {"the mean term's sign", NULL, mean_term_added, 1, "'mean' has the wrong sign"},
    {"the variance term's sign", NULL, variance_term_added, 1, "'variance' has the wrong sign"},
    {"the variance term twice", NULL, variance_term_twice, 1, "'variance' has the factor 2"},
    {"x^2 derived as x", NULL, variance_term_halved, 1, "'variance' has the factor 1/2"},
    {"N - 1 for N in both terms", NULL, both_by_n_minus_1, 1, "'mean' has the factor 6/5"},
    {"N - 1 for N in the variance term", NULL, variance_term_by_n_minus_1, 1,
     "'variance' has the factor 6/5"},
    {"sums for means", NULL, sums_for_means, 1, "'mean' has the factor 6"},
    {"x - mean for xhat", NULL, centred_for_normal, 1, "'variance' lacks the factor rsqrt"},
    {"x for xhat", NULL, x_for_normal, 1, "rsqrt(..)) in place of x"},
    {"1 / (variance + epsilon) for its root", NULL, variance_for_inverse, 1, "factor rsqrt"},
    {"r twice", NULL, inverse_squared, 1, "factor rsqrt"},
    {"gamma is missing", NULL, no_gamma, 1, "lacks the factor gamma"},
    {"epsilon is forgotten", NULL, epsilon_forgotten, 1, "rsqrt(add(.., 0.001)) in place of rsqrt"},
    {"dgamma from x", NULL, dgamma_from_x, 1, "gamma: "},
    {"dgamma from x - mean", NULL, dgamma_from_centred, 1,
     "gamma: all of it lacks the factor rsqrt"},
    {"dgamma with gamma in it", NULL, dgamma_with_gamma, 1,
     "gamma: all of it has the factor gamma once too often"},
    {"dgamma as a mean", NULL, dgamma_as_mean, 1, "gamma: all of it has the factor 1/6"},
    {"dbeta as a mean", NULL, dbeta_as_mean, 1, "beta: all of it has the factor 1/6"},
    {"r is saved as a number", NULL, saved_inverse, 2, "held constant"},
    {"xhat is saved as a number", NULL, saved_normal, 2, "held constant"},
    {"the mean is saved as a number", NULL, saved_mean, 2, "held constant"},
    {"the mean is detached inside of the variance (tf.nn.moments, tinygrad)", detached_mean, NULL,
     2, "held constant"},
    {"a double backward with the saved r (PyTorch)", NULL, saved_in_second, 3, "held constant"},
    {"the variance in one pass (nnabla)", one_pass, NULL, 0, "digits are lost"},
    {"both statistics are detached", detached_statistics, NULL, 1,
     "the closed form's 'variance term' does not belong there"},
    {"the variance by N - 1", by_n_minus_1, NULL, 1, "has the factor 5/6 = (m - 1) / m"},
    {"the variance by N - 1, and backward by N (tiny-dnn)", by_n_minus_1, backward_by_n, 1,
     "has the factor 5/6"},
    {"epsilon outside of the root", epsilon_outside, NULL, 1,
     "sqrt(add(.., 0.001)) in place of add(sqrt(..), 0.001)"},
    {"moving statistics as the batch's own (AIfES)", aifes, aifes_closed, 1, NULL},
    {"N - 1 and another epsilon forward than backward (darknet)", darknet, darknet_closed, 1, NULL},
};
static const ct_claim_mutant image_mutants[] = {
    {"the mean term is missing", NULL, no_mean_term, 1, "'mean' is missing"},
    {"means over each sample's own pixels", NULL, each_sample, 1,
     "axes 0, 1, 2 in place of axes 1, 2"},
    {"sums over pixels, divided by rows", NULL, by_rows_alone, 1, "'mean' has the factor 6"},
};
static const ct_claim_mutant few_mutants[] = {
    {"the mean term is missing", NULL, no_mean_term, 1, "'mean' is missing"},
    {"the variance term is missing", NULL, no_variance_term, 1, "'variance' is missing"},
    {"r twice", NULL, inverse_squared, 1, "factor rsqrt"},
};
static const ct_claim_mutant two_mutants[] = {
    {"the mean term is missing", NULL, no_mean_term, 1, "'mean' is missing"},
    {"the variance term is missing", NULL, no_variance_term, 1, "'variance' is missing"},
    {"N - 1 for N in both terms", NULL, both_by_n_minus_1, 1, "'mean' has the factor 2"},
};

#define BATCH_INPUTS(inputs_name, ...)                        \
    static const ct_claim_input inputs_name[] = {             \
        {.name = "x", .shape = CTI_CLAIM_SHAPE(__VA_ARGS__)}, \
        {.name = "gamma", .shape = CTI_CLAIM_SHAPE(2)},       \
        {.name = "beta", .shape = CTI_CLAIM_SHAPE(2)}}
BATCH_INPUTS(rows_6, 6, 2);
BATCH_INPUTS(rows_3, 3, 2);
BATCH_INPUTS(rows_32, 32, 2);
BATCH_INPUTS(images, 2, 2, 3, 2);
BATCH_INPUTS(channels_first, 3, 2, 2);
/* All but a share of epsilon cancels: a small one leaves f32 few digits, and none far from 0. */
static const ct_claim_input rows_2[] = {{.name = "x", .shape = CTI_CLAIM_SHAPE(2, 2), .near = true},
                                        {.name = "gamma", .shape = CTI_CLAIM_SHAPE(2)},
                                        {.name = "beta", .shape = CTI_CLAIM_SHAPE(2)}};
static const ct_claim_input x_alone[] = {{.name = "x", .shape = CTI_CLAIM_SHAPE(6, 2)}};

static const convention usual = {-1, 1e-3}, small_epsilon = {-1, 1e-5}, axis_1 = {1, 1e-3},
                        large_epsilon = {-1, 0.25};

/* --- Given statistics ------------------------------------------------------------------------- */

/* in: x, gamma, beta, moving_mean, moving_variance */
typedef struct {
    ct_tensor *x, *gamma, *dy, *inverse, *normal;
} given;

static given given_of(ct_tensor *const in[], ct_tensor *dy) {
    given g = {.x = in[0], .gamma = in[1], .dy = dy};
    g.inverse = ct_rsqrt(ct_offset(in[4], 1e-3));
    g.normal = ct_mul(ct_sub(in[0], in[3]), g.inverse);
    return g;
}
static ct_tensor *straight(const given *g) { return ct_mul(g->dy, ct_mul(g->gamma, g->inverse)); }

#define GIVEN(name, dx, dgamma, dbeta)                         \
    CTI_CLOSED(name) {                                         \
        (void)context, (void)n;                                \
        given given_here = given_of(in, dy), *g = &given_here; \
        ct_axes rows = CT_AXES(0);                             \
        out[0] = dx, out[1] = dgamma, out[2] = dbeta;          \
        return ct_error();                                     \
    }
#define DGAMMA ct_sum(ct_mul(dy, g->normal), rows)
GIVEN(given_closed, straight(g), DGAMMA, ct_sum(dy, rows))
/* darknet: statistics that moved, and the derivative of those of a batch. */
GIVEN(given_as_trained,
      ct_mul(ct_mul(g->gamma, g->inverse),
             ct_sub(ct_sub(dy, ct_name(ct_mean_keep(dy, rows), "mean term")),
                    ct_name(ct_mul(g->normal, ct_mean_keep(ct_mul(dy, g->normal), rows)),
                            "variance term"))),
      DGAMMA, ct_sum(dy, rows))
GIVEN(given_without_gamma, ct_mul(dy, g->inverse), DGAMMA, ct_sum(dy, rows))
GIVEN(given_by_variance, ct_mul(ct_mul(dy, g->gamma), ct_square(g->inverse)), DGAMMA,
      ct_sum(dy, rows))
GIVEN(given_from_x, straight(g), ct_sum(ct_mul(dy, g->x), rows), ct_sum(dy, rows))
GIVEN(given_epsilon_outside, ct_div(ct_mul(dy, g->gamma), ct_offset(ct_sqrt(in[4]), 1e-3)),
      ct_sum(ct_mul(dy, ct_div(ct_sub(g->x, in[3]), ct_offset(ct_sqrt(in[4]), 1e-3))), rows),
      ct_sum(dy, rows))
GIVEN(given_batch_statistics, straight(g),
      ct_sum(ct_mul(dy, cti_normal_of(g->x, rows, 1e-3).normal), rows), ct_sum(dy, rows))

CTI_FUNCTION(inference, ct_batch_norm_inference(in[0], in[1], in[2], in[3], in[4], -1, 1e-3))
CTI_FUNCTION(trained_instead, ct_batch_norm(in[0], in[1], in[2], -1, 1e-3, NULL, NULL))
static ct_tensor *frozen(void *context, ct_tensor *const in[], int64_t n) {
    (void)context;
    ct_module *module = ct_batch_norm_new(2, ct_batch_norm_defaults());
    if (module) ct_module_freeze(module, true);
    return cti_claimed_module(module, CT_TRAINING, in, 1, n);
}
static ct_tensor *not_frozen(void *context, ct_tensor *const in[], int64_t n) {
    (void)context;
    ct_module *module = ct_batch_norm_new(2, ct_batch_norm_defaults());
    return cti_claimed_module(module, CT_TRAINING, in, 1, n);
}

static const ct_claim_input given_inputs[] = {
    {.name = "x", .shape = CTI_CLAIM_SHAPE(4, 2)},
    {.name = "gamma", .shape = CTI_CLAIM_SHAPE(2)},
    {.name = "beta", .shape = CTI_CLAIM_SHAPE(2)},
    {.name = "moving_mean", .shape = CTI_CLAIM_SHAPE(2), .fixed = true},
    {.name = "moving_variance", .shape = CTI_CLAIM_SHAPE(2), .fixed = true, .positive = true},
};
static const ct_claim_mutant inference_mutants[] = {
    {"the formula of training (darknet)", NULL, given_as_trained, 1,
     "the closed form's 'variance term' does not belong there"},
    {"epsilon outside of the root (libnnc)", NULL, given_epsilon_outside, 1,
     "sqrt(add(moving_variance, 0.001)) in place of add(sqrt(moving_variance), 0.001)"},
    {"1 / (variance + epsilon) for its root", NULL, given_by_variance, 1, "factor rsqrt"},
    {"gamma is missing", NULL, given_without_gamma, 1, "lacks the factor gamma"},
    {"dgamma from x", NULL, given_from_x, 1, "gamma: "},
    {"dgamma from the batch's statistics", NULL, given_batch_statistics, 1, "gamma: "},
    {"the batch's statistics forward", trained_instead, NULL, 1, NULL},
};
static const ct_claim_mutant frozen_mutants[] = {
    {"the formula of training", NULL, given_as_trained, 1,
     "the closed form's 'variance term' does not belong there"},
    {"freezing is forgotten", not_frozen, NULL, 1, NULL},
};

static const ct_claim claims[] = {
    {"batch_norm", trained, closed, CTI_CONTEXT(usual), CTI_INPUTS(rows_6), CTI_MUTANTS(mutants),
     .conventions = "training, N = 6, 1/N in the variance, epsilon 1e-3 inside of the root"},
    {"batch_norm_n2", trained, closed, CTI_CONTEXT(large_epsilon), CTI_INPUTS(rows_2),
     CTI_MUTANTS(two_mutants),
     .conventions = "training, N = 2, where the terms are dependent, epsilon 1/4"},
    {"batch_norm_n3", trained, closed, CTI_CONTEXT(usual), CTI_INPUTS(rows_3),
     CTI_MUTANTS(few_mutants), .conventions = "training, N = 3"},
    {"batch_norm_n32", trained, closed, CTI_CONTEXT(usual), CTI_INPUTS(rows_32),
     CTI_MUTANTS(few_mutants), .conventions = "training, N = 32"},
    {"batch_norm_images", trained, closed, CTI_CONTEXT(usual), CTI_INPUTS(images),
     CTI_MUTANTS(image_mutants), .conventions = "training, [N,H,W,C], N H W = 12"},
    {"batch_norm_channels_first", trained, closed, CTI_CONTEXT(axis_1), CTI_INPUTS(channels_first),
     CTI_MUTANTS(few_mutants), .conventions = "training, channels on axis 1 of [N,C,L], N L = 6"},
    {"batch_norm_plain", trained, closed, CTI_CONTEXT(usual), CTI_INPUTS(x_alone),
     CTI_MUTANTS(few_mutants), .conventions = "training, N = 6, without gamma and beta"},
    {"batch_norm_pytorch", trained, closed, CTI_CONTEXT(small_epsilon), CTI_INPUTS(rows_6),
     CTI_MUTANTS(few_mutants), .conventions = "training, N = 6, epsilon 1e-5"},
    {"batch_norm_inference", inference, given_closed, CTI_INPUTS(given_inputs),
     CTI_MUTANTS(inference_mutants), .conventions = "inference, moving statistics, epsilon 1e-3"},
    {"batch_norm_frozen", frozen, given_closed, CTI_INPUTS(given_inputs),
     CTI_MUTANTS(frozen_mutants), .conventions = "a frozen module in training"},
};
const cti_claim_family cti_batch_norm_claims = {claims, CTI_ITEMS(claims)};
