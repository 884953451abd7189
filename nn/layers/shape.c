/* Layers that put elements elsewhere: Flatten, Reshape, Permute, ZeroPadding2D. They have no slots.
 * They compute nothing.
 * Invariant: axis 0, the batch, stays. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"

/* --- Flatten and Reshape ---------------------------------------------------------------------- */

typedef struct {
    ct_module base;
    ct_shape shape; /* without the batch */
} reshape;

static ct_status check_batch(const ct_module *self, ct_tensor *x) {
    if (ct_shape_of(x).rank >= 1) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: needs [N,...], got []", self->kind->name);
}

static ct_tensor *flatten_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    if (check_batch(self, x) != CT_OK) return NULL;
    ct_shape shape = ct_shape_of(x);
    int64_t batch = shape.dims[0];
    shape.dims[0] = 1;
    return ct_reshape(x, CT_SHAPE(batch, ct_shape_numel(shape)));
}

static const ct_module_kind flatten_kind = {.name = "Flatten", .forward = flatten_forward};

ct_module *ct_flatten_new(void) {
    CTI_CALLED;
    return ct_module_new(sizeof(ct_module), &flatten_kind);
}

/* The layer's shape for x, whose -1, if it has one, is what is left of a sample. */
static ct_status shape_for(const reshape *layer, ct_tensor *x, ct_shape *out) {
    ct_shape from = ct_shape_of(x);
    *out = (ct_shape){.rank = layer->shape.rank + 1};
    from.dims[0] = 1;
    int64_t have = ct_shape_numel(from), want = 1;
    int rest = 0;
    out->dims[0] = ct_dim(x, 0);
    for (int i = 1; i < out->rank; i++) {
        out->dims[i] = layer->shape.dims[i - 1];
        if (out->dims[i] < 0) rest = i;
        else want *= out->dims[i];
    }
    if (rest && have % want == 0) out->dims[rest] = have / want;
    if (rest ? have % want == 0 : have == want) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: a sample of x %s has %lld elements, its shape is to be %s",
                   layer->base.kind->name, ct_shape_format(ct_shape_of(x)).text, (long long)have,
                   ct_shape_format(layer->shape).text);
}

static ct_tensor *reshape_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    ct_shape shape;
    if (check_batch(self, x) != CT_OK || shape_for((reshape *)self, x, &shape) != CT_OK) {
        return NULL;
    }
    return ct_reshape(x, shape);
}

static const ct_module_kind reshape_kind = {.name = "Reshape", .forward = reshape_forward};

ct_module *ct_reshape_new(ct_shape shape) {
    CTI_CALLED;
    static const char function[] = "ct_reshape_new";
    if (shape.rank < 0 || shape.rank >= CT_MAX_RANK) {
        return ct_fail_null(CT_ERR_SHAPE, "%s: a sample has a rank in 0..%d, got %d", function,
                            CT_MAX_RANK - 1, shape.rank);
    }
    int rests = 0;
    for (int i = 0; i < shape.rank; i++) {
        bool rest = shape.dims[i] == -1;
        rests += rest;
        if (!rest && cti_check_size(function, "a size", shape.dims[i]) != CT_OK) return NULL;
    }
    if (rests > 1) return ct_fail_null(CT_ERR_SHAPE, "%s: more than one size is -1", function);
    ct_shape sizes = shape;
    for (int i = 0; i < sizes.rank; i++) sizes.dims[i] = sizes.dims[i] < 0 ? 1 : sizes.dims[i];
    if (cti_shape_check(function, sizes, CT_F32) != CT_OK) return NULL;
    reshape *layer = (reshape *)ct_module_new(sizeof *layer, &reshape_kind);
    if (layer) layer->shape = shape;
    return layer ? &layer->base : NULL;
}

/* --- Permute ---------------------------------------------------------------------------------- */

typedef struct {
    ct_module base;
    ct_axes axes; /* with the batch in front */
} permute;

static ct_tensor *permute_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    ct_axes axes = ((permute *)self)->axes;
    if (ct_shape_of(x).rank != axes.count) {
        return ct_fail_null(CT_ERR_SHAPE, "%s: made for rank %d, x is %s", self->kind->name,
                            axes.count, ct_shape_format(ct_shape_of(x)).text);
    }
    return ct_permute(x, axes);
}

static const ct_module_kind permute_kind = {.name = "Permute", .forward = permute_forward};

ct_module *ct_permute_new(ct_axes axes) {
    CTI_CALLED;
    bool named[CT_MAX_RANK] = {false};
    permute made = {.axes = {.count = axes.count + 1}};
    bool right = axes.count >= 1 && axes.count < CT_MAX_RANK;
    for (int i = 0; i < axes.count && right; i++) {
        int axis = made.axes.axis[i + 1] = axes.axis[i];
        right = axis >= 1 && axis <= axes.count && !named[axis];
        if (right) named[axis] = true;
    }
    if (!right) {
        return ct_fail_null(CT_ERR_SHAPE,
                            "ct_permute_new: names each axis of 1..n once, n in 1..%d",
                            CT_MAX_RANK - 1);
    }
    permute *layer = (permute *)ct_module_new(sizeof *layer, &permute_kind);
    if (layer) layer->axes = made.axes;
    return layer ? &layer->base : NULL;
}

/* --- ZeroPadding2D ---------------------------------------------------------------------------- */

typedef struct {
    ct_module base;
    int64_t pad[4];
} zero_padding;

static ct_tensor *padding_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    if (cti_check_rank(self, x, 4, "[N,H,W,C]") != CT_OK) return NULL;
    const int64_t *pad = ((zero_padding *)self)->pad;
    return ct_pad(ct_pad(x, 1, pad[0], pad[1], 0), 2, pad[2], pad[3], 0);
}

static const ct_module_kind padding_kind = {.name = "ZeroPadding2D", .forward = padding_forward};

ct_module *ct_zero_padding2d_new(int64_t top, int64_t bottom, int64_t left, int64_t right) {
    CTI_CALLED;
    static const char *const edge[] = {"top", "bottom", "left", "right"};
    const int64_t pad[4] = {top, bottom, left, right};
    for (int i = 0; i < 4; i++) {
        if (pad[i] >= 0 && pad[i] <= INT32_MAX) continue;
        return ct_fail_null(CT_ERR_RANGE, "ct_zero_padding2d_new: %s must be %s, got %lld", edge[i],
                            pad[i] < 0 ? ">= 0" : "< 2^31", (long long)pad[i]);
    }
    zero_padding *layer = (zero_padding *)ct_module_new(sizeof *layer, &padding_kind);
    for (int i = 0; i < 4 && layer; i++) layer->pad[i] = pad[i];
    return layer ? &layer->base : NULL;
}
