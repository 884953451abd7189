/* Merging layers: kinds of several inputs and one output, Concatenate and Add.
 * Which inputs fit together is the ops' business.
 * Invariant: no slots; any number of inputs, none of which is NULL. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"

typedef struct {
    ct_module base;
    int axis;
} concatenate;

static ct_status set_output(ct_tensor *out[], ct_tensor *y) {
    out[0] = y;
    return y ? CT_OK : ct_error();
}

static ct_status concatenate_forward(ct_module *self, ct_tensor *const in[], int n_in,
                                     ct_tensor *out[], int n_out, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    if (cti_check_many(self, in, n_in, n_in, n_in, n_out, 1) != CT_OK) return ct_error();
    return set_output(out, ct_concat(in, n_in, ((concatenate *)self)->axis));
}

static const ct_module_kind concatenate_kind = {.name = "Concatenate",
                                                .forward_many = concatenate_forward};

ct_module *ct_concatenate_new(int axis) {
    CTI_CALLED;
    concatenate *layer = (concatenate *)ct_module_new(sizeof *layer, &concatenate_kind);
    if (layer) layer->axis = axis;
    return layer ? &layer->base : NULL;
}

static ct_status add_forward(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
                             int n_out, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    if (cti_check_many(self, in, n_in, n_in, n_in, n_out, 1) != CT_OK) return ct_error();
    ct_tensor *sum = ct_scope_add(in[0]);
    for (int i = 1; i < n_in; i++) sum = ct_add(sum, in[i]);
    return set_output(out, sum);
}

static const ct_module_kind add_kind = {.name = "Add", .forward_many = add_forward};

ct_module *ct_add_new(void) {
    CTI_CALLED;
    return ct_module_new(sizeof(ct_module), &add_kind);
}
