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
    ct_tensor **values;   /* of all slots */
    ct_tensor *const *in; /* as given; NULL where one is left out */
    ct_tensor **wide;     /* the same in f64 */
    int n_in, n_out;
    bool many; /* by ct_forward_many */
} subject;

static bool is_checked(const ct_tensor *t) { return t && ct_dtype_is_float(ct_dtype_of(t)); }

/* All outputs, one after the other. */
static ct_tensor *outputs_of(const subject *s, ct_functional_options options) {
    ct_tensor **out = cti_alloc((size_t)s->n_out, sizeof *out), *all = NULL;
    ct_status status = !out ? CT_ERR_MEMORY
                            : ct_functional_call_many(s->module, s->wide, s->n_in, out, s->n_out,
                                                      s->mode, &s->slots, s->values, options);
    for (int k = 0; k < s->n_out && status == CT_OK; k++) {
        out[k] = ct_reshape(out[k], CT_SHAPE(-1));
        if (!out[k]) status = ct_error();
    }
    if (status == CT_OK) all = ct_concat(out, s->n_out, 0);
    cti_free(out);
    return all;
}

static ct_tensor *run(const subject *s, ct_functional_options options) {
    if (s->many) return outputs_of(s, options);
    return ct_functional_call(s->module, s->wide[0], s->mode, &s->slots, s->values, options);
}

/* Inputs: the parameters, in the order of the slots, then those of the module. */
static ct_tensor *forward(void *context, ct_tensor *const inputs[], int64_t n) {
    const subject *s = context;
    int64_t k = 0;
    for (int64_t i = 0; i < s->slots.count; i++) {
        if (s->slots.items[i].parameter) s->values[i] = inputs[k++];
    }
    for (int i = 0; i < s->n_in && k < n; i++) {
        if (is_checked(s->in[i])) s->wide[i] = inputs[k++];
    }
    return run(s, (ct_functional_options){.any_float = true});
}

static ct_tensor *widened(ct_tensor *t) { return is_checked(t) ? ct_cast(t, CT_F64) : t; }

static ct_status check(const subject *s, ct_tensor *inputs[], ct_gradcheck_options options,
                       ct_gradcheck_report *report) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->slots.count; i++) {
        s->values[i] = widened(ct_slot_read(s->slots.items[i].slot));
        if (!s->values[i]) return ct_error();
        if (s->slots.items[i].parameter) inputs[n++] = s->values[i];
    }
    for (int i = 0; i < s->n_in; i++) {
        s->wide[i] = widened(s->in[i]);
        if (s->in[i] && !s->wide[i]) return ct_error();
        if (is_checked(s->in[i])) inputs[n++] = s->wide[i];
    }
    subject copy = *s;
    return ct_gradcheck(forward, &copy, inputs, n, options, report);
}

/* The forward in the types that slots and inputs have; no slot changes either. */
static ct_status run_as_it_is(void *context) {
    const subject *s = context;
    for (int64_t i = 0; i < s->slots.count; i++) {
        s->values[i] = ct_slot_read(s->slots.items[i].slot);
    }
    for (int i = 0; i < s->n_in; i++) s->wide[i] = s->in[i];
    return run(s, (ct_functional_options){0}) ? CT_OK : ct_error();
}

/* An error about types may be one that the forward makes in f64 alone. */
static ct_status explained(const char *function, subject *s, ct_status status) {
    if (status != CT_ERR_DTYPE || cti_try(run_as_it_is, s) != CT_OK) return status;
    char message[512];
    snprintf(message, sizeof message, "%s", ct_error_message());
    ct_error_clear();
    return ct_fail(status,
                   "%s: in f64, in which the module is checked, its forward failed; it should make "
                   "numbers in the type of its input, as ct_scale does (%s)",
                   function, message);
}

static ct_status check_module(const char *function, subject *s, ct_gradcheck_options options,
                              ct_gradcheck_report *report) {
    if (ct_module_list(s->module, &s->slots) != CT_OK) return ct_error();
    ct_status before = ct_error();
    int64_t scope = ct_scope_open();
    size_t slots = (size_t)s->slots.count, n = (size_t)s->n_in;
    s->values = cti_alloc(slots + n, sizeof *s->values);
    ct_tensor **inputs = cti_alloc(slots + n, sizeof *inputs);
    ct_status status = CT_ERR_MEMORY;
    if (s->values && inputs) {
        s->wide = s->values + slots;
        status = check(s, inputs, options, report);
        if (before == CT_OK) status = explained(function, s, status);
    }
    cti_free(s->values);
    cti_free(inputs);
    ct_scope_close(scope);
    ct_slot_list_free(&s->slots);
    return status;
}

ct_status ct_gradcheck_module(ct_module *module, ct_tensor *x, ct_mode mode,
                              ct_gradcheck_options options, ct_gradcheck_report *report) {
    CTI_CALLED;
    if (!module || !x) {
        return cti_null("ct_gradcheck_module: '%s' is NULL", module ? "x" : "module");
    }
    subject s = {.module = module, .mode = mode, .in = &x, .n_in = 1, .n_out = 1};
    return check_module("ct_gradcheck_module", &s, options, report);
}

ct_status ct_gradcheck_module_many(ct_module *module, ct_tensor *const in[], int n_in, int n_out,
                                   ct_mode mode, ct_gradcheck_options options,
                                   ct_gradcheck_report *report) {
    static const char function[] = "ct_gradcheck_module_many";
    CTI_CALLED;
    if (!module) return cti_null("%s: 'module' is NULL", function);
    if (cti_check_array(function, "in", in, "n_in", n_in) != CT_OK) return ct_error();
    if (n_out < 1) {
        return ct_fail(CT_ERR_RANGE, "%s: n_out must be >= 1, got %d", function, n_out);
    }
    subject s = {.module = module, .mode = mode, .in = in, .n_in = n_in, .n_out = n_out};
    s.many = true;
    return check_module(function, &s, options, report);
}
