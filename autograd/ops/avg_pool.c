/* Average pooling and its transpose, which spreads each output evenly over its window.
 * The arithmetic is in pool_rows.c, what a window holds in pool.c.
 * Invariant: the two are exact transposes of each other. */
#include "autograd/kernels/pool_rows.h"

#include <string.h>

static cti_pool pooling(const ct_call *call) {
    return cti_pool_of(call->attr, call->in[0].shape, call->out.shape);
}

static cti_pool spreading(const ct_call *call) {
    return cti_pool_of(call->attr, call->out.shape, call->in[0].shape);
}

static int64_t average_parts(const ct_call *call) {
    cti_pool g = pooling(call);
    return cti_pool_row_parts(&g);
}

static void average_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    static cti_pool_row_fn *const average_row[] = CTI_REALS(cti_average_row);
    cti_pool g = pooling(call);
    cti_range rows = cti_pool_rows(&g, part);
    int64_t height = g.axis[0].out, image = g.axis[0].size * g.axis[1].size * g.channels;
    for (int64_t r = rows.from; r < rows.to; r++) {
        average_row[call->out.dtype](&g, r % height, cti_at(&call->in[0], r / height * image),
                                     cti_at(&call->out, r * g.axis[1].out * g.channels));
    }
}

static int64_t spread_parts(const ct_call *call) {
    cti_pool g = spreading(call);
    return cti_pool_band_parts(&g);
}

static void spread_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    static cti_spread_row_fn *const spread_row[] = CTI_REALS(cti_spread_row);
    cti_pool g = spreading(call);
    int64_t image;
    cti_range band = cti_pool_band(&g, part, &image);
    cti_range outputs = cti_axis_touching(&g.axis[0], band);
    int64_t line = g.axis[1].size * g.channels, first = image * g.axis[0].size * line;
    memset(cti_at(&call->out, first + band.from * line), 0,
           (size_t)((band.to - band.from) * line) * ct_dtype_size(call->out.dtype));
    for (int64_t i = outputs.from; i < outputs.to; i++) {
        int64_t row = (image * g.axis[0].out + i) * g.axis[1].out * g.channels;
        spread_row[call->out.dtype](&g, i, band, cti_at(&call->in[0], row),
                                    cti_at(&call->out, first));
    }
}

static ct_span spread_reads(const ct_call *call, int stage, int i, int64_t part) {
    (void)stage, (void)i;
    cti_pool g = spreading(call);
    return cti_pool_touching_span(&g, part);
}

/* --- Descriptors ------------------------------------------------------------------------------ */

static ct_tensor *vjp_average(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *x = ct_input(y, i);
    return ct_avg_pool2d_spread(g, ct_dim(x, 1), ct_dim(x, 2), cti_pool_spec_of(ct_attr(y)));
}

static ct_tensor *vjp_spread(ct_tensor *g, ct_tensor *x, int i) {
    (void)i;
    return ct_avg_pool2d(g, cti_pool_spec_of(ct_attr(x)));
}

CT_OP_PUBLIC(ct_op_avg_pool2d) = {
    .name = "avg_pool2d",
    .kind = CT_KERNEL,
    .n_inputs = 1,
    .infer = cti_pool_infer,
    .stages = {{average_parts, average_run}},
    .writes = cti_pool_row_writes,
    .reads = cti_pool_row_reads,
    .vjp = {vjp_average},
};

CT_OP_PUBLIC(ct_op_avg_pool2d_spread) = {
    .name = "avg_pool2d_spread",
    .kind = CT_KERNEL,
    .n_inputs = 1,
    .infer = cti_pool_spread_infer,
    .stages = {{spread_parts, spread_run}},
    .writes = cti_pool_band_writes,
    .reads = spread_reads,
    .vjp = {vjp_spread},
};

ct_tensor *ct_avg_pool2d(ct_tensor *x, ct_pool2d_spec spec) {
    cti_pool_attr attr = cti_pool_attr_of(spec, 0, 0);
    return ct_node(&ct_op_avg_pool2d, &x, 1, &attr, sizeof attr);
}

ct_tensor *ct_avg_pool2d_spread(ct_tensor *y, int64_t height, int64_t width, ct_pool2d_spec spec) {
    cti_pool_attr attr = cti_pool_attr_of(spec, height, width);
    return ct_node(&ct_op_avg_pool2d_spread, &y, 1, &attr, sizeof attr);
}
