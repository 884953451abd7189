/* For the suites of training: a small task that a small model learns, and a source that
 * misbehaves. */
#ifndef COTAN_TESTS_FIT_SUPPORT_H
#define COTAN_TESTS_FIT_SUPPORT_H

#include "datasets/datasets.h"
#include "tests/support/nn_support.h"

enum { ITEMS = 22, SIZE = 4, BATCHES = 6 }; /* the last batch has 2 items */

/* x [22,4], labels by the largest of the first three entries. */
ct_tensor *task_x(uint32_t salt);
ct_tensor *task_labels(ct_tensor *x);
ct_source *task(uint32_t salt, bool shuffle);

/* Model, optimizer and sources of a run. */
typedef struct {
    ct_module *model;
    ct_optimizer *optimizer;
    ct_source *train, *test;
} bench;

bench open_bench(double rate);
void close_bench(bench *b);
ct_status fit(bench *b, ct_fit_options options, ct_history *history);

/* A source that gives `good` batches, then fails or, with `ends`, ends. */
typedef struct {
    ct_source base;
    int64_t good, given;
    bool ends;
} faulty_source;

extern const ct_source_kind faulty_kind;

#endif
