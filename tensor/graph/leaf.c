/* Leaves: tensors made from data.
 * Random tensors are not leaves: they are ops of a key.
 * Invariant: a leaf has its value from the start, row-major and whole. */
#include "tensor/base/caller.h"
#include "tensor/graph/node.h"

#include <math.h>
#include <string.h>

ct_tensor *ct_from(ct_dtype dtype, ct_shape shape, const void *elements) {
    ct_tensor *t = cti_leaf_new("ct_from", dtype, shape);
    if (!t) return NULL;
    if (!elements && t->numel) return ct_fail_null(CT_ERR_NULL, "ct_from: 'elements' is NULL");
    if (t->numel) memcpy(t->buffer->data, elements, (size_t)t->numel * ct_dtype_size(dtype));
    return t;
}

void cti_store(void *data, ct_dtype dtype, int64_t i, double value) {
    switch (dtype) {
    case CT_F32: ((float *)data)[i] = (float)value; break;
    case CT_F64: ((double *)data)[i] = value; break;
    case CT_I64: ((int64_t *)data)[i] = (int64_t)value; break;
    case CT_U8: ((uint8_t *)data)[i] = (uint8_t)value; break;
    case CT_P61: ((ct_p61 *)data)[i] = ct_p61_from(value); break;
    case CT_DTYPES: break;
    }
}

double cti_value(const void *data, ct_dtype dtype, int64_t i) {
    switch (dtype) {
    case CT_F32: return (double)((const float *)data)[i];
    case CT_F64: return ((const double *)data)[i];
    case CT_I64: return (double)((const int64_t *)data)[i];
    case CT_U8: return ((const uint8_t *)data)[i];
    case CT_P61: return ((const ct_p61 *)data)[i].shadow;
    case CT_DTYPES: break;
    }
    return NAN;
}

ct_status cti_check_value(const char *function, ct_dtype dtype, double value) {
    if (dtype == CT_U8 && !(value >= 0 && value <= 255 && value == floor(value))) {
        return ct_fail(CT_ERR_RANGE, "%s: a u8 must be a whole number in 0..255, got %g", function,
                       value);
    }
    if (dtype == CT_I64 && !(fabs(value) < 0x1p63 && value == floor(value))) {
        return ct_fail(CT_ERR_RANGE, "%s: an i64 must be a whole number below 2^63, got %g",
                       function, value);
    }
    return CT_OK;
}

static ct_tensor *filled(const char *function, ct_dtype dtype, ct_shape shape, double value) {
    ct_tensor *t = cti_leaf_new(function, dtype, shape);
    if (!t || cti_check_value(function, dtype, value) != CT_OK) return NULL;
    for (int64_t i = 0; i < t->numel; i++) cti_store(t->buffer->data, dtype, i, value);
    return t;
}

ct_tensor *ct_full(ct_dtype dtype, ct_shape shape, double value) {
    return filled("ct_full", dtype, shape, value);
}

ct_tensor *ct_scalar(ct_dtype dtype, double value) {
    return filled("ct_scalar", dtype, CT_SCALAR, value);
}

ct_tensor *ct_arange(ct_dtype dtype, double start, double stop, double step) {
    double count = ceil((stop - start) / step);
    if (!(step != 0) || !isfinite(count)) {
        return ct_fail_null(CT_ERR_RANGE,
                            "ct_arange: start %g, stop %g, step %g give no finite "
                            "number of elements",
                            start, stop, step);
    }
    if (count >= 0x1p62) {
        return ct_fail_null(CT_ERR_RANGE, "ct_arange: %g elements are too many", count);
    }
    int64_t n = count > 0 ? (int64_t)count : 0;
    double last = n ? start + (double)(n - 1) * step : start;
    if (cti_check_value("ct_arange", dtype, start) != CT_OK ||
        cti_check_value("ct_arange", dtype, last) != CT_OK ||
        (n > 1 && cti_check_value("ct_arange", dtype, start + step) != CT_OK)) {
        return NULL;
    }
    ct_tensor *t = cti_leaf_new("ct_arange", dtype, CT_SHAPE(n));
    if (!t) return NULL;
    for (int64_t i = 0; i < n; i++) cti_store(t->buffer->data, dtype, i, start + (double)i * step);
    return t;
}

ct_tensor *ct_eye(ct_dtype dtype, int64_t n) {
    ct_tensor *t = cti_leaf_new("ct_eye", dtype, CT_SHAPE(n, n));
    if (!t) return NULL;
    memset(t->buffer->data, 0, (size_t)t->numel * ct_dtype_size(dtype));
    for (int64_t i = 0; i < n; i++) cti_store(t->buffer->data, dtype, i * (n + 1), 1.0);
    return t;
}
