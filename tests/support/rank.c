/* One rank, as a program: rank SCENARIO ARGUMENT RANK SOCKET..., with a socket for each rank, of
 * which its own is -1; over MPI: rank_mpi SCENARIO [ARGUMENT]. And what starts P of them that are
 * joined by sockets, and prints what they print: rank -n P SCENARIO [ARGUMENT].
 * Invariant: the exit status is 0 only if every expectation held and no memory was left. */
#include "tests/support/rank.h"

#include "tensor/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const rank_scenario *const __start_rank_scenarios[], *const __stop_rank_scenarios[];

/* Seconds until a rank counts as hanging. */
#define PATIENCE 600

static const rank_scenario *scenario;
static int count;
static char **words;
bool rank_has_left;

#ifdef COTAN_RANK_MPI
#include "tensor/mpi/mpi.h"

static ct_group *(*join)(int *argc, char ***argv) = ct_group_mpi;

/* Where rank `argument` finds none all learn it, and may join again. */
SCENARIO(joins_without_memory) {
    if (ct_group_rank(group) == argument) ct_mem_fail_at(1, false);
    ct_group *another = ct_group_mpi(&count, &words);
    ct_mem_fail_at(0, false);
    EXPECT(!another);
    printf("%s: %s\n", ct_status_name(ct_error()), ct_error_message());
    ct_error_clear();
    another = ct_group_mpi(&count, &words);
    MADE(another);
    OK(ct_group_agree(another, CT_OK));
    ct_group_free(another);
}
#else
static ct_group *join_sockets(int *argc, char ***argv) {
    int sockets[RANKS_MOST], size = *argc - 4;
    REQUIRE(size >= 1 && size <= RANKS_MOST);
    for (int q = 0; q < size; q++) sockets[q] = atoi((*argv)[4 + q]);
    return ct_group_sockets(atoi((*argv)[3]), size, sockets);
}

static ct_group *(*join)(int *argc, char ***argv) = join_sockets;
#endif

static int64_t argument;

static void run(void) {
    ct_group *group = join(&count, &words);
    MADE(group);
    scenario->run(group, argument);
    if (!rank_has_left) ct_group_free(group);
}

static int start(int size, const char *name, int64_t number) {
    rank_result results[RANKS_MOST];
    bool well = true;
    if (size < 1 || size > RANKS_MOST) return 2;
    ranks_run(name, number, size, results);
    for (int r = 0; r < size; r++) {
        fputs(results[r].text, stdout);
        well = well && rank_ended_well(&results[r]);
    }
    return well ? 0 : 1;
}

int main(int argc, char *argv[]) {
    count = argc;
    words = argv;
    if (argc < 2) return 2;
    if (argc > 3 && strcmp(argv[1], "-n") == 0) {
        return start(atoi(argv[2]), argv[3], argc > 4 ? atoll(argv[4]) : 0);
    }
    argument = argc > 2 ? atoll(argv[2]) : 0;
    for (const rank_scenario *const *row = __start_rank_scenarios; row < __stop_rank_scenarios;
         row++) {
        if (strcmp((*row)->name, argv[1]) == 0) scenario = *row;
    }
    if (!scenario) return 2;
    alarm(PATIENCE);
    return support_run(&(support_test){"rank", scenario->name, NULL, run, NULL}) ? 0 : 1;
}
