/* Parameters as tensors: a forward with given tensors in place of the values of slots.
 * It changes no slot and knows no derivative: the result is a graph of what was given.
 * Invariant: when a call returns, also with an error, slots read as they did before; other threads
 * that run the same frozen module notice nothing. */
#include "nn/module.h"

#include "autograd/derive/derive_private.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/value/slot_private.h"

/* As slots are called in messages: a list may be the user's own. */
static const char *path_of(const ct_named_slot *item) {
    return item->path ? item->path : ct_slot_name(item->slot);
}

static ct_status check_value(const ct_named_slot *item, const ct_tensor *value, bool any_float) {
    static const char function[] = "ct_functional_call";
    const ct_tensor *own = ct_slot_read(item->slot);
    if (!own) return ct_error();
    if (!value) {
        cti_null_in("%s: the value for '%s' is NULL", function, path_of(item));
        return ct_error();
    }
    bool shapes_fit = ct_shape_equal(value->shape, own->shape);
    bool floats = ct_dtype_is_float(value->dtype) && ct_dtype_is_float(own->dtype);
    if (shapes_fit && (value->dtype == own->dtype || (any_float && floats))) return CT_OK;
    return ct_fail(shapes_fit ? CT_ERR_DTYPE : CT_ERR_SHAPE,
                   "%s: '%s' is %s %s, the value for it %s %s", function, path_of(item),
                   ct_dtype_name(own->dtype), ct_shape_format(own->shape).text,
                   ct_dtype_name(value->dtype), ct_shape_format(value->shape).text);
}

static ct_status check(const ct_slot_list *slots, ct_tensor *const values[], bool any_float) {
    static const char function[] = "ct_functional_call", count[] = "slots->count";
    ct_status status = cti_check_array(function, "slots->items", slots->items, count, slots->count);
    if (status == CT_OK) status = cti_check_array(function, "values", values, count, slots->count);
    for (int64_t i = 0; i < slots->count && status == CT_OK; i++) {
        status = check_value(&slots->items[i], values[i], any_float);
    }
    return status;
}

static void find_slots(const cti_replacements *given, const ct_module *module) {
    for (int i = 0; i < module->n_slots; i++) {
        cti_replacement *found = cti_replacement_in(given, module->slots[i].slot);
        if (found) found->found = true;
    }
    for (int64_t i = 0; i < module->n_children; i++) find_slots(given, module->children[i]);
}

static ct_status check_found(const cti_replacements *given, const ct_slot_list *slots) {
    for (int64_t i = 0; i < slots->count; i++) {
        if (given->items[i].found) continue;
        return ct_fail(CT_ERR_STATE,
                       "ct_functional_call: '%s' is no slot of the module, or listed twice",
                       path_of(&slots->items[i]));
    }
    return CT_OK;
}

/* A forward: of several inputs and outputs, or of one of each. */
typedef struct {
    ct_module *module;
    ct_tensor *const *in;
    ct_tensor **out;
    int n_in, n_out;
    ct_mode mode;
    bool many;
} call;

static ct_status forward(const call *c, bool logits) {
    if (c->many && !logits) {
        return ct_forward_many(c->module, c->in, c->n_in, c->out, c->n_out, c->mode);
    }
    ct_tensor *y = logits ? ct_logits(c->module, c->in[0], c->mode)
                          : ct_forward(c->module, c->in[0], c->mode);
    if (!y) return ct_error();
    c->out[0] = y;
    return CT_OK;
}

/* In a forward without staged updates there are none of calls inside of it either. */
static ct_status run(const call *c, ct_functional_options options) {
    bool *left_out = cti_stages_left_out(), before = *left_out;
    *left_out |= !options.staged;
    ct_status status = forward(c, options.logits);
    *left_out = before;
    return status;
}

static ct_status run_with(const call *c, const ct_slot_list *slots, ct_tensor *const values[],
                          ct_functional_options options) {
    if (check(slots, values, options.any_float) != CT_OK) return ct_error();
    cti_replacements given = {.count = slots->count};
    given.items = cti_alloc((size_t)slots->count, sizeof *given.items);
    if (!given.items) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < slots->count; i++) {
        given.items[i] = (cti_replacement){.slot = slots->items[i].slot, .value = values[i]};
    }
    find_slots(&given, c->module);
    ct_status status = check_found(&given, slots);
    cti_replacements_open(&given);
    if (status == CT_OK) status = run(c, options);
    cti_replacements_close();
    cti_free(given.items);
    return status;
}

ct_tensor *ct_functional_call(ct_module *module, ct_tensor *x, ct_mode mode,
                              const ct_slot_list *slots, ct_tensor *const values[],
                              ct_functional_options options) {
    CTI_CALLED;
    if (!module || !slots) {
        return cti_null_in("ct_functional_call: '%s' is NULL", module ? "slots" : "module");
    }
    ct_tensor *y = NULL;
    call c = {.module = module, .in = &x, .out = &y, .n_in = 1, .n_out = 1, .mode = mode};
    return run_with(&c, slots, values, options) == CT_OK ? y : NULL;
}

ct_status ct_functional_call_many(ct_module *module, ct_tensor *const in[], int n_in,
                                  ct_tensor *out[], int n_out, ct_mode mode,
                                  const ct_slot_list *slots, ct_tensor *const values[],
                                  ct_functional_options options) {
    CTI_CALLED;
    if (!module || !slots) {
        return cti_null("ct_functional_call_many: '%s' is NULL", module ? "slots" : "module");
    }
    if (options.logits && (n_in != 1 || n_out != 1 || !in || !out)) {
        return ct_fail(CT_ERR_RANGE,
                       "ct_functional_call_many: logits are of 1 input and 1 output, got %d and %d",
                       n_in, n_out);
    }
    call c = {module, in, out, n_in, n_out, mode, true};
    return run_with(&c, slots, values, options);
}
