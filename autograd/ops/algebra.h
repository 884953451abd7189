/* Private: what the ops of the algebra know of each other, beside the descriptors in ops.h: joint
 * loops, and what their rewrites ask. */
#ifndef COTAN_ALGEBRA_H
#define COTAN_ALGEBRA_H

#include "autograd/ops.h"
#include "tensor/graph/node.h"
#include "tensor/op.h"

/* 1 where the maximum, or minimum, of two operands is the first. */
extern const ct_op cti_op_max_is_first, cti_op_min_is_first;
#define CTI_IS_MAX(a, b) (((a) >= (b)) | ((a) != (a)))

/* See pairs.c. */
extern const ct_joint_loop cti_joint_add[], cti_joint_sub[], cti_joint_mul[], cti_joint_maximum[],
    cti_joint_where[], cti_joint_sum[];

/* What t, a sum or one over the rows of all ranks, sums over its axes *first .. *last - 1; NULL if
 * it is no sum. */
ct_tensor *cti_sum_operand(const ct_tensor *t, int *first, int *last);
/* These axes, of a node whose attribute begins with them. */
void cti_sum_axes(const ct_tensor *sum, int *first, int *last);
/* Rules for both: what the sum y is; NULL if the rule does not fit. The last one is the sum without
 * the terms of its operand that are centred. */
ct_tensor *cti_sum_of_neg(ct_tensor *y);
ct_tensor *cti_sum_of_stretched(ct_tensor *y);
ct_tensor *cti_sum_without_centred(ct_tensor *y);
/* Of a [grains,m,k] and b [grains,k,n], where all grains are this rank's, the sum of their
 * products: [m,n], replicated. And the rule for ct_all_sum that makes it. */
ct_tensor *cti_grain_matmul(ct_tensor *a, ct_tensor *b);
ct_tensor *cti_sum_of_products(ct_tensor *y);
/* sum + piece in one copy, where piece is padded and so is a neighbour of it in the sum: what the
 * derivatives of slices of one tensor add up to. Else NULL. */
ct_tensor *cti_join_pads(ct_tensor *sum, ct_tensor *piece, int depth);
/* Whether t is stretched along all axes that are to go (one truth per axis), and its value without
 * them; NULL if it is not. */
bool cti_is_stretched(const ct_tensor *t, const bool away[]);
ct_tensor *cti_unstretched(ct_tensor *t, const bool away[]);

/* ct_sum_to over axis `batch` too, unless that is -1: a rank may have one row of a batch. */
ct_tensor *cti_sum_to(ct_tensor *x, ct_shape shape, int batch);
/* x with this axis in front of all others. */
ct_tensor *cti_with_first(ct_tensor *x, int axis);
/* The sum over the batch axis of x, which varies along it, and the axes from it to last - 1, over
 * all ranks: replicated. */
ct_tensor *cti_sum_batch(ct_tensor *x, int64_t last);
/* A node with one partial sum for each of this rank's grains, which are those of `rows`: [grains,
 * ..], for ct_all_sum and no other reader. */
ct_tensor *cti_node_by_grain(const ct_op *op, ct_tensor *const inputs[], int n, const void *attr,
                             size_t size, cti_rows *rows);
/* The node with the partial sums of t, a sum over the rows of all ranks; NULL if it is none. */
const ct_tensor *cti_summed_by_grain(const ct_tensor *t);
/* What a cotangent of such partial sums is for all grains alike: that of their sum. */
ct_tensor *cti_of_all_grains(ct_tensor *g);
/* For each grain the sum of its rows of x, without the batch axis: [grains, ..]. And the transpose,
 * each grain's x over its rows along the batch axis of `like`. */
ct_tensor *cti_grain_sum(ct_tensor *x);
ct_tensor *cti_grain_spread(ct_tensor *x, const ct_tensor *like);
/* x, which varies along axis 0, as [grains, places of the largest one, rest], with zeros where a
 * grain is smaller, and a view where none is; varying along axis 0 with one row for each grain. */
ct_tensor *cti_grains_apart(ct_tensor *x);

#endif
