/* Requests for memory that fail in turn on one rank.
 * Invariant: all ranks count as many, and only requests of `run` are counted and fail. */
#include "tests/optim/train/rank_requests.h"
#include "tests/support/rank.h"

#include "tensor/mem.h"

ct_status rank_requests_run(rank_requests *r, ct_status (*run)(void *context), void *context) {
    int64_t before = ct_mem_read().allocations;
    if (ct_group_rank(r->group) == r->rank && r->at > 0) ct_mem_fail_at(r->at, r->all_later);
    ct_status status = run(context);
    ct_mem_fail_at(0, false);
    if (r->at > 0) return status;
    r->count = ct_mem_read().allocations - before;
    OK(ct_group_broadcast(r->group, &r->count, sizeof r->count));
    return status;
}
