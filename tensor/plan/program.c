/* The program of a tile pass: loads, instructions, reductions, and the registers between them.
 * It does not choose what is in the pass (emit.c), nor how it is cut (cut.c).
 * Invariant: every operand is written before it is read, and a register is free again after its
 * last reader. */
#include "tensor/plan/planning.h"

#include <string.h>

/* --- Loads ------------------------------------------------------------------------------------ */

/* Drops dimensions of 1 and merges neighbours that are contiguous with each other. */
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

static void choose_kind(cti_load *load) {
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
    choose_kind(&load);
    return load;
}

/* --- Members ---------------------------------------------------------------------------------- */

/* An item that the pass computes. */
typedef struct {
    const cti_item *item;
    int64_t operand;           /* its value */
    int64_t readers;           /* inputs of members that are its value */
    const ct_joint_loop *loop; /* computes it together with some of its inputs; NULL: alone */
    bool joined;               /* the loop of a later member computes it */
} member;

typedef struct {
    cti_plan *plan;
    cti_tiles *tiles;
    int64_t *position; /* item -> position among the members, from 1 on; 0: none */
    member *members;
    int64_t *last_use; /* operand -> last instruction that reads it; INT64_MAX: a reduction */
    int64_t *free_registers, n_free;
} programming;

static int64_t number_of(const programming *p, const member *m) { return m->item - p->plan->items; }

/* The member whose value is input k of an item; NULL: the input is loaded. */
static member *producer(const programming *p, const cti_item *item, int k) {
    const cti_item *in = cti_input_of(p->plan, item, k);
    int64_t position = in->whole ? p->position[in->base] : 0;
    return position ? &p->members[position - 1] : NULL;
}

/* --- Joint loops ------------------------------------------------------------------------------ */

static ct_dtype tile_dtype(const programming *p, const cti_item *item) {
    return item->n_inputs ? cti_input_of(p->plan, item, 0)->dtype : item->dtype;
}

/* The op of input k if the loop of the item may compute it as well: it has no other reader, is not
 * stored, has the item's dtype and no joint loop of its own. */
static const ct_op *joinable(const programming *p, const cti_item *item, int k) {
    const member *from = k < item->n_inputs ? producer(p, item, k) : NULL;
    if (!from || from->readers > 1 || from->item->stored || from->loop) return NULL;
    return tile_dtype(p, from->item) == tile_dtype(p, item) ? from->item->op : NULL;
}

static const ct_joint_loop *find_loop(const programming *p, const cti_item *item) {
    ct_dtype dtype = tile_dtype(p, item);
    for (const ct_joint_loop *loop = item->op->joint; loop; loop++) {
        bool map = item->op->kind == CT_MAP, joins = false;
        bool fits = map ? loop->tile[dtype] != NULL : loop->reduce[dtype] != NULL;
        for (int k = 0; k < CT_OP_JOINT; k++) {
            joins |= loop->inner[k] != NULL;
            fits &= !loop->inner[k] || loop->inner[k] == joinable(p, item, k);
        }
        if (!joins) return NULL;
        if (fits) return loop;
    }
    return NULL;
}

/* Whether the loop of a member computes its input k. */
static bool computes(const member *m, int k) {
    return m->loop && k < CT_OP_JOINT && m->loop->inner[k];
}

/* Earlier members choose first, because a sum of two products takes three of them. */
static void find_loops(programming *p) {
    member *end = p->members + p->tiles->n_members;
    for (member *m = p->members; m < end; m++) {
        for (int k = 0; k < m->item->n_inputs; k++) {
            member *from = producer(p, m->item, k);
            if (from) from->readers++;
        }
    }
    for (member *m = p->members; m < end; m++) {
        m->loop = find_loop(p, m->item);
        for (int k = 0; k < CT_OP_JOINT; k++) {
            if (computes(m, k)) producer(p, m->item, k)->joined = true;
        }
    }
}

/* --- Operands --------------------------------------------------------------------------------- */

static bool same_load(const cti_load *a, const cti_load *b) {
    size_t n = sizeof(int64_t) * (size_t)a->rank;
    return a->item == b->item && a->offset == b->offset && a->rank == b->rank &&
           memcmp(a->dims, b->dims, n) == 0 && memcmp(a->strides, b->strides, n) == 0;
}

/* Loads are the first operands: operand k < n_loads is load k. */
static int64_t load_operand(programming *p, const cti_item *in) {
    cti_tiles *tiles = p->tiles;
    cti_load load = load_of(in);
    for (int64_t k = 0; k < tiles->n_loads; k++) {
        if (same_load(&tiles->loads[k], &load)) return k;
    }
    int64_t k = tiles->n_loads++;
    tiles->loads[k] = load;
    tiles->operands[k] = (cti_operand){-1, k, -1, load.size};
    return tiles->n_operands++;
}

static void collect_loads(programming *p) {
    for (int64_t m = 0; m < p->tiles->n_members; m++) {
        const cti_item *item = p->members[m].item;
        for (int k = 0; k < item->n_inputs; k++) {
            if (!producer(p, item, k)) load_operand(p, cti_input_of(p->plan, item, k));
        }
    }
}

/* --- Instructions ----------------------------------------------------------------------------- */

static int add_input(programming *p, const cti_item *item, int k, int64_t reader) {
    const member *from = producer(p, item, k);
    int64_t operand = from ? from->operand : load_operand(p, cti_input_of(p->plan, item, k));
    p->tiles->inputs[p->tiles->n_inputs++] = operand;
    if (reader > p->last_use[operand]) p->last_use[operand] = reader;
    return 1;
}

/* The inputs of what the loop computes first, then the other ones of the member; returns how many.
 * `reader` is the instruction that reads them. */
static int add_inputs(programming *p, const member *m, int64_t reader) {
    int n = 0;
    for (int k = 0; k < m->item->n_inputs; k++) {
        if (!computes(m, k)) continue;
        const cti_item *inner = producer(p, m->item, k)->item;
        for (int j = 0; j < inner->n_inputs; j++) n += add_input(p, inner, j, reader);
    }
    for (int k = 0; k < m->item->n_inputs; k++) {
        if (!computes(m, k)) n += add_input(p, m->item, k, reader);
    }
    return n;
}

/* The items that the loop computes first. */
static void note_before(const programming *p, const member *m, int64_t before[CT_OP_JOINT]) {
    for (int k = 0; k < CT_OP_JOINT; k++) {
        before[k] = computes(m, k) ? number_of(p, producer(p, m->item, k)) : -1;
    }
}

static void add_instruction(programming *p, member *m) {
    cti_tiles *tiles = p->tiles;
    const cti_item *item = m->item;
    cti_instruction *code = &tiles->instructions[tiles->n_instructions];
    *code = (cti_instruction){
        .item = number_of(p, m),
        .tile = (m->loop ? m->loop->tile : item->op->tile)[tile_dtype(p, item)],
        .attr = item->attr,
        .inputs = tiles->n_inputs};
    note_before(p, m, code->before);
    code->n_inputs = add_inputs(p, m, tiles->n_instructions++);
    code->out = m->operand = tiles->n_operands++;
    tiles->operands[code->out] = (cti_operand){item->stored ? code->item : -1, -1, -1,
                                               ct_dtype_size(item->dtype)};
    if (item->stored) tiles->stores[tiles->n_stores++] = code->out;
}

/* Reductions read at the end of a tile, after all instructions. */
static void add_reduction(programming *p, const member *m) {
    const cti_item *item = m->item;
    cti_reduction *r = &p->tiles->reductions[p->tiles->n_reductions++];
    *r = (cti_reduction){.item = number_of(p, m),
                         .reduce = (m->loop ? m->loop->reduce : item->op->reduce)[item->dtype],
                         .fold = item->op->reduce[item->dtype],
                         .start = item->op->start[item->dtype],
                         .inputs = p->tiles->n_inputs,
                         .size = ct_dtype_size(item->dtype)};
    note_before(p, m, r->before);
    r->n_inputs = add_inputs(p, m, INT64_MAX);
}

/* A register is taken when an operand is written and freed after its last reader. */
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
    p->last_use = cti_zone_alloc(work, n + edges, sizeof *p->last_use);
    p->free_registers = cti_zone_alloc(work, n, sizeof *p->free_registers);
    bool ready = tiles->loads && tiles->instructions && tiles->inputs && tiles->operands &&
                 tiles->stores && tiles->reductions && p->last_use && p->free_registers;
    return ready ? CT_OK : CT_ERR_MEMORY;
}

static ct_status program_tiles(programming p, cti_zone *work) {
    const cti_tiles *tiles = p.tiles;
    size_t edges = 0;
    p.members = cti_zone_alloc(work, (size_t)tiles->n_members, sizeof *p.members);
    if (!p.members) return CT_ERR_MEMORY;
    for (int64_t m = 0; m < tiles->n_members; m++) {
        p.members[m].item = &p.plan->items[tiles->members[m]];
        p.position[tiles->members[m]] = m + 1;
        edges += (size_t)p.members[m].item->n_inputs;
    }
    if (program_alloc(&p, work, edges) != CT_OK) return CT_ERR_MEMORY;
    collect_loads(&p);
    find_loops(&p);
    for (int64_t m = 0; m < tiles->n_members; m++) {
        if (p.members[m].joined) continue;
        if (p.members[m].item->op->kind == CT_MAP) add_instruction(&p, &p.members[m]);
        else add_reduction(&p, &p.members[m]);
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
        if (!cti_has_tiles(pass)) continue;
        programming one = {.plan = plan, .tiles = &pass->tiles, .position = position};
        status = program_tiles(one, &p->work);
    }
    return status;
}
