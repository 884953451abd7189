/* Pooling: shape rules, windows and parts. It does not know what is computed over a window.
 * Invariant: padding is smaller than the window, so every window has an element inside of x. */
#include "autograd/kernels/pool.h"

#include "tensor/base/shape_rules.h"

/* Elements under windows that are worth a part, and enough parts for a small machine. */
#define PART_ELEMENTS 32768
#define PARTS 16

cti_pool_attr cti_pool_attr_of(ct_pool2d_spec spec, int64_t height, int64_t width) {
    cti_pool_attr attr = {.count_pad = spec.count_pad, .size = {height, width}};
    for (int d = 0; d < 2; d++) {
        attr.window[d] = spec.window[d] ? spec.window[d] : 2;
        attr.stride[d] = spec.stride[d] ? spec.stride[d] : attr.window[d];
    }
    for (int k = 0; k < 4; k++) attr.pad[k] = spec.pad[k];
    return attr;
}

ct_pool2d_spec cti_pool_spec_of(const cti_pool_attr *attr) {
    ct_pool2d_spec spec = {.count_pad = attr->count_pad != 0};
    for (int d = 0; d < 2; d++) {
        spec.window[d] = attr->window[d];
        spec.stride[d] = attr->stride[d];
    }
    for (int k = 0; k < 4; k++) spec.pad[k] = attr->pad[k];
    return spec;
}

static cti_axis axis_of(const cti_pool_attr *attr, int d, int64_t size) {
    return (cti_axis){.size = size,
                      .extent = attr->window[d],
                      .dilation = 1,
                      .stride = attr->stride[d],
                      .before = attr->pad[2 * d],
                      .after = attr->pad[2 * d + 1]};
}

/* --- Shape rules ------------------------------------------------------------------------------ */

static ct_status check_operand(const ct_infer *call, int i, const char *name) {
    ct_type in = call->in[i];
    ct_status status = cti_dtype_check(call->name, in.dtype, CTI_REAL);
    if (status == CT_OK) status = cti_dtypes_equal(call->name, call->in[0].dtype, in.dtype);
    if (status != CT_OK) return status;
    if (in.shape.rank != 4) {
        return ct_fail(CT_ERR_SHAPE, "%s: '%s' must have rank 4, [N,H,W,C], got %s", call->name,
                       name, ct_shape_format(in.shape).text);
    }
    return CT_OK;
}

static ct_status check_axis(const char *function, const cti_pool_attr *attr, int d, int64_t size,
                            int64_t *out) {
    cti_axis axis = axis_of(attr, d, size);
    ct_status status = cti_axis_check(function, "window", d, &axis);
    if (status != CT_OK) return status;
    if (axis.size == 0) {
        return ct_fail(CT_ERR_SHAPE, "%s: a window needs an element, got an input of 0 (dim %d)",
                       function, d);
    }
    int64_t pad = axis.before > axis.after ? axis.before : axis.after;
    if (pad >= axis.extent) {
        return ct_fail(CT_ERR_RANGE, "%s: pad must be < window %lld, got %lld (dim %d)", function,
                       (long long)axis.extent, (long long)pad, d);
    }
    *out = axis.out;
    return CT_OK;
}

/* The shape of what is pooled from `large`. */
static ct_status pooled(const ct_infer *call, ct_shape large, ct_shape *small) {
    const cti_pool_attr *attr = call->attr;
    *small = large;
    for (int d = 0; d < 2; d++) {
        ct_status status = check_axis(call->name, attr, d, large.dims[1 + d], &small->dims[1 + d]);
        if (status != CT_OK) return status;
    }
    if (attr->window[0] > INT32_MAX / attr->window[1]) {
        return ct_fail(CT_ERR_RANGE,
                       "%s: the window must have at most 2147483647 elements, got %lld x %lld",
                       call->name, (long long)attr->window[0], (long long)attr->window[1]);
    }
    return CT_OK;
}

static ct_status check_shape(const char *function, const char *name, ct_shape got, ct_shape large,
                             ct_shape expected) {
    if (ct_shape_equal(got, expected)) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: '%s' must be %s for an input of %s, got %s", function, name,
                   ct_shape_format(expected).text, ct_shape_format(large).text,
                   ct_shape_format(got).text);
}

ct_status cti_pool_infer(const ct_infer *call, ct_type *out) {
    ct_status status = check_operand(call, 0, "x");
    if (status != CT_OK) return status;
    *out = call->in[0];
    return pooled(call, call->in[0].shape, &out->shape);
}

ct_status cti_pool_scatter_infer(const ct_infer *call, ct_type *out) {
    ct_shape small;
    ct_status status = check_operand(call, 0, "y");
    if (status == CT_OK) status = check_operand(call, 1, "x");
    if (status == CT_OK) status = pooled(call, call->in[1].shape, &small);
    if (status != CT_OK) return status;
    *out = call->in[1];
    return check_shape(call->name, "y", call->in[0].shape, call->in[1].shape, small);
}

ct_status cti_pool_gather_infer(const ct_infer *call, ct_type *out) {
    ct_shape x = call->in[1].shape;
    ct_status status = check_operand(call, 0, "h");
    if (status == CT_OK) status = check_operand(call, 1, "x");
    if (status == CT_OK) status = check_shape(call->name, "h", call->in[0].shape, x, x);
    if (status != CT_OK) return status;
    *out = call->in[1];
    return pooled(call, x, &out->shape);
}

ct_status cti_pool_spread_infer(const ct_infer *call, ct_type *out) {
    const cti_pool_attr *attr = call->attr;
    ct_status status = check_operand(call, 0, "y");
    if (status != CT_OK) return status;
    ct_shape y = call->in[0].shape, small;
    *out = (ct_type){call->in[0].dtype,
                     CT_SHAPE(y.dims[0], attr->size[0], attr->size[1], y.dims[3])};
    status = pooled(call, out->shape, &small);
    return status == CT_OK ? check_shape(call->name, "y", y, out->shape, small) : status;
}

/* --- Geometry --------------------------------------------------------------------------------- */

cti_pool cti_pool_of(const cti_pool_attr *attr, ct_shape large, ct_shape small) {
    cti_pool g = {
        .images = large.dims[0], .channels = large.dims[3], .count_pad = attr->count_pad != 0};
    for (int d = 0; d < 2; d++) {
        g.axis[d] = axis_of(attr, d, large.dims[1 + d]);
        g.axis[d].out = small.dims[1 + d];
    }
    return g;
}

static int64_t part_rows(const cti_pool *g) {
    int64_t row = g->axis[1].out * g->channels, window = g->axis[0].extent * g->axis[1].extent;
    if (row == 0 || row >= PART_ELEMENTS || window >= PART_ELEMENTS / row) return 1;
    return PART_ELEMENTS / (row * window);
}

int64_t cti_pool_row_parts(const cti_pool *g) {
    return cti_divide_up(g->images * g->axis[0].out, part_rows(g));
}

cti_range cti_pool_rows(const cti_pool *g, int64_t part) {
    int64_t rows = part_rows(g), all = g->images * g->axis[0].out, from = part * rows;
    return (cti_range){from, from + rows < all ? from + rows : all};
}

static int64_t band_rows(const cti_pool *g) {
    return cti_axis_band(&g->axis[0], g->images > 0 ? cti_divide_up(PARTS, g->images) : 1);
}

int64_t cti_pool_band_parts(const cti_pool *g) {
    return g->images * cti_divide_up(g->axis[0].size, band_rows(g));
}

cti_range cti_pool_band(const cti_pool *g, int64_t part, int64_t *image) {
    int64_t rows = band_rows(g), height = g->axis[0].size, bands = cti_divide_up(height, rows);
    int64_t from = part % bands * rows;
    *image = part / bands;
    return (cti_range){from, from + rows < height ? from + rows : height};
}

ct_span cti_pool_small_span(const cti_pool *g, cti_range rows) {
    int64_t line = g->axis[1].out * g->channels;
    return (ct_span){rows.from * line, rows.to * line};
}

/* The first large row under small row r, or the one behind the last. */
static int64_t large_row(const cti_pool *g, int64_t r, bool behind) {
    const cti_axis *v = &g->axis[0];
    int64_t image = r / v->out, row = r % v->out * v->stride - v->before + (behind ? v->extent : 0);
    if (row < 0) row = 0;
    if (row > v->size) row = v->size;
    return image * v->size + row;
}

ct_span cti_pool_large_span(const cti_pool *g, cti_range rows) {
    if (rows.from >= rows.to) return (ct_span){0, 0};
    int64_t line = g->axis[1].size * g->channels;
    return (ct_span){large_row(g, rows.from, false) * line, large_row(g, rows.to - 1, true) * line};
}

ct_span cti_pool_row_writes(const ct_call *call, int64_t part) {
    cti_pool g = cti_pool_of(call->attr, call->in[0].shape, call->out.shape);
    return cti_pool_small_span(&g, cti_pool_rows(&g, part));
}

ct_span cti_pool_row_reads(const ct_call *call, int stage, int i, int64_t part) {
    (void)stage, (void)i;
    cti_pool g = cti_pool_of(call->attr, call->in[0].shape, call->out.shape);
    return cti_pool_large_span(&g, cti_pool_rows(&g, part));
}

ct_span cti_pool_band_writes(const ct_call *call, int64_t part) {
    cti_pool g = cti_pool_of(call->attr, call->out.shape, call->in[0].shape);
    int64_t image, line = g.axis[1].size * g.channels;
    cti_range band = cti_pool_band(&g, part, &image);
    int64_t top = image * g.axis[0].size;
    return (ct_span){(top + band.from) * line, (top + band.to) * line};
}

ct_span cti_pool_touching_span(const cti_pool *g, int64_t part) {
    int64_t image;
    cti_range rows = cti_axis_touching(&g->axis[0], cti_pool_band(g, part, &image));
    int64_t top = image * g->axis[0].out;
    return cti_pool_small_span(g, (cti_range){top + rows.from, top + rows.to});
}
