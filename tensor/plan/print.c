/* A plan as text: its items, passes and schedule.
 * It changes and measures nothing; profile.c measures.
 * Invariant: the text is a function of the graph's structure alone, without addresses and times, so
 * two of them can be compared. */
#include "tensor/plan/plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- Items ------------------------------------------------------------------------------------ */

static const char *kind_of(const cti_plan *plan, const cti_item *item) {
    if (item->op) return item->op->name;
    if (item->place == CTI_LEAF && item->node >= 0) return "leaf";
    return item->node >= 0 ? plan->graph.nodes[item->node].op->name : "copy";
}

static void print_place(FILE *out, const cti_item *item) {
    static const char *const names[] = {"-", "leaf", "arena", "root"};
    fprintf(out, " %-5s", names[item->place]);
    if (item->place != CTI_NOWHERE) fprintf(out, " %8" PRId64, item->where);
    else fprintf(out, " %8s", "");
}

static void print_item(FILE *out, const cti_plan *plan, int64_t i) {
    const cti_item *item = &plan->items[i];
    const cti_graph_node *node = item->node >= 0 ? &plan->graph.nodes[item->node] : NULL;
    fprintf(out, "%5" PRId64 " %-18s %-4s%-16s %5" PRId64 " %-7s", i, kind_of(plan, item),
            ct_dtype_name(item->dtype), ct_shape_format(item->shape).text, item->level,
            item->base != i ? "view of"
            : item->stored  ? "stored"
                            : "in tile");
    if (item->base != i) fprintf(out, " %-14" PRId64, item->base);
    else print_place(out, item);
    for (int k = 0; k < item->n_inputs; k++) {
        fprintf(out, "%s%" PRId64, k ? "," : "  ", plan->edges[item->edges + k]);
    }
    if (node && node->order) fprintf(out, "  derivative %d", node->order);
    if (node && *node->path) fprintf(out, "  in %s", node->path);
    fputc('\n', out);
}

/* --- Passes ----------------------------------------------------------------------------------- */

static void print_inputs(FILE *out, const cti_tiles *t, int64_t first, int n) {
    for (int k = 0; k < n; k++) {
        fprintf(out, "%s%" PRId64, k ? "," : " ", t->inputs[first + k]);
    }
}

static void print_loop(FILE *out, const cti_plan *plan, const int64_t before[], int64_t item) {
    for (int k = 0; k < CT_OP_JOINT; k++) {
        if (before[k] >= 0) fprintf(out, "%s+", plan->items[before[k]].op->name);
    }
    fprintf(out, "%s", plan->items[item].op->name);
}

static void print_loads(FILE *out, const cti_tiles *t) {
    static const char *const kinds[] = {"in place", "repeated", "gathered"};
    for (int64_t k = 0; k < t->n_loads; k++) {
        const cti_load *load = &t->loads[k];
        fprintf(out, "        operand %" PRId64 " = load item %" PRId64 ", %s", k, load->item,
                kinds[load->kind]);
        if (load->kind == CTI_PERIODIC) fprintf(out, " every %" PRId64, load->period);
        fputc('\n', out);
    }
}

static void print_tile_pass(FILE *out, const cti_plan *plan, const cti_tiles *t) {
    const ct_reduction *g = &t->geometry;
    fprintf(out, "%" PRId64 " elements in tiles of %" PRId64, t->numel, t->tile);
    if (g->count) {
        fprintf(out, ", reduces [%" PRId64 ",%" PRId64 ",%" PRId64 "] over the middle", g->outer,
                g->count, g->inner);
    }
    fputc('\n', out);
    print_loads(out, t);
    for (int64_t k = 0; k < t->n_instructions; k++) {
        const cti_instruction *code = &t->instructions[k];
        const cti_operand *operand = &t->operands[code->out];
        fprintf(out, "        operand %" PRId64 " = ", code->out);
        print_loop(out, plan, code->before, code->item);
        print_inputs(out, t, code->inputs, code->n_inputs);
        if (operand->item >= 0) fprintf(out, ", stored as item %" PRId64, operand->item);
        fputc('\n', out);
    }
    for (int64_t k = 0; k < t->n_reductions; k++) {
        const cti_reduction *r = &t->reductions[k];
        fprintf(out, "        item %" PRId64 " = ", r->item);
        print_loop(out, plan, r->before, r->item);
        print_inputs(out, t, r->inputs, r->n_inputs);
        fputc('\n', out);
    }
}

static void print_pass(FILE *out, const cti_plan *plan, int64_t p) {
    const cti_pass *pass = &plan->passes[p];
    cti_cost cost = cti_pass_cost(plan, pass);
    fprintf(out, "pass %" PRId64 ": %.0f bytes, %.0f operations, parts %" PRId64 "+%" PRId64 ", ",
            p, cost.bytes, cost.operations, pass->parts[0], pass->parts[1]);
    if (cti_has_tiles(pass)) {
        print_tile_pass(out, plan, &pass->tiles);
        return;
    }
    const int64_t *items;
    int64_t n = cti_pass_items(pass, &items);
    fprintf(out, "%s %s, item", pass->kind == CTI_KERNEL ? "kernel" : "exchange",
            plan->items[*items].op->name);
    for (int64_t k = 0; k < n; k++) fprintf(out, "%s%" PRId64, k ? "," : " ", items[k]);
    fputc('\n', out);
}

/* --- Schedule --------------------------------------------------------------------------------- */

static void print_task(FILE *out, const cti_task *task) {
    fprintf(out, "  phase %" PRId64 ": pass %" PRId64 " stage %d, %" PRId64 " parts", task->phase,
            task->pass, task->stage, task->parts);
    if (task->bundle > 1) fprintf(out, " of %" PRId64, task->bundle);
    fprintf(out, "%s\n", task->chained ? ", each as soon as what it reads is there" : "");
}

void cti_plan_print(FILE *out, const cti_plan *plan) {
    fprintf(out,
            "plan: %" PRId64 " nodes, %" PRId64 " items, %" PRId64 " passes, %" PRId64
            " phases, arena %zu bytes (%zu in use at one time), %zu of scratch per thread\n",
            plan->graph.n_nodes, plan->n_items, plan->n_passes, plan->n_phases, plan->arena_bytes,
            plan->needed_bytes, plan->scratch_bytes);
    fprintf(out, "%5s %-18s %-20s %5s %-7s %-14s  %s\n", "item", "op", "type", "level", "", "where",
            "inputs");
    for (int64_t i = 0; i < plan->n_items; i++) print_item(out, plan, i);
    for (int64_t p = 0; p < plan->n_passes; p++) print_pass(out, plan, p);
    fputs("schedule:\n", out);
    for (int64_t k = 0; k < plan->n_tasks; k++) print_task(out, &plan->tasks[k]);
}

void cti_plan_debug(const cti_plan *plan) {
    const char *wanted = getenv("COTAN_DEBUG");
    if (wanted && strcmp(wanted, "plan") == 0) cti_plan_print(stderr, plan);
}
