/* Private: derivatives that say where there is none, forwards without staged updates, and a commit
 * that its caller may still refuse when the values are known. */
#ifndef COTAN_DERIVE_PRIVATE_H
#define COTAN_DERIVE_PRIVATE_H

#include "autograd/grad.h"
#include "autograd/stage.h"

/* Whether a derivative reaches an x. CTI_OUTDATED: none does, but y was computed from another value
 * of the slot that x is the value of. */
typedef enum { CTI_UNREACHED, CTI_REACHED, CTI_OUTDATED } cti_reach;

/* ct_grad, and how x[i] is reached; where it is not, out[i] is zeros. */
ct_status cti_grad(ct_tensor *y, ct_tensor *const x[], int64_t n, ct_tensor *out[],
                   cti_reach reach[]);

/* Whether ct_stage(y, ...) is y alone in this thread. Who sets it restores it. */
bool *cti_stages_left_out(void);

/* The slot that a staged update is for, and by what its old value is multiplied; NULL: t is none
 * of these. */
const ct_slot *cti_staged(const ct_tensor *t, double *decay);

/* Looks at the evaluated roots; records what is wrong with them and returns it. Where it sets
 * *instead, that update is applied and nothing else. */
typedef ct_status cti_accept(void *context, ct_tensor *const roots[], ct_update *instead);

/* ct_commit, but `accept` (may be NULL) is asked after the evaluation and before the first slot
 * changes. What it refuses changes nothing; the roots keep their values then too. `loss` is a root
 * that has to be the same on all ranks, or NULL. */
ct_status cti_commit_if(ct_tensor *const roots[], int64_t n_roots, const ct_update *updates,
                        int64_t n_updates, cti_accept *accept, void *context,
                        const ct_tensor *loss);

#endif
