/* Adam and AdamW, in Keras's and PyTorch's forms.
 * Tensor algebra only; the bias corrections are part of the graph, so that they are data.
 * Invariant: states are m and v; scalars hold the step size and the correction of v. */
#include "optim/optimizer_private.h"

#include "tensor/base/caller.h"

/* 1 - beta^t */
static ct_tensor *correction(double beta, ct_tensor *step) {
    return ct_offset(ct_neg(ct_pow(ct_scalar(CT_F64, beta), step)), 1.0);
}

/* Keras: rate sqrt(c2) / c1 and nothing on v. PyTorch: rate / c1, and 1 / sqrt(c2) on sqrt(v). */
static ct_status prepare(const void *options, ct_tensor *step, ct_tensor *rate,
                         ct_tensor *scalars[CT_OPTIMIZER_SCALARS]) {
    const ct_adam_options *o = options;
    ct_tensor *size = ct_div(rate, correction(o->beta1, step));
    ct_tensor *root = ct_sqrt(correction(o->beta2, step));
    scalars[0] = o->pytorch ? size : ct_mul(size, root);
    scalars[1] = o->pytorch ? ct_reciprocal(root) : NULL;
    scalars[2] = ct_scalar(CT_F64, o->beta1);
    scalars[3] = ct_scalar(CT_F64, 1.0 - o->beta1);
    scalars[4] = ct_scalar(CT_F64, o->beta2);
    scalars[5] = ct_scalar(CT_F64, 1.0 - o->beta2);
    scalars[6] = ct_scalar(CT_F64, o->epsilon);
    scalars[7] = o->weight_decay > 0 ? ct_scale(rate, o->weight_decay) : NULL;
    /* NULL is an absent scalar; one that could not be made is an error. */
    bool failed = !root || !scalars[0] || (o->pytorch && !scalars[1]) ||
                  (o->weight_decay > 0 && !scalars[7]);
    return failed ? ct_error() : CT_OK;
}

static ct_tensor *update(const void *options, const ct_step *step, ct_tensor *p, ct_tensor *g,
                         ct_tensor *const state[], ct_tensor *next[]) {
    (void)options;
    ct_tensor *const *c = step->scalars;
    next[0] = ct_add(ct_mul(state[0], c[2]), ct_mul(g, c[3]));
    next[1] = ct_add(ct_mul(state[1], c[4]), ct_mul(ct_square(g), c[5]));
    ct_tensor *root = ct_sqrt(next[1]);
    if (c[1]) root = ct_mul(root, c[1]);
    ct_tensor *move = ct_div(ct_mul(next[0], c[0]), ct_add(root, c[6]));
    if (c[7] && step->decay > 0) {
        ct_tensor *decay = step->decay == 1 ? c[7] : ct_scale(c[7], step->decay);
        move = ct_add(move, ct_mul(p, decay));
    }
    return ct_sub(p, move);
}

static const ct_optimizer_kind adam_kind = {
    .name = "adam", .n_states = 2, .state_names = {"m", "v"}, .prepare = prepare, .update = update};

/* AdamW's defaults differ from Adam's, so neither takes options of the other. */
static const char of_adam[] = "ct_adam_defaults", of_adamw[] = "ct_adamw_defaults";

static ct_optimizer *adam(const char *function, const char *maker, ct_module *model,
                          const ct_adam_options *o) {
    if (cti_check_made_by(function, o->made_by, maker) != CT_OK ||
        cti_check_number(function, "beta1", o->beta1, 0, 1) != CT_OK ||
        cti_check_number(function, "beta2", o->beta2, 0, 1) != CT_OK ||
        cti_check_number(function, "epsilon", o->epsilon, 0, 1e300) != CT_OK ||
        cti_check_number(function, "weight_decay", o->weight_decay, 0, 1e300) != CT_OK) {
        return NULL;
    }
    return cti_optimizer_new(function, &adam_kind, model, o->rate, o->step, o, sizeof *o);
}

ct_optimizer *ct_adam_new(ct_module *model, ct_adam_options options) {
    CTI_CALLED;
    return adam("ct_adam_new", of_adam, model, &options);
}

ct_optimizer *ct_adamw_new(ct_module *model, ct_adam_options options) {
    CTI_CALLED;
    return adam("ct_adamw_new", of_adamw, model, &options);
}

ct_adam_options ct_adam_defaults(double rate) {
    return (ct_adam_options){
        .rate = ct_rate(rate), .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7, .made_by = of_adam};
}

ct_adam_options ct_adam_pytorch(double rate) {
    ct_adam_options options = ct_adam_defaults(rate);
    options.pytorch = true;
    options.epsilon = 1e-8;
    return options;
}

ct_adam_options ct_adamw_defaults(double rate) {
    ct_adam_options options = ct_adam_defaults(rate);
    options.weight_decay = 0.004;
    options.made_by = of_adamw;
    return options;
}

ct_adam_options ct_adamw_pytorch(double rate) {
    ct_adam_options options = ct_adam_pytorch(rate);
    options.weight_decay = 0.01;
    options.made_by = of_adamw;
    return options;
}
