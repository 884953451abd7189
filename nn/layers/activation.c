/* Activations as layers: a function of one tensor with a name.
 * The functions are compositions; a user's own is one more constant.
 * Invariant: no slots; a squashing activation's logits are its input. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"

typedef struct {
    ct_module base;
    const ct_activation *activation;
} activation_layer;

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)mode;
    return ((activation_layer *)self)->activation->apply(x);
}

static ct_tensor *logits(ct_module *self, ct_tensor *x, ct_mode mode) {
    if (((activation_layer *)self)->activation->squashes) return ct_scope_add(x);
    return forward(self, x, mode);
}

static const char *shown(const ct_module *self) {
    return ((const activation_layer *)self)->activation->name;
}

static const ct_module_kind activation_kind = {
    .name = "Activation", .forward = forward, .logits = logits, .shown = shown};

ct_module *ct_activation_new(const ct_activation *activation) {
    CTI_CALLED;
    if (!activation || !activation->apply) {
        return ct_fail_null(CT_ERR_NULL, "ct_activation_new: '%s' is NULL",
                            activation ? "activation->apply" : "activation");
    }
    activation_layer *layer = (activation_layer *)ct_module_new(sizeof *layer, &activation_kind);
    if (layer) layer->activation = activation;
    return layer ? &layer->base : NULL;
}

static ct_tensor *softmax(ct_tensor *x) { return ct_softmax(x, -1); }
static ct_tensor *elu(ct_tensor *x) { return ct_elu(x, 1.0); }
static ct_tensor *leaky_relu(ct_tensor *x) { return ct_leaky_relu(x, 0.01); }
static ct_tensor *linear(ct_tensor *x) { return ct_scope_add(x); }

const ct_activation ct_activation_relu = {"relu", ct_relu, false};
const ct_activation ct_activation_sigmoid = {"sigmoid", ct_sigmoid, true};
const ct_activation ct_activation_tanh = {"tanh", ct_tanh, false};
const ct_activation ct_activation_softmax = {"softmax", softmax, true};
const ct_activation ct_activation_gelu = {"gelu", ct_gelu, false};
const ct_activation ct_activation_elu = {"elu", elu, false};
const ct_activation ct_activation_silu = {"silu", ct_silu, false};
const ct_activation ct_activation_softplus = {"softplus", ct_softplus, false};
const ct_activation ct_activation_leaky_relu = {"leaky_relu", leaky_relu, false};
const ct_activation ct_activation_linear = {"linear", linear, false};
