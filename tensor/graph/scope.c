/* Scopes: one stack of temporaries per thread; a scope is a height of that stack.
 * It does not look into tensors.
 * Invariant: every entry holds one reference, which is dropped when the entry is popped. */
#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/graph/node.h"

/* When the scope of a training step is closed, its nodes have been evicted from the caches: each is
 * prefetched so many entries before its turn. */
#define AHEAD 8

static _Thread_local struct {
    ct_tensor **items;
    int64_t count, capacity;
} stack;

int64_t ct_scope_open(void) { return stack.count; }

ct_tensor *ct_scope_add(ct_tensor *t) {
    if (!t) return NULL;
    if (stack.count == stack.capacity &&
        !cti_reserve(&stack.items, &stack.capacity, stack.count + 1, sizeof *stack.items)) {
        return NULL;
    }
    stack.items[stack.count++] = ct_keep(t);
    return t;
}

void ct_scope_close(int64_t scope) {
    if (scope < 0) scope = 0;
    while (stack.count > scope) {
        if (stack.count > scope + AHEAD) {
            const ct_tensor *soon = stack.items[stack.count - AHEAD - 1];
            __builtin_prefetch(soon);
            __builtin_prefetch(&soon->inputs);
        }
        ct_drop(stack.items[--stack.count]);
    }
    if (stack.count == 0) {
        cti_free(stack.items);
        stack.items = NULL;
        stack.capacity = 0;
    }
}

ct_tensor *ct_scope_yield(int64_t scope, ct_tensor *t) {
    ct_keep(t);
    ct_scope_close(scope);
    ct_tensor *added = ct_scope_add(t);
    ct_drop(t);
    return added;
}
