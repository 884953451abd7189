/* The replay of a graph: values node by node, for those who look at each of them.
 * It looks at none of them itself, and it is no way to run a graph: no op is fused with another.
 * Invariant: a value lives until its last reader was visited, so memory is that of what is alive,
 * and in the end no node holds a value that it did not hold before. */
#include "autograd/check/replay.h"

#include "tensor/graph/walk.h"

/* A view's value needs its first input alone; a staged update is not computed with it. */
static int read_inputs(const ct_tensor *t) {
    if (!t->op) return 0;
    return t->op->kind == CT_VIEW ? 1 : t->n_inputs;
}

/* While the walk is the current one: evaluations make walks of their own. */
static ct_status relate(cti_replay *r, const cti_walk *walk, ct_tensor *const roots[]) {
    int64_t edges = 0;
    for (int64_t i = 0; i < walk->count; i++) edges += read_inputs(walk->items[i]);
    size_t n = (size_t)walk->count;
    r->items = cti_zone_alloc(&r->zone, n, sizeof(ct_tensor *));
    r->first = cti_zone_alloc(&r->zone, n + 1, sizeof *r->first);
    r->operands = cti_zone_alloc(&r->zone, (size_t)edges, sizeof *r->operands);
    r->last = cti_zone_alloc(&r->zone, n, sizeof *r->last);
    r->roots = cti_zone_alloc(&r->zone, (size_t)r->n_roots, sizeof *r->roots);
    r->ours = cti_zone_alloc(&r->zone, n, sizeof *r->ours);
    if (!r->items || !r->first || !r->operands || !r->last || !r->roots || !r->ours) {
        return CT_ERR_MEMORY;
    }
    r->n = walk->count;
    for (int64_t i = 0; i < r->n; i++) {
        ct_tensor *t = r->items[i] = walk->items[i];
        int64_t at = r->first[i];
        r->last[i] = i;
        for (int k = 0; k < read_inputs(t); k++) {
            r->operands[at] = t->inputs[k]->index;
            r->last[r->operands[at++]] = i;
        }
        r->first[i + 1] = at;
    }
    for (int64_t k = 0; k < r->n_roots; k++) r->roots[k] = roots[k]->index;
    return CT_OK;
}

ct_status cti_replay_new(cti_replay *r, ct_tensor *const roots[], int64_t n) {
    *r = (cti_replay){.n_roots = n};
    cti_walk walk;
    if (cti_walk_new(&walk, roots, n, read_inputs) != CT_OK) return CT_ERR_MEMORY;
    ct_status status = relate(r, &walk, roots);
    cti_walk_free(&walk);
    return status;
}

void cti_replay_free(cti_replay *r) {
    cti_zone_free(&r->zone);
    *r = (cti_replay){0};
}

static void forget(cti_replay *r, int64_t i) {
    if (!r->ours[i]) return;
    r->ours[i] = false;
    cti_buffer_drop(r->items[i]->buffer);
    r->items[i]->buffer = NULL;
}

static void forget_read(cti_replay *r, int64_t i) {
    if (r->last[i] == i) forget(r, i);
    for (int64_t k = r->first[i]; k < r->first[i + 1]; k++) {
        if (r->last[r->operands[k]] == i) forget(r, r->operands[k]);
    }
}

ct_status cti_replay_run(cti_replay *r, cti_replay_visit *visit, void *context) {
    ct_status status = CT_OK;
    for (int64_t i = 0; i < r->n && status == CT_OK; i++) {
        if (!cti_has_value(r->items[i])) {
            status = ct_eval(&r->items[i], 1);
            r->ours[i] = status == CT_OK;
        }
        if (status == CT_OK) status = visit(context, i);
        forget_read(r, i);
    }
    for (int64_t i = 0; i < r->n; i++) forget(r, i);
    return status;
}
