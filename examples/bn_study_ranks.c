/* The study on several ranks, where it was built with MPI (`./run ranks`). Without that it is one
 * process, and all of this does nothing.
 * Training knows nothing of it: ct_fit hands out rows and agrees on what went wrong.
 * Invariant: rank 0 alone writes and prints, and after all that a rank does alone all meet. */
#include "bn_study.h"

#include <stdlib.h>

#ifdef STUDY_ON_RANKS
#include <cotan/tensor/mpi/mpi.h>

ct_group *study_join(int *argc, char ***argv) {
    ct_group *ranks = ct_group_mpi(argc, argv);
    ct_group_use(ranks, (ct_group_options){0});
    if (!getenv("CT_NUM_THREADS")) ct_threads_set(1); /* of each rank */
    return ranks;
}
#else
ct_group *study_join(int *argc, char ***argv) {
    (void)argc, (void)argv;
    return NULL;
}
#endif

bool study_writes(void) { return ct_group_rank(ct_group_current()) == 0; }

bool study_interrupted(void) {
    ct_group *ranks = ct_group_current();
    bool here = program_interrupted();
    if (!ranks) return here;
    ct_status mine = here ? ct_fail(CT_ERR_STATE, "bn_study: interrupted") : CT_OK;
    bool stop = ct_group_agree(ranks, mine) != CT_OK;
    ct_error_clear();
    return stop;
}
