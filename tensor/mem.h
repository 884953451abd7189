/* Memory: every byte of cotan passes through here, so that it can be counted, limited and made to
 * fail. Blocks are aligned for every type, large ones and elements of tensors to CTI_ALIGNMENT. */
#ifndef COTAN_MEM_H
#define COTAN_MEM_H

#include <cotan/tensor/shape.h>

#include <stdbool.h>

CT_C_BEGIN

#define CTI_ALIGNMENT 64

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
    int64_t live_bytes, live_blocks; /* held now                       */
    int64_t peak_bytes;              /* the most that was ever held    */
    int64_t allocations;             /* requests so far, failed ones too */
} ct_mem_stats;
ct_mem_stats ct_mem_read(void);
void ct_mem_peak_reset(void);

/* Fault injection, for tests: the `nth` request from now (1 = the next) fails; with `persistent`
 * all later ones fail too. 0 switches it off. */
void ct_mem_fail_at(int64_t nth, bool persistent);

/* count * size zeroed bytes, or NULL with the error recorded. A request of 0 bytes is valid. */
void *cti_alloc(size_t count, size_t size);
/* The same without zeroing: for memory that is written whole before it is read. */
void *cti_alloc_raw(size_t count, size_t size);
/* `before` bytes, and behind them the elements of a shape that has passed cti_shape_check; not
 * zeroed. The message says what for. */
void *cti_alloc_elements(const char *function, size_t before, ct_shape shape, ct_dtype dtype,
                         void **elements);
/* Grows or shrinks; on failure the old block stays as it is. New bytes are zeroed. */
void *cti_realloc(void *block, size_t count, size_t size);
void cti_free(void *block);
/* Gives a block that waited in a pool back to the system: blocks.c's only. */
void cti_system_free(void *block);
/* Whether freed blocks wait for their next use. Off, a memory checker sees every use of a block
 * after its end. */
void cti_pooling_set(bool on);
char *cti_strdup(const char *text);

CT_C_END

#endif
