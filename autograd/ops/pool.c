/* Pooling: descriptors and derivatives.
 * The kernels are in kernels/pool.c. The place of a maximum is stored nowhere: scatter and gather
 * find it again in x, so they are pure functions.
 * Invariant: scatter and gather are transposes of each other, as are average and spread, so both
 * families are closed under differentiation. */
#include "autograd/kernels/pool.h"
#include "autograd/ops/stanza.h"

/* --- The maximum ------------------------------------------------------------------------------ */

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

#define DETAIL "window #x#; stride #x#; pad #,#,#,#|0"
CTI_BATCH_OP(max_pool2d, 1, CT_LINEAR, cti_pool_infer, cti_pool_max, DETAIL, cti_batch_images,
             vjp_gather);
CTI_BATCH_OP(max_pool2d_scatter, 2, CT_LINEAR, cti_pool_scatter_infer, cti_pool_scatter, DETAIL,
             cti_batch_images, vjp_scatter, ct_no_gradient);
CTI_BATCH_OP(max_pool2d_gather, 2, CT_LINEAR, cti_pool_gather_infer, cti_pool_gather, DETAIL,
             cti_batch_images, vjp_gather, ct_no_gradient);

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

/* --- The mean --------------------------------------------------------------------------------- */

static ct_tensor *vjp_average(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *x = ct_input(y, i);
    return ct_avg_pool2d_spread(g, ct_dim(x, 1), ct_dim(x, 2), spec_of(y));
}

static ct_tensor *vjp_spread(ct_tensor *g, ct_tensor *x, int i) {
    (void)i;
    return ct_avg_pool2d(g, spec_of(x));
}

CTI_BATCH_OP(avg_pool2d, 1, CT_LINEAR, cti_pool_infer, cti_pool_average, DETAIL, cti_batch_images,
             vjp_average);
CTI_BATCH_OP(avg_pool2d_spread, 1, CT_LINEAR, cti_pool_spread_infer, cti_pool_spread, DETAIL,
             cti_batch_images, vjp_spread);

ct_tensor *ct_avg_pool2d(ct_tensor *x, ct_pool2d_spec spec) {
    cti_pool_attr attr = cti_pool_attr_of(spec, 0, 0);
    return ct_node(&ct_op_avg_pool2d, &x, 1, &attr, sizeof attr);
}

ct_tensor *ct_avg_pool2d_spread(ct_tensor *y, int64_t height, int64_t width, ct_pool2d_spec spec) {
    cti_pool_attr attr = cti_pool_attr_of(spec, height, width);
    return ct_node(&ct_op_avg_pool2d_spread, &y, 1, &attr, sizeof attr);
}
