/* BatchNorm: statistics of the batch in training, moving ones in inference. A training forward
 * stages the update of the moving ones.
 * There is no gradient here and no arithmetic: ct_batch_norm is a few ops.
 * Invariant: a forward changes nothing; the moving statistics change when a step commits. */
#include "autograd/stage.h"
#include "nn/module_private.h"
#include "tensor/base/caller.h"
#include "tensor/graph/node.h"

typedef struct {
    ct_module base;
    ct_batch_norm_options options;
    int64_t channels;
    int gamma, beta, mean, variance; /* slot numbers; -1 = absent */
} batch_norm;

/* An absent slot reads as a constant, in the type of the statistics, which may be given values of
 * another type than they were made in. */
static ct_tensor *slot_or(batch_norm *bn, int slot, double value) {
    if (slot >= 0) return ct_module_read(&bn->base, slot);
    return ct_scalar(ct_dtype_of(ct_module_read(&bn->base, bn->mean)), value);
}

/* Per channel, on all ranks. */
static int64_t values_of(const batch_norm *bn, ct_tensor *x) {
    int64_t values = 1;
    int rank = ct_shape_of(x).rank, channels = bn->options.axis;
    for (int d = 0; d < rank; d++) {
        if (d != channels && d != channels + rank) values *= cti_global_dim(x, d);
    }
    return values;
}

/* Whether the convention asks for N / (N - 1) in the moving variance. */
static bool is_unbiased(const batch_norm *bn, ct_tensor *x) {
    ct_moving_variance rule = bn->options.moving_variance;
    if (rule == CT_VARIANCE_UNBIASED_CONV) return ct_shape_of(x).rank == 4;
    return rule == CT_VARIANCE_UNBIASED;
}

/* Whether each grain has statistics of its own. */
static bool is_per_grain(const batch_norm *bn, ct_tensor *x) {
    int axis = bn->options.axis, rank = ct_shape_of(x).rank;
    return bn->options.per_grain && x->rows && x->batch != (axis < 0 ? axis + rank : axis);
}

/* Checked here and not only by ct_batch_norm: a batch of one row is most likely what was left over
 * at the end of the data, and the message says how to leave it out. */
static bool has_statistics(const batch_norm *bn, ct_tensor *x) {
    int64_t values = values_of(bn, x);
    if (values > 1) return true;
    ct_fail(CT_ERR_SHAPE, "BatchNorm: training needs > 1 value per channel, got %lld (x is %s)%s",
            (long long)values, ct_shape_format(ct_shape_of(x)).text,
            values == 1 ? "; drop_last of ct_batches_options leaves out a last batch of one row"
                        : "");
    return false;
}

static ct_tensor *train(batch_norm *bn, ct_tensor *x, ct_tensor *gamma, ct_tensor *beta) {
    if (!has_statistics(bn, x)) return NULL;
    double decay = bn->options.momentum, weight = 1.0 - decay, of_variance = weight;
    bool unbiased = is_unbiased(bn, x);
    int axis = bn->options.axis;
    double epsilon = bn->options.epsilon;
    ct_grain_statistics batch = {0};
    ct_tensor *y;
    if (is_per_grain(bn, x)) {
        y = ct_batch_norm_per_grain(x, gamma, beta, axis, epsilon, &batch);
        if (unbiased) batch.variance = batch.unbiased;
    } else {
        y = ct_batch_norm(x, gamma, beta, axis, epsilon, &batch.mean, &batch.variance);
        double n = (double)values_of(bn, x);
        if (unbiased) of_variance *= n / (n - 1);
    }
    if (!y) return NULL;
    y = ct_stage(y, bn->base.slots[bn->mean].slot, decay, ct_scale(batch.mean, weight));
    return ct_stage(y, bn->base.slots[bn->variance].slot, decay,
                    ct_scale(batch.variance, of_variance));
}

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    batch_norm *bn = (batch_norm *)self;
    ct_tensor *gamma = slot_or(bn, bn->gamma, 1.0), *beta = slot_or(bn, bn->beta, 0.0);
    if (ct_dim(x, bn->options.axis) != bn->channels) {
        return ct_fail_null(CT_ERR_SHAPE, "BatchNorm: made for %lld channels, x is %s",
                            (long long)bn->channels, ct_shape_format(ct_shape_of(x)).text);
    }
    if (mode == CT_TRAINING && !self->frozen) return train(bn, x, gamma, beta);
    return ct_batch_norm_inference(x, gamma, beta, ct_module_read(self, bn->mean),
                                   ct_module_read(self, bn->variance), bn->options.axis,
                                   bn->options.epsilon);
}

static const ct_weights_slot pytorch[] = {{.slot = "gamma", .name = "weight"},
                                          {.slot = "beta", .name = "bias"},
                                          {.slot = "moving_mean", .name = "running_mean"},
                                          {.slot = "moving_variance", .name = "running_var"},
                                          {0}};

static const ct_module_kind batch_norm_kind = {
    .name = "BatchNorm", .forward = forward, .pytorch = pytorch};

static ct_status add_slot(batch_norm *bn, const char *name, double value, bool trainable,
                          int *number) {
    int64_t scope = ct_scope_open();
    ct_tensor *initial = ct_full(bn->options.dtype, CT_SHAPE(bn->channels), value);
    *number = bn->base.n_slots;
    ct_status status = ct_module_add_slot(&bn->base, name, initial, trainable);
    ct_scope_close(scope);
    return status;
}

static ct_status add_slots(batch_norm *bn) {
    bn->gamma = bn->beta = -1;
    ct_status status = CT_OK;
    if (!bn->options.no_scale) status = add_slot(bn, "gamma", 1, true, &bn->gamma);
    if (status == CT_OK && !bn->options.no_center) {
        status = add_slot(bn, "beta", 0, true, &bn->beta);
    }
    if (status == CT_OK) status = add_slot(bn, "moving_mean", 0, false, &bn->mean);
    if (status == CT_OK) status = add_slot(bn, "moving_variance", 1, false, &bn->variance);
    return status;
}

static const char made_by[] = "ct_batch_norm_defaults";

ct_module *ct_batch_norm_new(int64_t channels, ct_batch_norm_options options) {
    CTI_CALLED;
    if (cti_check_size("ct_batch_norm_new", "channels", channels) != CT_OK) return NULL;
    if (cti_check_made_by("ct_batch_norm_new", options.made_by, made_by) != CT_OK) return NULL;
    if (!(options.momentum >= 0 && options.momentum <= 1) || !(options.epsilon >= 0)) {
        return ct_fail_null(CT_ERR_RANGE,
                            "ct_batch_norm_new: momentum must be in [0,1] and "
                            "epsilon >= 0, got %g and %g",
                            options.momentum, options.epsilon);
    }
    batch_norm *bn = (batch_norm *)ct_module_new(sizeof *bn, &batch_norm_kind);
    if (!bn) return NULL;
    bn->options = options;
    bn->channels = channels;
    return cti_module_or_free(&bn->base, add_slots(bn));
}

ct_batch_norm_options ct_batch_norm_defaults(void) {
    return (ct_batch_norm_options){
        .axis = -1, .momentum = 0.99, .epsilon = 1e-3, .made_by = made_by};
}

ct_batch_norm_options ct_batch_norm_keras(void) { return ct_batch_norm_defaults(); }

ct_batch_norm_options ct_batch_norm_tf1_fused(void) {
    ct_batch_norm_options options = ct_batch_norm_defaults();
    options.moving_variance = CT_VARIANCE_UNBIASED_CONV;
    return options;
}

ct_batch_norm_options ct_batch_norm_pytorch(void) {
    return (ct_batch_norm_options){.axis = -1,
                                   .momentum = 0.9,
                                   .epsilon = 1e-5,
                                   .moving_variance = CT_VARIANCE_UNBIASED,
                                   .made_by = made_by};
}
