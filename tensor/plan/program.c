/* The program of a tile pass: loads, instructions on operands, stores, reductions, registers.
 * It does not choose what is in the pass (emit.c), nor how it is cut (cut.c).
 * Invariant: every operand is written before it is read. */
#include "tensor/plan/planning.h"

#include <string.h>

/* --- Loads ------------------------------------------------------------------------------------ */

/* Merges dimensions that are walked through as one. */
static void set_dims(cti_load *load, ct_shape shape, const ct_layout *layout) {
    load->rank = 0;
    for (int i = 0; i < shape.rank; i++) {
        int64_t dim = shape.dims[i], stride = layout->strides[i];
        if (dim == 1) continue;
        int last = load->rank - 1;
        if (last >= 0 && load->strides[last] == stride * dim) {
            load->dims[last] *= dim;
            load->strides[last] = stride;
        } else {
            load->dims[load->rank] = dim;
            load->strides[load->rank++] = stride;
        }
    }
}

static void classify(cti_load *load) {
    int r = load->rank;
    load->period = INT64_MAX;
    if (r == 1 && load->strides[0] == 0) load->period = 1;
    if (r == 2 && load->strides[0] == 0 && load->strides[1] == 1) load->period = load->dims[1];
    if (r == 0 || (r == 1 && load->strides[0] == 1)) load->kind = CTI_LINEAR;
    else load->kind = load->period <= CTI_TILE ? CTI_PERIODIC : CTI_GATHERED;
}

static cti_load load_of(const cti_item *in) {
    cti_load load = {
        .item = in->base, .offset = in->layout.offset, .size = ct_dtype_size(in->dtype)};
    set_dims(&load, in->shape, &in->layout);
    classify(&load);
    return load;
}

/* --- Operands ------------------------------------------------------------------------------------ */

typedef struct {
    cti_plan *plan;
    cti_tiles *tiles;
    int64_t *position;          /* item -> its position in members, from 1 on; 0: none */
    int64_t *operand_of;        /* position -> operand */
    int64_t *readers;           /* position -> how often members read it */
    const ct_joint_loop **loop; /* position -> how it runs together with some that it reads */
    int64_t *outer;             /* position -> the member whose loop it runs in, or -1 */
    int64_t *last_use; /* operand -> last instruction that reads it; INT64_MAX: a reduction */
    int64_t *free_registers, n_free;
} programming;

static bool same_load(const cti_load *a, const cti_load *b) {
    size_t n = sizeof(int64_t) * (size_t)a->rank;
    return a->item == b->item && a->offset == b->offset && a->rank == b->rank &&
           memcmp(a->dims, b->dims, n) == 0 && memcmp(a->strides, b->strides, n) == 0;
}

static int64_t load_operand(programming *p, int64_t edge) {
    const cti_item *in = &p->plan->items[edge];
    cti_tiles *tiles = p->tiles;
    cti_load load = load_of(in);
    for (int64_t k = 0; k < tiles->n_loads; k++) {
        if (same_load(&tiles->loads[k], &load)) return k;
    }
    int64_t k = tiles->n_loads++;
    tiles->loads[k] = load;
    tiles->operands[tiles->n_operands] = (cti_operand){-1, k, -1, load.size};
    return tiles->n_operands++;
}

/* Loads come before the instructions, so a operand number below n_loads is its load. */
static void collect_loads(programming *p) {
    for (int64_t m = 0; m < p->tiles->n_members; m++) {
        const cti_item *item = &p->plan->items[p->tiles->members[m]];
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t edge = p->plan->edges[item->edges + k];
            const cti_item *in = &p->plan->items[edge];
            if (!in->whole || p->position[in->base] == 0) load_operand(p, edge);
        }
    }
}

static int64_t input_operand(programming *p, int64_t edge) {
    const cti_item *in = &p->plan->items[edge];
    int64_t member = in->whole ? p->position[in->base] - 1 : -1;
    return member >= 0 ? p->operand_of[member] : load_operand(p, edge);
}

/* --- Joint loops ------------------------------------------------------------------------------ */

static const cti_item *member(const programming *p, int64_t m) {
    return &p->plan->items[p->tiles->members[m]];
}

/* The member that input k of a member reads, or -1. */
static int64_t member_read(const programming *p, const cti_item *item, int k) {
    const cti_item *in = &p->plan->items[p->plan->edges[item->edges + k]];
    return in->whole ? p->position[in->base] - 1 : -1;
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
    for (int64_t m = 0; m < p->tiles->n_members; m++) {
        const cti_item *item = member(p, m);
        p->outer[m] = -1;
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t read = member_read(p, item, k);
            if (read >= 0) p->readers[read]++;
        }
    }
    for (int64_t m = 0; m < p->tiles->n_members; m++) {
        p->loop[m] = find_loop(p, member(p, m));
        for (int k = 0; k < CT_OP_JOINT; k++) {
            if (is_joined(p, m, k)) p->outer[member_read(p, member(p, m), k)] = m;
        }
    }
}

/* --- Instructions ----------------------------------------------------------------------------- */

static int add_input(programming *p, int64_t edge, int64_t reader) {
    int64_t operand = input_operand(p, edge);
    p->tiles->inputs[p->tiles->n_inputs++] = operand;
    if (reader > p->last_use[operand]) p->last_use[operand] = reader;
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
        before[k] = joined ? p->tiles->members[member_read(p, member(p, m), k)] : -1;
    }
}

static void add_instruction(programming *p, int64_t m) {
    cti_tiles *tiles = p->tiles;
    const cti_item *item = member(p, m);
    const ct_joint_loop *loop = p->loop[m];
    cti_instruction *code = &tiles->instructions[tiles->n_instructions];
    *code = (cti_instruction){.item = p->tiles->members[m],
                              .tile = (loop ? loop->tile : item->op->tile)[tile_dtype(p, item)],
                              .attr = item->attr,
                              .inputs = tiles->n_inputs};
    note_before(p, m, code->before);
    code->n_inputs = add_inputs(p, m, tiles->n_instructions++);
    code->out = tiles->n_operands;
    tiles->operands[tiles->n_operands] = (cti_operand){item->stored ? p->tiles->members[m] : -1, -1,
                                                       -1, ct_dtype_size(item->dtype)};
    if (item->stored) tiles->stores[tiles->n_stores++] = tiles->n_operands;
    p->operand_of[m] = tiles->n_operands++;
}

/* Reductions read at the end of a tile, after all instructions. */
static void add_reduction(programming *p, int64_t m) {
    const cti_item *item = member(p, m);
    const ct_joint_loop *loop = p->loop[m];
    cti_reduction *r = &p->tiles->reductions[p->tiles->n_reductions++];
    *r = (cti_reduction){.item = p->tiles->members[m],
                         .reduce = (loop ? loop->reduce : item->op->reduce)[item->dtype],
                         .fold = item->op->reduce[item->dtype],
                         .start = item->op->start[item->dtype],
                         .inputs = p->tiles->n_inputs,
                         .size = ct_dtype_size(item->dtype)};
    note_before(p, m, r->before);
    r->n_inputs = add_inputs(p, m, INT64_MAX);
}

/* Registers are taken when a operand is written and given back after its last reader. */
static void assign_registers(programming *p) {
    cti_tiles *tiles = p->tiles;
    for (int64_t i = 0; i < tiles->n_instructions; i++) {
        const cti_instruction *code = &tiles->instructions[i];
        cti_operand *out = &tiles->operands[code->out];
        if (out->item < 0) {
            out->reg = p->n_free ? p->free_registers[--p->n_free] : tiles->n_registers++;
        }
        for (int k = 0; k < code->n_inputs; k++) {
            int64_t operand = tiles->inputs[code->inputs + k];
            bool again = false;
            for (int j = 0; j < k; j++) again |= tiles->inputs[code->inputs + j] == operand;
            if (tiles->operands[operand].reg >= 0 && p->last_use[operand] == i && !again) {
                p->free_registers[p->n_free++] = tiles->operands[operand].reg;
            }
        }
    }
}

static ct_status program_alloc(programming *p, cti_zone *work, size_t edges) {
    cti_tiles *tiles = p->tiles;
    cti_zone *zone = p->plan->zone;
    size_t n = (size_t)tiles->n_members;
    tiles->loads = cti_zone_alloc(zone, edges, sizeof *tiles->loads);
    tiles->instructions = cti_zone_alloc(zone, n, sizeof *tiles->instructions);
    tiles->inputs = cti_zone_alloc(zone, edges, sizeof *tiles->inputs);
    tiles->operands = cti_zone_alloc(zone, n + edges, sizeof *tiles->operands);
    tiles->stores = cti_zone_alloc(zone, n, sizeof *tiles->stores);
    tiles->reductions = cti_zone_alloc(zone, n, sizeof *tiles->reductions);
    p->operand_of = cti_zone_alloc(work, n, sizeof *p->operand_of);
    p->readers = cti_zone_alloc(work, n, sizeof *p->readers);
    p->loop = cti_zone_alloc(work, n, sizeof *p->loop);
    p->outer = cti_zone_alloc(work, n, sizeof *p->outer);
    p->last_use = cti_zone_alloc(work, n + edges, sizeof *p->last_use);
    p->free_registers = cti_zone_alloc(work, n, sizeof *p->free_registers);
    bool ready = tiles->loads && tiles->instructions && tiles->inputs && tiles->operands &&
                 tiles->stores && tiles->reductions && p->operand_of && p->readers && p->loop &&
                 p->outer && p->last_use && p->free_registers;
    return ready ? CT_OK : CT_ERR_MEMORY;
}

static ct_status program_tiles(programming p, cti_zone *work) {
    const cti_tiles *tiles = p.tiles;
    size_t edges = 0;
    for (int64_t m = 0; m < tiles->n_members; m++) edges += (size_t)member(&p, m)->n_inputs;
    if (program_alloc(&p, work, edges) != CT_OK) return CT_ERR_MEMORY;
    for (int64_t m = 0; m < tiles->n_members; m++) p.position[tiles->members[m]] = m + 1;
    collect_loads(&p);
    find_loops(&p);
    for (int64_t m = 0; m < tiles->n_members; m++) {
        if (p.outer[m] >= 0) continue;
        if (member(&p, m)->op->kind == CT_MAP) add_instruction(&p, m);
        else add_reduction(&p, m);
    }
    assign_registers(&p);
    for (int64_t m = 0; m < tiles->n_members; m++) p.position[tiles->members[m]] = 0;
    return CT_OK;
}

ct_status cti_plan_program(cti_planning *p) {
    cti_plan *plan = p->plan;
    int64_t *position = cti_zone_alloc(&p->work, (size_t)plan->n_items, sizeof *position);
    ct_status status = position ? CT_OK : CT_ERR_MEMORY;
    for (int64_t k = 0; k < plan->n_passes && status == CT_OK; k++) {
        cti_pass *pass = &plan->passes[k];
        if (pass->kind == CTI_KERNEL) continue;
        programming one = {.plan = plan, .tiles = &pass->tiles, .position = position};
        status = program_tiles(one, &p->work);
    }
    return status;
}
