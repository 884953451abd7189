/* Private: the state of a run; the plan itself is constant. */
#ifndef COTAN_RUN_H
#define COTAN_RUN_H

#include "tensor/plan/cache.h"
#include "tensor/profile.h"
#include "tensor/ranks/exchange.h"

#include <stdatomic.h>

typedef struct cti_run {
    const cti_plan *plan;
    void **data;           /* item -> memory */
    ct_call *calls;        /* pass -> the call of its kernel, with the data of this run */
    atomic_int *left;      /* part -> number of dependencies that are not done yet */
    int64_t *ready;        /* part -> the one below it on the stack of a thread */
    void *arena, *scratch; /* the caller's; a scratch for each thread, contiguous */
    cti_entry entry;       /* what this rank brings to exchanges; the caller's */
    cti_summand *summands; /* of one exchange */
} cti_run;

/* Room for runs of the plan, one at a time; lives as long as the zone. NULL with the error
 * recorded. */
cti_run *cti_run_new(cti_zone *zone, const cti_plan *plan);
/* Runs the plan. `data` of leaves and roots, `arena` and `scratch` are set by the caller. `times`
 * is NULL, or has room for each part: thread, begin and end of it are written. Only an exchange
 * between ranks can fail, with the same status on all of them but after a loss. */
ct_status cti_run_all(cti_run *run, int threads, ct_profile_part *times);

/* What evaluations tell the profile. The first takes room for the parts of one of them, which the
 * run fills; *times stays NULL when nothing is measured. `walk` is what the plan is for; the graph
 * must not be changed in between. */
ct_status cti_profile_begin(const cti_planned *planned, ct_profile_part **times);
void cti_profile_end(const cti_planned *planned, const cti_walk *walk);

/* What a thread works with; see tile.c. */
typedef struct {
    const cti_run *run;
    void *scratch;            /* this thread's own */
    const cti_tiles *current; /* whose periodic loads are expanded in the scratch */
} cti_worker;
void cti_tile_part(cti_worker *worker, const cti_pass *pass, int64_t part);
void cti_tile_combine(cti_worker *worker, const cti_tiles *tiles, int64_t part);

#endif
