/* A training on digits, by ct_fit, for scenarios. */
#ifndef COTAN_TESTS_RANK_DIGITS_H
#define COTAN_TESTS_RANK_DIGITS_H

#include "datasets/datasets.h"
#include "optim/fit.h"

typedef struct {
    ct_dataset *digits;
    ct_source *train, *test; /* an epoch has three steps */
    ct_module *model;
    ct_optimizer *optimizer;
} rank_digits;

/* A net with what the study's has not: random numbers, "same" windows, a bias. */
ct_module *rank_digits_net(ct_dtype dtype);
/* On one thread, unless CT_NUM_THREADS says more. `study`: the study's network, or that above. */
rank_digits rank_digits_begin(ct_dtype dtype, bool study);
/* The small net in f32 on a few rows, for those who train thousands of times. */
rank_digits rank_digits_begin_few(void);
/* With a validation, and all steps recorded. The history is the caller's. */
ct_history rank_digits_fit(rank_digits *training, ct_fit_options options);
void rank_digits_end(rank_digits *training);

/* rank_learned_hash after so many steps that nothing disturbs, of the small net in f32; of
 * the objective, or of cross entropy where that is NULL. */
uint64_t rank_digits_hash_after(int64_t steps, ct_objective *objective);

#endif
