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

enum { RUNS = 12, FEWEST = 2, MOST = 5, STEPS = 6 };

static rank_result results[RANKS_MOST];

/* What was to befall a run, as its ranks say. */
typedef struct {
    int signal, rank;
    long long step;
} fault;

typedef struct {
    int64_t undisturbed, killed, stopped; /* runs */
    int64_t well, lost, pauses;           /* ranks that ended well, that found one lost; of these */
} outcomes;

static bool is_gone(int r) {
    return WIFSIGNALED(results[r].status) && WTERMSIG(results[r].status) == SIGKILL;
}

/* Whether a rank that goes on has made as many steps as it could, and found out. */
static bool as_it_should(const fault *f, bool well, long long steps) {
    if (f->signal == 0) return well && steps == STEPS;
    if (well) return steps == STEPS && f->step == STEPS;
    /* A rank that is to stop, or one that waits for it, may be taken for lost before. */
    return steps <= f->step && (f->signal == SIGSTOP || steps >= f->step - 1);
}

static void check_rank(int64_t seed, int r, const char *slots, fault *f, outcomes *o) {
    char status[32] = "";
    int pauses;
    long long steps;
    const char *text = results[r].text, *rest = strstr(text, "after ");
    EXPECT(rank_ended_well(&results[r]), "run %lld: rank %d: status %x: %s", (long long)seed, r,
           (unsigned)results[r].status, text);
    int n = sscanf(text, "%31[^,], signal %d to rank %d in step %lld, %d pauses, after %lld",
                   status, &f->signal, &f->rank, &f->step, &pauses, &steps);
    if (!EXPECT(n == 6, "run %lld: rank %d: %s", (long long)seed, r, text)) return;
    bool well = strcmp(status, "CT_OK") == 0;
    EXPECT(strstr(slots, rest), "run %lld: rank %d has slots of no step: %s", (long long)seed, r,
           rest);
    EXPECT(as_it_should(f, well, steps), "run %lld: rank %d: %s", (long long)seed, r, text);
    EXPECT(pauses > 0);
    o->well += well;
    o->lost += !well;
    o->pauses += pauses;
}

static void check_run(int64_t seed, const char *slots, outcomes *o) {
    int size = FEWEST + (int)(seed % (MOST - FEWEST + 1));
    fault f = {0};
    ranks_run("disturbed", seed, size, results);
    for (int r = 0; r < size; r++) {
        if (!is_gone(r)) check_rank(seed, r, slots, &f, o);
    }
    for (int r = 0; r < size; r++) {
        bool stopped = results[r].stopped, killed = is_gone(r) && !stopped, it = r == f.rank;
        EXPECT(killed == (it && f.signal == SIGKILL) && stopped == (it && f.signal == SIGSTOP),
               "run %lld: rank %d: status %x", (long long)seed, r, (unsigned)results[r].status);
    }
    o->undisturbed += f.signal == 0;
    o->killed += f.signal == SIGKILL;
    o->stopped += f.signal == SIGSTOP;
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
        "%lld runs from seed %lld: %lld undisturbed, in %lld a rank was killed, in %lld stopped; "
        "%lld ranks ended well, %lld found one lost, after %lld pauses\n",
        (long long)n, (long long)first, (long long)o.undisturbed, (long long)o.killed,
        (long long)o.stopped, (long long)o.well, (long long)o.lost, (long long)o.pauses);
    int64_t rounds = (n - 3) / 4; /* at least so often all four kinds in a row */
    EXPECT(o.undisturbed >= rounds && o.killed >= 2 * rounds && o.stopped >= rounds);
    EXPECT(rounds == 0 || (o.well > 0 && o.lost > 0));
}
