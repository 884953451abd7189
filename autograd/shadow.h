/* Where do digits get lost? Evaluates an f32 graph in f64 beside it, and compares node by node.
 *
 *     ct_shadow_report report;
 *     if (ct_shadow(&loss, 1, &report) == CT_OK) ct_shadow_print(stdout, &report);
 *     ct_shadow_free(&report);
 *
 * A variance as mean x^2 - (mean x)^2, at mean 1000 and deviation 1, prints
 *
 *     f32 beside f64: the roots are off by 6.8e-02; 1 of 7 nodes loses half of its digits
 *         lost    left     error  amplified  node
 *          5.6     1.2   6.8e-02    4.3e+05  sub
 *                                            6 others lose less than 0.5 */
#ifndef COTAN_SHADOW_H
#define COTAN_SHADOW_H

#include <cotan/tensor/op.h>

CT_C_BEGIN

/* A node. A bounded error lies between 2^-24, f32's unit roundoff, and 1: no digit is left. */
typedef struct {
    const ct_tensor *tensor; /* borrowed, as long as the graph lives */
    const char *op;          /* "sub" */
    const char *path;        /* of its module, "" outside of any */
    int order;               /* 0 forward, 1 of a first derivative, ... */
    /* max |f32 - f64| / max |f64| over its elements; inf where just one of the two is finite, as
     * when f32 overflows, or where f64 is 0. */
    double error;
    double amplification; /* its bounded error / the largest bounded error of its operands */
    /* Decimal digits that are lost in it and that the roots miss: log10 of the part of its error
     * that reaches them / the largest bounded error of its operands. */
    double lost;
    double left; /* digits that it has: -log10 of the bounded error, 0 to 7.2 */
    /* The error is above 2^20, and so f64 has less than three digits itself: what is 0 but for
     * rounding. Nothing is known then, and `lost` is 0. */
    bool noise;
} ct_shadow_entry;

typedef struct {
    /* Of all nodes of f32 and f64 but leaves; by `lost`, the most first, of equal ones by order of
     * construction. */
    ct_shadow_entry *entries;
    int64_t n;
    int64_t n_lossy; /* the first ones, each of which loses half of f32's digits: 3.6 or more */
    int64_t n_noise;
    int64_t n_unshadowed; /* ops of users that f64 does not have: it goes on with f32's value */
    double error;         /* the largest error of a root that is no noise */
    struct cti_shadow_place *places; /* private */
} ct_shadow_report;

/* Evaluates what n >= 1 roots (a loss and its gradients, say) depend on, one op after the other as
 * the graph is written: each op in f32, and the same op in f64 on the f64 values of its operands.
 * Leaves and random draws have their f32 values on both sides. So have operands that no gradient
 * goes to: comparisons, floor, argmax, the condition of ct_where and the places of maxima, and with
 * them all branches, are the same. Casts between f32 and f64 do nothing in f64.
 *
 * The part of an error that reaches the roots is the error itself, or, where that is less, the
 * largest such part of the nodes that read it: x - mean x has few digits at mean 1000, but the mean
 * of its square has all of them, so nothing is lost there. Errors are in the max norm, so small
 * elements beside large ones count as little as they are.
 *
 * With a group of ranks (tensor/group.h) all of them call it; of what varies between ranks each
 * compares its own rows.
 *
 * Afterwards no node has a value that it did not have; time and memory are those of ct_anomaly,
 * three times. Free the report by ct_shadow_free. Errors: CT_ERR_NULL, CT_ERR_RANGE, CT_ERR_MEMORY,
 * CT_ERR_DTYPE when no node is f32; then the report is empty. */
ct_status ct_shadow(ct_tensor *const roots[], int64_t n, ct_shadow_report *report);
/* A verdict and a line for each of the first 40 entries that lose 0.5 digits or more: digits lost
 * and left, error, amplification, and the node's module, name and op. Errors: CT_ERR_NULL,
 * CT_ERR_IO. */
ct_status ct_shadow_print(FILE *out, const ct_shadow_report *report);
/* The entry of a node, or NULL: it is a leaf, no float, or no part of the graph. */
const ct_shadow_entry *ct_shadow_of(const ct_shadow_report *report, const ct_tensor *t);
void ct_shadow_free(ct_shadow_report *report); /* takes NULL; the report is empty then */

CT_C_END

#endif
