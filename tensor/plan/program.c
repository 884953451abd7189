/* The program of a tile pass: loads, instructions on slots, stores, reductions.
 * It does not choose what is in the pass; plan_fuse.c did.
 * How it is cut into parts and tiles is plan_partition.c's business.
 * Invariant: every slot is written before it is read. */
#include "tensor/plan/plan.h"

#include <string.h>

/* Tiles do not begin at the same place of a page: a processor that compares the low bits of
 * addresses would hold a load back for the store to another tile. */
#define STAGGER 320
/* Bytes; the second-level cache holds what is smaller, and a processor fetches from there fast
 * enough by itself. */
#define FAR 1e6

static int64_t at_least(int64_t low, int64_t value) { return value > low ? value : low; }

/* --- Slots ------------------------------------------------------------------------------------ */

typedef struct {
    cti_plan *plan;
    cti_pass *pass;
    const int64_t *members;
    int64_t n_members;
    int64_t *slot_of;           /* position in members -> slot */
    int64_t *readers;           /* position -> how often members read it */
    const ct_joint_loop **loop; /* position -> how it runs together with some that it reads */
    int64_t *outer;             /* position -> the member whose loop it runs in, or -1 */
    int64_t *last_use;          /* slot -> last instruction that reads it; INT64_MAX: a reduction */
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

static bool same_load(const cti_load *a, const cti_load *b) {
    size_t n = sizeof(int64_t) * (size_t)a->rank;
    return a->item == b->item && a->offset == b->offset && a->rank == b->rank &&
           memcmp(a->dims, b->dims, n) == 0 && memcmp(a->strides, b->strides, n) == 0;
}

static int64_t load_slot(programming *p, int64_t edge) {
    const cti_item *in = &p->plan->items[edge];
    cti_pass *pass = p->pass;
    cti_load load = cti_load_of(in);
    for (int64_t k = 0; k < pass->n_loads; k++) {
        if (same_load(&pass->loads[k], &load)) return k;
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

/* --- Joint loops ------------------------------------------------------------------------------ */

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

/* The op behind input k of a member, if the member may compute it by itself: nobody else reads it,
 * it is not stored, it has the member's dtype and a loop for itself. */
static const ct_op *op_behind(const programming *p, const cti_item *item, int k) {
    int64_t read = k < item->n_inputs ? member_read(p, item, k) : -1;
    if (read < 0 || p->readers[read] > 1 || member(p, read)->stored || p->loop[read]) return NULL;
    return tile_dtype(p, member(p, read)) == tile_dtype(p, item) ? member(p, read)->op : NULL;
}

static const ct_joint_loop *find_loop(const programming *p, const cti_item *item) {
    ct_dtype dtype = tile_dtype(p, item);
    for (const ct_joint_loop *loop = item->op->joint; loop; loop++) {
        bool map = item->op->kind == CT_MAP, joins = false;
        bool fits = map ? loop->tile[dtype] != NULL : loop->reduce[dtype] != NULL;
        for (int k = 0; k < CT_OP_JOINT; k++) {
            joins |= loop->inner[k] != NULL;
            fits &= !loop->inner[k] || loop->inner[k] == op_behind(p, item, k);
        }
        if (!joins) return NULL;
        if (fits) return loop;
    }
    return NULL;
}

/* Whether the loop of a member computes its input k. */
static bool is_joined(const programming *p, int64_t m, int k) {
    return p->loop[m] && k < CT_OP_JOINT && p->loop[m]->inner[k];
}

/* Which members run in one loop with a later one; the earlier ones choose first, because a sum of
 * two products takes three of them. */
static void find_loops(programming *p) {
    for (int64_t m = 0; m < p->n_members; m++) {
        const cti_item *item = member(p, m);
        p->outer[m] = -1;
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t read = member_read(p, item, k);
            if (read >= 0) p->readers[read]++;
        }
    }
    for (int64_t m = 0; m < p->n_members; m++) {
        p->loop[m] = find_loop(p, member(p, m));
        for (int k = 0; k < CT_OP_JOINT; k++) {
            if (is_joined(p, m, k)) p->outer[member_read(p, member(p, m), k)] = m;
        }
    }
}

/* --- Instructions ----------------------------------------------------------------------------- */

static int add_input(programming *p, int64_t edge, int64_t reader) {
    int64_t slot = input_slot(p, edge);
    p->pass->inputs[p->pass->n_inputs++] = slot;
    p->last_use[slot] = at_least(p->last_use[slot], reader);
    return 1;
}

/* The inputs of what the loop computes first, then the others of the member; returns how many.
 * `reader` is the instruction that reads them. */
static int add_inputs(programming *p, int64_t m, int64_t reader) {
    const cti_item *item = member(p, m);
    int n = 0;
    for (int k = 0; k < item->n_inputs; k++) {
        if (!is_joined(p, m, k)) continue;
        const cti_item *inner = member(p, member_read(p, item, k));
        for (int j = 0; j < inner->n_inputs; j++) {
            n += add_input(p, p->plan->edges[inner->edges + j], reader);
        }
    }
    for (int k = 0; k < item->n_inputs; k++) {
        if (!is_joined(p, m, k)) n += add_input(p, p->plan->edges[item->edges + k], reader);
    }
    return n;
}

/* What the loop computes first. */
static void note_before(const programming *p, int64_t m, int64_t before[CT_OP_JOINT]) {
    for (int k = 0; k < CT_OP_JOINT; k++) {
        bool joined = is_joined(p, m, k);
        before[k] = joined ? p->members[member_read(p, member(p, m), k)] : -1;
    }
}

static void add_instruction(programming *p, int64_t m) {
    cti_pass *pass = p->pass;
    const cti_item *item = member(p, m);
    const ct_joint_loop *loop = p->loop[m];
    cti_instruction *code = &pass->instructions[pass->n_instructions];
    *code = (cti_instruction){.item = p->members[m],
                              .tile = (loop ? loop->tile : item->op->tile)[tile_dtype(p, item)],
                              .attr = item->attr,
                              .inputs = pass->n_inputs};
    note_before(p, m, code->before);
    code->n_inputs = add_inputs(p, m, pass->n_instructions++);
    code->out = pass->n_slots;
    pass->slots[pass->n_slots] = (cti_slot){item->stored ? p->members[m] : -1, -1, -1,
                                            ct_dtype_size(item->dtype)};
    if (item->stored) pass->stores[pass->n_stores++] = pass->n_slots;
    p->slot_of[m] = pass->n_slots++;
}

/* Reductions read at the end of a tile, after all instructions. */
static void add_reduction(programming *p, int64_t m) {
    const cti_item *item = member(p, m);
    const ct_joint_loop *loop = p->loop[m];
    cti_reduction *r = &p->pass->reductions[p->pass->n_reductions++];
    *r = (cti_reduction){.item = p->members[m],
                         .reduce = (loop ? loop->reduce : item->op->reduce)[item->dtype],
                         .fold = item->op->reduce[item->dtype],
                         .start = item->op->start[item->dtype],
                         .inputs = p->pass->n_inputs,
                         .size = ct_dtype_size(item->dtype)};
    note_before(p, m, r->before);
    r->n_inputs = add_inputs(p, m, INT64_MAX);
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

static int64_t n_pointers(const cti_pass *pass) { return pass->n_slots + pass->n_inputs; }

/* Scratch of a thread: where pointers begin and where they are, registers, a tile per expanded or
 * gathered load, accumulators. */
static void lay_out_scratch(cti_pass *pass) {
    size_t widest = 1;
    for (int64_t s = 0; s < pass->n_slots; s++) {
        if (pass->slots[s].size > widest) widest = pass->slots[s].size;
    }
    size_t at = (2 * (size_t)n_pointers(pass) * sizeof(void *) + 63) / 64 * 64;
    pass->registers = (int64_t)at;
    pass->register_bytes = ((size_t)pass->tile * widest + 63) / 64 * 64 + STAGGER;
    at += (size_t)(pass->n_registers + pass->n_loads) * pass->register_bytes;
    for (int64_t r = 0; r < pass->n_reductions; r++) {
        pass->reductions[r].scratch = (int64_t)at;
        at += ((size_t)pass->accumulator * pass->reductions[r].size + 63) / 64 * 64;
    }
    pass->scratch_bytes = at;
}

static int64_t register_offset(const cti_pass *pass, int64_t reg) {
    return pass->registers + reg * (int64_t)pass->register_bytes;
}

int64_t cti_load_tile(const cti_pass *pass, int64_t k) {
    return register_offset(pass, pass->n_registers + k);
}

static cti_pointer slot_pointer(const cti_pass *pass, const cti_slot *slot) {
    if (slot->item >= 0) return (cti_pointer){slot->item, 0, slot->size};
    if (slot->load < 0) return (cti_pointer){-1, register_offset(pass, slot->reg), 0};
    const cti_load *load = &pass->loads[slot->load];
    if (load->kind == CTI_LINEAR) {
        return (cti_pointer){load->item, load->offset * (int64_t)load->size, load->size};
    }
    return (cti_pointer){-1, cti_load_tile(pass, slot->load), 0};
}

static void set_pointers(cti_pass *pass) {
    for (int64_t s = 0; s < pass->n_slots; s++) {
        pass->pointers[s] = slot_pointer(pass, &pass->slots[s]);
    }
    for (int64_t k = 0; k < pass->n_inputs; k++) {
        pass->pointers[pass->n_slots + k] = pass->pointers[pass->inputs[k]];
    }
    for (int64_t k = 0; k < n_pointers(pass); k++) {
        if (pass->pointers[k].size > 0) pass->moving[pass->n_moving++] = k;
    }
}

static ct_status program_alloc(programming *p, int64_t edges) {
    cti_pass *pass = p->pass;
    cti_zone *zone = &p->plan->zone, *work = p->plan->work;
    size_t n = (size_t)p->n_members, e = (size_t)edges;
    pass->loads = cti_zone_alloc(zone, e, sizeof *pass->loads);
    pass->instructions = cti_zone_alloc(zone, n, sizeof *pass->instructions);
    pass->inputs = cti_zone_alloc(zone, e, sizeof *pass->inputs);
    pass->slots = cti_zone_alloc(zone, n + e, sizeof *pass->slots);
    pass->stores = cti_zone_alloc(zone, n, sizeof *pass->stores);
    pass->reductions = cti_zone_alloc(zone, n, sizeof *pass->reductions);
    pass->pointers = cti_zone_alloc(zone, n + 2 * e, sizeof *pass->pointers);
    pass->moving = cti_zone_alloc(zone, n + 2 * e, sizeof *pass->moving);
    p->slot_of = cti_zone_alloc(work, n, sizeof *p->slot_of);
    p->readers = cti_zone_alloc(work, n, sizeof *p->readers);
    p->loop = cti_zone_alloc(work, n, sizeof *p->loop);
    p->outer = cti_zone_alloc(work, n, sizeof *p->outer);
    p->last_use = cti_zone_alloc(work, n + e, sizeof *p->last_use);
    p->free_registers = cti_zone_alloc(work, n, sizeof *p->free_registers);
    bool ready = pass->loads && pass->instructions && pass->inputs && pass->slots && pass->stores &&
                 pass->reductions && pass->pointers && pass->moving && p->slot_of && p->readers &&
                 p->loop && p->outer && p->last_use && p->free_registers;
    return ready ? CT_OK : CT_ERR_MEMORY;
}

ct_status cti_plan_program(cti_plan *plan, cti_pass *pass, const int64_t members[], int64_t n) {
    programming p = {.plan = plan, .pass = pass, .members = members, .n_members = n};
    pass->n_members = n;
    int64_t edges = 0;
    for (int64_t m = 0; m < n; m++) edges += plan->items[members[m]].n_inputs;
    ct_status status = program_alloc(&p, edges);
    if (status == CT_OK) {
        collect_loads(&p);
        find_loops(&p);
        for (int64_t m = 0; m < n; m++) {
            if (p.outer[m] >= 0) continue;
            if (plan->items[members[m]].op->kind == CT_MAP) add_instruction(&p, m);
            else add_reduction(&p, m);
        }
        assign_registers(&p);
        cti_pass_partition(pass);
        lay_out_scratch(pass);
        set_pointers(pass);
        for (int64_t k = 0; k < pass->n_loads; k++) {
            pass->gathers |= pass->loads[k].kind == CTI_GATHERED;
        }
        if (cti_pass_cost(plan, pass).bytes > FAR) {
            int64_t steps = pass->n_instructions + pass->n_reductions;
            int64_t line = CTI_LINE / (int64_t)sizeof(float);
            pass->fetched = (pass->tile / steps / line + 1) * line;
        }
    }
    return status;
}
