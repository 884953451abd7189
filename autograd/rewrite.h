/* Private: what the rewrites of one op ask about another. Each is true only of a node that is still
 * to be computed: a value is never looked behind. */
#ifndef COTAN_REWRITE_H
#define COTAN_REWRITE_H

#include "tensor/simplify_private.h"

bool cti_is_neg(const ct_tensor *t);
bool cti_is_add(const ct_tensor *t);
bool cti_is_sub(const ct_tensor *t);
bool cti_is_mul(const ct_tensor *t);
bool cti_is_broadcast(const ct_tensor *t);

/* sum(t) over axes first .. last - 1 as a sum of sums, where that saves a pass; else NULL. */
ct_tensor *cti_sum_of_terms(ct_tensor *t, int first, int last);
/* The value of t without axes first .. last - 1, along which it is stretched; NULL if it is not. */
ct_tensor *cti_unstretched(ct_tensor *t, int first, int last);

#endif
