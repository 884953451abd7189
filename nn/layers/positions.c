/* Places of a sequence: learned ones as a layer, sinusoidal ones as a function.
 * What sees them is attention's business.
 * Invariant: slot 0 is the table, a row for each place. */
#include "nn/attention.h"

#include "nn/module_private.h"
#include "tensor/base/caller.h"

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    ct_tensor *table = ct_module_read(self, 0);
    ct_shape shape = ct_shape_of(x);
    if (shape.rank != 3 || shape.dims[2] != ct_dim(table, 1) || shape.dims[1] > ct_dim(table, 0)) {
        return ct_fail_null(CT_ERR_SHAPE, "Positions: x needs [N,T,%lld] with T <= %lld, got %s",
                            (long long)ct_dim(table, 1), (long long)ct_dim(table, 0),
                            ct_shape_format(shape).text);
    }
    return ct_add(x, ct_slice(table, 0, 0, shape.dims[1], 1));
}

static const ct_weights_slot pytorch[] = {{.slot = "embeddings", .name = "weight"}, {0}};

static const ct_module_kind positions_kind = {
    .name = "Positions", .forward = forward, .pytorch = pytorch};

ct_module *ct_positions_new(int64_t length, int64_t width, ct_positions_options options) {
    CTI_CALLED;
    if (cti_check_size("ct_positions_new", "length", length) != CT_OK ||
        cti_check_size("ct_positions_new", "width", width) != CT_OK) {
        return NULL;
    }
    ct_module *module = ct_module_new(sizeof *module, &positions_kind);
    if (!module) return NULL;
    ct_status status = cti_add_weight(module, "embeddings", options.embeddings,
                                      &ct_truncated_normal, options.dtype, CT_SHAPE(length, width),
                                      length, width);
    return cti_module_or_free(module, status);
}

ct_tensor *ct_sinusoidal_positions(ct_dtype dtype, int64_t length, int64_t width) {
    CTI_CALLED;
    static const char function[] = "ct_sinusoidal_positions";
    if (cti_check_size(function, "length", length) != CT_OK ||
        cti_check_size(function, "width", width) != CT_OK) {
        return NULL;
    }
    if (width % 2) {
        return ct_fail_null(CT_ERR_RANGE, "%s: width must be even, got %lld", function,
                            (long long)width);
    }
    if (!ct_dtype_is_float(dtype)) {
        return ct_fail_null(CT_ERR_DTYPE, "%s: dtype must be f32, f64 or p61, got %s", function,
                            ct_dtype_name(dtype));
    }
    /* In f64: far places have many turns behind them. 9.21.. is ln 10000. */
    ct_tensor *pair = ct_cast(ct_iota(width / 2), CT_F64);
    ct_tensor *rate = ct_exp(ct_scale(pair, -9.2103403719761836 * 2.0 / (double)width));
    ct_tensor *place = ct_cast(ct_reshape(ct_iota(length), CT_SHAPE(length, 1)), CT_F64);
    ct_tensor *angle = ct_reshape(ct_mul(place, rate), CT_SHAPE(length, width / 2, 1));
    ct_tensor *both = CT_CONCAT(2, ct_sin(angle), ct_cos(angle));
    ct_tensor *y = ct_reshape(both, CT_SHAPE(length, width));
    return dtype == CT_F64 ? y : ct_cast(y, dtype);
}
