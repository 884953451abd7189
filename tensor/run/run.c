/* The runner: one parallel region per evaluation, in which the phases follow each other.
 * It alone owns threads and scratch; it allocates nothing. Nothing fails but exchanges between
 * ranks, which the calling thread carries on beside its parts.
 * Invariant: which thread takes which part does not matter, because parts write disjoint memory
 * and were cut without looking at the number of threads. */
#include "tensor/run/run.h"

#include "tensor/base/process.h"

#include <sched.h>
#include <stdatomic.h>

/* Below this many operations waking a second thread costs more than it saves. */
#define WORK_FOR_THREADS 16384
/* A thread without work looks for some after so many pauses, lest it take the line from those who
 * have some; after so many looks in vain, of some 20 microseconds, it lets others run: on a busy
 * machine the thread that is waited for may need this very processor. */
#define PAUSES 4
#define LOOKS 128

/* The parts that are ready lie on stacks. Each thread has its own: a share of a phase's roots, the
 * same one every time, and on top what became ready by the parts that it ran. So it reads next what
 * it wrote before, and a processor whose cores have caches of their own need not carry it from one
 * to the other. A thread without parts helps the others. */
#define MOST_STACKS 64
typedef struct {
    /* The part on top, or -1. Those below follow through run->ready. No part is ever put on a
     * stack twice, so a thread that sees the same top again sees the same stack. */
    _Alignas(CTI_LINE) atomic_int_least64_t top;
} stack;

typedef struct {
    cti_run *run;
    ct_profile_part *times; /* of each part, or NULL */
    int stacks;
    stack stack[MOST_STACKS];
    _Alignas(CTI_LINE) atomic_int_least64_t done; /* parts, of all phases */
    int64_t phase;                 /* that is open; the thread that ends it opens the next one */
    atomic_int_least64_t exchange; /* the part that is one and is not done, or -1 */
    bool begun;                    /* that exchange */
    ct_status status;              /* not CT_OK: an exchange failed, and all threads stop */
    atomic_bool stopped;
} running;

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* --- Stacks ----------------------------------------------------------------------------------- */

/* From first to last they follow each other already. */
static void push(running *r, int s, int64_t first, int64_t last) {
    atomic_int_least64_t *top = &r->stack[s].top;
    int_least64_t below = *top;
    do r->run->ready[last] = below;
    while (!atomic_compare_exchange_weak(top, &below, first));
}

static int64_t pop(running *r, int s) {
    atomic_int_least64_t *top = &r->stack[s].top;
    int_least64_t part = *top;
    while (part >= 0 && !atomic_compare_exchange_weak(top, &part, r->run->ready[part])) {}
    return part;
}

/* From the stack of thread s first. */
static int64_t take(running *r, int s) {
    for (int k = 0; k < r->stacks; k++) {
        int64_t part = pop(r, (s + k) % r->stacks);
        if (part >= 0) return part;
    }
    return -1;
}

/* How many parts are done when the phase is. */
static int64_t end_of(const cti_plan *plan, int64_t p) {
    return p + 1 < plan->n_phases ? plan->phases[p + 1].first : plan->n_parts;
}

/* All stacks are empty; those that are filled first may be taken from at once. */
static void open_phase(running *r, int64_t p) {
    const cti_plan *plan = r->run->plan;
    const cti_phase *phase = &plan->phases[p];
    r->phase = p;
    if (phase->exchange >= 0) r->exchange = phase->exchange;
    const int64_t *roots = plan->turns + phase->first;
    for (int s = 0; s < r->stacks; s++) {
        int64_t k = phase->roots * s / r->stacks, first = k;
        int64_t last = phase->roots * (s + 1) / r->stacks - 1;
        if (first > last) continue;
        for (; k < last; k++) r->run->ready[roots[k]] = roots[k + 1];
        push(r, s, roots[first], roots[last]);
    }
}

/* --- Parts ------------------------------------------------------------------------------------ */

static void run_part(cti_worker *w, int64_t p, int stage, int64_t part) {
    const cti_plan *plan = w->run->plan;
    const cti_pass *pass = &plan->passes[p];
    if (pass->kind == CTI_KERNEL) {
        w->current = NULL; /* the kernel overwrites the scratch */
        plan->items[pass->kernel.item].op->kernel->run[stage](&w->run->calls[p], part, w->scratch);
    } else if (stage == 0) {
        cti_tile_part(w, pass, part);
    } else {
        cti_tile_combine(w, &pass->tiles, part);
    }
}

static void run_numbered(cti_worker *w, int64_t number, int thread, ct_profile_part *times) {
    const cti_plan *plan = w->run->plan;
    const cti_task *t = &plan->tasks[plan->task_of_part[number]];
    int64_t part = (number - t->first) * t->bundle, end = part + t->bundle;
    int64_t parts = plan->passes[t->pass].parts[t->stage];
    if (end > parts) end = parts;
    double begin = times ? cti_now() : 0;
    for (; part < end; part++) run_part(w, t->pass, t->stage, part);
    if (times) times[number] = (ct_profile_part){NULL, t->pass, thread, begin, cti_now()};
}

/* The last part of a phase opens the next one. */
static void finish(running *r, int s, int64_t number) {
    const cti_plan *plan = r->run->plan;
    int64_t first = number ? plan->successor_end[number - 1] : 0;
    for (int64_t k = first; k < plan->successor_end[number]; k++) {
        int64_t next = plan->successors[k];
        if (atomic_fetch_sub(&r->run->left[next], 1) == 1) push(r, s, next, next);
    }
    int64_t p = r->phase, end = end_of(plan, p); /* looked up while the phase is still open */
    bool last = atomic_fetch_add(&r->done, 1) + 1 == end;
    if (last && p + 1 < plan->n_phases) open_phase(r, p + 1);
}

/* --- Exchanges -------------------------------------------------------------------------------- */

static void begin_exchange(running *r, const cti_exchanged *exchange) {
    const cti_run *run = r->run;
    const cti_plan *plan = run->plan;
    for (int64_t k = 0; k < exchange->n; k++) {
        const cti_item *item = &plan->items[exchange->items[k]];
        const void *partials = run->data[plan->items[plan->edges[item->edges]].base];
        run->summands[k] = (cti_summand){partials, run->data[exchange->items[k]], item->numel};
    }
    ct_group *group = ct_group_current();
    cti_sum_begin(group, run->entry, exchange->dtype, run->summands, exchange->n);
    cti_sum_local(group, 0, INT64_MAX);
    r->begun = true;
}

/* On the calling thread alone, whose group and whose errors they are; it polls, and waits only
 * where it found no other part. */
static void carry_on(running *r, bool idle) {
    int64_t number = r->exchange;
    if (number < 0) return;
    const cti_plan *plan = r->run->plan;
    int64_t pass = plan->tasks[plan->task_of_part[number]].pass;
    double now = r->times ? cti_now() : 0;
    if (!r->begun) {
        if (r->times) r->times[number] = (ct_profile_part){NULL, pass, 0, now, now};
        begin_exchange(r, &plan->passes[pass].exchange);
    }
    bool done;
    ct_status status = cti_sum_carry_on(ct_group_current(), idle, &done);
    if (!done) return;
    if (r->times) r->times[number].end = cti_now();
    r->begun = false;
    r->exchange = -1;
    r->status = status;
    if (status == CT_OK) finish(r, 0, number);
    else r->stopped = true;
}

/* --- Threads ---------------------------------------------------------------------------------- */

static void run_thread(void *context, int thread, int count) {
    (void)count; /* may be fewer than there are stacks: threads take from all */
    running *r = context;
    const cti_plan *plan = r->run->plan;
    void *scratch = (char *)r->run->scratch + (size_t)thread * plan->scratch_bytes;
    cti_worker w = {.run = r->run, .scratch = scratch};
    int s = thread % r->stacks;
    int looks = 0;
    while (r->done < plan->n_parts && !r->stopped) {
        int64_t part = take(r, s);
        if (thread == 0) carry_on(r, part < 0);
        if (part >= 0) {
            run_numbered(&w, part, thread, r->times);
            finish(r, s, part);
            looks = 0;
        } else if (looks++ < LOOKS) {
            for (int k = 0; k < PAUSES; k++) relax();
        } else {
            sched_yield();
            looks = LOOKS;
        }
    }
}

/* --- A run ------------------------------------------------------------------------------------ */

static bool copy_calls(cti_run *run, cti_zone *zone) {
    const cti_plan *plan = run->plan;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        const ct_call *call = &plan->passes[p].kernel.call;
        if (plan->passes[p].kind != CTI_KERNEL) continue;
        ct_operand *in = cti_zone_alloc(zone, (size_t)call->n_inputs, sizeof *in);
        if (!in) return false;
        for (int k = 0; k < call->n_inputs; k++) in[k] = call->in[k];
        run->calls[p] = *call;
        run->calls[p].in = in;
    }
    return true;
}

cti_run *cti_run_new(cti_zone *zone, const cti_plan *plan) {
    cti_run *run = cti_zone_alloc(zone, 1, sizeof *run);
    if (!run) return NULL;
    size_t parts = (size_t)plan->n_parts;
    *run = (cti_run){
        .plan = plan,
        .data = cti_zone_alloc(zone, (size_t)plan->n_items, sizeof *run->data),
        .calls = cti_zone_alloc(zone, (size_t)plan->n_passes, sizeof *run->calls),
        .summands = cti_zone_alloc(zone, (size_t)plan->most_exchanged, sizeof *run->summands),
        .left = cti_zone_alloc(zone, parts, sizeof *run->left),
        .ready = cti_zone_alloc(zone, parts, sizeof *run->ready)};
    bool made = run->data && run->calls && run->summands && run->left && run->ready;
    return made && copy_calls(run, zone) ? run : NULL;
}

static void bind_kernels(cti_run *run) {
    const cti_plan *plan = run->plan;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        const cti_pass *pass = &plan->passes[p];
        if (pass->kind != CTI_KERNEL) continue;
        const cti_item *item = &plan->items[pass->kernel.item];
        ct_call *call = &run->calls[p];
        ct_operand *in = (ct_operand *)call->in;
        for (int k = 0; k < item->n_inputs; k++) {
            in[k].data = run->data[plan->items[plan->edges[item->edges + k]].base];
        }
        call->out.data = run->data[pass->kernel.item];
        if (run->arena) call->workspace = (char *)run->arena + pass->kernel.workspace;
    }
}

ct_status cti_run_all(cti_run *run, int threads, ct_profile_part *times) {
    const cti_plan *plan = run->plan;
    running r = {.run = run, .times = times, .exchange = -1};
    for (int64_t i = 0; i < plan->n_items; i++) {
        if (plan->items[i].place != CTI_ARENA) continue;
        run->data[i] = (char *)run->arena + plan->items[i].where;
    }
    bind_kernels(run);
    for (int64_t p = 0; p < plan->n_parts; p++) {
        atomic_store_explicit(&run->left[p], plan->waits[p], memory_order_relaxed);
    }
    if (plan->cost.operations < WORK_FOR_THREADS) threads = 1;
    r.stacks = threads < MOST_STACKS ? threads : MOST_STACKS;
    for (int s = 0; s < r.stacks; s++) r.stack[s].top = -1;
    if (plan->n_parts > 0) open_phase(&r, 0);
    cti_parallel(threads, run_thread, &r);
    return r.status;
}
