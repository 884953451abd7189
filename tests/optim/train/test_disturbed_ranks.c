/* Training over socket pairs, in which pauses come anywhere, and a rank may be killed or stopped
 * anywhere: nobody hangs, and who survives has the slots of whole steps. What a rank does is in
 * rank_disturbed.c. COTAN_CASES is the number of runs (./run check ranks has 1000).
 * Invariant: nothing depends on how fast a rank is. */
#define COTAN_PROCESSES

#include "tests/support/rank.h"
#include "tests/support/test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { RUNS = 12, FEWEST = 2, MOST = 5 };

static rank_result results[RANKS_MOST];

typedef struct {
    int64_t well, lost, killed, stopped; /* ranks */
} outcomes;

/* How many steps a rank made; -1 for one that was ended. */
static int64_t check_rank(int64_t seed, int r, const char *slots, outcomes *o) {
    char status[32];
    const char *rest = strstr(results[r].text, "after ");
    bool gone = WIFSIGNALED(results[r].status) && WTERMSIG(results[r].status) == SIGKILL;
    if (gone) {
        o->stopped += results[r].stopped;
        o->killed += !results[r].stopped;
        return -1;
    }
    EXPECT(rank_ended_well(&results[r]), "run %lld: rank %d: status %x: %s", (long long)seed, r,
           (unsigned)results[r].status, results[r].text);
    if (!EXPECT(rest && sscanf(results[r].text, "%31s", status) == 1)) return -1;
    EXPECT(strstr(slots, rest), "run %lld: rank %d has slots of no step: %s", (long long)seed, r,
           rest);
    if (strcmp(status, "CT_OK") == 0) o->well++;
    else o->lost++;
    return strtoll(rest + strlen("after "), NULL, 10);
}

static void check_run(int64_t seed, const char *slots, outcomes *o) {
    int size = FEWEST + (int)(seed % (MOST - FEWEST + 1)), ended = 0;
    int64_t fewest = INT64_MAX, most = 0;
    ranks_run("disturbed", seed, size, results);
    for (int r = 0; r < size; r++) {
        int64_t steps = check_rank(seed, r, slots, o);
        ended += steps < 0;
        if (steps >= 0 && steps < fewest) fewest = steps;
        if (steps > most) most = steps;
    }
    EXPECT(ended <= 1 && most - fewest <= 1, "run %lld: from %lld to %lld steps", (long long)seed,
           (long long)fewest, (long long)most);
}

TEST(disturbed_ranks, end_with_the_slots_of_whole_steps) {
    const char *text = getenv("COTAN_CASES");
    int64_t n = text ? strtoll(text, NULL, 10) : support_scaled(RUNS);
    int64_t first = (int64_t)support_seed(1);
    char slots[sizeof results[0].text];
    ranks_run("undisturbed", 0, 1, results);
    EXPECT(rank_ended_well(&results[0]), "%s", results[0].text);
    memcpy(slots, results[0].text, sizeof slots);
    outcomes o = {0};
    for (int64_t i = 0; i < n; i++) check_run(first + i, slots, &o);
    printf(
        "%lld runs from seed %lld: %lld ranks ended well, %lld found one lost, %lld were killed, "
        "%lld stopped\n",
        (long long)n, (long long)first, (long long)o.well, (long long)o.lost, (long long)o.killed,
        (long long)o.stopped);
}
