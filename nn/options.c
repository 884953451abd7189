/* Options: sizes and numbers that have to lie in a range, and marks of who made them.
 * What an option means is said where it is used.
 * Invariant: messages name the function that the user called, the option and its value. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"

ct_status cti_check_size(const char *function, const char *name, int64_t size) {
    if (size >= 1 && size <= INT32_MAX) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: %s must be %s, got %lld", function, name,
                   size < 1 ? ">= 1" : "< 2^31", (long long)size);
}

ct_status cti_check_padding(const char *function, ct_padding padding) {
    if (padding == CT_VALID || padding == CT_SAME) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: padding must be CT_VALID or CT_SAME, got %d", function,
                   (int)padding);
}

void cti_complete_sizes(int64_t sizes[2], int64_t usual) {
    if (!sizes[0]) sizes[0] = sizes[1] ? sizes[1] : usual;
    if (!sizes[1]) sizes[1] = sizes[0];
}

ct_status cti_check_sizes(const char *function, const char *name, const int64_t sizes[2]) {
    ct_status status = cti_check_size(function, name, sizes[0]);
    return status == CT_OK ? cti_check_size(function, name, sizes[1]) : status;
}

ct_status cti_check_number(const char *function, const char *name, double value, double low,
                           double high) {
    if (value >= low && value < high) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: %s must be in [%g,%g), got %g", function, name, low, high,
                   value);
}

ct_status cti_check_list(const char *function, const char *name, const void *list,
                         const char *count, int64_t n) {
    if (list && n == 0) {
        return ct_fail(CT_ERR_RANGE, "%s: '%s' is given and %s is 0", function, name, count);
    }
    return cti_check_array(function, name, list, count, n);
}

ct_status cti_check_made_by(const char *function, const char *made_by, const char *maker) {
    if (made_by == maker) return CT_OK;
    return ct_fail(CT_ERR_STATE, "%s: start from %s()", function, maker);
}
