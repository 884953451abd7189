/* Placing: where everything lies. Stored values get bytes of one arena, by liveness; what a pass
 * needs while it runs gets bytes of a thread's scratch.
 * Roots and leaves are not in the arena: they outlive the run.
 * Invariant: two values whose lives touch the same phase never overlap. */
#include "tensor/plan/arena.h"
#include "tensor/plan/planning.h"

/* Tiles do not begin at the same place of a page: a processor that compares the low bits of
 * addresses would hold a load back for the store to another tile. */
#define STAGGER 320

static size_t whole_lines(size_t bytes) { return (bytes + CTI_LINE - 1) / CTI_LINE * CTI_LINE; }

/* --- Scratch ---------------------------------------------------------------------------------- */

static int64_t n_pointers(const cti_tiles *t) { return t->n_operands + t->n_inputs; }

/* Where pointers begin and where they are, registers, a tile per expanded or gathered load,
 * accumulators. */
static void lay_out_scratch(cti_pass *pass) {
    cti_tiles *t = &pass->tiles;
    size_t widest = 1;
    for (int64_t s = 0; s < t->n_operands; s++) {
        if (t->operands[s].size > widest) widest = t->operands[s].size;
    }
    size_t at = whole_lines(2 * (size_t)n_pointers(t) * sizeof(void *));
    t->registers = (int64_t)at;
    t->register_bytes = whole_lines((size_t)t->tile * widest) + STAGGER;
    at += (size_t)(t->n_registers + t->n_loads) * t->register_bytes;
    for (int64_t r = 0; r < t->n_reductions; r++) {
        t->reductions[r].scratch = (int64_t)at;
        at += whole_lines((size_t)t->accumulator * t->reductions[r].size);
    }
    pass->scratch_bytes = at;
}

static cti_pointer operand_pointer(const cti_tiles *t, const cti_operand *operand) {
    if (operand->item >= 0) return (cti_pointer){operand->item, 0, operand->size};
    if (operand->load < 0) {
        return (cti_pointer){-1, t->registers + operand->reg * (int64_t)t->register_bytes, 0};
    }
    const cti_load *load = &t->loads[operand->load];
    if (load->kind == CTI_LINEAR) {
        return (cti_pointer){load->item, load->offset * (int64_t)load->size, load->size};
    }
    return (cti_pointer){-1, cti_load_tile(t, operand->load), 0};
}

static ct_status set_pointers(cti_zone *zone, cti_tiles *t) {
    t->pointers = cti_zone_alloc(zone, (size_t)n_pointers(t), sizeof *t->pointers);
    t->moving = cti_zone_alloc(zone, (size_t)n_pointers(t), sizeof *t->moving);
    if (!t->pointers || !t->moving) return CT_ERR_MEMORY;
    for (int64_t s = 0; s < t->n_operands; s++) {
        t->pointers[s] = operand_pointer(t, &t->operands[s]);
    }
    for (int64_t k = 0; k < t->n_inputs; k++) {
        t->pointers[t->n_operands + k] = t->pointers[t->inputs[k]];
    }
    for (int64_t k = 0; k < n_pointers(t); k++) {
        if (t->pointers[k].size > 0) t->moving[t->n_moving++] = k;
    }
    return CT_OK;
}

static ct_status place_scratch(cti_plan *plan) {
    for (int64_t k = 0; k < plan->n_passes; k++) {
        cti_pass *pass = &plan->passes[k];
        if (cti_has_tiles(pass)) {
            lay_out_scratch(pass);
            if (set_pointers(plan->zone, &pass->tiles) != CT_OK) return CT_ERR_MEMORY;
        }
        if (pass->scratch_bytes > plan->scratch_bytes) plan->scratch_bytes = pass->scratch_bytes;
    }
    plan->scratch_bytes = whole_lines(plan->scratch_bytes);
    return CT_OK;
}

/* --- Lives ------------------------------------------------------------------------------------ */

static void read_at(cti_plan *plan, int64_t item, int64_t phase) {
    cti_item *base = &plan->items[plan->items[item].base];
    if (phase > base->last_phase) base->last_phase = phase;
}

static void read_around(cti_plan *plan, int64_t i, int64_t phase) {
    const cti_item *item = &plan->items[i];
    read_at(plan, i, phase);
    for (int k = 0; k < item->n_inputs; k++) read_at(plan, plan->edges[item->edges + k], phase);
}

/* The passes are the readers, not the edges: a recomputed value reads its inputs again later. The
 * stages of a pass may be in different phases; its output lives through all of them. */
static void find_lives(cti_plan *plan) {
    for (int64_t k = 0; k < plan->n_tasks; k++) {
        const cti_task *task = &plan->tasks[k];
        const cti_pass *pass = &plan->passes[task->pass];
        const int64_t *items;
        int64_t n = cti_pass_items(pass, &items);
        if (!cti_has_tiles(pass)) {
            for (int64_t i = 0; i < n; i++) read_around(plan, items[i], task->phase);
            continue;
        }
        const cti_tiles *t = &pass->tiles;
        for (int64_t i = 0; i < t->n_loads; i++) read_at(plan, t->loads[i].item, task->phase);
        for (int64_t i = 0; i < t->n_stores; i++) {
            read_at(plan, t->operands[t->stores[i]].item, task->phase);
        }
        for (int64_t i = 0; i < t->n_reductions; i++) {
            read_at(plan, t->reductions[i].item, task->phase);
        }
    }
}

/* --- Arena ------------------------------------------------------------------------------------ */

static void place_item(cti_plan *plan, cti_arena *arena, int64_t i) {
    cti_item *item = &plan->items[i];
    if (item->base != i || !item->op || item->place == CTI_ROOT) return;
    if (!item->stored) return;
    item->place = CTI_ARENA;
    item->where = cti_arena_place(arena, item->numel * (int64_t)ct_dtype_size(item->dtype),
                                  item->last_phase);
}

static void place_tiles(cti_plan *plan, cti_arena *arena, cti_pass *pass, int64_t last_phase) {
    cti_tiles *t = &pass->tiles;
    for (int64_t k = 0; k < t->n_stores; k++) {
        place_item(plan, arena, t->operands[t->stores[k]].item);
    }
    for (int64_t k = 0; k < t->n_reductions; k++) {
        cti_reduction *r = &t->reductions[k];
        place_item(plan, arena, r->item);
        if (pass->parts[1] == 0) continue;
        int64_t partials = t->geometry.outer * t->chunks * t->geometry.inner;
        r->partials = cti_arena_place(arena, partials * (int64_t)r->size, last_phase);
    }
}

static void place_pass(cti_plan *plan, cti_arena *arena, cti_pass *pass, int64_t last_phase) {
    if (cti_has_tiles(pass)) {
        place_tiles(plan, arena, pass, last_phase);
        return;
    }
    const int64_t *items;
    int64_t n = cti_pass_items(pass, &items), bytes = 0;
    for (int64_t k = 0; k < n; k++) place_item(plan, arena, items[k]);
    if (pass->kind == CTI_KERNEL) bytes = (int64_t)pass->kernel.prepared.workspace;
    if (bytes) pass->kernel.workspace = cti_arena_place(arena, bytes, last_phase);
}

/* How many places of the arena the plan may take at most. */
static int64_t most_places(const cti_plan *plan) {
    int64_t places = plan->n_items + 1;
    for (int64_t p = 0; p < plan->n_passes; p++) {
        const cti_pass *pass = &plan->passes[p];
        places += 1 + (cti_has_tiles(pass) ? pass->tiles.n_reductions : 0);
    }
    return places;
}

static void find_roots(cti_plan *plan) {
    for (int64_t r = plan->graph.n_roots - 1; r >= 0; r--) {
        cti_item *base = &plan->items[plan->items[plan->roots[r]].base];
        if (base->place == CTI_LEAF) continue;
        base->place = CTI_ROOT;
        base->where = r;
    }
}

static int64_t last_task(const cti_plan *plan, int64_t k) {
    while (k + 1 < plan->n_tasks && plan->tasks[k + 1].pass == plan->tasks[k].pass) k++;
    return k;
}

/* The first tasks of the passes by the phase in which they begin: lists, linked by pass. */
static void find_begins(const cti_plan *plan, int64_t *begins, int64_t *next) {
    for (int64_t phase = 0; phase < plan->n_phases; phase++) begins[phase] = -1;
    for (int64_t k = plan->n_tasks - 1; k >= 0; k--) {
        const cti_task *t = &plan->tasks[k];
        if (k > 0 && plan->tasks[k - 1].pass == t->pass) continue;
        next[t->pass] = begins[t->phase];
        begins[t->phase] = k;
    }
}

static ct_status place_arena(cti_planning *p) {
    cti_plan *plan = p->plan;
    cti_arena arena;
    int64_t *next = cti_zone_alloc(&p->work, (size_t)plan->n_passes, sizeof *next);
    int64_t *begins = cti_zone_alloc(&p->work, (size_t)plan->n_phases, sizeof *begins);
    if (!next || !begins) return CT_ERR_MEMORY;
    if (cti_arena_new(&arena, &p->work, most_places(plan), plan->n_phases) != CT_OK) {
        return CT_ERR_MEMORY;
    }
    find_roots(plan);
    find_lives(plan);
    find_begins(plan, begins, next);
    for (int64_t phase = 0; phase < plan->n_phases; phase++) {
        for (int64_t k = begins[phase]; k >= 0; k = next[plan->tasks[k].pass]) {
            int64_t pass = plan->tasks[k].pass, last = plan->tasks[last_task(plan, k)].phase;
            place_pass(plan, &arena, &plan->passes[pass], last);
        }
        cti_arena_end_phase(&arena, phase);
    }
    plan->arena_bytes = (size_t)arena.most;
    plan->needed_bytes = (size_t)arena.most_in_use;
    return CT_OK;
}

ct_status cti_plan_place(cti_planning *p) {
    if (place_scratch(p->plan) != CT_OK) return CT_ERR_MEMORY;
    return place_arena(p);
}
