/* Groups of processes over socket pairs: the same bits for any number of ranks, bytes, faults.
 * What one rank does is in rank_sums.c and rank_faults.c.
 * Invariant: no result depends on how fast a rank is. */
#define COTAN_PROCESSES

#include "tests/support/rank.h"
#include "tests/support/test.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static rank_result results[RANKS_MOST];

/* All ranks have to end well. */
static void run(const char *scenario, int64_t argument, int size) {
    ranks_run(scenario, argument, size, results);
    for (int r = 0; r < size; r++) {
        EXPECT(rank_ended_well(&results[r]), "%s %lld: rank %d of %d: status %x: %s", scenario,
               (long long)argument, r, size, (unsigned)results[r].status, results[r].text);
    }
}

static void expect_text(int rank, const char *expected) {
    EXPECT(strcmp(results[rank].text, expected) == 0, "rank %d: \"%s\", not \"%s\"", rank,
           results[rank].text, expected);
}

static void expect_line(int rank, const char *part) {
    EXPECT(strstr(results[rank].text, part), "rank %d: no \"%s\" in \"%s\"", rank, part,
           results[rank].text);
}

static const int sizes[] = {1, 2, 3, 4, 8}; /* test_schedule tries all */
enum { SIZES = sizeof sizes / sizeof *sizes };

static void same_for_all_sizes(const char *scenario, int64_t argument) {
    char first[sizeof results[0].text];
    for (int i = 0; i < SIZES; i++) {
        run(scenario, argument, sizes[i]);
        if (i == 0) memcpy(first, results[0].text, sizeof first);
        for (int r = 0; r < sizes[i]; r++) expect_text(r, first);
    }
}

/* --- Sums ------------------------------------------------------------------------------------- */

TEST(ranks, a_sum_has_the_same_bits_for_any_number_of_ranks) {
    same_for_all_sizes("sums", 8);
    same_for_all_sizes("sums", 12);
    same_for_all_sizes("sums", CT_GROUP_MOST);
}

TEST(ranks, a_sum_of_different_nan_is_the_same_one_for_any_number_of_ranks) {
    for (int i = 0; i < SIZES; i++) run("sum_of_nan", 0, sizes[i]);
}

TEST(ranks, a_product_has_the_same_bits_for_any_number_of_ranks) {
    same_for_all_sizes("products", 0);
}

TEST(ranks, as_many_grains_as_ranks) {
    for (int size = 1; size <= RANKS_MOST; size++) run("sums", size, size);
}

TEST(ranks, more_than_a_socket_holds) { same_for_all_sizes("large_sum", 300007); }

static int64_t payload(int64_t n, int size) {
    int64_t all = 0;
    run("bytes", n, size);
    for (int r = 0; r < size; r++) {
        long long payload, bytes;
        const char *line = strstr(results[r].text, "payload");
        REQUIRE(line && sscanf(line, "payload %lld of %lld", &payload, &bytes) == 2);
        EXPECT((double)bytes < 1.01 * (double)payload || size == 1, "%lld of %lld", payload, bytes);
        if ((size & (size - 1)) == 0) {
            EXPECT(payload == 2 * (size - 1) * n * 4 / size, "rank %d of %d: %lld", r, size,
                   payload);
        }
        all += payload;
    }
    return all;
}

TEST(ranks, bytes_that_are_sent) {
    const int64_t n = 10 * 840;
    for (int size = 1; size <= 8; size *= 2) payload(n, size);
    EXPECT(payload(n, 3) == 5 * n * 4, "5/3 of the array for each rank");
}

TEST(ranks, bytes_of_rank_0) {
    for (int i = 0; i < SIZES; i++) {
        int64_t victim = sizes[i] - 1;
        run("broadcast", victim, sizes[i]);
        for (int r = 0; r < sizes[i]; r++) {
            expect_line(r, "text of 296 bytes\n");
            expect_line(r, r == victim ? "CT_ERR_NULL ct_group_broadcast: 'bytes' is NULL\n"
                                       : "failed with CT_ERR_NULL\n");
        }
    }
}

/* --- Faults ----------------------------------------------------------------------------------- */

/* Each survivor names the lost rank, or the one that it waited for and that had left. */
static void expect_loss(int survivor, int victim) {
    char name[64];
    expect_line(survivor, "CT_ERR_IO ct_group_agree: rank ");
    expect_line(survivor, " was lost before\n");
    expect_line(survivor, "CT_ERR_IO ct_group: rank ");
    snprintf(name, sizeof name, "rank %d is lost", victim);
    EXPECT(strstr(results[survivor].text, name) ||
               strstr(results[survivor].text, "closed its connection"),
           "rank %d: %s", survivor, results[survivor].text);
}

TEST(ranks, a_rank_is_killed) {
    for (int i = 1; i < SIZES; i++) {
        for (int victim = 0; victim < sizes[i]; victim++) {
            ranks_run("killed", victim, sizes[i], results);
            for (int r = 0; r < sizes[i]; r++) {
                if (r == victim) continue;
                EXPECT(rank_ended_well(&results[r]), "rank %d of %d", r, sizes[i]);
                expect_loss(r, victim);
            }
        }
    }
}

static void one_leaves(const char *scenario) {
    for (int i = 1; i < SIZES; i++) {
        for (int victim = 0; victim < sizes[i]; victim++) {
            run(scenario, victim, sizes[i]);
            char expected[200];
            snprintf(expected, sizeof expected,
                     "CT_ERR_STATE ct_group: rank %d has left the group\n"
                     "CT_ERR_STATE ct_group_agree: rank %d has left the group\n",
                     victim, victim);
            for (int r = 0; r < sizes[i]; r++) expect_text(r, r == victim ? "" : expected);
        }
    }
}

TEST(ranks, a_rank_leaves) { one_leaves("leaves"); }

TEST(ranks, a_rank_leaves_after_an_error) { one_leaves("leaves_after_an_error"); }

TEST(ranks, some_ranks_leave) {
    for (int i = 1; i < SIZES; i++) {
        run("some_leave", 0, sizes[i]);
        for (int r = 0; r < sizes[i]; r++) {
            if (r % 2 == 1) expect_text(r, "");
            else expect_line(r, "rank 1 has left the group");
        }
    }
}

/* When a survivor asked and was answered, by the clock of all processes. */
static void times_of(int rank, double *from, double *to) {
    const char *line = strstr(results[rank].text, "from ");
    REQUIRE(line && sscanf(line, "from %lf to %lf", from, to) == 2, "%s", results[rank].text);
}

/* The first to give up has waited for 3/4 of the limit at least, and nobody knows before. */
static void expect_waited(int size, int victim, double limit) {
    double first = INFINITY, from, to;
    for (int r = 0; r < size; r++) {
        if (r == victim) continue;
        times_of(r, &from, &to);
        if (from < first) first = from;
    }
    for (int r = 0; r < size; r++) {
        if (r == victim) continue;
        times_of(r, &from, &to);
        EXPECT(to - first > 0.75 * limit - 1e-5, "rank %d of %d: after %.3f s of %.3f", r, size,
               to - first, limit);
    }
}

static bool all_know_in_time(int size, int victim, double limit) {
    for (int r = 0; r < size; r++) {
        double from, to;
        if (r == victim) continue;
        times_of(r, &from, &to);
        if (to - from > limit) return false;
    }
    return true;
}

static bool all_name(int size, int victim) {
    char waited[64], told[128], later[64];
    snprintf(waited, sizeof waited, "CT_ERR_IO ct_group: rank %d does not answer for ", victim);
    snprintf(told, sizeof told, "CT_ERR_IO ct_group: rank %d is lost, as another rank found\n",
             victim);
    snprintf(later, sizeof later, "CT_ERR_IO ct_group_agree: rank %d was lost before\n", victim);
    for (int r = 0; r < size; r++) {
        const char *text = results[r].text;
        bool named = strstr(text, waited) == text || strstr(text, told) == text;
        if (r != victim && (!named || !strstr(text, later))) return false;
    }
    return true;
}

/* Where the machine has no time for a rank, others may take it for the lost one, or it may be late
 * itself: not so with a limit that is long enough. */
static void stop_one(int size, int victim) {
    bool named = false;
    for (int doubled = 0; doubled <= 6 && !named; doubled++) {
        ranks_run("stopped", victim + RANKS_MOST * doubled, size, results);
        for (int r = 0; r < size; r++) {
            EXPECT(results[r].stopped == (r == victim));
            if (r == victim) continue;
            EXPECT(rank_ended_well(&results[r]), "rank %d of %d", r, size);
            expect_line(r, "CT_ERR_IO ct_group: rank ");
            expect_line(r, " was lost before\n");
        }
        expect_waited(size, victim, ldexp(0.5, doubled));
        named = all_name(size, victim) && all_know_in_time(size, victim, ldexp(0.5, doubled));
    }
    REQUIRE(named, "rank %d of %d: %s", victim, size, results[victim == 0].text);
}

TEST(ranks, a_rank_is_stopped) {
    for (int size = 2; size <= 4; size++) {
        for (int victim = 0; victim < size; victim++) stop_one(size, victim);
    }
    stop_one(RANKS_MOST, 5);
}

/* Who leaves waits no longer than for an answer. */
TEST(ranks, ranks_leave_one_that_is_stopped) {
    for (int victim = 0; victim < 3; victim++) {
        ranks_run("leave_a_stopped_one", victim, 3, results);
        for (int r = 0; r < 3; r++) {
            EXPECT(results[r].stopped == (r == victim) && *results[r].text == 0);
            EXPECT(r == victim || rank_ended_well(&results[r]), "rank %d", r);
        }
    }
}

TEST(ranks, a_rank_leaves_at_once) {
    run("leaves_at_once", 1, 3);
    for (int r = 0; r < 3; r += 2) expect_line(r, "CT_ERR_IO ct_group_use: rank ");
}

/* Four times, each in the name of what was called: all say the same two, of which one is at
 * fault. */
static void expect_differences(int size, int victim) {
    int one, other;
    char text[1024];
    REQUIRE(sscanf(results[0].text,
                   "CT_ERR_STATE ct_group: rank %d built another graph than rank %d", &one,
                   &other) == 2);
    EXPECT(one != other && (one == victim || other == victim), "%d and %d", one, other);
    for (int r = 0; r < size; r++) {
        const char *calls[] = {"", "", r == victim ? "_agree" : "_broadcast",
                               r == victim ? "_agree" : ""};
        int length = 0;
        for (int k = 0; k < 4; k++) {
            length += snprintf(text + length, sizeof text - (size_t)length,
                               "CT_ERR_STATE ct_group%s: rank %d built another graph than rank %d, "
                               "or made another call\n",
                               calls[k], one, other);
        }
        expect_text(r, text);
    }
}

/* Nobody waits for the limit: the scenario sees to that. */
TEST(ranks, another_graph_on_one_rank) {
    for (int i = 1; i < SIZES; i++) {
        for (int victim = 0; victim < sizes[i]; victim++) {
            run("different", victim, sizes[i]);
            expect_differences(sizes[i], victim);
        }
    }
}

TEST(ranks, an_agreement_is_one_of_the_same_function) {
    for (int i = 1; i < SIZES; i++) {
        run("agrees_elsewhere", sizes[i] - 1, sizes[i]);
        for (int r = 0; r < sizes[i]; r++) expect_line(r, "CT_ERR_STATE ");
    }
}

TEST(ranks, other_options_on_one_rank) {
    for (int i = 1; i < SIZES; i++) {
        run("other_options", sizes[i] - 1, sizes[i]);
        char odd[80];
        snprintf(odd, sizeof odd, "CT_ERR_STATE ct_group_use: rank %d has 12 grains, rank 0 8",
                 sizes[i] - 1);
        for (int r = 0; r < sizes[i]; r++) {
            expect_line(r, r == sizes[i] - 1 ? odd : "CT_ERR_STATE ct_group_use: rank ");
        }
    }
}

TEST(ranks, an_error_on_one_rank) {
    for (int i = 0; i < SIZES; i++) {
        for (int victim = 0; victim < sizes[i]; victim++) {
            run("failed", victim, sizes[i]);
            char expected[200];
            snprintf(expected, sizeof expected,
                     "CT_ERR_DIVERGED ct_group: rank %d failed with CT_ERR_DIVERGED\n"
                     "CT_ERR_RANGE ct_group_agree: rank %d failed with CT_ERR_RANGE\n",
                     victim, victim);
            for (int r = 0; r < sizes[i]; r++) {
                expect_text(r, r == victim ? "CT_ERR_DIVERGED ct_test: no\n"
                                             "CT_ERR_RANGE ct_test: no\n"
                                           : expected);
            }
        }
    }
}

TEST(ranks, who_fails_before_an_exchange_tells_in_its_place) {
    for (int i = 0; i < SIZES; i++) {
        for (int victim = 0; victim < sizes[i]; victim++) {
            run("failed_before", victim, sizes[i]);
            char expected[200];
            snprintf(expected, sizeof expected,
                     "CT_ERR_RANGE ct_group: rank %d failed with CT_ERR_RANGE\n"
                     "CT_ERR_RANGE ct_group_broadcast: rank %d failed with CT_ERR_RANGE\n",
                     victim, victim);
            for (int r = 0; r < sizes[i]; r++) {
                expect_text(r, r == victim ? "CT_ERR_RANGE ct_test: no\n"
                                             "CT_ERR_RANGE ct_test: no\n"
                                           : expected);
            }
        }
    }
}

TEST(ranks, errors_on_two_ranks_are_one_error_on_all) {
    for (int i = 1; i < SIZES; i++) {
        for (int first = 0; first < sizes[i]; first++) {
            run("two_fail", first, sizes[i]);
            for (int r = 0; r < sizes[i]; r++) expect_text(r, "CT_ERR_RANGE\nCT_ERR_RANGE\n");
        }
    }
}

static int lines_of(int rank) {
    int lines = 0;
    for (const char *at = results[rank].text; (at = strchr(at, '\n')); at++) lines++;
    return lines;
}

TEST(ranks, out_of_memory_at_each_allocation_of_one_rank) {
    for (int i = 1; i < SIZES; i++) {
        for (int victim = 0; victim < sizes[i]; victim++) {
            run("memory", victim, sizes[i]);
            expect_line(victim, "CT_ERR_MEMORY out of memory");
            for (int r = 0; r < sizes[i]; r++) {
                if (r != victim) expect_line(r, "failed with CT_ERR_MEMORY\n");
                expect_line(r, "CT_OK");
                EXPECT(lines_of(r) == lines_of(victim));
            }
        }
    }
}

TEST(ranks, pauses_and_kills_at_random) {
    int64_t seed = (int64_t)support_seed(1);
    int64_t ended = 0, n = support_scaled(100);
    for (int64_t run = seed; run < seed + n; run++) {
        int size = 1 + (int)(run % RANKS_MOST), killed = 0;
        ranks_run("at_random", run, size, results);
        for (int r = 0; r < size; r++) {
            bool gone = WIFSIGNALED(results[r].status) && WTERMSIG(results[r].status) == SIGKILL;
            EXPECT(gone || rank_ended_well(&results[r]), "run %lld: rank %d: %s", (long long)run, r,
                   results[r].text);
            killed += gone;
        }
        EXPECT(killed == run / RANKS_MOST % 2, "run %lld", (long long)run);
        ended += killed;
    }
    EXPECT(n < 2 * RANKS_MOST || ended >= RANKS_MOST);
}
