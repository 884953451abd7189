/* Memory: every byte of cotan passes through here, so that it can be counted, limited and made to
 * fail. Blocks are aligned for every type, large ones and elements of tensors to 64 bytes. */
#ifndef COTAN_MEM_H
#define COTAN_MEM_H

#include <cotan/tensor/shape.h>

#include <stdbool.h>

CT_C_BEGIN

/* The system's side of the hook: like malloc and free. `alloc` returns 64-byte aligned memory or
 * NULL. Install before the first tensor is made. A hook without one of the two is recorded as an
 * error and not installed. */
typedef struct {
    void *(*alloc)(size_t size, void *user);
    void (*free)(void *block, void *user);
    void *user;
} ct_allocator;
void ct_allocator_set(ct_allocator allocator);

typedef struct {
    int64_t live_bytes, live_blocks; /* held now */
    int64_t peak_bytes;              /* the most that was ever held */
    int64_t allocations;             /* requests so far, failed ones too */
} ct_mem_stats;
ct_mem_stats ct_mem_read(void); /* what all threads hold */
void ct_mem_peak_reset(void);   /* the peak is what is held now */

/* Fault injection, for tests: the `nth` request from now (1 = the next) fails; with `persistent`
 * all later ones fail too. 0 switches it off. */
void ct_mem_fail_at(int64_t nth, bool persistent);

CT_C_END

#endif
