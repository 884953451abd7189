/* Claims on normalizations of each sample by itself, and of weights: LayerNorm, RMSNorm, GroupNorm,
 * InstanceNorm, WeightNorm.
 * The closed forms are those of the layers' papers (layers.h); no derivative is derived here.
 * Invariant: gamma varies along what is averaged, so it stands inside of the means. */
#include "nn/claims/claims_private.h"

ct_axes cti_first_axes(int n) {
    ct_axes axes = {.count = n};
    for (int i = 0; i < n; i++) axes.axis[i] = i;
    return axes;
}

cti_normal cti_normal_of(ct_tensor *x, ct_axes axes, double epsilon) {
    cti_normal s = {.axes = axes, .x = x, .n = 1};
    for (int i = 0; i < axes.count; i++) s.n *= (double)ct_dim(x, axes.axis[i]);
    s.mean = ct_mean_keep(x, axes);
    s.centred = ct_sub(x, s.mean);
    s.variance = ct_mean_keep(ct_square(s.centred), axes);
    s.inverse = ct_rsqrt(ct_offset(s.variance, epsilon));
    s.normal = ct_mul(s.centred, s.inverse);
    return s;
}

ct_tensor *cti_normal_mean(const cti_normal *s, ct_tensor *t) { return ct_mean_keep(t, s->axes); }

ct_tensor *cti_normal_back(const cti_normal *s, ct_tensor *g) {
    ct_tensor *by_variance = ct_mul(s->normal, cti_normal_mean(s, ct_mul(g, s->normal)));
    ct_tensor *by_mean = ct_name(cti_normal_mean(s, g), "mean term");
    return ct_mul(s->inverse, ct_sub(ct_sub(g, by_mean), ct_name(by_variance, "variance term")));
}

/* --- LayerNorm: x [3,4] ----------------------------------------------------------------------- */

/* That of Keras, or of the claim. */
#define EPSILON epsilon_of(context)
static const double pytorch = 1e-5;
static double epsilon_of(const void *context) { return context ? *(const double *)context : 1e-3; }

/* A closed form of (x, gamma, beta) from s, the statistics of rows, and g = dy gamma. */
#define LAYER(name, dx, dgamma, dbeta)                                  \
    CTI_CLOSED(name) {                                                  \
        (void)context, (void)n;                                         \
        cti_normal s_here = cti_normal_of(in[0], CT_AXES(-1), EPSILON); \
        const cti_normal *s = &s_here;                                  \
        ct_tensor *g = ct_mul(dy, in[1]);                               \
        (void)g;                                                        \
        ct_axes rows = CT_AXES(0);                                      \
        out[0] = dx, out[1] = dgamma, out[2] = dbeta;                   \
        return ct_error();                                              \
    }
#define NORMAL_SUM ct_sum(ct_mul(dy, s->normal), rows)
#define LAYER_X(name, dx) LAYER(name, dx, NORMAL_SUM, ct_sum(dy, rows))

static ct_tensor *less(const cti_normal *s, ct_tensor *g, ct_tensor *by_mean, ct_tensor *inner) {
    ct_tensor *by_variance = ct_mul(s->normal, cti_normal_mean(s, inner));
    return ct_mul(s->inverse, ct_sub(by_mean ? ct_sub(g, by_mean) : g, by_variance));
}

LAYER_X(layer_closed, cti_normal_back(s, g))
LAYER_X(layer_gamma_outside, ct_mul(in[1], cti_normal_back(s, dy)))
LAYER_X(layer_no_gamma, cti_normal_back(s, dy))
LAYER_X(layer_no_mean, less(s, g, NULL, ct_mul(g, s->normal)))
LAYER_X(layer_no_variance, ct_mul(s->inverse, ct_sub(g, cti_normal_mean(s, g))))
LAYER_X(layer_by_n_minus_1, less(s, g, ct_scale(cti_normal_mean(s, g), s->n / (s->n - 1)),
                                 ct_scale(ct_mul(g, s->normal), s->n / (s->n - 1))))
LAYER_X(layer_mean_of_rows, less(s, g, ct_mean_keep(g, rows), ct_mul(g, s->normal)))
LAYER_X(layer_dy_in_variance, less(s, g, cti_normal_mean(s, g), ct_mul(dy, s->normal)))
LAYER(layer_dgamma_from_x, cti_normal_back(s, g), ct_sum(ct_mul(dy, in[0]), rows), ct_sum(dy, rows))
LAYER(layer_dbeta_with_gamma, cti_normal_back(s, g), NORMAL_SUM, ct_sum(g, rows))

static ct_tensor *layer_from(const void *context, ct_tensor *const in[], ct_tensor *centred,
                             ct_tensor *variance) {
    ct_tensor *normal = ct_mul(centred, ct_rsqrt(ct_offset(variance, EPSILON)));
    return ct_add(ct_mul(normal, in[1]), in[2]);
}
CTI_FUNCTION(layer, ct_layer_norm(in[0], in[1], in[2], EPSILON))
static ct_tensor *layer_one_pass(void *context, ct_tensor *const in[], int64_t n) {
    (void)n;
    ct_axes last = CT_AXES(-1);
    ct_tensor *mean = ct_mean_keep(in[0], last), *squares = ct_mean_keep(ct_square(in[0]), last);
    return layer_from(context, in, ct_sub(in[0], mean), ct_sub(squares, ct_square(mean)));
}
static ct_tensor *layer_unbiased(void *context, ct_tensor *const in[], int64_t n) {
    (void)n;
    cti_normal s = cti_normal_of(in[0], CT_AXES(-1), EPSILON);
    return layer_from(context, in, s.centred, ct_scale(s.variance, s.n / (s.n - 1)));
}
static ct_tensor *layer_detached(void *context, ct_tensor *const in[], int64_t n) {
    (void)n;
    cti_normal s = cti_normal_of(in[0], CT_AXES(-1), EPSILON);
    ct_tensor *apart = ct_sub(in[0], ct_stop_gradient(s.mean));
    return layer_from(context, in, s.centred, cti_normal_mean(&s, ct_square(apart)));
}

static const ct_claim_mutant pytorch_mutants[] = {
    {"the mean term is missing", NULL, layer_no_mean, 1, "'mean' is missing"},
    {"the variance term is missing", NULL, layer_no_variance, 1, "'variance' is missing"},
};
static const ct_claim_input layer_inputs[] = {{.name = "x", .shape = CTI_CLAIM_SHAPE(3, 4)},
                                              {.name = "gamma", .shape = CTI_CLAIM_SHAPE(4)},
                                              {.name = "beta", .shape = CTI_CLAIM_SHAPE(4)}};
static const ct_claim_mutant layer_mutants[] = {
    {"gamma outside of the means, as in BatchNorm", NULL, layer_gamma_outside, 1,
     "gamma inside, at the cotangent, in place of the same outside"},
    {"gamma is missing", NULL, layer_no_gamma, 1, "gamma were 1"},
    {"the mean term is missing", NULL, layer_no_mean, 1, "mean"},
    {"the variance term is missing", NULL, layer_no_variance, 1, "variance"},
    {"N - 1 for N in both terms", NULL, layer_by_n_minus_1, 1, "'mean' has the factor 4/3"},
    {"the mean of columns for that of rows", NULL, layer_mean_of_rows, 1,
     "axis 1 in place of axis 0, in div(sum(..), ..)"},
    {"dy for dy gamma in the variance term", NULL, layer_dy_in_variance, 1,
     "sub(mul(dy, gamma), div(.., ..)) in place of dy"},
    {"dgamma from x", NULL, layer_dgamma_from_x, 1, "gamma: "},
    {"dbeta with gamma in it", NULL, layer_dbeta_with_gamma, 1,
     "beta: all of it has the factor gamma once too often"},
    {"the variance in one pass", layer_one_pass, NULL, 0, "digits are lost"},
    {"the variance by N - 1", layer_unbiased, NULL, 1, "stands where mul(div(.., ..), 1.33333)"},
    {"the mean is detached inside of the variance", layer_detached, NULL, 2, "held constant"},
};

/* --- RMSNorm: x [3,4], gamma ------------------------------------------------------------------ */

#define RMS_EPSILON 1e-6

/* y = gamma x r, r = 1 / sqrt(mean(x^2) + epsilon); g = dy gamma. */
#define RMS(name, dx, dgamma)                                                                     \
    CTI_CLOSED(name) {                                                                            \
        (void)context, (void)n;                                                                   \
        ct_tensor *x = in[0], *g = ct_mul(dy, in[1]);                                             \
        (void)g;                                                                                  \
        ct_tensor *r = ct_rsqrt(ct_offset(ct_mean_keep(ct_square(x), CT_AXES(-1)), RMS_EPSILON)); \
        ct_tensor *normal = ct_mul(x, r);                                                         \
        out[0] = dx, out[1] = ct_sum(dgamma, CT_AXES(0));                                         \
        return ct_error();                                                                        \
    }
#define RMS_TERM(t) ct_mul(normal, ct_mean_keep(ct_mul(t, normal), CT_AXES(-1)))
#define RMS_X(name, dx) RMS(name, dx, ct_mul(dy, normal))
RMS_X(rms_closed, ct_mul(r, ct_sub(g, RMS_TERM(g))))
RMS_X(rms_no_term, ct_mul(r, g))
RMS_X(rms_gamma_outside, ct_mul(ct_mul(in[1], r), ct_sub(dy, RMS_TERM(dy))))
RMS_X(rms_sum_for_mean, ct_mul(r, ct_sub(g, ct_scale(RMS_TERM(g), 4.0))))
RMS_X(rms_by_n_minus_1, ct_mul(r, ct_sub(g, ct_scale(RMS_TERM(g), 4.0 / 3.0))))
RMS_X(rms_as_layer_norm,
      ct_mul(r, ct_sub(ct_sub(g, ct_name(ct_mean_keep(g, CT_AXES(-1)), "mean term")), RMS_TERM(g))))
RMS_X(rms_one_r_less, ct_mul(r, ct_sub(g, ct_div(RMS_TERM(g), r))))
RMS_X(rms_sign, ct_mul(r, ct_add(g, RMS_TERM(g))))
RMS(rms_dgamma_from_x, ct_mul(r, ct_sub(g, RMS_TERM(g))), ct_mul(dy, x))
CTI_CLOSED(rms_saved) {
    (void)context, (void)n;
    ct_tensor *square = ct_mean_keep(ct_square(in[0]), CT_AXES(-1)), *g = ct_mul(dy, in[1]);
    ct_tensor *r = ct_stop_gradient(ct_rsqrt(ct_offset(square, RMS_EPSILON)));
    ct_tensor *normal = ct_mul(in[0], r);
    out[0] = ct_mul(r, ct_sub(g, RMS_TERM(g)));
    out[1] = ct_sum(ct_mul(dy, normal), CT_AXES(0));
    return ct_error();
}

CTI_FUNCTION(rms,
             cti_claimed_module(ct_rms_norm_new(4, ct_rms_norm_defaults()), CT_TRAINING, in, 1, n))
static ct_tensor *rms_epsilon_outside(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    ct_tensor *root = ct_sqrt(ct_mean_keep(ct_square(in[0]), CT_AXES(-1)));
    return ct_mul(ct_div(in[0], ct_offset(root, RMS_EPSILON)), in[1]);
}

static const ct_claim_input rms_inputs[] = {{.name = "x", .shape = CTI_CLAIM_SHAPE(3, 4)},
                                            {.name = "gamma", .shape = CTI_CLAIM_SHAPE(4)}};
static const ct_claim_mutant rms_mutants[] = {
    {"the term of the root is missing", NULL, rms_no_term, 1, "'mean_square' is missing"},
    {"gamma outside of the mean", NULL, rms_gamma_outside, 1,
     "mul(gamma, rsqrt(..)) inside, at the cotangent, in place of the sa"},
    {"a sum for the mean", NULL, rms_sum_for_mean, 1, "'mean_square' has the factor 4"},
    {"N - 1 for N", NULL, rms_by_n_minus_1, 1, "'mean_square' has the factor 4/3"},
    {"the mean term of LayerNorm", NULL, rms_as_layer_norm, 1,
     "the closed form's 'mean term' does not belong there"},
    {"r once less in the term", NULL, rms_one_r_less, 1, "lacks the factor rsqrt(mean_square)"},
    {"the term's sign", NULL, rms_sign, 1, "'mean_square' has the wrong sign"},
    {"dgamma from x", NULL, rms_dgamma_from_x, 1,
     "gamma: x stands where mul(x, rsqrt(..)) belongs"},
    {"r is saved as a number", NULL, rms_saved, 2, "held constant"},
    {"epsilon outside of the root", rms_epsilon_outside, NULL, 1,
     "sqrt(add(.., 1e-06)) in place of add(sqrt(..), 1e-06)"},
};

/* --- GroupNorm: x [2,1,2,4] in 2 groups; InstanceNorm: x [2,2,2,2] ---------------------------- */

/* As [N, pixels, groups, channels of a group], and gamma as it stretches along that. */
static ct_tensor *grouped(ct_tensor *t, int64_t groups) {
    ct_shape s = ct_shape_of(t);
    if (s.rank == 1) return ct_reshape(t, CT_SHAPE(groups, s.dims[0] / groups));
    return ct_reshape(t, CT_SHAPE(s.dims[0], s.dims[1] * s.dims[2], groups, s.dims[3] / groups));
}

typedef struct {
    cti_normal s;
    ct_tensor *gamma, *dy, *g;
    ct_shape shape, channels;
} group;

static group group_of(const void *context, ct_tensor *const in[], ct_tensor *dy, int64_t groups,
                      ct_axes axes) {
    group k = {.gamma = grouped(in[1], groups), .dy = grouped(dy, groups)};
    k.s = cti_normal_of(grouped(in[0], groups), axes, EPSILON);
    k.g = ct_mul(k.dy, k.gamma);
    k.shape = ct_shape_of(in[0]), k.channels = ct_shape_of(in[1]);
    return k;
}

/* A closed form from k, the groups with statistics over `over`. */
#define GROUP(name, groups, over, dx, dgamma)                                  \
    CTI_CLOSED(name) {                                                         \
        (void)context, (void)n;                                                \
        ct_axes rows = CT_AXES(0, 1);                                          \
        group k_here = group_of(context, in, dy, groups, over), *k = &k_here;  \
        out[0] = ct_reshape(dx, k->shape);                                     \
        out[1] = ct_reshape(ct_sum(ct_mul(k->dy, dgamma), rows), k->channels); \
        out[2] = ct_reshape(ct_sum(k->dy, rows), k->channels);                 \
        return ct_error();                                                     \
    }
#define OF_GROUP CT_AXES(1, 3)
GROUP(group_closed, 2, OF_GROUP, cti_normal_back(&k->s, k->g), k->s.normal)
GROUP(group_gamma_outside, 2, OF_GROUP, ct_mul(k->gamma, cti_normal_back(&k->s, k->dy)),
      k->s.normal)
GROUP(group_by_pixels, 2, OF_GROUP,
      ct_mul(k->s.inverse,
             ct_sub(k->g, ct_add(ct_mean_keep(k->g, CT_AXES(1)),
                                 ct_mul(k->s.normal,
                                        ct_mean_keep(ct_mul(k->g, k->s.normal), CT_AXES(1)))))),
      k->s.normal)
GROUP(group_all_channels, 1, OF_GROUP, cti_normal_back(&k->s, k->g), k->s.normal)
GROUP(group_no_mean, 2, OF_GROUP, less(&k->s, k->g, NULL, ct_mul(k->g, k->s.normal)), k->s.normal)
GROUP(group_dgamma_from_centred, 2, OF_GROUP, cti_normal_back(&k->s, k->g), k->s.centred)

#define OF_SAMPLE CT_AXES(1)
GROUP(instance_closed, 2, OF_SAMPLE, cti_normal_back(&k->s, k->g), k->s.normal)
GROUP(instance_as_batch, 2, CT_AXES(0, 1), cti_normal_back(&k->s, k->g), k->s.normal)
GROUP(instance_as_layer, 2, CT_AXES(1, 2), cti_normal_back(&k->s, k->g), k->s.normal)
GROUP(instance_means_of_batch, 2, OF_SAMPLE,
      ct_mul(k->s.inverse,
             ct_sub(k->g,
                    ct_add(ct_mean_keep(k->g, rows),
                           ct_mul(k->s.normal, ct_mean_keep(ct_mul(k->g, k->s.normal), rows))))),
      k->s.normal)
GROUP(instance_no_variance, 2, OF_SAMPLE,
      ct_mul(k->s.inverse, ct_sub(k->g, cti_normal_mean(&k->s, k->g))), k->s.normal)

static ct_group_norm_options options_of(const void *context) {
    ct_group_norm_options options = ct_group_norm_defaults();
    options.epsilon = EPSILON;
    return options;
}
CTI_FUNCTION(group_norm, cti_claimed_module(ct_group_norm_new(2, 4, options_of(context)),
                                            CT_TRAINING, in, 1, n))
CTI_FUNCTION(instance_norm, cti_claimed_module(ct_instance_norm_new(2, options_of(context)),
                                               CT_TRAINING, in, 1, n))

static const ct_claim_input group_inputs[] = {{.name = "x", .shape = CTI_CLAIM_SHAPE(2, 1, 2, 4)},
                                              {.name = "gamma", .shape = CTI_CLAIM_SHAPE(4)},
                                              {.name = "beta", .shape = CTI_CLAIM_SHAPE(4)}};
static const ct_claim_input instance_inputs[] = {
    {.name = "x", .shape = CTI_CLAIM_SHAPE(2, 2, 2, 2)},
    {.name = "gamma", .shape = CTI_CLAIM_SHAPE(2)},
    {.name = "beta", .shape = CTI_CLAIM_SHAPE(2)}};
static const ct_claim_mutant group_mutants[] = {
    {"gamma outside of the means, as in BatchNorm", NULL, group_gamma_outside, 1,
     "gamma inside, at the cotangent, in place of the same outside"},
    {"means over pixels alone", NULL, group_by_pixels, 1,
     "axes 1, 3 in place of axis 1, in all sums over them"},
    {"one group of all channels", NULL, group_all_channels, 1, NULL},
    {"the mean term is missing", NULL, group_no_mean, 1, "mean"},
    {"dgamma from x - mean", NULL, group_dgamma_from_centred, 1,
     "gamma: 1 stands where rsqrt(add(.., "},
};
static const ct_claim_mutant instance_mutants[] = {
    {"the batch's statistics, as in BatchNorm", NULL, instance_as_batch, 1, NULL},
    {"statistics of all channels, as in LayerNorm", NULL, instance_as_layer, 1, NULL},
    {"means of cotangents over the batch", NULL, instance_means_of_batch, 1,
     "axis 1 in place of axes 0, 1, in all sums over them"},
    {"the variance term is missing", NULL, instance_no_variance, 1, "variance"},
};

/* --- WeightNorm of a dense layer: x [3,3], g [2], v [3,2] ------------------------------------- */

/* w = g u, u = v / ||v||, for each column; dw is the cotangent of w. */
#define WEIGHT(name, dx, dg, dv)                                                            \
    CTI_CLOSED(name) {                                                                      \
        (void)context, (void)n;                                                             \
        ct_tensor *x = in[0], *g = in[1], *v = in[2], *dw = ct_matmul(ct_transpose(x), dy); \
        ct_tensor *length = ct_sqrt(ct_sum_keep(ct_square(v), CT_AXES(0)));                 \
        ct_tensor *u = ct_div(v, length), *along = ct_sum_keep(ct_mul(dw, u), CT_AXES(0));  \
        out[0] = ct_matmul(dy, ct_transpose(dx));                                           \
        out[1] = ct_reshape(dg, CT_SHAPE(2)), out[2] = dv;                                  \
        return ct_error();                                                                  \
    }
#define PROJECTED ct_sub(dw, ct_mul(u, along))
WEIGHT(weight_closed, ct_mul(g, u), along, ct_mul(ct_div(g, length), PROJECTED))
WEIGHT(weight_no_projection, ct_mul(g, u), along, ct_mul(ct_div(g, length), dw))
WEIGHT(weight_projection_by_v, ct_mul(g, u), along,
       ct_mul(ct_div(g, length), ct_sub(dw, ct_mul(v, along))))
WEIGHT(weight_no_g, ct_mul(g, u), along, ct_div(PROJECTED, length))
WEIGHT(weight_no_length, ct_mul(g, u), along, ct_mul(g, PROJECTED))
WEIGHT(weight_dg_from_v, ct_mul(g, u), ct_sum_keep(ct_mul(dw, v), CT_AXES(0)),
       ct_mul(ct_div(g, length), PROJECTED))
WEIGHT(weight_dx_from_v, v, along, ct_mul(ct_div(g, length), PROJECTED))

static ct_tensor *weight_norm(void *context, ct_tensor *const in[], int64_t n) {
    (void)context;
    /* v of ones, so that ||v|| is no 0 where the length begins. */
    ct_dense_options options = {.no_bias = true, .kernel = ct_init_ones};
    ct_module *module = ct_weight_norm_new(ct_dense_new(3, 2, options));
    return cti_claimed_module(module, CT_TRAINING, in, 1, n);
}

static const ct_claim_input weight_inputs[] = {{.name = "x", .shape = CTI_CLAIM_SHAPE(3, 3)},
                                               {.name = "g", .shape = CTI_CLAIM_SHAPE(2)},
                                               {.name = "v", .shape = CTI_CLAIM_SHAPE(3, 2)}};
static const ct_claim_mutant weight_mutants[] = {
    {"v without the projection", NULL, weight_no_projection, 1, "'length' is missing"},
    {"v for v / ||v|| in the projection", NULL, weight_projection_by_v, 1,
     "'length' has the factor length once too often"},
    {"g is missing in v", NULL, weight_no_g, 1, "lacks the factor g"},
    {"1 / ||v|| is missing in v", NULL, weight_no_length, 1,
     "v: all of it has the factor length once too often"},
    {"dg from v, which is not of length 1", NULL, weight_dg_from_v, 1,
     "g: all of it has the factor length once too often"},
    {"dx from v", NULL, weight_dx_from_v, 1, "x: v stands where"},
};

static const ct_claim claims[] = {
    {"layer_norm", layer, layer_closed, CTI_INPUTS(layer_inputs), CTI_MUTANTS(layer_mutants),
     .conventions = "over the last axis, N = 4, 1/N in the variance, epsilon 1e-3 inside the root"},
    {"layer_norm_pytorch", layer, layer_closed, CTI_CONTEXT(pytorch), CTI_INPUTS(layer_inputs),
     CTI_MUTANTS(pytorch_mutants), .conventions = "over the last axis, N = 4, epsilon 1e-5"},
    {"rms_norm", rms, rms_closed, CTI_INPUTS(rms_inputs), CTI_MUTANTS(rms_mutants),
     .conventions = "over the last axis, N = 4, epsilon 1e-6 inside of the root"},
    {"group_norm", group_norm, group_closed, CTI_INPUTS(group_inputs), CTI_MUTANTS(group_mutants),
     .conventions = "2 groups of 2 channels, N = 4, epsilon 1e-3 inside of the root"},
    {"group_norm_pytorch", group_norm, group_closed, CTI_CONTEXT(pytorch), CTI_INPUTS(group_inputs),
     CTI_MUTANTS(group_mutants), .conventions = "2 groups of 2 channels, N = 4, epsilon 1e-5"},
    {"instance_norm", instance_norm, instance_closed, CTI_INPUTS(instance_inputs),
     CTI_MUTANTS(instance_mutants), .conventions = "over 2 x 2 pixels, epsilon 1e-3"},
    {"weight_norm", weight_norm, weight_closed, CTI_INPUTS(weight_inputs),
     CTI_MUTANTS(weight_mutants), .conventions = "a length for each column of a dense kernel"},
};
const cti_claim_family cti_normalization_claims = {claims, CTI_ITEMS(claims)};
