/* A step on ranks of which one runs out of memory, at each request in turn.
 * Invariant: all ranks come to the same end, and none has changed a slot unless all have. */
#include "tests/optim/train/rank_loop.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "tensor/mem.h"
#include "tensor/runtime.h"

/* What rank 0 has, on all ranks. */
static void expect_alike(ct_group *group, uint64_t mine, const char *what, int64_t at) {
    uint64_t first = mine;
    OK(ct_group_broadcast(group, &first, sizeof first));
    EXPECT(first == mine, "%s at request %lld", what, (long long)at);
}

/* Rank `argument` fails: at each request of a step whose plans are there, then of one that makes
 * them. */
SCENARIO(step_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0);
    OK(rank_loop_step(&t));
    int64_t failed = 0, before = ct_mem_read().allocations;
    ct_cache_clear();
    OK(rank_loop_step(&t));
    int64_t requests = ct_mem_read().allocations - before;
    OK(ct_group_broadcast(group, &requests, sizeof requests));
    for (int64_t i = 0; i < 2 * requests; i++) {
        int64_t at = 1 + i % requests;
        uint64_t old = rank_slots_hash(t.model, t.optimizer);
        if (i >= requests) ct_cache_clear();
        if (ct_group_rank(group) == argument) ct_mem_fail_at(at, false);
        ct_status status = rank_loop_step(&t);
        ct_mem_fail_at(0, false);
        ct_error_clear();
        failed += status != CT_OK;
        EXPECT((status == CT_OK) == (rank_slots_hash(t.model, t.optimizer) != old),
               "at request %lld", (long long)at);
        expect_alike(group, status != CT_OK, "status", at);
        expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", at);
    }
    EXPECT(failed > requests, "%lld of %lld requests", (long long)failed, (long long)requests);
    rank_loop_end(&t);
}
