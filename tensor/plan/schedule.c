/* Scheduling: tasks go into phases, with barriers between them, and within a phase a part depends
 * on parts of other tasks. It looks at what parts read and write, not at what they compute.
 * Invariant: the parts that write what a part reads are in an earlier phase, or are counted as its
 * dependencies in its own. */
#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/shape_rules.h"
#include "tensor/plan/planning.h"

#include <stdlib.h>

/* Longest chain of dependent tasks in a phase: their values are alive together, so longer ones
 * would let fewer of them share memory. A task of one part that depends on all of another joins its
 * phase only if it is small. */
#define MAX_CHAIN 6
#define SMALL 2048
/* A stage of more parts is scheduled in bundles, which are taken to read and write everything. */
#define MOST_PARTS 65536

/* Parts [from, to) of a task, on which some part depends. */
typedef struct {
    int64_t task, from, to;
} need;

/* That `part` of a task does, within the phase of both. */
typedef struct {
    int64_t part;
    need on;
} dependency;

typedef struct {
    cti_plan *plan;
    cti_zone *work;
    int64_t *task_of;         /* item -> the task that writes it, or -1 */
    int64_t *first_of;        /* pass -> its first task */
    dependency *dependencies; /* of all tasks, those of task k up to end[k] */
    int64_t *end, n, max;
    int64_t exchanged; /* the phase of the exchange before, or -1 */
} scheduling;

static ct_span all_of(const cti_item *item) { return (ct_span){0, item->numel}; }

static const cti_pass *pass_of(const scheduling *s, const cti_task *t) {
    return &s->plan->passes[t->pass];
}

/* --- What parts write and read -------------------------------------------------------------- */

/* The elements of an item that part `part` of its task writes. */
static ct_span written(const scheduling *s, const cti_task *t, int64_t part, const cti_item *item) {
    const cti_pass *pass = pass_of(s, t);
    if (t->bundle > 1) return all_of(item);
    if (pass->kind == CTI_KERNEL) {
        const cti_kernel *k = &pass->kernel;
        return k->prepared.writes ? k->prepared.writes(&k->call, part) : all_of(item);
    }
    return item->op->kind == CT_MAP ? cti_part_elements(&pass->tiles, part) : all_of(item);
}

/* The parts of an item's task that write into the span; by bisection, as their spans ascend. */
static need writers(const scheduling *s, const cti_item *item, int64_t task, ct_span span) {
    const cti_task *t = &s->plan->tasks[task];
    need n = {.task = task};
    for (int64_t high = t->parts; n.from < high;) {
        int64_t middle = (n.from + high) / 2;
        if (written(s, t, middle, item).last <= span.first) n.from = middle + 1;
        else high = middle;
    }
    n.to = n.from;
    for (int64_t high = t->parts; n.to < high;) {
        int64_t middle = (n.to + high) / 2;
        if (written(s, t, middle, item).first < span.last) n.to = middle + 1;
        else high = middle;
    }
    return n;
}

static need need_item(const scheduling *s, int64_t base, ct_span span) {
    int64_t task = s->task_of[base];
    if (task < 0 || span.first >= span.last) return (need){0};
    return writers(s, &s->plan->items[base], task, span);
}

/* Whether it is the first stage of its pass that has parts. */
static bool is_first(const scheduling *s, const cti_task *t) {
    return t == &s->plan->tasks[s->first_of[t->pass]];
}

/* What a part of a kernel reads of its input k. */
static need need_of_input(const scheduling *s, const cti_task *t, int64_t part, int k) {
    const cti_plan *plan = s->plan;
    const cti_kernel *kernel = &pass_of(s, t)->kernel;
    const cti_item *item = &plan->items[kernel->item];
    const cti_item *in = &plan->items[plan->edges[item->edges + k]];
    ct_span span = {0, is_first(s, t) ? plan->items[in->base].numel : 0};
    if (in->whole && kernel->prepared.reads && t->bundle == 1) {
        span = kernel->prepared.reads(&kernel->call, t->stage, k, part);
    }
    return need_item(s, in->base, span);
}

/* What a part of a tile pass reads by its load k. */
static need need_of_load(const scheduling *s, const cti_task *t, int64_t part, int64_t k) {
    const cti_tiles *tiles = &pass_of(s, t)->tiles;
    const cti_load *load = &tiles->loads[k];
    ct_span span = all_of(&s->plan->items[load->item]);
    if (load->kind == CTI_LINEAR && t->bundle == 1) {
        span = cti_part_elements(tiles, part);
        span.first += load->offset;
        span.last += load->offset;
    }
    return need_item(s, load->item, span);
}

/* A later stage of a kernel depends on all of the one before, a combined result on its chunks. */
static need need_of_stage(const scheduling *s, const cti_task *t, int64_t part) {
    const cti_task *before = t - 1;
    const cti_pass *pass = pass_of(s, t);
    if (is_first(s, t)) return (need){0};
    int64_t task = before - s->plan->tasks;
    bool whole = pass->kind == CTI_KERNEL || t->bundle > 1 || before->bundle > 1;
    if (whole) return (need){task, 0, before->parts};
    int64_t chunks = pass->tiles.chunks;
    return (need){task, part * chunks, (part + 1) * chunks};
}

/* --- Phases --------------------------------------------------------------------------------- */

static bool is_small(const scheduling *s, const cti_task *t) {
    const cti_pass *pass = pass_of(s, t);
    bool kernel = pass->kind == CTI_KERNEL;
    return (kernel ? s->plan->items[pass->kernel.item].numel : pass->tiles.numel) <= SMALL;
}

/* Of a task, while to count them costs less than what is saved. */
#define MOST_COUNTED 1024

/* A sum over grains reads what was written for each of them: at once, before other work of the
 * phase takes the caches, even if one thread has all parts at first, as others help. */
static bool sums_at_once(const scheduling *s, const cti_task *t, int64_t wanted) {
    const cti_pass *pass = pass_of(s, t);
    if (pass->kind != CTI_KERNEL || wanted > MOST_COUNTED / t->parts) return false;
    return s->plan->items[pass->kernel.item].op->sums_grains;
}

/* Whether a task may be in the phase of another that it depends on, with counted dependencies
 * between parts. Not if each part depends on nearly all of the other task: then they would all
 * become ready at the same moment, on one thread. */
static bool follows(const scheduling *s, const cti_task *t, const cti_task *before,
                    int64_t wanted) {
    if (before->depth >= MAX_CHAIN || pass_of(s, before)->kind == CTI_EXCHANGE) return false;
    if (sums_at_once(s, t, wanted)) return true;
    if (t->parts == 1) return !is_first(s, t) || is_small(s, t);
    return wanted <= 2 * (before->parts / t->parts) + 4 && wanted < before->parts;
}

/* Takes the task to the phase that a need of its part asks for, and keeps those needs alone that
 * are in its phase: what is kept are the edges between parts, however many parts and inputs there
 * are. */
static ct_status depend(scheduling *s, cti_task *t, int64_t part, need on) {
    int64_t k = t - s->plan->tasks;
    const cti_task *before = &s->plan->tasks[on.task];
    if (on.from >= on.to) return CT_OK;
    int64_t phase = before->phase + !follows(s, t, before, on.to - on.from);
    if (phase > t->phase) {
        t->phase = phase;
        t->depth = 0;
        s->n = k ? s->end[k - 1] : 0;
    }
    if (before->phase != t->phase) return CT_OK;
    if (t->depth <= before->depth) t->depth = before->depth + 1;
    if (!cti_reserve(&s->dependencies, &s->max, s->n + 1, sizeof *s->dependencies)) {
        return CT_ERR_MEMORY;
    }
    s->dependencies[s->n++] = (dependency){part, on};
    return CT_OK;
}

/* What is exchanged is complete before, and what reads it comes after. There is one exchange in a
 * phase, in the order of the passes, which is the same on all ranks. */
static void choose_phase_of_exchange(scheduling *s, cti_task *t) {
    const cti_exchanged *exchange = &pass_of(s, t)->exchange;
    t->phase = s->exchanged + 1;
    for (int64_t k = 0; k < exchange->n; k++) {
        const cti_plan *plan = s->plan;
        int64_t task = s->task_of[cti_base_of(plan, &plan->items[exchange->items[k]], 0)];
        if (task >= 0) t->phase = cti_most(t->phase, plan->tasks[task].phase + 1);
    }
    s->exchanged = t->phase;
}

static ct_status choose_phase(scheduling *s, cti_task *t) {
    const cti_pass *pass = pass_of(s, t);
    bool kernel = pass->kind == CTI_KERNEL;
    if (pass->kind == CTI_EXCHANGE) {
        choose_phase_of_exchange(s, t);
        return CT_OK;
    }
    int64_t n = kernel ? pass->kernel.call.n_inputs : is_first(s, t) ? pass->tiles.n_loads : 0;
    for (int64_t part = 0; part < t->parts; part++) {
        ct_status status = depend(s, t, part, need_of_stage(s, t, part));
        for (int64_t k = 0; k < n && status == CT_OK; k++) {
            status = depend(s, t, part,
                            kernel ? need_of_input(s, t, part, (int)k)
                                   : need_of_load(s, t, part, k));
        }
        if (status != CT_OK) return status;
    }
    return CT_OK;
}

/* A task is chained if all of its parts have dependencies in its phase. If only some have, it moves
 * to the next phase, where none has. An exchange counts as chained: it is no root. */
static void choose_chain(scheduling *s, cti_task *t) {
    int64_t k = t - s->plan->tasks, begin = k ? s->end[k - 1] : 0, waiting = 0;
    for (int64_t d = begin; d < s->n; d++) {
        waiting += d == begin || s->dependencies[d].part != s->dependencies[d - 1].part;
    }
    t->chained = waiting == t->parts || pass_of(s, t)->kind == CTI_EXCHANGE;
    if (waiting > 0 && !t->chained) {
        t->phase++;
        t->depth = 0;
        s->n = begin;
    }
    s->end[k] = s->n;
}

/* --- Beside exchanges ------------------------------------------------------------------------- */

/* The first phase in which some task reads what another has written, as far as it is known. */
static void read_in(const scheduling *s, int64_t *first_read, int64_t item, int64_t phase) {
    int64_t task = s->task_of[item];
    if (task >= 0) first_read[task] = cti_least(first_read[task], phase);
}

static void note_reads(const scheduling *s, const cti_task *t, int64_t *first_read) {
    const cti_plan *plan = s->plan;
    const cti_pass *pass = pass_of(s, t);
    const int64_t *items;
    int64_t n = cti_pass_items(pass, &items), k = t - plan->tasks;
    if (!is_first(s, t)) first_read[k - 1] = cti_least(first_read[k - 1], t->phase);
    if (cti_has_tiles(pass)) {
        for (int64_t i = 0; i < pass->tiles.n_loads && is_first(s, t); i++) {
            read_in(s, first_read, pass->tiles.loads[i].item, t->phase);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const cti_item *item = &plan->items[items[i]];
        for (int j = 0; j < item->n_inputs; j++) {
            read_in(s, first_read, cti_base_of(plan, item, j), t->phase);
        }
    }
}

/* What nobody reads before the next exchange is over is computed beside it. Its dependencies are
 * in earlier phases then. Readers are looked at first, as they may have moved themselves. */
static ct_status move_beside_exchanges(scheduling *s) {
    cti_plan *plan = s->plan;
    size_t tasks = (size_t)plan->n_tasks;
    if (s->exchanged < 0) return CT_OK;
    int64_t *first_read = cti_zone_alloc(s->work, tasks, sizeof *first_read);
    int64_t *next = cti_zone_alloc(s->work, (size_t)s->exchanged + 1, sizeof *next);
    if (!first_read || !next) return CT_ERR_MEMORY;
    for (int64_t k = 0; k <= s->exchanged; k++) next[k] = -1;
    for (int64_t k = 0; k < plan->n_tasks; k++) {
        const cti_task *t = &plan->tasks[k];
        first_read[k] = INT64_MAX;
        if (pass_of(s, t)->kind == CTI_EXCHANGE) next[t->phase] = t->phase;
    }
    for (int64_t k = s->exchanged - 1; k >= 0; k--) {
        if (next[k] < 0) next[k] = next[k + 1];
    }
    for (int64_t k = plan->n_tasks - 1; k >= 0; k--) {
        cti_task *t = &plan->tasks[k];
        int64_t exchange = t->phase < s->exchanged ? next[t->phase + 1] : INT64_MAX;
        if (pass_of(s, t)->kind != CTI_EXCHANGE && exchange < first_read[k]) {
            *t = (cti_task){t->pass, t->stage, t->bundle, t->parts, .phase = exchange};
        }
        note_reads(s, t, first_read);
    }
    return CT_OK;
}

/* --- Numbers ---------------------------------------------------------------------------------- */

/* Counts a task's dependencies within its phase; with room for them, stores the successors. */
static void link_parts(scheduling *s, int64_t task, int64_t *successors) {
    cti_plan *plan = s->plan;
    const cti_task *t = &plan->tasks[task];
    for (int64_t d = task ? s->end[task - 1] : 0; d < s->end[task]; d++) {
        need on = s->dependencies[d].on;
        if (plan->tasks[on.task].phase != t->phase) continue;
        int64_t number = t->first + s->dependencies[d].part;
        int64_t first = plan->tasks[on.task].first;
        for (int64_t p = first + on.from; p < first + on.to; p++) {
            if (successors) successors[plan->successor_end[p]] = number;
            else plan->waits[number]++;
            plan->successor_end[p]++;
        }
    }
}

static int by_phase(const void *a, const void *b) {
    const cti_task *x = *(cti_task *const *)a, *y = *(cti_task *const *)b;
    if (x->phase != y->phase) return x->phase < y->phase ? -1 : 1;
    if (x->chained != y->chained) return x->chained ? 1 : -1;
    return (x > y) - (x < y);
}

/* Numbers the phases that still have tasks, and the parts by phase, those without a dependency in
 * it (its roots) first. */
static ct_status number_parts(scheduling *s) {
    cti_plan *plan = s->plan;
    cti_task **order = cti_zone_alloc(s->work, (size_t)plan->n_tasks, sizeof *order);
    plan->phases = cti_zone_alloc(plan->zone, (size_t)plan->n_tasks, sizeof *plan->phases);
    if (!order || !plan->phases) return CT_ERR_MEMORY;
    for (int64_t k = 0; k < plan->n_tasks; k++) order[k] = &plan->tasks[k];
    qsort(order, (size_t)plan->n_tasks, sizeof *order, by_phase);
    int64_t first = 0, before = -1;
    for (int64_t k = 0; k < plan->n_tasks; k++) {
        cti_task *t = order[k];
        if (t->phase != before) {
            plan->phases[plan->n_phases++] = (cti_phase){.first = first, .exchange = -1};
        }
        before = t->phase;
        t->phase = plan->n_phases - 1;
        cti_phase *phase = &plan->phases[t->phase];
        t->first = first;
        first += t->parts;
        if (pass_of(s, t)->kind == CTI_EXCHANGE) phase->exchange = t->first;
        if (!t->chained) phase->roots = first - phase->first;
    }
    plan->n_parts = first;
    return CT_OK;
}

/* Compressed rows: successor_end[p] first counts the successors of p, then is the beginning of its
 * row by a prefix sum, and advances to the end of the row while they are stored. */
static ct_status link_all(scheduling *s) {
    cti_plan *plan = s->plan;
    size_t n = (size_t)plan->n_parts;
    plan->successor_end = cti_zone_alloc(plan->zone, n, sizeof *plan->successor_end);
    plan->waits = cti_zone_alloc(plan->zone, n, sizeof *plan->waits);
    plan->task_of_part = cti_zone_alloc(plan->zone, n, sizeof *plan->task_of_part);
    if (!plan->successor_end || !plan->waits || !plan->task_of_part) return CT_ERR_MEMORY;
    for (int64_t k = 0; k < plan->n_tasks; k++) {
        link_parts(s, k, NULL);
        for (int64_t p = 0; p < plan->tasks[k].parts; p++) {
            plan->task_of_part[plan->tasks[k].first + p] = k;
        }
    }
    int64_t edges = 0;
    for (int64_t p = 0; p < plan->n_parts; p++) {
        int64_t count = plan->successor_end[p];
        plan->successor_end[p] = edges;
        edges += count;
    }
    plan->successors = cti_zone_alloc(plan->zone, (size_t)edges, sizeof *plan->successors);
    if (!plan->successors) return CT_ERR_MEMORY;
    for (int64_t k = 0; k < plan->n_tasks; k++) link_parts(s, k, plan->successors);
    return CT_OK;
}

/* --- Order of roots ------------------------------------------------------------------------- */

typedef struct {
    double place; /* position in its task, from 0 to 1 */
    int64_t number;
} turn;

static int by_place(const void *left, const void *right) {
    const turn *a = left, *b = right;
    if (a->place != b->place) return a->place < b->place ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* Interleaves the roots of a phase by their relative positions in their tasks: parts of different
 * tasks at the same position tend to read the same rows, and so run near each other. */
static ct_status take_turns(scheduling *s) {
    cti_plan *plan = s->plan;
    turn *turns = cti_zone_alloc(s->work, (size_t)plan->n_parts, sizeof *turns);
    plan->turns = cti_zone_alloc(plan->zone, (size_t)plan->n_parts, sizeof *plan->turns);
    if (!turns || !plan->turns) return CT_ERR_MEMORY;
    for (int64_t n = 0; n < plan->n_parts; n++) {
        const cti_task *t = &plan->tasks[plan->task_of_part[n]];
        turns[n] = (turn){((double)(n - t->first) + 0.5) / (double)t->parts, n};
    }
    for (int64_t p = 0; p < plan->n_phases; p++) {
        const cti_phase *phase = &plan->phases[p];
        qsort(turns + phase->first, (size_t)phase->roots, sizeof *turns, by_place);
    }
    for (int64_t n = 0; n < plan->n_parts; n++) plan->turns[n] = turns[n].number;
    return CT_OK;
}

/* --- The whole ------------------------------------------------------------------------------ */

static void add_tasks(scheduling *s, int64_t p) {
    cti_plan *plan = s->plan;
    const cti_pass *pass = &plan->passes[p];
    s->first_of[p] = plan->n_tasks;
    int64_t last = -1;
    for (int stage = 0; stage < CT_KERNEL_STAGES; stage++) {
        if (pass->parts[stage] == 0) continue;
        int64_t bundle = cti_divide_up(pass->parts[stage], MOST_PARTS);
        last = plan->n_tasks++;
        plan->tasks[last] = (cti_task){.pass = p,
                                       .stage = stage,
                                       .bundle = bundle,
                                       .parts = cti_divide_up(pass->parts[stage], bundle)};
    }
    if (last < 0) return;
    if (!cti_has_tiles(pass)) {
        const int64_t *items;
        int64_t n = cti_pass_items(pass, &items);
        for (int64_t k = 0; k < n; k++) s->task_of[items[k]] = last;
        return;
    }
    const cti_tiles *t = &pass->tiles;
    for (int64_t k = 0; k < t->n_stores; k++) {
        s->task_of[t->operands[t->stores[k]].item] = s->first_of[p];
    }
    for (int64_t k = 0; k < t->n_reductions; k++) s->task_of[t->reductions[k].item] = last;
}

static ct_status schedule(scheduling *s) {
    cti_plan *plan = s->plan;
    for (int64_t i = 0; i < plan->n_items; i++) s->task_of[i] = -1;
    for (int64_t p = 0; p < plan->n_passes; p++) add_tasks(s, p);
    for (int64_t k = 0; k < plan->n_tasks; k++) {
        if (choose_phase(s, &plan->tasks[k]) != CT_OK) return CT_ERR_MEMORY;
        choose_chain(s, &plan->tasks[k]);
    }
    if (move_beside_exchanges(s) != CT_OK) return CT_ERR_MEMORY;
    if (number_parts(s) != CT_OK) return CT_ERR_MEMORY;
    if (link_all(s) != CT_OK) return CT_ERR_MEMORY;
    return take_turns(s);
}

ct_status cti_plan_schedule(cti_planning *p) {
    cti_plan *plan = p->plan;
    size_t items = (size_t)plan->n_items, passes = (size_t)plan->n_passes;
    size_t tasks = CT_KERNEL_STAGES * passes;
    plan->tasks = cti_zone_alloc(plan->zone, tasks, sizeof *plan->tasks);
    scheduling s = {.plan = plan,
                    .exchanged = -1,
                    .work = &p->work,
                    .task_of = cti_zone_alloc(&p->work, items, sizeof *s.task_of),
                    .first_of = cti_zone_alloc(&p->work, passes, sizeof *s.first_of),
                    .end = cti_zone_alloc(&p->work, tasks, sizeof *s.end)};
    bool ready = plan->tasks && s.task_of && s.first_of && s.end;
    ct_status status = ready ? schedule(&s) : CT_ERR_MEMORY;
    cti_free(s.dependencies);
    return status;
}
