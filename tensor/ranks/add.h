/* Private: sums of elements by type, and of a rank's grains along the tree. */
#ifndef COTAN_ADD_H
#define COTAN_ADD_H

#include "tensor/ranks/schedule.h"
#include "tensor/shape.h"

/* out = x + y over n elements; out may be x or y. */
typedef void cti_add_fn(const void *x, const void *y, int64_t n, void *out);
/* NULL for a type that has no sum. */
cti_add_fn *cti_add_of(ct_dtype dtype);

/* Partial sums of an array: of each grain in `grains`, which a node lies in, one row of n elements.
 */
typedef struct {
    ct_dtype dtype;
    const void *partials; /* [last - first, n] */
    cti_range grains;
    int64_t n;
} cti_partials;

/* out[0 .. to - from) = elements from .. to - 1 of the node's sum. */
void cti_node_sum(const cti_partials *p, cti_range node, int64_t from, int64_t to, void *out);

#endif
