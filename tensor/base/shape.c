/* Shapes: checked products, broadcasting, text.
 * It knows nothing of tensors.
 * Invariant: a shape that passed cti_shape_check has products of any of its dimensions, in bytes,
 * below 2^63, zeros left out; so later products need no check. */
#include "tensor/shape.h"
#include "tensor/base/shape_rules.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[CT_DTYPES] = {
    [CT_F32] = {"f32", 4}, [CT_F64] = {"f64", 8},  [CT_I64] = {"i64", 8},
    [CT_U8] = {"u8", 1},   [CT_P61] = {"p61", 16},
};

const char *ct_dtype_name(ct_dtype dtype) {
    return (unsigned)dtype < CT_DTYPES ? dtypes[dtype].name : "unknown dtype";
}

size_t ct_dtype_size(ct_dtype dtype) { return dtypes[dtype].size; }

bool ct_dtype_is_float(ct_dtype dtype) {
    return (unsigned)dtype < CT_DTYPES && (CTI_REAL >> dtype & 1);
}

ct_status cti_dtype_check(const char *function, ct_dtype dtype, unsigned held) {
    if (held >> dtype & 1) return CT_OK;
    char names[16 * CT_DTYPES] = "";
    for (int k = 0, n = __builtin_popcount(held); k < CT_DTYPES; k++) {
        if (!(held >> k & 1)) continue;
        const char *next = --n > 1 ? ", " : n == 1 ? " or " : "";
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", dtypes[k].name, next);
    }
    return ct_fail(CT_ERR_DTYPE, "%s: dtype must be %s, got %s; use ct_cast", function, names,
                   ct_dtype_name(dtype));
}

ct_status cti_dtypes_equal(const char *function, ct_dtype a, ct_dtype b) {
    if (a == b) return CT_OK;
    return ct_fail(CT_ERR_DTYPE, "%s: dtypes differ: %s and %s; use ct_cast", function,
                   ct_dtype_name(a), ct_dtype_name(b));
}

ct_shape_text ct_shape_format(ct_shape shape) {
    ct_shape_text out = {"["};
    size_t used = 1;
    for (int i = 0; i < shape.rank && i < CT_MAX_RANK; i++) {
        used += (size_t)snprintf(out.text + used, sizeof out.text - used, "%s%lld", i ? "," : "",
                                 (long long)shape.dims[i]);
    }
    snprintf(out.text + used, sizeof out.text - used, "]");
    return out;
}

ct_status cti_shape_check(const char *function, ct_shape shape, ct_dtype dtype) {
    if (shape.rank < 0 || shape.rank > CT_MAX_RANK) {
        return ct_fail(CT_ERR_SHAPE, "%s: rank must be 0..%d, got %d", function, CT_MAX_RANK,
                       shape.rank);
    }
    if ((unsigned)dtype >= CT_DTYPES) {
        return ct_fail(CT_ERR_DTYPE, "%s: unknown dtype %d", function, (int)dtype);
    }
    int64_t product = 1, bytes;
    for (int i = 0; i < shape.rank; i++) {
        int64_t dim = shape.dims[i];
        if (dim < 0) {
            return ct_fail(CT_ERR_SHAPE, "%s: dim %d must be >= 0, got %lld", function, i,
                           (long long)dim);
        }
        if (dim > 0 && __builtin_mul_overflow(product, dim, &product)) {
            return ct_fail(CT_ERR_SHAPE,
                           "%s: shape %s has more than 2^63-1 elements (zero dims not counted)",
                           function, ct_shape_format(shape).text);
        }
    }
    if (__builtin_mul_overflow(product, (int64_t)dtypes[dtype].size, &bytes)) {
        return ct_fail(CT_ERR_MEMORY, "%s: out of memory: %s of %s has more than 2^63-1 bytes",
                       function, ct_shape_format(shape).text, dtypes[dtype].name);
    }
    return CT_OK;
}

int64_t cti_shape_span(ct_shape shape, int from, int to) {
    int64_t product = 1;
    for (int i = from; i < to; i++) product *= shape.dims[i];
    return product;
}

int64_t ct_shape_numel(ct_shape shape) { return cti_shape_span(shape, 0, shape.rank); }

ct_status cti_shape_broadcast(const char *function, ct_shape a, ct_shape b, ct_shape *out) {
    ct_shape wide = a.rank >= b.rank ? a : b, narrow = a.rank >= b.rank ? b : a;
    int shift = wide.rank - narrow.rank;
    for (int i = 0; i < narrow.rank; i++) {
        int64_t w = wide.dims[i + shift], n = narrow.dims[i];
        if (w != n && w != 1 && n != 1) {
            return ct_fail(CT_ERR_SHAPE, "%s: cannot broadcast %s with %s: dim %d is %lld vs %lld",
                           function, ct_shape_format(a).text, ct_shape_format(b).text, i + shift,
                           (long long)(a.rank >= b.rank ? w : n),
                           (long long)(a.rank >= b.rank ? n : w));
        }
        if (w == 1) wide.dims[i + shift] = n;
    }
    *out = wide;
    return CT_OK;
}

ct_status cti_shape_axis(const char *function, ct_shape shape, int axis, int *out) {
    if (axis < -shape.rank || axis >= shape.rank) {
        if (shape.rank == 0) {
            return ct_fail(CT_ERR_SHAPE, "%s: a scalar has no axis, got %d", function, axis);
        }
        return ct_fail(CT_ERR_SHAPE, "%s: axis must be in %d..%d for rank %d, got %d", function,
                       -shape.rank, shape.rank - 1, shape.rank, axis);
    }
    *out = axis < 0 ? axis + shape.rank : axis;
    return CT_OK;
}

void cti_shape_strides(ct_shape shape, int64_t strides[CT_MAX_RANK]) {
    int64_t step = 1;
    memset(strides, 0, sizeof(int64_t) * CT_MAX_RANK);
    for (int i = shape.rank - 1; i >= 0; i--) {
        strides[i] = step;
        step *= shape.dims[i];
    }
}
