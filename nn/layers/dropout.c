/* Dropout, SpatialDropout2D and GaussianNoise: random numbers in training, nothing in inference.
 * They are ops of a key, so they are the same whenever they are computed again.
 * Invariant: each training forward takes one key, of slot 0. */
#include "nn/layers/keys.h"
#include "nn/options_private.h"

#include "tensor/base/caller.h"

typedef struct {
    ct_module base;
    double amount; /* the rate, or the standard deviation */
} noise;

static bool is_silent(const ct_module *self, ct_mode mode) {
    return mode != CT_TRAINING || ((const noise *)self)->amount == 0;
}

/* x with a mask of the shape of `like`, which is stretched over it. */
static ct_tensor *dropped(ct_module *self, ct_tensor *x, ct_tensor *like) {
    double rate = ((noise *)self)->amount;
    ct_tensor *u = ct_random_uniform_like(cti_keys_next(self, 0), like);
    ct_tensor *kept = ct_greater_equal(u, ct_scalar(ct_dtype_of(x), rate));
    return ct_mul(x, ct_scale(kept, 1.0 / (1.0 - rate)));
}

static ct_tensor *dropout_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    if (is_silent(self, mode)) return ct_scope_add(x);
    return dropped(self, x, x);
}

static ct_tensor *spatial_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    if (cti_check_rank(self, x, 4, "[N,H,W,C]") != CT_OK) return NULL;
    if (is_silent(self, mode)) return ct_scope_add(x);
    return dropped(self, x, ct_sum_keep(x, CT_AXES(1, 2)));
}

static ct_tensor *gaussian_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    if (is_silent(self, mode)) return ct_scope_add(x);
    ct_tensor *z = ct_random_normal_like(cti_keys_next(self, 0), x);
    return ct_add(x, ct_scale(z, ((noise *)self)->amount));
}

static const ct_module_kind dropout_kind = {.name = "Dropout", .forward = dropout_forward};
static const ct_module_kind spatial_kind = {.name = "SpatialDropout2D", .forward = spatial_forward};
static const ct_module_kind gaussian_kind = {.name = "GaussianNoise", .forward = gaussian_forward};

static ct_module *noise_new(const ct_module_kind *kind, double amount) {
    noise *layer = (noise *)ct_module_new(sizeof *layer, kind);
    if (!layer) return NULL;
    layer->amount = amount;
    return cti_module_or_free(&layer->base, cti_keys_add(&layer->base));
}

ct_module *ct_dropout_new(double rate) {
    CTI_CALLED;
    if (cti_check_number("ct_dropout_new", "rate", rate, 0, 1) != CT_OK) return NULL;
    return noise_new(&dropout_kind, rate);
}

ct_module *ct_spatial_dropout2d_new(double rate) {
    CTI_CALLED;
    if (cti_check_number("ct_spatial_dropout2d_new", "rate", rate, 0, 1) != CT_OK) return NULL;
    return noise_new(&spatial_kind, rate);
}

ct_module *ct_gaussian_noise_new(double deviation) {
    CTI_CALLED;
    if (!(deviation >= 0 && deviation - deviation == 0)) {
        return ct_fail_null(CT_ERR_RANGE,
                            "ct_gaussian_noise_new: deviation must be finite and >= 0, got %g",
                            deviation);
    }
    return noise_new(&gaussian_kind, deviation);
}
