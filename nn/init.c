/* Initializers: how a slot gets its first value, from this thread's stream of keys.
 * Distributions are tensor algebra on the random ops.
 * Invariant: the same seed and the same order of construction give the same weights. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"
#include "tensor/base/keys.h"

void ct_seed_set(uint64_t seed) {
    cti_keys_of_thread()->seed[0] = (int64_t)seed;
    cti_keys_of_thread()->seed[1] = 0;
}

ct_tensor *ct_seed_draw(void) {
    CTI_CALLED;
    int64_t *seed = cti_keys_of_thread()->seed;
    ct_tensor *t = ct_from(CT_I64, CT_SHAPE(2), seed);
    if (t) seed[1] = (int64_t)((uint64_t)seed[1] + 1);
    return t;
}

/* By an op, because nn/ computes with tensors alone; in p61 half of all numbers have no root. */
static ct_tensor *root(ct_dtype dtype, double value) {
    return ct_cast(ct_sqrt(ct_scalar(dtype == CT_P61 ? CT_F64 : dtype, value)), dtype);
}

/* Uniform in +-sqrt(square). */
static ct_tensor *uniform(ct_dtype dtype, ct_shape shape, double square) {
    ct_tensor *u = ct_random_uniform(ct_seed_draw(), dtype, shape);
    return ct_mul(ct_offset(ct_scale(u, 2.0), -1.0), root(dtype, square));
}

static ct_tensor *normal(ct_dtype dtype, ct_shape shape, double variance) {
    return ct_mul(ct_random_normal(ct_seed_draw(), dtype, shape), root(dtype, variance));
}

static double fan(double n) { return n > 0 ? n : 1.0; }

#define INITIALIZER(symbol, expression)                                                         \
    static ct_tensor *make_##symbol(const ct_initializer *self, ct_dtype dtype, ct_shape shape, \
                                    int64_t fan_in, int64_t fan_out) {                          \
        double in = fan((double)fan_in), both = fan((double)fan_in + (double)fan_out);          \
        (void)self, (void)in, (void)both;                                                       \
        return expression;                                                                      \
    }                                                                                           \
    const ct_initializer ct_##symbol = {make_##symbol, 0};

INITIALIZER(glorot_uniform, uniform(dtype, shape, 6.0 / both))
INITIALIZER(glorot_normal, normal(dtype, shape, 2.0 / both))
INITIALIZER(he_uniform, uniform(dtype, shape, 6.0 / in))
INITIALIZER(he_normal, normal(dtype, shape, 2.0 / in))
INITIALIZER(lecun_uniform, uniform(dtype, shape, 3.0 / in))
INITIALIZER(lecun_normal, normal(dtype, shape, 1.0 / in))
INITIALIZER(init_zeros, ct_full(dtype, shape, 0.0))
INITIALIZER(init_ones, ct_full(dtype, shape, 1.0))

/* Draws beyond two standard deviations are replaced by a second draw, and what is left after
 * sixteen rounds (one in 10^21) by 0. */
static ct_tensor *make_truncated(const ct_initializer *self, ct_dtype dtype, ct_shape shape,
                                 int64_t fan_in, int64_t fan_out) {
    (void)fan_in, (void)fan_out;
    ct_tensor *z = NULL;
    for (int round = 0; round < 16; round++) {
        ct_tensor *draw = ct_random_normal(ct_seed_draw(), dtype, shape);
        ct_tensor *inside = ct_less_equal(ct_abs(draw), ct_scalar(dtype, 2.0));
        ct_tensor *kept = ct_where(inside, draw, ct_scalar(dtype, 0.0));
        z = z ? ct_where(ct_equal(z, ct_scalar(dtype, 0.0)), kept, z) : kept;
    }
    return ct_scale(z, self->value);
}
const ct_initializer ct_truncated_normal = {make_truncated, 0.05};

static ct_tensor *make_constant(const ct_initializer *self, ct_dtype dtype, ct_shape shape,
                                int64_t fan_in, int64_t fan_out) {
    (void)fan_in, (void)fan_out;
    return ct_full(dtype, shape, self->value);
}

ct_initializer ct_init_constant(double value) { return (ct_initializer){make_constant, value}; }

/* --- Slots with initial values ---------------------------------------------------------------- */

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
    if (!ct_dtype_is_float(dtype)) {
        return ct_fail(CT_ERR_DTYPE, "ct_module_add_slot: dtype must be f32, f64 or p61, got %s",
                       ct_dtype_name(dtype));
    }
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

const ct_weights_slot cti_pytorch_affine[] = {
    {.slot = "gamma", .name = "weight"}, {.slot = "beta", .name = "bias"}, {0}};

ct_status cti_add_affine(ct_module *module, int64_t size, ct_dtype dtype, bool no_scale,
                         bool no_center) {
    ct_initializer usual = {0};
    ct_shape shape = CT_SHAPE(size);
    ct_status status = CT_OK;
    if (!no_scale) {
        status = cti_add_weight(module, "gamma", usual, &ct_init_ones, dtype, shape, size, size);
    }
    if (status == CT_OK && !no_center) {
        status = cti_add_weight(module, "beta", usual, &ct_init_zeros, dtype, shape, size, size);
    }
    return status;
}
