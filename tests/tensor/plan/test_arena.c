/* The arena of a plan: stretches in use never overlap, gaps are found again.
 * What is placed, and for how long, is the planner's business.
 * Invariant: the oracle is a plain list of what is in use. */
#include "tests/support/test.h"

#include "tensor/plan/arena.h"

#define PLACES 3000
#define PHASES 400

static struct { int64_t begin, end, last_phase; } used[PLACES];

static void expect_alone(int64_t n, int64_t phase) {
    for (int64_t k = 0; k + 1 < n; k++) {
        if (used[k].last_phase < phase || used[k].end == used[k].begin) continue;
        EXPECT(used[n - 1].end <= used[k].begin || used[n - 1].begin >= used[k].end,
               "%lld..%lld overlaps %lld..%lld", (long long)used[n - 1].begin,
               (long long)used[n - 1].end, (long long)used[k].begin, (long long)used[k].end);
    }
}

static int64_t bytes_in_use(int64_t n, int64_t phase) {
    int64_t sum = 0;
    for (int64_t k = 0; k < n; k++) {
        if (used[k].last_phase >= phase) sum += (used[k].end - used[k].begin + 63) / 64 * 64;
    }
    return sum;
}

static void place_at_random(uint64_t seed) {
    test_random r = {seed};
    cti_zone zone = {0};
    cti_arena arena;
    int64_t n = 0, sum = 0, most = 0;
    if (!EXPECT(cti_arena_new(&arena, &zone, PLACES, PHASES) == CT_OK)) return;
    for (int64_t phase = 1; phase <= PHASES; phase++) {
        for (int64_t k = random_below(&r, PLACES / PHASES); k > 0; k--) {
            int64_t bytes = random_below(&r, INT64_C(1) << random_below(&r, 14));
            int64_t last = phase + random_below(&r, random_chance(&r, 80) ? 4 : PHASES);
            if (last > PHASES) last = PHASES;
            int64_t begin = cti_arena_place(&arena, bytes, last);
            EXPECT(begin % 64 == 0 && begin + bytes <= arena.most);
            used[n].begin = begin;
            used[n].end = begin + bytes;
            used[n++].last_phase = last;
            sum += bytes;
            if (bytes) expect_alone(n, phase);
        }
        int64_t in_use = bytes_in_use(n, phase);
        if (in_use > most) most = in_use;
        cti_arena_end_phase(&arena, phase);
    }
    EXPECT(arena.most < sum / 2);
    EXPECT(arena.most_in_use == most && arena.in_use == 0 && most <= arena.most);
    EXPECT(cti_arena_place(&arena, 1, PHASES) == 0);
    cti_zone_free(&zone);
}

TEST(arena, stretches_never_overlap) {
    for (uint64_t seed = 1; seed <= 20; seed++) place_at_random(seed);
}

TEST(arena, the_smallest_gap_that_fits_is_taken) {
    cti_zone zone = {0};
    cti_arena arena;
    if (!EXPECT(cti_arena_new(&arena, &zone, 20, 9) == CT_OK)) return;
    /* Gaps of 256, 1024 and 128 bytes between values that stay. */
    static const int64_t sizes[] = {256, 64, 1024, 64, 128, 64};
    int64_t begins[6];
    for (int k = 0; k < 6; k++) begins[k] = cti_arena_place(&arena, sizes[k], k % 2 ? 9 : 1);
    cti_arena_end_phase(&arena, 1);
    EXPECT(cti_arena_place(&arena, 100, 9) == begins[4]);
    EXPECT(cti_arena_place(&arena, 200, 9) == begins[0]);
    EXPECT(cti_arena_place(&arena, 512, 9) == begins[2]);
    EXPECT(cti_arena_place(&arena, 512, 9) == begins[2] + 512);
    EXPECT(cti_arena_place(&arena, 64, 9) == arena.most - 64);
    cti_zone_free(&zone);
}

TEST(arena, neighbouring_gaps_become_one) {
    cti_zone zone = {0};
    cti_arena arena;
    if (!EXPECT(cti_arena_new(&arena, &zone, 20, 9) == CT_OK)) return;
    for (int k = 0; k < 3; k++) cti_arena_place(&arena, 64, 1 + (k == 1));
    int64_t last = cti_arena_place(&arena, 64, 3);
    cti_arena_end_phase(&arena, 1);
    cti_arena_end_phase(&arena, 2);
    EXPECT(cti_arena_place(&arena, 192, 3) == 0);
    cti_arena_end_phase(&arena, 3);
    EXPECT(last == 192 && cti_arena_place(&arena, 1000, 4) == 0);
    cti_zone_free(&zone);
}
