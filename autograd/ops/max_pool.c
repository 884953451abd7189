/* Max pooling in three faces: the maximum, the scatter to where it came from, the gather from
 * there. No place is stored: scatter and gather find it again in x (pool_rows.c), so they are pure
 * functions.
 * Invariant: scatter and gather are transposes of each other, so the three are closed under
 * differentiation. */
#include "autograd/kernels/pool_rows.h"

/* --- Kernels ---------------------------------------------------------------------------------- */

static cti_pool pooling(const ct_call *call) {
    return cti_pool_of(call->attr, call->in[0].shape, call->out.shape);
}

static cti_pool scattering(const ct_call *call) {
    return cti_pool_of(call->attr, call->out.shape, call->in[0].shape);
}

static int64_t row_parts(const ct_call *call) {
    cti_pool g = pooling(call);
    return cti_pool_row_parts(&g);
}

static void max_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    static cti_pool_row_fn *const max_row[] = CTI_REALS(cti_max_row);
    cti_pool g = pooling(call);
    cti_range rows = cti_pool_rows(&g, part);
    int64_t height = g.axis[0].out, image = g.axis[0].size * g.axis[1].size * g.channels;
    for (int64_t r = rows.from; r < rows.to; r++) {
        void *x = cti_at(&call->in[0], r / height * image);
        void *y = cti_at(&call->out, r * g.axis[1].out * g.channels);
        max_row[call->out.dtype](&g, r % height, x, y);
    }
}

static void gather_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    static cti_gather_row_fn *const gather_row[] = CTI_REALS(cti_gather_row);
    cti_pool g = pooling(call);
    cti_range rows = cti_pool_rows(&g, part);
    int64_t height = g.axis[0].out, image = g.axis[0].size * g.axis[1].size * g.channels;
    for (int64_t r = rows.from; r < rows.to; r++) {
        void *h = cti_at(&call->in[0], r / height * image);
        void *x = cti_at(&call->in[1], r / height * image);
        void *y = cti_at(&call->out, r * g.axis[1].out * g.channels);
        gather_row[call->out.dtype](&g, r % height, h, x, y);
    }
}

static int64_t band_parts(const ct_call *call) {
    cti_pool g = scattering(call);
    return cti_pool_band_parts(&g);
}

static void scatter_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    static cti_scatter_row_fn *const scatter_row[] = CTI_REALS(cti_scatter_row);
    static cti_scatter_clear_fn *const clear[] = CTI_REALS(cti_scatter_clear);
    cti_pool g = scattering(call);
    int64_t image;
    cti_range band = cti_pool_band(&g, part, &image);
    cti_range outputs = cti_axis_touching(&g.axis[0], band);
    int64_t line = g.axis[1].size * g.channels, first = image * g.axis[0].size * line;
    clear[call->out.dtype](&g, band, cti_at(&call->out, first));
    for (int64_t i = outputs.from; i < outputs.to; i++) {
        int64_t row = (image * g.axis[0].out + i) * g.axis[1].out * g.channels;
        scatter_row[call->out.dtype](&g, i, band, cti_at(&call->in[0], row),
                                     cti_at(&call->in[1], first), cti_at(&call->out, first));
    }
}

/* --- What parts write and read ---------------------------------------------------------------- */

/* Of x all that lies under the windows that touch the band. */
static ct_span band_reads(const ct_call *call, int stage, int i, int64_t part) {
    (void)stage;
    cti_pool g = scattering(call);
    ct_span small = cti_pool_touching_span(&g, part);
    if (i == 0) return small;
    int64_t line = g.axis[1].out * g.channels;
    if (line == 0) return (ct_span){0, 0};
    return cti_pool_large_span(&g, (cti_range){small.first / line, small.last / line});
}

/* --- Descriptors ------------------------------------------------------------------------------ */

static ct_pool2d_spec spec_of(const ct_tensor *t) { return cti_pool_spec_of(ct_attr(t)); }

/* Of the maxima and of what was gathered: x is the last input. */
static ct_tensor *vjp_gather(ct_tensor *g, ct_tensor *y, int i) {
    (void)i;
    return ct_max_pool2d_scatter(g, ct_input(y, ct_input_count(y) - 1), spec_of(y));
}

static ct_tensor *vjp_scatter(ct_tensor *g, ct_tensor *y, int i) {
    (void)i;
    return ct_max_pool2d_gather(g, ct_input(y, 1), spec_of(y));
}

CT_OP_PUBLIC(ct_op_max_pool2d) = {
    .name = "max_pool2d",
    .kind = CT_KERNEL,
    .n_inputs = 1,
    .infer = cti_pool_infer,
    .stages = {{row_parts, max_run}},
    .writes = cti_pool_row_writes,
    .reads = cti_pool_row_reads,
    .vjp = {vjp_gather},
};

CT_OP_PUBLIC(ct_op_max_pool2d_scatter) = {
    .name = "max_pool2d_scatter",
    .kind = CT_KERNEL,
    .n_inputs = 2,
    .infer = cti_pool_scatter_infer,
    .stages = {{band_parts, scatter_run}},
    .writes = cti_pool_band_writes,
    .reads = band_reads,
    .vjp = {vjp_scatter, ct_no_gradient},
};

CT_OP_PUBLIC(ct_op_max_pool2d_gather) = {
    .name = "max_pool2d_gather",
    .kind = CT_KERNEL,
    .n_inputs = 2,
    .infer = cti_pool_gather_infer,
    .stages = {{row_parts, gather_run}},
    .writes = cti_pool_row_writes,
    .reads = cti_pool_row_reads,
    .vjp = {vjp_gather, ct_no_gradient},
};

ct_tensor *ct_max_pool2d(ct_tensor *x, ct_pool2d_spec spec) {
    cti_pool_attr attr = cti_pool_attr_of(spec, 0, 0);
    return ct_node(&ct_op_max_pool2d, &x, 1, &attr, sizeof attr);
}

ct_tensor *ct_max_pool2d_scatter(ct_tensor *y, ct_tensor *x, ct_pool2d_spec spec) {
    cti_pool_attr attr = cti_pool_attr_of(spec, 0, 0);
    return ct_node(&ct_op_max_pool2d_scatter, (ct_tensor *[]){y, x}, 2, &attr, sizeof attr);
}

ct_tensor *ct_max_pool2d_gather(ct_tensor *h, ct_tensor *x, ct_pool2d_spec spec) {
    cti_pool_attr attr = cti_pool_attr_of(spec, 0, 0);
    return ct_node(&ct_op_max_pool2d_gather, (ct_tensor *[]){h, x}, 2, &attr, sizeof attr);
}
