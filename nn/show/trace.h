/* Private: the calls of modules in one forward of a model, for pictures and summaries of it. */
#ifndef COTAN_TRACE_H
#define COTAN_TRACE_H

#include "nn/module_private.h"
#include "tensor/base/zone.h"

typedef struct {
    ct_module *module; /* borrowed */
    int level;         /* calls that it was made in: 0 for the model itself */
    int64_t parent;    /* the innermost of them, or -1 */
    int64_t end;       /* calls made in it: from the next one on to `end` */
    ct_tensor **in;    /* some may be NULL */
    ct_tensor **out;   /* copies of what the module gave, so that no two calls have the same */
    int n_in, n_out;
} cti_module_call;

typedef struct {
    cti_observer observer;
    cti_module_call *calls; /* in the order in which they began: first the model's own */
    int64_t count;
    int64_t batch; /* size of the first dimension of the first input, or -1 */
    cti_zone zone; /* lists of tensors, each of which is kept; texts */
} cti_trace;

/* The calls in a forward in inference mode of inputs without numbers. Messages name `function`. To
 * be freed also after an error. */
ct_status cti_trace_make(cti_trace *trace, const char *function, ct_module *model,
                         const ct_show_options *options);
void cti_trace_free(cti_trace *trace);

/* What an output of a call is the copy of; NULL for other tensors. */
ct_tensor *cti_copied(const ct_tensor *t);
/* Whether others were made in it. */
static inline bool cti_has_calls(const cti_trace *trace, int64_t call) {
    return trace->calls[call].end > call + 1;
}
/* "(None, 26, 26, 32)", where None is the batch; several with commas between them. NULL when out of
 * memory. */
const char *cti_trace_shapes(cti_trace *trace, ct_tensor *const tensors[], int n);
/* The module's name, or its kind's while it has none. */
const char *cti_module_title(const ct_module *module);
/* What it is: its kind's name, or what that has it shown as. */
const char *cti_module_kind(const ct_module *module);

#endif
