/* Claims on activations: softmax, log softmax, and those of one element.
 * The closed forms are the usual ones by the value; no derivative is derived here.
 * Invariant: a closed form has the exponentials of its function: the exact stage knows no law of
 * them. */
#include "nn/claims/claims_private.h"

/* dx of x [3,4] and dy. */
#define OF_X(name, dx)                       \
    CTI_CLOSED(name) {                       \
        (void)context, (void)n;              \
        ct_tensor *x = in[0];                \
        out[0] = dx;                         \
        return x ? ct_error() : CT_ERR_NULL; \
    }
static ct_tensor *number(ct_tensor *x, double value) { return ct_scalar(ct_dtype_of(x), value); }
static ct_tensor *one_less(ct_tensor *x) { return ct_sub(number(x, 1), x); }

static const ct_claim_input inputs[] = {{.name = "x", .shape = CTI_CLAIM_SHAPE(3, 4)}};

/* --- Along an axis ---------------------------------------------------------------------------- */

static ct_tensor *softmax_back(ct_tensor *p, ct_tensor *dy, int axis) {
    return ct_mul(p, ct_sub(dy, ct_sum_keep(ct_mul(p, dy), CT_AXES(axis))));
}
OF_X(softmax_closed, softmax_back(ct_softmax(x, -1), dy, -1))
OF_X(softmax_no_sum, ct_mul(ct_softmax(x, -1), dy))
OF_X(softmax_diagonal, ct_mul(ct_mul(ct_softmax(x, -1), one_less(ct_softmax(x, -1))), dy))
OF_X(softmax_sum_of_dy, ct_mul(ct_softmax(x, -1), ct_sub(dy, ct_sum_keep(dy, CT_AXES(-1)))))
OF_X(softmax_other_axis, softmax_back(ct_softmax(x, 0), dy, 0))
OF_X(softmax_sum_over_batch, softmax_back(ct_softmax(x, -1), dy, 0))
OF_X(softmax_saved, softmax_back(ct_stop_gradient(ct_softmax(x, -1)), dy, -1))
OF_X(log_softmax_closed, ct_sub(dy, ct_mul(ct_softmax(x, -1), ct_sum_keep(dy, CT_AXES(-1)))))
OF_X(log_softmax_no_sum, ct_sub(dy, ct_softmax(x, -1)))
OF_X(log_softmax_mean, ct_sub(dy, ct_mul(ct_softmax(x, -1), ct_mean_keep(dy, CT_AXES(-1)))))
OF_X(log_softmax_as_softmax, softmax_back(ct_softmax(x, -1), dy, -1))

CTI_FUNCTION(softmax, ct_softmax(in[0], -1))
CTI_FUNCTION(log_softmax, ct_log_softmax(in[0], -1))

static const ct_claim_mutant softmax_mutants[] = {
    {"without the sum of p dy", NULL, softmax_no_sum, 1, "is missing"},
    {"the Jacobian's diagonal alone", NULL, softmax_diagonal, 1, NULL},
    {"the sum of dy for that of p dy", NULL, softmax_sum_of_dy, 1,
     "maximum(sum(..), 1) stands where exp(shift(x, ..)) belongs, in wha"},
    {"along the other axis", NULL, softmax_other_axis, 1, NULL},
    {"the sum along the other axis", NULL, softmax_sum_over_batch, 1,
     "axis 1 in place of axis 0, in sum(mul(.., dy))"},
    {"p is saved as a number", NULL, softmax_saved, 2, "held constant"},
};
static const ct_claim_mutant log_softmax_mutants[] = {
    {"the sum of dy is missing", NULL, log_softmax_no_sum, 1, NULL},
    {"the mean of dy for its sum", NULL, log_softmax_mean, 1, "'log_sum' has the factor 1/4"},
    {"the derivative of softmax", NULL, log_softmax_as_softmax, 1, NULL},
};

/* --- Of one element --------------------------------------------------------------------------- */

#define SLOPE 0.125
#define STEP(above, below) ct_mul(dy, ct_where(ct_greater(x, number(x, 0)), above, below))
OF_X(leaky_closed, STEP(number(x, 1), number(x, SLOPE)))
OF_X(leaky_as_relu, STEP(number(x, 1), number(x, 0)))
OF_X(leaky_other_side, STEP(number(x, SLOPE), number(x, 1)))
OF_X(leaky_squared, STEP(number(x, 1), number(x, SLOPE *SLOPE)))
CTI_FUNCTION(leaky, ct_leaky_relu(in[0], SLOPE))
CTI_FUNCTION(leaky_by_max, ct_maximum(in[0], ct_scale(in[0], SLOPE)))
static const ct_claim_mutant leaky_mutants[] = {
    {"the derivative of relu", NULL, leaky_as_relu, 1, "is missing"},
    {"the slope on the other side", NULL, leaky_other_side, 1,
     "the other order of its operands in place of where(greater(x, 0), 0"},
    {"the slope twice", NULL, leaky_squared, 1, "has the factor 1/8"},
};

OF_X(silu_closed,
     ct_mul(dy, ct_mul(ct_sigmoid(x), ct_offset(ct_mul(x, one_less(ct_sigmoid(x))), 1))))
OF_X(silu_no_product_rule, ct_mul(dy, ct_mul(x, ct_mul(ct_sigmoid(x), one_less(ct_sigmoid(x))))))
OF_X(silu_gate_alone, ct_mul(dy, ct_sigmoid(x)))
OF_X(silu_slope, ct_mul(dy, ct_mul(ct_sigmoid(x), ct_offset(ct_mul(x, ct_sigmoid(x)), 1))))
CTI_FUNCTION(silu, ct_silu(in[0]))
static const ct_claim_mutant silu_mutants[] = {
    {"the gate's derivative alone", NULL, silu_no_product_rule, 1, "0 stands where sigmoid("},
    {"the gate alone", NULL, silu_gate_alone, 1, "sigmoid"},
    {"s for 1 - s", NULL, silu_slope, 1, "v^2, of its value v, stands where the slope of sigmoid("},
};

/* The density of the standard normal distribution: 1 / sqrt(2 pi) is 0.3989.. */
static ct_tensor *density(ct_tensor *x) {
    return ct_scale(ct_exp(ct_scale(ct_square(x), -0.5)), 0.39894228040143268);
}
OF_X(gelu_closed, ct_mul(dy, ct_add(ct_ndtr(x), ct_mul(x, density(x)))))
OF_X(gelu_gate_alone, ct_mul(dy, ct_ndtr(x)))
OF_X(gelu_no_x, ct_mul(dy, ct_add(ct_ndtr(x), density(x))))
OF_X(gelu_saved, ct_mul(dy, ct_add(ct_stop_gradient(ct_ndtr(x)), ct_mul(x, density(x)))))
CTI_FUNCTION(gelu, ct_gelu(in[0]))
static const ct_claim_mutant gelu_mutants[] = {
    {"the distribution alone", NULL, gelu_gate_alone, 1, "ndtr"},
    {"x is missing at the density", NULL, gelu_no_x, 1, "1 stands where"},
    {"the distribution is saved as a number", NULL, gelu_saved, 2, "held constant"},
};

OF_X(tanh_closed, ct_mul(dy, one_less(ct_square(ct_tanh(x)))))
OF_X(tanh_not_squared, ct_mul(dy, one_less(ct_tanh(x))))
OF_X(tanh_of_value, ct_mul(dy, one_less(ct_square(ct_tanh(ct_tanh(x))))))
CTI_FUNCTION(tanh_function, ct_tanh(in[0]))
static const ct_claim_input near_0[] = {
    {.name = "x", .shape = CTI_CLAIM_SHAPE(3, 4), .near = true}};
static const ct_claim_mutant tanh_mutants[] = {
    {"1 - t for 1 - t^2", NULL, tanh_not_squared, 1,
     "1 - v, of its value v, stands where the slope of tanh(x)"},
    {"tanh of the value once more", NULL, tanh_of_value, 1, "x in place of tanh(x)"},
};

static const ct_claim claims[] = {
    {"softmax", softmax, softmax_closed, CTI_INPUTS(inputs), CTI_MUTANTS(softmax_mutants),
     .conventions = "along the last axis, shifted by the maximum"},
    {"log_softmax", log_softmax, log_softmax_closed, CTI_INPUTS(inputs),
     CTI_MUTANTS(log_softmax_mutants), .conventions = "along the last axis, shifted"},
    {"leaky_relu", leaky, leaky_closed, CTI_INPUTS(inputs), CTI_MUTANTS(leaky_mutants),
     .conventions = "slope 1/8 at and below 0"},
    {"leaky_relu_by_max", leaky_by_max, leaky_closed, CTI_INPUTS(inputs),
     CTI_MUTANTS(leaky_mutants), .conventions = "max(x, x / 8)"},
    {"silu", silu, silu_closed, CTI_INPUTS(inputs), CTI_MUTANTS(silu_mutants),
     .conventions = "x sigmoid(x)"},
    {"gelu", gelu, gelu_closed, CTI_INPUTS(inputs), CTI_MUTANTS(gelu_mutants),
     .conventions = "x times the normal distribution, not its approximation by tanh"},
    {"tanh", tanh_function, tanh_closed, CTI_INPUTS(near_0), CTI_MUTANTS(tanh_mutants),
     .conventions = "1 - t^2 by the value t"},
};
const cti_claim_family cti_activation_claims = {claims, CTI_ITEMS(claims)};
