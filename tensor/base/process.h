/* Private: what the threads of a process share, and what becomes of it in a child of fork(). */
#ifndef COTAN_PROCESS_H
#define COTAN_PROCESS_H

#include <stdbool.h>

/* The one lock of what threads share. fork() waits for it, so that in the child it is free and what
 * it guards is whole. Held for short, and never twice. */
void cti_process_lock(void);
void cti_process_unlock(void);

/* Whether this process came from fork() after cotan was loaded. The threads of OpenMP stayed with
 * the parent, and a child that enters a parallel region may wait for them for ever. */
bool cti_process_forked(void);

/* work(context, thread, count) for thread = 0 .. count - 1, each on a thread of its own; count is
 * at most `threads`, as OpenMP may give fewer. The only way into a parallel region. `threads` is
 * what ct_threads says. */
typedef void cti_work_fn(void *context, int thread, int count);
void cti_parallel(int threads, cti_work_fn *work, void *context);

#endif
