/* Dense: x kernel + bias.
 * Its gradient is that of the ops; there is none here.
 * Invariant: slot 0 is the kernel, slot 1 the bias if there is one. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"

/* Before ct_matmul does, whose message would name a function that the user has not called. */
static ct_status check_input(const ct_module *self, const ct_tensor *x, const ct_tensor *kernel) {
    const char *name = self->kind->name;
    if (ct_shape_of(x).rank == 0) {
        return ct_fail(CT_ERR_SHAPE, "%s: x needs rank >= 1, got a scalar", name);
    }
    int64_t features = ct_dim(x, -1), inputs = ct_dim(kernel, 0);
    if (features == inputs) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: inner dims must match, got x %s, kernel %s (%lld vs %lld)",
                   name, ct_shape_format(ct_shape_of(x)).text,
                   ct_shape_format(ct_shape_of(kernel)).text, (long long)features,
                   (long long)inputs);
}

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    ct_tensor *kernel = ct_module_read(self, 0);
    if (!kernel || check_input(self, x, kernel) != CT_OK) return NULL;
    ct_tensor *y = ct_matmul(x, kernel);
    return self->n_slots > 1 ? ct_add(y, ct_module_read(self, 1)) : y;
}

static const ct_weights_slot pytorch[] = {
    {.slot = "kernel", .name = "weight", .layout = {.axes = {2, {1, 0}}}},
    {.slot = "bias", .name = "bias"},
    {0}};

static const ct_module_kind dense_kind = {.name = "Dense", .forward = forward, .pytorch = pytorch};

ct_module *ct_dense_new(int64_t inputs, int64_t units, ct_dense_options options) {
    CTI_CALLED;
    if (cti_check_size("ct_dense_new", "inputs", inputs) != CT_OK ||
        cti_check_size("ct_dense_new", "units", units) != CT_OK) {
        return NULL;
    }
    ct_module *module = ct_module_new(sizeof *module, &dense_kind);
    if (!module) return NULL;
    ct_status status = cti_add_weight(module, "kernel", options.kernel, &ct_glorot_uniform,
                                      options.dtype, CT_SHAPE(inputs, units), inputs, units);
    if (status == CT_OK && !options.no_bias) {
        status = cti_add_weight(module, "bias", options.bias, &ct_init_zeros, options.dtype,
                                CT_SHAPE(units), inputs, units);
    }
    return cti_module_or_free(module, status);
}
