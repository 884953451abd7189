/* What the layers share: weights with initializers, checks, padding arithmetic.
 * It is no layer.
 * Invariant: a constructor that fails leaves nothing behind. */
#include "nn/layers/layer.h"

#include "tensor/base/caller.h"

static ct_status check_made(const char *name, ct_tensor *value, ct_dtype dtype, ct_shape shape) {
    if (!value) {
        return cti_null("ct_module_add_slot: the initializer of '%s' returned NULL and no error",
                        name);
    }
    if (ct_dtype_of(value) == dtype && ct_shape_equal(ct_shape_of(value), shape)) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "ct_module_add_slot: the initializer of '%s' made %s %s for %s %s",
                   name, ct_dtype_name(ct_dtype_of(value)),
                   ct_shape_format(ct_shape_of(value)).text, ct_dtype_name(dtype),
                   ct_shape_format(shape).text);
}

ct_status cti_add_weight(ct_module *module, const char *name, ct_initializer chosen,
                         const ct_initializer *usual, ct_dtype dtype, ct_shape shape,
                         int64_t fan_in, int64_t fan_out) {
    const ct_initializer *init = chosen.make ? &chosen : usual;
    if (!chosen.make && chosen.value != 0) {
        return ct_fail(CT_ERR_NULL,
                       "ct_module_add_slot: the initializer of '%s' has a value and "
                       "no 'make'; ct_init_constant makes a constant one",
                       name);
    }
    int64_t scope = ct_scope_open();
    ct_tensor *value = init->make(init, dtype, shape, fan_in, fan_out);
    ct_status status = check_made(name, value, dtype, shape);
    if (status == CT_OK) status = ct_module_add_slot(module, name, value, true);
    ct_scope_close(scope);
    return status;
}

ct_module *cti_module_or_free(ct_module *module, ct_status status) {
    if (status == CT_OK) return module;
    ct_module_free(module);
    return NULL;
}

ct_status cti_check_size(const char *function, const char *name, int64_t size) {
    if (size >= 1 && size <= INT32_MAX) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: %s must be %s, got %lld", function, name,
                   size < 1 ? ">= 1" : "< 2^31", (long long)size);
}

ct_status cti_check_made_by(const char *function, const char *made_by, const char *maker) {
    if (made_by == maker) return CT_OK;
    return ct_fail(CT_ERR_STATE, "%s: start from %s()", function, maker);
}

void cti_same_padding(int64_t input, int64_t window, int64_t stride, int64_t pad[2]) {
    int64_t outputs = input / stride + (input % stride != 0);
    int64_t total = outputs > 0 ? (outputs - 1) * stride + window - input : 0;
    if (total < 0) total = 0;
    pad[0] = total / 2;
    pad[1] = total - pad[0];
}
