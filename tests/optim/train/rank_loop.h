/* A small net with a loop of one's own, for scenarios in which a step goes wrong. */
#ifndef COTAN_TESTS_RANK_LOOP_H
#define COTAN_TESTS_RANK_LOOP_H

#include "optim/optim.h"
#include "tensor/source.h"

typedef struct {
    ct_source *train;
    ct_module *model;
    ct_optimizer *optimizer;
} rank_loop;

/* On one thread. `dropout` is its rate; 0: none. */
rank_loop rank_loop_begin(double dropout);
/* One of the whole data: 11 rows of all ranks. */
ct_status rank_loop_step(const rank_loop *loop);
void rank_loop_end(rank_loop *loop);

#endif
