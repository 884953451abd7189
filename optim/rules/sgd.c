/* Stochastic gradient descent with momentum, Nesterov's too, in PyTorch's and Keras's forms.
 * Tensor algebra only.
 * Invariant: without momentum there is no state. */
#include "optim/optimizer_private.h"

#include "tensor/base/caller.h"

/* The gradient with the decay in it, PyTorch's way. */
static ct_tensor *decayed(const ct_sgd_options *o, const ct_step *step, ct_tensor *p,
                          ct_tensor *g) {
    double decay = o->weight_decay * step->decay;
    return decay > 0 && !o->decoupled ? ct_add(g, ct_scale(p, decay)) : g;
}

/* The parameter that the gradient moves: decayed before, Keras's way. */
static ct_tensor *shrunk(const ct_sgd_options *o, const ct_step *step, ct_tensor *p) {
    double decay = o->weight_decay * step->decay;
    if (!(decay > 0) || !o->decoupled) return p;
    return ct_sub(p, ct_mul(ct_scale(p, decay), step->rate));
}

static ct_tensor *update_plain(const void *options, const ct_step *step, ct_tensor *p, ct_tensor *g,
                               ct_tensor *const state[], ct_tensor *next[]) {
    (void)state, (void)next;
    return ct_sub(shrunk(options, step, p), ct_mul(decayed(options, step, p, g), step->rate));
}

/* v := mu v + g; p -= rate v, or rate (g + mu v). */
static ct_tensor *update_pytorch(const void *options, const ct_step *step, ct_tensor *p,
                                 ct_tensor *g, ct_tensor *const state[], ct_tensor *next[]) {
    const ct_sgd_options *o = options;
    g = decayed(o, step, p, g);
    next[0] = ct_add(ct_scale(state[0], o->momentum), g);
    ct_tensor *move = o->nesterov ? ct_add(g, ct_scale(next[0], o->momentum)) : next[0];
    return ct_sub(shrunk(o, step, p), ct_mul(move, step->rate));
}

/* v := mu v - rate g; p += v, or mu v - rate g. */
static ct_tensor *update_keras(const void *options, const ct_step *step, ct_tensor *p, ct_tensor *g,
                               ct_tensor *const state[], ct_tensor *next[]) {
    const ct_sgd_options *o = options;
    ct_tensor *pull = ct_mul(decayed(o, step, p, g), step->rate);
    next[0] = ct_sub(ct_scale(state[0], o->momentum), pull);
    p = shrunk(o, step, p);
    if (!o->nesterov) return ct_add(p, next[0]);
    return ct_add(p, ct_sub(ct_scale(next[0], o->momentum), pull));
}

static const ct_optimizer_kind plain_kind = {.name = "sgd", .update = update_plain};
static const ct_optimizer_kind pytorch_kind = {
    .name = "sgd", .n_states = 1, .state_names = {"momentum"}, .update = update_pytorch};
static const ct_optimizer_kind keras_kind = {
    .name = "sgd", .n_states = 1, .state_names = {"momentum"}, .update = update_keras};

ct_optimizer *ct_sgd_new(ct_module *model, ct_sgd_options options) {
    CTI_CALLED;
    static const char function[] = "ct_sgd_new";
    if (cti_check_number(function, "momentum", options.momentum, 0, 1) != CT_OK ||
        cti_check_number(function, "weight_decay", options.weight_decay, 0, 1e300) != CT_OK) {
        return NULL;
    }
    if (options.nesterov && options.momentum == 0) {
        return ct_fail_null(CT_ERR_RANGE, "%s: nesterov needs momentum, which is 0", function);
    }
    const ct_optimizer_kind *kind = &plain_kind;
    if (options.momentum > 0) kind = options.keras ? &keras_kind : &pytorch_kind;
    return cti_optimizer_new(function, kind, model, options.rate, options.step, &options,
                             sizeof options);
}
