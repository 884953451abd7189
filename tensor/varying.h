/* Replicated and varying tensors: what ranks of a group (group.h) hold of the same graph.
 *
 * A tensor is replicated, the same on all ranks, unless it is made of one that varies: of this
 * rank's rows of a global tensor along its batch axis. Every op means what it means of the global
 * tensor: ct_mean(x, CT_AXES(0)) of varying rows is the mean over the rows of all ranks, and
 * replicated. So formulas, layers, losses and derivatives stay as they are: BatchNorm of a varying
 * batch has statistics of the global batch, and the gradient of a replicated parameter is that of
 * the global loss.
 *
 *     ct_tensor *mine = ct_full(CT_F32, CT_SHAPE(4, 3), 1), *w = ct_full(CT_F32, CT_SHAPE(3), 1);
 *     ct_tensor *loss = ct_mean_all(ct_square(ct_matmul(ct_varying(mine, 0), w)));
 *
 * A replicated operand beside a varying one has size 1 along the batch axis, or lacks it. What an
 * op cannot mean of a varying operand is an error that names the op. */
#ifndef COTAN_VARYING_H
#define COTAN_VARYING_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* x as this rank's rows of a global batch along `axis`: evaluates x, and gives a leaf, through
 * which no derivative goes to what x was computed from. All ranks of the current group call this in
 * the same order, with any number of rows each, 0 too; other dims and the type are equal. Rows are
 * in the order of the ranks. If each rank's number of rows is that of its grains,
 * where grain g of G has the rows from ceil(N g / G) of N on, results do not depend on how many
 * ranks there are; otherwise a rank's rows are cut the same way among its own grains. Without a
 * group, x is the whole batch and its only grain. Errors: CT_ERR_SHAPE for no such axis,
 * CT_ERR_STATE where x varies already, is computed from a slot (rows of a parameter: ct_take by
 * indices that vary) or is another one on another rank, and those of ct_group_agree. */
ct_tensor *ct_varying(ct_tensor *x, int axis);
/* What ct_varying was given: this rank's rows of x, which vary no longer, to look at them or keep
 * them. Evaluates x, and gives a leaf. Of a replicated x it is its value. */
ct_tensor *ct_own_rows(ct_tensor *x);
/* The axis along which t varies, or -1 for a replicated one. */
int ct_varying_axis(const ct_tensor *t);

CT_C_END

#endif
