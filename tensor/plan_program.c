/* The program of a tile pass: loads, instructions on slots, stores, reductions.
 * It does not choose what is in the pass; plan_fuse.c did.
 * How it is cut into parts and tiles is plan_partition.c's business.
 * Invariant: every slot is written before it is read. */
#include "tensor/plan.h"

#include "tensor/mem.h"

#include <string.h>

/* Tiles do not begin at the same place of a page: a processor that compares the low bits of
 * addresses would hold a load back for the store to another tile. */
#define STAGGER 320

static int64_t at_least(int64_t low, int64_t value) { return value > low ? value : low; }

/* --- Slots ------------------------------------------------------------------------------------ */

typedef struct {
    cti_plan *plan;
    cti_pass *pass;
    const int64_t *members;
    int64_t n_members;
    int64_t *slot_of;    /* position in members -> slot                */
    int64_t *readers;    /* position -> how often members read it      */
    int64_t *inner;      /* position -> the member that runs in the same loop before it, or -1 */
    int64_t *outer;      /* position -> the member whose loop it runs in, or -1 */
    int64_t *last_use;   /* slot -> last instruction that reads it; INT64_MAX: a reduction */
    int64_t *free_registers, n_free;
} programming;

/* Position of an item among the members (ascending), or -1. */
static int64_t member_of(const programming *p, int64_t item) {
    int64_t low = 0, high = p->n_members;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (p->members[middle] < item) low = middle + 1;
        else high = middle;
    }
    return low < p->n_members && p->members[low] == item ? low : -1;
}

static int64_t load_slot(programming *p, int64_t edge) {
    const cti_item *in = &p->plan->items[edge];
    cti_pass *pass = p->pass;
    cti_load load = cti_load_of(in);
    for (int64_t k = 0; k < pass->n_loads; k++) {
        if (memcmp(&pass->loads[k], &load, sizeof load) == 0) return k;
    }
    int64_t k = pass->n_loads++;
    pass->loads[k] = load;
    pass->slots[pass->n_slots] = (cti_slot){-1, k, -1, load.size};
    return pass->n_slots++;
}

/* Loads come before the instructions, so a slot number below n_loads is its load. */
static void collect_loads(programming *p) {
    for (int64_t m = 0; m < p->n_members; m++) {
        const cti_item *item = &p->plan->items[p->members[m]];
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t edge = p->plan->edges[item->edges + k];
            const cti_item *in = &p->plan->items[edge];
            if (!in->whole || member_of(p, in->base) < 0) load_slot(p, edge);
        }
    }
}

static int64_t input_slot(programming *p, int64_t edge) {
    const cti_item *in = &p->plan->items[edge];
    int64_t member = in->whole ? member_of(p, in->base) : -1;
    return member >= 0 ? p->slot_of[member] : load_slot(p, edge);
}

/* --- Pairs ------------------------------------------------------------------------------------ */

static const cti_item *member(const programming *p, int64_t m) {
    return &p->plan->items[p->members[m]];
}

/* The member that input k of a member reads, or -1. */
static int64_t member_read(const programming *p, const cti_item *item, int k) {
    const cti_item *in = &p->plan->items[p->plan->edges[item->edges + k]];
    return in->whole ? member_of(p, in->base) : -1;
}

static ct_dtype tile_dtype(const programming *p, const cti_item *item) {
    return item->n_inputs ? p->plan->items[p->plan->edges[item->edges]].dtype : item->dtype;
}

static const ct_tile_pair *find_pair(const programming *p, const cti_item *item, int k,
                                const cti_item *inner) {
    for (const ct_tile_pair *pair = item->op->pairs; pair && pair->inner; pair++) {
        if (pair->inner == inner->op && pair->at == k && pair->tile[tile_dtype(p, item)] &&
            tile_dtype(p, inner) == tile_dtype(p, item)) {
            return pair;
        }
    }
    return NULL;
}

/* Which members run in one loop with a later one: those that nobody else reads. A loop takes two,
 * the later ones first. */
static void find_pairs(programming *p) {
    for (int64_t m = 0; m < p->n_members; m++) p->inner[m] = p->outer[m] = -1;
    for (int64_t m = 0; m < p->n_members; m++) {
        const cti_item *item = member(p, m);
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t read = member_read(p, item, k);
            if (read >= 0) p->readers[read]++;
        }
    }
    for (int64_t m = p->n_members - 1; m >= 0; m--) {
        const cti_item *item = member(p, m);
        if (p->outer[m] >= 0) continue;
        for (int k = 0; k < item->n_inputs && p->inner[m] < 0; k++) {
            int64_t read = member_read(p, item, k);
            if (read < 0 || p->readers[read] > 1 || member(p, read)->stored) continue;
            if (!find_pair(p, item, k, member(p, read))) continue;
            p->inner[m] = read;
            p->outer[read] = m;
        }
    }
}

/* --- Instructions ----------------------------------------------------------------------------- */

static void add_input(programming *p, cti_instruction *code, int64_t edge) {
    int64_t slot = input_slot(p, edge);
    p->pass->inputs[p->pass->n_inputs++] = slot;
    code->n_inputs++;
    p->last_use[slot] = at_least(p->last_use[slot], p->pass->n_instructions - 1);
}

static void add_instruction(programming *p, int64_t m) {
    cti_pass *pass = p->pass;
    const cti_item *item = member(p, m), *inner = NULL;
    ct_tile_fn *tile = item->op->tile[tile_dtype(p, item)];
    int joined = -1;
    if (p->inner[m] >= 0) {
        inner = member(p, p->inner[m]);
        for (joined = 0; member_read(p, item, joined) != p->inner[m];) joined++;
        tile = find_pair(p, item, joined, inner)->tile[tile_dtype(p, item)];
    }
    cti_instruction *code = &pass->instructions[pass->n_instructions++];
    *code = (cti_instruction){.item = p->members[m],
                              .before = inner ? p->members[p->inner[m]] : -1,
                              .tile = tile,
                              .attr = item->attr,
                              .inputs = pass->n_inputs,
                              .out = pass->n_slots};
    for (int k = 0; inner && k < inner->n_inputs; k++) {
        add_input(p, code, p->plan->edges[inner->edges + k]);
    }
    for (int k = 0; k < item->n_inputs; k++) {
        if (k != joined) add_input(p, code, p->plan->edges[item->edges + k]);
    }
    pass->slots[pass->n_slots] = (cti_slot){
        item->stored ? p->members[m] : -1, -1, -1, ct_dtype_size(item->dtype)};
    if (item->stored) pass->stores[pass->n_stores++] = pass->n_slots;
    p->slot_of[m] = pass->n_slots++;
}

static void add_reduction(programming *p, int64_t m) {
    const cti_item *item = &p->plan->items[p->members[m]];
    int64_t slot = input_slot(p, p->plan->edges[item->edges]);
    p->pass->reductions[p->pass->n_reductions++] =
        (cti_reduction){.slot = slot,
                        .item = p->members[m],
                        .reduce = item->op->reduce[item->dtype],
                        .start = item->op->start[item->dtype],
                        .size = ct_dtype_size(item->dtype)};
    p->last_use[slot] = INT64_MAX;
}

/* Registers are taken when a slot is written and given back after its last reader. */
static void assign_registers(programming *p) {
    cti_pass *pass = p->pass;
    for (int64_t i = 0; i < pass->n_instructions; i++) {
        const cti_instruction *code = &pass->instructions[i];
        cti_slot *out = &pass->slots[code->out];
        if (out->item < 0) {
            out->reg = p->n_free ? p->free_registers[--p->n_free] : pass->n_registers++;
        }
        for (int k = 0; k < code->n_inputs; k++) {
            int64_t slot = pass->inputs[code->inputs + k];
            bool again = false;
            for (int j = 0; j < k; j++) again |= pass->inputs[code->inputs + j] == slot;
            if (pass->slots[slot].reg >= 0 && p->last_use[slot] == i && !again) {
                p->free_registers[p->n_free++] = pass->slots[slot].reg;
            }
        }
    }
}

/* Scratch of a thread: pointers, registers, a tile per expanded or gathered load, accumulators. */
static void lay_out_scratch(cti_pass *pass) {
    size_t widest = 1;
    int64_t operands = 0;
    for (int64_t s = 0; s < pass->n_slots; s++) {
        if (pass->slots[s].size > widest) widest = pass->slots[s].size;
    }
    for (int64_t i = 0; i < pass->n_instructions; i++) {
        operands = at_least(operands, pass->instructions[i].n_inputs);
    }
    pass->pointer_bytes = ((size_t)(pass->n_slots + operands) * sizeof(void *) + 63) / 64 * 64;
    pass->register_bytes = ((size_t)pass->tile * widest + 63) / 64 * 64 + STAGGER;
    size_t at = pass->pointer_bytes;
    at += (size_t)(pass->n_registers + pass->n_loads) * pass->register_bytes;
    for (int64_t r = 0; r < pass->n_reductions; r++) {
        pass->reductions[r].scratch = (int64_t)at;
        at += ((size_t)pass->accumulator * pass->reductions[r].size + 63) / 64 * 64;
    }
    pass->scratch_bytes = at;
}

static ct_status program_alloc(programming *p, int64_t edges) {
    cti_pass *pass = p->pass;
    size_t n = (size_t)p->n_members, e = (size_t)edges;
    pass->loads = cti_alloc(e, sizeof *pass->loads);
    pass->instructions = cti_alloc(n, sizeof *pass->instructions);
    pass->inputs = cti_alloc(e, sizeof *pass->inputs);
    pass->slots = cti_alloc(n + e, sizeof *pass->slots);
    pass->stores = cti_alloc(n, sizeof *pass->stores);
    pass->reductions = cti_alloc(n, sizeof *pass->reductions);
    p->slot_of = cti_alloc(n, sizeof *p->slot_of);
    p->readers = cti_alloc(n, sizeof *p->readers);
    p->inner = cti_alloc(n, sizeof *p->inner);
    p->outer = cti_alloc(n, sizeof *p->outer);
    p->last_use = cti_alloc(n + e, sizeof *p->last_use);
    p->free_registers = cti_alloc(n, sizeof *p->free_registers);
    bool ready = pass->loads && pass->instructions && pass->inputs && pass->slots &&
                 pass->stores && pass->reductions && p->slot_of && p->readers && p->inner &&
                 p->outer && p->last_use && p->free_registers;
    return ready ? CT_OK : CT_ERR_MEMORY;
}

ct_status cti_plan_program(cti_plan *plan, cti_pass *pass, const int64_t members[], int64_t n) {
    programming p = {.plan = plan, .pass = pass, .members = members, .n_members = n};
    int64_t edges = 0;
    for (int64_t m = 0; m < n; m++) edges += plan->items[members[m]].n_inputs;
    ct_status status = program_alloc(&p, edges);
    if (status == CT_OK) {
        collect_loads(&p);
        find_pairs(&p);
        for (int64_t m = 0; m < n; m++) {
            if (p.outer[m] >= 0) continue;
            if (plan->items[members[m]].op->kind == CT_MAP) add_instruction(&p, m);
            else add_reduction(&p, m);
        }
        assign_registers(&p);
        cti_pass_partition(pass);
        lay_out_scratch(pass);
    }
    cti_free(p.slot_of);
    cti_free(p.readers);
    cti_free(p.inner);
    cti_free(p.outer);
    cti_free(p.last_use);
    cti_free(p.free_registers);
    return status;
}
