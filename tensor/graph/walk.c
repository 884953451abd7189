/* The walk: an iterative depth-first post-order.
 * It neither changes nor keeps the nodes.
 * Invariant: no recursion, so the depth of a graph costs heap and not stack. */
#include "tensor/graph/walk.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"

int cti_walk_whole_graph(const ct_tensor *t) { return t->n_inputs; }

int cti_walk_needed(const ct_tensor *t) {
    if (cti_has_value(t)) return 0;
    return t->op->kind == CT_VIEW ? 1 : t->n_inputs;
}

typedef struct {
    ct_tensor *node;
    int next; /* the next input to look at */
} frame;

typedef struct {
    frame *frames;
    int64_t count, capacity;
} frame_stack;

static ct_status push(frame_stack *stack, const cti_walk *walk, ct_tensor *t) {
    if (stack->count == stack->capacity &&
        !cti_reserve(&stack->frames, &stack->capacity, stack->count + 1, sizeof *stack->frames)) {
        return CT_ERR_MEMORY;
    }
    t->ticket = walk->ticket;
    stack->frames[stack->count++] = (frame){t, 0};
    return CT_OK;
}

static ct_status append(cti_walk *walk, ct_tensor *t) {
    if (walk->count == walk->capacity &&
        !cti_reserve(&walk->items, &walk->capacity, walk->count + 1, sizeof *walk->items)) {
        return CT_ERR_MEMORY;
    }
    t->index = walk->count;
    walk->items[walk->count++] = t;
    return CT_OK;
}

static ct_status visit(cti_walk *walk, frame_stack *stack, ct_tensor *root,
                       cti_walk_inputs *inputs) {
    if (cti_walk_has(walk, root)) return CT_OK;
    ct_status status = push(stack, walk, root);
    while (status == CT_OK && stack->count > 0) {
        frame *top = &stack->frames[stack->count - 1];
        if (top->next < inputs(top->node)) {
            ct_tensor *input = top->node->inputs[top->next++];
            if (!cti_walk_has(walk, input)) status = push(stack, walk, input);
        } else {
            stack->count--;
            status = append(walk, top->node);
        }
    }
    return status;
}

static _Thread_local uint64_t tickets;

uint64_t cti_walk_ticket(void) { return ++tickets; }

ct_status cti_walk_new(cti_walk *walk, ct_tensor *const roots[], int64_t n,
                       cti_walk_inputs *inputs) {
    *walk = (cti_walk){.ticket = cti_walk_ticket()};
    frame_stack stack = {0};
    ct_status status = CT_OK;
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        status = visit(walk, &stack, roots[i], inputs);
    }
    cti_free(stack.frames);
    if (status != CT_OK) cti_walk_free(walk);
    return status;
}

void cti_walk_resume(cti_walk *walk) {
    if (walk->ticket == tickets) return;
    walk->ticket = cti_walk_ticket();
    for (int64_t i = 0; i < walk->count; i++) {
        walk->items[i]->ticket = walk->ticket;
        walk->items[i]->index = i;
    }
}

void cti_walk_free(cti_walk *walk) {
    cti_free(walk->items);
    walk->items = NULL;
    walk->count = walk->capacity = 0;
}
