/* One row per primitive: how to build it, what it computes, where it has derivatives. A new op
 * needs a row here; test_primitives fails when a descriptor has none. */
#ifndef COTAN_TESTS_PRIMITIVE_TABLE_H
#define COTAN_TESTS_PRIMITIVE_TABLE_H

#include "tensor/op.h"
#include "tests/support/operand.h"

#define MOST_OPERANDS 4

/* One application of an op: the shapes of its operands and its parameters. */
typedef struct {
    int n;                          /* operands */
    ct_dtype dtype;                 /* of the operands that do not say otherwise */
    ct_dtype dtypes[MOST_OPERANDS]; /* filled from `dtype`; a row may change them */
    ct_shape shapes[MOST_OPERANDS];
    ct_shape out; /* the shape that the result must have */
    bool large;   /* values only: shapes beyond one tile */
    /* What the op is told besides: a row fills what it needs. */
    int axis;
    int64_t axes;                    /* bit set */
    int form;                        /* of an argument that can be given in several */
    int64_t before, after, interior; /* padding */
    int64_t rows;                    /* that an index may name: 0 .. rows - 1 */
    ct_shape target;
    view_step view;
    ct_shape image, kernel, result; /* of a convolution or a pooling */
    ct_conv2d_spec conv;
    ct_pool2d_spec pool;
} op_case;

typedef enum {
    REALS,     /* anywhere in low .. high */
    APART,     /* all elements of all operands differ by at least 0.03, and are not near 0 */
    FRACTIONS, /* in low .. high, never near a whole number */
} sampling;

typedef struct {
    const char *op;  /* the descriptor's name */
    int n_inputs;    /* 0: the row's `shape` decides */
    unsigned dtypes; /* bit set over ct_dtype, of operand 0 */
    unsigned flows;  /* bit i: a gradient flows to operand i */
    sampling sampling;
    double low, high; /* of REALS and FRACTIONS; 0, 0 stands for -2 .. 2 */
    bool exact;       /* integers in, integers out: equal in every dtype */
    bool linear;      /* in each operand: the error is measured against the sum of |terms| */
    bool rough;       /* rounds, so that differences see steps: see `gradient` */
    bool within;      /* built with other ops, whose names messages say */
    double slack;     /* absolute error allowed in f32 */
    void (*shape)(test_random *r, op_case *c); /* NULL: operands that broadcast */
    /* Elements of operand i where the row needs its own; false leaves it to `sampling`. */
    bool (*fill)(test_random *r, const op_case *c, int i, array *base);
    ct_tensor *(*build)(ct_tensor *const x[], const op_case *c);
    double (*scalar)(const double *x); /* elementwise: the value from the operands' */
    void (*reference)(const op_case *c, const array x[], array *y); /* otherwise: y is zeros */
    /* rough: the exact gradient of operand i for the cotangent w. */
    void (*gradient)(const op_case *c, int i, const array *w, array *out);
} primitive_row;

#define ON(dtype) (1u << (dtype))
#define FLOATS (ON(CT_F32) | ON(CT_F64) | ON(CT_P61))
#define NUMBERS (FLOATS | ON(CT_I64))
#define ANY (NUMBERS | ON(CT_U8))

extern const primitive_row elementwise_rows[], view_rows[], copy_rows[], reduction_rows[],
    ranks_rows[], contraction_rows[], pool_rows[], random_rows[];
extern const int n_elementwise_rows, n_view_rows, n_copy_rows, n_reduction_rows, n_contraction_rows,
    n_ranks_rows, n_pool_rows, n_random_rows;

/* Rows 0, 1, ... of the whole table; NULL behind the last one. */
const primitive_row *primitive_row_at(int i);
const primitive_row *primitive_row_of(const char *op);
/* Descriptors 0, 1, ... that are linked into this program; NULL behind the last one. */
const ct_op *primitive_descriptor(int i);

/* Operands of the case: their shapes and parameters are sampled by the row. */
void primitive_case(const primitive_row *row, test_random *r, ct_dtype dtype, bool large,
                    op_case *c);
/* The reference's result for the shape that the op has. */
void primitive_reference(const primitive_row *row, const op_case *c, const array x[], array *y);

#endif
