/* Containers: Sequential, Residual and Branches.
 * They compute nothing of their own but the sum of the residual.
 * Invariant: the container owns the children that it was given, also when making it fails. */
#include "nn/module_private.h"

#include "tensor/base/alloc.h"
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

/* The first child takes the inputs, the last one gives the outputs. */
static ct_status sequential_many(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
                                 int n_out, ct_mode mode) {
    if (self->n_children == 0) {
        if (cti_check_many(self, in, n_in, 1, 1, n_out, 1) != CT_OK) return ct_error();
        return (out[0] = ct_scope_add(in[0])) ? CT_OK : ct_error();
    }
    int64_t last = self->n_children - 1;
    ct_tensor *x;
    for (int64_t i = 0; i < last; i++) {
        if (ct_forward_many(self->children[i], in, n_in, &x, 1, mode) != CT_OK) return ct_error();
        in = &x, n_in = 1;
    }
    return ct_forward_many(self->children[last], in, n_in, out, n_out, mode);
}

static const ct_module_kind sequential_kind = {
    .name = "Sequential",
    .forward = sequential_forward,
    .logits = sequential_logits,
    .forward_many = sequential_many,
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

/* --- Branches --------------------------------------------------------------------------------- */

/* The last child merges. */
static ct_status branches_forward(ct_module *self, ct_tensor *const in[], int n_in,
                                  ct_tensor *out[], int n_out, ct_mode mode) {
    int n = (int)self->n_children - 1;
    if (n_in != 1 && n_in != n) {
        return ct_fail(CT_ERR_RANGE, "Branches: %d branches take 1 input or as many, got %d", n,
                       n_in);
    }
    if (cti_check_many(self, in, n_in, n_in, n_in, n_out, n_out) != CT_OK) return ct_error();
    ct_tensor **ends = cti_alloc((size_t)n, sizeof *ends);
    ct_status status = ends ? CT_OK : CT_ERR_MEMORY;
    for (int i = 0; i < n && status == CT_OK; i++) {
        ends[i] = ct_forward(self->children[i], in[n_in == 1 ? 0 : i], mode);
        if (!ends[i]) status = ct_error();
    }
    if (status == CT_OK) status = ct_forward_many(self->children[n], ends, n, out, n_out, mode);
    cti_free(ends);
    return status;
}

static const ct_module_kind branches_kind = {
    .name = "Branches",
    .forward_many = branches_forward,
};

ct_module *ct_branches_new(const char *name, ct_module *merge, ct_module *const children[],
                           int64_t n) {
    CTI_CALLED;
    ct_module *module = ct_module_new(sizeof *module, &branches_kind);
    ct_status status = ct_module_add_children(module, children, n);
    if (merge) {
        ct_status merged = ct_module_add_children(module, &merge, 1);
        if (status == CT_OK) status = merged;
    } else {
        cti_null_in("ct_branches_new: 'merge' is NULL");
        status = ct_error();
    }
    if (status == CT_OK && (n < 1 || n >= INT32_MAX)) {
        status = ct_fail(CT_ERR_RANGE, "ct_branches_new: needs at least one branch, got %lld",
                         (long long)n);
    }
    if (module && status == CT_OK && name && *name) status = ct_module_rename(module, name);
    return cti_module_or_free(module, status);
}
