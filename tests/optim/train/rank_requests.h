/* What ranks do, of which one has each of its requests for memory fail in turn:
 *
 *     rank_requests r = {.group = group, .rank = 1};
 *     for (; r.at <= r.count; r.at++) rank_requests_run(&r, step, &training); */
#ifndef COTAN_TESTS_RANK_REQUESTS_H
#define COTAN_TESTS_RANK_REQUESTS_H

#include "tensor/group.h"

typedef struct {
    ct_group *group;
    int64_t rank;   /* whose requests fail */
    bool all_later; /* with the request, too */
    int64_t at;     /* the request, from 1; 0: none */
    int64_t count;  /* of rank 0, where none fails; known once `at` has been 0 */
} rank_requests;

/* All ranks call it. What `run` returns, which leaves its error on record. */
ct_status rank_requests_run(rank_requests *r, ct_status (*run)(void *context), void *context);

#endif
