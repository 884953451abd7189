/* Where does the NaN come from? Names the node in which the first NaN or infinity arises.
 *
 *     ct_anomaly_report report;
 *     if (ct_anomaly(&loss, 1, &report) == CT_OK && report.found) puts(report.text);
 *     // first NaN: log in 'head/loss' (forward), element [3,1]: operand x f64 [4,2] in [-0.2, 3]
 *
 * Nothing of this runs unless it is called, and ordinary evaluations have no part in it. */
#ifndef COTAN_ANOMALY_H
#define COTAN_ANOMALY_H

#include <cotan/tensor/op.h>

CT_C_BEGIN

/* An operand of the node: the least and the largest of its elements that are no NaN, infinities
 * included, and how many are NaN. Without such elements min is inf and max -inf. */
typedef struct {
    const ct_tensor *tensor; /* borrowed */
    double min, max;
    int64_t nans;
} ct_anomaly_operand;

/* Tensors are borrowed, as long as the graph lives. */
typedef struct {
    bool found;              /* a NaN or an infinity arises and reaches one of the roots */
    const ct_tensor *tensor; /* in which it arises: a node, or an input that holds a NaN; NULL: none
                                  does. When found is false it reaches no root                   */
    const char *op;          /* "log"; "" for an input */
    const char *path;        /* of its module, "" outside of any */
    int order;               /* 0 forward, 1 of a first derivative, ... */
    int64_t index;           /* flat, of the first such element; a NaN's where there is one */
    double value;            /* that element: NaN, inf or -inf */
    int n_operands;          /* the first ones */
    ct_anomaly_operand operands[CT_OP_INPUTS];
    char text[1024]; /* all of it in one line, also that there is none; names are shown escaped */
} ct_anomaly_report;

/* Computes everything that n >= 1 roots (a loss and its gradients, say) depend on, one op after the
 * other as the graph is written, with the same random draws, and reports the first in the order of
 * construction that
 *  - is NaN somewhere, and none of its operands is (an input: is NaN somewhere), or
 *  - is infinite somewhere, and all of its operands are finite,
 * and from which NaN or infinities lead on, node by node, to a root that is not finite either. So
 * an infinity that was put into the graph, as data or as a number of a formula (a causal mask, a
 * bound), is none unless a NaN follows: then the node is named in which that arises. Nor is what is
 * gone before the roots: -inf in a softmax, or in ct_weigh with 0.
 * With a group of ranks (tensor/group.h) all of them call it, and each looks at its own rows: one
 * whose rows are sound names the sum over the ranks by which it gets what another one names.
 * Where nothing is found, report->tensor is the first that arises and goes, if any.
 *
 * Values that are there already are looked at and not computed again; afterwards no node has one
 * that it did not have. It takes the time of an evaluation without fused loops, memory for what is
 * alive at once, and pushes plans out of the cache. Errors: CT_ERR_NULL, CT_ERR_RANGE,
 * CT_ERR_MEMORY; then the report stays what it was. */
ct_status ct_anomaly(ct_tensor *const roots[], int64_t n, ct_anomaly_report *report);

CT_C_END

#endif
