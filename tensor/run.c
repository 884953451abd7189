/* The runner: one parallel region per evaluation, barriers between the phases.
 * It alone owns threads and scratch; it allocates nothing and cannot fail.
 * Invariant: which thread takes which part does not matter, because parts write disjoint memory
 * and were cut without looking at the number of threads. */
#include "tensor/clock.h"
#include "tensor/plan.h"

#include <omp.h>
#include <sched.h>
#include <stdatomic.h>

/* Below this many operations waking a second thread costs more than it saves. */
#define WORK_FOR_THREADS 16384
/* Looks at the barrier before a waiting thread lets others run: some 20 microseconds. On a busy
 * machine the thread that is waited for may need this very processor. */
#define SPINS 1024

/* Each thread has a share of a phase's parts, the same one every time, and helps others when it has
 * done its own: what it reads next is then what it wrote before, and a processor whose cores have
 * caches of their own need not carry it from one to the other. */
#define MOST_SHARES 64
typedef struct {
    /* Parts; the phases alternate between the two. */
    _Alignas(CTI_LINE) atomic_int_least64_t taken[2];
} share;

typedef struct {
    cti_plan *plan;
    void *arena, *scratch;
    double *seconds; /* [threads, passes] or NULL */
    share shares[MOST_SHARES];
    atomic_int arrived;  /* at the barrier */
    atomic_int barriers; /* passed so far  */
} running;

static int shares_of(int threads) { return threads < MOST_SHARES ? threads : MOST_SHARES; }

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Waits until all threads have come. The last one gives the next phase but one its parts: nobody
 * takes from those counters before the next barrier. */
static void meet(running *run, int threads, int finished) {
    int before = run->barriers;
    if (atomic_fetch_add(&run->arrived, 1) + 1 == threads) {
        run->arrived = 0;
        for (int s = 0; s < shares_of(threads); s++) run->shares[s].taken[finished] = 0;
        run->barriers = before + 1;
        return;
    }
    for (int spins = 0; run->barriers == before; spins++) {
        if (spins < SPINS) relax();
        else sched_yield();
    }
}

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

/* A part, and what becomes ready by it: the last one that a part waited for takes it along, while
 * what it wrote is in this thread's cache. */
static void run_chain(cti_worker *w, int64_t number, double *seconds) {
    cti_plan *plan = w->plan;
    int64_t ready = number; /* a list through plan->ready, latest first */
    plan->ready[number] = -1;
    while (ready >= 0) {
        int64_t part = ready;
        ready = plan->ready[part];
        run_numbered(w, part, seconds);
        for (int64_t k = part ? plan->successor_end[part - 1] : 0; k < plan->successor_end[part];
             k++) {
            int64_t next = plan->successors[k];
            if (atomic_fetch_sub(&plan->left[next], 1) > 1) continue;
            plan->ready[next] = ready;
            ready = next;
        }
    }
}

static void run_share(running *run, cti_worker *w, const cti_phase *phase, int s, int shares,
                      int turn, double *seconds) {
    int64_t first = phase->roots * s / shares, end = phase->roots * (s + 1) / shares, part;
    while ((part = first + atomic_fetch_add(&run->shares[s].taken[turn], 1)) < end) {
        run_chain(w, w->plan->turns[phase->first + part], seconds);
    }
}

static void run_thread(running *run, int thread, int threads) {
    const cti_plan *plan = run->plan;
    void *scratch = (char *)run->scratch + (size_t)thread * plan->scratch_bytes;
    double *seconds = run->seconds ? run->seconds + thread * plan->n_passes : NULL;
    cti_worker w = {.plan = run->plan, .arena = run->arena, .scratch = scratch};
    int turn = 0, shares = shares_of(threads);
    for (int64_t p = 0; p < plan->n_phases; p++) {
        for (int s = 0; s < shares; s++) {
            run_share(run, &w, &plan->phases[p], (thread + s) % shares, shares, turn, seconds);
        }
        meet(run, threads, turn);
        turn = !turn;
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
#pragma omp parallel num_threads(threads) if (threads > 1)
    /* OpenMP may give fewer threads than were asked for. */
    run_thread(&run, omp_get_thread_num(), omp_get_num_threads());
}
