/* Claims on losses: cross-entropy of distributions, binary cross-entropy from logits, squared,
 * absolute and Huber's differences.
 * Targets are fixed inputs; where they have to be distributions the function makes them so.
 * Invariant: a closed form has the exponentials of its function, as e^(x - max): the exact stage
 * knows no law of e^(a + b). */
#include "nn/claims/claims_private.h"

/* --- Cross-entropy: logits [3,4], targets [3,4] ----------------------------------------------- */

static ct_tensor *distribution(ct_tensor *t) { return ct_div(t, ct_sum_keep(t, CT_AXES(-1))); }

/* Of sigmoid at a value of p. */
static ct_tensor *slope(ct_tensor *p) { return ct_mul(p, ct_sub(ct_scalar(ct_dtype_of(p), 1), p)); }

/* dlogits = dy (p - q) / rows; in[1] is the target, in[2], where there is one, the weights. */
#define ENTROPY(name, dlogits)                                          \
    CTI_CLOSED(name) {                                                  \
        (void)context, (void)n;                                         \
        ct_tensor *p = ct_softmax(in[0], -1), *q = distribution(in[1]); \
        double rows = 3, classes = 4;                                   \
        (void)p, (void)q, (void)rows, (void)classes;                    \
        out[0] = ct_mul(dy, dlogits);                                   \
        return ct_error();                                              \
    }
ENTROPY(entropy_closed, ct_scale(ct_sub(p, q), 1 / rows))
ENTROPY(entropy_sign, ct_scale(ct_sub(q, p), 1 / rows))
ENTROPY(entropy_sum, ct_sub(p, q))
ENTROPY(entropy_of_all, ct_scale(ct_sub(p, q), 1 / (rows * classes)))
ENTROPY(entropy_no_target, ct_scale(p, 1 / rows))
ENTROPY(entropy_picked_alone, ct_scale(ct_mul(q, ct_offset(p, -1)), 1 / rows))
ENTROPY(entropy_softmax_twice, ct_scale(ct_mul(slope(p), ct_sub(p, q)), 1 / rows))
ENTROPY(entropy_other_axis, ct_scale(ct_sub(ct_softmax(in[0], 0), q), 1 / rows))
ENTROPY(entropy_saved, ct_scale(ct_sub(ct_stop_gradient(p), q), 1 / rows))

#define SMOOTH(share) ct_offset(ct_scale(q, 0.9), share)
ENTROPY(smooth_closed, ct_scale(ct_sub(p, SMOOTH(0.1 / classes)), 1 / rows))
ENTROPY(smooth_others, ct_scale(ct_sub(p, SMOOTH(0.1 / (classes - 1))), 1 / rows))
ENTROPY(smooth_not_at_all, ct_scale(ct_sub(p, q), 1 / rows))
ENTROPY(smooth_added, ct_scale(ct_sub(p, ct_offset(q, 0.1 / classes)), 1 / rows))

#define WEIGHED ct_mul(q, in[2])
ENTROPY(weighted_closed,
        ct_scale(ct_sub(ct_mul(p, ct_sum_keep(WEIGHED, CT_AXES(-1))), WEIGHED), 1 / rows))
ENTROPY(weighted_outside, ct_scale(ct_mul(in[2], ct_sub(p, q)), 1 / rows))
ENTROPY(weighted_target_alone, ct_scale(ct_sub(p, WEIGHED), 1 / rows))
ENTROPY(weighted_not_at_all, ct_scale(ct_sub(p, q), 1 / rows))

CTI_FUNCTION(entropy, ct_cross_entropy(in[0], distribution(in[1])))
CTI_FUNCTION(smooth, ct_cross_entropy_with(in[0], distribution(in[1]),
                                           (ct_cross_entropy_options){.smoothing = 0.1}))
CTI_FUNCTION(weighted, ct_cross_entropy_with(in[0], distribution(in[1]),
                                             (ct_cross_entropy_options){.weights = in[2]}))

static const ct_claim_input entropy_inputs[] = {
    {.name = "logits", .shape = CTI_CLAIM_SHAPE(3, 4)},
    {.name = "target", .shape = CTI_CLAIM_SHAPE(3, 4), .fixed = true, .positive = true},
    {.name = "weights", .shape = CTI_CLAIM_SHAPE(4), .fixed = true, .positive = true}};
static const ct_claim_mutant entropy_mutants[] = {
    {"target - p", NULL, entropy_sign, 1, "has the wrong sign"},
    {"a sum over rows for the mean", NULL, entropy_sum, 1, "has the factor 3"},
    {"the mean over classes too", NULL, entropy_of_all, 1, "has the factor 1/4"},
    {"the target is missing", NULL, entropy_no_target, 1, "is missing"},
    {"the target's class alone", NULL, entropy_picked_alone, 1,
     "has the factor div(target, sum(target)) once too often"},
    {"the derivative of softmax once more", NULL, entropy_softmax_twice, 1,
     "sub(div(.., ..), div(target, ..)) in place of mul(mul(.., ..), sub"},
    {"softmax along the batch", NULL, entropy_other_axis, 1, NULL},
    {"p is saved as a number", NULL, entropy_saved, 2, "held constant"},
};
static const ct_claim_mutant smooth_mutants[] = {
    {"smoothing over the other classes", NULL, smooth_others, 1, "0.025 in place of 0.0333333"},
    {"smoothing is forgotten", NULL, smooth_not_at_all, 1, "div(target, sum(target)) stands where"},
    {"smoothing is added, and the target stays", NULL, smooth_added, 1,
     "add(mul(.., 0.9), mul(1, 0.025)) in place of add(div(target, ..), "},
};
static const ct_claim_mutant weighted_mutants[] = {
    {"weights outside of p - target", NULL, weighted_outside, 1, NULL},
    {"weights on the target alone", NULL, weighted_target_alone, 1,
     "what flows through 'log_sum' lacks the factor weights"},
    {"weights are forgotten", NULL, weighted_not_at_all, 1, "weights were 1"},
};

/* --- Binary cross-entropy: logits [3,2], targets [3,2] ---------------------------------------- */

#define BINARY(name, dlogits)                         \
    CTI_CLOSED(name) {                                \
        (void)context, (void)n;                       \
        ct_tensor *p = ct_sigmoid(in[0]), *t = in[1]; \
        double elements = 6, rows = 3;                \
        (void)elements, (void)rows;                   \
        out[0] = ct_mul(dy, dlogits);                 \
        return ct_error();                            \
    }
BINARY(binary_closed, ct_scale(ct_sub(p, t), 1 / elements))
BINARY(binary_sigmoid_twice, ct_scale(ct_mul(ct_sub(p, t), slope(p)), 1 / elements))
BINARY(binary_by_rows, ct_scale(ct_sub(p, t), 1 / rows))
BINARY(binary_sign, ct_scale(ct_sub(t, p), 1 / elements))
BINARY(binary_of_signs, ct_scale(ct_sub(ct_offset(ct_scale(p, 2), -1), t), 1 / elements))
BINARY(binary_of_probabilities, ct_scale(ct_div(ct_sub(p, t), slope(p)), 1 / elements))

CTI_FUNCTION(binary, ct_binary_cross_entropy(in[0], in[1]))
static const ct_claim_input binary_inputs[] = {
    {.name = "logits", .shape = CTI_CLAIM_SHAPE(3, 2)},
    {.name = "target", .shape = CTI_CLAIM_SHAPE(3, 2), .fixed = true}};
static const ct_claim_mutant binary_mutants[] = {
    {"the derivative of sigmoid once more", NULL, binary_sigmoid_twice, 1,
     "sub(sigmoid(logits), target) in place of mul(sub(.., target), mul("},
    {"the mean over rows alone", NULL, binary_by_rows, 1, "has the factor 2"},
    {"target - p", NULL, binary_sign, 1, "has the wrong sign"},
    {"targets of -1 and 1", NULL, binary_of_signs, 1,
     "sigmoid(logits) in place of add(mul(.., 2), -1)"},
    {"the derivative by the probability", NULL, binary_of_probabilities, 1,
     "sub(sigmoid(logits), target) in place of div(sub(.., target), mul("},
};

/* --- Differences: prediction [3,2], target [3,2] ---------------------------------------------- */

#define DELTA 0.5
#define DIFFERENCE(name, dprediction, dtarget)                               \
    CTI_CLOSED(name) {                                                       \
        (void)context, (void)n;                                              \
        ct_tensor *d = ct_sub(in[0], in[1]), *right = ct_scale(dy, 1.0 / 6); \
        out[0] = ct_mul(right, dprediction);                                 \
        out[1] = ct_mul(right, dtarget);                                     \
        return ct_error();                                                   \
    }
DIFFERENCE(mse_closed, ct_scale(d, 2), ct_scale(d, -2))
DIFFERENCE(mse_no_2, d, ct_neg(d))
DIFFERENCE(mse_by_rows, ct_scale(d, 4), ct_scale(d, -4))
DIFFERENCE(mse_target_sign, ct_scale(d, 2), ct_scale(d, 2))
DIFFERENCE(mae_closed, ct_sign(d), ct_neg(ct_sign(d)))
DIFFERENCE(mae_no_sign, d, ct_neg(d))
DIFFERENCE(huber_closed, ct_clip(d, -DELTA, DELTA), ct_neg(ct_clip(d, -DELTA, DELTA)))
DIFFERENCE(huber_at_1, ct_clip(d, -1, 1), ct_neg(ct_clip(d, -1, 1)))
DIFFERENCE(huber_no_clip, d, ct_neg(d))
/* The linear branch has the slope 1, and not delta. */
#define KINKED ct_where(ct_less_equal(ct_abs(d), ct_scalar(ct_dtype_of(d), DELTA)), d, ct_sign(d))
DIFFERENCE(huber_no_delta, KINKED, ct_neg(KINKED))

CTI_FUNCTION(mse, ct_mse(in[0], in[1]))
CTI_FUNCTION(mae, ct_mae(in[0], in[1]))
CTI_FUNCTION(huber, ct_huber(in[0], in[1], DELTA))
static const ct_claim_input pair_inputs[] = {{.name = "prediction", .shape = CTI_CLAIM_SHAPE(3, 2)},
                                             {.name = "target", .shape = CTI_CLAIM_SHAPE(3, 2)}};
static const ct_claim_mutant mse_mutants[] = {
    {"the factor 2 is missing", NULL, mse_no_2, 1, "has the factor 1/2"},
    {"the mean over rows alone", NULL, mse_by_rows, 1, "has the factor 2"},
    {"the target's sign", NULL, mse_target_sign, 1, "target: all of it has the wrong sign"},
};
static const ct_claim_mutant mae_mutants[] = {
    {"the difference for its sign", NULL, mae_no_sign, 1,
     "has the factor abs(sub(prediction, target)) once too often"},
};
static const ct_claim_mutant huber_mutants[] = {
    {"delta = 1", NULL, huber_at_1, 1, "1 in place of 0.5"},
    {"no linear branch", NULL, huber_no_clip, 1, "stands where minimum("},
    {"the slope 1 for delta in the linear branch", NULL, huber_no_delta, 1,
     "elements have factors of their own, from 1 to 2"},
};

static const ct_claim claims[] = {
    {"cross_entropy", entropy, entropy_closed, .inputs = entropy_inputs, .n_inputs = 2,
     CTI_MUTANTS(entropy_mutants), .conventions = "targets are distributions, mean over rows"},
    {"cross_entropy_smoothed", smooth, smooth_closed, .inputs = entropy_inputs, .n_inputs = 2,
     CTI_MUTANTS(smooth_mutants), .conventions = "label smoothing 0.1, over all classes"},
    {"cross_entropy_weighted", weighted, weighted_closed, .inputs = entropy_inputs, .n_inputs = 3,
     CTI_MUTANTS(weighted_mutants), .conventions = "class weights, mean over rows as they are"},
    {"binary_cross_entropy", binary, binary_closed, CTI_INPUTS(binary_inputs),
     CTI_MUTANTS(binary_mutants), .conventions = "from logits, mean over all elements"},
    {"mse", mse, mse_closed, CTI_INPUTS(pair_inputs), CTI_MUTANTS(mse_mutants),
     .conventions = "mean over all elements"},
    {"mae", mae, mae_closed, CTI_INPUTS(pair_inputs), CTI_MUTANTS(mae_mutants),
     .conventions = "mean over all elements"},
    {"huber", huber, huber_closed, CTI_INPUTS(pair_inputs), CTI_MUTANTS(huber_mutants),
     .conventions = "d^2 / 2 up to delta = 0.5, mean over all elements"},
};
const cti_claim_family cti_loss_claims = {claims, CTI_ITEMS(claims)};
