/* Adagrad (Duchi, Hazan and Singer, 2011), in Keras's and PyTorch's forms.
 * Tensor algebra only.
 * Invariant: the state is the sum of squared gradients. */
#include "optim/step.h"

/* Keras starts the sum at 0.1 by default; as a constant it is added where it is read. */
#define KERAS_INITIAL_SUM 0.1

static ct_tensor *update(const void *options, const ct_step *step, ct_tensor *p, ct_tensor *g,
                         ct_tensor *const state[], ct_tensor *next[]) {
    const ct_adagrad_options *o = options;
    next[0] = ct_add(state[0], ct_square(g));
    ct_tensor *move = o->pytorch
                          ? ct_div(g, ct_offset(ct_sqrt(next[0]), o->epsilon))
                          : ct_mul(g, ct_rsqrt(ct_offset(next[0], KERAS_INITIAL_SUM + o->epsilon)));
    return ct_sub(p, ct_mul(move, step->rate));
}

static const ct_optimizer_kind adagrad_kind = {
    .name = "adagrad", .n_states = 1, .state_names = {"sum"}, .update = update};

ct_optimizer *ct_adagrad_new(ct_module *model, ct_adagrad_options options) {
    if (options.epsilon == 0) options.epsilon = options.pytorch ? 1e-10 : 1e-7;
    if (cti_check_option("ct_adagrad", "epsilon", options.epsilon, 0, 1e300) != CT_OK) return NULL;
    return ct_optimizer_new(&adagrad_kind, model, options.rate, options.step, &options,
                            sizeof options);
}
