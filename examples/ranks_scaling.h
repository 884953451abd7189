/* How far training on ranks scales: constants measured in this group, and what a model of latency
 * and bandwidth makes of them for more ranks. */
#ifndef EXAMPLES_RANKS_SCALING_H
#define EXAMPLES_RANKS_SCALING_H

#include <cotan/tensor/group.h>

/* All ranks of the current group call it, which are 2, 4, 8 or more, and rank 0 prints. Each has
 * so many rows of a batch. */
ct_status scaling_print(ct_group *ranks, int64_t rows);

#endif
