/* Private: what is evaluated before a graph's sums over ranks, and these sums. */
#ifndef COTAN_ROUNDS_H
#define COTAN_ROUNDS_H

#include "tensor/graph/walk.h"

/* Evaluates roots whose sums over ranks have their values already. */
typedef ct_status cti_evaluate(ct_tensor *const roots[], int64_t n);

bool cti_needs_rounds(const cti_walk *walk);
/* Where a rank has no memory for the walk itself: takes part in the first exchange that the others
 * make for these roots, if they make one. */
void cti_rounds_without(ct_tensor *const roots[], int64_t n);
/* Gives every sum over ranks of the walk its value: those that wait for equally many others are one
 * exchange, before which `evaluate` computes what they sum, and what later rounds or roots need of
 * it. All ranks of the current group come to the same status, but after a loss. */
ct_status cti_rounds(const cti_walk *walk, cti_evaluate *evaluate);

#endif
