/* A source of batches: the interface between data and `ct_fit`. It is declared here so that
 * datasets and training know nothing of each other. A source of your own is a struct that begins
 * with ct_source and a kind of four functions, and a fifth that may be left out. */
#ifndef COTAN_SOURCE_H
#define COTAN_SOURCE_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

#define CT_BATCH_MORE 6

/* Temporaries. What is not there is NULL; all of them when the epoch has ended. */
typedef struct {
    ct_tensor *x, *y;               /* without labels y is NULL */
    ct_tensor *more[CT_BATCH_MORE]; /* further inputs and outputs, in the source's order ... */
    int64_t n_more;                 /* ... so many */
} ct_batch;

typedef struct ct_source ct_source;

typedef struct {
    const char *name;
    /* Batches in one epoch. */
    int64_t (*count)(const ct_source *source);
    /* The next call of `next` gives batch number `batch` of epoch number `epoch` (from 0). The
     * order of an epoch is a function of its number, so these two numbers are the whole state. */
    ct_status (*seek)(ct_source *source, int64_t epoch, int64_t batch);
    ct_status (*next)(ct_source *source, ct_batch *out); /* *out is zeroed */
    void (*free)(ct_source *source);                     /* NULL: nothing to free */
    /* What data this is, "60000 items of built-in digits", for a log; it lives as long as the
     * source. NULL, or gives NULL: unknown. */
    const char *(*describe)(const ct_source *source);
} ct_source_kind;

struct ct_source {
    const ct_source_kind *kind;
};

/* 0 for NULL; -1 with the error recorded when the kind cannot say. */
int64_t ct_source_count(const ct_source *source);
ct_status ct_source_seek(ct_source *source, int64_t epoch, int64_t batch); /* what comes next */
ct_status ct_source_next(ct_source *source, ct_batch *out);
/* NULL when the source does not say. */
const char *ct_source_describe(const ct_source *source);
void ct_source_free(ct_source *source); /* takes NULL */

CT_C_END

#endif
