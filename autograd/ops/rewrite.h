/* Private: what the rewrites of one op ask about another. Each is true only of a node that is still
 * to be computed: a value is never looked behind. */
#ifndef COTAN_REWRITE_H
#define COTAN_REWRITE_H

#include "tensor/graph/simplify_private.h"

bool cti_is_neg(const ct_tensor *t);
bool cti_is_add(const ct_tensor *t);
bool cti_is_sub(const ct_tensor *t);
bool cti_is_mul(const ct_tensor *t);
bool cti_is_div(const ct_tensor *t);
bool cti_is_reshape(const ct_tensor *t);
bool cti_is_broadcast(const ct_tensor *t);
/* A sum over axes *first .. *last - 1 of its input. */
bool cti_is_sum(const ct_tensor *t, int *first, int *last);

/* A sum without the terms of its operand that are centred, if it has some; else NULL. */
ct_tensor *cti_sum_without_centred(ct_tensor *sum);
/* Whether t is stretched along all axes that are to go (one truth per axis), and its value without
 * them; NULL if it is not. */
bool cti_is_stretched(const ct_tensor *t, const bool away[]);
ct_tensor *cti_unstretched(ct_tensor *t, const bool away[]);

#endif
