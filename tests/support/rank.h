/* Scenarios of several ranks. A scenario is what one rank does, and prints what a test is to
 * compare; it stands in a file whose name begins with rank_:
 *
 *     SCENARIO(barrier) { printf("%s\n", ct_status_name(ct_group_agree(group, CT_OK))); }
 *
 * A test starts it on P processes of the program `rank`, joined by socket pairs, and looks at what
 * each one printed and how it ended. The same scenarios run over MPI: mpirun -n P rank_mpi NAME. */
#ifndef COTAN_TESTS_RANK_H
#define COTAN_TESTS_RANK_H

#include "tensor/group.h"
#include "tests/support/support.h"

#include <stdio.h>

/* --- In a rank -------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    void (*run)(ct_group *group, int64_t argument);
} rank_scenario;

/* The scenario has freed the group. */
extern bool rank_has_left;

#define SCENARIO(name)                                                             \
    static void scenario_##name(ct_group *group, int64_t argument);                \
    static const rank_scenario scenario_##name##_row = {#name, scenario_##name};   \
    static const rank_scenario *const scenario_##name##_listed                     \
        __attribute__((section("rank_scenarios"), used)) = &scenario_##name##_row; \
    static void scenario_##name(ct_group *group __attribute__((unused)),           \
                                int64_t argument __attribute__((unused)))

/* --- In a test -------------------------------------------------------------------------------- */

enum { RANKS_MOST = 8 };

typedef struct {
    char text[4096]; /* what it printed */
    int status;      /* as waitpid says; of a stopped rank that of its being killed at the end */
    bool stopped;
} rank_result;

/* Runs the scenario on `size` ranks until each has ended or stopped. */
void ranks_run(const char *scenario, int64_t argument, int size, rank_result results[]);
/* Whether it ended with exit status 0, which a failed expectation prevents. */
bool rank_ended_well(const rank_result *result);

#endif
