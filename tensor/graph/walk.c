/* The walk: an iterative depth-first post-order.
 * It keeps no node, and writes only what is the walk's in it.
 * Invariant: no recursion and no stack of its own: the path from the root to the node at hand is
 * linked through the nodes, and their `index` counts the inputs that were looked at. */
#include "tensor/graph/walk.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/caller.h"

int cti_walk_whole_graph(const ct_tensor *t) { return t->n_inputs; }

int cti_walk_needed(const ct_tensor *t) {
    if (cti_has_value(t)) return 0;
    return t->op->kind == CT_VIEW ? 1 : t->n_inputs;
}

ct_status cti_check_roots(const char *function, ct_tensor *const roots[], const char *count,
                          int64_t n) {
    ct_status status = cti_check_array(function, "roots", roots, count, n);
    for (int64_t r = 0; r < n && status == CT_OK; r++) {
        if (!roots[r]) status = cti_null("%s: root %lld is NULL", function, (long long)r);
    }
    return status;
}

static ct_tensor *enter(const cti_walk *walk, ct_tensor *t, ct_tensor *from) {
    t->ticket = walk->ticket;
    t->index = 0;
    t->link = from;
    return t;
}

static ct_status append(cti_walk *walk, ct_tensor *t) {
    if (walk->count == walk->capacity &&
        !cti_reserve(&walk->items, &walk->capacity, walk->count + 1, sizeof *walk->items)) {
        return CT_ERR_MEMORY;
    }
    t->index = walk->count;
    walk->items[walk->count++] = t;
    return CT_OK;
}

static ct_tensor *enter_root(const cti_walk *walk, ct_tensor *root) {
    return cti_walk_has(walk, root) ? NULL : enter(walk, root, NULL);
}

/* The next input that no path has come to; NULL when all were looked at. */
static ct_tensor *enter_input(const cti_walk *walk, ct_tensor *at, cti_walk_inputs *inputs) {
    while (at->index < inputs(at)) {
        ct_tensor *input = at->inputs[at->index++];
        if (!cti_walk_has(walk, input)) return enter(walk, input, at);
    }
    return NULL;
}

static ct_status visit(cti_walk *walk, ct_tensor *root, cti_walk_inputs *inputs) {
    for (ct_tensor *at = enter_root(walk, root), *next; at; at = next) {
        next = enter_input(walk, at, inputs);
        if (next) continue;
        next = at->link;
        if (append(walk, at) != CT_OK) return CT_ERR_MEMORY;
    }
    return CT_OK;
}

static _Thread_local uint64_t tickets;

uint64_t cti_walk_ticket(void) { return ++tickets; }

ct_status cti_walk_new(cti_walk *walk, ct_tensor *const roots[], int64_t n,
                       cti_walk_inputs *inputs) {
    *walk = (cti_walk){.ticket = cti_walk_ticket()};
    ct_status status = CT_OK;
    for (int64_t i = 0; i < n && status == CT_OK; i++) status = visit(walk, roots[i], inputs);
    if (status != CT_OK) cti_walk_free(walk);
    return status;
}

bool cti_walk_meets(ct_tensor *const roots[], int64_t n, cti_walk_inputs *inputs,
                    bool (*wanted)(const ct_tensor *)) {
    const cti_walk walk = {.ticket = cti_walk_ticket()};
    bool met = false;
    for (int64_t i = 0; i < n; i++) {
        for (ct_tensor *at = enter_root(&walk, roots[i]), *next; at; at = next) {
            next = enter_input(&walk, at, inputs);
            if (next) continue;
            next = at->link;
            met |= wanted(at);
        }
    }
    return met;
}

void cti_walk_resume(cti_walk *walk) {
    if (walk->ticket == tickets) return;
    walk->ticket = cti_walk_ticket();
    for (int64_t i = 0; i < walk->count; i++) {
        walk->items[i]->ticket = walk->ticket;
        walk->items[i]->index = i;
    }
}

void cti_walk_free(cti_walk *walk) {
    cti_free(walk->items);
    walk->items = NULL;
    walk->count = walk->capacity = 0;
}
