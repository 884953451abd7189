/* Private: what evaluations tell the profile. */
#ifndef COTAN_PROFILE_PRIVATE_H
#define COTAN_PROFILE_PRIVATE_H

#include "tensor/plan/cache.h"
#include "tensor/profile.h"

/* Room for one evaluation: zeroed [threads, passes], to be filled by the runner. *seconds stays
 * NULL when nothing is measured. The graph must not be changed before cti_profile_end. */
ct_status cti_profile_begin(const cti_planned *planned, int threads, double **seconds);
/* `walk` is what the plan is for. */
void cti_profile_end(const cti_planned *planned, const cti_walk *walk, int threads);

#endif
