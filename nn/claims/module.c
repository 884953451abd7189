/* Claims on modules: a forward as a function of inputs and slots.
 * It knows no closed form and no derivative.
 * Invariant: every slot is given a value, so the function repeats itself and no slot changes. */
#include "nn/claims.h"

#include "nn/claims/claims_private.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"

static bool is_input(const ct_named_slot *item) {
    return ct_dtype_is_float(ct_dtype_of(ct_slot_read(item->slot)));
}

/* Sets out[0..n_out); slots of floats are in[n_given..). */
static ct_status call(ct_module *module, ct_mode mode, const ct_slot_list *slots,
                      ct_tensor *const in[], int64_t n_given, ct_tensor *out[], int n_out) {
    ct_tensor **values = cti_alloc((size_t)slots->count, sizeof *values);
    if (!values) return CT_ERR_MEMORY;
    ct_tensor *const *next = in + n_given;
    for (int64_t i = 0; i < slots->count; i++) {
        const ct_named_slot *item = &slots->items[i];
        values[i] = is_input(item) ? *next++ : ct_slot_read(item->slot);
    }
    ct_functional_options options = {.any_float = true};
    ct_status status = ct_functional_call_many(module, in, (int)n_given, out, n_out, mode, slots,
                                               values, options);
    cti_free(values);
    return status;
}

void cti_claimed_outputs(ct_module *module, ct_mode mode, ct_tensor *const in[], int64_t n_given,
                         int64_t n, ct_tensor *out[], int n_out) {
    ct_slot_list slots = {0};
    int64_t floats = n_given;
    if (module && ct_module_list(module, &slots) == CT_OK) {
        for (int64_t i = 0; i < slots.count; i++) floats += is_input(&slots.items[i]);
        if (floats == n) call(module, mode, &slots, in, n_given, out, n_out);
    }
    ct_slot_list_free(&slots);
    ct_module_free(module);
}

ct_tensor *cti_claimed_module(ct_module *module, ct_mode mode, ct_tensor *const in[],
                              int64_t n_given, int64_t n) {
    ct_tensor *y = NULL;
    cti_claimed_outputs(module, mode, in, n_given, n, &y, 1);
    return y;
}

/* --- A user's --------------------------------------------------------------------------------- */

static ct_tensor *first_output(void *context, ct_tensor *const in[], int64_t n) {
    const ct_module_claim *of = context;
    ct_tensor *y = NULL;
    (void)n;
    call(of->module, of->mode, &of->slots, in, of->n_given, &y, 1);
    return y;
}

static bool all_positive(ct_tensor *t) {
    int64_t scope = ct_scope_open();
    const double *least = ct_data_f64(ct_min(ct_cast(t, CT_F64), CT_ALL));
    bool positive = least && *least > 0;
    ct_scope_close(scope);
    return positive;
}

static ct_claim_input input_of(const ct_named_slot *item) {
    ct_tensor *value = ct_slot_read(item->slot);
    return (ct_claim_input){.name = item->path,
                            .shape = ct_shape_of(value),
                            .fixed = !item->parameter,
                            .positive = !item->parameter && all_positive(value)};
}

static ct_status add_inputs(ct_module_claim *of, const ct_claim *like) {
    of->inputs = cti_alloc(CT_CLAIM_INPUTS, sizeof *of->inputs);
    if (!of->inputs) return CT_ERR_MEMORY;
    int64_t n = like->n_inputs;
    for (int64_t i = 0; i < n; i++) of->inputs[i] = like->inputs[i];
    for (int64_t i = 0; i < of->slots.count; i++) {
        if (!is_input(&of->slots.items[i])) continue;
        if (n == CT_CLAIM_INPUTS) {
            return ct_fail(CT_ERR_RANGE, "ct_module_claim_open: more than %d inputs and slots",
                           CT_CLAIM_INPUTS);
        }
        of->inputs[n++] = input_of(&of->slots.items[i]);
    }
    of->claim.inputs = of->inputs;
    of->claim.n_inputs = n;
    return ct_error();
}

ct_status ct_module_claim_open(ct_module_claim *of, ct_module *module, ct_mode mode,
                               ct_claim like) {
    CTI_CALLED;
    static const char function[] = "ct_module_claim_open";
    if (!of) return cti_null("%s: 'of' is NULL", function);
    *of = (ct_module_claim){0};
    if (!module || !like.inputs) {
        return cti_null("%s: '%s' is NULL", function, module ? "like.inputs" : "module");
    }
    if (like.n_inputs < 1 || like.n_inputs > CT_CLAIM_INPUTS) {
        return ct_fail(CT_ERR_RANGE, "%s: inputs must be 1..%d, got %lld", function,
                       CT_CLAIM_INPUTS, (long long)like.n_inputs);
    }
    *of = (ct_module_claim){like, like.context, module, mode, like.n_inputs, {0}, NULL};
    of->claim.f = first_output;
    of->claim.context = of;
    ct_status status = ct_module_list(module, &of->slots);
    if (status == CT_OK) status = add_inputs(of, &like);
    if (status != CT_OK) ct_module_claim_close(of);
    return status;
}

void ct_module_claim_close(ct_module_claim *of) {
    if (!of) return;
    ct_slot_list_free(&of->slots);
    cti_free(of->inputs);
    *of = (ct_module_claim){0};
}
