/* The one allocator: counting, fault injection, the user's hook, and free lists, so that a training
 * step after the first asks the system for nothing.
 * It is not for pieces that live and die together; zone.c is.
 * Invariant: live_bytes is the sum of the sizes asked for in blocks not yet freed. Blocks in free
 * lists are not live, and together they stay near the most that was ever live. */
#include "tensor/base/alloc.h"

#include "tensor/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Directly before the user's bytes. Those of a small block follow it at once, so that a node and
 * its size share a line of the cache; those of a large one begin at the next boundary. */
typedef struct {
    _Alignas(16) size_t size;
} header;

static size_t front(size_t bytes) { return bytes < 4096 ? sizeof(header) : CTI_ALIGNMENT; }

/* Blocks of this size or more take whole huge pages where the system has them: the arena of a
 * training step is streamed through, and in small pages it has more of them than the TLB holds. */
#define HUGE_PAGE ((size_t)2 << 20)

static void *system_alloc(size_t size, void *user) {
    (void)user;
#ifdef MADV_HUGEPAGE
    if (size >= HUGE_PAGE) {
        size_t whole = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        void *block = aligned_alloc(HUGE_PAGE, whole);
        if (block) madvise(block, whole, MADV_HUGEPAGE); /* a wish: nothing depends on it */
        return block;
    }
#endif
    return aligned_alloc(CTI_ALIGNMENT, size);
}

static void system_free(void *block, void *user) {
    (void)user;
    free(block);
}

/* A freed block is kept in a free list as long as live and kept bytes together are at most 5/4 of
 * the highest peak plus this. */
#define SPARE (16 << 20)

static ct_allocator hook = {system_alloc, system_free, NULL};
/* As few as possible: each is an atomic write, and a step allocates a thousand times. */
static atomic_int_least64_t live_bytes, peak_bytes, allocated, freed, failed;
static atomic_int_least64_t fail_countdown;
static atomic_bool fail_persistent;
static atomic_int_least64_t highest;
#ifdef CT_NO_POOL
static bool keeping = false;
#else
static bool keeping = true;
#endif

void ct_allocator_set(ct_allocator allocator) {
    if (allocator.alloc && allocator.free) hook = allocator;
    else ct_fail(CT_ERR_NULL, "ct_allocator_set: '%s' is NULL", allocator.alloc ? "free" : "alloc");
}

void cti_free_lists_set(bool on) { keeping = on; }

ct_mem_stats ct_mem_read(void) {
    return (ct_mem_stats){.live_bytes = live_bytes,
                          .live_blocks = allocated - freed,
                          .peak_bytes = peak_bytes,
                          .allocations = allocated + failed};
}

void ct_mem_peak_reset(void) { peak_bytes = live_bytes; }

void ct_mem_fail_at(int64_t nth, bool persistent) {
    fail_persistent = persistent;
    fail_countdown = nth;
}

static bool injected_failure(void) {
    if (fail_countdown == 0) return false;
    int_least64_t left = atomic_fetch_sub(&fail_countdown, 1) - 1;
    if (left > 0) return false;
    fail_countdown = fail_persistent ? 1 : 0;
    return true;
}

static void count(int64_t bytes) {
    int_least64_t live = atomic_fetch_add(&live_bytes, bytes) + bytes;
    int_least64_t peak = peak_bytes;
    while (live > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, live)) {}
    if (live > highest) highest = live; /* a lost race only keeps less */
}

/* --- Free lists ------------------------------------------------------------------------------- */

/* Sizes are rounded up to units, and above SMALL of them to an eighth of a power of two, so at most
 * by an eighth. Blocks of one rounded size are interchangeable: each size has a list, linked
 * through the blocks' first word. */
#define UNIT 64
#define SMALL 16
#define LISTS (SMALL + 1 + 8 * 54) /* for every size below 2^63 */

typedef struct free_block {
    struct free_block *next;
    size_t size;
} free_block;

static _Thread_local free_block *lists[LISTS];
static _Thread_local size_t kept;     /* bytes in the lists */
static _Thread_local bool registered; /* this thread's end clears its lists */

static int log2_of(size_t n) { return 63 - __builtin_clzll(n); }

/* Needs bytes <= PTRDIFF_MAX / 2. */
static size_t whole_size(size_t bytes) {
    size_t units = (bytes + front(bytes) + UNIT - 1) / UNIT;
    if (units <= SMALL) return units * UNIT;
    size_t step = (size_t)1 << (log2_of(units - 1) - 3);
    return (units + step - 1) / step * step * UNIT;
}

static free_block **list_of(size_t size) {
    size_t units = size / UNIT;
    if (units <= SMALL) return &lists[units];
    int power = log2_of(units - 1);
    size_t step = (size_t)1 << (power - 3);
    return &lists[SMALL + 8 * (power - 4) + (int)(units / step) - 8];
}

void cti_free_lists_clear(void) {
    for (int k = 0; k < LISTS; k++) {
        while (lists[k]) {
            free_block *first = lists[k];
            lists[k] = first->next;
            kept -= first->size;
            hook.free(first, hook.user);
        }
    }
}

static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

static void thread_exit(void *unused) {
    (void)unused;
    registered = false; /* a later destructor may free more, and has it cleared again */
    cti_free_lists_clear();
}

static void make_exit_key(void) { pthread_key_create(&exit_key, thread_exit); }

/* While a graph is built, its nodes take one block after another, and what was computed since these
 * were freed has evicted them from the caches. */
static void fetch(const free_block *next, size_t size) {
    if (size > UNIT * SMALL) return;
    for (size_t at = 0; at < size; at += UNIT) __builtin_prefetch((const char *)next + at, 1);
}

static void *take_kept(size_t size) {
    free_block **list = list_of(size), *taken = *list;
    if (!taken) return NULL;
    *list = taken->next;
    fetch(taken->next, size);
    kept -= size;
    return taken;
}

static void keep(void *memory, size_t size) {
    if (!registered) {
        pthread_once(&exit_once, make_exit_key);
        registered = pthread_setspecific(exit_key, lists) == 0;
    }
    free_block **list = list_of(size), *given = memory;
    given->next = *list;
    given->size = size;
    *list = given;
    kept += size;
}

/* --- Blocks ----------------------------------------------------------------------------------- */

static header *header_of(void *block) { return (header *)block - 1; }

/* Memory of the system; when it has none, this thread's free lists are given back first. */
static void *system_block(size_t whole) {
    void *block = hook.alloc(whole, hook.user);
    if (block || kept == 0) return block;
    cti_free_lists_clear();
    return hook.alloc(whole, hook.user);
}

static void *take(size_t number, size_t size) {
    size_t bytes;
    if (injected_failure() || __builtin_mul_overflow(number, size, &bytes)) return NULL;
    if (bytes > PTRDIFF_MAX / 2) return NULL;
    size_t whole = whole_size(bytes);
    char *begin = keeping ? take_kept(whole) : NULL;
    if (!begin) begin = system_block(whole);
    if (!begin) return NULL;
    void *block = begin + front(bytes);
    header_of(block)->size = bytes;
    count((int64_t)bytes);
    return block;
}

/* NULL when it cannot be had; nothing is recorded. */
static void *allocate(size_t number, size_t size) {
    void *block = take(number, size);
    if (block) allocated++;
    else failed++;
    return block;
}

void *cti_alloc_raw(size_t number, size_t size) {
    void *block = allocate(number, size);
    size_t bytes;
    if (block) return block;
    if (__builtin_mul_overflow(number, size, &bytes)) {
        return ct_fail_null(CT_ERR_MEMORY, "out of memory: need %zu x %zu bytes", number, size);
    }
    return ct_fail_null(CT_ERR_MEMORY, "out of memory: need %zu bytes", bytes);
}

void *cti_alloc_elements(const char *function, size_t before, ct_shape shape, ct_dtype dtype,
                         void **elements) {
    size_t bytes = (size_t)ct_shape_numel(shape) * ct_dtype_size(dtype);
    char *block = allocate(before + CTI_ALIGNMENT + bytes, 1);
    if (block) *elements = block + before + (size_t)(-(uintptr_t)(block + before) % CTI_ALIGNMENT);
    if (block) return block;
    return ct_fail_null(CT_ERR_MEMORY, "%s: out of memory: need %zu bytes for %s %s", function,
                        bytes, ct_dtype_name(dtype), ct_shape_format(shape).text);
}

void *cti_alloc(size_t number, size_t size) {
    void *block = cti_alloc_raw(number, size);
    if (block) memset(block, 0, number * size);
    return block;
}

void *cti_realloc(void *block, size_t number, size_t size) {
    void *grown = cti_alloc_raw(number, size);
    if (!grown) return NULL;
    size_t bytes = number * size, old = block ? header_of(block)->size : 0;
    size_t common = old < bytes ? old : bytes;
    if (common) memcpy(grown, block, common);
    memset((char *)grown + common, 0, bytes - common);
    cti_free(block);
    return grown;
}

void cti_free(void *block) {
    if (!block) return;
    size_t bytes = header_of(block)->size, whole = whole_size(bytes);
    char *begin = (char *)block - front(bytes);
    count(-(int64_t)bytes);
    freed++;
    int64_t most = highest + highest / 4 + SPARE - live_bytes - (int64_t)whole;
    /* The kept blocks are of sizes that are no longer asked for: a new working set begins. */
    if ((int64_t)kept > most) cti_free_lists_clear();
    if (keeping && (int64_t)kept <= most) keep(begin, whole);
    else hook.free(begin, hook.user);
}

char *cti_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = cti_alloc_raw(size, 1);
    if (copy) memcpy(copy, text, size);
    return copy;
}
