/* Pooling: shape rules and parts. What is computed over a window is in pool_rows.c.
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

/* --- Parts ------------------------------------------------------------------------------------ */

/* Large images and small ones; rows of either are numbered through all images. A part is some small
 * rows; or, of what is added into large images, a band of rows of one of them. */
typedef struct {
    cti_pool g;
    int64_t per_part, bands;        /* rows; parts of one image */
    int64_t small_line, large_line; /* elements of a row */
    cti_pool_row_fn *row;
    cti_pool_add_fn *add;
    cti_pool_clear_fn *clear;
} state;

static const cti_pool_rows *const of[CT_DTYPES] = CTI_REALS(&cti_pool_rows);

static state *begin(const ct_call *call, ct_prepared *p, ct_shape large, ct_shape small) {
    const cti_pool_attr *attr = call->attr;
    state *s = p->state;
    s->g = (cti_pool){
        .images = large.dims[0], .channels = large.dims[3], .count_pad = attr->count_pad != 0};
    for (int d = 0; d < 2; d++) {
        s->g.axis[d] = axis_of(attr, d, large.dims[1 + d]);
        s->g.axis[d].out = small.dims[1 + d];
    }
    s->small_line = small.dims[2] * small.dims[3];
    s->large_line = large.dims[2] * large.dims[3];
    return s;
}

static ct_span lines(ct_span rows, int64_t line) {
    return (ct_span){rows.first * line, rows.last * line};
}

/* The large rows under small ones, if there are any. */
static ct_span large_span(const state *s, ct_span rows) {
    if (rows.first >= rows.last) return (ct_span){0, 0};
    const cti_axis *v = &s->g.axis[0];
    int64_t first = rows.first % v->out, last = (rows.last - 1) % v->out;
    ct_span under = {
        rows.first / v->out * v->size + cti_axis_under(v, (ct_span){first, first + 1}).first,
        (rows.last - 1) / v->out * v->size + cti_axis_under(v, (ct_span){last, last + 1}).last};
    return lines(under, s->large_line);
}

/* --- Small images from large ones ------------------------------------------------------------- */

static ct_span rows_of(const state *s, int64_t part) {
    int64_t from = part * s->per_part;
    return (ct_span){from, cti_least(from + s->per_part, s->g.images * s->g.axis[0].out)};
}

static ct_span row_writes(const ct_call *call, int64_t part) {
    const state *s = call->state;
    return lines(rows_of(s, part), s->small_line);
}

static ct_span row_reads(const ct_call *call, int stage, int i, int64_t part) {
    (void)stage, (void)i;
    return large_span(call->state, rows_of(call->state, part));
}

static void prepare_rows(const ct_call *call, ct_prepared *p, cti_pool_row_fn *row) {
    state *s = begin(call, p, call->in[0].shape, call->out.shape);
    int64_t window = s->g.axis[0].extent * s->g.axis[1].extent;
    s->row = row;
    s->per_part = cti_most(1, PART_ELEMENTS / s->small_line / window);
    p->parts[0] = cti_divide_up(s->g.images * s->g.axis[0].out, s->per_part);
    p->writes = row_writes;
    p->reads = row_reads;
}

static void run_rows(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    const state *s = call->state;
    const ct_operand *values = &call->in[0], *x = &call->in[call->n_inputs - 1];
    int64_t height = s->g.axis[0].out, image = s->g.axis[0].size * s->large_line;
    ct_span rows = rows_of(s, part);
    for (int64_t r = rows.first; r < rows.last; r++) {
        int64_t at = r / height * image;
        s->row(&s->g, r % height, cti_at(values, at), cti_at(x, at),
               cti_at(&call->out, r * s->small_line));
    }
}

#define ROWS(verb)                                                    \
    static void prepare_##verb(const ct_call *call, ct_prepared *p) { \
        prepare_rows(call, p, of[call->out.dtype]->verb);             \
    }                                                                 \
    const ct_kernel cti_pool_##verb = {                               \
        .state = sizeof(state), .prepare = prepare_##verb, .run = {run_rows}};
ROWS(max)
ROWS(gather)
ROWS(average)

/* --- Large images, into which small ones are added -------------------------------------------- */

static ct_span band_of(const state *s, int64_t part, int64_t *image) {
    int64_t from = part % s->bands * s->per_part;
    *image = part / s->bands;
    return (ct_span){from, cti_least(from + s->per_part, s->g.axis[0].size)};
}

static ct_span band_writes(const ct_call *call, int64_t part) {
    const state *s = call->state;
    int64_t image, height = s->g.axis[0].size;
    ct_span band = band_of(s, part, &image);
    return lines((ct_span){image * height + band.first, image * height + band.last}, s->large_line);
}

/* The small rows whose windows touch the band; of x all that lies under these. */
static ct_span band_reads(const ct_call *call, int stage, int i, int64_t part) {
    (void)stage;
    const state *s = call->state;
    int64_t image, height = s->g.axis[0].out;
    ct_span rows = cti_axis_touching(&s->g.axis[0], band_of(s, part, &image));
    rows = (ct_span){image * height + rows.first, image * height + rows.last};
    return i == 0 ? lines(rows, s->small_line) : large_span(s, rows);
}

static void prepare_bands(const ct_call *call, ct_prepared *p, cti_pool_add_fn *add,
                          cti_pool_clear_fn *clear) {
    state *s = begin(call, p, call->out.shape, call->in[0].shape);
    const cti_axis *v = &s->g.axis[0];
    s->add = add;
    s->clear = clear;
    s->per_part = cti_axis_band(v, cti_divide_up(PARTS, s->g.images));
    s->bands = cti_divide_up(v->size, s->per_part);
    p->parts[0] = s->g.images * s->bands;
    p->writes = band_writes;
    p->reads = band_reads;
}

static void run_bands(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    const state *s = call->state;
    const cti_axis *v = &s->g.axis[0];
    const ct_operand *y = &call->in[0], *x = &call->in[call->n_inputs - 1];
    int64_t image;
    ct_span band = band_of(s, part, &image), outputs = cti_axis_touching(v, band);
    int64_t first = image * v->size * s->large_line;
    s->clear(&s->g, band, cti_at(&call->out, first));
    for (int64_t i = outputs.first; i < outputs.last; i++) {
        s->add(&s->g, i, band, cti_at(y, (image * v->out + i) * s->small_line), cti_at(x, first),
               cti_at(&call->out, first));
    }
}

#define BANDS(verb)                                                   \
    static void prepare_##verb(const ct_call *call, ct_prepared *p) { \
        const cti_pool_rows *rows = of[call->out.dtype];              \
        prepare_bands(call, p, rows->verb, rows->verb##_clear);       \
    }                                                                 \
    const ct_kernel cti_pool_##verb = {                               \
        .state = sizeof(state), .prepare = prepare_##verb, .run = {run_bands}};
BANDS(scatter)
BANDS(spread)
