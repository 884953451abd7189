/* The engine from outside: threads, statistics, what it runs on. */
#ifndef COTAN_RUNTIME_H
#define COTAN_RUNTIME_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* Threads for evaluations that this thread starts: 1 to 256. Results do not depend on it. The
 * default is CT_NUM_THREADS, else OMP_NUM_THREADS, else the number of processors. A child of fork()
 * has one thread, whatever was set: threads do not survive a fork, and OpenMP would wait for them.
 * So has its child; a program that it executes has as many as ever. */
ct_status ct_threads_set(int threads);
/* 0 with the error recorded when CT_NUM_THREADS is not a number in 1..256. */
int ct_threads(void);

/* Counts of this thread since it began or since the last reset. */
typedef struct {
    int64_t evaluations; /* plans run */
    int64_t plan_hits;   /* evaluations whose plan was in the cache */
    int64_t plan_misses; /* evaluations that had to plan */
    int64_t nodes;       /* nodes looked at */
    int64_t passes;      /* passes run */
    double bytes;        /* moved by them to and from memory */
    int64_t arena_bytes; /* the largest arena of a plan */
} ct_stats;
ct_stats ct_stats_read(void);
void ct_stats_reset(void); /* all are 0 again */

/* The plan that this thread ran last. The arena holds what passes hand to each other; roots have
 * buffers of their own. */
typedef struct {
    int64_t passes, kernels;
    int64_t phases; /* each begins when the one before is done */
    int64_t arena_bytes;
    int64_t needed_bytes; /* the most of it in use at one time: a lower bound */
} ct_plan_stats;
ct_plan_stats ct_plan_last(void);

/* How ct_eval would compute these roots now, as text: the items that the graph became after
 * simplification, with type, level and place; the passes, with what each loads, computes in one
 * loop and stores; and their schedule. COTAN_DEBUG=plan in the environment writes the same to
 * standard error whenever a plan is made. Errors: CT_ERR_NULL, CT_ERR_MEMORY, CT_ERR_IO. */
ct_status ct_plan_write(FILE *out, ct_tensor *const roots[], int64_t n);

/* Frees this thread's cached plans and buffers. Results do not change, the next evaluation plans
 * anew. Threads that end do this by themselves. */
void ct_cache_clear(void);

/* The version that a program was compiled with, for #if; CMakeLists.txt reads it here. While MAJOR
 * is 0, another MINOR may change any function. */
#define CT_VERSION_MAJOR 0
#define CT_VERSION_MINOR 1
#define CT_VERSION_PATCH 0
/* The version of the library that a program runs with, as text: "0.1.0". */
const char *ct_version(void);

/* One line: version, BLIS configuration, instruction set, threads, and ranks if there are several.
 * Valid until the next call. */
const char *ct_info(void);

CT_C_END

#endif
