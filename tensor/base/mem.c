/* The one allocator: counting, fault injection, the user's hook, and when to keep a freed block.
 * Where kept blocks wait is blocks.c's business.
 * Invariant: live_bytes is the sum of the sizes asked for in blocks not yet freed; what waits in
 * pools is not live, and together they stay near the most that was ever live. */
#include "tensor/base/alloc.h"

#include "tensor/base/blocks.h"
#include "tensor/error.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Directly before the user's part. A small block begins behind it, so that a node and its size
 * share a line of the cache; a large one at the next boundary. */
typedef struct {
    _Alignas(16) size_t size;
} header;
#define SMALL 4096

static size_t front(size_t bytes) { return bytes < SMALL ? sizeof(header) : CTI_ALIGNMENT; }

/* Blocks of this size are whole huge pages where the system has them for the asking: the arena of a
 * training step is streamed through, and a thousand small pages more than a processor finds at
 * once. */
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

/* Blocks wait in a thread's pool as long as they and what is live are no more than the highest
 * peak, a quarter of it, and this. */
#define SPARE (16 << 20)

static ct_allocator hook = {system_alloc, system_free, NULL};
/* Few of them: each is written under a lock, and a step allocates a thousand times. */
static atomic_int_least64_t live_bytes, peak_bytes, allocated, freed, failed;
static atomic_int_least64_t fail_countdown;
static atomic_bool fail_persistent;
static atomic_int_least64_t highest;
#ifdef CT_NO_POOL
static bool pooling = false;
#else
static bool pooling = true;
#endif

void ct_allocator_set(ct_allocator allocator) {
    if (allocator.alloc && allocator.free) hook = allocator;
    else ct_fail(CT_ERR_NULL, "ct_allocator_set: '%s' is NULL", allocator.alloc ? "free" : "alloc");
}

void cti_pooling_set(bool on) { pooling = on; }

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
    if (live > highest) highest = live; /* a lost race only makes the pools smaller */
}

static size_t whole_size(size_t bytes) { return cti_blocks_size(bytes + front(bytes)); }

static header *header_of(void *block) { return (header *)block - 1; }

void cti_system_free(void *block) { hook.free(block, hook.user); }

/* Memory of the system; when it has none, what waits in this thread's pool is given back first. */
static void *system_block(size_t whole) {
    void *block = hook.alloc(whole, hook.user);
    if (block || cti_blocks_bytes() == 0) return block;
    cti_blocks_clear();
    return hook.alloc(whole, hook.user);
}

static void *take(size_t number, size_t size) {
    size_t bytes;
    if (injected_failure() || __builtin_mul_overflow(number, size, &bytes)) return NULL;
    if (bytes > PTRDIFF_MAX / 2) return NULL;
    size_t whole = whole_size(bytes);
    char *begin = pooling ? cti_blocks_take(whole) : NULL;
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
    size_t kept = old < bytes ? old : bytes;
    if (kept) memcpy(grown, block, kept);
    memset((char *)grown + kept, 0, bytes - kept);
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
    /* What waits is of sizes that are no longer asked for: a new working set begins. */
    if ((int64_t)cti_blocks_bytes() > most) cti_blocks_clear();
    if (pooling && (int64_t)cti_blocks_bytes() <= most) cti_blocks_give(begin, whole);
    else cti_system_free(begin);
}

char *cti_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = cti_alloc_raw(size, 1);
    if (copy) memcpy(copy, text, size);
    return copy;
}
