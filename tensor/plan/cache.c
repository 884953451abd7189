/* The plan cache: a graph is simplified and planned once, and its plan found again by the graph.
 * The least recently used of 64 entries is evicted. It does not run plans; eval.c does. Invariant:
 * an entry is complete or not there, and holds no tensor: of the literals that rewrites made it
 * holds the buffers. */
#include "tensor/plan/cache.h"

#include "tensor/base/alloc.h"
#include "tensor/graph/simplify_private.h"

#include <string.h>

#define CACHED_PLANS 64

static _Thread_local struct {
    cti_planned *entries[CACHED_PLANS]; /* most recently used first */
    int n;
} cache;

static void planned_free(cti_planned *p) {
    if (!p) return;
    for (int64_t i = 0; p->constants && i < p->plan->graph.n_nodes; i++) {
        cti_buffer_drop(p->constants[i]);
    }
    cti_zone_free(&p->zone);
    cti_free(p);
}

void cti_plan_cache_clear(void) {
    while (cache.n > 0) planned_free(cache.entries[--cache.n]);
}

/* --- Making an entry ---------------------------------------------------------------------- */

/* Maps the plan's leaves to those of the key, and the key's nodes to the plan's. `simplified` is
 * the walk of the plan's graph, and the current one at first. */
static ct_status relate(cti_planned *p, cti_walk *walk, const cti_walk *simplified,
                        ct_tensor *const images[]) {
    int64_t n = p->plan->graph.n_nodes;
    p->leaf_of = cti_zone_alloc(&p->zone, (size_t)n, sizeof *p->leaf_of);
    p->image_of = cti_zone_alloc(&p->zone, (size_t)walk->count, sizeof *p->image_of);
    p->constants = cti_zone_alloc(&p->zone, (size_t)n, sizeof *p->constants);
    if (!p->leaf_of || !p->image_of || !p->constants) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < walk->count; i++) {
        p->image_of[i] = cti_walk_has(simplified, images[i]) ? images[i]->index : -1;
    }
    cti_walk_resume(walk);
    for (int64_t i = 0; i < n; i++) {
        const ct_tensor *t = simplified->items[i];
        if (!cti_has_value(t)) continue;
        if (cti_walk_has(walk, t)) p->leaf_of[i] = t->index;
        else p->constants[i] = cti_buffer_keep(t->buffer);
    }
    return CT_OK;
}

static ct_status make_plan(cti_planned *p, cti_walk *walk, ct_tensor *const images[],
                           ct_tensor *const roots[], int64_t n) {
    cti_walk simplified;
    if (cti_walk_new(&simplified, roots, n, cti_walk_needed) != CT_OK) return CT_ERR_MEMORY;
    p->plan = cti_plan_new(&p->zone, &simplified, roots, n);
    ct_status status = p->plan ? relate(p, walk, &simplified, images) : CT_ERR_MEMORY;
    cti_walk_free(&simplified);
    return status;
}

static ct_status fill(cti_planned *p, cti_walk *walk, ct_tensor *const roots[], int64_t n) {
    int64_t scope = ct_scope_open();
    ct_tensor **images = cti_alloc((size_t)walk->count, sizeof *images);
    ct_tensor **simplified = cti_alloc((size_t)n, sizeof *simplified);
    ct_status status = CT_ERR_MEMORY;
    if (images && simplified) status = cti_graph_from(&p->key, &p->zone, walk, roots, n);
    p->simplified = cti_simplifies;
    p->rule_alone = cti_rule_alone;
    if (status == CT_OK && cti_simplifies) status = cti_simplify(walk, images);
    for (int64_t i = 0; i < walk->count && images && !cti_simplifies; i++) {
        images[i] = walk->items[i];
    }
    if (status == CT_OK) {
        for (int64_t r = 0; r < n; r++) simplified[r] = images[p->key.roots[r]];
        status = make_plan(p, walk, images, simplified, n);
    }
    ct_scope_close(scope);
    cti_free(images);
    cti_free(simplified);
    cti_walk_resume(walk);
    return status;
}

/* --- Look-up ------------------------------------------------------------------------------ */

static void put_first(cti_planned *p, int from) {
    memmove(&cache.entries[1], &cache.entries[0], sizeof *cache.entries * (size_t)from);
    cache.entries[0] = p;
}

cti_planned *cti_plan_for(cti_walk *walk, ct_tensor *const roots[], int64_t n_roots, bool *hit) {
    uint64_t hash = cti_graph_hash(walk, roots, n_roots);
    *hit = true;
    for (int i = 0; i < cache.n; i++) {
        cti_planned *p = cache.entries[i];
        if (p->simplified != cti_simplifies || p->rule_alone != cti_rule_alone) continue;
        if (!cti_graph_is(&p->key, hash, walk, roots, n_roots)) continue;
        put_first(p, i);
        return p;
    }
    *hit = false;
    cti_planned *p = cti_alloc(1, sizeof *p);
    if (!p) return NULL;
    if (fill(p, walk, roots, n_roots) != CT_OK) {
        planned_free(p);
        return NULL;
    }
    cti_plan_debug(p->plan);
    if (cache.n == CACHED_PLANS) planned_free(cache.entries[--cache.n]);
    put_first(p, cache.n++);
    return p;
}
