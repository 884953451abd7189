/* Containers: Sequential and Residual.
 * They compute nothing of their own but the sum of the residual.
 * Invariant: the container owns the children that it was given, also when making it fails. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"

static ct_tensor *sequential_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    if (self->n_children == 0) return ct_scope_add(x);
    for (int64_t i = 0; i < self->n_children; i++) x = ct_forward(self->children[i], x, mode);
    return x;
}

static ct_tensor *sequential_logits(ct_module *self, ct_tensor *x, ct_mode mode) {
    int64_t last = self->n_children - 1;
    for (int64_t i = 0; i < last; i++) x = ct_forward(self->children[i], x, mode);
    return last >= 0 ? ct_logits(self->children[last], x, mode) : ct_scope_add(x);
}

static const ct_module_kind sequential_kind = {
    .name = "Sequential",
    .forward = sequential_forward,
    .logits = sequential_logits,
    .chain = true,
};

ct_module *ct_sequential_new(const char *name, ct_module *const children[], int64_t n) {
    CTI_CALLED;
    ct_module *module = ct_module_new(sizeof *module, &sequential_kind);
    ct_status status = ct_module_add_children(module, children, n);
    if (module && status == CT_OK && name && *name) status = ct_module_rename(module, name);
    return cti_module_or_free(module, status);
}

static ct_tensor *residual_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    ct_tensor *body = ct_forward(self->children[0], x, mode);
    ct_tensor *shortcut = self->n_children > 1 ? ct_forward(self->children[1], x, mode) : x;
    return ct_add(shortcut, body);
}

static const ct_module_kind residual_kind = {.name = "Residual", .forward = residual_forward};

ct_module *ct_residual_new(ct_module *body, ct_module *shortcut) {
    CTI_CALLED;
    ct_module *module = ct_module_new(sizeof *module, &residual_kind);
    ct_module *children[] = {body, shortcut};
    return cti_module_or_free(module, ct_module_add_children(module, children, shortcut ? 2 : 1));
}
