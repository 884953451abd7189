/* The process: the lock that its threads share, its children by fork(), and its parallel regions.
 * It does not know what the lock guards, except that BLIS's own locks are taken with it.
 * Invariant: a child of fork() starts with all locks free, and never enters OpenMP. */
#include "tensor/base/process.h"

#include "tensor/base/gemm.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool forked;

uint64_t cti_next_id(void) {
    static atomic_uint_least64_t ids;
    return atomic_fetch_add_explicit(&ids, 1, memory_order_relaxed) + 1;
}

void cti_process_lock(void) { pthread_mutex_lock(&lock); }

void cti_process_unlock(void) { pthread_mutex_unlock(&lock); }

bool cti_process_forked(void) { return forked; }

/* --- fork() ----------------------------------------------------------------------------------- */

static void before_fork(void) {
    cti_process_lock();
    cti_gemm_hold();
}

static void after_fork_in_parent(void) {
    cti_gemm_release();
    cti_process_unlock();
}

static void after_fork_in_child(void) {
    forked = true;
    after_fork_in_parent();
}

/* When cotan is loaded, so that no fork comes before. */
__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* --- OpenMP ----------------------------------------------------------------------------------- */

void cti_parallel(int threads, cti_work_fn *work, void *context) {
    if (threads == 1) {
        work(context, 0, 1);
        return;
    }
#pragma omp parallel num_threads(threads)
    work(context, omp_get_thread_num(), omp_get_num_threads());
}
