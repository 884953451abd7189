/* Private: forwards without staged updates, and a commit that its caller may still refuse when the
 * values are known. */
#ifndef COTAN_STAGE_PRIVATE_H
#define COTAN_STAGE_PRIVATE_H

#include "autograd/stage.h"

/* Whether ct_stage(y, ...) is y alone in this thread. Who sets it restores it. */
bool *cti_stages_left_out(void);

/* Looks at the evaluated roots; records what is wrong with them and returns it. */
typedef ct_status cti_accept(void *context, ct_tensor *const roots[]);

/* ct_commit, but `accept` (may be NULL) is asked after the evaluation and before the first slot
 * changes. What it refuses changes nothing; the roots keep their values then too. */
ct_status cti_commit_if(ct_tensor *const roots[], int64_t n_roots, const ct_update *updates,
                        int64_t n_updates, cti_accept *accept, void *context);

#endif
