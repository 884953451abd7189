/* Profiles: where the time of evaluations goes, pass by pass.
 *
 *     ct_profile_start();
 *     for (int k = 0; k < 100; k++) step();
 *     ct_profile_stop();
 *     ct_profile_write(stdout);
 *     ct_profile_clear();
 *
 * A pass is what the planner made of some ops: one stream over tiles, or one kernel. Graphs of one
 * structure share their plan: what they cost is added up, under the modules of the first of them.
 * Profiles belong to a thread and see the evaluations that it starts, on however many threads these
 * run. */
#ifndef COTAN_PROFILE_H
#define COTAN_PROFILE_H

#include <cotan/tensor/tensor.h>

#include <stdint.h>
#include <stdio.h>

CT_C_BEGIN

/* The ops that a pass runs for each element may come from several modules. */
typedef struct {
    const char *module; /* path, "" outside of all modules */
    double share;       /* of the pass: the part of its ops that is the module's; all add to 1 */
} ct_profile_share;

typedef struct {
    const char *module;             /* path of the last op in it, "" outside of all modules */
    const ct_profile_share *shares; /* of all modules that have an op in it */
    int64_t n_shares;
    const char *ops;   /* their names, in the order in which they run; long lists end in ".." */
    int order;         /* derivative order of the last op */
    int64_t calls;     /* evaluations that ran it */
    double seconds;    /* summed over calls and threads */
    double bytes;      /* read and written by one call, as far as it leaves the tiles */
    double operations; /* of arithmetic in one call */
} ct_profile_pass;

/* What a thread did without a break: a range of tiles, or of a kernel's output. */
typedef struct {
    const ct_profile_pass *pass; /* that it is a part of, of all calls */
    int64_t number;              /* of that pass in the order of execution, from 0 on */
    int thread;                  /* from 0 on */
    double begin, end;           /* seconds since an arbitrary moment */
} ct_profile_part;

/* Measures all evaluations from now on, in addition to what was measured before. It costs some 50
 * ns for each part of a pass. */
void ct_profile_start(void);
void ct_profile_stop(void); /* what was measured stays */
/* Forgets what was measured, and frees it. */
void ct_profile_clear(void);

/* What was measured, the most costly pass first. Valid until the next evaluation. */
const ct_profile_pass *ct_profile_passes(int64_t *n);
/* Wall time of the evaluations that were measured: all but the building of graphs. */
double ct_profile_seconds(void);
/* How many they were. */
int64_t ct_profile_evaluations(void);
/* Two tables of times, summed over threads: by pass, in microseconds for each evaluation that ran
 * it (us/call), and by module, in microseconds for each evaluation that was measured (us/eval),
 * where a pass is divided by its shares. Error: CT_ERR_IO. */
ct_status ct_profile_write(FILE *out);
/* The parts of the last evaluation that was measured, in the order of the plan; *n of them, which
 * may be 0. Those of one thread do not overlap. Valid until the next evaluation. */
const ct_profile_part *ct_profile_parts(int64_t *n);
/* The same, in the order of time, as a trace in JSON that Perfetto (ui.perfetto.dev) and
 * chrome://tracing open: a track for each thread, an event for each part, with its pass: name (the
 * ops), category ("forward" or "derivative"), number, module, order, bytes and operations of
 * one call of the whole pass. Of a training step:
 *
 *     step();                             // makes the plan
 *     ct_profile_start();
 *     step();
 *     ct_profile_stop();
 *     FILE *trace = fopen("step.json", "w");
 *     ct_profile_write_trace(trace);
 *     fclose(trace);
 *
 * Within ct_fit start in the callback of one step and stop in that of the next: the last evaluation
 * of all is a check of the parameters.
 *
 * Format: "Trace Event Format" (chromium.org), complete events; ts and dur are microseconds from
 * the first of them on, to the nanosecond. Without an evaluation there is no event. Errors:
 * CT_ERR_NULL, CT_ERR_IO, CT_ERR_MEMORY. */
ct_status ct_profile_write_trace(FILE *out);

/* The pass that computed the node in the last evaluation that was measured, or -1: its number in
 * the order of execution, and its share of the time of that plan. */
int64_t ct_profile_pass_of(const ct_tensor *t, double *share);

CT_C_END

#endif
