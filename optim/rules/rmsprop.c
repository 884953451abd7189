/* RMSprop (Hinton, lecture notes, 2012), in Keras's and PyTorch's forms.
 * Tensor algebra only.
 * Invariant: states are the mean square and, with momentum, the velocity. */
#include "optim/optimizer_private.h"

#include "tensor/base/caller.h"

static ct_tensor *direction(const ct_rmsprop_options *o, ct_tensor *g, ct_tensor *square) {
    if (o->pytorch) return ct_div(g, ct_offset(ct_sqrt(square), o->epsilon));
    return ct_mul(g, ct_rsqrt(ct_offset(square, o->epsilon)));
}

static ct_tensor *mean_square(const ct_rmsprop_options *o, ct_tensor *old, ct_tensor *g) {
    return ct_add(ct_scale(old, o->rho), ct_scale(ct_square(g), 1.0 - o->rho));
}

static ct_tensor *update(const void *options, const ct_step *step, ct_tensor *p, ct_tensor *g,
                         ct_tensor *const state[], ct_tensor *next[]) {
    next[0] = mean_square(options, state[0], g);
    return ct_sub(p, ct_mul(direction(options, g, next[0]), step->rate));
}

/* Keras's velocity includes the rate; PyTorch multiplies the velocity by it. */
static ct_tensor *update_momentum(const void *options, const ct_step *step, ct_tensor *p,
                                  ct_tensor *g, ct_tensor *const state[], ct_tensor *next[]) {
    const ct_rmsprop_options *o = options;
    next[0] = mean_square(o, state[0], g);
    ct_tensor *move = direction(o, g, next[0]);
    if (!o->pytorch) move = ct_mul(move, step->rate);
    next[1] = ct_add(ct_scale(state[1], o->momentum), move);
    return ct_sub(p, o->pytorch ? ct_mul(next[1], step->rate) : next[1]);
}

static const ct_optimizer_kind plain_kind = {
    .name = "rmsprop", .n_states = 1, .state_names = {"square"}, .update = update};
static const ct_optimizer_kind momentum_kind = {.name = "rmsprop",
                                                .n_states = 2,
                                                .state_names = {"square", "momentum"},
                                                .update = update_momentum};

static const char made_by[] = "ct_rmsprop_defaults";

ct_optimizer *ct_rmsprop_new(ct_module *model, ct_rmsprop_options options) {
    CTI_CALLED;
    static const char function[] = "ct_rmsprop_new";
    if (cti_check_made_by(function, options.made_by, made_by) != CT_OK ||
        cti_check_number(function, "rho", options.rho, 0, 1) != CT_OK ||
        cti_check_number(function, "momentum", options.momentum, 0, 1) != CT_OK ||
        cti_check_number(function, "epsilon", options.epsilon, 0, 1e300) != CT_OK) {
        return NULL;
    }
    return cti_optimizer_new(function, options.momentum > 0 ? &momentum_kind : &plain_kind, model,
                             options.rate, options.step, &options, sizeof options);
}

ct_rmsprop_options ct_rmsprop_defaults(double rate) {
    return (ct_rmsprop_options){
        .rate = ct_rate(rate), .rho = 0.9, .epsilon = 1e-7, .made_by = made_by};
}

ct_rmsprop_options ct_rmsprop_pytorch(double rate) {
    return (ct_rmsprop_options){
        .rate = ct_rate(rate), .rho = 0.99, .epsilon = 1e-8, .pytorch = true, .made_by = made_by};
}
