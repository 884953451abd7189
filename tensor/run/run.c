/* The runner: one parallel region per evaluation, in which the phases follow each other.
 * It alone owns threads and scratch; it allocates nothing and cannot fail.
 * Invariant: which thread takes which part does not matter, because parts write disjoint memory
 * and were cut without looking at the number of threads. */
#include "tensor/base/clock.h"
#include "tensor/plan/plan.h"
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
    /* The part on top, or -1. Those below follow through plan->ready. No part is ever put on a
     * stack twice, so a thread that sees the same top again sees the same stack. */
    _Alignas(CTI_LINE) atomic_int_least64_t top;
} stack;

typedef struct {
    cti_plan *plan;
    void *arena, *scratch;
    double *seconds; /* [threads, passes] or NULL */
    int stacks;
    stack stack[MOST_STACKS];
    _Alignas(CTI_LINE) atomic_int_least64_t done; /* parts, of all phases */
    int64_t phase; /* that is open; the thread that ends it opens the next one */
} running;

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* --- Stacks ----------------------------------------------------------------------------------- */

/* From first to last they follow each other already. */
static void push(running *run, int s, int64_t first, int64_t last) {
    atomic_int_least64_t *top = &run->stack[s].top;
    int_least64_t below = *top;
    do run->plan->ready[last] = below;
    while (!atomic_compare_exchange_weak(top, &below, first));
}

static int64_t pop(running *run, int s) {
    atomic_int_least64_t *top = &run->stack[s].top;
    int_least64_t part = *top;
    while (part >= 0 && !atomic_compare_exchange_weak(top, &part, run->plan->ready[part])) {}
    return part;
}

/* From the stack of thread s first. */
static int64_t take(running *run, int s) {
    for (int k = 0; k < run->stacks; k++) {
        int64_t part = pop(run, (s + k) % run->stacks);
        if (part >= 0) return part;
    }
    return -1;
}

/* How many parts are done when the phase is. */
static int64_t end_of(const cti_plan *plan, int64_t p) {
    return p + 1 < plan->n_phases ? plan->phases[p + 1].first : plan->n_parts;
}

/* All stacks are empty; those that are filled first may be taken from at once. */
static void open_phase(running *run, int64_t p) {
    const cti_plan *plan = run->plan;
    const cti_phase *phase = &plan->phases[p];
    run->phase = p;
    const int64_t *roots = plan->turns + phase->first;
    for (int s = 0; s < run->stacks; s++) {
        int64_t k = phase->roots * s / run->stacks, first = k;
        int64_t last = phase->roots * (s + 1) / run->stacks - 1;
        if (first > last) continue;
        for (; k < last; k++) plan->ready[roots[k]] = roots[k + 1];
        push(run, s, roots[first], roots[last]);
    }
}

/* --- Parts ------------------------------------------------------------------------------------ */

static void run_part(cti_worker *w, cti_pass *pass, int stage, int64_t part) {
    if (pass->kernel >= 0) {
        w->current = NULL; /* the kernel overwrites the scratch */
        w->plan->items[pass->kernel].op->stages[stage].run(&pass->call, part, w->scratch);
    } else if (stage == 0) {
        cti_tile_part(w, pass, part);
    } else {
        cti_tile_combine(w, pass, part);
    }
}

static void run_numbered(cti_worker *w, int64_t number, double *seconds) {
    const cti_task *t = &w->plan->tasks[w->plan->task_of_part[number]];
    cti_pass *pass = &w->plan->passes[t->pass];
    int64_t part = (number - t->first) * t->bundle, end = part + t->bundle;
    if (end > pass->parts[t->stage]) end = pass->parts[t->stage];
    double begin = seconds ? cti_now() : 0;
    for (; part < end; part++) run_part(w, pass, t->stage, part);
    if (seconds) seconds[t->pass] += cti_now() - begin;
}

/* The last part of a phase opens the next one. */
static void finish(running *run, int s, int64_t number) {
    const cti_plan *plan = run->plan;
    int64_t first = number ? plan->successor_end[number - 1] : 0;
    for (int64_t k = first; k < plan->successor_end[number]; k++) {
        int64_t next = plan->successors[k];
        if (atomic_fetch_sub(&plan->left[next], 1) == 1) push(run, s, next, next);
    }
    int64_t p = run->phase, end = end_of(plan, p); /* looked up while the phase is still open */
    bool last = atomic_fetch_add(&run->done, 1) + 1 == end;
    if (last && p + 1 < plan->n_phases) open_phase(run, p + 1);
}

static void run_thread(void *context, int thread, int count) {
    (void)count; /* may be fewer than there are stacks: threads take from all */
    running *run = context;
    const cti_plan *plan = run->plan;
    void *scratch = (char *)run->scratch + (size_t)thread * plan->scratch_bytes;
    double *seconds = run->seconds ? run->seconds + thread * plan->n_passes : NULL;
    cti_worker w = {.plan = run->plan, .arena = run->arena, .scratch = scratch};
    int s = thread % run->stacks;
    int looks = 0;
    while (run->done < plan->n_parts) {
        int64_t part = take(run, s);
        if (part >= 0) {
            run_numbered(&w, part, seconds);
            finish(run, s, part);
            looks = 0;
        } else if (looks++ < LOOKS) {
            for (int k = 0; k < PAUSES; k++) relax();
        } else {
            sched_yield();
            looks = LOOKS;
        }
    }
}

static void bind_kernels(cti_plan *plan, void *arena) {
    for (int64_t p = 0; p < plan->n_passes; p++) {
        cti_pass *pass = &plan->passes[p];
        if (pass->kernel < 0) continue;
        const cti_item *item = &plan->items[pass->kernel];
        ct_operand *in = (ct_operand *)pass->call.in;
        for (int k = 0; k < item->n_inputs; k++) {
            in[k].data = plan->data[plan->items[plan->edges[item->edges + k]].base];
        }
        pass->call.out.data = plan->data[pass->kernel];
        if (arena) pass->call.workspace = (char *)arena + pass->workspace;
    }
}

void cti_plan_run(cti_plan *plan, void *arena, void *scratch, int threads, double *seconds) {
    running run = {.plan = plan, .arena = arena, .scratch = scratch, .seconds = seconds};
    for (int64_t i = 0; i < plan->n_items; i++) {
        if (plan->items[i].place == CTI_ARENA) {
            plan->data[i] = (char *)arena + plan->items[i].where;
        }
    }
    bind_kernels(plan, arena);
    for (int64_t p = 0; p < plan->n_parts; p++) {
        atomic_store_explicit(&plan->left[p], plan->waits[p], memory_order_relaxed);
    }
    if (plan->cost.operations < WORK_FOR_THREADS) threads = 1;
    run.stacks = threads < MOST_STACKS ? threads : MOST_STACKS;
    for (int s = 0; s < run.stacks; s++) run.stack[s].top = -1;
    if (plan->n_parts > 0) open_phase(&run, 0);
    cti_parallel(threads, run_thread, &run);
}
