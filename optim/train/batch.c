/* What of a batch is not finite, by name and place: where a loss is not, that comes first.
 * Whether it ends training is fit.c's business.
 * Invariant: elements are looked at by ops. */
#include "optim/train/train.h"

#include <math.h>

/* The first element that is not finite, or -1; the difference of such a one with itself is NaN. */
static ct_status find(ct_tensor *flat, int64_t *at) {
    ct_tensor *zero = ct_scalar(ct_dtype_of(flat), 0);
    ct_tensor *bad = ct_not_equal(ct_sub(flat, flat), zero);
    ct_tensor *found[] = {ct_max(bad, CT_AXES(0)), ct_argmax(bad, 0)};
    if (ct_eval(found, 2) != CT_OK) return ct_error();
    *at = ct_item(found[0]) > 0 ? (int64_t)ct_item(found[1]) : -1;
    return CT_OK;
}

static ct_status look_at(ct_tensor *t, const char *name, int number, cti_cause *cause) {
    int64_t n = ct_numel(t), at = -1;
    if (!t || !ct_dtype_is_float(ct_dtype_of(t)) || n == 0) return CT_OK;
    ct_tensor *flat = ct_reshape(t, CT_SHAPE(n));
    if (!flat || find(flat, &at) != CT_OK) return ct_error();
    if (at < 0) return CT_OK;
    double value = ct_item(ct_slice(flat, 0, at, at + 1, 1));
    int64_t row = ct_shape_of(t).rank > 0 ? at / (n / ct_dim(t, 0)) : 0;
    char counted[16] = "";
    if (number >= 0) snprintf(counted, sizeof counted, "[%d]", number);
    snprintf(cause->text, sizeof cause->text, ": %s%s of its batch is %s in row %lld, element %lld",
             name, counted, isnan(value) ? "nan" : "infinite", (long long)row, (long long)at);
    return CT_OK;
}

ct_status cti_batch_cause(const ct_batch *batch, cti_cause *cause) {
    *cause = (cti_cause){""};
    int64_t scope = ct_scope_open();
    ct_status status = look_at(batch->x, "x", -1, cause);
    if (status == CT_OK && !*cause->text) status = look_at(batch->y, "y", -1, cause);
    for (int i = 0; i < batch->n_more && status == CT_OK && !*cause->text; i++) {
        status = look_at(batch->more[i], "more", i, cause);
    }
    ct_scope_close(scope);
    return status;
}
