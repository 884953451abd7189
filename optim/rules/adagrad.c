/* Adagrad (Duchi, Hazan and Singer, 2011), in Keras's and PyTorch's forms.
 * Tensor algebra only.
 * Invariant: the state is the sum of squared gradients. */
#include "optim/optimizer_private.h"

#include "tensor/base/caller.h"

static ct_tensor *update(const void *options, const ct_step *step, ct_tensor *p, ct_tensor *g,
                         ct_tensor *const state[], ct_tensor *next[]) {
    const ct_adagrad_options *o = options;
    next[0] = ct_add(state[0], ct_square(g));
    /* The initial sum is a constant, so it is added where the sum is read. */
    ct_tensor *sum = o->pytorch && o->initial > 0 ? ct_offset(next[0], o->initial) : next[0];
    ct_tensor *move = o->pytorch ? ct_div(g, ct_offset(ct_sqrt(sum), o->epsilon))
                                 : ct_mul(g, ct_rsqrt(ct_offset(sum, o->initial + o->epsilon)));
    return ct_sub(p, ct_mul(move, step->rate));
}

static const ct_optimizer_kind adagrad_kind = {
    .name = "adagrad", .n_states = 1, .state_names = {"sum"}, .update = update};

static const char made_by[] = "ct_adagrad_defaults";

ct_optimizer *ct_adagrad_new(ct_module *model, ct_adagrad_options options) {
    CTI_CALLED;
    static const char function[] = "ct_adagrad_new";
    if (cti_check_made_by(function, options.made_by, made_by) != CT_OK ||
        cti_check_number(function, "epsilon", options.epsilon, 0, 1e300) != CT_OK ||
        cti_check_number(function, "initial", options.initial, 0, 1e300) != CT_OK) {
        return NULL;
    }
    return cti_optimizer_new(function, &adagrad_kind, model, options.rate, options.step, &options,
                             sizeof options);
}

ct_adagrad_options ct_adagrad_defaults(double rate) {
    return (ct_adagrad_options){
        .rate = ct_rate(rate), .epsilon = 1e-7, .initial = 0.1, .made_by = made_by};
}

ct_adagrad_options ct_adagrad_pytorch(double rate) {
    return (ct_adagrad_options){
        .rate = ct_rate(rate), .epsilon = 1e-10, .pytorch = true, .made_by = made_by};
}
