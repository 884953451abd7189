/* Rows of the views.
 * The reference moves elements of arrays one by one.
 * Invariant: every form in which an argument can be given (negative, CT_END, -1) is among the
 * cases. */
#include "tests/autograd/ops/primitive_table.h"

#include "autograd/stage.h"

#include <string.h>

static ct_shape sample(test_random *r, const op_case *c, int low_rank) {
    return sample_shape(r, low_rank, c->large ? 3 : 5, c->large ? 20000 : 60, c->large);
}

/* --- permute, slice, flip, broadcast ---------------------------------------------------------- */

/* Form 1: the arguments are given from the other end. */
static void shape_view(test_random *r, op_case *c, view_kind kind) {
    ct_shape out = sample(r, c, kind == VIEW_BROADCAST ? 0 : 1);
    c->shapes[0] = view_sample(r, kind, out, &c->view);
    c->out = out;
    c->form = random_chance(r, 50);
}

static void shape_permute(test_random *r, op_case *c) { shape_view(r, c, VIEW_PERMUTE); }
static void shape_slice(test_random *r, op_case *c) { shape_view(r, c, VIEW_SLICE); }
static void shape_flip(test_random *r, op_case *c) { shape_view(r, c, VIEW_FLIP); }
static void shape_broadcast(test_random *r, op_case *c) { shape_view(r, c, VIEW_BROADCAST); }

static ct_tensor *build_view(ct_tensor *const x[], const op_case *c) {
    view_step step = c->view;
    int rank = c->shapes[0].rank;
    for (int k = 0; k < step.axes.count && c->form; k++) step.axes.axis[k] -= rank;
    if (step.kind == VIEW_SLICE && c->form) {
        int64_t size = c->shapes[0].dims[step.axis];
        if (step.start < size) step.start -= size;
        step.stop = step.stop == size ? CT_END : step.stop - size;
        step.axis -= rank;
    }
    return view_build(&step, x[0]);
}

static void reference_view(const op_case *c, const array x[], array *y) {
    view_copy(&c->view, &x[0], y);
}

/* --- reshape ---------------------------------------------------------------------------------- */

/* Dimensions are merged, swapped and split as long as the product stays. */
static void shape_reshape(test_random *r, op_case *c) {
    ct_shape shape = c->shapes[0] = sample(r, c, 0);
    for (int times = 0; times < 3; times++) {
        int d = shape.rank ? (int)random_below(r, shape.rank) : 0;
        if (shape.rank > 1 && d + 1 < shape.rank && random_chance(r, 60)) {
            shape.dims[d] *= shape.dims[d + 1];
            memmove(&shape.dims[d + 1], &shape.dims[d + 2],
                    sizeof(int64_t) * (size_t)(shape.rank - d - 2));
            shape.rank--;
        } else if (shape.rank < 6) {
            int64_t rest = 1;
            if (shape.rank && shape.dims[d] % 2 == 0 && shape.dims[d]) {
                rest = 2;
                shape.dims[d] /= 2;
            }
            shape.dims[shape.rank++] = 1;
            for (int k = shape.rank - 1; k > d; k--) shape.dims[k] = shape.dims[k - 1];
            shape.dims[d] = rest;
        }
    }
    c->out = c->target = shape;
    bool open = shape.rank && ct_shape_numel(shape) > 0 && random_chance(r, 40);
    if (open) c->target.dims[random_below(r, shape.rank)] = -1;
}

static ct_tensor *build_reshape(ct_tensor *const x[], const op_case *c) {
    return ct_reshape(x[0], c->target);
}

static void reference_copy(const op_case *c, const array x[], array *y) {
    (void)c;
    memcpy(y->v, x[0].v, sizeof(double) * (size_t)y->numel);
}

/* --- stop_gradient, stage --------------------------------------------------------------------- */

static void shape_same(test_random *r, op_case *c) {
    for (int i = 0; i < c->n; i++) c->shapes[i] = sample(r, c, 0);
    c->out = c->shapes[0];
}

static ct_tensor *build_stop_gradient(ct_tensor *const x[], const op_case *c) {
    (void)c;
    return ct_stop_gradient(x[0]);
}

/* The node keeps the slot; nobody commits, so only the identity on y is left. */
static ct_tensor *build_stage(ct_tensor *const x[], const op_case *c) {
    ct_slot *slot = ct_slot_new("staged", ct_full(c->dtype, c->shapes[1], 0.0));
    ct_tensor *y = ct_stage(x[0], slot, 0.5, x[1]);
    ct_slot_drop(slot);
    return y;
}

/* clang-format off */
const primitive_row view_rows[] = {
    {.op = "reshape", .n_inputs = 1, .dtypes = ANY, .flows = 1, .exact = true, .linear = true,
     .shape = shape_reshape, .build = build_reshape, .reference = reference_copy},
    {.op = "permute", .n_inputs = 1, .dtypes = ANY, .flows = 1, .exact = true, .linear = true,
     .shape = shape_permute, .build = build_view, .reference = reference_view},
    {.op = "slice", .n_inputs = 1, .dtypes = ANY, .flows = 1, .exact = true, .linear = true,
     .shape = shape_slice, .build = build_view, .reference = reference_view},
    {.op = "flip", .n_inputs = 1, .dtypes = ANY, .flows = 1, .exact = true, .linear = true,
     .shape = shape_flip, .build = build_view, .reference = reference_view},
    {.op = "broadcast", .n_inputs = 1, .dtypes = ANY, .flows = 1, .exact = true, .linear = true,
     .shape = shape_broadcast, .build = build_view, .reference = reference_view},
    {.op = "stop_gradient", .n_inputs = 1, .dtypes = ANY, .exact = true, .shape = shape_same,
     .build = build_stop_gradient, .reference = reference_copy},
    {.op = "stage", .n_inputs = 2, .dtypes = ANY, .flows = 1, .exact = true, .linear = true,
     .shape = shape_same, .build = build_stage, .reference = reference_copy},
};
/* clang-format on */
const int n_view_rows = sizeof view_rows / sizeof *view_rows;
