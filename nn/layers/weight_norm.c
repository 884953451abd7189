/* WeightNorm: a module whose kernel is a direction and a length for each of its outputs.
 * It is a forward of the module with the kernel computed; there is no gradient here.
 * Invariant: the child's slot "kernel" is the direction v, slot 0 the length g. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"
#include "tensor/graph/node.h"

#include <string.h>

typedef struct {
    ct_module base;
    int kernel; /* the number of the child's slot */
} weight_norm;

/* ||v|| over all axes but the last one, which stay. */
static ct_tensor *lengths(ct_tensor *v) {
    ct_axes axes = {.count = ct_shape_of(v).rank - 1};
    for (int i = 0; i < axes.count; i++) axes.axis[i] = i;
    return cti_called(ct_sqrt(ct_sum_keep(ct_square(v), axes)), "length");
}

static ct_status run(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[], int n_out,
                     ct_mode mode, bool logits) {
    ct_module *child = self->children[0];
    int kernel = ((weight_norm *)self)->kernel;
    ct_tensor *v = ct_module_read(child, kernel);
    ct_tensor *w = ct_mul(v, ct_div(ct_module_read(self, 0), lengths(v)));
    ct_named_slot item = {.slot = child->slots[kernel].slot};
    /* What the slot gets is of its type, unless a functional call outside has given another. */
    ct_functional_options options = {.logits = logits, .staged = true, .any_float = true};
    return ct_functional_call_many(child, in, n_in, out, n_out, mode, &(ct_slot_list){&item, 1}, &w,
                                   options);
}

static ct_status forward(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
                         int n_out, ct_mode mode) {
    return run(self, in, n_in, out, n_out, mode, false);
}

static ct_tensor *logits(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_tensor *y = NULL;
    return run(self, &x, 1, &y, 1, mode, true) == CT_OK ? y : NULL;
}

static const ct_module_kind weight_norm_kind = {
    .name = "WeightNorm", .forward_many = forward, .logits = logits};

/* The number of the slot, or -1. */
static int find_kernel(const ct_module *child) {
    for (int i = 0; i < child->n_slots; i++) {
        if (strcmp(child->slots[i].name, "kernel") == 0) return i;
    }
    ct_fail(CT_ERR_STATE, "ct_weight_norm_new: %s has no slot 'kernel'", child->kind->name);
    return -1;
}

/* g begins as ||v||: the kernel is what it was. */
static ct_status add_length(weight_norm *module) {
    ct_module *child = module->base.children[0];
    module->kernel = find_kernel(child);
    if (module->kernel < 0) return ct_error();
    int64_t scope = ct_scope_open();
    ct_tensor *v = ct_module_read(child, module->kernel);
    ct_tensor *g = ct_reshape(lengths(v), CT_SHAPE(ct_dim(v, -1)));
    ct_status status = ct_module_add_slot(&module->base, "g", g, true);
    ct_scope_close(scope);
    return status;
}

ct_module *ct_weight_norm_new(ct_module *child) {
    CTI_CALLED;
    weight_norm *module = (weight_norm *)ct_module_new(sizeof *module, &weight_norm_kind);
    ct_status status = ct_module_add_children(module ? &module->base : NULL, &child, 1);
    if (module && status == CT_OK) status = add_length(module);
    return cti_module_or_free(module ? &module->base : NULL, status);
}
