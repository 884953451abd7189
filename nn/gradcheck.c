/* A gradient check of a module: its forward as a function of its parameters and its input.
 * How a function is checked is ct_gradcheck's business.
 * Invariant: every slot is given a value, so the function repeats itself and no slot changes. */
#include "nn/gradcheck.h"

#include "autograd/ops.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"

typedef struct {
    ct_module *module;
    ct_mode mode;
    ct_slot_list slots;
    ct_tensor **values; /* of all slots */
    ct_tensor *x;       /* counts where it is no input of the check */
} subject;

/* Inputs: the parameters, in the order of the slots, and x. */
static ct_tensor *forward(void *context, ct_tensor *const inputs[], int64_t n) {
    const subject *s = context;
    int64_t k = 0;
    for (int64_t i = 0; i < s->slots.count; i++) {
        if (s->slots.items[i].parameter) s->values[i] = inputs[k++];
    }
    return ct_functional_call(s->module, k < n ? inputs[k] : s->x, s->mode, &s->slots, s->values,
                              (ct_functional_options){.any_float = true});
}

static ct_tensor *wide(ct_tensor *t) {
    return ct_dtype_is_float(ct_dtype_of(t)) ? ct_cast(t, CT_F64) : t;
}

static ct_status check(subject *s, ct_tensor *inputs[], ct_gradcheck_options options,
                       ct_gradcheck_report *report) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->slots.count; i++) {
        s->values[i] = wide(ct_slot_read(s->slots.items[i].slot));
        if (!s->values[i]) return ct_error();
        if (s->slots.items[i].parameter) inputs[n++] = s->values[i];
    }
    s->x = wide(s->x);
    if (ct_dtype_is_float(ct_dtype_of(s->x))) inputs[n++] = s->x;
    return ct_gradcheck(forward, s, inputs, n, options, report);
}

ct_status ct_gradcheck_module(ct_module *module, ct_tensor *x, ct_mode mode,
                              ct_gradcheck_options options, ct_gradcheck_report *report) {
    CTI_CALLED;
    if (!module || !x) {
        return cti_null("ct_gradcheck_module: '%s' is NULL", module ? "x" : "module");
    }
    subject s = {.module = module, .mode = mode, .x = x};
    if (ct_module_list(module, &s.slots) != CT_OK) return ct_error();
    int64_t scope = ct_scope_open();
    s.values = cti_alloc((size_t)s.slots.count, sizeof *s.values);
    ct_tensor **inputs = cti_alloc((size_t)s.slots.count + 1, sizeof *inputs);
    ct_status status = s.values && inputs ? check(&s, inputs, options, report) : CT_ERR_MEMORY;
    cti_free(s.values);
    cti_free(inputs);
    ct_scope_close(scope);
    ct_slot_list_free(&s.slots);
    return status;
}
