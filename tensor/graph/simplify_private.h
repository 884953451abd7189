/* Private: simplification of a walk. */
#ifndef COTAN_SIMPLIFY_PRIVATE_H
#define COTAN_SIMPLIFY_PRIVATE_H

#include "tensor/graph/walk.h"
#include "tensor/op.h"
#include "tensor/simplify.h"

/* images[i] computes what walk->items[i] computes: the item itself, or a node of the open scope.
 * The walk is along needed inputs, and is not the current one afterwards. */
ct_status cti_simplify(const cti_walk *walk, ct_tensor **images);

/* Whether this thread's evaluations simplify: true unless a test says otherwise. */
extern _Thread_local bool cti_simplifies;
/* The one rule that this thread applies, for tests; NULL: all. And how often any was applied. */
extern _Thread_local const ct_rule *cti_rule_alone;
extern _Thread_local int64_t cti_rules_applied;
/* Common subexpressions, which no op offers. */
extern const ct_rule cti_rule_equal_nodes;

#endif
