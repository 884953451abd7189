/* Private: how values flow between the calls of modules that are shown. */
#ifndef COTAN_FLOW_H
#define COTAN_FLOW_H

#include "nn/show/trace.h"

typedef enum {
    CTI_FLOW_INPUT, /* an input of the model */
    CTI_FLOW_CALL,  /* a call that is not opened */
    CTI_FLOW_JOIN,  /* the ops that an opened call makes its output with */
} cti_flow_kind;

typedef struct {
    cti_flow_kind kind;
    int64_t call;       /* that it is or stands in; -1 for an input */
    int number;         /* of the input or the output */
    int64_t first, end; /* of a join: ops[first..end) are what the call computes in it, no views */
} cti_flow_box;

typedef struct {
    const cti_trace *trace;
    int depth;           /* levels that are opened */
    cti_flow_box *boxes; /* inputs, calls in the order in which they began, then joins */
    int64_t n_boxes;
    int64_t (*arrows)[2]; /* from and to, different ones, in the order of `to` */
    int64_t n_arrows;
    const ct_tensor **ops; /* in the order of a walk; those of a join beside each other */
    int64_t n_ops;
} cti_flow;

/* To be freed also after an error. The trace must outlive it. */
ct_status cti_flow_make(cti_flow *flow, const cti_trace *trace, const ct_show_options *options);
void cti_flow_free(cti_flow *flow);
/* Whether the calls made in it are shown, where it is itself. */
bool cti_flow_opens(const cti_flow *flow, int64_t call);

#endif
