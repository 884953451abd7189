/* A mean, or a sum, over other axes: of rows for columns, of the batch for each sample.
 * It edits a graph, and judges nothing; repair.c does.
 * Invariant: what is stretched again has the shape that it had. */
#include "autograd/compose.h"
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/graph/node.h"
#include "tensor/graph/walk.h"

/* ct_is asks for nodes without a value. */
static bool is(const ct_tensor *t, const ct_op *op) { return t->op == op; }

static bool is_number(const ct_tensor *t) {
    while (is(t, &ct_op_broadcast) || is(t, &ct_op_reshape)) t = t->inputs[0];
    return t->n_inputs == 0 && ct_numel(t) == 1;
}

/* What a stretched sum, or a number times one, is the sum of; NULL where t is none. */
static ct_tensor *summed(const ct_tensor *t) {
    ct_tensor *source = t->inputs[0];
    bool sums = false;
    for (; source->n_inputs; source = source->inputs[0]) {
        bool scales = is(source, &ct_op_mul) || is(source, &ct_op_div);
        bool sum = is(source, &ct_op_sum);
        if (!sum && !is(source, &ct_op_reshape) && !(scales && is_number(source->inputs[1]))) {
            break;
        }
        sums |= sum;
    }
    return sums && ct_shape_equal(ct_shape_of(source), ct_shape_of(t)) ? source : NULL;
}

bool cti_is_stretched_sum(const ct_tensor *t) {
    return is(t, &ct_op_broadcast) && !t->rows &&
           ct_shape_of(t->inputs[0]).rank == ct_shape_of(t).rank && summed(t) != NULL;
}

/* Whether both are stretched along the same axes. */
static bool alike(const ct_tensor *a, const ct_tensor *b) {
    return ct_shape_equal(ct_shape_of(a->inputs[0]), ct_shape_of(b->inputs[0])) &&
           ct_shape_equal(ct_shape_of(a), ct_shape_of(b));
}

ct_axes cti_stretched_axes(const ct_tensor *t) {
    ct_axes axes = {0};
    for (int d = 0; d < ct_shape_of(t).rank; d++) {
        if (ct_dim(t->inputs[0], d) == 1 && ct_dim(t, d) != 1) axes.axis[axes.count++] = d;
    }
    return axes;
}

/* t with `source` summed over `axes`: as much of the mean, or of the sum, as t is. */
static ct_tensor *over(const ct_tensor *t, ct_tensor *source, ct_axes axes, bool mean) {
    ct_tensor *now = t->inputs[0], *was = summed(t);
    ct_tensor *plain = mean ? ct_mean_keep(was, cti_stretched_axes(t))
                            : ct_sum_keep(was, cti_stretched_axes(t));
    if (ct_eval((ct_tensor *[]){now, plain}, 2) != CT_OK) return NULL;
    const ct_p61 *a = ct_data(now), *b = ct_data(plain);
    ct_p61 share = ct_p61_div(a[0], b[0]);
    ct_tensor *other = mean ? ct_mean_keep(source, axes) : ct_sum_keep(source, axes);
    return ct_broadcast(ct_mul(other, ct_from(CT_P61, CT_SCALAR, &share)), ct_shape_of(t));
}

typedef struct {
    const ct_tensor *like;
    bool all, mean;
    ct_axes axes;
} edit;

static ct_tensor *edited(void *context, ct_tensor *t, ct_tensor *image, ct_tensor *const images[]) {
    const edit *e = context;
    bool wanted = t == e->like || (e->all && cti_is_stretched_sum(t) && alike(t, e->like));
    return wanted ? over(t, images[summed(t)->index], e->axes, e->mean) : image;
}

ct_tensor *cti_graph_over(ct_tensor *root, const ct_tensor *like, bool all, ct_axes axes,
                          bool mean) {
    ct_tensor *out = NULL;
    cti_graph_map(&root, 1, &out, edited, &(edit){like, all, mean, axes});
    return out;
}
