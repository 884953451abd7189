/* Operands of the primitive table: elements in a leaf, and a chain of views through which an op
 * sees them. The views are computed a second time here, naively, on arrays. */
#ifndef COTAN_TESTS_OPERAND_H
#define COTAN_TESTS_OPERAND_H

#include "autograd/ops.h"
#include "tests/support/support.h"

/* Row-major elements as doubles, whatever the dtype. */
typedef struct {
    ct_shape shape;
    int64_t numel;
    double *v;
} array;

array array_new(ct_shape shape); /* zeros; aborts the program when memory runs out */
void array_free(array *a);

void unravel(ct_shape shape, int64_t i, int64_t index[CT_MAX_RANK]);
int64_t ravel(ct_shape shape, const int64_t index[CT_MAX_RANK]);
/* The element of `in` that element i of a tensor of `shape` stretches to. */
int64_t stretched(ct_shape in, ct_shape shape, int64_t i);

/* --- Views ------------------------------------------------------------------------------------ */

typedef enum { VIEW_PERMUTE, VIEW_SLICE, VIEW_FLIP, VIEW_BROADCAST, VIEW_KINDS } view_kind;

typedef struct {
    view_kind kind;
    ct_axes axes;              /* permute: all of them; flip: those that turn round */
    int axis;                  /* slice */
    int64_t start, stop, step; /* slice, not negative */
    ct_shape out;
} view_step;

ct_tensor *view_build(const view_step *step, ct_tensor *x);
/* out[i] = in[the element that the view shows there]. */
void view_copy(const view_step *step, const array *in, array *out);
/* A random step of that kind that ends at `out` (rank >= 1 unless it is a broadcast), and the shape
 * it starts from. */
ct_shape view_sample(test_random *r, view_kind kind, ct_shape out, view_step *step);

/* --- Operands --------------------------------------------------------------------------------- */

#define OPERAND_STEPS 2

typedef struct {
    ct_dtype dtype;
    ct_shape shape; /* as the op sees it */
    array base;     /* what is stored */
    int64_t numel;
    int64_t *map; /* element of the operand -> element of base */
    int n_steps;
    view_step steps[OPERAND_STEPS];
} operand;

/* An operand of that type and shape; the base's elements are zero. */
void operand_new(operand *o, test_random *r, ct_dtype dtype, ct_shape shape, bool plain);
void operand_free(operand *o);
ct_tensor *operand_leaf(const operand *o, ct_dtype dtype);
ct_tensor *operand_view(const operand *o, ct_tensor *leaf);
/* What the op sees, from the stored elements. */
void operand_read(const operand *o, array *out);

/* --- Shapes ----------------------------------------------------------------------------------- */

/* Dimensions from {0, 1, 2, 3, 5, 7}, at most `most` elements; a large one has dimensions around
 * the size of a tile and at least a thousand elements. */
ct_shape sample_shape(test_random *r, int low_rank, int high_rank, int64_t most, bool large);
/* What two shapes that fit stretch to. */
ct_shape broadcast_shape(ct_shape a, ct_shape b);
/* A shape that stretches to `shape`: leading axes left out, others made 1. */
ct_shape sample_narrower(test_random *r, ct_shape shape);

#endif
