/* Free lists of blocks by size, so that a training step after the first asks the system for
 * nothing.
 * It does not decide how much is worth keeping; mem.c does.
 * Invariant: a list holds blocks of one rounded size; the link is the block's first word. */
#include "tensor/base/blocks.h"

#include "tensor/base/alloc.h"

#include <pthread.h>
#include <stdint.h>

#define UNIT 64
/* One list per unit up to this many, then eight per doubling. */
#define SMALL 16
/* Enough for every size below 2^63, so that one that nobody has is only a list without blocks. */
#define LISTS (SMALL + 1 + 8 * 54)

typedef struct block {
    struct block *next;
    size_t size;
} block;

static _Thread_local block *lists[LISTS];
static _Thread_local size_t waiting;
static _Thread_local bool registered; /* this thread's end clears its lists */

static int log2_of(size_t n) { return 63 - __builtin_clzll(n); }

size_t cti_blocks_size(size_t bytes) {
    size_t units = (bytes + UNIT - 1) / UNIT;
    if (units <= SMALL) return units * UNIT;
    size_t step = (size_t)1 << (log2_of(units - 1) - 3);
    return (units + step - 1) / step * step * UNIT;
}

static block **list_of(size_t size) {
    size_t units = size / UNIT;
    if (units <= SMALL) return &lists[units];
    int power = log2_of(units - 1);
    size_t step = (size_t)1 << (power - 3);
    return &lists[SMALL + 8 * (power - 4) + (int)(units / step) - 8];
}

/* --- A thread's end ------------------------------------------------------------------------- */

static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

static void thread_exit(void *unused) {
    (void)unused;
    registered = false; /* a later destructor may free more, and has it cleared again */
    cti_blocks_clear();
}

static void make_exit_key(void) { pthread_key_create(&exit_key, thread_exit); }

/* --------------------------------------------------------------------------------------------- */

/* Blocks are asked for one after the other while a graph is built, and what was computed since they
 * were given back has driven them out of the caches. */
static void fetch(const block *next, size_t size) {
    if (size > UNIT * SMALL) return;
    for (size_t at = 0; at < size; at += UNIT) __builtin_prefetch((const char *)next + at, 1);
}

void *cti_blocks_take(size_t size) {
    block **list = list_of(size), *taken = *list;
    if (!taken) return NULL;
    *list = taken->next;
    fetch(taken->next, size);
    waiting -= size;
    return taken;
}

void cti_blocks_give(void *memory, size_t size) {
    if (!registered) {
        pthread_once(&exit_once, make_exit_key);
        registered = pthread_setspecific(exit_key, lists) == 0;
    }
    block **list = list_of(size), *given = memory;
    given->next = *list;
    given->size = size;
    *list = given;
    waiting += size;
}

size_t cti_blocks_bytes(void) { return waiting; }

void cti_blocks_clear(void) {
    for (int k = 0; k < LISTS; k++) {
        while (lists[k]) {
            block *first = lists[k];
            lists[k] = first->next;
            waiting -= first->size;
            cti_system_free(first);
        }
    }
}
