/* What ct_gradcheck takes for its options and inputs. What it does with them is in gradcheck.c. */
#include "autograd/check/arguments.h"

#include "tensor/base/caller.h"
#include "tensor/varying.h"

#include <math.h>

ct_status cti_gradcheck_options_check(ct_gradcheck_options o) {
    if (o.order < 0 || o.order > 2) {
        return ct_fail(CT_ERR_RANGE, "ct_gradcheck: order must be 1 or 2, got %d", o.order);
    }
    double numbers[] = {o.step, o.relative, o.absolute};
    static const char *const names[] = {"step", "relative", "absolute"};
    for (int i = 0; i < 3; i++) {
        if (numbers[i] >= 0 && isfinite(numbers[i])) continue;
        return ct_fail(CT_ERR_RANGE, "ct_gradcheck: %s must be finite and >= 0, got %g", names[i],
                       numbers[i]);
    }
    if (o.full_limit >= 0 && o.directions >= 0) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "ct_gradcheck: full_limit and directions must be >= 0");
}

ct_status cti_gradcheck_inputs_check(ct_tensor *const inputs[], int64_t n) {
    if (n < 1) return ct_fail(CT_ERR_RANGE, "ct_gradcheck: needs at least one input");
    for (int64_t k = 0; k < n; k++) {
        if (!inputs[k]) return cti_null("ct_gradcheck: input %lld is NULL", (long long)k);
        int axis = ct_varying_axis(inputs[k]);
        if (axis >= 0) {
            return ct_fail(CT_ERR_STATE,
                           "ct_gradcheck: input %lld varies between ranks along axis %d, and "
                           "differences are those of one process; ct_own_rows",
                           (long long)k, axis);
        }
        if (ct_dtype_of(inputs[k]) == CT_F64) continue;
        return ct_fail(CT_ERR_DTYPE,
                       "ct_gradcheck: input %lld must be f64, got %s; finite "
                       "differences in less precision show nothing",
                       (long long)k, ct_dtype_name(ct_dtype_of(inputs[k])));
    }
    return CT_OK;
}
