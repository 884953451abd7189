/* GroupNorm and InstanceNorm: each sample is normalized over its pixels and a group of channels; of
 * InstanceNorm each channel is a group.
 * There is no gradient here and no mode: training and inference are the same.
 * Invariant: slots are gamma and beta, in this order, where they are there. */
#include "nn/module_private.h"

#include "autograd/compose/moments.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/rows.h"

typedef struct {
    ct_module base;
    ct_group_norm_options options;
    int64_t groups, channels;
} group_norm;

typedef struct {
    ct_tensor *mean, *variance;
} statistics;

/* [N,groups,1] for each channel. */
static ct_tensor *stretched(ct_tensor *t, ct_shape grouped, ct_shape each) {
    return ct_reshape(ct_broadcast(t, grouped), each);
}

/* As [N,1,...,channels]: first of each channel over its pixels, then of what these are over those
 * of a group. The variance of a group is the mean of those of its channels, and that of their
 * means. */
static statistics statistics_of(const group_norm *layer, ct_tensor *x) {
    const char *name = layer->base.kind->name;
    ct_shape each = ct_shape_of(x);
    ct_shape grouped = CT_SHAPE(each.dims[0], layer->groups, layer->channels / layer->groups);
    ct_axes pixels = {.count = each.rank - 2};
    for (int i = 0; i < pixels.count; i++) {
        pixels.axis[i] = i + 1;
        each.dims[i + 1] = 1;
    }
    cti_moments m = {.mean = x};
    if (pixels.count) m = cti_moments_of(name, x, pixels);
    if (layer->groups == layer->channels) return (statistics){m.mean, m.variance};
    cti_moments of_means = cti_moments_of(name, ct_reshape(m.mean, grouped), CT_AXES(2));
    ct_tensor *variance = of_means.variance;
    if (pixels.count) {
        variance = ct_add(variance, ct_mean_keep(ct_reshape(m.variance, grouped), CT_AXES(2)));
    }
    return (statistics){stretched(of_means.mean, grouped, each),
                        stretched(variance, grouped, each)};
}

static ct_status check(const group_norm *layer, ct_tensor *x) {
    const char *name = layer->base.kind->name;
    ct_shape s = ct_shape_of(x);
    if (cti_check_channels(&layer->base, x, layer->channels) != CT_OK) return ct_error();
    if (s.rank < 2) {
        return ct_fail(CT_ERR_SHAPE, "%s: needs [N,...,C], got %s", name, ct_shape_format(s).text);
    }
    bool any = cti_global_dim(x, 0) > 0;
    int64_t values = any ? cti_shape_span(s, 1, s.rank) / layer->groups : 2;
    if (values > 1) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: needs > 1 value per group, got %lld (x is %s, %lld groups)",
                   name, (long long)values, ct_shape_format(s).text, (long long)layer->groups);
}

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    const group_norm *layer = (group_norm *)self;
    if (check(layer, x) != CT_OK) return NULL;
    if (cti_global_numel(x) == 0) return ct_scope_add(x);
    statistics of = statistics_of(layer, x);
    ct_tensor *scale = ct_rsqrt(ct_offset(of.variance, layer->options.epsilon));
    int slot = 0;
    if (!layer->options.no_scale) scale = ct_mul(scale, ct_module_read(self, slot++));
    ct_tensor *y = ct_mul(ct_sub(x, of.mean), scale);
    return layer->options.no_center ? y : ct_add(y, ct_module_read(self, slot));
}

static const ct_module_kind group_kind = {
    .name = "GroupNorm", .forward = forward, .pytorch = cti_pytorch_affine};
static const ct_module_kind instance_kind = {
    .name = "InstanceNorm", .forward = forward, .pytorch = cti_pytorch_affine};

static const char made_by[] = "ct_group_norm_defaults";

static ct_module *new_of_kind(const char *function, const ct_module_kind *kind, int64_t groups,
                              int64_t channels, ct_group_norm_options options) {
    if (cti_check_made_by(function, options.made_by, made_by) != CT_OK ||
        cti_check_size(function, "channels", channels) != CT_OK ||
        cti_check_size(function, "groups", groups) != CT_OK) {
        return NULL;
    }
    if (channels % groups != 0) {
        return ct_fail_null(CT_ERR_SHAPE, "%s: groups %lld must divide %lld channels", function,
                            (long long)groups, (long long)channels);
    }
    if (!(options.epsilon >= 0)) {
        return ct_fail_null(CT_ERR_RANGE, "%s: epsilon must be >= 0, got %g", function,
                            options.epsilon);
    }
    group_norm *layer = (group_norm *)ct_module_new(sizeof *layer, kind);
    if (!layer) return NULL;
    layer->options = options;
    layer->groups = groups;
    layer->channels = channels;
    return cti_module_or_free(&layer->base, cti_add_affine(&layer->base, channels, options.dtype,
                                                           options.no_scale, options.no_center));
}

ct_module *ct_group_norm_new(int64_t groups, int64_t channels, ct_group_norm_options options) {
    CTI_CALLED;
    return new_of_kind("ct_group_norm_new", &group_kind, groups, channels, options);
}

ct_module *ct_instance_norm_new(int64_t channels, ct_group_norm_options options) {
    CTI_CALLED;
    return new_of_kind("ct_instance_norm_new", &instance_kind, channels, channels, options);
}

ct_group_norm_options ct_group_norm_defaults(void) {
    return (ct_group_norm_options){.epsilon = 1e-3, .made_by = made_by};
}

ct_group_norm_options ct_group_norm_pytorch(void) {
    return (ct_group_norm_options){.epsilon = 1e-5, .made_by = made_by};
}
