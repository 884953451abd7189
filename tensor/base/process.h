/* Private: the process: its clock, its ids, its lock, its children by fork(), its parallel
 * regions. */
#ifndef COTAN_PROCESS_H
#define COTAN_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Seconds since an arbitrary moment. */
static inline double cti_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Ascending over all threads, from 1: ids of nodes, and moments between them. */
uint64_t cti_next_id(void);

/* The one lock for what threads share. fork() takes it, so that in the child it is free and what it
 * guards is consistent. Not recursive; held briefly. */
void cti_process_lock(void);
void cti_process_unlock(void);

/* Whether this process was forked after cotan was loaded. It has no OpenMP threads then, and could
 * wait for them for ever in a parallel region. */
bool cti_process_forked(void);

/* work(context, thread, count) for thread = 0 .. count - 1, each on a thread of its own; count is
 * at most `threads`, as OpenMP may give fewer. The only way into a parallel region. `threads` is
 * what ct_threads says. */
typedef void cti_work_fn(void *context, int thread, int count);
void cti_parallel(int threads, cti_work_fn *work, void *context);

#endif
