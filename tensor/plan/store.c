/* Storing: which items have memory; the others exist in registers only, and are recomputed in each
 * pass that reads them.
 * It does not say where the memory is; place.c does.
 * Invariant: reductions, kernels, roots, and what is not read as a stream are stored. */
#include "tensor/plan/planning.h"

/* Recomputing a value in a later pass pays off if it takes few operations, and the pass has to load
 * at most one large operand more, which replaces the load of the value. */
#define RECOMPUTE_OPERATIONS 6

/* A set of large stored items; with more than OPERANDS of them recomputing never pays off. */
#define OPERANDS 3
typedef struct {
    int64_t n, item[OPERANDS + 1];
} operands;

typedef struct {
    int64_t group, next; /* next: another reader of the same item, or -1 */
} reader;

typedef struct {
    cti_plan *plan;
    const cti_groups *g;
    int64_t *operations;   /* item -> cost of recomputing it */
    operands *operands;    /* item -> what recomputing it loads */
    int64_t *first_reader; /* item -> reader from another group over the same space, or -1 */
    reader *readers;
    int64_t n_readers;
} storing;

static void add_reader(storing *s, int64_t base, int64_t by) {
    s->readers[s->n_readers] = (reader){s->g->group_of[by], s->first_reader[base]};
    s->first_reader[base] = s->n_readers++;
}

/* Marks what must have memory, and collects the readers in other groups over the same space: these
 * may recompute the item. */
static void find_readers(storing *s) {
    cti_plan *plan = s->plan;
    for (int64_t i = 0; i < plan->n_items; i++) s->first_reader[i] = -1;
    for (int64_t i = 0; i < plan->n_items; i++) {
        cti_item *item = &plan->items[i];
        if (item->op && item->op->kind != CT_MAP) item->stored = true;
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t base = cti_base_of(plan, item, k);
            if (cti_streamed_input(plan, item, k) < 0) plan->items[base].stored = true;
            else if (s->g->group_of[base] != s->g->group_of[i]) add_reader(s, base, i);
        }
    }
    for (int64_t r = 0; r < plan->graph.n_roots; r++) {
        plan->items[plan->items[plan->roots[r]].base].stored = true;
    }
}

static bool has_operand(const operands *set, int64_t item) {
    for (int64_t k = 0; k < set->n; k++) {
        if (set->item[k] == item) return true;
    }
    return false;
}

static void add_operand(operands *set, int64_t item) {
    if (set->n <= OPERANDS && !has_operand(set, item)) set->item[set->n++] = item;
}

/* What recomputing a MAP item costs: operations and large operands. */
static void recompute_cost(storing *s, int64_t i) {
    const cti_plan *plan = s->plan;
    const cti_item *item = &plan->items[i];
    s->operations[i] = item->op->costly ? 2 * RECOMPUTE_OPERATIONS : 1;
    for (int k = 0; k < item->n_inputs; k++) {
        int64_t base = cti_base_of(plan, item, k);
        if (!plan->items[base].stored) {
            s->operations[i] += s->operations[base];
            for (int64_t j = 0; j < s->operands[base].n; j++) {
                add_operand(&s->operands[i], s->operands[base].item[j]);
            }
        } else if (plan->items[base].numel > item->numel / 8) {
            add_operand(&s->operands[i], base);
        }
    }
}

/* How many of i's operands no member of the group loads, for itself or for an input that it
 * recomputes. Only inputs before i count, because later ones are undecided. */
static int64_t not_read_by(const storing *s, int64_t group, int64_t i) {
    const cti_plan *plan = s->plan;
    const operands *wanted = &s->operands[i];
    operands read = {0};
    for (int64_t m = s->g->groups[group].first; m >= 0; m = s->g->next_member[m]) {
        const cti_item *item = &plan->items[m];
        for (int k = 0; k < item->n_inputs; k++) {
            int64_t base = cti_base_of(plan, item, k);
            if (has_operand(wanted, base)) add_operand(&read, base);
            if (base >= i || plan->items[base].stored) continue;
            for (int64_t j = 0; j < s->operands[base].n; j++) {
                int64_t item_read = s->operands[base].item[j];
                if (has_operand(wanted, item_read)) add_operand(&read, item_read);
            }
        }
    }
    return wanted->n - read.n;
}

static bool worth_recomputing(const storing *s, int64_t i) {
    if (s->operations[i] > RECOMPUTE_OPERATIONS || s->operands[i].n > OPERANDS) return false;
    for (int64_t r = s->first_reader[i]; r >= 0; r = s->readers[r].next) {
        if (not_read_by(s, s->readers[r].group, i) > 1) return false;
    }
    return true;
}

ct_status cti_plan_store(cti_planning *p) {
    cti_plan *plan = p->plan;
    size_t n = (size_t)plan->n_items, edges = (size_t)plan->n_edges;
    storing s = {.plan = plan,
                 .g = &p->groups,
                 .operations = cti_zone_alloc(&p->work, n, sizeof *s.operations),
                 .operands = cti_zone_alloc(&p->work, n, sizeof *s.operands),
                 .first_reader = cti_zone_alloc(&p->work, n, sizeof *s.first_reader),
                 .readers = cti_zone_alloc(&p->work, edges, sizeof *s.readers)};
    if (!s.operations || !s.operands || !s.first_reader || !s.readers) return CT_ERR_MEMORY;
    find_readers(&s);
    for (int64_t i = 0; i < plan->n_items; i++) {
        cti_item *item = &plan->items[i];
        if (!item->op || item->op->kind != CT_MAP) continue;
        recompute_cost(&s, i);
        if (s.first_reader[i] >= 0 && !worth_recomputing(&s, i)) item->stored = true;
    }
    return CT_OK;
}
