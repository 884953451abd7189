/* The steps of all ranks, carried out in one process on one number for each piece.
 * Invariant: whatever the number of ranks and grains, no rank waits for ever, both sides of a step
 * mean the same pieces, and every rank ends with the sum of the tree. */
#include "tests/support/test.h"

#include "tensor/ranks/schedule.h"

#include <string.h>

typedef struct {
    cti_schedule schedule;
    double sums[CTI_MOST_NODES][CT_GROUP_MOST]; /* of each node, by piece */
    int at;
} rank_state;

static rank_state ranks[CT_GROUP_MOST];

/* Grains of sizes for which another order of additions gives other bits. */
static double grain(int g, int piece) {
    test_random r = {(uint64_t)(g * 64 + piece)};
    return random_real(&r, -1, 1) * (double)(1 + g % 7 * 1000);
}

static double tree(int low, int high, int piece) {
    int mid = low + (high - low) / 2;
    return high - low == 1 ? grain(low, piece) : tree(low, mid, piece) + tree(mid, high, piece);
}

static void begin(int size, int grains) {
    for (int r = 0; r < size; r++) {
        rank_state *me = &ranks[r];
        cti_schedule_make(&me->schedule, r, size, grains);
        me->at = 0;
        for (int k = 0; k < me->schedule.n_nodes; k++) {
            cti_range node = me->schedule.nodes[k];
            for (int p = 0; p < size; p++) me->sums[k][p] = tree(node.first, node.last, p);
        }
    }
}

static void take(rank_state *to, const rank_state *from, const cti_rank_step *in,
                 const cti_rank_step *out) {
    REQUIRE((in->take >= 0) == (out->give >= 0));
    if (in->take < 0) return;
    REQUIRE(in->taken.first == out->given.first && in->taken.last == out->given.last);
    for (int p = in->taken.first; p < in->taken.last; p++) {
        double x = from->sums[out->give][p];
        to->sums[in->take][p] = in->adds ? to->sums[in->take][p] + x : x;
    }
}

/* Whether the next step of a rank could be done, its own or one with a peer that is at the same. */
static bool advance(int rank, const cti_steps *(*list)(const rank_state *)) {
    rank_state *me = &ranks[rank], before = *me;
    const cti_steps *steps = list(me);
    if (me->at == steps->n) return false;
    const cti_rank_step *step = &steps->steps[me->at];
    if (step->peer == rank) {
        take(me, &before, step, step);
        me->at++;
        return true;
    }
    rank_state *peer = &ranks[step->peer];
    if (peer->at == list(peer)->n) return false;
    const cti_rank_step *theirs = &list(peer)->steps[peer->at];
    if (theirs->peer != rank) return false;
    take(me, peer, step, theirs);
    take(peer, &before, theirs, step);
    me->at++;
    peer->at++;
    return true;
}

static void carry_out(int size, const cti_steps *(*list)(const rank_state *)) {
    for (int moved = 1; moved;) {
        moved = 0;
        for (int r = 0; r < size; r++) {
            while (advance(r, list)) moved++;
        }
    }
    for (int r = 0; r < size; r++) {
        REQUIRE(ranks[r].at == list(&ranks[r])->n, "rank %d of %d waits", r, size);
        ranks[r].at = 0;
    }
}

static const cti_steps *sum(const rank_state *r) { return &r->schedule.sum; }
static const cti_steps *spread(const rank_state *r) { return &r->schedule.spread; }

static void expect_on_all(int size, int grains, int piece, double expected) {
    for (int r = 0; r < size; r++) {
        EXPECT(ranks[r].sums[0][piece] == expected, "%d grains, rank %d of %d", grains, r, size);
    }
}

TEST(schedule, every_rank_ends_with_the_sum_of_the_tree) {
    for (int grains = 1; grains <= CT_GROUP_MOST; grains += grains < 16 ? 1 : 8) {
        for (int size = 1; size <= grains; size++) {
            begin(size, grains);
            carry_out(size, sum);
            for (int p = 0; p < size; p++) expect_on_all(size, grains, p, tree(0, grains, p));
            ranks[0].sums[0][0] = 7;
            carry_out(size, spread);
            expect_on_all(size, grains, 0, 7);
        }
    }
}

/* Up to the last partner and back from it. */
TEST(schedule, a_tree_of_a_power_of_two_has_as_few_steps_as_may_be) {
    for (int size = 2, levels = 1; size <= CT_GROUP_MOST; size *= 2, levels++) {
        begin(size, CT_GROUP_MOST);
        for (int r = 0; r < size; r++) EXPECT(ranks[r].schedule.sum.n == 2 * levels - 1);
    }
}

TEST(schedule, grains_of_ranks_are_neighbours_and_none_is_left_out) {
    for (int grains = 1; grains <= CT_GROUP_MOST; grains++) {
        for (int size = 1; size <= grains; size++) {
            int at = 0;
            for (int r = 0; r < size; r++) {
                cti_range own = cti_grains_of(r, size, grains);
                EXPECT(own.first == at && own.last > at);
                at = own.last;
            }
            EXPECT(at == grains);
        }
    }
}
