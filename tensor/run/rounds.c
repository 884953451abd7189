/* Rounds: a graph with sums over ranks is evaluated in so many plans as sums follow each other, and
 * what ranks exchange lies between plans. So a plan knows no ranks, and cannot fail.
 * Invariant: the exchanges follow from the graph as the user built it, before any simplification:
 * all ranks make the same, also where shapes differ; and a rank that fails still takes part. */
#include "tensor/run/rounds.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/hash.h"
#include "tensor/ranks/exchange.h"

#include <string.h>

typedef struct {
    ct_tensor **items; /* the walk's nodes; other walks begin in between */
    int *depth;        /* sums on the longest path to a node and with it */
    bool *kept;        /* has a value before the sums of the next depth */
    int64_t count;
    int deepest;
    uint64_t hash;
    cti_evaluate *evaluate;
    ct_tensor **list; /* room for as many nodes */
    cti_summand *summands;
} rounds;

static bool is_sum(const ct_tensor *t) { return !cti_has_value(t) && t->op->sums_grains; }

bool cti_needs_rounds(const cti_walk *walk) {
    for (int64_t i = 0; i < walk->count; i++) {
        if (is_sum(walk->items[i])) return true;
    }
    return false;
}

#define KEY_BYTES \
    16 /* a leaf that is no larger counts by its value: numbers, keys of random ones */

static uint64_t hash_of_value(uint64_t hash, const ct_tensor *t) {
    size_t bytes = (size_t)t->numel * ct_dtype_size(t->dtype);
    bool counts = cti_has_value(t) && !t->rows && bytes <= KEY_BYTES;
    return counts ? cti_mix_bytes(hash, t->buffer->data, bytes) : hash;
}

/* What has to be equal on all ranks: not how many rows or grains a rank has. */
static uint64_t hash_of(const cti_walk *walk) {
    uint64_t hash = cti_mix(0, (uint64_t)walk->count);
    for (int64_t i = 0; i < walk->count; i++) {
        const ct_tensor *t = walk->items[i];
        hash = hash_of_value(cti_mix_text(hash, cti_has_value(t) ? "" : t->op->name), t);
        hash = cti_mix(hash, (uint64_t)t->dtype << 16 | (uint64_t)t->shape.rank << 8 |
                                 (uint64_t)(cti_mark_of(t).axis + 1));
        if (t->rows)
            hash = cti_mix(cti_mix(hash, (uint64_t)t->rows->total), (uint64_t)t->rows->unit);
        for (int d = 0; d < t->shape.rank && !t->rows; d++) {
            hash = cti_mix(hash, (uint64_t)t->shape.dims[d]);
        }
        for (int k = 0; k < cti_walk_needed(t); k++) {
            hash = cti_mix(hash, (uint64_t)t->inputs[k]->index);
        }
    }
    return hash;
}

/* A node is kept where something deeper reads it; of a view what it shows, as views cost nothing.
 */
static void find_depths(rounds *r) {
    for (int64_t i = 0; i < r->count; i++) {
        const ct_tensor *t = r->items[i];
        for (int k = 0; k < cti_walk_needed(t); k++) {
            int depth = r->depth[t->inputs[k]->index];
            if (depth > r->depth[i]) r->depth[i] = depth;
        }
        r->depth[i] += is_sum(t);
        if (r->depth[i] > r->deepest) r->deepest = r->depth[i];
    }
    for (int64_t i = r->count - 1; i >= 0; i--) {
        const ct_tensor *t = r->items[i];
        bool shows = r->kept[i] && t->op && t->op->kind == CT_VIEW;
        if (shows) r->kept[i] = false;
        for (int k = 0; k < cti_walk_needed(t); k++) {
            int64_t input = t->inputs[k]->index;
            bool deeper = r->depth[i] > r->depth[input];
            if ((shows || deeper) && !cti_has_value(t->inputs[k])) r->kept[input] = true;
        }
    }
}

/* The local part of a round: what its sums add, and what is kept of the depth below. */
static ct_status compute(rounds *r, int depth) {
    int64_t n = 0;
    for (int64_t i = 0; i < r->count; i++) {
        ct_tensor *t = r->items[i];
        if (r->depth[i] == depth - 1 && r->kept[i] && !is_sum(t)) r->list[n++] = t;
        if (r->depth[i] == depth && is_sum(t)) r->list[n++] = t->inputs[0];
    }
    return n ? r->evaluate(r->list, n) : CT_OK;
}

/* The sums of one depth and type: n of them lie in the list. */
static int64_t collect(rounds *r, int depth, ct_dtype dtype) {
    int64_t n = 0;
    for (int64_t i = 0; i < r->count; i++) {
        ct_tensor *t = r->items[i];
        if (r->depth[i] == depth && t->dtype == dtype && is_sum(t)) r->list[n++] = t;
    }
    return n;
}

static ct_status check_group(const ct_tensor *t) {
    const cti_rows *rows = t->inputs[0]->rows;
    int first, last, all;
    ct_group_grains(ct_group_current(), &first, &last, &all);
    if (rows->first == first && rows->n == last - first && rows->all == all) return CT_OK;
    return ct_fail(CT_ERR_STATE,
                   "ct_eval: the graph has grains %d..%d of %d, the current group %d..%d of %d",
                   rows->first, rows->first + rows->n - 1, rows->all, first, last - 1, all);
}

static ct_status make_buffers(rounds *r, int64_t n, cti_buffer **buffers, ct_status status) {
    for (int64_t k = 0; k < n && status == CT_OK; k++) {
        ct_tensor *t = r->list[k];
        status = check_group(t);
        if (status != CT_OK) break;
        buffers[k] = cti_buffer_new("ct_eval", t->shape, t->dtype);
        if (!buffers[k]) return CT_ERR_MEMORY;
        r->summands[k] = (cti_summand){t->inputs[0]->buffer->data, buffers[k]->data, t->numel};
    }
    return status;
}

/* Without a group there is one grain, whose sum it is. */
static ct_status exchange(rounds *r, ct_dtype dtype, int64_t n, ct_status status) {
    ct_group *group = ct_group_current();
    if (group) {
        cti_entry entry = {r->hash, status};
        return cti_all_sum(group, entry, dtype, r->summands, status == CT_OK ? n : 0);
    }
    for (int64_t k = 0; k < n && status == CT_OK; k++) {
        size_t bytes = (size_t)r->list[k]->numel * ct_dtype_size(dtype);
        if (bytes) memcpy(r->summands[k].sum, r->summands[k].partials, bytes);
    }
    return status;
}

static ct_status sum(rounds *r, int depth, ct_dtype dtype, ct_status before) {
    ct_status status = before;
    int64_t n = collect(r, depth, dtype);
    cti_buffer **buffers = cti_alloc((size_t)n, sizeof *buffers);
    if (!buffers && status == CT_OK) status = CT_ERR_MEMORY;
    if (buffers) status = make_buffers(r, n, buffers, status);
    status = exchange(r, dtype, n, status);
    if (before != CT_OK) status = before;
    for (int64_t k = 0; buffers && k < n; k++) {
        if (status == CT_OK) r->list[k]->buffer = cti_buffer_keep(buffers[k]);
        cti_buffer_drop(buffers[k]);
    }
    cti_free(buffers);
    return status;
}

static ct_status run(rounds *r) {
    ct_status status = CT_OK;
    for (int depth = 1; depth <= r->deepest && status == CT_OK; depth++) {
        status = compute(r, depth);
        for (int dtype = 0; dtype < CT_DTYPES; dtype++) {
            if (collect(r, depth, (ct_dtype)dtype) == 0) continue;
            status = sum(r, depth, (ct_dtype)dtype, status);
            if (status != CT_OK) break;
        }
    }
    return status;
}

/* The others are in a sum. */
static void tell(ct_status status) {
    ct_group *group = ct_group_current();
    if (group) cti_all_sum(group, (cti_entry){0, status}, CT_F32, NULL, 0);
}

void cti_rounds_without(ct_tensor *const roots[], int64_t n) {
    bool sums = false;
    for (int64_t i = 0; i < n; i++) sums |= roots[i]->sums && !cti_has_value(roots[i]);
    if (sums) tell(CT_ERR_MEMORY);
}

ct_status cti_rounds(const cti_walk *walk, cti_evaluate *evaluate) {
    rounds r = {.items = walk->items,
                .count = walk->count,
                .hash = hash_of(walk),
                .evaluate = evaluate,
                .depth = cti_alloc((size_t)walk->count, sizeof *r.depth),
                .kept = cti_alloc((size_t)walk->count, sizeof *r.kept),
                .list = cti_alloc((size_t)walk->count * 2, sizeof *r.list),
                .summands = cti_alloc((size_t)walk->count, sizeof *r.summands)};
    ct_status status = CT_ERR_MEMORY;
    if (r.depth && r.kept && r.list && r.summands) {
        find_depths(&r);
        status = run(&r);
    } else {
        tell(CT_ERR_MEMORY);
    }
    cti_free(r.depth);
    cti_free(r.kept);
    cti_free(r.list);
    cti_free(r.summands);
    return status;
}
