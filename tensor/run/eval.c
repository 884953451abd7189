/* Evaluation: finds or makes the plan of a graph, runs it, and gives the roots their values.
 * It does not know ops; the plan does not know tensors.
 * Invariant: all roots get their values after the run, which cannot fail: an error leaves every
 * tensor as it was. */
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/run/ranks.h"
#include "tensor/run/run.h"
#include "tensor/runtime.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

/* What a thread keeps between evaluations. */
typedef struct {
    void *arena, *scratch;
    size_t arena_bytes, scratch_bytes;
    bool runs; /* a plan that uses them */
} engine_state;

static _Thread_local engine_state state;
static _Thread_local ct_stats stats;
static _Thread_local ct_plan_stats last_plan;

ct_stats ct_stats_read(void) { return stats; }

void ct_stats_reset(void) { stats = (ct_stats){0}; }

ct_plan_stats ct_plan_last(void) { return last_plan; }

void ct_cache_clear(void) {
    cti_plan_cache_clear();
    cti_free(state.arena);
    cti_free(state.scratch);
    state = (engine_state){0};
    cti_free_lists_clear();
}

/* --- Clean-up when a thread ends ------------------------------------------------------------ */

static pthread_key_t exit_key;

static void thread_exit(void *unused) {
    (void)unused;
    ct_cache_clear();
}

static void make_exit_key(void) { pthread_key_create(&exit_key, thread_exit); }

static void clear_at_thread_exit(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_exit_key);
    pthread_setspecific(exit_key, &state);
}

/* --- Memory --------------------------------------------------------------------------------- */

static ct_status reserve(void **block, size_t *size, size_t bytes) {
    if (*size >= bytes) return CT_OK;
    void *grown = cti_alloc_raw(bytes, 1);
    if (!grown) return CT_ERR_MEMORY;
    cti_free(*block);
    *block = grown;
    *size = bytes;
    return CT_OK;
}

/* --- Roots ------------------------------------------------------------------------------------ */

/* A new buffer for each root that is computed; the others share one of these, or a leaf's. */
static ct_status make_buffers(const cti_planned *p, const cti_walk *walk, cti_buffer **buffers) {
    const cti_plan *plan = p->plan;
    for (int64_t r = 0; r < plan->graph.n_roots; r++) {
        const cti_item *base = &plan->items[plan->items[plan->roots[r]].base];
        if (base->place == CTI_LEAF) {
            buffers[r] = cti_buffer_keep(cti_planned_leaf(p, walk, base->where));
        } else if (base->where != r) {
            buffers[r] = cti_buffer_keep(buffers[base->where]);
        } else {
            buffers[r] = cti_buffer_new("ct_eval", base->shape, base->dtype);
        }
        if (!buffers[r]) return CT_ERR_MEMORY;
    }
    return CT_OK;
}

static void bind(const cti_planned *p, const cti_walk *walk, cti_buffer *const *buffers) {
    const cti_plan *plan = p->plan;
    void **data = p->run->data;
    for (int64_t i = 0; i < plan->n_items; i++) {
        const cti_item *item = &plan->items[i];
        if (item->base != i) continue;
        if (item->place == CTI_LEAF) data[i] = cti_planned_leaf(p, walk, item->where)->data;
        if (item->place == CTI_ROOT) data[i] = buffers[item->where]->data;
    }
    p->run->arena = state.arena;
    p->run->scratch = state.scratch;
}

/* All that a run needs but other ranks. */
static ct_status prepare(cti_planned *p, const cti_walk *walk, cti_buffer **buffers) {
    const cti_plan *plan = p->plan;
    int threads = ct_threads();
    if (threads == 0) return CT_ERR_RANGE;
    if (!p->run) p->run = cti_run_new(&p->zone, plan);
    if (!p->run || make_buffers(p, walk, buffers) != CT_OK ||
        reserve(&state.arena, &state.arena_bytes, plan->arena_bytes) != CT_OK ||
        reserve(&state.scratch, &state.scratch_bytes, plan->scratch_bytes * (size_t)threads) !=
            CT_OK) {
        return CT_ERR_MEMORY;
    }
    bind(p, walk, buffers);
    return plan->n_exchanges > 0 ? cti_ranks_check(walk) : CT_OK;
}

static ct_status run(cti_planned *p, const cti_walk *walk, ct_tensor *const roots[],
                     cti_buffer **buffers) {
    ct_profile_part *times = NULL;
    cti_ranks_graph graph; /* of the entry */
    ct_status status = prepare(p, walk, buffers);
    if (status == CT_OK) status = cti_profile_begin(p, &times);
    if (status != CT_OK || p->plan->n_exchanges == 0) {
        status = cti_ranks_told(roots, p->plan->graph.n_roots, status);
    }
    if (status != CT_OK) return status;
    if (p->plan->n_exchanges > 0) p->run->entry = cti_ranks_entry(&graph, p, walk);
    state.runs = true;
    status = cti_run_all(p->run, ct_threads(), times);
    state.runs = false;
    if (status != CT_OK) return status;
    cti_profile_end(p, walk);
    for (int64_t r = 0; r < p->plan->graph.n_roots; r++) {
        if (!roots[r]->buffer) roots[r]->buffer = cti_buffer_keep(buffers[r]);
    }
    return CT_OK;
}

static void count(const cti_plan *plan, int64_t nodes) {
    stats.evaluations++;
    stats.nodes += nodes;
    stats.passes += plan->n_passes;
    stats.bytes += plan->cost.bytes;
    if ((int64_t)plan->arena_bytes > stats.arena_bytes) {
        stats.arena_bytes = (int64_t)plan->arena_bytes;
    }
    last_plan = (ct_plan_stats){.passes = plan->n_passes,
                                .phases = plan->n_phases,
                                .arena_bytes = (int64_t)plan->arena_bytes,
                                .needed_bytes = (int64_t)plan->needed_bytes};
    for (int64_t p = 0; p < plan->n_passes; p++)
        last_plan.kernels += plan->passes[p].kind == CTI_KERNEL;
}

static ct_status evaluate_walk(cti_walk *walk, ct_tensor *const roots[], int64_t n) {
    cti_buffer **buffers = cti_alloc((size_t)n, sizeof *buffers);
    bool hit = true;
    cti_planned *planned = buffers ? cti_plan_for(walk, roots, n, &hit) : NULL;
    ct_status status = CT_OK;
    if (buffers && hit) stats.plan_hits++;
    if (!hit) stats.plan_misses++;
    if (!hit) clear_at_thread_exit();
    if (planned) status = run(planned, walk, roots, buffers);
    else status = cti_ranks_told(roots, n, buffers ? ct_error() : CT_ERR_MEMORY);
    if (planned && status == CT_OK) count(planned->plan, walk->count);
    for (int64_t r = 0; buffers && r < n; r++) cti_buffer_drop(buffers[r]);
    cti_free(buffers);
    return status;
}

static ct_status evaluate(ct_tensor *const roots[], int64_t n) {
    cti_walk walk;
    ct_status joined = cti_check_joined("ct_eval");
    if (joined != CT_OK) return joined;
    if (state.runs) return ct_fail(CT_ERR_STATE, "ct_eval: called by an op while it is computed");
    if (cti_walk_new(&walk, roots, n, cti_walk_needed) != CT_OK) {
        return cti_ranks_told(roots, n, CT_ERR_MEMORY);
    }
    ct_status status = evaluate_walk(&walk, roots, n);
    cti_walk_free(&walk);
    return status;
}

ct_status ct_eval(ct_tensor *const roots[], int64_t n) {
    CTI_CALLED;
    if (cti_check_roots("ct_eval", roots, "n", n) != CT_OK) return ct_error();
    bool needed = false;
    for (int64_t r = 0; r < n; r++) needed |= !cti_has_value(roots[r]);
    return needed ? evaluate(roots, n) : CT_OK;
}

ct_status ct_plan_write(FILE *out, ct_tensor *const roots[], int64_t n) {
    CTI_CALLED;
    if (!out) return cti_null("ct_plan_write: 'out' is NULL");
    if (cti_check_roots("ct_plan_write", roots, "n", n) != CT_OK) return ct_error();
    cti_walk walk;
    if (cti_walk_new(&walk, roots, n, cti_walk_needed) != CT_OK) return CT_ERR_MEMORY;
    bool hit;
    const cti_planned *planned = cti_plan_for(&walk, roots, n, &hit);
    if (!hit) clear_at_thread_exit();
    cti_walk_free(&walk);
    if (!planned) return ct_error();
    cti_plan_print(out, planned->plan);
    return ferror(out) ? ct_fail(CT_ERR_IO, "ct_plan_write: writing failed") : CT_OK;
}

/* --- Reading ---------------------------------------------------------------------------------- */

const void *ct_data(ct_tensor *t) {
    CTI_CALLED;
    if (!t) {
        cti_null("ct_data: 't' is NULL");
        return NULL;
    }
    return cti_has_value(t) || ct_eval(&t, 1) == CT_OK ? t->buffer->data : NULL;
}

static const void *typed_data(ct_tensor *t, ct_dtype dtype, const char *function) {
    CTI_CALLED_AS(function);
    if (t && t->dtype != dtype) {
        return ct_fail_null(CT_ERR_DTYPE, "%s: the tensor is %s", function,
                            ct_dtype_name(t->dtype));
    }
    return ct_data(t);
}

const float *ct_data_f32(ct_tensor *t) { return typed_data(t, CT_F32, "ct_data_f32"); }
const double *ct_data_f64(ct_tensor *t) { return typed_data(t, CT_F64, "ct_data_f64"); }
const int64_t *ct_data_i64(ct_tensor *t) { return typed_data(t, CT_I64, "ct_data_i64"); }
const uint8_t *ct_data_u8(ct_tensor *t) { return typed_data(t, CT_U8, "ct_data_u8"); }
const ct_p61 *ct_data_p61(ct_tensor *t) { return typed_data(t, CT_P61, "ct_data_p61"); }

double ct_item(ct_tensor *t) {
    CTI_CALLED;
    if (t && t->rows) {
        ct_fail(CT_ERR_STATE,
                "ct_item: the tensor varies between ranks along axis %d; sum over it (ct_sum), or "
                "read this rank's rows (ct_data)",
                t->batch);
        return NAN;
    }
    if (t && t->numel != 1) {
        ct_fail(CT_ERR_SHAPE, "ct_item: needs one element, got %s", ct_shape_format(t->shape).text);
        return NAN;
    }
    const void *data = ct_data(t);
    return data ? cti_value(data, t->dtype, 0) : (double)NAN;
}

ct_tensor *ct_detach(ct_tensor *t) {
    CTI_CALLED;
    if (!t) return cti_null_in("ct_detach: 't' is NULL");
    if (!ct_data(t)) return NULL;
    ct_tensor *leaf = cti_leaf_over(t->buffer, t->dtype, t->shape);
    if (leaf) leaf->name = t->name;
    return cti_marked(leaf, cti_mark_of(t));
}
